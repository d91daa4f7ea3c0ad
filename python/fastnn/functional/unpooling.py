"""The partial inverse of max pooling."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from .. import ops
from ..tensor import Array, Tensor, expect_tensors, record
from .pooling import IntOne, IntPair
from .sizes import sizes


def max_unpool2d(
    x: Tensor,
    indices: Tensor,
    kernel_size: IntPair,
    stride: IntPair | None = None,
    padding: IntPair = 0,
    output_size: Sequence[int] | None = None,
) -> Tensor:
    """Puts maxima back where they were, among zeros, as in PyTorch: (N, C, P, Q) -> (N, C, H, W), each also without N.

    H = (P - 1) * stride - 2 * padding + kernel_size, and W from Q likewise. Where windows overlap, several maxima may
    have one place; the last of them stands there.

    Args:
        x: the maxima, float32 or float64.
        indices: what `max_pool2d` returned with `return_indices`.
        kernel_size: height and width of the windows; one int stands for both, here and below.
        stride: from window to window; None is `kernel_size`.
        padding: that of the pooling.
        output_size: H and W (or the whole shape), where pooling rounded; less than a stride from those above.

    Raises:
        TypeError: an argument has another type or dtype.
        ValueError: shapes that do not fit, an index outside of the output.

    Example:
        >>> import fastnn
        >>> from fastnn.nn import functional as F
        >>> y, indices = F.max_pool2d(fastnn.tensor([[[1.0, 5.0], [3.0, 4.0]]]), 2, return_indices=True)
        >>> F.max_unpool2d(y, indices, 2).tolist()
        [[[0.0, 5.0], [0.0, 0.0]]]
    """
    _check("max_unpool2d", x, indices, 2)
    size = _output_size("max_unpool2d", x.shape[-2:], kernel_size, stride, padding, output_size)
    if x.ndim == 3:
        return _unpool(x.unsqueeze(0), indices.data[None], size).squeeze(0)
    return _unpool(x, indices.data, size)


def max_unpool1d(
    x: Tensor,
    indices: Tensor,
    kernel_size: IntOne,
    stride: IntOne | None = None,
    padding: IntOne = 0,
    output_size: Sequence[int] | None = None,
) -> Tensor:
    """Puts maxima back where they were, as `max_unpool2d`: (N, C, P) -> (N, C, L) or (C, P) -> (C, L)."""
    _check("max_unpool1d", x, indices, 1)
    size = [1, *_output_size("max_unpool1d", x.shape[-1:], kernel_size, stride, padding, output_size)]
    rows, where = x.unsqueeze(-2), indices.data[..., None, :]
    if x.ndim == 2:
        return _unpool(rows.unsqueeze(0), where[None], size).squeeze(0).squeeze(-2)
    return _unpool(rows, where, size).squeeze(-2)


def _unpool(x: Tensor, indices: Array, size: list[int]) -> Tensor:
    y = ops.max_unpool2d_forward(x.data, indices, size)
    return record(y, lambda dy: ops.max_unpool2d_backward(dy, indices), x)


def _check(op: str, x: Tensor, indices: Tensor, dimensions: int) -> None:
    expect_tensors(op, x=x, indices=indices)
    if x.ndim - dimensions not in (1, 2):
        raise ValueError(f"{op}: x has shape {x.shape}; expected {dimensions + 1} or {dimensions + 2} dimensions")
    if indices.shape != x.shape:
        raise ValueError(f"{op}: indices has shape {indices.shape}, x has {x.shape}")


def _output_size(
    op: str, size: tuple[int, ...], kernel_size: Any, stride: Any, padding: Any, given: Sequence[int] | None
) -> list[int]:
    """What the window makes of `size`, or `given` where that is possible."""
    kernel = sizes(op, "kernel_size", kernel_size, len(size), 1)
    steps = kernel if stride is None else sizes(op, "stride", stride, len(size), 1)
    paddings = sizes(op, "padding", padding, len(size), 0)
    regular = [(n - 1) * s - 2 * p + k for n, k, s, p in zip(size, kernel, steps, paddings, strict=True)]
    if given is None:
        if min(regular) < 0:
            raise ValueError(f"{op}: the output has size {regular}; expected at least 0")
        return regular
    if not isinstance(given, Sequence) or len(given) not in (len(size), len(size) + 2):
        raise ValueError(f"{op}: output_size is {given!r}; expected {len(size)} integers")
    wanted = sizes(op, "output_size", given[-len(size) :], len(size), 0)
    if any(abs(w - r) >= s for w, r, s in zip(wanted, regular, steps, strict=True)):
        low, high = ([r + sign * (s - 1) for r, s in zip(regular, steps, strict=True)] for sign in (-1, 1))
        raise ValueError(f"{op}: output_size is {wanted}; expected {low} to {high}")
    return list(wanted)
