"""The caching allocator behind every array that fastnn makes."""

import threading

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fastnn import ops

caches = pytest.mark.skipif(
    "address" in ops.info()["sanitizers"], reason="under an address sanitizer blocks are not reused"
)


@settings(deadline=None, max_examples=100)
@given(st.integers(0, 1 << 22))
def test_blocks_are_aligned_and_writeable(n):
    a = ops.empty((n,), np.uint8)
    assert a.ctypes.data % 64 == 0
    a[...] = 7
    assert (a[:: max(1, n // 100)] == 7).all()


def test_live_bytes_follow_the_arrays():
    before = ops.memory_stats()["live_bytes"]
    a = ops.empty((1000, 1000))
    held = ops.memory_stats()["live_bytes"] - before
    assert a.nbytes <= held <= 1.26 * a.nbytes
    assert ops.memory_stats()["peak_bytes"] >= before + held
    view = a[10:]
    del a
    assert ops.memory_stats()["live_bytes"] - before == held  # the view keeps the block
    del view
    assert ops.memory_stats()["live_bytes"] == before


@caches
def test_freed_block_is_reused():
    address = ops.empty((300, 300)).ctypes.data
    blocks = ops.memory_stats()["system_blocks"]
    assert ops.empty((300, 300)).ctypes.data == address
    assert ops.memory_stats()["system_blocks"] == blocks


@caches
def test_no_growth_in_a_loop():
    x = np.random.default_rng(0).standard_normal((64, 16, 12, 12), dtype=np.float32)

    def step():
        y = ops.relu_forward(ops.to_channels_last(x))
        return ops.relu_backward(ops.to_contiguous(y), y)

    step()
    before = ops.memory_stats()
    for _ in range(200):
        step()
    after = ops.memory_stats()
    assert after["allocations"] > before["allocations"]
    for counter in ("system_blocks", "live_bytes", "cached_bytes", "peak_bytes"):
        assert after[counter] == before[counter], counter


@caches
def test_empty_cache_returns_free_blocks():
    ops.empty((1 << 20,))
    assert ops.memory_stats()["cached_bytes"] >= 4 << 20
    ops.empty_cache()
    assert ops.memory_stats()["cached_bytes"] == 0


@caches
def test_a_miss_keeps_what_a_training_step_comes_back_for():
    ops.empty_cache()
    activations = [ops.empty((8 << 20,)) for _ in range(20)]
    del activations
    cached = ops.memory_stats()["cached_bytes"]
    assert cached >= 20 * (32 << 20)
    ops.empty((3 << 20,))
    assert ops.memory_stats()["cached_bytes"] >= cached
    ops.empty_cache()


@caches
def test_the_cache_is_bounded_by_the_peak():
    ops.empty_cache()
    largest = ops.memory_stats()["peak_bytes"] + (256 << 20)
    for eighths in range(8, 17):  # larger and larger, one at a time
        ops.empty((largest // 8 * eighths,), np.uint8)
    stats = ops.memory_stats()
    assert stats["live_bytes"] + stats["cached_bytes"] <= 1.25 * stats["peak_bytes"] + (256 << 20)
    ops.empty_cache()


@caches
def test_block_travels_between_threads():
    made = []
    thread = threading.Thread(target=lambda: made.append(ops.empty((500, 700))))
    thread.start()
    thread.join()
    address, blocks = made[0].ctypes.data, ops.memory_stats()["system_blocks"]
    made.clear()
    assert ops.empty((500, 700)).ctypes.data == address
    assert ops.memory_stats()["system_blocks"] == blocks


def test_allocation_from_many_threads():
    """No two live arrays share memory, whichever threads made and dropped them."""
    wrong = []

    def work(mark):
        rng, held = np.random.default_rng(mark), []
        for _ in range(300):
            a = ops.empty((int(rng.integers(1, 5000)),), np.uint8)
            a[...] = mark
            held.append(a)
            if len(held) > 20:
                dropped = held.pop(int(rng.integers(len(held))))
                if not (dropped == mark).all():
                    wrong.append(mark)

    threads = [threading.Thread(target=work, args=(i,)) for i in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not wrong


def test_too_much_memory_is_a_memory_error():
    with pytest.raises(MemoryError, match=r"empty: no memory for an array of shape \(35184372088832,\)"):
        ops.empty((1 << 45,))


def test_overflowing_shape_is_a_value_error():
    with pytest.raises(ValueError, match=r"empty: an array of shape \(4611686018427387904, 8\) is too large"):
        ops.empty((1 << 62, 8))


def test_empty_checks_its_arguments():
    with pytest.raises(ValueError, match=r"\(-1,\)"):
        ops.empty((-1,))
    with pytest.raises(TypeError, match="empty: dtype holds Python objects"):
        ops.empty((2,), object)
    with pytest.raises(ValueError, match=r"empty: channels_last needs 4 dimensions, shape is \(2, 3\)"):
        ops.empty((2, 3), channels_last=True)
    with pytest.raises(TypeError, match="int64"):
        ops.empty((1, 2, 3, 4), np.int64, channels_last=True)


def test_empty_makes_the_layout_asked_for():
    a = ops.empty((2, 3, 4, 5), np.float64)
    assert a.shape == (2, 3, 4, 5)
    assert a.dtype == np.float64
    assert a.flags.c_contiguous
    a = ops.empty((2, 3, 4, 5), channels_last=True)
    assert a.dtype == np.float32
    assert a.transpose(0, 2, 3, 1).flags.c_contiguous
    assert ops.empty((0, 3)).shape == (0, 3)
    assert ops.empty(()).shape == ()


def test_arrays_outlive_the_interpreters_shutdown(python):
    code = """
import atexit, builtins, threading
import numpy as np
from fastnn import ops
builtins.kept = [ops.relu_forward(np.ones(1 << i, np.float32)) for i in range(20)]
kept.append(kept)  # a cycle: freed at the very end, or never
atexit.register(lambda: print(float(kept[3].sum())))
"""
    result = python(code)
    assert result.returncode == 0, result.stderr
    assert result.stdout.strip() == "8.0"
    assert result.stderr == ""
