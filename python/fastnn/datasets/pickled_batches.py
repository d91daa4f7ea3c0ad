"""Pickles of plain containers and NumPy arrays, read without pickle.

A pickle is a program that may call anything that Python can import. Here the standard library takes its bytes apart
into instructions (`pickletools.genops`, which runs nothing); those that build containers, strings and numbers are
carried out, the functions that make a NumPy array stand for themselves, and every other name is an error.
"""

from __future__ import annotations

import pickletools
import re
from typing import Any

import numpy as np
from numpy.typing import NDArray

__all__ = ["read_pickled"]

_NAMES = {
    "numpy.core.multiarray _reconstruct": "array",
    "numpy._core.multiarray _reconstruct": "array",
    "numpy ndarray": "ndarray",
    "numpy dtype": "dtype",
    "_codecs encode": "encode",  # bytes, in the second protocol of Python 3
}
_CONSTANTS = {"NONE": None, "NEWTRUE": True, "NEWFALSE": False}
_LITERALS = re.compile(
    r"(BIN|LONG_BIN)?(INT|INT1|INT2|LONG|LONG1|LONG4|FLOAT)|(SHORT_)?BIN(STRING|BYTES|UNICODE)8?|STRING"
)
_MARK = object()


class _Array:
    """An array under construction: an instruction of its own gives it type, shape and elements."""

    value: NDArray[Any] | None = None


class _DType:
    def __init__(self, text: str) -> None:
        if not re.fullmatch("[biuf][1248]", text):
            raise ValueError(f"an array of type {text[:20]!r}, expected numbers")
        self.text, self.order = text, "="


class _Function(str):
    """A name among `_NAMES`."""

    __slots__ = ()


def read_pickled(content: bytes) -> dict[str, Any]:
    """The dict of a pickle: numbers, strings, lists and arrays by name. Names that are bytes become text.

    Raises:
        ValueError: it holds something else, or is damaged.
    """
    try:
        value = _interpret(content)
        if not isinstance(value, dict):
            raise ValueError(f"it holds a {type(value).__name__}, expected a dict")
        return {_text(key): item.value if isinstance(item, _Array) else item for key, item in value.items()}
    except MemoryError:
        raise
    except Exception as error:  # whatever damaged instructions lead to: a stack that is empty, a list for a key
        raise ValueError(f"the pickle cannot be read: {error}") from error


def _interpret(content: bytes) -> Any:
    stack: list[Any] = []
    memo: dict[Any, Any] = {}

    def since_mark() -> list[Any]:
        mark = len(stack) - 1
        while stack[mark] is not _MARK:
            mark -= 1
        items = stack[mark + 1 :]
        del stack[mark:]
        return items

    for opcode, argument, _ in pickletools.genops(content):
        name = opcode.name
        if name in ("PROTO", "FRAME"):
            continue
        if name == "STOP":
            return stack.pop()
        if _LITERALS.fullmatch(name):
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
        elif name in ("EMPTY_DICT", "EMPTY_LIST", "EMPTY_TUPLE"):
            stack.append({"EMPTY_DICT": dict, "EMPTY_LIST": list, "EMPTY_TUPLE": tuple}[name]())
        elif name in ("TUPLE1", "TUPLE2", "TUPLE3"):
            count = int(name[-1])
            stack[-count:] = [tuple(stack[-count:])]
        elif name == "TUPLE":
            stack.append(tuple(since_mark()))
        elif name in ("APPEND", "APPENDS"):
            items = since_mark() if name == "APPENDS" else [stack.pop()]
            list.extend(stack[-1], items)
        elif name in ("SETITEM", "SETITEMS"):
            items = since_mark() if name == "SETITEMS" else [stack.pop(-2), stack.pop()]
            dict.update(stack[-1], zip(map(_text, items[::2]), items[1::2], strict=True))
        elif name in ("GLOBAL", "STACK_GLOBAL"):
            path = str(argument) if name == "GLOBAL" else f"{stack.pop(-2)} {stack.pop()}"
            if path not in _NAMES:
                raise ValueError(f"it refers to {path[:100]!r}, expected arrays of NumPy in plain containers")
            stack.append(_Function(_NAMES[path]))
        elif name == "REDUCE":
            arguments = stack.pop()
            stack.append(_called(stack.pop(), arguments))
        elif name == "BUILD":
            state = stack.pop()
            _build(stack[-1], state)
        else:
            raise ValueError(f"it has the instruction {name}, expected arrays of NumPy in plain containers")
    raise ValueError("it ends early")


def _called(function: Any, arguments: tuple[Any, ...]) -> Any:
    if not isinstance(function, _Function):
        raise ValueError("it calls what is no function")
    if function == "array":
        return _Array()
    if function == "dtype":
        return _DType(_text(arguments[0]))
    if function == "encode":
        return _bytes(arguments[0])
    raise ValueError(f"it calls {function}")


def _build(made: Any, state: tuple[Any, ...]) -> None:
    if isinstance(made, _DType):
        made.order = {"|": "=", "<": "<", ">": ">", "=": "="}[_text(state[1])]
    elif isinstance(made, _Array):
        _, shape, dtype, fortran, elements = state
        order: Any = "F" if fortran else "C"
        made.value = np.frombuffer(_bytes(elements), np.dtype(dtype.order + dtype.text)).reshape(shape, order=order)
    else:
        raise ValueError(f"it gives attributes to a {type(made).__name__}")


def _text(value: Any) -> str:
    if isinstance(value, bytes):
        return value.decode("latin-1")
    if not isinstance(value, str):
        raise ValueError(f"a {type(value).__name__} stands in the place of a name")
    return value


def _bytes(value: Any) -> bytes:
    return value if isinstance(value, bytes) else _text(value).encode("latin-1")  # strings of Python 2
