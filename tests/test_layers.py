"""Layers: what they compute, their text, state and errors; against NumPy and, where it is installed, PyTorch."""

import numpy as np
import pytest

import fastnn
import fastnn.nn.functional as F
from fastnn import nn


def array(*shape, seed=0):
    return np.random.default_rng(seed).standard_normal(shape).astype(np.float32)


def tensor(*shape, seed=0, requires_grad=False):
    return fastnn.tensor(array(*shape, seed=seed), requires_grad=requires_grad)


# Name, arguments, keyword arguments, shape of the input.
LAYERS = [
    ("Linear", (7, 5), {}, (3, 7)),
    ("Linear", (7, 5), {"bias": False}, (2, 3, 7)),
    ("Flatten", (), {}, (3, 4, 5, 2)),
    ("Flatten", (0, 1), {}, (3, 4, 5)),
    ("Conv2d", (3, 8, 3), {}, (2, 3, 9, 8)),
    ("Conv2d", (4, 6, (3, 5)), {"stride": (2, 1), "padding": (1, 2), "dilation": 2, "groups": 2}, (2, 4, 12, 13)),
    ("Conv2d", (3, 8, 3), {"bias": False, "padding": 1}, (1, 3, 6, 6)),
    ("Conv2d", (3, 8, (3, 5)), {"padding": "same", "dilation": (1, 2)}, (1, 3, 7, 9)),
    ("Conv2d", (3, 8, 4), {"padding": "valid"}, (1, 3, 6, 6)),
    ("Conv2d", (3, 8, (2, 4)), {"padding": "same", "dilation": (3, 1)}, (2, 3, 6, 6)),
    ("Conv2d", (8, 8, 3), {"padding": 1, "groups": 8}, (2, 8, 6, 7)),
    ("Conv2d", (3, 8, 3), {"padding": (1, 2), "padding_mode": "reflect", "stride": 2}, (2, 3, 6, 7)),
    ("Conv2d", (3, 8, 3), {"padding": 3, "padding_mode": "replicate", "bias": False}, (3, 6, 7)),
    ("Conv2d", (4, 8, (3, 4)), {"padding": "same", "padding_mode": "circular", "groups": 2}, (2, 4, 6, 7)),
    ("Conv2d", (3, 8, 3), {"padding": "valid", "padding_mode": "reflect"}, (2, 3, 6, 7)),
    ("Conv1d", (3, 8, 4), {"padding": "same", "padding_mode": "reflect", "dilation": 2}, (2, 3, 9)),
    ("Conv1d", (3, 8, 3), {"padding": 2, "padding_mode": "circular"}, (3, 9)),
    ("Conv1d", (3, 8, 3), {"padding": 2, "padding_mode": "replicate"}, (2, 3, 9)),
    ("Conv1d", (3, 8, 3), {}, (2, 3, 9)),
    ("Conv1d", (4, 6, (5,)), {"stride": 2, "padding": (1,), "dilation": 2, "groups": 2, "bias": False}, (2, 4, 15)),
    ("Conv1d", (3, 8, 4), {"padding": "same"}, (2, 3, 9)),
    ("Conv1d", (3, 8, 4), {"padding": "valid"}, (3, 9)),
    ("ConvTranspose1d", (4, 6, 3), {}, (2, 4, 9)),
    ("ConvTranspose1d", (4, 6, 4, 2, 1, 1), {"groups": 2, "dilation": 3}, (4, 9)),
    ("ConvTranspose2d", (4, 6, 3), {"bias": False}, (2, 4, 5, 6)),
    ("ConvTranspose2d", (4, 6, (4, 3), 2, (1, 0), (1, 0)), {"groups": 2}, (2, 4, 5, 6)),
    ("ConvTranspose2d", (8, 8, 3, 2, 1, 1), {"groups": 8, "dilation": 2}, (2, 8, 5, 4)),
    ("ConvTranspose2d", (4, 3, 2), {"stride": (2, 1), "dilation": (3, 2), "output_padding": (2, 1)}, (4, 5, 6)),
    ("MaxPool2d", (2,), {}, (2, 3, 7, 6)),
    ("MaxPool2d", ((3, 2),), {"stride": 2, "padding": 1, "dilation": (1, 2), "ceil_mode": True}, (2, 3, 9, 8)),
    ("AvgPool2d", (2,), {}, (2, 3, 7, 6)),
    ("AvgPool2d", (3, 2, 1), {"ceil_mode": True, "count_include_pad": False}, (2, 3, 8, 8)),
    ("AvgPool2d", ((2, 3),), {"divisor_override": 5}, (2, 3, 8, 9)),
    ("ReLU", (), {}, (3, 4)),
    ("ReLU", (True,), {}, (3, 4)),
    ("Sigmoid", (), {}, (3, 4)),
    ("Tanh", (), {}, (3, 4)),
    ("Softmax", (1,), {}, (3, 4)),
    ("LogSoftmax", (), {"dim": -1}, (3, 4)),
    ("Dropout", (0.0,), {}, (3, 4)),
    ("Dropout2d", (0.0,), {}, (2, 3, 4, 5)),
]
NAMES = [f"{name}{args}{kwargs}" for name, args, kwargs, _ in LAYERS]


