"""Sizes given to operations as one int for all dimensions or one for each."""

from __future__ import annotations

from collections.abc import Sequence
from operator import index
from typing import Any

_MORE = {1: "", 2: " or two", 3: " or three"}


def sizes(op: str, name: str, value: Any, count: int, minimum: int) -> tuple[int, ...]:
    """`count` ints. TypeError, naming the operation and the argument, for anything else, ValueError below `minimum`."""
    values = list(value) if isinstance(value, Sequence) and len(value) in (1, count) else [value]
    if len(values) == 1:
        values *= count
    try:
        numbers = tuple(index(v) for v in values)
    except TypeError:
        raise TypeError(f"{op}: {name} is {value!r}; expected an int{_MORE[count]}") from None
    if min(numbers) < minimum:
        raise ValueError(f"{op}: {name} is {min(numbers)}; expected at least {minimum}")
    return numbers
