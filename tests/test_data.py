"""fastnn.data: datasets, and the DataLoader's batches, order and thread."""

import gc
import math
import subprocess
import sys
import threading
import traceback

import numpy as np
import pytest

import fastnn
from fastnn.data import ArrayDataset, ConcatDataset, DataLoader, Dataset, Subset, TensorDataset, random_split

# --- datasets --------------------------------------------------------------------------------


class Items(Dataset):
    """Items one by one, without ``__getitems__``; remembers what was read."""

    def __init__(self, items):
        self.items = items
        self.read = []

    def __len__(self):
        return len(self.items)

    def __getitem__(self, index):
        self.read.append(index)
        return self.items[index]


def test_dataset_needs_both_methods():
    class Incomplete(Dataset):
        def __len__(self):
            return 1

    with pytest.raises(TypeError, match="__getitem__"):
        Incomplete()


def test_array_dataset():
    x = np.arange(12.0).reshape(4, 3)
    dataset = ArrayDataset(x, [0, 1, 2, 3])
    assert len(dataset) == 4
    item, label = dataset[-1]
    np.testing.assert_array_equal(item, x[3])
    assert label == 3
    batch, labels = dataset.__getitems__(np.array([2, 0]))
    np.testing.assert_array_equal(batch, x[[2, 0]])
    np.testing.assert_array_equal(labels, [2, 0])
    assert dataset.arrays[0] is x
    with pytest.raises(IndexError):
        dataset[4]


@pytest.mark.parametrize("arrays", [(), (np.float32(1),), (np.zeros(2), np.zeros((3, 2)))])
def test_array_dataset_rejects(arrays):
    with pytest.raises(ValueError, match="ArrayDataset: arrays have shapes"):
        ArrayDataset(*arrays)


@pytest.mark.parametrize("dataset", [ArrayDataset(np.arange(10)), [(i,) for i in range(10)]])
def test_subset(dataset):
    subset = Subset(Subset(dataset, [9, 3, 3, -10]), np.array([1, 0, 3], np.uint64))
    assert [subset[i] for i in range(len(subset))] == [(3,), (9,), (0,)]
    assert [x.tolist() for (x,) in DataLoader(subset, 2)] == [[3, 9], [0]]
    assert len(Subset(dataset, [])) == 0


def test_subset_rejects():
    data = list(range(3))
    with pytest.raises(IndexError, match="index 3 is out of range for a dataset of 3 items"):
        Subset(data, [0, 3])
    with pytest.raises(IndexError, match="index -4"):
        Subset(data, [-4])
    with pytest.raises(TypeError, match="dtype bool"):
        Subset(data, [True, False, True])
    with pytest.raises(ValueError, match=r"shape \(1, 1\)"):
        Subset(data, [[0]])


# --- DataLoader: batches ---------------------------------------------------------------------


def numbers(n):
    return ArrayDataset(np.arange(n))


def epoch(batches):
    return [x.tolist() for (x,) in batches]


def flat(batches):
    return [i for batch in batches for i in batch]


@pytest.mark.parametrize("prefetch", [0, 1, 2, 5])
@pytest.mark.parametrize("n", [0, 1, 3, 4, 9])
@pytest.mark.parametrize("batch_size", [1, 3, 4, 20])
def test_loader_batches(n, batch_size, prefetch):
    every = [list(range(i, min(i + batch_size, n))) for i in range(0, n, batch_size)]
    loader = DataLoader(numbers(n), batch_size, prefetch=prefetch)
    assert epoch(loader) == every
    assert len(loader) == len(every) == math.ceil(n / batch_size)
    full = DataLoader(numbers(n), batch_size, drop_last=True, prefetch=prefetch)
    assert epoch(full) == [batch for batch in every if len(batch) == batch_size]
    assert len(full) == n // batch_size


