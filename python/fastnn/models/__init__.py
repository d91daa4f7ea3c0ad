"""Models by name."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from .. import nn
from .alexnet import AlexNet, alexnet
from .cifar_resnet import (
    CifarResNet,
    cifar_resnet20,
    cifar_resnet32,
    cifar_resnet44,
    cifar_resnet56,
    cifar_resnet110,
)
from .lenet import LeNet5, OriginalLeNet5, lenet5
from .recurrent import CharRNN, Forecaster, ManyToOne, RowClassifier, row_gru, row_lstm, row_rnn
from .resnet import ResNet, resnet18, resnet34, resnet50, resnet101, resnet152
from .vgg import VGG, vgg11, vgg11_bn, vgg13, vgg13_bn, vgg16, vgg16_bn, vgg19, vgg19_bn

__all__ = [
    "VGG",
    "AlexNet",
    "CharRNN",
    "CifarResNet",
    "Forecaster",
    "LeNet5",
    "ManyToOne",
    "OriginalLeNet5",
    "ResNet",
    "RowClassifier",
    "alexnet",
    "cifar_resnet20",
    "cifar_resnet32",
    "cifar_resnet44",
    "cifar_resnet56",
    "cifar_resnet110",
    "create",
    "lenet5",
    "names",
    "resnet18",
    "resnet34",
    "resnet50",
    "resnet101",
    "resnet152",
    "row_gru",
    "row_lstm",
    "row_rnn",
    "vgg11",
    "vgg11_bn",
    "vgg13",
    "vgg13_bn",
    "vgg16",
    "vgg16_bn",
    "vgg19",
    "vgg19_bn",
]

_CONSTRUCTORS: dict[str, Callable[..., nn.Module]] = {
    constructor.__name__: constructor
    for constructor in (
        *(lenet5, alexnet),
        *(cifar_resnet20, cifar_resnet32, cifar_resnet44, cifar_resnet56, cifar_resnet110),
        *(resnet18, resnet34, resnet50, resnet101, resnet152),
        *(row_rnn, row_gru, row_lstm),
        *(vgg11, vgg11_bn, vgg13, vgg13_bn, vgg16, vgg16_bn, vgg19, vgg19_bn),
    )
}


def names() -> list[str]:
    """The names that `create` knows."""
    return list(_CONSTRUCTORS)


def create(name: str, **arguments: Any) -> nn.Module:
    """A new model: `create("lenet5", num_classes=10)` is `lenet5(num_classes=10)`.

    Raises:
        ValueError: There is no model of that name; the message lists the known ones.
    """
    if name not in _CONSTRUCTORS:
        raise ValueError(f"models.create: name is {name!r}, expected one of {', '.join(names())}")
    return _CONSTRUCTORS[name](**arguments)
