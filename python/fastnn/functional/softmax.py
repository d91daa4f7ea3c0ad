"""Softmax and its logarithm."""

from __future__ import annotations

from .. import ops
from ..arrays import integer
from ..tensor import Tensor, expect_tensors, record


def softmax(x: Tensor, dim: int) -> Tensor:
    """exp(x) / sum(exp(x)) along `dim`, without overflow. Any shape -> the same shape.

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
    dim = integer("softmax", dim=dim)
    y = ops.softmax_forward(x.data, dim)
    return record(y, lambda dy: ops.softmax_backward(dy, y, dim), x)


def softmin(x: Tensor, dim: int) -> Tensor:
    """softmax(-x, dim). Any shape -> the same shape.

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
    return softmax(-x, integer("softmin", dim=dim))


def log_softmax(x: Tensor, dim: int) -> Tensor:
    """log(softmax(x, dim)), without overflow and exact for probabilities that round to 0. Any shape -> the same shape.

    Raises:
        IndexError: x has no dimension `dim`.
        TypeError: `dim` is no integer.

    Example:
        >>> import fastnn
        >>> fastnn.functional.log_softmax(fastnn.tensor([1000.0, 0.0]), dim=0)
        tensor([    0., -1000.])
    """
    expect_tensors("log_softmax", x=x)
    dim = integer("log_softmax", dim=dim)
    y = ops.log_softmax_forward(x.data, dim)
    return record(y, lambda dy: ops.log_softmax_backward(dy, y, dim), x)
