"""Softmax and log-softmax: kernels against the oracle, any axis and layout, and gradients through the tape."""

import itertools

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

import fastnn
import reference as ref
from fastnn import functional as F
from fastnn import nn, ops

NAMES = ["softmax", "log_softmax"]
DTYPES = [np.float32, np.float64]
CLASSES = [1, 2, 3, 4, 5, 7, 8, 9, 10, 15, 16, 17, 31, 32, 33, 100, 1000]
ROWS = 37  # two times 16 side by side, and a rest


def forward(name):
    return getattr(ops, f"{name}_forward")


def backward(name):
    return getattr(ops, f"{name}_backward")


def assert_close(y, expected, ulps=16, scale=1.0):
    eps = np.finfo(y.dtype).eps
    np.testing.assert_allclose(y, expected, rtol=ulps * eps, atol=ulps * eps * scale)


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("name", NAMES)
def test_equals_the_oracle_at_every_row_length(isa, name, dtype):
    rng = np.random.default_rng(0)
    for C in CLASSES:
        x, dy = (10 * rng.standard_normal((ROWS, C)).astype(dtype) for _ in range(2))
        y = forward(name)(x)
        assert y.dtype == dtype
        assert_close(y, getattr(ref, f"{name}_forward")(x))
        dx = backward(name)(dy, y)
        assert_close(dx, getattr(ref, f"{name}_backward")(dy, y), scale=np.abs(dy).sum(-1).max())


@pytest.mark.parametrize("shape", [(0, 5), (5, 0), (0, 0), (0,), (2, 0, 3), ()])
@pytest.mark.parametrize("name", NAMES)
def test_empty_and_scalar(isa, name, shape):
    y = forward(name)(np.zeros(shape, np.float32))
    assert y.shape == shape
    assert backward(name)(y, y).shape == shape
    if shape == ():
        assert y == (1 if name == "softmax" else 0)


@pytest.mark.parametrize("dtype", DTYPES)
def test_large_logits_do_not_overflow(isa, dtype):
    big = np.finfo(dtype).max / 4
    x = np.array([[1e4, 0, -1e4], [big, big, -big], [-big, -big, -big]], dtype)
    np.testing.assert_allclose(ops.softmax_forward(x), [[1, 0, 0], [0.5, 0.5, 0], [1 / 3] * 3], rtol=1e-6)
    np.testing.assert_allclose(ops.log_softmax_forward(x)[0], [0, -1e4, -2e4], rtol=1e-6)


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("C", [3, 10, 40])
def test_infinities_and_nan(isa, C, dtype):
    x = np.zeros((ROWS, C), dtype)
    x[0, 1] = -np.inf
    x[1, 1] = np.nan
    x[2] = -np.inf
    x[3, C - 1] = np.inf
    for name in NAMES:
        y = forward(name)(x)
        assert np.isnan(y[1:4]).all() or name == "log_softmax"
        np.testing.assert_allclose(y, getattr(ref, f"{name}_forward")(x), rtol=1e-6)
    assert ops.softmax_forward(x)[0, 1] == 0
    assert ops.log_softmax_forward(x)[0, 1] == -np.inf


def test_a_row_has_the_same_bits_whatever_the_other_rows(isa):
    for C, name in itertools.product((1, 2, 3, 4, 10, 32, 33), NAMES):
        x = np.random.default_rng(1).standard_normal((ROWS, C)).astype(np.float32)
        whole = forward(name)(x)
        alone = np.concatenate([forward(name)(x[n : n + 1]) for n in range(len(x))])
        np.testing.assert_array_equal(whole, alone)


@pytest.mark.parametrize("shape", [(20_000, 10), (61, 3001)])
@pytest.mark.parametrize("name", NAMES)
def test_same_bits_on_any_number_of_threads(isa, name, shape):
    rng = np.random.default_rng(2)
    x, dy = (rng.standard_normal(shape).astype(np.float32) for _ in range(2))
    before, results = ops.get_num_threads(), []
    try:
        for threads in (1, 2, 3):
            ops.set_num_threads(threads)
            y = forward(name)(x)
            results.append((y, backward(name)(dy, y)))
    finally:
        ops.set_num_threads(before)
    for result in results[1:]:
        np.testing.assert_array_equal(result, results[0])


@settings(deadline=None, max_examples=30, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.data())
def test_any_axis_and_strides(isa, data):
    shape = data.draw(st.lists(st.integers(1, 5), min_size=1, max_size=5))
    ndim = len(shape)
    x = np.random.default_rng(3).standard_normal([2 * n for n in shape])
    steps = data.draw(st.tuples(*[st.sampled_from([1, 2, -1])] * ndim))
    x = x[tuple(slice(None, None, s) for s in steps)].transpose(data.draw(st.permutations(range(ndim))))
    axis = data.draw(st.integers(-ndim, ndim - 1))
    dy = np.random.default_rng(4).standard_normal(x.shape[::-1]).T
    for name in NAMES:
        y = forward(name)(x, axis)
        assert y.shape == x.shape
        assert_close(y, getattr(ref, f"{name}_forward")(x, axis))
        assert_close(backward(name)(dy, y, axis), getattr(ref, f"{name}_backward")(dy, y, axis), scale=10)


