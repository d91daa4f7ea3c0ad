"""Volumes (N, C, D, H, W) as stacks of images, for the operations that have kernels for images only.

In memory they are channels-last as images are: (N, D, H, W, C). Their slices are then images without a copy.
"""

from __future__ import annotations

from .. import ops
from ..tensor import Array


def to_channels_last(x: Array) -> Array:
    """(N, C, D, H, W) -> (N, D, H, W, C), C-contiguous; without a copy where the memory is so already."""
    return ops.to_contiguous(x.transpose(0, 2, 3, 4, 1))


def to_images(x: Array) -> Array:
    """(N, C, D, H, W) -> (N * D, C, H, W), channels-last."""
    N, C, D, H, W = x.shape
    return to_channels_last(x).reshape(N * D, H, W, C).transpose(0, 3, 1, 2)


def from_images(images: Array, N: int, D: int) -> Array:
    """(N * D, C, H, W), channels-last -> (N, C, D, H, W)."""
    C, H, W = images.shape[1:]
    inside = ops.to_channels_last(images).transpose(0, 2, 3, 1)
    return inside.reshape(N, D, H, W, C).transpose(0, 4, 1, 2, 3)
