"""Schedules that multiply the learning rate by a factor of the epoch."""

from __future__ import annotations

from bisect import bisect_right
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any, TypeAlias

from ...tensor import expect_numbers
from ..optimizer import Optimizer
from .base import LRScheduler, check_optimizer, check_positive_integer, for_each_group, saved_function

Factor: TypeAlias = Callable[[int], float]


class _Given(LRScheduler):
    """What LambdaLR and MultiplicativeLR share: a function for each group.

    A state keeps the attributes of callable objects, but no functions.
    """

    def __init__(self, optimizer: Optimizer, lr_lambda: Factor | Sequence[Factor], last_epoch: int = -1) -> None:
        check_optimizer(self, optimizer)
        self.lr_lambdas: list[Factor] = for_each_group(self, optimizer, lr_lambda=lr_lambda)
        for function in self.lr_lambdas:
            if not callable(function):
                raise TypeError(f"{type(self).__name__}: lr_lambda is {function!r}; expected a function of the epoch")
        super().__init__(optimizer, last_epoch)

    def state_dict(self) -> dict[str, Any]:
        """Everything but the optimizer and the functions."""
        return super().state_dict() | {"lr_lambdas": [saved_function(f) for f in self.lr_lambdas]}

    def load_state_dict(self, state_dict: Mapping[str, Any]) -> None:
        """Takes over what `state_dict` returned; functions stay as they are."""
        super().load_state_dict({name: value for name, value in state_dict.items() if name != "lr_lambdas"})
        for function, attributes in zip(self.lr_lambdas, state_dict["lr_lambdas"], strict=True):
            if attributes is not None:
                vars(function).update(attributes)


class LambdaLR(_Given):
    """The initial learning rate times a function of the epoch.

    Args:
        optimizer: whose learning rates are set.
        lr_lambda: maps the epoch to a factor; or a list of such functions, one for each parameter group.
        last_epoch: the epoch to go on after; -1 starts anew.

    Raises:
        TypeError: `lr_lambda` is no function.
        ValueError: there are more or fewer functions than groups.

    Example:
        >>> import fastnn
        >>> from fastnn.optim import SGD, lr_scheduler
        >>> optimizer = SGD([fastnn.Parameter(fastnn.tensor([1.0]))], lr=1.0)
        >>> scheduler = lr_scheduler.LambdaLR(optimizer, lambda epoch: 1 / (1 + epoch))
        >>> scheduler.step()
        >>> scheduler.get_last_lr()
        [0.5]
    """

    def get_lr(self) -> list[float]:
        """The learning rate of each group at `last_epoch`."""
        return [lr * function(self.last_epoch) for lr, function in zip(self.base_lrs, self.lr_lambdas, strict=True)]


class MultiplicativeLR(_Given):
    """The learning rate of the epoch before times a function of the epoch.

    Arguments and errors are those of `LambdaLR`. Epoch 0 has the initial learning rate.

    Example:
        >>> import fastnn
        >>> from fastnn.optim import SGD, lr_scheduler
        >>> optimizer = SGD([fastnn.Parameter(fastnn.tensor([1.0]))], lr=1.0)
        >>> scheduler = lr_scheduler.MultiplicativeLR(optimizer, lambda epoch: 0.5)
        >>> scheduler.step()
        >>> scheduler.step()
        >>> scheduler.get_last_lr()
        [0.25]
    """

    def get_lr(self) -> list[float]:
        """The learning rate of each group at `last_epoch`."""
        if self._is_initial:
            return self._present_lr()
        return [
            lr * function(self.last_epoch) for lr, function in zip(self._present_lr(), self.lr_lambdas, strict=True)
        ]


