"""Activation functions, element-wise."""

from __future__ import annotations

from .. import ops
from ..tensor import Tensor, record


def relu(x: Tensor) -> Tensor:
    """max(x, 0), element-wise; NaN stays NaN. Any shape -> the same shape."""
    y = ops.relu_forward(x.data)
    return record(y, lambda dy: ops.relu_backward(dy, y), x)
