"""Batch normalization."""

from __future__ import annotations

import numpy as np

from .. import ops
from ..arrays import quiet
from ..deferred import deferred
from ..tensor import Array, Tensor, expect_tensors, record


def batch_norm(
    x: Tensor,
    running_mean: Tensor | None,
    running_var: Tensor | None,
    weight: Tensor | None = None,
    bias: Tensor | None = None,
    training: bool = False,
    momentum: float = 0.1,
    eps: float = 1e-5,
) -> Tensor:
    """(x - mean) / sqrt(var + eps) * weight + bias for each channel, as in PyTorch.

    In training, mean and variance (with divisor n) are those of `x` over all dimensions but the channels', and the
    running ones move towards them by the factor `momentum` (the variance with divisor n - 1). Otherwise the running
    ones take their place.

    Ioffe and Szegedy: Batch Normalization, ICML 2015.

    Args:
        x: (N, C), (N, C, L) or (N, C, H, W).
        running_mean: (C,), changed in place in training; None in training alone.
        running_var: (C,), likewise.
        weight: (C,), or None for 1.
        bias: (C,), or None for 0.
        training: whether to use the statistics of `x`.
        momentum: how far the running statistics move.
        eps: added to the variance.

    Returns:
        A tensor of the shape of `x`.

    Raises:
        TypeError: element types other than float32 and float64, or different ones.
        ValueError: shapes that do not fit together; one value a channel in training; no running statistics otherwise.

    Example:
        >>> import fastnn
        >>> fastnn.functional.batch_norm(fastnn.tensor([[1.0], [3.0]]), None, None, training=True, eps=0.0)
        tensor([[-1.],
                [ 1.]])
    """
    expect_tensors("batch_norm", x=x)
    optional = {"running_mean": running_mean, "running_var": running_var, "weight": weight, "bias": bias}
    expect_tensors("batch_norm", **{name: t for name, t in optional.items() if t is not None})
    if x.ndim not in (2, 3, 4):
        raise ValueError(f"batch_norm: x has shape {x.shape}; expected (N, C), (N, C, L) or (N, C, H, W)")
    for name, t in optional.items():
        if t is not None and t.shape != x.shape[1:2]:
            raise ValueError(f"batch_norm: {name} has shape {t.shape}; expected {x.shape[1:2]}")

    images = x.data if x.ndim != 3 else x.data[:, :, None]  # a signal is an image of one row
    if images.ndim == 4:
        images = ops.to_channels_last(images)
    if training:
        mean, var = _batch_statistics(images, running_mean, running_var, momentum)
    elif running_mean is None or running_var is None:
        raise ValueError("batch_norm: running_mean and running_var are None; expected both unless training")
    else:
        mean, var = running_mean.data.copy(), running_var.data  # training may change it before backward
    inv_std = quiet(_inverse_deviation, var, eps)
    params = mean, inv_std, None if weight is None else weight.data, None if bias is None else bias.data
    inputs = tuple(t for t in (x, weight, bias) if t is not None)

    def finish(residual: Tensor | None, relu: bool) -> Tensor:
        adds = residual is not None
        added = residual.data.reshape(images.shape) if residual is not None else None
        y = ops.batch_norm_forward(images, *params, added, relu)
        shape, kept = x.shape, y if adds and relu else None  # without a residual, y's sign is calculated anew

        def backward(dy: Array) -> tuple[Array | None, ...]:
            flags = training, relu, kept is not None
            dx, dw, db, dresidual = ops.batch_norm_backward(dy.reshape(images.shape), images, *params, kept, *flags)
            gradients = [dx.reshape(shape), *(g for g in (dw, db) if g is not None)]
            if adds:
                gradients.append(dy if dresidual is None else dresidual.reshape(shape))
            return tuple(gradients)

        return record(y.reshape(shape), backward, *inputs, *(() if residual is None else (residual,)))

    return deferred(finish, x.shape, x.dtype, *inputs)


def _batch_statistics(
    x: Array, running_mean: Tensor | None, running_var: Tensor | None, momentum: float
) -> tuple[Array, Array]:
    """Mean and variance of `x`; moves the running ones."""
    n = x.size // x.shape[1] if x.shape[1] else 0
    if n == 1:
        raise ValueError(f"batch_norm: Expected more than 1 value per channel when training, x has shape {x.shape}")
    mean, var = ops.batch_norm_statistics(x)
    for running, batch, factor in ((running_mean, mean, 1.0), (running_var, var, n / max(n - 1, 1))):
        if running is not None and n > 0:
            quiet(_move, running.data, batch * factor, momentum)
    return mean, var


def _move(running: Array, batch: Array, momentum: float) -> None:
    running *= 1 - momentum
    running += momentum * batch


def _inverse_deviation(var: Array, eps: float) -> Array:
    return 1 / np.sqrt(var + eps)
