"""MNIST: 28x28 grey images of handwritten digits.

Y. LeCun, L. Bottou, Y. Bengio, P. Haffner, Gradient-based learning applied to document recognition,
Proceedings of the IEEE 86(11), 1998.
"""

from __future__ import annotations

import operator
import os
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np

from ..data import Dataset, read_idx
from .roots import search_roots

if TYPE_CHECKING:
    from numpy.typing import NDArray

__all__ = ["MNIST", "MNISTSubset"]

_SUBSET = os.path.join(os.path.dirname(os.path.abspath(__file__)), "mnist_subset")


class MNIST(Dataset[tuple["NDArray[np.float32]", np.int64]]):
    """The MNIST database, read from its four idx files (with or without ``.gz``).

    Items are ``(image, label)``: float32 ``(1, 28, 28)``, normalised as ``normalize`` does, and
    int64. Any number of images is accepted, so files with a part of MNIST work.

    Args:
        root: The folder of the files, or one that holds them in ``MNIST/raw`` as torchvision
            does. None looks in ``$FASTNN_DATA_DIR`` and ``$FASTNN_DATA_DIR/mnist``.
        train: The 60,000 training images; otherwise the 10,000 test images.

    Attributes:
        images: uint8 ``(N, 28, 28)``, 0 background to 255 ink.
        labels: int64 ``(N,)``, the digits 0 to 9.

    Raises:
        FileNotFoundError: The files are not there; the message lists the folders looked in.
        ValueError: A file is corrupted or does not hold 28x28 images and their labels.

    Example:
        >>> from fastnn.datasets import MNISTSubset  # a part of MNIST comes with fastnn
        >>> image, label = MNISTSubset(train=False)[0]
        >>> image.shape, int(label)
        ((1, 28, 28), 7)
    """

    classes: ClassVar[tuple[str, ...]] = tuple("0123456789")
    mean: ClassVar[float] = 0.1307
    std: ClassVar[float] = 0.3081

    def __init__(self, root: str | os.PathLike[str] | None = None, train: bool = True) -> None:
        images_path, labels_path = _find(root, "train" if train else "t10k")
        self.images: NDArray[np.uint8] = read_idx(images_path)
        labels = read_idx(labels_path)
        if self.images.dtype != np.uint8 or self.images.shape[1:] != (28, 28):
            raise _invalid(images_path, self.images, "uint8 (N, 28, 28)")
        if labels.dtype != np.uint8 or labels.shape != (len(self.images),):
            raise _invalid(labels_path, labels, f"uint8 ({len(self.images)},), one per image")
        if not len(labels):
            raise ValueError(f"MNIST: {images_path} holds no images")
        if labels.max() > 9:
            raise ValueError(f"MNIST: {labels_path} holds label {labels.max()}, expected 0 to 9")
        self.labels: NDArray[np.int64] = labels.astype(np.int64)

    def __len__(self) -> int:
        return len(self.images)

    def __getitem__(self, index: int) -> tuple[NDArray[np.float32], np.int64]:
        i = operator.index(index)
        return self.normalize(self.images[i])[0], self.labels[i]

    def __getitems__(self, indices: NDArray[np.int64]) -> tuple[NDArray[np.float32], NDArray[np.int64]]:
        return self.normalize(self.images[indices]), self.labels[indices]

    @classmethod
    def normalize(cls, images: NDArray[np.uint8]) -> NDArray[np.float32]:
        """What a model trained on MNIST expects: ``(images / 255 - mean) / std``.

        Args:
            images: uint8 ``(N, 28, 28)``, or one image ``(28, 28)``.

        Returns:
            float32 ``(N, 1, 28, 28)``.

        Raises:
            TypeError: The images are not uint8.
            ValueError: The images have another shape.
        """
        if images.dtype != np.uint8:
            raise TypeError(f"MNIST.normalize: images have dtype {images.dtype}, expected uint8")
        if images.ndim not in (2, 3) or images.shape[-2:] != (28, 28):
            raise ValueError(f"MNIST.normalize: images have shape {images.shape}, expected (N, 28, 28) or (28, 28)")
        # Per batch from uint8: as fast as gathering float32, at a quarter of the memory.
        x: NDArray[np.float32] = np.multiply(images, np.float32(1 / (255 * cls.std)), dtype=np.float32)
        x -= np.float32(cls.mean / cls.std)
        return x.reshape(-1, 1, 28, 28)


class MNISTSubset(MNIST):
    """The part of MNIST that comes with fastnn: 600 training and 100 test images of each digit.

    Real MNIST images, unchanged; ``mnist_subset/ATTRIBUTION.md`` says which.

    Args:
        train: The 6,000 training images; otherwise the 1,000 test images.
    """

    def __init__(self, train: bool = True) -> None:
        super().__init__(_SUBSET, train)


def _find(root: str | os.PathLike[str] | None, split: str) -> tuple[str, str]:
    """The paths of a split's images and labels."""
    names = [f"{split}-images-idx3-ubyte", f"{split}-labels-idx1-ubyte"]
    bases = search_roots("MNIST", root, "mnist", hint="; MNISTSubset needs neither")
    folders = [folder for base in bases for folder in (base, os.path.join(base, "MNIST", "raw"))]
    for folder in folders:
        images, labels = (_existing(os.path.join(folder, name)) for name in names)
        if images and labels:
            return images, labels
    raise FileNotFoundError(
        f"MNIST: {names[0]} and {names[1]} (with or without .gz) are in none of: " + ", ".join(folders)
    )


def _existing(path: str) -> str | None:
    return next((p for p in (path, path + ".gz") if os.path.isfile(p)), None)


def _invalid(path: str, array: NDArray[Any], expected: str) -> ValueError:
    return ValueError(f"MNIST: {path} holds {array.dtype} {array.shape}, expected {expected}")
