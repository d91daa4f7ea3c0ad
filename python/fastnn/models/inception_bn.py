"""Inception with batch normalisation, the network of the paper that introduced it.

S. Ioffe, C. Szegedy, Batch normalization: accelerating deep network training by reducing internal covariate shift, ICML
2015, figure 5.
"""

from __future__ import annotations

from .. import nn
from ..joining import cat
from ..tensor import Tensor
from .googlenet import BasicConv2d

# A row of the paper's figure 5: outputs of the 1x1 convolution; of the reduction and the 3x3; of the reduction and both
# 3x3; of the projection behind the pooling. 0 for none; and then everything else has stride 2.
_STAGES = {
    "inception3a": (64, 64, 64, 64, 96, "avg", 32),
    "inception3b": (64, 64, 96, 64, 96, "avg", 64),
    "inception3c": (0, 128, 160, 64, 96, "max", 0),
    "inception4a": (224, 64, 96, 96, 128, "avg", 128),
    "inception4b": (192, 96, 128, 96, 128, "avg", 128),
    "inception4c": (160, 128, 160, 128, 160, "avg", 128),
    "inception4d": (96, 128, 192, 160, 192, "avg", 128),
    "inception4e": (0, 128, 192, 192, 256, "max", 0),
    "inception5a": (352, 192, 320, 160, 224, "avg", 128),
    "inception5b": (352, 192, 320, 192, 224, "max", 128),
}


class BNInception(nn.Module):
    """Convolutions of three depths and pooling side by side: (N, in_channels, H, W) -> (N, all outputs, P, Q).

    Args:
        in_channels: channels of the input.
        ch1x1: outputs of the 1x1 convolution; where it is 0 there is none, and the others have stride 2.
        ch3x3red: outputs of the 1x1 convolution in front of the 3x3.
        ch3x3: outputs of the 3x3 convolution.
        chd3x3red: outputs of the 1x1 convolution in front of two 3x3.
        chd3x3: outputs of each of these.
        pool: "avg" or "max".
        pool_proj: outputs of the 1x1 convolution behind the pooling, or 0 for none.

    Attributes:
        out_channels: the number of all outputs.
    """

    def __init__(
        self,
        in_channels: int,
        ch1x1: int,
        ch3x3red: int,
        ch3x3: int,
        chd3x3red: int,
        chd3x3: int,
        pool: str,
        pool_proj: int,
    ) -> None:
        super().__init__()
        stride = 1 if ch1x1 else 2
        self.out_channels = ch1x1 + ch3x3 + chd3x3 + (pool_proj or in_channels)
        self.branch1 = BasicConv2d(in_channels, ch1x1, kernel_size=1) if ch1x1 else None
        self.branch2 = nn.Sequential(
            BasicConv2d(in_channels, ch3x3red, kernel_size=1),
            BasicConv2d(ch3x3red, ch3x3, kernel_size=3, stride=stride, padding=1),
        )
        self.branch3 = nn.Sequential(
            BasicConv2d(in_channels, chd3x3red, kernel_size=1),
            BasicConv2d(chd3x3red, chd3x3, kernel_size=3, padding=1),
            BasicConv2d(chd3x3, chd3x3, kernel_size=3, stride=stride, padding=1),
        )
        pooling = (nn.AvgPool2d if pool == "avg" else nn.MaxPool2d)(kernel_size=3, stride=stride, padding=1)
        self.branch4 = nn.Sequential(pooling)
        if pool_proj:
            self.branch4.append(BasicConv2d(in_channels, pool_proj, kernel_size=1))

    def forward(self, x: Tensor) -> Tensor:
        """(N, in_channels, H, W) -> (N, out_channels, P, Q)."""
        branches = (self.branch1, self.branch2, self.branch3, self.branch4)
        return cat([branch(x) for branch in branches if branch is not None], 1)


class InceptionBN(nn.Module):
    """Inception-BN: (N, in_channels, H, W) -> scores (N, num_classes), for images of 224x224 or other sizes.

    11,285,224 parameters for 1000 classes. Names are as in `GoogLeNet` (`inception3a.branch1.conv.weight`). The first
    convolution is an ordinary one, as in all published models, where the paper has a separable one; convolutions start
    normal with variance 2 / fan-out (He et al., 2015).

    Args:
        num_classes: the number of scores.
        in_channels: channels of the images.
    """

    def __init__(self, num_classes: int = 1000, in_channels: int = 3) -> None:
        super().__init__()
        self.conv1 = BasicConv2d(in_channels, 64, kernel_size=7, stride=2, padding=3)
        self.maxpool1 = nn.MaxPool2d(kernel_size=3, stride=2, ceil_mode=True)
        self.conv2 = BasicConv2d(64, 64, kernel_size=1)
        self.conv3 = BasicConv2d(64, 192, kernel_size=3, padding=1)
        self.maxpool2 = nn.MaxPool2d(kernel_size=3, stride=2, ceil_mode=True)
        channels = 192
        for name, row in _STAGES.items():
            block = BNInception(channels, *row)
            self.add_module(name, block)
            channels = block.out_channels
        self.avgpool = nn.AdaptiveAvgPool2d((1, 1))
        self.fc = nn.Linear(channels, num_classes)
        for module in self.modules():
            if isinstance(module, nn.Conv2d):
                nn.init.kaiming_normal_(module.weight, mode="fan_out", nonlinearity="relu")

    def forward(self, x: Tensor) -> Tensor:
        """(N, in_channels, H, W) -> scores (N, num_classes), to which softmax has not been applied."""
        x = self.maxpool1(self.conv1(x))
        x = self.maxpool2(self.conv3(self.conv2(x)))
        for name in _STAGES:
            x = getattr(self, name)(x)
        x = self.avgpool(x)  # (N, 1024, 1, 1)
        scores: Tensor = self.fc(x.flatten(1))
        return scores


def inception_bn(num_classes: int = 1000, in_channels: int = 3) -> InceptionBN:
    """Inception-BN; the arguments are those of `InceptionBN`.

    Example:
        >>> import fastnn
        >>> from fastnn.models import inception_bn
        >>> inception_bn(num_classes=10).eval()(fastnn.zeros(2, 3, 32, 32)).shape
        (2, 10)
    """
    return InceptionBN(num_classes, in_channels)
