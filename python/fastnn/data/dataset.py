"""Map-style datasets: things with a length whose items are read by index."""

from __future__ import annotations

from abc import abstractmethod
from bisect import bisect_right
from typing import TYPE_CHECKING, Any, Protocol, TypeVar

import numpy as np

from ..random import default_generator

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from numpy.typing import ArrayLike, NDArray

__all__ = ["ArrayDataset", "ConcatDataset", "Dataset", "Subset", "TensorDataset", "random_split"]

T_co = TypeVar("T_co", covariant=True)


class Dataset(Protocol[T_co]):
    """What a ``DataLoader`` reads: ``len(dataset)`` and ``dataset[i]``, as PyTorch's ``Dataset``.

    Any class with the two methods will do, a list too; deriving from ``Dataset`` is optional.

    A dataset that can read many items at once may also have ``__getitems__(indices)``, where
    indices is an int64 array ``(B,)``. It returns either the batch (a tuple of arrays whose first
    dimension is ``B``) or, as in PyTorch, a list of ``B`` items.

    Example:
        >>> from fastnn.data import Dataset
        >>> class Squares(Dataset[tuple[int, int]]):
        ...     def __len__(self):
        ...         return 10
        ...
        ...     def __getitem__(self, index):
        ...         return index, index**2
        >>> Squares()[3]
        (3, 9)
    """

    @abstractmethod
    def __len__(self) -> int:
        """The number of items."""

    @abstractmethod
    def __getitem__(self, index: int, /) -> T_co:
        """The item at ``index``; raises IndexError where there is none."""


class ArrayDataset(Dataset[tuple[Any, ...]]):
    """Arrays that share their first dimension; item ``i`` is ``(a[i], b[i], ...)``.

    The same as PyTorch's ``TensorDataset``. The arrays are kept, not copied.

    Args:
        *arrays: One or more arrays ``(N, ...)``.

    Raises:
        ValueError: No arrays, an array without dimensions, or different lengths.

    Example:
        >>> import numpy as np
        >>> from fastnn.data import ArrayDataset
        >>> dataset = ArrayDataset(np.eye(3, dtype=np.float32), np.arange(3))
        >>> x, label = dataset[1]
        >>> x, int(label)
        (array([0., 1., 0.], dtype=float32), 1)
    """

    def __init__(self, *arrays: ArrayLike) -> None:
        self.arrays: tuple[NDArray[Any], ...] = tuple(np.asarray(a) for a in arrays)
        shapes = [a.shape for a in self.arrays]
        if not shapes or () in shapes or len({shape[0] for shape in shapes}) != 1:
            raise ValueError(
                f"ArrayDataset: arrays have shapes {shapes}, expected one or more with the same first dimension"
            )

    def __len__(self) -> int:
        return len(self.arrays[0])

    def __getitem__(self, index: int) -> tuple[Any, ...]:
        return tuple(a[index] for a in self.arrays)

    def __getitems__(self, indices: NDArray[np.int64]) -> tuple[NDArray[Any], ...]:
        return tuple(a[indices] for a in self.arrays)


TensorDataset = ArrayDataset  # PyTorch's name


class ConcatDataset(Dataset[T_co]):
    """Data sets one after the other, as PyTorch's ``ConcatDataset``.

    Args:
        datasets: One or more data sets, whose items are alike.

    Attributes:
        cumulative_sizes: For each data set, the number of items up to its end.

    Raises:
        ValueError: There are no data sets.

    Example:
        >>> from fastnn.data import ConcatDataset
        >>> both = ConcatDataset(["abc", "de"])
        >>> len(both), both[3], both[-1]
        (5, 'd', 'e')
    """

    def __init__(self, datasets: Iterable[Dataset[T_co]]) -> None:
        self.datasets: list[Dataset[T_co]] = list(datasets)
        if not self.datasets:
            raise ValueError("ConcatDataset: datasets is empty, expected one or more")
        self.cumulative_sizes: list[int] = np.cumsum([len(dataset) for dataset in self.datasets]).tolist()

    def __len__(self) -> int:
        return self.cumulative_sizes[-1]

    def __getitem__(self, index: int) -> T_co:
        if not -len(self) <= index < len(self):
            raise IndexError(f"ConcatDataset: index {index} is out of range for {len(self)} items")
        place = index % len(self)
        which = bisect_right(self.cumulative_sizes, place)
        return self.datasets[which][place - (self.cumulative_sizes[which] - len(self.datasets[which]))]


