"""Map-style datasets: things with a length whose items are read by index."""

from __future__ import annotations

from abc import abstractmethod
from typing import TYPE_CHECKING, Any, Protocol, TypeVar

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import ArrayLike, NDArray

__all__ = ["ArrayDataset", "Dataset", "Subset"]

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
