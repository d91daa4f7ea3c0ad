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


@pytest.mark.parametrize("centered", [False, True])
@pytest.mark.parametrize(("shape", "count"), [((4, 5), 1), ((2, 3, 4), 2), ((3, 2, 2, 2), 1)])
def test_layer_norm_gradients(rng, shape, count, centered):
    normalized = shape[len(shape) - count :]
    x, dy = rng.standard_normal((2, *shape))
    w, b = rng.standard_normal((2, *normalized))

    def forward(x, w, b):
        return ref.layer_norm_forward(x, normalized, w, b, 0.1, centered)

    dx, dw, db = ref.layer_norm_backward(dy, x, normalized, w, 0.1, centered)
    assert_gradient(dx, lambda x: forward(x, w, b), x, dy)
    assert_gradient(dw, lambda w: forward(x, w, b), w, dy)
    assert_gradient(db, lambda b: forward(x, w, b), b, dy)


@pytest.mark.parametrize("groups", [1, 2, 4])
@pytest.mark.parametrize("shape", [(2, 8), (2, 4, 3), (2, 4, 3, 2)])
def test_group_norm_gradients(rng, shape, groups):
    x, dy = rng.standard_normal((2, *shape))
    w, b = rng.standard_normal((2, shape[1]))

    def forward(x, w, b):
        return ref.group_norm_forward(x, groups, w, b, 0.1)

    dx, dw, db = ref.group_norm_backward(dy, x, groups, w, 0.1)
    assert_gradient(dx, lambda x: forward(x, w, b), x, dy)
    assert_gradient(dw, lambda w: forward(x, w, b), w, dy)
    assert_gradient(db, lambda b: forward(x, w, b), b, dy)
