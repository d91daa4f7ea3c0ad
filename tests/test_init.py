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
        ("conv_transpose2d", None, 1),
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
        math.sqrt(3) / math.sqrt(fan_in): init.lecun_uniform_,
        1 / math.sqrt(fan_in): init.standard_uniform_,
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
        1 / math.sqrt(fan_in): init.lecun_normal_,
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


@pytest.mark.parametrize("fill", [init.uniform_, init.normal_, init.trunc_normal_])
def test_the_layout_in_memory_does_not_matter(fill):
    def filled(array):
        fastnn.manual_seed(3)
        return fill(Parameter(array), 1, 2).data

    expected = filled(np.zeros((300, 700), np.float32))
    transposed = filled(np.zeros((700, 300), np.float32).T)
    assert transposed.flags.f_contiguous
    np.testing.assert_array_equal(transposed, expected)
    np.testing.assert_array_equal(filled(np.zeros((300, 1400), np.float32)[:, ::2]), expected)
    halves = filled(np.zeros((30, 70), np.float16))
    np.testing.assert_array_equal(halves, filled(np.zeros((30, 70))).astype(np.float16), strict=True)


def test_any_layout_and_no_elements():
    w = Parameter(np.zeros((4, 6), np.float32).T)
    init.uniform_(w, 1, 2)
    assert w.data.min() >= 1
    assert not w.data.flags.c_contiguous
    for fill in (init.xavier_uniform_, init.xavier_normal_, init.kaiming_uniform_, init.kaiming_normal_):
        assert fill(weight(0, 0)).shape == (0, 0)


FANS = ["xavier_uniform_", "xavier_normal_", "kaiming_uniform_", "kaiming_normal_", "lecun_uniform_", "lecun_normal_"]


@pytest.mark.parametrize("name", [*FANS, "standard_uniform_"])
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
    with pytest.raises(ValueError, match="param is 'steep'; expected the negative slope, a number"):
        init.calculate_gain("leaky_relu", "steep")
    with pytest.raises(ValueError, match="trunc_normal_: std is 0; expected a number above 0"):
        init.trunc_normal_(w, std=0)
    with pytest.raises(ValueError, match=r"trunc_normal_: the interval is \[2, 1\]; expected a <= b"):
        init.trunc_normal_(w, a=2, b=1)
    with pytest.raises(ValueError, match=r"orthogonal_: the tensor has shape \(3,\); expected at least 2 dimensions"):
        init.orthogonal_(weight(3))
    with pytest.raises(ValueError, match=r"sparse_: the tensor has shape \(3, 4, 1\); expected 2 dimensions"):
        init.sparse_(weight(3, 4, 1), 0.5)
    with pytest.raises(ValueError, match=r"sparse_: sparsity is 1\.5; expected a number from 0 to 1"):
        init.sparse_(w, 1.5)
    with pytest.raises(ValueError, match=r"eye_: the tensor has shape \(3,\); expected 2 dimensions"):
        init.eye_(weight(3))
    with pytest.raises(ValueError, match=r"dirac_: the tensor has shape \(3, 4\); expected 3 to 5 dimensions"):
        init.dirac_(w)
    with pytest.raises(ValueError, match="dirac_: the tensor has 5 outputs; expected a multiple of groups, 2"):
        init.dirac_(weight(5, 2, 3), groups=2)
    with pytest.raises(TypeError, match=r"dirac_: groups is 1\.5; expected an int"):
        init.dirac_(weight(4, 2, 3), groups=1.5)
    with pytest.raises(ValueError, match="uniform_: b is inf; expected a finite number"):
        init.uniform_(w, 0, math.inf)
    with pytest.raises(ValueError, match="trunc_normal_: mean is nan; expected a finite number"):
        init.trunc_normal_(w, math.nan)
    with pytest.raises(ValueError, match="trunc_normal_: std is inf; expected a finite number"):
        init.trunc_normal_(w, std=math.inf)
    for name, option in {"uniform_": "a", "normal_": "mean", "trunc_normal_": "b", "xavier_normal_": "gain"}.items():
        with pytest.raises(TypeError, match=f"{name}: {option} is 'x'; expected a number"):
            getattr(init, name)(w, **{option: "x"})
    with pytest.raises(TypeError, match="constant_: val is None; expected a number"):
        init.constant_(w, None)
    with pytest.raises(ValueError, match="calculate_gain: param is 'x'; expected the number of maxout's pieces"):
        init.calculate_gain("maxout", "x")
    with pytest.raises(ValueError, match="calculate_gain: maxout has inf pieces"):
        init.calculate_gain("maxout", math.inf)
    with pytest.raises(TypeError, match=r"normal_: generator is int; expected a numpy\.random\.Generator"):
        init.normal_(w, generator=3)