class StepLR(LRScheduler):
    """Multiplies the learning rate by `gamma` every `step_size` epochs.

    Args:
        optimizer: whose learning rates are set.
        step_size: epochs between two changes.
        gamma: the factor.
        last_epoch: the epoch to go on after; -1 starts anew.

    Raises:
        ValueError: `step_size` is below 1.

    Example:
        >>> import fastnn
        >>> from fastnn.optim import SGD, lr_scheduler
        >>> optimizer = SGD([fastnn.Parameter(fastnn.tensor([1.0]))], lr=1.0)
        >>> scheduler = lr_scheduler.StepLR(optimizer, step_size=2, gamma=0.5)
        >>> for epoch in range(4):
        ...     scheduler.step()
        ...     print(scheduler.get_last_lr())
        [1.0]
        [0.5]
        [0.5]
        [0.25]
    """

    def __init__(self, optimizer: Optimizer, step_size: int, gamma: float = 0.1, last_epoch: int = -1) -> None:
        check_positive_integer("StepLR", step_size=step_size)
        expect_numbers("StepLR", gamma=gamma)
        self.step_size = step_size
        self.gamma = gamma
        super().__init__(optimizer, last_epoch)

    def get_lr(self) -> list[float]:
        """The learning rate of each group at `last_epoch`."""
        if self.last_epoch == 0 or self.last_epoch % self.step_size:
            return self._present_lr()
        return [lr * self.gamma for lr in self._present_lr()]

    def _get_closed_form_lr(self) -> list[float]:
        return [lr * self.gamma ** (self.last_epoch // self.step_size) for lr in self.base_lrs]


class MultiStepLR(LRScheduler):
    """Multiplies the learning rate by `gamma` at each of the given epochs.

    Args:
        optimizer: whose learning rates are set.
        milestones: the epochs; one that occurs twice counts twice.
        gamma: the factor.
        last_epoch: the epoch to go on after; -1 starts anew.

    Example:
        >>> import fastnn
        >>> from fastnn.optim import SGD, lr_scheduler
        >>> optimizer = SGD([fastnn.Parameter(fastnn.tensor([1.0]))], lr=1.0)
        >>> scheduler = lr_scheduler.MultiStepLR(optimizer, milestones=[1, 3], gamma=0.5)
        >>> for epoch in range(3):
        ...     scheduler.step()
        ...     print(scheduler.get_last_lr())
        [0.5]
        [0.5]
        [0.25]
    """

    def __init__(
        self, optimizer: Optimizer, milestones: Iterable[int], gamma: float = 0.1, last_epoch: int = -1
    ) -> None:
        expect_numbers("MultiStepLR", gamma=gamma)
        if isinstance(milestones, str) or not isinstance(milestones, Iterable):
            raise TypeError(f"MultiStepLR: milestones is {milestones!r}; expected epochs")
        self.milestones = Counter(milestones)
        for i, milestone in enumerate(self.milestones):
            expect_numbers("MultiStepLR", **{f"milestones[{i}]": milestone})
        self.gamma = gamma
        super().__init__(optimizer, last_epoch)

    def get_lr(self) -> list[float]:
        """The learning rate of each group at `last_epoch`."""
        if self.last_epoch not in self.milestones:
            return self._present_lr()
        return [lr * self.gamma ** self.milestones[self.last_epoch] for lr in self._present_lr()]

    def _get_closed_form_lr(self) -> list[float]:
        passed = bisect_right(sorted(self.milestones.elements()), self.last_epoch)
        return [lr * self.gamma**passed for lr in self.base_lrs]

    def load_state_dict(self, state_dict: Mapping[str, Any]) -> None:
        """Takes over what `state_dict` returned, here or in PyTorch."""
        super().load_state_dict(state_dict)
        # JSON makes strings of the keys.
        self.milestones = Counter({int(epoch): times for epoch, times in state_dict["milestones"].items()})


class ConstantLR(LRScheduler):
    """The initial learning rate times `factor` for the first `total_iters` epochs, and unchanged from then on.

    Args:
        optimizer: whose learning rates are set.
        factor: from 0 to 1.
        total_iters: how many epochs it counts.
        last_epoch: the epoch to go on after; -1 starts anew.

    Raises:
        ValueError: `factor` is not between 0 and 1.

    Example:
        >>> import fastnn
        >>> from fastnn.optim import SGD, lr_scheduler
        >>> optimizer = SGD([fastnn.Parameter(fastnn.tensor([1.0]))], lr=1.0)
        >>> scheduler = lr_scheduler.ConstantLR(optimizer, factor=0.25, total_iters=2)
        >>> for epoch in range(3):
        ...     print(scheduler.get_last_lr())
        ...     scheduler.step()
        [0.25]
        [0.25]
        [1.0]
    """

    def __init__(
        self, optimizer: Optimizer, factor: float = 1.0 / 3, total_iters: int = 5, last_epoch: int = -1
    ) -> None:
        expect_numbers("ConstantLR", factor=factor, total_iters=total_iters)
        if not 0 <= factor <= 1:
            raise ValueError(f"ConstantLR: factor is {factor}; expected a number from 0 to 1")
        self.factor = factor
        self.total_iters = total_iters
        super().__init__(optimizer, last_epoch)

    def get_lr(self) -> list[float]:
        """The learning rate of each group at `last_epoch`."""
        if self.last_epoch == 0:
            return [lr * self.factor for lr in self._present_lr()]
        if self.last_epoch != self.total_iters:
            return self._present_lr()
        return [lr * (1 / self.factor) for lr in self._present_lr()] if self.factor else list(self.base_lrs)

    def _get_closed_form_lr(self) -> list[float]:
        return [lr * (1 if self.last_epoch >= self.total_iters else self.factor) for lr in self.base_lrs]


class LinearLR(LRScheduler):
    """The initial learning rate times a factor that changes linearly over the first `total_iters` epochs: a warm-up.

    Args:
        optimizer: whose learning rates are set.
        start_factor: the factor of epoch 0, above 0 and at most 1.
        end_factor: the factor from epoch `total_iters` on, from 0 to 1.
        total_iters: how many epochs it takes.
        last_epoch: the epoch to go on after; -1 starts anew.

    Raises:
        ValueError: a factor is out of range.

    Example:
        >>> import fastnn
        >>> from fastnn.optim import SGD, lr_scheduler
        >>> optimizer = SGD([fastnn.Parameter(fastnn.tensor([1.0]))], lr=1.0)
        >>> scheduler = lr_scheduler.LinearLR(optimizer, start_factor=0.5, total_iters=2)
        >>> for epoch in range(4):
        ...     print(scheduler.get_last_lr())
        ...     scheduler.step()
        [0.5]
        [0.75]
        [1.0]
        [1.0]
    """

    def __init__(
        self,
        optimizer: Optimizer,
        start_factor: float = 1.0 / 3,
        end_factor: float = 1.0,
        total_iters: int = 5,
        last_epoch: int = -1,
    ) -> None:
        expect_numbers("LinearLR", start_factor=start_factor, end_factor=end_factor, total_iters=total_iters)
        if not 0 < start_factor <= 1:
            raise ValueError(f"LinearLR: start_factor is {start_factor}; expected a number above 0 and at most 1")
        if not 0 <= end_factor <= 1:
            raise ValueError(f"LinearLR: end_factor is {end_factor}; expected a number from 0 to 1")
        self.start_factor = start_factor
        self.end_factor = end_factor
        self.total_iters = total_iters
        super().__init__(optimizer, last_epoch)

    def get_lr(self) -> list[float]:
        """The learning rate of each group at `last_epoch`."""
        if self.last_epoch == 0:
            return [lr * self.start_factor for lr in self._present_lr()]
        if self._is_initial or self.last_epoch > self.total_iters:
            return self._present_lr()
        rise = self.end_factor - self.start_factor
        before = self.total_iters * self.start_factor + (self.last_epoch - 1) * rise
        factor = max(0.0, 1.0 + rise / before)  # which rounding may have left below an end_factor of 0
        return [lr * factor for lr in self._present_lr()]

    def _get_closed_form_lr(self) -> list[float]:
        rise = self.end_factor - self.start_factor
        done = min(self.total_iters, self.last_epoch)
        return [lr * (self.start_factor + (rise * done / self.total_iters if done else 0)) for lr in self.base_lrs]


class ExponentialLR(LRScheduler):
    """Multiplies the learning rate by `gamma` every epoch.

    Args:
        optimizer: whose learning rates are set.
        gamma: the factor.
        last_epoch: the epoch to go on after; -1 starts anew.

    Example:
        >>> import fastnn
        >>> from fastnn.optim import SGD, lr_scheduler
        >>> optimizer = SGD([fastnn.Parameter(fastnn.tensor([1.0]))], lr=1.0)
        >>> scheduler = lr_scheduler.ExponentialLR(optimizer, gamma=0.5)
        >>> scheduler.step()
        >>> scheduler.step()
        >>> scheduler.get_last_lr()
        [0.25]
    """

    def __init__(self, optimizer: Optimizer, gamma: float, last_epoch: int = -1) -> None:
        expect_numbers("ExponentialLR", gamma=gamma)
        self.gamma = gamma
        super().__init__(optimizer, last_epoch)

    def get_lr(self) -> list[float]:
        """The learning rate of each group at `last_epoch`."""
        return self._present_lr() if self._is_initial else [lr * self.gamma for lr in self._present_lr()]

    def _get_closed_form_lr(self) -> list[float]:
        return [lr * self.gamma**self.last_epoch for lr in self.base_lrs]


class PolynomialLR(LRScheduler):
    """The initial learning rate times (1 - epoch / total_iters)^power, down to 0 in epoch `total_iters`.

    Args:
        optimizer: whose learning rates are set.
        total_iters: epochs down to 0.
        power: 1 falls linearly.
        last_epoch: the epoch to go on after; -1 starts anew.

    Example:
        >>> import fastnn
        >>> from fastnn.optim import SGD, lr_scheduler
        >>> optimizer = SGD([fastnn.Parameter(fastnn.tensor([1.0]))], lr=1.0)
        >>> scheduler = lr_scheduler.PolynomialLR(optimizer, total_iters=4, power=2)
        >>> for epoch in range(4):
        ...     scheduler.step()
        ...     print(scheduler.get_last_lr())
        [0.5625]
        [0.25]
        [0.0625]
        [0.0]
    """

    def __init__(self, optimizer: Optimizer, total_iters: int = 5, power: float = 1.0, last_epoch: int = -1) -> None:
        expect_numbers("PolynomialLR", total_iters=total_iters, power=power)
        self.total_iters = total_iters
        self.power = power
        super().__init__(optimizer, last_epoch)

    def get_lr(self) -> list[float]:
        """The learning rate of each group at `last_epoch`."""
        if self._is_initial or self.last_epoch > self.total_iters:
            return self._present_lr()
        left, left_before = (1.0 - epoch / self.total_iters for epoch in (self.last_epoch, self.last_epoch - 1))
        return [lr * (left / left_before) ** self.power for lr in self._present_lr()]

    def _get_closed_form_lr(self) -> list[float]:
        done = min(self.total_iters, self.last_epoch)
        return [lr * (1.0 - (done / self.total_iters if done else 0)) ** self.power for lr in self.base_lrs]
