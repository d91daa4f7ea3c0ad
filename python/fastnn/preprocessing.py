"""Preprocessing that is fitted to training data and becomes a part of the model: `nn.Sequential(preprocessing, model)`.

What `fit` finds are buffers: `state_dict` has them, so that they are in the same file as the weights, and a model that
is loaded needs no other data. No gradient reaches them, but one passes through.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from numbers import Real
from typing import TYPE_CHECKING, Any

import numpy as np

from . import functional as F
from .nn.module import Module
from .nn.sizes import checked_size
from .tensor import Array, Tensor, as_tensor

if TYPE_CHECKING:
    from typing_extensions import Self

__all__ = ["PCA", "ZCA", "Standardize"]

_ROWS = 4096  # of training data, taken to float64 at a time


class Standardize(Module):
    """`(x - mean) / std` for each channel: (N, C, ...) -> the same shape.

    Before `fit` mean is 0 and std 1. A channel that does not vary is only centred.

    Args:
        num_features: the number of channels C (for vectors (N, C), of their elements).

    Attributes:
        mean: (C,), a buffer.
        std: (C,), a buffer; with divisor n.

    Example:
        >>> import numpy as np
        >>> from fastnn import nn
        >>> from fastnn.preprocessing import Standardize
        >>> images = np.random.default_rng(0).uniform(0, 255, (50, 3, 8, 8)).astype(np.float32)
        >>> model = nn.Sequential(Standardize(3).fit(images), nn.Flatten(), nn.Linear(192, 10))
        >>> list(model.state_dict())
        ['0.mean', '0.std', '2.weight', '2.bias']
        >>> y = model[0](images)
        >>> bool(abs(y.numpy().mean()) < 1e-4), bool(abs(y.numpy().std() - 1) < 1e-4)
        (True, True)
    """

    mean: Tensor
    std: Tensor

    def __init__(self, num_features: int) -> None:
        super().__init__()
        self.num_features = checked_size("Standardize: num_features", num_features)
        self.register_buffer("mean", Tensor(np.zeros(num_features, np.float32)))
        self.register_buffer("std", Tensor(np.ones(num_features, np.float32)))

    def fit(self, x: Any) -> Self:
        """Takes mean and standard deviation from training data (N, C, ...), and returns this module.

        Raises:
            ValueError: the data have another number of channels, none to learn from, or some that are not finite.
        """
        data = self._checked(as_tensor(x)).data
        count = data.size // self.num_features
        if not count:
            raise ValueError(f"Standardize: x has shape {data.shape}; expected data to fit to")
        shape, axes = _channel_shape(data.ndim), (0, *range(2, data.ndim))
        # Seen from one of its values, a channel that does not vary has mean and variance 0 without rounding.
        first = data[0].reshape(self.num_features, -1)[:, 0].astype(np.float64)
        mean, square = np.zeros(self.num_features), np.zeros(self.num_features)
        with np.errstate(over="ignore", invalid="ignore"):
            for part in _parts(data):
                mean += (part - first.reshape(shape)).sum(axes) / count
            for part in _parts(data):
                square += np.square(part - first.reshape(shape) - mean.reshape(shape)).sum(axes) / count
        mean, std = _as_buffers("Standardize", self.mean, first + mean, np.sqrt(square))
        self.mean.data[...] = mean
        self.std.data[...] = np.where(std > 0, std, 1)
        return self

    def forward(self, x: Tensor | Array) -> Tensor:
        """(N, C, ...) -> the same shape."""
        x = self._checked(as_tensor(x))
        shape = _channel_shape(x.ndim)
        return (x - self.mean.reshape(shape)) / self.std.reshape(shape)

    def inverse(self, x: Tensor | Array) -> Tensor:
        """The data from what `forward` makes of them."""
        x = self._checked(as_tensor(x))
        shape = _channel_shape(x.ndim)
        return x * self.std.reshape(shape) + self.mean.reshape(shape)

    def _checked(self, x: Tensor) -> Tensor:
        if x.ndim < 2 or x.shape[1] != self.num_features:
            raise ValueError(f"Standardize: x has shape {x.shape}; expected (N, {self.num_features}, ...)")
        return x

    def extra_repr(self) -> str:
        """The number of channels."""
        return str(self.num_features)


class _Whitening(Module):
    """What PCA and ZCA share: two matrices, there and back.

    Attributes are documented in the subclasses.
    """

    mean: Tensor
    weight: Tensor
    inverse_weight: Tensor
    explained_variance: Tensor

    def __init__(self, num_features: int, n_components: int | None, eps: float, rows: int | None = None) -> None:
        super().__init__()
        name = type(self).__name__
        self.num_features = checked_size(f"{name}: num_features", num_features)
        self.n_components = (
            num_features if n_components is None else checked_size(f"{name}: n_components", n_components)
        )
        if self.n_components > num_features:
            raise ValueError(f"{name}: n_components is {n_components}; expected at most num_features, {num_features}")
        self.eps = checked_eps(name, eps)
        size = rows or self.n_components
        eye = np.eye(size, num_features, dtype=np.float32)
        self.register_buffer("mean", Tensor(np.zeros(num_features, np.float32)))
        self.register_buffer("weight", Tensor(eye))
        self.register_buffer("inverse_weight", Tensor(eye.T.copy()))
        self.register_buffer("explained_variance", Tensor(np.ones(self.n_components, np.float32)))

    def _principal_components(self, x: Any) -> tuple[Array, Array]:
        """The components (rows) and the standard deviations to divide by, for the training data x; sets the rest."""
        name, D, K = type(self).__name__, self.num_features, self.n_components
        data = self._rows(as_tensor(x)).data
        if len(data) < 2:
            raise ValueError(f"{name}: x has {len(data)} rows; expected at least 2")
        mean, covariance = np.zeros(D), np.zeros((D, D))
        with np.errstate(over="ignore", invalid="ignore"):
            for part in _parts(data):
                mean += part.sum(0) / len(data)
            for part in _parts(data):
                part -= mean
                covariance += part.T @ part
        covariance /= len(data) - 1
        _as_buffers(name, self.mean, mean, covariance)
        variance, vectors = np.linalg.eigh(covariance)
        variance, components = np.maximum(variance[::-1][:K], 0), vectors.T[::-1][:K]
        least = variance[0] * D * np.finfo(np.float32).eps
        if self.eps == 0 and variance[-1] <= least:
            kept = int(np.count_nonzero(variance > least))
            raise ValueError(
                f"{name}: x varies in {kept} directions only, and n_components is {K}: expected at most {kept}, "
                "or an eps above 0"
            )
        # Their signs are arbitrary: the element of largest magnitude is made positive, as scikit-learn does.
        largest = components[np.arange(K), np.abs(components).argmax(1)]
        self.mean.data[...] = mean
        self.explained_variance.data[...] = variance
        return components * np.sign(largest)[:, None], np.sqrt(variance + self.eps)

    def _rows(self, x: Tensor) -> Tensor:
        if x.ndim < 2 or math.prod(x.shape[1:]) != self.num_features:
            raise ValueError(
                f"{type(self).__name__}: x has shape {x.shape}; expected (N, ...) with {self.num_features} features"
            )
        return x.reshape(len(x), self.num_features)

    def extra_repr(self) -> str:
        """All arguments."""
        return f"{self.num_features}, n_components={self.n_components}, eps={self.eps}"


class PCA(_Whitening):
    """The principal components of the data, scaled to variance 1: (N, ...) -> (N, n_components).

    `forward` is `components @ (x - mean) / sqrt(explained_variance + eps)`, with eps = 0 that of scikit-learn's
    `PCA(n_components, whiten=True)`, the same signs included. Any shape whose elements are `num_features` an item will
    do. Before `fit` it takes the first `n_components` elements.

    Args:
        num_features: elements of an item, D.
        n_components: how many components are kept; None for all.
        eps: added to the variances, so that directions in which the data hardly vary are not blown up.

    Attributes:
        mean: (D,), a buffer.
        weight: (n_components, D), a buffer: the components, divided by the square roots.
        inverse_weight: (D, n_components), a buffer: the components, times the square roots.
        explained_variance: (n_components,), a buffer; with divisor n - 1, the largest first.

    Example:
        >>> import numpy as np
        >>> from fastnn.preprocessing import PCA
        >>> x = np.random.default_rng(0).standard_normal((200, 6), np.float32) * np.float32([9, 5, 1, 1, 1, 1])
        >>> pca = PCA(6, n_components=2).fit(x)
        >>> z = pca(x).numpy()
        >>> z.shape, bool(np.allclose(np.cov(z.T), np.eye(2), atol=1e-4))
        ((200, 2), True)
    """

    def __init__(self, num_features: int, n_components: int | None = None, eps: float = 0.0) -> None:
        super().__init__(num_features, n_components, eps)

    def fit(self, x: Any) -> Self:
        """Finds the components of training data (N, ...), and returns this module.

        Raises:
            ValueError: the shape is another one, there are fewer than 2 items, values that are not finite, or with
                eps = 0 fewer directions in which the data vary than components.
        """
        components, deviations = self._principal_components(x)
        self.weight.data[...] = components / deviations[:, None]
        self.inverse_weight.data[...] = (components * deviations[:, None]).T
        return self

    def forward(self, x: Tensor | Array) -> Tensor:
        """(N, ...) -> (N, n_components)."""
        return F.linear(self._rows(as_tensor(x)) - self.mean, self.weight)

    def inverse(self, z: Tensor | Array) -> Tensor:
        """The point of the components' plane that z belongs to: (N, n_components) -> (N, num_features)."""
        z = as_tensor(z)
        if z.ndim != 2 or z.shape[1] != self.n_components:
            raise ValueError(f"PCA: z has shape {z.shape}; expected (N, {self.n_components})")
        return F.linear(z, self.inverse_weight, self.mean)