@pytest.mark.parametrize(
    ("items", "expected"),
    [
        ([1, 2, 3], np.array([1, 2, 3])),
        ([1.5, 2.5], np.array([1.5, 2.5])),
        ([True, False], np.array([True, False])),
        ([np.float32(1), np.float32(2)], np.array([1, 2], np.float32)),
        ([np.zeros((2, 3), np.int8)] * 2, np.zeros((2, 2, 3), np.int8)),
        ([(np.ones(2), 7), (np.ones(2), 8)], (np.ones((2, 2)), np.array([7, 8]))),
        ([[1, 2], [3, 4]], (np.array([1, 3]), np.array([2, 4]))),
        ([((1, 2), 3), ((4, 5), 6)], ((np.array([1, 4]), np.array([2, 5])), np.array([3, 6]))),
    ],
)
def test_loader_collates(items, expected):
    def check(batch, expected):
        assert type(batch) is type(expected)
        if isinstance(batch, tuple):
            assert len(batch) == len(expected)
            for b, e in zip(batch, expected, strict=True):
                check(b, e)
        else:
            assert batch.dtype == expected.dtype
            np.testing.assert_array_equal(batch, expected)

    (batch,) = DataLoader(Items(items), batch_size=8)
    check(batch, expected)


@pytest.mark.parametrize(
    ("items", "error", "message"),
    [
        ([np.zeros(2), np.zeros(3)], ValueError, r"differ in shape: \[\(2,\), \(3,\)\]"),
        ([(1, 2), (1,)], ValueError, "different lengths"),
        ([(1, 2), 1], ValueError, "different lengths"),
        ([{"x": 1}, {"x": 2}], TypeError, "cannot make a batch of dict"),
        ([None], TypeError, "cannot make a batch of NoneType"),
    ],
)
def test_loader_cannot_collate(items, error, message):
    with pytest.raises(error, match=message):
        list(DataLoader(Items(items), batch_size=8))


def test_getitems_may_return_a_list_of_items_as_in_pytorch():
    class Listing(Items):
        def __getitems__(self, indices):
            return [self.items[i] for i in indices]

    (batch,) = DataLoader(Listing([(1, 2.0), (3, 4.0)]), batch_size=2)
    assert [field.tolist() for field in batch] == [[1, 3], [2.0, 4.0]]


@pytest.mark.parametrize(
    ("kwargs", "error", "message"),
    [
        ({"batch_size": 0}, ValueError, "batch_size is 0, expected at least 1"),
        ({"batch_size": -1}, ValueError, "batch_size is -1"),
        ({"batch_size": 2.0}, TypeError, "batch_size is 2.0, expected an integer"),
        ({"batch_size": True}, TypeError, "batch_size is True"),
        ({"prefetch": -1}, ValueError, "prefetch is -1, expected at least 0"),
        ({"prefetch": None}, TypeError, "prefetch is None"),
        ({"seed": -1}, ValueError, "seed is -1"),
        ({"seed": "1"}, TypeError, "seed is '1'"),
        ({"dataset": 5}, TypeError, "dataset is a int"),
        ({"dataset": iter([1])}, TypeError, "__len__ and __getitem__"),
    ],
)
def test_loader_rejects(kwargs, error, message):
    with pytest.raises(error, match=message):
        DataLoader(**{"dataset": numbers(4), **kwargs})


def test_loader_accepts_numpy_integers_and_a_seed_without_shuffle():
    loader = DataLoader(numbers(4), np.int32(3), seed=np.uint8(7))
    assert (loader.batch_size, loader.seed) == (3, 7)
    assert epoch(loader) == [[0, 1, 2], [3]]


# --- ConcatDataset, random_split ---------------------------------------------------------------


def test_concat_dataset():
    both = ConcatDataset([[1, 2, 3], [], Subset([7, 8, 9], [2, 0])])
    assert both.cumulative_sizes == [3, 3, 5]
    assert [both[i] for i in range(5)] == [1, 2, 3, 9, 7]
    assert [both[i] for i in range(-5, 0)] == [1, 2, 3, 9, 7]
    assert [batch.tolist() for batch in DataLoader(both, 2)] == [[1, 2], [3, 9], [7]]
    for index in (5, -6):
        with pytest.raises(IndexError, match=f"ConcatDataset: index {index} is out of range for 5 items"):
            both[index]
    with pytest.raises(ValueError, match="ConcatDataset: datasets is empty"):
        ConcatDataset([])


