"""ZFNet: AlexNet with smaller and denser windows at its start.

M. D. Zeiler, R. Fergus, Visualizing and understanding convolutional networks, ECCV 2014 (arXiv:1311.2901), figure 3.
"""

from __future__ import annotations

from typing import Any

from .. import nn
from ..tensor import Tensor
from .alexnet import response_norm


class ZFNet(nn.Module):
    """ZFNet: (N, in_channels, 224, 224) -> scores (N, num_classes); 62,357,608 parameters for 1000 classes.

    Pixels after each layer are those of the paper's figure 3 (110, 55, 26, 13, 6); other sizes of no less than 63x63
    are averaged to 6x6 in front of the linear layers. The normalisation across channels is AlexNet's. Initial values
    are the paper's: weights of the size 0.01, drawn from a normal distribution, and biases 0.

    Args:
        num_classes: the number of scores.
        dropout: the probability of an output of the hidden linear layers to become 0 in training.
        in_channels: channels of the images.
    """

    def __init__(self, num_classes: int = 1000, dropout: float = 0.5, in_channels: int = 3) -> None:
        super().__init__()
        self.features = nn.Sequential(
            nn.Conv2d(in_channels, 96, kernel_size=7, stride=2, padding=1),
            nn.ReLU(),
            nn.MaxPool2d(kernel_size=3, stride=2, ceil_mode=True),
            response_norm(),
            nn.Conv2d(96, 256, kernel_size=5, stride=2),
            nn.ReLU(),
            nn.MaxPool2d(kernel_size=3, stride=2, ceil_mode=True),
            response_norm(),
            nn.Conv2d(256, 384, kernel_size=3, padding=1),
            nn.ReLU(),
            nn.Conv2d(384, 384, kernel_size=3, padding=1),
            nn.ReLU(),
            nn.Conv2d(384, 256, kernel_size=3, padding=1),
            nn.ReLU(),
            nn.MaxPool2d(kernel_size=3, stride=2),
        )
        self.avgpool = nn.AdaptiveAvgPool2d((6, 6))
        self.classifier = nn.Sequential(
            nn.Linear(256 * 6 * 6, 4096),
            nn.ReLU(),
            nn.Dropout(dropout),
            nn.Linear(4096, 4096),
            nn.ReLU(),
            nn.Dropout(dropout),
            nn.Linear(4096, num_classes),
        )
        for layer in (*self.features, *self.classifier):
            if isinstance(layer, (nn.Conv2d, nn.Linear)):
                nn.init.normal_(layer.weight, 0, 0.01)
                nn.init.zeros_(layer.bias)  # type: ignore[type-var]

    def forward(self, x: Tensor) -> Tensor:
        """(N, in_channels, H, W) -> scores (N, num_classes), to which softmax has not been applied."""
        x = self.features(x)
        x = self.avgpool(x)  # (N, 256, 6, 6)
        scores: Tensor = self.classifier(x.flatten(1))
        return scores


def zfnet(num_classes: int = 1000, in_channels: int = 3, **options: Any) -> ZFNet:
    """ZFNet; the options are those of `ZFNet`."""
    return ZFNet(num_classes, in_channels=in_channels, **options)
