"""fastnn.models: LeNet-5 in both forms."""

import numpy as np
import pytest

import fastnn
import reference as ref
from fastnn import ops, optim
from fastnn.datasets import MNISTSubset
from fastnn.models import LeNet5, OriginalLeNet5, lenet5
from fastnn.nn import functional as F

# Table I of LeCun et al. 1998 as it is printed: rows are maps of S2, columns maps of C3.
TABLE_I = [
    "X...XXX..XXXX.XX",
    "XX...XXX..XXXX.X",
    "XXX...XXX..X.XXX",
    ".XXX..XXXX..X.XX",
    "..XXX..XXXX.XX.X",
    "...XXX..XXXX.XXX",
]


@pytest.fixture(autouse=True)
def _one_thread():
    before = ops.get_num_threads()
    ops.set_num_threads(1)
    yield
    ops.set_num_threads(before)


def counts(model):
    """Parameters of each layer that has any, in order."""
    totals = {name: sum(p.numel() for p in layer.parameters()) for name, layer in model.named_children()}
    return {name: total for name, total in totals.items() if total}


def images(n=3, channels=1, dtype=np.float32):
    return np.random.default_rng(0).standard_normal((n, channels, 28, 28)).astype(dtype)


def test_parameter_counts_of_the_modern_form():
    found = counts(lenet5())
    assert found == {"conv1": 156, "conv2": 2416, "fc1": 48120, "fc2": 10164, "fc3": 850}
    assert sum(found.values()) == 61706


def test_parameter_counts_are_those_of_the_paper():
    found = counts(lenet5(original=True))
    assert found == {"c1": 156, "s2": 12, "c3": 1516, "s4": 32, "c5": 48120, "f6": 10164, "output": 850}
    assert sum(found.values()) - found["output"] == 60_000


@pytest.mark.parametrize(("original", "kind"), [(False, LeNet5), (True, OriginalLeNet5)])
@pytest.mark.parametrize(("classes", "channels"), [(10, 1), (7, 3)])
def test_shapes(original, kind, classes, channels):
    model = lenet5(classes, channels, original)
    assert type(model) is kind
    for n in (0, 1, 3):
        assert model(fastnn.tensor(images(n, channels))).shape == (n, classes)


def dense_c3(layer):
    """C3's weights as those of a full convolution, from the printed table and the order of its connections."""
    pairs = [(k, c) for k in range(16) for c in range(6) if TABLE_I[c][k] == "X"]
    dense = np.zeros((16, 6, 5, 5))
    for kernel, pair in zip(layer.weight.detach().numpy(), pairs, strict=True):
        dense[pair] = kernel
    return dense


