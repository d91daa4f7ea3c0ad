"""Layers that normalize a sample by itself."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from .. import functional as F
from .. import ops
from ..tensor import Parameter, Tensor
from . import init
from .module import Module
from .sizes import checked_size


class _Affine(Module):
    """What the layers share: a weight of ones and a bias of zeros, each of which may be None."""

    weight: Parameter | None
    bias: Parameter | None

    def _make_parameters(self, shape: Sequence[int], weight: bool, bias: bool) -> None:
        self.register_parameter("weight", Parameter(ops.empty(shape)) if weight else None)
        self.register_parameter("bias", Parameter(ops.empty(shape)) if weight and bias else None)
        self.reset_parameters()

    def reset_parameters(self) -> None:
        """Sets weight to 1 and bias to 0."""
        if self.weight is not None:
            init.ones_(self.weight)
        if self.bias is not None:
            init.zeros_(self.bias)


class LayerNorm(_Affine):
    """Layer normalization over the last dimensions: (..., *normalized_shape) -> the same shape, as in PyTorch.

    Each sample becomes (x - mean) / sqrt(var + eps) * weight + bias, with its own mean and variance (with divisor n).

    Args:
        normalized_shape: the sizes of the last dimensions, those that are normalized; an int for one dimension.
        eps: added to the variance.
        elementwise_affine: whether there are weight and bias.
        bias: whether an affine layer has a bias.

    Attributes:
        weight: of the shape `normalized_shape` or None, initialised to 1.
        bias: likewise, initialised to 0.

    Example:
        >>> import fastnn
        >>> from fastnn import nn
        >>> nn.LayerNorm(2, eps=0)(fastnn.tensor([[1.0, 3.0], [7.0, 5.0]])).tolist()
        [[-1.0, 1.0], [1.0, -1.0]]
        >>> nn.LayerNorm((3, 4, 4))(fastnn.ones(2, 3, 4, 4)).shape
        (2, 3, 4, 4)
    """

    def __init__(
        self,
        normalized_shape: int | Sequence[int],
        eps: float = 1e-5,
        elementwise_affine: bool = True,
        bias: bool = True,
    ) -> None:
        super().__init__()
        self.normalized_shape = _checked_shape("LayerNorm", normalized_shape)
        self.eps = eps
        self.elementwise_affine = elementwise_affine
        self._make_parameters(self.normalized_shape, elementwise_affine, bias)

    def forward(self, x: Tensor) -> Tensor:
        """(..., *normalized_shape) -> the same shape."""
        return F.layer_norm(x, self.normalized_shape, self.weight, self.bias, self.eps)

    def extra_repr(self) -> str:
        """All arguments."""
        return (
            f"{self.normalized_shape}, eps={self.eps}, elementwise_affine={self.elementwise_affine}, "
            f"bias={self.bias is not None}"
        )


class RMSNorm(_Affine):
    """x / sqrt(mean(x**2) + eps) * weight over the last dimensions, as in PyTorch.

    (..., *normalized_shape) -> the same shape. See `fastnn.functional.rms_norm`.

    Args:
        normalized_shape: the sizes of the last dimensions, those that are normalized; an int for one dimension.
        eps: added to the mean; None for the distance from 1 to the next number of the type of `x`.
        elementwise_affine: whether there is a weight.

    Attributes:
        weight: of the shape `normalized_shape` or None, initialised to 1.

    Example:
        >>> import fastnn
        >>> from fastnn import nn
        >>> nn.RMSNorm(2)(fastnn.tensor([-1.0, 7.0]))
        tensor([-0.2,  1.4], requires_grad=True)
    """

    def __init__(
        self, normalized_shape: int | Sequence[int], eps: float | None = None, elementwise_affine: bool = True
    ) -> None:
        super().__init__()
        self.normalized_shape = _checked_shape("RMSNorm", normalized_shape)
        self.eps = eps
        self.elementwise_affine = elementwise_affine
        self._make_parameters(self.normalized_shape, elementwise_affine, False)

    def forward(self, x: Tensor) -> Tensor:
        """(..., *normalized_shape) -> the same shape."""
        return F.rms_norm(x, self.normalized_shape, self.weight, self.eps)

    def extra_repr(self) -> str:
        """All arguments."""
        return f"{self.normalized_shape}, eps={self.eps}, elementwise_affine={self.elementwise_affine}"


class GroupNorm(_Affine):
    """Normalization of groups of channels: (N, C, ...) -> the same shape, as in PyTorch.

    Each group of C / num_groups adjacent channels of each sample becomes (x - mean) / sqrt(var + eps), and then each
    channel * weight + bias, with the group's own mean and variance (with divisor n).

    Args:
        num_groups: the number of groups, a divisor of `num_channels`.
        num_channels: the number of channels C.
        eps: added to the variance.
        affine: whether there are weight and bias.
        bias: whether an affine layer has a bias.

    Attributes:
        weight: (C,) or None, initialised to 1.
        bias: (C,) or None, initialised to 0.

    Raises:
        ValueError: `num_groups` does not divide `num_channels`; a group with one value.

    Example:
        >>> import fastnn
        >>> from fastnn import nn
        >>> nn.GroupNorm(2, 6)(fastnn.ones(4, 6, 5, 5)).shape
        (4, 6, 5, 5)
    """

    def __init__(
        self, num_groups: int, num_channels: int, eps: float = 1e-5, affine: bool = True, *, bias: bool = True
    ) -> None:
        super().__init__()
        self.num_groups = checked_size("GroupNorm: num_groups", num_groups)
        self.num_channels = checked_size("GroupNorm: num_channels", num_channels)
        if self.num_channels % self.num_groups:
            raise ValueError(f"GroupNorm: num_channels is {num_channels}; expected a multiple of {num_groups} groups")
        self.eps = eps
        self.affine = affine
        self._make_parameters((self.num_channels,), affine, bias)

    def forward(self, x: Tensor) -> Tensor:
        """(N, C, ...) -> the same shape."""
        return F.group_norm(x, self.num_groups, self.weight, self.bias, self.eps)

    def extra_repr(self) -> str:
        """All arguments."""
        return (
            f"{self.num_groups}, {self.num_channels}, eps={self.eps}, affine={self.affine}, "
            f"bias={self.bias is not None}"
        )


class LocalResponseNorm(Module):
    """x / (k + alpha * mean)**beta, the mean of x**2 over `size` adjacent channels, as in PyTorch.

    See `fastnn.functional.local_response_norm`. (N, C, ...) -> the same shape.

    Args:
        size: the number of channels in a window.
        alpha: the factor of the mean.
        beta: the exponent.
        k: what is added to the mean.

    Example:
        >>> import fastnn
        >>> from fastnn import nn
        >>> nn.LocalResponseNorm(5, k=2.0)(fastnn.ones(2, 96, 55, 55)).shape
        (2, 96, 55, 55)
    """

    def __init__(self, size: int, alpha: float = 1e-4, beta: float = 0.75, k: float = 1.0) -> None:
        super().__init__()
        self.size = checked_size("LocalResponseNorm: size", size)
        self.alpha = alpha
        self.beta = beta
        self.k = k

    def forward(self, x: Tensor) -> Tensor:
        """(N, C, ...) -> the same shape."""
        return F.local_response_norm(x, self.size, self.alpha, self.beta, self.k)

    def extra_repr(self) -> str:
        """All arguments."""
        return f"{self.size}, alpha={self.alpha}, beta={self.beta}, k={self.k}"


def _checked_shape(name: str, shape: Any) -> tuple[int, ...]:
    sizes = shape if isinstance(shape, Sequence) and not isinstance(shape, str) else (shape,)
    if not sizes:
        raise ValueError(f"{name}: normalized_shape is {shape!r}; expected at least one integer")
    return tuple(checked_size(f"{name}: normalized_shape", size) for size in sizes)
