"""fastnn.models for images: names, shapes and counts of torchvision's parameters, and equality with PyTorch."""

import math

import numpy as np
import pytest

import fastnn
from fastnn import models, nn

PARAMETERS = {
    "alexnet": 61_100_840,
    "vgg11": 132_863_336,
    "vgg11_bn": 132_868_840,
    "vgg13": 133_047_848,
    "vgg13_bn": 133_053_736,
    "vgg16": 138_357_544,
    "vgg16_bn": 138_365_992,
    "vgg19": 143_667_240,
    "vgg19_bn": 143_678_248,
    "resnet18": 11_689_512,
    "resnet34": 21_797_672,
    "resnet50": 25_557_032,
    "resnet101": 44_549_160,
    "resnet152": 60_192_808,
    "cifar_resnet20": 269_722,
    "cifar_resnet32": 464_154,
    "cifar_resnet44": 658_586,
    "cifar_resnet56": 853_018,
    "cifar_resnet110": 1_727_962,
}
SAMPLE = 4099  # a prime number: rows of a weight that repeats so many values differ


def draw(values, tensor):
    return values((min(SAMPLE, tensor.numel()),))


@pytest.fixture
def quick_init(monkeypatch):
    """Initializers draw SAMPLE values and repeat them: 140 million would take seconds."""

    def fill(name, tensor, values):
        tensor.data[...] = np.resize(draw(values, tensor), tensor.shape)
        return tensor

    monkeypatch.setattr(nn.init, "_fill", fill)


@pytest.fixture
def start_init(monkeypatch):
    """Initializers fill the first SAMPLE values of each tensor only."""

    def fill(name, tensor, values):
        tensor.data.reshape(-1)[:SAMPLE] = draw(values, tensor)
        return tensor

    monkeypatch.setattr(nn.init, "_fill", fill)


@pytest.fixture
def no_init(monkeypatch):
    """Initializers do nothing: for names and shapes the memory need not even be touched."""
    monkeypatch.setattr(nn.init, "_fill", lambda name, tensor, values: tensor)


# ---- names, shapes and counts --------------------------------------------------------------------------------------


def conv(name, inputs, outputs, kernel, bias=False):
    return {f"{name}.weight": (outputs, inputs, kernel, kernel)} | ({f"{name}.bias": (outputs,)} if bias else {})


def bn(name, channels):
    per_channel = ("weight", "bias", "running_mean", "running_var")
    return {f"{name}.{key}": (channels,) for key in per_channel} | {f"{name}.num_batches_tracked": ()}


def linear(name, inputs, outputs):
    return {f"{name}.weight": (outputs, inputs), f"{name}.bias": (outputs,)}


def resnet(blocks, bottleneck=False):
    keys = conv("conv1", 3, 64, 7) | bn("bn1", 64)
    inputs = 64
    for stage, count in enumerate(blocks):
        planes = 64 << stage
        outputs = 4 * planes if bottleneck else planes
        for block in range(count):
            name = f"layer{stage + 1}.{block}"
            if bottleneck:
                keys |= conv(f"{name}.conv1", inputs, planes, 1) | bn(f"{name}.bn1", planes)
                keys |= conv(f"{name}.conv2", planes, planes, 3) | bn(f"{name}.bn2", planes)
                keys |= conv(f"{name}.conv3", planes, outputs, 1) | bn(f"{name}.bn3", outputs)
            else:
                keys |= conv(f"{name}.conv1", inputs, planes, 3) | bn(f"{name}.bn1", planes)
                keys |= conv(f"{name}.conv2", planes, planes, 3) | bn(f"{name}.bn2", planes)
            if block == 0 and inputs != outputs:
                keys |= conv(f"{name}.downsample.0", inputs, outputs, 1) | bn(f"{name}.downsample.1", outputs)
            inputs = outputs
    return keys | linear("fc", inputs, 1000)


def cifar_resnet(blocks):
    keys = conv("conv1", 3, 16, 3) | bn("bn1", 16)
    inputs = 16
    for stage, planes in enumerate((16, 32, 64)):
        for block in range(blocks):
            name = f"layer{stage + 1}.{block}"
            keys |= conv(f"{name}.conv1", inputs, planes, 3) | bn(f"{name}.bn1", planes)
            keys |= conv(f"{name}.conv2", planes, planes, 3) | bn(f"{name}.bn2", planes)
            inputs = planes
    return keys | linear("linear", 64, 10)


def vgg(convolutions, batch_norm):
    """`convolutions`: the channels of each, by the number of its layer in `features`."""
    keys, inputs = {}, 3
    for number, outputs in convolutions.items():
        keys |= conv(f"features.{number}", inputs, outputs, 3, bias=True)
        if batch_norm:
            keys |= bn(f"features.{number + 1}", outputs)
        inputs = outputs
    sizes = {0: (25088, 4096), 3: (4096, 4096), 6: (4096, 1000)}
    return keys | {k: v for n, size in sizes.items() for k, v in linear(f"classifier.{n}", *size).items()}


