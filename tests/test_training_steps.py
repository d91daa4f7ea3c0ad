"""What a training step may be made of: several batches, clipped gradients, averages, any optimizer and schedule."""

import numpy as np
import pytest

import fastnn
from fastnn import nn, ops, optim
from fastnn.data import ArrayDataset, DataLoader
from fastnn.nn import functional as F
from fastnn.optim import lr_scheduler, swa_utils
from fastnn.tensor import Tensor
from fastnn.training import Trainer, evaluate, read_checkpoint

ITEMS, CLASSES, EPOCHS = 70, 3, 2


@pytest.fixture(autouse=True)
def _one_thread():
    before = ops.get_num_threads()
    ops.set_num_threads(1)
    yield
    ops.set_num_threads(before)


def data(seed=0, items=ITEMS):
    rng = np.random.default_rng(seed)
    x = rng.standard_normal((items, 6)).astype(np.float32)
    return ArrayDataset(x, (x @ rng.standard_normal((6, CLASSES))).argmax(1))


def plain():
    return nn.Sequential(nn.Linear(6, 16), nn.Tanh(), nn.Linear(16, CLASSES))


def noisy():
    """With running statistics, and random numbers while it is trained."""
    return nn.Sequential(nn.Linear(6, 16), nn.BatchNorm1d(16), nn.ReLU(), nn.Dropout(0.3), nn.Linear(16, CLASSES))


def trainer(
    checkpoint=None, *, model=noisy, optimizer=lambda p: optim.SGD(p, lr=0.1, momentum=0.9), schedule=None, **arguments
):
    fastnn.manual_seed(0)
    network = model()
    made = optimizer(network.parameters())
    loader = DataLoader(data(), arguments.pop("batch_size", 16), shuffle=True, seed=0)
    scheduler = None if schedule is None else schedule(made)
    arguments = {"test": data(1), "checkpoint": checkpoint, **arguments}
    return Trainer(network, made, loader, EPOCHS, scheduler=scheduler, **arguments)


def weights(model):
    return {name: value.copy() for name, value in model.state_dict().items()}


def assert_close(found, expected, **tolerance):
    assert found.keys() == expected.keys()
    for name, value in expected.items():
        np.testing.assert_allclose(found[name], value, err_msg=name, **tolerance)


# ---- several batches a step --------------------------------------------------------------------------------------


@pytest.mark.parametrize(("batch_size", "accumulate"), [(8, 2), (4, 4), (3, 5), (16, 100), (70, 2)])
@pytest.mark.parametrize("optimizer", [lambda p: optim.SGD(p, lr=0.5, momentum=0.9), lambda p: optim.Adam(p, lr=0.05)])
def test_accumulated_batches_are_one_large_batch(batch_size, accumulate, optimizer):
    """Also at the end of an epoch, where batches are left over and the last one is not full."""
    options = {"model": plain, "optimizer": optimizer, "clip_norm": 0.5}
    many = trainer(batch_size=batch_size, accumulate=accumulate, **options)
    large = trainer(batch_size=min(ITEMS, batch_size * accumulate), **options)
    steps = []
    assert many.fit(lambda t: steps.append((t.epoch, t.step, t.items)))
    large_steps = []
    assert large.fit(lambda t: large_steps.append((t.epoch, t.step, t.items)))
    assert steps == large_steps
    assert_close(weights(many.model), weights(large.model), rtol=1e-4, atol=1e-5)
    for record, expected in zip(many.history, large.history, strict=True):
        assert record == pytest.approx(expected, rel=1e-4)


def test_the_schedule_goes_by_steps():
    t = trainer(accumulate=2, schedule=lambda o: lr_scheduler.StepLR(o, 3, 0.5))  # 5 batches an epoch, 3 steps
    t.fit()
    assert t.scheduler.last_epoch == 6
    assert t.optimizer.param_groups[0]["lr"] == 0.1 / 4


# ---- clipping ----------------------------------------------------------------------------------------------------


