"""`fastnn train`: optimizers and schedules by name, several batches a step, the average of the weights."""

import os
import signal

import numpy as np
import pytest

import fastnn
from fastnn import cli, ops, training
from fastnn.cli.progress import Progress
from fastnn.cli.steps import OPTIMIZERS, SCHEDULES
from fastnn.data import write_idx
from fastnn.datasets import MNISTSubset

QUICK = ["--epochs", "2", "--batch-size", "50", "--threads", "1"]  # 4 batches an epoch


@pytest.fixture(autouse=True, scope="module")
def _one_thread():
    before = ops.get_num_threads()
    yield
    ops.set_num_threads(before)


@pytest.fixture(scope="module")
def tiny(tmp_path_factory):
    """A folder with 200 training and 50 test images in MNIST's format."""
    folder = tmp_path_factory.mktemp("tiny")
    for train, split, n in ((True, "train", 200), (False, "t10k", 50)):
        subset = MNISTSubset(train)
        chosen = np.linspace(0, len(subset) - 1, n).astype(int)
        write_idx(folder / f"{split}-images-idx3-ubyte.gz", subset.images[chosen])
        write_idx(folder / f"{split}-labels-idx1-ubyte", subset.labels[chosen].astype(np.uint8))
    return folder


def train(tiny, out, *options):
    return cli.main(["train", "lenet5", "--data", str(tiny), "--out", str(out), *QUICK, *options])


def state(out):
    return training.read_checkpoint(out)[1]["trainer"]


@pytest.mark.parametrize("name", OPTIMIZERS)
def test_optimizers_with_their_own_defaults(tiny, tmp_path, name):
    out = tmp_path / "c.safetensors"
    assert train(tiny, out, "--optimizer", name, "--schedule", "constant") == 0
    assert state(out)["identity"]["optimizer"].lower() == name
    group = state(out)["optimizer"]["param_groups"][0]
    expected = {option: OPTIMIZERS[name][1][option] for option in ("lr", "weight_decay")}
    assert {option: group[option] for option in expected} == expected
    settings = training.read_checkpoint(out)[1]["config"]["settings"]
    assert settings["optimizer"] == name
    assert settings["momentum"] == group.get("momentum", 0)


def test_what_is_given_beats_the_defaults(tiny, tmp_path):
    out = tmp_path / "c.safetensors"
    options = ["--optimizer", "rmsprop", "--lr", "0.002", "--momentum", "0.5", "--weight-decay", "0.1"]
    assert train(tiny, out, *options, "--schedule", "constant") == 0
    group = state(out)["optimizer"]["param_groups"][0]
    assert (group["lr"], group["momentum"], group["weight_decay"]) == (0.002, 0.5, 0.1)


