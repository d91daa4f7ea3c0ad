"""Networks, each by its own function and all of them by name.

`get("resnet50", num_classes=10)` is `resnet50(num_classes=10)`; `list("*resnet*")` says which names there are.
"""

from __future__ import annotations

import builtins
import fnmatch
from collections.abc import Callable, Iterable
from typing import Any

from .. import nn
from .alexnet import AlexNet, AlexNet2012, alexnet, alexnet2012
from .cifar_resnet import CifarResNet, cifar_resnet20, cifar_resnet32, cifar_resnet44, cifar_resnet56, cifar_resnet110
from .googlenet import GoogLeNet, GoogLeNetOutputs, googlenet
from .inception_bn import InceptionBN, inception_bn
from .lenet import LeNet5, OriginalLeNet5, lenet5
from .mlp import MLP, linear_classifier, mlp
from .recurrent import CharRNN, Forecaster, ManyToOne, RowClassifier, char_rnn, row_gru, row_lstm, row_rnn
from .residual import ResidualBlock, add_squeeze_excitation
from .resnet import (
    BasicBlock,
    Bottleneck,
    ResNet,
    resnet18,
    resnet34,
    resnet50,
    resnet101,
    resnet152,
    resnext50_32x4d,
    resnext101_32x8d,
    resnext101_64x4d,
    wide_resnet50_2,
    wide_resnet101_2,
)
from .se_resnet import se_resnet18, se_resnet34, se_resnet50, se_resnet101, se_resnet152
from .vgg import VGG, vgg11, vgg11_bn, vgg13, vgg13_bn, vgg16, vgg16_bn, vgg19, vgg19_bn
from .zfnet import ZFNet, zfnet

__all__ = [
    "MLP",
    "VGG",
    "AlexNet",
    "AlexNet2012",
    "BasicBlock",
    "Bottleneck",
    "CharRNN",
    "CifarResNet",
    "Forecaster",
    "GoogLeNet",
    "GoogLeNetOutputs",
    "InceptionBN",
    "LeNet5",
    "ManyToOne",
    "OriginalLeNet5",
    "ResNet",
    "ResidualBlock",
    "RowClassifier",
    "ZFNet",
    "add_squeeze_excitation",
    "alexnet",
    "alexnet2012",
    "char_rnn",
    "cifar_resnet20",
    "cifar_resnet32",
    "cifar_resnet44",
    "cifar_resnet56",
    "cifar_resnet110",
    "googlenet",
    "inception_bn",
    "lenet5",
    "linear_classifier",
    "mlp",
    "resnet18",
    "resnet34",
    "resnet50",
    "resnet101",
    "resnet152",
    "resnext50_32x4d",
    "resnext101_32x8d",
    "resnext101_64x4d",
    "row_gru",
    "row_lstm",
    "row_rnn",
    "se_resnet18",
    "se_resnet34",
    "se_resnet50",
    "se_resnet101",
    "se_resnet152",
    "vgg11",
    "vgg11_bn",
    "vgg13",
    "vgg13_bn",
    "vgg16",
    "vgg16_bn",
    "vgg19",
    "vgg19_bn",
    "wide_resnet50_2",
    "wide_resnet101_2",
    "zfnet",
]  # without `list`, which a star import would put in the place of Python's

_CONSTRUCTORS: dict[str, Callable[..., nn.Module]] = {
    constructor.__name__: constructor
    for constructor in (
        *(lenet5, alexnet, alexnet2012, zfnet, googlenet, inception_bn, mlp, linear_classifier),
        *(vgg11, vgg11_bn, vgg13, vgg13_bn, vgg16, vgg16_bn, vgg19, vgg19_bn),
        *(resnet18, resnet34, resnet50, resnet101, resnet152),
        *(resnext50_32x4d, resnext101_32x8d, resnext101_64x4d, wide_resnet50_2, wide_resnet101_2),
        *(se_resnet18, se_resnet34, se_resnet50, se_resnet101, se_resnet152),
        *(cifar_resnet20, cifar_resnet32, cifar_resnet44, cifar_resnet56, cifar_resnet110),
        *(row_rnn, row_gru, row_lstm, char_rnn),
    )
}


def list(include: str | Iterable[str] = "*", exclude: str | Iterable[str] = ()) -> builtins.list[str]:
    """The names of the networks that `get` makes, in alphabetical order.

    Args:
        include: a pattern, or several: names that match one of them, with `*`, `?` and `[...]` as in file names.
        exclude: a pattern, or several, of names to leave out.

    Example:
        >>> from fastnn import models
        >>> models.list("*resnet50*", exclude="se_*")
        ['resnet50', 'wide_resnet50_2']
    """
    included, excluded = _patterns("include", include), _patterns("exclude", exclude)

    def matches(name: str, patterns: tuple[str, ...]) -> bool:
        return any(fnmatch.fnmatchcase(name, pattern) for pattern in patterns)

    return sorted(name for name in _CONSTRUCTORS if matches(name, included) and not matches(name, excluded))


def _patterns(argument: str, value: str | Iterable[str]) -> tuple[str, ...]:
    patterns = (value,) if isinstance(value, str) or not isinstance(value, Iterable) else tuple(value)
    if not all(isinstance(pattern, str) for pattern in patterns):
        raise TypeError(f"models.list: {argument} is {value!r}; expected a pattern, or several")
    return patterns


def get(name: str, num_classes: int | None = None, in_channels: int | None = None, **options: Any) -> nn.Module:
    """A new network: `get("resnet50", num_classes=10)` is `resnet50(num_classes=10)`.

    Args:
        name: one of `list()`.
        num_classes: the number of scores; None for the network's own.
        in_channels: channels of the images; None for the network's own. Those that do not take images as such (`mlp`,
            `linear_classifier`, `char_rnn`) have no such argument.
        options: other arguments of the function of that name.

    Raises:
        ValueError: there is no network of that name; the message names those that are spelt alike.
        TypeError: it has no such argument.

    Example:
        >>> import fastnn
        >>> from fastnn import models
        >>> model = models.get("resnet18", num_classes=10, in_channels=1)
        >>> model(fastnn.zeros(2, 1, 32, 32)).shape
        (2, 10)
    """
    if not isinstance(name, str):
        raise TypeError(f"models.get: name is {name!r}; expected a string")
    if name not in _CONSTRUCTORS:
        near = near_names(name)
        hint = f"; did you mean {' or '.join(near)}?" if near else ";"
        raise ValueError(f"models.get: there is no network {name!r}{hint} models.list() has all names")
    given = {"num_classes": num_classes, "in_channels": in_channels}
    return _CONSTRUCTORS[name](**{key: value for key, value in given.items() if value is not None}, **options)


def near_names(name: str) -> builtins.list[str]:
    """Up to three names of networks that are spelt like this one."""
    import difflib  # for a mistake only

    return difflib.get_close_matches(name, _CONSTRUCTORS)
