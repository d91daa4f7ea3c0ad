"""clip_grad_norm_ and clip_grad_value_: definitions, PyTorch, and values that are not finite."""

import math

import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal

import fastnn
from fastnn.nn.utils import clip_grad_norm_, clip_grad_value_

SHAPES = [(3,), (4, 5), (), (0, 2), (2, 3, 2)]


def parameters(dtype=np.float32, scale=1.0):
    """Tensors with gradients, and one that has none."""
    rng = np.random.default_rng(0)
    tensors = [fastnn.zeros(shape, dtype=dtype, requires_grad=True) for shape in SHAPES]
    for t in tensors:
        t.grad = fastnn.tensor(np.asarray(rng.standard_normal(t.shape) * scale, dtype))
    return [tensors[0], fastnn.zeros(7, requires_grad=True), *tensors[1:]]


def flat(tensors):
    return np.concatenate([t.grad.numpy().ravel() for t in tensors if t.grad is not None])


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("norm_type", [1, 2, 2.5, math.inf])
@pytest.mark.parametrize("max_norm", [0, 0.1, 3, 1e9])
def test_the_norm_becomes_max_norm(dtype, norm_type, max_norm):
    tensors = parameters(dtype)
    before = flat(tensors)
    arrays = [t.grad.data for t in tensors if t.grad is not None]
    norm = clip_grad_norm_(tensors, max_norm, norm_type)
    assert norm.shape == ()
    assert norm.dtype == dtype
    expected = np.linalg.norm(before.astype(np.float64), norm_type)
    assert norm.item() == pytest.approx(expected, rel=1e-6)
    factor = min(1, max_norm / (expected + 1e-6))
    assert_allclose(flat(tensors), before * factor, rtol=1e-6)
    assert factor < 1 or flat(tensors).tobytes() == before.tobytes()
    assert all(t.grad.data is a for t, a in zip((t for t in tensors if t.grad is not None), arrays, strict=True))


@pytest.mark.parametrize("norm_type", [1.0, 2.0, 3.0, math.inf])
@pytest.mark.parametrize("special", [None, np.inf, -np.inf, np.nan])
@pytest.mark.parametrize("max_norm", [0.5, 1e9])
def test_equals_pytorch(norm_type, special, max_norm):
    torch = pytest.importorskip("torch")
    ours = [t for t in parameters() if t.numel()]  # PyTorch refuses the maximum of no elements
    if special is not None:
        ours[2].grad.data[1, 2] = special
    theirs = []
    for t in ours:
        theirs.append(torch.zeros(t.shape, requires_grad=True))
        theirs[-1].grad = None if t.grad is None else torch.tensor(t.grad.numpy())
    expected = torch.nn.utils.clip_grad_norm_(theirs, max_norm, norm_type)
    assert_allclose(clip_grad_norm_(ours, max_norm, norm_type).item(), expected.item(), rtol=1e-6)
    assert_allclose(flat(ours), flat([t for t in theirs if t.grad is not None]), rtol=2e-6)
    torch.nn.utils.clip_grad_value_(theirs, 0.1)
    assert clip_grad_value_(ours, 0.1) is None
    assert_allclose(flat(ours), flat([t for t in theirs if t.grad is not None]), rtol=2e-6)


@pytest.mark.parametrize("value", [1e30, 1e-30])
def test_squares_beyond_float32(value):
    w = fastnn.zeros(4, requires_grad=True)
    w.grad = fastnn.full((4,), value)
    assert clip_grad_norm_(w, 1.0).item() == pytest.approx(2 * value)
    assert_allclose(w.grad.numpy(), np.full(4, min(value, 0.5)), rtol=1e-6)


@pytest.mark.parametrize("special", [np.inf, np.nan])
def test_error_if_nonfinite(special):
    tensors = parameters()
    tensors[0].grad.data[0] = special
    before = flat(tensors)
    with pytest.raises(RuntimeError, match=f"the total norm of order 2.0 is {special}; expected a finite number"):
        clip_grad_norm_(iter(tensors), 1.0, error_if_nonfinite=True)
    assert_array_equal(flat(tensors), before)
    tensors = parameters()
    clip_grad_norm_(tensors, 1.0, error_if_nonfinite=True)
    assert np.linalg.norm(flat(tensors)) == pytest.approx(1, rel=1e-5)


def test_clip_value():
    tensors = parameters(scale=3)
    before = flat(tensors)
    clip_grad_value_(iter(tensors), 0.7)
    assert_array_equal(flat(tensors), np.clip(before, np.float32(-0.7), np.float32(0.7)))
    w = fastnn.zeros(2, requires_grad=True)
    w.grad = fastnn.tensor([np.nan, -np.inf])
    clip_grad_value_(w, 1)
    assert_array_equal(w.grad.numpy(), [np.nan, -1])


def test_nothing_to_clip():
    assert clip_grad_norm_([], 1.0).item() == 0
    assert clip_grad_norm_(fastnn.zeros(3, requires_grad=True), 1.0).item() == 0
    clip_grad_value_([], 1.0)


@pytest.mark.parametrize(
    ("call", "error", "message"),
    [
        (lambda: clip_grad_norm_([np.ones(2)], 1), TypeError, r"clip_grad_norm_: parameters\[0\] is ndarray; expected"),
        (lambda: clip_grad_norm_([], "1"), TypeError, "clip_grad_norm_: max_norm is '1'; expected a number"),
        (lambda: clip_grad_norm_([], 1, None), TypeError, "clip_grad_norm_: norm_type is None; expected a number"),
        (lambda: clip_grad_norm_([], 1, 0), ValueError, "clip_grad_norm_: norm_type is 0; expected a number above 0"),
        (lambda: clip_grad_norm_(3, 1), TypeError, "clip_grad_norm_: parameters is int; expected a Tensor or several"),
        (lambda: clip_grad_norm_([], -1), ValueError, "clip_grad_norm_: max_norm is -1; expected at least 0"),
        (lambda: clip_grad_norm_([], math.nan), ValueError, "clip_grad_norm_: max_norm is nan"),
        (lambda: clip_grad_value_([], -1), ValueError, "clip_grad_value_: clip_value is -1; expected at least 0"),
        (lambda: clip_grad_value_([1.0], 1), TypeError, r"clip_grad_value_: parameters\[0\] is float; expected"),
        (lambda: clip_grad_value_([], "1"), TypeError, "clip_grad_value_: clip_value is '1'; expected a number"),
    ],
)
def test_errors(call, error, message):
    with pytest.raises(error, match=message):
        call()
