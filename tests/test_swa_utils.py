"""Averaged models, SWALR and update_bn: against PyTorch's and plain sums; states, resuming, errors."""

import copy
import json

import numpy as np
import pytest

import fastnn
from fastnn import nn, optim
from fastnn.data import ArrayDataset, DataLoader
from fastnn.optim import swa_utils
from fastnn.tensor import Parameter, Tensor

AVERAGES = {
    "default": lambda m: {},
    "swa": lambda m: {"avg_fn": m.get_swa_avg_fn()},
    "swa multi": lambda m: {"multi_avg_fn": m.get_swa_multi_avg_fn()},
    "ema": lambda m: {"avg_fn": m.get_ema_avg_fn(0.7)},
    "ema multi": lambda m: {"multi_avg_fn": m.get_ema_multi_avg_fn(0.7)},
    "ema default": lambda m: {"multi_avg_fn": m.get_ema_multi_avg_fn()},
    "custom": lambda m: {"avg_fn": lambda averaged, present, n: averaged + n.item() * present},
}


def network(package):
    return package.Sequential(package.Conv2d(2, 5, 3), package.BatchNorm2d(5), package.Flatten(), package.Linear(20, 3))


def arrays(step):
    """Weights and buffers of the network by name, other ones each step."""
    rng = np.random.default_rng(step)
    return {
        name: np.array(100 * step) if array.ndim == 0 else rng.random(array.shape).astype(np.float32)
        for name, array in network(nn).state_dict().items()
    }


@pytest.mark.parametrize("use_buffers", [False, True])
@pytest.mark.parametrize("name", AVERAGES)
def test_averaged_model_against_pytorch(isa, name, use_buffers):
    torch = pytest.importorskip("torch")
    ours, theirs = network(nn), network(torch.nn)
    averaged = swa_utils.AveragedModel(ours, use_buffers=use_buffers, **AVERAGES[name](swa_utils))
    functions = AVERAGES["swa" if name == "swa multi" else name](torch.optim.swa_utils)  # its own takes no integers
    expected = torch.optim.swa_utils.AveragedModel(theirs, use_buffers=use_buffers, **functions)
    for step in range(5):
        ours.load_state_dict(arrays(step))
        theirs.load_state_dict({key: torch.tensor(value) for key, value in arrays(step).items()})
        averaged.update_parameters(ours)
        expected.update_parameters(theirs)
        state, other = averaged.state_dict(), expected.state_dict()
        assert list(state) == list(other)
        for key, value in other.items():
            np.testing.assert_allclose(state[key], value.numpy(), rtol=1e-5, atol=1e-6, err_msg=key)
    assert int(averaged.n_averaged) == 5
    x = np.random.default_rng(0).random((2, 2, 4, 4), np.float32)
    y = averaged.eval()(fastnn.tensor(x)).detach().numpy()
    np.testing.assert_allclose(y, expected.eval()(torch.tensor(x)).detach().numpy(), rtol=1e-4, atol=1e-5)


def test_the_mean_of_what_training_went_through():
    fastnn.manual_seed(0)
    model = nn.Linear(3, 2)
    averaged, seen = swa_utils.AveragedModel(model), []
    optimizer = optim.SGD(model.parameters(), lr=0.1)
    for _ in range(6):
        optimizer.zero_grad()
        (model(fastnn.ones(4, 3)) ** 2).sum().backward()
        optimizer.step()
        averaged.update_parameters(model)
        seen.append(model.weight.data.copy())
    np.testing.assert_allclose(averaged.module.weight.data, np.mean(seen, axis=0), rtol=1e-5)
    np.testing.assert_array_equal(model.weight.data, seen[-1])
    assert averaged.module.weight.grad is None


