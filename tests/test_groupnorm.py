"""GroupNorm and InstanceNorm: kernels against the oracle, and the functions and the layers against PyTorch."""

import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal

import fastnn
import reference_normalization as ref
from fastnn import functional as F
from fastnn import nn, ops

DTYPES = [np.float32, np.float64]
TOLERANCE = {np.float32: 1e-5, np.float64: 1e-12}


@pytest.fixture
def rng():
    return np.random.default_rng(0)


def close(actual, expected, inv_std=0.0):
    """Up to the rounding of sums, in terms of the largest value; 1 / std magnifies that of x - mean."""
    assert actual.shape == expected.shape
    largest = np.max(np.abs(expected), initial=1.0)
    factor = largest * max(1.0, np.max(inv_std, initial=0.0))
    assert_allclose(actual, expected, rtol=0, atol=TOLERANCE[actual.dtype.type] * factor)


def check(rng, shape, groups, dtype, with_weight=True, with_bias=True):
    x, dy = (rng.standard_normal((2, *shape)) * 2 + 1).astype(dtype)
    w, b = rng.standard_normal((2, shape[1])).astype(dtype)
    w, b = w if with_weight else None, b if with_bias else None
    y, mean, inv_std = ops.group_norm_forward(x, groups, w, b)
    assert y.dtype == mean.dtype == inv_std.dtype == dtype
    assert mean.shape == inv_std.shape == (shape[0], groups)
    close(y, ref.group_norm_forward(x, groups, w, b), inv_std)
    got = ops.group_norm_backward(dy, x, mean, inv_std, groups, w, with_bias)
    expected = ref.group_norm_backward(dy, x, groups, w)
    for wanted, a, e in zip((True, with_weight, with_bias), got, expected, strict=True):
        assert wanted or a is None
        if wanted:
            close(a, e, inv_std)


# Kernels against the oracle -----------------------------------------------------------------------


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("channels_of_group", [1, 2, 3, 8])
@pytest.mark.parametrize("groups", [1, 2, 5, 16])
def test_groups(isa, rng, groups, channels_of_group, dtype):
    C = groups * channels_of_group
    if C > 1:
        check(rng, (3, C), groups, dtype)
    check(rng, (2, C, 3, 7), groups, dtype)
    check(rng, (9, C, 1, 2), groups, dtype)


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize(("shape", "groups"), [((2, 40, 37, 31), 8), ((1, 6, 150, 140), 3), ((3, 600, 9, 11), 600)])
def test_many_pixels(isa, rng, shape, groups, dtype):
    check(rng, shape, groups, dtype)


@pytest.mark.parametrize("with_bias", [False, True])
@pytest.mark.parametrize("with_weight", [False, True])
def test_parameters(isa, rng, with_weight, with_bias):
    check(rng, (3, 6, 4, 5), 3, np.float32, with_weight, with_bias)


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("shape", [(5, 40, 37, 31), (2, 64, 120, 130), (40, 24, 5, 5)])
def test_same_bits_on_any_number_of_threads(isa, rng, shape, dtype):
    x, dy = rng.standard_normal((2, *shape)).astype(dtype)
    w, b = rng.standard_normal((2, shape[1])).astype(dtype)
    before, results = ops.get_num_threads(), set()
    try:
        for threads in (1, 2, 3):
            ops.set_num_threads(threads)
            y, mean, inv_std = ops.group_norm_forward(x, 4, w, b)
            gradients = ops.group_norm_backward(dy, x, mean, inv_std, 4, w)
            results.add(tuple(a.tobytes() for a in (y, mean, inv_std, *gradients)))
    finally:
        ops.set_num_threads(before)
    assert len(results) == 1


def test_any_strides(rng):
    x, dy = rng.standard_normal((2, 5, 4, 8, 6)).transpose(0, 4, 3, 1, 2)[:, :, ::-2, ::2]
    y, mean, inv_std = ops.group_norm_forward(x, 2)
    assert_array_equal(y, ops.group_norm_forward(x.copy(), 2)[0])
    dx = ops.group_norm_backward(dy, x, mean, inv_std, 2)[0]
    assert_array_equal(dx, ops.group_norm_backward(dy.copy(), x.copy(), mean, inv_std, 2)[0])
    inside = ops.to_channels_last(x)
    assert y.strides == dx.strides == ops.group_norm_forward(inside, 2)[0].strides == inside.strides