@pytest.mark.filterwarnings("ignore:Using padding='same':UserWarning")  # of PyTorch
@pytest.mark.parametrize(("name", "args", "kwargs", "shape"), LAYERS, ids=NAMES)
def test_layer_against_torch(name, args, kwargs, shape):
    torch = pytest.importorskip("torch")
    ours, theirs = getattr(nn, name)(*args, **kwargs), getattr(torch.nn, name)(*args, **kwargs)
    assert repr(ours) == repr(theirs)
    assert {k: v.shape for k, v in ours.state_dict().items()} == {
        k: tuple(v.shape) for k, v in theirs.state_dict().items()
    }
    assert ours.load_state_dict(theirs.state_dict()) == ([], [])

    x, tx = tensor(*shape, requires_grad=True), torch.tensor(array(*shape), requires_grad=True)
    y, ty = ours(x), theirs(tx * 1)  # PyTorch's in-place layers refuse leaves
    dy = array(*y.shape, seed=1)
    y.backward(dy)
    ty.backward(torch.tensor(dy))
    np.testing.assert_allclose(y.detach().numpy(), ty.detach().numpy(), rtol=1e-4, atol=1e-5)
    np.testing.assert_allclose(x.grad.numpy(), tx.grad.numpy(), rtol=1e-4, atol=1e-5)
    for (key, a), b in zip(ours.named_parameters(), theirs.parameters(), strict=True):
        np.testing.assert_allclose(a.grad.numpy(), b.grad.numpy(), rtol=1e-4, atol=1e-4, err_msg=key)


@pytest.mark.parametrize(
    ("name", "kwargs"),
    [
        ("CrossEntropyLoss", {}),
        ("CrossEntropyLoss", {"ignore_index": 2}),
        ("CrossEntropyLoss", {"reduction": "sum"}),
        ("CrossEntropyLoss", {"reduction": "none", "ignore_index": 0}),
        ("MSELoss", {}),
        ("MSELoss", {"reduction": "sum"}),
        ("MSELoss", {"reduction": "none"}),
    ],
    ids=str,
)
def test_loss_against_torch(name, kwargs):
    torch = pytest.importorskip("torch")
    ours, theirs = getattr(nn, name)(**kwargs), getattr(torch.nn, name)(**kwargs)
    assert repr(ours) == repr(theirs)
    target = np.array([0, 2, 1, 4, 2, 3]) if name == "CrossEntropyLoss" else array(6, 5, seed=1)
    x, tx = tensor(6, 5, requires_grad=True), torch.tensor(array(6, 5), requires_grad=True)
    loss, reference = ours(x, fastnn.tensor(target)), theirs(tx, torch.tensor(target))
    assert loss.shape == tuple(reference.shape)
    loss.sum().backward()
    reference.sum().backward()
    np.testing.assert_allclose(loss.detach().numpy(), reference.detach().numpy(), rtol=1e-5, atol=1e-6)
    np.testing.assert_allclose(x.grad.numpy(), tx.grad.numpy(), rtol=1e-5, atol=1e-6)


