"""Models by name."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from .. import nn
from .lenet import LeNet5, OriginalLeNet5, lenet5

__all__ = ["LeNet5", "OriginalLeNet5", "create", "lenet5", "names"]

_CONSTRUCTORS: dict[str, Callable[..., nn.Module]] = {"lenet5": lenet5}


def names() -> list[str]:
    """The names that `create` knows."""
    return sorted(_CONSTRUCTORS)


def create(name: str, **arguments: Any) -> nn.Module:
    """A new model: `create("lenet5", num_classes=10)` is `lenet5(num_classes=10)`.

    Raises:
        ValueError: There is no model of that name; the message lists the known ones.
    """
    if name not in _CONSTRUCTORS:
        raise ValueError(f"models.create: name is {name!r}, expected one of {', '.join(names())}")
    return _CONSTRUCTORS[name](**arguments)
