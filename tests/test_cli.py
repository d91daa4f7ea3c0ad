"""The command line, in this process where it can be and as a process of its own where it must be."""

import contextlib
import json
import os
import re
import signal
import subprocess
import sys

import numpy as np
import pytest

import fastnn
from fastnn import cli, models, ops, training
from fastnn.cli.progress import Progress
from fastnn.data import read_idx, write_idx
from fastnn.datasets import CIFAR10, MNIST, MNISTSubset

COMMAND = [sys.executable, "-m", "fastnn"]
QUICK = ["--epochs", "2", "--batch-size", "50", "--threads", "1"]  # on the tiny data set


def run(*args, **kwargs):
    return subprocess.run([*COMMAND, *map(str, args)], capture_output=True, text=True, timeout=100, **kwargs)


@pytest.fixture(autouse=True, scope="module")
def _one_thread():
    before = ops.get_num_threads()
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("FASTNN_NUM_THREADS", "1")  # for the processes
        ops.set_num_threads(1)
        yield
    ops.set_num_threads(before)


@pytest.fixture(scope="module")
def tiny(tmp_path_factory):
    """A folder with 300 training and 50 test images in MNIST's format."""
    folder = tmp_path_factory.mktemp("tiny")
    for train, split, n in ((True, "train", 300), (False, "t10k", 50)):
        subset = MNISTSubset(train)
        chosen = np.linspace(0, len(subset) - 1, n).astype(int)
        write_idx(folder / f"{split}-images-idx3-ubyte.gz", subset.images[chosen])
        write_idx(folder / f"{split}-labels-idx1-ubyte", subset.labels[chosen].astype(np.uint8))
    return folder


@pytest.fixture(scope="module")
def trained(tiny, tmp_path_factory):
    """A checkpoint of a short run."""
    path = tmp_path_factory.mktemp("trained") / "c.safetensors"
    assert cli.main(["train", "lenet5", "--data", str(tiny), "--out", str(path), *QUICK]) == 0
    return path


# --- the program -----------------------------------------------------------------------------------------------


def test_version_and_help():
    version = run("--version")
    assert (version.returncode, version.stdout) == (0, f"fastnn {fastnn.__version__}\n")
    text = run("--help")
    assert text.returncode == 0
    for word in ("info", "train", "predict", "sample", "features", "summary", "transfer", "exit codes", "130"):
        assert word in text.stdout


@pytest.mark.parametrize(
    ("args", "message"),
    [
        ([], "the following arguments are required: COMMAND"),
        (["fly"], "invalid choice: 'fly'"),
        (["train"], "the following arguments are required: model"),
        (["train", "lenet5", "--epochs", "0"], "argument --epochs: '0' is not an integer of at least 1"),
        (["train", "lenet5", "--epochs", "1.5"], "argument --epochs: '1.5' is not an integer of at least 1"),
        (["train", "lenet5", "--batch-size", "x"], "argument --batch-size: 'x' is not an integer of at least 1"),
        (["train", "lenet5", "--lr", "0"], "argument --lr: '0' is not a number above 0"),
        (["train", "lenet5", "--lr", "nan"], "argument --lr: 'nan' is not a number above 0"),
        (["train", "lenet5", "--lr", "inf"], "argument --lr: 'inf' is not a number above 0"),
        (["train", "lenet5", "--momentum", "1"], "argument --momentum: '1' is not a number of at least 0 and below 1"),
        (["train", "lenet5", "--weight-decay=-1"], "argument --weight-decay: '-1' is not a number of at least 0"),
        (["train", "lenet5", "--seed=-1"], "argument --seed: '-1' is not an integer of at least 0"),
        (["train", "lenet5", "--threads", "0"], "argument --threads: '0' is not an integer of at least 1"),
        (["predict", "c.safetensors"], "the following arguments are required: IMAGE"),
        (["predict", "c", "x.png", "--top", "0"], "argument --top: '0' is not an integer of at least 1"),
    ],
)
def test_wrong_command_lines(args, message, capsys):
    with pytest.raises(SystemExit) as exit_info:
        cli.main(args)
    assert exit_info.value.code == 2
    assert message in capsys.readouterr().err


