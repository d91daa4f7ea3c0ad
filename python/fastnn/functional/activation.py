"""Activation functions, element-wise. Any shape -> the same shape."""

from __future__ import annotations

from .. import ops
from ..tensor import Tensor, expect_tensors, record


def relu(x: Tensor) -> Tensor:
    """max(x, 0); NaN stays NaN.

    Example:
        >>> import fastnn
        >>> fastnn.functional.relu(fastnn.tensor([-1.0, 2.0]))
        tensor([0., 2.])
    """
    expect_tensors("relu", x=x)
    y = ops.relu_forward(x.data)
    return record(y, lambda dy: ops.relu_backward(dy, y), x)


def sigmoid(x: Tensor) -> Tensor:
    """1 / (1 + exp(-x)), accurate to the last digits for negative x, too.

    Example:
        >>> import fastnn
        >>> fastnn.functional.sigmoid(fastnn.tensor([-100.0, 0.0, 100.0]))
        tensor([0. , 0.5, 1. ])
    """
    expect_tensors("sigmoid", x=x)
    y = ops.sigmoid_forward(x.data)
    return record(y, lambda dy: ops.sigmoid_backward(dy, y), x)


def tanh(x: Tensor) -> Tensor:
    """The hyperbolic tangent.

    Example:
        >>> import fastnn
        >>> fastnn.functional.tanh(fastnn.tensor([-100.0, 0.0, 100.0]))
        tensor([-1.,  0.,  1.])
    """
    expect_tensors("tanh", x=x)
    y = ops.tanh_forward(x.data)
    return record(y, lambda dy: ops.tanh_backward(dy, y), x)
