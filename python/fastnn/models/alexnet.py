"""AlexNet: of 2012, for two graphics processors, and of 2014, in the form with one column of channels."""

from __future__ import annotations

from typing import Any

from .. import nn
from ..tensor import Tensor


class AlexNet(nn.Module):
    """AlexNet: (N, in_channels, H, W) -> scores (N, num_classes), for images of 224x224 and no less than 63x63 pixels.

    The form with one column of A. Krizhevsky, One weird trick for parallelizing convolutional neural networks, 2014
    (arXiv:1404.5997). Names, order and initial values of the parameters are torchvision's; 61,100,840 of them for 1000
    classes.

    Args:
        num_classes: the number of scores.
        dropout: the probability of an input of the first two linear layers to become 0 in training.
        in_channels: channels of the images.
    """

    def __init__(self, num_classes: int = 1000, dropout: float = 0.5, in_channels: int = 3) -> None:
        super().__init__()
        self.features = nn.Sequential(
            nn.Conv2d(in_channels, 64, kernel_size=11, stride=4, padding=2),
            nn.ReLU(),
            nn.MaxPool2d(kernel_size=3, stride=2),
            nn.Conv2d(64, 192, kernel_size=5, padding=2),
            nn.ReLU(),
            nn.MaxPool2d(kernel_size=3, stride=2),
            nn.Conv2d(192, 384, kernel_size=3, padding=1),
            nn.ReLU(),
            nn.Conv2d(384, 256, kernel_size=3, padding=1),
            nn.ReLU(),
            nn.Conv2d(256, 256, kernel_size=3, padding=1),
            nn.ReLU(),
            nn.MaxPool2d(kernel_size=3, stride=2),
        )
        self.avgpool = nn.AdaptiveAvgPool2d((6, 6))
        self.classifier = _classifier(num_classes, dropout)

    def forward(self, x: Tensor) -> Tensor:
        """(N, in_channels, H, W) -> scores (N, num_classes), to which softmax has not been applied."""
        x = self.features(x)
        x = self.avgpool(x)  # (N, 256, 6, 6)
        scores: Tensor = self.classifier(x.flatten(1))
        return scores


class AlexNet2012(nn.Module):
    """AlexNet as it won in 2012: (N, in_channels, 227, 227) -> scores (N, num_classes).

    A. Krizhevsky, I. Sutskever, G. E. Hinton, ImageNet classification with deep convolutional neural networks, NIPS
    2012. Local response normalisation, overlapping pooling, and convolutions in two groups, one for each graphics
    processor; 60,965,224 parameters for 1000 classes. The paper says 224x224, but its 55x55 pixels after the first
    convolution are those of 227x227 images. Other sizes of no less than 67x67 are averaged to 6x6 pixels before the
    linear layers.

    Initial values are the paper's: weights normal with standard deviation 0.01, biases 1 in the second, fourth and
    fifth convolution and the hidden linear layers, 0 elsewhere.

    Args:
        num_classes: the number of scores.
        dropout: the probability of an input of the first two linear layers to become 0 in training.
        in_channels: channels of the images.
    """

    def __init__(self, num_classes: int = 1000, dropout: float = 0.5, in_channels: int = 3) -> None:
        super().__init__()
        self.features = nn.Sequential(
            nn.Conv2d(in_channels, 96, kernel_size=11, stride=4),
            nn.ReLU(),
            response_norm(),
            nn.MaxPool2d(kernel_size=3, stride=2),
            nn.Conv2d(96, 256, kernel_size=5, padding=2, groups=2),
            nn.ReLU(),
            response_norm(),
            nn.MaxPool2d(kernel_size=3, stride=2),
            nn.Conv2d(256, 384, kernel_size=3, padding=1),
            nn.ReLU(),
            nn.Conv2d(384, 384, kernel_size=3, padding=1, groups=2),
            nn.ReLU(),
            nn.Conv2d(384, 256, kernel_size=3, padding=1, groups=2),
            nn.ReLU(),
            nn.MaxPool2d(kernel_size=3, stride=2),
        )
        self.avgpool = nn.AdaptiveAvgPool2d((6, 6))
        self.classifier = _classifier(num_classes, dropout)
        first, second, third, fourth, fifth = (m for m in self.features if isinstance(m, nn.Conv2d))
        *hidden, last = (m for m in self.classifier if isinstance(m, nn.Linear))
        for ones, layers in ((True, (second, fourth, fifth, *hidden)), (False, (first, third, last))):
            for layer in layers:
                nn.init.normal_(layer.weight, 0, 0.01)
                nn.init.constant_(layer.bias, float(ones))

    def forward(self, x: Tensor) -> Tensor:
        """(N, in_channels, H, W) -> scores (N, num_classes), to which softmax has not been applied."""
        x = self.features(x)
        x = self.avgpool(x)  # (N, 256, 6, 6)
        scores: Tensor = self.classifier(x.flatten(1))
        return scores


def response_norm() -> nn.Module:
    """Section 3.3 of the paper of 2012: its alpha multiplies the sum of 5 squares, PyTorch's their mean."""
    return nn.LocalResponseNorm(size=5, alpha=5 * 1e-4, beta=0.75, k=2)


def _classifier(num_classes: int, dropout: float) -> nn.Sequential:
    return nn.Sequential(
        nn.Dropout(dropout),
        nn.Linear(256 * 6 * 6, 4096),
        nn.ReLU(),
        nn.Dropout(dropout),
        nn.Linear(4096, 4096),
        nn.ReLU(),
        nn.Linear(4096, num_classes),
    )


def alexnet(num_classes: int = 1000, in_channels: int = 3, **options: Any) -> AlexNet:
    """AlexNet of 2014; the options are those of `AlexNet`.

    Example:
        >>> from fastnn.models import alexnet
        >>> model = alexnet(num_classes=10)
        >>> model.features[0].weight.shape
        (64, 3, 11, 11)
    """
    return AlexNet(num_classes, in_channels=in_channels, **options)


def alexnet2012(num_classes: int = 1000, in_channels: int = 3, **options: Any) -> AlexNet2012:
    """AlexNet of 2012; the options are those of `AlexNet2012`."""
    return AlexNet2012(num_classes, in_channels=in_channels, **options)
