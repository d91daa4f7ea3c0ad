"""Squeeze-and-excitation: channels weighed by what the whole image says about them."""

from __future__ import annotations

from collections.abc import Callable

from ..tensor import Tensor, expect_tensors
from .activation import Sigmoid
from .conv import Conv2d
from .module import Module, made_module
from .pooling import AdaptiveAvgPool2d
from .rectifier import ReLU


class SqueezeExcitation(Module):
    """Scales each channel of an image by a factor that all of its channels decide: any shape -> the same shape.

    y = x * scale_activation(fc2(activation(fc1(mean of x over height and width)))) (Hu, Shen, Sun:
    Squeeze-and-Excitation Networks, 2018). Arguments and names of the parameters are those of
    torchvision.ops.SqueezeExcitation.

    Args:
        input_channels: channels of the input and of the output.
        squeeze_channels: channels in between; the paper takes a sixteenth.
        activation: makes the module between fc1 and fc2.
        scale_activation: makes the module behind fc2.

    Attributes:
        fc1: 1x1 convolution from `input_channels` to `squeeze_channels`.
        fc2: 1x1 convolution from `squeeze_channels` to `input_channels`.

    Example:
        >>> import fastnn
        >>> from fastnn import nn
        >>> nn.SqueezeExcitation(32, 2)(fastnn.ones(4, 32, 8, 8)).shape
        (4, 32, 8, 8)
    """

    def __init__(
        self,
        input_channels: int,
        squeeze_channels: int,
        activation: Callable[..., Module] = ReLU,
        scale_activation: Callable[..., Module] = Sigmoid,
    ) -> None:
        super().__init__()
        self.avgpool = AdaptiveAvgPool2d(1)
        self.fc1 = Conv2d(input_channels, squeeze_channels, 1)
        self.fc2 = Conv2d(squeeze_channels, input_channels, 1)
        self.activation = made_module("SqueezeExcitation: activation", activation)
        self.scale_activation = made_module("SqueezeExcitation: scale_activation", scale_activation)

    def forward(self, x: Tensor) -> Tensor:
        """(N, input_channels, H, W) -> (N, input_channels, H, W), or both without N."""
        expect_tensors("SqueezeExcitation", x=x)
        if x.ndim not in (3, 4) or x.shape[-3] != self.fc1.in_channels:
            raise ValueError(
                f"SqueezeExcitation: x has shape {x.shape}; expected (N, {self.fc1.in_channels}, H, W) or "
                f"({self.fc1.in_channels}, H, W)"
            )
        scale: Tensor = self.scale_activation(self.fc2(self.activation(self.fc1(self.avgpool(x)))))
        return scale * x
