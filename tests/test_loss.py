"""Cross-entropy and mean squared error: kernels against the oracle, reductions, and gradients through the tape."""

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

import fastnn
import reference as ref
from fastnn import functional as F
from fastnn import ops

DTYPES = [np.float32, np.float64]
REDUCTIONS = ["mean", "sum", "none"]


def problem(N, C, dtype=np.float32, ignored=False, seed=0):
    rng = np.random.default_rng(seed)
    labels = rng.integers(0, C, N)
    if ignored:
        labels[rng.random(N) < 0.4] = -100
    return 5 * rng.standard_normal((N, C)).astype(dtype), labels


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("C", [1, 2, 4, 7, 8, 9, 10, 15, 16, 17, 33, 1000])
def test_kernel_equals_the_oracle(isa, C, dtype):
    x, labels = problem(7, C, dtype, ignored=True)
    dloss = np.random.default_rng(1).standard_normal(7).astype(dtype)
    loss, y = ops.softmax_cross_entropy_forward(x, labels)
    tolerance = {"rtol": 16 * np.finfo(dtype).eps, "atol": 16 * np.finfo(dtype).eps}
    np.testing.assert_allclose(loss, ref.softmax_cross_entropy_forward(x, labels, reduction="none"), **tolerance)
    np.testing.assert_allclose(y, ref.log_softmax_forward(x), **tolerance)
    dx = ops.softmax_cross_entropy_backward(dloss, y, labels)
    expected = ref.softmax_cross_entropy_backward(dloss, x, labels, reduction="none")
    # exp(y) is as exact as y, whose error is that of its magnitude.
    np.testing.assert_allclose(dx, expected, rtol=200 * np.finfo(dtype).eps, atol=16 * np.finfo(dtype).eps)
    alone, none = ops.softmax_cross_entropy_forward(x, labels, return_log_probabilities=False)
    np.testing.assert_array_equal(alone, loss)
    assert none is None


