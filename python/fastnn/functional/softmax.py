"""Softmax and its logarithm."""

from __future__ import annotations

import warnings

from .. import ops
from ..arrays import integer
from ..tensor import Tensor, expect_tensors, record


def softmax(x: Tensor, dim: int | None = None) -> Tensor:
    """exp(x) / sum(exp(x)) along `dim`, without overflow. Any shape -> the same shape.

    Without `dim` there is a warning, and PyTorch's choice: dimension 0 where x has none, one or three, otherwise 1.
    Entries of -inf become 0. NaN where a slice along `dim` holds a NaN, +inf or nothing but -inf (as in PyTorch).

    Raises:
        IndexError: x has no dimension `dim`.
        TypeError: `dim` is no integer.

    Example:
        >>> import fastnn
        >>> fastnn.functional.softmax(fastnn.tensor([[1.0, 1.0], [1000.0, 0.0]]), dim=1)
        tensor([[0.5, 0.5],
                [1. , 0. ]])
    """
    expect_tensors("softmax", x=x)
    dim = _dimension("softmax", dim, x)
    y = ops.softmax_forward(x.data, dim)
    return record(y, lambda dy: ops.softmax_backward(dy, y, dim), x)


def softmin(x: Tensor, dim: int | None = None) -> Tensor:
    """softmax(-x, dim). Any shape -> the same shape. Without `dim` as `softmax`.

    Raises:
        IndexError: x has no dimension `dim`.
        TypeError: `dim` is no integer.

    Example:
        >>> import fastnn
        >>> fastnn.functional.softmin(fastnn.tensor([[1.0, 1.0], [1000.0, 0.0]]), dim=1)
        tensor([[0.5, 0.5],
                [0. , 1. ]])
    """
    expect_tensors("softmin", x=x)
    return softmax(-x, _dimension("softmin", dim, x))


def log_softmax(x: Tensor, dim: int | None = None) -> Tensor:
    """log(softmax(x, dim)), without overflow and exact for probabilities that round to 0. Any shape -> the same shape.

    Without `dim` as `softmax`.

    Raises:
        IndexError: x has no dimension `dim`.
        TypeError: `dim` is no integer.

    Example:
        >>> import fastnn
        >>> fastnn.functional.log_softmax(fastnn.tensor([1000.0, 0.0]), dim=0)
        tensor([    0., -1000.])
    """
    expect_tensors("log_softmax", x=x)
    dim = _dimension("log_softmax", dim, x)
    y = ops.log_softmax_forward(x.data, dim)
    return record(y, lambda dy: ops.log_softmax_backward(dy, y, dim), x)


def _dimension(op: str, dim: int | None, x: Tensor) -> int:
    if dim is not None:
        return integer(op, dim=dim)
    warnings.warn(f"{op}: dim is not given; pass dim=..., since its choice depends on the shape of x", stacklevel=3)
    return 0 if x.ndim in (0, 1, 3) else 1
