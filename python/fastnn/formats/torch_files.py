"""PyTorch's files of tensors (`torch.save`), read without PyTorch and without pickle (see `fastnn.pickled`)."""

from __future__ import annotations

import io
import zipfile
from collections.abc import Callable, Iterator
from typing import IO, Any, Literal, TypeAlias

import numpy as np

from ..arrays import Array
from .torch_pickles import Pickled, Storage, StoredTensor, read_pickle

# Where training programs keep the weights in a checkpoint.
_WEIGHTS = ("state_dict", "model_state_dict", "model")

_LEGACY_MAGIC = 0x1950A86A20F9469CFC6C
_LEGACY_PROTOCOL = 1001

_DEEPEST = 100

# The elements of a storage: takes it, and their type.
_Fetch: TypeAlias = Callable[[Storage, str], Array]


def read_zip(archive: zipfile.ZipFile) -> dict[str, Array]:
    """The tensors by name of a file that `torch.save` has written, from PyTorch 1.6 on.

    Raises:
        ValueError: it holds something else than tensors in plain containers, or it is damaged.
    """
    members = {info.filename: info for info in archive.infolist()}
    (pickle_name,) = (name for name in members if is_pickle_member(name))
    prefix = pickle_name[: -len("data.pkl")]
    if prefix + "constants.pkl" in members:
        raise ValueError("is a TorchScript program; save torch.jit.load(...).state_dict() instead")
    byte_order = archive.read(prefix + "byteorder") if prefix + "byteorder" in members else b"little"
    if byte_order not in (b"little", b"big"):
        raise ValueError(f"has the byte order {byte_order[:20]!r}; expected little or big")
    pickled = read_pickle(io.BytesIO(archive.read(pickle_name)))
    blocks: dict[tuple[str, str], Array] = {}

    def fetch(storage: Storage, dtype: str) -> Array:
        key = storage.key, dtype
        if key not in blocks:
            name = f"{prefix}data/{storage.key}"
            if name not in members:
                raise ValueError(f"lacks the storage {name!r}")
            size = members[name].file_size
            if size != _bytes(storage):
                raise ValueError(f"has {size} bytes in the storage {name!r}; expected {_bytes(storage)}")
            with archive.open(name) as member:
                blocks[key] = _elements(member, size, dtype, ">" if byte_order == b"big" else "<")
        return blocks[key]

    return _named_arrays(pickled, fetch)


def is_pickle_member(name: str) -> bool:
    """Whether a member of an archive has the name that the pickle of PyTorch's has."""
    return name.endswith("/data.pkl") and name.count("/") == 1


def read_legacy(file: IO[bytes]) -> dict[str, Array]:
    """The tensors by name of a file that `torch.save` has written before PyTorch 1.6.

    Raises:
        ValueError: it holds something else than tensors in plain containers, or it is damaged.
    """
    source: Any = _Bounded(file)
    if read_pickle(source).value != _LEGACY_MAGIC or read_pickle(source).value != _LEGACY_PROTOCOL:
        raise ValueError("is a pickle, but none of torch.save")
    read_pickle(source)  # of the system that wrote it; the storages are little-endian on all
    pickled = read_pickle(source)
    keys = read_pickle(source).value
    if not isinstance(keys, list):
        raise ValueError("lacks the names of its storages")
    types = {storage.key: storage for storage in pickled.storages}
    places: dict[str, int] = {}
    at = file.tell()
    end = file.seek(0, io.SEEK_END)
    for key in keys:
        if not isinstance(key, str) or key not in types:
            raise ValueError("has a storage that no tensor refers to")
        storage = types[key]
        file.seek(at)
        if int.from_bytes(file.read(8), "little") != storage.stored:
            raise ValueError(f"has a storage {key[:100]!r} of another size than its tensors say")
        places[key] = at + 8
        at += 8 + _bytes(storage)
        if at > end:
            raise ValueError(f"ends within the storage {key[:100]!r}")
    blocks: dict[tuple[str, str], Array] = {}

    def fetch(storage: Storage, dtype: str) -> Array:
        if storage.key not in places:
            raise ValueError(f"lacks the storage {storage.key[:100]!r}")
        if storage.dtype != types[storage.key].dtype or storage.stored != types[storage.key].stored:
            raise ValueError(f"has two kinds of the storage {storage.key[:100]!r}")
        key = storage.key, dtype
        if key not in blocks:
            file.seek(places[storage.key])
            blocks[key] = _elements(file, _bytes(storage), dtype, "<")
        if storage.start + storage.elements > storage.stored:
            raise ValueError(f"has a view beyond the end of the storage {storage.key[:100]!r}")
        return blocks[key] if storage.dtype is None else blocks[key][storage.start :][: storage.elements]

    return _named_arrays(pickled, fetch)


