"""Penalties on parameters."""

import numpy as np
import pytest

import fastnn
from fastnn import nn, optim
from fastnn.nn.utils import l1_penalty, l2_penalty


def parameters(*dtypes):
    rng = np.random.default_rng(0)
    return [fastnn.tensor(rng.standard_normal((2, 3)).astype(d), requires_grad=True) for d in dtypes]


@pytest.mark.parametrize(
    ("penalty", "value", "slope"), [(l1_penalty, np.abs, np.sign), (l2_penalty, np.square, lambda w: 2 * w)]
)
def test_values_and_gradients(penalty, value, slope):
    a, b = parameters(np.float32, np.float64)
    frozen = fastnn.tensor(np.ones(3))
    a.data[0, 0] = 0
    y = penalty(iter([a, b, frozen, a]))
    assert y.dtype == np.float64
    assert y.item() == pytest.approx(2 * value(a.data).sum() + value(b.data).sum() + 3, rel=1e-6)
    (3 * y).backward()
    np.testing.assert_allclose(a.grad.data, 6 * slope(a.data), rtol=1e-6, strict=True)
    np.testing.assert_allclose(b.grad.data, 3 * slope(b.data), rtol=1e-12, strict=True)
    assert penalty(a).dtype == np.float32


@pytest.mark.parametrize("penalty", [l1_penalty, l2_penalty])
def test_gradients_equal_finite_differences(penalty):
    assert fastnn.gradcheck(lambda *tensors: penalty(tensors), parameters(np.float64, np.float64))


@pytest.mark.parametrize("penalty", [l1_penalty, l2_penalty])
def test_of_nothing_and_of_what_is_no_tensor(penalty):
    assert penalty([]).item() == 0
    assert not penalty([]).requires_grad
    assert not penalty(fastnn.ones(2)).requires_grad
    with pytest.raises(TypeError, match=rf"{penalty.__name__}: parameters\[1\] is ndarray; expected a Tensor"):
        penalty([fastnn.ones(2), np.ones(2)])


def test_half_the_squares_are_weight_decay():
    x, results = fastnn.tensor(np.random.default_rng(1).standard_normal((5, 3)).astype(np.float32)), []
    for decay in (0.0, 0.1):
        fastnn.manual_seed(0)
        model = nn.Linear(3, 2)
        optimizer = optim.SGD(model.parameters(), lr=0.1, weight_decay=decay)
        loss = model(x).sum()
        if not decay:
            loss = loss + 0.05 * l2_penalty(model.parameters())
        loss.backward()
        optimizer.step()
        results.append(model.weight.data.copy())
    np.testing.assert_allclose(results[0], results[1], rtol=1e-6)
