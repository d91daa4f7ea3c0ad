"""Losses of class scores: kernels against the oracle, gradients, errors, and the same as PyTorch."""

import re

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

import fastnn
import reference as ref
from fastnn import functional as F
from fastnn import nn, ops

DTYPES = [np.float32, np.float64]
REDUCTIONS = ["mean", "sum", "none"]
ROWS = 37  # two times 16 side by side, and a rest


def problem(N, C, dtype=np.float32, ignored=False, seed=0):
    rng = np.random.default_rng(seed)
    labels = rng.integers(0, C, N)
    if ignored:
        labels[rng.random(N) < 0.4] = -100
    return 5 * rng.standard_normal((N, C)).astype(dtype), labels


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("C", [1, 2, 3, 4, 7, 8, 9, 10, 15, 16, 17, 32, 33, 1000])
def test_kernel_equals_the_oracle(isa, C, dtype):
    x, labels = problem(ROWS, C, dtype, ignored=True)
    dloss = np.random.default_rng(1).standard_normal(ROWS).astype(dtype)
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
    message = rf"target\[4\] is {label}, out of range for 3 classes"
    with pytest.raises(IndexError, match=f"softmax_cross_entropy_forward: {message}"):
        ops.softmax_cross_entropy_forward(x, labels, 5)
    with pytest.raises(IndexError, match=f"softmax_cross_entropy_backward: {message}"):
        ops.softmax_cross_entropy_backward(x[:, 0], x, labels, 5)
    with pytest.raises(IndexError, match=message):
        F.cross_entropy(fastnn.tensor(x), labels, ignore_index=5)
    with pytest.raises(IndexError, match=r"target\[0\] is 0, out of range for 0 classes"):
        ops.softmax_cross_entropy_forward(x[:, :0], np.zeros(6, np.int64))


def test_kernel_errors_say_what_is_wrong():
    x, labels = problem(4, 3)
    forward, backward = ops.softmax_cross_entropy_forward, ops.softmax_cross_entropy_backward
    with pytest.raises(ValueError, match=r"softmax_cross_entropy_forward: x has shape \(4,\); expected 2 dimensions"):
        forward(x[:, 0], labels)
    with pytest.raises(TypeError, match="target has dtype float64, x has float32"):
        forward(x, labels.astype(np.float64))
    with pytest.raises(TypeError, match="target has dtype uint64; expected int64"):
        forward(x, labels.astype(np.uint64))
    with pytest.raises(ValueError, match=r"target has shape \(3,\); expected \(4,\)"):
        forward(x, labels[:3])
    with pytest.raises(ValueError, match=r"dloss has shape \(3,\); expected \(4,\)"):
        backward(x[:3, 0], x, labels)
    with pytest.raises(TypeError, match="dloss has dtype float64, log_probabilities has float32"):
        backward(np.ones(4), x, labels)
    with pytest.raises(ValueError, match=r"weight has shape \(4,\); expected \(3,\)"):
        forward(x, labels, weight=x[:, 0])
    with pytest.raises(ValueError, match="softmax_cross_entropy_backward: label_smoothing is -1; expected 0 to 1"):
        backward(x[:, 0], x, labels, label_smoothing=-1)


def test_cross_entropy_errors_say_what_is_wrong():
    x, labels = problem(4, 3)
    t = fastnn.tensor(x)
    with pytest.raises(ValueError, match=r"target has shape \(3,\); expected \(4,\) for x of shape \(4, 3\)"):
        F.cross_entropy(t, labels[:3])
    with pytest.raises(
        ValueError, match=r"target has dtype float32 and shape \(4,\); expected int64 .* shape \(4, 3\)"
    ):
        F.cross_entropy(t, labels.astype(np.float32))
    with pytest.raises(TypeError, match="cross_entropy: target has dtype float64; expected that of x, float32"):
        F.cross_entropy(t, np.ones((4, 3)))
    with pytest.raises(ValueError, match=r"weight has shape \(4,\); expected one for each class, \(3,\)"):
        F.cross_entropy(t, labels, np.ones(4, np.float32))
    with pytest.raises(TypeError, match="weight has dtype float64; expected that of x, float32"):
        F.cross_entropy(t, labels, np.ones(3))
    with pytest.raises(ValueError, match=r"label_smoothing is 1\.5; expected a number from 0 to 1"):
        F.cross_entropy(t, labels, label_smoothing=1.5)
    with pytest.raises(ValueError, match="ignore_index is 2, and target holds probabilities"):
        F.cross_entropy(t, x, ignore_index=2)
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


