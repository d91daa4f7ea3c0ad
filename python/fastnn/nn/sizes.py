"""Sizes given to layers, checked once."""

from __future__ import annotations

from collections.abc import Sequence
from operator import index
from typing import Any, TypeAlias

IntPair: TypeAlias = "int | Sequence[int]"

_WORDS = {2: "two", 3: "three", 4: "four", 6: "six"}


def checked_size(name: str, value: Any, minimum: int = 1) -> int:
    """`value` as an int. TypeError where it is none, ValueError below the minimum."""
    try:
        size = index(value)
    except TypeError:
        raise TypeError(f"{name} is {value!r}; expected an integer") from None
    if size < minimum:
        raise ValueError(f"{name} is {size}; expected at least {minimum}")
    return size


def checked_sizes(name: str, value: Any, count: int, minimum: int = 1) -> tuple[int, ...]:
    """One integer for all of `count` dimensions, or one for each."""
    if not isinstance(value, Sequence) or isinstance(value, str):
        return (checked_size(name, value, minimum),) * count
    if len(value) != count:
        raise ValueError(f"{name} is {value!r}; expected one integer{f' or {_WORDS[count]}' if count > 1 else ''}")
    return tuple(checked_size(name, v, minimum) for v in value)


def checked_pair(name: str, value: Any, minimum: int = 1) -> tuple[int, int]:
    """One integer for both image dimensions, or one for each: (vertical, horizontal)."""
    vertical, horizontal = checked_sizes(name, value, 2, minimum)
    return vertical, horizontal
