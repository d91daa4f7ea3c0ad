"""The outside of a tensor: what it tells about its array, the way to its values, and changes in place."""

from __future__ import annotations

import operator
from typing import Any, TypeVar

import numpy as np
from numpy.typing import DTypeLike

from .arrays import Array, Number, as_numeric, one_axis, promoted, quiet
from .tape import ArrayHook, Node, mode, run_deferred

Self = TypeVar("Self", bound="Holder")


class Holder:
    """Base class of `Tensor`: an array, whether it wants a gradient, and the node of the tape that made it."""

    __slots__ = ("__weakref__", "_hooks", "_node", "_version", "data", "grad", "requires_grad")

    def __init__(self, data: Array, requires_grad: bool = False) -> None:
        self.data = data if type(data) is np.ndarray else as_numeric(data)
        self.requires_grad = requires_grad
        self.grad: Any = None
        self._node: Node | None = None
        self._version = 0
        self._hooks: list[ArrayHook] | None = None
        if requires_grad:
            self._check_can_require_grad()

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

    def size(self, dim: int | None = None) -> Any:
        """The shape, or the size of one dimension."""
        return self.shape if dim is None else self.shape[one_axis("size", dim, self.ndim)]

    def dim(self) -> int:
        """The number of dimensions."""
        return self.ndim

    def numel(self) -> int:
        """The number of elements."""
        return self.data.size

    def __len__(self) -> int:
        if not self.ndim:
            raise TypeError("len: the tensor has 0 dimensions")
        return self.shape[0]

    def __bool__(self) -> bool:
        if self.data.size != 1:
            raise ValueError(
                f"bool: the truth of a tensor of {self.data.size} elements is ambiguous; use any() or all()"
            )
        return bool(self.data.item())

    def __float__(self) -> float:
        return float(self.item())

    def __int__(self) -> int:
        return int(self.item())

    def __index__(self) -> int:
        return operator.index(self.item())

    def __format__(self, spec: str) -> str:
        return format(self.item(), spec) if self.ndim == 0 else object.__format__(self, spec)

    def __repr__(self) -> str:
        parts = [np.array2string(self.data, separator=", ", prefix="tensor(", precision=4)]
        if self.data.size == 0 and self.ndim != 1:
            parts.append(f"size={self.shape}")
        if self.data.dtype not in (np.float32, np.int64, np.bool_):
            parts.append(f"dtype={self.data.dtype}")
        if self.requires_grad:
            parts.append("requires_grad=True")
        return f"tensor({', '.join(parts)})"

    def __reduce_ex__(self, protocol: Any) -> Any:
        """For `copy` and `pickle`: a copy of a recorded tensor would send its gradients to copies of the leaves."""
        if self._node is not None:
            raise RuntimeError("copy: a recorded operation made the tensor; copy or pickle what detach() returns")
        return super().__reduce_ex__(protocol)

    @property
    def is_leaf(self) -> bool:
        """Whether no recorded operation made it."""
        return self._node is None

    # ---- values -----------------------------------------------------------------------------------------------------

    def numpy(self) -> Array:
        """The array itself, not a copy. RuntimeError where the tensor requires grad (use `detach()` first)."""
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

    # ---- in place (never recorded) ----------------------------------------------------------------------------------

    def copy_(self: Self, source: Any) -> Self:
        """Overwrites the elements with those of `source` (broadcast to this shape)."""
        self._begin_in_place("copy_", source)
        quiet(np.copyto, self.data, source.data if isinstance(source, Holder) else source, casting="same_kind")
        return self

    def fill_(self: Self, value: Number) -> Self:
        """Sets all elements to one value."""
        self._begin_in_place("fill_", value)
        self.data.fill(value)
        return self

    def zero_(self: Self) -> Self:
        """Sets all elements to zero."""
        return self.fill_(0)

    def _begin_in_place(self, name: str, source: Any) -> None:
        if mode.grad_enabled and (self.requires_grad or (isinstance(source, Holder) and source.requires_grad)):
            raise RuntimeError(
                f"{name}: the tensor or its new value requires grad, and in-place changes are not recorded; "
                "use no_grad() to change a parameter, or an operation that returns a new tensor"
            )
        if mode.deferred:
            run_deferred()  # with the values that they were to see
        self._version += 1

    def requires_grad_(self: Self, requires_grad: bool = True) -> Self:
        """Sets `requires_grad` in place."""
        if not requires_grad and self._node is not None:
            raise RuntimeError("requires_grad_: only leaf tensors can stop requiring a gradient; use detach()")
        if requires_grad:
            self._check_can_require_grad()
        self.requires_grad = requires_grad
        return self

    def _check_can_require_grad(self) -> None:
        if self.data.dtype.kind != "f":
            raise TypeError(f"requires_grad: only floating-point tensors can have gradients, not {self.data.dtype}")


def operands(a: Holder, other: Any) -> tuple[Array, Any]:
    """The arrays of a tensor and of what it meets, in their common type; a number stays one and takes the array's."""
    x = a.data
    if isinstance(other, Holder):
        w = other.data
    elif isinstance(other, (bool, int, float, np.generic)):
        number = other.item() if isinstance(other, np.generic) else other
        return (x.astype(np.float32) if x.dtype.kind != "f" and isinstance(number, float) else x), number
    else:
        w = as_numeric(other)
    return (x, w) if x.dtype is w.dtype else promoted(x, w)


def plain_index(index: Any) -> tuple[Any, bool]:
    """The index in NumPy's terms, its own copy, and whether it is sure to pick no element twice."""
    parts = index if isinstance(index, tuple) else (index,)
    plain, unique = [], True
    for part in parts:
        if isinstance(part, (Holder, np.ndarray, list)):
            empty_list = isinstance(part, list) and not part
            part = np.array(part.data if isinstance(part, Holder) else part, np.intp if empty_list else None)
            unique &= part.dtype == np.bool_
        plain.append(part)
    return tuple(plain), unique
