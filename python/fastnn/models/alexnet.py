"""AlexNet, in the form with one column of channels."""

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
