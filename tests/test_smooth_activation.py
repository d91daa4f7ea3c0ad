"""Leaky ReLU, ELU, softsign, SiLU, GELU: kernels against the oracle, gradients, functions, layers, PyTorch."""

import math

import numpy as np
import pytest

import fastnn
import reference as ref
from fastnn import functional as F
from fastnn import nn, ops

DTYPES = [np.float32, np.float64]
SIZES = [0, 1, 3, 4, 7, 8, 9, 15, 16, 17, 33, 4095, 4097]
KINDS = [  # name, arguments
    ("leaky_relu", {}),
    ("leaky_relu", {"negative_slope": 0.3}),
    ("leaky_relu", {"negative_slope": 0.0}),
    ("elu", {}),
    ("elu", {"alpha": 0.5}),
    ("softsign", {}),
    ("silu", {}),
    ("gelu", {}),
    ("gelu", {"approximate": "tanh"}),
]
by_kind = pytest.mark.parametrize(("name", "kwargs"), KINDS)
FROM_INPUT = ("silu", "gelu")  # whose gradients are told by x


def forward(name, x, **kwargs):
    return getattr(ops, f"{name}_forward")(x, **kwargs)


def backward(name, dy, v, **kwargs):
    return getattr(ops, f"{name}_backward")(dy, v, **kwargs)


def values(size, dtype, seed=0):
    """Values of all magnitudes that matter, either sign."""
    rng = np.random.default_rng(seed)
    return (rng.choice([-1, 1], size) * 10.0 ** rng.uniform(-9, 1.2, size)).astype(dtype)


def close(y, expected, x, ulps):
    """Within so many ulp; far into the tails of silu and gelu their exponents' rounding shows."""
    eps, tiny = np.finfo(y.dtype).eps, np.finfo(y.dtype).tiny
    exponent = 1 + np.minimum(np.abs(x.astype(np.float64)), 40) ** 2
    assert (np.abs(y - expected) <= ulps * eps * np.abs(expected) * exponent + 100 * tiny).all()


@pytest.mark.parametrize("dtype", DTYPES)
@by_kind
def test_equals_the_oracle_at_every_length(isa, name, kwargs, dtype):
    for size in SIZES:
        x, dy = values(size, dtype), values(size, dtype, 1)
        y = forward(name, x, **kwargs)
        assert y.dtype == dtype
        close(y, getattr(ref, f"{name}_forward")(x, **kwargs), x, 4)
        v = x if name in FROM_INPUT else y
        dx = backward(name, dy, v, **kwargs)
        expected = getattr(ref, f"{name}_backward")(dy, v, **kwargs)
        eps = np.finfo(dtype).eps  # of 1 - abs(y), 1 - s and y + alpha, whose digits go
        assert (np.abs(dx - expected) <= 8 * eps * np.abs(expected) + 8 * eps * np.abs(dy)).all()


@pytest.mark.parametrize("dtype", DTYPES)
def test_accuracy_where_it_counts(isa, dtype):
    """Within 4 ulp between -1 and the largest x, and of the absolute error of 1 ulp of x below."""
    x = np.concatenate([np.linspace(-1, 6, 30_001), np.geomspace(1e-20, 1, 5001), -np.geomspace(1e-20, 1, 5001)])
    x = x.astype(dtype)
    wide = x.astype(np.float64)
    gelu = wide * np.array([math.erfc(-v / math.sqrt(2)) / 2 for v in wide])
    eps = np.finfo(dtype).eps
    for name, expected in (("gelu", gelu), ("silu", wide / (1 + np.exp(-wide))), ("elu", ref.elu_forward(x))):
        assert (np.abs(forward(name, x) - expected) <= 4 * eps * np.abs(expected)).all(), name
    far = np.linspace(-14, -1, 20_001).astype(dtype)
    expected = far * np.array([math.erfc(-v / math.sqrt(2)) / 2 for v in far.astype(np.float64)])
    close(forward("gelu", far), expected, far, 2)


