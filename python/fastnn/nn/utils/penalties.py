"""Penalties on parameters, to be added to a loss."""

from __future__ import annotations

from collections.abc import Callable, Iterable

import numpy as np

from ...arrays import Array
from ...tensor import Tensor, record
from .parameters import listed


def l1_penalty(parameters: Tensor | Iterable[Tensor]) -> Tensor:
    """The sum of the absolute values of all elements, whose gradient is their sign (0 at 0).

    Added to a loss, it draws weights to exactly 0 (Tibshirani, Regression Shrinkage and Selection via the Lasso, 1996).

    Args:
        parameters: a tensor or several. Biases are usually left out.

    Raises:
        TypeError: one of the parameters is not a tensor.

    Example:
        >>> import fastnn
        >>> from fastnn import nn
        >>> w = fastnn.tensor([3.0, -4.0], requires_grad=True)
        >>> (0.5 * nn.utils.l1_penalty(w)).backward()
        >>> w.grad
        tensor([ 0.5, -0.5])
    """
    return _penalty("l1_penalty", parameters, lambda w: float(np.abs(w).sum(dtype=np.float64)), np.sign)


def l2_penalty(parameters: Tensor | Iterable[Tensor]) -> Tensor:
    """The sum of the squares of all elements, whose gradient is twice the element.

    Added to a loss with the factor c / 2, it does what a `weight_decay` of c does in `optim.SGD` (ridge regression:
    Hoerl, Kennard, 1970).

    Args:
        parameters: a tensor or several. Biases are usually left out.

    Raises:
        TypeError: one of the parameters is not a tensor.

    Example:
        >>> import fastnn
        >>> from fastnn import nn
        >>> model = nn.Linear(2, 1)
        >>> weights = [p for name, p in model.named_parameters() if not name.endswith("bias")]
        >>> loss = model(fastnn.ones(4, 2)).sum() + 0.01 * nn.utils.l2_penalty(weights)
    """
    return _penalty("l2_penalty", parameters, lambda w: float(np.square(w).sum(dtype=np.float64)), lambda w: 2 * w)


def _penalty(
    op: str,
    parameters: Tensor | Iterable[Tensor],
    value: Callable[[Array], float],
    slope: Callable[[Array], Array],
) -> Tensor:
    tensors = listed(op, parameters)
    arrays, wants = [t.data for t in tensors], [t.requires_grad for t in tensors]
    dtype = np.result_type(*arrays) if arrays else np.float32

    def backward(dy: Array) -> tuple[Array | None, ...]:
        return tuple(
            (dy * slope(w)).astype(w.dtype, copy=False) if k else None for w, k in zip(arrays, wants, strict=True)
        )

    total = np.asarray(sum(value(w) for w in arrays), dtype)
    return record(total, backward, *tensors)
