"""Activations beyond ReLU, sigmoid, tanh: kernels against the oracle, gradients, functions, layers, PyTorch."""

import math

import numpy as np
import pytest

import fastnn
import reference_activation as ref
from fastnn import functional as F
from fastnn import nn, ops

DTYPES = [np.float32, np.float64]
SIZES = [0, 1, 3, 4, 7, 8, 9, 15, 16, 17, 33, 4095, 4097]
KINDS = [  # name, arguments
    ("leaky_relu", {}),
    ("leaky_relu", {"negative_slope": 0.3}),
    ("leaky_relu", {"negative_slope": 0.0}),
    ("leaky_relu", {"negative_slope": -0.7}),
    ("elu", {}),
    ("elu", {"alpha": 0.5}),
    ("elu", {"alpha": -1.5}),
    ("selu", {}),
    ("celu", {}),
    ("celu", {"alpha": 0.5}),
    ("celu", {"alpha": -2.0}),
    ("softsign", {}),
    ("silu", {}),
    ("gelu", {}),
    ("gelu", {"approximate": "tanh"}),
    ("mish", {}),
    ("softplus", {}),
    ("softplus", {"beta": 0.5, "threshold": 2.0}),
    ("softplus", {"beta": -2.0, "threshold": 1e4}),
    ("logsigmoid", {}),
    ("hardtanh", {}),
    ("hardtanh", {"min_val": 0.25, "max_val": 2.5}),
    ("hardsigmoid", {}),
    ("hardswish", {}),
    ("threshold", {"threshold": 0.5, "value": 2.0}),
    ("softshrink", {}),
    ("softshrink", {"lambd": 0.0}),
    ("hardshrink", {}),
    ("hardshrink", {"lambd": 2.0}),
    ("tanhshrink", {}),
]
by_kind = pytest.mark.parametrize(("name", "kwargs"), KINDS)
FROM_OUTPUT = ("leaky_relu", "elu", "selu", "celu", "softsign", "logsigmoid", "hardtanh")


def from_input(name, kwargs):
    """Whether the gradient is told by x, not by y."""
    negative = kwargs.get("negative_slope", 0) < 0 or (name == "elu" and kwargs.get("alpha", 0) < 0)
    return name not in FROM_OUTPUT or negative


def forward(name, x, **kwargs):
    return getattr(ops, f"{name}_forward")(x, **kwargs)


def backward(name, dy, v, **kwargs):
    return getattr(ops, f"{name}_backward")(dy, v, **kwargs)


def values(size, dtype, seed=0):
    """Values of all magnitudes that matter, either sign."""
    rng = np.random.default_rng(seed)
    return (rng.choice([-1, 1], size) * 10.0 ** rng.uniform(-9, 1.2, size)).astype(dtype)


def close(y, expected, x, ulps, lost=0):
    """Within so many ulp (and `lost`); far into the tails of silu and gelu their exponents' rounding shows."""
    eps, tiny = np.finfo(y.dtype).eps, np.finfo(y.dtype).tiny
    exponent = 1 + np.minimum(np.abs(x.astype(np.float64)), 40) ** 2
    assert (np.abs(y - expected) <= ulps * eps * np.abs(expected) * exponent + 100 * tiny + lost).all()


@pytest.mark.parametrize("dtype", DTYPES)
@by_kind
def test_equals_the_oracle_at_every_length(isa, name, kwargs, dtype):
    for size in SIZES:
        x, dy = values(size, dtype), values(size, dtype, 1)
        y = forward(name, x, **kwargs)
        assert y.dtype == dtype
        eps = np.finfo(dtype).eps  # of x - tanh(x), 1 - abs(y), 1 - s and y + alpha, whose digits go
        close(y, getattr(ref, f"{name}_forward")(x, **kwargs), x, 4, 3 * eps * np.abs(x) * (name == "tanhshrink"))
        dx = backward(name, dy, x if from_input(name, kwargs) else y, **kwargs)
        expected = getattr(ref, f"{name}_backward")(dy, x, **kwargs)
        assert (np.abs(dx - expected) <= 8 * eps * np.abs(expected) + 8 * eps * np.abs(dy)).all()


