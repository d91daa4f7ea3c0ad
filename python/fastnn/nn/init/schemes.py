"""Initializes whole models."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any, TypeAlias, TypeVar

import numpy as np

from ...tensor import Tensor
from .distributions import zeros_
from .scaled import (
    kaiming_normal_,
    kaiming_uniform_,
    lecun_normal_,
    lecun_uniform_,
    standard_uniform_,
    xavier_normal_,
    xavier_uniform_,
)
from .structured import orthogonal_

if TYPE_CHECKING:
    from ..module import Module

_M = TypeVar("_M", bound="Module")

Initializer: TypeAlias = Callable[[Tensor], Any]
SCHEMES: dict[str, Initializer] = {
    "glorot_heuristic": standard_uniform_,
    "glorot_normal": xavier_normal_,
    "glorot_uniform": xavier_uniform_,
    "he_normal": kaiming_normal_,
    "he_uniform": kaiming_uniform_,
    "kaiming_normal": kaiming_normal_,
    "kaiming_uniform": kaiming_uniform_,
    "lecun_normal": lecun_normal_,
    "lecun_uniform": lecun_uniform_,
    "orthogonal": orthogonal_,
    "xavier_normal": xavier_normal_,
    "xavier_uniform": xavier_uniform_,
}


def apply(model: _M, scheme: str | Initializer) -> _M:
    """Initializes a whole model anew, all its weights by one scheme.

    - Linear layers and convolutions: the weight by the scheme, the bias 0. Transposed convolutions are filled group
      by group as (out, in, *kernel), so that fans count what they say.
    - Recurrent layers and cells: each gate's matrix by itself, since that is what the fans speak of; biases 0, but 1
      for the forget gates of an LSTM, which remembers then (Gers, Schmidhuber, Cummins, Learning to Forget, 1999).
    - Other modules with a method `reset_parameters`: as it does. Normalisation layers have weight 1 and bias 0 then
      and no running statistics, embeddings are drawn from the normal distribution.
    - Parameters of a module without that method stay as they are.

    Args:
        model: a module; all modules in it are visited, in their order.
        scheme: a name: "xavier_uniform", "xavier_normal" (or "glorot_..."), "kaiming_uniform", "kaiming_normal" (or
            "he_...", for ReLU), "lecun_uniform", "lecun_normal", "glorot_heuristic" (`standard_uniform_`),
            "orthogonal"; or a function that fills a tensor of 2 dimensions or more.

    Returns:
        The model.

    Raises:
        TypeError: `model` is not a module, or `scheme` is neither a string nor a function.
        ValueError: there is no scheme of that name.

    Example:
        >>> import fastnn
        >>> from fastnn import nn
        >>> model = nn.init.apply(nn.Sequential(nn.Linear(4, 8), nn.ReLU(), nn.Linear(8, 2)), "he_normal")
        >>> model = nn.init.apply(model, lambda w: nn.init.trunc_normal_(w, std=0.02))
    """
    from ..module import Module  # which needs this package, as the layers do

    if not isinstance(model, Module):
        raise TypeError(f"apply: model is {type(model).__name__}; expected a Module")
    if isinstance(scheme, str):
        if scheme not in SCHEMES:
            raise ValueError(f"apply: scheme is {scheme!r}; expected one of {', '.join(SCHEMES)}, or a function")
        scheme = SCHEMES[scheme]
    elif not callable(scheme):
        raise TypeError(f"apply: scheme is {type(scheme).__name__}; expected a string or a function")
    for module in model.modules():
        matrices = _matrices(module)
        for parameter, blocks in matrices:
            for block in blocks:
                scheme(Tensor(block))
            parameter._version += 1
        if matrices:
            _reset_biases(module)
        elif reset := getattr(module, "reset_parameters", None):
            reset()
    return model


def _matrices(module: Module) -> list[tuple[Tensor, list[Any]]]:
    """The weights of a module that a scheme fills, and the blocks (out, in, *kernel) of their arrays."""
    from ..conv import _Conv
    from ..linear import Linear
    from ..rnn import Recurrent
    from ..rnn_cell import _Cell

    if isinstance(module, _Conv) and module.transposed:
        return [(module.weight, [b.swapaxes(0, 1) for b in np.split(module.weight.data, module.groups)])]
    if isinstance(module, (_Conv, Linear)):
        return [(module.weight, [module.weight.data])]
    if isinstance(module, (Recurrent, _Cell)):
        weights = [(name, p) for name, p in module.named_parameters(recurse=False) if name.startswith("weight")]
        return [(p, np.split(p.data, 1 if name.startswith("weight_hr") else module._gates)) for name, p in weights]
    return []


def _reset_biases(module: Module) -> None:
    for name, parameter in module.named_parameters(recurse=False):
        if name.startswith("bias"):
            zeros_(parameter)
            if name.startswith("bias_ih") and getattr(module, "_gates", 1) == 4:  # i f g o
                parameter.data[len(parameter) // 4 : len(parameter) // 2] = 1
