"""The gated linear unit: the kernel against the oracle, layouts, threads, PyTorch, gradients, errors."""

import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal

import fastnn
from fastnn import functional as F
from fastnn import ops

CASES = [  # shape of x, axis
    ((2,), 0),
    ((0, 4), 1),
    ((4, 0), 0),
    ((3, 0), -1),
    ((70, 2), 1),
    ((7, 66), 1),
    ((10, 33), 0),
    ((4, 6, 17), 1),
    ((3, 16390), -1),
    ((2, 6, 3, 4), 1),
    ((2, 6, 4, 4), 2),
    ((2, 5, 3, 10), 3),
    ((4, 5, 3, 4), 0),
    ((2, 2, 4, 1, 9), 2),
]


def oracle(dy, x, axis):
    """y and dx in float64."""
    a, b = np.split(x.astype(np.float64), 2, axis)
    with np.errstate(over="ignore"):
        s = 1 / (1 + np.exp(-b))
    return a * s, np.concatenate([dy * s, dy * a * s * (1 - s)], axis)


def arguments(shape, axis, dtype):
    rng = np.random.default_rng(0)
    x = (3 * rng.standard_normal(shape)).astype(dtype)
    return rng.standard_normal(np.split(x, 2, axis)[0].shape).astype(dtype), x


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize(("shape", "axis"), CASES)
def test_equals_the_oracle(isa, shape, axis, dtype):
    dy, x = arguments(shape, axis, dtype)
    results = ops.glu_forward(x, axis), ops.glu_backward(dy, x, axis)
    for actual, expected in zip(results, oracle(dy, x, axis), strict=True):
        assert actual.dtype == dtype
        assert actual.shape == expected.shape
        tolerance = 16 * np.finfo(dtype).eps
        assert_allclose(actual, expected, rtol=tolerance, atol=tolerance)


def test_special_values(isa):
    inf, nan = np.inf, np.nan
    x = np.array([[1, nan, 1, 2, 2, -inf, 0], [nan, 0, inf, -inf, 1000, 0, -1000]], np.float32)
    assert_array_equal(ops.glu_forward(x, 0), [[nan, nan, 1, 0, 2, -inf, 0]])
    dx = ops.glu_backward(np.ones((1, 7), np.float32), x, 0)
    assert_array_equal(dx, [[nan, 0.5, 1, 0, 1, 0.5, 0], [nan, nan, 0, 0, 0, -inf, 0]])


@pytest.mark.parametrize(("shape", "axis"), [((5000, 10), 1), ((30000,), 0), ((3, 2, 100, 101), 1)])
def test_same_bits_on_any_number_of_threads(isa, shape, axis):
    dy, x = arguments(shape, axis, np.float32)
    before, results = ops.get_num_threads(), set()
    try:
        for threads in (1, 2, 3):
            ops.set_num_threads(threads)
            results.add(ops.glu_forward(x, axis).tobytes() + ops.glu_backward(dy, x, axis).tobytes())
    finally:
        ops.set_num_threads(before)
    assert len(results) == 1


def test_memory_layouts():
    dy, x = arguments((2, 6, 4, 5), 1, np.float32)
    y, dx = ops.glu_forward(x, 1), ops.glu_backward(dy, x, 1)
    for a in (y, dx):
        assert a.transpose(0, 2, 3, 1).flags.c_contiguous
    assert_array_equal(ops.glu_forward(ops.to_channels_last(x), 1), y)
    assert_array_equal(ops.glu_backward(ops.to_channels_last(dy), x, 1), dx)
    assert_array_equal(ops.glu_forward(x[::-1, :, ::2], 1), y[::-1, :, ::2])
    assert_array_equal(ops.glu_backward(dy[::-1], x[::-1], -3), dx[::-1])


def test_equals_pytorch():
    torch = pytest.importorskip("torch")
    for shape, dim in CASES:
        dy, x = arguments(shape, dim, np.float64)
        t, p = fastnn.tensor(x, requires_grad=True), torch.tensor(x, requires_grad=True)
        y, expected = F.glu(t, dim), torch.nn.functional.glu(p, dim)
        assert_allclose(y.detach().numpy(), expected.detach().numpy(), rtol=1e-14)
        y.backward(dy)
        expected.backward(torch.tensor(dy))
        assert_allclose(t.grad.numpy(), p.grad.numpy(), rtol=1e-13, atol=1e-15)


def test_gradients():
    x = fastnn.tensor(np.random.default_rng(1).standard_normal((3, 4, 2, 2)), requires_grad=True)
    for dim in (1, -1):
        assert fastnn.gradcheck(lambda t, dim=dim: F.glu(t, dim), x)


def test_errors():
    with pytest.raises(ValueError, match=r"glu: x has shape \(2, 3\); expected an even size along dim -1"):
        F.glu(fastnn.ones(2, 3))
    with pytest.raises(IndexError, match=r"glu: dimension 2 is out of range for a tensor of 2 dimensions"):
        F.glu(fastnn.ones(2, 4), 2)
    x = np.ones((2, 4), np.float32)
    with pytest.raises(IndexError, match=r"glu_forward: axis is 2; expected -2 to 1 for x of shape \(2, 4\)"):
        ops.glu_forward(x, 2)
    with pytest.raises(ValueError, match=r"glu_forward: x has shape \(2, 3\); expected an even size along axis 1"):
        ops.glu_forward(x[:, :3])
    with pytest.raises(TypeError, match="glu_forward: x has dtype int64"):
        ops.glu_forward(np.ones((2, 4), int))
    with pytest.raises(ValueError, match=r"glu_backward: dy has shape \(2, 4\); expected \(2, 2\)"):
        ops.glu_backward(x, x)
    with pytest.raises(TypeError, match="glu_backward: dy has dtype float64"):
        ops.glu_backward(np.ones((2, 2)), x)
