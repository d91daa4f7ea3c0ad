"""How far vectors lie apart, and at which angle."""

from __future__ import annotations

from ..arrays import common_shape
from ..tensor import Tensor, expect_numbers, expect_tensors


def cosine_similarity(x1: Tensor, x2: Tensor, dim: int = 1, eps: float = 1e-8) -> Tensor:
    """The cosine of the angle between vectors: `sum(x1 * x2) / (max(norm(x1), eps) * max(norm(x2), eps))`.

    Args:
        x1: vectors along `dim`.
        x2: others; the shapes broadcast.
        dim: a dimension of the shape that both have together. It is gone afterwards.
        eps: the least that a norm counts.

    Raises:
        IndexError: there is no dimension `dim`.
        ValueError: the shapes do not broadcast.

    Example:
        >>> import fastnn
        >>> a, b = fastnn.tensor([[1.0, 0.0], [2.0, 2.0]]), fastnn.tensor([[0.0, 3.0], [1.0, 1.0]])
        >>> fastnn.functional.cosine_similarity(a, b)
        tensor([0., 1.])
    """
    op = "cosine_similarity"
    expect_tensors(op, x1=x1, x2=x2)
    expect_numbers(op, eps=eps)
    shape = common_shape(op, x1=x1, x2=x2)
    units = []
    for x in (x1, x2):
        x = x.expand(shape)
        units.append(x / x.norm(2, dim, keepdim=True).clamp(min=eps))
    return (units[0] * units[1]).sum(dim)


def pairwise_distance(x1: Tensor, x2: Tensor, p: float = 2.0, eps: float = 1e-6, keepdim: bool = False) -> Tensor:
    """The p-norm of `x1 - x2 + eps` along the last dimension, as `torch.nn.functional.pairwise_distance`.

    Args:
        x1: vectors (..., D).
        x2: others; the shapes broadcast.
        p: the order of the norm.
        eps: added to each difference, which keeps the gradient of the root away from 0.
        keepdim: whether the last dimension stays, with size 1.

    Raises:
        ValueError: the shapes do not broadcast.

    Example:
        >>> import fastnn
        >>> fastnn.functional.pairwise_distance(fastnn.tensor([[3.0, 4.0]]), fastnn.tensor([[0.0, 0.0]]))
        tensor([5.])
    """
    op = "pairwise_distance"
    expect_tensors(op, x1=x1, x2=x2)
    expect_numbers(op, p=p, eps=eps)
    common_shape(op, x1=x1, x2=x2)
    return (x1 - x2 + eps).norm(p, -1, keepdim)
