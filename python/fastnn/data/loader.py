"""``DataLoader``: shuffled batches of a dataset, gathered in the background."""

from __future__ import annotations

import operator
from typing import TYPE_CHECKING, Any

import numpy as np

from .transforms import Draws

if TYPE_CHECKING:
    import threading
    from collections.abc import Iterator
    from queue import SimpleQueue

    from numpy.typing import NDArray

    from .dataset import Dataset
    from .transforms import Transform

__all__ = ["DataLoader"]


class DataLoader:
    """Iterates over a dataset in batches, as PyTorch's ``DataLoader``.

    Each ``iter(loader)`` is one epoch. A batch has the structure of an item: where items are
    tuples ``(x, y)``, batches are tuples of arrays ``(B, *x.shape)`` and ``(B, *y.shape)``, where
    ``B`` is ``batch_size`` or, for the last batch, what is left.

    The order of epoch ``e`` depends on ``seed``, ``e`` and ``len(dataset)`` alone, so a run can
    stop after any batch and continue elsewhere: keep ``loader.seed``, the epoch and the number of
    batches done, and go on with ``loader.batches(epoch, start)``.

    Args:
        dataset: What to read: ``len(dataset)`` and ``dataset[i]``, or ``__getitems__`` for whole
            batches (see ``Dataset``). Items are arrays, numbers, or tuples or lists of them.
        batch_size: Items a batch.
        shuffle: Draw a new order every epoch; otherwise the dataset's own order.
        drop_last: Leave out the last batch where it is not full.
        seed: A non-negative integer for the shuffling; None takes one from the operating system's
            entropy and keeps it in ``loader.seed``.
        transform: What is done to each batch, or where batches are tuples to the first array of
            them (``fastnn.data.transforms``): a function of the array and of ``Draws``, whose
            random numbers for an item depend on ``seed``, the epoch and the item's index alone.
        prefetch: Batches that a background thread keeps ready. It reads the dataset while the
            caller computes; 0 reads in the caller's thread.

    Attributes:
        epoch: The epoch that the next ``iter(loader)`` gives; starts at 0.

    Raises:
        TypeError: The dataset has no length or no items, or a number is not an integer.
        ValueError: A number is out of range. While iterating also: items of one batch differ in
            shape or structure.

    Example:
        >>> import numpy as np
        >>> from fastnn.data import ArrayDataset, DataLoader
        >>> dataset = ArrayDataset(np.zeros((10, 3), np.float32), np.arange(10))
        >>> loader = DataLoader(dataset, batch_size=4, shuffle=True, seed=0)
        >>> [(x.shape, y.shape) for x, y in loader]
        [((4, 3), (4,)), ((4, 3), (4,)), ((2, 3), (2,))]
    """

    def __init__(
        self,
        dataset: Dataset[Any],
        batch_size: int = 1,
        shuffle: bool = False,
        *,
        drop_last: bool = False,
        seed: int | None = None,
        transform: Transform | None = None,
        prefetch: int = 2,
    ) -> None:
        if not (hasattr(dataset, "__len__") and hasattr(dataset, "__getitem__")):
            raise TypeError(
                f"DataLoader: dataset is a {type(dataset).__name__}, expected an object with __len__ and __getitem__"
            )
        if transform is not None and not callable(transform):
            raise TypeError(f"DataLoader: transform is {transform!r}, expected a function of an array and draws")
        if seed is None:
            seed = int(np.random.SeedSequence().generate_state(1)[0])
        self.dataset = dataset
        self.batch_size = _integer("batch_size", batch_size, 1)
        self.shuffle = shuffle
        self.drop_last = drop_last
        self.seed = _integer("seed", seed, 0)
        self.transform = transform
        self.prefetch = _integer("prefetch", prefetch, 0)
        self.epoch = 0

    def __len__(self) -> int:
        """The number of batches in an epoch."""
        full, rest = divmod(len(self.dataset), self.batch_size)
        return full + (rest > 0 and not self.drop_last)

    def __iter__(self) -> Iterator[Any]:
        """The batches of epoch ``self.epoch``; the next call gives those of the epoch after it."""
        epoch = self.epoch
        self.epoch += 1
        return self.batches(epoch)

    def set_epoch(self, epoch: int) -> None:
        """Sets the epoch that the next ``iter(loader)`` gives."""
        self.epoch = _integer("epoch", epoch, 0)

    def batches(self, epoch: int, start: int = 0) -> Iterator[Any]:
        """The batches of one epoch from number ``start`` on; those before it are never read.

        Args:
            epoch: The epoch, from 0. ``self.epoch`` plays no part and does not change.
            start: The first batch, 0 to ``len(loader)``.

        Returns:
            An iterator. The background thread starts with its first batch, and stops when the
            iterator ends, fails, is closed or is no longer referenced.
        """
        epoch = _integer("epoch", epoch, 0)
        start = _integer("start", start, 0)
        if start > len(self):
            raise ValueError(f"DataLoader: start is {start}, the epoch has {len(self)} batches")
        source = self._read(epoch, start)
        return _prefetched(source, self.prefetch) if self.prefetch else source

    def _read(self, epoch: int, start: int) -> Iterator[Any]:
        dataset, step = self.dataset, self.batch_size
        order = self._order(epoch)
        getitems = getattr(dataset, "__getitems__", None)
        for number in range(start, len(self)):
            indices = order[number * step : (number + 1) * step]
            batch = getitems(indices) if getitems else [dataset[i] for i in indices.tolist()]
            batch = _collate(batch) if isinstance(batch, list) else batch
            yield batch if self.transform is None else self._transformed(self.transform, batch, epoch, indices)

    def _transformed(self, transform: Transform, batch: Any, epoch: int, indices: NDArray[np.int64]) -> Any:
        draws = Draws(indices, self.seed, epoch)
        if isinstance(batch, tuple):
            return transform(batch[0], draws), *batch[1:]
        return transform(batch, draws)

    def _order(self, epoch: int) -> NDArray[np.int64]:
        n = len(self.dataset)
        if not self.shuffle:
            return np.arange(n, dtype=np.int64)
        # Sorted raw draws instead of Generator.permutation: NumPy promises to keep the streams of
        # its bit generators between versions, but not what Generator's methods make of them.
        bits = np.random.Philox(np.random.SeedSequence(self.seed, spawn_key=(epoch,)))
        return np.argsort(bits.random_raw(n), kind="stable").astype(np.int64, copy=False)


