"""ReLU, sigmoid, tanh: kernels against the oracle, and their gradients through the tape."""

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

import fastnn
import reference as ref
from fastnn import functional as F
from fastnn import ops

NAMES = ["relu", "sigmoid", "tanh"]
DTYPES = [np.float32, np.float64]
ULPS = 4  # sigmoid and tanh are within 2.5 units in the last place
SIZES = [0, 1, 3, 4, 7, 8, 9, 15, 16, 17, 33, 4095, 4097]
MANY = 5 * 32768 + 13  # elements that are shared out to 3 threads


def forward(name):
    return getattr(ops, f"{name}_forward")


def backward(name):
    return getattr(ops, f"{name}_backward")


def close_in_ulps(y, expected, ulps=ULPS):
    assert y.dtype in (np.float32, np.float64)
    tiny = np.finfo(y.dtype).tiny  # denormals are flushed to 0
    np.testing.assert_allclose(y, expected, rtol=ulps * np.finfo(y.dtype).eps, atol=tiny)


def close_gradient(name, dx, dy, y):
    eps = np.finfo(dx.dtype).eps  # of the oracle's 1 - y**2, whose digits go near 1
    expected = getattr(ref, f"{name}_backward")(dy, y)
    assert (np.abs(dx - expected) <= 8 * eps * np.abs(expected) + 4 * eps * np.abs(dy)).all()


def wide(rng, size, dtype):
    """Values of all magnitudes that matter, either sign."""
    return (rng.choice([-1, 1], size) * 10.0 ** rng.uniform(-12, 2, size)).astype(dtype)


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("name", NAMES)
def test_equals_the_oracle_at_every_length(isa, name, dtype):
    rng = np.random.default_rng(0)
    for size in SIZES:
        x, dy = wide(rng, size, dtype), wide(rng, size, dtype)
        y = forward(name)(x)
        close_in_ulps(y, getattr(ref, f"{name}_forward")(x))
        dx = backward(name)(dy, y)
        assert dx.shape == x.shape
        close_gradient(name, dx, dy, y)


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("name", ["sigmoid", "tanh"])
def test_accuracy_over_the_whole_range(isa, name, dtype):
    limit = 89 if dtype == np.float32 else 709
    near_zero = np.geomspace(1e-30, 1, 20_001)
    x = np.concatenate([np.linspace(-limit, limit, 100_003), near_zero, -near_zero]).astype(dtype)
    exact = np.longdouble if np.finfo(np.longdouble).eps < np.finfo(np.float64).eps else np.float64
    wide_x = x.astype(exact)
    expected = np.tanh(wide_x) if name == "tanh" else 1 / (1 + np.exp(-wide_x))
    close_in_ulps(forward(name)(x).astype(dtype), expected.astype(np.float64), 2.5)


@pytest.mark.parametrize("dtype", DTYPES)
def test_special_values(isa, dtype):
    x = np.array([np.nan, np.inf, -np.inf, 0.0, -0.0, 1e4, -1e4], dtype)
    nan = np.nan
    np.testing.assert_array_equal(ops.relu_forward(x), [nan, np.inf, 0, 0, 0, 1e4, 0])
    np.testing.assert_array_equal(ops.sigmoid_forward(x), [nan, 1, 0, 0.5, 0.5, 1, 0])
    y = ops.tanh_forward(x)
    np.testing.assert_array_equal(y, [nan, 1, -1, 0, 0, 1, -1])
    assert np.signbit(y[4])
    assert not np.signbit(y[3])


def test_relu_gradient_is_zero_at_zero_and_passes_where_y_is_nan(isa):
    y = np.array([0.0, -0.0, 1.0, np.nan], np.float32)
    np.testing.assert_array_equal(ops.relu_backward(np.full(4, 3, np.float32), y), [0, 0, 3, 3])


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("name", NAMES)
def test_a_value_has_the_same_bits_in_every_lane_and_in_the_tail(isa, name, dtype):
    x = wide(np.random.default_rng(1), 67, dtype)
    whole = forward(name)(x)
    alone = np.array([forward(name)(x[i : i + 1])[0] for i in range(len(x))])
    np.testing.assert_array_equal(whole, alone)


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("name", NAMES)
def test_same_bits_on_any_number_of_threads(isa, name, dtype):
    rng = np.random.default_rng(2)
    x, dy = wide(rng, MANY, dtype), wide(rng, MANY, dtype)
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


@settings(deadline=None, max_examples=25, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.data())
def test_any_strides(isa, data):
    shape = tuple(data.draw(st.lists(st.integers(0, 6), min_size=0, max_size=4)))
    x = np.random.default_rng(3).standard_normal([2 * n for n in shape]).astype(np.float32)
    steps = data.draw(st.tuples(*[st.sampled_from([1, 2, -1, -2])] * len(shape)))
    x = x[tuple(slice(None, None, s) for s in steps)].transpose(data.draw(st.permutations(range(len(shape)))))
    dy = np.ones(x.shape, np.float32)
    for name in NAMES:
        y = forward(name)(x)
        assert y.shape == x.shape
        close_in_ulps(y, getattr(ref, f"{name}_forward")(x))
        close_gradient(name, backward(name)(dy, y), dy, y)


def test_keeps_channels_last_memory():
    x = np.ones((2, 3, 4, 5), np.float32).transpose(0, 3, 1, 2)
    y = ops.tanh_forward(x)
    assert y.strides == x.strides
    assert ops.tanh_backward(np.ones(x.shape, np.float32), y).strides == x.strides


@pytest.mark.parametrize("name", NAMES)
def test_errors_say_what_is_wrong(name):
    x = np.ones((2, 3), np.float32)
    with pytest.raises(TypeError, match=f"{name}_forward: x has dtype int64; expected float32 or float64"):
        forward(name)(np.ones(3, np.int64))
    with pytest.raises(TypeError, match=f"{name}_forward: x is a list"):
        forward(name)([1.0])
    with pytest.raises(TypeError, match=f"{name}_backward: dy has dtype float64, y has float32"):
        backward(name)(x.astype(np.float64), x)
    with pytest.raises(ValueError, match=rf"{name}_backward: dy has shape \(3, 2\); expected \(2, 3\)"):
        backward(name)(x.T, x)


@pytest.mark.parametrize("name", NAMES)
def test_gradient_through_the_tape(name):
    x = np.random.default_rng(4).standard_normal((3, 4))
    t = fastnn.tensor(x, requires_grad=True)
    dy = np.random.default_rng(5).standard_normal((3, 4))
    getattr(F, name)(t).backward(dy)
    numeric = ref.numeric_gradient(getattr(ref, f"{name}_forward"), x, dy)
    np.testing.assert_allclose(t.grad.data, numeric, rtol=1e-7, atol=1e-8)


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("name", NAMES)
def test_equals_pytorch(isa, name, dtype):
    torch = pytest.importorskip("torch")
    x = np.concatenate([wide(np.random.default_rng(6), 1000, dtype), np.array([np.nan, np.inf, -np.inf, 0], dtype)])
    t, p = fastnn.tensor(x, requires_grad=True), torch.tensor(x, requires_grad=True)
    y, expected = getattr(F, name)(t), getattr(torch, name)(p)
    close_in_ulps(y.detach().numpy(), expected.detach().numpy(), 2 * ULPS)
    dy = np.ones_like(x)
    y.backward(dy)
    expected.backward(torch.tensor(dy))
    eps = np.finfo(dtype).eps  # 1 - y loses the digits of y near 1
    np.testing.assert_allclose(t.grad.data, p.grad.numpy(), rtol=8 * eps, atol=4 * eps)
