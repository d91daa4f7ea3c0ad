"""Tensors chosen element by element from two."""

from __future__ import annotations

from typing import Any

import numpy as np

from .arrays import Array, common_shape, fit, quiet
from .holder import operands
from .tensor import Tensor, as_tensor, expect_tensors, record

__all__ = ["maximum", "minimum", "where"]


def where(condition: Any, x: Any, other: Any) -> Tensor:
    """`x` where a condition holds, and `other` elsewhere, with broadcasting; the gradient goes where the value is from.

    Args:
        condition: booleans; other numbers hold where they are not 0.
        x: a tensor or a number.
        other: a tensor or a number. The element types are promoted to a common one.

    Raises:
        ValueError: the shapes do not broadcast.

    Example:
        >>> import fastnn
        >>> x = fastnn.tensor([-1.0, 2.0])
        >>> fastnn.where(x > 0, x, 0.5)
        tensor([0.5, 2. ])
    """
    a, b = _pair(x, other)
    c = as_tensor(condition).data.astype(bool, copy=False)
    common_shape("where", condition=c, x=a, other=b)
    return _chosen(np.where(c, a.data, b.data), a, b, lambda dy: (np.where(c, dy, 0), np.where(c, 0, dy)))


def maximum(x: Tensor, other: Any) -> Tensor:
    """The larger of each two elements, with broadcasting; NaN wins. Equal ones share the gradient (as in PyTorch).

    Example:
        >>> import fastnn
        >>> fastnn.maximum(fastnn.tensor([1.0, 5.0]), fastnn.tensor([3.0, 4.0]))
        tensor([3., 5.])
    """
    return _extreme("maximum", np.maximum, np.greater, x, other)


def minimum(x: Tensor, other: Any) -> Tensor:
    """The smaller of each two elements, with broadcasting; NaN wins. Equal ones share the gradient (as in PyTorch).

    Example:
        >>> import fastnn
        >>> fastnn.minimum(fastnn.tensor([1.0, 5.0]), fastnn.tensor([3.0, 4.0]))
        tensor([1., 4.])
    """
    return _extreme("minimum", np.minimum, np.less, x, other)


def _extreme(name: str, choose: np.ufunc, beats: np.ufunc, x: Tensor, other: Any) -> Tensor:
    expect_tensors(name, x=x)
    a, b = _pair(x, other)
    v, w = a.data, b.data
    common_shape(name, x=v, other=w)

    def backward(dy: Array) -> tuple[Array, Array]:
        share = beats(v, w) + (v == w) * 0.5
        return dy * share, dy * (1 - share)

    return _chosen(quiet(choose, v, w), a, b, backward)


def _pair(x: Any, other: Any) -> tuple[Tensor, Tensor]:
    """Both as tensors of one type, which numbers take."""
    if not isinstance(x, Tensor):
        if isinstance(other, Tensor):
            b, a = _pair(other, x)
            return a, b
        x = as_tensor(x)
    v, w = operands(x, other)
    if isinstance(w, np.ndarray):
        return _as(x, w.dtype), _as(as_tensor(other), w.dtype)
    dtype = np.result_type(v, w)
    return _as(x, dtype), Tensor(np.asarray(w, dtype))


def _as(x: Tensor, dtype: np.dtype[Any]) -> Tensor:
    return x if x.dtype == dtype else x.astype(dtype)


def _chosen(y: Array, a: Tensor, b: Tensor, gradients: Any) -> Tensor:
    shapes, dtype = (a.shape, b.shape), y.dtype

    def backward(dy: Array) -> tuple[Array, ...]:
        return tuple(fit(np.asarray(g, dtype), shape, dtype) for g, shape in zip(gradients(dy), shapes, strict=True))

    return record(y, backward, a, b)
