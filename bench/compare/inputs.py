"""The arrays that both libraries start from: NumPy, float32, the same bits in every process.

A way of running a case is a function of nothing that does the work once and returns its results; where it has a method
`check`, that one returns the results to compare. `Ways` are a library's choices by name.
"""

from __future__ import annotations

import gzip
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float32]
Run = Callable[[], Any]
Ways = dict[str, Run]


def uniform(seed: int, *shape: int) -> Array:
    """Values in [-1, 1)."""
    return np.random.default_rng(seed).random(shape, np.float32) * 2 - 1


def labels(count: int, classes: int) -> NDArray[np.int64]:
    """Class numbers."""
    return np.random.default_rng(0).integers(0, classes, count)


def output_size(size: int, kernel: int, stride: int, pad: int) -> int:
    """The height of what a convolution or pooling makes of `size` rows."""
    return (size + 2 * pad - kernel) // stride + 1


def conv2d(N: int, C: int, H: int, K: int, R: int, stride: int, pad: int, groups: int) -> tuple[Array, ...]:
    """x, w, b, dy of a convolution."""
    P = output_size(H, R, stride, pad)
    return uniform(1, N, C, H, H), uniform(2, K, C // groups, R, R), uniform(3, K), uniform(4, N, K, P, P)


def mnist(folder: Path) -> tuple[Array, NDArray[np.int64]]:
    """The training images of MNIST (60000, 1, 28, 28), in [0, 1], and their labels."""
    images = _idx(folder / "train-images-idx3-ubyte.gz", 16).reshape(-1, 1, 28, 28)
    return images.astype(np.float32) / 255, _idx(folder / "train-labels-idx1-ubyte.gz", 8).astype(np.int64)


def _idx(path: Path, header: int) -> NDArray[np.uint8]:
    return np.frombuffer(gzip.decompress(path.read_bytes()), np.uint8, offset=header)
