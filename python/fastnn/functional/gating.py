"""Activation functions that make one value of several."""

from __future__ import annotations

from .. import ops
from ..arrays import one_axis
from ..tensor import Tensor, expect_tensors, is_grad_enabled, record


def glu(x: Tensor, dim: int = -1) -> Tensor:
    """The gated linear unit a * sigmoid(b), a and b being the halves of `x` along `dim` (Dauphin et al., 2017).

    Args:
        x: (..., 2 n, ...), float32 or float64.
        dim: the dimension that is halved.

    Returns:
        (..., n, ...).

    Raises:
        IndexError: x has no dimension `dim`.
        ValueError: its size is odd.

    Example:
        >>> import fastnn
        >>> fastnn.functional.glu(fastnn.tensor([2.0, 3.0, 0.0, 100.0]))
        tensor([1., 3.])
    """
    expect_tensors("glu", x=x)
    axis, data = one_axis("glu", dim, x.ndim), x.data
    if data.shape[axis] % 2:
        raise ValueError(f"glu: x has shape {x.shape}; expected an even size along dim {dim}")
    return record(ops.glu_forward(data, axis), lambda dy: ops.glu_backward(dy, data, axis), x)


def maxout(x: Tensor, pieces: int, dim: int = -1) -> Tensor:
    """The largest of each group of `pieces` neighbours along `dim` (Goodfellow et al.: Maxout networks, 2013).

    NaN wins over everything. The gradient goes to the first maximum of a group, and of several NaNs to the last.

    Args:
        x: (..., n * pieces, ...), float32 or float64.
        pieces: the size of a group.
        dim: the dimension of the groups.

    Returns:
        (..., n, ...).

    Raises:
        IndexError: x has no dimension `dim`.
        ValueError: its size is no multiple of `pieces`, or there is not one piece.
        TypeError: `pieces` or `dim` is no integer.

    Example:
        >>> import fastnn
        >>> fastnn.functional.maxout(fastnn.tensor([1.0, 3.0, -1.0, -2.0]), 2)
        tensor([ 3., -1.])
    """
    expect_tensors("maxout", x=x)
    axis = one_axis("maxout", dim, x.ndim)
    y, argmax = ops.maxout_forward(x.data, pieces, axis, return_argmax=x.requires_grad and is_grad_enabled())
    return record(y, lambda dy: ops.maxout_backward(dy, argmax, pieces, axis), x)