# Weights, label smoothing, probabilities ----------------------------------------------------------

AIMS = [(soft, weighted, smoothing) for soft in (False, True) for weighted in (False, True) for smoothing in (0.0, 0.2)]
by_aim = pytest.mark.parametrize(("soft", "weighted", "smoothing"), AIMS)


def aim(N, C, soft, weighted, dtype, seed=3):
    """A target, and weights or None."""
    rng = np.random.default_rng(seed)
    labels = rng.integers(0, C, N)
    labels[1::3] = -100
    target = rng.dirichlet(np.ones(C), N).astype(dtype) if soft else labels
    return target, rng.uniform(0.1, 2, C).astype(dtype) if weighted else None


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("C", [1, 3, 4, 7, 8, 9, 16, 17, 33, 70, 150])
@by_aim
def test_kernel_equals_the_oracle_for_every_aim(isa, soft, weighted, smoothing, C, dtype):
    x, _ = problem(ROWS, C, dtype)
    target, weight = aim(ROWS, C, soft, weighted, dtype)
    dloss = np.random.default_rng(1).standard_normal(ROWS).astype(dtype)
    options = {"weight": weight, "label_smoothing": smoothing}
    loss, y = ops.softmax_cross_entropy_forward(x, target, **options)
    eps = float(np.finfo(dtype).eps)
    expected = ref.softmax_cross_entropy_forward(x, target, reduction="none", **options)
    np.testing.assert_allclose(loss, expected, rtol=32 * eps, atol=32 * eps)
    np.testing.assert_allclose(y, ref.log_softmax_forward(x), rtol=16 * eps, atol=16 * eps)
    dx = ops.softmax_cross_entropy_backward(dloss, y, target, **options)
    expected = ref.softmax_cross_entropy_backward(dloss, x, target, reduction="none", **options)
    np.testing.assert_allclose(dx, expected, rtol=200 * eps, atol=32 * eps)


@by_aim
def test_same_bits_on_any_number_of_threads_for_every_aim(isa, soft, weighted, smoothing):
    x, _ = problem(20_000, 10)
    target, weight = aim(20_000, 10, soft, weighted, np.float32)
    before, results = ops.get_num_threads(), []
    try:
        for threads in (1, 3):
            ops.set_num_threads(threads)
            loss, y = ops.softmax_cross_entropy_forward(x, target, weight=weight, label_smoothing=smoothing)
            dx = ops.softmax_cross_entropy_backward(loss, y, target, weight=weight, label_smoothing=smoothing)
            results.append((loss.tobytes(), dx.tobytes()))
    finally:
        ops.set_num_threads(before)
    assert results[0] == results[1]


def test_no_class_without_weight_counts():
    x, labels = problem(5, 3, np.float64)
    loss = F.cross_entropy(fastnn.tensor(x), labels, np.zeros(3))
    assert np.isnan(loss.item())
    assert F.cross_entropy(fastnn.tensor(x), labels, [0.0, 0.0, 0.0], reduction="sum").item() == 0


