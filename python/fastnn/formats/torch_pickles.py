"""What the pickles of PyTorch's files hold: tensors in plain containers."""

from __future__ import annotations

from typing import IO, Any, NamedTuple

from .pickled import Format, Function, Refused, expect, interpret, set_items


class Storage(NamedTuple):
    """A block of numbers that tensors look at.

    Attributes:
        key: its name in the file.
        dtype: of its elements, or None for bytes of which a tensor says what they are.
        elements: how many there are.
        start: the first one's place in the block that the file holds (of old files, whose blocks may be shared).
        stored: how many elements that block has.
    """

    key: str
    dtype: str | None
    elements: int
    start: int
    stored: int


class StoredTensor(NamedTuple):
    """A tensor: which elements of a storage it has. Offset and strides count elements."""

    storage: Storage
    dtype: str
    offset: int
    shape: tuple[int, ...]
    strides: tuple[int, ...]


class Pickled(NamedTuple):
    """The content of a pickle: its value, the storages that it refers to, and the number of its instructions."""

    value: Any
    storages: list[Storage]
    instructions: int


def read_pickle(file: IO[bytes]) -> Pickled:
    """What the next pickle of a file holds. Tensors are `StoredTensor`s.

    Raises:
        ValueError: it holds something else than tensors in plain containers, or it is damaged.
    """
    storages: list[Storage] = []

    def refer(what: Any) -> Storage:
        storages.append(_storage(expect(what, tuple)))
        return storages[-1]

    value, instructions = interpret(file, _FORMAT._replace(referred=refer))
    return Pickled(value, storages, instructions)


class _StorageType(NamedTuple):
    dtype: str | None


class _DType(NamedTuple):
    dtype: str


def _storage(what: tuple[Any, ...]) -> Storage:
    tag, kind, key, _, elements, *view = what
    if tag != "storage":
        raise Refused(f"refers to a {str(tag)[:100]!r} outside of itself; expected storages of tensors")
    start, stored, elements = 0, _natural(elements), _natural(elements)
    if view and view[0] is not None:
        _, start, elements = expect(view[0], tuple)
    return Storage(expect(key, str), expect(kind, _StorageType).dtype, _natural(elements), _natural(start), stored)


def _ordered_dict(arguments: tuple[Any, ...]) -> dict[Any, Any]:
    made: dict[Any, Any] = {}
    for pair in expect(arguments[0], list) if arguments else ():
        set_items(made, list(pair))
    return made


def _tensor(arguments: tuple[Any, ...]) -> StoredTensor:
    """(storage, offset, shape, strides, requires_grad, hooks, metadata); the first version has the first four."""
    return _stored(expect(arguments[0], Storage).dtype, arguments[:4], arguments[6:])


def _tensor_of_new_type(arguments: tuple[Any, ...]) -> StoredTensor:
    """The same with the element type before the metadata."""
    return _stored(expect(arguments[6], _DType).dtype, arguments[:4], arguments[7:])


def _stored(dtype: str | None, where: tuple[Any, ...], metadata: tuple[Any, ...]) -> StoredTensor:
    if any(metadata):
        raise Refused(
            "has a tensor that is conjugated or negated lazily; resolve_conj() and resolve_neg() before saving"
        )
    storage, offset, shape, strides = where
    shape, strides = _sizes(shape), _sizes(strides)
    if len(shape) != len(strides) or len(shape) > 32:
        raise ValueError(f"a tensor of {len(shape)} dimensions and {len(strides)} strides")
    return StoredTensor(expect(storage, Storage), expect(dtype, str), _natural(offset), shape, strides)


def _sizes(values: Any) -> tuple[int, ...]:
    return tuple(map(_natural, values if isinstance(values, list) else expect(values, tuple)))


def _natural(value: Any) -> int:
    if not 0 <= expect(value, int) < 1 << 62:
        raise ValueError(f"a size or stride of {value}")
    return int(value)


def _set_attributes(made: Any, attributes: Any) -> None:
    """Of an OrderedDict: `_metadata` of a state_dict, versions that nothing here depends on."""
    expect(made, dict)
    expect(attributes, dict)


# Element types by the names that stand for them, in NumPy's terms; bfloat16 has none there.
_STORAGES = {
    "DoubleStorage": "f8",
    "FloatStorage": "f4",
    "HalfStorage": "f2",
    "BFloat16Storage": "bfloat16",
    "LongStorage": "i8",
    "IntStorage": "i4",
    "ShortStorage": "i2",
    "CharStorage": "i1",
    "ByteStorage": "u1",
    "BoolStorage": "?",
    "ComplexFloatStorage": "c8",
    "ComplexDoubleStorage": "c16",
    "storage.UntypedStorage": None,
}
_DTYPES = {"uint16": "u2", "uint32": "u4", "uint64": "u8"}
_FORMAT = Format(
    "tensors in plain containers",
    {
        **{f"torch.{name}": _StorageType(dtype) for name, dtype in _STORAGES.items()},
        **{f"torch.{name}": _DType(dtype) for name, dtype in _DTYPES.items()},
        "collections.OrderedDict": Function(_ordered_dict),
        "torch.Size": Function(lambda arguments: _sizes(arguments[0])),
        "torch._utils._rebuild_tensor": Function(_tensor),
        "torch._utils._rebuild_tensor_v2": Function(_tensor),
        "torch._utils._rebuild_tensor_v3": Function(_tensor_of_new_type),
        "torch._utils._rebuild_parameter": Function(lambda arguments: expect(arguments[0], StoredTensor)),
    },
    _set_attributes,
)
