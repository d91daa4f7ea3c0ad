"""Indices of max pooling and their way back: against NumPy and PyTorch, gradients, errors; power-average pooling."""

import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal

import fastnn
from fastnn import functional as F
from fastnn import nn, ops

WINDOWS = [
    {"kernel_size": 2},
    {"kernel_size": 3, "stride": 2, "padding": 1},
    {"kernel_size": (2, 3), "stride": 1, "dilation": (2, 1)},
    {"kernel_size": 3, "stride": 2, "ceil_mode": True},
    {"kernel_size": 17, "stride": 1, "padding": 8},  # positions of 4 bytes
]


def array(*shape, dtype=np.float32, seed=0):
    return np.random.default_rng(seed).standard_normal(shape).astype(dtype)


def picked(x, indices):
    """The elements of x (N, C, H, W) at flat indices (N, C, P, Q)."""
    N, C, H, W = x.shape
    flat = indices.reshape(N, C, indices.shape[2] * indices.shape[3])
    return np.take_along_axis(x.reshape(N, C, H * W), flat, 2).reshape(indices.shape)


# ---- kernels ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("C", [1, 5, 16, 33])
def test_indices_name_the_maxima(isa, C):
    x = array(2, C, 18, 19)
    for window in WINDOWS:
        y, argmax = ops.max_pool2d_forward(x, **window)
        indices = ops.max_pool2d_indices(argmax, x.shape, **window)
        assert indices.dtype == np.int64
        assert indices.transpose(0, 2, 3, 1).flags.c_contiguous
        assert_array_equal(picked(x, indices), y)
    for size in (1, 4, (5, 7), (18, 2)):
        y, argmax = ops.adaptive_max_pool2d_forward(x, size)
        assert_array_equal(picked(x, ops.adaptive_max_pool2d_indices(argmax, x.shape)), y)


def test_windows_of_nothing_but_padding_have_index_0(isa):
    window = {"kernel_size": 3, "stride": 3, "padding": 1, "dilation": 2, "ceil_mode": True}
    _, argmax = ops.max_pool2d_forward(np.ones((1, 5, 1, 4), np.float32), **window)
    assert_array_equal(ops.max_pool2d_indices(argmax, (1, 5, 1, 4), **window), np.zeros((1, 5, 1, 2)))


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("shape", [(2, 1, 3, 4), (1, 17, 2, 5), (3, 40, 1, 1), (0, 3, 2, 2), (2, 0, 2, 2)])
def test_unpooling(isa, shape, dtype):
    x, dy = array(*shape, dtype=dtype), array(*shape[:2], 6, 7, dtype=dtype, seed=1)
    indices = np.random.default_rng(2).integers(0, 42, shape)  # some of them twice
    expected = np.zeros((*shape[:2], 42), dtype)
    for n, c, h, w in np.ndindex(shape):  # the last one wins
        expected[n, c, indices[n, c, h, w]] = x[n, c, h, w]
    for way in (lambda a: a, ops.to_channels_last if dtype == np.float32 else np.asfortranarray):
        y = ops.max_unpool2d_forward(way(x), indices, (6, 7))
        assert_array_equal(y, expected.reshape(*shape[:2], 6, 7))
        assert_array_equal(ops.max_unpool2d_backward(way(dy), indices), picked(dy, indices))
    assert y.dtype == dtype


def test_same_bits_on_any_number_of_threads(threads):
    x = array(5, 20, 30, 30)
    indices = np.random.default_rng(2).integers(0, 3600, x.shape)
    y = ops.max_unpool2d_forward(x, indices, (60, 60))
    dx = ops.max_unpool2d_backward(y, indices)
    ops.set_num_threads(1)
    assert ops.max_unpool2d_forward(x, indices, (60, 60)).tobytes() == y.tobytes()
    assert ops.max_unpool2d_backward(y, indices).tobytes() == dx.tobytes()


X, INDICES = np.zeros((1, 2, 2, 2), np.float32), np.zeros((1, 2, 2, 2), np.int64)


