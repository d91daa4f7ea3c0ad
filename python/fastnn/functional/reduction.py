"""What losses have in common: targets, weights, and how the losses of elements become one number."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import DTypeLike

from .. import ops
from ..arrays import Array
from ..tensor import Tensor, as_tensor

REDUCTIONS = ("mean", "sum", "none")


def check_reduction(op: str, reduction: str, known: tuple[str, ...] = REDUCTIONS) -> None:
    """Raises ValueError for a reduction that is not known."""
    if reduction not in known:
        raise ValueError(f"{op}: reduction is {reduction!r}; expected one of {known}")


def reduced(losses: Tensor, reduction: str) -> Tensor:
    """The mean or the sum of all losses, or the losses as they are."""
    return losses if reduction == "none" else losses.sum() if reduction == "sum" else losses.mean()


def given(op: str, name: str, value: Any, dtype: DTypeLike | None = None) -> Tensor:
    """A further argument as a tensor. TypeError, naming it, where it makes none."""
    try:
        return as_tensor(value, dtype)
    except (TypeError, ValueError) as error:
        raise TypeError(f"{op}: {name} is {value!r}; expected a tensor, or what makes one") from error


def real_like(op: str, name: str, value: Any, x: Tensor) -> Tensor:
    """A further argument as a tensor of the element type of `x`, which integers and Python's numbers take."""
    if x.dtype.kind != "f":
        raise TypeError(f"{op}: x has dtype {x.dtype}; expected float32 or float64")
    t = given(op, name, value, x.dtype if isinstance(value, (bool, int, float, list, tuple)) else None)
    if t.dtype.kind != "f":
        return t.astype(x.dtype)
    if t.dtype != x.dtype:
        raise TypeError(f"{op}: {name} has dtype {t.dtype}; expected that of x, {x.dtype}")
    return t


def same_shape(op: str, name: str, value: Any, x: Tensor) -> Tensor:
    """A further argument of the shape and the element type of `x`."""
    t = real_like(op, name, value, x)
    if t.shape != x.shape:
        raise ValueError(f"{op}: {name} has shape {t.shape}; expected that of x, {x.shape}")
    return t


def class_rows(op: str, x: Tensor) -> tuple[Array, tuple[int, ...]]:
    """Scores (N, C), (C,) or (N, C, d1, ...) with the classes last, and the shape (N,), () or (N, d1, ...) without."""
    if x.ndim == 0:
        raise ValueError(f"{op}: x has shape (); expected (C,), (N, C) or (N, C, d1, ...)")
    if x.dtype.kind != "f":
        raise TypeError(f"{op}: x has dtype {x.dtype}; expected float32 or float64")
    return class_last(x.data), x.shape[:-1] if x.ndim == 1 else (x.shape[0], *x.shape[2:])


def class_last(x: Array) -> Array:
    """(N, C, d1, ...) -> (N, d1, ..., C), which is how images lie in memory; fewer dimensions as they are."""
    if x.ndim == 4:
        x = ops.to_channels_last(x)
    return np.moveaxis(x, 1, -1) if x.ndim > 2 else x


def class_second(x: Array) -> Array:
    """(N, d1, ..., C) -> (N, C, d1, ...); fewer dimensions as they are."""
    return np.moveaxis(x, -1, 1) if x.ndim > 2 else x


def class_labels(op: str, target: Any, samples: tuple[int, ...], x: Tensor) -> Array:
    """Class indices of this shape, flat; whether they are in range is for the caller."""
    labels = given(op, "target", target).data
    if labels.dtype.kind not in "iu":
        raise TypeError(f"{op}: target has dtype {labels.dtype}; expected int64 class indices")
    if labels.shape != samples:
        raise ValueError(f"{op}: target has shape {labels.shape}; expected {samples} for x of shape {x.shape}")
    return labels.reshape(-1)


def check_in_range(op: str, labels: Array, classes: int, counts: Array | bool = True) -> None:
    """Raises IndexError for a label that counts and is no class."""
    wrong = np.flatnonzero(((labels < 0) | (labels >= classes)) & counts)
    if wrong.size:
        i = wrong[0]
        raise IndexError(f"{op}: target[{i}] is {labels[i]}, out of range for {classes} classes")


def class_weights(op: str, weight: Any, classes: int, x: Tensor) -> Array | None:
    """One weight for each class, or None."""
    if weight is None:
        return None
    w = real_like(op, "weight", weight, x).data
    if w.shape != (classes,):
        raise ValueError(f"{op}: weight has shape {w.shape}; expected one for each class, ({classes},)")
    return w


def reduce_samples(
    losses: Array, samples: tuple[int, ...], reduction: str, weight: Callable[[], float]
) -> tuple[Array, Callable[[Array], Array]]:
    """The losses of all samples, flat, reduced; and what takes the gradient of the result to those of the samples.

    The mean is their sum divided by their `weight()`, NaN where nothing counts.
    """
    if reduction == "none":
        return losses.reshape(samples), lambda dy: dy.reshape(-1)
    count, dtype, divisor = losses.size, losses.dtype, weight() if reduction == "mean" else 1.0
    total = losses.sum() / divisor if divisor else math.nan
    return np.asarray(total, dtype), lambda dy: np.full(count, dy / (divisor or 1), dtype)
