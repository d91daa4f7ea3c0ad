"""BatchNorm: kernels against the oracle, and the function and the layers against PyTorch."""

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from numpy.testing import assert_allclose, assert_array_equal

import fastnn
import reference as ref
from fastnn import functional as F
from fastnn import nn, ops

DTYPES = [np.float32, np.float64]
CHANNELS = [1, 3, 4, 5, 7, 8, 9, 15, 16, 17, 33, 70]  # around 2, 4, 8 and 16 lanes, and beyond 64
MANY = (4, 40, 37, 31)  # 4588 rows: several blocks, the last one shorter
TOLERANCE = {np.float32: 3e-5, np.float64: 1e-12}
EPS = 1e-5


@pytest.fixture
def rng():
    return np.random.default_rng(0)


def close(actual, expected, factor=1.0):
    """Up to the rounding of sums over many rows, in terms of the largest value."""
    assert actual.shape == expected.shape
    largest = np.max(np.abs(expected), initial=1.0)
    assert_allclose(actual, expected, rtol=0, atol=TOLERANCE[actual.dtype.type] * largest * factor)


def statistics(x):
    """Mean and variance with divisor n: that of the running variance which follows the batch at once."""
    var, n = np.ones(x.shape[1], x.dtype), x.size // x.shape[1]
    mean, inv_std = ops.batch_norm_statistics(x, EPS, None, var, momentum=1.0)
    var = (var * ((n - 1) / n)).astype(x.dtype)
    assert_allclose(inv_std, 1 / np.sqrt(var + EPS), rtol=1e-6)
    return mean, var


def arguments(rng, shape, dtype):
    """x, mean, inv_std, weight and bias."""
    x = (rng.standard_normal(shape) * 2 + 1).astype(dtype)
    weight, bias = rng.standard_normal((2, shape[1])).astype(dtype)
    return x, *ops.batch_norm_statistics(x, EPS), weight, bias


def check(rng, shape, dtype, relu, with_residual, training=True):
    x, *params = arguments(rng, shape, dtype)
    mean, var = ref.batch_norm_statistics(x)
    close(params[0], mean)
    close(params[1], 1 / np.sqrt(var + EPS))
    residual = rng.standard_normal(shape).astype(dtype) if with_residual else None
    y = ops.batch_norm_forward(x, *params, residual, relu)
    assert y.dtype == dtype
    close(y, ref.batch_norm_forward(x, *params, residual, relu))

    dy = rng.standard_normal(shape).astype(dtype)
    given_y = y if with_residual else None
    got = ops.batch_norm_backward(dy, x, *params, given_y, training, relu, with_residual)
    expected = ref.batch_norm_backward(dy, x, *params[:3], y if relu else None, training)
    for actual, value in zip(got[: 3 + with_residual], expected, strict=False):
        close(actual, value)
    assert with_residual or got[3] is None


# Kernels against the oracle -----------------------------------------------------------------------


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("C", CHANNELS)
def test_channels(isa, rng, C, dtype):
    for rows in (2, 3, 4, 37):
        check(rng, (rows, C), dtype, relu=True, with_residual=False)
    check(rng, (2, C, 3, 7), dtype, relu=True, with_residual=True)


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("training", [False, True])
@pytest.mark.parametrize("with_residual", [False, True])
@pytest.mark.parametrize("relu", [False, True])
def test_many_rows(isa, rng, dtype, relu, with_residual, training):
    check(rng, MANY, dtype, relu, with_residual, training)


