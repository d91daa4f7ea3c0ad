"""What the schedules share."""

from __future__ import annotations

import types
from collections.abc import Callable, Mapping
from typing import Any

from ...tensor import expect_numbers
from ..optimizer import Optimizer


class LRScheduler:
    """Base class of the schedules: sets the learning rate of every parameter group, as in PyTorch.

    `step` is called after each epoch (or after each optimizer step, as the schedule is meant). A subclass computes the
    learning rates of epoch `last_epoch` in `get_lr`, most of them from the groups' present ones, so that other changes
    to these persist; those that can say it without the past do so in `_get_closed_form_lr`. The constructor makes the
    first step, to epoch 0 or `last_epoch` + 1, where `_is_initial` tells `get_lr` so.

    Args:
        optimizer: whose learning rates are set.
        last_epoch: the epoch to go on after; -1 starts anew, from the groups' learning rates.

    Attributes:
        last_epoch: how many times `step` has been called.
        base_lrs: the initial learning rate of each group.

    Raises:
        TypeError: `optimizer` is none.
        KeyError: with `last_epoch`, a group has no initial learning rate.
    """

    def __init__(self, optimizer: Optimizer, last_epoch: int = -1) -> None:
        check_optimizer(self, optimizer)
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
        self.last_epoch = last_epoch
        self._initial_step()

    def _initial_step(self) -> None:
        self._step_count = 0
        self._is_initial = True
        self.step()
        self._is_initial = False

    def get_lr(self) -> list[float]:
        """The learning rate of each group at `last_epoch`; for `step` to call."""
        raise NotImplementedError(f"{type(self).__name__} defines no get_lr()")

    def get_last_lr(self) -> list[float]:
        """The learning rates that the last call of `step` set."""
        return self._last_lr

    def step(self, epoch: int | None = None) -> None:
        """Goes on to the next epoch, or to `epoch`: where the schedule can, regardless of the present rates."""
        self._step_count += 1
        self._update_lr(epoch)

    def _update_lr(self, epoch: int | None = None) -> None:
        self.last_epoch = self.last_epoch + 1 if epoch is None else epoch
        compute = self.get_lr if epoch is None else getattr(self, "_get_closed_form_lr", self.get_lr)
        self._set_lr(compute())

    def _set_lr(self, lrs: list[float]) -> None:
        for group, lr in zip(self.optimizer.param_groups, lrs, strict=True):
            group["lr"] = lr
        self._last_lr = self._present_lr()

    def _present_lr(self) -> list[float]:
        return [group["lr"] for group in self.optimizer.param_groups]

    def state_dict(self) -> dict[str, Any]:
        """Everything but the optimizer, whose learning rates are part of its own state."""
        return {name: value for name, value in self.__dict__.items() if name != "optimizer"}

    def load_state_dict(self, state_dict: Mapping[str, Any]) -> None:
        """Takes over what `state_dict` returned, here or in PyTorch."""
        self.__dict__.update(state_dict)


def check_optimizer(scheduler: LRScheduler, optimizer: object) -> None:
    """Raises TypeError where `optimizer` is none."""
    if not isinstance(optimizer, Optimizer):
        raise TypeError(f"{type(scheduler).__name__}: optimizer is {type(optimizer).__name__}; expected an Optimizer")


def check_positive_integer(name: str, **arguments: Any) -> None:
    """Raises ValueError, naming the schedule and the argument, where one is not an integer of at least 1."""
    for argument, value in arguments.items():
        if not isinstance(value, int) or value < 1:
            raise ValueError(f"{name}: {argument} is {value!r}; expected an integer of at least 1")


def for_each_group(scheduler: LRScheduler, optimizer: Optimizer, **argument: Any) -> list[Any]:
    """The value of an argument for each parameter group: a list or tuple of them, or one for all."""
    ((name, value),) = argument.items()
    count = len(optimizer.param_groups)
    if not isinstance(value, (list, tuple)):
        return [value] * count
    if len(value) != count:
        raise ValueError(
            f"{type(scheduler).__name__}: {name} has {len(value)} values; the optimizer has {count} parameter groups"
        )
    return list(value)


def numbers_for_each_group(scheduler: LRScheduler, optimizer: Optimizer, **argument: Any) -> list[float]:
    """`for_each_group` of numbers."""
    values = for_each_group(scheduler, optimizer, **argument)
    for value in values:
        expect_numbers(type(scheduler).__name__, **dict.fromkeys(argument, value))
    return values


def saved_function(function: Callable[..., Any] | None) -> dict[str, Any] | None:
    """What a state keeps of a function that the user gave: the attributes of a callable object."""
    return None if function is None or isinstance(function, types.FunctionType) else dict(vars(function))
