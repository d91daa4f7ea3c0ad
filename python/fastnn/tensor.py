"""Tensor: a NumPy array and, where gradients are wanted, the node of the tape that made it.

Forward and backward of each operation stand side by side: the gradient is a function from `dy`, the gradient of the
output, to that of the input. Arrays keep the memory layout in which the kernels made them (channels-last for images).
"""

from __future__ import annotations

import operator
import weakref
from collections.abc import Callable, Iterator, Sequence
from typing import Any, NamedTuple, TypeAlias

import numpy as np
from numpy.typing import DTypeLike

from . import ops
from .arrays import (
    Array,
    Dims,
    Number,
    all_axes,
    as_numeric,
    assign,
    channels_inside,
    count,
    elementwise,
    fit,
    full,
    one_axis,
    power,
    quiet,
    real,
    reshaped,
    sizes,
    spread,
    total,
)
from .holder import Holder, operands, plain_index
from .norms import p_norm
from .tape import Backward, Gradients, Node, RemovableHandle, enable_grad, is_grad_enabled, mode, no_grad, walk

__all__ = [
    "Array",
    "Extremum",
    "Parameter",
    "Tensor",
    "as_tensor",
    "enable_grad",
    "expect_numbers",
    "expect_tensors",
    "is_grad_enabled",
    "no_grad",
    "record",
    "record_several",
    "tensor",
]


Hook: TypeAlias = "Callable[[Tensor], Tensor | None]"
Gradient: TypeAlias = Callable[[Array], Array]


def record(data: Array, backward: Backward, *inputs: Tensor, sums: bool = False) -> Tensor:
    """The output of an operation as a tensor, recorded on the tape where an input wants a gradient.

    Args:
        data: the output.
        backward: takes the gradient of the output, an array of its shape, and returns one gradient for each input (a
            tuple for several inputs): a new array, or a view of the one it got, of the input's shape and dtype; or
            None where that input does not require grad. It should hold on to the arrays that it needs and to nothing
            else: they live until backward has run.
        inputs: the tensors that the output depends on.
        sums: whether `backward` takes, as an optional second argument, a gradient of the first input that has come to
            it from elsewhere, and returns the sum of that and its own instead. It is an array of any layout that
            others may hold, too, so it is only read.
    """
    out = Tensor(data)
    if mode.grad_enabled:
        for t in inputs:
            if t.requires_grad:
                out.requires_grad = True
                out._node = Node(
                    backward,
                    [(t._node or (t, t._version)) if t.requires_grad else None for t in inputs],
                    sums,
                )
                if mode.trace is not None:
                    mode.trace(out, backward, inputs)
                break
    return out


def record_several(
    outputs: Sequence[Array], backward: Callable[[list[Array | None]], Gradients], *inputs: Tensor
) -> tuple[Tensor, ...]:
    """The outputs of one operation, recorded as by `record`; those that are not floating-point have no gradient.

    Args:
        outputs: the outputs.
        backward: takes the gradient of each output, None for one that nothing depends on, and returns one gradient for
            each input as in `record`.
        inputs: the tensors that the outputs depend on.
    """
    if not (mode.grad_enabled and any(t.requires_grad for t in inputs)):
        return tuple(Tensor(y) for y in outputs)
    count, arrived = len(outputs), dict[int, Array]()

    def run(_: Array) -> Gradients:
        gradients = [arrived.get(i) for i in range(count)]
        arrived.clear()
        return backward(gradients)

    # A node has one output. Those of this operation are nodes of their own, which put their gradients into `arrived`
    # and then pass a token on to the node that runs `backward`.
    token = np.zeros(())
    joint = record(token, run, *inputs)

    def output(i: int, y: Array) -> Tensor:
        def arrive(dy: Array) -> Array:
            arrived[i] = dy
            return token

        return record(y, arrive, joint) if y.dtype.kind == "f" else Tensor(y)

    return tuple(output(i, y) for i, y in enumerate(outputs))


def expect_tensors(op: str, **arguments: Any) -> None:
    """Raises TypeError, naming the operation and the argument, where an argument is not a tensor."""
    for name, value in arguments.items():
        if not isinstance(value, Tensor):
            kind = type(value).__name__
            kind = f"{type(value).__module__}.{kind}" if kind == "Tensor" else kind  # PyTorch's
            raise TypeError(f"{op}: {name} is {kind}; expected a Tensor (see fastnn.as_tensor)")


