"""Zip archives of arrays: NumPy's `.npz`, and the files of PyTorch."""

from __future__ import annotations

import io
import math
import zipfile
from typing import IO

import numpy as np

from ..arrays import Array
from .torch_files import is_pickle_member, read_zip

_LARGEST_RATIO = 1032  # by which deflate can compress


def read_archive(file: IO[bytes]) -> dict[str, Array]:
    """The arrays of an archive by name.

    Raises:
        ValueError: it is damaged or holds something else. Sizes are compared with that of the file before memory is
            taken for them.
    """
    try:
        with zipfile.ZipFile(file) as archive:
            _check_sizes(archive, file.seek(0, io.SEEK_END))
            if any(map(is_pickle_member, archive.namelist())):
                return read_zip(archive)
            return _read_npz(archive)
    except (OSError, MemoryError, ValueError):
        raise
    except Exception as error:  # a zlib.error, a BadZipFile, and more that damaged archives lead to
        raise ValueError(f"is a damaged zip archive: {error}") from error


def _check_sizes(archive: zipfile.ZipFile, size: int) -> None:
    members = archive.infolist()
    if len({info.filename for info in members}) != len(members):
        raise ValueError("is a zip archive with two members of one name")
    if sum(info.compress_size for info in members) > size:
        raise ValueError("is a damaged zip archive: its members are larger than itself")
    if any(not 0 <= info.header_offset < size for info in members):
        raise ValueError("is a damaged zip archive: a member lies outside of it")
    for info in members:
        stored = info.compress_type == zipfile.ZIP_STORED
        if info.file_size > info.compress_size * (1 if stored else _LARGEST_RATIO):
            raise ValueError(f"is a damaged zip archive: {info.filename[:100]!r} is larger than its data can be")


def _read_npz(archive: zipfile.ZipFile) -> dict[str, Array]:
    arrays = {}
    for info in archive.infolist():
        name = info.filename
        if not name.endswith(".npy"):
            raise ValueError("is a zip archive, but neither NumPy's nor PyTorch's")
        with archive.open(info) as member:
            version = np.lib.format.read_magic(member)
            read_header = {
                (1, 0): np.lib.format.read_array_header_1_0,
                (2, 0): np.lib.format.read_array_header_2_0,
            }.get(version)
            if read_header is None:
                raise ValueError(f"has the array {name[:100]!r} of an unknown version {version}")
            shape, _, dtype = read_header(member)
            if dtype.kind not in "biufc":
                raise ValueError(f"has the array {name[:100]!r} of dtype {dtype}; expected numbers or booleans")
            if min(shape, default=0) < 0 or math.prod(shape) * dtype.itemsize != info.file_size - member.tell():
                raise ValueError(f"has the array {name[:100]!r} of shape {shape} in {info.file_size} bytes")
        with archive.open(info) as member:
            array: Array = np.lib.format.read_array(member, allow_pickle=False)
        arrays[name[: -len(".npy")]] = array.astype(dtype.newbyteorder("="), copy=False)
    return arrays
