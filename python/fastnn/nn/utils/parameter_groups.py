"""Groups of parameters with rates of their own."""

from __future__ import annotations

from collections.abc import Mapping
from numbers import Real
from typing import Any

from ..fine_tuning import matching
from ..module import Module


def parameter_groups(module: Module, rates: Mapping[str, float | Mapping[str, Any]]) -> list[dict[str, Any]]:
    """Groups for an optimizer: parameters whose names match a pattern learn at its rate, all others at the optimizer's.

    Args:
        module: a model.
        rates: by pattern (see `Module.freeze`) the learning rate, or a dict of the optimizer's options. A parameter
            belongs to the first pattern that it matches. Parameters that do not require a gradient are left out.

    Returns:
        A group for each pattern that has parameters left, and one for the others.

    Raises:
        ValueError: a pattern matches no parameter.
        TypeError: `module` is no module, or `rates` no mapping to numbers and dicts.

    Example:
        >>> from fastnn import models, nn, optim
        >>> groups = nn.utils.parameter_groups(models.lenet5(), {"fc3": 0.1, "conv*": 0.001})
        >>> [(len(group["params"]), group["lr"]) for group in optim.SGD(groups, lr=0.01).param_groups]
        [(2, 0.1), (4, 0.001), (4, 0.01)]
    """
    if not isinstance(module, Module) or not isinstance(rates, Mapping):
        raise TypeError(
            f"parameter_groups: module is {type(module).__name__} and rates {type(rates).__name__}; expected a Module "
            "and a mapping from patterns to learning rates"
        )
    left = dict(module.named_parameters())
    names = list(left)
    groups = []
    for pattern, options in rates.items():
        if not isinstance(options, (Mapping, Real)):
            raise TypeError(
                f"parameter_groups: the rate of {pattern!r} is {options!r}; expected a number or a dict of options"
            )
        matched = [left.pop(name) for name in matching("parameter_groups", [pattern], names) if name in left]
        groups.append({"params": matched, **(options if isinstance(options, Mapping) else {"lr": options})})
    groups.append({"params": list(left.values())})
    for group in groups:
        group["params"] = [param for param in group["params"] if param.requires_grad]
    return [group for group in groups if group["params"]]
