"""Embeddings: rows of a table by their numbers."""

from __future__ import annotations

from operator import index
from typing import Any

import numpy as np

from .. import ops
from ..norms import p_norm
from ..tensor import Array, Tensor, as_tensor, expect_numbers, expect_tensors, record


def embedding(
    x: Any,
    weight: Tensor,
    padding_idx: int | None = None,
    max_norm: float | None = None,
    norm_type: float = 2.0,
    scale_grad_by_freq: bool = False,
    sparse: bool = False,
) -> Tensor:
    """The rows of `weight` that `x` names, as `torch.nn.functional.embedding`. (...) -> (..., D).

    Args:
        x: integer indices of any shape, each from 0 to V - 1.
        weight: (V, D).
        padding_idx: an index, counted from the end where it is negative, whose row gets no gradient.
        max_norm: rows that `x` names and whose norm is larger are scaled to this norm first, in `weight` itself.
        norm_type: the exponent of that norm, (sum of abs(w)**p)**(1 / p).
        scale_grad_by_freq: whether the gradient of a row is divided by the number of times that `x` names it.
        sparse: not supported: gradients are dense.

    Raises:
        TypeError: `x` holds no integers, or `weight` is not floating-point.
        ValueError: `weight` does not have 2 dimensions, or `padding_idx` is out of range.
        IndexError: an index is out of range.
        NotImplementedError: with `sparse`.

    Example:
        >>> import fastnn
        >>> weight = fastnn.tensor([[0.0, 0.0], [1.0, 2.0], [3.0, 4.0]])
        >>> fastnn.functional.embedding(fastnn.tensor([2, 1]), weight)
        tensor([[3., 4.],
                [1., 2.]])
    """
    expect_tensors("embedding", weight=weight)
    check_options("embedding", max_norm, norm_type, sparse)
    indices = as_tensor(x).data
    if max_norm is not None:
        _limit_norms(weight.data, indices, max_norm, norm_type)
    y = ops.embedding_forward(indices, weight.data)
    rows = weight.shape[0]
    padding = checked_padding_idx("embedding", padding_idx, rows)

    def backward(dy: Array) -> Array:
        dw = ops.embedding_backward(dy, indices, rows, padding)
        if scale_grad_by_freq:
            counts = np.bincount(indices.ravel(), minlength=rows)
            dw /= np.maximum(counts, 1)[:, None]
        return dw

    return record(y, backward, weight)


def _limit_norms(weight: Array, indices: Array, max_norm: float, norm_type: float) -> None:
    """Scales the rows that are named and longer, in place, by PyTorch's factor."""
    rows = np.unique(indices)
    vectors = ops.embedding_forward(rows, weight)
    norms, _ = p_norm(vectors, norm_type, (1,), keepdim=True)
    longer = norms[:, 0] > max_norm
    weight[rows[longer]] = vectors[longer] * (max_norm / (norms[longer] + 1e-7)).astype(weight.dtype)


def check_options(name: str, max_norm: float | None, norm_type: float, sparse: bool) -> None:
    """Raises an error that names the option that is no number or not supported."""
    expect_numbers(name, norm_type=norm_type, max_norm=0 if max_norm is None else max_norm)
    if sparse:
        raise NotImplementedError(f"{name}: sparse=True is not supported; gradients are dense")


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
