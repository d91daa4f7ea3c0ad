"""Images in a folder for each class."""

from __future__ import annotations

import operator
import os
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import numpy as np

from ..data import Dataset

if TYPE_CHECKING:
    from numpy.typing import NDArray

__all__ = ["ImageFolder"]

_EXTENSIONS = (".jpg", ".jpeg", ".png", ".ppm", ".bmp", ".pgm", ".tif", ".tiff", ".webp")


class ImageFolder(Dataset[tuple[Any, np.int64]]):
    """Image files in a folder for each class, `root/<class>/.../<image>`, as torchvision's `ImageFolder`.

    Items are `(image, label)`. Classes are the names of the folders in sorted order, images sorted by their paths.
    Needs Pillow.

    Args:
        root: the folder that holds the classes' folders.
        transform: what makes the image from a `PIL.Image.Image` in RGB; where None it is uint8 (3, H, W), channels-last
            in memory, and a `DataLoader` needs all images to have one size.

    Attributes:
        classes: the names of the classes.
        class_to_idx: the label of each class by its name.
        samples: a list of (path, label).
        targets: int64 (N,), the labels.

    Raises:
        FileNotFoundError: there is no such folder, or it holds no folders, or one of them no images.
        ImportError: Pillow is not installed.
        ValueError: when an item is read: its file is no readable image; the message names it.

    Example:
        >>> import os, tempfile
        >>> from fastnn.datasets import ImageFolder
        >>> from PIL import Image
        >>> root = tempfile.mkdtemp()
        >>> for name in ("dogs", "cats"):
        ...     os.mkdir(os.path.join(root, name))
        ...     Image.new("RGB", (8, 6), "red").save(os.path.join(root, name, "1.png"))
        >>> images = ImageFolder(root)
        >>> images.classes, images[0][0].shape, [int(label) for _, label in images]
        (['cats', 'dogs'], (3, 6, 8), [0, 1])
    """

    def __init__(self, root: str | os.PathLike[str], transform: Callable[[Any], Any] | None = None) -> None:
        _pillow()
        self.root = os.fspath(root)
        self.transform = transform
        if not os.path.isdir(self.root):
            raise FileNotFoundError(f"ImageFolder: {self.root} is not a folder")
        self.classes = sorted(entry.name for entry in os.scandir(self.root) if entry.is_dir())
        if not self.classes:
            raise FileNotFoundError(f"ImageFolder: {self.root} holds no folders, expected one for each class")
        self.class_to_idx = {name: i for i, name in enumerate(self.classes)}
        self.samples: list[tuple[str, int]] = []
        for label, name in enumerate(self.classes):
            paths = sorted(_images_below(os.path.join(self.root, name)))
            if not paths:
                raise FileNotFoundError(
                    f"ImageFolder: {os.path.join(self.root, name)} holds no images, expected files that end in "
                    + ", ".join(_EXTENSIONS)
                )
            self.samples += [(path, label) for path in paths]
        self.targets: NDArray[np.int64] = np.array([label for _, label in self.samples], np.int64)

    def __len__(self) -> int:
        return len(self.samples)

    def __getitem__(self, index: int) -> tuple[Any, np.int64]:
        i = operator.index(index)
        path = self.samples[i][0]
        try:
            with _pillow().open(path) as file:
                image = file.convert("RGB")
        except Exception as error:  # decoders raise whatever a damaged file leads them to
            raise ValueError(f"ImageFolder: {path} is not a readable image: {error}") from error
        return (
            np.asarray(image).transpose(2, 0, 1) if self.transform is None else self.transform(image)
        ), self.targets[i]


def _pillow() -> Any:
    try:
        from PIL import Image
    except ImportError:
        raise ImportError("ImageFolder needs Pillow: pip install 'fastnn[vision]'") from None
    return Image


def _images_below(folder: str) -> list[str]:
    return [
        os.path.join(place, name)
        for place, _, names in os.walk(folder, followlinks=True)
        for name in names
        if name.lower().endswith(_EXTENSIONS)
    ]
