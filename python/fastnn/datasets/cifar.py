"""CIFAR-10: 32x32 colour images of ten kinds of animals and vehicles.

A. Krizhevsky, Learning multiple layers of features from tiny images, 2009.
"""

from __future__ import annotations

import operator
import os
import tarfile
from typing import TYPE_CHECKING, ClassVar

import numpy as np

from ..data import Dataset
from ..data.transforms import Compose, RandomCrop, RandomHorizontalFlip
from .roots import search_roots

if TYPE_CHECKING:
    from numpy.typing import NDArray

__all__ = ["CIFAR10"]

_ARCHIVE = "cifar10-jpeg.tar.gz"
_RECORD = 1 + 3 * 32 * 32  # bytes of a label and an image in the binary files


class CIFAR10(Dataset[tuple["NDArray[np.float32]", np.int64]]):
    """The CIFAR-10 images, read from the binary files or from an archive of JPEG files.

    Items are ``(image, label)``: float32 ``(3, 32, 32)``, normalised as ``normalize`` does, and int64. Any number of
    images is accepted, so files with a part of CIFAR-10 work. Batches are channels-last in memory.

    Args:
        root: The folder of the "binary version" that the CIFAR website offers (``data_batch_1.bin`` to
            ``data_batch_5.bin`` and ``test_batch.bin``), one that holds it as ``cifar-10-batches-bin``, or one that
            holds ``cifar10-jpeg.tar.gz`` with ``train/<class>/*.jpg`` and ``test/<class>/*.jpg`` (needs Pillow). None
            looks in ``$FASTNN_DATA_DIR`` and ``$FASTNN_DATA_DIR/cifar10``.
        train: The 50,000 training images; otherwise the 10,000 test images.

    Attributes:
        images: uint8 ``(N, 32, 32, 3)``, red, green and blue.
        labels: int64 ``(N,)``, positions in ``classes``.
        augment: What residual networks are trained with, as a ``DataLoader``'s transform: a random crop from the image
            with four black pixels around, and half of the images turned round (He et al., 2016, section 4.2).

    Raises:
        FileNotFoundError: The files are not there; the message lists the folders looked in.
        ImportError: Pillow is not installed.
        ValueError: A file is corrupted or does not hold images of 32x32 pixels and their labels.
    """

    classes: ClassVar[tuple[str, ...]] = (
        *("airplane", "automobile", "bird", "cat", "deer"),
        *("dog", "frog", "horse", "ship", "truck"),
    )
    mean: ClassVar[tuple[float, float, float]] = (0.4914, 0.4822, 0.4465)
    std: ClassVar[tuple[float, float, float]] = (0.2470, 0.2435, 0.2616)

    augment: ClassVar[Compose] = Compose(
        (
            RandomCrop(32, padding=4, fill=tuple(-m / s for m, s in zip(mean, std, strict=True))),
            RandomHorizontalFlip(),
        )
    )

    def __init__(self, root: str | os.PathLike[str] | None = None, train: bool = True) -> None:
        self.images: NDArray[np.uint8]
        self.labels: NDArray[np.int64]
        names = [f"data_batch_{i}.bin" for i in range(1, 6)] if train else ["test_batch.bin"]
        roots = search_roots("CIFAR10", root, "cifar10")
        folders = [folder for base in roots for folder in (base, os.path.join(base, "cifar-10-batches-bin"))]
        for folder in folders:
            paths = [os.path.join(folder, name) for name in names]
            if all(map(os.path.isfile, paths)):
                self.images, self.labels = _read_binary(paths)
                return
            archive = os.path.join(folder, _ARCHIVE)
            if os.path.isfile(archive):
                self.images, self.labels = _read_archive(archive, "train" if train else "test", self.classes)
                return
        raise FileNotFoundError(
            f"CIFAR10: neither {names[0]}{' to ' + names[-1] if train else ''} nor {_ARCHIVE} is in one of: "
            + ", ".join(folders)
        )

    def __len__(self) -> int:
        return len(self.images)

    def __getitem__(self, index: int) -> tuple[NDArray[np.float32], np.int64]:
        i = operator.index(index)
        return self.normalize(self.images[i])[0], self.labels[i]

    def __getitems__(self, indices: NDArray[np.int64]) -> tuple[NDArray[np.float32], NDArray[np.int64]]:
        return self.normalize(self.images[indices]), self.labels[indices]

    @classmethod
    def normalize(cls, images: NDArray[np.uint8]) -> NDArray[np.float32]:
        """What a model trained on CIFAR-10 expects: ``(images / 255 - mean) / std``, channel by channel.

        Args:
            images: uint8 ``(N, 32, 32, 3)``, or one image ``(32, 32, 3)``.

        Returns:
            float32 ``(N, 3, 32, 32)``, channels-last in memory.

        Raises:
            TypeError: The images are not uint8.
            ValueError: The images have another shape.

        Example:
            >>> import numpy as np
            >>> from fastnn.datasets import CIFAR10
            >>> CIFAR10.normalize(np.full((32, 32, 3), 255, np.uint8))[0, :, 0, 0].round(3)
            array([2.059, 2.126, 2.116], dtype=float32)
        """
        if images.dtype != np.uint8:
            raise TypeError(f"CIFAR10.normalize: images have dtype {images.dtype}, expected uint8")
        if images.ndim not in (3, 4) or images.shape[-3:] != (32, 32, 3):
            raise ValueError(
                f"CIFAR10.normalize: images have shape {images.shape}, expected (N, 32, 32, 3) or (32, 32, 3)"
            )
        # For a whole row of pixels at once, which is six times as fast as for three channels.
        mean, std = np.tile(cls.mean, 32), np.tile(cls.std, 32)
        rows = images.reshape(-1, 32 * 3)
        x: NDArray[np.float32] = np.multiply(rows, (1 / (255 * std)).astype(np.float32), dtype=np.float32)
        x -= (mean / std).astype(np.float32)
        return x.reshape(-1, 32, 32, 3).transpose(0, 3, 1, 2)


