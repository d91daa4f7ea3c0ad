"""Losses that want pairs of vectors or scores to be near, or apart by a margin."""

from __future__ import annotations

from typing import Any

from ..arrays import common_shape
from ..selection import minimum, where
from ..tensor import Tensor, expect_numbers, expect_tensors
from .distance import pairwise_distance
from .reduction import check_reduction, real_like, reduced


def hinge_embedding_loss(x: Tensor, target: Any, margin: float = 1.0, *, reduction: str = "mean") -> Tensor:
    """The distance `x` of pairs that belong together, and what others lack of a margin.

    x where the target is 1, max(0, margin - x) where it is -1, as `torch.nn.functional.hinge_embedding_loss`.

    Args:
        x: distances, any shape.
        target: 1 or -1 for each, of a shape that broadcasts with that of `x`.
        margin: how far pairs that do not belong together should lie apart.
        reduction: "mean" over all elements, "sum", or "none".

    Raises:
        ValueError: the shapes do not broadcast, or `reduction` is unknown.

    Example:
        >>> import fastnn
        >>> x, target = fastnn.tensor([0.3, 0.4]), fastnn.tensor([1, -1])
        >>> fastnn.functional.hinge_embedding_loss(x, target, reduction="none")
        tensor([0.3, 0.6])
    """
    op = "hinge_embedding_loss"
    expect_tensors(op, x=x)
    expect_numbers(op, margin=margin)
    check_reduction(op, reduction)
    t = real_like(op, "target", target, x)
    common_shape(op, x=x, target=t)
    apart = where(t != 1, (margin - x).clamp(min=0), 0.0)
    return reduced(apart + where(t != -1, x, 0.0), reduction)


def margin_ranking_loss(x1: Tensor, x2: Tensor, target: Any, margin: float = 0.0, *, reduction: str = "mean") -> Tensor:
    """max(0, margin - target * (x1 - x2)), as `torch.nn.functional.margin_ranking_loss`.

    Args:
        x1: scores, any shape.
        x2: others; the shapes broadcast, with as many dimensions each.
        target: 1 where `x1` should be larger, -1 where `x2` should.
        margin: by how much.
        reduction: "mean" over all elements, "sum", or "none".

    Raises:
        ValueError: the shapes do not fit, or `reduction` is unknown.

    Example:
        >>> import fastnn
        >>> a, b = fastnn.tensor([1.0, 2.0]), fastnn.tensor([0.5, 3.0])
        >>> fastnn.functional.margin_ranking_loss(a, b, fastnn.tensor([1, 1]), reduction="none")
        tensor([0., 1.])
    """
    op = "margin_ranking_loss"
    expect_tensors(op, x1=x1, x2=x2)
    expect_numbers(op, margin=margin)
    check_reduction(op, reduction)
    t = real_like(op, "target", target, x1)
    if not x1.ndim == x2.ndim == t.ndim:
        raise ValueError(
            f"{op}: x1, x2 and target have shapes {x1.shape}, {x2.shape} and {t.shape}; expected as many dimensions"
        )
    common_shape(op, x1=x1, x2=x2, target=t)
    return reduced((margin - t * (x1 - x2)).clamp(min=0), reduction)


def cosine_embedding_loss(
    x1: Tensor, x2: Tensor, target: Any, margin: float = 0.0, *, reduction: str = "mean"
) -> Tensor:
    """1 - cos of the angle between vectors that belong together, and max(0, cos - margin) of others.

    As `torch.nn.functional.cosine_embedding_loss`; the squares of the norms are taken 1e-12 larger than they are.

    Args:
        x1: vectors (N, D) or (D,).
        x2: others; the shapes broadcast, with as many dimensions each.
        target: 1 for vectors that belong together, -1 for others, (N,) or ().
        margin: the largest cosine, from -1 to 1, that costs nothing for others.
        reduction: "mean" over all pairs, "sum", or "none".

    Raises:
        ValueError: the shapes do not fit, or `reduction` is unknown.

    Example:
        >>> import fastnn
        >>> a, b = fastnn.tensor([[1.0, 0.0], [1.0, 0.0]]), fastnn.tensor([[0.0, 1.0], [2.0, 0.0]])
        >>> fastnn.functional.cosine_embedding_loss(a, b, fastnn.tensor([1, -1]), reduction="none")
        tensor([1., 1.])
    """
    op = "cosine_embedding_loss"
    expect_tensors(op, x1=x1, x2=x2)
    expect_numbers(op, margin=margin)
    check_reduction(op, reduction)
    t = real_like(op, "target", target, x1)
    if x1.ndim not in (1, 2) or not x1.ndim == x2.ndim == t.ndim + 1:
        raise ValueError(
            f"{op}: x1, x2 and target have shapes {x1.shape}, {x2.shape} and {t.shape}; "
            "expected (N, D), (N, D) and (N,), or (D,), (D,) and ()"
        )
    common_shape(op, x1=x1, x2=x2)
    squares = ((x1 * x1).sum(-1) + 1e-12) * ((x2 * x2).sum(-1) + 1e-12)
    cosines = (x1 * x2).sum(-1) / squares.sqrt()
    common_shape(op, cosines=cosines, target=t)
    together = where(t == 1, 1 - cosines, 0.0)
    return reduced(together + where(t == -1, (cosines - margin).clamp(min=0), 0.0), reduction)


def triplet_margin_loss(
    anchor: Tensor,
    positive: Tensor,
    negative: Tensor,
    margin: float = 1.0,
    p: float = 2,
    eps: float = 1e-6,
    swap: bool = False,
    *,
    reduction: str = "mean",
) -> Tensor:
    """max(0, distance of anchor and positive - distance of anchor and negative + margin).

    As `torch.nn.functional.triplet_margin_loss` (Balntas et al., Learning Local Feature Descriptors with Triplets and
    Shallow Convolutional Neural Networks, 2016). Distances are those of `pairwise_distance`.

    Args:
        anchor: vectors (N, D) or (D,).
        positive: vectors that should be near them.
        negative: vectors that should be farther from them; all with as many dimensions each, and broadcast.
        margin: how much farther, above 0.
        p: the order of the norm.
        eps: added to each difference.
        swap: take the distance of positive and negative in place of that of anchor and negative where it is smaller.
        reduction: "mean" over all triplets, "sum", or "none".

    Raises:
        ValueError: `margin` is not above 0, the shapes do not fit, or `reduction` is unknown.

    Example:
        >>> import fastnn
        >>> a, b, c = (fastnn.tensor([[v, 0.0]]) for v in (0.0, 1.0, 1.5))
        >>> fastnn.functional.triplet_margin_loss(a, b, c)
        tensor(0.5)
    """
    op = "triplet_margin_loss"
    expect_tensors(op, anchor=anchor, positive=positive, negative=negative)
    expect_numbers(op, margin=margin, p=p, eps=eps)
    check_reduction(op, reduction)
    if not margin > 0:
        raise ValueError(f"{op}: margin is {margin}; expected a number above 0")
    if not anchor.ndim == positive.ndim == negative.ndim:
        raise ValueError(
            f"{op}: anchor, positive and negative have shapes {anchor.shape}, {positive.shape} and {negative.shape}; "
            "expected as many dimensions"
        )
    common_shape(op, anchor=anchor, positive=positive, negative=negative)
    near, far = pairwise_distance(anchor, positive, p, eps), pairwise_distance(anchor, negative, p, eps)
    if swap:
        far = minimum(far, pairwise_distance(positive, negative, p, eps))
    return reduced((near - far + margin).clamp(min=0), reduction)
