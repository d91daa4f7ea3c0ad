"""Fully connected layers, and the one that does nothing."""

from __future__ import annotations

import math
from typing import Any

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


class Bilinear(Module):
    """y[o] = sum of x1[i] * weight[o, i, j] * x2[j] + bias[o]: (..., in1_features), (..., in2_features) -> (..., O).

    Args:
        in1_features: size of each first input sample.
        in2_features: size of each second input sample.
        out_features: O, size of each output sample.
        bias: whether there is a bias.

    Attributes:
        weight: (out_features, in1_features, in2_features), initialised as in PyTorch: uniform in
            +-1 / sqrt(in1_features).
        bias: (out_features,) or None, initialised in the same interval.

    Example:
        >>> import fastnn
        >>> from fastnn import nn
        >>> nn.Bilinear(20, 30, 40)(fastnn.ones(128, 20), fastnn.ones(128, 30)).shape
        (128, 40)
    """

    weight: Parameter
    bias: Parameter | None

    def __init__(self, in1_features: int, in2_features: int, out_features: int, bias: bool = True) -> None:
        super().__init__()
        self.in1_features = checked_size("Bilinear: in1_features", in1_features)
        self.in2_features = checked_size("Bilinear: in2_features", in2_features)
        self.out_features = checked_size("Bilinear: out_features", out_features)
        self.weight = Parameter(ops.empty((self.out_features, self.in1_features, self.in2_features)))
        self.register_parameter("bias", Parameter(ops.empty((self.out_features,))) if bias else None)
        self.reset_parameters()

    def reset_parameters(self) -> None:
        """Draws weight and bias anew."""
        bound = 1 / math.sqrt(self.in1_features)
        init.uniform_(self.weight, -bound, bound)
        if self.bias is not None:
            init.uniform_(self.bias, -bound, bound)

    def forward(self, x1: Tensor, x2: Tensor) -> Tensor:
        """(..., in1_features), (..., in2_features) -> (..., out_features)."""
        return F.bilinear(x1, x2, self.weight, self.bias)

    def extra_repr(self) -> str:
        """The sizes."""
        return (
            f"in1_features={self.in1_features}, in2_features={self.in2_features}, "
            f"out_features={self.out_features}, bias={self.bias is not None}"
        )


class Identity(Module):
    """Returns its input.

    Args:
        args, kwargs: ignored, so that it can stand in for any layer.
    """

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__()

    def forward(self, x: Any) -> Any:
        """The input itself."""
        return x
