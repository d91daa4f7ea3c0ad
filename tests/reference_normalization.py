"""The float64 oracle of the normalizations that look at one sample at a time (see reference.py)."""

import numpy as np

from reference import but_channels, in_float64, per_channel


def windows(C, size):
    """(C, C): row c has ones at the channels of c's window."""
    c, i = np.ogrid[:C, :C]
    return ((i >= c - size // 2) & (i <= c + (size - 1) // 2)).astype(np.float64)


@in_float64
def local_response_norm_forward(x, size, alpha=1e-4, beta=0.75, k=1.0):
    s = k + alpha / size * np.einsum("ci,ni...->nc...", windows(x.shape[1], size), x * x)
    return x * s**-beta


@in_float64
def local_response_norm_backward(dy, x, size, alpha=1e-4, beta=0.75, k=1.0):
    window = windows(x.shape[1], size)
    s = k + alpha / size * np.einsum("ci,ni...->nc...", window, x * x)
    t = dy * x * s ** (-beta - 1)
    return dy * s**-beta - 2 * alpha * beta / size * x * np.einsum("ci,nc...->ni...", window, t)


def last_axes(x, normalized_shape):
    return tuple(range(x.ndim - len(normalized_shape), x.ndim))


@in_float64
def layer_norm_forward(x, normalized_shape, weight=None, bias=None, eps=1e-5, centered=True):
    axes = last_axes(x, normalized_shape)
    d = x - x.mean(axes, keepdims=True) if centered else x
    z = d / np.sqrt((d**2).mean(axes, keepdims=True) + eps)
    return z * (1 if weight is None else weight) + (0 if bias is None else bias)


@in_float64
def layer_norm_backward(dy, x, normalized_shape, weight=None, eps=1e-5, centered=True):
    """(dx, dweight, dbias)."""
    axes = last_axes(x, normalized_shape)
    d = x - x.mean(axes, keepdims=True) if centered else x
    inv_std = 1 / np.sqrt((d**2).mean(axes, keepdims=True) + eps)
    g, z = dy * (1 if weight is None else weight), d * inv_std
    dx = inv_std * (g - z * (g * z).mean(axes, keepdims=True) - (g.mean(axes, keepdims=True) if centered else 0))
    rows = tuple(range(x.ndim - len(normalized_shape)))
    return dx, (dy * z).sum(rows), dy.sum(rows)


@in_float64
def group_norm_forward(x, num_groups, weight=None, bias=None, eps=1e-5):
    groups = x.reshape(len(x), num_groups, -1)
    y = layer_norm_forward(groups, groups.shape[2:], eps=eps).reshape(x.shape)
    y = y if weight is None else y * per_channel(weight, x.ndim)
    return y if bias is None else y + per_channel(bias, x.ndim)


@in_float64
def group_norm_backward(dy, x, num_groups, weight=None, eps=1e-5):
    """(dx, dweight, dbias)."""
    g = (dy if weight is None else dy * per_channel(weight, x.ndim)).reshape(len(x), num_groups, -1)
    groups = x.reshape(len(x), num_groups, -1)
    dx = layer_norm_backward(g, groups, groups.shape[2:], eps=eps)[0].reshape(x.shape)
    z = layer_norm_forward(groups, groups.shape[2:], eps=eps).reshape(x.shape)
    axes = but_channels(x.ndim)
    return dx, (dy * z).sum(axes), dy.sum(axes)