@settings(deadline=None, max_examples=25, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.data())
def test_any_strides(isa, data):
    shape = data.draw(st.sampled_from([(7, 5), (2, 3, 4, 5), (3, 17, 2, 2)]))
    order = data.draw(st.permutations(range(len(shape))))
    steps = data.draw(st.tuples(*[st.sampled_from([1, 2, -1, -2])] * len(shape)))
    rng = np.random.default_rng(1)

    def strided():
        a = rng.standard_normal([2 * shape[i] for i in order]).astype(np.float32)
        a = a.transpose(np.argsort(order))
        return a[tuple(slice(None, None, s) for s in steps)][tuple(slice(n) for n in shape)]

    x, residual, dy = strided(), strided(), strided()
    _, *params = arguments(rng, shape, np.float32)
    assert_array_equal(ops.batch_norm_statistics(x), ops.batch_norm_statistics(x.copy()))
    y = ops.batch_norm_forward(x, *params, residual, relu=True)
    assert_array_equal(y, ops.batch_norm_forward(x.copy(), *params, residual.copy(), relu=True))
    got = ops.batch_norm_backward(dy, x, *params, y, relu=True, residual=True)
    for a, b in zip(got, ops.batch_norm_backward(dy.copy(), x.copy(), *params, y, True, True, True), strict=True):
        assert_array_equal(a, b)


@pytest.mark.parametrize("dtype", DTYPES)
def test_same_bits_on_any_number_of_threads(isa, rng, dtype):
    shape = (16, 40, 37, 31)
    x, *params = arguments(rng, shape, dtype)
    residual, dy = rng.standard_normal((2, *shape)).astype(dtype)
    before, results = ops.get_num_threads(), []
    try:
        for threads in (1, 2, 3):
            ops.set_num_threads(threads)
            y = ops.batch_norm_forward(x, *params, residual, relu=True)
            backward = ops.batch_norm_backward(dy, x, *params, y, relu=True, residual=True)
            results.append([*ops.batch_norm_statistics(x), *statistics(x), y, *backward])
    finally:
        ops.set_num_threads(before)
    for result in results[1:]:
        for a, b in zip(result, results[0], strict=True):
            assert_array_equal(a, b)


def test_channels_last_memory_stays(rng):
    x, *params = arguments(rng, (2, 3, 4, 5), np.float32)
    x = ops.to_channels_last(x)
    y = ops.batch_norm_forward(x, *params)
    assert y.strides == x.strides
    assert ops.batch_norm_backward(y, x, *params)[0].strides == x.strides


# Statistics ---------------------------------------------------------------------------------------


@pytest.mark.parametrize("rows", [100, 5000, 100_000])
def test_variance_far_from_zero(isa, rng, rows):
    x = (1e4 + rng.standard_normal((rows, 5))).astype(np.float32)
    mean, var = statistics(x)
    expected_mean, expected_var = ref.batch_norm_statistics(x)
    assert_allclose(mean, expected_mean, rtol=6e-8)
    assert_allclose(var, expected_var, rtol=1e-6)


@pytest.mark.parametrize("outlier", [0, 1, 31])
def test_variance_beside_an_outlier(isa, rng, outlier):
    """Also where it is the value that the others are taken relative to."""
    x = rng.standard_normal((20_000, 3)).astype(np.float32)
    x[outlier] = 1e3
    assert_allclose(statistics(x)[1], ref.batch_norm_statistics(x)[1], rtol=2e-5)


def test_variance_of_a_drift(isa):
    x = np.linspace(-1e3, 1e3, 50_001, dtype=np.float32)[:, None]
    mean, var = statistics(x)
    assert abs(mean[0]) < 1e-3
    assert_allclose(var, ref.batch_norm_statistics(x)[1], rtol=1e-6)


@pytest.mark.parametrize("value", [0.0, 0.1, 1e4, -3e30])
def test_constant_channels_have_variance_zero(isa, value):
    x = np.full((1000, 3), value, np.float32)
    mean, var = statistics(x)
    assert_array_equal(mean, x[0])
    assert_array_equal(var, 0)


