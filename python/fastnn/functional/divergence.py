"""Losses between distributions: the Kullback-Leibler divergence, and the likelihood under a normal distribution."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from ..arrays import Array, common_shape, fit, quiet
from ..tensor import Tensor, expect_numbers, expect_tensors, record
from .reduction import REDUCTIONS, check_reduction, real_like, reduced


def kl_div(x: Tensor, target: Any, *, reduction: str = "mean", log_target: bool = False) -> Tensor:
    """The terms target * (log(target) - x) of the Kullback-Leibler divergence, as `torch.nn.functional.kl_div`.

    Args:
        x: log-probabilities, any shape.
        target: probabilities, or their logarithms; of a shape that broadcasts with that of `x`.
        reduction: "batchmean" for the sum divided by the first size of `x`, which is the divergence where there is a
            distribution a row; "mean" over all elements; "sum"; or "none".
        log_target: whether `target` holds logarithms.

    Raises:
        TypeError: `target` has another element type than `x`.
        ValueError: the shapes do not broadcast, or `reduction` is unknown.

    Example:
        >>> import fastnn
        >>> x = fastnn.tensor([[0.5, 0.5]]).log()
        >>> fastnn.functional.kl_div(x, fastnn.tensor([[1.0, 0.0]]), reduction="batchmean")
        tensor(0.6931)
    """
    op = "kl_div"
    expect_tensors(op, x=x)
    check_reduction(op, reduction, (*REDUCTIONS, "batchmean"))
    target = real_like(op, "target", target, x)
    common_shape(op, x=x, target=target)
    a, t = x.data, target.data
    if log_target:
        p, log_p = quiet(np.exp, t), t
        losses = quiet(np.multiply, p, t - a)
    else:
        p, log_p = t, quiet(np.log, t)
        losses = np.where(p == 0, p, quiet(np.multiply, p, log_p)) - p * a  # 0 log(0) = 0
    wants = x.requires_grad, target.requires_grad

    def backward(dy: Array) -> tuple[Array | None, Array | None]:
        dx = fit(-dy * p, a.shape, a.dtype) if wants[0] else None
        if not wants[1]:
            return dx, None
        slope = p * (t - a + 1) if log_target else log_p + 1 - a
        return dx, fit(dy * slope, t.shape, t.dtype)

    y = record(losses, backward, x, target)
    if reduction == "batchmean":
        return y.sum() / x.shape[0] if x.ndim else y.sum()
    return reduced(y, reduction)


def gaussian_nll_loss(
    x: Tensor, target: Any, var: Any, full: bool = False, eps: float = 1e-6, reduction: str = "mean"
) -> Tensor:
    """The negative log-likelihood of a target under normal distributions of mean `x` and variance `var`.

    (log(var) + (x - target)**2 / var) / 2, as `torch.nn.functional.gaussian_nll_loss` (Nix, Weigend, Estimating the
    mean and variance of the target probability distribution, 1994).

    Args:
        x: means, any shape.
        target: of a shape that broadcasts with that of `x`.
        var: variances, at least 0: of the shape of `x`, which may have one size 1 or the last one left out; or a
            number.
        full: whether to add the constant log(2 pi) / 2.
        eps: the least that a variance counts. Its gradient passes nevertheless, so that it can grow.
        reduction: "mean" over all elements, "sum", or "none".

    Raises:
        TypeError: `target` or `var` has another element type than `x`.
        ValueError: an element of `var` is negative, the shapes do not fit, or `reduction` is unknown.

    Example:
        >>> import fastnn
        >>> fastnn.functional.gaussian_nll_loss(fastnn.tensor([1.0]), fastnn.tensor([3.0]), fastnn.tensor([1.0]))
        tensor(2.)
    """
    op = "gaussian_nll_loss"
    expect_tensors(op, x=x)
    expect_numbers(op, eps=eps)
    check_reduction(op, reduction)
    t, v = real_like(op, "target", target, x), real_like(op, "var", var, x)
    common_shape(op, x=x, target=t)
    if (v.data < 0).any():
        raise ValueError(f"{op}: var has elements down to {v.data.min()}; expected at least 0")
    if v.shape != x.shape and not isinstance(var, (int, float)):
        if v.shape == x.shape[:-1]:
            v = v.unsqueeze(-1)
        elif v.ndim != x.ndim or [m for n, m in zip(x.shape, v.shape, strict=True) if n != m] != [1]:
            raise ValueError(
                f"{op}: var has shape {v.shape}; expected {x.shape} as x, with one size 1 or without the last one"
            )
    v = record(quiet(np.maximum, v.data, v.dtype.type(eps)), lambda dy: dy, v)
    difference = x - t
    losses = (v.log() + difference * difference / v) * 0.5
    return reduced(losses + 0.5 * math.log(2 * math.pi) if full else losses, reduction)
