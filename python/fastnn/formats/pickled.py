"""Pickles read without pickle: plain containers, strings and numbers, and what a format adds to them.

A pickle is a program that may call anything that Python can import. Here the standard library takes its bytes apart
into instructions (`pickletools.genops`, which runs nothing); those that build containers, strings and numbers are
carried out, a few names that a format knows stand for what it says, and every other name is an error.
"""

from __future__ import annotations

import pickletools
from collections.abc import Callable, Mapping
from typing import IO, Any, NamedTuple


class Function(NamedTuple):
    """What stands for a function: takes its arguments."""

    call: Callable[[tuple[Any, ...]], Any]


class Format(NamedTuple):
    """What pickles of one kind may hold beside plain containers, strings and numbers.

    Attributes:
        expected: in words.
        names: by module and name, joined by a dot, what stands for it: a `Function`, or a value.
        set_attributes: takes what a function has made, and its attributes.
        referred: what stands for something outside of the pickle.
    """

    expected: str
    names: Mapping[str, Any]
    set_attributes: Callable[[Any, Any], None]
    referred: Callable[[Any], Any] | None = None


class Refused(ValueError):
    """A pickle holds something that its format does not have."""


def interpret(file: IO[bytes], form: Format) -> tuple[Any, int]:
    """What the next pickle of a file holds, and the number of its instructions.

    What is shared or contains itself there is and does here.

    Raises:
        Refused: it refers to something that the format does not know.
        ValueError: it is damaged.
    """
    machine = _Machine(form)
    try:
        for count, (opcode, argument, _) in enumerate(pickletools.genops(file), 1):
            if opcode.name == "STOP":
                (value,) = machine.stack
                return _whole(value), count
            if opcode.name not in _INSTRUCTIONS:
                raise Refused(f"has the pickle instruction {opcode.name}; only {form.expected} are read")
            _INSTRUCTIONS[opcode.name](machine, argument)
    except (Refused, MemoryError, OSError):
        raise
    except Exception as error:  # whatever damaged instructions lead to: a stack that is empty, a list for a key
        raise ValueError(f"its pickle is damaged: {type(error).__name__}: {error}") from error
    raise ValueError("its pickle is damaged: it ends early")


def expect(value: Any, kind: type) -> Any:
    """The value, which must be of a type."""
    if not isinstance(value, kind) or (kind is int and isinstance(value, bool)):
        raise TypeError(f"{type(value).__name__} in the place of {kind.__name__}")
    return value


_MARK = object()


class _Machine:
    """The stack and the memo on which the instructions of a pickle work."""

    def __init__(self, form: Format) -> None:
        self.form = form
        self.stack: list[Any] = []
        self.memo: dict[int, Any] = {}

    def pop(self, kind: type = object) -> Any:
        return expect(self.stack.pop(), kind)

    def top(self, kind: type) -> Any:
        return expect(self.stack[-1], kind)

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
        set_items(self.top(dict), [key, value])

    def set_items(self, _: Any) -> None:
        items = self.since_mark()
        set_items(self.top(dict), items)

    def make_dict(self, _: Any) -> None:
        items = self.since_mark()
        self.push({})
        set_items(self.top(dict), items)

    def name(self, text: str | None) -> None:
        if text is None:
            attribute = self.pop(str)
            text = f"{self.pop(str)} {attribute}"
        text = text.replace(" ", ".", 1)
        if text not in self.form.names:
            raise Refused(f"refers to {text[:100]}; only {self.form.expected} are read")
        self.push(self.form.names[text])

    def call(self, _: Any) -> None:
        arguments = self.pop(tuple)
        self.push(self.pop(Function).call(arguments))

    def set_attributes(self, _: Any) -> None:
        attributes = self.pop()
        self.form.set_attributes(self.stack[-1], attributes)

    def refer(self, _: Any) -> None:
        what = self.pop()
        if self.form.referred is None:
            raise Refused(f"refers to something outside of itself; only {self.form.expected} are read")
        self.push(self.form.referred(what))


# What each instruction does to the machine, with its argument.
_INSTRUCTIONS: dict[str, Callable[[_Machine, Any], None]] = {
    **dict.fromkeys(("INT", "BININT", "BININT1", "BININT2", "LONG", "LONG1", "LONG4"), _Machine.push),
    **dict.fromkeys(("FLOAT", "BINFLOAT", "BINBYTES", "SHORT_BINBYTES", "BINBYTES8"), _Machine.push),
    **dict.fromkeys(("STRING", "BINSTRING", "SHORT_BINSTRING"), _Machine.push),
    **dict.fromkeys(("UNICODE", "BINUNICODE", "SHORT_BINUNICODE", "BINUNICODE8"), _Machine.push),
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
    "BINPERSID": _Machine.refer,
}


def _whole(value: Any) -> Any:
    """What may stand in a container: no mark, no function that nobody calls."""
    if value is _MARK or isinstance(value, Function):
        raise TypeError("a function or a mark in the place of a value")
    return value


def set_items(target: dict[Any, Any], items: list[Any]) -> None:
    """Enters keys and values, by turns."""
    if len(items) % 2:
        raise ValueError("a key without a value")
    for key, value in zip(items[::2], items[1::2], strict=True):
        if not isinstance(key, (str, bytes, int, float, type(None))):  # others could take for ever to hash
            raise Refused(f"has a key of type {type(key).__name__}; expected strings and numbers")
        target[key] = value
