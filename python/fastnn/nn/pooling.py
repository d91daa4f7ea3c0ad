"""Pooling layers."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from .. import functional as F
from .. import ops
from ..functional.pooling import OutputSize
from ..tensor import Parameter, Tensor, expect_tensors
from . import init
from .module import Module, made_module
from .sizes import IntPair, checked_pair, checked_size


class _MaxPool(Module):
    """The arguments of max pooling."""

    def __init__(
        self,
        kernel_size: IntPair,
        stride: IntPair | None = None,
        padding: IntPair = 0,
        dilation: IntPair = 1,
        return_indices: bool = False,
        ceil_mode: bool = False,
    ) -> None:
        super().__init__()
        self.kernel_size = kernel_size
        self.stride = kernel_size if stride is None else stride
        self.padding = padding
        self.dilation = dilation
        self.return_indices = return_indices
        self.ceil_mode = ceil_mode

    def _window(self) -> tuple[Any, ...]:
        return self.kernel_size, self.stride, self.padding, self.dilation, self.ceil_mode, self.return_indices

    def extra_repr(self) -> str:
        """All arguments."""
        return (
            f"kernel_size={self.kernel_size}, stride={self.stride}, padding={self.padding}, "
            f"dilation={self.dilation}, ceil_mode={self.ceil_mode}"
        )


class MaxPool1d(_MaxPool):
    """The largest element of each window: (N, C, L) -> (N, C, P).

    Args:
        kernel_size, stride, padding, dilation, return_indices, ceil_mode: as in `MaxPool2d`, one integer each.
    """

    def forward(self, x: Tensor) -> Any:
        """(N, C, L) -> (N, C, P), or two of them with `return_indices`."""
        return F.max_pool1d(x, *self._window())


class MaxPool2d(_MaxPool):
    """The largest element of each window: (N, C, H, W) -> (N, C, P, Q).

    Args:
        kernel_size: size of the window. Here and below one integer, or two: (vertical, horizontal).
        stride: step of the window; `kernel_size` by default.
        padding: rows and columns added on each side, which never win; at most half of the window.
        dilation: distance of the window's elements.
        return_indices: whether to return `(y, indices)`, with the flat index h * W + w of each maximum in its channel.
        ceil_mode: whether windows that end beyond the input count, too.
    """

    def forward(self, x: Tensor) -> Any:
        """(N, C, H, W) -> (N, C, P, Q), or two of them with `return_indices`."""
        return F.max_pool2d(x, *self._window())


class AvgPool1d(Module):
    """The mean of each window: (N, C, L) -> (N, C, P).

    Args:
        kernel_size, stride, padding, ceil_mode, count_include_pad: as in `AvgPool2d`, one integer each.
    """

    def __init__(
        self,
        kernel_size: IntPair,
        stride: IntPair | None = None,
        padding: IntPair = 0,
        ceil_mode: bool = False,
        count_include_pad: bool = True,
    ) -> None:
        super().__init__()
        self.kernel_size = _single(kernel_size)
        self.stride = self.kernel_size if stride is None else _single(stride)
        self.padding = _single(padding)
        self.ceil_mode = ceil_mode
        self.count_include_pad = count_include_pad

    def forward(self, x: Tensor) -> Tensor:
        """(N, C, L) -> (N, C, P)."""
        return F.avg_pool1d(x, self.kernel_size, self.stride, self.padding, self.ceil_mode, self.count_include_pad)

    def extra_repr(self) -> str:
        """Window, step and padding, as in PyTorch."""
        return f"kernel_size={self.kernel_size}, stride={self.stride}, padding={self.padding}"


class AvgPool2d(Module):
    """The mean of each window: (N, C, H, W) -> (N, C, P, Q).

    Args:
        kernel_size: size of the window. Here and below one integer, or two: (vertical, horizontal).
        stride: step of the window; `kernel_size` by default.
        padding: rows and columns of zeros added on each side; at most half of the window.
        ceil_mode: whether windows that end beyond the input count, too.
        count_include_pad: whether the padding counts as elements of the mean.
        divisor_override: what the sum of a window is divided by, in place of the number of its elements.
    """

    def __init__(
        self,
        kernel_size: IntPair,
        stride: IntPair | None = None,
        padding: IntPair = 0,
        ceil_mode: bool = False,
        count_include_pad: bool = True,
        divisor_override: int | None = None,
    ) -> None:
        super().__init__()
        self.kernel_size = kernel_size
        self.stride = kernel_size if stride is None else stride
        self.padding = padding
        self.ceil_mode = ceil_mode
        self.count_include_pad = count_include_pad
        self.divisor_override = divisor_override

    def forward(self, x: Tensor) -> Tensor:
        """(N, C, H, W) -> (N, C, P, Q)."""
        return F.avg_pool2d(
            x,
            self.kernel_size,
            self.stride,
            self.padding,
            self.ceil_mode,
            self.count_include_pad,
            self.divisor_override,
        )

    def extra_repr(self) -> str:
        """Window, step and padding, as in PyTorch."""
        return f"kernel_size={self.kernel_size}, stride={self.stride}, padding={self.padding}"


class _LPPool(Module):
    """The arguments of power-average pooling."""

    def __init__(
        self, norm_type: float, kernel_size: IntPair, stride: IntPair | None = None, ceil_mode: bool = False
    ) -> None:
        super().__init__()
        self.norm_type = norm_type
        self.kernel_size = kernel_size
        self.stride = stride
        self.ceil_mode = ceil_mode

    def extra_repr(self) -> str:
        """All arguments."""
        return (
            f"norm_type={self.norm_type}, kernel_size={self.kernel_size}, stride={self.stride}, "
            f"ceil_mode={self.ceil_mode}"
        )


class LPPool1d(_LPPool):
    """The root of the sum of each window's powers: (N, C, L) -> (N, C, P).

    Args:
        norm_type, kernel_size, stride, ceil_mode: as in `LPPool2d`, one integer each.
    """

    def forward(self, x: Tensor) -> Tensor:
        """(N, C, L) -> (N, C, P)."""
        return F.lp_pool1d(x, self.norm_type, self.kernel_size, self.stride, self.ceil_mode)


class LPPool2d(_LPPool):
    """The root of the sum of each window's powers: (N, C, H, W) -> (N, C, P, Q).

    Args:
        norm_type: the power: 1 makes sums, 2 the Euclidean norm.
        kernel_size: size of the window. Here and below one integer, or two: (vertical, horizontal).
        stride: step of the window; `kernel_size` by default.
        ceil_mode: whether windows that end beyond the input count, too.
    """

    def forward(self, x: Tensor) -> Tensor:
        """(N, C, H, W) -> (N, C, P, Q)."""
        return F.lp_pool2d(x, self.norm_type, self.kernel_size, self.stride, self.ceil_mode)


class _AdaptivePool(Module):
    """The argument of adaptive pooling."""

    def __init__(self, output_size: OutputSize) -> None:
        super().__init__()
        self.output_size = output_size

    def extra_repr(self) -> str:
        """The argument."""
        return f"output_size={self.output_size}"


class _AdaptiveMaxPool(_AdaptivePool):
    def __init__(self, output_size: OutputSize, return_indices: bool = False) -> None:
        super().__init__(output_size)
        self.return_indices = return_indices


class AdaptiveAvgPool1d(_AdaptivePool):
    """The mean of each of P windows that cover the sequence: (N, C, L) -> (N, C, P).

    Args:
        output_size: P.
    """

    def forward(self, x: Tensor) -> Tensor:
        """(N, C, L) -> (N, C, P)."""
        return F.adaptive_avg_pool1d(x, self.output_size)


class AdaptiveAvgPool2d(_AdaptivePool):
    """The mean of each of P x Q windows that cover the image: (N, C, H, W) -> (N, C, P, Q).

    Args:
        output_size: P and Q; one integer stands for both, None for the size of the input.
    """

    def forward(self, x: Tensor) -> Tensor:
        """(N, C, H, W) -> (N, C, P, Q)."""
        return F.adaptive_avg_pool2d(x, self.output_size)


class AdaptiveMaxPool1d(_AdaptiveMaxPool):
    """The largest element of each of P windows that cover the sequence: (N, C, L) -> (N, C, P).

    Args:
        output_size: P.
        return_indices: whether to return `(y, indices)`, with the index of each maximum in its channel.
    """

    def forward(self, x: Tensor) -> Any:
        """(N, C, L) -> (N, C, P), or two of them with `return_indices`."""
        return F.adaptive_max_pool1d(x, self.output_size, self.return_indices)


class AdaptiveMaxPool2d(_AdaptiveMaxPool):
    """The largest element of each of P x Q windows that cover the image: (N, C, H, W) -> (N, C, P, Q).

    Args:
        output_size: P and Q; one integer stands for both, None for the size of the input.
        return_indices: whether to return `(y, indices)`, with the flat index h * W + w of each maximum in its channel.
    """

    def forward(self, x: Tensor) -> Any:
        """(N, C, H, W) -> (N, C, P, Q), or two of them with `return_indices`."""
        return F.adaptive_max_pool2d(x, self.output_size, self.return_indices)


class Subsampling2d(Module):
    """The trainable subsampling of LeNet-5: (N, channels, H, W) -> (N, channels, H // kernel, W // kernel).

    y[c] = activation(coefficient[c] * (the sum over each window of x[c]) + bias[c]), windows side by side (LeCun,
    Bottou, Bengio, Haffner: Gradient-based learning applied to document recognition, 1998).

    Args:
        channels: number of feature maps.
        kernel_size: size and step of the window: one integer, or two: (vertical, horizontal).
        activation: makes the module that follows, `nn.Sigmoid` for example; nothing follows by default.

    Attributes:
        coefficient: (channels,), initially 1 / (elements of the window), which is average pooling.
        bias: (channels,), initially 0.
    """

    coefficient: Parameter
    bias: Parameter

    def __init__(self, channels: int, kernel_size: IntPair, activation: Callable[[], Module] | None = None) -> None:
        super().__init__()
        self.channels = checked_size("Subsampling2d: channels", channels)
        self.kernel_size = checked_pair("Subsampling2d: kernel_size", kernel_size)
        self.coefficient = Parameter(ops.empty((self.channels,)))
        self.bias = Parameter(ops.empty((self.channels,)))
        self.activation = None if activation is None else made_module("Subsampling2d: activation", activation)
        self.reset_parameters()

    def reset_parameters(self) -> None:
        """Makes it average pooling again."""
        init.constant_(self.coefficient, 1 / (self.kernel_size[0] * self.kernel_size[1]))
        init.zeros_(self.bias)

    def forward(self, x: Tensor) -> Tensor:
        """(N, channels, H, W) -> (N, channels, H // kernel, W // kernel), or both without N."""
        expect_tensors("Subsampling2d", x=x)
        if x.ndim not in (3, 4) or x.shape[-3] != self.channels:
            raise ValueError(
                f"Subsampling2d: x has shape {x.shape}; expected (N, {self.channels}, H, W) or ({self.channels}, H, W)"
            )
        sums = F.avg_pool2d(x, self.kernel_size, divisor_override=1)
        y = sums * self.coefficient.reshape(-1, 1, 1) + self.bias.reshape(-1, 1, 1)
        return y if self.activation is None else self.activation(y)

    def extra_repr(self) -> str:
        """The sizes."""
        return f"{self.channels}, kernel_size={self.kernel_size}"


def _single(value: IntPair) -> Sequence[int]:
    return value if isinstance(value, Sequence) else (value,)
