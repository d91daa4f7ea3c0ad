"""Layers that normalize a sample by itself."""

from __future__ import annotations

from .. import functional as F
from ..tensor import Tensor
from .module import Module
from .sizes import checked_size


class LocalResponseNorm(Module):
    """x / (k + alpha * mean)**beta, the mean of x**2 over `size` adjacent channels, as in PyTorch.

    See `fastnn.functional.local_response_norm`. (N, C, ...) -> the same shape.

    Args:
        size: the number of channels in a window.
        alpha: the factor of the mean.
        beta: the exponent.
        k: what is added to the mean.

    Example:
        >>> import fastnn
        >>> from fastnn import nn
        >>> nn.LocalResponseNorm(5, k=2.0)(fastnn.ones(2, 96, 55, 55)).shape
        (2, 96, 55, 55)
    """

    def __init__(self, size: int, alpha: float = 1e-4, beta: float = 0.75, k: float = 1.0) -> None:
        super().__init__()
        self.size = checked_size("LocalResponseNorm: size", size)
        self.alpha = alpha
        self.beta = beta
        self.k = k

    def forward(self, x: Tensor) -> Tensor:
        """(N, C, ...) -> the same shape."""
        return F.local_response_norm(x, self.size, self.alpha, self.beta, self.k)

    def extra_repr(self) -> str:
        """All arguments."""
        return f"{self.size}, alpha={self.alpha}, beta={self.beta}, k={self.k}"
