"""Matrix product: every layout, batch and size, on every instruction set."""

import re

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.testing import assert_array_equal

import reference as ref
from fastnn import ops

DTYPES = [np.float32, np.float64]

# How a matrix may lie in memory: functions from a C-contiguous array to an equal one.
LAYOUTS = {
    "C": lambda a: a,
    "Fortran": lambda a: a.swapaxes(-1, -2).copy().swapaxes(-1, -2),
    "reversed rows": lambda a: a[..., ::-1, :].copy()[..., ::-1, :],
    "reversed columns": lambda a: a[..., ::-1].copy()[..., ::-1],
    "every second row": lambda a: np.repeat(a, 2, axis=-2)[..., ::2, :],
    "every second column": lambda a: np.repeat(a, 2, axis=-1)[..., ::2],
    "part of a wider one": lambda a: np.concatenate([a, a], axis=-1)[..., : a.shape[-1]],
    "unaligned": lambda a: np.frombuffer(b"x" + a.tobytes(), a.dtype, offset=1).reshape(a.shape),
}


def check(c, a, b):
    """Holds a product against the oracle: an error of a few roundings of the sum of |a| |b|."""
    expected = ref.matmul(a, b)
    assert c.shape == expected.shape
    assert c.dtype == a.dtype
    assert c.flags.c_contiguous
    bound = 4 * np.sqrt(a.shape[-1] + 1) * np.finfo(a.dtype).eps * ref.matmul(np.abs(a), np.abs(b))
    assert (np.abs(c - expected) <= bound).all()


def matrices(dtype, a_shape, b_shape, seed=0):
    rng = np.random.default_rng(seed)
    return rng.standard_normal(a_shape).astype(dtype), rng.standard_normal(b_shape).astype(dtype)


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize(
    ("M", "N", "K"),
    [
        *((m, n, k) for m in (1, 2, 5, 6, 7) for n in (1, 17, 64, 65) for k in (1, 33)),
        (13, 31, 64),
        (33, 129, 100),
        (64, 64, 64),
        (100, 48, 1000),
        (6, 1000, 300),
        (1, 3, 2000),
        (130, 1, 70),
        (9, 70, 4100),  # few rows: dot products in blocks, strips of b in place
        (57, 530, 200),
        *((m, 1100, 70) for m in (1, 2, 3, 4)),  # several panels at once
        (56, 600, 130),
        (100, 300, 1030),  # two blocks of the reduction
        (70, 257, 512),  # rows of a that compete for cache sets
        (45, 33, 4500),
        (60, 45, 4500),  # a long reduction into a small c, and one into its transpose
        (65, 150, 4100),
        (200, 17, 4096),
    ],
)
def test_sizes(isa, dtype, M, N, K):
    a, b = matrices(dtype, (M, K), (K, N))
    check(ops.matmul(a, b), a, b)


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("b_layout", LAYOUTS)
@pytest.mark.parametrize("a_layout", LAYOUTS)
def test_layouts(isa, dtype, a_layout, b_layout):
    for M, N, K in ((4, 19, 21), (40, 35, 21), (70, 35, 21), (60, 3, 4100), (60, 77, 4100)):
        a, b = matrices(dtype, (M, K), (K, N))
        check(ops.matmul(LAYOUTS[a_layout](a), LAYOUTS[b_layout](b)), a, b)


@pytest.mark.parametrize(
    ("a_batch", "b_batch"),
    [((3,), (3,)), ((3,), (1,)), ((), (4,)), ((2, 3), (3,)), ((2, 1), (1, 5)), ((0,), (1,)), ((2, 0), (0,))],
)
@pytest.mark.parametrize("layout", LAYOUTS)
def test_leading_dimensions_broadcast(isa, layout, a_batch, b_batch):
    a, b = matrices(np.float32, (*a_batch, 5, 7), (*b_batch, 7, 9))
    check(ops.matmul(LAYOUTS[layout](a), b), a, b)
    check(ops.matmul(a, LAYOUTS[layout](b)), a, b)


