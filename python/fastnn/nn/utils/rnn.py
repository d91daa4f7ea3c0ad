"""Sequences of different lengths in one batch: padded, or packed without the padding, with PyTorch's names."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from operator import index
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import DTypeLike

from ... import ops
from ...arrays import Array
from ...tensor import Tensor, as_tensor, expect_tensors, record

__all__ = ["PackedSequence", "pack_padded_sequence", "pack_sequence", "pad_packed_sequence", "pad_sequence"]


class PackedSequence(NamedTuple):
    """A batch of sequences without padding, as recurrent modules take it: all first steps, all second steps, ...

    Made by `pack_padded_sequence` and `pack_sequence`.

    Attributes:
        data: (steps of all sequences together, ...): the elements of each step in the order of falling lengths.
        batch_sizes: int64 (T,): how many sequences have a step t; never rising.
        sorted_indices: int64 (N,): which sequence comes at each place of that order, or None where they came sorted.
        unsorted_indices: int64 (N,): the place of each sequence, the inverse permutation, or None.
    """

    data: Tensor
    batch_sizes: Tensor
    sorted_indices: Tensor | None = None
    unsorted_indices: Tensor | None = None

    def to(self, dtype: DTypeLike) -> PackedSequence:
        """With data of another element type."""
        return self._replace(data=self.data.astype(dtype))


def pack_padded_sequence(
    x: Tensor, lengths: Any, batch_first: bool = False, enforce_sorted: bool = True
) -> PackedSequence:
    """Packs a padded batch: what lies behind the end of a sequence is left out.

    Args:
        x: (T, N, ...), or (N, T, ...) where `batch_first`; any element type.
        lengths: N integers from 1 to T.
        batch_first: which of its first two dimensions is the batch.
        enforce_sorted: demand lengths that do not rise; otherwise the sequences are sorted, and `pad_packed_sequence`
            and the recurrent modules put them back into their order.

    Raises:
        TypeError: `x` is not a tensor, or the lengths are not integers.
        ValueError: there are no sequences or not one length for each; a length is out of range; or, with
            `enforce_sorted`, lengths rise.

    Example:
        >>> import fastnn
        >>> from fastnn.nn.utils.rnn import pack_padded_sequence, pad_packed_sequence
        >>> x = fastnn.tensor([[1, 2, 0], [3, 0, 0], [4, 5, 6]])
        >>> packed = pack_padded_sequence(x, [2, 1, 3], batch_first=True, enforce_sorted=False)
        >>> packed.data, packed.batch_sizes
        (tensor([4, 1, 3, 5, 2, 6]), tensor([3, 2, 1]))
        >>> pad_packed_sequence(packed, batch_first=True)
        (tensor([[1, 2, 0],
            [3, 0, 0],
            [4, 5, 6]]), tensor([2, 1, 3]))
    """
    op = "pack_padded_sequence"
    expect_tensors(op, x=x)
    if x.ndim < 2:
        raise ValueError(f"{op}: x has shape {x.shape}; expected {'(N, T, ...)' if batch_first else '(T, N, ...)'}")
    T, N = x.shape[1::-1] if batch_first else x.shape[:2]
    if not N:
        raise ValueError(f"{op}: x has shape {x.shape}; expected at least one sequence")
    n = as_tensor(lengths).data
    if n.dtype.kind not in "iu":
        raise TypeError(f"{op}: lengths have dtype {n.dtype}; expected integers")
    if n.shape != (N,):
        raise ValueError(f"{op}: lengths have shape {n.shape}; expected ({N},), one for each sequence")
    if n.min() < 1 or n.max() > T:
        raise ValueError(f"{op}: a length is {n.min() if n.min() < 1 else n.max()}; expected 1 to {T}, the steps of x")
    n, order = n.astype(np.int64), None
    if not enforce_sorted:
        order = np.argsort(-n, kind="stable")
        n = n[order]
    elif (rising := np.flatnonzero(np.diff(n) > 0)).size:
        i = int(rising[0])
        raise ValueError(
            f"{op}: lengths[{i}] is {n[i]} and lengths[{i + 1}] {n[i + 1]}; "
            "expected lengths that do not rise (enforce_sorted=False sorts them)"
        )
    batch_sizes = np.count_nonzero(n > np.arange(n[0])[:, None], axis=1).astype(np.int64)
    where = _places(batch_sizes, order, batch_first)
    shape, dtype = x.shape, x.dtype

    def backward(dy: Array) -> Array:
        dx = np.zeros(shape, dtype)
        dx[where] = dy
        return dx

    data = record(x.data[where], backward, x)
    if order is None:
        return PackedSequence(data, Tensor(batch_sizes))
    return PackedSequence(data, Tensor(batch_sizes), Tensor(order), Tensor(np.argsort(order)))


def pad_packed_sequence(
    sequence: PackedSequence,
    batch_first: bool = False,
    padding_value: float = 0.0,
    total_length: int | None = None,
) -> tuple[Tensor, Tensor]:
    """The inverse of `pack_padded_sequence`.

    Args:
        sequence: what a recurrent module or `pack_padded_sequence` returned.
        batch_first: return (N, T, ...) instead of (T, N, ...).
        padding_value: what stands behind the end of a sequence.
        total_length: T, at least the length of the longest sequence, which it is by default.

    Returns:
        The padded batch and the lengths, int64 (N,), in the order of the batch that was packed.

    Raises:
        TypeError: `sequence` is no PackedSequence, or `total_length` not an integer.
        ValueError: `total_length` is less than the longest sequence.
    """
    op = "pad_packed_sequence"
    if not isinstance(sequence, PackedSequence):
        raise TypeError(f"{op}: sequence is {type(sequence).__name__}; expected a PackedSequence")
    x, batch_sizes = sequence.data, sequence.batch_sizes.data
    longest, N = batch_sizes.size, int(batch_sizes[0])
    T = longest if total_length is None else index(total_length)
    if longest > T:
        raise ValueError(f"{op}: total_length is {T}; expected at least {longest}, the length of the longest sequence")
    order = None if sequence.sorted_indices is None else sequence.sorted_indices.data
    where = _places(batch_sizes, order, batch_first)
    y = ops.empty((N, T, *x.shape[1:]) if batch_first else (T, N, *x.shape[1:]), x.dtype)
    y.fill(padding_value)
    y[where] = x.data
    lengths = np.count_nonzero(batch_sizes[:, None] > np.arange(N), axis=0).astype(np.int64)
    if sequence.unsorted_indices is not None:
        lengths = lengths[sequence.unsorted_indices.data]
    return record(y, lambda dy: dy[where], x), Tensor(lengths)


def pad_sequence(
    sequences: Iterable[Tensor], batch_first: bool = False, padding_value: float = 0.0, padding_side: str = "right"
) -> Tensor:
    """Pads sequences to the longest of them and stacks them.

    Args:
        sequences: N tensors (length, ...) that differ in their lengths alone.
        batch_first: return (N, T, ...) instead of (T, N, ...).
        padding_value: what fills up the shorter ones.
        padding_side: where it stands, "right" (at the end) or "left".

    Raises:
        TypeError: one of the sequences is not a tensor, or they differ in their element type.
        ValueError: there are none, or their shapes do not fit, or the side is unknown.

    Example:
        >>> import fastnn
        >>> from fastnn.nn.utils.rnn import pad_sequence
        >>> pad_sequence([fastnn.tensor([1, 2, 3]), fastnn.tensor([4])], batch_first=True)
        tensor([[1, 2, 3],
                [4, 0, 0]])
    """
    op = "pad_sequence"
    tensors = _checked_sequences(op, sequences)
    if padding_side not in ("right", "left"):
        raise ValueError(f"{op}: padding_side is {padding_side!r}; expected 'right' or 'left'")
    N, T = len(tensors), max(len(t) for t in tensors)
    steps = [slice(0, len(t)) if padding_side == "right" else slice(T - len(t), T) for t in tensors]
    where: list[Any] = [(i, s) if batch_first else (s, i) for i, s in enumerate(steps)]
    rest = tensors[0].shape[1:]
    y = ops.empty((N, T, *rest) if batch_first else (T, N, *rest), tensors[0].dtype)
    y.fill(padding_value)
    for place, t in zip(where, tensors, strict=True):
        y[place] = t.data
    return record(y, lambda dy: tuple(dy[place] for place in where), *tensors)


def pack_sequence(sequences: Iterable[Tensor], enforce_sorted: bool = True) -> PackedSequence:
    """Packs sequences (length, ...); `enforce_sorted` and the errors are those of `pack_padded_sequence`.

    Example:
        >>> import fastnn
        >>> from fastnn.nn.utils.rnn import pack_sequence
        >>> pack_sequence([fastnn.tensor([1, 2, 3]), fastnn.tensor([4, 5]), fastnn.tensor([6])]).data
        tensor([1, 4, 6, 2, 5, 3])
    """
    tensors = _checked_sequences("pack_sequence", sequences)
    return pack_padded_sequence(pad_sequence(tensors), [len(t) for t in tensors], enforce_sorted=enforce_sorted)


def _places(batch_sizes: Array, order: Array | None, batch_first: bool) -> tuple[Array, Array]:
    """Where each element of packed data stands in a padded batch, as an index of its first two dimensions."""
    steps = np.repeat(np.arange(batch_sizes.size), batch_sizes)
    places = np.arange(steps.size) - np.repeat(np.cumsum(batch_sizes) - batch_sizes, batch_sizes)
    members = places if order is None else order[places]
    return (members, steps) if batch_first else (steps, members)


def _checked_sequences(op: str, sequences: Iterable[Tensor]) -> Sequence[Tensor]:
    tensors = list(sequences)
    if not tensors:
        raise ValueError(f"{op}: there are no sequences; expected one or more")
    expect_tensors(op, **{f"sequences[{i}]": t for i, t in enumerate(tensors)})
    first = tensors[0]
    for i, t in enumerate(tensors):
        if t.ndim < 1 or t.shape[1:] != first.shape[1:]:
            raise ValueError(f"{op}: sequences[{i}] has shape {t.shape}; expected (length, ...) as {first.shape}")
        if t.dtype != first.dtype:
            raise TypeError(f"{op}: sequences[{i}] has dtype {t.dtype}; expected that of the first, {first.dtype}")
    return tensors