class _Bounded:
    """A file that reserves no memory for bytes that it does not have."""

    def __init__(self, file: IO[bytes]) -> None:
        self.tell, self.readline = file.tell, file.readline
        self._file = file
        at = file.tell()
        self._end = file.seek(0, io.SEEK_END)
        file.seek(at)

    def read(self, size: int) -> bytes:
        """So many bytes, or as many as there are."""
        return self._file.read(min(size, self._end - self._file.tell()))


# ---- storages -----------------------------------------------------------------------------------------------------


def _stored_type(dtype: str, byte_order: Literal["<", ">"]) -> np.dtype[Any]:
    return np.dtype("u2" if dtype == "bfloat16" else dtype).newbyteorder(byte_order)


def _bytes(storage: Storage) -> int:
    return storage.stored * _stored_type(storage.dtype or "u1", "<").itemsize


def _elements(file: IO[bytes], size: int, dtype: str, byte_order: Literal["<", ">"]) -> Array:
    """So many bytes as an array of native byte order, float16 and bfloat16 as float32."""
    stored = _stored_type(dtype, byte_order)
    if size % stored.itemsize:
        raise ValueError(f"has a storage of {size} bytes; expected a multiple of {stored.itemsize}")
    block = np.empty(size, np.uint8)
    filled, view = 0, memoryview(block.data)
    while filled < size:
        got = file.readinto(view[filled:])  # type: ignore[attr-defined]
        if not got:
            raise ValueError(f"ends after {filled} of the {size} bytes of a storage")
        filled += got
    elements: Array = block.view(stored)
    if dtype == "bfloat16":  # the upper half of a float32
        return np.left_shift(elements, 16, dtype=np.uint32).view(np.float32)
    if dtype == "?":  # any byte that is not 0
        flags: Array = block != 0
        return flags
    native: Array = elements.astype("f4" if dtype == "f2" else stored.newbyteorder("="), copy=False)
    return native


def _array(tensor: StoredTensor, fetch: _Fetch) -> Array:
    """The elements of a tensor, which share memory with those of other tensors of the storage."""
    elements = fetch(tensor.storage, tensor.dtype)
    last = tensor.offset + sum((n - 1) * s for n, s in zip(tensor.shape, tensor.strides, strict=True))
    if 0 in tensor.shape:
        return np.empty(tensor.shape, elements.dtype)
    if last >= len(elements):
        raise ValueError(f"has a tensor that ends at element {last} of a storage of {len(elements)}")
    strides = [s * elements.itemsize for s in tensor.strides]
    return np.lib.stride_tricks.as_strided(elements[tensor.offset :], tensor.shape, strides)


# ---- names --------------------------------------------------------------------------------------------------------


def _named_arrays(pickled: Pickled, fetch: _Fetch) -> dict[str, Array]:
    """The weights of a checkpoint, or all tensors that it holds, by the path to each."""
    content = pickled.value
    budget = [10 * pickled.instructions]  # containers that are shared many times over could be walked for ever
    if isinstance(content, StoredTensor):
        content = {"tensor": content}
    if isinstance(content, dict):
        for key in _WEIGHTS:
            if isinstance(content.get(key), dict) and next(_tensors(content[key], "", 0, budget), None):
                content = content[key]
                break
    arrays: dict[str, Array] = {}
    for name, tensor in _tensors(content, "", 0, budget):
        if name in arrays:
            raise ValueError(f"has two tensors of the name {name[:100]!r}")
        arrays[name] = _array(tensor, fetch)
    return arrays


def _tensors(value: Any, path: str, depth: int, budget: list[int]) -> Iterator[tuple[str, StoredTensor]]:
    budget[0] -= 1
    if depth > _DEEPEST or budget[0] < 0:
        raise ValueError("nests its containers too deeply, or shares them too often")
    if isinstance(value, StoredTensor):
        yield path, value
        return
    items: Any = ()
    if isinstance(value, dict):
        items = value.items()
    elif isinstance(value, (list, tuple)) and not isinstance(value, Storage):
        items = enumerate(value)
    for key, item in items:
        yield from _tensors(item, f"{path}.{key}" if depth else str(key), depth + 1, budget)