def test_nan_and_infinity_stay_in_their_channels(isa, rng):
    x = rng.standard_normal((50, 5)).astype(np.float32)
    x[7, 1], x[9, 3] = np.nan, np.inf
    mean, var = statistics(x)
    inv_std = ops.batch_norm_statistics(x)[1]
    assert_array_equal(np.isnan(inv_std), np.isnan(var))
    assert_array_equal(np.isnan(var), [False, True, False, True, False])
    assert_array_equal(np.isfinite(mean), ~np.isnan(var))
    y = ops.batch_norm_forward(x, mean, inv_std, relu=True)
    assert_array_equal(np.isnan(y), np.broadcast_to(np.isnan(var), y.shape))


def test_relu_passes_nan_and_stops_at_zero(isa):
    x = np.array([[0.0], [-1.0], [2.0], [np.nan]], np.float32)
    zero, one = np.zeros(1, np.float32), np.ones(1, np.float32)
    y = ops.batch_norm_forward(x, zero, one, relu=True)
    assert_array_equal(y, [[0], [0], [2], [np.nan]])
    dy = np.full_like(x, 3)
    for given_y in (None, y):  # calculated anew, or read
        dx = ops.batch_norm_backward(dy, x, zero, one, y=given_y, training=False, relu=True)[0]
        assert_array_equal(dx, [[0], [0], [3], [3]])


# Bindings -----------------------------------------------------------------------------------------


def test_errors_say_what_is_wrong():
    x, c = np.ones((4, 3), np.float32), np.ones(3, np.float32)
    with pytest.raises(ValueError, match=r"batch_norm_statistics: x has shape \(3,\); expected \(N, C\) or \(N, C, H"):
        ops.batch_norm_statistics(c)
    with pytest.raises(TypeError, match="batch_norm_statistics: x has dtype int64; expected float32 or float64"):
        ops.batch_norm_statistics(np.ones((4, 3), np.int64))
    with pytest.raises(ValueError, match=r"batch_norm_statistics: running_var has shape \(2,\); expected \(3,\)"):
        ops.batch_norm_statistics(x, running_var=c[:2])
    with pytest.raises(TypeError, match="batch_norm_statistics: running_mean has dtype float64; expected float32"):
        ops.batch_norm_statistics(x, running_mean=np.ones(3))
    with pytest.raises(ValueError, match=r"batch_norm_forward: mean has shape \(2,\); expected \(3,\)"):
        ops.batch_norm_forward(x, c[:2], c)
    with pytest.raises(TypeError, match="batch_norm_forward: weight has dtype float64, x has float32"):
        ops.batch_norm_forward(x, c, c, np.ones(3))
    with pytest.raises(ValueError, match=r"batch_norm_forward: bias has shape \(3, 1\); expected 1 dimensions"):
        ops.batch_norm_forward(x, c, c, c, c[:, None])
    with pytest.raises(ValueError, match=r"batch_norm_forward: residual has shape \(3, 4\); expected \(4, 3\)"):
        ops.batch_norm_forward(x, c, c, residual=x.T)
    with pytest.raises(ValueError, match=r"batch_norm_backward: dy has shape \(3, 4\); expected \(4, 3\)"):
        ops.batch_norm_backward(x.T, x, c, c)
    with pytest.raises(ValueError, match="batch_norm_backward: relu after a residual needs y"):
        ops.batch_norm_backward(x, x, c, c, relu=True, residual=True)


@pytest.mark.parametrize("shape", [(0, 3), (2, 3, 0, 4), (0, 3, 2, 2), (4, 0)])
def test_no_rows_or_channels(isa, shape):
    x, c = np.ones(shape, np.float32), np.ones(shape[1], np.float32)
    running_mean, running_var = np.full((2, shape[1]), 3, np.float32)
    mean, inv_std = ops.batch_norm_statistics(x, 0.25, running_mean, running_var)
    assert_array_equal(mean, np.zeros(shape[1]))
    assert_array_equal(inv_std, np.full(shape[1], 2))
    assert_array_equal([running_mean, running_var], np.full((2, shape[1]), 3))
    assert ops.batch_norm_forward(x, c, c, c, c, x, relu=True).shape == shape
    dx, dw, db, dresidual = ops.batch_norm_backward(x, x, c, c, c, c, x, relu=True, residual=True)
    assert dx.shape == dresidual.shape == shape
    assert_array_equal([dw, db], np.zeros((2, shape[1])))


