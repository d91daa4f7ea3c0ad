"""Maxout: the kernel against the oracle, gradients, layouts, threads, layers and their initial gain, errors."""

import math

import numpy as np
import pytest

import fastnn
import reference_activation as ref
from fastnn import functional as F
from fastnn import nn, ops

DTYPES = [np.float32, np.float64]
CASES = [  # shape of y, axis
    ((1,), 0),
    ((0, 3), 1),
    ((3, 0), 0),
    ((1000,), 0),
    ((7, 33), 1),
    ((5, 70), 0),
    ((4, 3, 17), 1),
    ((2, 5, 3, 4), 1),
    ((2, 5, 3, 4), 2),
    ((2, 5, 3, 4), 3),
    ((2, 5, 3, 4), 0),
    ((2, 2, 2, 1, 9), 1),
]
PIECES = [1, 2, 3, 4, 5, 8, 17, 300]


def with_ties(shape, dtype):
    """Few different values, and some NaN."""
    x = np.random.default_rng(0).integers(-3, 4, shape).astype(dtype)
    x[np.random.default_rng(1).random(shape) < 0.05] = np.nan
    return x


def widened(shape, axis, pieces):
    return (*shape[:axis], shape[axis] * pieces, *shape[axis + 1 :])


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("pieces", PIECES)
@pytest.mark.parametrize(("shape", "axis"), CASES)
def test_equals_the_oracle(isa, shape, axis, pieces, dtype):
    x = with_ties(widened(shape, axis, pieces), dtype)
    y, argmax = ops.maxout_forward(x, pieces, axis)
    expected, winner = ref.maxout_forward(x, pieces, axis)
    np.testing.assert_array_equal(y, expected)
    assert y.dtype == dtype
    in_memory = winner.transpose(0, 2, 3, 1) if winner.ndim == 4 else winner
    np.testing.assert_array_equal(argmax, in_memory.ravel())
    assert argmax.dtype == (np.uint8 if pieces <= 256 else np.int32)
    dy = np.random.default_rng(2).standard_normal(shape).astype(dtype)
    dx = ops.maxout_backward(dy, argmax, pieces, axis)
    np.testing.assert_array_equal(dx, ref.maxout_backward(dy, winner, pieces, axis))
    inference, nothing = ops.maxout_forward(x, pieces, axis - len(shape), return_argmax=False)
    assert nothing is None
    np.testing.assert_array_equal(inference, y)


@pytest.mark.parametrize("axis", [0, 1])
@pytest.mark.parametrize("pieces", [2, 3, 7])
def test_same_bits_on_any_number_of_threads(isa, axis, pieces):
    x = np.random.default_rng(3).standard_normal((101 * pieces, 331 * pieces))
    before, results = ops.get_num_threads(), set()
    try:
        for threads in (1, 2, 3):
            ops.set_num_threads(threads)
            y, argmax = ops.maxout_forward(x, pieces, axis)
            results.add(y.tobytes() + argmax.tobytes() + ops.maxout_backward(y, argmax, pieces, axis).tobytes())
    finally:
        ops.set_num_threads(before)
    assert len(results) == 1
    np.testing.assert_array_equal(y, ref.maxout_forward(x, pieces, axis)[0])


def test_memory_layouts():
    x = np.random.default_rng(4).standard_normal((2, 6, 4, 5)).astype(np.float32)
    y, argmax = ops.maxout_forward(x, 3, 1)
    assert y.transpose(0, 2, 3, 1).flags.c_contiguous
    last = ops.maxout_forward(ops.to_channels_last(x), 3, 1)
    np.testing.assert_array_equal(last[0], y)
    np.testing.assert_array_equal(last[1], argmax)
    np.testing.assert_array_equal(ops.maxout_forward(x[::-1, :, ::2], 3, 1)[0], y[::-1, :, ::2])
    dx = ops.maxout_backward(y, argmax, 3, 1)
    assert dx.transpose(0, 2, 3, 1).flags.c_contiguous
    np.testing.assert_array_equal(ops.maxout_backward(np.ascontiguousarray(y), argmax, 3, 1), dx)


