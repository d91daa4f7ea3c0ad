"""Loss functions."""

from __future__ import annotations

from typing import Any

import numpy as np

from .. import ops
from ..tensor import Array, Tensor, as_tensor, expect_tensors, is_grad_enabled, record

_REDUCTIONS = ("mean", "sum", "none")


def cross_entropy(x: Tensor, target: Any, ignore_index: int = -100, reduction: str = "mean") -> Tensor:
    """The cross-entropy of the softmax of `x` with class indices, as `torch.nn.functional.cross_entropy`.

    Args:
        x: logits (N, C), (C,) or (N, C, d1, ...).
        target: integer class indices (N,), () or (N, d1, ...), each from 0 to C - 1 or `ignore_index`.
        ignore_index: samples with this target count for nothing, not in the mean either.
        reduction: "mean" over the samples that count (NaN if there are none), "sum", or "none" for a loss of the
            shape of `target`.

    Raises:
        TypeError: `target` holds no integers.
        ValueError: `target` does not have the shape that `x` demands, or `reduction` is none of the above.
        IndexError: a class index is out of range.

    Example:
        >>> import fastnn
        >>> logits = fastnn.tensor([[2.0, 0.0], [0.0, 0.0]])
        >>> fastnn.functional.cross_entropy(logits, fastnn.tensor([0, 1]), reduction="none")
        tensor([0.1269, 0.6931])
    """
    expect_tensors("cross_entropy", x=x)
    _check_reduction("cross_entropy", reduction)
    labels = as_tensor(target).data
    if x.ndim == 0:
        raise ValueError("cross_entropy: x has shape (); expected (C,), (N, C) or (N, C, d1, ...)")
    expected = x.shape[:-1] if x.ndim == 1 else (x.shape[0], *x.shape[2:])
    if labels.dtype.kind not in "iu":
        raise TypeError(f"cross_entropy: target has dtype {labels.dtype}; expected int64 class indices")
    if labels.shape != expected:
        raise ValueError(
            f"cross_entropy: target has shape {labels.shape}; expected {expected} for x of shape {x.shape}"
        )
    rows = _class_last(x.data)
    shape, labels = rows.shape, labels.reshape(-1)
    keep = x.requires_grad and is_grad_enabled()
    losses, log_probabilities = ops.softmax_cross_entropy_forward(
        rows.reshape(labels.size, shape[-1]), labels, ignore_index, keep
    )

    if reduction == "none":
        loss, count = losses.reshape(expected), 1
    elif reduction == "sum":
        loss, count = np.asarray(losses.sum()), 1
    else:
        count = labels.size - int(np.count_nonzero(labels == ignore_index))
        loss = np.asarray(losses.sum() / count if count else losses.dtype.type(np.nan))

    def backward(dy: Array) -> Array:
        if reduction == "none":
            dlosses = dy.reshape(-1)
        else:
            dlosses = np.full(labels.size, dy / max(count, 1), losses.dtype)
        dx = ops.softmax_cross_entropy_backward(dlosses, log_probabilities, labels, ignore_index).reshape(shape)
        return dx if dx.ndim < 3 else np.moveaxis(dx, -1, 1)

    return record(loss, backward, x)


def mse_loss(x: Tensor, target: Any, reduction: str = "mean") -> Tensor:
    """The squared difference (x - target)**2, as `torch.nn.functional.mse_loss`.

    Args:
        x: predictions, any shape.
        target: what they should be: the same shape and element type (there is no broadcasting).
        reduction: "mean" over all elements, "sum", or "none" for a loss of the shape of `x`.

    Raises:
        TypeError: `target` has another element type than `x`.
        ValueError: `target` has another shape than `x`, or `reduction` is none of the above.

    Example:
        >>> import fastnn
        >>> fastnn.functional.mse_loss(fastnn.tensor([1.0, 2.0]), fastnn.tensor([0.0, 0.0]))
        tensor(2.5)
    """
    expect_tensors("mse_loss", x=x)
    _check_reduction("mse_loss", reduction)
    t = as_tensor(target)
    if t.shape != x.shape:
        raise ValueError(f"mse_loss: target has shape {t.shape}; expected that of x, {x.shape}")
    if t.dtype != x.dtype:
        raise TypeError(f"mse_loss: target has dtype {t.dtype}; expected that of x, {x.dtype}")
    difference = x - t
    squares = difference * difference
    return squares if reduction == "none" else squares.sum() if reduction == "sum" else squares.mean()


def _check_reduction(name: str, reduction: str) -> None:
    if reduction not in _REDUCTIONS:
        raise ValueError(f"{name}: reduction is {reduction!r}; expected one of {_REDUCTIONS}")


def _class_last(x: Array) -> Array:
    """(N, C, d1, ...) -> (N, d1, ..., C), which is how images lie in memory; fewer dimensions as they are."""
    if x.ndim == 4:
        x = ops.to_channels_last(x)
    return np.moveaxis(x, 1, -1) if x.ndim > 2 else x
