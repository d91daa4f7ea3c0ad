"""fastnn.models for images: names, shapes and counts of torchvision's parameters, and equality with PyTorch."""

import math
import re

import numpy as np
import pytest

import fastnn
from fastnn import models, nn
from fastnn.nn.init.distributions import skipped

# As published: in torchvision's documentation, with the weights of the papers of SE-Net and of the CIFAR networks, in
# Caffe's model zoo for AlexNet of 2012 (its bvlc_alexnet); for ZFNet the sum over the layers of the paper's figure 3.
PARAMETERS = {
    "alexnet": 61_100_840,
    "alexnet2012": 60_965_224,
    "zfnet": 62_357_608,
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
    "resnext50_32x4d": 25_028_904,
    "resnext101_32x8d": 88_791_336,
    "resnext101_64x4d": 83_455_272,
    "wide_resnet50_2": 68_883_240,
    "wide_resnet101_2": 126_886_696,
    "se_resnet18": 11_778_592,
    "se_resnet34": 21_958_868,
    "se_resnet50": 28_088_024,
    "se_resnet101": 49_326_872,
    "se_resnet152": 66_821_848,
    "cifar_resnet20": 269_722,
    "cifar_resnet32": 464_154,
    "cifar_resnet44": 658_586,
    "cifar_resnet56": 853_018,
    "cifar_resnet110": 1_727_962,
}
SAMPLE = 4099  # the values of a weight that statistics look at


@pytest.fixture
def no_init():
    """Initializers do nothing: for names and shapes the memory need not even be touched."""
    with skipped():
        yield


# ---- names, shapes and counts --------------------------------------------------------------------------------------


