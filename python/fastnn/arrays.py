"""What tensors ask of NumPy: arrays from anything, PyTorch's type promotion, silent NaN and infinity, our allocator."""

from __future__ import annotations

import math
import operator
from collections.abc import Callable, Iterable, Sequence
from contextvars import Context
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import DTypeLike, NDArray

from . import ops

Array: TypeAlias = NDArray[Any]
Number: TypeAlias = "bool | int | float"
Dims: TypeAlias = "int | Sequence[int] | None"

_LARGE = 1 << 14  # elements from which on an output comes from our allocator: below, NumPy's own is as fast
_CATEGORY = {"b": 0, "u": 1, "i": 1, "f": 2}


def as_numeric(data: Any, dtype: DTypeLike | None = None, copy: bool = False) -> Array:
    """The array inside of `data`, without a copy where possible and not asked for; Python's floats become float32."""
    if not isinstance(data, (np.ndarray, np.generic)):
        if hasattr(data, "__dlpack__"):
            data = np.from_dlpack(data)
        else:
            plain = isinstance(data, (int, float, list, tuple, range))
            data = np.asarray(data)
            if plain and dtype is None and data.dtype == np.float64:
                dtype = np.float32
    array = np.array(data, dtype, copy=True) if copy else np.asarray(data, dtype)
    if array.dtype.kind not in _CATEGORY:
        raise TypeError(f"tensor: data have dtype {array.dtype}; expected real numbers or booleans")
    return array if array.dtype.isnative else array.astype(array.dtype.newbyteorder("="))


# ---- element-wise arithmetic --------------------------------------------------------------------------------------

# NumPy keeps its floating-point error settings in a context variable. Running in a copy of this context costs 25 ns,
# np.errstate 700 ns, and neither changes the caller's settings.
_ignoring_errors = Context()
_ignoring_errors.run(np.seterr, all="ignore")


def quiet(function: Any, *args: Any, **kwargs: Any) -> Array:
    """Calls a NumPy function without its floating-point warnings; the result is an array, also of 0 dimensions."""
    return np.asarray(_ignoring_errors.copy().run(function, *args, **kwargs))


def elementwise(ufunc: np.ufunc, x: Array, w: Array | Number | None = None) -> Array:
    """Computes `ufunc(x)` or `ufunc(x, w)`, in channels-last memory where the larger operand is."""
    args: tuple[Any, ...] = (x,) if w is None else (x, w)
    largest = w if isinstance(w, np.ndarray) and w.size > x.size else x
    if largest.size >= _LARGE and x.dtype.kind == "f":
        if (y := _by_kernel(ufunc, x, w)) is not None:
            return y
        shape = np.broadcast_shapes(*(a.shape for a in args if isinstance(a, np.ndarray)))
        channels_last = len(shape) == 4 and channels_inside(largest)
        args = (*args, ops.empty(shape, x.dtype, channels_last=channels_last))
    y = _ignoring_errors.copy().run(ufunc, *args)
    return y if type(y) is np.ndarray else np.asarray(y)


_KERNELS: dict[np.ufunc, Callable[[Any, Any], Array]] = {
    np.add: ops.add,
    np.subtract: ops.subtract,
    np.multiply: ops.multiply,
    np.true_divide: ops.divide,
}


def _by_kernel(ufunc: np.ufunc, x: Array, w: Array | Number | None) -> Array | None:
    """What a kernel can do on all threads: arrays of one shape; one and a number, channels, a row."""
    if ufunc is np.negative:
        ufunc, w = np.multiply, -1.0
    kernel = _KERNELS.get(ufunc)
    if kernel is None or x.dtype.char not in "fd" or _repeats(x) or _repeats(w):
        return None
    if isinstance(w, np.ndarray):
        if w.dtype != x.dtype:
            return None
        if ufunc in (np.add, np.multiply) and x.size < w.size:
            x, w = w, x
        if w.size == 1 and w.ndim <= x.ndim:
            w = float(w.item())
        elif w.shape != x.shape:
            if _are_images_and_channels(x, w):
                return kernel(x, w if w.ndim == 4 else w[None])
            return kernel(x, w) if _are_rows_and_row(x, w) else None
        elif not (_is_dense(x) or _is_dense(w)):
            return None  # the kernel would work with copies of both
    elif type(w) is not float and type(w) is not int:
        return None
    return kernel(x, w)


