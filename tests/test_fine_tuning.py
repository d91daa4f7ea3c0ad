"""Transfer: heads, frozen parameters, groups of rates, ensembles, and the command that shows what it is good for."""

import json
import warnings

import numpy as np
import pytest

import fastnn
from fastnn import cli, models, nn, optim
from fastnn import functional as F


@pytest.fixture(autouse=True, scope="module")
def _one_thread():
    before = fastnn.get_num_threads()
    fastnn.set_num_threads(1)  # the networks are small
    yield
    fastnn.set_num_threads(before)


@pytest.mark.parametrize("name", models.list(exclude=["vgg*", "*101*", "*152", "wide*", "*34", "*44", "*56", "*110"]))
def test_heads_of_all_models(name):
    model = nn.utils.skip_init(models.get, name)
    before, names = dict(model.named_parameters()), list(model.state_dict())
    head = model.replace_head(7)
    changed = [n for n, p in model.named_parameters() if before.get(n) is not p]
    assert any(m is head for m in model.modules())
    assert all(dict(model.named_parameters())[n].shape[0] == 7 for n in changed)
    assert {n.rpartition(".")[0] for n in changed} >= {n for n, m in model.named_modules() if m is head}
    assert all(n.lower().startswith("aux") or model.get_submodule(n.rpartition(".")[0]) is head for n in changed)
    assert list(model.state_dict()) == names


def test_a_head_is_new_and_like_the_old_one():
    fastnn.manual_seed(0)
    model = nn.Sequential(nn.Conv2d(1, 4, 3), nn.Flatten(), nn.Linear(16, 3, bias=False)).double().eval()
    model.freeze()
    head = model.replace_head(5)
    assert (head.weight.shape, head.weight.dtype, head.bias, head.training) == ((5, 16), np.float64, None, False)
    assert head.weight.requires_grad
    assert 0 < np.abs(head.weight.data).max() <= 0.25
    assert model(fastnn.tensor(np.ones((2, 1, 4, 4)))).shape == (2, 5)


def test_heads_of_convolutions_and_auxiliary_classifiers():
    class Net(nn.Module):
        def __init__(self):
            super().__init__()
            self.num_classes = 10
            self.features = nn.Conv2d(3, 8, 3)
            self.classifier = nn.Sequential(nn.Dropout(), nn.Conv2d(8, 10, 1), nn.ReLU(), nn.AdaptiveAvgPool2d(1))
            self.aux1 = nn.Sequential(nn.Conv2d(8, 4, 1), nn.Flatten(), nn.Linear(4, 9), nn.Linear(9, 10))
            self.aux2 = nn.Linear(8, 10)

        def forward(self, x):
            return self.classifier(self.features(x)).flatten(1)

    model = Net()
    assert model.replace_head(4) is model.classifier[1]
    assert model(fastnn.ones(1, 3, 5, 5)).shape == (1, 4)
    assert (model.aux1[3].weight.shape, model.aux1[2].weight.shape, model.aux2.weight.shape) == ((4, 9), (9, 4), (4, 8))
    assert model.num_classes == 4


def test_models_without_a_head():
    for model in (nn.Linear(3, 2), nn.Sequential(nn.ReLU())):
        with pytest.raises(ValueError, match="has no linear layer or convolution below it to replace"):
            model.replace_head(3)
    with pytest.raises(ValueError, match=r"the last layer of Sequential, 1, is Conv2d\(.*; expected a linear layer"):
        nn.Sequential(nn.Linear(2, 2), nn.Conv2d(2, 2, 3)).replace_head(3)
    with pytest.raises(ValueError, match="replace_head: num_classes is 0"):
        models.lenet5().replace_head(0)


def test_freeze_and_unfreeze():
    model = models.resnet18(num_classes=3)
    names = [name for name, _ in model.named_parameters()]
    model.fc.weight.grad = fastnn.ones(3, 512)
    assert model.freeze() == names
    assert not any(p.requires_grad for p in model.parameters())
    assert model.fc.weight.grad is None
    assert model.unfreeze("fc", "layer4.?.bn*.bias") == [
        *(f"layer4.{b}.bn{i}.bias" for b in (0, 1) for i in (1, 2)),
        *("fc.weight", "fc.bias"),
    ]
    assert [name for name, p in model.named_parameters() if p.requires_grad][-1] == "fc.bias"
    with pytest.raises(ValueError, match=r"freeze: no parameter is named 'layer5'; their names begin with conv1, bn1"):
        model.freeze("fc", "layer5")
    assert model.fc.weight.requires_grad  # nothing has changed
    with pytest.raises(TypeError, match="unfreeze: a pattern is 3"):
        model.unfreeze(3)


