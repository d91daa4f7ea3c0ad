"""Averages of weights over the steps of a run: stochastic weight averaging and exponential moving averages.

P. Izmailov et al., Averaging weights leads to wider optima and better generalization, 2018; B. Polyak, A. Juditsky,
Acceleration of stochastic approximation by averaging, 1992.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable
from copy import deepcopy
from itertools import chain
from typing import Any, TypeAlias

import numpy as np

from .. import ops
from ..nn.batchnorm import _BatchNorm
from ..nn.module import Module
from ..tape import run_deferred
from ..tensor import Tensor, as_tensor, expect_numbers, no_grad
from .lr_scheduler.base import LRScheduler, check_optimizer, numbers_for_each_group
from .optimizer import Optimizer, empty_like

__all__ = [
    "SWALR",
    "AveragedModel",
    "get_ema_avg_fn",
    "get_ema_multi_avg_fn",
    "get_swa_avg_fn",
    "get_swa_multi_avg_fn",
    "update_bn",
]

Average: TypeAlias = Callable[[Tensor, Tensor, Tensor], Tensor]
MultiAverage: TypeAlias = Callable[[list[Tensor], list[Tensor], Tensor], None]


class AveragedModel(Module):
    """A copy of a model whose weights are averages of the model's, as in PyTorch.

    The first `update_parameters` copies the weights; each further one moves them towards the model's. By default all
    of them count the same (stochastic weight averaging); `get_ema_multi_avg_fn` gives exponential moving averages. The
    names in its `state_dict` are the model's after `module.`, and `n_averaged`.

    Args:
        model: what is copied. The copy is not trained; it is for evaluation.
        avg_fn: maps an averaged tensor, the model's and `n_averaged` to the new averaged tensor.
        multi_avg_fn: changes a list of averaged tensors in place, given also the list of the model's, and `n_averaged`;
            the lists hold tensors of one element type.
        use_buffers: whether buffers, such as running statistics, are averaged, too; otherwise they are copied.

    Attributes:
        module: the copy.
        n_averaged: how often `update_parameters` has been called, a buffer.

    Raises:
        TypeError: `model` is no module.
        ValueError: both functions are given.

    Example:
        >>> import fastnn
        >>> from fastnn import nn
        >>> from fastnn.optim.swa_utils import AveragedModel, get_ema_multi_avg_fn
        >>> model = nn.Linear(1, 1, bias=False)
        >>> averaged = AveragedModel(model, multi_avg_fn=get_ema_multi_avg_fn(0.75))
        >>> for value in (0.0, 1.0, 1.0):
        ...     _ = nn.init.constant_(model.weight, value)  # a training step
        ...     averaged.update_parameters(model)
        >>> averaged.module.weight.tolist()
        [[0.4375]]
    """

    n_averaged: Tensor
    module: Module

    def __init__(
        self,
        model: Module,
        *,
        avg_fn: Average | None = None,
        multi_avg_fn: MultiAverage | None = None,
        use_buffers: bool = False,
    ) -> None:
        super().__init__()
        _expect_module("AveragedModel", model)
        if avg_fn is not None and multi_avg_fn is not None:
            raise ValueError("AveragedModel: avg_fn and multi_avg_fn are both given; expected at most one")
        self.module = deepcopy(model)
        # What NumPy has copied lies in small pages: 10 M weights took 10 ms to update there, and take 2 in our memory.
        for tensor in chain(self.module.parameters(), self.module.buffers()):
            copied, tensor.data = tensor.data, empty_like(tensor.data)
            np.copyto(tensor.data, copied)
        self.register_buffer("n_averaged", Tensor(np.array(0)))
        self.avg_fn = avg_fn
        self.multi_avg_fn = multi_avg_fn
        self.use_buffers = use_buffers

    def forward(self, *args: Any, **kwargs: Any) -> Any:
        """What the copy makes of the arguments."""
        return self.module(*args, **kwargs)

    @no_grad()
    def update_parameters(self, model: Module) -> None:
        """Takes the present weights of the model into the averages.

        Raises:
            TypeError: `model` is no module.
            ValueError: the model's weights have other shapes than the copy's.
        """
        _expect_module("update_parameters", model)
        buffers = self.use_buffers
        pairs = _pairs(
            chain(self.module.parameters(), self.module.buffers() if buffers else ()),
            chain(model.parameters(), model.buffers() if buffers else ()),
        )
        if int(self.n_averaged) == 0:
            for averaged, present in pairs:
                averaged.copy_(present)
        elif self.avg_fn is not None:
            for averaged, present in pairs:
                changed = self.avg_fn(averaged.detach(), present.detach(), self.n_averaged)
                averaged.copy_(changed.astype(averaged.dtype))
        else:
            average = self.multi_avg_fn or get_swa_multi_avg_fn()
            for dtype in dict.fromkeys(averaged.dtype for averaged, _ in pairs):
                chosen = [pair for pair in pairs if pair[0].dtype == dtype]
                average([averaged for averaged, _ in chosen], [present for _, present in chosen], self.n_averaged)
        if not buffers:
            for averaged, present in _pairs(self.module.buffers(), model.buffers()):
                averaged.copy_(present)
        self.n_averaged += 1


def _expect_module(name: str, model: object) -> None:
    if not isinstance(model, Module):
        raise TypeError(f"{name}: model is {type(model).__name__}; expected a Module")


def _pairs(averaged: Iterable[Tensor], present: Iterable[Tensor]) -> list[tuple[Tensor, Tensor]]:
    first, second = list(averaged), list(present)
    shapes, other_shapes = ([t.shape for t in tensors] for tensors in (first, second))
    if shapes != other_shapes:
        raise ValueError(f"update_parameters: the model has tensors {other_shapes}, the averaged one has {shapes}")
    return list(zip(first, second, strict=True))


# ---- averages ---------------------------------------------------------------------------------------------------


def get_ema_multi_avg_fn(decay: float = 0.999) -> MultiAverage:
    """For `AveragedModel`: exponential moving averages, decay * averaged + (1 - decay) * present; one fused call.

    Raises:
        ValueError: `decay` is not from 0 to 1.
    """
    _check_decay("get_ema_multi_avg_fn", decay)
    one = get_ema_avg_fn(decay)

    def update(averaged: list[Tensor], present: list[Tensor], n_averaged: Tensor) -> None:
        _move(averaged, present, 1 - decay, lambda a, p: one(a, p, n_averaged))

    return update


def get_swa_multi_avg_fn() -> MultiAverage:
    """For `AveragedModel`: the mean over all updates; one fused call."""
    one = get_swa_avg_fn()

    def update(averaged: list[Tensor], present: list[Tensor], n_averaged: Tensor) -> None:
        _move(averaged, present, 1 / (int(n_averaged) + 1), lambda a, p: one(a, p, n_averaged))

    return update


def get_ema_avg_fn(decay: float = 0.999) -> Average:
    """For `AveragedModel`: exponential moving averages, tensor by tensor.

    Raises:
        ValueError: `decay` is not from 0 to 1.
    """
    _check_decay("get_ema_avg_fn", decay)

    def update(averaged: Tensor, present: Tensor, n_averaged: Tensor) -> Tensor:
        return averaged * decay + present * (1 - decay)

    return update


def get_swa_avg_fn() -> Average:
    """For `AveragedModel`: the mean over all updates, tensor by tensor."""

    def update(averaged: Tensor, present: Tensor, n_averaged: Tensor) -> Tensor:
        return averaged + (present - averaged) / (int(n_averaged) + 1)

    return update


def _check_decay(name: str, decay: float) -> None:
    expect_numbers(name, decay=decay)
    if not 0 <= decay <= 1:
        raise ValueError(f"{name}: decay is {decay}; expected a number from 0 to 1")


def _move(
    averaged: list[Tensor], present: list[Tensor], weight: float, one: Callable[[Tensor, Tensor], Tensor]
) -> None:
    """Moves tensors of one element type the share `weight` of the way to others; `one` does it for integers."""
    if averaged[0].dtype.kind == "f":
        run_deferred()  # with the values that they were to see
        ops.lerp([t.data for t in averaged], [t.data for t in present], weight)
        for t in averaged:
            t._version += 1
    else:
        for a, p in zip(averaged, present, strict=True):
            a.copy_(one(a, p).astype(a.dtype))


# ---- what belongs to a run with stochastic weight averaging --------------------------------------------------------


def update_bn(loader: Iterable[Any], model: Module) -> None:
    """Computes the running statistics of all batch normalization layers anew, as means over the batches of a loader.

    An averaged model needs that where its buffers are not averaged: its activations are not those that the copied
    statistics are of (as in PyTorch).

    Args:
        loader: gives batches: inputs of the model, or tuples or lists that begin with them.
        model: run on them in training mode; its mode is restored.

    Raises:
        TypeError: `model` is no module.
    """
    _expect_module("update_bn", model)
    momenta = {module: module.momentum for module in model.modules() if isinstance(module, _BatchNorm)}
    if not momenta:
        return
    training = model.training
    model.train()
    try:
        for module in momenta:
            module.reset_running_stats()
            module.momentum = None  # the mean over all batches
        with no_grad():
            for batch in loader:
                model(as_tensor(batch[0] if isinstance(batch, (tuple, list)) else batch))
    finally:
        for module, momentum in momenta.items():
            module.momentum = momentum
        model.train(training)


class SWALR(LRScheduler):
    """From the present learning rate to `swa_lr`, at which it stays: for the part of a run that is averaged.

    Args:
        optimizer: whose learning rates are set.
        swa_lr: the learning rate in the end, or a list with one for each parameter group.
        anneal_epochs: epochs until then.
        anneal_strategy: `"cos"` for half a cosine or `"linear"`.
        last_epoch: the epoch to go on after; -1 starts anew.

    Raises:
        ValueError: there is no such strategy, `anneal_epochs` is no integer of at least 0, or `swa_lr` has another
            length than there are groups.

    Example:
        >>> import fastnn
        >>> from fastnn.optim import SGD
        >>> from fastnn.optim.swa_utils import SWALR
        >>> optimizer = SGD([fastnn.Parameter(fastnn.tensor([1.0]))], lr=1.0)
        >>> scheduler = SWALR(optimizer, swa_lr=0.5, anneal_epochs=2, anneal_strategy="linear")
        >>> for epoch in range(3):
        ...     scheduler.step()
        ...     print(scheduler.get_last_lr())
        [0.75]
        [0.5]
        [0.5]
    """

    def __init__(
        self,
        optimizer: Optimizer,
        swa_lr: float | list[float],
        anneal_epochs: int = 10,
        anneal_strategy: str = "cos",
        last_epoch: int = -1,
    ) -> None:
        check_optimizer(self, optimizer)
        if anneal_strategy not in ("cos", "linear"):
            raise ValueError(f"SWALR: anneal_strategy is {anneal_strategy!r}; expected 'cos' or 'linear'")
        if not isinstance(anneal_epochs, int) or anneal_epochs < 0:
            raise ValueError(f"SWALR: anneal_epochs is {anneal_epochs!r}; expected an integer of at least 0")
        swa_lrs = numbers_for_each_group(self, optimizer, swa_lr=swa_lr)
        for group, lr in zip(optimizer.param_groups, swa_lrs, strict=True):
            group["swa_lr"] = lr
        self._anneal_strategy = anneal_strategy
        self.anneal_epochs = anneal_epochs
        super().__init__(optimizer, last_epoch)

    def get_lr(self) -> list[float]:
        """The learning rate of each group; the one from which it started follows from the present one."""
        step = self._step_count - 1 if self.anneal_epochs else max(1, self._step_count - 1)
        before, now = self._share(step - 1), self._share(step)

        def next_lr(lr: float, swa_lr: float) -> float:
            start = swa_lr if before == 1 else (lr - before * swa_lr) / (1 - before)
            return swa_lr * now + start * (1 - now)

        return [next_lr(group["lr"], group["swa_lr"]) for group in self.optimizer.param_groups]

    def _share(self, step: int) -> float:
        """The share of the way to `swa_lr` that is behind after so many steps."""
        t = max(0, min(1, step / max(1, self.anneal_epochs)))
        return t if self._anneal_strategy == "linear" else (1 - math.cos(math.pi * t)) / 2
