"""What transforms are, and the random numbers that they draw."""

from __future__ import annotations

import math
import operator
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from numbers import Real
from typing import TYPE_CHECKING, Any, TypeAlias

import numpy as np

from ... import ops

if TYPE_CHECKING:
    from numpy.typing import ArrayLike, NDArray

Transform: TypeAlias = "Callable[[NDArray[Any], Draws], NDArray[Any]]"


class Draws:
    """Random numbers for the images of a batch.

    What an image gets depends on the seed, the epoch, the image's index in its data set and how many numbers were drawn
    for it before; not on the other images of the batch, nor on threads. They are those of the counter-based generator
    Philox 4x32-10 (Salmon et al.: Parallel random numbers: as easy as 1, 2, 3; 2011).

    Args:
        indices: the images' indices, integers (N,).
        seed: a non-negative integer, of which the lowest 64 bits count.
        epoch: a non-negative integer, of which the lowest 32 bits count.

    Example:
        >>> from fastnn.data.transforms import Draws
        >>> both, one = Draws([5, 7]).uniform(3), Draws([7]).uniform(3)
        >>> both.shape, bool((both[1] == one[0]).all())
        ((2, 3), True)
    """

    def __init__(self, indices: ArrayLike, seed: int = 0, epoch: int = 0) -> None:
        self.indices: NDArray[np.int64] = np.asarray(indices, np.int64)
        self.seed = seed % (1 << 64)
        self.epoch = epoch % (1 << 32)
        self._block = 0

    def __len__(self) -> int:
        """The number of images."""
        return len(self.indices)

    def uniform(self, count: int) -> NDArray[np.float64]:
        """`count` numbers for each image, (N, count), uniform between 0 and 1, and never one of the two."""
        numbers = ops.augment_uniform(self.seed, self.epoch, self.indices, count, self._block)
        self._block += -(-count // 4)
        return numbers

    def normal(self, count: int) -> NDArray[np.float64]:
        """`count` numbers for each image, (N, count), of the normal distribution with mean 0 and variance 1."""
        radius, turn = np.split(self.uniform(2 * count), 2, axis=1)
        result: NDArray[np.float64] = np.sqrt(-2 * np.log(radius)) * np.cos(2 * np.pi * turn)  # Box and Muller, 1958
        return result


@dataclass(frozen=True)
class Compose:
    """One transform after the other, as torchvision's `Compose`.

    Example:
        >>> import numpy as np
        >>> from fastnn.data import ArrayDataset, DataLoader, transforms
        >>> dataset = ArrayDataset(np.zeros((10, 3, 32, 32), np.uint8), np.arange(10))
        >>> augment = transforms.Compose([
        ...     transforms.RandomCrop(32, padding=4, padding_mode="reflect"),
        ...     transforms.RandomHorizontalFlip(),
        ...     transforms.ColorJitter(brightness=0.4, contrast=0.4, saturation=0.4),
        ...     transforms.Normalize(mean=(0.49, 0.48, 0.45), std=(0.25, 0.24, 0.26)),
        ... ])
        >>> loader = DataLoader(dataset, batch_size=5, shuffle=True, seed=0, transform=augment)
        >>> [(x.shape, x.dtype.name) for x, label in loader]
        [((5, 3, 32, 32), 'float32'), ((5, 3, 32, 32), 'float32')]
    """

    transforms: Sequence[Transform]

    def __post_init__(self) -> None:
        if not isinstance(self.transforms, Sequence) or not all(map(callable, self.transforms)):
            raise TypeError(f"Compose: transforms is {self.transforms!r}, expected a list of transforms")

    def __call__(self, images: NDArray[Any], draws: Draws) -> NDArray[Any]:
        """(N, C, H, W) -> what the last transform makes of it."""
        for transform in self.transforms:
            images = transform(images, draws)
        return images


def check_integer(transform: str, name: str, value: Any, minimum: int) -> None:
    """Raises TypeError where the value is no integer, ValueError where it is below the minimum."""
    if not hasattr(value, "__index__"):
        raise TypeError(f"{transform}: {name} is {value!r}, expected an integer")
    if operator.index(value) < minimum:
        raise ValueError(f"{transform}: {name} is {value}, expected at least {minimum}")


def check_number(transform: str, name: str, value: Any) -> None:
    """Raises TypeError where the value is no real number."""
    if not isinstance(value, Real):
        raise TypeError(f"{transform}: {name} is {value!r}, expected a number")


def range_around(transform: str, name: str, value: Any, middle: float) -> tuple[float, float]:
    """The two numbers of a range: those given, or what lies as far as one given number below and above the middle.

    Raises TypeError for anything else, ValueError where the range is not finite or from a larger to a smaller number.
    """
    two = isinstance(value, (tuple, list))
    values = tuple(value) if two else (value,)
    if len(values) != 1 + two or not all(isinstance(number, Real) for number in values):
        raise TypeError(f"{transform}: {name} is {value!r}, expected a number or two")
    low, high = values if two else (middle - value, middle + value)
    if not -math.inf < low <= high < math.inf:
        raise ValueError(
            f"{transform}: {name} is {value!r}, expected a number of at least 0, or two in ascending order"
        )
    return low, high


def check_images(transform: str, images: NDArray[Any], draws: Draws) -> None:
    """Raises an error that names the transform where it cannot work on the images or has no draws for each of them."""
    if not hasattr(images, "dtype"):
        raise TypeError(f"{transform}: images are a {type(images).__name__}, expected an array")
    if images.ndim != 4:
        raise ValueError(f"{transform}: images have shape {images.shape}, expected (N, C, H, W)")
    if images.dtype not in (np.uint8, np.float32, np.float64):
        raise TypeError(f"{transform}: images have dtype {images.dtype}, expected uint8, float32 or float64")
    if len(images) != len(draws):
        raise ValueError(f"{transform}: there are {len(images)} images and draws for {len(draws)}")


def per_channel(transform: str, name: str, value: ArrayLike, channels: int, dtype: Any) -> NDArray[Any]:
    """(channels,): one value for all channels, or one for each."""
    array = np.asarray(value)
    if array.dtype.kind not in "biuf":
        raise TypeError(f"{transform}: {name} is {value!r}, expected a number or one a channel")
    if array.shape not in ((), (1,), (channels,)):
        raise ValueError(
            f"{transform}: {name} has shape {array.shape}, expected a number or one a channel of {channels}"
        )
    if np.dtype(dtype) == np.uint8 and not ((array >= 0) & (array <= 255)).all():
        raise ValueError(f"{transform}: {name} is {value!r}, expected 0 to 255 for uint8 images")
    return np.full(channels, array, dtype)


def work_type(images: NDArray[Any]) -> Any:
    """What images are calculated with in: their own type, or float32 for uint8."""
    return np.float32 if images.dtype == np.uint8 else images.dtype
