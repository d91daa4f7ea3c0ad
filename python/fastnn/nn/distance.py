"""Distances and angles between vectors, as layers."""

from __future__ import annotations

from .. import functional as F
from ..tensor import Tensor
from .module import Module


class CosineSimilarity(Module):
    """The cosine of the angle between the vectors along one dimension of two tensors, which is gone afterwards.

    Args:
        dim: the dimension.
        eps: the least that the norm of a vector counts.
    """

    def __init__(self, dim: int = 1, eps: float = 1e-8) -> None:
        super().__init__()
        self.dim = dim
        self.eps = eps

    def forward(self, x1: Tensor, x2: Tensor) -> Tensor:
        """Two tensors whose shapes broadcast -> that shape without `dim`."""
        return F.cosine_similarity(x1, x2, self.dim, self.eps)


class PairwiseDistance(Module):
    """The p-norm of `x1 - x2 + eps` along the last dimension: (..., D), (..., D) -> (...).

    Args:
        p: the order of the norm.
        eps: added to each difference, which keeps the gradient of the root away from 0.
        keepdim: whether the last dimension stays, with size 1.
    """

    def __init__(self, p: float = 2.0, eps: float = 1e-6, keepdim: bool = False) -> None:
        super().__init__()
        self.norm = p
        self.eps = eps
        self.keepdim = keepdim

    def forward(self, x1: Tensor, x2: Tensor) -> Tensor:
        """(..., D), (..., D) -> (...)."""
        return F.pairwise_distance(x1, x2, self.norm, self.eps, self.keepdim)