CHANNELS = {11: (1, 1, 2, 2, 2), 13: (2, 2, 2, 2, 2), 16: (2, 2, 3, 3, 3), 19: (2, 2, 4, 4, 4)}


def vgg_positions(layers, batch_norm):
    found, number = {}, 0
    for count, channels in zip(CHANNELS[layers], (64, 128, 256, 512, 512), strict=True):
        for _ in range(count):
            found[number] = channels
            number += 3 if batch_norm else 2
        number += 1  # the pooling
    return found


def expected_keys(name):
    if name == "alexnet":
        shapes = {0: (3, 64, 11), 3: (64, 192, 5), 6: (192, 384, 3), 8: (384, 256, 3), 10: (256, 256, 3)}
        keys = {k: v for n, s in shapes.items() for k, v in conv(f"features.{n}", *s, bias=True).items()}
        sizes = {1: (9216, 4096), 4: (4096, 4096), 6: (4096, 1000)}
        return keys | {k: v for n, size in sizes.items() for k, v in linear(f"classifier.{n}", *size).items()}
    if name.startswith("vgg"):
        return vgg(vgg_positions(int(name[3:5]), "bn" in name), "bn" in name)
    if name.startswith("cifar"):
        return cifar_resnet((int(name[12:]) - 2) // 6)
    blocks = {18: (2, 2, 2, 2), 34: (3, 4, 6, 3), 50: (3, 4, 6, 3), 101: (3, 4, 23, 3), 152: (3, 8, 36, 3)}
    return resnet(blocks[int(name[6:])], bottleneck=int(name[6:]) >= 50)


@pytest.mark.usefixtures("no_init")
@pytest.mark.parametrize("name", PARAMETERS)
def test_names_shapes_and_counts(name):
    model = models.create(name)
    state = model.state_dict()
    assert {key: array.shape for key, array in state.items()} == expected_keys(name)
    assert list(state) == list(expected_keys(name))
    assert sum(p.numel() for p in model.parameters()) == PARAMETERS[name]


@pytest.mark.usefixtures("no_init")
@pytest.mark.parametrize(
    ("name", "count", "keys"),
    [
        ("alexnet", 16, {"features.10.bias": (256,), "classifier.1.weight": (4096, 9216)}),
        ("vgg16", 32, {"features.28.weight": (512, 512, 3, 3), "classifier.6.bias": (1000,)}),
        ("vgg16_bn", 97, {"features.40.weight": (512, 512, 3, 3), "features.41.running_mean": (512,)}),
        ("resnet18", 122, {"layer2.0.downsample.0.weight": (128, 64, 1, 1), "layer4.1.bn2.running_var": (512,)}),
        (
            "resnet50",
            320,
            {"layer1.0.downsample.1.num_batches_tracked": (), "layer4.2.conv3.weight": (2048, 512, 1, 1)},
        ),
        ("cifar_resnet20", 116, {"layer3.2.conv2.weight": (64, 64, 3, 3), "linear.weight": (10, 64)}),
    ],
)
def test_some_names_as_they_are_published(name, count, keys):
    state = models.create(name).state_dict()
    assert len(state) == count
    assert {key: state[key].shape for key in keys} == keys


@pytest.mark.usefixtures("no_init")
@pytest.mark.parametrize("name", ["alexnet", "vgg11", "resnet18", "resnet50", "cifar_resnet20"])
def test_number_of_classes(name):
    assert list(models.create(name, num_classes=7).state_dict().values())[-1].shape == (7,)


def test_names_of_models():
    assert set(models.names()) == {*PARAMETERS, "lenet5", "row_rnn", "row_gru", "row_lstm"}
    assert set(models.names()) <= set(models.__all__)


# ---- initial values ------------------------------------------------------------------------------------------------


def std_and_mean(array):
    values = array.ravel()[:SAMPLE].astype(np.float64)
    return values.std(), values.mean()


@pytest.mark.usefixtures("start_init")
@pytest.mark.parametrize("name", ["vgg11_bn", "vgg16", "resnet18", "resnet50", "cifar_resnet20", "alexnet"])
def test_initial_values(name):
    fastnn.manual_seed(0)
    for key, array in models.create(name).state_dict().items():
        owner, _, kind = key.rpartition(".")
        if array.ndim < 2:
            if name == "alexnet" or owner in ("fc", "linear"):  # as the layer's own constructor leaves it
                assert 0 < np.abs(array).max() < 0.2, key
            else:
                assert (array == (kind in ("weight", "running_var"))).all(), key
            continue
        fan_in, fan_out = math.prod(array.shape[1:]), array.shape[0] * math.prod(array.shape[2:])
        if name.startswith("cifar"):
            expected = math.sqrt(2 / fan_in)
        elif name == "alexnet" or owner == "fc":
            expected = math.sqrt(1 / 3 / fan_in)
        else:
            expected = 0.01 if array.ndim == 2 else math.sqrt(2 / fan_out)
        std, mean = std_and_mean(array)
        error = 5 / math.sqrt(min(array.size, SAMPLE))
        assert std == pytest.approx(expected, rel=error), key
        assert abs(mean) < error * expected, key


@pytest.mark.usefixtures("start_init")
@pytest.mark.parametrize("name", ["resnet18", "resnet50"])
def test_zero_init_residual(name):
    last = "bn2" if name == "resnet18" else "bn3"
    for zero in (False, True):
        for key, array in models.create(name, zero_init_residual=zero).state_dict().items():
            if ".bn" in key and key.endswith(".weight"):
                assert (array == (not (zero and last in key))).all()


@pytest.mark.usefixtures("no_init")
def test_dropout_and_init_weights():
    for name in ("alexnet", "vgg11_bn"):
        layers = models.create(name, dropout=0.25).modules()
        assert [m.p for m in layers if isinstance(m, nn.Dropout)] == [0.25, 0.25]


@pytest.mark.usefixtures("start_init")
def test_vgg_without_init_weights():
    bias = models.vgg11(init_weights=False, num_classes=2).features[0].bias.data
    assert 0 < np.abs(bias).max() <= 1 / math.sqrt(27)


def test_the_seed_decides_the_weights():
    def weights(seed):
        fastnn.manual_seed(seed)
        return models.cifar_resnet20().state_dict()["layer1.0.conv1.weight"]

    assert np.array_equal(weights(0), weights(0))
    assert not np.array_equal(weights(0), weights(1))


# ---- equality with PyTorch -----------------------------------------------------------------------------------------


class TorchModel:
    """The architectures once more, from torch.nn.functional and a state dict."""

    def __init__(self, torch, state, training):
        self.F = torch.nn.functional
        self.state = {key: torch.tensor(array) for key, array in state.items()}
        self.training = training
        for key, value in self.state.items():
            if value.is_floating_point() and "running" not in key:
                value.requires_grad_()

    def conv(self, x, name, stride=1, padding=0):
        return self.F.conv2d(x, self.state[f"{name}.weight"], self.state.get(f"{name}.bias"), stride, padding)

    def bn(self, x, name):
        mean, var, w, b = (self.state[f"{name}.{key}"] for key in ("running_mean", "running_var", "weight", "bias"))
        return self.F.batch_norm(x, mean, var, w, b, self.training, 0.1, 1e-5)

    def linear(self, x, name):
        return self.F.linear(x, self.state[f"{name}.weight"], self.state[f"{name}.bias"])

    def classifier(self, x, numbers):
        for n in numbers[:-1]:
            x = self.F.relu(self.linear(x, f"classifier.{n}"))
        return self.linear(x, f"classifier.{numbers[-1]}")

    def stage(self, x, name, stride, block):
        n = 0
        while f"{name}.{n}.conv1.weight" in self.state:
            x = block(x, f"{name}.{n}", stride if n == 0 else 1)
            n += 1
        return x

    def basic(self, x, name, stride):
        y = self.F.relu(self.bn(self.conv(x, f"{name}.conv1", stride, 1), f"{name}.bn1"))
        return self.F.relu(self.bn(self.conv(y, f"{name}.conv2", 1, 1), f"{name}.bn2") + self.shortcut(x, name, stride))

    def bottleneck(self, x, name, stride):
        y = self.F.relu(self.bn(self.conv(x, f"{name}.conv1"), f"{name}.bn1"))
        y = self.F.relu(self.bn(self.conv(y, f"{name}.conv2", stride, 1), f"{name}.bn2"))
        return self.F.relu(self.bn(self.conv(y, f"{name}.conv3"), f"{name}.bn3") + self.shortcut(x, name, stride))

    def shortcut(self, x, name, stride):
        if f"{name}.downsample.0.weight" in self.state:
            return self.bn(self.conv(x, f"{name}.downsample.0", stride), f"{name}.downsample.1")
        return x

    def option_a(self, x, name, stride):
        y = self.F.relu(self.bn(self.conv(x, f"{name}.conv1", stride, 1), f"{name}.bn1"))
        y = self.bn(self.conv(y, f"{name}.conv2", 1, 1), f"{name}.bn2")
        if stride != 1:
            pad = (y.shape[1] - x.shape[1]) // 2
            x = self.F.pad(x[:, :, ::2, ::2], (0, 0, 0, 0, pad, pad))
        return self.F.relu(y + x)

    def alexnet(self, x):
        x = self.F.max_pool2d(self.F.relu(self.conv(x, "features.0", 4, 2)), 3, 2)
        x = self.F.max_pool2d(self.F.relu(self.conv(x, "features.3", 1, 2)), 3, 2)
        for n in (6, 8, 10):
            x = self.F.relu(self.conv(x, f"features.{n}", 1, 1))
        x = self.F.adaptive_avg_pool2d(self.F.max_pool2d(x, 3, 2), 6)
        return self.classifier(x.flatten(1), (1, 4, 6))

    def vgg11_bn(self, x):
        for n, pool in ((0, 1), (4, 1), (8, 0), (11, 1), (15, 0), (18, 1), (22, 0), (25, 1)):
            x = self.F.relu(self.bn(self.conv(x, f"features.{n}", 1, 1), f"features.{n + 1}"))
            x = self.F.max_pool2d(x, 2) if pool else x
        return self.classifier(self.F.adaptive_avg_pool2d(x, 7).flatten(1), (0, 3, 6))

    def resnet18(self, x):
        return self.resnet(x, self.basic)

    def resnet50(self, x):
        return self.resnet(x, self.bottleneck)

    def resnet(self, x, block):
        x = self.F.max_pool2d(self.F.relu(self.bn(self.conv(x, "conv1", 2, 3), "bn1")), 3, 2, 1)
        for n, stride in ((1, 1), (2, 2), (3, 2), (4, 2)):
            x = self.stage(x, f"layer{n}", stride, block)
        return self.linear(x.mean((2, 3)), "fc")

    def cifar_resnet20(self, x):
        x = self.F.relu(self.bn(self.conv(x, "conv1", 1, 1), "bn1"))
        for n, stride in ((1, 1), (2, 2), (3, 2)):
            x = self.stage(x, f"layer{n}", stride, self.option_a)
        return self.linear(x.mean((2, 3)), "linear")


def relative_error(ours, theirs):
    return np.abs(ours - theirs).max() / max(np.abs(theirs).max(), 1e-30)


def compare(name, shape, dtype, training, tolerance, **arguments):
    """Scores, gradients of the input and of all parameters that want one, and the running statistics."""
    torch = pytest.importorskip("torch")
    fastnn.manual_seed(0)
    model = models.create(name, num_classes=5, **arguments).train(training)
    rng = np.random.default_rng(0)
    for array in model.state_dict().values():  # no value may stand for another one
        if array.ndim == 1:
            array += rng.uniform(0.1, 0.3, array.shape).astype(array.dtype)
    if dtype == np.float64:
        model.double()
    if name in ("alexnet", "vgg11_bn"):  # gradients of 100 million weights say nothing about the model
        model.classifier.requires_grad_(False)
    reference = TorchModel(torch, model.state_dict(), training)
    x, dy = rng.standard_normal(shape).astype(dtype), rng.standard_normal((shape[0], 5)).astype(dtype)

    ours, theirs = fastnn.tensor(x, requires_grad=True), torch.tensor(x, requires_grad=True)
    scores, expected = model(ours), getattr(reference, name)(theirs)
    assert relative_error(scores.detach().numpy(), expected.detach().numpy()) < tolerance
    trained = {key: p for key, p in model.named_parameters() if p.requires_grad}
    wanted = [theirs, *(reference.state[key] for key in trained)]
    gradients = torch.autograd.grad(expected, wanted, torch.tensor(dy))
    scores.backward(dy)
    for key, p, gradient in zip(("x", *trained), (ours, *trained.values()), gradients, strict=True):
        assert relative_error(p.grad.numpy(), gradient.numpy()) < 10 * tolerance, key
    for key, array in model.state_dict().items():
        if "running" in key:
            assert relative_error(array, reference.state[key].numpy()) < tolerance, key


@pytest.mark.parametrize("training", [True, False])
@pytest.mark.parametrize(
    ("name", "shape"), [("cifar_resnet20", (4, 3, 15, 18)), ("resnet18", (3, 3, 64, 57)), ("resnet50", (3, 3, 64, 64))]
)
def test_residual_networks_are_pytorchs(name, shape, training):
    compare(name, shape, np.float64, training, 1e-9)


@pytest.mark.usefixtures("quick_init")
@pytest.mark.parametrize(("name", "shape"), [("alexnet", (2, 3, 70, 63)), ("vgg11_bn", (2, 3, 32, 64))])
def test_alexnet_and_vgg_are_pytorchs(name, shape):
    compare(name, shape, np.float32, True, 1e-4, dropout=0.0)


def test_cifar_resnet_accepts_no_images():
    assert models.cifar_resnet20()(fastnn.zeros(0, 3, 32, 32)).shape == (0, 10)
