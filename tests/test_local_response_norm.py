"""LocalResponseNorm: kernels against the oracle, and the function and the layer against PyTorch."""

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from numpy.testing import assert_allclose, assert_array_equal

import fastnn
import reference_normalization as ref
from fastnn import functional as F
from fastnn import nn, ops

DTYPES = [np.float32, np.float64]
CHANNELS = [1, 3, 4, 5, 7, 8, 9, 15, 16, 17, 33, 96]  # around 2, 4, 8 and 16 lanes
TOLERANCE = {np.float32: 2e-6, np.float64: 1e-14}
ARGUMENTS = [(5, 1.0, 0.75, 2.0), (4, 0.3, 0.75, 1.0), (3, 2.0, 0.6, 1.5), (1, 1.0, 1.0, 0.5), (300, 5.0, 0.75, 1.0)]


@pytest.fixture
def rng():
    return np.random.default_rng(0)


def close(actual, expected):
    tolerance = TOLERANCE[actual.dtype.type]
    assert_allclose(actual, expected, rtol=tolerance, atol=tolerance * np.max(np.abs(expected), initial=1.0))


# Kernels against the oracle -----------------------------------------------------------------------


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("arguments", ARGUMENTS)
@pytest.mark.parametrize("C", CHANNELS)
def test_equals_the_oracle(isa, rng, C, arguments, dtype):
    for shape in ((1, C), (37, C), (2, C, 3, 7)):
        x, dy = (2 * rng.standard_normal((2, *shape))).astype(dtype)
        y, dx = ops.local_response_norm_forward(x, *arguments), ops.local_response_norm_backward(dy, x, *arguments)
        assert y.dtype == dx.dtype == dtype
        close(y, ref.local_response_norm_forward(x, *arguments))
        close(dx, ref.local_response_norm_backward(dy, x, *arguments))


@pytest.mark.parametrize("scale", [1e-15, 1e-6, 1e6, 1e12])
def test_magnitudes(isa, rng, scale):
    """Without k the result depends on the scale of x by a power alone."""
    x, dy = (rng.standard_normal((2, 9, 20)) * scale).astype(np.float32)
    y, dx = (
        ops.local_response_norm_forward(x, 5, 1.0, 0.75, 0.0),
        ops.local_response_norm_backward(dy, x, 5, 1.0, 0.75, 0),
    )
    assert_allclose(y, ref.local_response_norm_forward(x, 5, 1.0, 0.75, 0.0), rtol=1e-6)
    expected = ref.local_response_norm_backward(dy, x, 5, 1.0, 0.75, 0.0)
    assert_allclose(dx, expected, rtol=0, atol=3e-6 * np.abs(expected).max())


@pytest.mark.parametrize("beta", [0.75, 0.5])
def test_values_that_are_no_ordinary_numbers(isa, beta):
    """As the definition says: x / inf is 0, inf / inf and 0 / 0 are NaN, and each stays in its windows."""
    x = np.ones((1, 40), np.float32)
    x[0, [3, 20, 37]] = np.nan, np.inf, 3e25  # the last one's square is infinite
    y = ops.local_response_norm_forward(x, 3, 1.0, beta, 1.0)
    assert_array_equal(np.isnan(y[0]).nonzero()[0], [2, 3, 4, 20])
    assert_array_equal((y[0] == 0).nonzero()[0], [19, 21, 36, 37, 38])
    assert_allclose(np.delete(y[0], [0, 2, 3, 4, 19, 20, 21, 36, 37, 38, 39]), 2**-beta, rtol=1e-6)
    zeros = np.zeros((2, 5), np.float32)
    assert np.isnan(ops.local_response_norm_forward(zeros, 3, 1.0, beta, 0.0)).all()
    assert_array_equal(ops.local_response_norm_forward(zeros, 3), zeros)


@settings(deadline=None, max_examples=25, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.data())
def test_any_strides(isa, data):
    shape = data.draw(st.sampled_from([(7, 5), (2, 3, 4, 5), (3, 17, 2, 2)]))
    order = data.draw(st.permutations(range(len(shape))))
    steps = data.draw(st.tuples(*[st.sampled_from([1, 2, -1, -2])] * len(shape)))
    rng = np.random.default_rng(1)

    def strided():
        a = rng.standard_normal([2 * shape[i] for i in order]).astype(np.float32)
        a = a.transpose(np.argsort(order))
        return a[tuple(slice(None, None, s) for s in steps)][tuple(slice(n) for n in shape)]

    x, dy = strided(), strided()
    assert_array_equal(ops.local_response_norm_forward(x, 3), ops.local_response_norm_forward(x.copy(), 3))
    dx = ops.local_response_norm_backward(dy, x, 3)
    assert_array_equal(dx, ops.local_response_norm_backward(dy.copy(), x.copy(), 3))