def test_published_weights_load_by_name():
    torch = pytest.importorskip("torch")

    def build(lib):
        class Net(lib.Module):
            def __init__(self):
                super().__init__()
                self.features = lib.Sequential(lib.Conv2d(1, 6, 5, padding=2), lib.ReLU(), lib.MaxPool2d(2))
                self.classifier = lib.Sequential(lib.Flatten(), lib.Dropout(), lib.Linear(6 * 4 * 4, 10))
                self.heads = lib.ModuleList(lib.Linear(10, 2) for _ in range(2))

            def forward(self, x):
                x = self.classifier(self.features(x))
                return self.heads[0](x) - self.heads[1](x)

        return Net().eval()

    ours, theirs = build(nn), build(torch.nn)
    assert repr(ours) == repr(theirs)
    assert list(ours.state_dict()) == list(theirs.state_dict())
    assert ours.load_state_dict(theirs.state_dict()) == ([], [])
    for key, value in theirs.state_dict().items():
        np.testing.assert_array_equal(ours.state_dict()[key], value.numpy())
    ours.load_state_dict(dict(theirs.named_parameters()))  # parameters that require grad
    channels_last = {
        k: v.to(memory_format=torch.channels_last) if v.ndim == 4 else v
        for k, v in theirs.double().state_dict().items()
    }
    ours.load_state_dict(channels_last)
    with pytest.raises(RuntimeError, match=r"features\.0\.weight: Tensor is not an array"):
        ours.load_state_dict(theirs.bfloat16().state_dict())
    x = array(3, 1, 8, 8)
    y = theirs.float()(torch.tensor(x)).detach().numpy()
    np.testing.assert_allclose(ours(fastnn.tensor(x)).detach().numpy(), y, rtol=1e-2, atol=1e-2)
    ours.load_state_dict(theirs.state_dict())
    np.testing.assert_allclose(ours(fastnn.tensor(x)).detach().numpy(), y, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("name", ["ReLU", "Dropout"])
def test_inplace_layers_leave_their_input(name):
    x = tensor(4, 5)
    getattr(nn, name)(inplace=True)(x)
    np.testing.assert_array_equal(x.data, array(4, 5))


# ---- the trainable subsampling of LeNet-5 ------------------------------------------------------------------------


@pytest.mark.parametrize(("kernel", "shape"), [(2, (2, 3, 8, 6)), ((2, 3), (1, 3, 5, 9)), (2, (0, 3, 4, 4))])
def test_subsampling(kernel, shape):
    layer = nn.Subsampling2d(3, kernel)
    layer.coefficient.data[:] = [0.5, -1.0, 2.0]
    layer.bias.data[:] = [1.0, 2.0, 3.0]
    r, s = (kernel, kernel) if isinstance(kernel, int) else kernel
    n, c, h, w = shape
    p, q = h // r, w // s
    x, dy = tensor(*shape, requires_grad=True), array(n, c, p, q, seed=1)
    y = layer(x)
    windows = array(*shape)[:, :, : p * r, : q * s].reshape(n, c, p, r, q, s)
    sums = windows.sum((3, 5))
    expected = sums * layer.coefficient.data[:, None, None] + layer.bias.data[:, None, None]
    np.testing.assert_allclose(y.detach().numpy(), expected, rtol=1e-5, atol=1e-5)

    y.backward(dy)
    dx = np.zeros(shape, np.float32)
    spread = (dy * layer.coefficient.data[:, None, None])[:, :, :, None, :, None]
    dx[:, :, : p * r, : q * s] = np.broadcast_to(spread, windows.shape).reshape(n, c, p * r, q * s)
    np.testing.assert_allclose(x.grad.numpy(), dx, rtol=1e-5, atol=1e-6)
    np.testing.assert_allclose(layer.coefficient.grad.numpy(), (dy * sums).sum((0, 2, 3)), rtol=1e-4, atol=1e-4)
    np.testing.assert_allclose(layer.bias.grad.numpy(), dy.sum((0, 2, 3)), rtol=1e-4, atol=1e-5)


def test_subsampling_starts_as_average_pooling():
    x = tensor(2, 3, 8, 6)
    y = nn.Subsampling2d(3, 2)(x).detach().numpy()
    np.testing.assert_allclose(y, array(2, 3, 8, 6).reshape(2, 3, 4, 2, 3, 2).mean((3, 5)), rtol=1e-5, atol=1e-6)


def test_subsampling_with_an_activation_and_without_a_batch():
    layer = nn.Subsampling2d(3, 2, nn.Sigmoid)
    layer.bias.data[:] = [1.0, 2.0, 3.0]
    x = tensor(2, 3, 8, 6)
    mean = array(2, 3, 8, 6).reshape(2, 3, 4, 2, 3, 2).mean((3, 5))
    expected = 1 / (1 + np.exp(-(mean + layer.bias.data[:, None, None])))
    np.testing.assert_allclose(layer(x).detach().numpy(), expected, rtol=1e-5)
    np.testing.assert_allclose(layer(x[0]).detach().numpy(), expected[0], rtol=1e-5)
    assert list(layer.state_dict()) == ["coefficient", "bias"]


def test_subsampling_text_state_and_errors():
    layer = nn.Subsampling2d(6, 2)
    assert repr(layer) == "Subsampling2d(6, kernel_size=(2, 2))"
    assert {k: v.shape for k, v in layer.state_dict().items()} == {"coefficient": (6,), "bias": (6,)}
    for shape in [(2, 3, 8, 8), (2, 1, 8, 8), (3, 8, 8), (8, 6)]:
        with pytest.raises(ValueError, match=r"Subsampling2d: x has shape .*expected \(N, 6, H, W\)"):
            layer(tensor(*shape))


# ---- dropout -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("p", [0.0, 0.1, 0.5, 0.9, 1.0])
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_dropout(p, dtype):
    fastnn.manual_seed(0)
    x = fastnn.tensor(np.full((100, 200), 3, dtype), requires_grad=True)
    y = nn.Dropout(p)(x)
    assert y.dtype == dtype
    kept = y.detach().numpy() != 0
    assert kept.mean() == pytest.approx(1 - p, abs=0.02)
    scale = 1 / (1 - p) if p < 1 else 0
    np.testing.assert_allclose(y.detach().numpy(), kept * 3 * scale, rtol=1e-6)
    y.sum().backward()
    np.testing.assert_allclose(x.grad.numpy(), kept * scale, rtol=1e-6)


def test_dropout_draws_anew_and_repeats_with_the_seed():
    x, layer = fastnn.tensor(np.ones((10, 20), np.float32)), nn.Dropout()
    fastnn.manual_seed(3)
    first, second = layer(x).numpy(), layer(x).numpy()
    fastnn.manual_seed(3)
    np.testing.assert_array_equal(layer(x).numpy(), first)
    assert (first != second).any()


def test_dropout_is_the_identity_in_evaluation():
    x = tensor(3, 4)
    assert nn.Dropout(0.9).eval()(x) is x
    assert F.dropout(x, 0.9, training=False) is x
    assert nn.Dropout(0.5)(fastnn.tensor(2.0)).shape == ()
    assert nn.Dropout(0.5)(fastnn.tensor(np.zeros((0, 3), np.float32))).shape == (0, 3)


@pytest.mark.parametrize("p", [-0.1, 1.1, float("nan")])
def test_dropout_probability(p):
    with pytest.raises(ValueError, match=r"Dropout: p is .*; expected a probability from 0 to 1"):
        nn.Dropout(p)
    with pytest.raises(ValueError, match=r"dropout: p is .*; expected a probability from 0 to 1"):
        F.dropout(tensor(2), p)


def test_dropout_wants_floating_point():
    with pytest.raises(TypeError, match="dropout: x has dtype int64"):
        nn.Dropout()(fastnn.tensor([1, 2]))


# ---- errors of the constructors ----------------------------------------------------------------------------------


IMAGE = fastnn.tensor(np.zeros((2, 3, 8, 8), np.uint8))


@pytest.mark.parametrize(
    ("make", "kind", "text"),
    [
        (lambda: nn.Linear(0, 3), ValueError, "Linear: in_features is 0; expected at least 1"),
        (lambda: nn.Linear(3, 2.5), TypeError, "Linear: out_features is 2.5; expected an integer"),
        (lambda: nn.Conv2d(0, 3, 3), ValueError, "Conv2d: in_channels is 0"),
        (lambda: nn.Conv2d(3, -1, 3), ValueError, "Conv2d: out_channels is -1"),
        (lambda: nn.Conv2d(3, 3, 0), ValueError, "Conv2d: kernel_size is 0"),
        (lambda: nn.Conv2d(3, 3, (3, 3, 3)), ValueError, r"kernel_size is \(3, 3, 3\); expected one integer or two"),
        (lambda: nn.Conv2d(3, 3, "3"), TypeError, "kernel_size is '3'; expected an integer"),
        (lambda: nn.Conv2d(3, 3, 3, stride=0), ValueError, "Conv2d: stride is 0"),
        (lambda: nn.Conv2d(3, 3, 3, padding=(1, -1)), ValueError, "Conv2d: padding is -1; expected at least 0"),
        (lambda: nn.Conv2d(3, 3, 3, dilation=0), ValueError, "Conv2d: dilation is 0"),
        (lambda: nn.Conv2d(3, 4, 3, groups=2), ValueError, "in_channels is 3; expected a multiple of groups, 2"),
        (lambda: nn.Conv2d(4, 3, 3, groups=2), ValueError, "out_channels is 3; expected a multiple of groups, 2"),
        (lambda: nn.Conv2d(4, 4, 3, groups=0), ValueError, "groups is 0"),
        (
            lambda: nn.Conv2d(3, 3, 3, padding_mode="mirror"),
            ValueError,
            "padding_mode is 'mirror'; expected 'zeros' or",
        ),
        (
            lambda: nn.ConvTranspose2d(3, 3, 3, padding_mode="reflect"),
            ValueError,
            "ConvTranspose2d: padding_mode is 'reflect'; expected 'zeros'$",
        ),
        (lambda: nn.Conv2d(3, 3, 3, padding="full"), ValueError, "'full'; expected integers, 'same' or 'valid'"),
        (lambda: nn.Conv2d(3, 3, 3, 2, "same"), ValueError, r"'same' needs stride 1, not \(2, 2\)"),
        (lambda: nn.Conv1d(3, 3, (3, 3)), ValueError, r"Conv1d: kernel_size is \(3, 3\); expected one integer$"),
        (
            lambda: nn.Conv1d(3, 4, 3, groups=2),
            ValueError,
            "in_channels is 3; expected a multiple of groups, 2",
        ),
        (lambda: nn.Conv1d(3, 3, 3, 2, "same"), ValueError, r"Conv1d: padding 'same' needs stride 1, not \(2,\)"),
        (
            lambda: nn.ConvTranspose2d(3, 3, 3, padding="same"),
            TypeError,
            "ConvTranspose2d: padding is 'same'",
        ),
        (lambda: nn.ConvTranspose2d(3, 3, 3, output_padding=1), ValueError, "less than stride or dilation"),
        (lambda: nn.ConvTranspose1d(3, 3, 3, output_padding=-1), ValueError, "output_padding is -1"),
        (
            lambda: F.conv2d(fastnn.ones(1, 2, 3, 3), fastnn.ones(2, 2, 3, 3), groups=1.5),
            TypeError,
            "conv2d: groups is 1.5",
        ),
        (lambda: nn.BatchNorm2d(3)(None), TypeError, "BatchNorm2d: x is NoneType; expected a Tensor"),
        (lambda: nn.InstanceNorm1d(3)([1.0]), TypeError, "InstanceNorm1d: x is list; expected a Tensor"),
        (lambda: nn.Subsampling2d(0, 2), ValueError, "Subsampling2d: channels is 0"),
        (lambda: nn.Subsampling2d(3, 0), ValueError, "Subsampling2d: kernel_size is 0"),
        (
            lambda: nn.Subsampling2d(3, 2, nn.Tanh()),
            TypeError,
            r"Subsampling2d: activation is Tanh\(\); expected what makes",
        ),
        (lambda: nn.Subsampling2d(3, 2, "tanh"), TypeError, "Subsampling2d: activation is 'tanh'; expected what makes"),
        (
            lambda: nn.SqueezeExcitation(3, 2, nn.ReLU, dict),
            TypeError,
            "SqueezeExcitation: scale_activation is <class 'd",
        ),
        (lambda: nn.Conv2d(3, 4, 3)(IMAGE), TypeError, "conv2d: x has dtype uint8; expected float32 or float64"),
        (lambda: nn.Conv1d(3, 4, 3)(IMAGE[0]), TypeError, "conv1d: x has dtype uint8; expected float32 or float64"),
        (lambda: nn.ConvTranspose2d(3, 4, 3)(IMAGE), TypeError, "conv_transpose2d: x has dtype uint8; expected fl"),
    ],
)
def test_constructor_errors(make, kind, text):
    with pytest.raises(kind, match=text):
        make()


def test_reset_parameters_draws_anew():
    for layer in (nn.Linear(4, 3), nn.Conv2d(2, 3, 3)):
        before = {k: v.copy() for k, v in layer.state_dict().items()}
        layer.reset_parameters()
        for key, value in layer.state_dict().items():
            assert (value != before[key]).all()


def test_functional_is_the_same_module():
    assert F.relu is fastnn.functional.relu
    assert set(F.__all__) == set(fastnn.functional.__all__)


@pytest.mark.parametrize(
    ("op", "call"),
    [
        ("conv2d: x", lambda a, t: F.conv2d(a, t)),
        ("conv2d: weight", lambda a, t: F.conv2d(t, a)),
        ("conv2d: bias", lambda a, t: F.conv2d(t, t, a)),
        ("linear: x", lambda a, t: nn.Linear(2, 2)(a)),
        ("linear: weight", lambda a, t: F.linear(t, a)),
        ("linear: bias", lambda a, t: F.linear(t, t, a)),
        ("max_pool2d: x", lambda a, t: nn.MaxPool2d(2)(a)),
        ("avg_pool2d: x", lambda a, t: nn.AvgPool2d(2)(a)),
        ("relu: x", lambda a, t: nn.ReLU()(a)),
        ("sigmoid: x", lambda a, t: nn.Sigmoid()(a)),
        ("tanh: x", lambda a, t: nn.Tanh()(a)),
        ("softmax: x", lambda a, t: F.softmax(a, 0)),
        ("log_softmax: x", lambda a, t: F.log_softmax(a, 0)),
        ("dropout: x", lambda a, t: nn.Dropout()(a)),
        ("cross_entropy: x", lambda a, t: F.cross_entropy(a, t)),
        ("mse_loss: x", lambda a, t: F.mse_loss(a, t)),
        ("Flatten: x", lambda a, t: nn.Flatten()(a)),
    ],
)
def test_an_array_is_not_a_tensor(op, call):
    array = np.ones((1, 2, 2, 2), np.float32)
    with pytest.raises(TypeError, match=f"^{op} is ndarray; expected a Tensor"):
        call(array, fastnn.as_tensor(array))


def test_conv2d_names_itself_where_the_rank_is_wrong():
    with pytest.raises(ValueError, match=r"^conv2d: x has shape \(2, 2\); expected \(N, C, H, W\) or \(C, H, W\)"):
        F.conv2d(fastnn.ones(2, 2), fastnn.ones(1, 1, 1, 1))
