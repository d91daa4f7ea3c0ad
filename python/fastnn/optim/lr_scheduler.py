"""Learning-rate schedules."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

from .optimizer import Optimizer


class LRScheduler:
    """Base class of the schedules: sets the learning rate of every parameter group, as in PyTorch.

    `step` is called after each epoch (or after each optimizer step, as the schedule is meant). A subclass computes the
    learning rates of epoch `last_epoch` in `get_lr`, for `last_epoch` >= 1, from the groups' present ones.

    Attributes:
        last_epoch: how many times `step` has been called.
        base_lrs: the initial learning rate of each group.
    """

    def __init__(self, optimizer: Optimizer, last_epoch: int = -1) -> None:
        if not isinstance(optimizer, Optimizer):
            raise TypeError(f"{type(self).__name__}: optimizer is {type(optimizer).__name__}; expected an Optimizer")
        for i, group in enumerate(optimizer.param_groups):
            if last_epoch == -1:
                group.setdefault("initial_lr", group["lr"])
            elif "initial_lr" not in group:
                raise KeyError(
                    f"{type(self).__name__}: parameter group {i} has no 'initial_lr', which a schedule that starts at "
                    f"last_epoch {last_epoch} needs; load the optimizer's state first"
                )
        self.optimizer = optimizer
        self.base_lrs: list[float] = [group["initial_lr"] for group in optimizer.param_groups]
        self.last_epoch = last_epoch + 1
        self._last_lr: list[float] = [group["lr"] for group in optimizer.param_groups]

    def get_lr(self) -> list[float]:
        """The learning rate of each group at `last_epoch`."""
        raise NotImplementedError(f"{type(self).__name__} defines no get_lr()")

    def get_last_lr(self) -> list[float]:
        """The learning rates that the last call of `step` set."""
        return self._last_lr

    def step(self) -> None:
        """Goes on to the next epoch."""
        self.last_epoch += 1
        self._last_lr = self.get_lr()
        for group, lr in zip(self.optimizer.param_groups, self._last_lr, strict=True):
            group["lr"] = lr

    def state_dict(self) -> dict[str, Any]:
        """Everything but the optimizer."""
        return {name: value for name, value in self.__dict__.items() if name != "optimizer"}

    def load_state_dict(self, state_dict: Mapping[str, Any]) -> None:
        """Takes over what `state_dict` returned; the groups' learning rates are part of the optimizer's state."""
        self.__dict__.update(state_dict)


class CosineAnnealingLR(LRScheduler):
    """From the initial learning rate down to `eta_min` along half a cosine, and up again after `T_max` epochs.

    eta_min + (base_lr - eta_min) * (1 + cos(pi * epoch / T_max)) / 2, computed from the present learning rate as in
    PyTorch, so that other changes to it persist (Loshchilov and Hutter: SGDR, 2017, without restarts).

    Args:
        optimizer: whose learning rates are set.
        T_max: the number of epochs down to `eta_min`.
        eta_min: the smallest learning rate.
        last_epoch: the epoch to go on from; -1 starts anew.

    Raises:
        ValueError: `T_max` is below 1.

    Example:
        >>> import fastnn
        >>> from fastnn.optim import SGD, lr_scheduler
        >>> optimizer = SGD([fastnn.Parameter(fastnn.tensor([1.0]))], lr=0.1)
        >>> scheduler = lr_scheduler.CosineAnnealingLR(optimizer, T_max=2)
        >>> for epoch in range(2):
        ...     scheduler.step()
        ...     print(round(scheduler.get_last_lr()[0], 3))
        0.05
        0.0
    """

    def __init__(self, optimizer: Optimizer, T_max: int, eta_min: float = 0.0, last_epoch: int = -1) -> None:
        if T_max < 1:
            raise ValueError(f"CosineAnnealingLR: T_max is {T_max}; expected at least 1")
        self.T_max = T_max
        self.eta_min = eta_min
        super().__init__(optimizer, last_epoch)

    def get_lr(self) -> list[float]:
        """The learning rate of each group at `last_epoch`."""
        groups, t = self.optimizer.param_groups, self.last_epoch
        if (t - 1 - self.T_max) % (2 * self.T_max) == 0:  # up from the lowest point, where the ratio below is 0 / 0
            rise = (1 - math.cos(math.pi / self.T_max)) / 2
            pairs = zip(self.base_lrs, groups, strict=True)
            return [group["lr"] + (base_lr - self.eta_min) * rise for base_lr, group in pairs]
        ratio = (1 + math.cos(math.pi * t / self.T_max)) / (1 + math.cos(math.pi * (t - 1) / self.T_max))
        return [ratio * (group["lr"] - self.eta_min) + self.eta_min for group in groups]