@pytest.mark.parametrize("reduction", REDUCTIONS)
@settings(deadline=None, max_examples=20, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(N=st.integers(1, 9), C=st.integers(1, 20), ignored=st.booleans())
def test_cross_entropy_equals_the_oracle(isa, reduction, N, C, ignored):
    x, labels = problem(N, C, np.float64, ignored, seed=N + C)
    t = fastnn.tensor(x, requires_grad=True)
    loss = F.cross_entropy(t, labels, reduction=reduction)
    expected = ref.softmax_cross_entropy_forward(x, labels, reduction=reduction)
    np.testing.assert_allclose(loss.detach().numpy(), expected, rtol=1e-12, atol=1e-12)
    dy = np.ones(loss.shape)
    loss.backward(dy)
    dx = ref.softmax_cross_entropy_backward(dy, x, labels, reduction=reduction)
    np.testing.assert_allclose(t.grad.data, dx, rtol=1e-12, atol=1e-13)


def test_gradient_equals_finite_differences():
    x, labels = problem(4, 6, np.float64, ignored=True)
    t = fastnn.tensor(x, requires_grad=True)
    F.cross_entropy(t, labels).backward()
    numeric = ref.numeric_gradient(lambda v: F.cross_entropy(fastnn.tensor(v), labels).data, x, 1.0)
    np.testing.assert_allclose(t.grad.data, numeric, rtol=1e-6, atol=1e-8)


def test_misaligned_labels():
    # The sanitizer build sees an unaligned read.
    x, labels = problem(5, 10)
    labels = labels.astype(np.int64)
    misaligned = np.frombuffer(b" " + labels.tobytes(), np.int64, offset=1)
    assert not misaligned.flags.aligned
    expected = ops.softmax_cross_entropy_forward(x, labels)[0]
    np.testing.assert_array_equal(ops.softmax_cross_entropy_forward(x, misaligned)[0], expected)


@pytest.mark.parametrize("dtype", [np.int8, np.uint8, np.int32, np.uint32, np.int64, ">i8"])
def test_any_integer_labels(dtype):
    x, labels = problem(5, 10)
    expected = ops.softmax_cross_entropy_forward(x, labels)[0]
    np.testing.assert_array_equal(ops.softmax_cross_entropy_forward(x, labels.astype(dtype))[0], expected)
    np.testing.assert_array_equal(
        F.cross_entropy(fastnn.tensor(x), labels.astype(dtype), reduction="none").data, expected
    )


def test_any_strides(isa):
    x, labels = problem(12, 10)
    loss, y = ops.softmax_cross_entropy_forward(x[::-2, ::3], labels[::-2] % 4)
    expected_loss, expected_y = ops.softmax_cross_entropy_forward(x[::-2, ::3].copy(), labels[::-2] % 4)
    np.testing.assert_array_equal(loss, expected_loss)
    np.testing.assert_array_equal(y, expected_y)
    dx = ops.softmax_cross_entropy_backward(loss[::-1], np.asfortranarray(y), labels[::-2] % 4)
    np.testing.assert_array_equal(dx, ops.softmax_cross_entropy_backward(loss[::-1].copy(), y, labels[::-2] % 4))


def test_ignored_samples_count_for_nothing(isa):
    x, labels = problem(6, 3)
    labels[[1, 4]] = 7  # out of range, but ignored
    x[1] = np.nan
    t = fastnn.tensor(x, requires_grad=True)
    loss = F.cross_entropy(t, labels, ignore_index=7)
    kept = [0, 2, 3, 5]
    np.testing.assert_allclose(loss.item(), F.cross_entropy(fastnn.tensor(x[kept]), labels[kept]).item(), rtol=1e-6)
    loss.backward()
    np.testing.assert_array_equal(t.grad.data[[1, 4]], 0)
    assert (t.grad.data[kept] != 0).all()


def test_nothing_but_ignored_samples(isa):
    t = fastnn.tensor(np.ones((2, 3), np.float32), requires_grad=True)
    loss = F.cross_entropy(t, np.array([-100, -100]))
    assert np.isnan(loss.item())
    loss.backward()
    np.testing.assert_array_equal(t.grad.data, np.zeros((2, 3)))
    assert F.cross_entropy(t, np.array([-100, -100]), reduction="sum").item() == 0


@pytest.mark.parametrize(("N", "C"), [(0, 5), (0, 0), (2, 0)])
def test_empty(isa, N, C):
    t = fastnn.tensor(np.zeros((N, C), np.float32), requires_grad=True)
    labels = np.full(N, -100)
    loss = F.cross_entropy(t, labels)
    assert np.isnan(loss.item())
    loss.backward()
    assert t.grad.shape == (N, C)
    assert F.cross_entropy(t, labels, reduction="none").shape == (N,)


def test_infinite_and_nan_logits(isa):
    x = np.array([[0, -np.inf], [0, np.nan], [-np.inf, 0], [np.inf, 0]], np.float32)
    loss, _ = ops.softmax_cross_entropy_forward(x, np.zeros(4, np.int64))
    np.testing.assert_array_equal(loss, [0, np.nan, np.inf, np.nan])


@pytest.mark.parametrize("label", [3, -1, -100])
def test_label_out_of_range(label):
    x, labels = problem(6, 3)
    labels[4] = label
    message = rf"labels\[4\] is {label}, out of range for 3 classes"
    with pytest.raises(IndexError, match=f"softmax_cross_entropy_forward: {message}"):
        ops.softmax_cross_entropy_forward(x, labels, 5)
    with pytest.raises(IndexError, match=f"softmax_cross_entropy_backward: {message}"):
        ops.softmax_cross_entropy_backward(x[:, 0], x, labels, 5)
    with pytest.raises(IndexError, match=message):
        F.cross_entropy(fastnn.tensor(x), labels, ignore_index=5)
    with pytest.raises(IndexError, match=r"labels\[0\] is 0, out of range for 0 classes"):
        ops.softmax_cross_entropy_forward(x[:, :0], np.zeros(6, np.int64))


def test_kernel_errors_say_what_is_wrong():
    x, labels = problem(4, 3)
    forward, backward = ops.softmax_cross_entropy_forward, ops.softmax_cross_entropy_backward
    with pytest.raises(ValueError, match=r"softmax_cross_entropy_forward: x has shape \(4,\); expected 2 dimensions"):
        forward(x[:, 0], labels)
    with pytest.raises(TypeError, match="labels has dtype float32; expected int64"):
        forward(x, labels.astype(np.float32))
    with pytest.raises(TypeError, match="labels has dtype uint64; expected int64"):
        forward(x, labels.astype(np.uint64))
    with pytest.raises(ValueError, match=r"labels has shape \(3,\); expected \(4,\)"):
        forward(x, labels[:3])
    with pytest.raises(ValueError, match=r"dloss has shape \(3,\); expected \(4,\)"):
        backward(x[:3, 0], x, labels)
    with pytest.raises(TypeError, match="dloss has dtype float64, log_probabilities has float32"):
        backward(np.ones(4), x, labels)


def test_cross_entropy_errors_say_what_is_wrong():
    x, labels = problem(4, 3)
    t = fastnn.tensor(x)
    with pytest.raises(ValueError, match=r"target has shape \(3,\); expected \(4,\) for x of shape \(4, 3\)"):
        F.cross_entropy(t, labels[:3])
    with pytest.raises(TypeError, match="cross_entropy: target has dtype float32; expected int64 class indices"):
        F.cross_entropy(t, x)
    with pytest.raises(ValueError, match="cross_entropy: reduction is 'average'; expected one of"):
        F.cross_entropy(t, labels, reduction="average")
    with pytest.raises(ValueError, match=r"cross_entropy: x has shape \(\)"):
        F.cross_entropy(fastnn.tensor(1.0), 0)


def test_same_bits_on_any_number_of_threads(isa):
    x, labels = problem(20_000, 10, ignored=True)
    before, results = ops.get_num_threads(), []
    try:
        for threads in (1, 2, 3):
            ops.set_num_threads(threads)
            loss, y = ops.softmax_cross_entropy_forward(x, labels)
            results.append((loss, y, ops.softmax_cross_entropy_backward(loss, y, labels)))
    finally:
        ops.set_num_threads(before)
    for result in results[1:]:
        for a, b in zip(result, results[0], strict=True):
            np.testing.assert_array_equal(a, b)


@pytest.mark.parametrize("reduction", REDUCTIONS)
@pytest.mark.parametrize("shape", [(5,), (4, 5), (4, 5, 3), (2, 5, 3, 4), (2, 5, 1, 2, 3)])
def test_cross_entropy_equals_pytorch(isa, shape, reduction):
    torch = pytest.importorskip("torch")
    rng = np.random.default_rng(2)
    x = 3 * rng.standard_normal(shape).astype(np.float32)
    target = rng.integers(0, 5, shape[:1] + shape[2:] if len(shape) > 1 else ())
    if target.ndim:
        target.flat[1] = -100
    t, p = fastnn.tensor(x, requires_grad=True), torch.tensor(x, requires_grad=True)
    loss = F.cross_entropy(t, fastnn.tensor(target), reduction=reduction)
    expected = torch.nn.functional.cross_entropy(p, torch.tensor(target), reduction=reduction)
    assert loss.shape == expected.shape
    np.testing.assert_allclose(loss.detach().numpy(), expected.detach().numpy(), rtol=1e-5, atol=1e-6)
    dy = rng.standard_normal(loss.shape).astype(np.float32)
    loss.backward(dy)
    expected.backward(torch.tensor(dy))
    np.testing.assert_allclose(t.grad.data, p.grad.numpy(), rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("reduction", REDUCTIONS)
def test_mse_loss(reduction):
    rng = np.random.default_rng(3)
    x, target = rng.standard_normal((2, 3, 4))
    t, u = fastnn.tensor(x, requires_grad=True), fastnn.tensor(target, requires_grad=True)
    loss = F.mse_loss(t, u, reduction=reduction)
    reduce = {"mean": np.mean, "sum": np.sum, "none": np.asarray}[reduction]
    np.testing.assert_allclose(loss.detach().numpy(), reduce((x - target) ** 2), rtol=1e-14)
    dy = rng.standard_normal(loss.shape)
    loss.backward(dy)
    expected = dy * 2 * (x - target) / (12 if reduction == "mean" else 1)
    np.testing.assert_allclose(t.grad.data, expected, rtol=1e-14)
    np.testing.assert_allclose(u.grad.data, -expected, rtol=1e-14)


def test_mse_loss_errors_say_what_is_wrong():
    t = fastnn.tensor(np.ones((3, 1), np.float32))
    with pytest.raises(ValueError, match=r"mse_loss: target has shape \(3,\); expected that of x, \(3, 1\)"):
        F.mse_loss(t, np.ones(3, np.float32))
    with pytest.raises(TypeError, match="mse_loss: target has dtype float64; expected that of x, float32"):
        F.mse_loss(t, np.ones((3, 1)))
    with pytest.raises(ValueError, match="mse_loss: reduction is None"):
        F.mse_loss(t, t, reduction=None)
