"""Fills a weight with a matrix of a certain structure."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any, TypeVar

import numpy as np

from ...arrays import integer
from ...random import source_of
from ...tensor import Tensor, expect_numbers
from .distributions import check_real, write

if TYPE_CHECKING:
    from numpy.random import Generator

_T = TypeVar("_T", bound=Tensor)


def orthogonal_(tensor: _T, gain: float = 1, generator: Generator | None = None) -> _T:
    """Fills with a random matrix whose rows, or columns if they are fewer, are orthogonal and of length `gain`.

    Dimensions from the second on count as one. All such matrices are equally likely (Saxe et al., 2013; Mezzadri, How
    to generate random matrices from the classical compact groups, 2007).

    Raises:
        ValueError: the tensor has fewer than 2 dimensions.

    Example:
        >>> import fastnn
        >>> from fastnn import nn
        >>> w = nn.init.orthogonal_(fastnn.zeros(2, 3, dtype="float64"))
        >>> bool(abs(w @ w.T - fastnn.tensor([[1.0, 0.0], [0.0, 1.0]])).max() < 1e-12)
        True
    """
    check_real("orthogonal_", tensor)
    expect_numbers("orthogonal_", gain=gain)
    source = source_of("orthogonal_", generator)
    if tensor.ndim < 2:
        raise ValueError(f"orthogonal_: the tensor has shape {tensor.shape}; expected at least 2 dimensions")
    shape = tensor.shape
    if 0 in shape:
        return tensor
    rows, columns = shape[0], math.prod(shape[1:])
    q, r = np.linalg.qr(source.standard_normal((max(rows, columns), min(rows, columns))))
    q *= np.where(np.diag(r) < 0, -gain, gain)  # r with a positive diagonal makes q unique
    return write(tensor, (q if rows >= columns else q.T).reshape(shape))


def sparse_(tensor: _T, sparsity: float, std: float = 0.01, generator: Generator | None = None) -> _T:
    """Fills a matrix from a normal distribution, and sets in each column `ceil(sparsity * rows)` elements to 0.

    Which ones is random (Martens, 2010).

    Raises:
        ValueError: the tensor does not have 2 dimensions, `sparsity` is not from 0 to 1, or `std` is negative.
    """
    check_real("sparse_", tensor)
    expect_numbers("sparse_", sparsity=sparsity, std=std)
    if tensor.ndim != 2:
        raise ValueError(f"sparse_: the tensor has shape {tensor.shape}; expected 2 dimensions")
    if not 0 <= sparsity <= 1:
        raise ValueError(f"sparse_: sparsity is {sparsity}; expected a number from 0 to 1")
    if not std >= 0:
        raise ValueError(f"sparse_: std is {std}; expected at least 0")
    source = source_of("sparse_", generator)
    values = source.normal(0, std, tensor.shape)
    order = source.random(tensor.shape).argsort(axis=0)
    np.put_along_axis(values, order[: math.ceil(sparsity * len(values))], 0, axis=0)
    return write(tensor, values)


def eye_(tensor: _T) -> _T:
    """Fills a matrix with the identity: 1 on the diagonal, 0 elsewhere.

    Raises:
        ValueError: the tensor does not have 2 dimensions.
    """
    check_real("eye_", tensor)
    if tensor.ndim != 2:
        raise ValueError(f"eye_: the tensor has shape {tensor.shape}; expected 2 dimensions")
    return write(tensor, np.eye(tensor.shape[0], tensor.shape[1]))


def dirac_(tensor: _T, groups: int = 1) -> _T:
    """Fills the weight of a convolution so that it passes on as many input channels of each group as it has outputs.

    Padded by half of its (odd) kernel, the convolution then is the identity.

    Args:
        tensor: (out, in / groups, *kernel) with 1 to 3 dimensions of the kernel.
        groups: the groups of the convolution.

    Raises:
        ValueError: the tensor has other dimensions, or `out` is not a multiple of `groups`.
    """
    check_real("dirac_", tensor)
    shape = tensor.shape
    if len(shape) not in (3, 4, 5):
        raise ValueError(f"dirac_: the tensor has shape {shape}; expected 3 to 5 dimensions")
    groups = integer("dirac_", groups=groups)
    if groups < 1 or shape[0] % groups:
        raise ValueError(f"dirac_: the tensor has {shape[0]} outputs; expected a multiple of groups, {groups}")
    values = np.zeros(shape)
    if values.size:
        center: tuple[Any, ...] = tuple(n // 2 for n in shape[2:])
        values[(..., *center)] = np.tile(np.eye(shape[0] // groups, shape[1]), (groups, 1))
    return write(tensor, values)