@pytest.mark.parametrize("dtype", DTYPES)
def test_accuracy_where_it_counts(isa, dtype):
    """Within 5 ulp between -1 and the largest x, and of the absolute error of 1 ulp of x below."""
    x = np.concatenate([np.linspace(-1, 6, 30_001), np.geomspace(1e-20, 1, 5001), -np.geomspace(1e-20, 1, 5001)])
    x = x.astype(dtype)
    wide = x.astype(np.float64)
    gelu = wide * np.array([math.erfc(-v / math.sqrt(2)) / 2 for v in wide])
    eps = np.finfo(dtype).eps
    for name, expected in (("gelu", gelu), ("silu", wide / (1 + np.exp(-wide))), ("elu", ref.elu_forward(x))):
        assert (np.abs(forward(name, x) - expected) <= 5 * eps * np.abs(expected)).all(), name
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
def test_large_arguments_neither_overflow_nor_become_nan(isa, dtype):
    x = np.array([1e30, 1000, -1000, -1e30], dtype)
    one, zero = np.ones(4, dtype), np.zeros(2)
    np.testing.assert_array_equal(forward("softplus", x), [*x[:2], 0, 0])
    np.testing.assert_array_equal(forward("softplus", x, beta=1.0, threshold=1e38), [*x[:2], 0, 0])
    np.testing.assert_array_equal(backward("softplus", one, x, beta=1.0, threshold=1e38), [1, 1, 0, 0])
    np.testing.assert_array_equal(forward("logsigmoid", x), [0, 0, *x[2:]])
    assert not np.signbit(forward("logsigmoid", x[:2])).any()
    np.testing.assert_array_equal(backward("logsigmoid", one, forward("logsigmoid", x)), [0, 0, 1, 1])
    np.testing.assert_array_equal(forward("mish", x), [*x[:2], *zero])
    np.testing.assert_allclose(backward("mish", one, x), [1, 1, *zero], rtol=np.finfo(dtype).eps)
    np.testing.assert_array_equal(forward("hardswish", x), [*x[:2], *zero])
    inf = np.array([np.inf, -np.inf], dtype)
    for name, kwargs, expected in [
        ("softplus", {}, [np.inf, 0]),
        ("logsigmoid", {}, [0, -np.inf]),
        ("selu", {}, [np.inf, -ref.SELU_SCALE * ref.SELU_ALPHA]),
        ("celu", {"alpha": 2.0}, [np.inf, -2]),
        ("celu", {"alpha": -2.0}, [np.inf, -np.inf]),
        ("hardtanh", {}, [1, -1]),
        ("hardsigmoid", {}, [1, 0]),
        ("threshold", {"threshold": 0.0, "value": 3.0}, [np.inf, 3]),
        ("softshrink", {}, inf),
        ("hardshrink", {}, inf),
        ("tanhshrink", {}, inf),
        ("mish", {}, [np.inf, np.nan]),  # -inf * 0, as in PyTorch
        ("hardswish", {}, [np.inf, np.nan]),
    ]:
        np.testing.assert_allclose(forward(name, inf, **kwargs), expected, rtol=1e-6, err_msg=name)


@by_kind
def test_a_nan_stays_one(isa, name, kwargs):
    assert np.isnan(forward(name, np.full(33, np.nan, np.float32), **kwargs)).all()


@pytest.mark.parametrize("dtype", DTYPES)
def test_small_results_keep_their_digits(isa, dtype):
    x = np.linspace(-60, 0, 10_001).astype(dtype)
    wide = x.astype(np.longdouble)
    expected = np.log1p(np.exp(wide)).astype(np.float64)
    eps = np.finfo(dtype).eps
    assert (np.abs(forward("softplus", x) - expected) <= 3 * eps * expected).all()
    assert (np.abs(forward("logsigmoid", -x) + expected) <= 3 * eps * expected).all()
    slope = (1 / (1 + np.exp(-wide))).astype(np.float64)
    dx = backward("logsigmoid", np.ones_like(x), forward("logsigmoid", -x))
    assert (np.abs(dx - slope) <= 6 * eps * slope).all()


