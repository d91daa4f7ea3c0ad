"""The idx file format of the MNIST database: one n-dimensional array a file.

A file is two zero bytes, one byte for the element type, one byte for the number of dimensions, the
dimensions as 32-bit unsigned integers, and the elements in C order, everything big-endian. The
format is described at the end of http://yann.lecun.com/exdb/mnist/.
"""

from __future__ import annotations

import math
import os
import sys
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from io import BufferedIOBase

    from numpy.typing import ArrayLike, NDArray

__all__ = ["read_idx", "write_idx"]

_DTYPES: dict[int, np.dtype[Any]] = {
    0x08: np.dtype(">u1"),
    0x09: np.dtype(">i1"),
    0x0B: np.dtype(">i2"),
    0x0C: np.dtype(">i4"),
    0x0D: np.dtype(">f4"),
    0x0E: np.dtype(">f8"),
}
_CODES = {dtype.newbyteorder("="): code for code, dtype in _DTYPES.items()}
_MAX_DIMS = 64  # NumPy's own limit
_CHUNK_BYTES = 1 << 20


def read_idx(path: str | os.PathLike[str]) -> NDArray[Any]:
    """Reads an idx file, gzip-compressed or not (the content tells, not the name).

    Args:
        path: The file.

    Returns:
        A writable array of the shape in the file's header and of dtype uint8, int8, int16, int32,
        float32 or float64 in native byte order.

    Raises:
        OSError: The file cannot be opened or read.
        ValueError: The file is not a complete idx file: a wrong magic number, an unknown element
            type, dimensions that do not fit the payload (too short or too long), or a corrupted
            gzip stream.

    Example:
        >>> import os, tempfile
        >>> import numpy as np
        >>> from fastnn.data import read_idx, write_idx
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     path = os.path.join(folder, "labels.idx.gz")
        ...     write_idx(path, np.array([5, 0, 4], dtype=np.uint8))
        ...     read_idx(path)
        array([5, 0, 4], dtype=uint8)
    """
    with open(path, "rb") as file:
        if file.peek(2)[:2] != b"\x1f\x8b":
            return _parse(file, path)
        import gzip
        import zlib

        try:
            with gzip.open(file) as stream:
                return _parse(stream, path)
        except (EOFError, gzip.BadGzipFile, zlib.error) as error:
            raise _invalid(path, f"corrupted gzip stream: {error}") from error


def write_idx(path: str | os.PathLike[str], array: ArrayLike) -> None:
    """Writes an array as an idx file, gzip-compressed where the name ends in ``.gz``.

    The same array gives the same bytes: the gzip header carries neither a time nor a name.

    Args:
        path: The file; it is overwritten.
        array: At least one dimension, of uint8, int8, int16, int32, float32 or float64.

    Raises:
        OSError: The file cannot be written.
        TypeError: The format has no code for the array's dtype.
        ValueError: The array has no dimensions, or one of 2**32 or more.
    """
    a = np.asarray(array)
    code = _CODES.get(a.dtype.newbyteorder("="))
    if code is None:
        known = ", ".join(str(dtype) for dtype in _CODES)
        raise TypeError(f"write_idx: array has dtype {a.dtype}, expected one of {known}")
    if a.ndim == 0 or max(a.shape) >= 1 << 32:
        raise ValueError(f"write_idx: array has shape {a.shape}, expected dimensions, each below 2**32")
    header = bytes((0, 0, code, a.ndim)) + np.array(a.shape, ">u4").tobytes()
    content = header + a.astype(_DTYPES[code], copy=False).tobytes()
    if os.fspath(path).endswith(".gz"):
        import gzip

        content = gzip.compress(content, mtime=0)
    with open(path, "wb") as file:
        file.write(content)


def _invalid(path: str | os.PathLike[str], what: str) -> ValueError:
    return ValueError(f"read_idx: {os.fspath(path)}: {what}")


def _parse(stream: BufferedIOBase, path: str | os.PathLike[str]) -> NDArray[Any]:
    magic = stream.read(4)
    if not magic:
        raise _invalid(path, "the file is empty")
    if len(magic) < 4 or magic[:2] != b"\0\0":
        raise _invalid(path, f"not an idx file: it starts with 0x{magic.hex()}, expected 0x0000")
    code, ndim = magic[2:]
    if code not in _DTYPES:
        known = ", ".join(f"0x{c:02x}" for c in _DTYPES)
        raise _invalid(path, f"unknown element type 0x{code:02x}, expected one of {known}")
    if not 1 <= ndim <= _MAX_DIMS:
        raise _invalid(path, f"{ndim} dimensions, expected 1 to {_MAX_DIMS}")

    sizes = stream.read(4 * ndim)
    if len(sizes) < 4 * ndim:
        raise _invalid(path, f"truncated in the header: {len(sizes)} of {4 * ndim} size bytes")
    shape = tuple(np.frombuffer(sizes, ">u4").tolist())
    dtype = _DTYPES[code]
    if dtype.itemsize * math.prod(size for size in shape if size) > sys.maxsize:
        raise _invalid(path, f"shape {shape} of {dtype.name} does not fit into memory")

    # Read as the bytes come: a header may claim far more than the file holds. The one byte past
    # the end finds trailing data and has gzip compare its checksum.
    expected = dtype.itemsize * math.prod(shape)
    payload = bytearray()
    while chunk := stream.read(min(_CHUNK_BYTES, expected + 1 - len(payload))):
        payload += chunk
    if len(payload) != expected:
        found = f"{len(payload)} bytes" if len(payload) < expected else "trailing bytes"
        raise _invalid(path, f"found {found}, expected exactly {expected} for shape {shape} of {dtype.name}")
    native = np.frombuffer(payload, dtype).astype(dtype.newbyteorder("="), copy=False)
    return native.reshape(shape)