# The function -------------------------------------------------------------------------------------


@pytest.mark.parametrize("shape", [(5, 3), (3, 4, 5), (2, 3, 4, 3)])
@pytest.mark.parametrize("training", [False, True])
def test_gradcheck(rng, shape, training):
    x = fastnn.tensor(rng.standard_normal(shape), requires_grad=True)
    w, b = (fastnn.tensor(v, requires_grad=True) for v in rng.standard_normal((2, shape[1])))
    mean, var = (fastnn.tensor(v) for v in rng.uniform(0.5, 2, (2, shape[1])))
    assert fastnn.gradcheck(lambda x, w, b: F.batch_norm(x, mean, var, w, b, training, momentum=0.0), (x, w, b))
    assert fastnn.gradcheck(lambda x: F.batch_norm(x, mean, var, None, None, training, momentum=0.0), (x,))


def test_backward_outside_of_training_uses_the_statistics_of_its_forward(rng):
    x = fastnn.tensor(rng.standard_normal((6, 3)), requires_grad=True)
    w = fastnn.tensor(np.ones(3), requires_grad=True)
    mean, var = fastnn.tensor(np.zeros(3)), fastnn.tensor(np.ones(3))
    y = F.batch_norm(x, mean, var, w)
    F.batch_norm(x + 5, mean, var, training=True)
    y.sum().backward()
    assert_allclose(w.grad.data, x.data.sum(0) / np.sqrt(1 + EPS), rtol=1e-12)


def test_function_errors():
    x, c = fastnn.ones(4, 3), fastnn.ones(3)
    with pytest.raises(TypeError, match="batch_norm: x is ndarray; expected a Tensor"):
        F.batch_norm(np.ones((4, 3)), c, c)
    with pytest.raises(TypeError, match="batch_norm: weight is list; expected a Tensor"):
        F.batch_norm(x, c, c, [1.0, 1.0, 1.0])
    with pytest.raises(
        ValueError, match=r"batch_norm: x has shape \(3,\); expected \(N, C\), \(N, C, L\) or \(N, C, H"
    ):
        F.batch_norm(c, c, c)
    with pytest.raises(ValueError, match=r"batch_norm: running_var has shape \(4,\); expected \(3,\)"):
        F.batch_norm(x, c, fastnn.ones(4))
    with pytest.raises(ValueError, match="running_mean and running_var are None; expected both unless training"):
        F.batch_norm(x, None, None)
    with pytest.raises(TypeError, match="batch_norm: x has dtype int64; expected float32 or float64"):
        F.batch_norm(x.long(), c, c)
    with pytest.raises(TypeError, match="batch_norm: momentum is None; expected a number"):
        F.batch_norm(x, c, c, training=True, momentum=None)
    F.batch_norm(fastnn.ones(2, 0), None, None, training=True)  # no channel, nothing to expect
    for one in (fastnn.ones(1, 3), fastnn.ones(1, 3, 1), fastnn.ones(1, 3, 1, 1)):
        with pytest.raises(ValueError, match="Expected more than 1 value per channel when training"):
            F.batch_norm(one, None, None, training=True)
        assert F.batch_norm(one, c, c).shape == one.shape


def test_an_error_leaves_the_running_statistics():
    bn = nn.BatchNorm2d(3)
    model = nn.Sequential(bn, nn.ReLU())
    bn.double().weight = nn.Parameter(fastnn.ones(3))
    with pytest.raises(TypeError, match="batch_norm: weight has dtype float32, x has float64"):
        model(fastnn.ones(2, 3, 2, 2).double())
    assert bn.running_mean.tolist() == [0, 0, 0]


