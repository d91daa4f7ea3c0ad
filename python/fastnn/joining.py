"""Tensors made of several tensors."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from . import ops
from .arrays import Array, one_axis
from .tensor import Tensor, expect_tensors, record


def cat(tensors: Sequence[Tensor], dim: int = 0) -> Tensor:
    """Joins tensors along one of their dimensions; images stay channels-last in memory.

    Args:
        tensors: one or more, whose shapes differ along `dim` at most. Element types are promoted to a common one.
        dim: the dimension.

    Raises:
        TypeError: one of them is not a tensor.
        ValueError: there is none, or their shapes do not fit.

    Example:
        >>> import fastnn
        >>> fastnn.cat([fastnn.tensor([[1.0], [2.0]]), fastnn.tensor([[3.0, 4.0], [5.0, 6.0]])], dim=1)
        tensor([[1., 3., 4.],
                [2., 5., 6.]])
    """
    return _joined("cat", list(tensors), dim)


def stack(tensors: Sequence[Tensor], dim: int = 0) -> Tensor:
    """Joins tensors of one shape along a new dimension.

    Example:
        >>> import fastnn
        >>> fastnn.stack([fastnn.tensor([1.0, 2.0]), fastnn.tensor([3.0, 4.0])])
        tensor([[1., 2.],
                [3., 4.]])
    """
    tensors = list(tensors)
    expect_tensors("stack", **{f"tensors[{i}]": t for i, t in enumerate(tensors)})
    if tensors:
        axis = one_axis("stack", dim, tensors[0].ndim + 1)
        for i, t in enumerate(tensors):
            if t.shape != tensors[0].shape:
                raise ValueError(f"stack: tensors[{i}] has shape {t.shape}; expected {tensors[0].shape}")
        return _joined("stack", [t.unsqueeze(axis) for t in tensors], axis)
    return _joined("stack", tensors, dim)


def _joined(name: str, tensors: list[Tensor], dim: int) -> Tensor:
    if not tensors:
        raise ValueError(f"{name}: there are no tensors; expected one or more")
    expect_tensors(name, **{f"tensors[{i}]": t for i, t in enumerate(tensors)})
    first = tensors[0].shape
    axis = one_axis(name, dim, len(first))
    for i, t in enumerate(tensors):
        if t.ndim != len(first) or t.shape[:axis] + t.shape[axis + 1 :] != first[:axis] + first[axis + 1 :]:
            raise ValueError(f"{name}: tensors[{i}] has shape {t.shape}; expected {first} but for dimension {axis}")
    dtypes = [t.dtype for t in tensors]
    dtype = np.result_type(*([d for d in dtypes if d.kind == "f"] or dtypes))  # integers do not widen floats
    tensors = [t if t.dtype == dtype else t.astype(dtype) for t in tensors]
    arrays, sizes = [t.data for t in tensors], [t.shape[axis] for t in tensors]
    has_kernel = dtype.char in "fd"

    def backward(dy: Array) -> tuple[Array, ...]:
        return tuple(ops.split(dy, sizes, axis) if has_kernel else np.split(dy, np.cumsum(sizes)[:-1], axis))

    return record(ops.cat(arrays, axis) if has_kernel else np.concatenate(arrays, axis), backward, *tensors)
