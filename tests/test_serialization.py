"""Saving and loading: round trips, other programs' files, damaged files, files that appear whole or not at all."""

import errno
import json
import os
import signal
import struct
import subprocess
import sys

import numpy as np
import pytest
import safetensors.numpy

from fastnn import nn, serialization
from fastnn.serialization import load, load_metadata, save
from fastnn.tensor import Parameter, Tensor


@pytest.fixture
def path(tmp_path):
    return tmp_path / "model.safetensors"


def state():
    rng = np.random.default_rng(0)
    return {
        "conv.weight": rng.standard_normal((2, 3, 3, 3)).astype(np.float32),
        "fc.bias": rng.standard_normal(5),
        "count": np.array(7),
        "none": np.zeros((0, 3), np.float32),
        "flags": np.array([True, False]),
    }


def assert_same(a, b):
    assert set(a) == set(b)
    for name in a:
        assert a[name].dtype == b[name].dtype
        assert a[name].shape == b[name].shape
        np.testing.assert_array_equal(a[name], b[name])


def header(document, data=b""):
    text = document if isinstance(document, bytes) else json.dumps(document).encode()
    return struct.pack("<Q", len(text)) + text + data


# ---- round trips -------------------------------------------------------------------------------------------------


def test_round_trip(path):
    save(state(), path)
    loaded = load(str(path))
    assert_same(loaded, state())
    assert all(array.flags.writeable for array in loaded.values())
    assert os.listdir(path.parent) == [path.name]


def test_module_round_trip(path):
    module, other = (
        nn.Sequential(nn.Linear(3, 2), nn.Conv2d(1, 2, 3)),
        nn.Sequential(nn.Linear(3, 2), nn.Conv2d(1, 2, 3)),
    )
    save(module, path)
    assert other.load_state_dict(load(path)) == ([], [])
    assert_same(other.state_dict(), module.state_dict())


@pytest.mark.parametrize(
    "value",
    [
        np.arange(48, dtype=np.float32).reshape(2, 4, 2, 3).transpose(0, 3, 1, 2),
        np.arange(6.0)[::-1],
        np.arange(12.0).reshape(3, 4)[:, ::2],
        np.asfortranarray(np.arange(6.0).reshape(2, 3)),
        np.arange(6, dtype=">f4"),
        np.broadcast_to(np.float32(3), (2, 2)),
        np.float32(2.5),
        Tensor(np.arange(3, dtype=np.float16)),
        Parameter(np.arange(3, dtype=np.float32)),
        memoryview(np.arange(3, dtype=np.int32)),
    ],
    ids=[
        "channels-last",
        "reversed",
        "strided",
        "Fortran",
        "big-endian",
        "broadcast",
        "scalar",
        "Tensor",
        "Parameter",
        "buffer",
    ],
)
def test_arrays_of_all_kinds(path, value):
    save({"x": value, "y": np.arange(2)}, path)
    expected = np.asarray(value.data if isinstance(value, Tensor) else value)
    assert_same(load(path), {"x": expected.astype(expected.dtype.newbyteorder("=")), "y": np.arange(2)})
    assert_same(safetensors.numpy.load_file(path), load(path))


def test_files_of_the_library(path):
    safetensors.numpy.save_file(state(), path, metadata={"format": "np"})
    assert_same(load(path), state())
    assert load_metadata(path) == {"format": "np"}
    safetensors.numpy.save_file(state(), path)
    assert load_metadata(path) == {}


def test_files_of_torch(path):
    torch = pytest.importorskip("torch")
    safetensors_torch = pytest.importorskip("safetensors.torch")
    theirs, ours = torch.nn.Linear(3, 2), nn.Linear(3, 2)
    safetensors_torch.save_file(theirs.state_dict(), path)
    ours.load_state_dict(load(path))
    np.testing.assert_array_equal(ours.weight.data, theirs.weight.detach().numpy())
    save(theirs, path)
    assert_same(load(path), ours.state_dict())
    theirs.load_state_dict(safetensors_torch.load_file(path))
    save(ours, path)
    assert_same({name: t.numpy() for name, t in safetensors_torch.load_file(path).items()}, ours.state_dict())
    mixed = {"b": theirs.bias.detach(), "a": theirs.weight.detach().bfloat16(), "s": torch.tensor(2.5).bfloat16()}
    safetensors_torch.save_file(mixed, path)
    assert_same(load(path), {name: t.float().numpy() for name, t in sorted(mixed.items())})