@pytest.mark.parametrize(
    ("shape", "pieces", "dim"), [((2, 6), 3, 1), ((4, 3), 2, -2), ((2, 4, 3), 2, 1), ((1, 4, 2, 3), 4, 1)]
)
def test_gradients(shape, pieces, dim):
    x = fastnn.tensor(np.random.default_rng(5).permutation(math.prod(shape)).reshape(shape) / 7, requires_grad=True)
    assert fastnn.gradcheck(lambda t: F.maxout(t, pieces, dim), x)


def test_equals_pytorch_maximum_over_a_dimension():
    torch = pytest.importorskip("torch")
    x = np.random.default_rng(6).standard_normal((5, 12, 3, 2)).astype(np.float32)
    t, p = fastnn.tensor(x, requires_grad=True), torch.tensor(x, requires_grad=True)
    y, expected = F.maxout(t, 4, 1), p.reshape(5, 3, 4, 3, 2).amax(2)
    np.testing.assert_array_equal(y.detach().numpy(), expected.detach().numpy())
    dy = np.random.default_rng(7).standard_normal(y.shape).astype(np.float32)
    y.backward(dy)
    expected.backward(torch.tensor(dy))
    np.testing.assert_array_equal(t.grad.numpy(), p.grad.numpy())


@pytest.mark.parametrize("pieces", [1, 2, 5])
def test_linear_layer(pieces):
    layer = nn.Maxout(4, 3, pieces)
    assert {k: v.shape for k, v in layer.state_dict().items()} == {
        "linear.weight": (3 * pieces, 4),
        "linear.bias": (3 * pieces,),
    }
    layer.linear.bias.data[:] = np.arange(3 * pieces)
    x = np.random.default_rng(8).standard_normal((6, 2, 4)).astype(np.float32)
    maps = x @ layer.linear.weight.data.T + layer.linear.bias.data
    np.testing.assert_allclose(
        layer(fastnn.tensor(x)).detach().numpy(), maps.reshape(6, 2, 3, pieces).max(-1), rtol=1e-5, atol=1e-6
    )
    assert nn.Maxout(4, 3, bias=False).linear.bias is None


@pytest.mark.parametrize("batched", [True, False])
def test_convolutional_layer(batched):
    layer = nn.MaxoutConv2d(4, 6, (3, 1), pieces=3, stride=2, padding=1, dilation=(1, 2), groups=2, bias=False)
    x = fastnn.tensor(
        np.random.default_rng(9).standard_normal((2, 4, 7, 8) if batched else (4, 7, 8)).astype(np.float32)
    )
    maps = layer.conv(x).detach().numpy()
    y = layer(x).detach().numpy()
    assert layer.conv.weight.shape == (18, 2, 3, 1)
    assert y.shape[-3] == 6
    np.testing.assert_array_equal(y, maps.reshape(*maps.shape[:-3], 6, 3, *maps.shape[-2:]).max(-3))


def test_a_network_of_them_learns_to_multiply():
    """Two layers come near any continuous function; x y over the square has no linear part."""
    fastnn.manual_seed(0)
    model = nn.Sequential(nn.Maxout(2, 8, 3), nn.Linear(8, 1))
    optimizer = fastnn.optim.Adam(model.parameters(), lr=0.02)
    x = np.random.default_rng(10).uniform(-1, 1, (256, 2)).astype(np.float32)
    aim = fastnn.tensor(x.prod(1, keepdims=True))
    for _ in range(200):
        optimizer.zero_grad()
        loss = F.mse_loss(model(fastnn.tensor(x)), aim)
        loss.backward()
        optimizer.step()
    assert loss.item() < 0.1 * float((aim * aim).mean().item())


