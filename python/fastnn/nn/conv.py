"""Convolution layers."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import ClassVar

from .. import functional as F
from .. import ops
from ..tensor import Parameter, Tensor, expect_tensors
from . import init
from .module import Module
from .sizes import IntPair, checked_size, checked_sizes


class _Conv(Module):
    """What all convolutions of `dimensions` dimensions share: arguments, parameters and their initial values."""

    weight: Parameter
    bias: Parameter | None
    padding: tuple[int, ...] | str
    dimensions: ClassVar[int]
    transposed: ClassVar[bool] = False

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        kernel_size: IntPair,
        stride: IntPair,
        padding: IntPair | str,
        dilation: IntPair,
        groups: int,
        bias: bool,
        padding_mode: str,
    ) -> None:
        super().__init__()
        self.in_channels = checked_size(f"{self._name}: in_channels", in_channels)
        self.out_channels = checked_size(f"{self._name}: out_channels", out_channels)
        self.kernel_size = self._sizes("kernel_size", kernel_size)
        self.stride = self._sizes("stride", stride)
        self.dilation = self._sizes("dilation", dilation)
        self.groups = checked_size(f"{self._name}: groups", groups)
        for name, channels in (("in_channels", self.in_channels), ("out_channels", self.out_channels)):
            if channels % self.groups:
                raise ValueError(f"{self._name}: {name} is {channels}; expected a multiple of groups, {self.groups}")
        modes = ("zeros",) if self.transposed else ("zeros", "reflect", "replicate", "circular")
        if padding_mode not in modes:
            raise ValueError(
                f"{self._name}: padding_mode is {padding_mode!r}; expected {' or '.join(map(repr, modes))}"
            )
        self.padding_mode = padding_mode
        if isinstance(padding, str) and not self.transposed:
            if padding not in ("same", "valid"):
                raise ValueError(f"{self._name}: padding is {padding!r}; expected integers, 'same' or 'valid'")
            if padding == "same" and max(self.stride) > 1:
                raise ValueError(f"{self._name}: padding 'same' needs stride 1, not {self.stride}")
            self.padding = padding
        else:
            self.padding = self._sizes("padding", padding, minimum=0)
        self.output_padding = (0,) * self.dimensions

        first, second = self.out_channels, self.in_channels
        if self.transposed:
            first, second = second, first
        self.weight = Parameter(ops.empty((first, second // self.groups, *self.kernel_size)))
        self.register_parameter("bias", Parameter(ops.empty((self.out_channels,))) if bias else None)
        self.reset_parameters()

    @property
    def _name(self) -> str:
        return type(self).__name__

    def _sizes(self, name: str, value: IntPair | str, minimum: int = 1) -> tuple[int, ...]:
        return checked_sizes(f"{self._name}: {name}", value, self.dimensions, minimum)

    def reset_parameters(self) -> None:
        """Draws weight and bias anew."""
        init.kaiming_uniform_(self.weight, a=math.sqrt(5))
        if self.bias is not None:
            bound = 1 / math.sqrt(math.prod(self.weight.shape[1:]))
            init.uniform_(self.bias, -bound, bound)

    def extra_repr(self) -> str:
        """The sizes, and what differs from the defaults."""
        text = f"{self.in_channels}, {self.out_channels}, kernel_size={self.kernel_size}, stride={self.stride}"
        if self.padding != (0,) * self.dimensions:
            text += f", padding={self.padding}"
        if self.dilation != (1,) * self.dimensions:
            text += f", dilation={self.dilation}"
        if any(self.output_padding):
            text += f", output_padding={self.output_padding}"
        if self.groups != 1:
            text += f", groups={self.groups}"
        if self.bias is None:
            text += ", bias=False"
        if self.padding_mode != "zeros":
            text += f", padding_mode={self.padding_mode}"
        return text

    def _padded(self, x: Tensor) -> tuple[Tensor, tuple[int, ...] | str]:
        """The input, with its padding where that is not zeros, and what the convolution is to pad."""
        if self.padding_mode == "zeros":
            return x, self.padding
        none = (0,) * self.dimensions
        if self.padding == "same":
            total = [d * (k - 1) for d, k in zip(self.dilation, self.kernel_size, strict=True)]
            sides = [(t // 2, t - t // 2) for t in total]
        else:
            sides = [(p, p) for p in (none if isinstance(self.padding, str) else self.padding)]
        if not any(map(any, sides)):
            return x, none
        return F.pad(x, [p for side in reversed(sides) for p in side], self.padding_mode), none


class Conv1d(_Conv):
    """One-dimensional convolution (cross-correlation): (N, in_channels, L) -> (N, out_channels, Q).

    Q = (L + 2 * padding - dilation * (kernel_size - 1) - 1) // stride + 1.

    Args:
        in_channels: channels of the input.
        out_channels: channels of the output.
        kernel_size: size of the window.
        stride: step of the window.
        padding: what is added on each side; "valid" is 0, "same" keeps the size (with stride 1).
        dilation: distance of the window's elements.
        groups: groups of channels that are convolved apart; divides both numbers of channels.
        bias: whether there is a bias.
        padding_mode: "zeros", or "reflect", "replicate" or "circular" as in `F.pad`.

    Attributes:
        weight: (out_channels, in_channels / groups, kernel_size), initialised as in PyTorch: uniform in
            +-1 / sqrt(fan_in), fan_in = in_channels / groups * kernel_size.
        bias: (out_channels,) or None, initialised in the same interval.

    Example:
        >>> import fastnn
        >>> from fastnn import nn
        >>> nn.Conv1d(3, 8, 3, stride=2, padding=1)(fastnn.ones(4, 3, 32)).shape
        (4, 8, 16)
    """

    dimensions = 1

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        kernel_size: IntPair,
        stride: IntPair = 1,
        padding: IntPair | str = 0,
        dilation: IntPair = 1,
        groups: int = 1,
        bias: bool = True,
        padding_mode: str = "zeros",
    ) -> None:
        super().__init__(in_channels, out_channels, kernel_size, stride, padding, dilation, groups, bias, padding_mode)

    def forward(self, x: Tensor) -> Tensor:
        """(N, in_channels, L) -> (N, out_channels, Q)."""
        x, padding = self._padded(x)
        return F.conv1d(x, self.weight, self.bias, self.stride, padding, self.dilation, self.groups)


class Conv2d(_Conv):
    """Two-dimensional convolution (cross-correlation): (N, in_channels, H, W) -> (N, out_channels, P, Q).

    P = (H + 2 * padding - dilation * (kernel_size - 1) - 1) // stride + 1, and Q from W likewise.

    Args:
        in_channels: channels of the input.
        out_channels: channels of the output.
        kernel_size: size of the window. Here and below one integer, or two: (vertical, horizontal).
        stride: step of the window.
        padding: rows and columns added on each side; "valid" is 0, "same" keeps the size (with stride 1).
        dilation: distance of the window's elements.
        groups: groups of channels that are convolved apart; divides both numbers of channels.
        bias: whether there is a bias.
        padding_mode: "zeros", or "reflect", "replicate" or "circular" as in `F.pad`.

    Attributes:
        weight: (out_channels, in_channels / groups, kernel height, kernel width), initialised as in PyTorch: uniform in
            +-1 / sqrt(fan_in), fan_in = in_channels / groups * kernel elements.
        bias: (out_channels,) or None, initialised in the same interval.

    Example:
        >>> import numpy as np, fastnn
        >>> from fastnn import nn
        >>> nn.Conv2d(3, 8, 3, stride=2, padding=1)(fastnn.tensor(np.ones((4, 3, 32, 32), np.float32))).shape
        (4, 8, 16, 16)
    """

    dimensions = 2

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        kernel_size: IntPair,
        stride: IntPair = 1,
        padding: IntPair | str = 0,
        dilation: IntPair = 1,
        groups: int = 1,
        bias: bool = True,
        padding_mode: str = "zeros",
    ) -> None:
        super().__init__(in_channels, out_channels, kernel_size, stride, padding, dilation, groups, bias, padding_mode)

    def forward(self, x: Tensor) -> Tensor:
        """(N, in_channels, H, W) -> (N, out_channels, P, Q)."""
        x, padding = self._padded(x)
        return F.conv2d(x, self.weight, self.bias, self.stride, padding, self.dilation, self.groups)


class Conv3d(_Conv):
    """Three-dimensional convolution (cross-correlation): (N, in_channels, D, H, W) -> (N, out_channels, O, P, Q).

    O = (D + 2 * padding - dilation * (kernel_size - 1) - 1) // stride + 1, and P and Q from H and W likewise.

    Args:
        in_channels: channels of the input.
        out_channels: channels of the output.
        kernel_size: size of the window. Here and below one integer, or three: (depth, vertical, horizontal).
        stride: step of the window.
        padding: what is added on each side; "valid" is 0, "same" keeps the size (with stride 1).
        dilation: distance of the window's elements.
        groups: groups of channels that are convolved apart; divides both numbers of channels.
        bias: whether there is a bias.
        padding_mode: "zeros", or "reflect", "replicate" or "circular" as in `F.pad`.

    Attributes:
        weight: (out_channels, in_channels / groups, kernel depth, height, width), initialised as in PyTorch: uniform in
            +-1 / sqrt(fan_in), fan_in = in_channels / groups * kernel elements.
        bias: (out_channels,) or None, initialised in the same interval.

    Example:
        >>> import fastnn
        >>> from fastnn import nn
        >>> nn.Conv3d(3, 8, 3, stride=(1, 2, 2), padding=1)(fastnn.ones(2, 3, 8, 16, 16)).shape
        (2, 8, 8, 8, 8)
    """

    dimensions = 3

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        kernel_size: IntPair,
        stride: IntPair = 1,
        padding: IntPair | str = 0,
        dilation: IntPair = 1,
        groups: int = 1,
        bias: bool = True,
        padding_mode: str = "zeros",
    ) -> None:
        super().__init__(in_channels, out_channels, kernel_size, stride, padding, dilation, groups, bias, padding_mode)

    def forward(self, x: Tensor) -> Tensor:
        """(N, in_channels, D, H, W) -> (N, out_channels, O, P, Q)."""
        x, padding = self._padded(x)
        return F.conv3d(x, self.weight, self.bias, self.stride, padding, self.dilation, self.groups)


class _ConvTranspose(_Conv):
    """A convolution's adjoint: the sizes of its output depend on `output_padding`, or on a size that the call names."""

    padding: tuple[int, ...]
    transposed = True

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        kernel_size: IntPair,
        stride: IntPair = 1,
        padding: IntPair = 0,
        output_padding: IntPair = 0,
        groups: int = 1,
        bias: bool = True,
        dilation: IntPair = 1,
        padding_mode: str = "zeros",
    ) -> None:
        super().__init__(in_channels, out_channels, kernel_size, stride, padding, dilation, groups, bias, padding_mode)
        self.output_padding = self._sizes("output_padding", output_padding, minimum=0)
        if any(o >= max(s, d) for o, s, d in zip(self.output_padding, self.stride, self.dilation, strict=True)):
            raise ValueError(
                f"{self._name}: output_padding is {self.output_padding}; expected less than stride or dilation"
            )

    def _output_padding(self, x: Tensor, output_size: Sequence[int] | None) -> tuple[int, ...]:
        """What makes the output as large as `output_size` says: its last dimensions, or all."""
        if output_size is None:
            return self.output_padding
        expect_tensors(self._name, x=x)
        if x.ndim - self.dimensions not in (1, 2):
            expected = f"{self.dimensions + 1} or {self.dimensions + 2} dimensions"
            raise ValueError(f"{self._name}: x has shape {x.shape}; expected {expected}")
        if not isinstance(output_size, Sequence) or len(output_size) not in (self.dimensions, x.ndim):
            raise ValueError(f"{self._name}: output_size is {output_size!r}; expected {self.dimensions} integers")
        wanted = checked_sizes(f"{self._name}: output_size", output_size[-self.dimensions :], self.dimensions)
        smallest = [
            (n - 1) * s - 2 * p + d * (k - 1) + 1
            for n, s, p, d, k in zip(
                x.shape[-self.dimensions :], self.stride, self.padding, self.dilation, self.kernel_size, strict=True
            )
        ]
        more = tuple(w - m for w, m in zip(wanted, smallest, strict=True))
        if any(not 0 <= m < s for m, s in zip(more, self.stride, strict=True)):
            largest = [m + s - 1 for m, s in zip(smallest, self.stride, strict=True)]
            raise ValueError(f"{self._name}: output_size is {wanted}; expected {smallest} to {largest}")
        return more


