"""Summaries of models: published figures, the shapes and products of a real forward pass, receptive fields that
gradients confirm, and nothing computed."""

import gc
import json
import resource

import numpy as np
import pytest

import fastnn
from fastnn import cli, models, nn, ops
from fastnn import functional as F
from fastnn.receptive_fields import ReceptiveField
from fastnn.tracing import tracing


def layer(found, name):
    (one,) = (row for row in found.layers if row.name == name)
    return one


# Multiply-adds and parameters for 3x224x224 as torchvision's documentation gives them (GFLOPS and number of
# parameters). Receptive fields as Araujo et al. (2019) have them for AlexNet; that of ResNet-50 is 483 with strides in
# the first convolution of a block, as theirs has them, and 427 with strides in the second.
@pytest.mark.parametrize(
    ("name", "giga", "parameters"),
    [
        ("resnet18", 1.81, 11689512),
        ("resnet50", 4.09, 25557032),
        ("resnet34", 3.66, 21797672),
        ("alexnet", 0.71, 61100840),
    ],
)
def test_published_figures(name, giga, parameters):
    found = fastnn.summary(models.get(name), (1, 3, 224, 224))
    assert round(found.multiply_adds / 1e9, 2) == giga
    assert found.parameters == found.trainable_parameters == parameters
    assert found.layers[0].output_shape == (1, 1000)
    fields = {"resnet50": ("layer4", 427, 32), "alexnet": ("features", 195, 32)}
    if name in fields:
        last, size, stride = fields[name]
        field = layer(found, last).receptive_field
        assert (field.size, field.stride) == ((size, size), (stride, stride))


def test_resnet50_costs_neither_memory_nor_kernels():
    gc.collect()  # models of other tests
    model = models.resnet50()
    before, resident = ops.memory_stats(), resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    found = fastnn.summary(model, (64, 3, 224, 224))
    assert found.multiply_adds == 64 * 4089184256
    assert found.activation_bytes > 9e9  # which is not there
    assert ops.memory_stats() == before
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - resident < 100_000  # kB


class Mixed(nn.Module):
    """Much of what layers and plain operations are combined to."""

    def __init__(self):
        super().__init__()
        self.stem = nn.Sequential(nn.Conv2d(3, 8, 5, stride=2, padding=1, bias=False), nn.BatchNorm2d(8), nn.ReLU())
        self.left = nn.Conv2d(8, 8, 3, padding=2, dilation=2, groups=4)
        self.right = nn.Sequential(nn.Conv2d(8, 4, 1), nn.Conv2d(4, 8, (1, 7), padding="same"))
        self.pool = nn.AvgPool2d(3, 2, 1)
        self.up = nn.ConvTranspose2d(16, 6, 4, stride=2, padding=1)
        self.drop = nn.Dropout(0.5)
        self.unused = nn.ModuleList([nn.Linear(3, 3)])
        self.fc = nn.Linear(6, 5)

    def forward(self, x):
        x = self.stem(x)
        x = fastnn.cat([self.left(x) + x, F.max_pool2d(self.right(x), 3, 1, 1)], dim=1)
        x = self.up(self.pool(x))[:, :, 1:-1, ::2]
        self.seen = x
        return self.fc(self.drop(F.tanh(x).mean((2, 3))))


def test_shapes_and_bytes_are_those_of_a_forward_pass():
    model, shape = Mixed(), (2, 3, 19, 23)
    found = fastnn.summary(model, shape)
    shapes, total = {}, []
    for name, module in model.named_modules():
        module.register_forward_hook(lambda m, args, y, name=name: shapes.update({name: y.shape}))
    with fastnn.no_grad():
        model.eval()(fastnn.randn(*shape))
    assert {row.name: row.output_shape for row in found.layers if row.called} == shapes
    assert [row.name for row in found.layers if not row.called] == ["unused.0"]
    assert [row.depth for row in found.layers if row.name in ("", "stem", "stem.0", "unused.0")] == [0, 1, 2, 2]
    expected = {
        "stem.0": 2 * 8 * 9 * 11 * 3 * 25,
        "left": 2 * 8 * 9 * 11 * 2 * 9,
        "right": 2 * 9 * 11 * (4 * 8 + 8 * 4 * 7),
        "up": 2 * 16 * 5 * 6 * 6 * 16,
        "fc": 2 * 6 * 5,
        "pool": 0,
    }
    for name, count in expected.items():
        assert layer(found, name).multiply_adds == count, name
        total.append(count)
    assert found.multiply_adds == sum(total) - 0 + 0
    assert layer(found, "stem").activation_bytes == 3 * 4 * 2 * 8 * 9 * 11
    assert layer(found, "drop").activation_bytes == 0
    assert found.parameters == sum(p.numel() for p in model.parameters())


