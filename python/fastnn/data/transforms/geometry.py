"""Where the pixels of an image go: crops, flips, rotations, and squares that are cut out."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

import numpy as np

from ... import ops
from .base import Draws, check_images, check_integer, check_number, per_channel, range_around, work_type

if TYPE_CHECKING:
    from numpy.typing import NDArray

Fill = float | tuple[float, ...]


@dataclass(frozen=True)
class RandomCrop:
    """A window at a random place of each image with a border around: (N, C, H, W) -> (N, C, P, Q).

    As torchvision's `RandomCrop`.

    Args:
        size: height and width (P, Q) of the window, or one number for both.
        padding: width of the border that is put around the image first.
        fill: the value of the border, or one for each channel: `(0 - mean) / std` is black in normalised images.
        padding_mode: what stands in the border: `"constant"`, the value of `fill`, or `"reflect"`, the image mirrored
            at its outermost pixels (its border must be narrower than the image).

    Raises:
        TypeError: `size` or `padding` is not an integer.
        ValueError: one of them is negative, `size` 0, or `padding_mode` another one. When called: the images do not
            have 4 dimensions, or with their border are smaller than the window.
    """

    size: int | tuple[int, int]
    padding: int = 0
    fill: Fill = 0
    padding_mode: Literal["constant", "reflect"] = "constant"

    def __post_init__(self) -> None:
        sizes = self.size if isinstance(self.size, (tuple, list)) else (self.size, self.size)
        if len(sizes) != 2:
            raise ValueError(f"RandomCrop: size is {self.size!r}, expected an integer or two")
        for size in sizes:
            check_integer("RandomCrop", "size", size, 1)
        check_integer("RandomCrop", "padding", self.padding, 0)
        if self.padding_mode not in ("constant", "reflect"):
            raise ValueError(f"RandomCrop: padding_mode is {self.padding_mode!r}, expected 'constant' or 'reflect'")

    def __call__(self, images: NDArray[Any], draws: Draws) -> NDArray[Any]:
        """(N, C, H, W) -> (N, C, P, Q)."""
        check_images("RandomCrop", images, draws)
        H, W = images.shape[2:]
        P, Q = self.size if isinstance(self.size, (tuple, list)) else (self.size, self.size)
        padding, reflect = self.padding, self.padding_mode == "reflect"
        if H + 2 * padding < P or W + 2 * padding < Q:
            raise ValueError(f"RandomCrop: images of {H}x{W} with a border of {padding} are smaller than {P}x{Q}")
        if reflect and padding >= min(H, W):
            raise ValueError(f"RandomCrop: images of {H}x{W} cannot be reflected in a border of {padding}")
        places = (H + 2 * padding - P + 1, W + 2 * padding - Q + 1)
        top, left = (draws.uniform(2) * places).astype(np.int64).T - padding
        fill = per_channel("RandomCrop", "fill", self.fill, images.shape[1], images.dtype)
        return ops.augment_crop(images, top, left, P, Q, np.zeros(len(images), bool), fill, reflect)


@dataclass(frozen=True)
class RandomHorizontalFlip:
    """Turns left and right round in some of the images: (N, C, H, W) -> the same shape.

    As torchvision's `RandomHorizontalFlip`.

    Args:
        p: the probability of an image to be turned round.

    Raises:
        TypeError: `p` is no number.
        ValueError: `p` is not between 0 and 1. When called: the images do not have 4 dimensions.
    """

    p: float = 0.5

    def __post_init__(self) -> None:
        check_number("RandomHorizontalFlip", "p", self.p)
        if not 0 <= self.p <= 1:
            raise ValueError(f"RandomHorizontalFlip: p is {self.p}, expected a probability from 0 to 1")

    def __call__(self, images: NDArray[Any], draws: Draws) -> NDArray[Any]:
        """(N, C, H, W) -> the same shape."""
        check_images("RandomHorizontalFlip", images, draws)
        N, C, H, W = images.shape
        start = np.zeros(N, np.int64)
        flip = draws.uniform(1)[:, 0] < self.p
        return ops.augment_crop(images, start, start, H, W, flip, np.zeros(C, images.dtype))


@dataclass(frozen=True)
class RandomRotation:
    """Turns each image about its centre by a random angle, interpolating bilinearly: (N, C, H, W) -> the same shape.

    As torchvision's `RandomRotation` with `interpolation=BILINEAR`: a positive angle turns counter-clockwise.

    Args:
        degrees: the largest angle to both sides, or the smallest and the largest one.
        fill: the value of what comes from outside the image, or one for each channel.

    Raises:
        TypeError: `degrees` is neither a number nor two.
        ValueError: `degrees` is negative, not finite or a range from a larger to a smaller angle. When called: the
            images do not have 4 dimensions.
    """

    degrees: float | tuple[float, float]
    fill: Fill = 0

    def __post_init__(self) -> None:
        range_around("RandomRotation", "degrees", self.degrees, 0)

    def __call__(self, images: NDArray[Any], draws: Draws) -> NDArray[Any]:
        """(N, C, H, W) -> the same shape."""
        check_images("RandomRotation", images, draws)
        low, high = range_around("RandomRotation", "degrees", self.degrees, 0)
        angle = np.radians(low + (high - low) * draws.uniform(1)[:, 0])
        cos, sin = np.cos(angle), np.sin(angle)
        y, x = ((size - 1) / 2 for size in images.shape[2:])  # the centre
        # From a pixel of the result to the place it comes from: turned back about the centre. Rows count downwards.
        rows = [[cos, -sin, x - cos * x + sin * y], [sin, cos, y - sin * x - cos * y]]
        matrices = np.array(rows).transpose(2, 0, 1).astype(work_type(images))
        fill = per_channel("RandomRotation", "fill", self.fill, images.shape[1], images.dtype)
        return ops.augment_warp(images, matrices, fill)


@dataclass(frozen=True)
class Cutout:
    """Cuts a square out of each image: (N, C, H, W) -> the same shape.

    Its centre is any pixel of the image with the same probability, so that a part of the square may lie outside
    (DeVries and Taylor: Improved regularization of convolutional neural networks with cutout, 2017).

    Args:
        size: the side of the square.
        fill: what stands in it, or one value for each channel: the mean of the data, which is 0 in normalised images.

    Raises:
        TypeError: `size` is not an integer.
        ValueError: `size` is less than 1. When called: the images do not have 4 dimensions.
    """

    size: int
    fill: Fill = 0

    def __post_init__(self) -> None:
        check_integer("Cutout", "size", self.size, 1)

    def __call__(self, images: NDArray[Any], draws: Draws) -> NDArray[Any]:
        """(N, C, H, W) -> the same shape."""
        check_images("Cutout", images, draws)
        start = (draws.uniform(2) * images.shape[2:]).astype(np.int64) - self.size // 2
        fill = per_channel("Cutout", "fill", self.fill, images.shape[1], images.dtype)
        return ops.augment_erase(images, np.hstack([start, start + self.size]), fill)