def test_unknown_model(capsys):
    assert cli.main(["train", "lenet6"]) == 2
    error = capsys.readouterr().err
    assert error.startswith("fastnn train: error: there is no model 'lenet6' (did you mean lenet5 or ")
    assert error.endswith(
        "; expected one of " + ", ".join([*models.list(exclude="char_rnn"), "charlm", "series", "adding"]) + "\n"
    )


def test_networks_that_are_not_for_images(capsys):
    for command in ("train", "summary"):
        assert cli.main([command, "char_rnn"]) == 2
        error = capsys.readouterr().err
        assert "there is no model 'char_rnn'" in error
        assert "char_rnn" not in error.partition("; expected one of alexnet, ")[2]


# --- info ------------------------------------------------------------------------------------------------------


def test_info(capsys):
    assert cli.main(["info"]) == 0
    text = capsys.readouterr().out
    info = ops.info()
    for value in (info["version"], info["isa"], info["openmp"], info["compiler"], info["allocator"], np.__version__):
        assert value in text
    assert "CUDA             no" in text


def test_info_json_says_where_the_choices_come_from():
    def info(**environment):
        done = run("info", "--json", env={**os.environ, **environment})
        assert done.returncode == 0
        return json.loads(done.stdout)

    plain = info(FASTNN_ISA="", FASTNN_NUM_THREADS="", OMP_NUM_THREADS="")
    assert plain["isa_from"] == "processor"
    assert plain["isa"] == plain["isa_detected"]
    assert plain["threads_from"] in ("CPU affinity", "cgroup CPU quota")
    assert plain["cuda"] is False
    narrowest = plain["isas"][0]
    forced = info(FASTNN_ISA=narrowest, FASTNN_NUM_THREADS="3")
    assert (forced["isa"], forced["isa_from"]) == (narrowest, "FASTNN_ISA")
    assert (forced["threads"], forced["threads_from"]) == (3, "FASTNN_NUM_THREADS")


# --- train -----------------------------------------------------------------------------------------------------


