"""What PyTorch's files say, in the language of pickle, without pickle: tensors in plain containers, and nothing else.

A pickle is a program that may call anything that Python can import. Here the standard library takes its bytes apart
into instructions (`pickletools.genops`, which runs nothing); those that build dicts, lists, tuples, strings and numbers
are carried out, five of PyTorch's functions stand for themselves, and every other name is an error.
"""

from __future__ import annotations

import pickletools
from typing import IO, Any, NamedTuple


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


class _Name(NamedTuple):
    """A name of PyTorch's or Python's that a pickle refers to."""

    text: str


# Element types by the names that stand for them, in NumPy's terms; bfloat16 has none there.
_STORAGES = {
    "torch.DoubleStorage": "f8",
    "torch.FloatStorage": "f4",
    "torch.HalfStorage": "f2",
    "torch.BFloat16Storage": "bfloat16",
    "torch.LongStorage": "i8",
    "torch.IntStorage": "i4",
    "torch.ShortStorage": "i2",
    "torch.CharStorage": "i1",
    "torch.ByteStorage": "u1",
    "torch.BoolStorage": "?",
    "torch.ComplexFloatStorage": "c8",
    "torch.ComplexDoubleStorage": "c16",
}
_UNTYPED = "torch.storage.UntypedStorage"
_DTYPES = {"torch.uint16": "u2", "torch.uint32": "u4", "torch.uint64": "u8"}
_ORDERED_DICT = "collections.OrderedDict"
_TENSOR = "torch._utils._rebuild_tensor"
_TENSOR_V2 = "torch._utils._rebuild_tensor_v2"
_TENSOR_V3 = "torch._utils._rebuild_tensor_v3"
_PARAMETER = "torch._utils._rebuild_parameter"
_SIZE = "torch.Size"
_FUNCTIONS = {_ORDERED_DICT, _TENSOR, _TENSOR_V2, _TENSOR_V3, _PARAMETER, _SIZE}
_KNOWN = {*_STORAGES, _UNTYPED, *_DTYPES, *_FUNCTIONS}

_CONSTANTS: dict[str, Any] = {"NONE": None, "NEWTRUE": True, "NEWFALSE": False}
_LITERALS = {
    *("INT", "BININT", "BININT1", "BININT2", "LONG", "LONG1", "LONG4", "FLOAT", "BINFLOAT"),
    *("UNICODE", "BINUNICODE", "SHORT_BINUNICODE", "BINUNICODE8", "STRING", "BINSTRING", "SHORT_BINSTRING"),
}
_MARK = object()


def read_pickle(file: IO[bytes]) -> Pickled:
    """What the next pickle of a file holds.

    Tensors are `StoredTensor`s. The containers are of the types of the pickle; what is shared or contains itself there
    is and does here.

    Raises:
        ValueError: it refers to something else, or it is damaged.
    """
    try:
        return _interpret(file)
    except (Refused, MemoryError, OSError):
        raise
    except Exception as error:  # whatever damaged instructions lead to: a stack that is empty, a list for a key
        raise ValueError(f"its pickle is damaged: {type(error).__name__}: {error}") from error


class Refused(ValueError):
    """A pickle holds something that is not read."""


def _interpret(file: IO[bytes]) -> Pickled:
    stack: list[Any] = []
    memo: dict[int, Any] = {}
    storages: list[Storage] = []
    instructions = 0

    def since_mark() -> list[Any]:
        mark = len(stack) - 1
        while stack[mark] is not _MARK:
            mark -= 1
        items = stack[mark + 1 :]
        del stack[mark:]
        return items

    argument: Any
    for opcode, argument, _ in pickletools.genops(file):
        instructions += 1
        name = opcode.name
        if name in ("PROTO", "FRAME"):
            continue
        if name == "STOP":
            (value,) = stack
            return Pickled(_whole(value), storages, instructions)
        if name in _LITERALS:
            stack.append(argument)
        elif name in _CONSTANTS:
            stack.append(_CONSTANTS[name])
        elif name == "MARK":
            stack.append(_MARK)
        elif name in ("BINPUT", "LONG_BINPUT", "PUT"):
            memo[argument] = stack[-1]
        elif name == "MEMOIZE":
            memo[len(memo)] = stack[-1]
        elif name in ("BINGET", "LONG_BINGET", "GET"):
            stack.append(memo[argument])
        elif name == "EMPTY_DICT":
            stack.append({})
        elif name == "EMPTY_LIST":
            stack.append([])
        elif name == "EMPTY_TUPLE":
            stack.append(())
        elif name in ("TUPLE1", "TUPLE2", "TUPLE3"):
            count = int(name[-1])
            if len(stack) < count:
                raise IndexError("too few values for a tuple")
            stack[-count:] = [tuple(map(_whole, stack[-count:]))]
        elif name == "TUPLE":
            stack.append(tuple(map(_whole, since_mark())))
        elif name == "LIST":
            stack.append(list(map(_whole, since_mark())))
        elif name == "DICT":
            items = since_mark()
            stack.append({})
            _set_items(stack[-1], items)
        elif name == "APPEND":
            value = _whole(stack.pop())
            _expect(stack[-1], list).append(value)
        elif name == "APPENDS":
            items = since_mark()
            _expect(stack[-1], list).extend(map(_whole, items))
        elif name == "SETITEM":
            items = [stack.pop(-2), stack.pop()]
            _set_items(stack[-1], items)
        elif name == "SETITEMS":
            items = since_mark()
            _set_items(stack[-1], items)
        elif name in ("GLOBAL", "STACK_GLOBAL"):
            if name == "STACK_GLOBAL":
                module, attribute = stack.pop(-2), stack.pop()
                text = f"{_expect(module, str)}.{_expect(attribute, str)}"
            else:
                text = ".".join(argument.split(" ", 1))
            if text not in _KNOWN:
                raise Refused(f"refers to {text[:100]}; only tensors in plain containers are read")
            stack.append(_Name(text))
        elif name == "REDUCE":
            arguments = stack.pop()
            stack.append(_called(_expect(stack.pop(), _Name).text, _expect(arguments, tuple)))
        elif name == "BUILD":
            # The attributes of an OrderedDict: `_metadata` of a state_dict, versions that nothing here depends on.
            _expect(stack.pop(), dict)
            _expect(stack[-1], dict)
        elif name == "BINPERSID":
            storages.append(_storage(_expect(stack.pop(), tuple)))
            stack.append(storages[-1])
        else:
            raise Refused(f"has the pickle instruction {name}; only tensors in plain containers are read")
    raise ValueError("it ends early")