@pytest.mark.parametrize("warmup", [0, 3])
@pytest.mark.parametrize("name", SCHEDULES)
def test_schedules(tiny, tmp_path, monkeypatch, name, warmup):
    seen, on_step = [], Progress.on_step

    def watch(progress, trainer):
        on_step(progress, trainer)
        seen.append(trainer.optimizer.param_groups[0]["lr"])

    if warmup and name in ("onecycle", "plateau"):
        assert train(tiny, tmp_path / "c", "--schedule", name, "--warmup", "3") == 2
        return
    monkeypatch.setattr(Progress, "on_step", watch)
    assert train(tiny, tmp_path / "c", "--schedule", name, "--lr", "0.01", "--warmup", str(warmup)) == 0
    left = 8 - warmup
    t = np.arange(1, left + 1)
    after = {
        "constant": np.ones(left),
        "cosine": (1 + np.cos(np.pi * t / left)) / 2,
        "linear": 1 - t / left,
        "step": 0.1 ** ((t >= left // 2).astype(int) + (t >= left * 3 // 4)),
        "plateau": np.ones(left),
    }
    rise = [(t + 1) / (warmup + 1) for t in range(1, warmup + 1)]
    if name == "onecycle":
        assert max(seen) == pytest.approx(0.01, rel=0.2)
        assert seen[-2] < 1e-4 * seen[0] < 1e-4 * max(seen)  # of the last step; what comes after it is not used
    else:
        np.testing.assert_allclose(seen, [0.01 * factor for factor in [*rise, *after[name]]], rtol=1e-6, atol=1e-9)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--optimizer", "adam", "--momentum", "0.5"], "--momentum 0.5: adam has no momentum to set"),
        (["--warmup", "8"], "--warmup 8: the run has 8 steps"),
        (["--warmup", "4", "--accumulate", "3"], "--warmup 4: the run has 4 steps"),
        (["--warmup", "2", "--schedule", "onecycle"], "--warmup 2: the schedule onecycle takes none"),
        (["--warmup", "2", "--schedule", "plateau"], "--warmup 2: the schedule plateau takes none"),
    ],
)
def test_settings_that_do_not_go_together(tiny, tmp_path, options, message, capsys):
    assert train(tiny, tmp_path / "c.safetensors", *options) == 2
    assert capsys.readouterr().err == f"fastnn train: error: {message}\n"


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--optimizer", "lbfgs"], "argument --optimizer: invalid choice: 'lbfgs'"),
        (["--schedule", "x"], "argument --schedule: invalid choice: 'x'"),
        (["--warmup=-1"], "argument --warmup: '-1' is not an integer of at least 0"),
        (["--accumulate", "0"], "argument --accumulate: '0' is not an integer of at least 1"),
        (["--ema", "1"], "argument --ema: '1' is not a number of at least 0 and below 1"),
        (["--clip-value=-1"], "argument --clip-value: '-1' is not a number of at least 0"),
    ],
)
def test_wrong_command_lines(options, message, capsys):
    with pytest.raises(SystemExit) as exit_info:
        cli.main(["train", "lenet5", *options])
    assert exit_info.value.code == 2
    assert message in capsys.readouterr().err


def test_several_batches_a_step(tiny, tmp_path):
    """As one large batch (LeNet-5 has no batch normalization)."""
    many, large = tmp_path / "many", tmp_path / "large"
    assert train(tiny, many, "--accumulate", "3") == 0
    assert train(tiny, large, "--batch-size", "150") == 0
    arrays, expected = fastnn.load(many), fastnn.load(large)
    assert arrays.keys() == expected.keys()
    for name, value in expected.items():
        np.testing.assert_allclose(arrays[name], value, rtol=1e-3, atol=1e-5, err_msg=name)


EVERYTHING = ["--accumulate", "2", "--optimizer", "nadam", "--schedule", "linear", "--warmup", "1"]
EVERYTHING += ["--ema", "0.9", "--clip-value", "0.5", "--clip-norm", "2"]


def test_everything_is_resumed(tiny, tmp_path, monkeypatch, capsys):
    whole, out = tmp_path / "whole", tmp_path / "part"
    assert train(tiny, whole, *EVERYTHING) == 0
    on_step = Progress.on_step

    def interrupt(progress, trainer):
        on_step(progress, trainer)
        if (trainer.epoch, trainer.step) == (1, 1):
            os.kill(os.getpid(), signal.SIGINT)

    with monkeypatch.context() as patch:
        patch.setattr(Progress, "on_step", interrupt)
        assert train(tiny, out, *EVERYTHING) == 130
    assert out.read_bytes() != whole.read_bytes()
    assert cli.main(["train", "lenet5", "--data", str(tiny), "--resume", str(out), "--ema", "0.8"]) == 2
    assert "--ema 0.8: " in capsys.readouterr().err
    assert cli.main(["train", "lenet5", "--data", str(tiny), "--resume", str(out), "--threads", "2"]) == 0
    assert out.read_bytes() == whole.read_bytes()


def test_the_average_predicts(tiny, tmp_path, capsys):
    out, image = tmp_path / "c.safetensors", tmp_path / "image"
    assert train(tiny, out, "--ema", "0.5") == 0
    arrays = fastnn.load(out)
    assert {name[6:] for name in arrays if name.startswith("model.")} == {
        name[8:] for name in arrays if name.startswith("trained.")
    }
    name = "fc1.weight" if "model.fc1.weight" in arrays else next(n[6:] for n in arrays if n.startswith("model."))
    assert (arrays[f"model.{name}"] != arrays[f"trained.{name}"]).any()
    write_idx(image, MNISTSubset(False).images[:3])
    capsys.readouterr()
    assert cli.main(["predict", str(out), str(image)]) == 0
    assert len(capsys.readouterr().out.splitlines()) == 3
