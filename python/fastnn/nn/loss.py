"""Loss layers: each calls the function of its name in `nn.functional`, which says more, with the options given here.

A `reduction` is "mean", "sum" or "none"; weights are buffers, saved with the model.
"""

from __future__ import annotations

from typing import Any

from .. import functional as F
from ..functional.reduction import REDUCTIONS, check_reduction, given
from ..tensor import Tensor, expect_numbers
from .module import Module


class _Loss(Module):
    """A loss with a reduction."""

    _reductions: tuple[str, ...] = REDUCTIONS

    def __init__(self, reduction: str) -> None:
        super().__init__()
        check_reduction(type(self).__name__, reduction, self._reductions)
        self.reduction = reduction


class _WeightedLoss(_Loss):
    """A loss with weights."""

    weight: Tensor | None

    def __init__(self, weight: Any, reduction: str) -> None:
        super().__init__(reduction)
        self._register_weights("weight", weight)

    def _register_weights(self, name: str, values: Any) -> None:
        weights = None if values is None else given(type(self).__name__, name, values).detach()
        self.register_buffer(name, weights)


# ---- classes ------------------------------------------------------------------------------------------------------


class CrossEntropyLoss(_WeightedLoss):
    """The cross-entropy between softmax(x) and classes or probabilities, from logits: (N, C), (N,) -> ().

    Args:
        weight: how much each class counts, (C,).
        ignore_index: the label of samples that do not count.
        reduction: "mean" over the samples that count, weighted; "sum"; or "none" for one value a sample.
        label_smoothing: how much of the target is spread evenly over the classes, from 0 to 1.
    """

    def __init__(
        self,
        weight: Any = None,
        *,
        ignore_index: int = -100,
        reduction: str = "mean",
        label_smoothing: float = 0.0,
    ) -> None:
        super().__init__(weight, reduction)
        self.ignore_index = ignore_index
        self.label_smoothing = label_smoothing

    def forward(self, x: Tensor, target: Any) -> Tensor:
        """Logits (N, C, ...) and int64 labels (N, ...) or probabilities (N, C, ...) -> (); "none": (N, ...)."""
        return F.cross_entropy(
            x,
            target,
            self.weight,
            ignore_index=self.ignore_index,
            reduction=self.reduction,
            label_smoothing=self.label_smoothing,
        )


class NLLLoss(_WeightedLoss):
    """The negative log-likelihood of classes, from log-probabilities: (N, C), (N,) -> ().

    Args:
        weight: how much each class counts, (C,).
        ignore_index: the label of samples that do not count.
        reduction: "mean" over the samples that count, weighted; "sum"; or "none" for one value a sample.
    """

    def __init__(self, weight: Any = None, *, ignore_index: int = -100, reduction: str = "mean") -> None:
        super().__init__(weight, reduction)
        self.ignore_index = ignore_index

    def forward(self, x: Tensor, target: Any) -> Tensor:
        """Log-probabilities (N, C, ...) and int64 labels (N, ...) -> (), or (N, ...) with reduction "none"."""
        return F.nll_loss(x, target, self.weight, ignore_index=self.ignore_index, reduction=self.reduction)


class MultiMarginLoss(_WeightedLoss):
    """The multi-class hinge of support vector machines, from scores: (N, C), (N,) -> ().

    Args:
        p: 1 or 2, the power of what lacks of the margin.
        margin: how far the score of the target should lie above the others.
        weight: how much each class counts, (C,).
        reduction: "mean" over the samples, "sum", or "none" for one value a sample.
    """

    def __init__(self, p: int = 1, margin: float = 1.0, weight: Any = None, *, reduction: str = "mean") -> None:
        super().__init__(weight, reduction)
        if p not in (1, 2):
            raise ValueError(f"MultiMarginLoss: p is {p!r}; expected 1 or 2")
        self.p = p
        self.margin = margin

    def forward(self, x: Tensor, target: Any) -> Tensor:
        """Scores (N, C) and int64 labels (N,) -> (), or (N,) with reduction "none"."""
        return F.multi_margin_loss(x, target, self.p, self.margin, self.weight, reduction=self.reduction)


class MultiLabelMarginLoss(_Loss):
    """The hinge between the classes that a sample has and those that it has not: (N, C), (N, C) -> ()."""

    def __init__(self, *, reduction: str = "mean") -> None:
        super().__init__(reduction)

    def forward(self, x: Tensor, target: Any) -> Tensor:
        """Scores (N, C) and each sample's classes up to the first -1, (N, C) -> (), or (N,) with "none"."""
        return F.multilabel_margin_loss(x, target, reduction=self.reduction)


