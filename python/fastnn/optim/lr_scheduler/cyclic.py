"""Schedules that raise the learning rate and lower it again, and the momentum the other way."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from ...tensor import expect_numbers
from ..optimizer import Group, Optimizer
from .base import LRScheduler, check_optimizer, check_positive_integer, numbers_for_each_group, saved_function


class _WithMomentum(LRScheduler):
    """What CyclicLR and OneCycleLR share: the momentum of the groups, which is the first of betas where there are any.

    `base_momentum` is the lowest one, `max_momentum` the highest, which comes first.
    """

    use_beta1: bool

    def _start_momentum(
        self, optimizer: Optimizer, base_momentum: Any, max_momentum: Any, last_epoch: int
    ) -> tuple[list[float], list[float]]:
        name = type(self).__name__
        if "momentum" not in optimizer.defaults and "betas" not in optimizer.defaults:
            raise ValueError(f"{name}: {type(optimizer).__name__} has no momentum; expected cycle_momentum=False")
        self.use_beta1 = "betas" in optimizer.defaults
        lowest = numbers_for_each_group(self, optimizer, base_momentum=base_momentum)
        highest = numbers_for_each_group(self, optimizer, max_momentum=max_momentum)
        if last_epoch == -1:
            for group, low, high in zip(optimizer.param_groups, lowest, highest, strict=True):
                self._set_momentum(group, high)
                group["max_momentum"], group["base_momentum"] = high, low
        return lowest, highest

    def _set_momentum(self, group: Group, momentum: float) -> None:
        if self.use_beta1:
            group["betas"] = (momentum, *group["betas"][1:])
        else:
            group["momentum"] = momentum


class CyclicLR(_WithMomentum):
    """Up linearly from `base_lr` to `max_lr` and down again, in cycles; the momentum goes the other way.

    `step` is to be called after each batch (Smith: Cyclical learning rates for training neural networks, WACV 2017).

    Args:
        optimizer: whose learning rates are set.
        base_lr: the lowest learning rate, or a list with one for each parameter group.
        max_lr: the highest learning rate of the first cycle, or a list.
        step_size_up: steps on the way up.
        step_size_down: steps on the way down; as many as up where None.
        mode: `"triangular"`; `"triangular2"` halves the height from cycle to cycle; `"exp_range"` multiplies it by
            `gamma` in each step.
        gamma: see `mode`.
        scale_fn: a function for the height in place of `mode`.
        scale_mode: what `scale_fn` is a function of: the number of the `"cycle"`, from 1, or of the step,
            `"iterations"`.
        cycle_momentum: whether the momentum changes.
        base_momentum: the lowest momentum, or a list.
        max_momentum: the highest momentum, or a list.
        last_epoch: the step to go on after; -1 starts anew.

    Raises:
        ValueError: there is no such mode; the optimizer has no momentum; or a list has another length than there are
            groups.

    Example:
        >>> import fastnn
        >>> from fastnn.optim import SGD, lr_scheduler
        >>> optimizer = SGD([fastnn.Parameter(fastnn.tensor([1.0]))], momentum=0.9)
        >>> scheduler = lr_scheduler.CyclicLR(optimizer, base_lr=1.0, max_lr=3.0, step_size_up=2)
        >>> for step in range(5):
        ...     print(scheduler.get_last_lr())
        ...     scheduler.step()
        [1.0]
        [2.0]
        [3.0]
        [2.0]
        [1.0]
    """

    def __init__(
        self,
        optimizer: Optimizer,
        base_lr: float | Sequence[float],
        max_lr: float | Sequence[float],
        step_size_up: int = 2000,
        step_size_down: int | None = None,
        mode: str = "triangular",
        gamma: float = 1.0,
        scale_fn: Callable[[float], float] | None = None,
        scale_mode: str = "cycle",
        cycle_momentum: bool = True,
        base_momentum: float | Sequence[float] = 0.8,
        max_momentum: float | Sequence[float] = 0.9,
        last_epoch: int = -1,
    ) -> None:
        check_optimizer(self, optimizer)
        base_lrs = numbers_for_each_group(self, optimizer, base_lr=base_lr)
        self.max_lrs = numbers_for_each_group(self, optimizer, max_lr=max_lr)
        expect_numbers("CyclicLR", step_size_up=step_size_up, gamma=gamma)
        if step_size_down is not None:
            expect_numbers("CyclicLR", step_size_down=step_size_down)
        if step_size_up <= 0 or (step_size_down is not None and step_size_down < 0):
            raise ValueError(
                f"CyclicLR: step_size_up is {step_size_up}, step_size_down {step_size_down}; expected steps"
            )
        self.total_size = float(step_size_up + (step_size_up if step_size_down is None else step_size_down))
        self.step_ratio = step_size_up / self.total_size
        if scale_fn is None:
            if mode not in ("triangular", "triangular2", "exp_range"):
                raise ValueError(
                    f"CyclicLR: mode is {mode!r}; expected 'triangular', 'triangular2', 'exp_range' or a scale_fn"
                )
            scale_mode = "iterations" if mode == "exp_range" else "cycle"
        elif not callable(scale_fn):
            raise TypeError(f"CyclicLR: scale_fn is {scale_fn!r}; expected a function")
        if scale_mode not in ("cycle", "iterations"):
            raise ValueError(f"CyclicLR: scale_mode is {scale_mode!r}; expected 'cycle' or 'iterations'")
        self.mode = mode
        self.gamma = gamma
        self._scale_fn_custom = scale_fn
        self.scale_mode = scale_mode
        self.cycle_momentum = cycle_momentum
        if cycle_momentum:
            self.base_momentums, self.max_momentums = self._start_momentum(
                optimizer, base_momentum, max_momentum, last_epoch
            )
        if last_epoch == -1:
            for group, lr in zip(optimizer.param_groups, base_lrs, strict=True):
                group["lr"] = lr
        super().__init__(optimizer, last_epoch)
        self.base_lrs = base_lrs

    def scale_fn(self, x: float) -> float:
        """The factor of the height in cycle or step number `x`."""
        if self._scale_fn_custom is not None:
            return self._scale_fn_custom(x)
        if self.mode == "triangular2":
            return float(1 / 2.0 ** (x - 1))
        return float(self.gamma**x) if self.mode == "exp_range" else 1.0

    def get_lr(self) -> list[float]:
        """The learning rate of each group at `last_epoch`; sets the momentum, too."""
        cycle = math.floor(1 + self.last_epoch / self.total_size)
        x = 1.0 + self.last_epoch / self.total_size - cycle
        height = x / self.step_ratio if x <= self.step_ratio else (x - 1) / (self.step_ratio - 1)
        scale = self.scale_fn(cycle if self.scale_mode == "cycle" else self.last_epoch)
        if self.cycle_momentum:
            bounds = zip(self.optimizer.param_groups, self.base_momentums, self.max_momentums, strict=True)
            for group, low, high in bounds:
                self._set_momentum(group, high - (high - low) * height * scale)
        return [low + (high - low) * height * scale for low, high in zip(self.base_lrs, self.max_lrs, strict=True)]

    def state_dict(self) -> dict[str, Any]:
        """Everything but the optimizer and functions."""
        return super().state_dict() | {"_scale_fn_custom": saved_function(self._scale_fn_custom)}

    def load_state_dict(self, state_dict: Mapping[str, Any]) -> None:
        """Takes over what `state_dict` returned, here or in PyTorch; a function stays as it is."""
        attributes = state_dict["_scale_fn_custom"]
        super().load_state_dict({name: value for name, value in state_dict.items() if name != "_scale_fn_custom"})
        if attributes is not None:
            vars(self._scale_fn_custom).update(attributes)


class OneCycleLR(_WithMomentum):
    """Up to `max_lr` and far down, once in the whole run; the momentum goes down and up.

    `step` is to be called after each batch (Smith, Topin: Super-convergence: Very fast training of neural networks
    using large learning rates, 2018).

    Args:
        optimizer: whose learning rates are set.
        max_lr: the highest learning rate, or a list with one for each parameter group.
        total_steps: the steps of the run; `epochs * steps_per_epoch` where None.
        epochs: see `total_steps`.
        steps_per_epoch: see `total_steps`.
        pct_start: the share of the steps on the way up.
        anneal_strategy: `"cos"` for half cosines or `"linear"`.
        cycle_momentum: whether the momentum changes.
        base_momentum: the momentum at `max_lr`, or a list.
        max_momentum: the momentum at the start and at the end, or a list.
        div_factor: the initial learning rate is `max_lr / div_factor`.
        final_div_factor: the last one is the initial one divided by this.
        three_phase: whether the way down first leads to the initial learning rate, in as many steps as the way up.
        last_epoch: the step to go on after; -1 starts anew.

    Raises:
        ValueError: an argument is out of range, or none says how many steps there are; the optimizer has no momentum;
            or a list has another length than there are groups. By `step`: there are more than `total_steps`.

    Example:
        >>> import fastnn
        >>> from fastnn.optim import SGD, lr_scheduler
        >>> optimizer = SGD([fastnn.Parameter(fastnn.tensor([1.0]))], momentum=0.9)
        >>> scheduler = lr_scheduler.OneCycleLR(optimizer, max_lr=1.0, total_steps=5, pct_start=0.6)
        >>> for step in range(5):
        ...     print(round(scheduler.get_last_lr()[0], 2), round(optimizer.param_groups[0]["momentum"], 2))
        ...     scheduler.step()
        0.04 0.95
        0.52 0.9
        1.0 0.85
        0.5 0.9
        0.0 0.95
    """

    def __init__(
        self,
        optimizer: Optimizer,
        max_lr: float | Sequence[float],
        total_steps: int | None = None,
        epochs: int | None = None,
        steps_per_epoch: int | None = None,
        pct_start: float = 0.3,
        anneal_strategy: str = "cos",
        cycle_momentum: bool = True,
        base_momentum: float | Sequence[float] = 0.85,
        max_momentum: float | Sequence[float] = 0.95,
        div_factor: float = 25.0,
        final_div_factor: float = 1e4,
        three_phase: bool = False,
        last_epoch: int = -1,
    ) -> None:
        check_optimizer(self, optimizer)
        if total_steps is None:
            if epochs is None or steps_per_epoch is None:
                raise ValueError("OneCycleLR: expected total_steps, or epochs and steps_per_epoch")
            check_positive_integer("OneCycleLR", epochs=epochs, steps_per_epoch=steps_per_epoch)
            total_steps = epochs * steps_per_epoch
        check_positive_integer("OneCycleLR", total_steps=total_steps)
        expect_numbers("OneCycleLR", pct_start=pct_start, div_factor=div_factor, final_div_factor=final_div_factor)
        if div_factor == 0 or final_div_factor == 0:
            raise ValueError(
                f"OneCycleLR: div_factor is {div_factor}, final_div_factor {final_div_factor}; neither may be 0"
            )
        if not 0 <= pct_start <= 1:
            raise ValueError(f"OneCycleLR: pct_start is {pct_start}; expected a number from 0 to 1")
        if anneal_strategy not in ("cos", "linear"):
            raise ValueError(f"OneCycleLR: anneal_strategy is {anneal_strategy!r}; expected 'cos' or 'linear'")
        self.total_steps = total_steps
        self._anneal_func_type = anneal_strategy
        up = _phase(pct_start * total_steps - 1, "initial_lr", "max_lr", "max_momentum", "base_momentum")
        self._schedule_phases = [
            up,
            _phase(2 * pct_start * total_steps - 2, "max_lr", "initial_lr", "base_momentum", "max_momentum"),
            _phase(total_steps - 1, "initial_lr", "min_lr", "max_momentum", "max_momentum"),
        ]
        if not three_phase:
            self._schedule_phases = [
                up,
                _phase(total_steps - 1, "max_lr", "min_lr", "base_momentum", "max_momentum"),
            ]
        max_lrs = numbers_for_each_group(self, optimizer, max_lr=max_lr)
        self.cycle_momentum = cycle_momentum
        if cycle_momentum:
            self._start_momentum(optimizer, base_momentum, max_momentum, last_epoch)
        if last_epoch == -1:
            for group, lr in zip(optimizer.param_groups, max_lrs, strict=True):
                group["initial_lr"] = lr / div_factor
                group["max_lr"] = lr
                group["min_lr"] = group["initial_lr"] / final_div_factor
        super().__init__(optimizer, last_epoch)

    def get_lr(self) -> list[float]:
        """The learning rate of each group at `last_epoch`; sets the momentum, too."""
        if self.last_epoch > self.total_steps:
            raise ValueError(f"OneCycleLR: step {self.last_epoch} comes after the last of {self.total_steps}")
        start, phases = 0.0, list(self._schedule_phases)
        while self.last_epoch > phases[0]["end_step"] and len(phases) > 1:
            start = phases.pop(0)["end_step"]
        phase, length = phases[0], phases[0]["end_step"] - start
        share = (self.last_epoch - start) / length if length else 1.0

        def between(group: Group, name: str) -> float:
            a, b = group[phase[f"start_{name}"]], group[phase[f"end_{name}"]]
            if self._anneal_func_type == "linear":
                return float((b - a) * share + a)
            return float(b + (a - b) / 2.0 * (math.cos(math.pi * share) + 1))

        groups = self.optimizer.param_groups
        if self.cycle_momentum:
            for group in groups:
                self._set_momentum(group, between(group, "momentum"))
        return [between(group, "lr") for group in groups]


def _phase(end: float, start_lr: str, end_lr: str, start_momentum: str, end_momentum: str) -> dict[str, Any]:
    """A part of OneCycleLR: its last step, and from which option of a group to which its values go."""
    return {
        "end_step": float(end),
        "start_lr": start_lr,
        "end_lr": end_lr,
        "start_momentum": start_momentum,
        "end_momentum": end_momentum,
    }
