"""What all optimizers share: groups of parameters with their options, and a state for each parameter."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping
from copy import deepcopy
from itertools import chain
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray

from .. import ops
from ..tape import run_deferred
from ..tensor import Tensor, as_tensor, enable_grad, expect_numbers

Array: TypeAlias = NDArray[Any]
Group: TypeAlias = "dict[str, Any]"


class Optimizer:
    """Base class of the optimizers, as in PyTorch.

    A subclass gives the default options to `__init__`, checks the options of a group in `_check_options` and changes
    the parameters of a group in `_update`.

    Attributes:
        param_groups: a dict for each group: `"params"` and the options.
        state: a dict for each parameter that has been updated.
        defaults: the options of groups that do not set their own.
    """

    def __init__(self, params: Iterable[Tensor] | Iterable[Group], defaults: Group) -> None:
        if isinstance(params, (Tensor, Mapping)) or not isinstance(params, Iterable):
            raise TypeError(
                f"{type(self).__name__}: params is {type(params).__name__}; expected an iterable of tensors or of dicts"
            )
        groups: list[Any] = list(params)
        if not groups:
            raise ValueError(f"{type(self).__name__}: params is empty; expected at least one tensor")
        if not isinstance(groups[0], Mapping):
            groups = [{"params": groups}]
        self.defaults = defaults
        self.state: defaultdict[Tensor, dict[str, Any]] = defaultdict(dict)
        self.param_groups: list[Group] = []
        for group in groups:
            self.add_param_group(group)

    def add_param_group(self, param_group: Group) -> None:
        """Adds a group: a dict of `"params"`, a tensor or a list of them, and of the options that it sets itself.

        Raises:
            TypeError: the group is no dict or its params are not tensors.
            ValueError: a parameter occurs twice, is not a leaf, or an option is out of range.
        """
        name = type(self).__name__
        if not isinstance(param_group, Mapping) or "params" not in param_group:
            raise TypeError(f"{name}: a parameter group is {param_group!r}; expected a dict with 'params'")
        params = param_group["params"]
        if isinstance(params, (set, frozenset)):
            raise TypeError(f"{name}: params is a set, which has no order; expected a list")
        params = [params] if isinstance(params, Tensor) else list(params)
        seen = set(chain.from_iterable(g["params"] for g in self.param_groups))
        for param in params:
            if not isinstance(param, Tensor):
                raise TypeError(f"{name}: one of params is {type(param).__name__}; expected Tensor")
            if not param.is_leaf:
                raise ValueError(f"{name}: a tensor of shape {param.shape} is not a leaf: a recorded operation made it")
            if param in seen:
                raise ValueError(f"{name}: a parameter of shape {param.shape} occurs more than once")
            seen.add(param)
        group = {**self.defaults, **param_group, "params": params}
        self._check_options(group)
        self.param_groups.append(group)

    def zero_grad(self, set_to_none: bool = True) -> None:
        """Forgets the gradients of all parameters, or with `set_to_none=False` sets them to zero."""
        for group in self.param_groups:
            for param in group["params"]:
                if set_to_none:
                    param.grad = None
                elif param.grad is not None:
                    param.grad.zero_()

    def step(self, closure: Callable[[], Any] | None = None) -> Any:
        """Updates the parameters that have a gradient.

        Args:
            closure: computes the loss and its gradients; called first, and its result is returned.
        """
        loss = None
        if closure is not None:
            with enable_grad():
                loss = closure()
        run_deferred()  # with the parameters that they were to see
        for group in self.param_groups:
            params = [param for param in group["params"] if param.grad is not None]
            if params:
                self._update(group, params, [param.grad.data for param in params])
                for param in params:
                    param._version += 1
        return loss

    def _check_options(self, group: Group) -> None:
        """Raises ValueError for options out of range."""

    def _update(self, group: Group, params: list[Tensor], grads: list[Array]) -> None:
        """Changes these parameters of the group by their gradients."""
        raise NotImplementedError(f"{type(self).__name__} defines no _update()")

    # For `_update` of a subclass with a state: read it, call the kernel, keep it. If the call fails, nothing changes.

    def _next_steps(self, params: list[Tensor]) -> list[int]:
        """The number of the step that is being made, for each parameter, from 1."""
        return [int(self.state.get(param, {}).get("step", 0)) + 1 for param in params]

    def _state_arrays(self, params: list[Tensor], names: list[str], initial: float = 0.0) -> dict[str, list[Array]]:
        """By name the state's array of each parameter; new ones are filled with `initial`."""
        return {name: [self._state_array(param, name, initial) for param in params] for name in names}

    def _state_array(self, param: Tensor, name: str, initial: float) -> Array:
        array: Array | None = self.state.get(param, {}).get(name)
        if array is None:
            array = empty_like(param.data)
            array.fill(initial)
        return array

    def _keep_state(self, params: list[Tensor], **state: list[Any]) -> None:
        for i, param in enumerate(params):
            self.state[param].update({name: values[i] for name, values in state.items()})

    # ---- state ------------------------------------------------------------------------------------------------

    def state_dict(self) -> dict[str, Any]:
        """The options of the groups and the state of the parameters, which are numbered, in PyTorch's structure.

        The arrays inside are the optimizer's own, not copies.
        """
        numbers = {param: i for i, param in enumerate(chain.from_iterable(g["params"] for g in self.param_groups))}
        return {
            "state": {numbers[param]: dict(state) for param, state in self.state.items()},
            "param_groups": [{**g, "params": [numbers[param] for param in g["params"]]} for g in self.param_groups],
        }

    def load_state_dict(self, state_dict: Mapping[str, Any]) -> None:
        """Takes over the options and a copy of the state that `state_dict` returned, here or in PyTorch.

        Raises:
            TypeError: it is nothing that `state_dict` returns.
            ValueError: the groups, or their numbers of parameters, differ, or they lack options of this optimizer.
        """
        name = type(self).__name__
        if not isinstance(state_dict, Mapping) or not {"state", "param_groups"} <= state_dict.keys():
            raise TypeError(f"{name}: the state is {state_dict!r}; expected a dict with 'state' and 'param_groups'")
        saved = state_dict["param_groups"]
        sizes, saved_sizes = ([len(g["params"]) for g in groups] for groups in (self.param_groups, saved))
        if sizes != saved_sizes:
            raise ValueError(f"{name}: the state has groups of {saved_sizes} parameters; the optimizer has {sizes}")
        # States of older versions of PyTorch lack the options that are on or off.
        switches = {option: value for option, value in self.defaults.items() if isinstance(value, bool)}
        groups = [
            {**switches, **deepcopy({k: v for k, v in theirs.items() if k != "params"}), "params": ours["params"]}
            for ours, theirs in zip(self.param_groups, saved, strict=True)
        ]
        for group in groups:
            if missing := [option for option in self.defaults if option not in group]:
                raise ValueError(f"{name}: the state has no {', '.join(missing)}; it is that of another optimizer")
            checked = dict(group)
            if "lr" in group:  # after its last step a schedule may have left it below 0, as a linear OneCycleLR does
                check_number(name, group, "lr")
                checked["lr"] = abs(group["lr"])
            self._check_options(checked)
        numbers = chain.from_iterable(g["params"] for g in saved)
        params = dict(zip(numbers, chain.from_iterable(g["params"] for g in groups), strict=True))
        state: defaultdict[Tensor, dict[str, Any]] = defaultdict(dict)
        for number, entries in state_dict["state"].items():
            if number not in params:
                raise ValueError(f"{name}: the state is of a parameter {number!r} that belongs to no group")
            param = params[number]
            state[param] = {key: _own_copy(value, param) for key, value in entries.items()}
        self.state, self.param_groups = state, groups

    def __repr__(self) -> str:
        lines = [f"{type(self).__name__} ("]
        for i, group in enumerate(self.param_groups):
            lines.append(f"Parameter Group {i}")
            lines += [f"    {key}: {group[key]}" for key in sorted(group) if key != "params"]
        return "\n".join([*lines, ")"])


