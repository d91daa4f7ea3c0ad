"""Initializers: formulas, fans, statistics, errors."""

import math

import numpy as np
import pytest

import fastnn
from fastnn import nn
from fastnn.nn import init
from fastnn.tensor import Parameter


def weight(*shape, dtype=np.float32):
    return Parameter(np.full(shape, np.nan, dtype))


@pytest.fixture(autouse=True)
def _seed():
    fastnn.manual_seed(0)


@pytest.mark.parametrize(
    ("name", "param", "gain"),
    [
        ("linear", None, 1),
        ("conv1d", None, 1),
        ("conv2d", None, 1),
        ("conv3d", None, 1),
        ("sigmoid", None, 1),
        ("tanh", None, 5 / 3),
        ("relu", None, math.sqrt(2)),
        ("leaky_relu", None, math.sqrt(2 / 1.0001)),
        ("leaky_relu", 0, math.sqrt(2)),
        ("leaky_relu", math.sqrt(5), math.sqrt(1 / 3)),
        ("selu", None, 0.75),
    ],
)
def test_gain(name, param, gain):
    assert init.calculate_gain(name, param) == pytest.approx(gain, rel=1e-15)
    torch = pytest.importorskip("torch")
    assert init.calculate_gain(name, param) == pytest.approx(torch.nn.init.calculate_gain(name, param), rel=1e-15)


# fan_in, fan_out of each shape by hand
SHAPES = [((200, 300), 300, 200), ((40, 30, 5, 4), 600, 800), ((64, 1, 16, 16), 256, 16384)]


@pytest.mark.parametrize(("shape", "fan_in", "fan_out"), SHAPES)
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_uniform_bounds(shape, fan_in, fan_out, dtype):
    cases = {
        1.7 * math.sqrt(6 / (fan_in + fan_out)): lambda w: init.xavier_uniform_(w, gain=1.7),
        math.sqrt(2) * math.sqrt(3 / fan_in): lambda w: init.kaiming_uniform_(w, nonlinearity="relu"),
        math.sqrt(3 / fan_out): lambda w: init.kaiming_uniform_(w, mode="fan_out", nonlinearity="linear"),
        math.sqrt(1 / fan_in): lambda w: init.kaiming_uniform_(w, a=math.sqrt(5)),
    }
    for bound, fill in cases.items():
        w = weight(*shape, dtype=dtype)
        assert fill(w) is w
        assert w.dtype == dtype
        assert w._version == 1
        assert abs(w.data).max() <= bound * (1 + 1e-6)
        assert abs(w.data).max() > 0.99 * bound
        assert abs(w.data.mean()) < 5 * bound / math.sqrt(3 * w.data.size)
        assert w.data.std() == pytest.approx(bound / math.sqrt(3), rel=0.03)


@pytest.mark.parametrize(("shape", "fan_in", "fan_out"), SHAPES)
def test_normal_deviations(shape, fan_in, fan_out):
    cases = {
        0.5 * math.sqrt(2 / (fan_in + fan_out)): lambda w: init.xavier_normal_(w, gain=0.5),
        5 / 3 / math.sqrt(fan_in): lambda w: init.kaiming_normal_(w, nonlinearity="tanh"),
        math.sqrt(2 / fan_out): lambda w: init.kaiming_normal_(w, mode="fan_out"),
    }
    for std, fill in cases.items():
        w = weight(*shape)
        assert fill(w) is w
        assert abs(w.data.mean()) < 5 * std / math.sqrt(w.data.size)
        assert w.data.std() == pytest.approx(std, rel=0.03)
        assert abs(w.data).max() > 3 * std


def test_plain_fills():
    np.testing.assert_array_equal(init.constant_(weight(3), 2.5).data, [2.5] * 3)
    np.testing.assert_array_equal(init.ones_(weight(3)).data, [1] * 3)
    np.testing.assert_array_equal(init.zeros_(weight(3)).data, [0] * 3)
    w = init.uniform_(weight(10000), 2, 4).data
    assert w.min() >= 2
    assert w.max() <= 4
    assert w.mean() == pytest.approx(3, abs=0.05)
    w = init.normal_(weight(10000), 5, 2).data
    assert w.mean() == pytest.approx(5, abs=0.1)
    assert w.std() == pytest.approx(2, rel=0.05)


def test_the_seed_decides():
    draws = []
    for seed in (1, 1, 2):
        fastnn.manual_seed(seed)
        draws.append(init.kaiming_normal_(weight(4, 5)).data)
    np.testing.assert_array_equal(draws[0], draws[1])
    assert (draws[0] != draws[2]).all()


@pytest.mark.parametrize("transposed", [False, True])
def test_large_weights_get_the_numbers_that_one_draw_gives(transposed):
    array = np.zeros((300, 700), np.float32)
    for fill, draw in ((init.uniform_, "uniform"), (init.normal_, "normal")):
        fastnn.manual_seed(3)
        found = fill(Parameter(array.T if transposed else array), 1, 2).data
        generator = fastnn.manual_seed(3)
        np.testing.assert_array_equal(found, getattr(generator, draw)(1, 2, found.shape).astype(np.float32))


def test_any_layout_and_no_elements():
    w = Parameter(np.zeros((4, 6), np.float32).T)
    init.uniform_(w, 1, 2)
    assert w.data.min() >= 1
    assert not w.data.flags.c_contiguous
    for fill in (init.xavier_uniform_, init.xavier_normal_, init.kaiming_uniform_, init.kaiming_normal_):
        assert fill(weight(0, 0)).shape == (0, 0)


@pytest.mark.parametrize("name", ["xavier_uniform_", "xavier_normal_", "kaiming_uniform_", "kaiming_normal_"])
def test_too_few_dimensions(name):
    with pytest.raises(ValueError, match=rf"{name}: the tensor has shape \(5,\).*at least 2 dimensions"):
        getattr(init, name)(weight(5))


def test_errors():
    w = weight(3, 4)
    with pytest.raises(ValueError, match="nonlinearity is 'nope'; expected one of"):
        init.calculate_gain("nope")
    with pytest.raises(ValueError, match="kaiming_uniform_: mode is 'fan'; expected 'fan_in' or 'fan_out'"):
        init.kaiming_uniform_(w, mode="fan")
    with pytest.raises(ValueError, match="std is -1"):
        init.normal_(w, std=-1)
    with pytest.raises(ValueError, match="expected a <= b"):
        init.uniform_(w, 2, 1)
    with pytest.raises(TypeError, match="ndarray; expected a Tensor"):
        init.zeros_(np.zeros(3))
    with pytest.raises(TypeError, match="dtype int64"):
        init.uniform_(fastnn.tensor([1, 2]))


@pytest.mark.parametrize(
    ("name", "args"),
    [("Linear", (400, 300)), ("Conv2d", (16, 64, 5)), ("Conv2d", (16, 64, (3, 7), 1, 0, 1, 4))],
    ids=["Linear", "Conv2d", "grouped Conv2d"],
)
def test_default_init_equals_torch(name, args):
    torch = pytest.importorskip("torch")
    torch.manual_seed(0)
    ours, theirs = getattr(nn, name)(*args), getattr(torch.nn, name)(*args)
    for (key, a), b in zip(ours.state_dict().items(), theirs.state_dict().values(), strict=True):
        b = b.numpy()
        tolerance = 6 / math.sqrt(b.size)
        assert a.std() == pytest.approx(b.std(), rel=tolerance), key
        assert abs(a).max() == pytest.approx(abs(b).max(), rel=tolerance), key
        assert abs(a.mean()) < tolerance * a.std(), key
