"""GoogLeNet, with batch normalisation as in torchvision and in its original form.

C. Szegedy, W. Liu, Y. Jia, P. Sermanet, S. Reed, D. Anguelov, D. Erhan, V. Vanhoucke, A. Rabinovich, Going deeper with
convolutions, CVPR 2015.
"""

from __future__ import annotations

from typing import Any, NamedTuple

from .. import functional as F
from .. import nn
from ..joining import cat
from ..tensor import Tensor, tensor


class GoogLeNetOutputs(NamedTuple):
    """What `GoogLeNet` returns in training: its scores and those of the auxiliary classifiers, in torchvision's order.

    The paper adds the losses of the auxiliary ones to that of the scores, weighted with 0.3.
    """

    logits: Tensor
    aux_logits2: Tensor
    aux_logits1: Tensor


class BasicConv2d(nn.Module):
    """A convolution without bias, batch normalisation and ReLU; the options are those of `nn.Conv2d`."""

    def __init__(self, in_channels: int, out_channels: int, **options: Any) -> None:
        super().__init__()
        self.conv = nn.Conv2d(in_channels, out_channels, bias=False, **options)
        self.bn = nn.BatchNorm2d(out_channels, eps=0.001)

    def forward(self, x: Tensor) -> Tensor:
        """(N, in_channels, H, W) -> (N, out_channels, P, Q)."""
        return F.relu(self.bn(self.conv(x)))


class PlainConv2d(nn.Module):
    """A convolution with bias and ReLU; the options are those of `nn.Conv2d`."""

    def __init__(self, in_channels: int, out_channels: int, **options: Any) -> None:
        super().__init__()
        self.conv = nn.Conv2d(in_channels, out_channels, **options)

    def forward(self, x: Tensor) -> Tensor:
        """(N, in_channels, H, W) -> (N, out_channels, P, Q)."""
        return F.relu(self.conv(x))


