"""Losses."""

from __future__ import annotations

from .. import functional as F
from ..tensor import Tensor
from .module import Module


class CrossEntropyLoss(Module):
    """The cross-entropy between softmax(x) and class labels, from logits: (N, C), (N,) -> ().

    Args:
        ignore_index: the label of samples that do not count.
        reduction: "mean" over the samples that count, "sum", or "none" for one value a sample.
    """

    def __init__(self, *, ignore_index: int = -100, reduction: str = "mean") -> None:
        super().__init__()
        self.ignore_index = ignore_index
        self.reduction = reduction

    def forward(self, x: Tensor, target: Tensor) -> Tensor:
        """Logits (N, C) and int64 labels (N,) -> (), or (N,) with reduction "none"."""
        return F.cross_entropy(x, target, ignore_index=self.ignore_index, reduction=self.reduction)


class MSELoss(Module):
    """(x - target)^2: two tensors of one shape -> ().

    Args:
        reduction: "mean" over all elements, "sum", or "none" for the element-wise squares.
    """

    def __init__(self, *, reduction: str = "mean") -> None:
        super().__init__()
        self.reduction = reduction

    def forward(self, x: Tensor, target: Tensor) -> Tensor:
        """Two tensors of one shape -> (), or that shape with reduction "none"."""
        return F.mse_loss(x, target, reduction=self.reduction)
