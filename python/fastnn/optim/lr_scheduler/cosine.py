"""Schedules along half a cosine."""

from __future__ import annotations

import math

from ...tensor import expect_numbers
from ..optimizer import Optimizer
from .base import LRScheduler, check_positive_integer


class CosineAnnealingLR(LRScheduler):
    """From the initial learning rate down to `eta_min` along half a cosine, and up again after `T_max` epochs.

    eta_min + (base_lr - eta_min) * (1 + cos(pi * epoch / T_max)) / 2, computed from the present learning rate as in
    PyTorch, so that other changes to it persist (Loshchilov and Hutter: SGDR, 2017, without restarts).

    Args:
        optimizer: whose learning rates are set.
        T_max: the number of epochs down to `eta_min`.
        eta_min: the smallest learning rate.
        last_epoch: the epoch to go on after; -1 starts anew.

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
        expect_numbers("CosineAnnealingLR", T_max=T_max, eta_min=eta_min)
        if not T_max >= 1:
            raise ValueError(f"CosineAnnealingLR: T_max is {T_max}; expected at least 1")
        self.T_max = T_max
        self.eta_min = eta_min
        super().__init__(optimizer, last_epoch)

    def get_lr(self) -> list[float]:
        """The learning rate of each group at `last_epoch`."""
        t = self.last_epoch
        if self._is_initial:
            return self._present_lr()
        if self._step_count == 1 and t > 0:  # within SequentialLR, which has taken the learning rate back
            return self._get_closed_form_lr()
        if (t - 1 - self.T_max) % (2 * self.T_max) == 0:  # up from the lowest point, where the ratio below is 0 / 0
            pairs = zip(self._present_lr(), self.base_lrs, strict=True)
            return [lr + (base_lr - self.eta_min) * (1 - math.cos(math.pi / self.T_max)) / 2 for lr, base_lr in pairs]
        ratio = (1 + math.cos(math.pi * t / self.T_max)) / (1 + math.cos(math.pi * (t - 1) / self.T_max))
        return [ratio * (lr - self.eta_min) + self.eta_min for lr in self._present_lr()]

    def _get_closed_form_lr(self) -> list[float]:
        return [_annealed(lr, self.eta_min, self.last_epoch / self.T_max) for lr in self.base_lrs]


class CosineAnnealingWarmRestarts(LRScheduler):
    """From the initial learning rate down to `eta_min` along half a cosine, again and again.

    The first time takes `T_0` epochs, each further one `T_mult` times as many as the one before (Loshchilov and Hutter:
    SGDR: Stochastic gradient descent with warm restarts, ICLR 2017).

    Args:
        optimizer: whose learning rates are set.
        T_0: epochs until the first restart.
        T_mult: by how much the times between restarts grow.
        eta_min: the smallest learning rate.
        last_epoch: the epoch to go on after; -1 starts anew.

    Raises:
        ValueError: `T_0` or `T_mult` is no integer of at least 1.

    Example:
        >>> import fastnn
        >>> from fastnn.optim import SGD, lr_scheduler
        >>> optimizer = SGD([fastnn.Parameter(fastnn.tensor([1.0]))], lr=0.1)
        >>> scheduler = lr_scheduler.CosineAnnealingWarmRestarts(optimizer, T_0=2)
        >>> for epoch in range(3):
        ...     scheduler.step()
        ...     print(round(scheduler.get_last_lr()[0], 3))
        0.05
        0.1
        0.05
    """

    def __init__(
        self, optimizer: Optimizer, T_0: int, T_mult: int = 1, eta_min: float = 0.0, last_epoch: int = -1
    ) -> None:
        check_positive_integer("CosineAnnealingWarmRestarts", T_0=T_0, T_mult=T_mult)
        if not isinstance(eta_min, (int, float)):
            raise ValueError(f"CosineAnnealingWarmRestarts: eta_min is {eta_min!r}; expected a number")
        self.T_0 = T_0
        self.T_i = T_0
        self.T_mult = T_mult
        self.eta_min = eta_min
        self.T_cur: float = last_epoch
        super().__init__(optimizer, last_epoch)

    def get_lr(self) -> list[float]:
        """The learning rate of each group, `T_cur` epochs after the last restart."""
        return [_annealed(lr, self.eta_min, self.T_cur / self.T_i) for lr in self.base_lrs]

    def step(self, epoch: float | None = None) -> None:
        """Goes on to the next epoch, or to `epoch`, which may be a fraction: after a batch, epoch + batch / batches.

        Raises:
            ValueError: `epoch` is negative.
        """
        if epoch is None and self.last_epoch < 0:
            epoch = 0
        if epoch is None:
            epoch = self.last_epoch + 1
            self.T_cur += 1
            if self.T_cur >= self.T_i:
                self.T_cur %= self.T_i
                self.T_i *= self.T_mult
        elif epoch < 0:
            raise ValueError(f"CosineAnnealingWarmRestarts: epoch is {epoch}; expected at least 0")
        else:
            self.T_i, self.T_cur = self.T_0, epoch
            if self.T_mult == 1:
                self.T_cur %= self.T_0
            else:
                while self.T_cur >= self.T_i:
                    self.T_cur -= self.T_i
                    self.T_i *= self.T_mult
        self.last_epoch = math.floor(epoch)
        self._set_lr(self.get_lr())


def _annealed(high: float, low: float, share: float) -> float:
    return low + (high - low) * (1 + math.cos(math.pi * share)) / 2
