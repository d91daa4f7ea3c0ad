"""`fastnn train` of sequences (charlm, series, adding, images row by row) and `fastnn sample`."""

import os
import re
import signal
import sys

import numpy as np
import pytest

import fastnn
from fastnn import cli, models, ops, training
from fastnn.cli import forecasts
from fastnn.cli.progress import Progress
from fastnn.data import Characters

TEXT = "the quick brown fox jumps over the lazy dog\n" * 60
SMALL = ["--hidden-size", "16", "--embedding-dim", "8", "--steps", "20", "--batch-size", "4", "--epochs", "2"]


@pytest.fixture(autouse=True)
def _one_thread():
    before = ops.get_num_threads()
    ops.set_num_threads(1)
    yield
    ops.set_num_threads(before)


@pytest.fixture(scope="module")
def text(tmp_path_factory):
    path = tmp_path_factory.mktemp("text") / "fox.txt"
    path.write_text(TEXT)
    return str(path)


@pytest.fixture(scope="module")
def charlm(text, tmp_path_factory):
    path = tmp_path_factory.mktemp("charlm") / "c.safetensors"
    assert cli.main(["train", "charlm", "--data", text, "--out", str(path), *SMALL]) == 0
    return path


@pytest.fixture(scope="module")
def csv(tmp_path_factory):
    """Two variables with a season of 6."""
    path = tmp_path_factory.mktemp("series") / "series.csv"
    t = np.arange(150)
    a, b = 10 + np.sin(t * np.pi / 3), 0.1 * t + np.cos(t * np.pi / 3)
    lines = [f"2000-{i},{x:.4f},{y:.4f}" for i, x, y in zip(t, a, b, strict=True)]
    path.write_text("date,a,b\n" + "\n".join(lines) + "\n")
    return str(path)


SERIES = ["--window", "12", "--horizon", "3", "--season", "6", "--hidden-size", "16", "--epochs", "30", "--lr", "0.01"]


# charlm -------------------------------------------------------------------------------------------


