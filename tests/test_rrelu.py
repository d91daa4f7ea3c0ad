"""RReLU: the kernel against the oracle, the slopes' distribution, gradients, layouts, threads, errors, PyTorch."""

import numpy as np
import pytest

import fastnn
import reference_activation as ref
from fastnn import functional as F
from fastnn import nn, ops

DTYPES = [np.float32, np.float64]


@pytest.fixture(autouse=True)
def generator():
    state = fastnn.get_rng_state()
    fastnn.manual_seed(0)
    yield
    fastnn.set_rng_state(state)


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("size", [0, 1, 3, 4, 15, 16, 17, 31, 33, 100, 4097])
def test_equals_the_oracle(isa, size, dtype):
    x, dy = np.random.default_rng(0).standard_normal((2, size)).astype(dtype)
    for lower, upper, seed in ((0.125, 0.375, 0), (-1.0, 0.5, 2**64 - 1), (0.25, 0.25, 7)):
        slopes = np.where(x > 0, 1, ref.rrelu_slopes(size, lower, upper, seed))
        y = ops.rrelu_forward(x, lower, upper, seed)
        assert y.dtype == dtype
        tolerance = 4 * np.finfo(dtype).eps
        np.testing.assert_allclose(y, slopes * x, rtol=tolerance, atol=tolerance)
        np.testing.assert_allclose(
            ops.rrelu_backward(dy, x, lower, upper, seed), slopes * dy, rtol=tolerance, atol=tolerance
        )


@pytest.mark.parametrize("dtype", DTYPES)
def test_same_bits_on_any_number_of_threads_and_instruction_set(dtype):
    x = np.random.default_rng(1).standard_normal(5 * 32768 + 13).astype(dtype)
    before, isa, results = ops.get_num_threads(), ops.isa(), set()
    try:
        for name in ops.isas():
            ops.set_isa(name)
            for threads in (1, 2, 3):
                ops.set_num_threads(threads)
                results.add(ops.rrelu_forward(x, 0.1, 0.3, 99).tobytes())
    finally:
        ops.set_num_threads(before)
        ops.set_isa(isa)
    assert len(results) == 1


def test_slopes_are_uniform():
    n = 1_000_000
    slopes = -ops.rrelu_forward(np.full(n, -1.0), 0.2, 0.6, 5)
    counts = np.histogram(slopes, 50, (0.2, 0.6))[0]
    assert counts.sum() == n
    assert 50 - 5 * np.sqrt(100) < ((counts - n / 50) ** 2 / (n / 50)).sum() < 50 + 5 * np.sqrt(100)
    other = -ops.rrelu_forward(np.full(n, -1.0), 0.2, 0.6, 6)
    for shifted in (slopes[1:], slopes[32:], other):
        assert abs(np.corrcoef(slopes[: len(shifted)], shifted)[0, 1]) < 5 / np.sqrt(n)


def test_special_values(isa):
    x = np.array([np.nan, np.inf, -np.inf, 0.0])
    np.testing.assert_array_equal(ops.rrelu_forward(x, 0.5, 0.5, 0), [np.nan, np.inf, -np.inf, 0])
    np.testing.assert_array_equal(ops.rrelu_backward(np.ones(4), x, 0.5, 0.5, 0), [1, 1, 0.5, 0.5])


@pytest.mark.parametrize("layout", [ops.to_contiguous, ops.to_channels_last])
@pytest.mark.parametrize("dy_layout", [ops.to_contiguous, ops.to_channels_last])
def test_backward_draws_the_slopes_of_forward(layout, dy_layout):
    ones = np.ones((2, 3, 4, 5))
    x = fastnn.tensor(-ones, requires_grad=True)
    x.data = layout(x.data)
    y = F.rrelu(x, training=True)
    y.backward(dy_layout(ones))
    np.testing.assert_array_equal(x.grad.numpy(), -y.detach().numpy())


def test_gradient():
    def function(x):
        fastnn.manual_seed(5)
        return F.rrelu(x, 0.1, 0.9, training=True)

    x = np.random.default_rng(3).uniform(0.1, 1, (3, 40)) * np.random.default_rng(4).choice([-1, 1], (3, 40))
    assert fastnn.gradcheck(function, fastnn.tensor(x, requires_grad=True))


def test_layer():
    layer, x = nn.RReLU(0.25, 0.75), fastnn.tensor(np.full(1000, -2.0))
    y = layer(x)
    assert not (layer(x) == y).all()
    slopes = y.numpy() / -2
    assert 0.25 <= slopes.min() < 0.26
    assert 0.74 < slopes.max() <= 0.75
    np.testing.assert_array_equal(layer.eval()(x).numpy(), np.full(1000, -1.0))


def test_inference_and_equal_bounds_equal_pytorch():
    torch = pytest.importorskip("torch")
    x = np.random.default_rng(6).standard_normal(50)
    for kwargs in ({}, {"lower": 0.5, "upper": 0.75}, {"lower": 0.5, "upper": 0.5, "training": True}):
        t, p = fastnn.tensor(x, requires_grad=True), torch.tensor(x, requires_grad=True)
        y, expected = F.rrelu(t, **kwargs), torch.nn.functional.rrelu(p, **kwargs)
        np.testing.assert_allclose(y.detach().numpy(), expected.detach().numpy(), rtol=1e-15)
        y.sum().backward()
        expected.sum().backward()
        np.testing.assert_allclose(t.grad.numpy(), p.grad.numpy(), rtol=1e-15)


def test_errors():
    x = np.ones(3)
    for bounds in ((0.5, 0.1), (0.1, np.inf), (np.nan, 0.1)):
        with pytest.raises(ValueError, match=r"rrelu_forward: lower is .* expected finite numbers with lower <= upper"):
            ops.rrelu_forward(x, *bounds, 0)
        for training in (False, True):
            with pytest.raises(ValueError, match=r"rrelu: lower is .* expected finite numbers with lower <= upper"):
                F.rrelu(fastnn.tensor(x), *bounds, training)
        with pytest.raises(ValueError, match=r"RReLU: lower is .* expected finite numbers with lower <= upper"):
            nn.RReLU(*bounds)
    with pytest.raises(TypeError, match="rrelu: upper is None; expected a number"):
        F.rrelu(fastnn.tensor(x), 0.1, None)
    with pytest.raises(ValueError, match="rrelu_forward: seed is -1"):
        ops.rrelu_forward(x, 0.1, 0.2, -1)
    with pytest.raises(ValueError, match=r"rrelu_backward: dy has shape \(2,\); expected \(3,\)"):
        ops.rrelu_backward(np.ones(2), x, 0.1, 0.2, 0)
