"""Convolutions and transposed convolutions."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, TypeAlias

import numpy as np

from .. import ops
from ..arrays import elementwise
from ..deferred import Tail, deferred
from ..tensor import Array, Tensor, expect_tensors, record
from .padding import pad
from .rows import as_rows, of_row
from .sizes import sizes

IntPair: TypeAlias = int | Sequence[int]
IntOne: TypeAlias = int | Sequence[int]


def conv1d(
    x: Tensor,
    weight: Tensor,
    bias: Tensor | None = None,
    stride: IntOne = 1,
    padding: IntOne | str = 0,
    dilation: IntOne = 1,
    groups: int = 1,
) -> Tensor:
    """1-D cross-correlation, as torch.nn.functional.conv1d: `conv2d` of images of one row.

    Args:
        x: (N, C, L), or (C, L) for a single sequence.
        weight: (K, C / groups, S).
        bias: (K,) or None.
        stride: step between windows. Here and below an int, or a sequence of one.
        padding: zeros added on both sides, or "valid" or "same" as in `conv2d`.
        dilation: distance between the taps of a window.
        groups: channels are cut into this many groups that do not see each other.

    Returns:
        (N, K, Q) with Q = (L + 2 padding - dilation (S - 1) - 1) // stride + 1.

    Raises:
        TypeError: element types other than float32 and float64, or different ones.
        ValueError: shapes that do not fit together, a kernel larger than the padded input.

    Example:
        >>> import fastnn, fastnn.nn.functional as F
        >>> F.conv1d(fastnn.ones(1, 3, 8), fastnn.ones(4, 3, 3), padding="same").shape
        (1, 4, 8)
    """
    rows, w = as_rows("conv1d", x), _weight_of_rows("conv1d", weight)
    window = of_row(stride, 1), padding if isinstance(padding, str) else of_row(padding, 0), of_row(dilation, 1)
    return _conv2d("conv1d", rows, w, bias, *window, groups).squeeze(-2)


def conv2d(
    x: Tensor,
    weight: Tensor,
    bias: Tensor | None = None,
    stride: IntPair = 1,
    padding: IntPair | str = 0,
    dilation: IntPair = 1,
    groups: int = 1,
) -> Tensor:
    """2-D cross-correlation, as torch.nn.functional.conv2d.

    Args:
        x: (N, C, H, W), or (C, H, W) for a single image.
        weight: (K, C / groups, R, S).
        bias: (K,) or None.
        stride: step between windows, an int or a pair (height, width).
        padding: zeros added on both sides, an int or a pair; "valid" is 0, "same" with stride 1 keeps the size (an odd
            number of zeros has the last one behind).
        dilation: distance between the taps of a window, an int or a pair.
        groups: channels are cut into this many groups that do not see each other.

    Returns:
        (N, K, P, Q) with P = (H + 2 padding - dilation (R - 1) - 1) // stride + 1 and Q alike.

    Raises:
        TypeError: element types other than float32 and float64, or different ones.
        ValueError: shapes that do not fit together, a kernel larger than the padded input.

    Example:
        >>> import fastnn, fastnn.nn.functional as F
        >>> F.conv2d(fastnn.ones(1, 3, 8, 8), fastnn.ones(4, 3, 3, 3), padding=1).shape
        (1, 4, 8, 8)
    """
    expect_tensors("conv2d", x=x, weight=weight)
    if x.ndim not in (3, 4):
        raise ValueError(f"conv2d: x has shape {x.shape}; expected (N, C, H, W) or (C, H, W)")
    return _conv2d("conv2d", x, weight, bias, stride, padding, dilation, groups)


def _conv2d(
    op: str,
    x: Tensor,
    weight: Tensor,
    bias: Tensor | None,
    stride: Any,
    padding: Any,
    dilation: Any,
    groups: int,
) -> Tensor:
    if bias is not None:
        expect_tensors(op, bias=bias)
    (groups,) = sizes(op, "groups", groups, 1, 1)
    _check_dtype(op, x)
    if x.ndim == 3:
        return _conv2d(op, x.unsqueeze(0), weight, bias, stride, padding, dilation, groups).squeeze(0)
    if isinstance(padding, str):
        padding, behind = _named_padding(op, padding, weight.shape[2:], stride, dilation)
        x = _pad_behind(x, behind)
    window = stride, padding, dilation, groups
    x_data, w_data = ops.to_channels_last(x.data), weight.data
    x_shape = x.shape if x.requires_grad else None
    dw_wanted, db_wanted = weight.requires_grad, bias is not None and bias.requires_grad
    b_data = None if bias is None else bias.data
    inputs, biased = (x, weight) if bias is None else (x, weight, bias), bias is not None

    def backward(dy: Array, dx_so_far: Array | None = None) -> tuple[Array | None, ...]:
        dy = ops.to_channels_last(dy)
        dx = None
        if x_shape is not None:
            dx = ops.conv2d_backward_input(dy, w_data, x_shape, *window, residual=dx_so_far)
        dw, db = None, None
        if dw_wanted or db_wanted:
            dw, db = ops.conv2d_backward_weight(dy, x_data, w_data.shape, *window, bias=db_wanted)
        dw = dw if dw_wanted else None
        return (dx, dw, db) if biased else (dx, dw)

    def finish(tail: Tail) -> Tensor:
        scale, shift, residual, relu = tail
        if scale is None and residual is None and not relu:
            return record(ops.conv2d_forward(x_data, w_data, b_data, *window), backward, *inputs, sums=True)
        b = b_data if scale is None or b_data is None else elementwise(np.multiply, b_data, scale)
        b = shift if b is None else b if shift is None else elementwise(np.add, b, shift)
        added = None if residual is None else residual.data
        y = ops.conv2d_forward(x_data, w_data, b, *window, scale=scale, residual=added, relu=relu)
        out = record(y, backward, *inputs, sums=True)
        if residual is not None:
            out = record(y, lambda dy: (dy, dy), out, residual)
        return record(y, lambda dy: ops.relu_backward(dy, y), out) if relu else out

    def shape() -> tuple[int, ...]:
        return ops.conv2d_output_size(x_data, w_data, b_data, *window)

    return deferred(finish, shape, x_data.dtype, *inputs, scalable=True)


def conv_transpose1d(
    x: Tensor,
    weight: Tensor,
    bias: Tensor | None = None,
    stride: IntOne = 1,
    padding: IntOne = 0,
    output_padding: IntOne = 0,
    groups: int = 1,
    dilation: IntOne = 1,
) -> Tensor:
    """1-D transposed convolution, as torch.nn.functional.conv_transpose1d: `conv_transpose2d` of images of one row.

    Args:
        x: (N, C, Q), or (C, Q) for a single sequence.
        weight: (C, K / groups, S).
        bias: (K,) or None.
        stride: step between windows of the output. Here and below an int, or a sequence of one.
        padding: elements that are cut off on both sides of the output.
        output_padding: elements that the output has more behind, fewer than stride or dilation.
        groups: channels are cut into this many groups that do not see each other.
        dilation: distance between the taps of a window.

    Returns:
        (N, K, L) with L = (Q - 1) stride - 2 padding + dilation (S - 1) + output_padding + 1.

    Raises:
        TypeError: element types other than float32 and float64, or different ones.
        ValueError: shapes that do not fit together, an empty output.

    Example:
        >>> import fastnn, fastnn.nn.functional as F
        >>> F.conv_transpose1d(fastnn.ones(1, 4, 8), fastnn.ones(4, 3, 2), stride=2).shape
        (1, 3, 16)
    """
    rows, w = as_rows("conv_transpose1d", x), _weight_of_rows("conv_transpose1d", weight)
    window = of_row(stride, 1), of_row(padding, 0), of_row(output_padding, 0)
    return _conv_transpose2d("conv_transpose1d", rows, w, bias, *window, groups, of_row(dilation, 1)).squeeze(-2)


def conv_transpose2d(
    x: Tensor,
    weight: Tensor,
    bias: Tensor | None = None,
    stride: IntPair = 1,
    padding: IntPair = 0,
    output_padding: IntPair = 0,
    groups: int = 1,
    dilation: IntPair = 1,
) -> Tensor:
    """2-D transposed convolution, as torch.nn.functional.conv_transpose2d: the gradient of `conv2d` by its input.

    Args:
        x: (N, C, P, Q), or (C, P, Q) for a single image.
        weight: (C, K / groups, R, S).
        bias: (K,) or None.
        stride: step between windows of the output. Here and below an int, or a pair (height, width).
        padding: rows and columns that are cut off on both sides of the output.
        output_padding: rows and columns that the output has more behind, fewer than stride or dilation.
        groups: channels are cut into this many groups that do not see each other.
        dilation: distance between the taps of a window.

    Returns:
        (N, K, H, W) with H = (P - 1) stride - 2 padding + dilation (R - 1) + output_padding + 1 and W alike.

    Raises:
        TypeError: element types other than float32 and float64, or different ones.
        ValueError: shapes that do not fit together, an empty output.

    Example:
        >>> import fastnn, fastnn.nn.functional as F
        >>> F.conv_transpose2d(fastnn.ones(1, 4, 8, 8), fastnn.ones(4, 3, 2, 2), stride=2).shape
        (1, 3, 16, 16)
    """
    expect_tensors("conv_transpose2d", x=x, weight=weight)
    if x.ndim not in (3, 4):
        raise ValueError(f"conv_transpose2d: x has shape {x.shape}; expected (N, C, P, Q) or (C, P, Q)")
    if weight.ndim != 4:
        raise ValueError(f"conv_transpose2d: weight has shape {weight.shape}; expected (C, K / groups, R, S)")
    return _conv_transpose2d("conv_transpose2d", x, weight, bias, stride, padding, output_padding, groups, dilation)


def _conv_transpose2d(
    op: str,
    x: Tensor,
    weight: Tensor,
    bias: Tensor | None,
    stride: Any,
    padding: Any,
    output_padding: Any,
    groups: int,
    dilation: Any,
) -> Tensor:
    if x.ndim == 3:
        images = x.unsqueeze(0)
        return _conv_transpose2d(op, images, weight, bias, stride, padding, output_padding, groups, dilation).squeeze(0)
    if weight.shape[0] != x.shape[1]:
        raise ValueError(f"{op}: weight has {weight.shape[0]} input channels, x has {x.shape[1]}")
    (groups,) = sizes(op, "groups", groups, 1, 1)
    _check_dtype(op, x)
    K = weight.shape[1] * groups
    if bias is not None:
        expect_tensors(op, bias=bias)
        if bias.shape != (K,):
            raise ValueError(f"{op}: bias has shape {bias.shape}; expected ({K},)")
    stride, dilation = sizes(op, "stride", stride, 2, 1), sizes(op, "dilation", dilation, 2, 1)
    padding, more = sizes(op, "padding", padding, 2, 0), sizes(op, "output_padding", output_padding, 2, 0)
    if any(m >= max(s, d) for m, s, d in zip(more, stride, dilation, strict=True)):
        raise ValueError(f"{op}: output_padding is {output_padding!r}; expected less than stride or dilation")
    # More than a stride of zeros behind is what a pixel of zeros behind x gives.
    x = _pad_behind(x, [m // s for m, s in zip(more, stride, strict=True)])
    size = [
        (p - 1) * s - 2 * pad + d * (r - 1) + m % s + 1
        for p, r, s, pad, d, m in zip(x.shape[2:], weight.shape[2:], stride, padding, dilation, more, strict=True)
    ]
    if min(size) < 1:
        raise ValueError(f"{op}: the output has {size[0]} rows and {size[1]} columns; expected at least 1")

    window = stride, padding, dilation, groups
    x_data, w_data = ops.to_channels_last(x.data), weight.data
    dx_wanted, dw_wanted = x.requires_grad, weight.requires_grad
    y = ops.conv2d_backward_input(x_data, w_data, (x.shape[0], K, *size), *window)

    def backward(dy: Array) -> tuple[Array | None, Array | None]:
        dy = ops.to_channels_last(dy)
        dx = ops.conv2d_forward(dy, w_data, None, *window) if dx_wanted else None
        dw = ops.conv2d_backward_weight(x_data, dy, w_data.shape, *window, bias=False)[0] if dw_wanted else None
        return dx, dw

    out = record(y, backward, x, weight)
    return out if bias is None else out + bias.reshape(-1, 1, 1)


def _check_dtype(op: str, x: Tensor) -> None:
    if x.dtype.char not in "fd":
        raise TypeError(f"{op}: x has dtype {x.dtype}; expected float32 or float64")


def _weight_of_rows(op: str, weight: Tensor) -> Tensor:
    expect_tensors(op, weight=weight)
    if weight.ndim != 3:
        raise ValueError(f"{op}: weight has shape {weight.shape}; expected 3 dimensions")
    return weight.unsqueeze(-2)


def _named_padding(
    op: str, name: str, kernel: Sequence[int], stride: Any, dilation: Any
) -> tuple[tuple[int, ...], list[int]]:
    """The padding on both sides, and what is to be added behind."""
    if name == "valid":
        return (0, 0), [0, 0]
    if name != "same":
        raise ValueError(f"{op}: padding is {name!r}; expected integers, 'same' or 'valid'")
    if sizes(op, "stride", stride, 2, 1) != (1, 1):
        raise ValueError(f"{op}: padding 'same' needs stride 1, not {stride}")
    total = [d * (k - 1) for d, k in zip(sizes(op, "dilation", dilation, 2, 1), kernel, strict=True)]
    return tuple(t // 2 for t in total), [t % 2 for t in total]


def _pad_behind(x: Tensor, behind: Sequence[int]) -> Tensor:
    """Adds so many rows and columns of zeros behind the others."""
    return pad(x, (0, behind[1], 0, behind[0])) if any(behind) else x