def test_gain_is_that_of_the_order_statistic():
    gain = nn.init.calculate_gain
    # E[M^2] in closed form (for instance David, Nagaraja: Order Statistics, 2003)
    for pieces, moment in ((1, 1), (2, 1), (3, 1 + math.sqrt(3) / (2 * math.pi)), (4, 1 + math.sqrt(3) / math.pi)):
        assert gain("maxout", pieces) == pytest.approx(1 / math.sqrt(moment), rel=1e-13)
    assert gain("maxout") == gain("maxout", 2)
    for pieces in (7, 100):
        drawn = np.random.default_rng(pieces).standard_normal((20_000, pieces)).max(1)
        assert gain("maxout", pieces) == pytest.approx(1 / math.sqrt((drawn**2).mean()), rel=0.01)
    with pytest.raises(ValueError, match="calculate_gain: maxout has 0 pieces; expected at least 1"):
        gain("maxout", 0)


@pytest.mark.parametrize("pieces", [2, 5])
def test_deep_networks_keep_the_second_moment(pieces):
    fastnn.manual_seed(1)
    model = nn.Sequential(*(nn.Maxout(256, 256, pieces) for _ in range(15)))
    with fastnn.no_grad():
        y = model(fastnn.randn(64, 256)).numpy()
    assert 0.4 < (y**2).mean() < 2.5


def test_errors():
    x = fastnn.ones(2, 6)
    with pytest.raises(
        ValueError, match=r"maxout_forward: x has shape \(2, 6\); expected a multiple of 4 pieces along axis 1"
    ):
        F.maxout(x, 4)
    with pytest.raises(ValueError, match="maxout_forward: pieces is 0; expected 1 to 1099511627776"):
        F.maxout(x, 0)
    with pytest.raises(TypeError, match="maxout_forward: pieces holds a float; expected an int"):
        F.maxout(x, 2.0)
    with pytest.raises(IndexError, match=r"maxout: dimension 2 is out of range for a tensor of 2 dimensions"):
        F.maxout(x, 2, 2)
    with pytest.raises(IndexError, match="maxout_forward: axis is -3; expected -2 to 1"):
        ops.maxout_forward(x.data, 2, -3)
    with pytest.raises(IndexError, match="maxout_backward: axis is 5; expected -1 to 0"):
        ops.maxout_backward(np.ones(3), np.zeros(3, np.uint8), 2, 5)
    with pytest.raises(TypeError, match="maxout_backward: argmax has dtype int64; expected uint8"):
        ops.maxout_backward(np.ones(3), np.zeros(3, np.int64), 2)
    with pytest.raises(ValueError, match=r"maxout_backward: argmax has shape \(2,\); expected \(3,\)"):
        ops.maxout_backward(np.ones(3), np.zeros(2, np.uint8), 2)
    with pytest.raises(TypeError, match="maxout: x is ndarray; expected a Tensor"):
        F.maxout(np.ones(2), 2)
    with pytest.raises(ValueError, match="Maxout: pieces is 0; expected at least 1"):
        nn.Maxout(2, 3, 0)
    with pytest.raises(TypeError, match=r"MaxoutConv2d: pieces is 1\.5; expected an integer"):
        nn.MaxoutConv2d(2, 3, 3, pieces=1.5)
    with pytest.raises(ValueError, match="MaxoutConv2d: out_channels is 3; expected a multiple of groups, 2"):
        nn.MaxoutConv2d(4, 3, 3, groups=2)


def test_softmin_and_softmax2d():
    torch = pytest.importorskip("torch")
    x = np.random.default_rng(12).standard_normal((2, 3, 4, 5)).astype(np.float32)
    t, p = fastnn.tensor(x), torch.tensor(x)
    np.testing.assert_allclose(nn.Softmin(1)(t).numpy(), torch.nn.Softmin(1)(p).numpy(), rtol=1e-5)
    np.testing.assert_allclose(nn.Softmax2d()(t).numpy(), torch.nn.Softmax2d()(p).numpy(), rtol=1e-5)
    np.testing.assert_allclose(nn.Softmax2d()(t[0]).numpy(), torch.nn.Softmax2d()(p[0]).numpy(), rtol=1e-5)