@pytest.mark.parametrize(
    ("call", "kind", "message"),
    [
        (
            lambda: ops.max_unpool2d_forward(X, INDICES + 16, 4),
            ValueError,
            "indices holds 16, out of range for .* 4 x 4",
        ),
        (lambda: ops.max_unpool2d_forward(X, INDICES - 1, 4), ValueError, "indices holds -1"),
        (lambda: ops.max_unpool2d_forward(X, INDICES, 2**40), ValueError, "an array of shape .* is too large"),
        (lambda: ops.max_unpool2d_forward(X, INDICES[0], 4), ValueError, r"indices has shape \(2, 2, 2\), x has"),
        (lambda: ops.max_unpool2d_forward(X, X, 4), TypeError, "indices has dtype float32; expected int64"),
        (lambda: ops.max_unpool2d_forward(X[0], INDICES, 4), ValueError, r"x has shape \(2, 2, 2\); expected 4"),
        (
            lambda: ops.max_unpool2d_backward(X, INDICES[:, :1]),
            ValueError,
            r"indices has shape .*; expected \(1, 2, H, W\)",
        ),
        (lambda: ops.max_unpool2d_backward(X, INDICES + 4), ValueError, "indices holds 4"),
        (lambda: ops.max_pool2d_indices(X, X.shape, 2), TypeError, "argmax has dtype float32; expected uint8"),
        (lambda: ops.max_pool2d_indices(X.astype(np.uint8), X.shape, 2), ValueError, "argmax has shape"),
        (lambda: ops.adaptive_max_pool2d_indices(X[0], X.shape), ValueError, "argmax has shape"),
    ],
)
def test_errors_of_the_kernels(call, kind, message):
    with pytest.raises(kind, match=f"^(max|adaptive)_\\w+: {message}"):
        call()


# ---- functions and layers -----------------------------------------------------------------------------------------