def expect_numbers(op: str, **arguments: Any) -> None:
    """Raises TypeError, naming the operation and the argument, where an argument is not a number."""
    for name, value in arguments.items():
        if not isinstance(value, (int, float, np.number)):
            raise TypeError(f"{op}: {name} is {value!r}; expected a number")


class Tensor(Holder):
    """An array with a gradient.

    Attributes:
        data: the NumPy array.
        requires_grad: whether `backward` computes a gradient for it.
        grad: the gradient that `backward` has accumulated, or None.
    """

    __slots__ = ()
    __array_ufunc__ = None  # array * tensor calls Tensor.__rmul__

    grad: Tensor | None

    # ---- out of the tape ------------------------------------------------------------------------------------------

    def detach(self) -> Tensor:
        """A tensor over the same array that the tape knows nothing of."""
        return Tensor(self.data)

    def clone(self) -> Tensor:
        """A copy, recorded: its gradient flows back here."""
        return record(self.data.copy(order="K"), lambda dy: dy, self)

    def astype(self, dtype: DTypeLike) -> Tensor:
        """A tensor of another element type; the gradient between floating-point types is converted back."""
        before, y = self.data.dtype, quiet(self.data.astype, dtype)
        return record(y, lambda dy: dy.astype(before), self) if y.dtype.kind == "f" else Tensor(y)

    to = astype

    def float(self) -> Tensor:
        """As float32."""
        return self.astype(np.float32)

    def double(self) -> Tensor:
        """As float64."""
        return self.astype(np.float64)

    def long(self) -> Tensor:
        """As int64."""
        return self.astype(np.int64)

    # ---- in place (never recorded) --------------------------------------------------------------------------------

    def __setitem__(self, index: Any, value: Any) -> None:
        self._begin_in_place("__setitem__", value)
        self.data[plain_index(index)[0]] = value.data if isinstance(value, Tensor) else value

    def __iadd__(self, other: Any) -> Tensor:
        return self._updated("+=", np.add, operator.add, other)

    def __isub__(self, other: Any) -> Tensor:
        return self._updated("-=", np.subtract, operator.sub, other)

    def __imul__(self, other: Any) -> Tensor:
        return self._updated("*=", np.multiply, operator.mul, other)

    def __itruediv__(self, other: Any) -> Tensor:
        return self._updated("/=", np.true_divide, operator.truediv, other)

    def _updated(self, name: str, ufunc: np.ufunc, operation: Callable[[Any, Any], Tensor], other: Any) -> Tensor:
        """In place; but a sum that is being recorded (`loss += term`) becomes a new tensor."""
        records = self._node is not None or (isinstance(other, Tensor) and other.requires_grad)
        if mode.grad_enabled and records and not (self.is_leaf and self.requires_grad):
            return operation(self, other)
        self._begin_in_place(name, other)
        quiet(ufunc, self.data, operands(self, other)[1], out=self.data, casting="same_kind")
        return self

    # ---- backward -------------------------------------------------------------------------------------------------

    def register_hook(self, hook: Hook) -> RemovableHandle:
        """Calls `hook(grad)` when this tensor's gradient is known; what it returns (if not None) replaces it.

        Returns:
            A handle whose `remove()` takes the hook away.
        """
        if not self.requires_grad:
            raise RuntimeError("register_hook: the tensor does not require grad")

        def on_array(gradient: Array) -> Array:
            replaced = hook(Tensor(gradient.copy()))
            if replaced is None:
                return gradient
            if replaced.shape != gradient.shape:
                raise ValueError(f"register_hook: a hook returned shape {replaced.shape}; expected {gradient.shape}")
            return np.array(replaced.data, gradient.dtype)

        if self._node is None:
            self._hooks = self._hooks or []
            return RemovableHandle(self._hooks, on_array)
        self._node.hooks = self._node.hooks or []
        return RemovableHandle(self._node.hooks, on_array)

    def retain_grad(self) -> None:
        """Keeps the gradient of a tensor that is not a leaf in `grad`, too."""
        if not self.requires_grad:
            raise RuntimeError("retain_grad: the tensor does not require grad")
        if self._node is not None:
            self._node.retain = weakref.ref(self)

    def backward(self, gradient: Any = None, retain_graph: bool = False) -> None:
        """Adds the gradient of this tensor with respect to each leaf that wants one to that leaf's `grad`.

        Args:
            gradient: the gradient of the result with respect to this tensor, of its shape; may be left out for a
                tensor of one element (it is 1 then).
            retain_graph: keep what was saved for backward, so that it can be called again.

        Raises:
            RuntimeError: nothing was recorded; or backward has run here before without `retain_graph`; or a leaf was
                changed in place since.
            ValueError: `gradient` has another shape.
        """
        if not self.requires_grad:
            raise RuntimeError("backward: the tensor does not require grad and no recorded operation made it")
        if gradient is None:
            if self.data.size != 1:
                raise RuntimeError(
                    f"backward: the tensor has shape {self.shape}; gradient may only be left out for one element"
                )
            dy = np.ones_like(self.data)
        else:
            dy = np.asarray(gradient.data if isinstance(gradient, Tensor) else gradient, self.data.dtype)
            if dy.shape != self.shape:
                raise ValueError(f"backward: gradient has shape {dy.shape}, the tensor has {self.shape}")
        walk(self._node or self, dy, retain_graph)

    def _accumulate(self, gradient: Array) -> None:
        if self._node is None:
            for hook in tuple(self._hooks or ()):
                gradient = hook(gradient)
        self.grad = Tensor(gradient if self.grad is None else elementwise(np.add, self.grad.data, gradient))

    # ---- arithmetic, with broadcasting ----------------------------------------------------------------------------

    def __add__(self, other: Any) -> Tensor:
        x, w = operands(self, other)
        y = elementwise(np.add, x, w)
        return _record_pair(y, self, other, lambda dy: dy, lambda dy: dy)

    def __sub__(self, other: Any) -> Tensor:
        x, w = operands(self, other)
        y = elementwise(np.subtract, x, w)
        return _record_pair(y, self, other, lambda dy: dy, lambda dy: elementwise(np.negative, dy))

    def __mul__(self, other: Any) -> Tensor:
        x, w = operands(self, other)
        y = elementwise(np.multiply, x, w)

        def dx(dy: Array) -> Array:
            return elementwise(np.multiply, dy, w)

        def dw(dy: Array) -> Array:
            return elementwise(np.multiply, dy, x)

        return _record_pair(y, self, other, dx, dw)

    def __truediv__(self, other: Any) -> Tensor:
        x, w = operands(self, other)
        if x.dtype.kind != "f":
            x, w = real(x), real(w) if isinstance(w, np.ndarray) else w
        y = elementwise(np.true_divide, x, w)

        def dx(dy: Array) -> Array:
            return elementwise(np.true_divide, dy, w)

        def dw(dy: Array) -> Array:
            return elementwise(np.true_divide, elementwise(np.multiply, -dy, y), w)

        return _record_pair(y, self, other, dx, dw)

    def __pow__(self, other: Any) -> Tensor:
        x, e = operands(self, other)
        products = type(e) is int or (type(e) is float and x.dtype.kind == "f")
        y = power(x, e) if products and e in range(2, 17) else elementwise(np.power, x, e)

        def dx(dy: Array) -> Array:  # 0 where e is 0, also at x = 0
            if isinstance(e, np.ndarray):
                return dy * np.where(e == 0, 0, e * np.power(x, np.where(e == 0, 1, e - 1)))
            if e == 0:
                return np.zeros_like(dy)
            slope = elementwise(np.multiply, power(x, e - 1), e) if e != 1 else e
            return elementwise(np.multiply, dy, slope)

        def de(dy: Array) -> Array:  # 0 where x is 0 and e >= 0
            return dy * np.where((x == 0) & (e >= 0), 0, y * np.log(x))

        return _record_pair(y, self, other, dx, de)

    def __matmul__(self, other: Any) -> Tensor:
        right: Tensor = as_tensor(other)
        x, w = self.data, right.data
        if x.ndim == 0 or w.ndim == 0:
            raise ValueError(f"matmul: operands have shapes {x.shape} and {w.shape}; expected 1 dimension or more each")
        if x.shape[-1] != w.shape[-2 if w.ndim > 1 else 0]:
            raise ValueError(f"matmul: shapes {x.shape} and {w.shape} do not fit: the inner sizes differ")
        if x.ndim > 2 and w.ndim == 2:  # one large product instead of many small ones
            rows = count(x.shape, range(x.ndim - 1))
            return (self.reshape(rows, x.shape[-1]) @ right).reshape(*x.shape[:-1], w.shape[1])
        if x.ndim == 1:
            return (self.unsqueeze(0) @ right).squeeze(-2 if w.ndim > 1 else 0)
        if w.ndim == 1:
            return (self @ right.unsqueeze(1)).squeeze(-1)

        def dx(dy: Array) -> Array:
            return ops.matmul(dy, w.swapaxes(-1, -2))

        def dw(dy: Array) -> Array:
            return ops.matmul(x.swapaxes(-1, -2), dy)

        return _record_pair(ops.matmul(x, w), self, right, dx, dw)

    __radd__ = __add__
    __rmul__ = __mul__

    def __rsub__(self, other: Any) -> Tensor:
        return Tensor.__sub__(_left_operand(other, self), self)

    def __rtruediv__(self, other: Any) -> Tensor:
        return Tensor.__truediv__(_left_operand(other, self), self)

    def __rpow__(self, other: Any) -> Tensor:
        return Tensor.__pow__(_left_operand(other, self), self)

    def __rmatmul__(self, other: Any) -> Tensor:
        return as_tensor(other).__matmul__(self)

    def matmul(self, other: Any) -> Tensor:
        """The matrix product, as `self @ other`."""
        return self.__matmul__(other)

    def __neg__(self) -> Tensor:
        return record(elementwise(np.negative, self.data), lambda dy: elementwise(np.negative, dy), self)

    def __abs__(self) -> Tensor:
        x = self.data
        return record(elementwise(np.abs, x), lambda dy: dy * np.sign(x), self)

    def abs(self) -> Tensor:
        """The absolute values; the gradient at 0 is 0."""
        return self.__abs__()

    def exp(self) -> Tensor:
        """The exponential function of each element."""
        y = elementwise(np.exp, real(self.data))
        return record(y, lambda dy: elementwise(np.multiply, dy, y), self)

    def log(self) -> Tensor:
        """The natural logarithm of each element."""
        x = real(self.data)
        return record(elementwise(np.log, x), lambda dy: elementwise(np.true_divide, dy, x), self)

    def log1p(self) -> Tensor:
        """log(1 + x) of each element, accurate for small x, too."""
        x = real(self.data)
        return record(elementwise(np.log1p, x), lambda dy: dy / (1 + x), self)

    def sqrt(self) -> Tensor:
        """The square root of each element."""
        y = elementwise(np.sqrt, real(self.data))
        return record(y, lambda dy: dy / (2 * y), self)

    def clamp(self, min: Number | None = None, max: Number | None = None) -> Tensor:
        """Each element brought into [min, max]; the gradient flows where it was inside, the bounds included."""
        if min is None and max is None:
            raise ValueError("clamp: expected min or max or both")
        x = self.data
        low, high = -np.inf if min is None else min, np.inf if max is None else max
        if x.dtype.char in "fd" and low <= high:
            y = ops.hardtanh_forward(x, low, high)
        else:
            y = x if min is None else elementwise(np.maximum, x, min)
            y = y if max is None else elementwise(np.minimum, y, max)
        return record(y, lambda dy: dy * ((x >= low) & (x <= high)), self)

    # ---- comparison and logic (no gradient) -----------------------------------------------------------------------

    def __eq__(self, other: object) -> Tensor:  # type: ignore[override]
        return _compared(np.equal, self, other)

    def __ne__(self, other: object) -> Tensor:  # type: ignore[override]
        return _compared(np.not_equal, self, other)

    def __lt__(self, other: Any) -> Tensor:
        return _compared(np.less, self, other)

    def __le__(self, other: Any) -> Tensor:
        return _compared(np.less_equal, self, other)

    def __gt__(self, other: Any) -> Tensor:
        return _compared(np.greater, self, other)

    def __ge__(self, other: Any) -> Tensor:
        return _compared(np.greater_equal, self, other)

    __hash__ = object.__hash__

    def __and__(self, other: Any) -> Tensor:
        return _compared(np.bitwise_and, self, other)

    def __or__(self, other: Any) -> Tensor:
        return _compared(np.bitwise_or, self, other)

    def __invert__(self) -> Tensor:
        return Tensor(quiet(np.invert, self.data))

    def any(self) -> Tensor:
        """Whether an element is not zero."""
        return Tensor(quiet(self.data.any))

    def all(self) -> Tensor:
        """Whether no element is zero."""
        return Tensor(quiet(self.data.all))

    # ---- reductions -----------------------------------------------------------------------------------------------

    def sum(self, dim: Dims = None, keepdim: bool = False) -> Tensor:
        """The sum over all elements, or over one dimension or several; int64 for integers and booleans."""
        x, axes = self.data, all_axes("sum", dim, self.ndim)
        shape = x.shape
        return record(total(x, axes, keepdim), lambda dy: spread(dy, axes, shape), self)

    def mean(self, dim: Dims = None, keepdim: bool = False) -> Tensor:
        """The mean over all elements, or over one dimension or several; NaN over none."""
        if self.data.dtype.kind != "f":
            raise TypeError(f"mean: the tensor has dtype {self.data.dtype}; expected a floating-point one")
        shape, axes = self.data.shape, all_axes("mean", dim, self.ndim)
        n = count(shape, axes)
        y = elementwise(np.true_divide, total(self.data, axes, keepdim), n)
        return record(y, lambda dy: spread(dy / n, axes, shape), self)

    def var(self, dim: Dims = None, correction: int = 1, keepdim: bool = False) -> Tensor:
        """The variance over all elements, or over one dimension or several, with divisor `count - correction`."""
        x, axes = self.data, all_axes("var", dim, self.ndim)
        centered = elementwise(np.subtract, x, self.detach().mean(dim, keepdim=True).data)
        divisor = max(count(x.shape, axes) - correction, 0)
        kept = [1 if i in axes else n for i, n in enumerate(x.shape)]

        def backward(dy: Array) -> Array:
            factor = elementwise(np.true_divide, 2.0 * dy, divisor).reshape(kept)
            return elementwise(np.multiply, centered, factor)

        squares = total(elementwise(np.multiply, centered, centered), axes, keepdim)
        return record(elementwise(np.true_divide, squares, divisor), backward, self)

    def std(self, dim: Dims = None, correction: int = 1, keepdim: bool = False) -> Tensor:
        """The standard deviation, the square root of `var`."""
        return self.var(dim, correction, keepdim).sqrt()

    def norm(self, p: Number | str = "fro", dim: Dims = None, keepdim: bool = False) -> Tensor:
        """The norm of order `p` over all elements as one vector, or along one dimension or several.

        `sum(abs(x) ** p) ** (1 / p)`; "fro" is 2, inf the largest and -inf the smallest absolute value, 0 counts the
        elements that are not 0. The gradient where the norm is 0 is 0 (as in PyTorch).
        """
        if not isinstance(p, (int, float)) and p != "fro":
            raise ValueError(f"norm: p is {p!r}; expected a number or 'fro'")
        if self.data.dtype.kind != "f":
            raise TypeError(f"norm: the tensor has dtype {self.data.dtype}; expected a floating-point one")
        axes = all_axes("norm", dim, self.ndim)
        y, backward = p_norm(self.data, 2 if isinstance(p, str) else p, axes, keepdim)
        return record(y, backward, self)

    def max(self, dim: int | None = None, keepdim: bool = False) -> Any:
        """The largest element, or `(values, indices)` of the largest along one dimension; NaN wins.

        The gradient goes to the first largest element along `dim`, or in equal parts to all largest elements of the
        whole tensor (as in PyTorch).
        """
        return self._extremum("max", np.max, np.argmax, dim, keepdim)

    def min(self, dim: int | None = None, keepdim: bool = False) -> Any:
        """The smallest element, or `(values, indices)` of the smallest along one dimension; NaN wins."""
        return self._extremum("min", np.min, np.argmin, dim, keepdim)

    def _extremum(self, name: str, pick: Any, argpick: Any, dim: int | None, keepdim: bool) -> Any:
        x = self.data
        if dim is None:
            if x.size == 0:
                raise ValueError(f"{name}: the tensor of shape {x.shape} has no elements")
            y = quiet(pick, x)

            def share(dy: Array) -> Array:
                winners = (x == y) | (np.isnan(x) & np.isnan(y))
                return elementwise(np.multiply, winners.astype(x.dtype), dy / x.dtype.type(np.count_nonzero(winners)))

            return record(y, share, self)
        axis = one_axis(name, dim, x.ndim)
        if x.shape[axis] == 0:
            raise ValueError(f"{name}: dimension {dim} of the tensor of shape {x.shape} is empty")
        indices = np.expand_dims(argpick(x, axis=axis), axis)
        values = np.take_along_axis(x, indices, axis)

        def backward(dy: Array) -> Array:
            dx = np.zeros_like(x)
            np.put_along_axis(dx, indices, dy if keepdim else np.expand_dims(dy, axis), axis)
            return dx

        if keepdim:
            return Extremum(record(values, backward, self), Tensor(indices))
        return Extremum(record(values.squeeze(axis), backward, self), Tensor(indices.squeeze(axis)))

    def argmax(self, dim: int | None = None, keepdim: bool = False) -> Tensor:
        """The index of the largest element in the flattened tensor, or of the largest along one dimension."""
        return self._arg("argmax", np.argmax, dim, keepdim)

    def argmin(self, dim: int | None = None, keepdim: bool = False) -> Tensor:
        """The index of the smallest element in the flattened tensor, or of the smallest along one dimension."""
        return self._arg("argmin", np.argmin, dim, keepdim)

    def _arg(self, name: str, argpick: Any, dim: int | None, keepdim: bool) -> Tensor:
        axis = None if dim is None else one_axis(name, dim, self.ndim)
        if (self.data.size if axis is None else self.shape[axis]) == 0:
            raise ValueError(f"{name}: nothing to choose from in a tensor of shape {self.shape}")
        return Tensor(quiet(argpick, self.data, axis=axis, keepdims=keepdim))

    # ---- shape ----------------------------------------------------------------------------------------------------

    def reshape(self, *shape: Any) -> Tensor:
        """The same elements in another shape; one size may be -1."""
        before = self.data.shape
        try:
            y = reshaped(self.data, sizes(shape))
        except ValueError:
            raise ValueError(f"reshape: a tensor of shape {before} does not fit into {sizes(shape)}") from None
        return record(y, lambda dy: reshaped(dy, before), self)

    view = reshape

    def flatten(self, start_dim: int = 0, end_dim: int = -1) -> Tensor:
        """Merges the dimensions from `start_dim` to `end_dim` into one."""
        ndim = max(1, self.ndim)  # a single number counts as a row of one, as in PyTorch
        start, end = one_axis("flatten", start_dim, ndim), one_axis("flatten", end_dim, ndim)
        if self.ndim == 0:
            return self.reshape(1)
        if start > end:
            raise ValueError(f"flatten: start_dim {start_dim} comes after end_dim {end_dim}")
        merged = count(self.shape, range(start, end + 1))
        return self.reshape(*self.shape[:start], merged, *self.shape[end + 1 :])

    def expand(self, *shape: Any) -> Tensor:
        """The elements repeated along new dimensions in front and those of size 1, without a copy; -1 keeps a size."""
        before, dtype, after = self.data.shape, self.data.dtype, sizes(shape)
        kept = len(after) - len(before)
        after = tuple(before[i - kept] if n == -1 and i >= kept else n for i, n in enumerate(after))
        if after == before:
            return self
        try:
            y = np.broadcast_to(self.data, after)
        except ValueError:
            raise ValueError(f"expand: a tensor of shape {before} does not expand to {after}") from None
        return record(y, lambda dy: fit(dy, before, dtype), self)

    def permute(self, *dims: Any) -> Tensor:
        """The dimensions in another order."""
        order = all_axes("permute", sizes(dims) or None, self.ndim)
        if len(order) != self.ndim:
            raise ValueError(f"permute: dims are {sizes(dims)}; expected each of {self.ndim} dimensions once")
        inverse = sorted(range(self.ndim), key=order.__getitem__)
        return record(self.data.transpose(order), lambda dy: dy.transpose(inverse), self)

    def transpose(self, dim0: int, dim1: int) -> Tensor:
        """Swaps two dimensions."""
        a, b = one_axis("transpose", dim0, self.ndim), one_axis("transpose", dim1, self.ndim)
        return record(self.data.swapaxes(a, b), lambda dy: dy.swapaxes(a, b), self)

    @property
    def T(self) -> Tensor:
        """The dimensions in reverse order."""
        return self.permute(*reversed(range(self.ndim)))

    def squeeze(self, dim: int | None = None) -> Tensor:
        """Without the dimensions of size 1, or without that one dimension if its size is 1."""
        candidates = range(self.ndim) if dim is None else (one_axis("squeeze", dim, self.ndim),)
        axes = tuple(a for a in candidates if self.shape[a] == 1)
        return record(self.data.squeeze(axes), lambda dy: np.expand_dims(dy, axes), self)

    def unsqueeze(self, dim: int) -> Tensor:
        """With a further dimension of size 1 at `dim`."""
        axis = one_axis("unsqueeze", dim, self.ndim + 1)
        return record(np.expand_dims(self.data, axis), lambda dy: dy.squeeze(axis), self)

    def __getitem__(self, index: Any) -> Tensor:
        where, unique = plain_index(index)
        x = self.data
        shape, dtype, channels_last = x.shape, x.dtype, channels_inside(x)
        y = np.asarray(x[where])
        is_view = np.may_share_memory(x, y)

        def backward(dy: Array) -> Array:
            dx = full(shape, 0, dtype, channels_last)
            if is_view:
                assign(dx[where], dy)
            elif unique:
                dx[where] = dy
            else:
                np.add.at(dx, where, dy)
            return dx

        return record(y, backward, self)

    def __iter__(self) -> Iterator[Tensor]:
        return (self[i] for i in range(len(self)))

    def __contains__(self, element: Any) -> bool:
        return bool((self == element).data.any())