def test_metadata(path):
    metadata = {"epoch": 3, "lr": 0.1, "name": "lenet5", "history": [1.5, None, True], "nested": {"ü": "☃"}}
    save(state(), path, metadata)
    assert load_metadata(path) == metadata
    assert_same(load(path), state())
    save({}, path, {})
    assert (load(path), load_metadata(path)) == ({}, {})


# ---- errors of save ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("bad", "metadata", "kind", "text"),
    [
        ([1, 2], None, TypeError, "state is list; expected a module or a mapping"),
        ({3: np.zeros(1)}, None, TypeError, "a name is 3; expected a string"),
        ({"x": "text"}, None, TypeError, "'x' is str, not an array"),
        ({"x": np.array([object()])}, None, TypeError, "'x' is ndarray, not an array"),
        ({"x": np.zeros(2, complex)}, None, TypeError, "'x' is ndarray, not an array"),
        ({"__metadata__": np.zeros(1)}, None, ValueError, "'__metadata__' is reserved"),
        ({}, {"x": object()}, TypeError, "metadata are not JSON"),
    ],
)
def test_save_refuses(path, bad, metadata, kind, text):
    save(state(), path)
    with pytest.raises(kind, match=text):
        save(bad, path, metadata)
    assert_same(load(path), state())
    assert os.listdir(path.parent) == [path.name]


def test_no_directory(path):
    missing = path.parent / "missing" / "model.safetensors"
    with pytest.raises(FileNotFoundError, match=r"missing/model.safetensors"):
        save(state(), missing)
    save(state(), path)
    with pytest.raises(NotADirectoryError, match=r"model.safetensors/inner"):
        save(state(), path / "inner")
    with pytest.raises(IsADirectoryError):
        save(state(), path.parent)
    assert os.listdir(path.parent) == [path.name]


def test_no_permission(path, monkeypatch):
    def refuse(name, *args, **kwargs):
        raise PermissionError(errno.EACCES, "Permission denied", name)

    monkeypatch.setattr(serialization, "open", refuse, raising=False)
    with pytest.raises(PermissionError, match=r"model.safetensors"):
        save(state(), path)
    with pytest.raises(PermissionError):
        load(path)


@pytest.mark.parametrize("stage", ["fsync", "replace"])
@pytest.mark.parametrize("error", [OSError(errno.ENOSPC, "No space left on device"), KeyboardInterrupt()], ids=repr)
def test_an_interrupted_save_leaves_the_old_file(path, monkeypatch, stage, error):
    save(state(), path)

    def fail(*args):
        raise error

    monkeypatch.setattr(os, stage, fail)
    with pytest.raises(type(error)):
        save({"x": np.zeros(3)}, path)
    assert_same(load(path), state())
    assert os.listdir(path.parent) == [path.name]


def test_order_of_the_steps(path, monkeypatch):
    """The content is synced before the rename, and the directory after it."""
    steps = []
    for name in ("fsync", "replace"):
        real = getattr(os, name)
        monkeypatch.setattr(os, name, lambda *args, n=name, r=real: (steps.append(n), r(*args)))
    save(state(), path)
    assert steps == ["fsync", "replace", "fsync"]


@pytest.mark.parametrize(
    ("stage", "call", "survivor"), [("fsync", 1, "old"), ("replace", 1, "old"), ("fsync", 2, "new")]
)
def test_a_kill_leaves_a_whole_file(path, stage, call, survivor):
    program = """
import os, signal, sys
import numpy as np
from fastnn.serialization import save

path, stage, call = sys.argv[1], sys.argv[2], int(sys.argv[3])
save({"old": np.zeros(1000)}, path)
real, calls = getattr(os, stage), []

def kill(*args):
    calls.append(args)
    if len(calls) == call:
        os.kill(os.getpid(), signal.SIGKILL)
    return real(*args)

setattr(os, stage, kill)
save({"new": np.ones(2000)}, path)
"""
    process = subprocess.run([sys.executable, "-c", program, path, stage, str(call)], check=False)
    assert process.returncode == -signal.SIGKILL
    assert_same(load(path), {"old": np.zeros(1000)} if survivor == "old" else {"new": np.ones(2000)})