def test_original_form_is_the_paper_in_plain_numpy():
    fastnn.manual_seed(1)
    model = lenet5(original=True).double()
    for p in model.parameters():  # coefficients and biases, too, must tell which map they belong to
        p.data += 0.1 * np.random.default_rng(p.numel()).standard_normal(p.shape)
    w = {name: array.copy() for name, array in model.state_dict().items()}

    def squash(a):
        return 1.7159 * np.tanh(2 / 3 * a)

    def subsample(x, layer):
        n, c, h, width = x.shape
        sums = x.reshape(n, c, h // 2, 2, width // 2, 2).sum(axis=(3, 5))
        coefficient, bias = (w[f"{layer}.{name}"][:, None, None] for name in ("coefficient", "bias"))
        return coefficient * sums + bias

    x = images(2, dtype=np.float64)
    y = squash(ref.conv2d_forward(x, w["c1.weight"], w["c1.bias"], padding=2))
    y = squash(subsample(y, "s2"))
    y = squash(ref.conv2d_forward(y, dense_c3(model.c3), w["c3.bias"]))
    y = squash(subsample(y, "s4"))
    y = squash(ref.conv2d_forward(y, w["c5.weight"], w["c5.bias"]))
    y = squash(y.reshape(2, 120) @ w["f6.weight"].T + w["f6.bias"])
    y = y @ w["output.weight"].T + w["output.bias"]
    np.testing.assert_allclose(model(fastnn.tensor(x)).detach().numpy(), y, rtol=1e-10, atol=1e-10)


def test_gradient_of_the_sparse_connections():
    layer = lenet5(original=True).c3.double()
    rng = np.random.default_rng(0)
    x, dy = rng.standard_normal((2, 6, 14, 14)), rng.standard_normal((2, 16, 10, 10))
    dense = fastnn.tensor(dense_c3(layer), requires_grad=True)
    F.conv2d(fastnn.tensor(x), dense, layer.bias.detach()).backward(dy)
    layer(fastnn.tensor(x)).backward(dy)
    pairs = [(k, c) for k in range(16) for c in range(6) if TABLE_I[c][k] == "X"]
    expected = np.stack([dense.grad.numpy()[pair] for pair in pairs])
    np.testing.assert_allclose(layer.weight.grad.numpy(), expected, rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize("original", [False, True])
def test_the_seed_decides_the_weights(original):
    def weights(seed):
        fastnn.manual_seed(seed)
        return lenet5(original=original).state_dict()

    a, again, other = weights(0), weights(0), weights(1)
    assert all(np.array_equal(a[name], again[name]) for name in a)
    assert not all(np.array_equal(a[name], other[name]) for name in a)
    assert all(array.dtype == np.float32 for array in a.values())


def test_original_form_starts_with_signals_of_useful_size():
    fastnn.manual_seed(0)
    model = lenet5(original=True)
    x = model.c1(fastnn.tensor(images(50)))
    for layer in (model.s2, model.c3, model.s4):
        x = layer(model.squash(x))
        assert 0.2 < x.detach().numpy().std() < 2


def batch():
    return MNISTSubset().__getitems__(np.arange(0, 6000, 60))


def test_original_form_learns():
    fastnn.manual_seed(0)
    model = lenet5(original=True)
    optimizer = optim.SGD(model.parameters(), lr=0.02, momentum=0.9)
    x, labels = map(fastnn.tensor, batch())
    losses = []
    for _ in range(30):
        loss = F.cross_entropy(model(x), labels)
        losses.append(loss.item())
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    assert losses[-1] < 0.5 * losses[0]


def test_modern_form_learns_as_in_pytorch():
    torch = pytest.importorskip("torch")
    torch.set_num_threads(1)
    fastnn.manual_seed(0)
    ours = lenet5()
    layers = torch.nn
    theirs = layers.Sequential(
        *(layers.Conv2d(1, 6, 5, padding=2), layers.ReLU(), layers.MaxPool2d(2)),
        *(layers.Conv2d(6, 16, 5), layers.ReLU(), layers.MaxPool2d(2), layers.Flatten()),
        *(layers.Linear(400, 120), layers.ReLU(), layers.Linear(120, 84), layers.ReLU(), layers.Linear(84, 10)),
    )
    with torch.no_grad():
        for p, q in zip(theirs.parameters(), ours.parameters(), strict=True):
            p.copy_(torch.tensor(q.detach().numpy()))
    x, labels = batch()
    optimizers = (
        optim.SGD(ours.parameters(), lr=0.02, momentum=0.9),
        torch.optim.SGD(theirs.parameters(), lr=0.02, momentum=0.9),
    )
    for _ in range(10):
        losses = (
            F.cross_entropy(ours(fastnn.tensor(x)), fastnn.tensor(labels)),
            torch.nn.functional.cross_entropy(theirs(torch.tensor(x)), torch.tensor(labels)),
        )
        for loss, optimizer in zip(losses, optimizers, strict=True):
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
        assert losses[0].item() == pytest.approx(losses[1].item(), rel=1e-4)
    for p, q in zip(theirs.parameters(), ours.parameters(), strict=True):
        np.testing.assert_allclose(q.detach().numpy(), p.detach().numpy(), atol=1e-4)
