"""What functions over parameters share."""

from __future__ import annotations

from collections.abc import Iterable

from ...tensor import Tensor, expect_tensors


def listed(op: str, parameters: Tensor | Iterable[Tensor]) -> list[Tensor]:
    """A tensor, or several, as a list. TypeError, naming the operation, where it is neither."""
    if isinstance(parameters, Tensor):
        return [parameters]
    if not isinstance(parameters, Iterable):
        raise TypeError(f"{op}: parameters is {type(parameters).__name__}; expected a Tensor or several")
    tensors = list(parameters)
    expect_tensors(op, **{f"parameters[{i}]": t for i, t in enumerate(tensors)})
    return tensors
