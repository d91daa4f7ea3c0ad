"""Fully connected layers."""

from __future__ import annotations

import math

from .. import functional as F
from .. import ops
from ..tensor import Parameter, Tensor
from . import init
from .module import Module
from .sizes import checked_size


class Linear(Module):
    """y = x @ weight.T + bias: (..., in_features) -> (..., out_features).

    Args:
        in_features: size of each input sample.
        out_features: size of each output sample.
        bias: whether there is a bias.

    Attributes:
        weight: (out_features, in_features), initialised as in PyTorch: uniform in +-1 / sqrt(in_features).
        bias: (out_features,) or None, initialised in the same interval.

    Example:
        >>> import numpy as np, fastnn
        >>> from fastnn import nn
        >>> nn.Linear(20, 30)(fastnn.tensor(np.ones((128, 20), np.float32))).shape
        (128, 30)
    """

    weight: Parameter
    bias: Parameter | None

    def __init__(self, in_features: int, out_features: int, bias: bool = True) -> None:
        super().__init__()
        self.in_features = checked_size("Linear: in_features", in_features)
        self.out_features = checked_size("Linear: out_features", out_features)
        self.weight = Parameter(ops.empty((self.out_features, self.in_features)))
        self.register_parameter("bias", Parameter(ops.empty((self.out_features,))) if bias else None)
        self.reset_parameters()

    def reset_parameters(self) -> None:
        """Draws weight and bias anew."""
        init.kaiming_uniform_(self.weight, a=math.sqrt(5))
        if self.bias is not None:
            bound = 1 / math.sqrt(self.in_features)
            init.uniform_(self.bias, -bound, bound)

    def forward(self, x: Tensor) -> Tensor:
        """(..., in_features) -> (..., out_features)."""
        return F.linear(x, self.weight, self.bias)

    def extra_repr(self) -> str:
        """The sizes."""
        return f"in_features={self.in_features}, out_features={self.out_features}, bias={self.bias is not None}"