def test_a_generator_of_ones_own():
    state = fastnn.get_rng_state()
    for fill in (
        init.uniform_,
        init.normal_,
        init.trunc_normal_,
        init.xavier_normal_,
        init.kaiming_uniform_,
        init.lecun_normal_,
        init.standard_uniform_,
        init.orthogonal_,
        lambda w, generator: init.sparse_(w, 0.5, generator=generator),
    ):
        a, b = (fill(weight(5, 4), generator=np.random.default_rng(3)).data for _ in range(2))
        np.testing.assert_array_equal(a, b)
    assert fastnn.get_rng_state() == state


def normal_cdf(x):
    return np.array([math.erfc(-v / math.sqrt(2)) / 2 for v in np.atleast_1d(x)])


@pytest.mark.parametrize(
    ("mean", "std", "a", "b"),
    [
        (0, 1, -2, 2),
        (0, 0.02, -2, 2),
        (1, 2, 0, np.inf),
        (0, 1, -0.1, 0.3),  # little of the distribution
        (0, 1, 3, np.inf),  # its tail
        (-5, 2, 1, 1.5),
    ],
)
def test_trunc_normal_has_the_distribution(mean, std, a, b):
    """Kolmogorov's distance to the truncated distribution, which 20,000 draws pass 0.015 once in 4,000 times."""
    values = init.trunc_normal_(weight(100, 200, dtype=np.float64), mean, std, a, b).data.ravel()
    assert values.min() >= a
    assert values.max() <= b
    values.sort()
    low, high = normal_cdf([(a - mean) / std, (b - mean) / std])
    upper = normal_cdf([-(a - mean) / std, -(b - mean) / std])  # in the tail the digits are on this side
    expected = (upper[0] - normal_cdf(-(values - mean) / std)) / (upper[0] - upper[1])
    assert abs(expected - np.linspace(0, 1, values.size)).max() < 0.015
    assert high >= low


def test_trunc_normal_of_a_point_and_of_float32():
    np.testing.assert_array_equal(init.trunc_normal_(weight(3), a=0.5, b=0.5).data, [0.5] * 3)
    w = init.trunc_normal_(weight(200, 200), a=-0.1, b=0.1).data
    assert abs(w).max() <= np.float32(0.1)


@pytest.mark.parametrize("gain", [1, 0.5, math.sqrt(2)])
@pytest.mark.parametrize("shape", [(5, 5), (3, 7), (7, 3), (4, 2, 3, 3), (40, 2, 3, 3), (1, 6), (6, 1)])
def test_orthogonal(shape, gain):
    w = init.orthogonal_(weight(*shape, dtype=np.float64), gain).data.reshape(shape[0], -1)
    small = w @ w.T if w.shape[0] <= w.shape[1] else w.T @ w
    np.testing.assert_allclose(small, gain**2 * np.eye(len(small)), atol=1e-12)


def test_orthogonal_matrices_are_all_equally_likely():
    """Rotations of the plane have angles of every size, and half of the matrices mirror."""
    matrices = np.array([init.orthogonal_(weight(2, 2, dtype=np.float64)).data for _ in range(2000)])
    mirrors = (np.linalg.det(matrices) < 0).mean()
    assert mirrors == pytest.approx(0.5, abs=4 * 0.5 / math.sqrt(2000))
    quadrants = np.histogram(np.arctan2(matrices[:, 1, 0], matrices[:, 0, 0]), 4, (-np.pi, np.pi))[0] / 2000
    assert quadrants == pytest.approx(0.25, abs=4 * math.sqrt(3 / 16 / 2000))
    assert init.orthogonal_(weight(0, 3)).shape == (0, 3)


