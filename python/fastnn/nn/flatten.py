"""Layers that change the shape only."""

from __future__ import annotations

from ..tensor import Tensor, expect_tensors
from .module import Module


class Flatten(Module):
    """Merges the dimensions from `start_dim` to `end_dim`, by default all but the first: (N, ...) -> (N, features)."""

    def __init__(self, start_dim: int = 1, end_dim: int = -1) -> None:
        super().__init__()
        self.start_dim = start_dim
        self.end_dim = end_dim

    def forward(self, x: Tensor) -> Tensor:
        """(N, ...) -> (N, features)."""
        expect_tensors("Flatten", x=x)
        return x.flatten(self.start_dim, self.end_dim)

    def extra_repr(self) -> str:
        """The dimensions."""
        return f"start_dim={self.start_dim}, end_dim={self.end_dim}"
