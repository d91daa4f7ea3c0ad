"""Dropout."""

from __future__ import annotations

import math
import warnings

import numpy as np

from .. import ops
from ..arrays import channels_inside
from ..random import draw_seed
from ..tensor import Tensor, expect_numbers, expect_tensors, record


def dropout(x: Tensor, p: float = 0.5, training: bool = True, inplace: bool = False) -> Tensor:
    """Sets each element to 0 with probability `p` and scales the others by 1 / (1 - p). Any shape -> the same shape.

    Each call takes 64 bits from the generator that `fastnn.manual_seed` seeds. They and the place of an element decide
    what becomes of it, and backward decides anew, so that no mask is kept.

    Args:
        x: the input, float32 or float64.
        p: the probability of an element to become 0.
        training: False returns `x` itself.
        inplace: taken for PyTorch's sake; the input is never changed.

    Raises:
        ValueError: `p` is not between 0 and 1.
        TypeError: `x` is not floating-point.

    Example:
        >>> import fastnn
        >>> _ = fastnn.manual_seed(0)
        >>> fastnn.functional.dropout(fastnn.ones(6), 0.5)
        tensor([2., 2., 0., 0., 2., 0.])
    """
    _check("dropout", x, p)
    if not training or p == 0:
        return x
    return _dropped(x, p)


def dropout1d(x: Tensor, p: float = 0.5, training: bool = True, inplace: bool = False) -> Tensor:
    """`dropout2d` for sequences: (N, C, L) -> (N, C, L) or (C, L) -> (C, L)."""
    return _channel_dropout("dropout1d", x, p, training, {3: 2, 2: 1}, "(N, C, L) or (C, L)")


def dropout2d(x: Tensor, p: float = 0.5, training: bool = True, inplace: bool = False) -> Tensor:
    """Sets each channel of each image to 0 with probability `p` and scales the others by 1 / (1 - p).

    (N, C, H, W) -> (N, C, H, W) (Tompson et al.: Efficient object localization using convolutional networks, 2015).
    Three dimensions are (N, C, L) as in PyTorch, not a single image: a warning says so.

    Args:
        x: the input, float32 or float64.
        p: the probability of a channel to become 0.
        training: False returns `x` itself.
        inplace: taken for PyTorch's sake; the input is never changed.

    Raises:
        ValueError: `p` is not between 0 and 1, or `x` has another number of dimensions.
        TypeError: `x` is not floating-point.
    """
    y = _channel_dropout("dropout2d", x, p, training, {4: 2, 3: 2}, "(N, C, H, W) or (N, C, L)")
    if x.ndim == 3:
        message = f"dropout2d: x has shape {x.shape}, which is taken for (N, C, L); dropout1d says so, too"
        warnings.warn(message, stacklevel=2)
    return y


def dropout3d(x: Tensor, p: float = 0.5, training: bool = True, inplace: bool = False) -> Tensor:
    """`dropout2d` for volumes: (N, C, D, H, W) -> (N, C, D, H, W) or (C, D, H, W) -> (C, D, H, W)."""
    return _channel_dropout("dropout3d", x, p, training, {5: 2, 4: 1}, "(N, C, D, H, W) or (C, D, H, W)")


def alpha_dropout(x: Tensor, p: float = 0.5, training: bool = False, inplace: bool = False) -> Tensor:
    """Dropout behind `selu`, which keeps mean 0 and variance 1. Any shape -> the same shape.

    Klambauer et al.: Self-normalizing neural networks, 2017. An element becomes SELU's limit for negative x, -1.7581,
    with probability `p`; then all of them are scaled and moved so that mean and variance stay. With p = 1 all are 0.

    Args:
        x: the input, float32 or float64.
        p: the probability of an element to be dropped.
        training: False returns `x` itself.
        inplace: taken for PyTorch's sake; the input is never changed.

    Raises:
        ValueError: `p` is not between 0 and 1.
        TypeError: `x` is not floating-point.

    Example:
        >>> import fastnn
        >>> _ = fastnn.manual_seed(0)
        >>> x = fastnn.randn(100_000)
        >>> y = fastnn.functional.alpha_dropout(x, 0.2, training=True)
        >>> abs(y.mean().item()) < 0.02, abs((y * y).mean().item() - 1) < 0.02
        (True, True)
    """
    _check("alpha_dropout", x, p)
    return _dropped(x, p, *_alpha_constants(p)) if training and p else x


def feature_alpha_dropout(x: Tensor, p: float = 0.5, training: bool = False, inplace: bool = False) -> Tensor:
    """`alpha_dropout` of whole channels: (N, C, ...) -> (N, C, ...)."""
    _check("feature_alpha_dropout", x, p)
    if x.ndim < 2:
        raise ValueError(f"feature_alpha_dropout: x has shape {x.shape}; expected (N, C, ...)")
    if not training or p == 0:
        return x
    scale, dropped, kept = _alpha_constants(p)
    channels = (*x.shape[:2], *(1,) * (x.ndim - 2))
    seed = draw_seed()
    factors = ops.dropout(np.ones(channels, x.dtype), p, seed, scale=scale)
    shifts = ops.dropout(np.zeros(channels, x.dtype), p, seed, dropped=dropped, kept=kept)
    return x * Tensor(factors) + Tensor(shifts)


_LIMIT = -1.7580993408473766  # of SELU for negative x


def _alpha_constants(p: float) -> tuple[float, float, float]:
    """Scale, and what is added to dropped and to kept elements: a, a * limit + b and b of the paper's a x + b."""
    if p == 1:
        return 0.0, 0.0, 0.0
    a = 1 / math.sqrt((1 - p) * (1 + p * _LIMIT**2))
    b = -a * p * _LIMIT
    return a, a * _LIMIT + b, b


def _dropped(x: Tensor, p: float, scale: float | None = None, dropped: float = 0.0, kept: float = 0.0) -> Tensor:
    data = x.data
    channels_last = channels_inside(data)
    seed = draw_seed()
    y = ops.dropout(data, p, seed, scale=scale, dropped=dropped, kept=kept, channels_last=channels_last)
    return record(y, lambda dy: ops.dropout(dy, p, seed, scale=scale, channels_last=channels_last), x)


def _channel_dropout(name: str, x: Tensor, p: float, training: bool, leading: dict[int, int], expected: str) -> Tensor:
    """Dropout of whole channels of `x`: for each number of dimensions, how many of them tell channels apart."""
    _check(name, x, p)
    if x.ndim not in leading:
        raise ValueError(f"{name}: x has shape {x.shape}; expected {expected}")
    if not training or p == 0:
        return x
    channels = x.shape[: leading[x.ndim]]
    factors = dropout(Tensor(np.ones(channels, x.dtype)), p)
    return x * factors.reshape(*channels, *(1,) * (x.ndim - len(channels)))


def check_probability(name: str, p: float) -> None:
    """Raises an error that names `p` where it is not a number from 0 to 1."""
    expect_numbers(name, p=p)
    if not 0 <= p <= 1:
        raise ValueError(f"{name}: p is {p}; expected a probability from 0 to 1")


def _check(name: str, x: Tensor, p: float) -> None:
    expect_tensors(name, x=x)
    check_probability(name, p)
    if x.dtype.kind != "f":
        raise TypeError(f"{name}: x has dtype {x.dtype}; expected a floating-point one")
