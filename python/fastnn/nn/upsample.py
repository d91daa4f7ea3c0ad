"""Layers that resize images and sequences."""

from __future__ import annotations

from collections.abc import Sequence

from .. import functional as F
from ..functional.upsample import Scale, Size
from ..tensor import Tensor, expect_numbers
from .module import Module


class Upsample(Module):
    """Resizes images, (N, C, H, W) -> (N, C, P, Q), or sequences, (N, C, L) -> (N, C, P); see `F.interpolate`.

    Args:
        size: P and Q; one int stands for both.
        scale_factor: P / H and Q / W in place of `size`; one number stands for both.
        mode: "nearest", "nearest-exact", "linear" (of sequences), "bilinear" (of images) or "area".
        align_corners: for "linear" and "bilinear", whether the middles of the first and of the last elements stay where
            they are.
        recompute_scale_factor: whether the factors are those of the rounded sizes.

    Example:
        >>> import fastnn
        >>> from fastnn import nn
        >>> nn.Upsample(scale_factor=2, mode="bilinear")(fastnn.ones(1, 3, 8, 6)).shape
        (1, 3, 16, 12)
    """

    def __init__(
        self,
        size: Size | None = None,
        scale_factor: Scale | None = None,
        mode: str = "nearest",
        align_corners: bool | None = None,
        recompute_scale_factor: bool | None = None,
    ) -> None:
        super().__init__()
        self.size = size
        self.scale_factor: Scale | None
        if isinstance(scale_factor, Sequence) and not isinstance(scale_factor, str):
            expect_numbers(
                type(self).__name__, **{f"scale_factor[{i}]": factor for i, factor in enumerate(scale_factor)}
            )
            self.scale_factor = tuple(float(factor) for factor in scale_factor)
        elif scale_factor is not None:
            expect_numbers(type(self).__name__, scale_factor=scale_factor)
            self.scale_factor = float(scale_factor)
        else:
            self.scale_factor = None
        self.mode = mode
        self.align_corners = align_corners
        self.recompute_scale_factor = recompute_scale_factor

    def forward(self, x: Tensor) -> Tensor:
        """(N, C, H, W) -> (N, C, P, Q) or (N, C, L) -> (N, C, P)."""
        return F.interpolate(
            x, self.size, self.scale_factor, self.mode, self.align_corners, self.recompute_scale_factor
        )

    def extra_repr(self) -> str:
        """Size or factor, and mode."""
        size = f"size={self.size!r}" if self.scale_factor is None else f"scale_factor={self.scale_factor!r}"
        return f"{size}, mode={self.mode!r}"


class UpsamplingNearest2d(Upsample):
    """Resizes images by repeating pixels: (N, C, H, W) -> (N, C, P, Q).

    Args:
        size: P and Q; one int stands for both.
        scale_factor: P / H and Q / W in place of `size`; one number stands for both.
    """

    def __init__(self, size: Size | None = None, scale_factor: Scale | None = None) -> None:
        super().__init__(size, scale_factor, mode="nearest")


class UpsamplingBilinear2d(Upsample):
    """Resizes images bilinearly, with the middles of the corner pixels in place: (N, C, H, W) -> (N, C, P, Q).

    Args:
        size: P and Q; one int stands for both.
        scale_factor: P / H and Q / W in place of `size`; one number stands for both.
    """

    def __init__(self, size: Size | None = None, scale_factor: Scale | None = None) -> None:
        super().__init__(size, scale_factor, mode="bilinear", align_corners=True)
