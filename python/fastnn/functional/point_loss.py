"""Losses of each prediction and its target: squared and absolute errors, Huber's, those of binary classes.

One kernel computes the losses and their sum, without an array in between.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable
from typing import Any

import numpy as np

from .. import ops
from ..arrays import Array, common_shape, quiet
from ..tensor import Tensor, expect_numbers, expect_tensors, record
from .reduction import check_reduction, real_like, reduced, same_shape

# dloss, x, target, dx -> the gradient of the target
TargetGradient = Callable[[Array, Array, Array, "Array | None"], Array]


def mse_loss(x: Tensor, target: Any, *, reduction: str = "mean", weight: Any = None) -> Tensor:
    """The squared error (x - target)**2, as `torch.nn.functional.mse_loss`.

    Args:
        x: predictions, any shape.
        target: what they should be, of the same element type (integers take it) and shape. Other shapes that broadcast
            are allowed, with a warning: (N,) beside (N, 1) makes all pairs.
        reduction: "mean" over all elements, divided by the sum of the weights where there are some; "sum"; or "none"
            for a loss of the shape of `x`.
        weight: how much each element counts, of the shape of `x`. By default 1.

    Raises:
        TypeError: `target` or `weight` has another element type than `x`.
        ValueError: the shapes do not broadcast, `weight` does not have that of `x`, or `reduction` is unknown.

    Example:
        >>> import fastnn
        >>> fastnn.functional.mse_loss(fastnn.tensor([1.0, 2.0]), fastnn.tensor([0.0, 0.0]))
        tensor(2.5)
    """
    return _error("mse_loss", ops.mse_loss_forward, ops.mse_loss_backward, x, target, reduction, weight, "weights")


def l1_loss(x: Tensor, target: Any, *, reduction: str = "mean", weight: Any = None) -> Tensor:
    """The absolute error abs(x - target), as `torch.nn.functional.l1_loss`; the gradient at 0 is 0.

    Arguments and errors are those of `mse_loss`.

    Example:
        >>> import fastnn
        >>> fastnn.functional.l1_loss(fastnn.tensor([1.0, -2.0]), fastnn.tensor([0.0, 0.0]))
        tensor(1.5)
    """
    return _error("l1_loss", ops.l1_loss_forward, ops.l1_loss_backward, x, target, reduction, weight, "weights")


def smooth_l1_loss(x: Tensor, target: Any, *, reduction: str = "mean", beta: float = 1.0) -> Tensor:
    """The absolute error, rounded off near 0 (Girshick, Fast R-CNN, 2015), as `torch.nn.functional.smooth_l1_loss`.

    With d = abs(x - target): d**2 / (2 * beta) where d < beta, else d - beta / 2.

    Args:
        x: predictions, any shape.
        target: what they should be, as for `mse_loss`.
        reduction: "mean" over all elements, "sum", or "none".
        beta: where the parabola ends; with 0 this is `l1_loss`.

    Raises:
        ValueError: `beta` is negative; and those of `mse_loss`.

    Example:
        >>> import fastnn
        >>> fastnn.functional.smooth_l1_loss(fastnn.tensor([0.5, 2.0]), fastnn.tensor([0.0, 0.0]), reduction="none")
        tensor([0.125, 1.5  ])
    """
    op = "smooth_l1_loss"
    expect_numbers(op, beta=beta)
    if not beta >= 0:
        raise ValueError(f"{op}: beta is {beta}; expected at least 0")
    if beta == 0:
        return _error(op, ops.l1_loss_forward, ops.l1_loss_backward, x, target, reduction)
    forward, backward = ops.smooth_l1_loss_forward, ops.smooth_l1_loss_backward
    return _error(op, forward, backward, x, target, reduction, beta=beta)


def huber_loss(x: Tensor, target: Any, reduction: str = "mean", delta: float = 1.0, weight: Any = None) -> Tensor:
    """Huber's error (Robust Estimation of a Location Parameter, 1964), as `torch.nn.functional.huber_loss`.

    With d = abs(x - target): d**2 / 2 where d <= delta, else delta * (d - delta / 2).

    Args:
        x: predictions, any shape.
        target: what they should be, as for `mse_loss`.
        reduction: "mean" over all elements, whatever the weights (as in PyTorch), "sum", or "none".
        delta: where the parabola ends, above 0.
        weight: how much each element counts, of the shape of `x`. By default 1.

    Raises:
        ValueError: `delta` is not above 0; and those of `mse_loss`.

    Example:
        >>> import fastnn
        >>> fastnn.functional.huber_loss(fastnn.tensor([1.0, 4.0]), fastnn.tensor([0.0, 0.0]), "none", delta=2.0)
        tensor([0.5, 6. ])
    """
    op = "huber_loss"
    expect_numbers(op, delta=delta)
    if not delta > 0:
        raise ValueError(f"{op}: delta is {delta}; expected a number above 0")
    forward, backward = ops.huber_loss_forward, ops.huber_loss_backward
    return _error(op, forward, backward, x, target, reduction, weight, "elements", delta=delta)


def soft_margin_loss(x: Tensor, target: Any, *, reduction: str = "mean") -> Tensor:
    """The logistic loss log(1 + exp(-target * x)) of classes 1 and -1, as `torch.nn.functional.soft_margin_loss`.

    Args:
        x: scores, any shape.
        target: 1 or -1 for each, of a shape that broadcasts with that of `x`.
        reduction: "mean" over all elements, "sum", or "none".

    Raises:
        TypeError: `target` has another element type than `x`.
        ValueError: the shapes do not broadcast, or `reduction` is unknown.

    Example:
        >>> import fastnn
        >>> fastnn.functional.soft_margin_loss(fastnn.tensor([0.0, 1000.0]), fastnn.tensor([1, -1]), reduction="none")
        tensor([6.9315e-01, 1.0000e+03])
    """
    op = "soft_margin_loss"
    expect_tensors(op, x=x)
    check_reduction(op, reduction)
    t = real_like(op, "target", target, x)
    shape = common_shape(op, x=x, target=t)
    forward, backward = ops.soft_margin_loss_forward, ops.soft_margin_loss_backward
    return _pointwise(
        forward, backward, x.expand(shape), t.expand(shape), reduction, lambda dy, x, t, dx: backward(dy, t, x)
    )


def binary_cross_entropy(x: Tensor, target: Any, weight: Any = None, *, reduction: str = "mean") -> Tensor:
    """The cross-entropy of probabilities `x`, as `torch.nn.functional.binary_cross_entropy`.

    -target * log(x) - (1 - target) * log(1 - x), where no logarithm is less than -100. From logits,
    `binary_cross_entropy_with_logits` is more precise.

    Args:
        x: probabilities from 0 to 1, any shape.
        target: from 0 to 1, of the shape and the element type of `x` (integers and booleans take it).
        weight: how much each element counts, broadcast to `x`. By default 1.
        reduction: "mean" over all elements, whatever the weights, "sum", or "none".

    Raises:
        TypeError: `target` or `weight` has another element type than `x`.
        ValueError: an element of `x` or `target` is not from 0 to 1, the shapes do not fit, or `reduction` is unknown.

    Example:
        >>> import fastnn
        >>> x = fastnn.tensor([0.0, 0.5])
        >>> fastnn.functional.binary_cross_entropy(x, fastnn.tensor([1.0, 1.0]), reduction="none")
        tensor([100.    ,   0.6931])
    """
    op = "binary_cross_entropy"
    expect_tensors(op, x=x)
    check_reduction(op, reduction)
    t = same_shape(op, "target", target, x)
    for name, p in (("x", x.data), ("target", t.data)):
        if p.size and not (p.min() >= 0 and p.max() <= 1):
            raise ValueError(f"{op}: {name} has elements from {p.min()} to {p.max()}; expected 0 to 1")

    def dt(dy: Array, x: Array, t: Array, dx: Array | None) -> Array:
        log, log_rest = quiet(np.log, x), quiet(np.log1p, -x)
        return np.asarray(dy * (np.maximum(log_rest, -100) - np.maximum(log, -100)))

    forward, backward = ops.binary_cross_entropy_forward, ops.binary_cross_entropy_backward
    return _weighted(op, forward, backward, x, t, weight, reduction, dt)


def binary_cross_entropy_with_logits(
    x: Tensor, target: Any, weight: Any = None, *, reduction: str = "mean", pos_weight: Any = None
) -> Tensor:
    """The cross-entropy of sigmoid(x), as `torch.nn.functional.binary_cross_entropy_with_logits`.

    -pos_weight * target * log(sigmoid(x)) - (1 - target) * log(1 - sigmoid(x)), by one kernel and without overflow.

    Args:
        x: logits, any shape.
        target: from 0 to 1, of the shape and the element type of `x` (integers and booleans take it).
        weight: how much each element counts, broadcast to `x`. By default 1.
        reduction: "mean" over all elements, whatever the weights, "sum", or "none".
        pos_weight: how much more positive targets count, broadcast to `x`; (C,) has one for each class. By default 1.

    Raises:
        TypeError: `target`, `weight` or `pos_weight` has another element type than `x`.
        ValueError: the shapes do not fit, or `reduction` is unknown.

    Example:
        >>> import fastnn
        >>> x = fastnn.tensor([0.0, 1000.0])
        >>> fastnn.functional.binary_cross_entropy_with_logits(x, fastnn.tensor([1.0, 0.0]), reduction="none")
        tensor([6.9315e-01, 1.0000e+03])
    """
    op = "binary_cross_entropy_with_logits"
    expect_tensors(op, x=x)
    check_reduction(op, reduction)
    t = same_shape(op, "target", target, x)
    positive = None
    if pos_weight is not None:
        positive = np.ascontiguousarray(_expanded(op, "pos_weight", pos_weight, x).data)

    def dt(dy: Array, x: Array, t: Array, dx: Array | None) -> Array:
        return -dy * x if positive is None else dy * ((positive - 1) * np.logaddexp(0, -x) - x)

    forward = ops.binary_cross_entropy_with_logits_forward
    backward = ops.binary_cross_entropy_with_logits_backward
    return _weighted(op, forward, backward, x, t, weight, reduction, dt, pos_weight=positive)


def _error(
    op: str,
    forward: Callable[..., Array],
    backward: Callable[..., Array],
    x: Tensor,
    target: Any,
    reduction: str,
    weight: Any = None,
    divisor: str = "elements",
    **parameter: float,
) -> Tensor:
    """A loss of x - target; the mean divides by the number of "elements", or by the sum of the "weights"."""
    expect_tensors(op, x=x)
    check_reduction(op, reduction)
    t = real_like(op, "target", target, x)
    w = None if weight is None else same_shape(op, "weight", weight, x)
    if t.shape != x.shape:
        shape = common_shape(op, x=x, target=t)
        warnings.warn(
            f"{op}: target has shape {t.shape} and x has {x.shape}, which broadcast to {shape}; "
            "a loss between all these pairs is hardly ever meant",
            stacklevel=3,
        )
        x, t = x.expand(shape), t.expand(shape)

    def dt(dy: Array, x: Array, t: Array, dx: Array | None) -> Array:
        return -(backward(dy, x, t, **parameter) if dx is None else dx)

    if w is None:
        return _pointwise(forward, backward, x, t, reduction, dt, **parameter)
    losses = _pointwise(forward, backward, x, t, "none", dt, **parameter) * w
    return losses.sum() / w.sum() if reduction == "mean" and divisor == "weights" else reduced(losses, reduction)


def _weighted(
    op: str,
    forward: Callable[..., Array],
    backward: Callable[..., Array],
    x: Tensor,
    target: Tensor,
    weight: Any,
    reduction: str,
    dt: TargetGradient,
    **parameter: Array | None,
) -> Tensor:
    """A loss of binary classes."""
    if weight is None:
        return _pointwise(forward, backward, x, target, reduction, dt, **parameter)
    w = _expanded(op, "weight", weight, x)
    return reduced(_pointwise(forward, backward, x, target, "none", dt, **parameter) * w, reduction)


def _pointwise(
    forward: Callable[..., Array],
    backward: Callable[..., Array],
    x: Tensor,
    target: Tensor,
    reduction: str,
    dt: TargetGradient,
    **parameter: Any,
) -> Tensor:
    """What a pair of kernels computes, recorded."""
    a, t = x.data, target.data
    y = forward(a, t, reduction=reduction, **parameter)
    n = max(a.size, 1) if reduction == "mean" else 1
    if not target.requires_grad:
        return record(y, lambda dy: backward(_divided(dy, n), a, t, **parameter), x)
    x_wants = x.requires_grad

    def both(dy: Array) -> tuple[Array | None, Array]:
        g = _divided(dy, n)
        dx = backward(g, a, t, **parameter) if x_wants else None
        return dx, dt(g, a, t, dx)

    return record(y, both, x, target)


def _divided(dy: Array, n: int) -> Array:
    return dy if n == 1 else np.asarray(dy / n, dy.dtype)


def _expanded(op: str, name: str, value: Any, x: Tensor) -> Tensor:
    w = real_like(op, name, value, x)
    try:
        return w.expand(x.shape)
    except ValueError:
        raise ValueError(f"{op}: {name} has shape {w.shape}, which does not broadcast to {x.shape}") from None