def compare(ours, theirs, shape):
    torch = pytest.importorskip("torch")
    a = array(*shape)
    x, tx = fastnn.tensor(a, requires_grad=True), torch.tensor(a, requires_grad=True)
    y, ty = ours(x), theirs(tx)
    for u, v in zip(y if isinstance(y, tuple) else (y,), ty if isinstance(ty, tuple) else (ty,), strict=True):
        assert_allclose(u.detach().numpy(), v.detach().numpy(), rtol=1e-4, atol=1e-5)
    y, ty = (y[0], ty[0]) if isinstance(y, tuple) else (y, ty)
    dy = array(*y.shape, seed=1)
    y.backward(dy)
    ty.backward(torch.tensor(dy))
    assert_allclose(x.grad.numpy(), tx.grad.numpy(), rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize(
    ("name", "args", "kwargs", "shape"),
    [("MaxPool2d", (), window, shape) for window in WINDOWS for shape in [(2, 3, 18, 19), (3, 18, 19)]]
    + [("MaxPool1d", (3, 2, 1), {}, (2, 3, 11)), ("MaxPool1d", (2,), {"ceil_mode": True}, (3, 11))]
    + [("AdaptiveMaxPool2d", (size,), {}, (2, 3, 11, 10)) for size in (1, (3, 4), (None, 5))]
    + [("AdaptiveMaxPool1d", (3,), {}, (2, 3, 11))],
)
def test_return_indices_against_torch(name, args, kwargs, shape):
    torch = pytest.importorskip("torch")
    ours, theirs = (getattr(lib, name)(*args, **kwargs, return_indices=True) for lib in (nn, torch.nn))
    compare(ours, theirs, shape)


@pytest.mark.parametrize(
    ("window", "output_size", "shape"),
    [
        ((2,), None, (2, 3, 8, 6)),
        ((2, 2), (9, 7), (2, 3, 9, 7)),
        ((2, 2), (2, 3, 9, 7), (2, 3, 9, 7)),
        ((3, 2, 1), None, (2, 5, 9, 7)),  # windows overlap
        ((2,), None, (3, 8, 6)),
        ((2,), None, (2, 3, 8)),
        ((2,), (9,), (2, 3, 9)),
        ((3, 3), None, (3, 9)),
    ],
)
def test_unpooling_against_torch(window, output_size, shape):
    torch = pytest.importorskip("torch")
    d = 2 if len(shape) == 4 or shape[1] == 8 else 1

    def there_and_back(lib):
        pool = getattr(lib, f"MaxPool{d}d")(*window, return_indices=True)
        unpool = getattr(lib, f"MaxUnpool{d}d")(*window)
        return lambda x: unpool(*pool(x), output_size=output_size)

    compare(there_and_back(nn), there_and_back(torch.nn), shape)
    assert repr(getattr(nn, f"MaxUnpool{d}d")(*window)) == repr(getattr(torch.nn, f"MaxUnpool{d}d")(*window))


def test_gradcheck():
    x = fastnn.tensor(array(1, 2, 3, 2, dtype=np.float64), requires_grad=True)
    indices = fastnn.tensor(np.arange(12).reshape(1, 2, 3, 2)[..., ::-1].copy())
    assert fastnn.gradcheck(lambda x: F.max_unpool2d(x, indices, 2), x)


@pytest.mark.parametrize(
    ("kwargs", "kind", "message"),
    [
        ({"kernel_size": 0}, ValueError, "kernel_size is 0; expected at least 1"),
        ({"kernel_size": 2, "stride": (1, 1, 1)}, TypeError, r"stride is \(1, 1, 1\); expected an int or two"),
        ({"kernel_size": 2, "padding": -1}, ValueError, "padding is -1; expected at least 0"),
        (
            {"kernel_size": 2, "output_size": (6, 4)},
            ValueError,
            r"output_size is \(6, 4\); expected \[3, 3\] to \[5, 5\]",
        ),
        ({"kernel_size": 2, "output_size": (4,)}, ValueError, r"output_size is \(4,\); expected 2 integers"),
    ],
)
def test_errors(kwargs, kind, message):
    with pytest.raises(kind, match=f"^max_unpool2d: {message}"):
        F.max_unpool2d(fastnn.tensor(X), fastnn.tensor(INDICES), **kwargs)


def test_wrong_inputs():
    with pytest.raises(ValueError, match=r"max_unpool1d: x has shape \(1, 2, 2, 2\); expected 2 or 3 dimensions"):
        F.max_unpool1d(fastnn.tensor(X), fastnn.tensor(INDICES), 2)
    with pytest.raises(ValueError, match=r"max_unpool2d: indices has shape \(2, 2, 2\), x has"):
        F.max_unpool2d(fastnn.tensor(X), fastnn.tensor(INDICES[0]), 2)
    with pytest.raises(TypeError, match="max_unpool2d: indices is ndarray"):
        F.max_unpool2d(fastnn.tensor(X), INDICES, 2)


# ---- power-average pooling ----------------------------------------------------------------------------------------


@pytest.mark.parametrize("p", [1, 2, 3.0, 0.5])
@pytest.mark.parametrize(
    ("name", "window", "shape"),
    [
        ("LPPool2d", (2,), (2, 3, 8, 9)),
        ("LPPool2d", ((3, 2), 2, True), (2, 3, 8, 9)),
        ("LPPool2d", (3, 1), (3, 5, 4)),
        ("LPPool1d", (3, 2, True), (2, 3, 10)),
    ],
)
def test_lp_pool_against_torch(name, window, shape, p):
    torch = pytest.importorskip("torch")
    ours, theirs = getattr(nn, name)(p, *window), getattr(torch.nn, name)(p, *window)
    assert repr(ours) == repr(theirs)
    compare(lambda x: ours(abs(x) + 0.1), lambda x: theirs(x.abs() + 0.1), shape)


def test_lp_pool_gradients():
    x = fastnn.tensor(array(1, 2, 4, 3, dtype=np.float64), requires_grad=True)
    assert fastnn.gradcheck(lambda x: F.lp_pool2d(x, 2, 2, 1), x)
    zeros = fastnn.zeros(1, 1, 2, 2).requires_grad_()
    F.lp_pool2d(zeros, 2, 2).sum().backward()
    assert_array_equal(zeros.grad.numpy(), np.zeros((1, 1, 2, 2)))


@pytest.mark.parametrize(
    ("layer", "kind", "message"),
    [
        (lambda: nn.LPPool2d(0, 2), ValueError, "lp_pool2d: norm_type is 0; expected another number"),
        (lambda: nn.LPPool2d("2", 2), TypeError, "lp_pool2d: norm_type is '2'; expected a number"),
        (lambda: nn.LPPool2d(2, None), TypeError, "lp_pool2d: kernel_size is None; expected an int or two"),
        (lambda: nn.LPPool2d(2, ("2", 2)), TypeError, r"lp_pool2d: kernel_size is \('2', 2\); expected an int or two"),
        (lambda: nn.LPPool2d(2, 2, 0), ValueError, "lp_pool2d: stride is 0; expected at least 1"),
        (lambda: nn.LPPool1d(2, (2, 2)), TypeError, r"lp_pool1d: kernel_size is \(2, 2\); expected an int$"),
    ],
)
def test_errors_of_lp_pooling(layer, kind, message):
    pool = layer()
    with pytest.raises(kind, match=f"^{message}"):
        pool(fastnn.ones(*(2, 4, 4)[: 2 if isinstance(pool, nn.LPPool1d) else 3]))
    with pytest.raises(TypeError, match="lp_pool1d: norm_type is 'a'"):
        F.lp_pool1d(fastnn.zeros(1, 1, 4), "a", 2)
