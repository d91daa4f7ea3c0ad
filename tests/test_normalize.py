"""normalize: against PyTorch and finite differences."""

import math

import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal

import fastnn
from fastnn import functional as F
from fastnn import ops

EXPONENTS = [2.0, 1.0, 3.0, 0.5, 0.0, math.inf, -math.inf]
DIMS = [0, 1, -1, (0, 2), (1, 2)]


@pytest.fixture
def rng():
    return np.random.default_rng(0)


@pytest.mark.parametrize("dim", DIMS, ids=str)
@pytest.mark.parametrize("p", EXPONENTS)
def test_equals_pytorch(rng, p, dim):
    torch = pytest.importorskip("torch")
    x, dy = rng.integers(-3, 4, (2, 4, 5, 6)).astype(np.float64)  # with zeros, and with several that are the largest
    x[1] = 0
    x[2, 3] *= 1e-3
    t, u = fastnn.tensor(x, requires_grad=True), torch.tensor(x, requires_grad=True)
    y, expected = F.normalize(t, p, dim, eps=1e-2), torch.nn.functional.normalize(u, p, dim, eps=1e-2)
    y.backward(dy)
    expected.backward(torch.tensor(dy))
    assert_allclose(y.detach().numpy(), expected.detach().numpy(), rtol=1e-12)
    assert_allclose(t.grad.data, u.grad.numpy(), rtol=1e-10, atol=1e-12)


@pytest.mark.parametrize("p", [2.0, 1.0, 3.0, 0.5, math.inf])
def test_gradcheck(rng, p):
    x = fastnn.tensor(rng.uniform(0.5, 2, (3, 4)) * rng.choice([-1, 1], (3, 4)), requires_grad=True)
    assert fastnn.gradcheck(lambda x: F.normalize(x, p), (x,))
    assert fastnn.gradcheck(lambda x: F.normalize(x, p, eps=100.0), (x,))


def test_types_and_layouts(rng):
    x = ops.to_channels_last(rng.standard_normal((2, 3, 4, 5)).astype(np.float32))
    y = F.normalize(fastnn.as_tensor(x)).numpy()
    assert y.dtype == np.float32
    assert y.strides == x.strides
    assert_allclose((y**2).sum(1), 1, rtol=1e-6)
    zeros = fastnn.zeros(2, 3, requires_grad=True)
    F.normalize(zeros).sum().backward()
    assert_array_equal(zeros.grad.data, np.full((2, 3), 1e12, np.float32))
    assert F.normalize(fastnn.ones(0, 3)).shape == (0, 3)


def test_errors():
    with pytest.raises(TypeError, match="normalize: x is ndarray; expected a Tensor"):
        F.normalize(np.ones((2, 3)))
    with pytest.raises(TypeError, match="normalize: x has dtype int64; expected a floating-point one"):
        F.normalize(fastnn.ones(2, 3).long())
    with pytest.raises(TypeError, match="normalize: p is '2'; expected a number"):
        F.normalize(fastnn.ones(2, 3), "2")
    with pytest.raises(IndexError, match="normalize: dimension 1 is out of range for a tensor of 1 dimensions"):
        F.normalize(fastnn.ones(3))
