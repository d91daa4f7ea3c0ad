"""Sequences as images of one row, for the operations that have kernels for images only."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from ..tensor import Tensor, expect_tensors


def as_rows(op: str, x: Tensor) -> Tensor:
    """(N, C, L) -> (N, C, 1, L), (C, L) -> (C, 1, L), without a copy."""
    expect_tensors(op, x=x)
    if x.ndim not in (2, 3):
        raise ValueError(f"{op}: x has shape {x.shape}; expected (N, C, L) or (C, L)")
    return x.unsqueeze(-2)


def of_row(value: Any, vertical: int) -> tuple[int, Any]:
    """What applies to sequences, an int or a sequence of one, for images of one row; checked by the op."""
    if isinstance(value, Sequence) and len(value) == 1:
        value = value[0]
    return vertical, value