def _expect(value: Any, kind: Any) -> Any:
    if not isinstance(value, kind) or (kind is int and isinstance(value, bool)):
        raise TypeError(f"{type(value).__name__} in the place of {kind.__name__}")
    return value


def _whole(value: Any) -> Any:
    """What may stand in a container: no mark, no function that nobody calls."""
    if value is _MARK or (isinstance(value, _Name) and value.text in _FUNCTIONS):
        raise TypeError("a function or a mark in the place of a value")
    return value


def _set_items(target: Any, items: list[Any]) -> None:
    _expect(target, dict)
    if len(items) % 2:
        raise ValueError("a key without a value")
    for key, value in zip(items[::2], items[1::2], strict=True):
        if not isinstance(key, (str, int, float, type(None))):  # others could take for ever to hash
            raise Refused(f"has a key of type {type(key).__name__}; expected strings and numbers")
        target[key] = _whole(value)


def _called(name: str, arguments: tuple[Any, ...]) -> Any:
    if name == _ORDERED_DICT:
        pairs = _expect(arguments[0], list) if arguments else []
        made: dict[Any, Any] = {}
        for pair in pairs:
            _set_items(made, list(pair))
        return made
    if name == _SIZE:
        return _sizes(arguments[0])
    if name == _PARAMETER:
        return _expect(arguments[0], StoredTensor)
    if name == _TENSOR_V3:
        dtype = _DTYPES[_expect(arguments[6], _Name).text]
        metadata = arguments[7:]
    elif name in (_TENSOR, _TENSOR_V2):
        dtype = _expect(arguments[0], Storage).dtype
        metadata = arguments[6:]
    else:
        raise TypeError(f"{name} is no function")
    if any(metadata):
        raise Refused(
            "has a tensor that is conjugated or negated lazily; resolve_conj() and resolve_neg() before saving"
        )
    storage, offset, shape, strides = arguments[:4]
    shape, strides = _sizes(shape), _sizes(strides)
    if len(shape) != len(strides) or len(shape) > 32:
        raise ValueError(f"a tensor of {len(shape)} dimensions and {len(strides)} strides")
    return StoredTensor(_expect(storage, Storage), _expect(dtype, str), _natural(offset), shape, strides)


def _storage(what: tuple[Any, ...]) -> Storage:
    tag, kind, key, _, elements, *view = what
    if tag != "storage":
        raise Refused(f"refers to a {str(tag)[:100]!r} outside of itself; expected storages of tensors")
    name = _expect(kind, _Name).text
    if name not in _STORAGES and name != _UNTYPED:
        raise TypeError(f"{name} is no storage")
    start, stored, elements = 0, _natural(elements), _natural(elements)
    if view and view[0] is not None:
        _, start, elements = _expect(view[0], tuple)
    return Storage(_expect(key, str), _STORAGES.get(name), _natural(elements), _natural(start), stored)


def _sizes(values: Any) -> tuple[int, ...]:
    return tuple(map(_natural, values if isinstance(values, list) else _expect(values, tuple)))


def _natural(value: Any) -> int:
    if not 0 <= _expect(value, int) < 1 << 62:
        raise ValueError(f"a size or stride of {value}")
    return int(value)
