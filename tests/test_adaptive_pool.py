"""Adaptive pooling and pooling of sequences: kernels against the oracle, functions and layers against PyTorch."""

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from numpy.testing import assert_allclose, assert_array_equal

import fastnn
import reference as ref
from fastnn import functional as F
from fastnn import nn, ops

DTYPES = [np.float32, np.float64]
CHANNELS = [1, 3, 4, 5, 8, 15, 16, 17, 33]  # around 2, 4, 8 and 16 lanes
SIZES = {  # of the image and of the output
    "global": ((7, 5), (1, 1)),
    "identity": ((6, 7), (6, 7)),
    "divisible": ((6, 8), (3, 2)),
    "overlapping": ((7, 13), (3, 6)),
    "one dimension divisible": ((6, 7), (3, 3)),
    "stretched": ((2, 3), (7, 4)),
    "one pixel": ((1, 1), (2, 3)),
    "large windows": ((40, 37), (2, 2)),
}
by_name = pytest.mark.parametrize(("size", "output_size"), SIZES.values(), ids=SIZES.keys())


def close(actual, expected, dtype):
    assert actual.dtype == dtype
    tolerance = 3e-6 if dtype == np.float32 else 1e-13
    assert_allclose(actual, expected, rtol=tolerance, atol=tolerance)


def check(x, output_size, rng):
    """Both poolings of x, forward and backward, against the oracle."""
    dy = rng.standard_normal((*x.shape[:2], *output_size)).astype(x.dtype)
    y, argmax = ops.adaptive_max_pool2d_forward(x, output_size)
    expected, at = ref.adaptive_max_pool2d_forward(x, output_size)
    assert_array_equal(y, expected)
    inference, nothing = ops.adaptive_max_pool2d_forward(x, output_size, return_argmax=False)
    assert_array_equal(inference, y)
    assert nothing is None
    dx = ops.adaptive_max_pool2d_backward(dy, argmax, x.shape)
    close(dx, ref.adaptive_max_pool2d_backward(dy, at, x.shape), x.dtype)
    close(ops.adaptive_avg_pool2d_forward(x, output_size), ref.adaptive_avg_pool2d_forward(x, output_size), x.dtype)
    close(ops.adaptive_avg_pool2d_backward(dy, x.shape), ref.adaptive_avg_pool2d_backward(dy, x.shape), x.dtype)


@pytest.mark.parametrize("dtype", DTYPES)
@by_name
def test_against_the_oracle(isa, size, output_size, dtype):
    rng = np.random.default_rng(0)
    for C in CHANNELS:
        check(rng.integers(-4, 5, (2, C, *size)).astype(dtype), output_size, rng)  # with many ties


@pytest.mark.parametrize("shape", [(1, 3, 90, 93), (2, 130, 33, 31), (5, 1, 120, 140)])
def test_large_images_have_the_same_average_on_any_number_of_threads(isa, shape):
    x = 1 + np.random.default_rng(1).standard_normal(shape).astype(np.float32)
    before, results = ops.get_num_threads(), set()
    try:
        for threads in (1, 2, 3):
            ops.set_num_threads(threads)
            results.add(tuple(ops.adaptive_avg_pool2d_forward(a, 1).tobytes() for a in (x, ops.to_channels_last(x))))
    finally:
        ops.set_num_threads(before)
    assert len(results) == 1
    for y in results.pop():
        y = np.frombuffer(y, np.float32).reshape(shape[:2])
        assert_allclose(y, x.mean((2, 3), np.float64), rtol=1e-6)


@settings(deadline=None, max_examples=40, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    shape=st.tuples(st.integers(0, 2), st.integers(1, 20), st.integers(1, 12), st.integers(1, 12)),
    output_size=st.tuples(st.integers(1, 12), st.integers(1, 12)),
    seed=st.integers(0, 9),
)
def test_any_size(isa, shape, output_size, seed):
    rng = np.random.default_rng(seed)
    check(rng.integers(-3, 4, shape).astype(np.float32), output_size, rng)


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("output_size", [(1, 1), (5, 3), (7, 7)])
def test_same_bits_on_any_number_of_threads(isa, output_size, dtype):
    rng = np.random.default_rng(1)
    x = rng.standard_normal((24, 64, 14, 14)).astype(dtype)
    dy = rng.standard_normal((24, 64, *output_size)).astype(dtype)
    before, results = ops.get_num_threads(), []
    try:
        for threads in (1, 2, 3):
            ops.set_num_threads(threads)
            y, argmax = ops.adaptive_max_pool2d_forward(x, output_size)
            dx = ops.adaptive_max_pool2d_backward(dy, argmax, x.shape)
            mean = ops.adaptive_avg_pool2d_forward(x, output_size)
            share = ops.adaptive_avg_pool2d_backward(dy, x.shape)
            results.append([a.tobytes() for a in (y, argmax, dx, mean, share)])
    finally:
        ops.set_num_threads(before)
    assert results[1] == results[0]
    assert results[2] == results[0]


