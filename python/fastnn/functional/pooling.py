"""Pooling over windows of images and of sequences."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any, TypeAlias

import numpy as np

from .. import ops
from ..arrays import elementwise, power
from ..tensor import Array, Tensor, expect_numbers, expect_tensors, is_grad_enabled, record
from .rows import as_rows, of_row
from .sizes import sizes

IntPair: TypeAlias = int | Sequence[int]
IntOne: TypeAlias = int | Sequence[int]
OutputSize: TypeAlias = int | Sequence[int | None] | None


def max_pool2d(
    x: Tensor,
    kernel_size: IntPair,
    stride: IntPair | None = None,
    padding: IntPair = 0,
    dilation: IntPair = 1,
    ceil_mode: bool = False,
    return_indices: bool = False,
) -> Any:
    """The largest element of each window, as in PyTorch: (N, C, H, W) -> (N, C, P, Q) or (C, H, W) -> (C, P, Q).

    P = floor((H + 2 padding - dilation (kernel_size - 1) - 1) / stride) + 1, and Q likewise from W. NaN wins over
    everything. The gradient goes to the first maximum of each window, and of several NaNs to the last.

    Args:
        x: the input, float32 or float64.
        kernel_size: height and width of a window; one int stands for both, here and below.
        stride: from window to window, in elements; None is `kernel_size`.
        padding: rows and columns of -inf on each side, at most half of the window.
        dilation: from element to element within a window.
        ceil_mode: round P and Q up; but no window starts behind the last element of the input.
        return_indices: whether to return `(y, indices)`, with the flat index h * W + w of each maximum in its channel,
            int64.

    Raises:
        TypeError: an argument has another type or dtype.
        ValueError: `x` has another number of dimensions, or the window does not fit.

    Example:
        >>> import fastnn
        >>> from fastnn.functional import max_pool2d
        >>> max_pool2d(fastnn.tensor([[[1.0, 5.0, 2.0, 0.0], [3.0, 4.0, 1.0, 7.0]]]), 2).tolist()
        [[[5.0, 7.0]]]
    """
    batched = _is_batched("max_pool2d", x)
    images = x.data if batched else x.data[None]
    size, window = images.shape, (kernel_size, stride, padding, dilation, ceil_mode)
    keep = return_indices or (x.requires_grad and is_grad_enabled())
    y, argmax = ops.max_pool2d_forward(images, *window, return_argmax=keep)

    def backward(dy: Array) -> Array:
        dx = ops.max_pool2d_backward(dy if batched else dy[None], argmax, size, *window)
        return dx if batched else dx[0]

    out = record(y if batched else y[0], backward, x)
    if not return_indices:
        return out
    indices = ops.max_pool2d_indices(argmax, size, *window)
    return out, Tensor(indices if batched else indices[0])


def avg_pool2d(
    x: Tensor,
    kernel_size: IntPair,
    stride: IntPair | None = None,
    padding: IntPair = 0,
    ceil_mode: bool = False,
    count_include_pad: bool = True,
    divisor_override: int | None = None,
) -> Tensor:
    """The mean of each window, as in PyTorch: (N, C, H, W) -> (N, C, P, Q) or (C, H, W) -> (C, P, Q).

    P = floor((H + 2 padding - kernel_size) / stride) + 1, and Q likewise from W.

    Args:
        x: the input, float32 or float64.
        kernel_size: height and width of a window; one int stands for both, here and below.
        stride: from window to window, in elements; None is `kernel_size`.
        padding: rows and columns of zeros on each side, at most half of the window.
        ceil_mode: round P and Q up; but no window starts behind the last element of the input. What lies beyond the
            padding does not count.
        count_include_pad: the padding counts as elements of the mean.
        divisor_override: what each sum is divided by instead of its number of elements.

    Raises:
        TypeError: an argument has another type or dtype.
        ValueError: `x` has another number of dimensions, or the window does not fit.

    Example:
        >>> import fastnn
        >>> from fastnn.functional import avg_pool2d
        >>> avg_pool2d(fastnn.tensor([[[1.0, 5.0, 2.0, 0.0], [3.0, 3.0, 1.0, 7.0]]]), 2).tolist()
        [[[3.0, 2.5]]]
    """
    batched = _is_batched("avg_pool2d", x)
    images = x.data if batched else x.data[None]
    size, window = images.shape, (kernel_size, stride, padding, ceil_mode, count_include_pad, divisor_override)
    y = ops.avg_pool2d_forward(images, *window)

    def backward(dy: Array) -> Array:
        dx = ops.avg_pool2d_backward(dy if batched else dy[None], size, *window)
        return dx if batched else dx[0]

    return record(y if batched else y[0], backward, x)


def max_pool1d(
    x: Tensor,
    kernel_size: IntOne,
    stride: IntOne | None = None,
    padding: IntOne = 0,
    dilation: IntOne = 1,
    ceil_mode: bool = False,
    return_indices: bool = False,
) -> Any:
    """The largest element of each window, as `max_pool2d`: (N, C, L) -> (N, C, P) or (C, L) -> (C, P)."""
    rows = as_rows("max_pool1d", x)
    stride = kernel_size if stride is None else stride
    window = of_row(kernel_size, 1), of_row(stride, 1), of_row(padding, 0), of_row(dilation, 1)
    return _of_rows(max_pool2d(rows, *window, ceil_mode, return_indices))


def avg_pool1d(
    x: Tensor,
    kernel_size: IntOne,
    stride: IntOne | None = None,
    padding: IntOne = 0,
    ceil_mode: bool = False,
    count_include_pad: bool = True,
) -> Tensor:
    """The mean of each window, as `avg_pool2d`: (N, C, L) -> (N, C, P) or (C, L) -> (C, P)."""
    rows = as_rows("avg_pool1d", x)
    stride = kernel_size if stride is None else stride
    window = of_row(kernel_size, 1), of_row(stride, 1), of_row(padding, 0)
    return avg_pool2d(rows, *window, ceil_mode, count_include_pad).squeeze(-2)


def adaptive_max_pool2d(x: Tensor, output_size: OutputSize, return_indices: bool = False) -> Any:
    """The largest element of each of P x Q windows, as in PyTorch.

    (N, C, H, W) -> (N, C, P, Q) or (C, H, W) -> (C, P, Q). Window p of P spans the rows floor(p H / P) to
    ceil((p + 1) H / P) - 1, and columns likewise.

    Args:
        x: the input, float32 or float64.
        output_size: P and Q; one int stands for both, None for the size of the input.
        return_indices: whether to return `(y, indices)` as `max_pool2d`.

    Raises:
        TypeError: an argument has another type or dtype.
        ValueError: `x` has another number of dimensions, or a size is less than 1.

    Example:
        >>> import fastnn
        >>> from fastnn.functional import adaptive_max_pool2d
        >>> adaptive_max_pool2d(fastnn.tensor([[[1.0, 5.0, 2.0], [3.0, 4.0, 7.0]]]), (1, 2)).tolist()
        [[[5.0, 7.0]]]
    """
    batched = _is_batched("adaptive_max_pool2d", x)
    images = x.data if batched else x.data[None]
    size = images.shape
    keep = return_indices or (x.requires_grad and is_grad_enabled())
    y, argmax = ops.adaptive_max_pool2d_forward(images, output_size, return_argmax=keep)

    def backward(dy: Array) -> Array:
        dx = ops.adaptive_max_pool2d_backward(dy if batched else dy[None], argmax, size)
        return dx if batched else dx[0]

    out = record(y if batched else y[0], backward, x)
    if not return_indices:
        return out
    indices = ops.adaptive_max_pool2d_indices(argmax, size)
    return out, Tensor(indices if batched else indices[0])


def adaptive_avg_pool2d(x: Tensor, output_size: OutputSize) -> Tensor:
    """The mean of each of P x Q windows, as in PyTorch; `output_size=1` is global average pooling.

    (N, C, H, W) -> (N, C, P, Q) or (C, H, W) -> (C, P, Q). Window p of P spans the rows floor(p H / P) to
    ceil((p + 1) H / P) - 1, and columns likewise.

    Args:
        x: the input, float32 or float64.
        output_size: P and Q; one int stands for both, None for the size of the input.

    Raises:
        TypeError: an argument has another type or dtype.
        ValueError: `x` has another number of dimensions, or a size is less than 1.

    Example:
        >>> import fastnn
        >>> from fastnn.functional import adaptive_avg_pool2d
        >>> adaptive_avg_pool2d(fastnn.tensor([[[1.0, 5.0, 2.0], [3.0, 3.0, 6.0]]]), (1, 2)).tolist()
        [[[3.0, 4.0]]]
    """
    batched = _is_batched("adaptive_avg_pool2d", x)
    images = x.data if batched else x.data[None]
    size = images.shape
    y = ops.adaptive_avg_pool2d_forward(images, output_size)

    def backward(dy: Array) -> Array:
        dx = ops.adaptive_avg_pool2d_backward(dy if batched else dy[None], size)
        return dx if batched else dx[0]

    return record(y if batched else y[0], backward, x)


def adaptive_max_pool1d(x: Tensor, output_size: OutputSize, return_indices: bool = False) -> Any:
    """The largest element of each of P windows, see `adaptive_max_pool2d`: (N, C, L) -> (N, C, P), (C, L) -> (C, P)."""
    rows = as_rows("adaptive_max_pool1d", x)
    return _of_rows(adaptive_max_pool2d(rows, of_row(output_size, 1), return_indices))


def adaptive_avg_pool1d(x: Tensor, output_size: OutputSize) -> Tensor:
    """The mean of each of P windows, see `adaptive_avg_pool2d`: (N, C, L) -> (N, C, P) or (C, L) -> (C, P)."""
    return adaptive_avg_pool2d(as_rows("adaptive_avg_pool1d", x), of_row(output_size, 1)).squeeze(-2)


def lp_pool2d(
    x: Tensor,
    norm_type: float,
    kernel_size: IntPair,
    stride: IntPair | None = None,
    ceil_mode: bool = False,
) -> Tensor:
    """The root of the sum of each window's powers: (N, C, H, W) -> (N, C, P, Q) or (C, H, W) -> (C, P, Q).

    y = (sum of x ** norm_type) ** (1 / norm_type) as in PyTorch: without absolute values, so that an odd `norm_type`
    wants positive x; windows that end beyond the input (`ceil_mode`) count as if they were full of what they have. The
    gradient is 0 where y is 0.

    Args:
        x: the input, float32 or float64.
        norm_type: the power; 1 makes sums, infinity nearly maxima.
        kernel_size: height and width of a window; one int stands for both, here and below.
        stride: from window to window, in elements; None is `kernel_size`.
        ceil_mode: round P and Q up; but no window starts behind the last element of the input.

    Raises:
        TypeError: an argument has another type or dtype.
        ValueError: `x` has another number of dimensions, or the window does not fit; `norm_type` is 0.

    Example:
        >>> import fastnn
        >>> from fastnn.functional import lp_pool2d
        >>> lp_pool2d(fastnn.tensor([[[1.0, 2.0], [2.0, 4.0]]]), 2, 2).tolist()
        [[[5.0]]]
    """
    kernel = sizes("lp_pool2d", "kernel_size", kernel_size, 2, 1)
    steps = kernel if stride is None else sizes("lp_pool2d", "stride", stride, 2, 1)
    return _lp_pool("lp_pool2d", x, norm_type, kernel, steps, ceil_mode)


def lp_pool1d(
    x: Tensor,
    norm_type: float,
    kernel_size: IntOne,
    stride: IntOne | None = None,
    ceil_mode: bool = False,
) -> Tensor:
    """The root of the sum of each window's powers, as `lp_pool2d`: (N, C, L) -> (N, C, P) or (C, L) -> (C, P)."""
    rows = as_rows("lp_pool1d", x)
    kernel = sizes("lp_pool1d", "kernel_size", kernel_size, 1, 1)
    steps = kernel if stride is None else sizes("lp_pool1d", "stride", stride, 1, 1)
    return _lp_pool("lp_pool1d", rows, norm_type, (1, *kernel), (1, *steps), ceil_mode).squeeze(-2)


