"""Layers that only rearrange elements."""

from __future__ import annotations

import math
from collections.abc import Sequence

from .. import functional as F
from ..arrays import one_axis
from ..tensor import Tensor, expect_tensors
from .module import Module
from .sizes import checked_size


class Flatten(Module):
    """Merges the dimensions from `start_dim` to `end_dim`, by default all but the first: (N, ...) -> (N, features)."""

    def __init__(self, start_dim: int = 1, end_dim: int = -1) -> None:
        super().__init__()
        self.start_dim = start_dim
        self.end_dim = end_dim

    def forward(self, x: Tensor) -> Tensor:
        """(N, ...) -> (N, features)."""
        expect_tensors("Flatten", x=x)
        return x.flatten(self.start_dim, self.end_dim)

    def extra_repr(self) -> str:
        """The dimensions."""
        return f"start_dim={self.start_dim}, end_dim={self.end_dim}"


class Unflatten(Module):
    """Splits a dimension into several, the inverse of `Flatten`: (N, features) -> (N, *unflattened_size).

    Args:
        dim: the dimension.
        unflattened_size: its new sizes; one of them may be -1.

    Example:
        >>> import fastnn
        >>> from fastnn import nn
        >>> nn.Unflatten(1, (2, 5, -1))(fastnn.ones(3, 40)).shape
        (3, 2, 5, 4)
    """

    def __init__(self, dim: int, unflattened_size: Sequence[int]) -> None:
        super().__init__()
        self.dim = checked_size("Unflatten: dim", dim, minimum=-64)
        if not isinstance(unflattened_size, Sequence) or isinstance(unflattened_size, str):
            raise TypeError(f"Unflatten: unflattened_size is {unflattened_size!r}; expected a sequence of integers")
        self.unflattened_size = tuple(checked_size("Unflatten: a size", n, minimum=-1) for n in unflattened_size)
        if not self.unflattened_size:
            raise ValueError("Unflatten: unflattened_size is empty")

    def forward(self, x: Tensor) -> Tensor:
        """(N, features) -> (N, *unflattened_size)."""
        expect_tensors("Unflatten", x=x)
        axis = one_axis("Unflatten", self.dim, x.ndim)
        return x.reshape(*x.shape[:axis], *self._sizes(x.shape[axis]), *x.shape[axis + 1 :])

    def _sizes(self, size: int) -> tuple[int, ...]:
        known = math.prod(n for n in self.unflattened_size if n >= 0)
        unknown = self.unflattened_size.count(-1)
        fits = size == known if not unknown else unknown == 1 and known and size % known == 0
        if not fits:
            raise ValueError(f"Unflatten: a dimension of {size} does not split into {self.unflattened_size}")
        return tuple(size // known if n < 0 else n for n in self.unflattened_size)

    def extra_repr(self) -> str:
        """The dimension and its sizes."""
        return f"dim={self.dim}, unflattened_size={self.unflattened_size}"


class PixelShuffle(Module):
    """Makes r x r pixels of r^2 channels: (..., C r^2, H, W) -> (..., C, H r, W r); see `F.pixel_shuffle`.

    Args:
        upscale_factor: r.
    """

    def __init__(self, upscale_factor: int) -> None:
        super().__init__()
        self.upscale_factor = checked_size("PixelShuffle: upscale_factor", upscale_factor)

    def forward(self, x: Tensor) -> Tensor:
        """(..., C r^2, H, W) -> (..., C, H r, W r)."""
        return F.pixel_shuffle(x, self.upscale_factor)

    def extra_repr(self) -> str:
        """The factor."""
        return f"upscale_factor={self.upscale_factor}"


class PixelUnshuffle(Module):
    """Makes r^2 channels of r x r pixels, the inverse of `PixelShuffle`: (..., C, H r, W r) -> (..., C r^2, H, W).

    Args:
        downscale_factor: r.
    """

    def __init__(self, downscale_factor: int) -> None:
        super().__init__()
        self.downscale_factor = checked_size("PixelUnshuffle: downscale_factor", downscale_factor)

    def forward(self, x: Tensor) -> Tensor:
        """(..., C, H r, W r) -> (..., C r^2, H, W)."""
        return F.pixel_unshuffle(x, self.downscale_factor)

    def extra_repr(self) -> str:
        """The factor."""
        return f"downscale_factor={self.downscale_factor}"


class ChannelShuffle(Module):
    """Deals the channels of each group out to all groups: (N, C, ...), unchanged; see `F.channel_shuffle`.

    Args:
        groups: divides the channels.
    """

    def __init__(self, groups: int) -> None:
        super().__init__()
        self.groups = checked_size("ChannelShuffle: groups", groups)

    def forward(self, x: Tensor) -> Tensor:
        """(N, C, ...) -> (N, C, ...)."""
        return F.channel_shuffle(x, self.groups)

    def extra_repr(self) -> str:
        """The groups."""
        return f"groups={self.groups}"
