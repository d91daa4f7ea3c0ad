"""Embeddings."""

from __future__ import annotations

from typing import Any

from .. import functional as F
from .. import ops
from ..functional.embedding import checked_padding_idx
from ..tensor import Parameter, Tensor, as_tensor
from . import init
from .module import Module
from .sizes import checked_size


class Embedding(Module):
    """A table of vectors, looked up by their numbers: integers (...) -> (..., embedding_dim).

    Args:
        num_embeddings: the number of vectors; indices go from 0 to `num_embeddings` - 1.
        embedding_dim: the size of each vector.
        padding_idx: an index (counted from the end where it is negative) whose vector starts as zeros and gets no
            gradient, so that it stays as it is.

    Attributes:
        weight: (num_embeddings, embedding_dim), initialised as in PyTorch: normal with mean 0 and variance 1.

    Raises:
        TypeError: an argument is no integer. When called: the indices are not integers.
        ValueError: a size is less than 1, or `padding_idx` is out of range.
        IndexError: when called: an index is out of range.

    Example:
        >>> import fastnn
        >>> from fastnn import nn
        >>> nn.Embedding(10, 3)(fastnn.tensor([[1, 2, 4], [4, 3, 9]])).shape
        (2, 3, 3)
    """

    weight: Parameter

    def __init__(
        self,
        num_embeddings: int,
        embedding_dim: int,
        padding_idx: int | None = None,
        *,
        _weight: Tensor | None = None,
    ) -> None:
        super().__init__()
        self.num_embeddings = checked_size("Embedding: num_embeddings", num_embeddings)
        self.embedding_dim = checked_size("Embedding: embedding_dim", embedding_dim)
        self.padding_idx = checked_padding_idx("Embedding", padding_idx, self.num_embeddings)
        if _weight is not None:
            self.weight = Parameter(_weight)
        else:
            self.weight = Parameter(ops.empty((self.num_embeddings, self.embedding_dim)))
            self.reset_parameters()

    @classmethod
    def from_pretrained(cls, embeddings: Any, freeze: bool = True, padding_idx: int | None = None) -> Embedding:
        """An embedding with the given vectors, which it holds without a copy where possible.

        Args:
            embeddings: (num_embeddings, embedding_dim), float32 or float64.
            freeze: whether the vectors get no gradient.
            padding_idx: an index whose vector gets no gradient. It is not set to zeros.

        Example:
            >>> import fastnn
            >>> from fastnn import nn
            >>> embedding = nn.Embedding.from_pretrained(fastnn.tensor([[1.0, 2.3, 3.0], [4.0, 5.1, 6.3]]))
            >>> embedding(fastnn.tensor([1]))
            tensor([[4. , 5.1, 6.3]])
        """
        weight = as_tensor(embeddings).detach()
        if weight.ndim != 2:
            raise ValueError(f"Embedding.from_pretrained: embeddings have shape {weight.shape}; expected 2 dimensions")
        embedding = cls(weight.shape[0], weight.shape[1], padding_idx, _weight=weight)
        embedding.weight.requires_grad_(not freeze)
        return embedding

    def reset_parameters(self) -> None:
        """Draws the vectors anew; that of `padding_idx` becomes zeros."""
        init.normal_(self.weight)
        if self.padding_idx is not None:
            self.weight.data[self.padding_idx] = 0

    def forward(self, x: Any) -> Tensor:
        """Integers (...) -> (..., embedding_dim)."""
        return F.embedding(x, self.weight, self.padding_idx)

    def extra_repr(self) -> str:
        """The sizes."""
        padding = "" if self.padding_idx is None else f", padding_idx={self.padding_idx}"
        return f"{self.num_embeddings}, {self.embedding_dim}{padding}"
