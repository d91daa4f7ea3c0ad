"""Dropout."""

from __future__ import annotations

import numpy as np

from ..random import default_generator
from ..tensor import Tensor, expect_tensors


def dropout(x: Tensor, p: float = 0.5, training: bool = True) -> Tensor:
    """Sets each element to 0 with probability `p` and scales the others by 1 / (1 - p). Any shape -> the same shape.

    The elements are drawn from the generator that `fastnn.manual_seed` seeds.

    Args:
        x: the input.
        p: the probability of an element to become 0.
        training: False returns `x` itself.

    Raises:
        ValueError: `p` is not between 0 and 1.
        TypeError: `x` is not floating-point.
    """
    expect_tensors("dropout", x=x)
    if not 0 <= p <= 1:
        raise ValueError(f"dropout: p is {p}; expected a probability from 0 to 1")
    if x.dtype.kind != "f":
        raise TypeError(f"dropout: x has dtype {x.dtype}; expected a floating-point one")
    if not training or p == 0:
        return x
    kept = default_generator().random(x.shape, dtype=np.float32) >= p
    scale = 1 / (1 - p) if p < 1 else 0.0
    return x * Tensor(np.asarray(kept * x.dtype.type(scale)))