def _are_images_and_channels(x: Array, w: Array) -> bool:
    """Whether x is (N, C, H, W) in channels-last memory, and w (C, 1, 1), (1, C, 1, 1) or (N, C, 1, 1)."""
    if not _is_images(x) or w.ndim not in (3, 4):
        return False
    return w.shape[-3:] == (x.shape[1], 1, 1) and w.shape[:-3] in ((), (1,), x.shape[:1])


def _are_rows_and_row(x: Array, w: Array) -> bool:
    """Whether x is (..., n) in C order, and w one such row, (n,) or (1, ..., 1, n), or a number for each, (..., 1)."""
    if not x.flags.c_contiguous or not 1 <= w.ndim <= x.ndim:
        return False
    return w.shape[-1] == w.size == x.shape[-1] or w.shape == (*x.shape[:-1], 1)


def _order(x: Array) -> list[int]:
    """The axes as they lie in memory, the outermost first."""
    return sorted(range(x.ndim), key=lambda axis: -x.strides[axis])


def _is_dense(x: Array) -> bool:
    """Whether some order of its axes is C-contiguous."""
    return x.transpose(_order(x)).flags.c_contiguous


def _repeats(x: Any) -> bool:
    """Whether elements of `x` stand at several places, as NumPy's broadcasting has them."""
    return isinstance(x, np.ndarray) and any(not step and n > 1 for step, n in zip(x.strides, x.shape, strict=True))


def _is_images(x: Array) -> bool:
    return x.ndim == 4 and x.dtype.char in "fd" and x.transpose(0, 2, 3, 1).flags.c_contiguous


def channels_inside(x: Array) -> bool:
    """Whether the channels of images (N, C, H, W) lie side by side in memory."""
    return x.ndim == 4 and x.strides[1] == x.itemsize


def full(shape: Sequence[int], value: float, dtype: np.dtype[Any], channels_last: bool = False) -> Array:
    """An array of one value; large floating-point ones from our allocator, since NumPy's get fresh pages each time."""
    if dtype.char not in "fd" or not dtype.isnative or not (channels_last or math.prod(shape) >= _LARGE):
        return np.full(shape, value, dtype)
    y = ops.empty(shape, dtype, channels_last=channels_last)
    ops.copy(y, float(value))  # NumPy's numbers are arrays to it
    return y


def assign(dst: Array, src: Array) -> None:
    """Overwrites `dst` with `src`, which has its shape: on all threads where there is much to do."""
    if dst.size >= _LARGE and dst.dtype.char in "fd" and dst.dtype.isnative and dst.dtype == src.dtype:
        ops.copy(dst, src)
    else:
        np.copyto(dst, src)


