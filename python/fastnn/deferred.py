"""Deferred tensors: what an operation leaves to those that follow it, so that all of them run as one kernel.

The last pass of a batch normalization reads and writes a whole array for two operations an element. Nearly always an
addition, a ReLU or both come next, and in the same pass they cost nothing; nor do they where a convolution writes its
sums, and there a normalization by known statistics is free, too. So while a module is being called, these operations
return a `Deferred` tensor: shape, dtype and a recipe. An addition or a ReLU extends the recipe; whatever else asks for
the values runs it. Models are written as ever, and nothing can tell the difference:

- Fused is only what nobody can see. A tensor that is still held somewhere, or whose values were asked for, when the
  extension runs is its input as always.
- The outermost call of a module runs all recipes before it returns, and so does every change of a tensor in place, by
  an optimizer, an initializer or `load_state_dict`, too: a recipe sees the inputs and parameters of its operation as
  they were. What is written into `t.data` through NumPy it cannot know of.
"""

from __future__ import annotations

import math
import weakref
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np

from .arrays import Array
from .holder import Holder
from .tape import Node, mode
from .tensor import Tensor

# Where a tensor keeps these; a deferred one has its recipe in the place of its array.
_data: Any = Holder.__dict__["data"]
_node: Any = Holder.__dict__["_node"]


class Tail(NamedTuple):
    """What follows an operation's y: ReLU(y * scale + shift + residual)."""

    scale: Array | None = None  # one value a channel
    shift: Array | None = None
    residual: Tensor | None = None
    relu: bool = False


_no_tail = Tail()


@dataclass(slots=True, eq=False)
class Recipe:
    """How to compute a deferred tensor.

    Attributes:
        finish: computes and records the operation together with its tail.
        tail: what follows the operation.
        scalable: whether `finish` takes a tail with scale and shift, outside of recording.
        shape: of the result.
        dtype: of the result.
        requires_grad: of the result.
        recording: whether operations were being recorded.
        parent: the recipe that this one extends, or None.
        step: computes and records the extension alone, from the result of the parent.
        owner: the tensor whose recipe it is, while it exists.
        result: the values, once they were asked for.
    """

    finish: Callable[[Tail], Tensor]
    tail: Tail
    scalable: bool
    shape: tuple[int, ...]
    dtype: np.dtype[Any]
    requires_grad: bool
    recording: bool
    parent: Recipe | None = None
    step: Callable[[Tensor], Tensor] | None = None
    owner: Callable[[], Tensor | None] = lambda: None
    result: Tensor | None = None

    def extended(self, tail: Tail, requires_grad: bool, step: Callable[[Tensor], Tensor]) -> Recipe:
        """The recipe with a longer tail."""
        shape, dtype = self.shape, self.dtype
        return Recipe(self.finish, tail, self.scalable, shape, dtype, requires_grad, self.recording, self, step)

    def visible(self) -> bool:
        """Whether anybody holds the tensor or has asked for its values, or did so with one that it extends."""
        seen = self.result is not None or self.owner() is not None
        return seen or (self.parent is not None and self.parent.visible())

    def run(self) -> Tensor:
        """The result, a plain tensor."""
        if self.result is None:
            before, mode.grad_enabled = mode.grad_enabled, self.recording
            try:
                if self.parent is not None and self.step is not None and self.parent.visible():
                    self.result = self.step(self.parent.run())
                    self.result.data  # noqa: B018 - a step may have been deferred itself
                else:
                    self.result = self.finish(self.tail)
            finally:
                mode.grad_enabled = before
        return self.result


def deferred(
    finish: Callable[[Tail], Tensor],
    shape: Callable[[], tuple[int, ...]],
    dtype: np.dtype[Any],
    *inputs: Tensor,
    scalable: bool = False,
) -> Tensor:
    """The result of `finish(Tail())`: at once, or inside of a module's call when its values are asked for.

    Args:
        finish: takes a tail; computes and records an operation and what follows it.
        shape: that of the result; raises whatever `finish` would raise.
        dtype: of the result.
        inputs: the tensors that the operation depends on.
        scalable: whether the tail may have scale and shift where nothing is recorded.
    """
    if mode.deferred is None:
        return finish(_no_tail)
    requires_grad = mode.grad_enabled and any(t.requires_grad for t in inputs)
    return Deferred(Recipe(finish, _no_tail, scalable, shape(), dtype, requires_grad, mode.grad_enabled))