@pytest.mark.parametrize("dtype", DTYPES)
def test_special_values(isa, dtype):
    nan, inf = np.nan, np.inf
    x = np.array([nan, inf, -inf, 0.0, -0.0, 1e4, -1e4], dtype)
    np.testing.assert_array_equal(forward("leaky_relu", x, negative_slope=0.5), [nan, inf, -inf, 0, -0.0, 1e4, -5e3])
    np.testing.assert_array_equal(forward("elu", x, alpha=2), [nan, inf, -2, 0, 0, 1e4, -2])
    expected = np.array([1e4, -1e4], dtype)
    np.testing.assert_array_equal(forward("softsign", x)[5:], expected / (1 + np.abs(expected)))
    for name in ("silu", "gelu"):  # -inf * 0 is NaN, as in PyTorch
        np.testing.assert_array_equal(forward(name, x), [nan, inf, nan, 0, 0, 1e4, 0])
    np.testing.assert_array_equal(forward("gelu", x, approximate="tanh"), [nan, inf, nan, 0, 0, 1e4, 0])


@pytest.mark.parametrize("dtype", DTYPES)
@by_kind
def test_a_value_has_the_same_bits_in_every_lane_and_in_the_tail(isa, name, kwargs, dtype):
    x, dy = values(67, dtype), values(67, dtype, 1)
    y = forward(name, x, **kwargs)
    v = x if name in FROM_INPUT else y
    dx = backward(name, dy, v, **kwargs)
    for i in range(len(x)):
        assert forward(name, x[i : i + 1], **kwargs)[0] == y[i]
        assert backward(name, dy[i : i + 1], v[i : i + 1], **kwargs)[0] == dx[i]


@pytest.mark.parametrize("dtype", DTYPES)
@by_kind
def test_same_bits_on_any_number_of_threads(isa, name, kwargs, dtype):
    x, dy = values(5 * 32768 + 13, dtype), values(5 * 32768 + 13, dtype, 1)
    before, results = ops.get_num_threads(), []
    try:
        for threads in (1, 2, 3):
            ops.set_num_threads(threads)
            y = forward(name, x, **kwargs)
            results.append((y.tobytes(), backward(name, dy, x if name in FROM_INPUT else y, **kwargs).tobytes()))
    finally:
        ops.set_num_threads(before)
    assert results[1] == results[0]
    assert results[2] == results[0]


@by_kind
def test_memory_layouts(name, kwargs):
    x = values((2, 3, 4, 5), np.float32).transpose(0, 3, 1, 2)
    y = forward(name, x, **kwargs)
    assert y.strides == x.strides
    np.testing.assert_array_equal(y, forward(name, x.copy("C"), **kwargs))
    v = x if name in FROM_INPUT else y
    dy = values(x.shape, np.float32, 1)
    dx = backward(name, dy, v, **kwargs)
    np.testing.assert_array_equal(dx, backward(name, dy, v.copy("C"), **kwargs))
    np.testing.assert_array_equal(forward(name, x[::-1, ::2], **kwargs), y[::-1, ::2])


@by_kind
def test_gradients(name, kwargs):
    x = values((4, 25), np.float64)
    x[np.abs(x) < 1e-3] = 0.5  # away from the kinks
    assert fastnn.gradcheck(lambda t: getattr(F, name)(t, **kwargs), fastnn.tensor(x, requires_grad=True))


def test_leaky_relu_with_a_negative_slope():
    x = np.linspace(-2, 2, 9) + 0.1
    assert fastnn.gradcheck(lambda t: F.leaky_relu(t, -0.7), fastnn.tensor(x, requires_grad=True))
    np.testing.assert_array_equal(F.leaky_relu(fastnn.tensor(x), -1.0).numpy(), np.abs(x))