@pytest.mark.parametrize("size", [5, 70, 300])
def test_variance_far_from_zero(isa, rng, size):
    x = (1e4 + rng.standard_normal((2, 6, size, size))).astype(np.float32)
    _, mean, inv_std = ops.group_norm_forward(x, 2)
    groups = x.astype(np.float64).reshape(2, 2, -1)
    assert_allclose(mean, groups.mean(2), rtol=6e-8)
    assert_allclose(inv_std, 1 / np.sqrt(groups.var(2) + 1e-5), rtol=1e-6)


def test_variance_of_channels_far_apart(isa, rng):
    x = (np.array([0, 1e4, -3e4, 5])[:, None, None] + rng.standard_normal((2, 4, 9, 9))).astype(np.float32)
    inv_std = ops.group_norm_forward(x, 1)[2]
    assert_allclose(inv_std[:, 0], x.astype(np.float64).reshape(2, -1).std(1) ** -1, rtol=1e-6)


def test_nan_stays_in_its_group(isa, rng):
    x = rng.standard_normal((2, 6, 4, 5)).astype(np.float32)
    x[1, 3, 2, 2] = np.nan
    y = ops.group_norm_forward(x, 3)[0]
    ill = np.zeros(x.shape, bool)
    ill[1, 2:4] = True
    assert_array_equal(np.isnan(y), ill)


@pytest.mark.parametrize("shape", [(0, 4), (2, 4, 0, 3), (0, 4, 2, 2)])
def test_no_images_or_pixels(isa, shape):
    x, c = np.ones(shape, np.float32), np.ones(4, np.float32)
    y, mean, inv_std = ops.group_norm_forward(x, 2, c, c)
    dx, dw, db = ops.group_norm_backward(x, x, mean, inv_std, 2, c)
    assert y.shape == dx.shape == shape
    assert_array_equal([dw, db], np.zeros((2, 4)))


X, C, M = np.ones((4, 6), np.float32), np.ones(6, np.float32), np.ones((4, 3), np.float32)


@pytest.mark.parametrize(
    ("op", "arguments", "error", "message"),
    [
        ("forward", (C, 2), ValueError, r"x has shape \(6,\); expected \(N, C\) or \(N, C, H, W\)"),
        ("forward", (X.astype(int), 2), TypeError, "x has dtype int64; expected float32 or float64"),
        ("forward", (X, 4), ValueError, "x has 6 channels; expected a multiple of num_groups, which is 4"),
        ("forward", (X, 0), ValueError, "num_groups is 0"),
        ("forward", (X, 2.5), TypeError, "num_groups holds a float"),
        ("forward", (X, 2, C[:2]), ValueError, r"weight has shape \(2,\); expected \(6,\)"),
        ("forward", (X, 2, C, C.astype(float)), TypeError, "bias has dtype float64, x has float32"),
        ("backward", (X.T, X, M, M, 3), ValueError, r"dy has shape \(6, 4\); expected \(4, 6\)"),
        ("backward", (X, X, M.T, M, 3), ValueError, r"mean has shape \(3, 4\); expected \(4, 3\)"),
        ("backward", (X, X, M, M[0], 3), ValueError, r"inv_std has shape \(3,\); expected \(4, 3\)"),
    ],
)
def test_errors_of_the_ops(op, arguments, error, message):
    with pytest.raises(error, match=f"group_norm_{op}: {message}"):
        getattr(ops, f"group_norm_{op}")(*arguments)


# The functions ------------------------------------------------------------------------------------


