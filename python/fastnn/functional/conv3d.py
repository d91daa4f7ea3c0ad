"""Convolution of volumes, made of one of images.

The slices that the kernel's depth spans become channels of one image, so that a single two-dimensional convolution of
depth x channels sums all of a window at once.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import TypeAlias

import numpy as np

from .. import ops
from ..arrays import full
from ..tensor import Array, Tensor, expect_tensors, record
from . import volumes
from .padding import pad
from .sizes import sizes

IntTriple: TypeAlias = int | Sequence[int]


def conv3d(
    x: Tensor,
    weight: Tensor,
    bias: Tensor | None = None,
    stride: IntTriple = 1,
    padding: IntTriple | str = 0,
    dilation: IntTriple = 1,
    groups: int = 1,
) -> Tensor:
    """3-D cross-correlation, as torch.nn.functional.conv3d.

    Args:
        x: (N, C, D, H, W), or (C, D, H, W) for a single volume.
        weight: (K, C / groups, T, R, S).
        bias: (K,) or None.
        stride: step between windows, an int or three (depth, height, width).
        padding: zeros added on both sides, an int or three; "valid" is 0, "same" with stride 1 keeps the size (an odd
            number of zeros has the last one behind).
        dilation: distance between the taps of a window, an int or three.
        groups: channels are cut into this many groups that do not see each other.

    Returns:
        (N, K, O, P, Q) with O = (D + 2 padding - dilation (T - 1) - 1) // stride + 1, and P and Q alike.

    Raises:
        TypeError: element types other than float32 and float64, or different ones.
        ValueError: shapes that do not fit together, a kernel larger than the padded input.

    Example:
        >>> import fastnn, fastnn.nn.functional as F
        >>> F.conv3d(fastnn.ones(1, 3, 6, 8, 8), fastnn.ones(4, 3, 3, 3, 3), padding=1).shape
        (1, 4, 6, 8, 8)
    """
    expect_tensors("conv3d", x=x, weight=weight)
    if x.ndim not in (4, 5):
        raise ValueError(f"conv3d: x has shape {x.shape}; expected (N, C, D, H, W) or (C, D, H, W)")
    if x.ndim == 4:
        return conv3d(x.unsqueeze(0), weight, bias, stride, padding, dilation, groups).squeeze(0)
    _check(x, weight, bias, groups)
    steps, gaps = sizes("conv3d", "stride", stride, 3, 1), sizes("conv3d", "dilation", dilation, 3, 1)
    if isinstance(padding, str):
        x, around = _named_padding(x, padding, weight.shape[2:], steps, gaps)
    else:
        around = sizes("conv3d", "padding", padding, 3, 0)
    for name, n, p, k, d in zip(("depth", "height", "width"), x.shape[2:], around, weight.shape[2:], gaps, strict=True):
        if n + 2 * p < d * (k - 1) + 1:
            raise ValueError(
                f"conv3d: the kernel's extent is {d * (k - 1) + 1} (kernel size {k}, dilation {d}); expected at most "
                f"the input's {name} {n} with padding {p} on both sides"
            )

    taps = _Taps(x.shape, weight.shape[2], steps[0], around[0], gaps[0], groups)
    window = steps[1:], around[1:], gaps[1:], groups
    images, w = taps.gather(x.data), _fold_weight(weight.data)
    size, w_size = images.shape, weight.shape
    y = ops.conv2d_forward(images, w, None if bias is None else bias.data, *window)
    dx_wanted, dw_wanted, db_wanted = (t is not None and t.requires_grad for t in (x, weight, bias))

    def backward(dy: Array) -> tuple[Array | None, ...]:
        dy = volumes.to_images(dy)
        dx = taps.scatter(ops.conv2d_backward_input(dy, w, size, *window)) if dx_wanted else None
        dw, db = None, None
        if dw_wanted or db_wanted:
            dw, db = ops.conv2d_backward_weight(dy, images, w.shape, *window, bias=db_wanted)
            dw = _unfold_weight(dw, w_size) if dw_wanted else None
        return (dx, dw, db)[: 2 if bias is None else 3]

    out = volumes.from_images(y, x.shape[0], taps.count)
    return record(out, backward, x, weight) if bias is None else record(out, backward, x, weight, bias)


class _Taps:
    """The slices of a volume that the kernel's depth spans, as channels of one image for each slice of the output."""

    def __init__(
        self, shape: tuple[int, ...], depth: int, stride: int, padding: int, dilation: int, groups: int
    ) -> None:
        self.shape, self.depth, self.stride, self.groups = shape, depth, stride, groups
        self.offsets = [t * dilation - padding for t in range(depth)]
        self.count = (shape[2] + 2 * padding - dilation * (depth - 1) - 1) // stride + 1
        self.plain = depth == stride == 1 and padding == 0

    def _spans(self) -> Iterator[tuple[int, slice, slice]]:
        """Each tap, the slices of the output that have it within the input, and these slices of the input."""
        for t, offset in enumerate(self.offsets):
            begin = max(0, -(offset // self.stride))
            end = max(begin, min(self.count, (self.shape[2] - 1 - offset) // self.stride + 1))
            first = begin * self.stride + offset
            yield (
                t,
                slice(begin, end),
                slice(first, first + (end - begin - 1) * self.stride + 1 if end > begin else first, self.stride),
            )

    def _columns(self, images: Array) -> Array:
        """(N * O, T * C, H, W) -> (N, O, H, W, groups, T, C / groups), a view."""
        N, C, _, H, W = self.shape
        inside = images.transpose(0, 2, 3, 1)
        return inside.reshape(N, self.count, H, W, self.groups, self.depth, C // self.groups)

    def gather(self, x: Array) -> Array:
        if self.plain:
            return volumes.to_images(x)
        N, C, D, H, W = self.shape
        inside = volumes.to_channels_last(x).reshape(N, D, H, W, self.groups, C // self.groups)
        images = ops.empty((N * self.count, self.depth * C, H, W), x.dtype, channels_last=True)
        columns = self._columns(images)
        for t, outputs, inputs in self._spans():
            columns[:, : outputs.start, :, :, :, t] = 0
            columns[:, outputs, :, :, :, t] = inside[:, inputs]
            columns[:, outputs.stop :, :, :, :, t] = 0
        return images

    def scatter(self, images: Array) -> Array:
        """The adjoint of `gather`."""
        N, C, D, H, W = self.shape
        if self.plain:
            return volumes.from_images(images, N, D)
        columns = self._columns(images)
        dx = full((N, D, H, W, self.groups, C // self.groups), 0, images.dtype)
        for t, outputs, inputs in self._spans():
            dx[:, inputs] += columns[:, outputs, :, :, :, t]
        return dx.reshape(N, D, H, W, C).transpose(0, 4, 1, 2, 3)


def _fold_weight(w: Array) -> Array:
    """(K, C / groups, T, R, S) -> (K, T * C / groups, R, S)."""
    K, C, T, R, S = w.shape
    return np.ascontiguousarray(w.swapaxes(1, 2)).reshape(K, T * C, R, S)


def _unfold_weight(dw: Array, size: tuple[int, ...]) -> Array:
    K, C, T, R, S = size
    return np.ascontiguousarray(dw.reshape(K, T, C, R, S).swapaxes(1, 2))


def _named_padding(
    x: Tensor, name: str, kernel: tuple[int, ...], steps: tuple[int, ...], gaps: tuple[int, ...]
) -> tuple[Tensor, tuple[int, ...]]:
    """The padding on both sides; what is to be added behind is added to x."""
    if name == "valid":
        return x, (0, 0, 0)
    if name != "same":
        raise ValueError(f"conv3d: padding is {name!r}; expected integers, 'same' or 'valid'")
    if steps != (1, 1, 1):
        raise ValueError(f"conv3d: padding 'same' needs stride 1, not {steps}")
    total = [d * (k - 1) for d, k in zip(gaps, kernel, strict=True)]
    if any(t % 2 for t in total):
        x = pad(x, [n for t in reversed(total) for n in (0, t % 2)])
    return x, tuple(t // 2 for t in total)


def _check(x: Tensor, weight: Tensor, bias: Tensor | None, groups: int) -> None:
    sizes("conv3d", "groups", groups, 1, 1)
    if weight.ndim != 5:
        raise ValueError(f"conv3d: weight has shape {weight.shape}; expected (K, C / groups, T, R, S)")
    if weight.shape[1] * groups != x.shape[1]:
        raise ValueError(
            f"conv3d: weight has {weight.shape[1]} input channels for each of {groups} groups, x has {x.shape[1]}"
        )
    if weight.shape[0] % groups:
        raise ValueError(
            f"conv3d: weight has {weight.shape[0]} output channels; expected a multiple of {groups} groups"
        )
    if 0 in weight.shape[2:]:
        raise ValueError(f"conv3d: weight has shape {weight.shape}; expected a kernel of at least 1")
    if bias is not None:
        expect_tensors("conv3d", bias=bias)
        if bias.shape != (weight.shape[0],):
            raise ValueError(f"conv3d: bias has shape {bias.shape}; expected ({weight.shape[0]},)")
