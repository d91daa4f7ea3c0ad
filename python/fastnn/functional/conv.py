"""Convolutions."""

from __future__ import annotations

from collections.abc import Sequence

from .. import ops
from ..tensor import Array, Tensor, expect_tensors, record


def conv2d(
    x: Tensor,
    weight: Tensor,
    bias: Tensor | None = None,
    stride: int | Sequence[int] = 1,
    padding: int | Sequence[int] = 0,
    dilation: int | Sequence[int] = 1,
    groups: int = 1,
) -> Tensor:
    """2-D cross-correlation, as torch.nn.functional.conv2d.

    Args:
        x: (N, C, H, W), or (C, H, W) for a single image.
        weight: (K, C / groups, R, S).
        bias: (K,) or None.
        stride: step between windows, an int or a pair (height, width).
        padding: zeros added on both sides, an int or a pair.
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
    if bias is not None:
        expect_tensors("conv2d", bias=bias)
    if x.ndim not in (3, 4):
        raise ValueError(f"conv2d: x has shape {x.shape}; expected (N, C, H, W) or (C, H, W)")
    if x.ndim == 3:
        return conv2d(x.unsqueeze(0), weight, bias, stride, padding, dilation, groups).squeeze(0)
    window = stride, padding, dilation, groups
    x_data, w_data = ops.to_channels_last(x.data), weight.data
    x_shape = x.shape if x.requires_grad else None
    dw_wanted, db_wanted = weight.requires_grad, bias is not None and bias.requires_grad
    y = ops.conv2d_forward(x_data, w_data, None if bias is None else bias.data, *window)

    def backward(dy: Array) -> tuple[Array | None, ...]:
        dy = ops.to_channels_last(dy)
        dx = None if x_shape is None else ops.conv2d_backward_input(dy, w_data, x_shape, *window)
        dw, db = None, None
        if dw_wanted or db_wanted:
            dw, db = ops.conv2d_backward_weight(dy, x_data, w_data.shape, *window, bias=db_wanted)
        return dx, dw if dw_wanted else None, db

    inputs = (x, weight) if bias is None else (x, weight, bias)
    return record(y, lambda dy: backward(dy)[: len(inputs)], *inputs)