def test_clipping_by_value_comes_before_clipping_by_norm():
    t = trainer(model=plain, optimizer=lambda p: optim.SGD(p, lr=1.0), clip_value=1e-3)
    before = weights(t.model)
    t.fit(on_step=Trainer.stop)
    changes = [np.abs(value - before[name]).max() for name, value in weights(t.model).items()]
    assert max(changes) == pytest.approx(1e-3, rel=1e-3)
    t = trainer(model=plain, optimizer=lambda p: optim.SGD(p, lr=1.0), clip_value=1e-3, clip_norm=1e-4)
    t.fit(on_step=Trainer.stop)
    moved = np.concatenate([(value - before[name]).ravel() for name, value in weights(t.model).items()])
    assert np.linalg.norm(moved) == pytest.approx(1e-4, rel=1e-2)


# ---- the average of the weights ----------------------------------------------------------------------------------


def test_the_average_is_evaluated_and_saved(tmp_path):
    path = tmp_path / "c.safetensors"
    t, seen = trainer(path, ema_decay=0.4), []
    assert t.fit(lambda t: seen.append(weights(t.model)))
    expected = seen[0]
    for step, present in enumerate(seen[1:], 2):
        decay = min(0.4, step / (step + 9))
        expected = {k: (v * decay + present[k] * (1 - decay)).astype(v.dtype) for k, v in expected.items()}
    assert_close(weights(t.result), expected, rtol=1e-5, atol=1e-6)
    assert_close(weights(t.model), seen[-1], rtol=0)
    assert t.history[-1]["test_loss"] == evaluate(t.result, data(1))["loss"]
    assert t.history[-1]["test_loss"] != evaluate(t.model, data(1))["loss"]
    arrays, _ = read_checkpoint(path)
    for prefix, model in (("model", t.result), ("trained", t.model)):
        saved = {k[len(prefix) + 1 :]: v for k, v in arrays.items() if k.startswith(prefix + ".")}
        assert_close(saved, weights(model), rtol=0)


def test_training_is_the_same_with_and_without_an_average():
    averaged = trainer(ema_decay=0.9)
    averaged.fit()
    bare = trainer()
    bare.fit()
    assert bare.result is bare.model
    assert_close(weights(averaged.model), weights(bare.model), rtol=0)


# ---- stop and resume ---------------------------------------------------------------------------------------------

RUNS = {
    "accumulate": {"accumulate": 2},
    "clip": {"clip_value": 0.01, "clip_norm": 0.02},
    "average": {"ema_decay": 0.7},
    "everything": {
        "accumulate": 2,
        "clip_value": 0.1,
        "ema_decay": 0.9,
        "optimizer": lambda p: optim.NAdam(p, lr=0.01),
        "schedule": lambda o: lr_scheduler.SequentialLR(
            o, [lr_scheduler.LinearLR(o, 0.1, total_iters=2), lr_scheduler.CosineAnnealingLR(o, 4)], [2]
        ),
    },
    "one cycle": {
        "optimizer": lambda p: optim.AdamW(p, lr=0.01),
        "schedule": lambda o: lr_scheduler.OneCycleLR(o, 0.1, 10),
    },
    "milestones": {"optimizer": optim.Adadelta, "schedule": lambda o: lr_scheduler.MultiStepLR(o, [2, 5, 8])},
    "cyclic": {"schedule": lambda o: lr_scheduler.CyclicLR(o, 0.01, 0.1, 3, mode="triangular2")},
    "restarts": {"optimizer": optim.RAdam, "schedule": lambda o: lr_scheduler.CosineAnnealingWarmRestarts(o, 3)},
    "plateau": {
        "optimizer": optim.Adamax,
        "schedule": lambda o: lr_scheduler.ReduceLROnPlateau(o, patience=0, threshold=10, threshold_mode="abs"),
    },
    "swalr": {"schedule": lambda o: swa_utils.SWALR(o, 0.01, 5)},
}


@pytest.mark.parametrize("name", RUNS)
def test_a_resumed_run_ends_in_the_same_bytes(tmp_path, name):
    path = tmp_path / "c.safetensors"
    whole = trainer(path, **RUNS[name])
    assert whole.fit()
    straight = path.read_bytes()
    for stop in ((0, 1), (0, 2), (1, 0), (1, 2)):
        trainer(path, **RUNS[name]).fit(
            lambda t, stop=stop: t.stop() if (t.epoch, t.step) == stop else None,
            lambda t, stop=stop: t.stop() if (t.epoch, t.step) == stop else None,
        )
        assert path.read_bytes() != straight
        second = trainer(path, **RUNS[name])
        fastnn.manual_seed(99)
        second.resume(path)
        assert (second.epoch, second.step) == stop
        assert second.fit()
        assert path.read_bytes() == straight


