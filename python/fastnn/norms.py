"""p-norms of arrays and their gradients."""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np

from .arrays import Array, elementwise, power, total


def p_norm(x: Array, p: float, axes: tuple[int, ...], keepdim: bool) -> tuple[Array, Callable[[Array], Array]]:
    """`sum(abs(x) ** p) ** (1 / p)` along some axes, and what takes the gradient of it to that of `x`.

    For p = inf and -inf it is the largest and the smallest absolute value, whose gradient equal ones share; for p = 0
    the number of elements that are not 0, which has none. Where the norm is 0 the gradient is 0 (as in PyTorch).
    """
    size = x if p == 2 else elementwise(np.abs, x)
    if math.isinf(p):
        pick = np.max if p > 0 else np.min
        y = np.asarray(pick(size, axis=axes, keepdims=True))

        def slope() -> Array:
            first = size == y
            return np.asarray(np.sign(x) * first / np.count_nonzero(first, axis=axes, keepdims=True))
    elif p == 0:
        y = np.asarray(np.count_nonzero(x, axis=axes, keepdims=True)).astype(x.dtype)

        def slope() -> Array:
            return np.zeros_like(x)
    elif p == 1:
        y = total(size, axes, keepdims=True)

        def slope() -> Array:
            return np.sign(x)
    else:
        y = power(total(power(size, p), axes, keepdims=True), 1 / p)

        def slope() -> Array:
            relative = elementwise(np.true_divide, x, np.where(y == 0, np.inf, y))
            if p == 2:
                return relative
            return np.where(relative == 0, 0, np.sign(relative) * np.abs(relative) ** (p - 1))

    def backward(dy: Array) -> Array:
        return np.asarray(elementwise(np.multiply, slope(), dy.reshape(y.shape)), x.dtype)

    return (y if keepdim else y.squeeze(axes)), backward