@pytest.mark.parametrize("reduction", REDUCTIONS)
@by_aim
@pytest.mark.parametrize("shape", [(5,), (4, 5), (4, 5, 3), (2, 5, 3, 4), (2, 5, 1, 2, 3), (0, 5)])
def test_cross_entropy_equals_pytorch_for_every_aim(shape, soft, weighted, smoothing, reduction):
    torch = pytest.importorskip("torch")
    rng = np.random.default_rng(4)
    x = 3 * rng.standard_normal(shape)
    samples = shape[:1] + shape[2:] if len(shape) > 1 else ()
    target = rng.integers(0, 5, samples)
    if target.size > 1:
        target.flat[1] = 3
    ignore_index = -100 if soft else 3
    if soft:
        target = np.moveaxis(rng.dirichlet(np.ones(5), samples), -1, min(1, len(samples)))
    weight = rng.uniform(0.1, 2, 5) if weighted else None
    t, p = fastnn.tensor(x, requires_grad=True), torch.tensor(x, requires_grad=True)
    aims = fastnn.tensor(target, requires_grad=soft), torch.tensor(target, requires_grad=soft)
    options = {"ignore_index": ignore_index, "reduction": reduction, "label_smoothing": smoothing}
    loss = F.cross_entropy(t, aims[0], weight, **options)
    theirs = torch.nn.functional.cross_entropy(p, aims[1], None if weight is None else torch.tensor(weight), **options)
    assert loss.shape == theirs.shape
    np.testing.assert_allclose(loss.detach().numpy(), theirs.detach().numpy(), rtol=1e-12, atol=1e-13)
    dy = rng.standard_normal(loss.shape)
    loss.backward(dy)
    theirs.backward(torch.tensor(dy))
    np.testing.assert_allclose(t.grad.data, p.grad.numpy(), rtol=1e-11, atol=1e-13)
    if soft:
        np.testing.assert_allclose(aims[0].grad.data, aims[1].grad.numpy(), rtol=1e-12, atol=1e-13)


@by_aim
def test_gradcheck_of_every_aim(soft, weighted, smoothing):
    x, _ = problem(3, 4, np.float64)
    target, weight = aim(3, 4, soft, weighted, np.float64)
    inputs = [fastnn.tensor(x, requires_grad=True)]
    if soft:
        inputs.append(fastnn.tensor(target, requires_grad=True))

    def loss(x, target=target):
        return F.cross_entropy(x, target, weight, label_smoothing=smoothing)

    assert fastnn.gradcheck(loss, inputs)


# Further losses -----------------------------------------------------------------------------------


@pytest.mark.parametrize("reduction", REDUCTIONS)
@pytest.mark.parametrize("weighted", [False, True])
@pytest.mark.parametrize("shape", [(5,), (4, 5), (4, 5, 3), (2, 5, 3, 4), (0, 5)])
def test_nll_loss_equals_pytorch(shape, weighted, reduction):
    torch = pytest.importorskip("torch")
    rng = np.random.default_rng(4)
    x = -rng.random(shape)
    target = rng.integers(0, 5, shape[:1] + shape[2:] if len(shape) > 1 else ())
    if target.size > 1:
        target.flat[1] = 4
    weight = rng.random(5) if weighted else None
    t, p = fastnn.tensor(x, requires_grad=True), torch.tensor(x, requires_grad=True)
    loss = F.nll_loss(t, target, weight, ignore_index=4, reduction=reduction)
    theirs = torch.nn.functional.nll_loss(
        p, torch.tensor(target), None if weight is None else torch.tensor(weight), ignore_index=4, reduction=reduction
    )
    np.testing.assert_allclose(loss.detach().numpy(), theirs.detach().numpy(), rtol=1e-13, strict=True)
    dy = rng.standard_normal(loss.shape)
    loss.backward(dy)
    theirs.backward(torch.tensor(dy))
    np.testing.assert_allclose(t.grad.data, p.grad.numpy(), rtol=1e-13, strict=True)


@pytest.mark.parametrize("shape", [(4, 5), (4, 5, 3)])
def test_nll_loss_of_log_softmax_is_cross_entropy(shape):
    x = fastnn.tensor(np.random.default_rng(0).standard_normal(shape))
    target = np.random.default_rng(1).integers(0, 5, shape[:1] + shape[2:])
    assert F.nll_loss(F.log_softmax(x, dim=1), target).item() == pytest.approx(F.cross_entropy(x, target).item())


