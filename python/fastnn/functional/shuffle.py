"""Rearrangements of channels and pixels."""

from __future__ import annotations

from .. import ops
from ..tensor import Array, Tensor, expect_tensors, record
from .sizes import sizes


def pixel_shuffle(x: Tensor, upscale_factor: int) -> Tensor:
    """Makes r x r pixels of r^2 channels, as in PyTorch: (..., C r^2, H, W) -> (..., C, H r, W r).

    y[c, h r + i, w r + j] = x[c r^2 + i r + j, h, w] (Shi et al.: Real-time single image and video super-resolution
    using an efficient sub-pixel convolutional neural network, 2016).

    Args:
        x: the input, of 3 dimensions or more.
        upscale_factor: r.

    Raises:
        TypeError: an argument has another type or dtype.
        ValueError: fewer dimensions, or channels that are no multiple of r^2.

    Example:
        >>> import fastnn, fastnn.nn.functional as F
        >>> F.pixel_shuffle(fastnn.ones(1, 8, 4, 4), 2).shape
        (1, 2, 8, 8)
    """
    (r,) = sizes("pixel_shuffle", "upscale_factor", upscale_factor, 1, 1)
    *batch, C, H, W = _image_shape("pixel_shuffle", x)
    if C % (r * r):
        raise ValueError(f"pixel_shuffle: x has {C} channels; expected a multiple of {r * r}")
    before, after = x.shape, (*batch, C // (r * r), H * r, W * r)
    y = _to_pixels(_as_batch(x.data), r).reshape(after)
    return record(y, lambda dy: _to_channels(_as_batch(dy), r).reshape(before), x)


def pixel_unshuffle(x: Tensor, downscale_factor: int) -> Tensor:
    """Makes r^2 channels of r x r pixels, the inverse of `pixel_shuffle`: (..., C, H r, W r) -> (..., C r^2, H, W).

    Args:
        x: the input, of 3 dimensions or more.
        downscale_factor: r.

    Raises:
        TypeError: an argument has another type or dtype.
        ValueError: fewer dimensions, or a height or width that is no multiple of r.

    Example:
        >>> import fastnn, fastnn.nn.functional as F
        >>> F.pixel_unshuffle(fastnn.ones(1, 2, 8, 8), 2).shape
        (1, 8, 4, 4)
    """
    (r,) = sizes("pixel_unshuffle", "downscale_factor", downscale_factor, 1, 1)
    *batch, C, H, W = _image_shape("pixel_unshuffle", x)
    if H % r or W % r:
        raise ValueError(f"pixel_unshuffle: x has {H} x {W} pixels; expected multiples of {r}")
    before, after = x.shape, (*batch, C * r * r, H // r, W // r)
    y = _to_channels(_as_batch(x.data), r).reshape(after)
    return record(y, lambda dy: _to_pixels(_as_batch(dy), r).reshape(before), x)


def channel_shuffle(x: Tensor, groups: int) -> Tensor:
    """Deals the channels of each group out to all groups, as in PyTorch: (N, C, ...) -> (N, C, ...).

    Channel i of group g of `groups` becomes channel g of block i (Zhang et al.: ShuffleNet, 2018).

    Args:
        x: the input, of 3 dimensions or more.
        groups: divides the channels.

    Raises:
        TypeError: an argument has another type or dtype.
        ValueError: fewer dimensions, or channels that are no multiple of `groups`.

    Example:
        >>> import fastnn, fastnn.nn.functional as F
        >>> F.channel_shuffle(fastnn.tensor([[[1.0], [2.0], [3.0], [4.0]]]), 2).flatten().tolist()
        [1.0, 3.0, 2.0, 4.0]
    """
    (groups,) = sizes("channel_shuffle", "groups", groups, 1, 1)
    expect_tensors("channel_shuffle", x=x)
    if x.ndim < 3 or x.shape[1] % groups:
        raise ValueError(
            f"channel_shuffle: x has shape {x.shape}; expected (N, C, ...) with C a multiple of {groups} groups"
        )
    N, C, *rest = x.shape
    if x.ndim == 4 and x.dtype.char in "fd":
        y = _deal_channels(x.data, groups)
        return record(y, lambda dy: _deal_channels(dy, max(C // groups, 1)), x)
    return x.reshape(N, groups, C // groups, *rest).transpose(1, 2).reshape(x.shape)


def _image_shape(op: str, x: Tensor) -> tuple[int, ...]:
    expect_tensors(op, x=x)
    if x.ndim < 3:
        raise ValueError(f"{op}: x has shape {x.shape}; expected (..., C, H, W)")
    if x.dtype.char not in "fd":
        raise TypeError(f"{op}: x has dtype {x.dtype}; expected float32 or float64")
    return x.shape


def _as_batch(x: Array) -> Array:
    """(..., C, H, W) -> (N, C, H, W)."""
    if x.ndim == 4:
        return x
    return ops.to_contiguous(x).reshape(-1, *x.shape[-3:]) if x.size else x.reshape(0, *x.shape[-3:])


def _to_pixels(x: Array, r: int) -> Array:
    """(N, C r^2, H, W) -> (N, C, H r, W r), channels-last: first within each pixel, then whole runs of channels."""
    N, channels, H, W = x.shape
    C = channels // (r * r)
    inside = ops.to_channels_last(x).transpose(0, 2, 3, 1).reshape(N * H * W, C, r, r)
    pixels = ops.to_channels_last(inside).transpose(0, 2, 3, 1).reshape(N * H, W, r, r * C)
    return ops.to_contiguous(pixels.swapaxes(1, 2)).reshape(N, H * r, W * r, C).transpose(0, 3, 1, 2)


def _to_channels(y: Array, r: int) -> Array:
    """The inverse of `_to_pixels`."""
    N, C, height, width = y.shape
    H, W = height // r, width // r
    runs = ops.to_channels_last(y).transpose(0, 2, 3, 1).reshape(N * H, r, W, r * C)
    pixels = ops.to_contiguous(runs.swapaxes(1, 2))
    inside = ops.to_contiguous(pixels.reshape(N * H * W, r, r, C).transpose(0, 3, 1, 2))
    return inside.reshape(N, H, W, C * r * r).transpose(0, 3, 1, 2)


def _deal_channels(x: Array, groups: int) -> Array:
    N, C, H, W = x.shape
    pixels = ops.to_channels_last(x).transpose(0, 2, 3, 1).reshape(N * H * W, groups, 1, C // groups)
    return ops.to_channels_last(pixels).transpose(0, 2, 3, 1).reshape(N, H, W, C).transpose(0, 3, 1, 2)
