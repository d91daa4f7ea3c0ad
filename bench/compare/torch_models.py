"""fastnn's models in PyTorch, which has none of its own: layers and parameter names are those of torchvision."""

from __future__ import annotations

from typing import Any

import torch
import torch.nn.functional as F
from torch import nn


def _conv(c: int, k: int, size: int, stride: int = 1) -> nn.Conv2d:
    return nn.Conv2d(c, k, size, stride, padding=size // 2, bias=False)


class _Block(nn.Module):
    """Two 3x3 convolutions, or 1x1, 3x3 and 1x1 with four times the channels, around which a shortcut leads."""

    def __init__(
        self, c: int, planes: int, stride: int, bottleneck: bool, shortcut: nn.Module | None, se: bool = False
    ) -> None:
        super().__init__()
        first, last = ((1, 1), planes * 4) if bottleneck else ((3, stride), planes)
        self.conv1, self.bn1 = _conv(c, planes, *first), nn.BatchNorm2d(planes)
        middle = _conv(planes, planes, 3, stride if bottleneck else 1)
        self.conv2, self.bn2 = middle, nn.BatchNorm2d(planes)
        self.conv3 = _conv(planes, last, 1) if bottleneck else None
        self.bn3 = nn.BatchNorm2d(last) if bottleneck else None
        self.downsample = shortcut
        self.relu = nn.ReLU(inplace=True)
        self.se = _Excitation(last) if se else None

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        y = self.bn2(self.conv2(self.relu(self.bn1(self.conv1(x)))))
        if self.conv3 is not None and self.bn3 is not None:
            y = self.bn3(self.conv3(self.relu(y)))
        if self.se is not None:
            y = self.se(y)
        y += x if self.downsample is None else self.downsample(x)
        return self.relu(y)


class _Excitation(nn.Module):
    """Hu et al. (2018): channels weighed by what two layers make of their means."""

    def __init__(self, c: int) -> None:
        super().__init__()
        self.fc1, self.fc2 = nn.Conv2d(c, c // 16, 1), nn.Conv2d(c // 16, c, 1)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return x * torch.sigmoid(self.fc2(F.relu(self.fc1(F.adaptive_avg_pool2d(x, 1)))))


class _ResNet(nn.Module):
    """He et al. (2016), as in torchvision."""

    def __init__(self, blocks: list[int], bottleneck: bool, se: bool = False) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(3, 64, 7, 2, padding=3, bias=False)
        self.bn1 = nn.BatchNorm2d(64)
        self.relu = nn.ReLU(inplace=True)
        self.maxpool = nn.MaxPool2d(3, 2, padding=1)
        c = 64
        for stage, count in enumerate(blocks):
            planes, layers = 64 << stage, nn.Sequential()
            for i in range(count):
                stride, k = 2 if stage and not i else 1, planes * (4 if bottleneck else 1)
                changes = stride > 1 or c != k
                shortcut = nn.Sequential(_conv(c, k, 1, stride), nn.BatchNorm2d(k)) if changes else None
                layers.append(_Block(c, planes, stride, bottleneck, shortcut, se))
                c = k
            self.add_module(f"layer{stage + 1}", layers)
        self.avgpool = nn.AdaptiveAvgPool2d(1)
        self.fc = nn.Linear(c, 1000)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        x = self.maxpool(self.relu(self.bn1(self.conv1(x))))
        x = self.layer4(self.layer3(self.layer2(self.layer1(x))))
        return self.fc(torch.flatten(self.avgpool(x), 1))


def resnet18() -> nn.Module:
    return _ResNet([2, 2, 2, 2], bottleneck=False)


def resnet50() -> nn.Module:
    return _ResNet([3, 4, 6, 3], bottleneck=True)


def se_resnet50() -> nn.Module:
    return _ResNet([3, 4, 6, 3], bottleneck=True, se=True)


class _Subsample(nn.Module):
    """The shortcut without parameters: every second pixel, and channels of zeros around."""

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        c = x.shape[1] // 2
        return F.pad(x[:, :, ::2, ::2], (0, 0, 0, 0, c, c))


class _CifarResNet(nn.Module):
    """He et al. (2016), section 4.2."""

    def __init__(self, blocks: int) -> None:
        super().__init__()
        self.conv1, self.bn1 = _conv(3, 16, 3), nn.BatchNorm2d(16)
        self.relu = nn.ReLU(inplace=True)
        c = 16
        for stage, k in enumerate((16, 32, 64)):
            layers = nn.Sequential()
            for i in range(blocks):
                changes = stage > 0 and i == 0
                layers.append(_Block(c, k, 2 if changes else 1, False, _Subsample() if changes else None))
                c = k
            self.add_module(f"layer{stage + 1}", layers)
        self.linear = nn.Linear(64, 10)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        x = self.layer3(self.layer2(self.layer1(self.relu(self.bn1(self.conv1(x))))))
        return self.linear(torch.flatten(F.adaptive_avg_pool2d(x, 1), 1))


def cifar_resnet20() -> nn.Module:
    return _CifarResNet(3)


class _FeaturesAndClassifier(nn.Module):
    """Convolutions and pooling, then linear layers with dropout."""

    def __init__(self, features: nn.Sequential, pixels: int, classifier: nn.Sequential) -> None:
        super().__init__()
        self.features, self.avgpool, self.classifier = features, nn.AdaptiveAvgPool2d(pixels), classifier

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.classifier(torch.flatten(self.avgpool(self.features(x)), 1))


def _relu() -> nn.Module:
    return nn.ReLU(inplace=True)


def vgg16() -> nn.Module:
    """Simonyan and Zisserman (2015), configuration D."""
    layers: list[nn.Module] = []
    c = 3
    for k, count in ((64, 2), (128, 2), (256, 3), (512, 3), (512, 3)):
        for _ in range(count):
            layers += [nn.Conv2d(c, k, 3, padding=1), _relu()]
            c = k
        layers.append(nn.MaxPool2d(2))
    hidden: list[Any] = [nn.Linear(512 * 49, 4096), _relu(), nn.Dropout(), nn.Linear(4096, 4096), _relu(), nn.Dropout()]
    return _FeaturesAndClassifier(nn.Sequential(*layers), 7, nn.Sequential(*hidden, nn.Linear(4096, 1000)))


def alexnet() -> nn.Module:
    """Krizhevsky (2014), as in torchvision."""
    features = nn.Sequential(
        *(nn.Conv2d(3, 64, 11, 4, padding=2), _relu(), nn.MaxPool2d(3, 2)),
        *(nn.Conv2d(64, 192, 5, padding=2), _relu(), nn.MaxPool2d(3, 2)),
        *(nn.Conv2d(192, 384, 3, padding=1), _relu()),
        *(nn.Conv2d(384, 256, 3, padding=1), _relu()),
        *(nn.Conv2d(256, 256, 3, padding=1), _relu(), nn.MaxPool2d(3, 2)),
    )
    classifier = nn.Sequential(
        *(nn.Dropout(), nn.Linear(256 * 36, 4096), _relu()),
        *(nn.Dropout(), nn.Linear(4096, 4096), _relu()),
        nn.Linear(4096, 1000),
    )
    return _FeaturesAndClassifier(features, 6, classifier)


class _ConvBNReLU(nn.Module):
    def __init__(self, c: int, k: int, size: int, stride: int = 1) -> None:
        super().__init__()
        self.conv, self.bn = _conv(c, k, size, stride), nn.BatchNorm2d(k, eps=1e-3)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return F.relu(self.bn(self.conv(x)), inplace=True)


class _Inception(nn.Module):
    """Four branches side by side."""

    def __init__(self, c: int, k1: int, r3: int, k3: int, r5: int, k5: int, pooled: int) -> None:
        super().__init__()
        self.branch1 = _ConvBNReLU(c, k1, 1)
        self.branch2 = nn.Sequential(_ConvBNReLU(c, r3, 1), _ConvBNReLU(r3, k3, 3))
        self.branch3 = nn.Sequential(_ConvBNReLU(c, r5, 1), _ConvBNReLU(r5, k5, 3))
        self.branch4 = nn.Sequential(nn.MaxPool2d(3, 1, 1), _ConvBNReLU(c, pooled, 1))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return torch.cat((self.branch1(x), self.branch2(x), self.branch3(x), self.branch4(x)), 1)


class _Auxiliary(nn.Module):
    def __init__(self, c: int, classes: int, dropout: float) -> None:
        super().__init__()
        self.conv = _ConvBNReLU(c, 128, 1)
        self.fc1, self.fc2, self.dropout = nn.Linear(2048, 1024), nn.Linear(1024, classes), nn.Dropout(dropout)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        x = torch.flatten(self.conv(F.adaptive_avg_pool2d(x, 4)), 1)
        return self.fc2(self.dropout(F.relu(self.fc1(x))))


class _GoogLeNet(nn.Module):
    """Szegedy et al. (2015), as in torchvision."""

    def __init__(self, classes: int, aux_logits: bool, dropout: float, dropout_aux: float) -> None:
        super().__init__()
        self.conv1, self.conv2, self.conv3 = _ConvBNReLU(3, 64, 7, 2), _ConvBNReLU(64, 64, 1), _ConvBNReLU(64, 192, 3)
        self.inception3a = _Inception(192, 64, 96, 128, 16, 32, 32)
        self.inception3b = _Inception(256, 128, 128, 192, 32, 96, 64)
        self.inception4a = _Inception(480, 192, 96, 208, 16, 48, 64)
        self.inception4b = _Inception(512, 160, 112, 224, 24, 64, 64)
        self.inception4c = _Inception(512, 128, 128, 256, 24, 64, 64)
        self.inception4d = _Inception(512, 112, 144, 288, 32, 64, 64)
        self.inception4e = _Inception(528, 256, 160, 320, 32, 128, 128)
        self.inception5a = _Inception(832, 256, 160, 320, 32, 128, 128)
        self.inception5b = _Inception(832, 384, 192, 384, 48, 128, 128)
        self.aux1 = _Auxiliary(512, classes, dropout_aux) if aux_logits else None
        self.aux2 = _Auxiliary(528, classes, dropout_aux) if aux_logits else None
        self.dropout, self.fc = nn.Dropout(dropout), nn.Linear(1024, classes)

    def forward(self, x: torch.Tensor) -> Any:
        x = F.max_pool2d(self.conv1(x), 3, 2, ceil_mode=True)
        x = F.max_pool2d(self.conv3(self.conv2(x)), 3, 2, ceil_mode=True)
        x = F.max_pool2d(self.inception3b(self.inception3a(x)), 3, 2, ceil_mode=True)
        a = self.inception4a(x)
        b = self.inception4d(self.inception4c(self.inception4b(a)))
        x = F.max_pool2d(self.inception4e(b), 2, 2, ceil_mode=True)
        x = F.adaptive_avg_pool2d(self.inception5b(self.inception5a(x)), 1)
        scores = self.fc(self.dropout(torch.flatten(x, 1)))
        if not self.training or self.aux1 is None or self.aux2 is None:
            return scores
        return scores, self.aux2(b), self.aux1(a)


def googlenet(
    classes: int = 1000, *, aux_logits: bool = True, dropout: float = 0.2, dropout_aux: float = 0.7
) -> nn.Module:
    return _GoogLeNet(classes, aux_logits, dropout, dropout_aux)


class _LeNet5(nn.Module):
    """LeCun et al. (1998) with ReLU, max pooling and full connections."""

    def __init__(self) -> None:
        super().__init__()
        self.conv1, self.conv2 = nn.Conv2d(1, 6, 5, padding=2), nn.Conv2d(6, 16, 5)
        self.fc1, self.fc2, self.fc3 = nn.Linear(400, 120), nn.Linear(120, 84), nn.Linear(84, 10)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        x = F.max_pool2d(F.relu_(self.conv1(x)), 2)
        x = F.max_pool2d(F.relu_(self.conv2(x)), 2)
        x = F.relu_(self.fc1(torch.flatten(x, 1)))
        return self.fc3(F.relu_(self.fc2(x)))


def lenet5() -> nn.Module:
    return _LeNet5()


class CharRNN(nn.Module):
    """Embedding, two LSTM layers and a linear layer to the scores of the next token."""

    def __init__(self, num_tokens: int) -> None:
        super().__init__()
        self.embedding, self.rnn = nn.Embedding(num_tokens, 64), nn.LSTM(64, 256, 2)
        self.linear = nn.Linear(256, num_tokens)

    def forward(self, x: torch.Tensor, states: Any = None) -> tuple[torch.Tensor, Any]:
        y, states = self.rnn(self.embedding(x), states)
        return self.linear(y), states