def conv(name, inputs, outputs, kernel, bias=False, groups=1):
    keys = {f"{name}.weight": (outputs, inputs // groups, kernel, kernel)}
    return keys | {f"{name}.bias": (outputs,)} if bias else keys


def bn(name, channels):
    per_channel = ("weight", "bias", "running_mean", "running_var")
    return {f"{name}.{key}": (channels,) for key in per_channel} | {f"{name}.num_batches_tracked": ()}


def linear(name, inputs, outputs):
    return {f"{name}.weight": (outputs, inputs), f"{name}.bias": (outputs,)}


def resnet(blocks, bottleneck=False, groups=1, base_width=64, se=False):
    keys = conv("conv1", 3, 64, 7) | bn("bn1", 64)
    inputs = 64
    for stage, count in enumerate(blocks):
        planes = 64 << stage
        outputs = 4 * planes if bottleneck else planes
        for block in range(count):
            name = f"layer{stage + 1}.{block}"
            if bottleneck:
                width = base_width * groups << stage
                keys |= conv(f"{name}.conv1", inputs, width, 1) | bn(f"{name}.bn1", width)
                keys |= conv(f"{name}.conv2", width, width, 3, groups=groups) | bn(f"{name}.bn2", width)
                keys |= conv(f"{name}.conv3", width, outputs, 1) | bn(f"{name}.bn3", outputs)
            else:
                keys |= conv(f"{name}.conv1", inputs, planes, 3) | bn(f"{name}.bn1", planes)
                keys |= conv(f"{name}.conv2", planes, planes, 3) | bn(f"{name}.bn2", planes)
            if block == 0 and inputs != outputs:
                keys |= conv(f"{name}.downsample.0", inputs, outputs, 1) | bn(f"{name}.downsample.1", outputs)
            if se:
                keys |= conv(f"{name}.se.fc1", outputs, outputs // 16, 1, bias=True)
                keys |= conv(f"{name}.se.fc2", outputs // 16, outputs, 1, bias=True)
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


# Inputs, outputs and window of the convolutions, by their place in `features`; groups last where there are any.
CONVOLUTIONS = {
    "alexnet": {0: (3, 64, 11), 3: (64, 192, 5), 6: (192, 384, 3), 8: (384, 256, 3), 10: (256, 256, 3)},
    "alexnet2012": {0: (3, 96, 11), 4: (96, 256, 5, 2), 8: (256, 384, 3), 10: (384, 384, 3, 2), 12: (384, 256, 3, 2)},
    "zfnet": {0: (3, 96, 7), 4: (96, 256, 5), 8: (256, 384, 3), 10: (384, 384, 3), 12: (384, 256, 3)},
}
BLOCKS = {18: (2, 2, 2, 2), 34: (3, 4, 6, 3), 50: (3, 4, 6, 3), 101: (3, 4, 23, 3), 152: (3, 8, 36, 3)}
WIDTHS = {"32x4d": (32, 4), "32x8d": (32, 8), "64x4d": (64, 4), "2": (1, 128)}


def expected_keys(name):
    if name in CONVOLUTIONS:
        keys = {}
        for n, (inputs, outputs, kernel, *groups) in CONVOLUTIONS[name].items():
            keys |= conv(f"features.{n}", inputs, outputs, kernel, True, *groups)
        first, second, third = (0, 3, 6) if name == "zfnet" else (1, 4, 6)
        sizes = {first: (9216, 4096), second: (4096, 4096), third: (4096, 1000)}
        return keys | {k: v for n, size in sizes.items() for k, v in linear(f"classifier.{n}", *size).items()}
    if name.startswith("vgg"):
        return vgg(vgg_positions(int(name[3:5]), "bn" in name), "bn" in name)
    if name.startswith("cifar"):
        return cifar_resnet((int(name[12:]) - 2) // 6)
    layers, form = re.fullmatch(r"[a-z_]+(\d+)_?(\w*)", name).groups()
    groups, base_width = WIDTHS.get(form, (1, 64))
    return resnet(BLOCKS[int(layers)], int(layers) >= 50, groups, base_width, se=name.startswith("se_"))


@pytest.mark.usefixtures("no_init")
@pytest.mark.parametrize("name", PARAMETERS)
def test_names_shapes_and_counts(name):
    model = models.get(name)
    state = model.state_dict()
    assert {key: array.shape for key, array in state.items()} == expected_keys(name)
    if not name.startswith("se_"):  # there, the order is fastnn's own
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
    state = models.get(name).state_dict()
    assert len(state) == count
    assert {key: state[key].shape for key in keys} == keys


@pytest.mark.usefixtures("no_init")
@pytest.mark.parametrize("name", models.list(exclude=["mlp", "linear_classifier", "char_rnn"]))
def test_classes_and_channels(name):
    state = models.get(name, num_classes=7, in_channels=5).state_dict()
    keys = [key for key in state if key.endswith("bias") and "aux" not in key and ".se." not in key]
    assert state[keys[-1]].shape == (7,)
    first = next(iter(state.values()))
    assert first.shape[1] == (5 * 28 if name.startswith("row") else 5)


# ---- networks by name ----------------------------------------------------------------------------------------------


def test_names_of_networks():
    others = [
        "lenet5",
        "googlenet",
        "inception_bn",
        "mlp",
        "linear_classifier",
        "row_rnn",
        "row_gru",
        "row_lstm",
        "char_rnn",
    ]
    assert models.list() == sorted([*PARAMETERS, *others])
    assert set(models.list()) <= set(models.__all__)
    assert models.list("vgg1?") == ["vgg11", "vgg13", "vgg16", "vgg19"]
    assert models.list(["row_*", "*lexnet"]) == ["alexnet", "row_gru", "row_lstm", "row_rnn"]
    assert models.list("resne?18", exclude="*") == []
    assert models.list("*resnet50*", exclude=["wide*", "se*"]) == ["resnet50"]
    with pytest.raises(TypeError, match=r"models\.list: include is 3; expected a pattern, or several"):
        models.list(3)
    with pytest.raises(TypeError, match=r"models\.list: exclude is \['a', None\]; expected a pattern"):
        models.list(exclude=["a", None])


def test_networks_by_name():
    assert type(models.get("lenet5")) is models.LeNet5
    assert type(models.get("lenet5", original=True)) is models.OriginalLeNet5
    assert models.get("lenet5", 7, 3)(fastnn.ones(1, 3, 28, 28)).shape == (1, 7)
    assert models.get("mlp", 7, hidden=(5,))(fastnn.ones(1, 784)).shape == (1, 7)
    assert models.get("char_rnn", 7, hidden_size=5).linear.weight.shape == (7, 5)
    with pytest.raises(TypeError, match=r"models\.get: name is None; expected a string"):
        models.get(None)
    with pytest.raises(ValueError, match=r"models.get: there is no network 'resnet81'; did you mean resnet18 or "):
        models.get("resnet81")
    with pytest.raises(ValueError, match=r"there is no network 'xyz'; models.list\(\) has all names"):
        models.get("xyz")
    with pytest.raises(TypeError, match="unexpected keyword argument 'colour'"):
        models.get("cifar_resnet20", colour=3)


def test_arguments_that_networks_do_not_take():
    with pytest.raises(ValueError, match="CifarResNet: blocks is 0; expected at least 1"):
        models.CifarResNet(0)
    with pytest.raises(TypeError, match="add_squeeze_excitation: model is int; expected a Module"):
        models.add_squeeze_excitation(3)
    assert isinstance(models.resnet18(norm_layer=None).bn1, nn.BatchNorm2d)


# ---- initial values ------------------------------------------------------------------------------------------------


def std_and_mean(array):
    values = array.ravel()[:SAMPLE].astype(np.float64)
    return values.std(), values.mean()


@pytest.mark.parametrize("name", ["vgg11_bn", "vgg16", "resnet18", "cifar_resnet20", "alexnet", "se_resnet18"])
def test_initial_values(name):
    fastnn.manual_seed(0)
    for key, array in models.get(name).state_dict().items():
        owner, _, kind = key.rpartition(".")
        if array.ndim < 2:
            if (
                name == "alexnet" or owner in ("fc", "linear") or ".se." in owner
            ):  # as the layer's own constructor leaves it
                assert 0 < np.abs(array).max() < (0.5 if ".se." in owner else 0.2), key
            else:
                assert (array == (kind in ("weight", "running_var"))).all(), key
            continue
        fan_in, fan_out = math.prod(array.shape[1:]), array.shape[0] * math.prod(array.shape[2:])
        if name.startswith("cifar"):
            expected = math.sqrt(2 / fan_in)
        elif name == "alexnet" or owner == "fc" or ".se." in owner:
            expected = math.sqrt(1 / 3 / fan_in)
        else:
            expected = 0.01 if array.ndim == 2 else math.sqrt(2 / fan_out)
        std, mean = std_and_mean(array)
        error = 5 / math.sqrt(min(array.size, SAMPLE))
        assert std == pytest.approx(expected, rel=error), key
        assert abs(mean) < error * expected, key


@pytest.mark.parametrize(("name", "ones"), [("alexnet2012", (4, 10, 12, 1, 4)), ("zfnet", ())])
def test_initial_values_of_early_networks(name, ones):
    for n, (key, array) in enumerate(models.get(name).state_dict().items()):
        if array.ndim == 1:
            number = int(key.split(".")[1])
            place = ones[:3] if key.startswith("features") else ones[3:]
            assert (array[:SAMPLE] == (number in place)).all(), (n, key)
        else:
            assert std_and_mean(array)[0] == pytest.approx(0.01, rel=0.08), key


@pytest.mark.parametrize("name", ["resnet18", "resnet50"])
def test_zero_init_residual(name):
    last = "bn2" if name == "resnet18" else "bn3"
    for zero in (False, True):
        for key, array in models.get(name, zero_init_residual=zero).state_dict().items():
            if ".bn" in key and key.endswith(".weight"):
                assert (array == (not (zero and last in key))).all()


@pytest.mark.usefixtures("no_init")
def test_dropout_and_init_weights():
    for name in ("alexnet", "vgg11_bn"):
        layers = models.get(name, dropout=0.25).modules()
        assert [m.p for m in layers if isinstance(m, nn.Dropout)] == [0.25, 0.25]


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
        self.state = {key: torch.as_tensor(array).clone() for key, array in state.items()}
        self.training = training
        for key, value in self.state.items():
            if value.is_floating_point() and "running" not in key:
                value.requires_grad_()

    def conv(self, x, name, stride=1, padding=0, dilation=1):
        w = self.state[f"{name}.weight"]
        groups = x.shape[1] // w.shape[1]
        return self.F.conv2d(x, w, self.state.get(f"{name}.bias"), stride, padding, dilation, groups)

    def bn(self, x, name):
        mean, var, w, b = (self.state[f"{name}.{key}"] for key in ("running_mean", "running_var", "weight", "bias"))
        return self.F.batch_norm(x, mean, var, w, b, self.training, 0.1, 1e-5)

    def linear(self, x, name):
        return self.F.linear(x, self.state[f"{name}.weight"], self.state[f"{name}.bias"])

    def classifier(self, x, numbers):
        for n in numbers[:-1]:
            x = self.F.relu(self.linear(x, f"classifier.{n}"))
        return self.linear(x, f"classifier.{numbers[-1]}")

    def stage(self, x, name, stride, block, dilations=(1, 1)):
        n = 0
        while f"{name}.{n}.conv1.weight" in self.state:
            x = block(x, f"{name}.{n}", stride if n == 0 else 1, dilations[n > 0])
            n += 1
        return x

    def basic(self, x, name, stride, _):
        y = self.F.relu(self.bn(self.conv(x, f"{name}.conv1", stride, 1), f"{name}.bn1"))
        y = self.bn(self.conv(y, f"{name}.conv2", 1, 1), f"{name}.bn2")
        return self.F.relu(self.excited(y, name) + self.shortcut(x, name, stride))

    def bottleneck(self, x, name, stride, dilation):
        y = self.F.relu(self.bn(self.conv(x, f"{name}.conv1"), f"{name}.bn1"))
        y = self.F.relu(self.bn(self.conv(y, f"{name}.conv2", stride, dilation, dilation), f"{name}.bn2"))
        y = self.bn(self.conv(y, f"{name}.conv3"), f"{name}.bn3")
        return self.F.relu(self.excited(y, name) + self.shortcut(x, name, stride))

    def excited(self, x, name):
        if f"{name}.se.fc1.weight" not in self.state:
            return x
        y = self.F.relu(self.conv(x.mean((2, 3), keepdim=True), f"{name}.se.fc1"))
        return x * self.conv(y, f"{name}.se.fc2").sigmoid()

    def shortcut(self, x, name, stride):
        if f"{name}.downsample.0.weight" in self.state:
            return self.bn(self.conv(x, f"{name}.downsample.0", stride), f"{name}.downsample.1")
        return x

    def option_a(self, x, name, stride, _):
        y = self.F.relu(self.bn(self.conv(x, f"{name}.conv1", stride, 1), f"{name}.bn1"))
        y = self.excited(self.bn(self.conv(y, f"{name}.conv2", 1, 1), f"{name}.bn2"), name)
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

    def alexnet2012(self, x):
        x = self.F.relu(self.conv(x, "features.0", 4))
        x = self.F.relu(self.conv(self.F.max_pool2d(self.normalized(x), 3, 2), "features.4", 1, 2))
        x = self.F.max_pool2d(self.normalized(x), 3, 2)
        for n in (8, 10, 12):
            x = self.F.relu(self.conv(x, f"features.{n}", 1, 1))
        x = self.F.adaptive_avg_pool2d(self.F.max_pool2d(x, 3, 2), 6)
        return self.classifier(x.flatten(1), (1, 4, 6))

    def zfnet(self, x):
        for n, pad in ((0, 1), (4, 0)):
            x = self.F.relu(self.conv(x, f"features.{n}", 2, pad))
            x = self.normalized(self.F.max_pool2d(x, 3, 2, ceil_mode=True))
        for n in (8, 10, 12):
            x = self.F.relu(self.conv(x, f"features.{n}", 1, 1))
        x = self.F.adaptive_avg_pool2d(self.F.max_pool2d(x, 3, 2), 6)
        return self.classifier(x.flatten(1), (0, 3, 6))

    def normalized(self, x):
        """Over 5 neighbouring channels, with the constants of section 3.3 of the paper."""
        squares = self.F.pad(x * x, (0, 0, 0, 0, 2, 2))
        sums = sum(squares[:, i : i + x.shape[1]] for i in range(5))
        return x / (2 + 1e-4 * sums) ** 0.75

    def vgg(self, x):
        convolutions = [int(key.split(".")[1]) for key, w in self.state.items() if "features" in key and w.ndim == 4]
        for n, following in zip(convolutions, [*convolutions[1:], None], strict=True):
            x, normalised = self.conv(x, f"features.{n}", 1, 1), f"features.{n + 1}.running_mean" in self.state
            x = self.F.relu(self.bn(x, f"features.{n + 1}") if normalised else x)
            if following != n + 2 + normalised:  # a number without parameters
                x = self.F.max_pool2d(x, 2)
        return self.classifier(self.F.adaptive_avg_pool2d(x, 7).flatten(1), (0, 3, 6))

    def resnet18(self, x):
        return self.resnet(x, self.basic)

    def resnet50(self, x):
        return self.resnet(x, self.bottleneck)

    def resnet(self, x, block):
        stages = ((1, 1), (2, 2), (3, 2), (4, 2))
        return self.stages(x, block, stages)

    def dilated_resnet(self, x):
        return self.stages(x, self.bottleneck, ((1, 1), (2, 2), (3, 1, (1, 2)), (4, 1, (2, 4))))

    def stages(self, x, block, stages):
        x = self.F.max_pool2d(self.F.relu(self.bn(self.conv(x, "conv1", 2, 3), "bn1")), 3, 2, 1)
        for n, stride, *dilations in stages:
            x = self.stage(x, f"layer{n}", stride, block, *dilations)
        return self.linear(x.mean((2, 3)), "fc")

    def cifar_resnet20(self, x):
        x = self.F.relu(self.bn(self.conv(x, "conv1", 1, 1), "bn1"))
        for n, stride in ((1, 1), (2, 2), (3, 2)):
            x = self.stage(x, f"layer{n}", stride, self.option_a)
        return self.linear(x.mean((2, 3)), "linear")


def architecture(name):
    """The method of `TorchModel` that computes the network of this name."""
    families = {"vgg": "vgg", "cifar": "cifar_resnet20", "alexnet": name, "zfnet": name}
    for start, method in families.items():
        if name.startswith(start):
            return method
    return "resnet18" if name.endswith(("18", "34")) else "resnet50"


def relative_error(ours, theirs):
    return np.abs(ours - theirs).max() / max(np.abs(theirs).max(), 1e-30)


def compare(make, name, shape, dtype, training, tolerance):
    """Scores, gradients of the input and of all parameters that want one, and the running statistics.

    `name` is the method of `TorchModel` that computes the same as the model that `make` makes.
    """
    torch = pytest.importorskip("torch")
    fastnn.manual_seed(0)
    model = make().train(training)
    rng = np.random.default_rng(0)
    for array in model.state_dict().values():  # no value may stand for another one
        if array.ndim == 1:
            array += rng.uniform(0.1, 0.3, array.shape).astype(array.dtype)
    if dtype == np.float64:
        model.double()
    if hasattr(model, "classifier"):  # gradients of 100 million weights say nothing about the model
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


@pytest.mark.parametrize(
    ("name", "shape", "training"),
    [
        ("cifar_resnet20", (4, 3, 15, 18), True),
        ("cifar_resnet20", (4, 3, 15, 18), False),
        ("resnet18", (3, 3, 64, 57), True),
    ],
)
def test_residual_networks_are_pytorchs(name, shape, training):
    compare(lambda: models.get(name, num_classes=5), name, shape, np.float64, training, 1e-9)


def small(block=models.Bottleneck, **options):
    return models.ResNet(block, (1, 1, 2, 2), num_classes=5, **options)


@pytest.mark.parametrize(
    ("make", "name", "training"),
    [
        (lambda: small(width_per_group=16), "resnet50", False),
        (small, "resnet50", True),
        (
            lambda: small(groups=4, width_per_group=8, replace_stride_with_dilation=[False, True, True]),
            "dilated_resnet",
            True,
        ),
        (lambda: models.add_squeeze_excitation(small(groups=4, width_per_group=4), 5), "resnet50", True),
        (lambda: models.add_squeeze_excitation(small(models.BasicBlock)), "resnet18", False),
        (lambda: models.add_squeeze_excitation(models.CifarResNet(1, 5), 4), "cifar_resnet20", True),
    ],
    ids=["narrow", "plain", "dilated groups", "se bottleneck", "se basic", "se cifar"],
)
def test_options_of_residual_networks(make, name, training):
    compare(make, name, (2, 3, 41, 35), np.float64, training, 1e-9)


@pytest.mark.parametrize(
    ("name", "shape", "training"),
    [
        ("alexnet", (2, 3, 70, 63), True),
        ("alexnet2012", (2, 3, 70, 67), True),
        ("zfnet", (2, 3, 70, 63), True),
        (
            "vgg11_bn",
            (2, 3, 32, 64),
            False,
        ),  # in training, biases in front of BatchNorm have gradients of rounding alone
    ],
)
def test_early_networks_and_vgg_are_pytorchs(name, shape, training):
    compare(lambda: models.get(name, num_classes=5, dropout=0.0), architecture(name), shape, np.float32, training, 1e-4)


@pytest.mark.usefixtures("no_init")
@pytest.mark.parametrize(
    "name",
    [
        "alexnet",
        "alexnet2012",
        "zfnet",
        "vgg13",
        "resnet34",
        "resnext50_32x4d",
        "wide_resnet50_2",
        "se_resnet34",
        "se_resnet50",
        "cifar_resnet56",
    ],
)
def test_weights_that_pytorch_saved_give_its_scores(name, tmp_path):
    torch = pytest.importorskip("torch")
    torch.manual_seed(0)
    model = models.get(name, num_classes=5).eval()
    saved = {key: torch.zeros(array.shape, dtype=torch.int64) for key, array in model.state_dict().items()}
    for key, value in saved.items():
        if value.ndim > 1:
            saved[key] = torch.randn(value.shape) * (2 / value[0].numel()) ** 0.5
        elif value.ndim == 1:  # no value may stand for another one
            saved[key] = torch.rand(value.shape) / 2 + 0.5
    path = tmp_path / f"{name}.pt"
    torch.save(saved, path)
    assert model.load_state_dict(fastnn.load(path)) == ([], [])
    path.unlink()
    x = torch.randn(1, 3, 67, 80)
    with torch.no_grad(), fastnn.no_grad():
        expected = getattr(TorchModel(torch, saved, False), architecture(name))(x)
        assert relative_error(model(fastnn.tensor(x.numpy())).numpy(), expected.numpy()) < 1e-4


@pytest.mark.usefixtures("no_init")
@pytest.mark.parametrize(
    ("name", "side", "pixels"), [("alexnet2012", 227, [55, 27, 13, 6]), ("zfnet", 224, [110, 55, 26, 13, 6])]
)
def test_pixels_of_the_papers(name, side, pixels):
    x, found = fastnn.zeros(1, 3, side, side), []
    for layer in models.get(name).features:
        if isinstance(layer, nn.Conv2d):  # its result without its work
            size = [
                (n + 2 * p - k) // s + 1
                for n, p, k, s in zip(x.shape[2:], layer.padding, layer.kernel_size, layer.stride, strict=True)
            ]
            x = fastnn.zeros(1, layer.out_channels, *size)
        elif isinstance(layer, nn.MaxPool2d):
            x = layer(x)
        if x.shape[3] not in found:
            found.append(x.shape[3])
    assert [n for n in found if n != side] == pixels


def test_errors_of_residual_networks():
    cases = [
        (ValueError, r"BasicBlock: groups is 2 and base_width 64", lambda: models.resnet18(groups=2)),
        (
            NotImplementedError,
            "BasicBlock: dilation is 2",
            lambda: small(models.BasicBlock, replace_stride_with_dilation=[1, 0, 0]),
        ),
        (
            ValueError,
            "replace_stride_with_dilation is .True.; expected",
            lambda: models.resnet50(replace_stride_with_dilation=[True]),
        ),
        (ValueError, "MLP has no residual blocks", lambda: models.add_squeeze_excitation(models.mlp())),
        (
            ValueError,
            "reduction is 17; expected 1 to 16",
            lambda: models.add_squeeze_excitation(models.cifar_resnet20(), 17),
        ),
        (ValueError, "reduction is 0", lambda: models.add_squeeze_excitation(models.cifar_resnet20(), 0)),
        (
            ValueError,
            "has a squeeze-and-excitation already",
            lambda: models.add_squeeze_excitation(models.se_resnet18()),
        ),
    ]
    for error, message, make in cases:
        with pytest.raises(error, match=message):
            make()


def test_any_residual_block_is_excited_before_the_addition():
    class Doubling(models.ResidualBlock):
        def residual(self, x):
            return x * 2

    x = fastnn.randn(2, 3, 4, 5)
    block = models.add_squeeze_excitation(Doubling(3), reduction=2)
    y = (block.se(x * 2) + x).detach().numpy()
    np.testing.assert_allclose(block(x).detach().numpy(), np.maximum(y, 0), rtol=1e-5, atol=1e-6)


def test_cifar_resnet_accepts_no_images():
    assert models.cifar_resnet20()(fastnn.zeros(0, 3, 32, 32)).shape == (0, 10)