def test_train_on_the_embedded_subset(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    assert cli.main(["train", "lenet5", "--epochs", "1", "--threads", "1"]) == 0
    out, err = capsys.readouterr()
    assert err == ""
    first, epoch, last = out.splitlines()
    assert first.startswith("LeNet5: 61,706 parameters; MNISTSubset: 6,000 training and 1,000 test images; 1 thread, ")
    assert epoch.startswith("epoch 1/1: loss ")
    assert "images/s" in epoch
    found = re.fullmatch(r"test loss \d\.\d{4}, test accuracy ([\d.]+)%; checkpoint lenet5\.safetensors", last)
    assert float(found[1]) > 75
    assert [p.name for p in tmp_path.iterdir()] == ["lenet5.safetensors"]


def test_train_original(tiny, tmp_path, capsys):
    out = tmp_path / "c.safetensors"
    assert cli.main(["train", "lenet5", "--original", "--data", str(tiny), "--out", str(out), *QUICK]) == 0
    assert "OriginalLeNet5: 60,850 parameters; MNIST: 300 training and 50 test images" in capsys.readouterr().out
    assert {"model.c3.weight", "model.s2.coefficient"} <= set(fastnn.load(out))


@pytest.mark.parametrize(
    ("args", "first"),
    [
        (["linear_classifier", "--loss", "hinge"], "MLP: 7,850 parameters"),
        (["mlp", "--loss", "cross_entropy"], "MLP: 266,610 parameters"),
    ],
)
def test_train_without_convolutions(tiny, tmp_path, args, first, capsys):
    out = tmp_path / "c.safetensors"
    assert cli.main(["train", *args, "--data", str(tiny), "--out", str(out), *QUICK]) == 0
    printed = capsys.readouterr().out
    assert first in printed
    arrays, metadata = training.read_checkpoint(out)
    assert metadata["config"]["settings"]["loss"] == args[2]
    if args[2] == "hinge":  # what the last epoch says is the loss of the weights in the file
        data = MNIST(tiny, train=False)
        x, y = (np.stack([item[i] for item in data]) for i in (0, 1))
        scores = x.reshape(50, 784) @ arrays["model.0.weight"].T + arrays["model.0.bias"]
        margins = np.maximum(0, 1 + scores - scores[np.arange(50), y][:, None])
        assert metadata["trainer"]["progress"]["history"][-1]["test_loss"] == pytest.approx(
            (margins.sum(1) - 1).mean() / 10, rel=1e-4
        )
    assert cli.main(["predict", str(out), str(tiny / "t10k-images-idx3-ubyte.gz")]) == 0
    assert len(capsys.readouterr().out.splitlines()) == 50


def test_the_seed_decides_everything_and_threads_nothing(tiny, trained, tmp_path):
    def train(*extra):
        out = tmp_path / "c.safetensors"
        assert cli.main(["train", "lenet5", "--data", str(tiny), "--out", str(out), *QUICK, *extra]) == 0
        return out.read_bytes()

    assert train("--threads", "1") == train("--threads", "3") == trained.read_bytes()
    assert train("--seed", "1") != trained.read_bytes()


def test_ctrl_c_and_resume(tiny, trained, tmp_path, capsys, monkeypatch):
    out = tmp_path / "c.safetensors"
    on_step = Progress.on_step

    def interrupt(progress, trainer):
        on_step(progress, trainer)
        if (trainer.epoch, trainer.step) == (1, 2):
            os.kill(os.getpid(), signal.SIGINT)

    with monkeypatch.context() as patch:
        patch.setattr(Progress, "on_step", interrupt)
        assert cli.main(["train", "lenet5", "--data", str(tiny), "--out", str(out), *QUICK]) == 130
    assert f"Go on with: fastnn train lenet5 --data {tiny} --resume {out}\n" in capsys.readouterr().err
    assert training.read_checkpoint(out)[1]["trainer"]["progress"]["step"] == 2
    assert cli.main(["train", "lenet5", "--data", str(tiny), "--resume", str(out), "--threads", "3"]) == 0
    assert out.read_bytes() == trained.read_bytes()
    assert "epoch 2/2" in capsys.readouterr().out
    # A finished run has nothing left to do.
    assert cli.main(["train", "lenet5", "--data", str(tiny), "--resume", str(out)]) == 0
    assert out.read_bytes() == trained.read_bytes()


def test_a_second_ctrl_c_stops_at_once(tiny, tmp_path, capsys, monkeypatch):
    out = tmp_path / "c.safetensors"

    def interrupt(progress, trainer):
        os.kill(os.getpid(), signal.SIGINT)
        os.kill(os.getpid(), signal.SIGINT)

    monkeypatch.setattr(Progress, "on_step", interrupt)
    assert cli.main(["train", "lenet5", "--data", str(tiny), "--out", str(out), *QUICK]) == 130
    assert capsys.readouterr().err == "Stopped at once: what was done since the last checkpoint is lost.\n"
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(("number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_signals_to_the_process(tiny, tmp_path, number, code):
    out = tmp_path / "c.safetensors"
    command = [*COMMAND, "train", "lenet5", "--data", tiny, "--out", out, "--epochs", "100000", "--threads", "1"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as child:
        while not (line := child.stdout.readline()).startswith("epoch 2/"):
            assert line
        child.send_signal(number)
        err = child.communicate(timeout=60)[1]
    assert child.returncode == code
    assert err == f"Stopped. Go on with: fastnn train lenet5 --data {tiny} --resume {out}\n"
    assert training.read_checkpoint(out)[1]["trainer"]["progress"]["epoch"] >= 2


@pytest.mark.parametrize(
    ("args", "code", "message"),
    [
        (["--lr", "0.1"], 2, "--lr 0.1: {path} was trained with 0.05, and a resumed run keeps its settings"),
        (["--epochs", "3"], 2, "--epochs 3: {path} was trained with 2"),
        (["--original"], 2, "--original True: {path} was trained with False"),
        ([], 1, "items 300, name MNIST and is"),  # the embedded subset instead of the folder
    ],
)
def test_resume_refuses_other_settings_and_data(trained, args, code, message, capsys):
    assert cli.main(["train", "lenet5", "--resume", str(trained), *args]) == code
    err = capsys.readouterr().err
    assert err.startswith("fastnn train: error: ")
    assert message.format(path=trained) in err


def test_train_with_files_that_do_not_work(tiny, tmp_path, capsys):
    def error(*args):
        assert cli.main(["train", "lenet5", *map(str, args)]) == 1
        out, err = capsys.readouterr()
        assert out == ""  # found out before training
        assert err.startswith("fastnn train: error: ")
        assert err.count("\n") == 1
        return err

    (tmp_path / "file").write_text("no folder")
    assert "is a directory" in error("--out", tmp_path)
    assert "cannot be written: No such file or directory" in error("--out", tmp_path / "none" / "c.safetensors")
    assert "cannot be written: Not a directory" in error("--out", tmp_path / "file" / "c.safetensors")
    assert "No such file or directory" in error("--resume", tmp_path / "none.safetensors")
    assert str(tmp_path / "file") in error("--resume", tmp_path / "file")
    assert "train-images-idx3-ubyte" in error("--data", tmp_path, "--out", tmp_path / "c.safetensors")
    fastnn.save(models.lenet5(), tmp_path / "weights.safetensors")
    assert "not a checkpoint" in error("--resume", tmp_path / "weights.safetensors")


@pytest.mark.skipif(not hasattr(os, "geteuid") or os.geteuid() == 0, reason="root may write everywhere")
def test_read_only_directory(tmp_path, capsys):
    tmp_path.chmod(0o500)
    assert cli.main(["train", "lenet5", "--out", str(tmp_path / "c.safetensors")]) == 1
    assert "cannot be written: Permission denied" in capsys.readouterr().err


def test_divergence(tiny, tmp_path, capsys):
    args = ["train", "lenet5", "--data", str(tiny), "--out", str(tmp_path / "c.safetensors"), "--lr", "1e20"]
    assert cli.main(args) == 1
    assert "training has diverged" in capsys.readouterr().err


def terminal_output(args, **environment):
    """What a command writes to a terminal of 100 columns."""
    pty = pytest.importorskip("pty")
    import fcntl
    import struct
    import termios

    parent, terminal = pty.openpty()
    fcntl.ioctl(terminal, termios.TIOCSWINSZ, struct.pack("4H", 30, 100, 0, 0))
    env = {name: value for name, value in os.environ.items() if name != "NO_COLOR"} | environment
    with subprocess.Popen([*COMMAND, *args], stdout=terminal, stderr=terminal, env=env) as child:
        os.close(terminal)
        output = b""
        with contextlib.suppress(OSError):  # Linux reports the end as an error
            while part := os.read(parent, 4096):
                output += part
    os.close(parent)
    assert child.returncode == 0
    return output.decode()


def test_progress_bar_on_a_terminal(tiny, tmp_path):
    args = ["train", "lenet5", "--data", str(tiny), "--out", str(tmp_path / "c.safetensors"), *QUICK]
    output = terminal_output(args)
    assert "%|" in output
    assert "images/s, " in output
    assert " left, loss " in output
    assert "epoch 2/2: loss " in output
    assert "\x1b[32m" in output
    assert "\x1b[32m" not in terminal_output(args, NO_COLOR="1")


# --- colour images ---------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def tiny_cifar(tmp_path_factory):
    """A folder with 50 training and 10 test images of noise in CIFAR-10's format."""
    folder = tmp_path_factory.mktemp("cifar")
    for i, name in enumerate([*(f"data_batch_{i}" for i in range(1, 6)), "test_batch"]):
        records = np.random.default_rng(i).integers(0, 256, (10, 3073), np.uint8)
        records[:, 0] = range(10)
        records.tofile(folder / f"{name}.bin")
    return folder


def test_train_and_predict_colour_images(tiny_cifar, tmp_path, capsys):
    Image = pytest.importorskip("PIL.Image")
    out = tmp_path / "c.safetensors"
    args = ["train", "cifar_resnet20", "--data", str(tiny_cifar), "--out", str(out), "--epochs", "1"]
    assert cli.main([*args, "--batch-size", "25", "--threads", "1"]) == 0
    printed = capsys.readouterr().out
    assert "CifarResNet: 269,722 parameters; CIFAR10: 50 training and 10 test images" in printed
    settings = training.read_checkpoint(out)[1]["config"]["settings"]
    assert (settings["dataset"], settings["lr"], settings["weight_decay"]) == ("cifar10", 0.1, 1e-4)

    model = models.cifar_resnet20().eval()
    state = fastnn.load(out)
    model.load_state_dict({k[len("model.") :]: v for k, v in state.items() if k.startswith("model.")})
    data = CIFAR10(tiny_cifar, train=False)
    with fastnn.no_grad():
        scores = model(fastnn.tensor(data[3][0][None])).numpy()[0]
    Image.fromarray(data.images[3]).save(tmp_path / "x.png")
    assert cli.main(["predict", str(out), str(tmp_path / "x.png"), "--json", "--top", "10"]) == 0
    (found,) = json.loads(capsys.readouterr().out)
    assert [t["class"] for t in found["top"]] == [CIFAR10.classes[k] for k in np.argsort(-scores)]

    write_idx(tmp_path / "grey", np.zeros((2, 32, 32), np.uint8))
    assert cli.main(["predict", str(out), str(tmp_path / "grey")]) == 1
    assert "expected images, an image file: the model sees colours" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("args", "name"),
    [
        (["googlenet"], "GoogLeNet"),
        (["googlenet", "--original", "--lr", "0.001"], "GoogLeNet"),
        (["se_resnet18"], "ResNet"),
        (["inception_bn"], "InceptionBN"),
        (["mlp"], "MLP"),
        (["row_lstm", "--dataset", "cifar10"], "RowClassifier"),
    ],
)
def test_networks_that_take_small_colour_images(tiny_cifar, tmp_path, args, name, capsys):
    out = tmp_path / "c.safetensors"
    common = ["--data", str(tiny_cifar), "--dataset", "cifar10", "--out", str(out), "--epochs", "1"]
    assert cli.main(["train", *args, *common, "--batch-size", "25", "--threads", "2"]) == 0
    assert capsys.readouterr().out.startswith(f"{name}: ")


@pytest.mark.parametrize(
    ("args", "message"),
    [
        (["lenet5", "--dataset", "cifar10"], "lenet5 does not take the images of cifar10, 3x32x32: linear"),
        (["cifar_resnet20", "--original", "--dataset", "mnist"], "--original: cifar_resnet20 has one form only"),
    ],
)
def test_models_that_do_not_fit(tiny_cifar, args, message, capsys):
    assert cli.main(["train", *args, *(["--data", str(tiny_cifar)] if "cifar10" in args else [])]) == 2
    assert message in capsys.readouterr().err


def test_cifar_needs_files(monkeypatch, capsys):
    monkeypatch.delenv("FASTNN_DATA_DIR", raising=False)
    assert cli.main(["train", "cifar_resnet20"]) == 1
    assert "CIFAR10: no root is given and FASTNN_DATA_DIR is not set" in capsys.readouterr().err


# --- predict ---------------------------------------------------------------------------------------------------


def expected(path, images):
    """What the model of a checkpoint says, by the Python API."""
    model = models.lenet5()
    state = fastnn.load(path)
    model.load_state_dict({k[len("model.") :]: v for k, v in state.items() if k.startswith("model.")})
    scores = model(fastnn.tensor(MNISTSubset.normalize(images))).detach().numpy().astype(np.float64)
    probabilities = np.exp(scores - scores.max(1, keepdims=True))
    return probabilities / probabilities.sum(1, keepdims=True)


def test_predict_idx(tiny, trained, capsys):
    file = tiny / "t10k-images-idx3-ubyte.gz"
    assert cli.main(["predict", str(trained), str(file), "--json", "--top", "3"]) == 0
    found = json.loads(capsys.readouterr().out)
    probabilities = expected(trained, read_idx(file))
    assert [r["index"] for r in found] == list(range(50))
    for result, row in zip(found, probabilities, strict=True):
        order = np.argsort(-row)[:3]
        assert [t["class"] for t in result["top"]] == [str(k) for k in order]
        np.testing.assert_allclose([t["probability"] for t in result["top"]], row[order], rtol=1e-4)
        assert (result["class"], result["path"]) == (result["top"][0]["class"], str(file))

    assert cli.main(["predict", str(trained), str(file)]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert lines[7] == f"{file}[7]: {found[7]['class']} {found[7]['probability']:.4f}"
    assert len(lines) == 50


def test_predict_image_files(trained, tmp_path, capsys):
    Image = pytest.importorskip("PIL.Image")
    digit = MNISTSubset(train=False).images[123]
    image = Image.fromarray(digit)
    transparent = Image.merge("RGBA", [Image.new("L", (28, 28))] * 3 + [image])  # black ink on nothing
    files = {
        "grey.png": image,
        "colour.bmp": image.convert("RGB"),
        "deep.png": Image.fromarray(digit.astype(np.uint16) * 257),
        "large.png": image.resize((280, 280), Image.Resampling.NEAREST),
        "dark on light.png": Image.fromarray(255 - digit),
        "transparent.png": transparent,
    }
    for name, picture in files.items():
        picture.save(tmp_path / name)
    row = expected(trained, digit[None])[0]

    def predict(names, *args):
        assert cli.main(["predict", str(trained), *(str(tmp_path / n) for n in names), "--json", *args]) == 0
        return [(r["class"], r["probability"]) for r in json.loads(capsys.readouterr().out)]

    same = pytest.approx(row.max(), rel=1e-4)
    assert predict(["grey.png", "colour.bmp", "deep.png"]) == [(str(row.argmax()), same)] * 3
    assert predict(["dark on light.png", "transparent.png"], "--invert") == [(str(row.argmax()), same)] * 2
    assert predict(["large.png"])[0][1] == pytest.approx(row.max(), abs=0.05)


def test_predict_goes_on_after_bad_files(tiny, trained, tmp_path):
    pytest.importorskip("PIL.Image")
    good = tiny / "t10k-images-idx3-ubyte.gz"
    (tmp_path / "text.png").write_text("not an image")
    (tmp_path / "short").write_bytes(b"\0\0\x08\x03\0\0")
    (tmp_path / "empty.png").write_bytes(b"")
    write_idx(tmp_path / "small", np.zeros((2, 8, 8), np.uint8))
    labels = tiny / "t10k-labels-idx1-ubyte"
    bad = [tmp_path / n for n in ("none.png", "text.png", "short", "empty.png", "small")]
    done = run("predict", trained, *bad, labels, good)
    assert done.returncode == 1
    assert len(done.stdout.splitlines()) == 50
    errors = done.stderr.splitlines()
    assert len(errors) == 6
    for path, line in zip([*bad, labels], errors, strict=True):
        assert line.startswith("fastnn predict: error: ")
        assert str(path) in line
    assert "expected images, uint8 (N, 28, 28)" in errors[4]


def test_predict_without_pillow(tiny, trained, tmp_path, monkeypatch, capsys):
    monkeypatch.setitem(sys.modules, "PIL", None)
    (tmp_path / "x.png").write_bytes(b"\x89PNG")
    assert cli.main(["predict", str(trained), str(tmp_path / "x.png")]) == 1
    assert "image files need Pillow: pip install 'fastnn[vision]'" in capsys.readouterr().err
    assert cli.main(["predict", str(trained), str(tiny / "t10k-images-idx3-ubyte.gz")]) == 0


def test_predict_with_a_bad_checkpoint(tiny, trained, tmp_path, capsys):
    images = str(tiny / "t10k-images-idx3-ubyte.gz")

    def error(path, code=1, *args):
        assert cli.main(["predict", str(path), images, *args]) == code
        return capsys.readouterr().err

    assert "No such file or directory" in error(tmp_path / "none")
    (tmp_path / "cut").write_bytes(trained.read_bytes()[:1000])
    assert str(tmp_path / "cut") in error(tmp_path / "cut")
    arrays, metadata = training.read_checkpoint(trained)
    del arrays["model.fc3.bias"]
    fastnn.save(arrays, tmp_path / "part", metadata=metadata)
    assert "missing keys: fc3.bias" in error(tmp_path / "part")
    assert "--top 11: the model has 10 classes" in error(trained, 2, "--top", "11")


def test_a_reader_that_goes_away(tiny, trained):
    command = [*COMMAND, "predict", trained, *[tiny / "t10k-images-idx3-ubyte.gz"] * 100]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as child:
        child.stdout.readline()
        child.stdout.close()
        assert child.stderr.read() == ""
    assert child.returncode == 1


# --- an environment and files that cannot be ---------------------------------------------------------------------


@pytest.mark.parametrize(("name", "value"), [("FASTNN_ISA", "pentium"), ("FASTNN_NUM_THREADS", "-3")])
def test_a_wrong_environment_variable_is_an_error_message(name, value):
    result = run("info", env={**os.environ, name: value})
    assert result.returncode == 2
    assert result.stderr.startswith(f"fastnn: error: {name}")
    assert "Traceback" not in result.stderr
    imported = subprocess.run(
        [sys.executable, "-c", "import fastnn"], capture_output=True, text=True, env={**os.environ, name: value}
    )
    assert "ImportError" in imported.stderr


@pytest.mark.parametrize("option", ["--data", "--resume"])
def test_an_empty_path_is_not_the_same_as_none(option, tmp_path, capsys):
    assert cli.main(["train", "lenet5", option, "", "--out", str(tmp_path / "c"), "--epochs", "1"]) == 1
    assert not (tmp_path / "c").exists()
    assert "error" in capsys.readouterr().err


def test_too_many_threads(capsys):
    with pytest.raises(SystemExit):
        cli.main(["train", "lenet5", "--threads", "4097"])
    assert "below 4097" in capsys.readouterr().err


def test_out_of_memory_is_an_error_message(monkeypatch, capsys):
    def run_out(args):
        raise MemoryError

    monkeypatch.setattr(cli.info, "run", run_out)
    assert cli.main(["info"]) == 1
    assert "fastnn info: error: out of memory" in capsys.readouterr().err


@pytest.mark.parametrize(
    "damage",
    [
        lambda config: None,
        lambda config: {**config, "model": 3},
        lambda config: {**config, "input": {}},
        lambda config: {**config, "classes": None},
        lambda config: {**config, "settings": {"lr": 0.1}},
    ],
)
@pytest.mark.parametrize("command", ["train", "predict"])
def test_a_checkpoint_with_another_config(command, damage, trained, tmp_path, capsys):
    metadata = fastnn.load_metadata(trained)
    path = tmp_path / "other.safetensors"
    fastnn.save(fastnn.load(trained), path, metadata={**metadata, "config": damage(metadata["config"])})
    args = ["train", "lenet5", "--resume", str(path)] if command == "train" else ["predict", str(path), "x.png"]
    assert cli.main(args) == 1
    assert "not a checkpoint that `fastnn train` has written" in capsys.readouterr().err
