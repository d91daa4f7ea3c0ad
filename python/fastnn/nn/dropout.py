"""Dropout."""

from __future__ import annotations

from .. import functional as F
from ..tensor import Tensor
from .module import Module


class Dropout(Module):
    """In training, sets each element to 0 with probability `p` and scales the others by 1 / (1 - p).

    In evaluation mode it returns its input. Any shape -> the same shape (Srivastava et al.: Dropout, 2014).

    Args:
        p: the probability of an element to become 0.
        inplace: taken for PyTorch's sake; the input is never changed.

    Raises:
        ValueError: `p` is not between 0 and 1.
    """

    def __init__(self, p: float = 0.5, inplace: bool = False) -> None:
        super().__init__()
        if not 0 <= p <= 1:
            raise ValueError(f"Dropout: p is {p}; expected a probability from 0 to 1")
        self.p = p
        self.inplace = inplace

    def forward(self, x: Tensor) -> Tensor:
        """Any shape -> the same shape."""
        return F.dropout(x, self.p, self.training)

    def extra_repr(self) -> str:
        """The arguments."""
        return f"p={self.p}, inplace={self.inplace}"
