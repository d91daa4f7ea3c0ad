"""Layers that put maxima back where max pooling found them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import ClassVar

from .. import functional as F
from ..tensor import Tensor
from .module import Module
from .sizes import IntPair, checked_sizes


class _MaxUnpool(Module):
    """The arguments of the pooling."""

    dimensions: ClassVar[int]

    def __init__(self, kernel_size: IntPair, stride: IntPair | None = None, padding: IntPair = 0) -> None:
        super().__init__()
        name = type(self).__name__
        self.kernel_size = checked_sizes(f"{name}: kernel_size", kernel_size, self.dimensions)
        stride = self.kernel_size if stride is None else stride
        self.stride = checked_sizes(f"{name}: stride", stride, self.dimensions)
        self.padding = checked_sizes(f"{name}: padding", padding, self.dimensions, minimum=0)

    def extra_repr(self) -> str:
        """All arguments."""
        return f"kernel_size={self.kernel_size}, stride={self.stride}, padding={self.padding}"


class MaxUnpool1d(_MaxUnpool):
    """Puts the maxima of `MaxPool1d` back where they were, among zeros: (N, C, P) -> (N, C, L).

    Args:
        kernel_size, stride, padding: those of the pooling, as in `MaxUnpool2d`, one integer each.
    """

    dimensions = 1

    def forward(self, x: Tensor, indices: Tensor, output_size: Sequence[int] | None = None) -> Tensor:
        """(N, C, P) and its indices -> (N, C, L)."""
        return F.max_unpool1d(x, indices, self.kernel_size, self.stride, self.padding, output_size)


class MaxUnpool2d(_MaxUnpool):
    """Puts the maxima of `MaxPool2d` back where they were, among zeros: (N, C, P, Q) -> (N, C, H, W).

    H = (P - 1) * stride - 2 * padding + kernel_size and W likewise, or what `output_size` says where pooling rounded.

    Args:
        kernel_size: size of the pooling's window. Here and below one integer, or two: (vertical, horizontal).
        stride: step of the window; `kernel_size` by default.
        padding: that of the pooling.

    Example:
        >>> import fastnn
        >>> from fastnn import nn
        >>> y, indices = nn.MaxPool2d(2, return_indices=True)(fastnn.tensor([[[1.0, 5.0], [3.0, 4.0]]]))
        >>> nn.MaxUnpool2d(2)(y, indices).tolist()
        [[[0.0, 5.0], [0.0, 0.0]]]
    """

    dimensions = 2

    def forward(self, x: Tensor, indices: Tensor, output_size: Sequence[int] | None = None) -> Tensor:
        """(N, C, P, Q) and its indices -> (N, C, H, W)."""
        return F.max_unpool2d(x, indices, self.kernel_size, self.stride, self.padding, output_size)
