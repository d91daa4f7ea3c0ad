"""fastnn.models.googlenet and inception_bn: names, counts, and equality with PyTorch."""

import numpy as np
import pytest

import fastnn
from fastnn import models, nn
from fastnn.tasks import Classification

# Of torchvision's documentation, Caffe's bvlc_googlenet and Caffe's Inception-BN, whose convolutions have biases, too.
TORCHVISION, TORCHVISION_AUX = 6_624_904, 13_004_888
CAFFE, CAFFE_AUX = 6_998_552, 13_378_280
CAFFE_INCEPTION_BN = 11_295_240


def count(model):
    return sum(p.numel() for p in model.parameters())


def test_counts():
    assert count(models.googlenet()) == TORCHVISION_AUX
    assert count(models.googlenet(aux_logits=False)) == TORCHVISION
    assert count(models.googlenet(original=True)) == CAFFE_AUX
    assert count(models.googlenet(original=True, aux_logits=False)) == CAFFE
    model = models.inception_bn()
    biases = sum(m.out_channels for m in model.modules() if isinstance(m, nn.Conv2d))
    assert count(model) + biases == CAFFE_INCEPTION_BN
    assert f"{count(model):,} parameters" in models.InceptionBN.__doc__


def test_some_names_as_they_are_published():
    keys = {
        "conv1.conv.weight": (64, 3, 7, 7),
        "inception3a.branch1.conv.weight": (64, 192, 1, 1),
        "inception3a.branch3.1.conv.weight": (32, 16, 3, 3),
        "inception4e.branch4.1.bn.running_var": (128,),
        "aux1.conv.bn.num_batches_tracked": (),
        "aux2.fc1.weight": (1024, 2048),
        "fc.bias": (1000,),
    }
    state = models.googlenet().state_dict()
    assert {key: state[key].shape for key in keys} == keys
    state = models.googlenet(original=True).state_dict()
    assert state["inception3a.branch3.1.conv.weight"].shape == (32, 16, 5, 5)
    assert "conv1.conv.bias" in state
    assert not [key for key in state if ".bn." in key]


def test_initial_values():
    fastnn.manual_seed(0)
    state = models.googlenet(aux_logits=False).state_dict()
    for key in ("conv1.conv.weight", "inception5b.branch2.1.conv.weight", "fc.weight"):
        assert state[key].std() == pytest.approx(0.01, rel=0.05)
    assert 0 < np.abs(state["fc.bias"]).max() <= 1024**-0.5
    state = models.googlenet(aux_logits=False, original=True).state_dict()
    assert (state["inception3b.branch1.conv.bias"] == np.float32(0.2)).all()
    assert np.abs(state["fc.weight"]).max() == pytest.approx((6 / 2024) ** 0.5, rel=0.01)
    state = models.googlenet(10, aux_logits=False, init_weights=False).state_dict()
    assert np.abs(state["fc.weight"]).max() == pytest.approx(1024**-0.5, rel=0.01)
    state = models.inception_bn(10).state_dict()
    assert state["inception4b.branch2.1.conv.weight"].std() == pytest.approx((2 / (128 * 9)) ** 0.5, rel=0.05)


# ---- equality with PyTorch -----------------------------------------------------------------------------------------


def relative_error(ours, theirs):
    ours, theirs = (a.detach().numpy() for a in (ours, theirs))
    return np.abs(ours - theirs).max() / max(np.abs(theirs).max(), 1e-30)


def compare(model, reference, x, outputs):
    """Outputs, gradients of the input and of all parameters, and running statistics; both have the same weights."""
    import torch

    ours, theirs = fastnn.tensor(x, requires_grad=True), torch.tensor(x, requires_grad=True)
    found, expected = model(ours), reference(theirs)
    found, expected = (y if isinstance(y, tuple) else (y,) for y in (found, expected))
    assert len(found) == len(expected) == outputs
    losses = []
    for ys, lib in ((found, fastnn), (expected, torch)):
        weights = [np.random.default_rng(i).standard_normal(tuple(y.shape)) for i, y in enumerate(ys)]
        losses.append(sum((y * lib.tensor(w)).sum() for y, w in zip(ys, weights, strict=True)))
        losses[-1].backward()
    for y, z in zip(found, expected, strict=True):
        assert relative_error(y, z) < 1e-9
    assert relative_error(ours.grad, theirs.grad) < 1e-8
    gradients = {name: p.grad for name, p in reference.named_parameters()}
    for name, p in model.named_parameters():
        if gradients[name] is None:
            assert p.grad is None
        else:
            assert relative_error(p.grad, gradients[name]) < 1e-8, name
    buffers = dict(reference.named_buffers())
    for name, buffer in model.named_buffers():
        assert relative_error(buffer, buffers[name]) < 1e-9, name