@pytest.mark.parametrize("name", NAMES)
def test_channels_last_images_stay_as_they_are(name):
    x = np.random.default_rng(5).standard_normal((2, 4, 5, 3)).astype(np.float32).transpose(0, 3, 1, 2)
    y = forward(name)(x, 1)
    assert y.strides == x.strides
    assert backward(name)(y, y, 1).strides == x.strides
    from_channels_first = forward(name)(np.ascontiguousarray(x), 1)
    np.testing.assert_array_equal(y, from_channels_first)


@pytest.mark.parametrize("name", NAMES)
def test_errors_say_what_is_wrong(name):
    x = np.ones((2, 3), np.float32)
    with pytest.raises(IndexError, match=rf"{name}_forward: axis is 2; expected -2 to 1 for x of shape \(2, 3\)"):
        forward(name)(x, 2)
    with pytest.raises(IndexError, match="axis is -3"):
        backward(name)(x, x, -3)
    with pytest.raises(TypeError, match=f"{name}_forward: x has dtype int64"):
        forward(name)(np.ones(3, np.int64))
    with pytest.raises(TypeError, match=f"{name}_backward: dy has dtype float64, y has float32"):
        backward(name)(x.astype(np.float64), x)
    with pytest.raises(ValueError, match=rf"{name}_backward: dy has shape \(3,\); expected \(2, 3\)"):
        backward(name)(x[0], x)


@pytest.mark.parametrize("name", [*NAMES, "softmin"])
def test_a_dim_that_is_no_integer_is_named(name):
    with pytest.raises(TypeError, match=rf"^{name}: dim is 1\.5; expected an int"):
        getattr(F, name)(fastnn.ones(2, 3), 1.5)


@pytest.mark.parametrize("shape", [(), (4,), (3, 4), (2, 3, 4), (2, 3, 4, 2)])
@pytest.mark.parametrize("name", [*NAMES, "softmin"])
def test_without_a_dim_it_warns_and_chooses_as_pytorch(name, shape):
    torch = pytest.importorskip("torch")
    x = np.random.default_rng(8).standard_normal(shape)
    layer = {"softmax": "Softmax", "log_softmax": "LogSoftmax", "softmin": "Softmin"}[name]
    with pytest.warns(UserWarning, match="Implicit dimension choice"):
        expected = getattr(torch.nn, layer)()(torch.tensor(x)).numpy()
    for compute in (getattr(F, name), getattr(nn, layer)()):
        with pytest.warns(UserWarning, match=f"^{name}: dim is not given"):
            np.testing.assert_allclose(compute(fastnn.tensor(x)).numpy(), expected, rtol=1e-12)
    assert repr(getattr(nn, layer)()) == repr(getattr(torch.nn, layer)()) == f"{layer}(dim=None)"


@pytest.mark.parametrize("dim", [0, 1, -1])
@pytest.mark.parametrize("name", NAMES)
def test_gradient_through_the_tape(name, dim):
    rng = np.random.default_rng(6)
    x, dy = rng.standard_normal((3, 4, 2)), rng.standard_normal((3, 4, 2))
    t = fastnn.tensor(x, requires_grad=True)
    getattr(F, name)(t, dim).backward(dy)
    numeric = ref.numeric_gradient(lambda v: getattr(ref, f"{name}_forward")(v, dim), x, dy)
    np.testing.assert_allclose(t.grad.data, numeric, rtol=1e-6, atol=1e-8)


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("name", NAMES)
def test_equals_pytorch(isa, name, dtype):
    torch = pytest.importorskip("torch")
    rng = np.random.default_rng(7)
    x = 5 * rng.standard_normal((4, 7, 3, 5)).astype(dtype)
    x[0, 0, 0, 0], x[1, :, 1, 1], x[2, 3, 2, 2], x[3, 3, 0, 0] = -np.inf, -np.inf, np.nan, np.inf
    dy = rng.standard_normal(x.shape).astype(dtype)
    for dim in range(4):
        t, p = fastnn.tensor(x, requires_grad=True), torch.tensor(x, requires_grad=True)
        y, expected = getattr(F, name)(t, dim), getattr(torch, name)(p, dim)
        assert_close(y.detach().numpy(), expected.detach().numpy())
        y.backward(dy)
        expected.backward(torch.tensor(dy))
        assert_close(t.grad.data, p.grad.numpy(), scale=10)
