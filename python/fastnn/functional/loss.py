"""Losses of class scores: cross-entropy, negative log-likelihood, hinges."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from .. import ops
from ..arrays import Array, integer, quiet
from ..tensor import Tensor, expect_numbers, expect_tensors, is_grad_enabled, record
from .point_loss import binary_cross_entropy_with_logits
from .reduction import (
    check_in_range,
    check_reduction,
    class_labels,
    class_last,
    class_rows,
    class_second,
    class_weights,
    given,
    real_like,
    reduce_samples,
    reduced,
    same_shape,
)


def cross_entropy(
    x: Tensor,
    target: Any,
    weight: Any = None,
    *,
    ignore_index: int = -100,
    reduction: str = "mean",
    label_smoothing: float = 0.0,
) -> Tensor:
    """The cross-entropy of the softmax of `x` with classes or probabilities, as `torch.nn.functional.cross_entropy`.

    The loss of a sample is `-sum(weight * q * log_softmax(x))` over the classes, with
    `q = (1 - label_smoothing) * p + label_smoothing / C`, where p is 1 for the target's class and 0 for others, or the
    target itself. One kernel computes it.

    Args:
        x: logits (N, C), (C,) or (N, C, d1, ...).
        target: integer class indices (N,), () or (N, d1, ...), each from 0 to C - 1 or `ignore_index`; or
            probabilities of the shape and element type of `x`.
        weight: how much each class counts, (C,). By default 1.
        ignore_index: samples with this class count for nothing, not in the mean either.
        reduction: "mean", "sum", or "none" for a loss of the shape of a target of classes. The mean over classes is
            weighted: the sum divided by the sum of the weights of the targets (NaN if nothing counts); that over
            probabilities divides by the number of samples.
        label_smoothing: from 0 to 1 (Szegedy et al., Rethinking the Inception Architecture, 2016).

    Raises:
        TypeError: `target` holds neither integers nor numbers of the type of `x`.
        ValueError: `target` or `weight` does not have the shape that `x` demands, `reduction` is none of the above,
            `label_smoothing` is out of range, or an `ignore_index` from 0 on comes with probabilities.
        IndexError: a class index is out of range.

    Example:
        >>> import fastnn
        >>> logits = fastnn.tensor([[2.0, 0.0], [0.0, 0.0]])
        >>> fastnn.functional.cross_entropy(logits, fastnn.tensor([0, 1]), reduction="none")
        tensor([0.1269, 0.6931])
    """
    op = "cross_entropy"
    expect_tensors(op, x=x)
    expect_numbers(op, label_smoothing=label_smoothing)
    check_reduction(op, reduction)
    if not 0 <= label_smoothing <= 1:
        raise ValueError(f"{op}: label_smoothing is {label_smoothing}; expected a number from 0 to 1")
    rows, samples = class_rows(op, x)
    C, count = rows.shape[-1], math.prod(samples)
    w = class_weights(op, weight, C, x)
    t, ignore_index = given(op, "target", target), integer(op, ignore_index=ignore_index)
    inputs: tuple[Tensor, ...]
    if t.dtype.kind != "f":
        aim, inputs = class_labels(op, t, samples, x), (x,)
    elif t.shape == x.shape:
        if ignore_index >= 0:
            raise ValueError(f"{op}: ignore_index is {ignore_index}, and target holds probabilities, not classes")
        aim, inputs = class_last(real_like(op, "target", t, x).data).reshape(count, C), (x, t)
    else:
        raise ValueError(
            f"{op}: target has dtype {t.dtype} and shape {t.shape}; expected int64 class indices of shape {samples} "
            f"or probabilities of shape {x.shape}"
        )
    options: dict[str, Any] = {"weight": w, "label_smoothing": label_smoothing}
    keep = is_grad_enabled() and any(i.requires_grad for i in inputs)
    losses, y = ops.softmax_cross_entropy_forward(rows.reshape(count, C), aim, ignore_index, keep, **options)

    loss, to_samples = reduce_samples(
        losses, samples, reduction, lambda: count if len(inputs) > 1 else _weight_of(aim, w, ignore_index)
    )
    shape, wants = rows.shape, [i.requires_grad for i in inputs]

    def backward(dy: Array) -> Array | tuple[Array | None, ...]:
        g = to_samples(dy)
        dx = dt = None
        if wants[0]:
            dx = ops.softmax_cross_entropy_backward(g, y, aim, ignore_index, **options)
            dx = class_second(dx.reshape(shape))
        if wants[-1] and len(wants) > 1:
            g = g * g.dtype.type(label_smoothing - 1)
            dt = class_second((g[:, None] * (y if w is None else y * w)).reshape(shape))
        return (dx, dt)[: len(wants)]

    return record(loss, backward, *inputs)


def nll_loss(
    x: Tensor, target: Any, weight: Any = None, *, ignore_index: int = -100, reduction: str = "mean"
) -> Tensor:
    """The negative log-likelihood `-weight[target] * x[target]`, as `torch.nn.functional.nll_loss`.

    Args:
        x: log-probabilities (N, C), (C,) or (N, C, d1, ...), of `log_softmax` for example.
        target: integer class indices (N,), () or (N, d1, ...), each from 0 to C - 1 or `ignore_index`.
        weight: how much each class counts, (C,). By default 1.
        ignore_index: samples with this class count for nothing, not in the mean either.
        reduction: "mean", weighted by the classes' weights; "sum"; or "none" for a loss of the shape of `target`.

    Raises:
        TypeError: `target` holds no integers.
        ValueError: `target` or `weight` does not have the shape that `x` demands, or `reduction` is unknown.
        IndexError: a class index is out of range.

    Example:
        >>> import fastnn
        >>> from fastnn import functional as F
        >>> F.nll_loss(F.log_softmax(fastnn.tensor([[2.0, 0.0]]), dim=1), fastnn.tensor([0]))
        tensor(0.1269)
    """
    op = "nll_loss"
    expect_tensors(op, x=x)
    check_reduction(op, reduction)
    rows, samples = class_rows(op, x)
    w = class_weights(op, weight, rows.shape[-1], x)
    labels, ignore_index = class_labels(op, target, samples, x), integer(op, ignore_index=ignore_index)
    counts = labels != ignore_index
    check_in_range(op, labels, rows.shape[-1], counts)
    shape, dtype = rows.shape, rows.dtype
    counted = np.flatnonzero(counts)
    chosen = labels[counted].astype(np.intp)
    places, scale = counted * shape[-1] + chosen, -1 if w is None else -w[chosen]
    losses = np.zeros(labels.size, dtype)
    losses[counted] = scale * rows.reshape(-1)[places]

    loss, to_samples = reduce_samples(losses, samples, reduction, lambda: _weight_of(labels, w, ignore_index))

    def backward(dy: Array) -> Array:
        dx = ops.empty(shape, dtype)
        dx[...] = 0
        dx.reshape(-1)[places] = scale * to_samples(dy)[counted]
        return class_second(dx)

    return record(loss, backward, x)


def multi_margin_loss(
    x: Tensor, target: Any, p: int = 1, margin: float = 1.0, weight: Any = None, *, reduction: str = "mean"
) -> Tensor:
    """The multi-class hinge of linear classifiers and support vector machines (Crammer, Singer, 2001).

    `weight[y] / C * sum(max(0, margin - x[y] + x[c]) ** p)` over the classes c other than the target y, as
    `torch.nn.functional.multi_margin_loss`.

    Args:
        x: scores (N, C) or (C,).
        target: integer class indices (N,) or ().
        p: 1 or 2.
        margin: how far the score of the target should lie above the others.
        weight: how much each class counts as a target, (C,). By default 1.
        reduction: "mean" over the samples, "sum", or "none" for a loss of the shape of `target`.

    Raises:
        TypeError: `target` holds no integers.
        ValueError: `p` is neither 1 nor 2, `target` or `weight` does not have the shape that `x` demands, or
            `reduction` is unknown.
        IndexError: a class index is out of range.

    Example:
        >>> import fastnn
        >>> fastnn.functional.multi_margin_loss(fastnn.tensor([[2.0, 1.5, -1.0]]), fastnn.tensor([0]))
        tensor(0.1667)
    """
    op = "multi_margin_loss"
    expect_tensors(op, x=x)
    expect_numbers(op, margin=margin)
    check_reduction(op, reduction)
    if p not in (1, 2):
        raise ValueError(f"{op}: p is {p!r}; expected 1 or 2")
    rows, samples, C = _score_rows(op, x)
    w = class_weights(op, weight, C, x)
    labels = class_labels(op, target, samples, x)
    check_in_range(op, labels, C)
    shape, own = x.shape, (np.arange(labels.size), labels.astype(np.intp))
    excess = quiet(np.maximum, rows - rows[own][:, None] + margin, 0)  # NaN stays
    excess[own] = 0
    scale = (np.full(labels.size, 1 / C) if w is None else w[own[1]] / C).astype(rows.dtype, copy=False)
    losses = (excess if p == 1 else excess * excess).sum(1) * scale

    def backward(dy: Array) -> Array:
        slope = (excess != 0).astype(excess.dtype) if p == 1 else 2 * excess
        dx = slope * (dy.reshape(-1) * scale)[:, None]
        dx[own] = -dx.sum(1)
        return np.asarray(dx.reshape(shape))

    return reduced(record(losses.reshape(samples), backward, x), reduction)


def multilabel_margin_loss(x: Tensor, target: Any, *, reduction: str = "mean") -> Tensor:
    """The hinge between the classes that a sample has and those that it has not.

    `sum(max(0, 1 - x[y] + x[c])) / C` over the target's classes y and the other classes c, as
    `torch.nn.functional.multilabel_margin_loss`.

    Args:
        x: scores (N, C) or (C,).
        target: the classes of each sample, of the shape of `x`: integers up to the first -1.
        reduction: "mean" over the samples, "sum", or "none" for a loss for each sample.

    Raises:
        TypeError: `target` holds no integers.
        ValueError: `target` has another shape than `x`, or `reduction` is unknown.
        IndexError: a class index is out of range.

    Example:
        >>> import fastnn
        >>> fastnn.functional.multilabel_margin_loss(fastnn.tensor([0.1, 0.2, 0.4, 0.8]), fastnn.tensor([3, 0, -1, 1]))
        tensor(0.85)
    """
    op = "multilabel_margin_loss"
    expect_tensors(op, x=x)
    check_reduction(op, reduction)
    rows, samples, C = _score_rows(op, x)
    labels = class_labels(op, target, x.shape, x).reshape(-1, C)
    listed = np.logical_and.accumulate(labels != -1, axis=1)
    check_in_range(op, labels.reshape(-1), C, listed.reshape(-1))
    longest = int(listed.sum(1).max(initial=0))
    listed, labels = listed[:, :longest], np.where(listed, labels, 0)[:, :longest].astype(np.intp)
    own = np.zeros(rows.shape, bool)
    own[np.nonzero(listed)[0], labels[listed]] = True
    pairs = listed[:, :, None] & ~own[:, None, :]  # (N, the target's classes, C)
    excess = quiet(np.maximum, 1 - np.take_along_axis(rows, labels, 1)[:, :, None] + rows[:, None, :], 0) * pairs
    losses = excess.sum((1, 2)) / max(C, 1)
    shape = x.shape

    def backward(dy: Array) -> Array:
        slope = (excess != 0) * (dy.reshape(-1, 1, 1) / C)
        dx = slope.sum(1)
        np.subtract.at(dx, (np.arange(len(dx))[:, None], labels), slope.sum(2))
        return np.asarray(dx.reshape(shape))

    return reduced(record(losses.reshape(samples).astype(rows.dtype, copy=False), backward, x), reduction)


def multilabel_soft_margin_loss(x: Tensor, target: Any, weight: Any = None, *, reduction: str = "mean") -> Tensor:
    """The mean over the classes of `binary_cross_entropy_with_logits`, for samples of several classes each.

    Args:
        x: logits (..., C).
        target: 1 for the classes that a sample has, else 0; of the shape of `x`.
        weight: how much each class counts, broadcast to `x`. By default 1.
        reduction: "mean" over the samples, "sum", or "none" for a loss for each sample, (...).

    Raises:
        TypeError: `target` has another element type than `x`.
        ValueError: `target` has another shape than `x`, or `reduction` is unknown.

    Example:
        >>> import fastnn
        >>> fastnn.functional.multilabel_soft_margin_loss(fastnn.tensor([[0.0, 0.0]]), fastnn.tensor([[0, 1]]))
        tensor(0.6931)
    """
    op = "multilabel_soft_margin_loss"
    expect_tensors(op, x=x)
    check_reduction(op, reduction)
    if x.ndim == 0:
        raise ValueError(f"{op}: x has shape (); expected (..., C)")
    t = same_shape(op, "target", target, x)
    losses = binary_cross_entropy_with_logits(x, t, weight, reduction="none")
    return reduced(losses.mean(-1), reduction)


def _weight_of(labels: Array, weight: Array | None, ignore_index: int) -> float:
    """By what the mean divides: the weights of the samples' classes, or how many samples count."""
    if weight is None:
        return labels.size - int(np.count_nonzero(labels == ignore_index))
    return float(weight[labels[labels != ignore_index].astype(np.intp)].sum(dtype=np.float64))


def _score_rows(op: str, x: Tensor) -> tuple[Array, tuple[int, ...], int]:
    """Scores (N, C) or (C,) as rows, the shape without the classes, and C."""
    if x.ndim not in (1, 2) or x.shape[-1] == 0:
        raise ValueError(f"{op}: x has shape {x.shape}; expected (N, C) or (C,)")
    if x.dtype.kind != "f":
        raise TypeError(f"{op}: x has dtype {x.dtype}; expected float32 or float64")
    return x.data.reshape(-1, x.shape[-1]), x.shape[:-1], x.shape[-1]
