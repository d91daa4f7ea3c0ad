"""Tensors of given values."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import DTypeLike

from .arrays import Number, as_numeric, sizes
from .tensor import Tensor


def full(size: Any, fill_value: Number, dtype: DTypeLike | None = None, requires_grad: bool = False) -> Tensor:
    """A tensor of one value everywhere, of the value's type (float32, int64 or bool) unless `dtype` is given."""
    return Tensor(np.full(sizes((size,)), as_numeric(fill_value, dtype)), requires_grad)


def zeros(*size: Any, dtype: DTypeLike | None = None, requires_grad: bool = False) -> Tensor:
    """A tensor of zeros, float32 unless `dtype` is given; the size as ints or as one sequence."""
    return Tensor(np.zeros(sizes(size), dtype or np.float32), requires_grad)


def ones(*size: Any, dtype: DTypeLike | None = None, requires_grad: bool = False) -> Tensor:
    """A tensor of ones, float32 unless `dtype` is given; the size as ints or as one sequence."""
    return Tensor(np.ones(sizes(size), dtype or np.float32), requires_grad)


def zeros_like(x: Tensor) -> Tensor:
    """A tensor of zeros with the shape, type and memory layout of `x`."""
    return Tensor(np.zeros_like(x.data))


def ones_like(x: Tensor) -> Tensor:
    """A tensor of ones with the shape, type and memory layout of `x`."""
    return Tensor(np.ones_like(x.data))


def arange(
    start: Number,
    end: Number | None = None,
    step: Number = 1,
    dtype: DTypeLike | None = None,
    requires_grad: bool = False,
) -> Tensor:
    """Numbers from `start` (or 0) to before `end`; int64, or float32 where an argument is a float."""
    if end is None:
        start, end = 0, start
    if step == 0:
        raise ValueError("arange: step is 0")
    if dtype is None:
        dtype = np.float32 if any(isinstance(bound, float) for bound in (start, end, step)) else np.int64
    return Tensor(np.arange(start, end, step).astype(dtype), requires_grad)