@pytest.mark.parametrize("dtype", DTYPES)
@by_kind
def test_a_value_has_the_same_bits_in_every_lane_and_in_the_tail(isa, name, kwargs, dtype):
    x, dy = values(67, dtype), values(67, dtype, 1)
    y = forward(name, x, **kwargs)
    v = x if from_input(name, kwargs) else y
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
            results.append((y.tobytes(), backward(name, dy, x if from_input(name, kwargs) else y, **kwargs).tobytes()))
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
    v = x if from_input(name, kwargs) else y
    dy = values(x.shape, np.float32, 1)
    dx = backward(name, dy, v, **kwargs)
    np.testing.assert_array_equal(dx, backward(name, dy, v.copy("C"), **kwargs))
    np.testing.assert_array_equal(forward(name, x[::-1, ::2], **kwargs), y[::-1, ::2])


@by_kind
def test_gradients(name, kwargs):
    x = values((4, 25), np.float64)
    x[np.abs(x) < 1e-3] = 0.7  # away from the kinks
    assert fastnn.gradcheck(lambda t: getattr(F, name)(t, **kwargs), fastnn.tensor(x, requires_grad=True))


def test_leaky_relu_with_a_negative_slope():
    x = np.linspace(-2, 2, 9) + 0.1
    np.testing.assert_array_equal(F.leaky_relu(fastnn.tensor(x), -1.0).numpy(), np.abs(x))


@pytest.mark.parametrize("dtype", DTYPES)
@by_kind
def test_equals_pytorch(isa, name, kwargs, dtype):
    torch = pytest.importorskip("torch")
    x = np.concatenate([values(1000, dtype), np.array([np.nan, 0, -0.0, 30, -30, 3, -3, 0.5, -0.5, 1, -1], dtype)])
    t, p = fastnn.tensor(x, requires_grad=True), torch.tensor(x, requires_grad=True)
    y, expected = getattr(F, name)(t, **kwargs), getattr(torch.nn.functional, name)(p, **kwargs)
    eps = np.finfo(dtype).eps
    np.testing.assert_allclose(y.detach().numpy(), expected.detach().numpy(), rtol=16 * eps, atol=16 * eps)
    dy = np.ones_like(x)
    y.backward(dy)
    expected.backward(torch.tensor(dy))
    numbers = ~np.isnan(x)  # for the gradient there PyTorch has now 0, now NaN, now what arrives
    rtol = max(32 * eps, 1e-7 if name == "hardsigmoid" else 0)  # PyTorch's 1 / 6 is a float in float64, too
    np.testing.assert_allclose(t.grad.data[numbers], p.grad.numpy()[numbers], rtol=rtol, atol=16 * eps)


