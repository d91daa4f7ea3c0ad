"""What the values of an image's pixels become: jitter of colours, lighting, normalisation."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from ... import ops
from .base import Draws, check_images, check_number, per_channel, range_around, work_type

if TYPE_CHECKING:
    from numpy.typing import NDArray
    from typing_extensions import Self

Strength = float | tuple[float, float]


@dataclass(frozen=True)
class ColorJitter:
    """Changes brightness, contrast, saturation and hue by random factors, in random order: (N, 3, H, W) -> the same.

    As torchvision's `ColorJitter`. Images of floating-point numbers are taken to be between 0 and 1, and stay there:
    normalise them afterwards (`Normalize`). Those of uint8 are rounded once, after all four changes.

    Args:
        brightness: factors are drawn from `[max(0, 1 - brightness), 1 + brightness]`, or between the two given ones.
        contrast: likewise.
        saturation: likewise.
        hue: parts of a full circle are drawn from `[-hue, hue]`, or between the two given ones, all from -0.5 to 0.5.

    Raises:
        TypeError: an argument is neither a number nor two.
        ValueError: one is negative or out of range. When called: the images do not have 3 channels.
    """

    brightness: Strength = 0
    contrast: Strength = 0
    saturation: Strength = 0
    hue: Strength = 0

    def __post_init__(self) -> None:
        self._ranges()

    def _ranges(self) -> list[tuple[float, float]]:
        ranges = []
        for name in ("brightness", "contrast", "saturation"):
            value = getattr(self, name)
            low, high = range_around("ColorJitter", name, value, 1)
            if isinstance(value, (tuple, list)) and low < 0:
                raise ValueError(f"ColorJitter: {name} is {value!r}, expected no negative number")
            ranges.append((max(low, 0), high))
        low, high = range_around("ColorJitter", "hue", self.hue, 0)
        if not -0.5 <= low <= high <= 0.5:
            raise ValueError(
                f"ColorJitter: hue is {self.hue!r}, expected a number from 0 to 0.5, or two from -0.5 to 0.5 in "
                "ascending order"
            )
        return [*ranges, (low, high)]

    def __call__(self, images: NDArray[Any], draws: Draws) -> NDArray[Any]:
        """(N, 3, H, W) -> the same shape."""
        check_images("ColorJitter", images, draws)
        low, high = np.array(self._ranges(), np.float64).T
        drawn = draws.uniform(8)
        factors = low + (high - low) * drawn[:, :4]
        return ops.augment_colors(images, factors.astype(work_type(images)), np.argsort(drawn[:, 4:], axis=1))


@dataclass(frozen=True)
class Lighting:
    """Adds to all pixels of an image one random colour, along the principal components of the pixels of the data set.

    (N, C, H, W) -> the same shape. The colour is the sum of `alpha_i * eigenvalues_i * eigenvectors_i` with `alpha_i`
    drawn from the normal distribution (Krizhevsky, Sutskever, Hinton: ImageNet classification with deep convolutional
    neural networks, 2012, section 4.1). uint8 images are rounded and cut to 0 to 255.

    Args:
        eigenvalues: those of the covariance of the channels, of pixels from 0 to 1: C numbers.
        eigenvectors: one row of C numbers for each of them.
        std: the standard deviation of `alpha`.

    Raises:
        ValueError: the shapes do not fit to each other, or when called to the images.

    Example:
        >>> import numpy as np
        >>> from fastnn.data.transforms import Draws, Lighting
        >>> images = np.random.default_rng(0).integers(0, 256, (20, 3, 8, 8), np.uint8)
        >>> lighting = Lighting.fit(images)
        >>> lighting(images, Draws(range(20))).shape
        (20, 3, 8, 8)
    """

    eigenvalues: tuple[float, ...]
    eigenvectors: tuple[tuple[float, ...], ...]
    std: float = 0.1

    def __post_init__(self) -> None:
        check_number("Lighting", "std", self.std)
        values, vectors = np.shape(self.eigenvalues), np.shape(self.eigenvectors)
        if len(values) != 1 or vectors != (*values, *values):
            raise ValueError(
                f"Lighting: eigenvalues have shape {values} and eigenvectors {vectors}, expected C and C x C"
            )

    @classmethod
    def fit(cls, images: NDArray[Any], std: float = 0.1) -> Self:
        """The transform for the pixels of these images (N, C, H, W): uint8, or floating-point from 0 to 1.

        Raises:
            TypeError: they are of another type.
            ValueError: there are none, or some that are not finite.
        """
        images = np.asarray(images)
        if images.dtype != np.uint8 and images.dtype.kind != "f":
            raise TypeError(f"Lighting.fit: images have dtype {images.dtype}, expected uint8 or floating-point")
        if images.ndim != 4 or not images.size:
            raise ValueError(f"Lighting.fit: images have shape {images.shape}, expected (N, C, H, W) and some pixels")
        channels = images.shape[1]
        count, total, products = 0, np.zeros(channels), np.zeros((channels, channels))
        for start in range(0, len(images), 1000):
            pixels = images[start : start + 1000].transpose(0, 2, 3, 1).reshape(-1, channels).astype(np.float64)
            if images.dtype == np.uint8:
                pixels /= 255
            count += len(pixels)
            total += pixels.sum(0)
            products += pixels.T @ pixels
        mean = total / count
        covariance = products / count - np.outer(mean, mean)
        if not np.isfinite(covariance).all():
            raise ValueError("Lighting.fit: images have values that are not finite")
        values, vectors = np.linalg.eigh(covariance)
        return cls(tuple(values[::-1].tolist()), tuple(map(tuple, vectors.T[::-1].tolist())), std)

    def __call__(self, images: NDArray[Any], draws: Draws) -> NDArray[Any]:
        """(N, C, H, W) -> the same shape."""
        check_images("Lighting", images, draws)
        channels = len(self.eigenvalues)
        if images.shape[1] != channels:
            raise ValueError(f"Lighting: images have {images.shape[1]} channels, the eigenvectors {channels}")
        colors = draws.normal(channels) * self.std * self.eigenvalues @ np.array(self.eigenvectors)
        if images.dtype == np.uint8:
            colors *= 255
        dtype = work_type(images)
        return ops.augment_scale(images, np.ones(colors.shape, dtype), colors.astype(dtype))


@dataclass(frozen=True)
class Normalize:
    """`(x - mean) / std`, channel by channel, of pixels from 0 to 1: (N, C, H, W) -> the same shape.

    As torchvision's `Normalize`; but uint8 images are divided by 255 first and become float32, in the same pass.

    Args:
        mean: a number, or one for each channel.
        std: likewise, none of them 0.

    Raises:
        TypeError: an argument is something else.
        ValueError: a standard deviation is 0. When called: the number of channels is another one.
    """

    mean: float | tuple[float, ...]
    std: float | tuple[float, ...]

    def __post_init__(self) -> None:
        for name, value in (("mean", self.mean), ("std", self.std)):
            if np.asarray(value).dtype.kind not in "biuf":
                raise TypeError(f"Normalize: {name} is {value!r}, expected a number or one a channel")
        if not np.all(self.std):
            raise ValueError(f"Normalize: std is {self.std}, expected no 0")

    def __call__(self, images: NDArray[Any], draws: Draws) -> NDArray[Any]:
        """(N, C, H, W) -> the same shape."""
        check_images("Normalize", images, draws)
        N, C = images.shape[:2]
        mean, std = (
            per_channel("Normalize", name, value, C, np.float64)
            for name, value in (("mean", self.mean), ("std", self.std))
        )
        largest = 255 if images.dtype == np.uint8 else 1
        scale, offset = (np.tile(a, (N, 1)).astype(work_type(images)) for a in (1 / (std * largest), -mean / std))
        return ops.augment_scale(images, scale, offset, real=True)
