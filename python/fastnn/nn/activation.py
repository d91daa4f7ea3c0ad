"""Activation layers."""

from __future__ import annotations

from .. import functional as F
from ..tensor import Tensor
from .module import Module


class ReLU(Module):
    """max(x, 0), element-wise: any shape -> the same shape.

    Args:
        inplace: taken for PyTorch's sake; the input is never changed.
    """

    def __init__(self, inplace: bool = False) -> None:
        super().__init__()
        self.inplace = inplace

    def forward(self, x: Tensor) -> Tensor:
        """Any shape -> the same shape."""
        return F.relu(x)

    def extra_repr(self) -> str:
        """`inplace`, where it was given."""
        return "inplace=True" if self.inplace else ""


class Sigmoid(Module):
    """1 / (1 + exp(-x)), element-wise: any shape -> the same shape."""

    def forward(self, x: Tensor) -> Tensor:
        """Any shape -> the same shape."""
        return F.sigmoid(x)


class Tanh(Module):
    """tanh(x), element-wise: any shape -> the same shape."""

    def forward(self, x: Tensor) -> Tensor:
        """Any shape -> the same shape."""
        return F.tanh(x)


class Softsign(Module):
    """x / (1 + abs(x)), element-wise: any shape -> the same shape."""

    def forward(self, x: Tensor) -> Tensor:
        """Any shape -> the same shape."""
        return F.softsign(x)


class LeakyReLU(Module):
    """x where it is positive, else `negative_slope` * x, element-wise: any shape -> the same shape.

    Args:
        negative_slope: the slope for negative x.
        inplace: taken for PyTorch's sake; the input is never changed.
    """

    def __init__(self, negative_slope: float = 0.01, inplace: bool = False) -> None:
        super().__init__()
        self.negative_slope = negative_slope
        self.inplace = inplace

    def forward(self, x: Tensor) -> Tensor:
        """Any shape -> the same shape."""
        return F.leaky_relu(x, self.negative_slope)

    def extra_repr(self) -> str:
        """The slope, and `inplace` where it was given."""
        return f"negative_slope={self.negative_slope}" + (", inplace=True" if self.inplace else "")


class ELU(Module):
    """x where it is positive, else `alpha` * (exp(x) - 1), element-wise: any shape -> the same shape.

    Args:
        alpha: minus the limit for negative x, at least 0.
        inplace: taken for PyTorch's sake; the input is never changed.
    """

    def __init__(self, alpha: float = 1.0, inplace: bool = False) -> None:
        super().__init__()
        self.alpha = alpha
        self.inplace = inplace

    def forward(self, x: Tensor) -> Tensor:
        """Any shape -> the same shape."""
        return F.elu(x, self.alpha)

    def extra_repr(self) -> str:
        """alpha, and `inplace` where it was given."""
        return f"alpha={self.alpha}" + (", inplace=True" if self.inplace else "")


class SiLU(Module):
    """x / (1 + exp(-x)), element-wise: any shape -> the same shape.

    Args:
        inplace: taken for PyTorch's sake; the input is never changed.
    """

    def __init__(self, inplace: bool = False) -> None:
        super().__init__()
        self.inplace = inplace

    def forward(self, x: Tensor) -> Tensor:
        """Any shape -> the same shape."""
        return F.silu(x)

    def extra_repr(self) -> str:
        """`inplace`, where it was given."""
        return "inplace=True" if self.inplace else ""


class GELU(Module):
    """x times the probability that a normal variable is at most x, element-wise: any shape -> the same shape.

    Args:
        approximate: "none", or "tanh" for the approximation of `functional.gelu`.

    Raises:
        ValueError: `approximate` is neither.
    """

    def __init__(self, approximate: str = "none") -> None:
        super().__init__()
        if approximate not in ("none", "tanh"):
            raise ValueError(f"GELU: approximate is {approximate!r}; expected 'none' or 'tanh'")
        self.approximate = approximate

    def forward(self, x: Tensor) -> Tensor:
        """Any shape -> the same shape."""
        return F.gelu(x, self.approximate)

    def extra_repr(self) -> str:
        """The argument."""
        return f"approximate={self.approximate!r}"


class Softmax(Module):
    """exp(x) / (the sum of exp(x) along `dim`): any shape -> the same shape."""

    def __init__(self, dim: int) -> None:
        super().__init__()
        self.dim = dim

    def forward(self, x: Tensor) -> Tensor:
        """Any shape -> the same shape."""
        return F.softmax(x, self.dim)

    def extra_repr(self) -> str:
        """The dimension."""
        return f"dim={self.dim}"


class LogSoftmax(Module):
    """The logarithm of `Softmax`, computed without overflow: any shape -> the same shape."""

    def __init__(self, dim: int) -> None:
        super().__init__()
        self.dim = dim

    def forward(self, x: Tensor) -> Tensor:
        """Any shape -> the same shape."""
        return F.log_softmax(x, self.dim)

    def extra_repr(self) -> str:
        """The dimension."""
        return f"dim={self.dim}"
