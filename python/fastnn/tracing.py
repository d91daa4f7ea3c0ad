"""What a model does to an input of some shape, found out without computing anything.

Every binding of `fastnn.ops` finds the shape of its output from shapes alone. In a thread that traces they do all that
they always do but run no kernel: what they return are zeros whose memory nobody touches (see `fastnn.ops.trace`). So
the model's own `forward` runs, whatever it is made of, and a trace sees each operation that it records: the kernels
that it would have called, with their multiply-adds and windows, the tensors that it takes, and its output.

What depends on the values of an activation takes the way that zeros lead to.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any, NamedTuple, TypeAlias

import numpy as np

from . import ops
from .receptive_fields import Axis
from .tape import Backward, mode
from .tensor import Array, Tensor

Window: TypeAlias = "tuple[tuple[int, int], tuple[int, int], tuple[int, int], tuple[int, int], bool]"
Fields: TypeAlias = "tuple[Axis, ...] | None"  # along each dimension of an image; None where they are not known


class Cost(NamedTuple):
    """What operations cost: multiplications with addition, and bytes of new arrays."""

    multiply_adds: int = 0
    bytes: int = 0


class Trace:
    """What has happened so far; `fields` are those of the tensors that depend on an input."""

    def __init__(self) -> None:
        self.calls: list[Any] = []
        self._bytes = 0
        self._multiply_adds = 0
        self._fields: dict[int, Fields] = {}
        self._alive: list[Tensor] = []  # their addresses are the keys

    def input(self, shape: Sequence[int], dtype: np.dtype[Any]) -> Tensor:
        """An input: zeros, of which each pixel sees itself where they have the dimensions of images or signals."""
        x = Tensor(ops.empty(shape, dtype, channels_last=len(shape) == 4 and dtype.char in "fd"), dtype.kind == "f")
        self._keep(x, tuple(Axis() for _ in shape[2:]) if len(shape) in (3, 4) else None)
        return x

    def fields(self, x: Tensor) -> Fields:
        """The receptive fields of a tensor's elements."""
        return self._fields.get(id(x))

    def cost(self) -> Cost:
        """That of everything until now."""
        self._multiply_adds += sum(multiply_adds for _, multiply_adds, _ in self.calls)
        self.calls.clear()
        return Cost(self._multiply_adds, self._bytes)

    def recorded(self, out: Tensor, backward: Backward, inputs: tuple[Tensor, ...]) -> None:
        """Takes note of an operation."""
        calls = list(self.calls)
        self.cost()
        if not any(np.may_share_memory(out.data, t.data) for t in inputs):
            self._bytes += out.data.nbytes
        seen = [t for t in inputs if id(t) in self._fields]
        if not seen:
            return
        windows = [window for _, _, window in calls if window is not None]
        if any(self._fields[id(t)] is None for t in seen):
            fields = None
        elif windows:
            fields = self._through(windows, seen)
        elif any(multiply_adds for _, multiply_adds, _ in calls) and not all(t.ndim == 2 for t in (out, *seen)):
            fields = None  # products along dimensions that may be those of an image
        else:
            fields = self._elementwise(out, backward, inputs, seen)
        self._keep(out, fields)

    def _keep(self, x: Tensor, fields: Fields) -> None:
        self._fields[id(x)] = fields
        self._alive.append(x)

    def _through(self, windows: list[Window], seen: list[Tensor]) -> Fields:
        fields = self._fields[id(seen[0])]
        if len(seen) > 1 or fields is None or len(fields) != 2:
            return None
        for *pairs, transposed in windows:
            sides = zip(*pairs, strict=True)
            fields = tuple(a.through(*side, transposed) for a, side in zip(fields, sides, strict=True))  # type: ignore[call-arg]
        return fields

    def _elementwise(self, out: Tensor, backward: Backward, inputs: tuple[Tensor, ...], seen: list[Tensor]) -> Fields:
        """Those of an operation without windows: element by element, or one that changes the shape."""
        size = out.shape[2:]
        joined: Fields = None
        for t in seen:
            fields = _fitted(self._fields[id(t)] or (), t.shape, out.shape)
            if fields is None or _is_moved(out.data, t.data):
                return self._probed(out, backward, inputs, seen)
            if joined is None:
                joined = fields
            elif len(joined) != len(fields):
                return None
            else:
                positions = size or (1,) * len(fields)
                both = [a.joined(b, n) for a, b, n in zip(joined, fields, positions, strict=True)]
                if None in both:
                    return None
                joined = tuple(a for a in both if a is not None)
        return joined

    def _probed(self, out: Tensor, backward: Backward, inputs: tuple[Tensor, ...], seen: list[Tensor]) -> Fields:
        """Those of slices, paddings and the like: the gradient of a pixel shows which pixels it comes from."""
        fields = self._fields[id(seen[0])]
        if len(seen) > 1 or out.ndim != seen[0].ndim or fields is None or out.ndim != len(fields) + 2:
            return None
        which = next(i for i, t in enumerate(inputs) if t is seen[0])
        middle = [max(0, (n - 1) // 2) for n in out.shape[2:]]
        # Further by another number of pixels along each dimension, so that they cannot be taken for each other.
        following = [min(p + 1 + i, n - 1) for i, (p, n) in enumerate(zip(middle, out.shape[2:], strict=True))]
        try:
            with suspended():
                first, second = (_sources(backward, out, which, pixel) for pixel in (middle, following))
        except Exception:  # an operation of somebody's own, whose gradient cannot be asked for
            return None
        if first is None or second is None:
            return None
        behind = []
        for axis, p, next_p, (low, high), (next_low, next_high) in zip(
            fields, middle, following, first, second, strict=True
        ):
            step = (next_low - low) // (next_p - p) if next_p > p else 1
            if step < 1 or not next_low - low == next_high - high == step * (next_p - p):
                return None
            behind.append(axis.through(high - low + 1, step, p * step - low))
        return tuple(behind)


@contextmanager
def tracing() -> Iterator[Trace]:
    """Context manager: inside, this thread records and computes nothing."""
    trace = Trace()
    before = mode.grad_enabled, mode.trace, mode.deferred
    mode.grad_enabled, mode.trace, mode.deferred = True, trace.recorded, None
    calls = ops.trace(trace.calls)
    try:
        yield trace
    finally:
        ops.trace(calls)
        mode.grad_enabled, mode.trace, mode.deferred = before


@contextmanager
def suspended() -> Iterator[None]:
    """Context manager: inside of a trace, this thread computes as always."""
    before, calls = mode.trace, ops.trace(None)
    mode.trace = None
    try:
        yield
    finally:
        ops.trace(calls)
        mode.trace = before


def _is_moved(y: Array, x: Array) -> bool:
    """Whether y looks at the same memory as x of its shape in another order."""
    return (
        y.shape == x.shape and np.may_share_memory(y, x) and (y.strides != x.strides or y.ctypes.data != x.ctypes.data)
    )


def _fitted(fields: tuple[Axis, ...], shape: tuple[int, ...], out_shape: tuple[int, ...]) -> Fields:
    """The fields of an input's elements for the output, which has one dimension of an image for each of them."""
    size, out_size = shape[2:], out_shape[2:]
    if not size:  # vectors: each of their elements sees the same
        return fields if not out_size or len(out_size) == len(fields) else None
    if not out_size:  # pooled or flattened: an element may come from any
        return tuple(a.over(n) for a, n in zip(fields, size, strict=True))
    if len(size) == len(out_size):
        if any(n not in (m, 1) for n, m in zip(size, out_size, strict=True)):
            return None
        return tuple(
            a if n == m else a._replace(stride=a.stride * 0) for a, n, m in zip(fields, size, out_size, strict=True)
        )
    if len(size) == 1 and out_size[-1:] == size and out_size[0] == 1:  # a signal as an image of one row, and back
        return Axis(), *fields
    if len(out_size) == 1 and size[-1:] == out_size and size[0] == 1:
        return fields[1:]
    return None


def _sources(
    backward: Callable[[Array], Any], out: Tensor, which: int, pixel: list[int]
) -> list[tuple[int, int]] | None:
    """The first and the last element along each dimension that a pixel of the output depends on."""
    dy = np.zeros(out.shape, out.dtype)
    everywhere: Any = slice(None)
    dy[(everywhere, everywhere, *pixel)] = np.nan
    dx = backward(dy)
    found = np.isnan(dx[which] if isinstance(dx, tuple) else dx)
    spans = []
    for axis in range(2, found.ndim):
        (places,) = np.nonzero(found.any(axis=tuple(a for a in range(found.ndim) if a != axis)))
        if not len(places):
            return None
        spans.append((int(places[0]), int(places[-1])))
    return spans