def test_frozen_parameters_stay_and_statistics_move():
    fastnn.manual_seed(0)
    model = nn.Sequential(nn.Conv2d(1, 2, 3), nn.BatchNorm2d(2), nn.Flatten(), nn.Linear(8, 2))
    model.freeze("0", "1")
    before = {name: value.copy() for name, value in model.state_dict().items()}
    optimizer = optim.SGD(model.parameters(), lr=0.1, weight_decay=0.1)
    F.cross_entropy(model(fastnn.randn(4, 1, 4, 4)), fastnn.tensor([0, 1, 1, 0])).backward()
    optimizer.step()
    changed = {name for name, value in model.state_dict().items() if not np.array_equal(value, before[name])}
    assert changed == {"1.running_mean", "1.running_var", "1.num_batches_tracked", "3.weight", "3.bias"}


def test_parameter_groups():
    model = models.lenet5()
    model.freeze("conv1")
    groups = nn.utils.parameter_groups(model, {"fc3": {"lr": 0.1, "momentum": 0.5}, "fc*": 0.01, "conv1": 1.0})
    found = optim.SGD(groups, lr=0.001, momentum=0.9).param_groups
    assert [(g["lr"], g["momentum"], len(g["params"])) for g in found] == [
        (0.1, 0.5, 2),
        (0.01, 0.9, 4),
        (0.001, 0.9, 2),
    ]
    assert found[0]["params"][0] is model.fc3.weight
    with pytest.raises(ValueError, match="parameter_groups: no parameter is named 'head'"):
        nn.utils.parameter_groups(model, {"head": 0.1})
    for wrong in ((3, {"fc3": 0.1}), (model, "fc3"), (model, [("fc3", 0.1)])):
        with pytest.raises(TypeError, match=r"parameter_groups: module is .* and rates .*; expected a Module and a"):
            nn.utils.parameter_groups(*wrong)
    with pytest.raises(TypeError, match=r"parameter_groups: the rate of 'fc3' is '0\.1'; expected a number or a dict"):
        nn.utils.parameter_groups(model, {"fc3": "0.1"})


def test_names_of_data_parallel():
    model = models.lenet5()
    state = {f"module.{name}": value for name, value in model.state_dict().items()}
    with pytest.raises(RuntimeError, match=r"DataParallel puts 'module\.' before each name; take it off"):
        model.load_state_dict(state)
    assert model.load_state_dict({name.removeprefix("module."): v for name, v in state.items()}) == ([], [])


def test_published_weights_without_counts_of_batches():
    model, other = models.cifar_resnet20(), models.cifar_resnet20()
    state = {name: value for name, value in other.state_dict().items() if not name.endswith("num_batches_tracked")}
    assert model.load_state_dict(state) == ([], [])
    np.testing.assert_array_equal(model.linear.weight.data, other.linear.weight.data)
    state["bn1.num_batches_tracked"] = np.array(3)
    with pytest.raises(RuntimeError, match=r"missing keys: layer1\.0\.bn1\.num_batches_tracked"):
        model.load_state_dict(state)


def test_all_mismatches_at_once_and_nothing_changed():
    model = models.lenet5()
    before = {name: value.copy() for name, value in model.state_dict().items()}
    state = {name: value + 1 for name, value in before.items()} | {"extra": np.ones(1)}
    state["fc1.weight"] = np.ones((2, 2))
    state["fc2.bias"] = np.ones(3)
    del state["conv1.bias"]
    with pytest.raises(RuntimeError) as caught:
        model.load_state_dict(state)
    for words in (
        "missing keys: conv1.bias (6,)",
        "unexpected keys: extra",
        "size mismatch for fc1.weight: the state has shape (2, 2), the module (120, 400)",
        "size mismatch for fc2.bias: the state has shape (3,), the module (84,)",
    ):
        assert words in str(caught.value)
    assert all(np.array_equal(value, before[name]) for name, value in model.state_dict().items())


