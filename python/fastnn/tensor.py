"""Tensor and the tape.

A `Tensor` is a NumPy array and, where gradients are wanted, the tape's node that made it. A node holds its input tensors
and one function from the gradient of its output to the gradients of its inputs; `Tensor.backward` walks the nodes in
reverse order of their making. Arrays keep the memory layout in which the kernels made them (channels-last for images).
"""

from __future__ import annotations

import itertools
import threading
from collections.abc import Callable, Iterator, Sequence
from types import TracebackType
from typing import Any, NamedTuple, TypeAlias

import numpy as np
from numpy.typing import DTypeLike, NDArray

from . import ops

Array: TypeAlias = NDArray[Any]
Gradients: TypeAlias = "Array | None | tuple[Array | None, ...]"
Backward: TypeAlias = Callable[[Array], Gradients]
Dims: TypeAlias = "int | Sequence[int] | None"
Hook: TypeAlias = "Callable[[Tensor], Tensor | None]"

_counter = itertools.count()


class _Mode(threading.local):
    grad_enabled = True


_mode = _Mode()


class no_grad:
    """Context manager and decorator: inside, nothing is recorded and nothing is kept for backward (as in PyTorch).

    Example:
        >>> import fastnn
        >>> w = fastnn.tensor([1.0, 2.0], requires_grad=True)
        >>> with fastnn.no_grad():
        ...     y = w * 2
        >>> y.requires_grad
        False
    """

    _enabled = False

    def __init__(self) -> None:
        self._saved: list[bool] = []

    def __enter__(self) -> None:
        self._saved.append(_mode.grad_enabled)
        _mode.grad_enabled = self._enabled

    def __exit__(
        self,
        kind: type[BaseException] | None,
        value: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        _mode.grad_enabled = self._saved.pop()

    def __call__(self, function: Callable[..., Any]) -> Callable[..., Any]:
        from functools import wraps

        @wraps(function)
        def wrapper(*args: Any, **kwargs: Any) -> Any:
            with type(self)():
                return function(*args, **kwargs)

        return wrapper


class enable_grad(no_grad):
    """The opposite of `no_grad`, for use inside of it."""

    _enabled = True


def is_grad_enabled() -> bool:
    """Whether operations are recorded at present in this thread."""
    return _mode.grad_enabled


class _Node:
    """One recorded operation. It holds the nodes (or leaves) that its inputs came from, not the inputs' arrays."""

    __slots__ = ("backward", "edges", "hooks", "order", "versions")

    def __init__(self, backward: Backward, inputs: tuple[Tensor, ...]) -> None:
        self.backward: Backward | None = backward
        self.edges = tuple((t._node or t) if t.requires_grad else None for t in inputs)
        self.versions = tuple(t._version for t in inputs)
        self.order = next(_counter)
        self.hooks: list[Hook] | None = None


def record(data: Array, backward: Backward, *inputs: Tensor) -> Tensor:
    """The output of an operation as a tensor, recorded on the tape where an input wants a gradient.

    `backward` takes the gradient of the output, an array of its shape, and returns one gradient for each input (a tuple
    for several inputs): an array of the input's shape, or None where that input has `requires_grad` False. It should hold
    on to the arrays that it needs and to nothing else: they live until backward has run.
    """
    out = Tensor(data)
    if _mode.grad_enabled:
        for t in inputs:
            if t.requires_grad:
                out.requires_grad = True
                out._node = _Node(backward, inputs)
                break
    return out


class Tensor:
    """An array with a gradient.

    Attributes:
        data: the NumPy array.
        requires_grad: whether `backward` computes a gradient for it.
        grad: the gradient that `backward` has accumulated, or None.
    """

    __slots__ = ("__weakref__", "_hooks", "_node", "_version", "data", "grad", "requires_grad")
    __array_ufunc__ = None  # array * tensor calls Tensor.__rmul__

    def __init__(self, data: Array, requires_grad: bool = False) -> None:
        self.data = data
        self.requires_grad = requires_grad
        self.grad: Tensor | None = None
        self._node: _Node | None = None
        self._version = 0
        self._hooks: list[Hook] | None = None
        if requires_grad:
            self._check_can_require_grad()

    # ---- what it is -------------------------------------------------------------------------------------------

    @property
    def shape(self) -> tuple[int, ...]:
        """The sizes of the dimensions."""
        return self.data.shape

    @property
    def ndim(self) -> int:
        """The number of dimensions."""
        return self.data.ndim

    @property
    def dtype(self) -> np.dtype[Any]:
        """The element type, a NumPy dtype."""
        return self.data.dtype

    @property
    def is_leaf(self) -> bool:
        """Whether no recorded operation made it."""
        return self._node is None

    @property
    def T(self) -> Tensor:
        """The dimensions in reverse order."""
        return self.permute(*reversed(range(self.ndim)))

    def size(self, dim: int | None = None) -> Any:
        """The shape, or the size of one dimension."""
        return self.shape if dim is None else self.shape[dim]

    def dim(self) -> int:
        """The number of dimensions."""
        return self.data.ndim

    def numel(self) -> int:
        """The number of elements."""
        return self.data.size

    def __len__(self) -> int:
        return len(self.data)

    def __iter__(self) -> Iterator[Tensor]:
        return (self[i] for i in range(len(self.data)))

    def __bool__(self) -> bool:
        return bool(self.data)

    def __float__(self) -> float:
        return float(self.item())

    def __int__(self) -> int:
        return int(self.item())

    def __repr__(self) -> str:
        body = np.array2string(self.data, separator=", ", prefix="tensor(", precision=4)
        parts = [body]
        if self.data.dtype not in (np.float32, np.int64, np.bool_):
            parts.append(f"dtype={self.data.dtype}")
        if self.requires_grad:
            parts.append("requires_grad=True")
        return f"tensor({', '.join(parts)})"

    # ---- out of the tape --------------------------------------------------------------------------------------

    def numpy(self) -> Array:
        """The array itself, not a copy. RuntimeError where the tensor wants a gradient (use `detach()` first)."""
        if self.requires_grad:
            raise RuntimeError("numpy: the tensor requires grad; call detach() first")
        return self.data

    def __array__(self, dtype: DTypeLike | None = None, copy: bool | None = None) -> Array:
        return np.array(self.numpy(), dtype=dtype, copy=copy)

    def item(self) -> Any:
        """The only element as a Python number."""
        if self.data.size != 1:
            raise ValueError(f"item: the tensor has {self.data.size} elements; expected 1")
        return self.data.item()

    def tolist(self) -> Any:
        """The elements as nested lists of Python numbers."""
        return self.data.tolist()

    def detach(self) -> Tensor:
        """A tensor over the same array that the tape knows nothing of."""
        return Tensor(self.data)

    def clone(self) -> Tensor:
        """A copy, recorded: its gradient flows back here."""
        return record(self.data.copy(order="K"), lambda dy: dy, self)

    def astype(self, dtype: DTypeLike) -> Tensor:
        """A tensor of another element type; the gradient is converted back."""
        kind = self.data.dtype
        return record(self.data.astype(dtype), lambda dy: dy.astype(kind), self)

    def float(self) -> Tensor:
        """As float32."""
        return self.astype(np.float32)

    def double(self) -> Tensor:
        """As float64."""
        return self.astype(np.float64)

    def requires_grad_(self, requires_grad: bool = True) -> Tensor:
        """Sets `requires_grad` in place."""
        if not requires_grad and self._node is not None:
            raise RuntimeError("requires_grad_: only leaf tensors can stop requiring a gradient; use detach()")
        self.requires_grad = requires_grad
        if requires_grad:
            self._check_can_require_grad()
        return self

    def _check_can_require_grad(self) -> None:
        if self.data.dtype.kind != "f":
            raise TypeError(f"requires_grad: only floating-point tensors can have gradients, not {self.data.dtype}")

    # ---- in place (never recorded) ----------------------------------------------------------------------------

    def copy_(self, source: Any) -> Tensor:
        """Overwrites the elements with those of `source` (broadcast to this shape)."""
        self._check_in_place("copy_")
        np.copyto(self.data, source.data if isinstance(source, Tensor) else source, casting="same_kind")
        self._version += 1
        return self

    def zero_(self) -> Tensor:
        """Sets all elements to zero."""
        self._check_in_place("zero_")
        self.data.fill(0)
        self._version += 1
        return self

    def __setitem__(self, index: Any, value: Any) -> None:
        self._check_in_place("__setitem__")
        self.data[_plain_index(index)] = value.data if isinstance(value, Tensor) else value
        self._version += 1

    def _check_in_place(self, name: str) -> None:
        if _mode.grad_enabled and self.requires_grad:
            raise RuntimeError(
                f"{name}: the tensor requires grad, and in-place changes are not recorded; "
                "use no_grad() to change a parameter, or an operation that returns a new tensor"
            )

    # ---- backward ---------------------------------------------------------------------------------------------

    def register_hook(self, hook: Hook) -> Callable[[], None]:
        """Calls `hook(grad)` when this tensor's gradient is known; what it returns (if not None) replaces it.

        Returns:
            A function that removes the hook.
        """
        if not self.requires_grad:
            raise RuntimeError("register_hook: the tensor does not require grad")
        owner: Any = self if self._node is None else self._node
        name = "_hooks" if self._node is None else "hooks"
        hooks = getattr(owner, name) or []
        hooks.append(hook)
        setattr(owner, name, hooks)
        return lambda: hooks.remove(hook)

    def retain_grad(self) -> None:
        """Keeps the gradient of a tensor that is not a leaf in `grad`, too."""
        if self._node is None:
            return

        def keep(grad: Tensor) -> None:
            self.grad = Tensor(grad.data if self.grad is None else self.grad.data + grad.data)

        self.register_hook(keep)

    def backward(self, gradient: Any = None, retain_graph: bool = False) -> None:
        """Adds the gradient of this tensor with respect to each leaf that wants one to that leaf's `grad`.

        Args:
            gradient: the gradient of the result with respect to this tensor, of its shape; may be left out for a tensor
                of one element (it is 1 then).
            retain_graph: keep what was saved for backward, so that it can be called again.
        """
        if not self.requires_grad:
            raise RuntimeError("backward: the tensor does not require grad and no recorded operation made it")
        if gradient is None:
            if self.data.size != 1:
                raise RuntimeError(
                    f"backward: gradient may only be left out for a tensor of one element, this one has shape {self.shape}"
                )
            dy = np.ones_like(self.data)
        else:
            dy = np.asarray(gradient.data if isinstance(gradient, Tensor) else gradient, self.data.dtype)
            if dy.shape != self.shape:
                raise ValueError(f"backward: gradient has shape {dy.shape}, the tensor has {self.shape}")
        _walk(self, dy, retain_graph)

    # ---- arithmetic, with NumPy's broadcasting and promotion --------------------------------------------------

    def __add__(self, other: Any) -> Tensor:
        a, b = self, _operand(self, other)
        y = _elementwise(np.add, a.data, b.data)
        return record(y, _for_both(a, b, lambda dy: dy, lambda dy: dy), a, b)

    def __sub__(self, other: Any) -> Tensor:
        a, b = self, _operand(self, other)
        y = _elementwise(np.subtract, a.data, b.data)
        return record(y, _for_both(a, b, lambda dy: dy, lambda dy: _elementwise(np.negative, dy)), a, b)

    def __mul__(self, other: Any) -> Tensor:
        a, b = self, _operand(self, other)
        x, w = a.data, b.data
        y = _elementwise(np.multiply, x, w)
        da, db = (
            (lambda dy: _elementwise(np.multiply, dy, w)),
            (lambda dy: _elementwise(np.multiply, dy, x)),
        )
        return record(y, _for_both(a, b, da, db), a, b)

    def __truediv__(self, other: Any) -> Tensor:
        a, b = self, _operand(self, other)
        w = b.data
        y = _elementwise(np.true_divide, a.data, w)
        da, db = (lambda dy: _elementwise(np.true_divide, dy, w)), (lambda dy: -dy * y / w)
        return record(y, _for_both(a, b, da, db), a, b)

    def __pow__(self, other: Any) -> Tensor:
        a, b = self, _operand(self, other)
        x, e = a.data, b.data
        y = _elementwise(np.power, x, e)

        def da(dy: Array) -> Array:  # 0 where e is 0, also at x = 0
            return dy * np.where(e == 0, 0, e * np.power(x, np.where(e == 0, 1, e - 1))).astype(x.dtype)

        def db(dy: Array) -> Array:  # 0 where x is 0 and e >= 0
            return dy * np.where((x == 0) & (e >= 0), 0, y * np.log(np.where(x == 0, 1, x)))

        return record(y, _for_both(a, b, da, db), a, b)

    def __matmul__(self, other: Any) -> Tensor:
        a, b = self, _operand(self, other)
        x, w = a.data, b.data
        if x.ndim == 0 or w.ndim == 0:
            raise ValueError(
                f"matmul: operands have shapes {x.shape} and {w.shape}; expected at least 1 dimension each"
            )
        # Vectors become matrices of one row or column, and the result loses that dimension again.
        x2, w2 = (x[None, :] if x.ndim == 1 else x), (w[:, None] if w.ndim == 1 else w)
        y2 = ops.matmul(x2, w2)
        shape = y2.shape
        if w.ndim == 1:
            y2 = y2[..., 0]
        y = y2[..., 0, :] if x.ndim == 1 and w.ndim > 1 else y2[..., 0] if x.ndim == 1 else y2

        def da(dy: Array) -> Array:
            dx = _fit(ops.matmul(dy.reshape(shape), w2.swapaxes(-1, -2)), x2.shape)
            return dx.reshape(x.shape)

        def db(dy: Array) -> Array:
            dw = _fit(ops.matmul(x2.swapaxes(-1, -2), dy.reshape(shape)), w2.shape)
            return dw.reshape(w.shape)

        return record(y, _for_both(a, b, da, db), a, b)

    __radd__ = __add__
    __rmul__ = __mul__

    def __rsub__(self, other: Any) -> Tensor:
        return _operand(self, other) - self

    def __rtruediv__(self, other: Any) -> Tensor:
        return _operand(self, other) / self

    def __rpow__(self, other: Any) -> Tensor:
        return _operand(self, other) ** self

    def __rmatmul__(self, other: Any) -> Tensor:
        return _operand(self, other) @ self

    def matmul(self, other: Any) -> Tensor:
        """The matrix product, as `self @ other`."""
        return self @ other

    def __neg__(self) -> Tensor:
        return record(_elementwise(np.negative, self.data), lambda dy: _elementwise(np.negative, dy), self)

    def __abs__(self) -> Tensor:
        x = self.data
        return record(_elementwise(np.abs, x), lambda dy: dy * np.sign(x), self)

    def abs(self) -> Tensor:
        """The absolute values; the gradient at 0 is 0."""
        return abs(self)

    def exp(self) -> Tensor:
        """e to the power of each element."""
        y = _elementwise(np.exp, self.data)
        return record(y, lambda dy: _elementwise(np.multiply, dy, y), self)

    def log(self) -> Tensor:
        """The natural logarithm of each element."""
        x = self.data
        with np.errstate(divide="ignore", invalid="ignore"):
            y = _elementwise(np.log, x)
        return record(y, lambda dy: _elementwise(np.true_divide, dy, x), self)

    def sqrt(self) -> Tensor:
        """The square root of each element."""
        with np.errstate(invalid="ignore"):
            y = _elementwise(np.sqrt, self.data)
        return record(y, lambda dy: dy / (2 * y), self)

    # ---- comparison (boolean tensors, no gradient) ------------------------------------------------------------

    def __eq__(self, other: object) -> Tensor:  # type: ignore[override]
        return Tensor(np.asarray(self.data == _operand(self, other).data))

    def __ne__(self, other: object) -> Tensor:  # type: ignore[override]
        return Tensor(np.asarray(self.data != _operand(self, other).data))

    def __lt__(self, other: Any) -> Tensor:
        return Tensor(np.asarray(self.data < _operand(self, other).data))

    def __le__(self, other: Any) -> Tensor:
        return Tensor(np.asarray(self.data <= _operand(self, other).data))

    def __gt__(self, other: Any) -> Tensor:
        return Tensor(np.asarray(self.data > _operand(self, other).data))

    def __ge__(self, other: Any) -> Tensor:
        return Tensor(np.asarray(self.data >= _operand(self, other).data))

    __hash__ = object.__hash__

    # ---- reductions -------------------------------------------------------------------------------------------

    def sum(self, dim: Dims = None, keepdim: bool = False) -> Tensor:
        """The sum over all elements, or over one dimension or several."""
        shape = self.data.shape
        axes = _axes("sum", dim, len(shape))
        y = np.asarray(self.data.sum(axis=axes, keepdims=keepdim))
        return record(y, lambda dy: np.broadcast_to(_kept(dy, axes, keepdim), shape), self)

    def mean(self, dim: Dims = None, keepdim: bool = False) -> Tensor:
        """The mean over all elements, or over one dimension or several; NaN over none."""
        shape = self.data.shape
        axes = _axes("mean", dim, len(shape))
        count = 1
        for axis in axes:
            count *= shape[axis]
        if self.data.dtype.kind != "f":
            raise TypeError(f"mean: the tensor has dtype {self.data.dtype}; expected a floating-point one")
        total = np.asarray(self.data.sum(axis=axes, keepdims=keepdim))
        y = total / count if count else np.full_like(total, np.nan)
        return record(np.asarray(y), lambda dy: np.broadcast_to(_kept(dy, axes, keepdim) / count, shape), self)

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
            y = np.asarray(pick(x))

            def spread(dy: Array) -> Array:
                winners = (x == y) | (np.isnan(x) if np.isnan(y) else False)
                return (dy * winners / winners.sum()).astype(x.dtype)

            return record(y, spread, self)
        (axis,) = _axes(name, dim, x.ndim)
        if x.shape[axis] == 0:
            raise ValueError(f"{name}: dimension {dim} of the tensor of shape {x.shape} is empty")
        indices = np.expand_dims(argpick(x, axis=axis), axis)
        values = np.take_along_axis(x, indices, axis)

        def backward(dy: Array) -> Array:
            dx = np.zeros_like(x)
            np.put_along_axis(dx, indices, dy if keepdim else np.expand_dims(dy, axis), axis)
            return dx

        if not keepdim:
            return Extremum(record(values.squeeze(axis), backward, self), Tensor(indices.squeeze(axis)))
        return Extremum(record(values, backward, self), Tensor(indices))

    def argmax(self, dim: int | None = None) -> Tensor:
        """The index of the largest element, or of the largest along one dimension."""
        return Tensor(np.asarray(self.data.argmax(axis=dim)))

    # ---- shape ------------------------------------------------------------------------------------------------

    def reshape(self, *shape: Any) -> Tensor:
        """The same elements in another shape; one size may be -1."""
        before = self.data.shape
        # NumPy would gather the elements of a channels-last array one by one; our own conversion moves blocks.
        y = _c_contiguous(self.data).reshape(_dims(shape))
        return record(y, lambda dy: _c_contiguous(dy).reshape(before), self)

    view = reshape

    def flatten(self, start_dim: int = 0, end_dim: int = -1) -> Tensor:
        """Merges the dimensions from `start_dim` to `end_dim` into one."""
        if self.ndim == 0:
            return self.reshape(1)
        start, end = (
            _axes("flatten", start_dim, self.ndim)[0],
            _axes("flatten", end_dim, self.ndim)[0],
        )
        if start > end:
            raise ValueError(f"flatten: start_dim {start_dim} comes after end_dim {end_dim}")
        merged = 1
        for size in self.shape[start : end + 1]:
            merged *= size
        return self.reshape(*self.shape[:start], merged, *self.shape[end + 1 :])

    def permute(self, *dims: Any) -> Tensor:
        """The dimensions in another order."""
        order = tuple(d % self.ndim if -self.ndim <= d < self.ndim else d for d in _dims(dims))
        if sorted(order) != list(range(self.ndim)):
            raise ValueError(f"permute: dims are {_dims(dims)}; expected each of {self.ndim} dimensions once")
        inverse = np.argsort(order)
        return record(self.data.transpose(order), lambda dy: dy.transpose(inverse), self)

    def transpose(self, dim0: int, dim1: int) -> Tensor:
        """Swaps two dimensions."""
        (a,), (b,) = _axes("transpose", dim0, self.ndim), _axes("transpose", dim1, self.ndim)
        return record(self.data.swapaxes(a, b), lambda dy: dy.swapaxes(a, b), self)

    def squeeze(self, dim: int | None = None) -> Tensor:
        """Without the dimensions of size 1, or without that one dimension if its size is 1."""
        if dim is None:
            return self.reshape(tuple(n for n in self.shape if n != 1))
        (axis,) = _axes("squeeze", dim, self.ndim)
        if self.shape[axis] != 1:
            return self
        return self.reshape(self.shape[:axis] + self.shape[axis + 1 :])

    def unsqueeze(self, dim: int) -> Tensor:
        """With a further dimension of size 1 at `dim`."""
        (axis,) = _axes("unsqueeze", dim, self.ndim + 1)
        return self.reshape((*self.shape[:axis], 1, *self.shape[axis:]))

    def __getitem__(self, index: Any) -> Tensor:
        where, x = _plain_index(index), self.data
        shape, dtype = x.shape, x.dtype
        y = np.asarray(x[where])

        def backward(dy: Array) -> Array:
            dx = np.zeros(shape, dtype)
            if y.base is not None:  # a view: no element appears twice
                dx[where] = dy
            else:
                np.add.at(dx, where, dy)
            return dx

        return record(y, backward, self)


class Extremum(NamedTuple):
    """The result of `Tensor.max` and `Tensor.min` along a dimension."""

    values: Tensor
    indices: Tensor


class Parameter(Tensor):
    """A tensor that a `nn.Module` registers as one of its parameters when it is assigned to an attribute."""

    __slots__ = ()

    def __init__(self, data: Any, requires_grad: bool = True) -> None:
        super().__init__(data.data if isinstance(data, Tensor) else np.asarray(data), requires_grad)

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
    return Tensor(_as_numeric(data, dtype, copy=True), requires_grad)


def as_tensor(data: Any, dtype: DTypeLike | None = None) -> Tensor:
    """A tensor over the array inside of `data`, without a copy where possible; `data` itself if it is a tensor."""
    if isinstance(data, Tensor):
        return data if dtype is None or data.dtype == dtype else data.astype(dtype)
    return Tensor(_as_numeric(data, dtype, copy=False))


# ---- the tape ---------------------------------------------------------------------------------------------------


def _walk(root: Tensor, dy: Array, retain_graph: bool) -> None:
    if root._node is None:
        _accumulate(root, dy, dy)
        return
    nodes, stack = {root._node}, [root._node]
    while stack:
        for edge in stack.pop().edges:
            if isinstance(edge, _Node) and edge not in nodes:
                nodes.add(edge)
                stack.append(edge)
    pending: dict[_Node, Array] = {root._node: dy}
    for node in sorted(nodes, key=lambda n: n.order, reverse=True):
        if node not in pending:  # an operation whose output no gradient reached
            continue
        dy = _hooked(node.hooks, pending.pop(node))
        if node.backward is None:
            raise RuntimeError(
                "backward: what was saved for it is gone, because backward has run here before; "
                "call it with retain_graph=True the first time"
            )
        for edge, version in zip(node.edges, node.versions, strict=True):
            if isinstance(edge, Tensor) and edge._version != version:
                raise RuntimeError(
                    f"backward: a leaf tensor of shape {edge.shape} was changed in place after it was used "
                    "(by an optimizer step, for example); run forward again"
                )
        gradients = node.backward(dy)
        if not isinstance(gradients, tuple):
            gradients = (gradients,)
        for edge, gradient in zip(node.edges, gradients, strict=True):
            if edge is None or gradient is None:
                continue
            if isinstance(edge, Tensor):
                _accumulate(edge, gradient, dy)
            elif edge in pending:
                pending[edge] = _elementwise(np.add, pending[edge], gradient)
            else:
                pending[edge] = gradient
        if not retain_graph:
            node.backward, node.edges, node.versions = None, (), ()


def _hooked(hooks: list[Hook] | None, gradient: Array) -> Array:
    for hook in hooks or ():
        replaced = hook(Tensor(gradient))
        if replaced is not None:
            gradient = replaced.data
    return gradient


def _accumulate(leaf: Tensor, gradient: Array, dy: Array) -> None:
    gradient = _hooked(leaf._hooks, gradient)
    if gradient.dtype != leaf.data.dtype:
        gradient = gradient.astype(leaf.data.dtype)
    if leaf.grad is not None:
        leaf.grad = Tensor(_elementwise(np.add, leaf.grad.data, gradient))
    elif np.may_share_memory(gradient, dy) or not gradient.flags.writeable:
        leaf.grad = Tensor(gradient.copy())  # an operation that only passes dy on: others may hold the same array
    else:
        leaf.grad = Tensor(gradient)


# ---- helpers of the arithmetic ------------------------------------------------------------------------------------

_LARGE = 1 << 14  # elements from which on an output comes from our allocator: below, NumPy's own is as fast


def _elementwise(ufunc: np.ufunc, *x: Array) -> Array:
    """ufunc(*x), its output in channels-last memory where an input is, and from the caching allocator if large."""
    largest = max(x, key=lambda a: a.size)
    if largest.size >= _LARGE and (dtype := np.result_type(*x)).kind == "f":
        shape = np.broadcast_shapes(*(a.shape for a in x))
        channels_last = largest.ndim == 4 and largest.strides[1] == largest.itemsize and len(shape) == 4
        return ufunc(*x, out=ops.empty(shape, dtype, channels_last=channels_last))  # type: ignore[no-any-return]
    return np.asarray(ufunc(*x))


def _fit(gradient: Array, shape: tuple[int, ...]) -> Array:
    """The sum of a gradient over the dimensions along which an operand of this shape was broadcast."""
    if gradient.shape == shape:
        return gradient
    extra = gradient.ndim - len(shape)
    axes = [
        *range(extra),
        *(i + extra for i, n in enumerate(shape) if n == 1 and gradient.shape[i + extra] != 1),
    ]
    return np.asarray(gradient.sum(axis=tuple(axes))).reshape(shape)


def _for_both(a: Tensor, b: Tensor, da: Callable[[Array], Array], db: Callable[[Array], Array]) -> Backward:
    """Backward of a broadcasting operation; does not hold on to what the operand without gradient would need."""
    if not b.requires_grad:
        a_shape = a.shape
        return lambda dy: (_fit(da(dy), a_shape), None)
    if not a.requires_grad:
        b_shape = b.shape
        return lambda dy: (None, _fit(db(dy), b_shape))
    shapes = a.shape, b.shape
    return lambda dy: (_fit(da(dy), shapes[0]), _fit(db(dy), shapes[1]))


def _operand(like: Tensor, other: Any) -> Tensor:
    if isinstance(other, Tensor):
        return other
    if isinstance(other, (bool, int, float)):  # a Python number takes the tensor's type where it can
        return Tensor(np.asarray(other, np.result_type(like.data, other)))
    return as_tensor(other)


def _as_numeric(data: Any, dtype: DTypeLike | None, copy: bool) -> Array:
    if isinstance(data, Tensor):
        data = data.data
    if not isinstance(data, (np.ndarray, np.generic)):
        if hasattr(data, "__dlpack__"):
            data = np.from_dlpack(data)
        else:
            given = data
            data = np.asarray(given)
            own_type = hasattr(given, "__array__") or isinstance(given, (memoryview, bytearray))
            if dtype is None and data.dtype == np.float64 and not own_type:
                dtype = np.float32
    array = np.array(data, dtype, copy=True) if copy else np.asarray(data, dtype)
    if array.dtype.kind not in "fiub":
        raise TypeError(f"tensor: data have dtype {array.dtype}; expected numbers")
    return array


def _plain_index(index: Any) -> Any:
    if isinstance(index, Tensor):
        return index.data
    if isinstance(index, tuple):
        return tuple(i.data if isinstance(i, Tensor) else i for i in index)
    return index


def _axes(name: str, dim: Dims, ndim: int) -> tuple[int, ...]:
    dims = range(ndim) if dim is None else (dim,) if isinstance(dim, int) else dim
    for d in dims:
        if not -ndim <= d < ndim:
            raise IndexError(f"{name}: dimension {d} is out of range for a tensor of {ndim} dimensions")
    return tuple(d % ndim for d in dims)


def _dims(args: tuple[Any, ...]) -> tuple[int, ...]:
    """Sizes given one by one or as one sequence."""
    return tuple(args[0]) if len(args) == 1 and isinstance(args[0], Sequence) else args


def _kept(dy: Array, axes: tuple[int, ...], keepdim: bool) -> Array:
    return dy if keepdim else np.expand_dims(dy, axes)


def _c_contiguous(x: Array) -> Array:
    return x if x.flags.c_contiguous else ops.to_contiguous(x)