@pytest.mark.parametrize("dtype", DTYPES)
@by_kind
def test_equals_pytorch(isa, name, kwargs, dtype):
    torch = pytest.importorskip("torch")
    x = np.concatenate([values(1000, dtype), np.array([np.nan, 0, -0.0, 30, -30], dtype)])
    t, p = fastnn.tensor(x, requires_grad=True), torch.tensor(x, requires_grad=True)
    y, expected = getattr(F, name)(t, **kwargs), getattr(torch.nn.functional, name)(p, **kwargs)
    eps = np.finfo(dtype).eps
    np.testing.assert_allclose(y.detach().numpy(), expected.detach().numpy(), rtol=16 * eps, atol=16 * eps)
    dy = np.ones_like(x)
    y.backward(dy)
    expected.backward(torch.tensor(dy))
    np.testing.assert_allclose(t.grad.data, p.grad.numpy(), rtol=32 * eps, atol=16 * eps)


@pytest.mark.parametrize(
    ("name", "args", "kwargs"),
    [
        ("LeakyReLU", (), {}),
        ("LeakyReLU", (0.2, True), {}),
        ("ELU", (), {}),
        ("ELU", (0.5,), {"inplace": True}),
        ("Softsign", (), {}),
        ("SiLU", (), {}),
        ("SiLU", (True,), {}),
        ("GELU", (), {}),
        ("GELU", ("tanh",), {}),
    ],
)
def test_layers_equal_pytorch(name, args, kwargs):
    torch = pytest.importorskip("torch")
    ours, theirs = getattr(nn, name)(*args, **kwargs), getattr(torch.nn, name)(*args, **kwargs)
    assert repr(ours) == repr(theirs)
    x = np.random.default_rng(6).standard_normal((3, 4)).astype(np.float32)
    t = fastnn.tensor(x)
    np.testing.assert_allclose(ours(t).numpy(), theirs(torch.tensor(x)).numpy(), rtol=1e-5, atol=1e-6)
    np.testing.assert_array_equal(t.numpy(), x)


@pytest.mark.parametrize("name", ["leaky_relu", "elu", "softsign", "silu", "gelu"])
def test_errors(name):
    x, v = np.ones((2, 3), np.float32), "x" if name in FROM_INPUT else "y"
    with pytest.raises(TypeError, match=f"{name}_forward: x has dtype int64; expected float32 or float64"):
        forward(name, np.ones(3, np.int64))
    with pytest.raises(TypeError, match=f"{name}_backward: dy has dtype float64, {v} has float32"):
        backward(name, x.astype(np.float64), x)
    with pytest.raises(ValueError, match=rf"{name}_backward: dy has shape \(3, 2\); expected \(2, 3\)"):
        backward(name, x.T, x)
    with pytest.raises(TypeError, match=f"{name}: x is ndarray; expected a Tensor"):
        getattr(F, name)(x)


def test_errors_of_parameters():
    x = fastnn.ones(3)
    with pytest.raises(ValueError, match="elu: alpha is -1; expected at least 0"):
        F.elu(x, -1)
    with pytest.raises(ValueError, match="elu_backward: alpha is nan; expected at least 0"):
        ops.elu_backward(x.data, x.data, float("nan"))
    with pytest.raises(ValueError, match="gelu_forward: approximate is 'sigmoid'; expected none or tanh"):
        ops.gelu_forward(x.data, "sigmoid")
    with pytest.raises(ValueError, match="gelu: approximate is 1; expected 'none' or 'tanh'"):
        F.gelu(x, 1)
    with pytest.raises(ValueError, match="GELU: approximate is 'foo'; expected 'none' or 'tanh'"):
        nn.GELU("foo")
    with pytest.raises(TypeError, match="leaky_relu: negative_slope is 'a'; expected a number"):
        F.leaky_relu(x, "a")
    with pytest.raises(TypeError, match="elu: alpha is None; expected a number"):
        F.elu(x, None)
