"""Random changes to a batch of images, with torchvision's names: what `DataLoader` takes as `transform`.

A transform is a function `(images, draws) -> images`, (N, C, H, W) to (N, C, P, Q). Each image of the batch is changed
in a way of its own, by random numbers that `draws` gives (`Draws`). Those of fastnn work in C++ on whole batches of
uint8, float32 or float64, with channels-last or C-contiguous memory, and return the same.
"""

from .base import Compose, Draws, Transform
from .color import ColorJitter, Lighting, Normalize
from .geometry import Cutout, RandomCrop, RandomHorizontalFlip, RandomRotation

__all__ = [
    "ColorJitter",
    "Compose",
    "Cutout",
    "Draws",
    "Lighting",
    "Normalize",
    "RandomCrop",
    "RandomHorizontalFlip",
    "RandomRotation",
    "Transform",
]
