"""CIFAR-10 and CIFAR-100: 32x32 colour images of ten and of a hundred kinds of things.

A. Krizhevsky, Learning multiple layers of features from tiny images, 2009.
"""

from __future__ import annotations

import operator
import os
from typing import TYPE_CHECKING, ClassVar

import numpy as np

from ..data import Dataset
from ..data.transforms import Compose, RandomCrop, RandomHorizontalFlip
from .cifar_files import Format, binary, find, pickled, read_jpeg_archive
from .roots import search_roots

if TYPE_CHECKING:
    from numpy.typing import NDArray

__all__ = ["CIFAR10", "CIFAR100"]

Numbers = tuple[float, float, float]


def _augment(mean: Numbers, std: Numbers) -> Compose:
    black = tuple(-m / s for m, s in zip(mean, std, strict=True))
    return Compose((RandomCrop(32, padding=4, fill=black), RandomHorizontalFlip()))


class _Cifar(Dataset[tuple["NDArray[np.float32]", np.int64]]):
    """What the two data sets share."""

    classes: ClassVar[tuple[str, ...]]
    mean: ClassVar[Numbers]
    std: ClassVar[Numbers]
    augment: ClassVar[Compose]
    _folder: ClassVar[str]
    _formats: ClassVar[tuple[Format, ...]]
    _jpeg_archive: ClassVar[str | None] = None

    def __init__(self, root: str | os.PathLike[str] | None = None, train: bool = True) -> None:
        name = type(self).__name__
        folders = search_roots(name, root, self._folder)
        try:
            self.images, self.labels = self._read(folders, train)
        except (ValueError, ImportError) as error:
            raise type(error)(f"{name}: {error}") from error

    def _read(self, folders: list[str], train: bool) -> tuple[NDArray[np.uint8], NDArray[np.int64]]:
        for form in self._formats:
            found = find(folders, form, train, len(self.classes))
            if found is not None:
                return found
        archives = [os.path.join(folder, self._jpeg_archive) for folder in folders if self._jpeg_archive]
        for archive in filter(os.path.isfile, archives):
            return read_jpeg_archive(archive, "train" if train else "test", self.classes)
        files = [form.train if train else form.test for form in self._formats]
        names = [names[0] + (f" to {names[-1]}" if len(names) > 1 else "") for names in files]
        names += [form.archive for form in self._formats]
        names += [self._jpeg_archive] if self._jpeg_archive else []
        raise FileNotFoundError(
            f"{type(self).__name__}: neither {', '.join(names[:-1])} nor {names[-1]} is in one of: {', '.join(folders)}"
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
        """What a model trained on this data set expects: ``(images / 255 - mean) / std``, channel by channel.

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
            raise TypeError(f"{cls.__name__}.normalize: images have dtype {images.dtype}, expected uint8")
        if images.ndim not in (3, 4) or images.shape[-3:] != (32, 32, 3):
            raise ValueError(
                f"{cls.__name__}.normalize: images have shape {images.shape}, expected (N, 32, 32, 3) or (32, 32, 3)"
            )
        # For a whole row of pixels at once, which is six times as fast as for three channels.
        mean, std = np.tile(cls.mean, 32), np.tile(cls.std, 32)
        rows = images.reshape(-1, 32 * 3)
        x: NDArray[np.float32] = np.multiply(rows, (1 / (255 * std)).astype(np.float32), dtype=np.float32)
        x -= (mean / std).astype(np.float32)
        return x.reshape(-1, 32, 32, 3).transpose(0, 3, 1, 2)


class CIFAR10(_Cifar):
    """The CIFAR-10 images.

    Items are ``(image, label)``: float32 ``(3, 32, 32)``, normalised as ``normalize`` does, and int64. Any number of
    images is accepted, so files with a part of CIFAR-10 work. Batches are channels-last in memory.

    Args:
        root: The folder of the files that the CIFAR website offers, "binary version" (``data_batch_1.bin`` to
            ``data_batch_5.bin`` and ``test_batch.bin``) or "python version" (``data_batch_1`` and so on, which are read
            without pickle), or one that holds them in a folder or an archive with the name from there
            (``cifar-10-batches-bin``, ``cifar-10-python.tar.gz``), or one that holds ``cifar10-jpeg.tar.gz`` with
            ``train/<class>/*.jpg`` and ``test/<class>/*.jpg`` (needs Pillow). None looks in ``$FASTNN_DATA_DIR`` and
            ``$FASTNN_DATA_DIR/cifar10``.
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

    classes = (
        *("airplane", "automobile", "bird", "cat", "deer"),
        *("dog", "frog", "horse", "ship", "truck"),
    )
    mean = (0.4914, 0.4822, 0.4465)
    std = (0.2470, 0.2435, 0.2616)
    augment = _augment(mean, std)
    _folder = "cifar10"
    _jpeg_archive = "cifar10-jpeg.tar.gz"
    _formats = (
        Format(
            "cifar-10-batches-bin",
            "cifar-10-binary.tar.gz",
            tuple(f"data_batch_{i}.bin" for i in range(1, 6)),
            ("test_batch.bin",),
            binary(label_bytes=1),
        ),
        Format(
            "cifar-10-batches-py",
            "cifar-10-python.tar.gz",
            tuple(f"data_batch_{i}" for i in range(1, 6)),
            ("test_batch",),
            pickled("labels"),
        ),
    )


class CIFAR100(_Cifar):
    """The CIFAR-100 images, with the labels of the hundred classes ("fine").

    Items, batches, attributes and errors are those of ``CIFAR10``.

    Args:
        root: The folder of the files that the CIFAR website offers, "binary version" (``train.bin`` and ``test.bin``)
            or "python version" (``train`` and ``test``, which are read without pickle), or one that holds them in a
            folder or an archive with the name from there (``cifar-100-binary``, ``cifar-100-python.tar.gz``). None
            looks in ``$FASTNN_DATA_DIR`` and ``$FASTNN_DATA_DIR/cifar100``.
        train: The 50,000 training images; otherwise the 10,000 test images.
    """

    classes = tuple(
        """
        apple aquarium_fish baby bear beaver bed bee beetle bicycle bottle bowl boy bridge bus butterfly camel can
        castle caterpillar cattle chair chimpanzee clock cloud cockroach couch crab crocodile cup dinosaur dolphin
        elephant flatfish forest fox girl hamster house kangaroo keyboard lamp lawn_mower leopard lion lizard lobster
        man maple_tree motorcycle mountain mouse mushroom oak_tree orange orchid otter palm_tree pear pickup_truck
        pine_tree plain plate poppy porcupine possum rabbit raccoon ray road rocket rose sea seal shark shrew skunk
        skyscraper snail snake spider squirrel streetcar sunflower sweet_pepper table tank telephone television tiger
        tractor train trout tulip turtle wardrobe whale willow_tree wolf woman worm
        """.split()  # noqa: SIM905
    )
    mean = (0.5071, 0.4865, 0.4409)
    std = (0.2673, 0.2564, 0.2762)
    augment = _augment(mean, std)
    _folder = "cifar100"
    _formats = (
        Format("cifar-100-binary", "cifar-100-binary.tar.gz", ("train.bin",), ("test.bin",), binary(label_bytes=2)),
        Format("cifar-100-python", "cifar-100-python.tar.gz", ("train",), ("test",), pickled("fine_labels")),
    )