class Inception(nn.Module):
    """Convolutions of three sizes and pooling side by side: (N, in_channels, H, W) -> (N, all outputs, H, W).

    Args:
        in_channels: channels of the input.
        ch1x1: outputs of the 1x1 convolution.
        ch3x3red: outputs of the 1x1 convolution in front of the 3x3.
        ch3x3: outputs of the 3x3 convolution.
        ch5x5red: outputs of the 1x1 convolution in front of the 5x5.
        ch5x5: outputs of the 5x5 convolution.
        pool_proj: outputs of the 1x1 convolution behind the pooling.
        original: the paper's; otherwise torchvision's, in which the 5x5 convolution is one of 3x3, too.
    """

    def __init__(
        self,
        in_channels: int,
        ch1x1: int,
        ch3x3red: int,
        ch3x3: int,
        ch5x5red: int,
        ch5x5: int,
        pool_proj: int,
        original: bool = False,
    ) -> None:
        super().__init__()
        conv, size = (PlainConv2d, 5) if original else (BasicConv2d, 3)
        self.branch1 = conv(in_channels, ch1x1, kernel_size=1)
        self.branch2 = nn.Sequential(
            conv(in_channels, ch3x3red, kernel_size=1), conv(ch3x3red, ch3x3, kernel_size=3, padding=1)
        )
        self.branch3 = nn.Sequential(
            conv(in_channels, ch5x5red, kernel_size=1), conv(ch5x5red, ch5x5, kernel_size=size, padding=size // 2)
        )
        self.branch4 = nn.Sequential(
            nn.MaxPool2d(kernel_size=3, stride=1, padding=1), conv(in_channels, pool_proj, kernel_size=1)
        )

    def forward(self, x: Tensor) -> Tensor:
        """(N, in_channels, H, W) -> (N, ch1x1 + ch3x3 + ch5x5 + pool_proj, H, W)."""
        return cat([branch(x) for branch in (self.branch1, self.branch2, self.branch3, self.branch4)], 1)


class InceptionAux(nn.Module):
    """The auxiliary classifier in the middle of GoogLeNet: (N, in_channels, H, W) -> scores (N, num_classes).

    Args:
        in_channels: channels of the input.
        num_classes: the number of scores.
        dropout: the probability of an output of the hidden linear layer to become 0 in training.
        original: whether the convolution has a bias and no batch normalisation.
    """

    def __init__(self, in_channels: int, num_classes: int, dropout: float = 0.7, original: bool = False) -> None:
        super().__init__()
        self.avgpool = nn.AdaptiveAvgPool2d((4, 4))
        self.conv = (PlainConv2d if original else BasicConv2d)(in_channels, 128, kernel_size=1)
        self.fc1 = nn.Linear(128 * 4 * 4, 1024)
        self.fc2 = nn.Linear(1024, num_classes)
        self.dropout = nn.Dropout(dropout)

    def forward(self, x: Tensor) -> Tensor:
        """(N, in_channels, H, W) -> scores (N, num_classes), to which softmax has not been applied."""
        x = self.conv(self.avgpool(x))
        x = F.relu(self.fc1(x.flatten(1)))
        scores: Tensor = self.fc2(self.dropout(x))
        return scores


class GoogLeNet(nn.Module):
    """GoogLeNet: (N, in_channels, H, W) -> scores (N, num_classes), for images of 224x224 or other sizes.

    In training with `aux_logits` the result is `GoogLeNetOutputs`.

    As in torchvision, whose names and order of parameters these are, convolutions are followed by batch normalisation;
    13,004,888 parameters for 1000 classes, 6,624,904 of them without the auxiliary classifiers. The original form has
    local response normalisation and biases, 13,378,280 and 6,998,552 parameters.

    Args:
        num_classes: the number of scores.
        aux_logits: whether there are auxiliary classifiers.
        transform_input: whether images are normalised with the mean and standard deviation of ImageNet, and brought to
            mean and standard deviation 0.5, which torchvision's published weights were trained for.
        init_weights: whether to initialise weights normal with standard deviation 0.01, as torchvision does, or in the
            original form with Glorot's uniform distribution and biases of 0.2, as Caffe's authors did; otherwise the
            layers stay as their own constructors leave them.
        dropout: the probability of an input of the last linear layer to become 0 in training.
        dropout_aux: the same in the auxiliary classifiers.
        in_channels: channels of the images.
        original: the form of the paper.

    Raises:
        ValueError: `transform_input` is set for images whose channels are not three.
    """

    def __init__(
        self,
        num_classes: int = 1000,
        aux_logits: bool = True,
        transform_input: bool = False,
        init_weights: bool = True,
        dropout: float = 0.2,
        dropout_aux: float = 0.7,
        in_channels: int = 3,
        original: bool = False,
    ) -> None:
        if transform_input and in_channels != 3:
            raise ValueError(f"GoogLeNet: in_channels is {in_channels}; transform_input is for the 3 of ImageNet")
        super().__init__()
        self.aux_logits = aux_logits
        self.transform_input = transform_input
        conv = PlainConv2d if original else BasicConv2d

        self.conv1 = conv(in_channels, 64, kernel_size=7, stride=2, padding=3)
        self.maxpool1 = nn.MaxPool2d(kernel_size=3, stride=2, ceil_mode=True)
        self.norm1 = nn.LocalResponseNorm(5) if original else None
        self.conv2 = conv(64, 64, kernel_size=1)
        self.conv3 = conv(64, 192, kernel_size=3, padding=1)
        self.norm2 = nn.LocalResponseNorm(5) if original else None
        self.maxpool2 = nn.MaxPool2d(kernel_size=3, stride=2, ceil_mode=True)
        self.inception3a = Inception(192, 64, 96, 128, 16, 32, 32, original)
        self.inception3b = Inception(256, 128, 128, 192, 32, 96, 64, original)
        self.maxpool3 = nn.MaxPool2d(kernel_size=3, stride=2, ceil_mode=True)
        self.inception4a = Inception(480, 192, 96, 208, 16, 48, 64, original)
        self.inception4b = Inception(512, 160, 112, 224, 24, 64, 64, original)
        self.inception4c = Inception(512, 128, 128, 256, 24, 64, 64, original)
        self.inception4d = Inception(512, 112, 144, 288, 32, 64, 64, original)
        self.inception4e = Inception(528, 256, 160, 320, 32, 128, 128, original)
        # The paper's window is 3x3; in torchvision, and its published weights, it is 2x2.
        self.maxpool4 = nn.MaxPool2d(kernel_size=3 if original else 2, stride=2, ceil_mode=True)
        self.inception5a = Inception(832, 256, 160, 320, 32, 128, 128, original)
        self.inception5b = Inception(832, 384, 192, 384, 48, 128, 128, original)
        self.aux1 = InceptionAux(512, num_classes, dropout_aux, original) if aux_logits else None
        self.aux2 = InceptionAux(528, num_classes, dropout_aux, original) if aux_logits else None
        self.avgpool = nn.AdaptiveAvgPool2d((1, 1))
        self.dropout = nn.Dropout(dropout)
        self.fc = nn.Linear(1024, num_classes)
        if init_weights:
            for module in self.modules():
                if isinstance(module, (nn.Conv2d, nn.Linear)):
                    _initialize(module, original)

    def forward(self, x: Tensor) -> Tensor | GoogLeNetOutputs:
        """(N, in_channels, H, W) -> scores (N, num_classes), to which softmax has not been applied."""
        if self.transform_input:
            x = _transformed(x)
        x = self.maxpool1(self.conv1(x))
        x = x if self.norm1 is None else self.norm1(x)
        x = self.conv3(self.conv2(x))
        x = x if self.norm2 is None else self.norm2(x)
        x = self.maxpool2(x)
        x = self.inception3b(self.inception3a(x))
        x = self.inception4a(self.maxpool3(x))
        aux1 = self.aux1(x) if self.training and self.aux1 is not None else None
        x = self.inception4d(self.inception4c(self.inception4b(x)))
        aux2 = self.aux2(x) if self.training and self.aux2 is not None else None
        x = self.inception4e(x)
        x = self.inception5b(self.inception5a(self.maxpool4(x)))
        x = self.avgpool(x)  # (N, 1024, 1, 1)
        scores: Tensor = self.fc(self.dropout(x.flatten(1)))
        return scores if aux1 is None or aux2 is None else GoogLeNetOutputs(scores, aux2, aux1)


def _transformed(x: Tensor) -> Tensor:
    """From ImageNet's means and standard deviations of the three channels to 0.5 of all."""
    means, deviations = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)
    scale, shift = (
        tensor([[[[value]] for value in values]], dtype=x.dtype)
        for values in ([s / 0.5 for s in deviations], [(m - 0.5) / 0.5 for m in means])
    )
    return x * scale + shift


def _initialize(layer: nn.Conv2d | nn.Linear, original: bool) -> None:
    if not original:  # torchvision cuts the distribution off at 200 standard deviations, which changes nothing
        nn.init.normal_(layer.weight, 0, 0.01)
        return
    nn.init.xavier_uniform_(layer.weight)
    nn.init.constant_(layer.bias, 0.2)  # type: ignore[type-var]


def googlenet(num_classes: int = 1000, in_channels: int = 3, original: bool = False, **options: Any) -> GoogLeNet:
    """GoogLeNet; the options are those of `GoogLeNet`.

    Example:
        >>> import fastnn
        >>> from fastnn.models import googlenet
        >>> model = googlenet(num_classes=10)
        >>> x = fastnn.randn(2, 3, 32, 32)
        >>> model.train()(x).aux_logits1.shape
        (2, 10)
        >>> model.eval()(x).shape
        (2, 10)
    """
    return GoogLeNet(num_classes, in_channels=in_channels, original=original, **options)