def _lp_pool(
    op: str, x: Tensor, norm_type: float, kernel: tuple[int, ...], stride: tuple[int, ...], ceil_mode: bool
) -> Tensor:
    expect_numbers(op, norm_type=norm_type)
    if norm_type == 0:
        raise ValueError(f"{op}: norm_type is 0; expected another number")
    batched = _is_batched(op, x)
    images = ops.to_channels_last(x.data if batched else x.data[None])
    size, window = images.shape, (kernel, stride, 0, ceil_mode)
    elements = math.prod(kernel)
    p = float(norm_type)
    sums = ops.avg_pool2d_forward(power(images, p), *window) * images.dtype.type(elements)
    y = power(sums, 1 / p)

    def backward(dy: Array) -> Array:
        dy = dy if batched else dy[None]
        # dy / dx = x^(p - 1) y^(1 - p), which has no limit at 0.
        scaled = dy if p == 1 else np.where(y == 0, 0, dy * power(np.where(y == 0, 1, y), 1 - p))
        spread = ops.avg_pool2d_backward(scaled, size, *window)
        dx = elementwise(np.multiply, elementwise(np.multiply, spread, power(images, p - 1)), elements)
        return dx if batched else dx[0]

    return record(y if batched else y[0], backward, x)


def _of_rows(y: Any) -> Any:
    """What an operation on images of one row returned, of sequences."""
    return tuple(t.squeeze(-2) for t in y) if isinstance(y, tuple) else y.squeeze(-2)


def _is_batched(name: str, x: Tensor) -> bool:
    expect_tensors(name, x=x)
    if x.ndim not in (3, 4):
        raise ValueError(f"{name}: x has shape {x.shape}; expected (N, C, H, W) or (C, H, W)")
    return x.ndim == 4