@pytest.mark.parametrize("shape", [(3, 6), (2, 4, 3), (2, 4, 3, 2), (2, 4, 1, 2, 2)])
def test_gradcheck(rng, shape):
    x = fastnn.tensor(rng.standard_normal(shape), requires_grad=True)
    w, b = (fastnn.tensor(v, requires_grad=True) for v in rng.standard_normal((2, shape[1])))
    assert fastnn.gradcheck(lambda x, w, b: F.group_norm(x, 2, w, b), (x, w, b))
    assert fastnn.gradcheck(lambda x: F.group_norm(x, 2), (x,))
    if len(shape) in (3, 4):
        assert fastnn.gradcheck(lambda x, w, b: F.instance_norm(x, weight=w, bias=b), (x, w, b))
        mean, var = (fastnn.tensor(v) for v in rng.uniform(0.5, 2, (2, shape[1])))
        assert fastnn.gradcheck(lambda x, w, b: F.instance_norm(x, mean, var, w, b, False), (x, w, b))


def test_errors_of_the_functions():
    x, c = fastnn.ones(2, 4, 3), fastnn.ones(4)
    with pytest.raises(TypeError, match="group_norm: x is ndarray; expected a Tensor"):
        F.group_norm(X, 2)
    with pytest.raises(ValueError, match=r"group_norm: x has shape \(4,\); expected \(N, C, ...\)"):
        F.group_norm(c, 2)
    with pytest.raises(ValueError, match=r"group_norm: expected more than 1 value per group, x has shape \(1, 4\)"):
        F.group_norm(fastnn.ones(1, 4), 4)
    with pytest.raises(TypeError, match="instance_norm: weight is list; expected a Tensor"):
        F.instance_norm(x, weight=[1.0])
    with pytest.raises(ValueError, match=r"instance_norm: x has shape \(4, 3\); expected \(N, C, L\) or \(N, C"):
        F.instance_norm(x[0])
    with pytest.raises(ValueError, match=r"instance_norm: x has shape \(2, 3\); expected \(N, C, L\) or"):
        F.instance_norm(fastnn.ones(2, 3))
    with pytest.raises(ValueError, match="instance_norm: running_mean or running_var is None"):
        F.instance_norm(x, c, None, use_input_stats=False)
    with pytest.raises(ValueError, match=r"instance_norm: running_var has shape \(3,\); expected \(4,\)"):
        F.instance_norm(x, c, fastnn.ones(3))
    with pytest.raises(TypeError, match="instance_norm: momentum is None; expected a number"):
        F.instance_norm(x, momentum=None)
    for one in (fastnn.ones(2, 4, 1), fastnn.ones(2, 4, 1, 1)):
        with pytest.raises(ValueError, match="instance_norm: expected more than 1 spatial element when training"):
            F.instance_norm(one, c, c)
        assert F.instance_norm(one, c, c, use_input_stats=False).shape == one.shape
    assert c.tolist() == [1, 1, 1, 1]


# The layers ---------------------------------------------------------------------------------------


def equal_steps(torch, rng, ours, theirs, shapes):
    """Both layers, in training and in evaluation mode."""
    assert repr(ours) == repr(theirs)
    assert list(ours.state_dict()) == list(theirs.state_dict())
    for param in ours.parameters():
        param.data[...] = rng.standard_normal(param.shape)
    theirs.load_state_dict({k: torch.tensor(v) for k, v in ours.state_dict().items()})
    for training, shape in shapes:
        ours.train(training)
        theirs.train(training)
        x, dy = (rng.standard_normal((2, *shape)) * 3 + 5).astype(np.float32)
        t, p = fastnn.tensor(x, requires_grad=True), torch.tensor(x, requires_grad=True)
        ours.zero_grad()
        theirs.zero_grad()
        y, expected = ours(t), theirs(p)
        y.backward(dy)
        expected.backward(torch.tensor(dy))
        close(y.detach().numpy(), expected.detach().numpy())
        close(t.grad.data, p.grad.numpy(), inv_std=10.0)  # the 5 values of a group may lie close together
        for a, b in zip(ours.parameters(), theirs.parameters(), strict=True):
            close(a.grad.data, b.grad.numpy())
        for key, value in theirs.state_dict().items():
            assert ours.state_dict()[key].dtype == value.numpy().dtype
            close(ours.state_dict()[key].astype(np.float32), value.numpy().astype(np.float32))


