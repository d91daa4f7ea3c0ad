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


class Dropout1d(_Dropout):
    """`Dropout2d` for sequences: (N, C, L) -> (N, C, L) or (C, L) -> (C, L)."""

    def forward(self, x: Tensor) -> Tensor:
        """(N, C, L) -> (N, C, L) or (C, L) -> (C, L)."""
        return F.dropout1d(x, self.p, self.training)


class Dropout2d(_Dropout):
    """In training, sets each channel of each image to 0 with probability `p` and scales the others by 1 / (1 - p).

    In evaluation mode it returns its input. (N, C, H, W) -> (N, C, H, W) or (N, C, L) -> (N, C, L).

    Args:
        p: the probability of a channel to become 0.
        inplace: taken for PyTorch's sake; the input is never changed.

    Raises:
        ValueError: `p` is not between 0 and 1.
    """

    def forward(self, x: Tensor) -> Tensor:
        """(N, C, H, W) -> (N, C, H, W) or (N, C, L) -> (N, C, L)."""
        return F.dropout2d(x, self.p, self.training)


class Dropout3d(_Dropout):
    """`Dropout2d` for volumes: (N, C, D, H, W) -> (N, C, D, H, W) or (C, D, H, W) -> (C, D, H, W)."""

    def forward(self, x: Tensor) -> Tensor:
        """(N, C, D, H, W) -> (N, C, D, H, W) or (C, D, H, W) -> (C, D, H, W)."""
        return F.dropout3d(x, self.p, self.training)


class AlphaDropout(_Dropout):
    """Dropout behind `SELU`: in training, drops with probability `p` so that mean 0 and variance 1 stay.

    In evaluation mode it returns its input. Any shape -> the same shape (Klambauer et al.: Self-normalizing neural
    networks, 2017).

    Args:
        p: the probability of an element to be dropped.
        inplace: taken for PyTorch's sake; the input is never changed.

    Raises:
        ValueError: `p` is not between 0 and 1.
    """

    def forward(self, x: Tensor) -> Tensor:
        """Any shape -> the same shape."""
        return F.alpha_dropout(x, self.p, self.training)


class FeatureAlphaDropout(_Dropout):
    """`AlphaDropout` of whole channels: (N, C, ...) -> (N, C, ...)."""

    def forward(self, x: Tensor) -> Tensor:
        """(N, C, ...) -> (N, C, ...)."""
        return F.feature_alpha_dropout(x, self.p, self.training)