def test_nan_and_infinity_stay_in_their_windows(isa):
    x = np.zeros((1, 5, 7, 7), np.float32)
    x[0, 1, 0, 0], x[0, 2, 3, 3], x[0, 2, 3, 4] = np.nan, np.inf, -np.inf
    for forward, oracle in (
        (
            lambda x: ops.adaptive_max_pool2d_forward(x, (3, 3))[0],
            lambda x: ref.adaptive_max_pool2d_forward(x, (3, 3))[0],
        ),
        (lambda x: ops.adaptive_avg_pool2d_forward(x, (3, 3)), lambda x: ref.adaptive_avg_pool2d_forward(x, (3, 3))),
    ):
        with np.errstate(invalid="ignore"):
            assert_array_equal(forward(x), oracle(x))
    dy = np.zeros((1, 5, 3, 3), np.float32)
    dy[0, 1, 0, 2] = np.nan
    dx = ops.adaptive_avg_pool2d_backward(dy, x.shape)
    assert np.isnan(dx).sum() == np.isnan(dx[0, 1, :3, 4:]).sum() == 9


def test_any_layout():
    x = np.random.default_rng(2).standard_normal((4, 8, 5, 6))
    for view in (x, x[::-1, ::2, ::-1], ops.to_channels_last(x), x.astype(">f8")):
        y = ops.adaptive_avg_pool2d_forward(view, (2, 3))
        close(y, ref.adaptive_avg_pool2d_forward(np.array(view, np.float64), (2, 3)), np.float64)
        assert y.transpose(0, 2, 3, 1).flags.c_contiguous
    assert ops.adaptive_avg_pool2d_forward(x[:0], 3).shape == (0, 8, 3, 3)
    assert ops.adaptive_avg_pool2d_forward(x[:, :0], 3).shape == (4, 0, 3, 3)


X = np.zeros((1, 2, 4, 6), np.float32)
ERRORS = [
    ("adaptive_avg_pool2d_forward", (X[0], 1), ValueError, r"x has shape \(2, 4, 6\); expected 4 dimensions"),
    ("adaptive_avg_pool2d_forward", (X.astype(int), 1), TypeError, "x has dtype int64"),
    ("adaptive_avg_pool2d_forward", (X, 0), ValueError, "output_size is 0; expected 1"),
    ("adaptive_avg_pool2d_forward", (X, (2, -1)), ValueError, "output_size is -1"),
    ("adaptive_avg_pool2d_forward", (X, (2, None, 2)), TypeError, "output_size is .*; expected an int or a pair"),
    ("adaptive_avg_pool2d_forward", (X, "ab"), TypeError, "output_size is 'ab'; expected an int or a pair"),
    ("adaptive_avg_pool2d_forward", (X, 2.5), TypeError, "output_size is 2.5"),
    ("adaptive_avg_pool2d_forward", (X, 2**39), (ValueError, MemoryError), "array of shape"),
    ("adaptive_max_pool2d_forward", (X[:, :, :0], 1), ValueError, "the input has height 0"),
    ("adaptive_max_pool2d_forward", (X[..., :0], (1, None)), ValueError, "output_size is 0|the input has width 0"),
    ("adaptive_max_pool2d_backward", (X, np.zeros(X.shape), (1, 2, 8, 8)), TypeError, "argmax has dtype float64"),
    (
        "adaptive_max_pool2d_backward",
        (X, np.zeros((1, 2, 4, 5), np.uint8), (1, 2, 8, 8)),
        ValueError,
        "argmax has shape",
    ),
    ("adaptive_avg_pool2d_backward", (X, (1, 3, 8, 8)), ValueError, r"dy has shape .*; expected \(1, 3, 4, 6\)"),
    ("adaptive_avg_pool2d_backward", (X, (1, 2, 8)), TypeError, "input_size is .*; expected 4 ints"),
    ("adaptive_avg_pool2d_backward", (X[..., :0], X.shape), ValueError, "dy has shape .*; expected a height and width"),
]


@pytest.mark.parametrize(("op", "args", "error", "message"), ERRORS)
def test_errors(op, args, error, message):
    with pytest.raises(error, match=f"{op}: .*({message})"):
        getattr(ops, op)(*args)


# Functions and layers -----------------------------------------------------------------------------


