"""Training a part of a model that has been trained before: another last layer, frozen parameters."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from fnmatch import fnmatchcase
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from .module import Module


class FineTuning:
    """What `Module` offers for it."""

    if TYPE_CHECKING:
        named_parameters: Any
        named_modules: Any

    def freeze(self, *patterns: str) -> list[str]:
        """Keeps parameters as they are: they no longer require a gradient, and the one they have is forgotten.

        Layers of batch normalisation go on to move their running statistics in training mode, frozen or not. To keep
        these as well, put the layers into evaluation mode after each `train()`: `model.layer1.eval()`.

        Args:
            patterns: names of parameters, or of modules for all parameters in them, with `*`, `?` and `[...]` as in
                file names (`*` stands for dots, too); none for all parameters.

        Returns:
            The names of the parameters that they match.

        Raises:
            ValueError: a pattern matches nothing. Nothing has changed.

        Example:
            >>> from fastnn import models
            >>> model = models.resnet18(num_classes=10)
            >>> len(model.freeze())
            62
            >>> model.unfreeze("layer4.1.bn2", "fc")
            ['layer4.1.bn2.weight', 'layer4.1.bn2.bias', 'fc.weight', 'fc.bias']
        """
        return self._set_trainable("freeze", patterns, False)

    def unfreeze(self, *patterns: str) -> list[str]:
        """Lets parameters be trained: they require a gradient. Arguments, result and errors are those of `freeze`."""
        return self._set_trainable("unfreeze", patterns, True)

    def _set_trainable(self, op: str, patterns: tuple[str, ...], trainable: bool) -> list[str]:
        parameters = dict(self.named_parameters())
        names = matching(op, patterns, parameters) if patterns else list(parameters)
        for name in names:
            parameters[name].requires_grad_(trainable)
            if not trainable:
                parameters[name].grad = None
        return names

    def replace_head(self, num_classes: int) -> Module:
        """Gives a classifier a new last layer, for other classes.

        The head is the last convolution or linear layer in the order of registration, where that is a linear layer or a
        convolution with a window of 1x1. The new one has its inputs and is initialised as `nn.Linear` and `nn.Conv2d`
        are. So are the heads of auxiliary classifiers, which are the modules directly below this one whose names begin
        with "aux".

        Args:
            num_classes: the number of outputs.

        Returns:
            The new head (of the model itself, not of auxiliary classifiers), whose parameters require a gradient.

        Raises:
            ValueError: the model has no such layer.

        Example:
            >>> from fastnn import models
            >>> model = models.resnet18()
            >>> model.replace_head(5)
            Linear(in_features=512, out_features=5, bias=True)
            >>> model.fc.weight.shape
            (5, 512)
        """
        from .sizes import checked_size

        checked_size("replace_head: num_classes", num_classes)
        own = type(self).__name__
        children = dict(self.named_modules())
        auxiliary = sorted({name.partition(".")[0] for name in children if name.lower().startswith("aux")})
        main = [name for name in children if name.partition(".")[0] not in auxiliary]
        places = [_head(own, children, main)]
        for prefix in auxiliary:
            places.append(_head(own, children, [n for n in children if n.partition(".")[0] == prefix]))
        heads = [_like(children[name], num_classes) for name in places]
        for name, head in zip(places, heads, strict=True):
            parent, _, attribute = name.rpartition(".")
            children[parent]._modules[attribute] = head
        if isinstance(self.__dict__.get("num_classes"), int):
            self.num_classes = num_classes
        return heads[0]


def matching(op: str, patterns: Iterable[str], names: Iterable[str]) -> list[str]:
    """The names that are matched, or lie within a module whose name is. ValueError for a pattern without any."""
    names = list(names)
    found = set()
    for pattern in patterns:
        if not isinstance(pattern, str):
            raise TypeError(f"{op}: a pattern is {pattern!r}; expected a string")
        matched = {name for name in names if any(fnmatchcase(part, pattern) for part in _prefixes(name))}
        if not matched:
            known = ", ".join(dict.fromkeys(name.partition(".")[0] for name in names))
            raise ValueError(f"{op}: no parameter is named {pattern!r}; their names begin with {known}")
        found |= matched
    return [name for name in names if name in found]


def _prefixes(name: str) -> Iterator[str]:
    parts = name.split(".")
    return (".".join(parts[: i + 1]) for i in range(len(parts)))


def _head(own: str, modules: dict[str, Module], names: list[str]) -> str:
    from .conv import Conv2d, _Conv
    from .linear import Linear

    layers = [name for name in names if name and isinstance(modules[name], (Linear, _Conv))]
    if not layers:
        raise ValueError(f"replace_head: {own} has no linear layer or convolution below it to replace")
    last = modules[layers[-1]]
    if not isinstance(last, Linear) and not (isinstance(last, Conv2d) and last.kernel_size == (1, 1)):
        raise ValueError(
            f"replace_head: the last layer of {own}, {layers[-1]}, is {last!r}; expected a linear layer or a "
            "convolution with a window of 1x1"
        )
    return layers[-1]


def _like(head: Any, num_classes: int) -> Module:
    from .linear import Linear

    bias = head.bias is not None
    new: Module
    if isinstance(head, Linear):
        new = Linear(head.in_features, num_classes, bias)
    else:
        window = head.stride, head.padding, head.dilation, head.groups
        new = type(head)(head.in_channels, num_classes, 1, *window, bias)
    if head.weight.dtype == np.float64:
        new.double()
    return new.train(head.training)