class MultiLabelSoftMarginLoss(_WeightedLoss):
    """The mean of the binary cross-entropies of all classes, from logits: (N, C), (N, C) -> ().

    Args:
        weight: how much each class counts, (C,).
        reduction: "mean" over the samples, "sum", or "none" for one value a sample.
    """

    def __init__(self, weight: Any = None, *, reduction: str = "mean") -> None:
        super().__init__(weight, reduction)

    def forward(self, x: Tensor, target: Any) -> Tensor:
        """Logits (N, C) and targets 0 or 1 (N, C) -> (), or (N,) with reduction "none"."""
        return F.multilabel_soft_margin_loss(x, target, self.weight, reduction=self.reduction)


# ---- errors -------------------------------------------------------------------------------------------------------


class MSELoss(_Loss):
    """(x - target)^2: two tensors of one shape -> ().

    Args:
        reduction: "mean" over all elements, "sum", or "none" for the element-wise squares.
    """

    def __init__(self, *, reduction: str = "mean") -> None:
        super().__init__(reduction)

    def forward(self, x: Tensor, target: Any) -> Tensor:
        """Two tensors of one shape -> (), or that shape with reduction "none"."""
        return F.mse_loss(x, target, reduction=self.reduction)


class L1Loss(_Loss):
    """abs(x - target): two tensors of one shape -> ().

    Args:
        reduction: "mean" over all elements, "sum", or "none".
    """

    def __init__(self, *, reduction: str = "mean") -> None:
        super().__init__(reduction)

    def forward(self, x: Tensor, target: Any) -> Tensor:
        """Two tensors of one shape -> (), or that shape with reduction "none"."""
        return F.l1_loss(x, target, reduction=self.reduction)


class SmoothL1Loss(_Loss):
    """abs(x - target), rounded off by a parabola below `beta`: two tensors of one shape -> ().

    Args:
        reduction: "mean" over all elements, "sum", or "none".
        beta: where the parabola ends.
    """

    def __init__(self, *, reduction: str = "mean", beta: float = 1.0) -> None:
        super().__init__(reduction)
        self.beta = beta

    def forward(self, x: Tensor, target: Any) -> Tensor:
        """Two tensors of one shape -> (), or that shape with reduction "none"."""
        return F.smooth_l1_loss(x, target, reduction=self.reduction, beta=self.beta)


class HuberLoss(_Loss):
    """Half the squared error up to `delta`, then a straight line: two tensors of one shape -> ().

    Args:
        reduction: "mean" over all elements, "sum", or "none".
        delta: where the parabola ends.
    """

    def __init__(self, reduction: str = "mean", delta: float = 1.0) -> None:
        super().__init__(reduction)
        expect_numbers("HuberLoss", delta=delta)
        self.delta = delta

    def forward(self, x: Tensor, target: Any) -> Tensor:
        """Two tensors of one shape -> (), or that shape with reduction "none"."""
        return F.huber_loss(x, target, self.reduction, self.delta)


# ---- two classes --------------------------------------------------------------------------------------------------


class BCELoss(_WeightedLoss):
    """The cross-entropy of probabilities x and targets from 0 to 1: two tensors of one shape -> ().

    Args:
        weight: how much each element counts, broadcast to that shape.
        reduction: "mean" over all elements, "sum", or "none".
    """

    def __init__(self, weight: Any = None, *, reduction: str = "mean") -> None:
        super().__init__(weight, reduction)

    def forward(self, x: Tensor, target: Any) -> Tensor:
        """Two tensors of one shape -> (), or that shape with reduction "none"."""
        return F.binary_cross_entropy(x, target, self.weight, reduction=self.reduction)


class BCEWithLogitsLoss(_WeightedLoss):
    """The cross-entropy of sigmoid(x) and targets from 0 to 1: two tensors of one shape -> ().

    Args:
        weight: how much each element counts, broadcast to that shape.
        reduction: "mean" over all elements, "sum", or "none".
        pos_weight: how much more positive targets count, broadcast to that shape.
    """

    pos_weight: Tensor | None

    def __init__(self, weight: Any = None, *, reduction: str = "mean", pos_weight: Any = None) -> None:
        super().__init__(weight, reduction)
        self._register_weights("pos_weight", pos_weight)

    def forward(self, x: Tensor, target: Any) -> Tensor:
        """Two tensors of one shape -> (), or that shape with reduction "none"."""
        return F.binary_cross_entropy_with_logits(
            x, target, self.weight, reduction=self.reduction, pos_weight=self.pos_weight
        )


class SoftMarginLoss(_Loss):
    """log(1 + exp(-target * x)) with targets 1 and -1: two tensors of one shape -> ().

    Args:
        reduction: "mean" over all elements, "sum", or "none".
    """

    def __init__(self, *, reduction: str = "mean") -> None:
        super().__init__(reduction)

    def forward(self, x: Tensor, target: Any) -> Tensor:
        """Two tensors of one shape -> (), or that shape with reduction "none"."""
        return F.soft_margin_loss(x, target, reduction=self.reduction)


# ---- distributions ------------------------------------------------------------------------------------------------


