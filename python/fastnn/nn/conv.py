"""Convolution layers."""

from __future__ import annotations

import math

from .. import functional as F
from .. import ops
from ..tensor import Parameter, Tensor
from . import init
from .module import Module
from .sizes import IntPair, checked_pair, checked_size


class Conv2d(Module):
    """Two-dimensional convolution (cross-correlation): (N, in_channels, H, W) -> (N, out_channels, P, Q).

    P = (H + 2 * padding - dilation * (kernel_size - 1) - 1) // stride + 1, and Q from W likewise.

    Args:
        in_channels: channels of the input.
        out_channels: channels of the output.
        kernel_size: size of the window. Here and below one integer, or two: (vertical, horizontal).
        stride: step of the window.
        padding: rows and columns of zeros added on each side; "valid" is 0, "same" keeps the size (with stride 1 and an
            even dilation * (kernel_size - 1)).
        dilation: distance of the window's elements.
        groups: groups of channels that are convolved apart; divides both numbers of channels.
        bias: whether there is a bias.
        padding_mode: "zeros" is the only one that is supported.

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

    weight: Parameter
    bias: Parameter | None

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
        super().__init__()
        self.in_channels = checked_size("Conv2d: in_channels", in_channels)
        self.out_channels = checked_size("Conv2d: out_channels", out_channels)
        self.kernel_size = checked_pair("Conv2d: kernel_size", kernel_size)
        self.stride = checked_pair("Conv2d: stride", stride)
        self.dilation = checked_pair("Conv2d: dilation", dilation)
        self.groups = checked_size("Conv2d: groups", groups)
        for name, channels in (("in_channels", self.in_channels), ("out_channels", self.out_channels)):
            if channels % self.groups:
                raise ValueError(f"Conv2d: {name} is {channels}; expected a multiple of groups, {self.groups}")
        if padding_mode != "zeros":
            raise ValueError(f"Conv2d: padding_mode is {padding_mode!r}; supported is 'zeros'")
        self.padding_mode = padding_mode
        self.padding: tuple[int, int] | str
        if isinstance(padding, str):
            self.padding, self._padding = padding, self._named_padding(padding)
        else:
            self.padding = self._padding = checked_pair("Conv2d: padding", padding, minimum=0)

        shape = (self.out_channels, self.in_channels // self.groups, *self.kernel_size)
        self.weight = Parameter(ops.empty(shape))
        self.register_parameter("bias", Parameter(ops.empty((self.out_channels,))) if bias else None)
        self.reset_parameters()

    def _named_padding(self, padding: str) -> tuple[int, int]:
        if padding == "valid":
            return 0, 0
        if padding != "same":
            raise ValueError(f"Conv2d: padding is {padding!r}; expected integers, 'same' or 'valid'")
        if self.stride != (1, 1):
            raise ValueError(f"Conv2d: padding 'same' needs stride 1, not {self.stride}")
        total = [d * (k - 1) for d, k in zip(self.dilation, self.kernel_size, strict=True)]
        if any(t % 2 for t in total):
            raise ValueError(
                f"Conv2d: padding 'same' with kernel_size {self.kernel_size} and dilation {self.dilation} would differ "
                "between the two sides; supported is an even dilation * (kernel_size - 1)"
            )
        return total[0] // 2, total[1] // 2

    def reset_parameters(self) -> None:
        """Draws weight and bias anew."""
        init.kaiming_uniform_(self.weight, a=math.sqrt(5))
        if self.bias is not None:
            bound = 1 / math.sqrt(math.prod(self.weight.shape[1:]))
            init.uniform_(self.bias, -bound, bound)

    def forward(self, x: Tensor) -> Tensor:
        """(N, in_channels, H, W) -> (N, out_channels, P, Q)."""
        return F.conv2d(x, self.weight, self.bias, self.stride, self._padding, self.dilation, self.groups)

    def extra_repr(self) -> str:
        """The sizes, and what differs from the defaults."""
        text = f"{self.in_channels}, {self.out_channels}, kernel_size={self.kernel_size}, stride={self.stride}"
        if self.padding != (0, 0):
            text += f", padding={self.padding}"
        if self.dilation != (1, 1):
            text += f", dilation={self.dilation}"
        if self.groups != 1:
            text += f", groups={self.groups}"
        if self.bias is None:
            text += ", bias=False"
        return text
