"""Sums along one dimension: the kernel, what tensors make of it, exactness, threads, errors."""

import itertools

import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal

import fastnn
from fastnn import arrays, ops

DTYPES = [np.float32, np.float64]
# (outer, n, inner) around the cuts: parts of rows, rows side by side, chunks of long rows.
SHAPES = [
    *itertools.product((1, 3), (0, 1, 5, 64), (0, 1, 2, 3, 7, 16, 63, 65, 100)),
    *((1, n, 1) for n in (16383, 16384, 16385, 40000)),
    *((2, n, 3) for n in (5461, 5462, 12345)),
    *((2, 700, inner) for inner in (24, 31, 48, 63, 64, 2047, 2048, 2049)),
]


def values(*shape, dtype=np.float32, seed=0):
    return np.random.default_rng(seed).standard_normal(shape).astype(dtype)


@pytest.mark.parametrize("dtype", DTYPES)
def test_equals_numpy_in_float64(isa, dtype):
    for shape in SHAPES:
        x = values(*shape, dtype=dtype) + dtype(1)
        y, expected = ops.sum(x, 1), x.astype(np.longdouble).sum(1)
        assert y.dtype == dtype
        size = np.abs(x.astype(np.longdouble)).sum(1)
        assert np.all(np.abs(y - expected) <= 10 * np.finfo(dtype).eps * size), shape


def test_every_dimension_and_layout(isa):
    x = values(3, 5, 4, 6, dtype=np.float64)
    for dim in range(-4, 4):
        for given in (x, ops.to_channels_last(x), x[::-1], x[:, :, ::2]):
            assert_allclose(ops.sum(given, dim), np.sum(given, axis=dim), rtol=1e-14, atol=1e-14)
    assert ops.sum(values(4), 0).shape == ()


def test_special_values(isa):
    for row, expected in (([np.inf, 1.0], np.inf), ([np.inf, -np.inf], np.nan), ([np.nan, 1.0], np.nan), ([], 0.0)):
        for inner in (1, 3):
            x = np.repeat(np.array(row, np.float32)[:, None], inner, 1)
            assert_array_equal(ops.sum(x, 0), np.full(inner, expected, np.float32))


def test_sums_of_many_numbers_keep_their_digits(isa):
    x = np.full(1 << 22, 0.1, np.float32)
    for shape in ((1, -1, 1), (1, -1, 4), (4, -1, 2)):
        y = ops.sum(x.reshape(shape), 1)
        assert_allclose(y, x[0].astype(np.float64) * x.size / y.size, rtol=2e-6)


def test_same_bits_on_any_number_of_threads(isa):
    before = ops.get_num_threads()
    try:
        for shape in ((1, 300000, 1), (5, 3000, 24), (1, 700, 5000)):
            results = set()
            for threads in (1, 2, 3):
                ops.set_num_threads(threads)
                results.add(ops.sum(values(*shape), 1).tobytes())
            assert len(results) == 1
    finally:
        ops.set_num_threads(before)


AXES = [axes for n in range(1, 5) for axes in itertools.combinations(range(4), n)]


@pytest.mark.parametrize("layout", [ops.to_contiguous, ops.to_channels_last, lambda a: a.swapaxes(0, 2)])
def test_tensors_sum_over_any_dimensions(layout):
    x = layout(values(6, 20, 12, 14, dtype=np.float64))
    for axes, keepdim in itertools.product(AXES, (False, True)):
        for name in ("sum", "mean"):
            t = fastnn.Tensor(x, requires_grad=True)
            y = getattr(t, name)(axes, keepdim)
            expected = getattr(x, name)(axis=axes, keepdims=keepdim)
            assert y.shape == expected.shape
            assert_allclose(y.detach().numpy(), expected, rtol=1e-12, atol=1e-12, err_msg=f"{name} {axes}")
            y.sum().backward()
            assert_allclose(t.grad.numpy(), np.full(x.shape, 1 if name == "sum" else expected.size / x.size))


def test_large_tensors_use_the_kernel_where_they_can(monkeypatch):
    called, kernel = [], ops.sum
    monkeypatch.setattr(arrays.ops, "sum", lambda x, dim: called.append(1) or kernel(x, dim))
    images = fastnn.tensor(values(6, 20, 12, 14))
    last = fastnn.as_tensor(ops.to_channels_last(images.numpy()))
    for x, axes, uses in (
        (images, None, True),
        (images, (2, 3), True),
        (images, 1, True),
        (last, (2, 3), True),
        (last, 1, True),
        (last, (0, 2, 3), True),
        (images, (0, 2), False),  # not together in memory
        (images[:, ::2], 1, False),  # not dense
        (images[:1], 1, False),  # small
        (images.long(), None, False),
    ):
        called.clear()
        x.sum(axes)
        assert bool(called) == uses


@pytest.mark.parametrize(
    ("args", "error", "message"),
    [
        ((np.arange(3), 0), TypeError, "sum: x has dtype int64; expected float32 or float64"),
        ((values(2, 3), 2), ValueError, "sum: dim is 2; expected one of the 2 dimensions"),
        ((values(2, 3), -3), ValueError, "sum: dim is -3; expected one of the 2 dimensions"),
        ((np.float32(1), 0), ValueError, "sum: dim is 0; expected one of the 0 dimensions"),
    ],
)
def test_errors(args, error, message):
    with pytest.raises(error, match=message):
        ops.sum(*args)