class Extremum(NamedTuple):
    """The result of `Tensor.max` and `Tensor.min` along a dimension."""

    values: Tensor
    indices: Tensor


class Parameter(Tensor):
    """A tensor that a `nn.Module` registers as one of its parameters when it is assigned to an attribute."""

    __slots__ = ()

    def __init__(self, data: Any, requires_grad: bool = True) -> None:
        super().__init__(data.data if isinstance(data, Tensor) else data, requires_grad)

    def __reduce_ex__(self, protocol: Any) -> Any:
        """For `copy` and `pickle`: as in PyTorch, a copy has neither the gradient nor the hooks."""
        super().__reduce_ex__(protocol)  # refuses what a recorded operation made
        return type(self), (self.data, self.requires_grad)

    def __repr__(self) -> str:
        return f"Parameter containing:\n{super().__repr__()}"


def tensor(data: Any, dtype: DTypeLike | None = None, requires_grad: bool = False) -> Tensor:
    """A tensor with a copy of `data`.

    Args:
        data: numbers, nested sequences of them, or anything with an array inside (NumPy, buffer protocol, DLPack).
        dtype: the element type. By default that of an array, and float32, int64 or bool for Python's numbers.
        requires_grad: whether `backward` computes a gradient for it.

    Raises:
        TypeError: the data are not numbers, or a gradient is wanted for integers.

    Example:
        >>> import fastnn
        >>> fastnn.tensor([[1.0, 2.0], [3.0, 4.0]]).sum(0)
        tensor([4., 6.])
    """
    return Tensor(as_numeric(data.data if isinstance(data, Tensor) else data, dtype, copy=True), requires_grad)


