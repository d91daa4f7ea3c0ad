"""What the commands share: types of arguments, and errors."""

from __future__ import annotations

import argparse
import math
import sys
from collections.abc import Callable
from typing import Any


class UsageError(Exception):
    """The command line is wrong in a way that only the command could find out."""


def complain(command: str, error: Exception, code: int) -> int:
    """Prints an error as one line and returns the exit code."""
    if isinstance(error, OSError) and error.strerror and error.filename:
        text = f"{error.filename}: {error.strerror}"
    else:
        text = str(error)
    print(f"fastnn {command}: error: {text}", file=sys.stderr)
    return code


def number(kind: type, low: float, *, above: bool = False, below: float = math.inf) -> Callable[[str], Any]:
    """An argument's type: a number that is at least (or with `above` more than) `low` and less than `below`."""
    words = "an integer" if kind is int else "a number"
    words += f" above {low}" if above else f" of at least {low}"
    words += "" if below == math.inf else f" and below {below}"

    def parse(text: str) -> Any:
        try:
            value = kind(text)
        except ValueError:
            value = math.nan
        if not low <= value < below or (above and value == low):
            raise argparse.ArgumentTypeError(f"'{text}' is not {words}")
        return value

    return parse
