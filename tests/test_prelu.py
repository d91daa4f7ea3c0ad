"""PReLU: the kernel against the oracle, gradients, layouts, threads, errors, PyTorch."""

import numpy as np
import pytest

import fastnn
import reference_activation as ref
from fastnn import functional as F
from fastnn import nn, ops

DTYPES = [np.float32, np.float64]
SHAPES = [
    (0, 3),
    (3, 0),
    (1, 1),
    (7, 1),
    (1, 7),
    (5, 3),
    (70, 16),
    (33, 17),
    (300, 5),
    (9, 600),
    (2, 3, 4, 5),
    (2, 64, 9, 9),
]


def arrays(shape, dtype, slopes=None):
    rng = np.random.default_rng(0)
    x, dy = rng.standard_normal((2, *shape)).astype(dtype)
    return x, dy, rng.uniform(-0.5, 1.5, shape[1] if slopes is None else slopes).astype(dtype)


def close_sums(dw, expected, products):
    """Within the rounding of sums of that size."""
    assert (np.abs(dw - expected) <= 4 * np.finfo(dw.dtype).eps * np.abs(products).sum()).all()


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("shared", [False, True])
def test_equals_the_oracle(isa, shape, dtype, shared):
    x, dy, w = arrays(shape, dtype, 1 if shared else None)
    y = ops.prelu_forward(x, w)
    assert y.dtype == dtype
    np.testing.assert_array_equal(y, ref.prelu_forward(x, w).astype(dtype))
    dx, dw = ops.prelu_backward(dy, x, w)
    expected_dx, expected_dw = ref.prelu_backward(dy, x, w)
    np.testing.assert_array_equal(dx, expected_dx.astype(dtype))
    close_sums(dw, expected_dw, dy * x)
    only_dx, none = ops.prelu_backward(dy, x, w, weight_gradient=False)
    assert none is None
    np.testing.assert_array_equal(only_dx, dx)


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("channels", [1, 24])
def test_same_bits_on_any_number_of_threads(isa, dtype, channels):
    x, dy, w = arrays((300_000 // channels, channels), dtype)
    before, results = ops.get_num_threads(), set()
    try:
        for threads in (1, 2, 3):
            ops.set_num_threads(threads)
            results.add(b"".join(a.tobytes() for a in (ops.prelu_forward(x, w), *ops.prelu_backward(dy, x, w))))
    finally:
        ops.set_num_threads(before)
    assert len(results) == 1
    close_sums(ops.prelu_backward(dy, x, w)[1], ref.prelu_backward(dy, x, w)[1], dy * x)


def test_memory_layouts():
    x, dy, w = arrays((2, 3, 4, 5), np.float32)
    last = ops.to_channels_last(x)
    y = ops.prelu_forward(x, w)
    assert y.strides == last.strides
    np.testing.assert_array_equal(ops.prelu_forward(last, w), y)
    dx, dw = ops.prelu_backward(dy, last, w)
    for a, b in ((dx, dw), ops.prelu_backward(ops.to_channels_last(dy), x, w)):
        np.testing.assert_array_equal(a, dx)
        np.testing.assert_array_equal(b, dw)
    np.testing.assert_array_equal(ops.prelu_forward(x[::-1, :, ::2], w), y[::-1, :, ::2])


def test_special_values(isa):
    x, w = np.array([[np.nan, np.inf, -np.inf, 0.0, -0.0]]), np.full(5, 0.5)
    np.testing.assert_array_equal(ops.prelu_forward(x, w), [[np.nan, np.inf, -np.inf, 0, -0.0]])
    dx, dw = ops.prelu_backward(np.ones((1, 5)), x, w)
    np.testing.assert_array_equal(dx, [[0.5, 1, 0.5, 0.5, 0.5]])
    np.testing.assert_array_equal(dw, [np.nan, 0, -np.inf, 0, 0])


@pytest.mark.parametrize("shape", [(6,), (4, 3), (2, 3, 5), (2, 3, 2, 3), (2, 3, 2, 1, 2)])
@pytest.mark.parametrize("shared", [False, True])
def test_gradients_and_pytorch(shape, shared):
    torch = pytest.importorskip("torch")
    x = np.random.default_rng(1).uniform(0.1, 1, shape) * np.random.default_rng(2).choice([-1, 1], shape)
    w = np.linspace(-0.5, 0.7, 1 if shared or len(shape) == 1 else shape[1])
    t, u = fastnn.tensor(x, requires_grad=True), fastnn.tensor(w, requires_grad=True)
    assert fastnn.gradcheck(F.prelu, (t, u))
    p, q = (torch.tensor(a, requires_grad=True) for a in (x, w))
    y, expected = F.prelu(t, u), torch.nn.functional.prelu(p, q)
    np.testing.assert_array_equal(y.detach().numpy(), expected.detach().numpy())
    dy = np.random.default_rng(3).standard_normal(shape)
    y.backward(dy)
    expected.backward(torch.tensor(dy))
    np.testing.assert_allclose(t.grad.numpy(), p.grad.numpy(), rtol=1e-14)
    np.testing.assert_allclose(u.grad.numpy(), q.grad.numpy(), rtol=1e-12, atol=1e-14)


def test_layer():
    layer = nn.PReLU(3, init=0.1)
    assert list(layer.state_dict()) == ["weight"]
    np.testing.assert_array_equal(layer.weight.detach().numpy(), np.full(3, 0.1, np.float32))
    x = fastnn.tensor(np.full((2, 3, 4), -2, np.float32))
    layer(x).sum().backward()
    np.testing.assert_allclose(layer.weight.grad.numpy(), [-16, -16, -16])
    layer.weight.requires_grad = False
    y = fastnn.tensor(np.ones((2, 3), np.float32), requires_grad=True)
    layer(y).sum().backward()
    np.testing.assert_array_equal(y.grad.numpy(), np.ones((2, 3)))


def test_errors():
    x, w = fastnn.ones(2, 3), fastnn.ones(3)
    with pytest.raises(ValueError, match=r"prelu: weight has 2 elements, x of shape \(2, 3\) has 3 channels"):
        F.prelu(x, fastnn.ones(2))
    with pytest.raises(ValueError, match=r"prelu: weight has 3 elements, x of shape \(3,\) has 1 channels"):
        F.prelu(w, w)
    with pytest.raises(ValueError, match=r"prelu: weight has shape \(1, 1\); expected one dimension"):
        F.prelu(x, fastnn.ones(1, 1))
    with pytest.raises(TypeError, match="prelu_forward: weight has dtype float64, x has float32"):
        F.prelu(x, w.double())
    with pytest.raises(TypeError, match="prelu: weight is float; expected a Tensor"):
        F.prelu(x, 0.25)
    with pytest.raises(
        ValueError, match=r"prelu_forward: x has shape \(2, 3, 1\); expected \(N, C\) or \(N, C, H, W\)"
    ):
        ops.prelu_forward(np.ones((2, 3, 1)), np.ones(3))
    with pytest.raises(ValueError, match=r"prelu_forward: weight has shape \(2,\); expected \(3,\)"):
        ops.prelu_forward(np.ones((2, 3)), np.ones(2))
    with pytest.raises(ValueError, match=r"prelu_backward: dy has shape \(3, 2\); expected \(2, 3\)"):
        ops.prelu_backward(np.ones((3, 2)), np.ones((2, 3)), np.ones(3))
    with pytest.raises(ValueError, match="PReLU: num_parameters is 0; expected at least 1"):
        nn.PReLU(0)