@pytest.mark.parametrize(
    ("lengths", "sizes"),
    [
        ([7, 3], [7, 3]),
        ([10], [10]),
        ([0, 10], [0, 10]),
        ([0.5, 0.25, 0.25], [6, 2, 2]),
        ([0.33, 0.67], [4, 6]),
        ([1.0], [10]),
    ],
)
def test_random_split(lengths, sizes):
    parts = random_split(list(range(10)), lengths, generator=3)
    assert [len(part) for part in parts] == sizes
    items = [item for part in parts for item in part]
    assert sorted(items) == list(range(10))
    assert [item for part in random_split(list(range(10)), lengths, np.random.default_rng(3)) for item in part] == items


def test_random_split_repeats_with_the_seed_of_the_library():
    state = fastnn.get_rng_state()
    splits = []
    for seed in (1, 1, 2):
        fastnn.manual_seed(seed)
        splits.append(random_split(list(range(100)), [0.8, 0.2])[1].indices.tolist())
    fastnn.set_rng_state(state)
    assert splits[0] == splits[1] != splits[2]


@pytest.mark.parametrize("lengths", [[5, 4], [11, -1], [0.5, 0.6], [5.5, 4.5], []])
def test_random_split_rejects(lengths):
    with pytest.raises(ValueError, match=r"random_split: lengths are .*, expected numbers of items that sum to 10"):
        random_split(list(range(10)), lengths)


def test_tensor_dataset_is_pytorchs_name():
    assert TensorDataset is ArrayDataset


# --- DataLoader: order -----------------------------------------------------------------------


@pytest.mark.parametrize("prefetch", [0, 2])
def test_epochs_depend_on_seed_and_number_alone(prefetch):
    def loader(seed):
        return DataLoader(numbers(50), 8, shuffle=True, seed=seed, prefetch=prefetch)

    first = loader(3)
    epochs = [epoch(first) for _ in range(4)]
    assert first.epoch == 4
    for e in epochs:
        assert sorted(flat(e)) == list(range(50))
    assert len({str(e) for e in epochs}) == 4
    assert epoch(loader(3).batches(2)) == epochs[2]
    assert epoch(loader(4)) != epochs[0]

    again = loader(3)
    again.set_epoch(3)
    assert epoch(again) == epochs[3]
    again.set_epoch(0)
    assert epoch(again) == epochs[0]
    assert epoch(again) == epochs[1]


def test_the_order_is_the_same_everywhere():
    loader = DataLoader(numbers(8), 8, shuffle=True, seed=0)
    assert [epoch(loader)[0] for _ in range(2)] == ORDER_OF_SEED_0


# Made by this code; a change would break the resuming of runs that an earlier version started.
ORDER_OF_SEED_0 = [[1, 4, 5, 6, 2, 0, 3, 7], [7, 6, 2, 3, 1, 0, 4, 5]]


def test_unseeded_loaders_differ_and_repeat():
    a, b = (DataLoader(numbers(100), 100, shuffle=True) for _ in range(2))
    assert a.seed != b.seed
    assert epoch(a) != epoch(b)
    assert epoch(a.batches(0)) == epoch(DataLoader(numbers(100), 100, shuffle=True, seed=a.seed).batches(0))


def test_iter_takes_its_epoch_at_once():
    loader = DataLoader(numbers(20), 20, shuffle=True, seed=1)
    a, b = iter(loader), iter(loader)
    assert loader.epoch == 2
    assert epoch(b) == epoch(loader.batches(1))
    assert epoch(a) == epoch(loader.batches(0))


