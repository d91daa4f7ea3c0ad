"""Random changes to a batch of images, with torchvision's names: what ``DataLoader`` takes as ``transform``.

A transform is a function ``(images, generator) -> images``, ``(N, C, H, W)`` to ``(N, C, P, Q)``. Each image of the
batch is changed in a way of its own, drawn from the generator.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, TypeAlias

import numpy as np

if TYPE_CHECKING:
    from numpy.random import Generator
    from numpy.typing import NDArray

__all__ = ["Compose", "RandomCrop", "RandomHorizontalFlip", "Transform"]

Transform: TypeAlias = "Callable[[NDArray[Any], Generator], NDArray[Any]]"


@dataclass(frozen=True)
class Compose:
    """One transform after the other, as torchvision's ``Compose``.

    Example:
        >>> import numpy as np
        >>> from fastnn.data import ArrayDataset, DataLoader
        >>> from fastnn.data.transforms import Compose, RandomCrop, RandomHorizontalFlip
        >>> dataset = ArrayDataset(np.zeros((10, 3, 32, 32), np.float32), np.arange(10))
        >>> augment = Compose([RandomCrop(32, padding=4), RandomHorizontalFlip()])
        >>> loader = DataLoader(dataset, batch_size=5, shuffle=True, seed=0, transform=augment)
        >>> [(x.shape, y.shape) for x, y in loader]
        [((5, 3, 32, 32), (5,)), ((5, 3, 32, 32), (5,))]
    """

    transforms: Sequence[Transform]

    def __call__(self, images: NDArray[Any], generator: Generator) -> NDArray[Any]:
        """``(N, C, H, W)`` -> what the last transform makes of it."""
        for transform in self.transforms:
            images = transform(images, generator)
        return images


@dataclass(frozen=True)
class RandomCrop:
    """A square at a random place of each image with a border around: ``(N, C, H, W)`` -> ``(N, C, size, size)``.

    As torchvision's ``RandomCrop``. The result is channels-last in memory.

    Args:
        size: Height and width of the square.
        padding: Width of the border that is put around the image first.
        fill: The value of the border, or one for each channel: ``(0 - mean) / std`` is black in normalised images.

    Raises:
        TypeError: `size` or `padding` is not an integer.
        ValueError: One of them is negative, or `size` 0. When called: the images have another number of dimensions,
            or with their border are smaller than the square.
    """

    size: int
    padding: int = 0
    fill: float | tuple[float, ...] = 0

    def __post_init__(self) -> None:
        for name, value, minimum in (("size", self.size, 1), ("padding", self.padding, 0)):
            if not hasattr(value, "__index__"):
                raise TypeError(f"RandomCrop: {name} is {value!r}, expected an integer")
            if value < minimum:
                raise ValueError(f"RandomCrop: {name} is {value}, expected at least {minimum}")

    def __call__(self, images: NDArray[Any], generator: Generator) -> NDArray[Any]:
        """``(N, C, H, W)`` -> ``(N, C, size, size)``."""
        _check_images("RandomCrop", images)
        (N, C, H, W), size, padding = images.shape, self.size, self.padding
        rows, columns = H + 2 * padding, W + 2 * padding
        if min(rows, columns) < size:
            raise ValueError(f"RandomCrop: images of {H}x{W} with a border of {padding} are smaller than {size}x{size}")
        padded = np.empty((N, rows, columns, C), images.dtype)
        border = np.broadcast_to(np.asarray(self.fill, images.dtype), (columns, C))
        padded.reshape(N, rows, columns * C)[...] = border.reshape(-1)  # whole rows: three times as fast as pixels
        padded[:, padding : padding + H, padding : padding + W] = images.transpose(0, 2, 3, 1)
        tops = generator.integers(0, rows - size, N, endpoint=True).tolist()
        lefts = generator.integers(0, columns - size, N, endpoint=True).tolist()
        crops = np.empty((N, size, size, C), images.dtype)
        for crop, image, top, left in zip(crops, padded, tops, lefts, strict=True):
            crop[...] = image[top : top + size, left : left + size]
        return crops.transpose(0, 3, 1, 2)


@dataclass(frozen=True)
class RandomHorizontalFlip:
    """Turns left and right round in some of the images: ``(N, C, H, W)`` -> the same shape and memory layout.

    As torchvision's ``RandomHorizontalFlip``.

    Args:
        p: The probability of an image to be turned round.

    Raises:
        ValueError: `p` is not between 0 and 1. When called: the images have another number of dimensions.
    """

    p: float = 0.5

    def __post_init__(self) -> None:
        if not 0 <= self.p <= 1:
            raise ValueError(f"RandomHorizontalFlip: p is {self.p}, expected a probability from 0 to 1")

    def __call__(self, images: NDArray[Any], generator: Generator) -> NDArray[Any]:
        """``(N, C, H, W)`` -> the same shape."""
        _check_images("RandomHorizontalFlip", images)
        flipped = np.flatnonzero(generator.random(len(images)) < self.p)
        result = images.copy(order="K")
        result[flipped] = images[flipped, :, :, ::-1]
        return result


def _check_images(transform: str, images: NDArray[Any]) -> None:
    if images.ndim != 4:
        raise ValueError(f"{transform}: images have shape {images.shape}, expected (N, C, H, W)")