@pytest.mark.parametrize("kwargs", [{}, {"eps": 0.3}, {"affine": False}, {"bias": False}])
@pytest.mark.parametrize("groups", [1, 3, 12])
def test_group_norm_equals_pytorch(rng, groups, kwargs):
    torch = pytest.importorskip("torch")
    layers = (module.GroupNorm(groups, 12, **kwargs) for module in (nn, torch.nn))
    shapes = [(3, 12, 5), (4, 12, 5, 3), (2, 12, 2, 3, 2)] + [(7, 12)] * (groups < 12)  # of one value dx is noise
    equal_steps(torch, rng, *layers, [(True, shape) for shape in shapes])


INSTANCE_NORMS = {
    "defaults": {},
    "affine": {"affine": True},
    "no bias": {"affine": True, "bias": False},
    "tracking": {"track_running_stats": True},
    "all": {"affine": True, "track_running_stats": True, "momentum": 0.3, "eps": 0.1},
    "no momentum": {"track_running_stats": True, "momentum": None},
}


@pytest.mark.parametrize("shape", [(3, 6, 5), (4, 6, 5, 3)])
@pytest.mark.parametrize("kwargs", INSTANCE_NORMS.values(), ids=INSTANCE_NORMS.keys())
def test_instance_norm_equals_pytorch(rng, shape, kwargs):
    torch = pytest.importorskip("torch")
    name = f"InstanceNorm{len(shape) - 2}d"
    layers = (getattr(module, name)(6, **kwargs) for module in (nn, torch.nn))
    equal_steps(torch, rng, *layers, [(training, shape) for training in (True, True, False, True, False)])
    layers = (getattr(module, name)(6, **kwargs) for module in (nn, torch.nn))
    equal_steps(torch, rng, *layers, [(training, shape[1:]) for training in (True, False)])  # without a batch


def test_an_empty_batch_leaves_the_running_statistics():
    layer = nn.InstanceNorm2d(3, track_running_stats=True)
    assert layer(fastnn.ones(0, 3, 2, 2)).shape == (0, 3, 2, 2)
    assert layer.running_mean.tolist() == [0, 0, 0]
    assert layer.running_var.tolist() == [1, 1, 1]


def test_errors_of_the_layers():
    with pytest.raises(ValueError, match="GroupNorm: num_channels is 6; expected a multiple of 4 groups"):
        nn.GroupNorm(4, 6)
    with pytest.raises(ValueError, match="GroupNorm: num_groups is 0; expected at least 1"):
        nn.GroupNorm(0, 6)
    with pytest.raises(ValueError, match=r"group_norm_forward: x has 9 channels; expected a multiple of num_groups"):
        nn.GroupNorm(2, 6)(fastnn.ones(1, 9, 2, 2))
    with pytest.raises(ValueError, match=r"group_norm_forward: weight has shape \(6,\); expected \(8,\)"):
        nn.GroupNorm(2, 6)(fastnn.ones(1, 8, 2, 2))
    with pytest.raises(ValueError, match=r"InstanceNorm2d: x has shape \(2, 3\); expected \(N, C, H, W\) or \(C"):
        nn.InstanceNorm2d(3)(fastnn.ones(2, 3))
    with pytest.raises(ValueError, match=r"InstanceNorm1d: x has shape \(2, 3, 4, 5\); expected \(N, C, L\) or \(C"):
        nn.InstanceNorm1d(3)(fastnn.ones(2, 3, 4, 5))
    with pytest.raises(ValueError, match="InstanceNorm1d: x has 4 channels; expected 3"):
        nn.InstanceNorm1d(3, affine=True)(fastnn.ones(2, 4, 5))
    with pytest.warns(UserWarning, match="InstanceNorm1d: x has 4 channels; expected 3"):
        assert nn.InstanceNorm1d(3)(fastnn.ones(2, 4, 5)).shape == (2, 4, 5)
    with pytest.raises(ValueError, match="expected more than 1 spatial element when training"):
        nn.InstanceNorm2d(3)(fastnn.ones(2, 3, 1, 1))