def test_a_plateau_is_told_the_training_loss():
    t = trainer(schedule=lambda o: lr_scheduler.ReduceLROnPlateau(o, patience=0, threshold=10, threshold_mode="abs"))
    t.fit()
    assert t.scheduler.best == t.history[0]["loss"]
    assert t.optimizer.param_groups[0]["lr"] == pytest.approx(0.01)  # not better by 10


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"accumulate": 3}, "accumulate was 2 and is 3"),
        ({"clip_value": 0.5}, "clip value was 0.1 and is 0.5"),
        ({"ema_decay": None}, "EMA decay was 0.9 and is None"),
    ],
)
def test_resume_refuses_another_run(tmp_path, changes, message):
    path = tmp_path / "c.safetensors"
    run = {"accumulate": 2, "clip_value": 0.1, "ema_decay": 0.9}
    trainer(path, **run).fit(on_step=Trainer.stop)
    with pytest.raises(ValueError, match=message):
        trainer(**run | changes).resume(path)


@pytest.mark.parametrize(
    ("arguments", "error", "message"),
    [
        ({"accumulate": 0}, ValueError, "Trainer: accumulate is 0; expected at least 1"),
        ({"accumulate": 1.5}, TypeError, "Trainer: accumulate is 1.5; expected an integer"),
        ({"clip_norm": -1}, ValueError, "Trainer: clip_norm is -1; expected a number above 0, or None"),
        ({"clip_norm": float("nan")}, ValueError, "Trainer: clip_norm is nan"),
        ({"clip_value": 0}, ValueError, "Trainer: clip_value is 0"),
        ({"clip_value": "x"}, TypeError, "Trainer: clip_value is 'x'; expected a number"),
        ({"ema_decay": 1.0}, ValueError, "Trainer: ema_decay is 1.0, expected a number of at least 0 and below 1"),
        ({"ema_decay": "x"}, TypeError, "Trainer: ema_decay is 'x'; expected a number"),
        ({"optimizer": optim.LBFGS}, ValueError, "Trainer: optimizer is LBFGS"),
        ({"optimizer": list}, TypeError, "Trainer: optimizer is list; expected Optimizer"),
        ({"schedule": id}, TypeError, "Trainer: scheduler is int; expected LRScheduler or None"),
        (
            {"schedule": lambda o: lr_scheduler.StepLR(optim.SGD(plain().parameters()), 1)},
            ValueError,
            "Trainer: scheduler belongs to another optimizer",
        ),
    ],
)
def test_bad_arguments(arguments, error, message):
    with pytest.raises(error, match=message):
        trainer(**arguments)


def test_divergence_within_a_step_changes_nothing():
    t = trainer(model=plain, accumulate=3)
    x, labels = data().arrays
    x = x.copy()
    x[16:32] = np.nan
    t.loader = DataLoader(ArrayDataset(x, labels), 16)
    before = weights(t.model)
    with pytest.raises(FloatingPointError, match="the loss is nan in epoch 1, step 1"):
        t.fit()
    assert_close(weights(t.model), before, rtol=0)
    assert (t.step, t.items, t.metrics) == (0, 0, {})


def test_the_gradient_of_a_step_is_that_of_the_mean_loss():
    seen = {}
    t = trainer(model=plain, accumulate=3, batch_size=32, optimizer=lambda p: optim.SGD(p, lr=0.0))
    t.fit(lambda t: seen.setdefault("grad", t.model[0].weight.grad.data.copy()))
    x, labels = data().arrays
    t.optimizer.zero_grad()
    F.cross_entropy(t.model(Tensor(x)), Tensor(labels)).backward()
    np.testing.assert_allclose(seen["grad"], t.model[0].weight.grad.data, rtol=1e-4, atol=1e-7)