@pytest.mark.parametrize("sparsity", [0, 0.1, 0.25, 0.5, 0.99, 1])
def test_sparse(sparsity):
    w = init.sparse_(weight(50, 400), sparsity, std=0.3).data
    zeros = (w == 0).sum(axis=0)
    np.testing.assert_array_equal(zeros, math.ceil(sparsity * 50))
    if sparsity < 0.9:
        rest = w[w != 0]
        assert rest.std() == pytest.approx(0.3, rel=4 / math.sqrt(2 * rest.size))
        assert (w == 0).mean(axis=1) == pytest.approx(sparsity, abs=0.12)  # no row is preferred
    torch = pytest.importorskip("torch")
    theirs = torch.nn.init.sparse_(torch.empty(50, 400), sparsity, 0.3).numpy()
    np.testing.assert_array_equal((theirs == 0).sum(axis=0), zeros)


@pytest.mark.parametrize(
    ("name", "shape", "options"),
    [
        ("eye_", (3, 5), {}),
        ("eye_", (5, 3), {}),
        ("dirac_", (4, 4, 3), {}),
        ("dirac_", (4, 2, 4, 3), {}),
        ("dirac_", (6, 3, 3, 5), {"groups": 2}),
        ("dirac_", (6, 1, 3, 3), {"groups": 3}),
        ("dirac_", (4, 2, 1, 2, 3), {"groups": 2}),
        ("dirac_", (0, 2, 3), {}),
        ("constant_", (3, 2), {"val": 0.3}),
        ("ones_", (3, 2), {}),
        ("zeros_", (3, 2), {}),
    ],
)
def test_fixed_values_equal_pytorch(name, shape, options):
    torch = pytest.importorskip("torch")
    w = weight(*shape)
    assert getattr(init, name)(w, **options) is w
    assert w._version == 1
    np.testing.assert_array_equal(w.data, getattr(torch.nn.init, name)(torch.empty(shape), **options), strict=True)


def test_a_dirac_convolution_is_the_identity():
    conv = nn.Conv2d(4, 4, 3, padding=1, groups=2, bias=False)
    init.dirac_(conv.weight, groups=2)
    x = np.random.default_rng(0).standard_normal((2, 4, 5, 6)).astype(np.float32)
    np.testing.assert_allclose(conv(fastnn.tensor(x)).detach().numpy(), x, rtol=1e-6)


# Whole models -------------------------------------------------------------------------------------


class Model(nn.Module):
    def __init__(self):
        super().__init__()
        self.embedding = nn.Embedding(20, 30)
        self.conv = nn.Conv2d(8, 16, 5, groups=2)
        self.norm = nn.BatchNorm2d(16)
        self.up = nn.ConvTranspose2d(60, 40, 3, groups=2)
        self.lstm = nn.LSTM(30, 50, num_layers=2, bidirectional=True, proj_size=20)
        self.cell = nn.GRUCell(30, 50)
        self.head = nn.Linear(400, 300)
        self.own = Parameter(np.full((3, 4), 7, np.float32))


SCHEMES = {  # standard deviation from fan_in and fan_out
    "xavier_uniform": lambda i, o: math.sqrt(2 / (i + o)),
    "glorot_uniform": lambda i, o: math.sqrt(2 / (i + o)),
    "xavier_normal": lambda i, o: math.sqrt(2 / (i + o)),
    "glorot_normal": lambda i, o: math.sqrt(2 / (i + o)),
    "kaiming_uniform": lambda i, o: math.sqrt(2 / i),
    "he_uniform": lambda i, o: math.sqrt(2 / i),
    "kaiming_normal": lambda i, o: math.sqrt(2 / i),
    "he_normal": lambda i, o: math.sqrt(2 / i),
    "lecun_uniform": lambda i, o: math.sqrt(1 / i),
    "lecun_normal": lambda i, o: math.sqrt(1 / i),
    "glorot_heuristic": lambda i, o: math.sqrt(1 / i / 3),
    "orthogonal": lambda i, o: math.sqrt(1 / max(i, o)),
}