class ConvTranspose1d(_ConvTranspose):
    """One-dimensional transposed convolution: (N, in_channels, Q) -> (N, out_channels, L).

    L = (Q - 1) * stride - 2 * padding + dilation * (kernel_size - 1) + output_padding + 1. Arguments as
    `ConvTranspose2d`, each one integer.

    Attributes:
        weight: (in_channels, out_channels / groups, kernel_size), initialised as in PyTorch.
        bias: (out_channels,) or None.

    Example:
        >>> import fastnn
        >>> from fastnn import nn
        >>> nn.ConvTranspose1d(8, 3, 4, stride=2, padding=1)(fastnn.ones(4, 8, 16)).shape
        (4, 3, 32)
    """

    dimensions = 1

    def forward(self, x: Tensor, output_size: Sequence[int] | None = None) -> Tensor:
        """(N, in_channels, Q) -> (N, out_channels, L); of the sizes that are possible, `output_size`."""
        more = self._output_padding(x, output_size)
        window = self.stride, self.padding, more, self.groups, self.dilation
        return F.conv_transpose1d(x, self.weight, self.bias, *window)


class ConvTranspose2d(_ConvTranspose):
    """Two-dimensional transposed convolution: (N, in_channels, P, Q) -> (N, out_channels, H, W).

    H = (P - 1) * stride - 2 * padding + dilation * (kernel_size - 1) + output_padding + 1, and W from Q likewise. It is
    what `Conv2d` with the same arguments does to the gradient of its output.

    Args:
        in_channels: channels of the input.
        out_channels: channels of the output.
        kernel_size: size of the window. Here and below one integer, or two: (vertical, horizontal).
        stride: step of the window over the output.
        padding: rows and columns that are cut off on each side of the output.
        output_padding: rows and columns that the output has more behind; less than stride or dilation.
        groups: groups of channels that are convolved apart; divides both numbers of channels.
        bias: whether there is a bias.
        dilation: distance of the window's elements.
        padding_mode: "zeros"; PyTorch has no other either.

    Attributes:
        weight: (in_channels, out_channels / groups, kernel height, kernel width), initialised as in PyTorch: uniform in
            +-1 / sqrt(fan), fan = out_channels / groups * kernel elements.
        bias: (out_channels,) or None, initialised in the same interval.

    Example:
        >>> import fastnn
        >>> from fastnn import nn
        >>> nn.ConvTranspose2d(8, 3, 4, stride=2, padding=1)(fastnn.ones(4, 8, 16, 16)).shape
        (4, 3, 32, 32)
    """

    dimensions = 2

    def forward(self, x: Tensor, output_size: Sequence[int] | None = None) -> Tensor:
        """(N, in_channels, P, Q) -> (N, out_channels, H, W); of the sizes that are possible, `output_size`."""
        more = self._output_padding(x, output_size)
        window = self.stride, self.padding, more, self.groups, self.dilation
        return F.conv_transpose2d(x, self.weight, self.bias, *window)