FUNCTIONS = [  # name, shape of x, arguments
    ("adaptive_avg_pool2d", (2, 5, 7, 9), (3,)),
    ("adaptive_avg_pool2d", (5, 7, 9), ((1, 1),)),
    ("adaptive_avg_pool2d", (2, 5, 7, 9), ((None, 2),)),
    ("adaptive_max_pool2d", (2, 5, 7, 9), ((3, 4),)),
    ("adaptive_max_pool2d", (5, 7, 9), ((2, None),)),
    ("adaptive_avg_pool1d", (2, 5, 9), (4,)),
    ("adaptive_avg_pool1d", (5, 9), (1,)),
    ("adaptive_max_pool1d", (2, 5, 9), (4,)),
    ("max_pool1d", (2, 5, 9), (2,)),
    ("max_pool1d", (5, 9), (3, 2, 1, 1, True)),
    ("max_pool1d", (2, 5, 9), (3, 1, 0, 2)),
    ("avg_pool1d", (2, 5, 9), (2,)),
    ("avg_pool1d", (5, 9), (3, 2, 1, True, False)),
]


@pytest.mark.parametrize(("name", "shape", "args"), FUNCTIONS)
def test_functions_equal_pytorch(name, shape, args):
    torch = pytest.importorskip("torch")
    values = np.random.default_rng(3).standard_normal(shape)
    x, x_torch = fastnn.tensor(values, requires_grad=True), torch.tensor(values, requires_grad=True)
    y, y_torch = getattr(F, name)(x, *args), getattr(torch.nn.functional, name)(x_torch, *args)
    assert_allclose(y.detach().numpy(), y_torch.detach().numpy(), rtol=1e-13)
    dy = np.random.default_rng(4).standard_normal(y.shape)
    y.backward(dy)
    y_torch.backward(torch.tensor(dy))
    assert_allclose(x.grad.numpy(), x_torch.grad.numpy(), rtol=1e-13, atol=1e-15)


@pytest.mark.parametrize(("name", "shape", "args"), FUNCTIONS)
def test_gradients(name, shape, args):
    count = int(np.prod(shape))
    x = np.random.default_rng(5).permutation(count).reshape(shape) / count  # no ties, no near ties
    assert fastnn.gradcheck(lambda x: getattr(F, name)(x, *args), fastnn.tensor(x, requires_grad=True))


def test_positions_are_made_only_for_backward(monkeypatch):
    wanted, forward = [], ops.adaptive_max_pool2d_forward

    def spy(*args, return_argmax):
        wanted.append(return_argmax)
        return forward(*args, return_argmax=return_argmax)

    monkeypatch.setattr(ops, "adaptive_max_pool2d_forward", spy)
    x = fastnn.tensor(X, requires_grad=True)
    F.adaptive_max_pool2d(x, 2)
    with fastnn.no_grad():
        F.adaptive_max_pool2d(x, 2)
    assert wanted == [True, False]


@pytest.mark.parametrize(
    ("name", "args", "shape"),
    [
        ("AdaptiveAvgPool2d", ((1, 1),), (2, 3, 5, 7)),
        ("AdaptiveAvgPool2d", (3,), (2, 3, 5, 7)),
        ("AdaptiveAvgPool2d", ((None, 4),), (2, 3, 5, 7)),
        ("AdaptiveMaxPool2d", ((3, 2),), (2, 3, 5, 7)),
        ("AdaptiveAvgPool1d", (3,), (2, 3, 7)),
        ("AdaptiveMaxPool1d", (3,), (2, 3, 7)),
        ("MaxPool1d", (2,), (2, 3, 7)),
        ("MaxPool1d", (3, 2, 1), (2, 3, 7)),
        ("AvgPool1d", (2,), (2, 3, 7)),
        ("AvgPool1d", (3, 2, 1, True, False), (2, 3, 7)),
    ],
)
def test_layers_equal_pytorch(name, args, shape):
    torch = pytest.importorskip("torch")
    ours, theirs = getattr(nn, name)(*args), getattr(torch.nn, name)(*args)
    assert repr(ours) == repr(theirs)
    x = np.random.default_rng(6).standard_normal(shape)
    assert_allclose(ours(fastnn.tensor(x)).numpy(), theirs(torch.tensor(x)).numpy(), rtol=1e-13)


def test_what_functions_and_layers_refuse():
    for name in ("adaptive_avg_pool2d", "adaptive_max_pool2d"):
        with pytest.raises(ValueError, match=rf"{name}: x has shape \(2, 3\); expected \(N, C, H, W\)"):
            getattr(F, name)(fastnn.tensor(np.zeros((2, 3))), 1)
    for name in ("max_pool1d", "avg_pool1d", "adaptive_avg_pool1d", "adaptive_max_pool1d"):
        with pytest.raises(ValueError, match=rf"{name}: x has shape \(1, 2, 3, 4\); expected \(N, C, L\)"):
            getattr(F, name)(fastnn.tensor(np.zeros((1, 2, 3, 4))), 1)
        with pytest.raises(TypeError, match=f"{name}: x is ndarray; expected a Tensor"):
            getattr(F, name)(np.zeros((2, 3)), 1)