def test_links_and_permissions_survive(path, tmp_path):
    link = tmp_path / "latest.safetensors"
    save(state(), path)
    link.symlink_to(path)
    save({"x": np.zeros(3)}, link)
    assert link.is_symlink()
    assert list(load(path)) == ["x"]
    plain = tmp_path / "plain"
    plain.touch()
    assert path.stat().st_mode == plain.stat().st_mode


# ---- damaged files -----------------------------------------------------------------------------------------------


def test_missing_file(path):
    for read in (load, load_metadata):
        with pytest.raises(FileNotFoundError, match=r"model.safetensors"):
            read(path)
        with pytest.raises(IsADirectoryError):
            read(path.parent)


def test_truncated_anywhere(path):
    save(state(), path, {"epoch": 1})
    content = path.read_bytes()
    for length in range(len(content)):
        path.write_bytes(content[:length])
        for read in (load, load_metadata):
            with pytest.raises(ValueError, match=r"model\.safetensors is not a whole safetensors file"):
                read(path)
    path.write_bytes(content + b"x")
    with pytest.raises(ValueError, match=r"model\.safetensors"):
        load(path)


def entry(dtype="F32", shape=(2,), offsets=(0, 8)):
    return {"dtype": dtype, "shape": list(shape), "data_offsets": list(offsets)}


@pytest.mark.parametrize(
    "content",
    [
        struct.pack("<Q", 10**15) + b"{}",
        struct.pack("<Q", 2**64 - 1) + b"{}",
        struct.pack("<Q", 100) + b"{}",
        header(b"{not json"),
        header(b"\xff\xfe"),
        header([1, 2]),
        header({"a": 3}),
        header({"a": entry(), "b": entry(offsets=(4, 12))}, bytes(12)),
        header({"a": entry(), "b": entry(offsets=(12, 20))}, bytes(20)),
        header({"a": entry(offsets=(0, 800))}, bytes(8)),
        header({"a": entry(offsets=(8, 0))}, bytes(8)),
        header({"a": entry(offsets=(-8, 0))}, bytes(8)),
        header({"a": entry(dtype="Q99")}, bytes(8)),
        header({"a": entry(dtype="BF16", shape=(3,))}, bytes(8)),
        header({"a": entry(dtype="F8_E4M3", shape=(8,))}, bytes(8)),
        header({"a": entry(shape=(3,))}, bytes(8)),
        header({"a": entry(shape=(-2,))}, bytes(8)),
        header({"a": entry(shape=(2**62, 2**62))}, bytes(8)),
        header({"a": entry(shape=(2**62, 0, 2**62), offsets=(0, 0))}),
        header({"a": entry(shape=(1,) * 80 + (2,))}, bytes(8)),
        header({"__metadata__": {"x": 1}}),
    ],
    ids=[
        "huge header",
        "largest header",
        "long header",
        "JSON",
        "UTF-8",
        "list",
        "no entry",
        "overlap",
        "gap",
        "beyond",
        "backwards",
        "negative",
        "dtype",
        "bfloat16",
        "float8",
        "shape",
        "negative shape",
        "overflow",
        "empty overflow",
        "dimensions",
        "metadata",
    ],
)
def test_damaged(path, content):
    path.write_bytes(content)
    with pytest.raises(ValueError, match=r"load: .*model\.safetensors is not a whole safetensors file: .+"):
        load(path)


@pytest.mark.parametrize("text", ["{not json", "[1]"])
def test_damaged_metadata(path, text):
    path.write_bytes(header({"__metadata__": {"fastnn": text}}))
    assert load(path) == {}
    with pytest.raises(ValueError, match=r"load_metadata: .*the metadata are"):
        load_metadata(path)