def random_split(dataset: Dataset[T_co], lengths: Sequence[float], generator: Any = None) -> list[Subset[T_co]]:
    """Deals out the items of a data set at random, as PyTorch's ``random_split``.

    Args:
        dataset: The data set.
        lengths: The number of items of each part, or fractions that sum to 1; what rounding down leaves over goes to
            the first parts, one item to each.
        generator: A ``numpy.random.Generator``, or a seed for one; None takes that of ``fastnn.manual_seed``.

    Returns:
        A ``Subset`` for each length.

    Raises:
        ValueError: The lengths do not sum to the number of items, or one is negative.

    Example:
        >>> from fastnn.data import random_split
        >>> train, test = random_split(range(10), [0.75, 0.25], generator=0)
        >>> len(train), len(test), sorted([*train, *test]) == list(range(10))
        (8, 2, True)
    """
    n = len(dataset)
    if abs(sum(lengths) - 1) < 1e-9 and all(0 <= length <= 1 for length in lengths):
        sizes = [int(n * length) for length in lengths]
        for i in range(n - sum(sizes)):
            sizes[i % len(sizes)] += 1
    else:
        sizes = [int(length) for length in lengths]
    if sum(sizes) != n or min(sizes, default=0) < 0 or (max(lengths) > 1 and sizes != list(lengths)):
        raise ValueError(f"random_split: lengths are {list(lengths)}, expected numbers of items that sum to {n}")
    draw = default_generator() if generator is None else np.random.default_rng(generator)
    parts = np.split(draw.permutation(n), np.cumsum(sizes[:-1], dtype=int)) if sizes else []
    return [Subset(dataset, part) for part in parts]


class Subset(Dataset[T_co]):
    """The items of a dataset at the given indices, in their order, as PyTorch's ``Subset``.

    Args:
        dataset: The dataset to choose from.
        indices: Integers ``(M,)`` in ``[-len(dataset), len(dataset))``; repetition is allowed.

    Raises:
        TypeError: The indices are not integers.
        ValueError: The indices are not one-dimensional.
        IndexError: An index is out of range.

    Example:
        >>> from fastnn.data import Subset
        >>> letters = Subset("abcdef", [4, 0])
        >>> len(letters), letters[0]
        (2, 'e')
    """

    def __init__(self, dataset: Dataset[T_co], indices: Sequence[int] | NDArray[Any]) -> None:
        self.dataset = dataset
        chosen = np.asarray(indices)
        if chosen.ndim != 1:
            raise ValueError(f"Subset: indices have shape {chosen.shape}, expected (M,)")
        if chosen.size and chosen.dtype.kind not in "iu":
            raise TypeError(f"Subset: indices have dtype {chosen.dtype}, expected integers")
        outside = (chosen < -len(dataset)) | (chosen >= len(dataset))
        if outside.any():
            raise IndexError(
                f"Subset: index {chosen[outside][0]} is out of range for a dataset of {len(dataset)} items"
            )
        self.indices: NDArray[np.int64] = chosen.astype(np.int64)

    def __len__(self) -> int:
        return len(self.indices)

    def __getitem__(self, index: int) -> T_co:
        return self.dataset[int(self.indices[index])]

    def __getitems__(self, indices: NDArray[np.int64]) -> Any:
        chosen = self.indices[indices]
        if hasattr(self.dataset, "__getitems__"):
            return self.dataset.__getitems__(chosen)
        return [self.dataset[i] for i in chosen.tolist()]