def test_charlm(text, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    assert cli.main(["train", "charlm", "--data", text, *SMALL, "--cell", "gru", "--num-layers", "1"]) == 0
    out, err = capsys.readouterr()
    assert err == ""
    first, *epochs, last = out.splitlines()
    assert first.startswith("CharRNN: ")
    assert "; fox.txt, 28 different characters, 20 a sequence: 116 training and 12 test sequences; 1 thread" in first
    pattern = r"loss \d\.\d{4}, perplexity ([\d.]+), test loss \d\.\d{4}, test perplexity ([\d.]+), [\d,]+ sequences/s"
    perplexities = [float(re.search(pattern, line)[2]) for line in epochs]
    assert perplexities[1] < perplexities[0] < 28
    assert re.fullmatch(r"test loss \d\.\d{4}, test perplexity [\d.]+; checkpoint charlm\.safetensors", last)


def test_charlm_is_truncated_backpropagation_through_time(text, charlm):
    """The plain loop, with the states handed on."""
    characters = Characters.of(TEXT)
    tokens = characters.encode(TEXT)
    streams = tokens[: len(tokens) - len(tokens) // 10]
    chunks = (len(streams) - 1) // 4 // 20
    x = np.stack([streams[n * chunks * 20 : (n + 1) * chunks * 20 + 1] for n in range(4)], axis=1)
    fastnn.manual_seed(0)
    model = models.CharRNN(len(characters), 8, 16)
    optimizer = fastnn.optim.Adam(model.parameters(), 2e-3)
    for _ in range(2):
        states, losses = None, []
        for t in range(0, chunks * 20, 20):
            scores, states = model(fastnn.tensor(x[t : t + 20]), states)
            states = tuple(s.detach() for s in states)
            loss = fastnn.functional.cross_entropy(scores.reshape(80, -1), fastnn.tensor(x[t + 1 : t + 21].ravel()))
            optimizer.zero_grad()
            loss.backward()
            fastnn.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
            optimizer.step()
            losses.append(loss.item())
    arrays, metadata = training.read_checkpoint(charlm)
    assert metadata["trainer"]["progress"]["history"][1]["loss"] == pytest.approx(np.mean(losses), rel=1e-6)
    for name, array in model.state_dict().items():
        np.testing.assert_array_equal(arrays[f"model.{name}"], array)


def test_charlm_resumes_bit_for_bit(text, charlm, tmp_path, monkeypatch, capsys):
    out = tmp_path / "c.safetensors"
    on_step = Progress.on_step

    def interrupt(progress, trainer):
        on_step(progress, trainer)
        if (trainer.epoch, trainer.step) == (1, 7):
            os.kill(os.getpid(), signal.SIGINT)

    with monkeypatch.context() as patch:
        patch.setattr(Progress, "on_step", interrupt)
        assert cli.main(["train", "charlm", "--data", text, "--out", str(out), *SMALL]) == 130
    assert f"Go on with: fastnn train charlm --data {text} --resume {out}\n" in capsys.readouterr().err
    carried = [name for name in fastnn.load(out) if name.startswith("carry.")]
    assert carried == ["carry.0", "carry.1"]  # h and c in the middle of the text
    assert cli.main(["train", "charlm", "--data", text, "--resume", str(out), "--threads", "2"]) == 0
    assert out.read_bytes() == charlm.read_bytes()


def test_sample(charlm, capsys):
    def sample(*args):
        assert cli.main(["sample", str(charlm), *args]) == 0
        return capsys.readouterr().out

    first = sample("--length", "50", "--seed", "3")
    assert len(first) == 51
    assert set(first) <= set(TEXT)
    assert sample("--length", "50", "--seed", "3") == first
    assert sample("--length", "50", "--seed", "4") != first
    prompted = sample("--length", "10", "--prompt", "the q", "--temperature", "0")
    assert prompted.startswith("the q")
    assert len(prompted) == 16

    model = models.CharRNN(**training.read_checkpoint(charlm)[1]["config"]["model"]["arguments"])
    state = fastnn.load(charlm)
    model.load_state_dict({k[len("model.") :]: v for k, v in state.items() if k.startswith("model.")})
    characters = Characters.of(TEXT)
    text = "the q"
    for _ in range(10):
        scores, _ = model(fastnn.tensor(characters.encode(text)[:, None]))
        text += characters.decode([scores.detach().numpy()[-1, 0].argmax()])
    assert prompted == text + "\n"


@pytest.mark.parametrize(
    ("args", "code", "message"),
    [
        (["train", "charlm"], 2, "charlm needs --data and a text file"),
        (["train", "charlm", "--data", "{none}"], 1, "No such file or directory"),
        (["train", "charlm", "--data", "{short}"], 1, "holds 3 characters; expected a longer text"),
        (["train", "charlm", "--data", "{bytes}"], 1, "is not a text in UTF-8"),
        (
            ["train", "charlm", "--data", "{text}", "--steps", "2000"],
            1,
            "tokens, expected at least 64001 for 32 streams",
        ),
        (
            ["train", "charlm", "--data", "{text}", "--momentum", "0.5", "--window", "3"],
            2,
            "--window: charlm has no such",
        ),
        (["train", "charlm", "--data", "{text}", "--plot", "x.png"], 2, "--plot: charlm draws nothing"),
        (["train", "adding", "--dropout", "0.5"], 2, "--dropout 0.5: it comes between recurrent layers, and there is"),
        (["train", "lenet5", "--cell", "gru"], 2, "--cell: lenet5 has no such setting"),
        (["train", "charlm", "--resume", "{charlm}", "--cell", "gru"], 2, "was trained with lstm"),
        (["train", "lenet5", "--resume", "{charlm}"], 2, "holds the model charlm, not lenet5"),
        (["predict", "{charlm}", "x.png"], 1, "holds charlm, which does something else"),
        (["sample", "{none}"], 1, "No such file or directory"),
        (["sample", "{charlm}", "--prompt", "THE"], 2, "--prompt: 'T' is none of the 28 characters that are known"),
        (["sample", "{charlm}", "--prompt", "THE"], 2, "fastnn sample: error"),
        (["train", "series"], 2, "series needs --data and a CSV file"),
        (["train", "series", "--data", "{text}"], 1, "has no column of numbers"),
        (["train", "series", "--data", "{csv}", "--columns", "c"], 1, "has no column 'c', but date, a, b"),
        (["train", "series", "--data", "{csv}", "--window", "200"], 2, "too few for --window 200"),
        (["train", "adding", "--data", "x"], 2, "adding makes its data"),
        (["train", "row_lstm", "--dataset", "cifar10"], 1, "FASTNN_DATA_DIR is not set"),
    ],
)
def test_errors(args, code, message, text, csv, charlm, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("FASTNN_DATA_DIR", raising=False)
    (tmp_path / "short").write_text("abc")
    (tmp_path / "bytes").write_bytes(b"\xff\xfe" * 50)
    paths = {"none": "none", "short": "short", "bytes": "bytes", "text": text, "csv": csv, "charlm": charlm}
    assert cli.main([a.format(**paths) for a in args]) == code
    assert message in capsys.readouterr().err


# series -------------------------------------------------------------------------------------------


def test_series(csv, tmp_path, capsys):
    out = tmp_path / "s.safetensors"
    assert cli.main(["train", "series", "--data", csv, "--out", str(out), *SERIES]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert "series.csv, 2 variables: 106 training and 28 test windows" in lines[0]
    header, *rows = lines[-4:]
    assert header.split()[:3] == ["forecast", "MAE", "RMSE"]
    assert "standard deviations" in header
    found = {row[:24].strip(): tuple(map(float, row[24:].split())) for row in rows}
    assert list(found) == ["Forecaster", "naive", "seasonal naive (6)"]
    assert found["Forecaster"] < found["naive"]
    config = training.read_checkpoint(out)[1]["config"]
    assert config["columns"] == ["a", "b"]

    assert cli.main(["train", "series", "--data", csv, "--columns", "a", "--out", str(out), *SERIES]) == 0
    rows = capsys.readouterr().out.splitlines()[-3:]
    assert float(rows[2][24:].split()[0]) == pytest.approx(0, abs=1e-3)  # a repeats itself


def test_forecasts_that_need_no_learning():
    values = np.arange(20.0).reshape(20, 1)

    class Zero(fastnn.nn.Module):
        def forward(self, x):
            return fastnn.zeros(len(x), 3, 1)

    said = forecasts.forecast(Zero(), ["a"], values, start=12, window=4, horizon=3, season=2)
    assert said.by_name["Zero"].shape == (6, 3, 1)
    assert said.by_name["naive"][0].ravel().tolist() == [11, 11, 11]
    assert said.by_name["seasonal naive (2)"][1].ravel().tolist() == [11, 12, 11]
    in_units = said.rescaled(mean=5.0, std=2.0)
    assert in_units.values.ravel().tolist() == [5 + 2 * v for v in range(20)]
    found = forecasts.scores(in_units)
    assert found["naive"] == (pytest.approx(4), pytest.approx(2 * np.sqrt(14 / 3)))
    assert forecasts.table(found, "units")[0].endswith("(units)")


def test_plot_without_matplotlib(csv, monkeypatch, capsys):
    monkeypatch.setitem(sys.modules, "matplotlib.figure", None)
    assert cli.main(["train", "series", "--data", csv, *SERIES, "--plot", "x.png"]) == 1
    out, err = capsys.readouterr()
    assert out == ""  # found out before training
    assert "plots need Matplotlib: pip install 'fastnn[plot]'" in err


def test_plot(csv, tmp_path):
    pytest.importorskip("matplotlib")
    out = tmp_path / "plot.png"
    args = ["train", "series", "--data", csv, "--out", str(tmp_path / "s.safetensors"), *SERIES, "--plot", str(out)]
    assert cli.main(args) == 0
    assert out.read_bytes().startswith(b"\x89PNG")


# adding, and images row by row --------------------------------------------------------------------


def test_adding(tmp_path, capsys):
    out = tmp_path / "a.safetensors"
    args = ["--steps", "10", "--items", "200", "--epochs", "1", "--hidden-size", "8", "--cell", "rnn"]
    assert cli.main(["train", "adding", "--out", str(out), *args]) == 0
    lines = capsys.readouterr().out.splitlines()
    baseline = float(lines[-2].removeprefix("always answering 1: test loss "))
    assert baseline == pytest.approx(1 / 6, abs=0.02)
    norms = re.findall(r"(\d+): (\d\.\de[+-]\d\d)", lines[-1])
    assert [int(step) for step, _ in norms] == [1, 3, 6, 8, 10]


def test_adding_starts_with_open_forget_gates(tmp_path):
    out = tmp_path / "a.safetensors"
    args = ["--steps", "5", "--items", "50", "--epochs", "1", "--hidden-size", "8", "--cell", "lstm"]
    assert cli.main(["train", "adding", "--out", str(out), *args]) == 0
    state = fastnn.load(out)
    bias = next(state[name] for name in state if name.endswith("bias_ih_l0"))
    assert np.asarray(bias)[8:16].mean() == pytest.approx(1, abs=0.1)


@pytest.mark.parametrize("name", ["row_rnn", "row_gru", "row_lstm"])
def test_rows(name, tmp_path, capsys):
    out = tmp_path / "r.safetensors"
    args = ["--hidden-size", "16", "--epochs", "1", "--batch-size", "500", "--out", str(out)]
    assert cli.main(["train", name, *args]) == 0
    assert "RowClassifier: " in capsys.readouterr().out
    folder = os.path.dirname(fastnn.datasets.mnist.__file__)
    images = os.path.join(folder, "mnist_subset", "t10k-images-idx3-ubyte.gz")
    assert cli.main(["predict", str(out), images]) == 0
    assert len(capsys.readouterr().out.splitlines()) == 1000
