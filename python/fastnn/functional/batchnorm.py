"""Batch normalization."""

from __future__ import annotations

from functools import partial

import numpy as np

from .. import ops
from ..arrays import quiet
from ..deferred import Deferred, Tail, deferred
from ..tensor import Array, Tensor, expect_numbers, expect_tensors, record


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
        TypeError: element types other than float32 and float64, or different ones; a momentum that is no number.
        ValueError: shapes that do not fit together; one value a channel in training; no running statistics otherwise.

    Example:
        >>> import fastnn
        >>> fastnn.functional.batch_norm(fastnn.tensor([[1.0], [3.0]]), None, None, training=True, eps=0.0)
        tensor([[-1.],
                [ 1.]])
    """
    expect_tensors("batch_norm", x=x)
    if x.ndim not in (2, 3, 4):
        raise ValueError(f"batch_norm: x has shape {x.shape}; expected (N, C), (N, C, L) or (N, C, H, W)")
    if x.dtype.char not in "fd":
        raise TypeError(f"batch_norm: x has dtype {x.dtype}; expected float32 or float64")
    channels = x.shape[1:2]
    for name, t in (("running_mean", running_mean), ("running_var", running_var), ("weight", weight), ("bias", bias)):
        if t is not None:  # before the running statistics move
            if not isinstance(t, Tensor):
                expect_tensors("batch_norm", **{name: t})
            if t.shape != channels:
                raise ValueError(f"batch_norm: {name} has shape {t.shape}; expected {channels}")
            if t.dtype != x.dtype:
                raise TypeError(f"batch_norm: {name} has dtype {t.dtype}, x has {x.dtype}")
    expect_numbers("batch_norm", momentum=momentum, eps=eps)

    if type(x) is Deferred and not training and running_mean is not None and running_var is not None:
        mean, var = running_mean.data.copy(), running_var.data.copy()  # training would change them
        step = partial(
            batch_norm, running_mean=Tensor(mean), running_var=Tensor(var), weight=weight, bias=bias, eps=eps
        )
        scale, shift = quiet(_scale_and_shift, mean, var, weight, bias, eps)
        if (fused := x.then_scaled(scale, shift, step)) is not None:
            return fused

    images = x.data if x.ndim != 3 else x.data[:, :, None]  # a signal is an image of one row
    if images.ndim == 4:
        images = ops.to_channels_last(images)
    mean_data = None if running_mean is None else running_mean.data
    var_data = None if running_var is None else running_var.data
    if training:
        if images.size == images.shape[1] > 0:
            raise ValueError(f"batch_norm: Expected more than 1 value per channel when training, x has shape {x.shape}")
        mean, inv_std = ops.batch_norm_statistics(images, eps, mean_data, var_data, momentum)
    elif mean_data is None or var_data is None:
        raise ValueError("batch_norm: running_mean and running_var are None; expected both unless training")
    else:
        mean, inv_std = mean_data.copy(), quiet(_inverse_deviation, var_data, eps)  # training would change them
    params = mean, inv_std, None if weight is None else weight.data, None if bias is None else bias.data
    inputs = tuple(t for t in (x, weight, bias) if t is not None)

    def finish(tail: Tail) -> Tensor:
        residual, relu = tail.residual, tail.relu
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

    return deferred(finish, lambda: x.shape, x.dtype, *inputs)


def _inverse_deviation(var: Array, eps: float) -> Array:
    return 1 / np.sqrt(var + eps)


def _scale_and_shift(mean: Array, var: Array, weight: Tensor | None, bias: Tensor | None, eps: float) -> Array:
    """The two rows of it: normalization by known statistics is x * scale + shift."""
    out = np.empty((2, len(mean)), mean.dtype)
    scale, shift = out
    np.divide(1, np.sqrt(var + eps), out=scale)
    if weight is not None:
        scale *= weight.data
    np.multiply(mean, scale, out=shift)
    np.subtract(0 if bias is None else bias.data, shift, out=shift)
    return out
