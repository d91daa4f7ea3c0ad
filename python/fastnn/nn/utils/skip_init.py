"""Modules without initial values."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeVar

from ..init.distributions import skipped
from ..module import Module

_M = TypeVar("_M", bound=Module)


def skip_init(module_cls: Callable[..., _M], *args: Any, **kwargs: Any) -> _M:
    """`module_cls(*args, **kwargs)`, with parameters of any values: for weights that are loaded afterwards.

    To draw the 143 million random numbers of a VGG-19 takes a tenth of a second, to leave it takes milliseconds.

    Args:
        module_cls: the class of a module, or any function that makes one.
        args: its arguments.
        kwargs: its arguments by name.

    Example:
        >>> from fastnn import models
        >>> from fastnn.nn.utils import skip_init
        >>> weights = models.lenet5().state_dict()
        >>> skip_init(models.lenet5).load_state_dict(weights)
        <All keys matched successfully>
    """
    with skipped():
        return module_cls(*args, **kwargs)