class KLDivLoss(_Loss):
    """The Kullback-Leibler divergence from log-probabilities x to a target: two tensors of one shape -> ().

    Args:
        reduction: "batchmean" for the divergence of distributions in rows; "mean" over all elements, "sum" or "none".
        log_target: whether the targets are log-probabilities.
    """

    _reductions = (*REDUCTIONS, "batchmean")

    def __init__(self, *, reduction: str = "mean", log_target: bool = False) -> None:
        super().__init__(reduction)
        self.log_target = log_target

    def forward(self, x: Tensor, target: Any) -> Tensor:
        """Two tensors of one shape -> (), or that shape with reduction "none"."""
        return F.kl_div(x, target, reduction=self.reduction, log_target=self.log_target)


class GaussianNLLLoss(_Loss):
    """The negative log-likelihood of targets under normal distributions: three tensors of one shape -> ().

    Args:
        full: whether to add the constant log(2 pi) / 2.
        eps: the least that a variance counts.
        reduction: "mean" over all elements, "sum", or "none".
    """

    def __init__(self, *, full: bool = False, eps: float = 1e-6, reduction: str = "mean") -> None:
        super().__init__(reduction)
        self.full = full
        self.eps = eps

    def forward(self, x: Tensor, target: Any, var: Any) -> Tensor:
        """Means, targets and variances of one shape -> (), or that shape with reduction "none"."""
        return F.gaussian_nll_loss(x, target, var, self.full, self.eps, self.reduction)


# ---- pairs --------------------------------------------------------------------------------------------------------


class HingeEmbeddingLoss(_Loss):
    """x where the target is 1, max(0, margin - x) where it is -1: two tensors of one shape -> ().

    Args:
        margin: how far pairs that do not belong together should lie apart.
        reduction: "mean" over all elements, "sum", or "none".
    """

    def __init__(self, margin: float = 1.0, *, reduction: str = "mean") -> None:
        super().__init__(reduction)
        self.margin = margin

    def forward(self, x: Tensor, target: Any) -> Tensor:
        """Two tensors of one shape -> (), or that shape with reduction "none"."""
        return F.hinge_embedding_loss(x, target, self.margin, reduction=self.reduction)


class MarginRankingLoss(_Loss):
    """max(0, margin - target * (x1 - x2)): three tensors of one shape -> ().

    Args:
        margin: by how much the larger score should be larger.
        reduction: "mean" over all elements, "sum", or "none".
    """

    def __init__(self, margin: float = 0.0, *, reduction: str = "mean") -> None:
        super().__init__(reduction)
        self.margin = margin

    def forward(self, x1: Tensor, x2: Tensor, target: Any) -> Tensor:
        """Scores, scores and targets 1 or -1 of one shape -> (), or that shape with reduction "none"."""
        return F.margin_ranking_loss(x1, x2, target, self.margin, reduction=self.reduction)


class CosineEmbeddingLoss(_Loss):
    """1 - cos where the target is 1, max(0, cos - margin) where it is -1: (N, D), (N, D), (N,) -> ().

    Args:
        margin: the largest cosine that costs nothing for vectors that do not belong together.
        reduction: "mean" over all pairs, "sum", or "none".
    """

    def __init__(self, margin: float = 0.0, *, reduction: str = "mean") -> None:
        super().__init__(reduction)
        self.margin = margin

    def forward(self, x1: Tensor, x2: Tensor, target: Any) -> Tensor:
        """(N, D), (N, D) and targets 1 or -1, (N,) -> (), or (N,) with reduction "none"."""
        return F.cosine_embedding_loss(x1, x2, target, self.margin, reduction=self.reduction)


class TripletMarginLoss(_Loss):
    """max(0, distance of anchor and positive - distance of anchor and negative + margin): 3 times (N, D) -> ().

    Args:
        margin: how much farther the negative should be, above 0.
        p: the order of the norm.
        eps: added to each difference.
        swap: whether the distance of positive and negative counts where it is smaller.
        reduction: "mean" over all triplets, "sum", or "none".
    """

    def __init__(
        self, margin: float = 1.0, p: float = 2.0, eps: float = 1e-6, swap: bool = False, *, reduction: str = "mean"
    ) -> None:
        super().__init__(reduction)
        expect_numbers("TripletMarginLoss", margin=margin)
        if not margin > 0:
            raise ValueError(f"TripletMarginLoss: margin is {margin}; expected a number above 0")
        self.margin = margin
        self.p = p
        self.eps = eps
        self.swap = swap

    def forward(self, anchor: Tensor, positive: Tensor, negative: Tensor) -> Tensor:
        """Three tensors (N, D) -> (), or (N,) with reduction "none"."""
        return F.triplet_margin_loss(
            anchor, positive, negative, self.margin, self.p, self.eps, self.swap, reduction=self.reduction
        )
