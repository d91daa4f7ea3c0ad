"""Data sets made of one long sequence: streams of tokens, and windows over a time series."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from .dataset import Dataset

if TYPE_CHECKING:
    from numpy.typing import ArrayLike, NDArray

__all__ = ["TokenStreams", "Windows"]


class TokenStreams(Dataset[tuple[Any, Any]]):
    """A long sequence of tokens, read as parallel streams in chunks that follow upon each other.

    The sequence is cut into `batch_size` streams of one length. In the order of the data set, `batch_size` items are
    the chunks of all streams at one place, and the next `batch_size` items are the ones that follow there. So a
    `DataLoader` with this batch size and without shuffling gives batches whose row n goes on where row n of the one
    before ended. Items are `(tokens, next tokens)`, int64 `(steps,)` each. Tokens at the end that make no whole chunk
    are left out.

    Args:
        tokens: int64 (M,).
        batch_size: the number of streams, N.
        steps: the length of a chunk.

    Raises:
        TypeError: the tokens are not integers.
        ValueError: the tokens are not one-dimensional, or less than `batch_size * steps + 1`.

    Example:
        >>> import numpy as np
        >>> from fastnn.data import DataLoader, TokenStreams
        >>> for x, target in DataLoader(TokenStreams(np.arange(13), batch_size=2, steps=3), batch_size=2):
        ...     print(x.tolist(), target.tolist())
        [[0, 1, 2], [6, 7, 8]] [[1, 2, 3], [7, 8, 9]]
        [[3, 4, 5], [9, 10, 11]] [[4, 5, 6], [10, 11, 12]]
    """

    def __init__(self, tokens: ArrayLike, batch_size: int, steps: int) -> None:
        array = np.asarray(tokens)
        if array.dtype.kind not in "iu":
            raise TypeError(f"TokenStreams: tokens have dtype {array.dtype}, expected integers")
        if array.ndim != 1:
            raise ValueError(f"TokenStreams: tokens have shape {array.shape}, expected (M,)")
        if batch_size < 1 or steps < 1:
            raise ValueError(f"TokenStreams: batch_size is {batch_size} and steps {steps}, expected at least 1")
        chunks = (len(array) - 1) // batch_size // steps
        if not chunks:
            raise ValueError(
                f"TokenStreams: there are {len(array)} tokens, expected at least {batch_size * steps + 1} "
                f"for {batch_size} streams in chunks of {steps}"
            )
        self.arrays: tuple[NDArray[np.int64], ...] = (array.astype(np.int64, copy=False),)
        self.batch_size = batch_size
        self.steps = steps
        self._chunks = chunks

    def __len__(self) -> int:
        return self._chunks * self.batch_size

    def __getitem__(self, index: int) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
        x, target = self.__getitems__(np.array([range(len(self))[index]]))
        return x[0], target[0]

    def __getitems__(self, indices: NDArray[np.int64]) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
        chunk, stream = np.divmod(indices, self.batch_size)
        starts = (stream * self._chunks + chunk) * self.steps
        pieces = self.arrays[0][starts[:, None] + np.arange(self.steps + 1)]
        return pieces[:, :-1], pieces[:, 1:]


class Windows(Dataset[tuple[Any, Any]]):
    """Windows over a time series: `window` rows to look at, and the `horizon` rows after them to be forecast.

    Item i is `(values[i : i + window], values[i + window : i + window + horizon])`, of shapes (window, C) and
    (horizon, C).

    Args:
        values: the series, (M, C).
        window: rows to look at.
        horizon: rows to forecast.

    Raises:
        ValueError: the values do not have 2 dimensions, or less than `window + horizon` rows.

    Example:
        >>> import numpy as np
        >>> from fastnn.data import Windows
        >>> windows = Windows(np.arange(6.0).reshape(6, 1), window=3, horizon=1)
        >>> len(windows), [part.ravel().tolist() for part in windows[2]]
        (3, [[2.0, 3.0, 4.0], [5.0]])
    """

    def __init__(self, values: ArrayLike, window: int, horizon: int) -> None:
        array = np.asarray(values)
        if array.ndim != 2:
            raise ValueError(f"Windows: values have shape {array.shape}, expected (M, C)")
        if window < 1 or horizon < 1:
            raise ValueError(f"Windows: window is {window} and horizon {horizon}, expected at least 1")
        if len(array) < window + horizon:
            raise ValueError(
                f"Windows: there are {len(array)} rows, expected at least {window + horizon} "
                f"for a window of {window} and a horizon of {horizon}"
            )
        self.arrays: tuple[NDArray[Any], ...] = (array,)
        self.window = window
        self.horizon = horizon

    def __len__(self) -> int:
        return len(self.arrays[0]) - self.window - self.horizon + 1

    def __getitem__(self, index: int) -> tuple[NDArray[Any], NDArray[Any]]:
        x, target = self.__getitems__(np.array([range(len(self))[index]]))
        return x[0], target[0]

    def __getitems__(self, indices: NDArray[np.int64]) -> tuple[NDArray[Any], NDArray[Any]]:
        pieces = self.arrays[0][indices[:, None] + np.arange(self.window + self.horizon)]
        return pieces[:, : self.window], pieces[:, self.window :]