@pytest.mark.parametrize("scheme", SCHEMES)
def test_apply_initializes_every_layer_by_the_scheme(scheme):
    model = Model()
    for parameter in model.parameters():
        parameter.data[...] = 99
    model.own.data[...] = 7
    model.norm.running_mean.fill_(3)
    versions = {name: p._version for name, p in model.named_parameters()}
    assert init.apply(model, scheme) is model

    fans = {"conv.weight": (100, 400), "up.weight": (270, 180), "head.weight": (400, 300), "cell.weight_ih": (30, 50)}
    fans |= {"cell.weight_hh": (50, 50), "lstm.weight_ih_l0": (30, 50), "lstm.weight_hh_l1_reverse": (20, 50)}
    fans |= {"lstm.weight_ih_l1": (40, 50), "lstm.weight_hr_l0": (50, 20)}
    if scheme == "orthogonal":
        fans["conv.weight"] = (100, 16)  # dimensions from the second on count as one
        fans["up.weight"] = (270, 20)
    parameters = dict(model.named_parameters())
    for name, (fan_in, fan_out) in fans.items():
        w = parameters[name].data
        assert w.std() == pytest.approx(SCHEMES[scheme](fan_in, fan_out), rel=5 / math.sqrt(w.size)), name
    for name, p in parameters.items():
        assert name == "own" or p._version > versions[name], name
        if name.startswith("lstm.bias_ih"):
            np.testing.assert_array_equal(p.data, np.repeat([0, 1, 0, 0], 50))  # i f g o
        elif "bias" in name:
            np.testing.assert_array_equal(p.data, 0)
    np.testing.assert_array_equal(model.norm.weight.data, 1)
    np.testing.assert_array_equal(model.norm.running_mean.data, 0)
    assert model.embedding.weight.data.std() == pytest.approx(1, rel=0.2)
    np.testing.assert_array_equal(model.own.data, 7)


def test_apply_makes_each_gate_orthogonal_by_itself():
    lstm = init.apply(nn.LSTM(10, 10), "orthogonal")
    for gate in np.split(lstm.weight_hh_l0.data, 4):
        np.testing.assert_allclose(gate @ gate.T, np.eye(10), atol=1e-6)


def test_apply_takes_a_function():
    model = init.apply(nn.Sequential(nn.Linear(3, 4), nn.ConvTranspose1d(2, 4, 3, groups=2)), lambda w: w.fill_(2))
    np.testing.assert_array_equal(model[0].weight.data, 2)
    np.testing.assert_array_equal(model[0].bias.data, 0)
    np.testing.assert_array_equal(model[1].weight.data, 2)
    shapes = []
    init.apply(model, lambda w: shapes.append(w.shape))
    assert shapes == [(4, 3), (2, 1, 3), (2, 1, 3)]


def test_what_apply_cannot_do():
    model = nn.Linear(2, 2)
    with pytest.raises(
        ValueError, match=r"apply: scheme is 'xaver'; expected one of glorot_heuristic, .*xavier_uniform"
    ):
        init.apply(model, "xaver")
    with pytest.raises(TypeError, match="apply: scheme is int; expected a string or a function"):
        init.apply(model, 3)
    with pytest.raises(TypeError, match="apply: model is Parameter; expected a Module"):
        init.apply(model.weight, "he_normal")


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


def test_skip_init():
    class Layer(nn.Module):
        def __init__(self, value, other):
            super().__init__()
            self.weight, self.other = Parameter(np.full((3, 4), 7, np.float32)), other
            for fill in (init.normal_, init.xavier_uniform_, init.orthogonal_, lambda w: init.constant_(w, value)):
                fill(self.weight)

    layer = nn.utils.skip_init(Layer, 1.0, other=5)
    assert (layer.weight.data == 7).all()
    assert layer.other == 5
    with pytest.raises(TypeError, match="argument"):
        nn.utils.skip_init(Layer)
    assert (Layer(2.0, 0).weight.data == 2).all()  # it ends with the call, failed or not