@pytest.mark.parametrize("prefetch", [0, 2])
@pytest.mark.parametrize("drop_last", [False, True])
def test_resume_gives_the_tail_and_reads_nothing_before_it(prefetch, drop_last):
    def loader():
        return DataLoader(
            Items([(i,) for i in range(22)]),
            4,
            shuffle=True,
            seed=5,
            drop_last=drop_last,
            prefetch=prefetch,
        )

    whole = epoch(loader().batches(6))
    for start in range(len(whole) + 1):
        resumed = loader()
        assert epoch(resumed.batches(6, start)) == whole[start:]
        assert resumed.dataset.read == flat(whole[start:])
        assert resumed.epoch == 0
    with pytest.raises(ValueError, match=f"the epoch has {len(whole)} batches"):
        loader().batches(6, len(whole) + 1)
    with pytest.raises(ValueError, match="start is -1"):
        loader().batches(6, -1)
    with pytest.raises(ValueError, match="epoch is -1"):
        loader().set_epoch(-1)


# --- DataLoader: the thread ------------------------------------------------------------------


def loader_threads():
    return [t for t in threading.enumerate() if t.name == "fastnn-prefetch"]


def join_the_only_thread(threads):
    (thread,) = threads
    thread.join(timeout=30)
    assert not thread.is_alive()


@pytest.fixture(autouse=True)
def no_thread_is_left():
    yield
    for thread in loader_threads():
        thread.join(timeout=30)
        assert not thread.is_alive()


def test_prefetch_stays_within_its_bound():
    batch_was_read = threading.Semaphore(0)

    class Counting(Items):
        def __getitem__(self, index):
            item = super().__getitem__(index)
            batch_was_read.release()
            return item

    dataset = Counting(list(range(100)))
    batches = iter(DataLoader(dataset, prefetch=3))
    next(batches)
    for _ in range(4):  # the one taken and three ahead
        assert batch_was_read.acquire(timeout=30)
    threads = loader_threads()
    batches.close()
    join_the_only_thread(threads)
    assert dataset.read == [0, 1, 2, 3]


def test_prefetch_reads_in_another_thread():
    class Where(Items):
        def __getitem__(self, index):
            return threading.get_ident()

    assert set(np.concatenate(list(DataLoader(Where([0] * 5), prefetch=0)))) == {threading.get_ident()}
    assert threading.get_ident() not in np.concatenate(list(DataLoader(Where([0] * 5))))


class Failing(Items):
    def __getitem__(self, index):
        if index == 5:
            raise KeyError("item five is broken")
        return super().__getitem__(index)


@pytest.mark.parametrize("prefetch", [0, 1, 8])
def test_exceptions_reach_the_consumer_after_the_batches_before_them(prefetch):
    batches = iter(DataLoader(Failing(list(range(10))), batch_size=2, prefetch=prefetch))
    assert [next(batches).tolist() for _ in range(2)] == [[0, 1], [2, 3]]
    with pytest.raises(KeyError, match="item five is broken") as caught:
        next(batches)
    assert list(batches) == []
    frames = [frame.name for frame in traceback.extract_tb(caught.value.__traceback__)]
    assert frames[-1] == "__getitem__"


@pytest.mark.parametrize("prefetch", [0, 2])
def test_stop_iteration_from_a_dataset_is_not_the_end(prefetch):
    class Stopping(Items):
        def __getitem__(self, index):
            raise StopIteration

    with pytest.raises(RuntimeError, match="StopIteration"):
        list(DataLoader(Stopping([1, 2]), prefetch=prefetch))


def leave_by_break(loader):
    for _ in loader:
        threads = loader_threads()
        break
    return threads


def leave_by_exception(loader):
    def train():
        for _ in loader:
            threads.extend(loader_threads())
            raise KeyboardInterrupt

    threads = []
    with pytest.raises(KeyboardInterrupt):
        train()
    return threads


def leave_by_close(loader):
    batches = iter(loader)
    next(batches)
    threads = loader_threads()
    batches.close()
    assert list(batches) == []
    return threads


def leave_by_cycle(loader):
    batches = iter(loader)
    next(batches)
    threads = loader_threads()
    cycle = [batches]
    cycle.append(cycle)
    del batches, cycle
    gc.collect()
    return threads


def leave_by_throw(loader):
    batches = iter(loader)
    next(batches)
    threads = loader_threads()
    with pytest.raises(KeyboardInterrupt):
        batches.throw(KeyboardInterrupt)
    return threads


