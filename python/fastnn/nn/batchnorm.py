"""Batch normalization layers."""

from __future__ import annotations

from typing import ClassVar

import numpy as np

from .. import functional as F
from .. import ops
from ..tensor import Array, Parameter, Tensor, expect_tensors
from . import init
from .module import Module
from .sizes import checked_size


class ChannelNorm(Module):
    """What layers that normalize channels share: parameters and running statistics."""

    weight: Parameter | None
    bias: Parameter | None
    running_mean: Tensor | None
    running_var: Tensor | None
    num_batches_tracked: Tensor | None

    def __init__(
        self,
        num_features: int,
        eps: float,
        momentum: float | None,
        affine: bool,
        track_running_stats: bool,
        *,
        bias: bool,
    ) -> None:
        super().__init__()
        self.num_features = checked_size(f"{type(self).__name__}: num_features", num_features)
        self.eps = eps
        self.momentum = momentum
        self.affine = affine
        self.track_running_stats = track_running_stats

        def channels() -> Array:
            return ops.empty((self.num_features,))

        self.register_parameter("weight", Parameter(channels()) if affine else None)
        self.register_parameter("bias", Parameter(channels()) if affine and bias else None)
        self.register_buffer("running_mean", Tensor(channels()) if track_running_stats else None)
        self.register_buffer("running_var", Tensor(channels()) if track_running_stats else None)
        self.register_buffer("num_batches_tracked", Tensor(np.array(0)) if track_running_stats else None)
        self.reset_parameters()

    def reset_running_stats(self) -> None:
        """Sets the running mean to 0, the running variance to 1 and the count of batches to 0."""
        for buffer, value in ((self.running_mean, 0), (self.running_var, 1), (self.num_batches_tracked, 0)):
            if buffer is not None:
                buffer.fill_(value)

    def reset_parameters(self) -> None:
        """Resets the running statistics and sets weight to 1 and bias to 0."""
        self.reset_running_stats()
        if self.weight is not None:
            init.ones_(self.weight)
        if self.bias is not None:
            init.zeros_(self.bias)

    def extra_repr(self) -> str:
        """All arguments."""
        return (
            f"{self.num_features}, eps={self.eps}, momentum={self.momentum}, affine={self.affine}, "
            f"bias={self.bias is not None}, track_running_stats={self.track_running_stats}"
        )


class _BatchNorm(ChannelNorm):
    """What the layers share: the choice between the statistics of the batch and the running ones."""

    _expected: ClassVar[dict[int, str]]  # the shape of an input by its number of dimensions

    def __init__(
        self,
        num_features: int,
        eps: float = 1e-5,
        momentum: float | None = 0.1,
        affine: bool = True,
        track_running_stats: bool = True,
        *,
        bias: bool = True,
    ) -> None:
        super().__init__(num_features, eps, momentum, affine, track_running_stats, bias=bias)

    def forward(self, x: Tensor) -> Tensor:
        """Normalizes each channel: any of the shapes that the class names -> the same shape."""
        expect_tensors(type(self).__name__, x=x)
        if x.ndim not in self._expected:
            expected = " or ".join(self._expected.values())
            raise ValueError(f"{type(self).__name__}: x has shape {x.shape}; expected {expected}")
        mean, var = self.running_mean, self.running_var
        momentum = self.momentum
        if self.training:
            if not self.track_running_stats:
                mean = var = None
            elif self.num_batches_tracked is not None:
                self.num_batches_tracked.data += 1
                if momentum is None:  # the mean over all batches
                    momentum = 1 / self.num_batches_tracked.item()
        training = self.training or (mean is None and var is None)
        return F.batch_norm(x, mean, var, self.weight, self.bias, training, momentum or 0.0, self.eps)


class BatchNorm1d(_BatchNorm):
    """Batch normalization of vectors or signals: (N, C) or (N, C, L) -> the same shape, as in PyTorch.

    Each channel becomes (x - mean) / sqrt(var + eps) * weight + bias: with the mean and variance of the batch in
    training mode, which also move the running ones, and with the running ones in evaluation mode.

    Args:
        num_features: the number of channels C.
        eps: added to the variance.
        momentum: how far the running statistics move towards those of a batch; None for their mean over all batches.
        affine: whether there are weight and bias.
        track_running_stats: whether there are running statistics; without them evaluation mode takes the batch's, too.
        bias: whether an affine layer has a bias.

    Attributes:
        weight: (C,) or None, initialised to 1.
        bias: (C,) or None, initialised to 0.
        running_mean: (C,) or None, a buffer.
        running_var: (C,) or None, a buffer; with divisor n - 1.
        num_batches_tracked: the number of batches seen in training mode, an int64 buffer, or None.

    Raises:
        ValueError: in training mode, a batch with one value per channel.

    Example:
        >>> import fastnn
        >>> from fastnn import nn
        >>> nn.BatchNorm1d(2, eps=0)(fastnn.tensor([[1.0, 0.0], [3.0, 4.0]])).tolist()
        [[-1.0, -1.0], [1.0, 1.0]]
    """

    _expected: ClassVar = {2: "(N, C)", 3: "(N, C, L)"}


class BatchNorm2d(_BatchNorm):
    """Batch normalization of images: (N, C, H, W) -> (N, C, H, W), as in PyTorch.

    Arguments, attributes and behaviour are those of `BatchNorm1d`; the statistics are over N, H and W.

    Within a model, an addition of a tensor of the same shape and a ReLU that follow run in the same pass over memory,
    forward and backward, however they are written: `relu(bn(conv(x)) + x)`, or ReLU as the next layer.

    Example:
        >>> import fastnn
        >>> from fastnn import nn
        >>> bn = nn.BatchNorm2d(3)
        >>> bn(fastnn.ones(2, 3, 4, 4)).shape
        (2, 3, 4, 4)
        >>> bn.running_mean
        tensor([0.1, 0.1, 0.1])
    """

    _expected: ClassVar = {4: "(N, C, H, W)"}