@pytest.mark.parametrize("reduction", REDUCTIONS)
@pytest.mark.parametrize("weighted", [False, True])
@pytest.mark.parametrize(("p", "margin"), [(1, 1.0), (2, 1.0), (1, 0.2), (2, -0.5)])
@pytest.mark.parametrize("shape", [(4, 5), (5,), (3, 1)])
def test_multi_margin_loss_equals_pytorch(shape, p, margin, weighted, reduction):
    torch = pytest.importorskip("torch")
    rng = np.random.default_rng(4)
    x, target = rng.standard_normal(shape), rng.integers(0, shape[-1], shape[:-1])
    weight = rng.random(shape[-1]) if weighted else None
    ours, theirs = fastnn.tensor(x, requires_grad=True), torch.tensor(x, requires_grad=True)
    loss = F.multi_margin_loss(ours, target, p, margin, weight, reduction=reduction)
    expected = torch.nn.functional.multi_margin_loss(
        theirs, torch.tensor(target), p, margin, None if weight is None else torch.tensor(weight), reduction=reduction
    )
    np.testing.assert_allclose(loss.detach().numpy(), expected.detach().numpy(), rtol=1e-13, strict=True)
    dy = rng.standard_normal(loss.shape)
    loss.backward(dy)
    expected.backward(torch.tensor(dy))
    np.testing.assert_allclose(ours.grad.data, theirs.grad.numpy(), rtol=1e-12, atol=1e-15)


@pytest.mark.parametrize("reduction", REDUCTIONS)
@pytest.mark.parametrize("shape", [(4, 5), (5,)])
def test_multilabel_losses_equal_pytorch(shape, reduction):
    torch = pytest.importorskip("torch")
    rng = np.random.default_rng(4)
    x, binary, weight = rng.standard_normal(shape), rng.integers(0, 2, shape), rng.random(5)
    classes = np.array([[3, 1, -1, 2, 2], [-1, 0, 1, 2, 3], [0, 1, 2, 3, 4], [2, 2, 0, -1, 4]])
    cases = [
        ("multilabel_margin_loss", classes[: len(x)] if x.ndim == 2 else classes[0], {}),
        ("multilabel_soft_margin_loss", binary.astype(float), {}),
        ("multilabel_soft_margin_loss", binary.astype(float), {"weight": weight}),
    ]
    for name, target, weights in cases:
        ours, theirs = fastnn.tensor(x, requires_grad=True), torch.tensor(x, requires_grad=True)
        loss = getattr(F, name)(ours, target, **weights, reduction=reduction)
        weights = {key: torch.tensor(w) for key, w in weights.items()}
        expected = getattr(torch.nn.functional, name)(theirs, torch.tensor(target), **weights, reduction=reduction)
        np.testing.assert_allclose(loss.detach().numpy(), expected.detach().numpy(), rtol=1e-12, strict=True)
        dy = rng.standard_normal(loss.shape)
        loss.backward(dy)
        expected.backward(torch.tensor(dy))
        np.testing.assert_allclose(ours.grad.data, theirs.grad.numpy(), rtol=1e-12, atol=1e-15)


def test_errors_of_the_further_losses_say_what_is_wrong():
    x, labels = problem(4, 3, np.float64)
    t = fastnn.tensor(x)
    with pytest.raises(IndexError, match=r"nll_loss: target\[2\] is 3, out of range for 3 classes"):
        F.nll_loss(t, [0, 1, 3, 2])
    with pytest.raises(TypeError, match="nll_loss: target has dtype float64; expected int64 class indices"):
        F.nll_loss(t, x)
    with pytest.raises(IndexError, match=r"multi_margin_loss: target\[0\] is -1, out of range for 3 classes"):
        F.multi_margin_loss(t, [-1, 1, 0, 2])
    with pytest.raises(ValueError, match="multi_margin_loss: p is 3; expected 1 or 2"):
        F.multi_margin_loss(t, labels, p=3)
    with pytest.raises(ValueError, match=r"multi_margin_loss: x has shape \(4, 3, 1\); expected \(N, C\) or \(C,\)"):
        F.multi_margin_loss(t.unsqueeze(2), labels)
    with pytest.raises(ValueError, match=r"multi_margin_loss: target has shape \(4,\); expected \(3,\)"):
        F.multi_margin_loss(t[:3], labels)
    with pytest.raises(IndexError, match=r"multilabel_margin_loss: target\[1\] is 3, out of range"):
        F.multilabel_margin_loss(t[0], [0, 3, -1])
    with pytest.raises(ValueError, match=r"multilabel_soft_margin_loss: target has shape \(3,\); expected that of x"):
        F.multilabel_soft_margin_loss(t, [0, 1, 1])