def test_the_average_waits_for_what_has_been_asked_of_it():
    model = nn.Sequential(nn.Conv2d(1, 2, 3), nn.BatchNorm2d(2), nn.ReLU()).eval()
    averaged = swa_utils.AveragedModel(model)
    averaged.update_parameters(model)
    x = fastnn.ones(1, 1, 5, 5)
    before = averaged(x)
    expected = averaged(x).detach().numpy().copy()
    with fastnn.no_grad():
        model[0].weight.fill_(7.0)
    averaged.update_parameters(model)
    np.testing.assert_array_equal(before.detach().numpy(), expected)
    assert (averaged(x).detach().numpy() != expected).any()


@pytest.mark.parametrize("name", AVERAGES)
def test_resuming_gives_the_same_bits(name):
    def make():
        model = network(nn)
        return model, swa_utils.AveragedModel(model, **AVERAGES[name](swa_utils))

    def run(steps, model, averaged):
        for step in steps:
            model.load_state_dict(arrays(step))
            averaged.update_parameters(model)

    whole, first, second = make(), make(), make()
    run(range(6), *whole)
    run(range(3), *first)
    second[1].load_state_dict(copy.deepcopy(first[1].state_dict()))
    run(range(3, 6), *second)
    for key, value in whole[1].state_dict().items():
        np.testing.assert_array_equal(second[1].state_dict()[key], value)


def test_a_copy_of_an_averaged_model():
    model = nn.Linear(2, 2)
    averaged = copy.deepcopy(swa_utils.AveragedModel(model))
    averaged.update_parameters(model)
    np.testing.assert_array_equal(averaged.module.weight.data, model.weight.data)
    assert averaged.module.weight is not model.weight


def test_both_element_types():
    model = nn.Module()
    model.a, model.b = Parameter(np.zeros(3, np.float32)), Parameter(np.zeros(3))
    averaged = swa_utils.AveragedModel(model, multi_avg_fn=swa_utils.get_ema_multi_avg_fn(0.75))
    averaged.update_parameters(model)
    model.a.data += 4
    model.b.data += 8
    averaged.update_parameters(model)
    np.testing.assert_array_equal(averaged.module.a.data, np.ones(3))
    np.testing.assert_array_equal(averaged.module.b.data, 2 * np.ones(3))


# ---- update_bn ---------------------------------------------------------------------------------------------------


def test_update_bn_against_pytorch():
    torch = pytest.importorskip("torch")
    rng = np.random.default_rng(0)
    x = rng.random((22, 2, 4, 4), np.float32)
    ours, theirs = network(nn), network(torch.nn)
    ours.load_state_dict(arrays(3))
    theirs.load_state_dict({key: torch.tensor(value) for key, value in arrays(3).items()})
    swa_utils.update_bn(DataLoader(ArrayDataset(x, np.arange(22)), 8), ours)
    torch.optim.swa_utils.update_bn(
        torch.utils.data.DataLoader(torch.utils.data.TensorDataset(torch.tensor(x)), 8), theirs
    )
    for key, value in theirs.state_dict().items():
        np.testing.assert_allclose(ours.state_dict()[key], value.numpy(), rtol=1e-5, atol=1e-6, err_msg=key)
    before = copy.deepcopy(ours.state_dict())
    swa_utils.update_bn([x[:8], Tensor(x[8:16]), x[16:]], ours.eval())  # arrays and tensors; the mode stays
    assert not ours.training
    assert ours[1].momentum == 0.1
    for key, value in ours.state_dict().items():
        np.testing.assert_array_equal(value, before[key])


def test_update_bn_restores_after_an_error_and_leaves_other_models_alone():
    model = network(nn).eval()
    with pytest.raises(ValueError, match="conv2d"):
        swa_utils.update_bn([np.zeros((2, 3, 4, 4), np.float32)], model)
    assert model[1].momentum == 0.1
    assert not model.training
    swa_utils.update_bn(iter(lambda: pytest.fail("a batch"), None), nn.Linear(2, 2))


# ---- SWALR -------------------------------------------------------------------------------------------------------


def optimizer_of(package, wrap):
    p = [wrap(), wrap()]
    return package.SGD([{"params": p[:1]}, {"params": p[1:], "lr": 0.5}], lr=0.1)


