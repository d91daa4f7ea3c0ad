"""The files in which CIFAR-10 and CIFAR-100 come: binary, pickles, archives of either, an archive of JPEGs."""

from __future__ import annotations

import os
import tarfile
from collections.abc import Callable, Iterator
from typing import NamedTuple, TypeAlias

import numpy as np
from numpy.typing import NDArray

from .pickled_batches import read_pickled

Part: TypeAlias = "tuple[NDArray[np.uint8], NDArray[np.int64]]"  # images (N, 32, 32, 3) and labels

_PIXELS = 3 * 32 * 32


class Format(NamedTuple):
    """One of the forms in which the website offers a data set.

    Attributes:
        folder: what its files are in.
        archive: what this folder is in.
        train: names of the files with training images.
        test: those of the files with test images.
        read: the images of a file, from its content and the number of classes.
    """

    folder: str
    archive: str
    train: tuple[str, ...]
    test: tuple[str, ...]
    read: Callable[[bytes, int], Part]


def read_parts(paths: list[str], contents: Iterator[bytes], form: Format, classes: int) -> Part:
    """The images and labels of some files, one after the other."""
    parts = []
    for path in paths:
        try:
            parts.append(form.read(next(contents), classes))
        except ValueError as error:
            raise ValueError(f"{path} {error}") from error
    return np.concatenate([images for images, _ in parts]), np.concatenate([labels for _, labels in parts])


def find(folders: list[str], form: Format, train: bool, classes: int) -> Part | None:
    """The images of the training or test files in the first of the folders that holds them, bare or in an archive."""
    names = form.train if train else form.test
    for folder in folders:
        for inside in (folder, os.path.join(folder, form.folder)):
            paths = [os.path.join(inside, name) for name in names]
            if all(map(os.path.isfile, paths)):
                return read_parts(paths, map(_content, paths), form, classes)
        archive = os.path.join(folder, form.archive)
        if os.path.isfile(archive):
            return read_parts([f"{archive}: {n}" for n in names], _members(archive, names), form, classes)
    return None


def binary(label_bytes: int) -> Callable[[bytes, int], Part]:
    """The format of records: bytes for labels, of which the last one counts, then red, green and blue."""

    def read(content: bytes, classes: int) -> Part:
        record = label_bytes + _PIXELS
        if not content or len(content) % record:
            raise ValueError(f"holds {len(content)} bytes, expected a multiple of {record}")
        records = np.frombuffer(content, np.uint8).reshape(-1, record)
        return _images(records[:, label_bytes:]), _labels(records[:, label_bytes - 1], classes)

    return read


def pickled(label_name: str) -> Callable[[bytes, int], Part]:
    """The format of the website's "python version": a dict with the array `data` and a list of labels."""

    def read(content: bytes, classes: int) -> Part:
        try:
            batch = read_pickled(content)
        except ValueError as error:
            raise ValueError(f"is damaged: {error}") from error
        data, labels = batch.get("data"), batch.get(label_name)
        if not isinstance(data, np.ndarray) or data.dtype != np.uint8 or data.ndim != 2 or data.shape[1] != _PIXELS:
            shape = f"{data.dtype} {data.shape}" if isinstance(data, np.ndarray) else type(data).__name__
            raise ValueError(f"holds {shape} as data, expected uint8 (N, {_PIXELS})")
        if not isinstance(labels, list) or len(labels) != len(data) or not labels or {type(i) for i in labels} != {int}:
            raise ValueError(f"holds no list of {len(data)} integers as {label_name}")
        return _images(data), _labels(np.array(labels), classes)

    return read


def read_jpeg_archive(path: str, split: str, classes: tuple[str, ...]) -> Part:
    """The images of `<split>/<class>/*.jpg` in the order of their names."""
    try:
        from PIL import Image
    except ImportError:
        raise ImportError(f"{path} holds JPEG files: they need Pillow: pip install 'fastnn[vision]'") from None
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
            _read_to_the_end(archive)
    except (tarfile.TarError, EOFError, OSError, ValueError) as error:
        raise ValueError(f"{path}: {name}: {error}") from error
    if not found:
        raise ValueError(f"{path} holds no images in {split}/")
    names = sorted(found)
    labels = [classes.index(name.split("/")[1]) for name in names]
    return np.stack([found[name] for name in names]), np.array(labels, np.int64)


def _content(path: str) -> bytes:
    with open(path, "rb") as file:
        return file.read()


def _members(path: str, names: tuple[str, ...]) -> Iterator[bytes]:
    """The files of these names in an archive, whatever folder they are in there."""
    found: dict[str, bytes] = {}
    try:
        with tarfile.open(path) as archive:
            for member in archive:
                name = os.path.basename(member.name)
                if member.isfile() and name in names:
                    found[name] = archive.extractfile(member).read()  # type: ignore[union-attr]
            _read_to_the_end(archive)
    except (tarfile.TarError, EOFError, OSError) as error:
        raise ValueError(f"is damaged: {error}") from error
    for name in names:
        if name not in found:
            raise ValueError("is not in the archive")
        yield found.pop(name)


def _read_to_the_end(archive: tarfile.TarFile) -> None:
    """Up to the checksum of everything."""
    while archive.fileobj.read(1 << 20):
        pass


def _images(pixels: NDArray[np.uint8]) -> NDArray[np.uint8]:
    return np.ascontiguousarray(pixels.reshape(-1, 3, 32, 32).transpose(0, 2, 3, 1))


def _labels(labels: NDArray[np.integer], classes: int) -> NDArray[np.int64]:
    for label in (labels.min(), labels.max()):
        if not 0 <= label < classes:
            raise ValueError(f"holds label {label}, expected 0 to {classes - 1}")
    return labels.astype(np.int64)
