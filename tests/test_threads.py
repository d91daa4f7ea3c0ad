"""Threads: how many, fork, the GIL, the floating-point state, and two callers at once."""

import itertools
import os
import sys
import threading
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
from numpy.testing import assert_array_equal

from fastnn import ops

LARGE = 1 << 20  # elements: enough for an element-wise kernel to use several threads


@pytest.fixture
def x():
    return np.random.default_rng(0).standard_normal(LARGE, dtype=np.float32)


@pytest.fixture
def keep_threads():
    before = ops.get_num_threads()
    yield
    ops.set_num_threads(before)


openmp = pytest.mark.skipif(ops.info()["openmp"] == "none", reason="built without OpenMP: one thread")


# How many -----------------------------------------------------------------------------------------

REPORT = "from fastnn import ops; i = ops.info(); print(i['threads'], i['threads_from'], sep=': ')"


@openmp
@pytest.mark.parametrize(
    ("variables", "expected"),
    [
        ({"FASTNN_NUM_THREADS": "3"}, "3: FASTNN_NUM_THREADS"),
        ({"OMP_NUM_THREADS": "5"}, "5: OMP_NUM_THREADS"),
        ({"OMP_NUM_THREADS": "4,2"}, "4: OMP_NUM_THREADS"),
        ({"FASTNN_NUM_THREADS": "3", "OMP_NUM_THREADS": "5"}, "3: FASTNN_NUM_THREADS"),
        ({"FASTNN_NUM_THREADS": "", "OMP_NUM_THREADS": "5"}, "5: OMP_NUM_THREADS"),
    ],
)
def test_environment_chooses_the_number_of_threads(python, variables, expected):
    assert python(REPORT, **variables).stdout.strip() == expected


@openmp
@pytest.mark.skipif(not hasattr(os, "sched_setaffinity"), reason="no CPU affinity on this system")
def test_affinity_bounds_the_number_of_threads(python):
    pin = "import os; os.sched_setaffinity(0, {min(os.sched_getaffinity(0))}); "
    assert python(pin + REPORT).stdout.startswith("1: C")  # CPU affinity, or a cgroup's quota of one CPU


def test_a_call_beats_the_environment(python):
    code = "import fastnn; fastnn.set_num_threads(2); " + REPORT
    assert python(code, FASTNN_NUM_THREADS="3").stdout.strip() == "2: set_num_threads"


@pytest.mark.parametrize("value", ["0", "-1", "two", "1.5", "2x", "4097"])
def test_bad_number_of_threads_in_the_environment_stops_the_import(python, value):
    result = python("import fastnn", FASTNN_NUM_THREADS=value)
    assert result.returncode == 1
    last = result.stderr.splitlines()[-1]
    assert last == f"ImportError: FASTNN_NUM_THREADS is '{value}'; expected an integer from 1 to 4096"


@pytest.mark.usefixtures("keep_threads")
def test_set_num_threads():
    ops.set_num_threads(3)
    assert ops.get_num_threads() == 3
    for bad in (0, -1, 4097, 2**30):
        with pytest.raises(ValueError, match=f"set_num_threads: threads is {bad}; expected 1 to 4096"):
            ops.set_num_threads(bad)
    for bad in ("2", 1.5, None, 1 << 40):
        with pytest.raises(TypeError):
            ops.set_num_threads(bad)
    assert ops.get_num_threads() == 3


# Fork ---------------------------------------------------------------------------------------------

USE = """
import os, threading
import numpy as np
from fastnn import ops
ops.set_num_threads(2)
x = np.random.default_rng(0).standard_normal(1 << 20, dtype=np.float32)
want = ops.relu_forward(x)

def child_is_well():
    alone = ops.get_num_threads() == 1 or ops.info()["openmp"] == "none"
    return alone and np.array_equal(ops.relu_forward(x), want)
"""


def test_forked_child_computes_alone(python):
    fork = """
pid = os.fork()
if pid == 0:
    os._exit(0 if child_is_well() else 3)
raise SystemExit(os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]))
"""
    result = python(USE + fork)
    assert result.returncode == 0, result.stderr


def test_parent_keeps_its_threads_after_fork(python):
    fork = """
pid = os.fork()
if pid == 0:
    os._exit(0)
os.waitpid(pid, 0)
assert ops.get_num_threads() == 2 and np.array_equal(ops.relu_forward(x), want)
"""
    result = python(USE + fork)
    assert result.returncode == 0, result.stderr


