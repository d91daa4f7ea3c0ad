"""Sizes given to layers, checked once."""

from __future__ import annotations

from collections.abc import Sequence
from operator import index
from typing import Any, TypeAlias

IntPair: TypeAlias = "int | Sequence[int]"


def checked_size(name: str, value: Any, minimum: int = 1) -> int:
    """`value` as an int. TypeError where it is none, ValueError below the minimum."""
    try:
        size = index(value)
    except TypeError:
        raise TypeError(f"{name} is {value!r}; expected an integer") from None
    if size < minimum:
        raise ValueError(f"{name} is {size}; expected at least {minimum}")
    return size


def checked_pair(name: str, value: Any, minimum: int = 1) -> tuple[int, int]:
    """One integer for both image dimensions, or one for each: (vertical, horizontal)."""
    if not isinstance(value, Sequence) or isinstance(value, str):
        size = checked_size(name, value, minimum)
        return size, size
    if len(value) != 2:
        raise ValueError(f"{name} is {value!r}; expected one integer or two")
    return checked_size(name, value[0], minimum), checked_size(name, value[1], minimum)
