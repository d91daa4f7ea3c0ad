"""The schedule that waits for a measure to stop improving."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any, SupportsFloat

from ...tensor import expect_numbers
from ..optimizer import Optimizer
from .base import LRScheduler, check_optimizer, numbers_for_each_group


class ReduceLROnPlateau(LRScheduler):
    """Multiplies the learning rate by `factor` where a measure has not improved for more than `patience` epochs.

    Args:
        optimizer: whose learning rates are set.
        mode: `"min"` where the measure is to fall, such as a loss; `"max"` where it is to rise.
        factor: below 1.
        patience: epochs without improvement that are let pass.
        threshold: by how much a value must be better than the best one to count.
        threshold_mode: whether `threshold` is a share of the best value, `"rel"`, or `"abs"`.
        cooldown: epochs after a change that are not looked at.
        min_lr: the smallest learning rate, or a list with one for each parameter group.
        eps: a smaller change of the learning rate is not made.

    Raises:
        ValueError: `factor` is not below 1; there is no such mode; or `min_lr` has another length than there are
            groups.

    Example:
        >>> import fastnn
        >>> from fastnn.optim import SGD, lr_scheduler
        >>> optimizer = SGD([fastnn.Parameter(fastnn.tensor([1.0]))], lr=1.0)
        >>> scheduler = lr_scheduler.ReduceLROnPlateau(optimizer, factor=0.5, patience=1)
        >>> for loss in (3.0, 2.0, 2.0, 2.0):
        ...     scheduler.step(loss)
        ...     print(scheduler.get_last_lr())
        [1.0]
        [1.0]
        [1.0]
        [0.5]
    """

    def __init__(
        self,
        optimizer: Optimizer,
        mode: str = "min",
        factor: float = 0.1,
        patience: int = 10,
        threshold: float = 1e-4,
        threshold_mode: str = "rel",
        cooldown: int = 0,
        min_lr: float | Sequence[float] = 0,
        eps: float = 1e-8,
    ) -> None:
        expect_numbers(
            "ReduceLROnPlateau", factor=factor, patience=patience, threshold=threshold, cooldown=cooldown, eps=eps
        )
        if not factor < 1:
            raise ValueError(f"ReduceLROnPlateau: factor is {factor}; expected a number below 1")
        check_optimizer(self, optimizer)
        self.optimizer = optimizer
        self.factor = factor
        self.default_min_lr = min_lr if isinstance(min_lr, (int, float)) else None
        self.min_lrs = numbers_for_each_group(self, optimizer, min_lr=min_lr)
        self.patience = patience
        self.cooldown = cooldown
        self.eps = eps
        self.last_epoch = 0
        self._last_lr = self._present_lr()
        self.mode = mode
        self.threshold = threshold
        self.threshold_mode = threshold_mode
        self._check_modes()
        self.mode_worse = math.inf if mode == "min" else -math.inf
        self.best = self.mode_worse
        self.cooldown_counter = 0
        self.num_bad_epochs = 0

    def _check_modes(self) -> None:
        if self.mode not in ("min", "max"):
            raise ValueError(f"ReduceLROnPlateau: mode is {self.mode!r}; expected 'min' or 'max'")
        if self.threshold_mode not in ("rel", "abs"):
            raise ValueError(f"ReduceLROnPlateau: threshold_mode is {self.threshold_mode!r}; expected 'rel' or 'abs'")

    @property
    def in_cooldown(self) -> bool:
        """Whether the last change is so recent that epochs are not looked at."""
        return self.cooldown_counter > 0

    def step(self, metrics: SupportsFloat, epoch: int | None = None) -> None:  # type: ignore[override]
        """Looks at the measure of the epoch that has ended.

        Raises:
            RuntimeError: the learning rate is to change, and `min_lr` has one value for each of fewer groups.
        """
        current = float(metrics)
        self.last_epoch = self.last_epoch + 1 if epoch is None else epoch
        if self._is_better(current):
            self.best = current
            self.num_bad_epochs = 0
        else:
            self.num_bad_epochs += 1
        if self.in_cooldown:
            self.cooldown_counter -= 1
            self.num_bad_epochs = 0
        if self.num_bad_epochs > self.patience:
            self._reduce()
            self.cooldown_counter = self.cooldown
            self.num_bad_epochs = 0
        self._last_lr = self._present_lr()

    def _is_better(self, value: float) -> bool:
        margin = self.threshold if self.threshold_mode == "abs" else None
        if self.mode == "min":
            return value < (self.best * (1.0 - self.threshold) if margin is None else self.best - margin)
        return value > (self.best * (self.threshold + 1.0) if margin is None else self.best + margin)

    def _reduce(self) -> None:
        groups = self.optimizer.param_groups
        if len(self.min_lrs) != len(groups):  # a group has been added
            if self.default_min_lr is None:
                raise RuntimeError(
                    f"ReduceLROnPlateau: min_lrs has {len(self.min_lrs)} values; the optimizer has {len(groups)} "
                    "parameter groups now"
                )
            self.min_lrs = [self.default_min_lr] * len(groups)
        for group, min_lr in zip(groups, self.min_lrs, strict=True):
            lr = max(group["lr"] * self.factor, min_lr)
            if group["lr"] - lr > self.eps:
                group["lr"] = lr

    def load_state_dict(self, state_dict: Mapping[str, Any]) -> None:
        """Takes over what `state_dict` returned, here or in PyTorch."""
        super().load_state_dict(state_dict)
        self._check_modes()