def check_number(optimizer: str, group: Group, *names: str) -> None:
    """Raises TypeError, naming the option, where one of these is no number."""
    for name in names:
        expect_numbers(optimizer, **{name: group[name]})


def check_non_negative(optimizer: str, group: Group, *names: str) -> None:
    """Raises an error that names the option where one of these is not a number of at least 0."""
    check_number(optimizer, group, *names)
    for name in names:
        if not group[name] >= 0:
            raise ValueError(f"{optimizer}: {name} is {group[name]}; expected at least 0")


def check_switches(optimizer: str, group: Group, *names: str) -> None:
    """Raises TypeError, naming the option, where one of these is neither on nor off."""
    for name in names:
        value = group[name]
        if not isinstance(value, (bool, np.bool_, int)) or value not in (0, 1):
            raise TypeError(f"{optimizer}: {name} is {value!r}; expected True or False")


def check_betas(optimizer: str, group: Group) -> None:
    """Raises an error where the option betas is not two numbers of at least 0 and below 1."""
    try:
        beta1, beta2 = group["betas"]
    except (TypeError, ValueError):
        raise TypeError(f"{optimizer}: betas is {group['betas']!r}; expected two numbers") from None
    options = {"betas[0]": beta1, "betas[1]": beta2}
    check_non_negative(optimizer, options, *options)
    for name, value in options.items():
        if not value < 1:
            raise ValueError(f"{optimizer}: {name} is {value}; expected a number below 1")


def empty_like(x: Array) -> Array:
    """An array of the shape, element type and memory layout of `x`, from our allocator where `x` is in C order."""
    return ops.empty(x.shape, x.dtype) if x.flags.c_contiguous else np.empty_like(x)


def _own_copy(value: Any, param: Tensor) -> Any:
    """A copy of a state's entry; an array takes the parameter's element type, and its layout where it has its shape."""
    if isinstance(value, list):
        return [_own_copy(v, param) for v in value]
    if not hasattr(value, "__array__"):
        return deepcopy(value)
    array = as_tensor(value).data
    if array.shape != param.shape:
        return np.array(array, param.dtype)
    copy = empty_like(param.data)
    np.copyto(copy, array, casting="unsafe")
    return copy
