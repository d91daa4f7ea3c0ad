"""Embeddings."""

from __future__ import annotations

from typing import Any

from .. import functional as F
from .. import ops
from ..functional.embedding import check_options, checked_padding_idx
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
        max_norm: vectors that are looked up and whose norm is larger are scaled to this norm first, in `weight` itself.
        norm_type: the exponent of that norm.
        scale_grad_by_freq: whether the gradient of a vector is divided by the number of times that it is looked up.
        sparse: not supported: gradients are dense.

    Attributes:
        weight: (num_embeddings, embedding_dim), initialised as in PyTorch: normal with mean 0 and variance 1.

    Raises:
        TypeError: an argument is no integer. When called: the indices are not integers.
        ValueError: a size is less than 1, or `padding_idx` is out of range.
        NotImplementedError: with `sparse`.
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
        max_norm: float | None = None,
        norm_type: float = 2.0,
        scale_grad_by_freq: bool = False,
        sparse: bool = False,
        _weight: Tensor | None = None,
        _freeze: bool = False,
    ) -> None:
        super().__init__()
        check_options("Embedding", max_norm, norm_type, sparse)
        self.num_embeddings = checked_size("Embedding: num_embeddings", num_embeddings)
        self.embedding_dim = checked_size("Embedding: embedding_dim", embedding_dim)
        self.padding_idx = checked_padding_idx("Embedding", padding_idx, self.num_embeddings)
        self.max_norm = max_norm
        self.norm_type = norm_type
        self.scale_grad_by_freq = scale_grad_by_freq
        self.sparse = sparse
        size = self.num_embeddings, self.embedding_dim
        if _weight is not None:
            if _weight.shape != size:
                raise ValueError(f"Embedding: _weight has shape {_weight.shape}; expected {size}")
            self.weight = Parameter(_weight, requires_grad=not _freeze)
        else:
            self.weight = Parameter(ops.empty(size), requires_grad=not _freeze)
            self.reset_parameters()

    @classmethod
    def from_pretrained(
        cls,
        embeddings: Any,
        freeze: bool = True,
        padding_idx: int | None = None,
        max_norm: float | None = None,
        norm_type: float = 2.0,
        scale_grad_by_freq: bool = False,
        sparse: bool = False,
    ) -> Embedding:
        """An embedding with the given vectors, which it holds without a copy where possible.

        Args:
            embeddings: (num_embeddings, embedding_dim), float32 or float64.
            freeze: whether the vectors get no gradient.
            padding_idx: an index whose vector gets no gradient. It is not set to zeros.
            max_norm: the largest norm, as in `Embedding`.
            norm_type: the exponent of the norm.
            scale_grad_by_freq: whether gradients are divided by how often a vector is looked up.
            sparse: not supported.

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
        if weight.dtype.char not in "fd":
            raise TypeError(
                f"Embedding.from_pretrained: embeddings have dtype {weight.dtype}; expected float32 or float64"
            )
        options = padding_idx, max_norm, norm_type, scale_grad_by_freq, sparse
        return cls(weight.shape[0], weight.shape[1], *options, _weight=weight, _freeze=freeze)

    def reset_parameters(self) -> None:
        """Draws the vectors anew; that of `padding_idx` becomes zeros."""
        init.normal_(self.weight)
        if self.padding_idx is not None:
            self.weight.data[self.padding_idx] = 0

    def forward(self, x: Any) -> Tensor:
        """Integers (...) -> (..., embedding_dim)."""
        options = self.padding_idx, self.max_norm, self.norm_type, self.scale_grad_by_freq, self.sparse
        return F.embedding(x, self.weight, *options)

    def extra_repr(self) -> str:
        """The sizes, and what differs from the defaults."""
        text = f"{self.num_embeddings}, {self.embedding_dim}"
        if self.padding_idx is not None:
            text += f", padding_idx={self.padding_idx}"
        if self.max_norm is not None:
            text += f", max_norm={self.max_norm}"
        if self.norm_type != 2:
            text += f", norm_type={self.norm_type}"
        if self.scale_grad_by_freq:
            text += f", scale_grad_by_freq={self.scale_grad_by_freq}"
        return text