def test_repeated_batch(isa):
    a, b = matrices(np.float32, (5, 7), (7, 9))
    many = np.broadcast_to(a, (3, 5, 7))
    check(ops.matmul(many, b), many, b)


@settings(deadline=None, max_examples=100)
@given(
    sizes=st.tuples(*[st.integers(0, 40)] * 3),
    a_layout=st.sampled_from(sorted(LAYOUTS)),
    b_layout=st.sampled_from(sorted(LAYOUTS)),
    dtype=st.sampled_from(DTYPES),
)
def test_any_matrices(sizes, a_layout, b_layout, dtype):
    M, N, K = sizes
    a, b = matrices(dtype, (M, K), (K, N))
    check(ops.matmul(LAYOUTS[a_layout](a), LAYOUTS[b_layout](b)), a, b)


@pytest.mark.parametrize(("M", "N", "K"), [(0, 3, 4), (3, 0, 4), (3, 4, 0), (0, 0, 0)])
def test_empty_matrices(isa, M, N, K):
    c = ops.matmul(np.ones((M, K), np.float32), np.ones((K, N), np.float32))
    assert c.shape == (M, N)
    assert not c.any()  # an empty sum is zero


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
@pytest.mark.parametrize("M", [1, 5, 50])
def test_not_finite_values_propagate(isa, M, value):
    a, b = matrices(np.float32, (M, 40), (40, 37))
    a[M // 2, 11] = value
    b[3, 20] = value
    with np.errstate(invalid="ignore"):
        c, expected = ops.matmul(a, b), ref.matmul(a, b)
    for test in (np.isnan, np.isposinf, np.isneginf):
        assert_array_equal(test(c), test(expected))


def test_zero_times_not_finite_is_nan(isa):
    a, b = np.zeros((3, 20), np.float32), np.full((20, 33), np.inf, np.float32)
    assert np.isnan(ops.matmul(a, b)).all()


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize(
    ("M", "N", "K"), [(300, 200, 150), (4, 3000, 700), (40, 700, 300), (700, 5, 700), (64, 90, 5000), (300, 300, 1024)]
)
def test_same_bits_on_any_number_of_threads(isa, dtype, M, N, K):
    a, b = matrices(dtype, (M, K), (K, N))
    before, results = ops.get_num_threads(), set()
    for threads in (1, 2, 3):
        ops.set_num_threads(threads)
        for left in (a, LAYOUTS["Fortran"](a)):
            results.add((left.flags.c_contiguous, ops.matmul(left, b).tobytes()))
    ops.set_num_threads(before)
    assert len(results) == 2


def test_as_pytorch():
    torch = pytest.importorskip("torch")
    a, b = matrices(np.float32, (3, 1, 30, 40), (2, 40, 50))
    expected = torch.matmul(torch.from_numpy(a), torch.from_numpy(b)).numpy()
    np.testing.assert_allclose(ops.matmul(a, b), expected, rtol=1e-4, atol=1e-4)


F32 = np.ones((2, 3), np.float32)


@pytest.mark.parametrize(
    ("a", "b", "error", "message"),
    [
        (F32, np.ones((2, 4), np.float32), ValueError, "matmul: a has 3 columns, b has 2 rows"),
        (F32, np.ones(3, np.float32), ValueError, "matmul: a has shape (2, 3), b has (3,); expected at least 2"),
        (F32.tolist(), F32, TypeError, "matmul: a is a list; expected an array"),
        (F32, F32.T.astype(np.float64), TypeError, "matmul: b has dtype float64, a has float32"),
        (F32.astype(int), F32.T, TypeError, "matmul: a has dtype int64; expected float32 or float64"),
        (np.ones((2, 2, 3), "f"), np.ones((3, 3, 2), "f"), ValueError, "matmul: the leading dimensions of a (2, 2, 3)"),
    ],
)
def test_bad_arguments(a, b, error, message):
    with pytest.raises(error, match=re.escape(message)):
        ops.matmul(a, b)
