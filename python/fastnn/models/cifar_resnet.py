"""Residual networks for small images (CIFAR), with 20 to 110 layers.

K. He, X. Zhang, S. Ren, J. Sun, Deep residual learning for image recognition, CVPR 2016, section 4.2.
"""

from __future__ import annotations

from .. import nn
from ..arrays import Array, assign, full
from ..nn.sizes import checked_size
from ..tensor import Tensor, record
from .residual import ResidualBlock


class CifarBasicBlock(ResidualBlock):
    """Two 3x3 convolutions and a shortcut around them: (N, in_planes, H, W) -> (N, planes, H / stride, W / stride).

    The shortcut is the paper's option A, which has no parameters: where the block changes the shape, it takes every
    second pixel and surrounds the channels with zeros.
    """

    def __init__(self, in_planes: int, planes: int, stride: int = 1) -> None:
        super().__init__(planes)
        self.conv1 = nn.Conv2d(in_planes, planes, kernel_size=3, stride=stride, padding=1, bias=False)
        self.bn1 = nn.BatchNorm2d(planes)
        self.relu = nn.ReLU()
        self.conv2 = nn.Conv2d(planes, planes, kernel_size=3, padding=1, bias=False)
        self.bn2 = nn.BatchNorm2d(planes)
        self.new_shape = (planes, stride) if stride != 1 or in_planes != planes else None

    def residual(self, x: Tensor) -> Tensor:
        """(N, in_planes, H, W) -> (N, planes, H / stride, W / stride)."""
        out = self.relu(self.bn1(self.conv1(x)))
        y: Tensor = self.bn2(self.conv2(out))
        return y

    def shortcut(self, x: Tensor) -> Tensor:
        """The input, in the shape of the output."""
        return x if self.new_shape is None else _subsampled(x, *self.new_shape)


def _subsampled(x: Tensor, channels: int, stride: int) -> Tensor:
    """Every pixel of the grid of this step, between channels of zeros: (N, C, H, W) -> (N, channels, P, Q)."""
    shape, dtype = x.shape, x.dtype
    first = (channels - shape[1]) // 2
    middle = slice(first, first + shape[1])

    pixels = x.data[:, :, ::stride, ::stride]
    y = full((shape[0], channels, *pixels.shape[2:]), 0, dtype, channels_last=True)
    assign(y[:, middle], pixels)

    def backward(dy: Array) -> Array:
        dx = full(shape, 0, dtype, channels_last=True)
        assign(dx[:, :, ::stride, ::stride], dy[:, middle])
        return dx

    return record(y, backward, x)


class CifarResNet(nn.Module):
    """A residual network for images of 32x32 pixels: (N, in_channels, H, W) -> scores (N, num_classes).

    A convolution, three stages of n blocks with 16, 32 and 64 channels, global average pooling and a linear layer:
    6 n + 2 layers with weights. Convolutions and the linear layer start normal with variance 2 / fan-in (He et al.,
    2015). The parameters have the names of Y. Idelbayev's "Proper ResNet implementation for CIFAR10/CIFAR100 in
    PyTorch", whose published weights belong to these networks.

    Args:
        blocks: n, the number of blocks in each stage.
        num_classes: the number of scores.
        in_channels: channels of the images.
    """

    def __init__(self, blocks: int, num_classes: int = 10, in_channels: int = 3) -> None:
        super().__init__()
        blocks = checked_size("CifarResNet: blocks", blocks)
        self.conv1 = nn.Conv2d(in_channels, 16, kernel_size=3, padding=1, bias=False)
        self.bn1 = nn.BatchNorm2d(16)
        self.relu = nn.ReLU()
        self.layer1 = _stage(16, 16, blocks, stride=1)
        self.layer2 = _stage(16, 32, blocks, stride=2)
        self.layer3 = _stage(32, 64, blocks, stride=2)
        self.avgpool = nn.AdaptiveAvgPool2d((1, 1))
        self.linear = nn.Linear(64, num_classes)
        for module in self.modules():
            if isinstance(module, (nn.Conv2d, nn.Linear)):
                nn.init.kaiming_normal_(module.weight)

    def forward(self, x: Tensor) -> Tensor:
        """(N, in_channels, H, W) -> scores (N, num_classes), to which softmax has not been applied."""
        x = self.relu(self.bn1(self.conv1(x)))
        x = self.layer1(x)
        x = self.layer2(x)
        x = self.layer3(x)
        x = self.avgpool(x)  # (N, 64, 1, 1)
        scores: Tensor = self.linear(x.flatten(1))
        return scores


def _stage(in_planes: int, planes: int, blocks: int, stride: int) -> nn.Sequential:
    first = CifarBasicBlock(in_planes, planes, stride)
    return nn.Sequential(first, *(CifarBasicBlock(planes, planes) for _ in range(blocks - 1)))


def cifar_resnet20(num_classes: int = 10, in_channels: int = 3) -> CifarResNet:
    """ResNet-20 for CIFAR, 269,722 parameters for 10 classes.

    Example:
        >>> import numpy as np
        >>> import fastnn
        >>> from fastnn.models import cifar_resnet20
        >>> model = cifar_resnet20()
        >>> sum(p.numel() for p in model.parameters())
        269722
        >>> model(fastnn.tensor(np.zeros((2, 3, 32, 32), np.float32))).shape
        (2, 10)
    """
    return CifarResNet(3, num_classes, in_channels)


def cifar_resnet32(num_classes: int = 10, in_channels: int = 3) -> CifarResNet:
    """ResNet-32 for CIFAR, 464,154 parameters for 10 classes."""
    return CifarResNet(5, num_classes, in_channels)


def cifar_resnet44(num_classes: int = 10, in_channels: int = 3) -> CifarResNet:
    """ResNet-44 for CIFAR, 658,586 parameters for 10 classes."""
    return CifarResNet(7, num_classes, in_channels)


def cifar_resnet56(num_classes: int = 10, in_channels: int = 3) -> CifarResNet:
    """ResNet-56 for CIFAR, 853,018 parameters for 10 classes."""
    return CifarResNet(9, num_classes, in_channels)


def cifar_resnet110(num_classes: int = 10, in_channels: int = 3) -> CifarResNet:
    """ResNet-110 for CIFAR, 1,727,962 parameters for 10 classes."""
    return CifarResNet(18, num_classes, in_channels)
