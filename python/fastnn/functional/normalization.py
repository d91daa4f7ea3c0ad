"""Normalization of a sample by itself: of all its features, of groups of its channels, over windows of channels."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np

from .. import ops
from ..arrays import Dims, all_axes, elementwise, quiet, total
from ..norms import p_norm
from ..tensor import Array, Tensor, expect_numbers, expect_tensors, record
from .batchnorm import batch_norm


def layer_norm(
    x: Tensor,
    normalized_shape: Sequence[int],
    weight: Tensor | None = None,
    bias: Tensor | None = None,
    eps: float = 1e-5,
) -> Tensor:
    """(x - mean) / sqrt(var + eps) * weight + bias over the last dimensions, as in PyTorch.

    Mean and variance (with divisor n) are those of each sample: over the dimensions of `normalized_shape`, for each
    index of those before.

    Ba, Kiros and Hinton: Layer normalization, 2016.

    Args:
        x: (..., *normalized_shape).
        normalized_shape: the sizes of the last dimensions, those that are normalized.
        weight: of the shape `normalized_shape`, or None for 1.
        bias: likewise, or None for 0.
        eps: added to the variance.

    Returns:
        A tensor of the shape of `x`.

    Raises:
        TypeError: element types other than float32 and float64, or different ones; a shape that is no sequence.
        ValueError: shapes that do not fit together.

    Example:
        >>> import fastnn
        >>> fastnn.functional.layer_norm(fastnn.tensor([[1.0, 3.0], [4.0, 2.0]]), (2,), eps=0.0)
        tensor([[-1.,  1.],
                [ 1., -1.]])
    """
    _expect_types("layer_norm", x, eps, weight, bias)
    data, w, shape, with_bias = x.data, _array(weight), tuple(normalized_shape), bias is not None
    y, mean, inv_std = ops.layer_norm_forward(data, shape, w, _array(bias), eps)

    def backward(dy: Array) -> tuple[Array, ...]:
        return _existing(ops.layer_norm_backward(dy, data, mean, inv_std, shape, w, with_bias))

    return record(y, backward, *_existing((x, weight, bias)))


def rms_norm(
    x: Tensor, normalized_shape: Sequence[int], weight: Tensor | None = None, eps: float | None = None
) -> Tensor:
    """`x / sqrt(mean(x**2) + eps) * weight` over the last dimensions, as in PyTorch: `layer_norm` without the mean.

    Zhang and Sennrich: Root mean square layer normalization, 2019.

    Args:
        x: (..., *normalized_shape).
        normalized_shape: the sizes of the last dimensions, those that are normalized.
        weight: of the shape `normalized_shape`, or None for 1.
        eps: added to the mean; None for the distance from 1 to the next number of the type of `x`.

    Returns:
        A tensor of the shape of `x`.

    Raises:
        TypeError: element types other than float32 and float64, or different ones; a shape that is no sequence.
        ValueError: shapes that do not fit together.

    Example:
        >>> import fastnn
        >>> fastnn.functional.rms_norm(fastnn.tensor([[3.0, 3.0], [-1.0, 7.0]]), (2,))
        tensor([[ 1. ,  1. ],
                [-0.2,  1.4]])
    """
    _expect_types("rms_norm", x, 0.0 if eps is None else eps, weight)
    data, w, shape = x.data, _array(weight), tuple(normalized_shape)
    if eps is None:
        eps = float(np.finfo(data.dtype if data.dtype.kind == "f" else np.float32).eps)
    y, inv_std = ops.rms_norm_forward(data, shape, w, eps)

    def backward(dy: Array) -> tuple[Array, ...]:
        return _existing(ops.rms_norm_backward(dy, data, inv_std, shape, w))

    return record(y, backward, *_existing((x, weight)))


def group_norm(
    x: Tensor, num_groups: int, weight: Tensor | None = None, bias: Tensor | None = None, eps: float = 1e-5
) -> Tensor:
    """(x - mean) / sqrt(var + eps) * weight + bias for each group of channels of each sample, as in PyTorch.

    Mean and variance (with divisor n) are those of the C / num_groups adjacent channels of a group, over all pixels.

    Wu and He: Group normalization, ECCV 2018.

    Args:
        x: (N, C, ...).
        num_groups: the number of groups, a divisor of C.
        weight: (C,), or None for 1.
        bias: (C,), or None for 0.
        eps: added to the variance.

    Returns:
        A tensor of the shape of `x`.

    Raises:
        TypeError: element types other than float32 and float64, or different ones.
        ValueError: shapes that do not fit together; one value in a group.

    Example:
        >>> import fastnn
        >>> fastnn.functional.group_norm(fastnn.tensor([[1.0, 3.0, 8.0, 6.0]]), 2, eps=0.0)
        tensor([[-1.,  1.,  1., -1.]])
    """
    _expect_types("group_norm", x, eps, weight, bias)
    if x.ndim < 2:
        raise ValueError(f"group_norm: x has shape {x.shape}; expected (N, C, ...)")
    if x.numel() == num_groups:
        raise ValueError(f"group_norm: expected more than 1 value per group, x has shape {x.shape}")
    if x.ndim == 2 and _are_rows(x, num_groups, weight, bias):
        return _group_norm_of_rows(x, num_groups, weight, bias, eps)
    return _group_norm(x, num_groups, weight, bias, eps)[0]


def _are_rows(x: Tensor, groups: int, *affine: Tensor | None) -> bool:
    """Whether the groups of x (N, C) are rows for `layer_norm`; what is wrong, `group_norm_forward` refuses."""
    C = x.shape[1]
    if x.dtype.char not in "fd" or x.numel() == 0 or type(groups) is not int or groups < 1 or C % groups:
        return False
    return all(a.shape == (C,) and a.dtype == x.dtype for a in _existing(affine))


def _group_norm_of_rows(x: Tensor, groups: int, weight: Tensor | None, bias: Tensor | None, eps: float) -> Tensor:
    n = x.shape[1] // groups
    if groups == 1:
        return layer_norm(x, (n,), weight, bias, eps)
    y = layer_norm(x.reshape(-1, n), (n,), eps=eps).reshape(x.shape)
    y = y if weight is None else y * weight
    return y if bias is None else y + bias


def _group_norm(
    x: Tensor, groups: int, weight: Tensor | None, bias: Tensor | None, eps: float
) -> tuple[Tensor, Array, Array]:
    """The result, and mean and 1 / sqrt(var + eps) of the groups, (N, groups)."""
    images, w, shape, with_bias = _as_images(x.data), _array(weight), x.shape, bias is not None
    y, mean, inv_std = ops.group_norm_forward(images, groups, w, _array(bias), eps)

    def backward(dy: Array) -> tuple[Array, ...]:
        dx, *others = ops.group_norm_backward(_as_images(dy), images, mean, inv_std, groups, w, with_bias)
        return _existing((dx.reshape(shape), *others))

    return record(y.reshape(shape), backward, *_existing((x, weight, bias))), mean, inv_std


def instance_norm(
    x: Tensor,
    running_mean: Tensor | None = None,
    running_var: Tensor | None = None,
    weight: Tensor | None = None,
    bias: Tensor | None = None,
    use_input_stats: bool = True,
    momentum: float = 0.1,
    eps: float = 1e-5,
) -> Tensor:
    """(x - mean) / sqrt(var + eps) * weight + bias for each channel of each sample, as in PyTorch.

    With `use_input_stats` mean and variance (with divisor n) are those of a channel of a sample over its pixels, and
    the running ones, if there are any, move towards their means over the samples (the variance with divisor n - 1).
    Otherwise the running ones take their place.

    Ulyanov, Vedaldi and Lempitsky: Instance normalization, 2016.

    Args:
        x: (N, C, L) or (N, C, H, W).
        running_mean: (C,), changed in place where the statistics are those of `x`.
        running_var: (C,), likewise.
        weight: (C,), or None for 1.
        bias: (C,), or None for 0.
        use_input_stats: whether to use the statistics of `x`.
        momentum: how far the running statistics move.
        eps: added to the variance.

    Returns:
        A tensor of the shape of `x`.

    Raises:
        TypeError: element types other than float32 and float64, or different ones; a momentum that is no number.
        ValueError: shapes that do not fit together; one pixel a channel, or no running statistics to use.

    Example:
        >>> import fastnn
        >>> fastnn.functional.instance_norm(fastnn.tensor([[[1.0, 3.0], [8.0, 6.0]]]), eps=0.0)
        tensor([[[-1.,  1.],
                 [ 1., -1.]]])
    """
    _expect_types("instance_norm", x, eps, weight, bias)
    if x.ndim not in (3, 4):
        raise ValueError(f"instance_norm: x has shape {x.shape}; expected (N, C, L) or (N, C, H, W)")
    if not use_input_stats:
        if running_mean is None or running_var is None:
            raise ValueError("instance_norm: running_mean or running_var is None; expected both, or use_input_stats")
        return batch_norm(x, running_mean, running_var, weight, bias, eps=eps)
    C, count = x.shape[1], math.prod(x.shape[2:])
    if count == 1:
        raise ValueError(f"instance_norm: expected more than 1 spatial element when training, x has shape {x.shape}")
    expect_numbers("instance_norm", momentum=momentum)
    for name, kept in (("running_mean", running_mean), ("running_var", running_var)):
        if kept is not None:
            expect_tensors("instance_norm", **{name: kept})
            if kept.shape != (C,):
                raise ValueError(f"instance_norm: {name} has shape {kept.shape}; expected {(C,)}")

    y, mean, inv_std = _group_norm(x, max(1, C), weight, bias, eps)

    def move(kept: Tensor | None, of_samples: Array) -> None:
        if kept is not None and x.numel() > 0:
            kept.data[...] = (1 - momentum) * kept.data + momentum * of_samples.mean(0)

    move(running_mean, mean)
    if running_var is not None:
        var = quiet(lambda: np.maximum(inv_std.astype(np.float64) ** -2 - eps, 0.0))
        move(running_var, var * (count / max(1, count - 1)))
    return y


def local_response_norm(x: Tensor, size: int, alpha: float = 1e-4, beta: float = 0.75, k: float = 1.0) -> Tensor:
    """Divides each element of x by (k + alpha * mean)**beta, as in PyTorch.

    `mean` is that of x**2 over a window of channels of the same pixel: from `size // 2` before to `(size - 1) // 2`
    behind, where those that do not exist count as zeros. (The paper has the sum in its place: its alpha is PyTorch's
    divided by `size`.)

    Krizhevsky, Sutskever and Hinton: ImageNet classification with deep convolutional neural networks, 2012.

    Args:
        x: (N, C, ...) of 3 dimensions or more.
        size: the number of channels in a window.
        alpha: the factor of the mean.
        beta: the exponent.
        k: what is added to the mean.

    Returns:
        A tensor of the shape of `x`.

    Raises:
        TypeError: element types other than float32 and float64; arguments that are no numbers.
        ValueError: fewer dimensions than 3; a size below 1.

    Example:
        >>> import fastnn
        >>> fastnn.functional.local_response_norm(fastnn.ones(1, 3, 1), size=3, alpha=3.0, beta=1.0, k=2.0).flatten()
        tensor([0.25, 0.2 , 0.25])
    """
    expect_tensors("local_response_norm", x=x)
    expect_numbers("local_response_norm", alpha=alpha, beta=beta, k=k)
    if x.ndim < 3:
        raise ValueError(f"local_response_norm: x has shape {x.shape}; expected (N, C, ...) of at least 3 dimensions")
    images, shape = _as_images(x.data), x.shape

    def backward(dy: Array) -> Array:
        return ops.local_response_norm_backward(_as_images(dy), images, size, alpha, beta, k).reshape(shape)

    y = ops.local_response_norm_forward(images, size, alpha, beta, k)
    return record(y.reshape(shape), backward, x)


def normalize(x: Tensor, p: float = 2.0, dim: Dims = 1, eps: float = 1e-12) -> Tensor:
    """`x / max(norm, eps)`, the norm that of each slice along `dim`, as in PyTorch. Any shape -> the same shape.

    Args:
        x: the input, float32 or float64.
        p: the exponent of the norm, (sum of abs(x)**p)**(1 / p): 1, 2, any other, or infinity for the largest.
        dim: one dimension or several.
        eps: the smallest number to divide by.

    Raises:
        TypeError: `x` is not floating-point, or `p` or `eps` no number.
        IndexError: `x` has no dimension `dim`.

    Example:
        >>> import fastnn
        >>> fastnn.functional.normalize(fastnn.tensor([[3.0, 4.0], [0.0, 0.0]]))
        tensor([[0.6, 0.8],
                [0. , 0. ]])
    """
    expect_tensors("normalize", x=x)
    expect_numbers("normalize", p=p, eps=eps)
    data = x.data
    if data.dtype.kind != "f":
        raise TypeError(f"normalize: x has dtype {data.dtype}; expected a floating-point one")
    axes = all_axes("normalize", dim, data.ndim)
    norm, norm_backward = p_norm(data, p, axes, keepdim=True)
    divisor = np.maximum(norm, np.asarray(eps, data.dtype))

    def backward(dy: Array) -> Array:
        scaled = elementwise(np.true_divide, dy, divisor)
        products = elementwise(np.multiply, scaled, elementwise(np.true_divide, data, divisor))
        dnorm = np.where(norm >= divisor, -total(products, axes, keepdims=True), 0)
        return elementwise(np.add, scaled, norm_backward(dnorm))

    return record(elementwise(np.true_divide, data, divisor), backward, x)


def _expect_types(op: str, x: Tensor, eps: float, weight: Tensor | None, bias: Tensor | None = None) -> None:
    expect_tensors(op, x=x)
    if weight is not None:
        expect_tensors(op, weight=weight)
    if bias is not None:
        expect_tensors(op, bias=bias)
    expect_numbers(op, eps=eps)


def _array(t: Tensor | None) -> Array | None:
    return None if t is None else t.data


def _existing(values: Iterable[Any | None]) -> tuple[Any, ...]:
    return tuple(value for value in values if value is not None)


def _as_images(x: Array) -> Array:
    """(N, C, ...) -> (N, C, H, W) with channels-last memory; (N, C) as it is."""
    if x.ndim == 2:
        return x
    N, C, *sizes = x.shape
    return ops.to_channels_last(x.reshape(N, C, math.prod(sizes[:-1]), sizes[-1]))
