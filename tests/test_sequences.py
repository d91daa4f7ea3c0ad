"""Data sets of sequences: streams of tokens, windows, characters, CSV files, the adding problem."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fastnn.data import Characters, DataLoader, TokenStreams, Windows
from fastnn.datasets import AddingProblem, read_series


@settings(deadline=None, max_examples=60)
@given(length=st.integers(2, 200), batch_size=st.integers(1, 7), steps=st.integers(1, 9))
def test_streams_go_on_from_batch_to_batch(length, batch_size, steps):
    tokens = np.random.default_rng(0).permutation(length)
    if length < batch_size * steps + 1:
        with pytest.raises(ValueError, match=f"expected at least {batch_size * steps + 1}"):
            TokenStreams(tokens, batch_size, steps)
        return
    streams = TokenStreams(tokens, batch_size, steps)
    batches = list(DataLoader(streams, batch_size))
    assert all(x.shape == target.shape == (batch_size, steps) for x, target in batches)
    x, target = (np.concatenate([batch[k] for batch in batches], axis=1) for k in (0, 1))
    assert x.size == len(streams) * steps
    assert length - 1 - x.size < batch_size * steps  # no whole chunk is left out
    np.testing.assert_array_equal(x.ravel(), tokens[: x.size])
    np.testing.assert_array_equal(target.ravel(), tokens[1 : x.size + 1])
    for i in (0, len(streams) - 1, -1):
        np.testing.assert_array_equal(streams[i][0], batches[i // batch_size if i >= 0 else -1][0][i % batch_size])


@settings(deadline=None, max_examples=40)
@given(rows=st.integers(1, 40), window=st.integers(1, 9), horizon=st.integers(1, 5))
def test_windows(rows, window, horizon):
    values = np.random.default_rng(0).standard_normal((rows, 3))
    if rows < window + horizon:
        with pytest.raises(ValueError, match=f"there are {rows} rows, expected at least {window + horizon}"):
            Windows(values, window, horizon)
        return
    windows = Windows(values, window, horizon)
    assert len(windows) == rows - window - horizon + 1
    for i in range(len(windows)):
        x, target = windows[i]
        np.testing.assert_array_equal(x, values[i : i + window])
        np.testing.assert_array_equal(target, values[i + window : i + window + horizon])
    with pytest.raises(IndexError):
        windows[len(windows)]


@given(st.text(min_size=1))
def test_characters(text):
    characters = Characters.of(text)
    assert characters.decode(characters.encode(text)) == text
    assert characters.encode(text).max() == len(characters) - 1
    assert Characters(characters.vocabulary).vocabulary == characters.vocabulary == tuple(sorted(set(text)))


def test_series_from_files(tmp_path):
    path = tmp_path / "s.csv"
    path.write_text('\ufeff"date", x ,y,note\n2000-01,1,2.5,hot\n\n2000-02,-1e3,0,cold\n', encoding="utf-8")
    columns, values = read_series(path)
    assert columns == ("x", "y")
    np.testing.assert_array_equal(values, [[1, 2.5], [-1000, 0]])
    columns, values = read_series(path, ["y", "x"])
    assert columns == ("y", "x")
    np.testing.assert_array_equal(values, [[2.5, 1], [0, -1000]])


@pytest.mark.parametrize(
    ("content", "columns", "message"),
    [
        ("", None, "s.csv holds no series"),
        ("a,b\n", None, "s.csv holds no series"),
        ("a,b\n1,2\n3\n", None, "s.csv, line 3: there are 1 columns, expected 2"),
        ("a,b\n1,2\n\n3,x\n", None, "s.csv, line 4: b is 'x', expected a number"),
        ("a,b\n1,2\n3,inf\n", None, "s.csv, line 3: b is 'inf', expected a number"),
        ("a,b\n1,\n", ["b"], "s.csv, line 2: b is '', expected a number"),
        ("a,b\nx,y\n", None, "s.csv has no column of numbers"),
        ("a,b\n1,2\n", ["c"], "s.csv has no column 'c', but a, b"),
        (b"\xff\xfe", None, "s.csv is not a CSV file"),
    ],
)
def test_files_that_hold_no_series(tmp_path, content, columns, message):
    path = tmp_path / "s.csv"
    path.write_bytes(content if isinstance(content, bytes) else content.encode())
    with pytest.raises(ValueError, match=message):
        read_series(path, columns)


def test_adding_problem():
    data = AddingProblem(items=500, steps=30, seed=1)
    x, target = data.arrays
    assert (x.shape, target.shape, x.dtype, target.dtype) == ((500, 30, 2), (500, 1), np.float32, np.float32)
    assert (x[:, :, 0] >= 0).all()
    assert (x[:, :, 0] < 1).all()
    first, second = x[:, :15, 1], x[:, 15:, 1]
    assert (first.sum(1) == 1).all()
    assert (second.sum(1) == 1).all()
    assert not first[:, 3:].any()
    np.testing.assert_allclose(target[:, 0], (x[:, :, 0] * x[:, :, 1]).sum(1), rtol=1e-6)
    assert ((target - 1) ** 2).mean() == pytest.approx(1 / 6, abs=0.02)
    np.testing.assert_array_equal(AddingProblem(500, 30, 1).arrays[0], x)
    assert (AddingProblem(500, 30, 2).arrays[0] != x).any()
    assert AddingProblem(3, 2).arrays[0][:, :, 1].tolist() == [[1, 1]] * 3


@pytest.mark.parametrize(
    ("call", "error", "message"),
    [
        (lambda: TokenStreams([0.5, 1], 1, 1), TypeError, "tokens have dtype float64, expected integers"),
        (lambda: TokenStreams(np.zeros((3, 3), int), 1, 1), ValueError, r"tokens have shape \(3, 3\), expected \(M,\)"),
        (lambda: TokenStreams(np.arange(9), 0, 1), ValueError, "batch_size is 0 and steps 1, expected at least 1"),
        (lambda: Windows(np.zeros(3), 1, 1), ValueError, r"values have shape \(3,\), expected \(M, C\)"),
        (lambda: Windows(np.zeros((3, 1)), 0, 1), ValueError, "window is 0 and horizon 1, expected at least 1"),
        (lambda: Characters([]), ValueError, "there are no characters"),
        (lambda: Characters(["a", "a"]), ValueError, "must hold single characters, each once"),
        (lambda: Characters(["ab"]), ValueError, "must hold single characters, each once"),
        (lambda: Characters.of("abc").encode("abd"), ValueError, "'d' is none of the 3 characters that are known"),
        (lambda: AddingProblem(0, 5), ValueError, "items is 0 and steps 5, expected at least 1 and 2"),
    ],
)
def test_errors(call, error, message):
    with pytest.raises(error, match=message):
        call()