def power(x: Array, p: float) -> Array:
    """The power p of each element; small integers by products: 20 times as fast as NumPy for negative elements."""
    if not 1 <= p <= 16 or p != int(p):
        return elementwise(np.sqrt, x) if p == 0.5 else elementwise(np.power, x, p)
    if p == 1:
        return x
    half = power(x, p // 2)
    square = elementwise(np.multiply, half, half)
    return elementwise(np.multiply, square, x) if p % 2 else square


def total(x: Array, axes: tuple[int, ...], keepdims: bool = False) -> Array:
    """The sum along `axes`; int64 for integers and booleans."""
    if x.size >= _LARGE and x.dtype.char in "fd" and axes:
        # The kernel sums along what lies together in memory.
        order = _order(x)
        places = [i for i, axis in enumerate(order) if axis in axes]
        first, last = places[0], places[-1] + 1
        dense = x.transpose(order)
        if dense.flags.c_contiguous and all(order[i] in axes or dense.shape[i] == 1 for i in range(first, last)):
            y = ops.sum(dense.reshape(count(dense.shape, range(first)), count(dense.shape, range(first, last)), -1), 1)
            y = y.reshape([1 if axis in axes else x.shape[axis] for axis in order])
            y = y.transpose(sorted(range(x.ndim), key=order.__getitem__))
            return y if keepdims else y.squeeze(axes)
    return quiet(np.add.reduce, x, axes, None if x.dtype.kind == "f" else np.int64, keepdims=keepdims)


def promoted(x: Array, w: Array) -> tuple[Array, Array]:
    """Both operands in the type of their result, by PyTorch's rules.

    Floating-point wins over integers and integers over booleans; within a kind the larger type wins, but an operand of
    0 dimensions does not count beside one that has some.
    """
    a, b = x.dtype, w.dtype
    if a == b:
        return x, w
    above = _CATEGORY[a.kind] - _CATEGORY[b.kind]
    if above == 0:
        above = bool(x.ndim) - bool(w.ndim)
    dtype = a if above > 0 else b if above < 0 else np.promote_types(a, b)
    return x.astype(dtype, copy=False), w.astype(dtype, copy=False)


def real(x: Array) -> Array:
    """Integers and booleans as float32, for operations whose result is not an integer."""
    return x if x.dtype.kind == "f" else x.astype(np.float32)


def fit(gradient: Array, shape: tuple[int, ...], dtype: np.dtype[Any]) -> Array:
    """The gradient of an operand that broadcasting brought from this shape, and promotion from this dtype."""
    if gradient.shape != shape:
        extra = gradient.ndim - len(shape)
        stretched = (i + extra for i, n in enumerate(shape) if n == 1)
        gradient = total(gradient, (*range(extra), *stretched)).reshape(shape)
    return gradient if gradient.dtype == dtype else gradient.astype(dtype)


def spread(dy: Array, axes: tuple[int, ...], shape: tuple[int, ...]) -> Array:
    """The gradient of what was summed along `axes` of an array of this shape."""
    if dy.ndim != len(shape):
        dy = dy.reshape([1 if i in axes else n for i, n in enumerate(shape)])
    if count(shape, range(len(shape))) >= _LARGE:
        return np.broadcast_to(dy, shape)
    dx = np.empty(shape, dy.dtype)  # NumPy takes 3 us to make a view that broadcasts
    dx[...] = dy
    return dx


def reshaped(x: Array, shape: tuple[int, ...]) -> Array:
    """The same elements in another shape: in C order, or where pixels stay pixels as channels-last as they were."""
    if min(x.ndim, len(shape)) > 3 and (x.shape[0], *x.shape[-2:]) == (shape[0], *shape[-2:]):
        pixels = x.transpose(0, -2, -1, *range(1, x.ndim - 2))
        if x.itemsize in pixels.strides[3:]:
            y = ops.to_contiguous(pixels).reshape(*pixels.shape[:3], *shape[1:-2])
            return y.transpose(0, *range(3, y.ndim), 1, 2)
    return ops.to_contiguous(x).reshape(shape)


# ---- dimensions ---------------------------------------------------------------------------------------------------


def integer(name: str, **argument: Any) -> int:
    """An argument as an int. TypeError, naming the operation `name` and the argument, where it is no integer."""
    ((key, value),) = argument.items()
    try:
        return operator.index(value)
    except TypeError:
        raise TypeError(f"{name}: {key} is {value!r}; expected an int") from None


def one_axis(name: str, dim: Any, ndim: int) -> int:
    """A dimension counted from the front; `name` is the operation that an error speaks of."""
    index = integer(name, dim=dim)
    if not -ndim <= index < ndim:
        raise IndexError(f"{name}: dimension {index} is out of range for a tensor of {ndim} dimensions")
    return index % ndim


def all_axes(name: str, dim: Dims, ndim: int) -> tuple[int, ...]:
    """One dimension or several, counted from the front; all of them for None and, as in PyTorch, for ()."""
    if dim is None or dim == ():
        return tuple(range(ndim))
    axes = tuple(one_axis(name, d, ndim) for d in (dim if isinstance(dim, Sequence) else (dim,)))
    if len(set(axes)) != len(axes):
        raise ValueError(f"{name}: dims are {dim}; expected each at most once")
    return axes


def common_shape(name: str, **arrays: Any) -> tuple[int, ...]:
    """The shape to which all of them broadcast; `name` is the operation that an error speaks of."""
    try:
        return np.broadcast_shapes(*(a.shape for a in arrays.values()))
    except ValueError:
        shapes = ", ".join(f"{key} {a.shape}" for key, a in arrays.items())
        raise ValueError(f"{name}: the shapes do not broadcast: {shapes}") from None


def count(shape: tuple[int, ...], axes: Iterable[int]) -> int:
    """The number of elements along some of the dimensions."""
    elements = 1
    for axis in axes:
        elements *= shape[axis]
    return elements


def sizes(args: tuple[Any, ...]) -> tuple[int, ...]:
    """Sizes given one by one or as one sequence."""
    return tuple(args[0]) if len(args) == 1 and isinstance(args[0], Sequence) else args
