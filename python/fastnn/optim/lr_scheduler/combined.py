"""Schedules made of schedules."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Mapping, Sequence
from typing import Any

from ..optimizer import Optimizer
from .base import LRScheduler
from .plateau import ReduceLROnPlateau


class _Combined(LRScheduler):
    """What SequentialLR and ChainedScheduler share: a list of schedules, and a state that holds theirs."""

    _schedulers: list[LRScheduler]

    def _check(self, schedulers: Sequence[LRScheduler], optimizer: Optimizer | None) -> Optimizer:
        name = type(self).__name__
        if not schedulers:
            raise ValueError(f"{name}: schedulers is empty; expected at least one")
        for i, scheduler in enumerate(schedulers):
            if not isinstance(scheduler, LRScheduler):
                raise TypeError(f"{name}: schedulers[{i}] is {type(scheduler).__name__}; expected a schedule")
            if isinstance(scheduler, ReduceLROnPlateau):
                raise ValueError(f"{name}: schedulers[{i}] is ReduceLROnPlateau, whose step() needs a measure")
            optimizer = optimizer or scheduler.optimizer
            if scheduler.optimizer is not optimizer:
                raise ValueError(f"{name}: schedulers[{i}], a {type(scheduler).__name__}, belongs to another optimizer")
        assert optimizer is not None
        return optimizer

    def state_dict(self) -> dict[str, Any]:
        """Everything but the optimizer."""
        return super().state_dict() | {"_schedulers": [scheduler.state_dict() for scheduler in self._schedulers]}

    def load_state_dict(self, state_dict: Mapping[str, Any]) -> None:
        """Takes over what `state_dict` returned, here or in PyTorch."""
        super().load_state_dict({name: value for name, value in state_dict.items() if name != "_schedulers"})
        for scheduler, state in zip(self._schedulers, state_dict["_schedulers"], strict=True):
            scheduler.load_state_dict(state)


class SequentialLR(_Combined):
    """Schedules one after another: a warm-up and what comes after it.

    Each of them starts with its epoch 0.

    Args:
        optimizer: whose learning rates are set.
        schedulers: the schedules.
        milestones: the epoch with which each but the first of them starts.
        last_epoch: the epoch to go on after; -1 starts anew.

    Raises:
        TypeError: one of them is no schedule.
        ValueError: there are none, or one belongs to another optimizer or is a `ReduceLROnPlateau`, or the numbers of
            schedules and milestones do not fit.

    Example:
        >>> import fastnn
        >>> from fastnn.optim import SGD, lr_scheduler
        >>> optimizer = SGD([fastnn.Parameter(fastnn.tensor([1.0]))], lr=1.0)
        >>> warm_up = lr_scheduler.LinearLR(optimizer, start_factor=0.5, total_iters=2)
        >>> then = lr_scheduler.ExponentialLR(optimizer, gamma=0.5)
        >>> scheduler = lr_scheduler.SequentialLR(optimizer, [warm_up, then], milestones=[2])
        >>> for epoch in range(4):
        ...     print(scheduler.get_last_lr())
        ...     scheduler.step()
        [0.5]
        [0.75]
        [1.0]
        [0.5]
    """

    def __init__(
        self, optimizer: Optimizer, schedulers: list[LRScheduler], milestones: list[int], last_epoch: int = -1
    ) -> None:
        self._check(schedulers, optimizer)
        if len(milestones) != len(schedulers) - 1:
            raise ValueError(
                f"SequentialLR: there are {len(schedulers)} schedulers and {len(milestones)} milestones; expected one "
                "milestone fewer than schedulers"
            )
        self._schedulers = schedulers
        self._milestones = milestones
        self.last_epoch = last_epoch + 1
        self.optimizer = optimizer
        # All of them have made their first step; only the first one is to.
        for group in optimizer.param_groups:
            group["lr"] = group["initial_lr"]
        _undo_first_steps(self)
        first = schedulers[bisect_right(milestones, 0)]
        first._initial_step()
        self._last_lr = first.get_last_lr()

    def step(self) -> None:  # type: ignore[override]
        """Goes on to the next epoch."""
        self.last_epoch += 1
        i = bisect_right(self._milestones, self.last_epoch)
        scheduler = self._schedulers[i]
        if i > 0 and self._milestones[i - 1] == self.last_epoch:
            scheduler._update_lr(0)
        else:
            scheduler.step()
        self._last_lr = scheduler.get_last_lr()


class ChainedScheduler(_Combined):
    """Schedules that all change the learning rate in every epoch, one after another.

    Args:
        schedulers: the schedules.
        optimizer: theirs; may be left out.

    Raises:
        TypeError: one of them is no schedule.
        ValueError: there are none, or one belongs to another optimizer or is a `ReduceLROnPlateau`.

    Example:
        >>> import fastnn
        >>> from fastnn.optim import SGD, lr_scheduler
        >>> optimizer = SGD([fastnn.Parameter(fastnn.tensor([1.0]))], lr=1.0)
        >>> halved = lr_scheduler.ConstantLR(optimizer, factor=0.5, total_iters=2)
        >>> falling = lr_scheduler.ExponentialLR(optimizer, gamma=0.5)
        >>> scheduler = lr_scheduler.ChainedScheduler([halved, falling])
        >>> for epoch in range(3):
        ...     print(scheduler.get_last_lr())
        ...     scheduler.step()
        [0.5]
        [0.25]
        [0.25]
    """

    def __init__(self, schedulers: Sequence[LRScheduler], optimizer: Optimizer | None = None) -> None:
        self.optimizer = self._check(schedulers, optimizer)
        self._schedulers = list(schedulers)
        self._last_lr = self._present_lr()

    def step(self) -> None:  # type: ignore[override]
        """Goes on to the next epoch."""
        for scheduler in self._schedulers:
            scheduler.step()
        self._last_lr = self._present_lr()


def _undo_first_steps(scheduler: LRScheduler) -> None:
    if isinstance(scheduler, _Combined):
        for inner in scheduler._schedulers:
            _undo_first_steps(inner)
    else:
        scheduler.last_epoch -= 1
