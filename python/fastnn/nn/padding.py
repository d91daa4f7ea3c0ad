"""Padding layers."""

from __future__ import annotations

from typing import ClassVar

from .. import functional as F
from ..tensor import Tensor, expect_tensors
from .module import Module
from .sizes import IntPair, checked_sizes

_SHAPES = {1: "(N, C, L)", 2: "(N, C, H, W)", 3: "(N, C, D, H, W)"}
_LARGEST_CROP = -(1 << 40)


class _Pad(Module):
    """What all padding layers of `dimensions` dimensions share."""

    dimensions: ClassVar[int]
    mode: ClassVar[str]

    def __init__(self, padding: IntPair) -> None:
        super().__init__()
        name = f"{type(self).__name__}: padding"
        self.padding = checked_sizes(name, padding, 2 * self.dimensions, minimum=_LARGEST_CROP)

    def forward(self, x: Tensor) -> Tensor:
        """(N, C, ...) -> (N, C, ...), or both without N."""
        name = type(self).__name__
        expect_tensors(name, x=x)
        if x.ndim - self.dimensions not in (1, 2):
            raise ValueError(f"{name}: x has shape {x.shape}; expected {_SHAPES[self.dimensions]}, with or without N")
        return F.pad(x, self.padding, self.mode)

    def extra_repr(self) -> str:
        """The padding."""
        return f"{self.padding}"


class _ConstantPad(_Pad):
    def __init__(self, padding: IntPair, value: float) -> None:
        super().__init__(padding)
        self.value = value

    def forward(self, x: Tensor) -> Tensor:
        """Pads the last dimensions of a tensor that has them."""
        return F.pad(x, self.padding, value=self.value)

    def extra_repr(self) -> str:
        """The padding and the value."""
        return f"padding={self.padding}, value={self.value}"


class _ZeroPad(_ConstantPad):
    def __init__(self, padding: IntPair) -> None:
        super().__init__(padding, 0.0)

    def extra_repr(self) -> str:
        """The padding."""
        return f"{self.padding}"


class ConstantPad1d(_ConstantPad):
    """Adds elements of one value around sequences (..., L); negative numbers crop.

    Args:
        padding: how many on each side: one integer, or two: (left, right).
        value: the value.
    """

    dimensions = 1


class ConstantPad2d(_ConstantPad):
    """Adds elements of one value around images (..., H, W); negative numbers crop.

    Args:
        padding: how many on each side: one integer, or four: (left, right, top, bottom).
        value: the value.

    Example:
        >>> import fastnn
        >>> from fastnn import nn
        >>> nn.ConstantPad2d(1, 0.5)(fastnn.ones(1, 3, 8, 6)).shape
        (1, 3, 10, 8)
    """

    dimensions = 2


class ConstantPad3d(_ConstantPad):
    """Adds elements of one value around volumes (..., D, H, W); negative numbers crop.

    Args:
        padding: how many on each side: one integer, or six: (left, right, top, bottom, front, back).
        value: the value.
    """

    dimensions = 3


class ZeroPad1d(_ZeroPad):
    """Adds zeros around sequences (..., L); negative numbers crop.

    Args:
        padding: how many on each side: one integer, or two: (left, right).
    """

    dimensions = 1


class ZeroPad2d(_ZeroPad):
    """Adds zeros around images (..., H, W); negative numbers crop.

    Args:
        padding: how many on each side: one integer, or four: (left, right, top, bottom).

    Example:
        >>> import fastnn
        >>> from fastnn import nn
        >>> nn.ZeroPad2d(1)(fastnn.ones(1, 3, 8, 6)).shape
        (1, 3, 10, 8)
    """

    dimensions = 2


class ZeroPad3d(_ZeroPad):
    """Adds zeros around volumes (..., D, H, W); negative numbers crop.

    Args:
        padding: how many on each side: one integer, or six: (left, right, top, bottom, front, back).
    """

    dimensions = 3


class ReflectionPad1d(_Pad):
    """Adds what a mirror at the first and last elements shows around sequences (..., L).

    Args:
        padding: how many on each side: one integer, or two: (left, right); each less than the size.
    """

    dimensions = 1
    mode = "reflect"


class ReflectionPad2d(_Pad):
    """Adds what a mirror at the first and last elements shows around images (..., H, W).

    Args:
        padding: how many on each side: one integer, or four: (left, right, top, bottom); each less than the size.

    Example:
        >>> import fastnn
        >>> from fastnn import nn
        >>> nn.ReflectionPad2d(1)(fastnn.ones(1, 3, 8, 6)).shape
        (1, 3, 10, 8)
    """

    dimensions = 2
    mode = "reflect"


class ReflectionPad3d(_Pad):
    """Adds what a mirror at the first and last elements shows around volumes (..., D, H, W).

    Args:
        padding: how many on each side: one integer, or six: (left, right, top, bottom, front,
            back); each less than the size.
    """

    dimensions = 3
    mode = "reflect"


class ReplicationPad1d(_Pad):
    """Adds the first and last elements once more around sequences (..., L).

    Args:
        padding: how many on each side: one integer, or two: (left, right).
    """

    dimensions = 1
    mode = "replicate"


class ReplicationPad2d(_Pad):
    """Adds the first and last elements once more around images (..., H, W).

    Args:
        padding: how many on each side: one integer, or four: (left, right, top, bottom).

    Example:
        >>> import fastnn
        >>> from fastnn import nn
        >>> nn.ReplicationPad2d(1)(fastnn.ones(1, 3, 8, 6)).shape
        (1, 3, 10, 8)
    """

    dimensions = 2
    mode = "replicate"


class ReplicationPad3d(_Pad):
    """Adds the first and last elements once more around volumes (..., D, H, W).

    Args:
        padding: how many on each side: one integer, or six: (left, right, top, bottom, front, back).
    """

    dimensions = 3
    mode = "replicate"


class CircularPad1d(_Pad):
    """Adds the input again on each side of sequences (..., L).

    Args:
        padding: how many on each side: one integer, or two: (left, right); each at most the size.
    """

    dimensions = 1
    mode = "circular"


class CircularPad2d(_Pad):
    """Adds the input again on each side of images (..., H, W).

    Args:
        padding: how many on each side: one integer, or four: (left, right, top, bottom); each at most the size.

    Example:
        >>> import fastnn
        >>> from fastnn import nn
        >>> nn.CircularPad2d(1)(fastnn.ones(1, 3, 8, 6)).shape
        (1, 3, 10, 8)
    """

    dimensions = 2
    mode = "circular"


class CircularPad3d(_Pad):
    """Adds the input again on each side of volumes (..., D, H, W).

    Args:
        padding: how many on each side: one integer, or six: (left, right, top, bottom, front,
            back); each at most the size.
    """

    dimensions = 3
    mode = "circular"