@pytest.mark.parametrize(
    "leave",
    [leave_by_break, leave_by_exception, leave_by_close, leave_by_cycle, leave_by_throw],
)
@pytest.mark.parametrize("prefetch", [1, 4])
def test_an_abandoned_iterator_stops_its_thread(leave, prefetch):
    dataset = Items(list(range(1000)))
    join_the_only_thread(leave(DataLoader(dataset, prefetch=prefetch)))
    assert len(dataset.read) <= prefetch + 2


def test_the_garbage_collector_may_close_an_iterator_in_its_own_thread():
    unreachable = threading.Event()

    class Collecting(Items):
        def __getitem__(self, index):
            if index == 1:
                assert unreachable.wait(timeout=30)
                gc.collect()
            return super().__getitem__(index)

    dataset = Collecting(list(range(1000)))
    batches = iter(DataLoader(dataset))
    next(batches)
    threads = loader_threads()
    gc.disable()
    try:
        cycle = [batches]
        cycle.append(cycle)
        del batches, cycle
        unreachable.set()
        join_the_only_thread(threads)
    finally:
        gc.enable()
    assert dataset.read == [0, 1]


def test_abandoning_does_not_wait_for_a_dataset_that_blocks():
    entered, release = threading.Event(), threading.Event()

    class Blocking(Items):
        def __getitem__(self, index):
            if index == 1:
                entered.set()
                assert release.wait(timeout=30)
            return super().__getitem__(index)

    batches = iter(DataLoader(Blocking([0, 1, 2, 3])))
    next(batches)
    assert entered.wait(timeout=30)
    threads = loader_threads()
    batches.close()
    release.set()
    join_the_only_thread(threads)


def test_a_finished_or_unused_iterator_has_no_thread():
    loader = DataLoader(numbers(10), 2)
    unused = iter(loader)
    assert loader_threads() == []
    batches = iter(loader)
    next(batches)
    threads = loader_threads()
    assert len(list(batches)) == 4
    join_the_only_thread(threads)
    del unused


def test_nested_and_interleaved_iterators():
    loader = DataLoader(numbers(6), 2)
    pairs = [(a.tolist(), b.tolist()) for (a,) in loader for (b,) in loader]
    every = [[0, 1], [2, 3], [4, 5]]
    assert pairs == [(a, b) for a in every for b in every]
    both = zip(loader.batches(0), loader.batches(0), strict=True)
    assert [(a.tolist(), b.tolist()) for (a,), (b,) in both] == [(e, e) for e in every]


PREAMBLE = """
import os, signal, sys, threading
import numpy as np
import fastnn
from fastnn.data import ArrayDataset, ConcatDataset, DataLoader, Dataset, Subset, TensorDataset, random_split
loader = DataLoader(ArrayDataset(np.arange(100_000)), batch_size=10)
batches = iter(loader)
next(batches)
"""


@pytest.mark.parametrize(
    ("script", "code"),
    [
        ("", 0),  # the iterator is alive when the interpreter ends
        ("cycle = [batches]; cycle.append(cycle); del batches, cycle", 0),
        ("sys.exit(3)", 3),
        ("import builtins; builtins.keep = batches; sys.exit(4)", 4),
        (
            """
class Blocking:
    def __len__(self): return 1
    def __getitem__(self, index):
        os.kill(os.getpid(), signal.SIGINT)  # Ctrl-C while the consumer waits
        threading.Event().wait()
try:
    next(iter(DataLoader(Blocking())))
except KeyboardInterrupt:
    sys.exit(5)
""",
            5,
        ),
        (
            """
import warnings
warnings.simplefilter("ignore")  # Python warns of a fork with threads
child = os.fork()
if child == 0:
    try:
        for _ in batches: pass
    except RuntimeError as error:
        os._exit(6 if "before a fork" in str(error) else 1)
    os._exit(1)
sys.exit(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]))
""",
            6,
        ),
    ],
    ids=["end", "cycle", "exit", "kept", "interrupt", "fork"],
)
def test_processes_end(script, code):
    done = subprocess.run([sys.executable, "-c", PREAMBLE + script], timeout=60, capture_output=True, text=True)
    assert (done.returncode, done.stderr) == (code, "")