def test_fork_while_another_thread_runs_kernels(python):
    fork = """
import warnings
warnings.simplefilter("ignore", DeprecationWarning)  # of forking beside threads: that is what is tried here
done = threading.Event()

def work():
    while not done.is_set():
        ops.relu_forward(x)

threads = [threading.Thread(target=work) for _ in range(2)]
for thread in threads:
    thread.start()
codes = []
for _ in range(10):
    pid = os.fork()
    if pid == 0:
        os._exit(0 if child_is_well() else 3)
    codes.append(os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]))
done.set()
for thread in threads:
    thread.join()
assert codes == [0] * 10, codes
"""
    result = python(USE + fork)
    assert result.returncode == 0, result.stderr


def test_multiprocessing_by_fork(python):
    pool = """
import multiprocessing
with multiprocessing.get_context("fork").Pool(2) as pool:
    parts = pool.map(ops.relu_forward, np.split(x, 4))
assert np.array_equal(np.concatenate(parts), want)
"""
    result = python(USE + pool)
    assert result.returncode == 0, result.stderr


# The GIL and several callers ----------------------------------------------------------------------


def test_kernels_release_the_gil(x):
    """A thread that counts can only run while this one is inside a kernel: nothing else gives the GIL away."""
    count, done = 0, threading.Event()

    def counting():
        nonlocal count
        while not done.is_set():
            count += 1
            os.sched_yield()  # gives the GIL away

    interval = sys.getswitchinterval()
    counter = threading.Thread(target=counting)
    sys.setswitchinterval(1000)
    try:
        counter.start()
        progress = 0
        for _ in range(1000):
            before = count
            ops.relu_forward(x)
            progress = count - before
            if progress:
                break
        assert progress > 0
    finally:
        sys.setswitchinterval(interval)
        done.set()
        counter.join()


@pytest.mark.usefixtures("threads")
def test_several_python_threads_at_once():
    rng = np.random.default_rng(1)
    inputs = [rng.standard_normal(LARGE + i, dtype=np.float32) for i in range(4)]
    matrices = [rng.standard_normal((150 + i, 150 + i)) for i in range(4)]
    expected = [(ops.relu_forward(x), ops.matmul(a, a)) for x, a in zip(inputs, matrices, strict=True)]
    start = threading.Barrier(4)

    def work(i):
        start.wait()
        return [(ops.relu_forward(inputs[i]), ops.matmul(matrices[i], matrices[i])) for _ in range(5)]

    with ThreadPoolExecutor(4) as pool:
        for results, (y, c) in zip(pool.map(work, range(4)), expected, strict=True):
            for got_y, got_c in results:
                assert_array_equal(got_y, y)
                assert_array_equal(got_c, c)


@pytest.mark.usefixtures("keep_threads")
def test_instruction_set_and_settings_change_during_calls():
    rng = np.random.default_rng(2)
    x, w = rng.standard_normal((2, 20, 12, 12)), rng.standard_normal((70, 20, 3, 3))
    isa, names = ops.isa(), ops.isas()
    expected = ops.conv2d_forward(x, w, None, 1, 1)
    done = threading.Event()

    def change():
        for i in itertools.count():
            ops.set_isa(names[i % len(names)])
            ops.set_num_threads(1 + i % 3)
            ops.empty_cache()
            if done.is_set():
                return

    with ThreadPoolExecutor(1) as pool:
        changing = pool.submit(change)
        try:
            results = [ops.conv2d_forward(x, w, None, 1, 1) for _ in range(100)]
        finally:
            done.set()
            changing.result()
            ops.set_isa(isa)
    for y in results:
        np.testing.assert_allclose(y, expected, rtol=0, atol=1e-11)


# The floating-point state ---------------------------------------------------------------------------


@pytest.mark.usefixtures("threads")
def test_callers_denormals_stay(x):
    tiny = np.full(64, 1e-40, np.float32)
    ops.relu_forward(x)
    assert (tiny * np.float32(0.5) > 0).all()


def test_kernels_flush_denormals_alike_on_every_thread(isa, threads):
    tiny = np.full(LARGE, 1e-40, np.float32)
    assert not ops.relu_forward(tiny).any()
    a = np.full((192, 192), 1e-20, np.float32)
    assert not ops.matmul(a, a * np.float32(1e-3)).any()


@pytest.mark.usefixtures("keep_threads")
def test_same_bits_on_any_number_of_threads(isa, x):
    results = []
    for threads in (1, 2, 3, 7):
        ops.set_num_threads(threads)
        results.append(ops.relu_forward(x).tobytes())
    assert len(set(results)) == 1