@pytest.mark.parametrize("dtype", DTYPES)
def test_same_bits_on_any_number_of_threads(isa, rng, dtype):
    x, dy = rng.standard_normal((2, 4, 33, 37, 31)).astype(dtype)
    before, results = ops.get_num_threads(), set()
    try:
        for threads in (1, 2, 3):
            ops.set_num_threads(threads)
            y, dx = ops.local_response_norm_forward(x, 5), ops.local_response_norm_backward(dy, x, 5)
            results.add((y.tobytes(), dx.tobytes()))
    finally:
        ops.set_num_threads(before)
    assert len(results) == 1


def test_channels_last_memory_stays(rng):
    x = ops.to_channels_last(rng.standard_normal((2, 3, 4, 5)))
    y = ops.local_response_norm_forward(x, 5)
    assert y.strides == ops.local_response_norm_backward(y, x, 5).strides == x.strides


@pytest.mark.parametrize("shape", [(0, 3), (4, 0), (0, 3, 2, 2), (2, 3, 0, 4), (2, 0, 3, 4)])
def test_nothing_to_do(isa, shape):
    x = np.ones(shape, np.float32)
    assert ops.local_response_norm_forward(x, 5).shape == shape
    assert ops.local_response_norm_backward(x, x, 5).shape == shape


# Errors -------------------------------------------------------------------------------------------

X = np.ones((4, 3), np.float32)


@pytest.mark.parametrize(
    ("op", "arguments", "error", "message"),
    [
        ("forward", (X[0], 5), ValueError, r"forward: x has shape \(3,\); expected \(N, C\) or \(N, C, H, W\)"),
        ("forward", (X.astype(int), 5), TypeError, "forward: x has dtype int64; expected float32 or float64"),
        ("forward", (X, 0), ValueError, "forward: size is 0; expected 1 to"),
        ("forward", (X, 2.5), TypeError, "forward: size holds a float; expected an int"),
        ("backward", (X.T, X, 5), ValueError, r"backward: dy has shape \(3, 4\); expected \(4, 3\)"),
        ("backward", (X.astype(float), X, 5), TypeError, "backward: dy has dtype float64, x has float32"),
    ],
)
def test_errors_of_the_ops(op, arguments, error, message):
    with pytest.raises(error, match=message):
        getattr(ops, f"local_response_norm_{op}")(*arguments)


def test_errors_of_function_and_layer():
    x = fastnn.ones(2, 3, 4)
    with pytest.raises(TypeError, match="local_response_norm: x is ndarray; expected a Tensor"):
        F.local_response_norm(np.ones((2, 3, 4)), 3)
    with pytest.raises(ValueError, match=r"local_response_norm: x has shape \(3, 4\); expected \(N, C, ...\) of at"):
        F.local_response_norm(fastnn.ones(3, 4), 3)
    with pytest.raises(TypeError, match="local_response_norm: beta is None; expected a number"):
        F.local_response_norm(x, 3, beta=None)
    with pytest.raises(ValueError, match="LocalResponseNorm: size is 0; expected at least 1"):
        nn.LocalResponseNorm(0)
    with pytest.raises(TypeError, match=r"LocalResponseNorm: size is 1\.5; expected an integer"):
        nn.LocalResponseNorm(1.5)


# The function and the layer -----------------------------------------------------------------------


@pytest.mark.parametrize("shape", [(2, 4, 3), (2, 7, 2, 2), (1, 4, 2, 1, 2)])
def test_gradcheck(rng, shape):
    x = fastnn.tensor(rng.standard_normal(shape), requires_grad=True)
    assert fastnn.gradcheck(lambda x: F.local_response_norm(x, 3, 0.5, 0.75, 1.5), (x,))
    assert fastnn.gradcheck(lambda x: F.local_response_norm(x, 4, 0.5, 0.3), (x,))


@pytest.mark.parametrize("shape", [(3, 6, 5), (2, 11, 4, 3), (2, 5, 2, 3, 2), (0, 3, 2, 2), (1, 3, 4, 0)])
@pytest.mark.parametrize("arguments", [(5,), (2, 1.0), (9, 1e-2, 0.5, 2.0)])
def test_layer_equals_pytorch(rng, shape, arguments):
    torch = pytest.importorskip("torch")
    ours, theirs = nn.LocalResponseNorm(*arguments), torch.nn.LocalResponseNorm(*arguments)
    assert repr(ours) == repr(theirs)
    x, dy = (3 * rng.standard_normal((2, *shape))).astype(np.float32)
    t, p = fastnn.tensor(x, requires_grad=True), torch.tensor(x, requires_grad=True)
    y, expected = ours(t), theirs(p)
    y.backward(dy)
    expected.backward(torch.tensor(dy))
    close(y.detach().numpy(), expected.detach().numpy())
    close(t.grad.data, p.grad.numpy())
