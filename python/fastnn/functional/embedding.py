"""Embeddings: rows of a table by their numbers."""

from __future__ import annotations

from operator import index
from typing import Any

from .. import ops
from ..tensor import Array, Tensor, as_tensor, expect_tensors, record


def embedding(x: Any, weight: Tensor, padding_idx: int | None = None) -> Tensor:
    """The rows of `weight` that `x` names, as `torch.nn.functional.embedding`. (...) -> (..., D).

    Args:
        x: integer indices of any shape, each from 0 to V - 1.
        weight: (V, D).
        padding_idx: an index, counted from the end where it is negative, whose row gets no gradient.

    Raises:
        TypeError: `x` holds no integers, or `weight` is not floating-point.
        ValueError: `weight` does not have 2 dimensions, or `padding_idx` is out of range.
        IndexError: an index is out of range.

    Example:
        >>> import fastnn
        >>> weight = fastnn.tensor([[0.0, 0.0], [1.0, 2.0], [3.0, 4.0]])
        >>> fastnn.functional.embedding(fastnn.tensor([2, 1]), weight)
        tensor([[3., 4.],
                [1., 2.]])
    """
    expect_tensors("embedding", weight=weight)
    indices = as_tensor(x).data
    y = ops.embedding_forward(indices, weight.data)
    rows = weight.shape[0]
    padding = checked_padding_idx("embedding", padding_idx, rows)

    def backward(dy: Array) -> Array:
        return ops.embedding_backward(dy, indices, rows, padding)

    return record(y, backward, weight)


def checked_padding_idx(name: str, padding_idx: int | None, rows: int) -> int | None:
    """`padding_idx` counted from the start, or None. Raises an error that names it where it is no index of a row."""
    if padding_idx is None:
        return None
    try:
        row = index(padding_idx)
    except TypeError:
        raise TypeError(f"{name}: padding_idx is {padding_idx!r}; expected an integer") from None
    if not -rows <= row < rows:
        raise ValueError(f"{name}: padding_idx is {row}; expected {-rows} to {rows - 1}")
    return row % rows
