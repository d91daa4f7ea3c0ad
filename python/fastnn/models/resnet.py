"""Residual networks for large images, with 18 to 152 layers, their wide form and ResNeXt.

K. He, X. Zhang, S. Ren, J. Sun, Deep residual learning for image recognition, CVPR 2016. S. Zagoruyko, N. Komodakis,
Wide residual networks, BMVC 2016. S. Xie, R. Girshick, P. Dollár, Z. Tu, K. He, Aggregated residual transformations for
deep neural networks, CVPR 2017. As in torchvision, the stride of a bottleneck is that of its 3x3 convolution, where the
first paper has it in the first 1x1.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from .. import nn
from ..tensor import Tensor
from .residual import ResidualBlock


class BasicBlock(ResidualBlock):
    """Two 3x3 convolutions and a shortcut around them: (N, inplanes, H, W) -> (N, planes, H / stride, W / stride).

    Args:
        inplanes: channels of the input.
        planes: channels of the output.
        stride: step of the first convolution.
        downsample: brings the input to the shape of the output, where the two differ.
        groups: 1; other values are for `Bottleneck`.
        base_width: 64; other values are for `Bottleneck`.
        dilation: 1; other values are for `Bottleneck`.
        norm_layer: makes a normalisation of so many channels.

    Raises:
        ValueError: `groups` or `base_width` is another one.
        NotImplementedError: `dilation` is another one.
    """

    expansion = 1

    def __init__(
        self,
        inplanes: int,
        planes: int,
        stride: int = 1,
        downsample: nn.Module | None = None,
        groups: int = 1,
        base_width: int = 64,
        dilation: int = 1,
        norm_layer: Callable[[int], nn.Module] = nn.BatchNorm2d,
    ) -> None:
        if groups != 1 or base_width != 64:
            raise ValueError(f"BasicBlock: groups is {groups} and base_width {base_width}; expected 1 and 64")
        if dilation != 1:
            raise NotImplementedError(f"BasicBlock: dilation is {dilation}; expected 1")
        super().__init__(planes)
        self.conv1 = nn.Conv2d(inplanes, planes, kernel_size=3, stride=stride, padding=1, bias=False)
        self.bn1 = norm_layer(planes)
        self.relu = nn.ReLU()
        self.conv2 = nn.Conv2d(planes, planes, kernel_size=3, padding=1, bias=False)
        self.bn2 = norm_layer(planes)
        self.downsample = downsample

    def residual(self, x: Tensor) -> Tensor:
        """(N, inplanes, H, W) -> (N, planes, H / stride, W / stride)."""
        out = self.relu(self.bn1(self.conv1(x)))
        y: Tensor = self.bn2(self.conv2(out))
        return y

    def shortcut(self, x: Tensor) -> Tensor:
        """The input, through `downsample` where there is one."""
        return x if self.downsample is None else self.downsample(x)


class Bottleneck(ResidualBlock):
    """1x1, 3x3 and 1x1 convolutions and a shortcut: (N, inplanes, H, W) -> (N, 4 planes, H / stride, W / stride).

    Args:
        inplanes: channels of the input.
        planes: a quarter of the channels of the output.
        stride: step of the 3x3 convolution.
        downsample: brings the input to the shape of the output, where the two differ.
        groups: groups of the 3x3 convolution.
        base_width: for each 64 planes, the channels of a group between the convolutions.
        dilation: of the 3x3 convolution.
        norm_layer: makes a normalisation of so many channels.
    """

    expansion = 4

    def __init__(
        self,
        inplanes: int,
        planes: int,
        stride: int = 1,
        downsample: nn.Module | None = None,
        groups: int = 1,
        base_width: int = 64,
        dilation: int = 1,
        norm_layer: Callable[[int], nn.Module] = nn.BatchNorm2d,
    ) -> None:
        outplanes, width = planes * self.expansion, planes * base_width // 64 * groups
        super().__init__(outplanes)
        self.conv1 = nn.Conv2d(inplanes, width, kernel_size=1, bias=False)
        self.bn1 = norm_layer(width)
        self.conv2 = nn.Conv2d(width, width, 3, stride, dilation, dilation, groups, bias=False)
        self.bn2 = norm_layer(width)
        self.conv3 = nn.Conv2d(width, outplanes, kernel_size=1, bias=False)
        self.bn3 = norm_layer(outplanes)
        self.relu = nn.ReLU()
        self.downsample = downsample

    def residual(self, x: Tensor) -> Tensor:
        """(N, inplanes, H, W) -> (N, 4 planes, H / stride, W / stride)."""
        out = self.relu(self.bn1(self.conv1(x)))
        out = self.relu(self.bn2(self.conv2(out)))
        y: Tensor = self.bn3(self.conv3(out))
        return y

    def shortcut(self, x: Tensor) -> Tensor:
        """The input, through `downsample` where there is one."""
        return x if self.downsample is None else self.downsample(x)


class ResNet(nn.Module):
    """A residual network: (N, in_channels, H, W) -> scores (N, num_classes), for images of 224x224 or other sizes.

    Names, order and initial values of the parameters are torchvision's: convolutions normal with variance 2 / fan-out
    (He et al., 2015), batch normalisations 1 and 0, the linear layer as `nn.Linear` is.

    Args:
        block: `BasicBlock` or `Bottleneck`.
        layers: the number of blocks in each of the four stages.
        num_classes: the number of scores.
        zero_init_residual: whether the last batch normalisation of each block starts with weights of 0, so that each
            block starts as the identity (Goyal et al.: Accurate, large minibatch SGD, 2017).
        groups: groups of the 3x3 convolutions (ResNeXt).
        width_per_group: channels of such a group in the first stage, which double from stage to stage.
        replace_stride_with_dilation: for the second, third and last stage, whether it keeps the number of pixels, and
            its 3x3 convolutions and those behind reach as far by dilation.
        norm_layer: makes a normalisation of so many channels; None for batch normalisation.
        in_channels: channels of the images.

    Raises:
        ValueError: `replace_stride_with_dilation` does not hold three values, or `BasicBlock` is to have groups.
        NotImplementedError: `BasicBlock` is to have dilation.
    """

    def __init__(
        self,
        block: type[BasicBlock] | type[Bottleneck],
        layers: Sequence[int],
        num_classes: int = 1000,
        zero_init_residual: bool = False,
        groups: int = 1,
        width_per_group: int = 64,
        replace_stride_with_dilation: Sequence[bool] | None = None,
        norm_layer: Callable[[int], nn.Module] | None = None,
        in_channels: int = 3,
    ) -> None:
        dilated = (False, False, False) if replace_stride_with_dilation is None else replace_stride_with_dilation
        if len(dilated) != 3:
            raise ValueError(f"ResNet: replace_stride_with_dilation is {dilated}; expected None or three values")
        super().__init__()
        norm_layer = nn.BatchNorm2d if norm_layer is None else norm_layer
        inplanes, dilation = 64, 1

        def stage(planes: int, blocks: int, stride: int, dilate: bool) -> nn.Sequential:
            nonlocal inplanes, dilation
            outplanes, first_dilation = planes * block.expansion, dilation
            if dilate:
                dilation, stride = dilation * stride, 1
            downsample = None
            if stride != 1 or inplanes != outplanes:
                downsample = nn.Sequential(
                    nn.Conv2d(inplanes, outplanes, kernel_size=1, stride=stride, bias=False), norm_layer(outplanes)
                )
            shape = groups, width_per_group
            modules = [block(inplanes, planes, stride, downsample, *shape, first_dilation, norm_layer)]
            inplanes = outplanes
            modules += [block(inplanes, planes, 1, None, *shape, dilation, norm_layer) for _ in range(blocks - 1)]
            return nn.Sequential(*modules)

        self.conv1 = nn.Conv2d(in_channels, 64, kernel_size=7, stride=2, padding=3, bias=False)
        self.bn1 = norm_layer(64)
        self.relu = nn.ReLU()
        self.maxpool = nn.MaxPool2d(kernel_size=3, stride=2, padding=1)
        self.layer1 = stage(64, layers[0], 1, False)
        self.layer2 = stage(128, layers[1], 2, dilated[0])
        self.layer3 = stage(256, layers[2], 2, dilated[1])
        self.layer4 = stage(512, layers[3], 2, dilated[2])
        self.avgpool = nn.AdaptiveAvgPool2d((1, 1))
        self.fc = nn.Linear(512 * block.expansion, num_classes)

        for module in self.modules():
            if isinstance(module, nn.Conv2d):
                nn.init.kaiming_normal_(module.weight, mode="fan_out", nonlinearity="relu")
            elif zero_init_residual and isinstance(module, (BasicBlock, Bottleneck)):
                last = module.bn3 if isinstance(module, Bottleneck) else module.bn2
                nn.init.zeros_(last.weight)

    def forward(self, x: Tensor) -> Tensor:
        """(N, in_channels, H, W) -> scores (N, num_classes), to which softmax has not been applied."""
        x = self.relu(self.bn1(self.conv1(x)))
        x = self.maxpool(x)
        x = self.layer1(x)
        x = self.layer2(x)
        x = self.layer3(x)
        x = self.layer4(x)
        x = self.avgpool(x)  # (N, channels, 1, 1)
        scores: Tensor = self.fc(x.flatten(1))
        return scores


def resnet18(num_classes: int = 1000, in_channels: int = 3, **options: Any) -> ResNet:
    """ResNet-18, 11,689,512 parameters for 1000 classes; the options are those of `ResNet`.

    Example:
        >>> import numpy as np
        >>> import fastnn
        >>> from fastnn.models import resnet18
        >>> model = resnet18(num_classes=10)
        >>> model(fastnn.tensor(np.zeros((2, 3, 32, 32), np.float32))).shape
        (2, 10)
    """
    return ResNet(BasicBlock, (2, 2, 2, 2), num_classes, in_channels=in_channels, **options)


def resnet34(num_classes: int = 1000, in_channels: int = 3, **options: Any) -> ResNet:
    """ResNet-34, 21,797,672 parameters for 1000 classes; the options are those of `ResNet`."""
    return ResNet(BasicBlock, (3, 4, 6, 3), num_classes, in_channels=in_channels, **options)


def resnet50(num_classes: int = 1000, in_channels: int = 3, **options: Any) -> ResNet:
    """ResNet-50, 25,557,032 parameters for 1000 classes; the options are those of `ResNet`."""
    return ResNet(Bottleneck, (3, 4, 6, 3), num_classes, in_channels=in_channels, **options)


def resnet101(num_classes: int = 1000, in_channels: int = 3, **options: Any) -> ResNet:
    """ResNet-101, 44,549,160 parameters for 1000 classes; the options are those of `ResNet`."""
    return ResNet(Bottleneck, (3, 4, 23, 3), num_classes, in_channels=in_channels, **options)


def resnet152(num_classes: int = 1000, in_channels: int = 3, **options: Any) -> ResNet:
    """ResNet-152, 60,192,808 parameters for 1000 classes; the options are those of `ResNet`."""
    return ResNet(Bottleneck, (3, 8, 36, 3), num_classes, in_channels=in_channels, **options)


def resnext50_32x4d(num_classes: int = 1000, in_channels: int = 3, **options: Any) -> ResNet:
    """ResNeXt-50 with 32 groups of 4 channels, 25,028,904 parameters for 1000 classes; options of `ResNet`."""
    return resnet50(num_classes, in_channels, groups=32, width_per_group=4, **options)


def resnext101_32x8d(num_classes: int = 1000, in_channels: int = 3, **options: Any) -> ResNet:
    """ResNeXt-101 with 32 groups of 8 channels, 88,791,336 parameters for 1000 classes; options of `ResNet`."""
    return resnet101(num_classes, in_channels, groups=32, width_per_group=8, **options)


def resnext101_64x4d(num_classes: int = 1000, in_channels: int = 3, **options: Any) -> ResNet:
    """ResNeXt-101 with 64 groups of 4 channels, 83,455,272 parameters for 1000 classes; options of `ResNet`."""
    return resnet101(num_classes, in_channels, groups=64, width_per_group=4, **options)


def wide_resnet50_2(num_classes: int = 1000, in_channels: int = 3, **options: Any) -> ResNet:
    """ResNet-50 with 3x3 convolutions twice as wide, 68,883,240 parameters for 1000 classes; options of `ResNet`."""
    return resnet50(num_classes, in_channels, width_per_group=128, **options)


def wide_resnet101_2(num_classes: int = 1000, in_channels: int = 3, **options: Any) -> ResNet:
    """ResNet-101 with 3x3 convolutions twice as wide, 126,886,696 parameters for 1000 classes; options of `ResNet`."""
    return resnet101(num_classes, in_channels, width_per_group=128, **options)
