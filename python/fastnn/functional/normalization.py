"""Normalization of a sample by itself: over windows of its channels."""

from __future__ import annotations

import math

from .. import ops
from ..tensor import Array, Tensor, expect_numbers, expect_tensors, record


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


def _as_images(x: Array) -> Array:
    """(N, C, ...) of any number of dimensions from 3 on -> (N, C, H, W) with channels-last memory."""
    N, C, *sizes = x.shape
    return ops.to_channels_last(x.reshape(N, C, math.prod(sizes[:-1]), sizes[-1]))