def test_an_empty_batch_leaves_the_running_statistics():
    bn = nn.BatchNorm2d(3)
    assert bn(fastnn.ones(0, 3, 2, 2)).shape == (0, 3, 2, 2)
    assert bn.running_mean.tolist() == [0, 0, 0]
    assert bn.running_var.tolist() == [1, 1, 1]


# The layers ---------------------------------------------------------------------------------------

LAYERS = {
    "defaults": {},
    "cumulative": {"momentum": None},
    "momentum 0": {"momentum": 0.0},
    "not affine": {"affine": False},
    "no bias": {"bias": False},
    "not tracking": {"track_running_stats": False},
    "neither": {"affine": False, "track_running_stats": False, "eps": 0.1},
}


@pytest.mark.parametrize("shape", [(7, 6), (3, 6, 5), (4, 6, 5, 3)])
@pytest.mark.parametrize("kwargs", LAYERS.values(), ids=LAYERS.keys())
def test_layers_equal_pytorch(isa, rng, shape, kwargs):
    torch = pytest.importorskip("torch")
    name = "BatchNorm2d" if len(shape) == 4 else "BatchNorm1d"
    ours, theirs = getattr(nn, name)(shape[1], **kwargs), getattr(torch.nn, name)(shape[1], **kwargs)
    assert repr(ours) == repr(theirs)
    assert list(ours.state_dict()) == list(theirs.state_dict())
    for param in ours.parameters():
        param.data[...] = rng.standard_normal(param.shape)
    theirs.load_state_dict({k: torch.tensor(v) for k, v in ours.state_dict().items()})

    for training in (True, True, False, True, False):
        ours.train(training)
        theirs.train(training)
        x = (rng.standard_normal(shape) * 3 + 5).astype(np.float32)
        dy = rng.standard_normal(shape).astype(np.float32)
        t, p = fastnn.tensor(x, requires_grad=True), torch.tensor(x, requires_grad=True)
        ours.zero_grad()
        theirs.zero_grad()
        y, expected = ours(t), theirs(p)
        y.backward(dy)
        expected.backward(torch.tensor(dy))
        close(y.detach().numpy(), expected.detach().numpy())
        close(t.grad.data, p.grad.numpy())
        for a, b in zip(ours.parameters(), theirs.parameters(), strict=True):
            close(a.grad.data, b.grad.numpy())
        for key, value in theirs.state_dict().items():
            assert ours.state_dict()[key].dtype == value.numpy().dtype
            close(ours.state_dict()[key].astype(np.float32), value.numpy().astype(np.float32))


def test_layers_refuse_other_shapes():
    with pytest.raises(ValueError, match=r"BatchNorm2d: x has shape \(2, 3\); expected \(N, C, H, W\)"):
        nn.BatchNorm2d(3)(fastnn.ones(2, 3))
    with pytest.raises(ValueError, match=r"BatchNorm1d: x has shape \(2, 3, 4, 5\); expected \(N, C\) or \(N, C, L\)"):
        nn.BatchNorm1d(3)(fastnn.ones(2, 3, 4, 5))
    with pytest.raises(ValueError, match="BatchNorm1d: num_features is 0"):
        nn.BatchNorm1d(0)


def test_reset():
    bn = nn.BatchNorm1d(2)
    bn(fastnn.tensor([[1.0, 2.0], [3.0, 5.0]]))
    assert bn.num_batches_tracked.item() == 1
    bn.reset_running_stats()
    assert bn.running_mean.tolist() == [0, 0]
    assert bn.running_var.tolist() == [1, 1]
    assert bn.num_batches_tracked.item() == 0


def test_double(rng):
    bn = nn.BatchNorm1d(3).double()
    x = rng.standard_normal((5, 3))
    mean, var = ref.batch_norm_statistics(x)
    assert_allclose(bn(fastnn.tensor(x)).detach().numpy(), (x - mean) / np.sqrt(var + EPS), rtol=1e-12)
    assert bn.num_batches_tracked.dtype == np.int64