class Deferred(Tensor):
    """A tensor whose values are computed when they are asked for. It is a plain `Tensor` from then on."""

    __slots__ = ()

    def __init__(self, recipe: Recipe) -> None:
        _data.__set__(self, recipe)
        _node.__set__(self, None)
        self.requires_grad = recipe.requires_grad
        self.grad = None
        self._version = 0
        self._hooks = None
        recipe.owner = weakref.ref(self)
        if mode.deferred is not None:
            mode.deferred.append(recipe.owner)

    def _run(self) -> None:
        recipe = _data.__get__(self)
        if isinstance(recipe, Recipe):  # another thread may have been faster
            result = recipe.run()
            _node.__set__(self, result._node)
            _data.__set__(self, result.data)
        self.__class__ = Tensor  # type: ignore[assignment]

    @property
    def data(self) -> Array:
        """The NumPy array."""
        self._run()
        return self.data

    @data.setter
    def data(self, array: Array) -> None:
        self._run()
        self.data = array

    @property
    def _node(self) -> Node | None:  # type: ignore[override]
        self._run()
        return self._node

    # ---- what is known without the values -------------------------------------------------------------------------

    @property
    def shape(self) -> tuple[int, ...]:
        """The sizes of the dimensions."""
        shape: tuple[int, ...] = _data.__get__(self).shape  # a recipe's, or an array's
        return shape

    @property
    def ndim(self) -> int:
        """The number of dimensions."""
        return len(self.shape)

    @property
    def dtype(self) -> np.dtype[Any]:
        """The element type, a NumPy dtype."""
        dtype: np.dtype[Any] = _data.__get__(self).dtype
        return dtype

    def numel(self) -> int:
        """The number of elements."""
        return math.prod(self.shape)

    # ---- extension ------------------------------------------------------------------------------------------------

    def then_relu(self, relu: Callable[[Tensor], Tensor]) -> Tensor | None:
        """This tensor followed by `relu`, or None where the two cannot be fused."""
        recipe = self._extensible()
        if recipe is None:
            return None
        return Deferred(recipe.extended(recipe.tail._replace(relu=True), recipe.requires_grad, relu))

    def then_scaled(self, scale: Array, shift: Array, step: Callable[[Tensor], Tensor]) -> Tensor | None:
        """This tensor * scale + shift for each channel, which `step` computes, too; None where it cannot be fused."""
        recipe = self._extensible()
        if recipe is None or not recipe.scalable or recipe.recording or recipe.parent is not None:
            return None
        return Deferred(recipe.extended(Tail(scale, shift), False, step))

    def _extensible(self) -> Recipe | None:
        recipe = _data.__get__(self)
        if not isinstance(recipe, Recipe) or recipe.tail.relu or recipe.recording != mode.grad_enabled:
            return None
        if mode.deferred is None or self.requires_grad != recipe.requires_grad:  # another thread; a new leaf
            return None
        return recipe

    def _plus(self, other: Any) -> Recipe | None:
        recipe = self._extensible()
        if recipe is None or recipe.tail.residual is not None or not isinstance(other, Tensor) or other is self:
            return None
        if other.shape != recipe.shape or other.dtype != recipe.dtype:
            return None

        def step(x: Tensor) -> Tensor:
            other.data  # noqa: B018 - from now on a plain tensor, whose addition extends nothing
            return x + other

        requires_grad = recipe.requires_grad or (recipe.recording and other.requires_grad)
        return recipe.extended(recipe.tail._replace(residual=other), requires_grad, step)

    def __add__(self, other: Any) -> Tensor:
        recipe = self._plus(other)
        return super().__add__(other) if recipe is None else Deferred(recipe)

    # Python asks the right operand first where its class is derived from the left one's.
    def __radd__(self, other: Any) -> Tensor:
        recipe = self._plus(other)
        return super().__radd__(other) if recipe is None else Deferred(recipe)

    def __iadd__(self, other: Any) -> Tensor:
        recipe = self._plus(other)
        if recipe is None:
            return super().__iadd__(other)
        if recipe.requires_grad:
            return Deferred(recipe)  # what is recorded is never changed in place
        before = _data.__get__(self)
        recipe.owner, before.owner = before.owner, lambda: None
        _data.__set__(self, recipe)
        return self
