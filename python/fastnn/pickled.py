"""What PyTorch's files say, in the language of pickle, without pickle: tensors in plain containers, and nothing else.

A pickle is a program that may call anything that Python can import. Here the standard library takes its bytes apart
into instructions (`pickletools.genops`, which runs nothing); those that build dicts, lists, tuples, strings and numbers
are carried out, five of PyTorch's functions stand for themselves, and every other name is an error.
"""

from __future__ import annotations

import pickletools
from collections.abc import Callable
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


class _Machine:
    """The stack and the memo on which the instructions of a pickle work."""

    def __init__(self) -> None:
        self.stack: list[Any] = []
        self.memo: dict[int, Any] = {}
        self.storages: list[Storage] = []

    def pop(self, kind: type = object) -> Any:
        """Takes the last value off the stack."""
        return _expect(self.stack.pop(), kind)

    def top(self, kind: type) -> Any:
        """The last value of the stack, to which something is done in its place."""
        return _expect(self.stack[-1], kind)

    def since_mark(self) -> list[Any]:
        """Takes the values behind the last mark off the stack, and the mark."""
        mark = len(self.stack) - 1
        while self.stack[mark] is not _MARK:
            mark -= 1
        items = self.stack[mark + 1 :]
        del self.stack[mark:]
        return list(map(_whole, items))

    def push(self, value: Any) -> None:
        self.stack.append(value)

    def memoize(self, key: int | None) -> None:
        self.memo[len(self.memo) if key is None else key] = self.stack[-1]

    def tuple_of(self, count: int) -> None:
        self.push(tuple([_whole(self.pop()) for _ in range(count)][::-1]))

    def append(self, _: Any) -> None:
        value = _whole(self.pop())
        self.top(list).append(value)

    def extend(self, _: Any) -> None:
        items = self.since_mark()
        self.top(list).extend(items)

    def set_item(self, _: Any) -> None:
        value, key = _whole(self.pop()), self.pop()
        _set_items(self.top(dict), [key, value])

    def set_items(self, _: Any) -> None:
        items = self.since_mark()
        _set_items(self.top(dict), items)

    def make_dict(self, _: Any) -> None:
        items = self.since_mark()
        self.push({})
        _set_items(self.top(dict), items)

    def name(self, text: str | None) -> None:
        if text is None:
            attribute = self.pop(str)
            text = f"{self.pop(str)} {attribute}"
        text = text.replace(" ", ".", 1)
        if text not in _KNOWN:
            raise Refused(f"refers to {text[:100]}; only tensors in plain containers are read")
        self.push(_Name(text))

    def call(self, _: Any) -> None:
        arguments = self.pop(tuple)
        self.push(_called(self.pop(_Name).text, arguments))

    def set_attributes(self, _: Any) -> None:
        """Of an OrderedDict: `_metadata` of a state_dict, versions that nothing here depends on."""
        self.pop(dict)
        self.top(dict)

    def storage(self, _: Any) -> None:
        self.storages.append(_storage(self.pop(tuple)))
        self.push(self.storages[-1])


# What each instruction does to the machine, with its argument.
_INSTRUCTIONS: dict[str, Callable[[_Machine, Any], None]] = {
    **dict.fromkeys(_LITERALS, _Machine.push),
    **dict.fromkeys(("PROTO", "FRAME"), lambda machine, _: None),
    **dict.fromkeys(("BINPUT", "LONG_BINPUT", "PUT", "MEMOIZE"), _Machine.memoize),
    **dict.fromkeys(("BINGET", "LONG_BINGET", "GET"), lambda machine, key: machine.push(machine.memo[key])),
    **dict.fromkeys(("GLOBAL", "STACK_GLOBAL"), _Machine.name),
    "NONE": lambda machine, _: machine.push(None),
    "NEWTRUE": lambda machine, _: machine.push(True),
    "NEWFALSE": lambda machine, _: machine.push(False),
    "MARK": lambda machine, _: machine.push(_MARK),
    "EMPTY_DICT": lambda machine, _: machine.push({}),
    "EMPTY_LIST": lambda machine, _: machine.push([]),
    "EMPTY_TUPLE": lambda machine, _: machine.push(()),
    "TUPLE1": lambda machine, _: machine.tuple_of(1),
    "TUPLE2": lambda machine, _: machine.tuple_of(2),
    "TUPLE3": lambda machine, _: machine.tuple_of(3),
    "TUPLE": lambda machine, _: machine.push(tuple(machine.since_mark())),
    "LIST": lambda machine, _: machine.push(machine.since_mark()),
    "DICT": _Machine.make_dict,
    "APPEND": _Machine.append,
    "APPENDS": _Machine.extend,
    "SETITEM": _Machine.set_item,
    "SETITEMS": _Machine.set_items,
    "REDUCE": _Machine.call,
    "BUILD": _Machine.set_attributes,
    "BINPERSID": _Machine.storage,
}


def _interpret(file: IO[bytes]) -> Pickled:
    machine = _Machine()
    for count, (opcode, argument, _) in enumerate(pickletools.genops(file), 1):
        if opcode.name == "STOP":
            (value,) = machine.stack
            return Pickled(_whole(value), machine.storages, count)
        if opcode.name not in _INSTRUCTIONS:
            raise Refused(f"has the pickle instruction {opcode.name}; only tensors in plain containers are read")
        _INSTRUCTIONS[opcode.name](machine, argument)
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


def _set_items(target: dict[Any, Any], items: list[Any]) -> None:
    if len(items) % 2:
        raise ValueError("a key without a value")
    for key, value in zip(items[::2], items[1::2], strict=True):
        if not isinstance(key, (str, int, float, type(None))):  # others could take for ever to hash
            raise Refused(f"has a key of type {type(key).__name__}; expected strings and numbers")
        target[key] = value


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
