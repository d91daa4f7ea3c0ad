"""Dropout."""

from __future__ import annotations

import numpy as np

from .. import ops
from ..random import default_generator
from ..tensor import Array, Tensor, expect_numbers, expect_tensors, record


def dropout(x: Tensor, p: float = 0.5, training: bool = True) -> Tensor:
    """Sets each element to 0 with probability `p` and scales the others by 1 / (1 - p). Any shape -> the same shape.

    Each call takes 64 bits from the generator that `fastnn.manual_seed` seeds. They and the place of an element decide
    what becomes of it, and backward decides anew, so that no mask is kept.

    Args:
        x: the input, float32 or float64.
        p: the probability of an element to become 0.
        training: False returns `x` itself.

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
    data = x.data
    channels_last = data.ndim == 4 and data.strides[1] == data.itemsize
    seed = default_generator().bit_generator.random_raw()

    def dropped(values: Array) -> Array:
        return ops.dropout(values, p, seed, channels_last=channels_last)

    return record(dropped(data), dropped, x)


def dropout2d(x: Tensor, p: float = 0.5, training: bool = True) -> Tensor:
    """Sets each channel of each image to 0 with probability `p` and scales the others by 1 / (1 - p).

    (N, C, H, W) -> (N, C, H, W) (Tompson et al.: Efficient object localization using convolutional networks, 2015).

    Args:
        x: the input, float32 or float64.
        p: the probability of a channel to become 0.
        training: False returns `x` itself.

    Raises:
        ValueError: `p` is not between 0 and 1, or `x` has another number of dimensions.
        TypeError: `x` is not floating-point.
    """
    _check("dropout2d", x, p)
    if x.ndim != 4:
        raise ValueError(f"dropout2d: x has shape {x.shape}; expected (N, C, H, W)")
    if not training or p == 0:
        return x
    factors = dropout(Tensor(np.ones(x.shape[:2], x.dtype)), p)
    return x * factors.reshape(*x.shape[:2], 1, 1)


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
