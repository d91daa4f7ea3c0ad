"""Module: what has parameters, buffers and submodules, and a forward."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from typing import TYPE_CHECKING, Any, NamedTuple, TypeAlias

import numpy as np
from numpy.typing import DTypeLike, NDArray

from ..tape import mode, run_deferred
from ..tensor import Parameter, Tensor, as_tensor, is_grad_enabled
from .fine_tuning import FineTuning
from .hooks import BackwardBracket, RemovableHandle

if TYPE_CHECKING:
    from typing_extensions import Self

Array: TypeAlias = NDArray[Any]


class IncompatibleKeys(NamedTuple):
    """What `Module.load_state_dict` returns: names that the state lacks, and names that the module lacks."""

    missing_keys: list[str]
    unexpected_keys: list[str]

    def __repr__(self) -> str:
        if not self.missing_keys and not self.unexpected_keys:
            return "<All keys matched successfully>"
        return f"IncompatibleKeys(missing_keys={self.missing_keys}, unexpected_keys={self.unexpected_keys})"


class Module(FineTuning):
    """Base class of layers and models, as in PyTorch.

    A subclass calls `super().__init__()`, assigns parameters and submodules to attributes, which registers them under
    these names, and defines `forward`.

    Attributes:
        training: whether the module is in training mode (see `train`).

    Example:
        >>> from fastnn import nn
        >>> class Net(nn.Module):
        ...     def __init__(self):
        ...         super().__init__()
        ...         self.hidden = nn.Linear(4, 8)
        ...         self.out = nn.Linear(8, 2, bias=False)
        ...
        ...     def forward(self, x):
        ...         return self.out(self.hidden(x))
        >>> Net()
        Net(
          (hidden): Linear(in_features=4, out_features=8, bias=True)
          (out): Linear(in_features=8, out_features=2, bias=False)
        )
        >>> list(Net().state_dict())
        ['hidden.weight', 'hidden.bias', 'out.weight']
    """

    training: bool
    _parameters: dict[str, Parameter | None]
    _buffers: dict[str, Tensor | None]
    _modules: dict[str, Module | None]

    def __init__(self) -> None:
        # Around __setattr__, which looks into these.
        self.__dict__.update(
            training=True,
            _parameters={},
            _buffers={},
            _non_persistent_buffers=set(),
            _modules={},
            _forward_pre_hooks={},
            _forward_hooks={},
            _backward_hooks={},
        )

    def forward(self, *args: Any, **kwargs: Any) -> Any:
        """Computes the output; every subclass that is called defines it."""
        raise NotImplementedError(f"{type(self).__name__} defines no forward()")

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        """Calls `forward`, and around it the hooks."""
        if self._modules and mode.deferred is None:
            return self._call_outermost(args, kwargs)
        if not (self._forward_pre_hooks or self._forward_hooks or self._backward_hooks):
            return self.forward(*args, **kwargs)
        return self._call_with_hooks(args, kwargs)

    def _call_outermost(self, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        """A call within which operations may be deferred, to be fused with those that follow."""
        if mode.trace is not None:  # which wants to see each operation by itself
            return self._call_with_hooks(args, kwargs)
        mode.deferred = []
        try:
            return self(*args, **kwargs)
        finally:
            try:
                run_deferred()
            finally:
                mode.deferred = None

    # ---- registration -----------------------------------------------------------------------------------------

    def register_parameter(self, name: str, param: Parameter | None) -> None:
        """Adds a parameter, or None in the place of an optional one, as the attribute `name`.

        Raises:
            KeyError: the name is empty, contains a dot or is taken.
            TypeError: `param` is neither a Parameter nor None.
        """
        self._register("_parameters", name, param)

    def register_buffer(self, name: str, tensor: Tensor | None, persistent: bool = True) -> None:
        """Adds a tensor that is state, but no parameter (a running mean, for example), as the attribute `name`.

        Args:
            name: the name of the attribute.
            tensor: the buffer, or None.
            persistent: whether it is part of `state_dict`.

        Raises:
            KeyError: the name is empty, contains a dot or is taken.
            TypeError: `tensor` is neither a Tensor nor None.
        """
        self._register("_buffers", name, tensor)
        if not persistent:
            self._non_persistent_buffers.add(name)

    def add_module(self, name: str, module: Module | None) -> None:
        """Adds a submodule as the attribute `name`; for names that are not known in advance."""
        self._register("_modules", name, module)

    register_module = add_module

    def _register(self, registry: str, name: str, value: Any) -> None:
        if registry not in self.__dict__:
            raise AttributeError(f"{type(self).__name__}: call super().__init__() before registering '{name}'")
        if not isinstance(name, str):
            raise TypeError(f"{type(self).__name__}: a name is {name!r}; expected a string")
        if not name or "." in name:
            raise KeyError(f"{type(self).__name__}: the name {name!r} is empty or contains a dot")
        if name not in self.__dict__[registry] and hasattr(self, name):
            raise KeyError(f"{type(self).__name__}: attribute '{name}' already exists")
        self._check_kind(registry, name, value)
        self.__dict__[registry][name] = value

    def _check_kind(self, registry: str, name: str, value: Any) -> None:
        kind = _KINDS[registry]
        if value is not None and not isinstance(value, kind):
            raise TypeError(
                f"{type(self).__name__}: '{name}' is one of its {registry[1:]} and cannot be {type(value).__name__}; "
                f"expected {kind.__name__} or None"
            )
        if isinstance(value, Tensor) and registry == "_parameters" and not value.is_leaf:
            raise ValueError(f"{type(self).__name__}: parameter '{name}' is not a leaf: a recorded operation made it")

    def __setattr__(self, name: str, value: Any) -> None:
        own = self.__dict__
        if isinstance(value, (Parameter, Module)):
            registry = "_parameters" if isinstance(value, Parameter) else "_modules"
            if registry not in own:
                raise AttributeError(f"{type(self).__name__}: call super().__init__() before assigning '{name}'")
            for place in (own, own["_parameters"], own["_buffers"], own["_modules"]):
                if place is not own[registry]:
                    place.pop(name, None)
            own["_non_persistent_buffers"].discard(name)
            self._register(registry, name, value)
            return
        for registry in _KINDS:  # a registered name keeps its kind
            if name in own.get(registry, ()):
                self._check_kind(registry, name, value)
                own[registry][name] = value
                return
        super().__setattr__(name, value)

    def __getattr__(self, name: str) -> Any:
        own = self.__dict__
        for registry in _KINDS:
            members = own.get(registry)
            if members and name in members:
                return members[name]
        hint = "" if "_parameters" in own else "; super().__init__() was not called"
        raise AttributeError(f"'{type(self).__name__}' object has no attribute '{name}'{hint}")

    def __delattr__(self, name: str) -> None:
        for registry in _KINDS:
            if name in self.__dict__.get(registry, ()):
                del self.__dict__[registry][name]
                self._non_persistent_buffers.discard(name)
                return
        super().__delattr__(name)

    def __dir__(self) -> list[str]:
        names = {*super().__dir__(), *self._parameters, *self._buffers, *self._modules}
        return sorted(name for name in names if not name[:1].isdigit())

    # ---- what it consists of ----------------------------------------------------------------------------------

    def named_modules(self, prefix: str = "", remove_duplicate: bool = True) -> Iterator[tuple[str, Module]]:
        """This module and all below it, each with its name ("" for this one); a module that occurs twice comes once."""
        seen: set[Module] = set()

        def walk(module: Module, prefix: str) -> Iterator[tuple[str, Module]]:
            if remove_duplicate:
                if module in seen:
                    return
                seen.add(module)
            yield prefix, module
            for name, child in module._modules.items():
                if child is not None:
                    yield from walk(child, f"{prefix}.{name}" if prefix else name)

        return walk(self, prefix)

    def modules(self) -> Iterator[Module]:
        """This module and all below it."""
        return (module for _, module in self.named_modules())

    def named_children(self) -> Iterator[tuple[str, Module]]:
        """The modules directly below, each with its name."""
        seen = set()
        for name, child in self._modules.items():
            if child is not None and child not in seen:
                seen.add(child)
                yield name, child

    def children(self) -> Iterator[Module]:
        """The modules directly below."""
        return (child for _, child in self.named_children())

    def named_parameters(
        self, prefix: str = "", recurse: bool = True, remove_duplicate: bool = True
    ) -> Iterator[tuple[str, Parameter]]:
        """The parameters with their names; a parameter that occurs twice comes once, under its first name."""
        return self._named_members("_parameters", prefix, recurse, remove_duplicate)

    def parameters(self, recurse: bool = True) -> Iterator[Parameter]:
        """The parameters: of this module and of all below it, or with `recurse=False` of this module alone."""
        return (param for _, param in self.named_parameters(recurse=recurse))

    def named_buffers(
        self, prefix: str = "", recurse: bool = True, remove_duplicate: bool = True
    ) -> Iterator[tuple[str, Tensor]]:
        """The buffers with their names, persistent or not."""
        return self._named_members("_buffers", prefix, recurse, remove_duplicate)

    def buffers(self, recurse: bool = True) -> Iterator[Tensor]:
        """The buffers: of this module and of all below it, or with `recurse=False` of this module alone."""
        return (buffer for _, buffer in self.named_buffers(recurse=recurse))

    def _named_members(
        self, registry: str, prefix: str, recurse: bool, remove_duplicate: bool
    ) -> Iterator[tuple[str, Any]]:
        seen = set()
        modules = self.named_modules(prefix, remove_duplicate) if recurse else [(prefix, self)]
        for module_name, module in modules:
            for name, member in module.__dict__[registry].items():
                if member is None or (remove_duplicate and member in seen):
                    continue
                seen.add(member)
                yield (f"{module_name}.{name}" if module_name else name), member

    def get_submodule(self, target: str) -> Module:
        """The module of this dotted name (`"layer1.0.conv1"`; "" is this one). AttributeError where there is none."""
        module = self
        for name in target.split(".") if target else ():
            child = module._modules.get(name)
            if child is None:
                raise AttributeError(
                    f"get_submodule: {type(module).__name__} has no module '{name}' (looking for '{target}')"
                )
            module = child
        return module

    def get_parameter(self, target: str) -> Parameter:
        """The parameter of this dotted name. AttributeError where there is none."""
        path, _, name = target.rpartition(".")
        param = self.get_submodule(path)._parameters.get(name)
        if param is None:
            raise AttributeError(f"get_parameter: there is no parameter '{target}'")
        return param

    def get_buffer(self, target: str) -> Tensor:
        """The buffer of this dotted name. AttributeError where there is none."""
        path, _, name = target.rpartition(".")
        buffer = self.get_submodule(path)._buffers.get(name)
        if buffer is None:
            raise AttributeError(f"get_buffer: there is no buffer '{target}'")
        return buffer

    # ---- state ------------------------------------------------------------------------------------------------

    def _named_state(self, prefix: str = "") -> Iterator[tuple[str, Tensor]]:
        """Parameters and persistent buffers in PyTorch's order, a shared one under each of its names."""
        for path, module in self.named_modules(remove_duplicate=False):
            for name, member in (*module._parameters.items(), *module._buffers.items()):
                if member is not None and name not in module._non_persistent_buffers:
                    yield f"{prefix}{path}.{name}" if path else f"{prefix}{name}", member

    def state_dict(self, *, prefix: str = "") -> dict[str, Array]:
        """The arrays of the parameters and persistent buffers by name, in PyTorch's order and with its names.

        They are the module's own arrays, not copies: training goes on to change them.
        """
        return {name: member.data for name, member in self._named_state(prefix)}

    def load_state_dict(self, state_dict: Mapping[str, Any], strict: bool = True) -> IncompatibleKeys:
        """Copies values into the parameters and persistent buffers, by name.

        Args:
            state_dict: the name of each value and the value: a NumPy array, a Tensor, a PyTorch tensor or anything else
                with an array inside, of any memory layout and element type (it is converted).
            strict: whether the names must be exactly those of `self.state_dict()`; but many published weights lack all
                `num_batches_tracked` of batch normalisation, which then stay as they are (as in PyTorch).

        Returns:
            `(missing_keys, unexpected_keys)`, both empty where all names match.

        Raises:
            RuntimeError: names do not match (with `strict`), or values cannot be copied. It lists all of them, and
                nothing has been loaded.
        """
        if not isinstance(state_dict, Mapping):
            raise TypeError(f"load_state_dict: state_dict is {type(state_dict).__name__}; expected a mapping")
        own = dict(self._named_state())
        missing = [name for name in own if name not in state_dict]
        if not any(_is_count(name) for name in state_dict):
            missing = [name for name in missing if not _is_count(name)]
        unexpected = [name for name in state_dict if name not in own]
        errors = []
        if strict and missing:
            errors.append("missing keys: " + ", ".join(f"{name} {own[name].shape}" for name in missing))
        if strict and unexpected:
            errors.append("unexpected keys: " + ", ".join(map(str, unexpected)))
        arrays: dict[str, Array] = {}
        for name, member in own.items():
            if name not in state_dict:
                continue
            value = state_dict[name]
            try:
                # PyTorch's parameters give their array only when detached.
                array = as_tensor(value.detach() if hasattr(value, "detach") else value).data
            except (TypeError, ValueError, RuntimeError, BufferError) as error:
                errors.append(f"{name}: {type(value).__name__} is not an array of numbers: {error}")
                continue
            if array.shape != member.shape:
                errors.append(f"size mismatch for {name}: the state has shape {array.shape}, the module {member.shape}")
            arrays[name] = array
        if strict and any(isinstance(name, str) and name.removeprefix("module.") in own for name in unexpected):
            errors.append(
                "torch.nn.DataParallel puts 'module.' before each name; take it off: "
                "{name.removeprefix('module.'): value for name, value in state_dict.items()}"
            )
        if errors:
            raise RuntimeError("\n  ".join([f"load_state_dict: errors for {type(self).__name__}:", *errors]))
        run_deferred()  # with the values that they were to see
        with np.errstate(all="ignore"):  # values too large for the type become infinite, as in PyTorch
            for name, array in arrays.items():
                np.copyto(own[name].data, array, casting="unsafe")
                own[name]._version += 1
        return IncompatibleKeys(missing, unexpected)

    # ---- changes to the whole tree ----------------------------------------------------------------------------

    def apply(self, fn: Callable[[Module], None]) -> Self:
        """Calls `fn` on every module of the tree, children first, and returns this module."""
        for child in self.children():
            child.apply(fn)
        fn(self)
        return self

    def train(self, mode: bool = True) -> Self:
        """Puts the whole tree into training mode (or with False into evaluation mode), which Dropout looks at."""
        if not isinstance(mode, bool):
            raise ValueError(f"train: mode is {mode!r}; expected True or False")
        self.training = mode
        for child in self.children():
            child.train(mode)
        return self

    def eval(self) -> Self:
        """Puts the whole tree into evaluation mode."""
        return self.train(False)

    def requires_grad_(self, requires_grad: bool = True) -> Self:
        """Sets `requires_grad` of every parameter; False freezes them."""
        for param in self.parameters():
            param.requires_grad_(requires_grad)
        return self

    def zero_grad(self, set_to_none: bool = True) -> None:
        """Forgets the gradients of all parameters, or with `set_to_none=False` sets them to zero."""
        for param in self.parameters():
            if set_to_none:
                param.grad = None
            elif param.grad is not None:
                param.grad.zero_()

    def float(self) -> Self:
        """Converts floating-point parameters and buffers to float32."""
        return self._convert(np.float32)

    def double(self) -> Self:
        """Converts floating-point parameters and buffers to float64."""
        return self._convert(np.float64)

    def _convert(self, dtype: DTypeLike) -> Self:
        for member in (*self.parameters(), *self.buffers()):
            if member.dtype.kind == "f":
                member.data = member.data.astype(dtype, copy=False)
                if member.grad is not None:
                    member.grad = member.grad.astype(dtype)
        return self

    # ---- hooks ------------------------------------------------------------------------------------------------

    def register_forward_pre_hook(
        self, hook: Callable[..., Any], *, prepend: bool = False, with_kwargs: bool = False
    ) -> RemovableHandle:
        """Calls `hook(module, args)` before forward; what it returns (if not None) becomes the arguments.

        With `with_kwargs`, the hook is called as `hook(module, args, kwargs)` and returns None or `(args, kwargs)`.
        """
        return RemovableHandle(self._forward_pre_hooks, (hook, with_kwargs), prepend)

    def register_forward_hook(
        self, hook: Callable[..., Any], *, prepend: bool = False, with_kwargs: bool = False
    ) -> RemovableHandle:
        """Calls `hook(module, args, output)` after forward; what it returns (if not None) becomes the output.

        With `with_kwargs`, the hook is called as `hook(module, args, kwargs, output)`.
        """
        return RemovableHandle(self._forward_hooks, (hook, with_kwargs), prepend)

    def register_full_backward_hook(self, hook: Callable[..., Any], prepend: bool = False) -> RemovableHandle:
        """Calls `hook(module, grad_input, grad_output)` in backward, when the gradients of the inputs are known.

        Both are tuples, of one gradient for each positional argument and for each output (None where there is none).
        What the hook returns (if not None) replaces `grad_input`. Where no input requires a gradient, the hook is
        called with the gradients of the outputs alone.
        """
        return RemovableHandle(self._backward_hooks, hook, prepend)

    def _call_with_hooks(self, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        for hook, with_kwargs in tuple(self._forward_pre_hooks.values()):
            if not with_kwargs:
                changed = hook(self, args)
                if changed is not None:
                    args = changed if isinstance(changed, tuple) else (changed,)
            elif (changed := hook(self, args, kwargs)) is not None:
                if not isinstance(changed, tuple) or len(changed) != 2:
                    raise RuntimeError(
                        f"{type(self).__name__}: a forward pre-hook returned {changed!r}; "
                        "expected None or (args, kwargs)"
                    )
                args, kwargs = changed
        bracket = None
        if self._backward_hooks and is_grad_enabled():
            bracket = BackwardBracket(self, tuple(self._backward_hooks.values()))
            args = bracket.inputs(args)
        y = self.forward(*args, **kwargs)
        for hook, with_kwargs in tuple(self._forward_hooks.values()):
            changed = hook(self, args, kwargs, y) if with_kwargs else hook(self, args, y)
            if changed is not None:
                y = changed
        return y if bracket is None else bracket.outputs(y)

    # ---- text -------------------------------------------------------------------------------------------------

    def extra_repr(self) -> str:
        """What stands between the parentheses of the module's own line; for subclasses to define."""
        return ""

    def __repr__(self) -> str:
        extra = self.extra_repr()
        children = [f"({name}): {_indented(repr(child))}" for name, child in self._modules.items()]
        lines = [*(extra.split("\n") if extra else ()), *children]
        if not children and len(lines) < 2:
            return f"{type(self).__name__}({extra})"
        return f"{type(self).__name__}(\n  " + "\n  ".join(lines) + "\n)"


_KINDS: dict[str, type[Any]] = {"_parameters": Parameter, "_buffers": Tensor, "_modules": Module}


def made_module(name: str, make: Any) -> Module:
    """The module that `make` makes. TypeError, naming the argument, where it makes none, as a module does not."""
    module = None if isinstance(make, Module) or not callable(make) else make()
    if not isinstance(module, Module):
        raise TypeError(f"{name} is {make!r}; expected what makes a module, such as nn.ReLU")
    return module


def _is_count(name: Any) -> bool:
    return isinstance(name, str) and name.rpartition(".")[2] == "num_batches_tracked"


def _indented(text: str) -> str:
    """All lines but the first moved to the right."""
    return text.replace("\n", "\n  ")