@pytest.mark.parametrize(
    ("name", "args", "kwargs"),
    [
        ("ReLU", (), {}),
        ("ReLU", (True,), {}),
        ("ReLU6", (), {}),
        ("ReLU6", (True,), {}),
        ("LeakyReLU", (), {}),
        ("LeakyReLU", (0.2, True), {}),
        ("PReLU", (), {}),
        ("PReLU", (4, 0.5), {}),
        ("RReLU", (), {}),
        ("RReLU", (0.1, 0.2, True), {}),
        ("ELU", (), {}),
        ("ELU", (0.5,), {"inplace": True}),
        ("SELU", (), {}),
        ("SELU", (), {"inplace": True}),
        ("CELU", (), {}),
        ("CELU", (0.5,), {"inplace": True}),
        ("Sigmoid", (), {}),
        ("LogSigmoid", (), {}),
        ("Tanh", (), {}),
        ("Tanhshrink", (), {}),
        ("Softsign", (), {}),
        ("Softplus", (), {}),
        ("Softplus", (2.0,), {"threshold": 1.0}),
        ("SiLU", (), {}),
        ("SiLU", (True,), {}),
        ("GELU", (), {}),
        ("GELU", ("tanh",), {}),
        ("Mish", (), {}),
        ("Mish", (True,), {}),
        ("Hardtanh", (), {}),
        ("Hardtanh", (-0.5, 0.25, True), {}),
        ("Hardsigmoid", (), {}),
        ("Hardswish", (), {}),
        ("Threshold", (0.1, 20.0), {}),
        ("Threshold", (0.1, 20.0, True), {}),
        ("Softshrink", (), {}),
        ("Hardshrink", (0.25,), {}),
        ("Softmax", (1,), {}),
        ("Softmin", (), {"dim": 0}),
        ("LogSoftmax", (-1,), {}),
        ("GLU", (), {}),
    ],
)
def test_layers_equal_pytorch(name, args, kwargs):
    torch = pytest.importorskip("torch")
    ours, theirs = getattr(nn, name)(*args, **kwargs).eval(), getattr(torch.nn, name)(*args, **kwargs).eval()
    assert repr(ours) == repr(theirs)
    x = np.random.default_rng(6).standard_normal((3, 4)).astype(np.float32)
    t = fastnn.tensor(x)
    np.testing.assert_allclose(ours(t).detach().numpy(), theirs(torch.tensor(x)).detach().numpy(), rtol=1e-5, atol=1e-6)
    np.testing.assert_array_equal(t.numpy(), x)


@by_kind
def test_errors(name, kwargs):
    x, v = np.ones((2, 3), np.float32), "x" if from_input(name, kwargs) else "y"
    with pytest.raises(TypeError, match=f"{name}_forward: x has dtype int64; expected float32 or float64"):
        forward(name, np.ones(3, np.int64), **kwargs)
    with pytest.raises(TypeError, match=f"{name}_backward: dy has dtype float64, {v} has float32"):
        backward(name, x.astype(np.float64), x, **kwargs)
    with pytest.raises(ValueError, match=rf"{name}_backward: dy has shape \(3, 2\); expected \(2, 3\)"):
        backward(name, x.T, x, **kwargs)
    with pytest.raises(TypeError, match=f"{name}: x is ndarray; expected a Tensor"):
        getattr(F, name)(x, **kwargs)


def test_errors_of_parameters():
    x = fastnn.ones(3)
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
    with pytest.raises(TypeError, match="softplus: threshold is '1'; expected a number"):
        F.softplus(x, 1, "1")
    with pytest.raises(ValueError, match="celu_forward: alpha is 0; expected any other"):
        F.celu(x, 0)
    with pytest.raises(ValueError, match="CELU: alpha is 0; expected any other number"):
        nn.CELU(0.0)
    with pytest.raises(ValueError, match="hardtanh_forward: min_val is 2, max_val 1; expected min_val <= max_val"):
        F.hardtanh(x, 2, 1)
    with pytest.raises(TypeError, match="Hardtanh: min_val is 'x'; expected a number"):
        nn.Hardtanh("x")
    with pytest.raises(ValueError, match="Hardtanh: min_val is 1, max_val 1; expected min_val < max_val"):
        nn.Hardtanh(1, 1)
    for lambd in (-1.0, float("nan"), float("inf")):
        with pytest.raises(ValueError, match=f"softshrink_forward: lambd is {lambd:g}; expected a finite number"):
            F.softshrink(x, lambd)
        with pytest.raises(ValueError, match=f"Softshrink: lambd is {lambd}; expected a finite number, at least 0"):
            nn.Softshrink(lambd)
    with pytest.raises(TypeError, match="hardshrink: lambd is None; expected a number"):
        F.hardshrink(x, None)
    with pytest.raises(ValueError, match=r"Softmax2d: x has shape \(3,\); expected \(N, C, H, W\) or \(C, H, W\)"):
        nn.Softmax2d()(x)