def differ(torch, model):
    """No value of a vector may stand for another one."""
    for value in model.state_dict().values():
        if value.ndim == 1:
            value += torch.rand_like(value) * 0.3


@pytest.mark.parametrize(("training", "aux_logits"), [(True, True), (True, False), (False, True)])
def test_googlenet_is_pytorchs_and_takes_its_weights(training, aux_logits):
    torch = pytest.importorskip("torch")
    from bench.compare import torch_models

    torch.manual_seed(0)
    options = {"aux_logits": aux_logits, "dropout": 0.0, "dropout_aux": 0.0}
    reference = torch_models.googlenet(7, **options).double().train(training)
    differ(torch, reference)
    model = models.googlenet(7, **options).double().train(training)
    assert str(model.load_state_dict(reference.state_dict())) == "<All keys matched successfully>"
    assert list(model.state_dict()) == list(reference.state_dict())
    x = np.random.default_rng(0).standard_normal((2, 3, 65, 79))
    compare(model, reference, x, 3 if training and aux_logits else 1)


class Functional:
    """A network from `torch.nn.functional` and the state of ours."""

    def __init__(self, torch, model):
        self.torch, self.F = torch, torch.nn.functional
        self.parameters = {name: torch.tensor(p.data, requires_grad=True) for name, p in model.named_parameters()}
        self.buffers = {name: torch.tensor(b.data) for name, b in model.named_buffers()}
        self.training = model.training

    def named_parameters(self):
        return self.parameters.items()

    def named_buffers(self):
        return self.buffers.items()

    def conv(self, x, name, stride=1):
        w, b = self.parameters[f"{name}.conv.weight"], self.parameters.get(f"{name}.conv.bias")
        x = self.F.conv2d(x, w, b, stride, w.shape[2] // 2)
        if f"{name}.bn.weight" in self.parameters:
            mean, var = self.buffers[f"{name}.bn.running_mean"], self.buffers[f"{name}.bn.running_var"]
            if self.training:
                self.buffers[f"{name}.bn.num_batches_tracked"] += 1
            scale, shift = self.parameters[f"{name}.bn.weight"], self.parameters[f"{name}.bn.bias"]
            x = self.F.batch_norm(x, mean, var, scale, shift, self.training, 0.1, 1e-3)
        return self.F.relu(x)

    def pool(self, x):
        return self.F.max_pool2d(x, 3, 2, ceil_mode=True)

    def linear(self, x, name):
        return self.F.linear(x, self.parameters[f"{name}.weight"], self.parameters[f"{name}.bias"])


class OriginalGoogLeNet(Functional):
    """Table 1 and figure 3 of the paper."""

    def __call__(self, x):
        x = self.F.local_response_norm(self.pool(self.conv(x, "conv1", 2)), 5)
        x = self.pool(self.F.local_response_norm(self.conv(self.conv(x, "conv2"), "conv3"), 5))
        x = self.pool(self.inception(self.inception(x, "3a"), "3b"))
        a = self.inception(x, "4a")
        b = self.inception(self.inception(self.inception(a, "4b"), "4c"), "4d")
        x = self.pool(self.inception(b, "4e"))
        x = self.inception(self.inception(x, "5a"), "5b")
        return self.linear(x.mean((2, 3)), "fc"), self.aux(b, "aux2"), self.aux(a, "aux1")

    def inception(self, x, name):
        name = f"inception{name}.branch"
        branches = (
            self.conv(x, f"{name}1"),
            self.conv(self.conv(x, f"{name}2.0"), f"{name}2.1"),
            self.conv(self.conv(x, f"{name}3.0"), f"{name}3.1"),
            self.conv(self.F.max_pool2d(x, 3, 1, 1), f"{name}4.1"),
        )
        return self.torch.cat(branches, 1)

    def aux(self, x, name):
        x = self.conv(self.F.adaptive_avg_pool2d(x, 4), f"{name}.conv").flatten(1)
        return self.linear(self.F.relu(self.linear(x, f"{name}.fc1")), f"{name}.fc2")


class TorchInceptionBN(Functional):
    """Figure 5 of the paper."""

    def __call__(self, x):
        x = self.pool(self.conv(x, "conv1", 2))
        x = self.pool(self.conv(self.conv(x, "conv2"), "conv3"))
        for name in ("3a", "3b", "3c", "4a", "4b", "4c", "4d", "4e", "5a", "5b"):
            x = self.inception(x, f"inception{name}.branch", last=name == "5b", stride=2 if name in ("3c", "4e") else 1)
        return self.linear(x.mean((2, 3)), "fc")

    def inception(self, x, name, last, stride):
        double = self.conv(self.conv(x, f"{name}3.0"), f"{name}3.1")
        branches = [
            self.conv(self.conv(x, f"{name}2.0"), f"{name}2.1", stride),
            self.conv(double, f"{name}3.2", stride),
        ]
        if stride == 2:
            return self.torch.cat([*branches, self.F.max_pool2d(x, 3, 2, 1)], 1)
        pooled = (self.F.max_pool2d if last else self.F.avg_pool2d)(x, 3, 1, 1)
        return self.torch.cat([self.conv(x, f"{name}1"), *branches, self.conv(pooled, f"{name}4.1")], 1)


@pytest.mark.parametrize("training", [True, False])
def test_original_and_inception_bn_are_the_papers_in_pytorch(training):
    torch = pytest.importorskip("torch")
    rng = np.random.default_rng(0)
    fastnn.manual_seed(0)
    cases = [(models.inception_bn(5, in_channels=2), TorchInceptionBN, 1)]
    if training:
        cases.append((models.googlenet(5, 2, original=True, dropout=0.0, dropout_aux=0.0), OriginalGoogLeNet, 3))
    for model, reference, outputs in cases:
        for array in model.state_dict().values():
            if array.ndim == 1:
                array += rng.uniform(0, 0.3, array.shape).astype(np.float32)
        model.double().train(training)
        compare(model, reference(torch, model), rng.standard_normal((2, 2, 65, 47)), outputs)


# ---- options and errors --------------------------------------------------------------------------------------------


def test_transform_input():
    """From (image - mean) / std of ImageNet to (image - 0.5) / 0.5."""
    fastnn.manual_seed(0)
    model = models.googlenet(3, aux_logits=False, transform_input=True).eval()
    images = np.random.default_rng(0).random((2, 3, 32, 32), np.float32)
    mean, std = (np.float32(v).reshape(3, 1, 1) for v in ((0.485, 0.456, 0.406), (0.229, 0.224, 0.225)))
    y = model(fastnn.tensor((images - mean) / std)).detach().numpy()
    model.transform_input = False
    expected = model(fastnn.tensor((images - 0.5) / 0.5)).detach().numpy()
    np.testing.assert_allclose(y, expected, rtol=1e-3, atol=1e-4 * np.abs(expected).max())
    with pytest.raises(ValueError, match="in_channels is 1; transform_input is for the 3"):
        models.googlenet(in_channels=1, transform_input=True)


@pytest.mark.parametrize("side", [28, 32])
def test_small_images(side):
    for model in (models.googlenet(10, 1), models.inception_bn(10, 1)):
        for n in (0, 2):
            assert model.eval()(fastnn.zeros(n, 1, side, side)).shape == (n, 10)
    model = models.googlenet(10, 1)
    scores = model(fastnn.randn(2, 1, side, side))
    assert isinstance(scores, models.GoogLeNetOutputs)
    assert [y.shape for y in scores] == [(2, 10)] * 3


def test_losses_of_auxiliary_classifiers():
    class Three(nn.Module):
        def __init__(self):
            super().__init__()
            self.layers = nn.ModuleList([nn.Linear(4, 3) for _ in range(3)])

        def forward(self, x):
            outputs = tuple(layer(x) for layer in self.layers)
            return outputs if self.training else outputs[0]

    x, labels, model = fastnn.randn(5, 4), fastnn.tensor([0, 1, 2, 0, 1]), Three()
    losses = [nn.functional.cross_entropy(y, labels).item() for y in model(x)]
    loss = Classification().step(model, x, labels, ()).loss
    assert loss.item() == pytest.approx(losses[0] + 0.3 * (losses[1] + losses[2]), rel=1e-6)
    loss.backward()
    assert all(p.grad is not None for p in model.parameters())
    assert Classification().step(model.eval(), x, labels, ()).loss.item() == pytest.approx(losses[0], rel=1e-6)
    loss = Classification(auxiliary_weight=1).step(model.train(), x, labels, ()).loss
    assert loss.item() == pytest.approx(sum(losses), rel=1e-6)
