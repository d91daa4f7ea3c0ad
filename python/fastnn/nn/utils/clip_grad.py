"""Clipping of gradients, against steps that are too long.

R. Pascanu, T. Mikolov, Y. Bengio, On the difficulty of training recurrent neural networks, 2013.
"""

from __future__ import annotations

import math
from collections.abc import Iterable

import numpy as np

from ... import ops
from ...arrays import Array, quiet
from ...tensor import Tensor, expect_numbers
from .parameters import listed


def clip_grad_norm_(
    parameters: Tensor | Iterable[Tensor],
    max_norm: float,
    norm_type: float = 2.0,
    error_if_nonfinite: bool = False,
) -> Tensor:
    """Scales all gradients by one factor, in place, so that their norm is at most `max_norm` (as in PyTorch).

    The norm is that of all gradients as one vector. The factor is `max_norm / (norm + 1e-6)`, and 1 where that is
    more.

    Args:
        parameters: a tensor or several; those without a gradient do not count.
        max_norm: the largest norm.
        norm_type: p of the p-norm, above 0; `inf` is the largest absolute value.
        error_if_nonfinite: raise where the norm is infinite or not a number, instead of scaling by 0 or NaN.

    Returns:
        The norm before, of 0 dimensions.

    Raises:
        RuntimeError: with `error_if_nonfinite`, the norm is not finite. The gradients are left as they are.
        TypeError: one of the parameters is not a tensor, or `max_norm` or `norm_type` is not a number.
        ValueError: `norm_type` is not above 0, or `max_norm` is negative or not a number.

    Example:
        >>> import fastnn
        >>> from fastnn import nn
        >>> w = fastnn.tensor([3.0, 4.0], requires_grad=True)
        >>> (w * w / 2).sum().backward()
        >>> nn.utils.clip_grad_norm_(w, max_norm=1.0)
        tensor(5.)
        >>> w.grad
        tensor([0.6, 0.8])
    """
    gradients = _gradients("clip_grad_norm_", parameters)
    expect_numbers("clip_grad_norm_", max_norm=max_norm, norm_type=norm_type)
    if not norm_type > 0:
        raise ValueError(f"clip_grad_norm_: norm_type is {norm_type}; expected a number above 0")
    if not max_norm >= 0:
        raise ValueError(f"clip_grad_norm_: max_norm is {max_norm}; expected at least 0")
    norms = [_norm(g.reshape(-1), norm_type) for g in gradients]
    dtype = np.result_type(*gradients) if gradients else np.float32
    total = quiet(np.asarray, _norm(np.array(norms), norm_type), dtype)
    if error_if_nonfinite and not np.isfinite(total):
        raise RuntimeError(
            f"clip_grad_norm_: the total norm of order {norm_type} is {total}; expected a finite number "
            "(error_if_nonfinite=False clips nevertheless)"
        )
    factor = max_norm / (float(total) + 1e-6)
    if not factor >= 1:  # also where it is NaN
        for gradient in gradients:
            quiet(np.multiply, gradient, gradient.dtype.type(factor), out=gradient)
    return Tensor(total)


def clip_grad_value_(parameters: Tensor | Iterable[Tensor], clip_value: float) -> None:
    """Brings each element of the gradients into [-clip_value, clip_value], in place (as in PyTorch).

    Args:
        parameters: a tensor or several; those without a gradient do not count.
        clip_value: the largest absolute value. NaN stays NaN.

    Raises:
        TypeError: one of the parameters is not a tensor, or `clip_value` is not a number.
        ValueError: `clip_value` is negative or not a number.

    Example:
        >>> import fastnn
        >>> from fastnn import nn
        >>> w = fastnn.tensor([3.0, -4.0], requires_grad=True)
        >>> w.sum().backward()
        >>> nn.utils.clip_grad_value_([w], 0.5)
        >>> w.grad
        tensor([0.5, 0.5])
    """
    gradients = _gradients("clip_grad_value_", parameters)
    expect_numbers("clip_grad_value_", clip_value=clip_value)
    if not clip_value >= 0:
        raise ValueError(f"clip_grad_value_: clip_value is {clip_value}; expected at least 0")
    for gradient in gradients:
        np.clip(gradient, -clip_value, clip_value, out=gradient)


def _gradients(name: str, parameters: Tensor | Iterable[Tensor]) -> list[Array]:
    return [t.grad.data for t in listed(name, parameters) if t.grad is not None]


def _norm(x: Array, p: float) -> float:
    """The p-norm of a vector."""
    if p == 2:
        return math.sqrt(_sum_of_squares(x))
    x = np.abs(x, dtype=np.float64)
    return float(x.max(initial=0) if p == math.inf else quiet(np.power, quiet(np.power, x, p).sum(), 1 / p))


def _sum_of_squares(x: Array) -> float:
    # The kernel takes 22 us for 262,144 elements and is good to 1e-6 unless squares leave the range of float32; in
    # float64 it is 120 us. (BLAS is as fast, but its bits depend on its threads.)
    if x.dtype.char in "fd" and 1e-30 < (total := float(ops.matmul(x[None], x[:, None])[0, 0])) < math.inf:
        return total
    return float(np.einsum("i,i->", x, x, dtype=np.float64))
