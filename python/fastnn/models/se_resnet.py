"""Residual networks with squeeze-and-excitation.

J. Hu, L. Shen, G. Sun, Squeeze-and-excitation networks, CVPR 2018. The blocks are those of `resnet`, with the stride in
the 3x3 convolution; before the addition their channels are weighed. The reduction is 16, and both layers of the
excitation have biases: the numbers of parameters are those of the models that came with the paper. The names are those
that timm gives the parameters: torchvision's, and `se.fc1` and `se.fc2` within a block.
"""

from __future__ import annotations

from typing import Any

from .residual import add_squeeze_excitation
from .resnet import ResNet, resnet18, resnet34, resnet50, resnet101, resnet152


def se_resnet18(num_classes: int = 1000, in_channels: int = 3, reduction: int = 16, **options: Any) -> ResNet:
    """SE-ResNet-18, 11,778,592 parameters for 1000 classes.

    Args:
        num_classes: the number of scores.
        in_channels: channels of the images.
        reduction: a block of C channels has C // reduction hidden units.
        options: those of `ResNet`.

    Example:
        >>> import fastnn
        >>> from fastnn.models import se_resnet18
        >>> se_resnet18(num_classes=10)(fastnn.zeros(2, 3, 32, 32)).shape
        (2, 10)
    """
    return add_squeeze_excitation(resnet18(num_classes, in_channels, **options), reduction)


def se_resnet34(num_classes: int = 1000, in_channels: int = 3, reduction: int = 16, **options: Any) -> ResNet:
    """SE-ResNet-34, 21,958,868 parameters for 1000 classes; the arguments are those of `se_resnet18`."""
    return add_squeeze_excitation(resnet34(num_classes, in_channels, **options), reduction)


def se_resnet50(num_classes: int = 1000, in_channels: int = 3, reduction: int = 16, **options: Any) -> ResNet:
    """SE-ResNet-50, 28,088,024 parameters for 1000 classes; the arguments are those of `se_resnet18`."""
    return add_squeeze_excitation(resnet50(num_classes, in_channels, **options), reduction)


def se_resnet101(num_classes: int = 1000, in_channels: int = 3, reduction: int = 16, **options: Any) -> ResNet:
    """SE-ResNet-101, 49,326,872 parameters for 1000 classes; the arguments are those of `se_resnet18`."""
    return add_squeeze_excitation(resnet101(num_classes, in_channels, **options), reduction)


def se_resnet152(num_classes: int = 1000, in_channels: int = 3, reduction: int = 16, **options: Any) -> ResNet:
    """SE-ResNet-152, 66,821,848 parameters for 1000 classes; the arguments are those of `se_resnet18`."""
    return add_squeeze_excitation(resnet152(num_classes, in_channels, **options), reduction)
