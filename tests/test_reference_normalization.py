"""The oracle of the normalizations: against finite differences."""

import numpy as np
import pytest
from numpy.testing import assert_allclose

import reference_normalization as ref
from reference import numeric_gradient


def assert_gradient(actual, f, x, dy):
    assert_allclose(actual, numeric_gradient(f, x, dy), rtol=1e-6, atol=1e-8)


@pytest.fixture
def rng():
    return np.random.default_rng(0)


def test_windows_of_channels():
    np.testing.assert_array_equal(ref.windows(4, 3), [[1, 1, 0, 0], [1, 1, 1, 0], [0, 1, 1, 1], [0, 0, 1, 1]])
    np.testing.assert_array_equal(ref.windows(3, 2), [[1, 0, 0], [1, 1, 0], [0, 1, 1]])


@pytest.mark.parametrize("size", [1, 2, 3, 5, 12])
@pytest.mark.parametrize("shape", [(2, 7), (2, 6, 2, 1)])
def test_local_response_norm_gradient(rng, shape, size):
    x, dy = rng.standard_normal((2, *shape))
    arguments = size, 0.7, 0.6, 1.3
    dx = ref.local_response_norm_backward(dy, x, *arguments)
    assert_gradient(dx, lambda x: ref.local_response_norm_forward(x, *arguments), x, dy)
