"""Smooth activation layers, element-wise, and softmax along a dimension. Any shape -> the same shape."""

from __future__ import annotations

from .. import functional as F
from ..tensor import Tensor
from .module import Module


class Inplace(Module):
    """An activation that takes `inplace` for PyTorch's sake; the input is never changed."""

    def __init__(self, inplace: bool = False) -> None:
        super().__init__()
        self.inplace = inplace

    def extra_repr(self) -> str:
        """The arguments, and `inplace` where it was given."""
        arguments = self._arguments()
        return ", ".join((*arguments, "inplace=True") if self.inplace else arguments)

    def _arguments(self) -> tuple[str, ...]:
        return ()


class Sigmoid(Module):
    """1 / (1 + exp(-x))."""

    def forward(self, x: Tensor) -> Tensor:
        """Any shape -> the same shape."""
        return F.sigmoid(x)


class LogSigmoid(Module):
    """log(1 / (1 + exp(-x))), without overflow."""

    def forward(self, x: Tensor) -> Tensor:
        """Any shape -> the same shape."""
        return F.logsigmoid(x)


class Tanh(Module):
    """The hyperbolic tangent."""

    def forward(self, x: Tensor) -> Tensor:
        """Any shape -> the same shape."""
        return F.tanh(x)


class Tanhshrink(Module):
    """x - tanh(x)."""

    def forward(self, x: Tensor) -> Tensor:
        """Any shape -> the same shape."""
        return F.tanhshrink(x)


class Softsign(Module):
    """x / (1 + abs(x))."""

    def forward(self, x: Tensor) -> Tensor:
        """Any shape -> the same shape."""
        return F.softsign(x)


class Softplus(Module):
    """log(1 + exp(beta * x)) / beta, a smooth max(x, 0).

    Args:
        beta: how sharp the bend is.
        threshold: where beta * x is above it, the result is x itself.
    """

    def __init__(self, beta: float = 1.0, threshold: float = 20.0) -> None:
        super().__init__()
        self.beta = beta
        self.threshold = threshold

    def forward(self, x: Tensor) -> Tensor:
        """Any shape -> the same shape."""
        return F.softplus(x, self.beta, self.threshold)

    def extra_repr(self) -> str:
        """The arguments."""
        return f"beta={self.beta}, threshold={self.threshold}"


class SiLU(Inplace):
    """x / (1 + exp(-x)), also known as Swish.

    Args:
        inplace: taken for PyTorch's sake; the input is never changed.
    """

    def forward(self, x: Tensor) -> Tensor:
        """Any shape -> the same shape."""
        return F.silu(x)


class Mish(Inplace):
    """x * tanh(softplus(x)) (Misra, 2019).

    Args:
        inplace: taken for PyTorch's sake; the input is never changed.
    """

    def forward(self, x: Tensor) -> Tensor:
        """Any shape -> the same shape."""
        return F.mish(x)


class GELU(Module):
    """x times the probability that a normal variable is at most x.

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


class AlongDim(Module):
    """What is computed along a dimension."""

    def __init__(self, dim: int | None = None) -> None:
        super().__init__()
        self.dim = dim

    def extra_repr(self) -> str:
        """The dimension."""
        return f"dim={self.dim}"


class Softmax(AlongDim):
    """exp(x) / (the sum of exp(x) along `dim`): any shape -> the same shape."""

    def forward(self, x: Tensor) -> Tensor:
        """Any shape -> the same shape."""
        return F.softmax(x, self.dim)


class Softmin(AlongDim):
    """`Softmax` of -x: any shape -> the same shape."""

    def forward(self, x: Tensor) -> Tensor:
        """Any shape -> the same shape."""
        return F.softmin(x, self.dim)


class LogSoftmax(AlongDim):
    """The logarithm of `Softmax`, computed without overflow: any shape -> the same shape."""

    def forward(self, x: Tensor) -> Tensor:
        """Any shape -> the same shape."""
        return F.log_softmax(x, self.dim)


class Softmax2d(Module):
    """`Softmax` over the channels of each pixel: (N, C, H, W) -> (N, C, H, W) or (C, H, W) -> (C, H, W)."""

    def forward(self, x: Tensor) -> Tensor:
        """(N, C, H, W) -> (N, C, H, W) or (C, H, W) -> (C, H, W)."""
        if x.ndim not in (3, 4):
            raise ValueError(f"Softmax2d: x has shape {x.shape}; expected (N, C, H, W) or (C, H, W)")
        return F.softmax(x, -3)