@pytest.mark.parametrize("target", [None, "abc", [[1], [2, 3]]])
@pytest.mark.parametrize(
    "name", ["cross_entropy", "nll_loss", "multi_margin_loss", "mse_loss", "kl_div", "hinge_embedding_loss"]
)
def test_what_makes_no_target_is_named(name, target):
    with pytest.raises(TypeError, match=f"{name}: target is {re.escape(repr(target))}; expected a tensor"):
        getattr(F, name)(fastnn.ones(2, 3), target)


@pytest.mark.parametrize(
    ("make", "error", "message"),
    [
        (lambda: nn.MultiMarginLoss(p=3), ValueError, "MultiMarginLoss: p is 3; expected 1 or 2"),
        (lambda: nn.HuberLoss(delta="x"), TypeError, "HuberLoss: delta is 'x'; expected a number"),
        (lambda: nn.TripletMarginLoss(margin=None), TypeError, "TripletMarginLoss: margin is None; expected a number"),
        (lambda: nn.NLLLoss(weight="x"), TypeError, "NLLLoss: weight is 'x'; expected a tensor"),
        (lambda: nn.BCELoss(weight={}), TypeError, "BCELoss: weight is {}; expected a tensor"),
        (lambda: nn.BCEWithLogitsLoss(pos_weight="x"), TypeError, "BCEWithLogitsLoss: pos_weight is 'x'; expected a"),
    ],
)
def test_layers_refuse_what_their_functions_would(make, error, message):
    with pytest.raises(error, match=f"^{re.escape(message)}"):
        make()


@pytest.mark.parametrize("name", ["cross_entropy", "nll_loss"])
def test_an_ignore_index_that_is_no_integer_is_named(name):
    with pytest.raises(TypeError, match=rf"{name}: ignore_index is 1\.5; expected an int"):
        getattr(F, name)(fastnn.ones(2, 3), [0, 1], ignore_index=1.5)


def test_layers_pass_their_options_on():
    x, labels = problem(4, 3, np.float64)
    t, weight = fastnn.tensor(x), np.array([1.0, 2.0, 3.0])
    options = {"ignore_index": 1, "reduction": "sum", "label_smoothing": 0.1}
    layer = nn.CrossEntropyLoss(weight, **options)
    assert layer(t, labels).item() == F.cross_entropy(t, labels, weight, **options).item()
    assert list(layer.state_dict()) == ["weight"]
    assert list(nn.CrossEntropyLoss().state_dict()) == []
    options = {"ignore_index": 1, "reduction": "none"}
    np.testing.assert_array_equal(
        nn.NLLLoss(weight, **options)(t, labels).data, F.nll_loss(t, labels, weight, **options).data
    )
    layer = nn.MultiMarginLoss(2, 0.5, weight, reduction="sum")
    assert layer(t, labels).item() == F.multi_margin_loss(t, labels, 2, 0.5, weight, reduction="sum").item()
    binary = (x > 0).astype(float)
    layer = nn.MultiLabelSoftMarginLoss(weight, reduction="sum")
    assert layer(t, binary).item() == F.multilabel_soft_margin_loss(t, binary, weight, reduction="sum").item()
    classes = [[0, -1, 2], [1, 0, -1], [-1, 0, 0], [2, 1, 0]]
    assert nn.MultiLabelMarginLoss()(t, classes).item() == F.multilabel_margin_loss(t, classes).item()
    with pytest.raises(ValueError, match="NLLLoss: reduction is 'batchmean'"):
        nn.NLLLoss(reduction="batchmean")
