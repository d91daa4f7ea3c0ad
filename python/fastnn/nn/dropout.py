"""Dropout."""

from __future__ import annotations

from .. import functional as F
from ..functional.dropout import check_probability
from ..tensor import Tensor
from .module import Module


class _Dropout(Module):
    """The arguments of dropout."""

    def __init__(self, p: float = 0.5, inplace: bool = False) -> None:
        super().__init__()
        check_probability(type(self).__name__, p)
        self.p = p
        self.inplace = inplace

    def extra_repr(self) -> str:
        """The arguments."""
        return f"p={self.p}, inplace={self.inplace}"


class Dropout(_Dropout):
    """In training, sets each element to 0 with probability `p` and scales the others by 1 / (1 - p).

    In evaluation mode it returns its input. Any shape -> the same shape (Srivastava et al.: Dropout, 2014).

    Args:
        p: the probability of an element to become 0.
        inplace: taken for PyTorch's sake; the input is never changed.

    Raises:
        ValueError: `p` is not between 0 and 1.
    """

    def forward(self, x: Tensor) -> Tensor:
        """Any shape -> the same shape."""
        return F.dropout(x, self.p, self.training)


class Dropout2d(_Dropout):
    """In training, sets each channel of each image to 0 with probability `p` and scales the others by 1 / (1 - p).

    In evaluation mode it returns its input. (N, C, H, W) -> (N, C, H, W).

    Args:
        p: the probability of a channel to become 0.
        inplace: taken for PyTorch's sake; the input is never changed.

    Raises:
        ValueError: `p` is not between 0 and 1.
    """

    def forward(self, x: Tensor) -> Tensor:
        """(N, C, H, W) -> (N, C, H, W)."""
        return F.dropout2d(x, self.p, self.training)