def extents(model, shape, output):
    """What a pixel in the middle of an output and the next one see: rows and columns of x with a gradient."""
    x = fastnn.tensor(np.random.default_rng(0).random(shape), requires_grad=True)
    y = output(model.double().eval(), x)
    middle = [(n - 1) // 2 for n in y.shape[2:]]
    spans = []
    for pixel in (middle, [m + 1 for m in middle]):
        dy = np.zeros(y.shape)
        dy[(0, slice(None), *pixel)] = np.random.default_rng(1).random(y.shape[1])
        x.grad = None
        y.backward(fastnn.tensor(dy), retain_graph=True)
        axes = [np.flatnonzero(np.abs(x.grad.numpy()).sum(axis=tuple({0, 1, 2, 3}.difference({a})))) for a in (2, 3)]
        spans.append([(a[0], a[-1]) for a in axes])
    return middle, *spans


@pytest.mark.parametrize(
    ("model", "shape"),
    [
        (Mixed(), (1, 3, 61, 67)),
        (nn.Sequential(nn.Conv2d(1, 2, 3, padding=1), nn.Conv2d(2, 1, 5, stride=3), nn.AvgPool2d(2)), (1, 1, 61, 50)),
        (nn.Sequential(nn.Conv2d(1, 2, 2, padding="same"), nn.Conv2d(2, 1, (3, 1), dilation=3)), (1, 1, 31, 30)),
        (models.cifar_resnet20(), (1, 3, 96, 96)),
    ],
    ids=["mixed", "windows", "same", "cifar_resnet20"],
)
def test_receptive_fields_are_where_gradients_flow(model, shape):
    def output(model, x):
        if isinstance(model, nn.Sequential):
            return model(x)
        if isinstance(model, Mixed):
            model(x)
            return model.seen
        x = model.relu(model.bn1(model.conv1(x)))
        return model.layer2[0](model.layer1[0](x))

    middle, first, second = extents(model, shape, output)
    slack = 1 if isinstance(model, Mixed) else 0  # the centre behind a transposed convolution is a mean
    with tracing() as trace:
        x = trace.input(shape, np.dtype("f8"))
        y = output(model.double().eval(), x)
        fields = trace.fields(y)
    for axis, m, (low, high), (next_low, next_high) in zip(fields, middle, first, second, strict=True):
        start = axis.centre - (axis.size - 1) / 2 + m * axis.stride
        assert start <= low + slack
        assert high <= start + axis.size - 1 + slack
        assert (high - low + 1, low) == (axis.size, start) or axis.stride.denominator != 1 or isinstance(model, Mixed)
        assert next_low - low + next_high - high == 2 * axis.stride or isinstance(model, Mixed)


def test_fields_that_are_not_known_are_not_guessed():
    class Odd(nn.Module):
        def __init__(self, function):
            super().__init__()
            self.function = function

        def forward(self, x):
            return self.function(x)

    def field(function, shape=(1, 4, 8, 8)):
        return fastnn.summary(Odd(function), shape).layers[0].receptive_field

    pixel = ReceptiveField((1, 1), (1, 1), (0, 0))
    assert field(lambda x: x * 2 + 1) == pixel
    assert field(lambda x: x.permute(0, 1, 3, 2)[:, :, :, :4]) is None
    assert field(lambda x: x[:, :, ::-1]) is None
    assert field(lambda x: x.permute(0, 1, 3, 2)) is None
    assert field(lambda x: x.reshape(1, 4, 4, 16)) is None
    assert field(lambda x: F.adaptive_avg_pool2d(x, 3)) is None
    assert field(lambda x: F.linear(x, fastnn.ones(3, 8))) is None
    assert field(lambda x: F.conv2d(x, fastnn.ones(4, 4, 3, 3)) + x[:, :, :6, :6]) == ReceptiveField(
        (3, 3), (1, 1), (1, 1)
    )
    assert field(
        lambda x: fastnn.cat([x, x[:, :, ::2, ::2]], 2) if x.ndim == 3 else x[:, :, 1::2, 3:]
    ) == ReceptiveField((1, 1), (2, 1), (1, 3))
    gate = field(lambda x: x * F.sigmoid(x.mean((2, 3), keepdim=True)))
    assert gate == ReceptiveField((8, 8), (0, 0), (3.5, 3.5))
    assert field(lambda x: x.flatten(1)) == gate
    assert field(lambda x: x.mean(2), (1, 4, 8)) is not None


def test_the_model_is_left_as_it_is():
    model = models.resnet18(num_classes=3)
    model.freeze("conv1")
    model.layer1.eval()
    state = {name: value.copy() for name, value in model.state_dict().items()}
    modes = [m.training for m in model.modules()]
    found = fastnn.summary(model, (2, 3, 32, 32))
    assert found.parameters - found.trainable_parameters == 64 * 3 * 49
    with pytest.raises(ValueError, match="weight has 3 input channels, x has 4"):
        fastnn.summary(model, (2, 4, 32, 32))
    assert [m.training for m in model.modules()] == modes
    assert not any(m._forward_hooks or m._forward_pre_hooks for m in model.modules())
    for name, value in model.state_dict().items():
        np.testing.assert_array_equal(value, state[name])
    y = model.eval()(fastnn.ones(1, 3, 32, 32))  # and kernels run again
    assert np.abs(y.detach().numpy()).max() > 0


def test_other_inputs_and_outputs():
    found = fastnn.summary(nn.LSTM(5, 7, num_layers=2, bidirectional=True), (11, 3, 5))
    assert found.layers[0].output_shape == [(11, 3, 14), [(4, 3, 7), (4, 3, 7)]]
    assert found.multiply_adds == 11 * 3 * 2 * 4 * 7 * (5 + 7 + 14 + 7)
    assert fastnn.summary(nn.Embedding(10, 4), (2, 3), dtype="int64").layers[0].output_shape == (2, 3, 4)
    conv = nn.Conv1d(2, 3, 5, stride=2, padding=1)
    row = fastnn.summary(nn.Sequential(conv, nn.BatchNorm1d(3), nn.ReLU()), (4, 2, 20)).layers[-1]
    assert (row.output_shape, row.receptive_field) == ((4, 3, 9), ReceptiveField((5,), (2,), (1,)))

    class Product(nn.Module):
        def forward(self, a, b):
            return {"product": a @ b}

    found = fastnn.summary(Product(), [(2, 3, 4), (2, 4, 5)])
    assert (found.layers[0].output_shape, found.multiply_adds) == ({"product": (2, 3, 5)}, 2 * 3 * 4 * 5)
    assert fastnn.summary(nn.Conv2d(3, 4, 3), (0, 3, 8, 8)).layers[0].output_shape == (0, 4, 6, 6)
    assert json.dumps(fastnn.summary(nn.ReLU(), (np.int64(2), 3)).to_dict()["input_shape"]) == "[2, 3]"
    relu = nn.ReLU()
    twice = nn.Sequential(nn.Conv2d(1, 1, 1), relu, relu)
    assert [row.name for row in fastnn.summary(twice, (1, 1, 2, 2)).layers] == ["", "0", "1", "1"]


@pytest.mark.parametrize("shape", [5, (1, "x"), (1, -2), [(1, 2), 3]])
def test_shapes_that_are_none(shape):
    with pytest.raises(TypeError, match="summary: input_shape is"):
        fastnn.summary(nn.ReLU(), shape)
    with pytest.raises(TypeError, match="summary: model is int"):
        fastnn.summary(3, (1,))


def test_as_data_and_as_text(capsys):
    found = fastnn.summary(models.lenet5(), (1, 1, 28, 28))
    data = json.loads(json.dumps(found.to_dict()))
    assert data["multiply_adds"] == found.multiply_adds == 6 * 784 * 25 + 16 * 100 * 150 + 400 * 120 + 120 * 84 + 840
    assert data["layers"][1]["receptive_field"] == {"size": [5, 5], "stride": [1, 1], "centre": [0, 0]}
    lines = str(found).splitlines()
    assert lines[0].split() == [
        "layer",
        "kind",
        "output",
        "parameters",
        "multiply-adds",
        "activations",
        "receptive",
        "field",
    ]
    assert lines[2].split()[:4] == ["conv1", "Conv2d", "1x6x28x28", "156"]

    pair = fastnn.summary(fastnn.ensemble([nn.Sequential(nn.Linear(3, 2)), nn.Linear(3, 2)]), (1, 3))
    assert [line[:8].rstrip() for line in str(pair).splitlines()[1:5]] == ["", "models.0", "  0", "models.1"]

    assert cli.main(["summary", "lenet5", "--json"]) == 0
    assert json.loads(capsys.readouterr().out) == data
    assert cli.main(["summary", "cifar_resnet20", "--batch-size", "2", "--num-classes", "7"]) == 0
    assert "2x7" in capsys.readouterr().out
    assert cli.main(["summary", "lenet5", "--input", "3x28x28"]) == 2
    assert (
        "lenet5 does not take images of 3x28x28: conv2d_forward: weight has 1 input channels" in capsys.readouterr().err
    )
    assert cli.main(["summary", "nothing"]) == 2
    with pytest.raises(SystemExit):
        cli.main(["summary", "lenet5", "--input", "3x0"])


def test_every_model_can_be_summarised():
    for name in models.list(exclude=["char_rnn", "vgg*", "*101*", "*152", "wide*", "*34", "*44", "*56", "*110"]):
        assert cli.main(["summary", name]) == 0, name


# ---- tracing ------------------------------------------------------------------------------------------------------


def test_traced_ops_check_and_note_but_do_not_compute():
    x = np.ones((2, 3, 8, 8), np.float32)
    calls = []
    assert ops.trace(calls) is None
    try:
        y = ops.conv2d_forward(x, np.ones((4, 3, 3, 3), np.float32), None, 2, 1, 1)
        z = ops.relu_forward(x)
        with pytest.raises(ValueError, match="matmul"):
            ops.matmul(x, x[:, :, :5])
        assert ops.trace(calls) is calls
    finally:
        ops.trace(None)
    assert (y.shape, z.shape, y.any(), z.any()) == ((2, 4, 4, 4), (2, 3, 8, 8), False, False)
    assert y.transpose(0, 2, 3, 1).flags.c_contiguous
    assert y.flags.writeable
    names = [name for name, _, _ in calls]
    assert names[-2:] == ["conv2d_forward", "relu_forward"]
    assert calls[-2][1:] == (2 * 4 * 16 * 27, ((3, 3), (2, 2), (1, 1), (1, 1), False))
    assert ops.relu_forward(x).all()
    with pytest.raises(TypeError, match="trace: calls is a int; expected a list or None"):
        ops.trace(3)


def test_a_trace_is_of_its_thread():
    import threading

    results = []
    with tracing():
        thread = threading.Thread(target=lambda: results.append(ops.relu_forward(np.ones(4, np.float32))))
        thread.start()
        thread.join()
    assert results[0].all()
    with pytest.raises(RuntimeError, match="broken"), tracing():
        raise RuntimeError("broken")
    assert ops.relu_forward(np.ones(4, np.float32)).all()


# ---- formulas -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("size", [7, 8, 13])
@pytest.mark.parametrize("window", [(3, 1, 0, 1), (3, 2, 1, 1), (2, 3, 1, 1), (3, 2, 1, 2), (5, 4, 2, 1)])
@pytest.mark.parametrize("ceil_mode", [False, True])
def test_output_sizes_are_those_of_pooling(size, window, ceil_mode):
    kernel, stride, padding, dilation = window
    y = F.max_pool2d(fastnn.ones(1, 1, size, size + 1), kernel, stride, padding, dilation, ceil_mode)
    assert fastnn.conv_output_size(size, *window, ceil_mode=ceil_mode) == y.shape[2]
    assert fastnn.conv_output_size((size, size + 1), *window, ceil_mode=ceil_mode) == y.shape[2:]


def test_errors_of_the_formulas():
    with pytest.raises(ValueError, match="conv_output_size: the window covers 9 elements, the padded input has 8"):
        fastnn.conv_output_size(6, 5, padding=1, dilation=2)
    with pytest.raises(ValueError, match="conv_output_size: stride is 0; expected at least 1"):
        fastnn.conv_output_size(6, 5, 0)
    with pytest.raises(TypeError, match=r"conv_output_size: kernel_size is 1\.5; expected an integer"):
        fastnn.conv_output_size(6, 1.5)
    with pytest.raises(ValueError, match=r"the arguments have \[2, 3\] numbers"):
        fastnn.conv_output_size((6, 6), (1, 1, 1))
    with pytest.raises(ValueError, match=r"receptive_field: Linear is no layer with windows; see fastnn.summary"):
        fastnn.receptive_field([nn.Linear(3, 3)])
    with pytest.raises(ValueError, match="the windows of AdaptiveAvgPool2d depend on the input's size"):
        fastnn.receptive_field([nn.AdaptiveAvgPool2d(1)])
    with pytest.raises(TypeError, match="receptive_field: a layer is int"):
        fastnn.receptive_field([3])
    with pytest.raises(ValueError, match="a layer has 1 dimensions, those before it have 2"):
        fastnn.receptive_field([nn.Conv2d(1, 1, 3), nn.Conv1d(1, 1, 3)])


@pytest.mark.parametrize(
    "layer",
    [
        *(nn.Upsample(scale_factor=2), nn.PixelShuffle(2), nn.PixelUnshuffle(2), nn.MaxUnpool2d(2), nn.Flatten()),
        *(nn.Unflatten(1, (1, 3)), nn.Bilinear(3, 3, 3), nn.Embedding(3, 3), nn.LSTM(3, 3), nn.GRUCell(3, 3)),
    ],
    ids=lambda layer: type(layer).__name__,
)
def test_layers_that_move_elements_are_not_passed_over(layer):
    with pytest.raises(ValueError, match=rf"receptive_field: {type(layer).__name__} is no layer with windows"):
        fastnn.receptive_field([nn.Conv2d(3, 3, 3), layer])


def test_arguments_of_the_formulas():
    two = np.int64(2)
    assert fastnn.conv_output_size(np.int64(9), two, two) == 4
    assert fastnn.receptive_field([(two, two)]) == ReceptiveField((2, 2), (2, 2), (0.5, 0.5))
    assert fastnn.receptive_field([nn.Conv3d(1, 1, (3, 2, 1))]) == ReceptiveField((3, 2, 1), (1, 1, 1), (1, 0.5, 0))
    with pytest.raises(ValueError, match=r"conv_output_size: the arguments have \[0\] numbers"):
        fastnn.conv_output_size((), 3)
    for wrong in (None, models.lenet5()):
        with pytest.raises(TypeError, match="receptive_field: layers is"):
            fastnn.receptive_field(wrong)


def test_fields_behind_padding():
    conv = nn.Conv2d(1, 1, 3)
    padded = [nn.ZeroPad2d((1, 9, 2, 9)), conv]
    assert fastnn.receptive_field(padded) == ReceptiveField((3, 3), (1, 1), (-1, 0))
    assert fastnn.receptive_field([conv, *padded]) == ReceptiveField((5, 5), (1, 1), (0, 1))
    seen = fastnn.summary(nn.Sequential(conv, *padded), (1, 1, 32, 32)).layers[-1].receptive_field
    assert fastnn.receptive_field([conv, *padded]) == seen
    assert fastnn.receptive_field([nn.ReflectionPad1d(2)]) == ReceptiveField((1,), (1,), (-2,))


def test_fields_of_lists_of_layers():
    """VGG-16 up to its fifth pooling: 212 with stride 32 (Araujo et al., 2019)."""
    vgg16 = [layer for n in (2, 2, 3, 3, 3) for layer in (*[(3, 1, 1)] * n, (2, 2))]
    assert fastnn.receptive_field(vgg16) == ReceptiveField((212, 212), (32, 32), (15.5, 15.5))
    layers = [nn.Conv2d(1, 1, 4, padding="same", dilation=2), nn.MaxPool2d(2), nn.ConvTranspose2d(1, 1, 2, stride=2)]
    found = fastnn.summary(nn.Sequential(*layers), (1, 1, 32, 32)).layers[-1].receptive_field
    assert fastnn.receptive_field(layers) == found
    assert fastnn.receptive_field([]) == ReceptiveField((1, 1), (1, 1), (0, 0))