def _read_binary(paths: list[str]) -> tuple[NDArray[np.uint8], NDArray[np.int64]]:
    parts = []
    for path in paths:
        content = np.fromfile(path, np.uint8)
        if content.size == 0 or content.size % _RECORD:
            raise ValueError(f"CIFAR10: {path} holds {content.size} bytes, expected a multiple of {_RECORD}")
        records = content.reshape(-1, _RECORD)
        if records[:, 0].max() > 9:
            raise ValueError(f"CIFAR10: {path} holds label {records[:, 0].max()}, expected 0 to 9")
        parts.append(records)
    records = np.concatenate(parts)
    images = records[:, 1:].reshape(-1, 3, 32, 32).transpose(0, 2, 3, 1)
    return np.ascontiguousarray(images), records[:, 0].astype(np.int64)


def _read_archive(path: str, split: str, classes: tuple[str, ...]) -> tuple[NDArray[np.uint8], NDArray[np.int64]]:
    """The images of `<split>/<class>/*.jpg` in the order of their names."""
    try:
        from PIL import Image
    except ImportError:
        raise ImportError(f"CIFAR10: {path} holds JPEG files: they need Pillow: pip install 'fastnn[vision]'") from None
    found: dict[str, NDArray[np.uint8]] = {}
    name = ""
    try:
        with tarfile.open(path) as archive:
            for member in archive:
                name = member.name
                if not (member.isfile() and name.startswith(f"{split}/")):
                    continue
                if name.count("/") != 2 or name.split("/")[1] not in classes:
                    raise ValueError(f"expected {split}/<class>/<image> with a class of {', '.join(classes)}")
                with Image.open(archive.extractfile(member)) as image:  # type: ignore[arg-type]
                    if image.size != (32, 32):
                        raise ValueError(f"the image has {image.size[0]}x{image.size[1]} pixels, expected 32x32")
                    found[name] = np.asarray(image.convert("RGB"))
            name = "the end of the archive"
            while archive.fileobj.read(1 << 20):  # up to the checksum of everything
                pass
    except (tarfile.TarError, EOFError, OSError, ValueError) as error:
        raise ValueError(f"CIFAR10: {path}: {name}: {error}") from error
    if not found:
        raise ValueError(f"CIFAR10: {path} holds no images in {split}/")
    names = sorted(found)
    labels = [classes.index(name.split("/")[1]) for name in names]
    return np.stack([found[name] for name in names]), np.array(labels, np.int64)