def _integer(name: str, value: int, minimum: int) -> int:
    if isinstance(value, bool) or not hasattr(value, "__index__"):
        raise TypeError(f"DataLoader: {name} is {value!r}, expected an integer")
    number = operator.index(value)
    if number < minimum:
        raise ValueError(f"DataLoader: {name} is {number}, expected at least {minimum}")
    return number


def _collate(items: list[Any]) -> Any:
    if isinstance(items[0], (tuple, list)):
        lengths = {len(item) if isinstance(item, (tuple, list)) else None for item in items}
        if len(lengths) != 1:
            raise ValueError("DataLoader: the items of a batch are tuples of different lengths")
        return tuple(_collate(list(field)) for field in zip(*items, strict=True))
    arrays = [np.asarray(item) for item in items]
    shapes = {a.shape for a in arrays}
    if len(shapes) != 1:
        raise ValueError(f"DataLoader: the items of a batch differ in shape: {sorted(shapes)}")
    batch = np.stack(arrays)
    if batch.dtype == object:
        raise TypeError(
            f"DataLoader: cannot make a batch of {type(items[0]).__name__}, expected arrays, numbers, or tuples of them"
        )
    return batch


def _prefetched(source: Iterator[Any], depth: int) -> Iterator[Any]:
    """Runs ``source`` in a thread that stays up to ``depth`` batches ahead."""
    import threading
    from queue import SimpleQueue

    # One token in `room` is the right to read one batch. SimpleQueue, because the garbage
    # collector may close this generator at any point of any thread, the reading one included,
    # and a lock held by Python code would deadlock there.
    room: SimpleQueue[None] = SimpleQueue()
    ready: SimpleQueue[tuple[Any, BaseException | None]] = SimpleQueue()
    stop = threading.Event()
    thread = threading.Thread(target=_fill, args=(source, room, ready, stop), name="fastnn-prefetch", daemon=True)
    for _ in range(depth):
        room.put(None)
    error: BaseException | None = None
    try:
        thread.start()
        while True:
            if not thread.is_alive() and ready.empty():  # it never ends without a last message
                raise RuntimeError("DataLoader: cannot go on with an iterator made before a fork")
            batch, error = ready.get()
            if isinstance(error, StopIteration):
                return
            if error is not None:
                raise error
            room.put(None)
            yield batch
    finally:
        # The thread is told, not awaited: it ends after the batch that it is reading, and a
        # dataset that blocks must not block the caller too.
        stop.set()
        room.put(None)
        error = None  # its traceback holds this frame: a cycle that would keep the last batch


def _fill(
    source: Iterator[Any],
    room: SimpleQueue[None],
    ready: SimpleQueue[tuple[Any, BaseException | None]],
    stop: threading.Event,
) -> None:
    try:
        while True:
            room.get()
            if stop.is_set():
                return
            ready.put((next(source), None))
    except BaseException as error:
        ready.put((None, error))
