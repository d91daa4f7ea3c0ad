"""What hooks on modules need: the handle that removes one, and the bracket that gathers gradients for them."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any, TypeAlias

import numpy as np
from numpy.typing import NDArray

from ..tensor import Tensor, record

if TYPE_CHECKING:
    from .module import Module

Array: TypeAlias = NDArray[Any]
Gradients: TypeAlias = "tuple[Array | None, ...]"
BackwardHook: TypeAlias = "Callable[[Any, Any, Any], Any]"

_ids = itertools.count()


class RemovableHandle:
    """What registering a hook returns. As a context manager it removes the hook at the end of the block."""

    def __init__(self, hooks: dict[int, Any], hook: Any, prepend: bool = False) -> None:
        self._hooks = hooks
        self._id = next(_ids)
        hooks[self._id] = hook
        if prepend:
            for earlier in [i for i in hooks if i != self._id]:
                hooks[earlier] = hooks.pop(earlier)

    def remove(self) -> None:
        """Removes the hook; does nothing the second time."""
        self._hooks.pop(self._id, None)

    def __enter__(self) -> RemovableHandle:
        return self

    def __exit__(self, *exception: object) -> None:
        self.remove()


class BackwardBracket:
    """Stands around one call of a module: its backward hooks get all gradients of its inputs and outputs at once."""

    def __init__(self, module: Module, hooks: Sequence[BackwardHook]) -> None:
        self._module = module
        self._hooks = hooks
        self._grad_output: tuple[Tensor | None, ...] = ()
        self._inputs = 0
        self._any_input = False

    def inputs(self, args: tuple[Any, ...]) -> tuple[Any, ...]:
        """The module's arguments, to be given to its forward."""
        self._inputs = len(args)
        self._any_input = any(isinstance(a, Tensor) and a.requires_grad for a in args)
        return _gathered(args, self._input_gradients)

    def outputs(self, y: Any) -> Any:
        """What forward returned, to be given to the caller."""
        if isinstance(y, Tensor):
            return _gathered((y,), self._output_gradients)[0]
        if not isinstance(y, tuple):
            raise TypeError(
                f"{type(self._module).__name__}: forward returned {type(y).__name__}; "
                "a module with backward hooks must return a Tensor or a tuple"
            )
        gathered = _gathered(y, self._output_gradients)
        return y._make(gathered) if hasattr(y, "_make") else gathered

    def _output_gradients(self, gradients: Gradients) -> Gradients:
        self._grad_output = _tensors(gradients)
        if not self._any_input:
            nothing = (None,) * self._inputs
            for hook in self._hooks:
                if hook(self._module, nothing, self._grad_output) is not None:
                    raise RuntimeError(
                        f"{type(self._module).__name__}: a backward hook returned gradients, "
                        "but no input of the module requires one; expected None"
                    )
        return gradients

    def _input_gradients(self, gradients: Gradients) -> Gradients:
        grad_input = _tensors(gradients)
        for hook in self._hooks:
            replaced = hook(self._module, grad_input, self._grad_output)
            if replaced is not None:
                grad_input = self._checked(replaced, grad_input)
        return tuple(None if g is None else g.data for g in grad_input)

    def _checked(self, replaced: Any, grad_input: tuple[Tensor | None, ...]) -> tuple[Tensor | None, ...]:
        name = type(self._module).__name__
        if not isinstance(replaced, tuple):
            replaced = (replaced,)
        if len(replaced) != len(grad_input):
            raise RuntimeError(
                f"{name}: a backward hook returned {len(replaced)} gradients; expected {len(grad_input)}, one an input"
            )
        for new, old in zip(replaced, grad_input, strict=True):
            if old is None or new is None:
                continue
            if not isinstance(new, Tensor):
                raise TypeError(
                    f"{name}: a backward hook returned {type(new).__name__} for a gradient; expected Tensor"
                )
            if new.shape != old.shape:
                raise ValueError(
                    f"{name}: a backward hook returned a gradient of shape {new.shape}; the input has {old.shape}"
                )
        return tuple(replaced)


def _tensors(gradients: Gradients) -> tuple[Tensor | None, ...]:
    return tuple(None if g is None else Tensor(g) for g in gradients)


def _gathered(values: tuple[Any, ...], react: Callable[[Gradients], Gradients]) -> tuple[Any, ...]:
    """The same values. In backward `react` gets the gradients of all of them in one call, and what it returns flows on.

    All tensors pass through identity operations that hang on one common operation. The tape runs it after them, since
    it was recorded before them: that is when every gradient is known.
    """
    wanted = [i for i, v in enumerate(values) if isinstance(v, Tensor) and v.requires_grad]
    if not wanted:
        return values
    leaves = {i for i in wanted if values[i].is_leaf}
    gradients: list[Array | None] = [None] * len(values)
    token = np.zeros(())

    def pass_on(_: Array) -> Gradients:
        known = tuple(gradients)
        gradients[:] = [None] * len(known)
        returned = react(known)
        # A leaf keeps the array that it gets, which others may hold, too.
        return tuple(g.copy() if i in leaves and (g := returned[i]) is not None else returned[i] for i in wanted)

    joint = record(token, pass_on, *(values[i] for i in wanted))

    def identity(i: int) -> Tensor:
        def backward(dy: Array) -> Array:
            gradients[i] = dy
            return token

        return record(values[i].data, backward, joint)

    return tuple(identity(i) if i in wanted else v for i, v in enumerate(values))
