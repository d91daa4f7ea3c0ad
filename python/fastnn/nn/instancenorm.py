"""Instance normalization layers."""

from __future__ import annotations

import warnings
from typing import ClassVar

from .. import functional as F
from ..tensor import Tensor, expect_tensors
from .batchnorm import ChannelNorm


class _InstanceNorm(ChannelNorm):
    """What the layers share: the choice between the statistics of a sample and the running ones."""

    _expected: ClassVar[tuple[str, str]]  # the shapes of a sample and of a batch

    def __init__(
        self,
        num_features: int,
        eps: float = 1e-5,
        momentum: float | None = 0.1,
        affine: bool = False,
        track_running_stats: bool = False,
        *,
        bias: bool = True,
    ) -> None:
        super().__init__(num_features, eps, momentum, affine, track_running_stats, bias=bias)

    def forward(self, x: Tensor) -> Tensor:
        """Normalizes each channel of each sample: any of the shapes that the class names -> the same shape."""
        expect_tensors(type(self).__name__, x=x)
        sample, batch = self._expected
        batch_ndim = batch.count(",") + 1
        if x.ndim not in (batch_ndim - 1, batch_ndim):
            raise ValueError(f"{type(self).__name__}: x has shape {x.shape}; expected {batch} or {sample}")
        if x.ndim < batch_ndim:
            return self.forward(x.unsqueeze(0)).squeeze(0)
        if x.shape[1] != self.num_features:
            message = f"{type(self).__name__}: x has {x.shape[1]} channels; expected {self.num_features}"
            if self.affine or self.track_running_stats:
                raise ValueError(message)
            warnings.warn(message, stacklevel=2)  # as in PyTorch, since nothing depends on it
        return F.instance_norm(
            x,
            self.running_mean,
            self.running_var,
            self.weight,
            self.bias,
            self.training or not self.track_running_stats,
            self.momentum or 0.0,
            self.eps,
        )


class InstanceNorm1d(_InstanceNorm):
    """Instance normalization of signals: (N, C, L) or (C, L) -> the same shape, as in PyTorch.

    Each channel of each sample becomes (x - mean) / sqrt(var + eps) * weight + bias: with its own mean and variance,
    or, in evaluation mode of a layer that tracks running statistics, with those.

    Args:
        num_features: the number of channels C.
        eps: added to the variance.
        momentum: how far the running statistics move towards the means of those of the samples; None for 0.
        affine: whether there are weight and bias.
        track_running_stats: whether there are running statistics.
        bias: whether an affine layer has a bias.

    Attributes:
        weight: (C,) or None, initialised to 1.
        bias: (C,) or None, initialised to 0.
        running_mean: (C,) or None, a buffer.
        running_var: (C,) or None, a buffer; with divisor n - 1.
        num_batches_tracked: None, or a buffer that PyTorch has, too, and never counts.

    Raises:
        ValueError: another number of channels; one value a channel, where the statistics are those of the samples.

    Example:
        >>> import fastnn
        >>> from fastnn import nn
        >>> nn.InstanceNorm1d(1, eps=0)(fastnn.tensor([[[1.0, 3.0]], [[6.0, 2.0]]])).tolist()
        [[[-1.0, 1.0]], [[1.0, -1.0]]]
    """

    _expected: ClassVar = ("(C, L)", "(N, C, L)")


class InstanceNorm2d(_InstanceNorm):
    """Instance normalization of images: (N, C, H, W) or (C, H, W) -> the same shape, as in PyTorch.

    Arguments, attributes and behaviour are those of `InstanceNorm1d`; the statistics are over H and W.

    Example:
        >>> import fastnn
        >>> from fastnn import nn
        >>> nn.InstanceNorm2d(3, affine=True)(fastnn.ones(2, 3, 4, 4)).shape
        (2, 3, 4, 4)
    """

    _expected: ClassVar = ("(C, H, W)", "(N, C, H, W)")
