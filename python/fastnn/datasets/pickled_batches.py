"""Pickles of dicts with NumPy arrays, as CIFAR's "python version" has them."""

from __future__ import annotations

import io
import re
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..formats.pickled import Format, Function, interpret

__all__ = ["read_pickled"]


class _Array:
    """An array under construction: an instruction of its own gives it type, shape and elements."""

    value: NDArray[Any] | None = None


class _DType:
    def __init__(self, text: str) -> None:
        if not re.fullmatch("[biuf][1248]", text):
            raise ValueError(f"an array of type {text[:20]!r}, expected numbers")
        self.text, self.order = text, "="


def read_pickled(content: bytes) -> dict[str, Any]:
    """The dict of a pickle: numbers, strings, lists and arrays by name. Names that are bytes become text.

    Raises:
        ValueError: it holds something else, or is damaged.
    """
    try:
        value = interpret(io.BytesIO(content), _FORMAT)[0]
        if not isinstance(value, dict):
            raise ValueError(f"it holds a {type(value).__name__}, expected a dict")
        return {_text(key): item.value if isinstance(item, _Array) else item for key, item in value.items()}
    except ValueError as error:
        raise ValueError(f"the pickle cannot be read: {error}") from error


def _set_attributes(made: Any, state: Any) -> None:
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


_RECONSTRUCT = Function(lambda _: _Array())
_FORMAT = Format(
    "arrays of NumPy in plain containers",
    {
        "numpy.core.multiarray._reconstruct": _RECONSTRUCT,
        "numpy._core.multiarray._reconstruct": _RECONSTRUCT,
        "numpy.ndarray": "ndarray",
        "numpy.dtype": Function(lambda arguments: _DType(_text(arguments[0]))),
        "_codecs.encode": Function(lambda arguments: _bytes(arguments[0])),  # bytes, in the second protocol of Python 3
    },
    _set_attributes,
)
