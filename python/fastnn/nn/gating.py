"""Layers that make one value of several: GLU, and maxout behind a linear map or a convolution."""

from __future__ import annotations

from .. import functional as F
from ..tensor import Tensor
from . import init
from .activation import AlongDim
from .conv import Conv2d
from .linear import Linear
from .module import Module
from .sizes import IntPair, checked_size


class GLU(AlongDim):
    """The gated linear unit a * sigmoid(b), a and b being the halves of x along `dim` (Dauphin et al., 2017).

    (..., 2 n, ...) -> (..., n, ...).
    """

    dim: int

    def __init__(self, dim: int = -1) -> None:
        super().__init__(dim)

    def forward(self, x: Tensor) -> Tensor:
        """(..., 2 n, ...) -> (..., n, ...)."""
        return F.glu(x, self.dim)


class Maxout(Module):
    """Units that are the largest of several linear maps of their input: (..., in_features) -> (..., out_features).

    Each unit has `pieces` of them, and is a convex function of the input that is learnt as a whole (Goodfellow,
    Warde-Farley, Mirza, Courville, Bengio: Maxout networks, ICML 2013).

    Args:
        in_features: size of each input sample.
        out_features: the number of units.
        pieces: the number of maps of a unit; with 1 this is a linear layer.
        bias: whether the maps have biases.

    Attributes:
        linear: all maps, those of a unit one after the other. Its weight is uniform with the gain that keeps the
            signal's second moment, `init.calculate_gain("maxout", pieces)`; its bias is 0 at first.

    Example:
        >>> import fastnn
        >>> from fastnn import nn
        >>> nn.Maxout(20, 30, pieces=3)(fastnn.ones(128, 20)).shape
        (128, 30)
    """

    def __init__(self, in_features: int, out_features: int, pieces: int = 2, bias: bool = True) -> None:
        super().__init__()
        self.pieces = checked_size("Maxout: pieces", pieces)
        self.in_features = checked_size("Maxout: in_features", in_features)
        self.out_features = checked_size("Maxout: out_features", out_features)
        self.linear = Linear(self.in_features, self.out_features * self.pieces, bias)
        self.reset_parameters()

    def reset_parameters(self) -> None:
        """Draws the weight anew and sets the bias to 0."""
        _reset(self.linear, self.pieces)

    def forward(self, x: Tensor) -> Tensor:
        """(..., in_features) -> (..., out_features)."""
        return F.maxout(self.linear(x), self.pieces)

    def extra_repr(self) -> str:
        """The sizes."""
        return f"in_features={self.in_features}, out_features={self.out_features}, pieces={self.pieces}"


class MaxoutConv2d(Module):
    """Channels that are the largest of several convolutions: (N, in_channels, H, W) -> (N, out_channels, P, Q).

    The convolutional form of `Maxout`; P and Q are those of `Conv2d`.

    Args:
        in_channels: channels of the input.
        out_channels: channels of the output.
        kernel_size: size of the window. Here and below one integer, or two: (vertical, horizontal).
        pieces: the number of convolutions of an output channel; with 1 this is a convolution.
        stride: step of the window.
        padding: rows and columns of zeros added on each side; "valid" is 0, "same" keeps the size (with stride 1).
        dilation: distance of the window's elements.
        groups: groups of channels that are convolved apart; divides both numbers of channels.
        bias: whether there is a bias.
        padding_mode: as in `Conv2d`.

    Attributes:
        conv: all convolutions, those of an output channel one after the other. Its weight is uniform with the gain
            that keeps the signal's second moment, `init.calculate_gain("maxout", pieces)`; its bias is 0 at first.

    Example:
        >>> import fastnn
        >>> from fastnn import nn
        >>> nn.MaxoutConv2d(3, 8, 3, pieces=2, padding=1)(fastnn.ones(4, 3, 32, 32)).shape
        (4, 8, 32, 32)
    """

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        kernel_size: IntPair,
        pieces: int = 2,
        stride: IntPair = 1,
        padding: IntPair | str = 0,
        dilation: IntPair = 1,
        groups: int = 1,
        bias: bool = True,
        padding_mode: str = "zeros",
    ) -> None:
        super().__init__()
        self.pieces = checked_size("MaxoutConv2d: pieces", pieces)
        self.out_channels = checked_size("MaxoutConv2d: out_channels", out_channels)
        if self.out_channels % checked_size("MaxoutConv2d: groups", groups):  # no channel may have pieces of two groups
            raise ValueError(f"MaxoutConv2d: out_channels is {out_channels}; expected a multiple of groups, {groups}")
        channels = self.out_channels * self.pieces
        self.conv = Conv2d(in_channels, channels, kernel_size, stride, padding, dilation, groups, bias, padding_mode)
        self.in_channels = self.conv.in_channels
        self.reset_parameters()

    def reset_parameters(self) -> None:
        """Draws the weight anew and sets the bias to 0."""
        _reset(self.conv, self.pieces)

    def forward(self, x: Tensor) -> Tensor:
        """(N, in_channels, H, W) -> (N, out_channels, P, Q)."""
        return F.maxout(self.conv(x), self.pieces, dim=-3)

    def extra_repr(self) -> str:
        """The sizes."""
        return f"in_channels={self.in_channels}, out_channels={self.out_channels}, pieces={self.pieces}"


def _reset(maps: Linear | Conv2d, pieces: int) -> None:
    init.kaiming_uniform_(maps.weight, a=pieces, nonlinearity="maxout")
    if maps.bias is not None:
        init.zeros_(maps.bias)