class ZCA(_Whitening):
    """Whitening that changes the data as little as possible: (N, ...) -> the same shape.

    `forward` is `E diag(1 / sqrt(variance + eps)) E^T (x - mean)` with the principal components for columns of E:
    images stay images, whose pixels are no longer correlated (Bell and Sejnowski: The "independent components" of
    natural scenes are edge filters, 1997). Before `fit` it changes nothing.

    Args:
        num_features: elements of an item, D.
        n_components: how many components are kept, the rest becoming 0; None for all.
        eps: added to the variances, so that directions in which the data hardly vary are not blown up.

    Attributes:
        mean: (D,), a buffer.
        weight: (D, D), a buffer: the matrix.
        inverse_weight: (D, D), a buffer: the matrix back.
        explained_variance: (n_components,), a buffer; with divisor n - 1, the largest first.

    Example:
        >>> import numpy as np
        >>> from fastnn.preprocessing import ZCA
        >>> images = np.random.default_rng(0).uniform(0, 1, (500, 3, 4, 4)).astype(np.float32)
        >>> zca = ZCA(48, eps=1e-3).fit(images)
        >>> whitened = zca(images)
        >>> whitened.shape, bool(np.allclose(zca.inverse(whitened).numpy(), images, atol=1e-4))
        ((500, 3, 4, 4), True)
    """

    def __init__(self, num_features: int, n_components: int | None = None, eps: float = 0.0) -> None:
        super().__init__(num_features, n_components, eps, rows=num_features)

    def fit(self, x: Any) -> Self:
        """Finds the matrix for training data (N, ...), and returns this module.

        Raises:
            ValueError: the shape is another one, there are fewer than 2 items, values that are not finite, or with
                eps = 0 fewer directions in which the data vary than components.
        """
        components, deviations = self._principal_components(x)
        self.weight.data[...] = components.T / deviations @ components
        self.inverse_weight.data[...] = components.T * deviations @ components
        return self

    def forward(self, x: Tensor | Array) -> Tensor:
        """(N, ...) -> the same shape."""
        x = as_tensor(x)
        return F.linear(self._rows(x) - self.mean, self.weight).reshape(x.shape)

    def inverse(self, z: Tensor | Array) -> Tensor:
        """The data from what `forward` makes of them; of what is not kept, the mean."""
        z = as_tensor(z)
        return F.linear(self._rows(z), self.inverse_weight, self.mean).reshape(z.shape)


def checked_eps(name: str, eps: float) -> float:
    """eps, which must be a number of at least 0."""
    if not isinstance(eps, Real):
        raise TypeError(f"{name}: eps is {eps!r}; expected a number of at least 0")
    if not 0 <= eps < math.inf:
        raise ValueError(f"{name}: eps is {eps}; expected a number of at least 0")
    return eps


def _channel_shape(ndim: int) -> tuple[int, ...]:
    return (1, -1, *(1,) * (ndim - 2))


def _as_buffers(name: str, buffer: Tensor, *found: Array) -> list[Array]:
    """What was found, in the buffer's type. ValueError where it is not finite."""
    with np.errstate(over="ignore"):
        result = [array.astype(buffer.dtype) for array in found]
    if not all(np.isfinite(array).all() for array in result):
        raise ValueError(f"{name}: x has values that are not finite, or too large for {np.dtype(buffer.dtype)}")
    return result


def _parts(data: Array) -> Iterator[Array]:
    """The data in float64, some items at a time."""
    for start in range(0, len(data), _ROWS):
        yield data[start : start + _ROWS].astype(np.float64)
