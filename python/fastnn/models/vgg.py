"""VGG with 11 to 19 layers, plain and with batch normalisation.

K. Simonyan, A. Zisserman, Very deep convolutional networks for large-scale image recognition, ICLR 2015.
"""

from __future__ import annotations

from functools import partial
from typing import Any

from .. import nn
from ..nn.utils import skip_init
from ..tensor import Tensor

# Table 1 of the paper, columns A, B, D and E: the channels of each 3x3 convolution, and M for a 2x2 max pooling.
_CONFIGURATIONS = {
    11: "64 M 128 M 256 256 M 512 512 M 512 512 M",
    13: "64 64 M 128 128 M 256 256 M 512 512 M 512 512 M",
    16: "64 64 M 128 128 M 256 256 256 M 512 512 512 M 512 512 512 M",
    19: "64 64 M 128 128 M 256 256 256 256 M 512 512 512 512 M 512 512 512 512 M",
}


class VGG(nn.Module):
    """VGG: (N, in_channels, H, W) -> scores (N, num_classes), for images of 224x224 and of no less than 32x32 pixels.

    Names, order and initial values of the parameters are torchvision's: convolutions normal with variance 2 / fan-out
    (He et al., 2015), linear layers normal with standard deviation 0.01, biases 0.

    Args:
        features: the convolutional part: (N, in_channels, H, W) -> (N, 512, H // 32, W // 32).
        num_classes: the number of scores.
        init_weights: whether to initialise as above; otherwise the layers stay as their own constructors leave them.
        dropout: the probability of an output of the first two linear layers to become 0 in training.
    """

    def __init__(
        self, features: nn.Module, num_classes: int = 1000, init_weights: bool = True, dropout: float = 0.5
    ) -> None:
        super().__init__()
        self.features = features
        self.avgpool = nn.AdaptiveAvgPool2d((7, 7))
        # 124 million random numbers take a second, and once is enough.
        linear = partial(skip_init, nn.Linear) if init_weights else nn.Linear
        self.classifier = nn.Sequential(
            linear(512 * 7 * 7, 4096),
            nn.ReLU(),
            nn.Dropout(dropout),
            linear(4096, 4096),
            nn.ReLU(),
            nn.Dropout(dropout),
            linear(4096, num_classes),
        )
        if init_weights:
            self.apply(_initialize)

    def forward(self, x: Tensor) -> Tensor:
        """(N, in_channels, H, W) -> scores (N, num_classes), to which softmax has not been applied."""
        x = self.features(x)
        x = self.avgpool(x)  # (N, 512, 7, 7)
        scores: Tensor = self.classifier(x.flatten(1))
        return scores


def _initialize(module: nn.Module) -> None:
    if isinstance(module, nn.Conv2d):
        nn.init.kaiming_normal_(module.weight, mode="fan_out", nonlinearity="relu")
    elif isinstance(module, nn.Linear):
        nn.init.normal_(module.weight, 0, 0.01)
    else:
        return
    nn.init.zeros_(module.bias)  # type: ignore[type-var]


def _vgg(layers: int, batch_norm: bool, num_classes: int, in_channels: int, options: dict[str, Any]) -> VGG:
    features = nn.Sequential()
    channels = in_channels
    for item in _CONFIGURATIONS[layers].split():
        if item == "M":
            features.append(nn.MaxPool2d(kernel_size=2, stride=2))
        else:
            features.append(nn.Conv2d(channels, int(item), kernel_size=3, padding=1))
            if batch_norm:
                features.append(nn.BatchNorm2d(int(item)))
            features.append(nn.ReLU())
            channels = int(item)
    return VGG(features, num_classes, **options)


def vgg11(num_classes: int = 1000, in_channels: int = 3, **options: Any) -> VGG:
    """VGG with 11 layers (column A), 132,863,336 parameters for 1000 classes; options of `VGG`."""
    return _vgg(11, False, num_classes, in_channels, options)


def vgg11_bn(num_classes: int = 1000, in_channels: int = 3, **options: Any) -> VGG:
    """VGG with 11 layers and batch normalisation, 132,868,840 parameters for 1000 classes; options of `VGG`."""
    return _vgg(11, True, num_classes, in_channels, options)


def vgg13(num_classes: int = 1000, in_channels: int = 3, **options: Any) -> VGG:
    """VGG with 13 layers (column B), 133,047,848 parameters for 1000 classes; options of `VGG`."""
    return _vgg(13, False, num_classes, in_channels, options)


def vgg13_bn(num_classes: int = 1000, in_channels: int = 3, **options: Any) -> VGG:
    """VGG with 13 layers and batch normalisation, 133,053,736 parameters for 1000 classes; options of `VGG`."""
    return _vgg(13, True, num_classes, in_channels, options)


def vgg16(num_classes: int = 1000, in_channels: int = 3, **options: Any) -> VGG:
    """VGG with 16 layers (column D), 138,357,544 parameters for 1000 classes; options of `VGG`."""
    return _vgg(16, False, num_classes, in_channels, options)


def vgg16_bn(num_classes: int = 1000, in_channels: int = 3, **options: Any) -> VGG:
    """VGG with 16 layers and batch normalisation, 138,365,992 parameters for 1000 classes; options of `VGG`."""
    return _vgg(16, True, num_classes, in_channels, options)


def vgg19(num_classes: int = 1000, in_channels: int = 3, **options: Any) -> VGG:
    """VGG with 19 layers (column E), 143,667,240 parameters for 1000 classes; options of `VGG`."""
    return _vgg(19, False, num_classes, in_channels, options)


def vgg19_bn(num_classes: int = 1000, in_channels: int = 3, **options: Any) -> VGG:
    """VGG with 19 layers and batch normalisation, 143,678,248 parameters for 1000 classes; options of `VGG`."""
    return _vgg(19, True, num_classes, in_channels, options)
