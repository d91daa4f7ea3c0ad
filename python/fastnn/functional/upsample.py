"""Resizing of images and of sequences."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any, TypeAlias

from .. import ops
from ..tensor import Array, Tensor, expect_tensors, record
from .pooling import adaptive_avg_pool1d, adaptive_avg_pool2d

Size: TypeAlias = int | Sequence[int]
Scale: TypeAlias = float | Sequence[float]

_MODES = {3: ("nearest", "nearest-exact", "linear", "area"), 4: ("nearest", "nearest-exact", "bilinear", "area")}


def interpolate(
    x: Tensor,
    size: Size | None = None,
    scale_factor: Scale | None = None,
    mode: str = "nearest",
    align_corners: bool | None = None,
    recompute_scale_factor: bool | None = None,
    antialias: bool = False,
) -> Tensor:
    """Resizes as torch.nn.functional.interpolate: images (N, C, H, W) -> (N, C, P, Q), sequences likewise.

    Args:
        x: the input, float32 or float64.
        size: P and Q; one int stands for both.
        scale_factor: P / H and Q / W in place of `size`, rounded down; one number stands for both.
        mode: "nearest" repeats elements (where the factor is an integer, the Kronecker product with ones);
            "nearest-exact" takes the element below the middle of each new one; "linear" (of sequences) and "bilinear"
            (of images) weigh the nearest two and four; "area" is adaptive average pooling.
        align_corners: whether the middles of the first and of the last elements stay where they are, rather than the
            outer edges; for "linear" and "bilinear", False by default.
        recompute_scale_factor: whether the factors are those of the rounded sizes, and not `scale_factor`.
        antialias: not supported.

    Raises:
        TypeError: an argument has another type or dtype.
        ValueError: not one of `size` and `scale_factor` is given, or a combination that is not as above.
        NotImplementedError: a mode of PyTorch's that fastnn lacks: "bicubic" and "trilinear", `antialias`, volumes.

    Example:
        >>> import fastnn
        >>> from fastnn.nn import functional as F
        >>> F.interpolate(fastnn.tensor([[[1.0, 3.0]]]), scale_factor=2, mode="linear").tolist()
        [[[1.0, 1.5, 2.5, 3.0]]]
    """
    expect_tensors("interpolate", x=x)
    if antialias or mode in ("bicubic", "trilinear") or x.ndim == 5:
        what = "antialias=True" if antialias else f"mode {mode!r}" if x.ndim < 5 else f"x of shape {x.shape}"
        raise NotImplementedError(f"interpolate: {what} is not supported")
    if x.ndim not in (3, 4):
        raise ValueError(f"interpolate: x has shape {x.shape}; expected (N, C, L) or (N, C, H, W)")
    if mode not in _MODES[x.ndim]:
        raise ValueError(f"interpolate: mode is {mode!r}; expected one of {', '.join(_MODES[x.ndim])} for {x.ndim}-D x")
    linear = mode in ("linear", "bilinear")
    if align_corners is not None and not linear:
        raise ValueError(f"interpolate: align_corners is {align_corners}; mode {mode!r} takes none")
    if (size is None) == (scale_factor is None):
        raise ValueError("interpolate: expected either size or scale_factor")

    before = x.shape[2:]
    if size is not None:
        if recompute_scale_factor:
            raise ValueError("interpolate: recompute_scale_factor needs scale_factor, not size")
        after, scales = _for_each("size", size, len(before)), None
        if min(after) < 1:
            raise ValueError(f"interpolate: size is {size!r}; expected at least 1")
    else:
        scales = [float(s) for s in _for_each("scale_factor", scale_factor, len(before))]
        if not all(0 < s < math.inf for s in scales):
            raise ValueError(f"interpolate: scale_factor is {scale_factor!r}; expected numbers above 0")
        after = [math.floor(float(n) * s) for n, s in zip(before, scales, strict=True)]
        if min(after) < 1:
            raise ValueError(f"interpolate: scale_factor {scale_factor!r} leaves {after} of {list(before)}")
        scales = None if recompute_scale_factor else scales

    if x.ndim == 3:
        if mode == "area":
            return adaptive_avg_pool1d(x, after[0])
        scales = scales and [1.0, *scales]
        return _resize(x.unsqueeze(-2), [1, *after], mode, bool(align_corners), scales).squeeze(-2)
    if mode == "area":
        return adaptive_avg_pool2d(x, after)
    return _resize(x, after, mode, bool(align_corners), scales)


def _resize(x: Tensor, size: list[int], mode: str, align_corners: bool, scales: list[float] | None) -> Tensor:
    before, how = x.shape, ("bilinear" if mode == "linear" else mode, align_corners, scales)
    y = ops.upsample2d_forward(x.data, size, *how)

    def backward(dy: Array) -> Array:
        return ops.upsample2d_backward(dy, before, *how)

    return record(y, backward, x)


def _for_each(name: str, value: Any, count: int) -> list[Any]:
    """One number for all dimensions, or one for each."""
    if not isinstance(value, Sequence) or isinstance(value, str):
        values = [value] * count
    else:
        values = list(value)
    if len(values) != count:
        raise ValueError(f"interpolate: {name} is {value!r}; expected one number or {count}")
    for v in values:
        if isinstance(v, str) or not hasattr(v, "__float__" if name == "scale_factor" else "__index__"):
            expected = "numbers" if name == "scale_factor" else "integers"
            raise TypeError(f"interpolate: {name} is {value!r}; expected {expected}")
    return values
