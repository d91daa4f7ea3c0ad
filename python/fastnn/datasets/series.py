"""Time series in CSV files."""

from __future__ import annotations

import csv
import math
import os
from collections.abc import Sequence
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

__all__ = ["Series", "read_series"]


class Series(NamedTuple):
    """A time series of C variables.

    Attributes:
        columns: their names.
        values: float64 (M, C), one row a time step.
    """

    columns: tuple[str, ...]
    values: NDArray[np.float64]


def read_series(path: str | os.PathLike[str], columns: Sequence[str] | None = None) -> Series:
    r"""Reads a CSV file with a line of names on top and one line for each time step, the earliest first.

    Args:
        path: the file, in UTF-8.
        columns: the names of the columns wanted; None takes all that hold a number in the first line (and so leaves
            out dates).

    Raises:
        OSError: the file cannot be read.
        ValueError: a column is not there, something is no finite number, or the file holds no series.

    Example:
        >>> import os, tempfile
        >>> from fastnn.datasets import read_series
        >>> path = os.path.join(tempfile.mkdtemp(), "series.csv")
        >>> with open(path, "w") as file:
        ...     _ = file.write("month,passengers\n1949-01,112\n1949-02,118\n")
        >>> read_series(path)
        Series(columns=('passengers',), values=array([[112.],
               [118.]]))
    """
    name = os.fspath(path)
    try:
        with open(path, encoding="utf-8-sig", newline="") as file:
            rows = [(n, row) for n, row in enumerate(csv.reader(file), 1) if row]
    except (csv.Error, UnicodeDecodeError) as error:
        raise ValueError(f"{name} is not a CSV file: {error}") from error
    if len(rows) < 2:
        raise ValueError(f"{name} holds no series: expected a line of names and one for each time step")
    header = [cell.strip() for cell in rows[0][1]]
    for line, row in rows[1:]:
        if len(row) != len(header):
            raise ValueError(f"{name}, line {line}: there are {len(row)} columns, expected {len(header)}")
    if columns is None:
        columns = [column for column, cell in zip(header, rows[1][1], strict=True) if math.isfinite(_number(cell))]
        if not columns:
            raise ValueError(f"{name} has no column of numbers")
    missing = [column for column in columns if column not in header]
    if missing:
        raise ValueError(f"{name} has no column {missing[0]!r}, but {', '.join(header)}")
    where = [header.index(column) for column in columns]
    values = np.array([[_number(row[k]) for k in where] for _, row in rows[1:]])
    bad = np.argwhere(~np.isfinite(values))
    if len(bad):
        (line, row), k = rows[1 + bad[0][0]], where[bad[0][1]]
        raise ValueError(f"{name}, line {line}: {header[k]} is {row[k]!r}, expected a number")
    return Series(tuple(columns), values)


def _number(text: str) -> float:
    try:
        return float(text)
    except ValueError:
        return math.nan