def test_states_with_odd_keys_and_values():
    model = nn.Linear(2, 1)
    with pytest.raises(RuntimeError, match="unexpected keys: 3, None"):
        model.load_state_dict(model.state_dict() | {3: np.ones(1), None: np.ones(1)})
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        model.load_state_dict({"weight": np.array([[1e300, np.nan]]), "bias": np.array([1.0])})
    np.testing.assert_array_equal(model.weight.data, [[np.inf, np.nan]])


# ---- ensembles ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("shape", [(5, 3), (2, 3, 4)])
def test_ensembles_average(shape):
    rng = np.random.default_rng(0)
    layers = [nn.Linear(shape[-1], shape[-1]).double() for _ in range(3)]
    x = fastnn.tensor(rng.standard_normal(shape) * 3, requires_grad=True)
    mean = np.mean([F.softmax(layer(x), 1).detach().numpy() for layer in layers], axis=0)
    model = fastnn.ensemble(layers)
    np.testing.assert_allclose(np.exp(model(x).detach().numpy()), mean, rtol=1e-12)
    np.testing.assert_allclose(F.softmax(model(x), 1).detach().numpy(), mean, rtol=1e-12)
    logits = np.mean([layer(x).detach().numpy() for layer in layers], axis=0)
    np.testing.assert_allclose(fastnn.ensemble(layers, average="logits")(x).detach().numpy(), logits, rtol=1e-12)
    assert fastnn.gradcheck(model, (x,))
    assert set(model.state_dict()) == {f"models.{i}.{n}" for i in range(3) for n in ("weight", "bias")}


def test_ensembles_of_sure_models():
    class Constant(nn.Module):
        def __init__(self, scores):
            super().__init__()
            self.scores = fastnn.tensor([scores])

        def forward(self, x):
            return self.scores

    sure = [Constant([1000.0, -1000.0, -np.inf]), Constant([-1000.0, 1000.0, -np.inf])]
    np.testing.assert_allclose(np.exp(fastnn.ensemble(sure)(None).numpy()), [[0.5, 0.5, 0]])
    tiny = fastnn.ensemble([Constant([0.0, -2000.0])] * 2)(None).numpy()
    np.testing.assert_allclose(tiny, [[0, -2000]])
    with pytest.raises(ValueError, match="there are no models"):
        fastnn.ensemble([])
    with pytest.raises(ValueError, match="average is 'votes'; expected 'probabilities' or 'logits'"):
        fastnn.ensemble(sure, "votes")


def test_all_models_of_an_ensemble_get_heads():
    model = fastnn.ensemble([models.lenet5(), models.lenet5(original=True)])
    assert model.replace_head(3) is model.models[1].output
    assert model(fastnn.ones(2, 1, 28, 28)).shape == (2, 3)


# ---- the command --------------------------------------------------------------------------------------------------


def test_transfer_beats_training_from_scratch(capsys):
    margins = []
    for seed in ("0", "1"):
        assert cli.main(["transfer", "--seed", seed, "--json"]) == 0
        found = json.loads(capsys.readouterr().out)
        assert found["known"]["accuracy"] > 0.95
        assert found["new"] == {"digits": [5, 6, 7, 8, 9], "images": 50, "test_images": 500}
        margins.append(found["accuracy"]["transfer"] - found["accuracy"]["scratch"])
    assert min(margins) > 0.05
    assert sum(margins) / 2 > 0.15


def test_arguments_of_transfer(capsys):
    assert cli.main(["transfer", "--epochs", "1", "--images-per-class", "2", "--freeze", "conv*"]) == 0
    printed = capsys.readouterr().out
    assert "on 10 images of the digits 5 to 9, 1 times, and 500 test images:" in printed
    assert cli.main(["transfer", "--images-per-class", "601"]) == 2
    assert "there is a digit with 600" in capsys.readouterr().err
    assert cli.main(["transfer", "--freeze", "nothing"]) == 2
    assert "--freeze: no parameter is named 'nothing'" in capsys.readouterr().err
