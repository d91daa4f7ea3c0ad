"""Saving and loading arrays by name: safetensors files, and those of PyTorch and NumPy to load."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray

from .tensor import as_tensor

Array: TypeAlias = NDArray[Any]
Path: TypeAlias = "str | os.PathLike[str]"

# The format's header holds text by name; ours is one JSON document under this name.
_METADATA_KEY = "fastnn"

# A number in the first bytes of what PyTorch wrote before version 1.6.
_LEGACY_TORCH = (0x1950A86A20F9469CFC6C).to_bytes(10, "little")


def save(state: Any, path: Path, metadata: Mapping[str, Any] | None = None) -> None:
    """Writes arrays, or the `state_dict` of a module, to a safetensors file.

    The file appears whole or not at all: it is written under a temporary name in the same directory, synced and
    renamed. An earlier file of this name stays until then.

    Args:
        state: a mapping from names to arrays (NumPy arrays, Tensors, PyTorch tensors), or a module.
        path: the file, usually `*.safetensors`.
        metadata: anything that JSON can hold, kept in the file's header; `load_metadata` reads it.

    Raises:
        TypeError: a name is not a string, a value is no array that the format can hold, or the metadata are not JSON.
        OSError: the file cannot be written; FileNotFoundError where its directory does not exist, PermissionError where
            it may not be written.

    Example:
        >>> import os, tempfile, fastnn
        >>> from fastnn import nn
        >>> path = os.path.join(tempfile.mkdtemp(), "layer.safetensors")
        >>> fastnn.save(nn.Linear(3, 2), path, metadata={"epoch": 7})
        >>> {name: array.shape for name, array in fastnn.load(path).items()}
        {'bias': (2,), 'weight': (2, 3)}
        >>> fastnn.load_metadata(path)
        {'epoch': 7}
    """
    if hasattr(state, "state_dict"):
        state = state.state_dict()
    if not isinstance(state, Mapping):
        raise TypeError(f"save: state is {type(state).__name__}; expected a module or a mapping from names to arrays")
    _write_whole(os.path.realpath(path), _serialized(state, metadata))


def load(path: Path) -> dict[str, Array]:
    """The arrays of a file by name; `Module.load_state_dict` takes what it returns.

    What a file is tells its content, whatever its name:

    - A safetensors file. bfloat16, which NumPy lacks, becomes float32.
    - A file of `torch.save` (`.pt`, `.pth`), for which PyTorch is not needed. Nothing in it is executed: tensors in
      plain containers (dicts, lists, tuples, strings, numbers) are read, and everything else is refused by its name.
      float16 and bfloat16 become float32. Tensors that share a storage share memory. Of a checkpoint that keeps its
      weights under `state_dict`, `model_state_dict` or `model` these are returned, and of any other content all
      tensors, named by the keys that lead to each (`optimizer.state.0.exp_avg`); a lone one is named `tensor`.
    - An `.npz` file of NumPy's.

    Raises:
        FileNotFoundError: there is no such file.
        ValueError: the file is truncated, corrupted or of another kind; a file of PyTorch holds something else than
            tensors in plain containers, or is a TorchScript program; a safetensors file has another type that NumPy
            lacks (float8).

    Example:
        >>> import os, tempfile, fastnn, numpy as np
        >>> path = os.path.join(tempfile.mkdtemp(), "arrays.npz")
        >>> np.savez(path, x=np.zeros((2, 3)))
        >>> fastnn.load(path)["x"].shape
        (2, 3)
    """
    with open(path, "rb") as file:
        start = file.read(64)
        file.seek(0)
        try:
            if start.startswith((b"PK\3\4", b"PK\5\6")):
                from .formats.archives import read_archive

                return read_archive(file)
            if _LEGACY_TORCH in start:
                from .formats.torch_files import read_legacy

                return read_legacy(file)
            if start.startswith(b"\x93NUMPY"):
                raise ValueError("is a single array of NumPy's, which np.load reads")
            if start.startswith(b"\x80") and start[8:9] != b"{":  # a safetensors file has its header there
                raise ValueError("is a pickle, but none of torch.save")
        except ValueError as error:
            raise ValueError(f"load: {os.fspath(path)} {error}") from error
    return _read(path)[0]


def load_metadata(path: Path) -> dict[str, Any]:
    """The metadata that `save` put into the header of a safetensors file, or those of another program as strings.

    Raises:
        FileNotFoundError: there is no such file.
        ValueError: the file is truncated, corrupted or no safetensors file.
    """
    texts = _read(path, arrays=False)[1]
    if _METADATA_KEY not in texts:
        return dict(texts)
    try:
        metadata = json.loads(texts[_METADATA_KEY])
    except ValueError as error:
        raise ValueError(f"load_metadata: {os.fspath(path)}: the metadata are not JSON: {error}") from error
    if not isinstance(metadata, dict):
        raise ValueError(f"load_metadata: {os.fspath(path)}: the metadata are {metadata!r}; expected a JSON object")
    return metadata


def _serialized(state: Mapping[str, Any], metadata: Mapping[str, Any] | None) -> bytes:
    from safetensors import SafetensorError
    from safetensors.numpy import save as serialize

    arrays = {}
    for name, value in state.items():
        if not isinstance(name, str):
            raise TypeError(f"save: a name is {name!r}; expected a string")
        if name == "__metadata__":
            raise ValueError("save: the name '__metadata__' is reserved by the file format")
        try:
            array = as_tensor(value.detach() if hasattr(value, "detach") else value).data
        except (TypeError, ValueError, RuntimeError, BufferError) as error:
            raise TypeError(f"save: '{name}' is {type(value).__name__}, not an array of numbers: {error}") from error
        # The library takes the address of an array and its size in bytes: only C-contiguous arrays are safe with it.
        arrays[name] = np.asarray(array, array.dtype.newbyteorder("<"), order="C")
    texts = None
    if metadata is not None:
        try:
            texts = {_METADATA_KEY: json.dumps(dict(metadata))}
        except (TypeError, ValueError) as error:
            raise TypeError(f"save: the metadata are not JSON: {error}") from error
    try:
        return serialize(arrays, metadata=texts)
    except SafetensorError as error:
        raise TypeError(f"save: {error}") from error


def _write_whole(path: str, content: bytes) -> None:
    directory = os.path.dirname(path)
    temporary = os.path.join(directory, f".fastnn-{os.urandom(8).hex()}.tmp")
    try:
        try:
            with open(temporary, "xb") as file:
                file.write(content)
                file.flush()
                os.fsync(file.fileno())
            os.replace(temporary, path)
        except BaseException:
            if os.path.exists(temporary):
                os.unlink(temporary)
            raise
        if os.name == "posix":  # elsewhere a directory cannot be opened, and a rename is durable by itself
            _sync_directory(directory)
    except OSError as error:
        raise OSError(error.errno, f"save: {error.strerror}", path) from error


def _sync_directory(directory: str) -> None:
    descriptor = os.open(directory, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _read(path: Path, arrays: bool = True) -> tuple[dict[str, Array], dict[str, str]]:
    from safetensors import safe_open

    with open(path, "rb"):  # the usual exceptions for a file that is missing, unreadable or a directory
        pass
    try:
        with safe_open(path, framework="np") as file:
            texts = file.metadata() or {}
            if not arrays:
                return {}, texts
            types = {name: file.get_slice(name).get_dtype() for name in file.keys()}  # noqa: SIM118
            found = {name: file.get_tensor(name) for name, dtype in types.items() if dtype != "BF16"}
        if len(found) < len(types):
            found |= _bfloat16_arrays(path)
        return {name: found[name] for name in types}, texts
    except (OSError, MemoryError):
        raise
    except Exception as error:  # the library's own type, and several more for types that NumPy lacks
        raise ValueError(f"load: {os.fspath(path)} is not a whole safetensors file: {error}") from error


def _bfloat16_arrays(path: Path) -> dict[str, Array]:
    """Those of a safetensors file that the library has found to be whole, as float32, whose upper half they are."""
    with open(path, "rb") as file:
        length = int.from_bytes(file.read(8), "little")
        header = json.loads(file.read(length))
        found: dict[str, Array] = {}
        for name, entry in header.items():
            if entry.get("dtype") == "BF16":
                start, end = entry["data_offsets"]
                file.seek(8 + length + start)
                halves = np.frombuffer(file.read(end - start), "<u2").reshape(entry["shape"])
                found[name] = np.left_shift(halves, 16, dtype=np.uint32).view(np.float32)
    return found
