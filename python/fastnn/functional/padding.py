"""Padding and cropping."""

from __future__ import annotations

import math
from collections.abc import Sequence
from operator import index

from .. import ops
from ..arrays import assign, full
from ..tensor import Array, Tensor, expect_numbers, expect_tensors, record
from . import volumes

Sides = list[tuple[int, int]]  # what is added before and behind, by dimension


def pad(x: Tensor, pad: Sequence[int], mode: str = "constant", value: float | None = None) -> Tensor:
    """Adds elements around a tensor, as torch.nn.functional.pad.

    Args:
        x: the input. With mode "constant" of any shape; with the others (N, C, L) and 2 numbers, (N, C, H, W) and 4, or
            (N, C, D, H, W) and 6, each also without N, and floating-point.
        pad: how many elements are added before and behind: (left, right) in the last dimension, or (left, right, top,
            bottom) in the last two, and so on. Negative numbers crop.
        mode: what the elements are: "constant", `value`; "reflect", the input mirrored at its first and last element,
            which are not repeated; "replicate", its first and last element; "circular", the input again.
        value: of mode "constant", 0 by default.

    Raises:
        TypeError: an argument has another type or dtype.
        ValueError: the numbers do not fit the shape; "reflect" adds at most a size less 1, "circular" at most a size.

    Example:
        >>> import fastnn
        >>> from fastnn.nn import functional as F
        >>> F.pad(fastnn.tensor([[1.0, 2.0, 3.0]]), (2, 1), mode="reflect")
        tensor([[3., 2., 1., 2., 3., 2.]])
    """
    expect_tensors("pad", x=x)
    sides = _sides(x, pad)
    if mode == "constant":
        if value is not None:
            expect_numbers("pad", value=value)
        return _pad_constant(x, sides, 0 if value is None else value)
    if mode not in ("reflect", "replicate", "circular"):
        raise ValueError(f"pad: mode is {mode!r}; expected 'constant', 'reflect', 'replicate' or 'circular'")
    if value:
        raise ValueError(f"pad: value is {value!r}; mode {mode!r} takes none")
    dimensions = len(pad) // 2
    if not 1 <= dimensions <= 3 or x.ndim - dimensions not in (1, 2):
        raise ValueError(
            f"pad: x has shape {x.shape} and pad has {len(pad)} numbers; with mode {mode!r} expected (N, C, L) and 2, "
            "(N, C, H, W) and 4, or (N, C, D, H, W) and 6, each with or without N"
        )
    if x.ndim == dimensions + 1:
        return _pad_batch(x.unsqueeze(0), [(0, 0), *sides], mode).squeeze(0)
    return _pad_batch(x, sides, mode)


def _sides(x: Tensor, pad: Sequence[int]) -> Sides:
    try:
        numbers = [index(n) for n in pad]
    except TypeError:
        raise TypeError(f"pad: pad is {pad!r}; expected a sequence of integers") from None
    if len(numbers) % 2 or len(numbers) > 2 * x.ndim:
        raise ValueError(f"pad: pad has {len(numbers)} numbers; expected an even number, at most {2 * x.ndim}")
    given = list(zip(numbers[::2], numbers[1::2], strict=True))
    sides = [(0, 0)] * (x.ndim - len(given)) + given[::-1]
    for size, (before, behind) in zip(x.shape, sides, strict=True):
        if size + before + behind < 0:
            raise ValueError(f"pad: a dimension of {size} is cropped by {-before} and {-behind} elements")
    return sides


def _pad_batch(x: Tensor, sides: Sides, mode: str) -> Tensor:
    """Pads all dimensions but the first two by what the input has."""
    if mode == "circular" and any(min(side) < 0 for side in sides):
        x = x[tuple(slice(max(-a, 0), size - max(-b, 0)) for size, (a, b) in zip(x.shape, sides, strict=True))]
        sides = [(max(a, 0), max(b, 0)) for a, b in sides]
    if x.ndim == 5:
        return _pad_volumes(x, sides, mode)
    if x.ndim == 3:
        return _pad_images(x.unsqueeze(-2), [(0, 0), *sides[2:]], mode).squeeze(-2)
    return _pad_images(x, sides[2:], mode)


def _pad_images(x: Tensor, sides: Sides, mode: str, value: float = 0) -> Tensor:
    size, around = x.shape, (*sides[1], *sides[0])
    y = ops.pad2d_forward(x.data, around, mode, value)
    return record(y, lambda dy: ops.pad2d_backward(dy, size, around, mode), x)


def _pad_volumes(x: Tensor, sides: Sides, mode: str) -> Tensor:
    """First along the depth, for which a volume is an image of D rows, then within the slices."""
    N, C, D, H, W = x.shape
    depth, around = (0, 0, *sides[2]), (*sides[4], *sides[3])
    deep = D + sum(sides[2])

    def stretched(a: Array, depth: int) -> Array:
        return volumes.to_channels_last(a).reshape(N, depth, H * W, C).transpose(0, 3, 1, 2)

    def slices(a: Array) -> Array:
        return a.transpose(0, 2, 3, 1).reshape(N * deep, H, W, C).transpose(0, 3, 1, 2)

    padded = ops.pad2d_forward(stretched(x.data, D), depth, mode)
    y = ops.pad2d_forward(slices(padded), around, mode)

    def backward(dy: Array) -> Array:
        dpadded = ops.pad2d_backward(volumes.to_images(dy), (N * deep, C, H, W), around, mode)
        dx = ops.pad2d_backward(stretched(volumes.from_images(dpadded, N, deep), deep), (N, C, D, H * W), depth, mode)
        return dx.transpose(0, 2, 3, 1).reshape(N, D, H, W, C).transpose(0, 4, 1, 2, 3)

    return record(volumes.from_images(y, N, deep), backward, x)


def _pad_constant(x: Tensor, sides: Sides, value: float) -> Tensor:
    for size, side in zip(x.shape, sides, strict=True):
        before, behind = (max(-n, 0) for n in side)
        if before + behind > size:
            raise ValueError(f"pad: a dimension of {size} is cropped by {before} and {behind} elements")
    channels_inside = x.ndim in (3, 4) and x.data.strides[1] == x.data.itemsize
    if x.dtype.char in "fd" and not any(map(any, sides[:-2])):
        if x.ndim == 4:
            return _pad_images(x, sides[2:], "constant", value)
        if x.ndim == 3 and not any(sides[-2]) and channels_inside:
            return _pad_images(x.unsqueeze(-2), [(0, 0), sides[2]], "constant", value).squeeze(-2)

    shape = tuple(size + a + b for size, (a, b) in zip(x.shape, sides, strict=True))
    inner = tuple(slice(max(a, 0), n - max(b, 0)) for n, (a, b) in zip(shape, sides, strict=True))
    outer = tuple(slice(max(-a, 0), n - max(-b, 0)) for n, (a, b) in zip(x.shape, sides, strict=True))
    given, dtype = x.shape, x.dtype

    def placed(shape: tuple[int, ...], a: Array, where: tuple[slice, ...], value: float) -> Array:
        channels_last = len(shape) == 4 and channels_inside and dtype.char in "fd"
        if a.size < math.prod(shape):
            y = full(shape, value, dtype, channels_last)
        else:
            y = ops.empty(shape, dtype, channels_last=channels_last)
        assign(y[where], a)
        return y

    y = placed(shape, x.data[outer], inner, value)
    return record(y, lambda dy: placed(given, dy[inner], outer, 0), x)