def as_tensor(data: Any, dtype: DTypeLike | None = None) -> Tensor:
    """A tensor over the array inside of `data`, without a copy where possible; `data` itself if it is a tensor."""
    if isinstance(data, Tensor):
        return data if dtype is None or data.dtype == dtype else data.astype(dtype)
    return Tensor(as_numeric(data, dtype))


# ---- operands -----------------------------------------------------------------------------------------------------


def _left_operand(other: Any, right: Tensor) -> Tensor:
    x, number = operands(right, other)
    dtype = number.dtype if isinstance(number, np.ndarray) else np.result_type(x, number)
    return Tensor(quiet(np.asarray, number, dtype))


def _compared(ufunc: np.ufunc, a: Tensor, other: Any) -> Tensor:
    if other is None or isinstance(other, (str, bytes)):
        return NotImplemented  # type: ignore[no-any-return]
    return Tensor(quiet(ufunc, *operands(a, other)))


def _record_pair(y: Array, a: Tensor, b: Any, da: Gradient, db: Gradient) -> Tensor:
    """Records an operation that broadcasts; holds on to nothing that only an operand without gradient would need."""
    if not mode.grad_enabled:
        return Tensor(y)
    b_wants = isinstance(b, Tensor) and b.requires_grad
    if not a.requires_grad:
        return record(y, _fitted(db, b.data), b) if b_wants else Tensor(y)
    to_a = _fitted(da, a.data)
    if not b_wants:
        return record(y, to_a, a)
    to_b = _fitted(db, b.data)
    return record(y, lambda dy: (to_a(dy), to_b(dy)), a, b)


def _fitted(gradient: Gradient, x: Array) -> Gradient:
    shape, dtype = x.shape, x.dtype
    return lambda dy: fit(gradient(dy), shape, dtype)