def make_ours():
    return optimizer_of(optim, lambda: Parameter(np.ones(1)))


@pytest.mark.filterwarnings("ignore:Detected call:UserWarning")
@pytest.mark.parametrize("strategy", ["cos", "linear"])
@pytest.mark.parametrize(("swa_lr", "epochs"), [(0.05, 10), ([0.2, 0.3], 3), (0.7, 1), (0.7, 0)])
@pytest.mark.parametrize("at", [0, 2, 9])
def test_swalr_against_pytorch_and_resumed(strategy, swa_lr, epochs, at):
    torch = pytest.importorskip("torch")
    ours = make_ours()
    theirs = optimizer_of(torch.optim, lambda: torch.nn.Parameter(torch.ones(1)))
    schedule = swa_utils.SWALR(ours, swa_lr, epochs, strategy)
    expected = torch.optim.swa_utils.SWALR(theirs, swa_lr, epochs, strategy)
    assert set(schedule.state_dict()) <= set(expected.state_dict())
    for step in range(15):
        if step == at:
            state = json.loads(json.dumps([schedule.state_dict(), ours.state_dict()]))
            ours = make_ours()
            schedule = swa_utils.SWALR(ours, swa_lr, epochs, strategy)
            schedule.load_state_dict(state[0])
            ours.load_state_dict(state[1])
        assert [g["lr"] for g in ours.param_groups] == pytest.approx([g["lr"] for g in theirs.param_groups], rel=1e-12)
        schedule.step()
        expected.step()
        assert schedule.get_last_lr() == pytest.approx(expected.get_last_lr(), rel=1e-12)


@pytest.mark.parametrize(
    ("make", "error", "text"),
    [
        (lambda: swa_utils.SWALR(3, 0.1), TypeError, "SWALR: optimizer is int; expected an Optimizer"),
        (lambda: swa_utils.SWALR(make_ours(), [0.1]), ValueError, "SWALR: swa_lr has 1 values; the optimizer has 2"),
        (lambda: swa_utils.SWALR(make_ours(), 0.1, -1), ValueError, "SWALR: anneal_epochs is -1; expected an integer"),
        (lambda: swa_utils.SWALR(make_ours(), 0.1, 2.5), ValueError, "SWALR: anneal_epochs is 2.5"),
        (lambda: swa_utils.SWALR(make_ours(), 0.1, 2, "x"), ValueError, "SWALR: anneal_strategy is 'x'"),
        (lambda: swa_utils.get_ema_avg_fn(1.5), ValueError, "get_ema_avg_fn: decay is 1.5; expected a number from 0"),
        (lambda: swa_utils.get_ema_multi_avg_fn(-1), ValueError, "get_ema_multi_avg_fn: decay is -1"),
        (lambda: swa_utils.get_ema_avg_fn("x"), TypeError, "get_ema_avg_fn: decay is 'x'; expected a number"),
        (lambda: swa_utils.SWALR(make_ours(), "x"), TypeError, "SWALR: swa_lr is 'x'; expected a number"),
        (lambda: swa_utils.AveragedModel(3), TypeError, "AveragedModel: model is int; expected a Module"),
        (
            lambda: swa_utils.AveragedModel(nn.ReLU()).update_parameters(3),
            TypeError,
            "update_parameters: model is int; expected a Module",
        ),
        (lambda: swa_utils.update_bn([], 3), TypeError, "update_bn: model is int; expected a Module"),
        (
            lambda: swa_utils.AveragedModel(nn.ReLU(), avg_fn=min, multi_avg_fn=max),
            ValueError,
            "avg_fn and multi_avg_fn are both given",
        ),
        (
            lambda: swa_utils.AveragedModel(nn.Linear(2, 3)).update_parameters(nn.Linear(2, 4)),
            ValueError,
            r"update_parameters: the model has tensors \[\(4, 2\), \(4,\)\], the averaged one has \[\(3, 2\), \(3,\)\]",
        ),
    ],
)
def test_errors(make, error, text):
    with pytest.raises(error, match=text):
        make()
