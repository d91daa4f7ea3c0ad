"""Files of torch.save and of NumPy: the same arrays as torch.load's, nothing executed, clean errors for damage."""

import io
import os
import pickle
import random
import struct
import zipfile
from collections import OrderedDict

import numpy as np
import pytest

import fastnn
from fastnn import models, nn

torch = pytest.importorskip("torch")
load_file = pytest.importorskip("safetensors.torch").load_file


@pytest.fixture
def path(tmp_path):
    return tmp_path / "weights.pt"


def flat(value, path=""):
    """The tensors of nested containers by the keys to each, as NumPy arrays."""
    if isinstance(value, torch.Tensor):
        wide = value.float() if value.dtype in (torch.float16, torch.bfloat16) else value
        return {path: wide.detach().numpy()}
    items = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, (list, tuple)) else ()
    found = {}
    for key, item in items:
        found |= flat(item, f"{path}.{key}" if path else str(key))
    return found


def assert_same(found, expected):
    assert list(found) == list(expected)
    for name, array in expected.items():
        assert (found[name].dtype, found[name].shape) == (array.dtype, array.shape), name
        np.testing.assert_array_equal(found[name], array, err_msg=name)


def shared_storage():
    base = torch.arange(24.0)
    return {"all": base, "middle": base[4:12].view(2, 4), "every second": base[1::2], "matrix": base.view(4, 6).T}


def contents():
    g = torch.Generator().manual_seed(0)
    image = torch.randn(2, 3, 4, 5, generator=g)
    net = torch.nn.Sequential(torch.nn.Conv2d(3, 4, 3), torch.nn.BatchNorm2d(4), torch.nn.LSTM(4, 3))
    optimizer = torch.optim.Adam(net.parameters())
    net[0](image).sum().backward()
    optimizer.step()
    dtypes = (
        *(torch.float64, torch.float32, torch.float16, torch.bfloat16, torch.int64, torch.int32, torch.int16),
        *(torch.int8, torch.uint8, torch.bool, torch.complex64, torch.complex128),
        *(torch.uint16, torch.uint32, torch.uint64),
    )
    yield "state_dict", net.state_dict()
    yield "dtypes", {str(d): (torch.randn(3, 5, generator=g) * 50).abs().to(d) for d in dtypes}
    yield (
        "layouts",
        {
            "channels-last": image.to(memory_format=torch.channels_last),
            "transposed": image.transpose(0, 3),
            "expanded": torch.ones(1, 4).expand(3, 4),
            "part": image[1:, ::2, 1:3],
            "scalar": torch.tensor(2.5),
            "empty": torch.zeros(0, 3),
            "parameter": torch.nn.Parameter(image[0]),
            "not finite": torch.tensor([np.nan, np.inf, -0.0]),
        },
    )
    yield "shared", shared_storage()
    yield "tied", dict.fromkeys("ab", image)
    yield "optimizer", optimizer.state_dict()
    yield (
        "nested",
        {"a": [image, (image + 1, {"b": image * 2})], 3: image, "n": 7, "s": "text", "none": None, "t": True},
    )
    yield "list", [image, image.double()]
    yield "ordered", OrderedDict(b=image, a=image + 1, size=image.size(), big=1 << 80, half=0.5)
    yield "nothing", {"epoch": 3}
    yield "long names", {f"{'layer.' * 50}{i}": torch.full((i,), i) for i in range(300)}


@pytest.mark.parametrize("options", [{}, {"pickle_protocol": 4}, {"_use_new_zipfile_serialization": False}], ids=str)
@pytest.mark.parametrize(("kind", "content"), list(contents()))
def test_like_torch(path, kind, content, options):
    if kind == "dtypes" and "_use_new_zipfile_serialization" in options:  # torch.load itself cannot read these
        content = {name: t for name, t in content.items() if "uint" not in name or t.dtype == torch.uint8}
    torch.save(content, path, **options)
    assert_same(fastnn.load(path), flat(torch.load(path, weights_only=False)))


def test_a_lone_tensor_and_files_of_other_names(path, tmp_path):
    torch.save(torch.arange(3), path)
    assert_same(fastnn.load(path), {"tensor": np.arange(3)})
    path.rename(tmp_path / "weights.safetensors")
    assert_same(fastnn.load(tmp_path / "weights.safetensors"), {"tensor": np.arange(3)})


@pytest.mark.parametrize("key", ["state_dict", "model_state_dict", "model"])
def test_weights_inside_a_checkpoint(path, key):
    net = torch.nn.Linear(3, 2)
    torch.save({"epoch": 3, key: net.state_dict(), "optimizer": {"momentum": torch.ones(3)}}, path)
    assert_same(fastnn.load(path), flat(net.state_dict()))
    ours = nn.Linear(3, 2)
    assert ours.load_state_dict(fastnn.load(path)) == ([], [])
    np.testing.assert_array_equal(ours.weight.data, net.weight.detach().numpy())


def test_shared_storages_share_memory(path):
    torch.save(shared_storage(), path)
    found = fastnn.load(path)
    found["all"][:] = -1
    assert all((array == -1).all() for array in found.values())


def test_big_endian(path):
    """The record `byteorder` counts; there is no big-endian machine to write such a file."""
    torch.save({"x": torch.arange(5.0), "y": torch.arange(5).bfloat16(), "b": torch.tensor([True, False])}, path)
    swapped = io.BytesIO()
    with zipfile.ZipFile(path) as old, zipfile.ZipFile(swapped, "w") as new:
        for name in old.namelist():
            data = old.read(name)
            if name.endswith("byteorder"):
                data = b"big"
            elif "/data/" in name:
                item = {20: 4, 10: 2, 2: 1}[len(data)]
                data = np.frombuffer(data, f"u{item}").byteswap().tobytes()
            new.writestr(name, data)
    path.write_bytes(swapped.getvalue())
    expected = {"x": np.arange(5.0, dtype=np.float32), "y": np.arange(5.0, dtype=np.float32), "b": [True, False]}
    assert_same(fastnn.load(path), {name: np.asarray(value) for name, value in expected.items()})


# ---- networks -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("name", "shape"),
    [
        ("lenet5", (2, 1, 28, 28)),
        ("cifar_resnet20", (2, 3, 32, 32)),
        ("resnet18", (2, 3, 64, 64)),
        ("se_resnet50", (2, 3, 64, 64)),
        ("googlenet", (2, 3, 64, 64)),
        ("char_rnn", (5, 2)),
    ],
)
def test_networks_there_and_back(path, name, shape):
    from bench.compare import torch_models

    torch.manual_seed(0)
    theirs = (torch_models.CharRNN(65) if name == "char_rnn" else getattr(torch_models, name)()).eval()
    for value in theirs.state_dict().values():  # no value of a vector may stand for another one
        if value.ndim == 1:
            value += torch.rand_like(value) / 4
    torch.save(theirs.state_dict(), path)
    ours = models.get(name).eval()
    assert ours.load_state_dict(fastnn.load(path)) == ([], [])

    x = torch.randint(65, shape) if name == "char_rnn" else torch.randn(shape)
    with torch.no_grad(), fastnn.no_grad():
        expected, scores = theirs(x), ours(fastnn.tensor(x.numpy()))
    if name == "char_rnn":
        expected, scores = expected[0], scores[0]
    assert np.abs(scores.numpy() - expected.numpy()).max() < 1e-4 * expected.abs().max()

    fastnn.save(ours, path.with_suffix(".safetensors"))
    back, saved = load_file(path.with_suffix(".safetensors")), theirs.state_dict()
    assert back.keys() == saved.keys()
    assert all(back[key].dtype == value.dtype and torch.equal(back[key], value) for key, value in saved.items())


# ---- what is refused ----------------------------------------------------------------------------------------------


class Calls:
    def __init__(self, function, *arguments):
        self.what = function, arguments

    def __reduce__(self):
        return self.what


@pytest.mark.parametrize("legacy", [False, True])
@pytest.mark.parametrize(
    ("content", "words"),
    [
        (Calls(os.system, "touch {path}.executed"), "refers to (posix|os).system; only tensors in plain containers"),
        ({"a": [Calls(eval, "1")]}, "refers to (__builtin__|builtins).eval;"),
        (torch.nn.Linear(2, 2), "refers to torch.nn.modules.linear.Linear;"),
        ({"x": np.float64(3)}, r"refers to numpy\._?core.multiarray.scalar;"),
        ({"x": {1, 2}}, "refers to __builtin__.set;"),
        ({"x": torch.ones(2, dtype=torch.cfloat).conj()}, "conjugated or negated lazily"),
        ({"x": torch.ones(2, 2).to_sparse()}, "refers to torch._utils._rebuild_sparse_tensor"),
        ({"x": torch.ones(2).to(torch.float8_e5m2)}, "refers to torch.float8_e5m2"),
        ({(1, 2): torch.ones(2)}, "a key of type tuple"),
        ({"a.b": torch.ones(2), "a": {"b": torch.ones(2)}}, "two tensors of the name 'a.b'"),
    ],
    ids=str,
)
def test_refused_by_name(path, content, words, legacy):
    torch.save(content, path, _use_new_zipfile_serialization=not legacy)
    with pytest.raises(ValueError, match=rf"load: .*weights\.pt .*{words}"):
        fastnn.load(path)
    assert os.listdir(path.parent) == [path.name]


@pytest.mark.filterwarnings("ignore:.*torch.jit:DeprecationWarning")
def test_torchscript_is_refused(path):
    torch.jit.trace(torch.nn.Linear(2, 2), torch.ones(1, 2)).save(str(path))
    with pytest.raises(ValueError, match="is a TorchScript program"):
        fastnn.load(path)


def loaded_or_error(path):
    """The arrays, or the message of a clean error."""
    try:
        return fastnn.load(path)
    except ValueError as error:
        message = str(error)
    assert message.startswith(f"load: {path} ")
    return message


def archive(path, program, **members):
    with zipfile.ZipFile(path, "w") as file:
        file.writestr("x/data.pkl", program)
        for name, data in members.items():
            file.writestr(f"x/data/{name}", data)


def tensor(key=b"k", shape=(2,), strides=(1,), offset=0, elements=2, kind=b"FloatStorage"):
    """A pickle of one tensor, written by hand."""

    def number(n):
        return b"\x8a\x08" + struct.pack("<q", n)

    storage = (
        b"(U\x07storagectorch\n" + kind + b"\nU" + bytes([len(key)]) + key + b"U\x03cpu" + number(elements) + b"tQ"
    )
    sizes = [b"(" + b"".join(map(number, values)) + b"t" for values in (shape, strides)]
    return b"\x80\x02ctorch._utils\n_rebuild_tensor_v2\n(" + storage + number(offset) + b"".join(sizes) + b"\x89NtR."


def test_a_program_written_by_hand(path):
    archive(path, tensor(), k=np.float32([1, 2]).tobytes())
    assert_same(fastnn.load(path), {"tensor": np.float32([1, 2])})


@pytest.mark.parametrize(
    "program",
    [
        tensor(shape=(3,)),
        tensor(offset=1),
        tensor(strides=(2,)),
        tensor(strides=(-1,)),
        tensor(shape=(-2,)),
        tensor(elements=3),
        tensor(elements=1 << 60),
        tensor(shape=(1 << 61, 1 << 61), strides=(0, 0)),
        tensor(shape=(0, 1 << 61), strides=(1 << 61, 1)),
        tensor(shape=(1,) * 40, strides=(1,) * 40),
        tensor(shape=(2, 1)),
        tensor(key=b"other"),
        tensor(key=b"../k"),
        tensor(kind=b"Storage"),
        b"",
        b".",
        b"\x80\x02].",
        b"(",
        b"]a.",
        b"\x85.",
        b"h\x00.",
        b"}]]s.",
        b"}(]]u.",
        b"}(Nu.",
        b"NN.",
        b"N",
        b"]q\x00h\x00a.",  # a list that contains itself
        b"]" + b"]" * 5000 + b"a" * 5000 + b".",
        b"]q\x00"
        + b"".join(b"](" + b"h" + bytes([i]) + b"h" + bytes([i]) + b"eq" + bytes([i + 1]) for i in range(200))
        + b".",
        b"\x8d" + b"\xff" * 8,
        b"\x8b\xff\xff\xff\x7f.",
        b"I" + b"9" * 5000 + b"\n.",
        b"}ctorch\nFloatStorage\nNs.",
        b"ccollections\nOrderedDict\n.",
        b"ccollections\nOrderedDict\n]R.",
        b"ctorch\nFloatStorage\n)R.",
        b"ctorch._utils\n_rebuild_tensor_v2\n)R.",
        b"ctorch._utils\n_rebuild_parameter\n(NNNtR.",
        b"cos\nsystem\n(U\x02lstR.",
        b"(cos\nsystem\nU\x02lso.",
        b"(ios\nsystem\n.",
        b"\x80\x04\x8c\x02os\x8c\x06system\x93\x8c\x02ls\x85R.",
        b"\x82\x01.",
        b"Pname\n.",
        b"(U\x06modulectorch\nFloatStorage\nU\x01kU\x03cpuK\x02tQ.",
        b"ccollections\nOrderedDict\n)RNb.",
    ],
    ids=lambda program: str(program[:30]),
)
def test_hostile_programs(path, program):
    """A clean error, or nothing found; at once."""
    archive(path, program, k=np.float32([1, 2]).tobytes())
    found = loaded_or_error(path)
    assert isinstance(found, str) or found == {} or found["tensor"].size == 0


def test_hostile_archives(path):
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as file:
        file.writestr("x/data.pkl", tensor())
        file.writestr("x/data/k", bytes(8))
    assert_same(fastnn.load(path), {"tensor": np.zeros(2, np.float32)})  # compressed by another program

    content = bytearray(path.read_bytes())
    at = content.rindex(b"PK\1\2") + 24  # the size of the storage, in the directory
    content[at : at + 4] = struct.pack("<I", 1 << 31)
    path.write_bytes(content)
    with pytest.raises(ValueError, match="'x/data/k' is larger than its data can be"):
        fastnn.load(path)

    path.write_bytes(b"PK\3\4" + bytes(100))
    with pytest.raises(ValueError, match=r"weights\.pt is a damaged zip archive"):
        fastnn.load(path)

    with zipfile.ZipFile(path, "w") as file:
        file.writestr("readme", "no arrays")
    with pytest.raises(ValueError, match="neither NumPy's nor PyTorch's"):
        fastnn.load(path)


@pytest.mark.parametrize("form", ["zip", "legacy", "npz"])
def test_damaged_anywhere(path, form):
    """Cut short, or with flipped bits, a file is an error or still the arrays of undamaged bytes."""
    state = {"weight": torch.arange(6.0).view(2, 3), "bias": torch.arange(2).half(), "n": torch.tensor(3)}
    if form == "npz":
        with open(path, "wb") as file:
            np.savez_compressed(file, **{name: t.numpy() for name, t in state.items()})
    else:
        torch.save({"model": state, "epoch": 2}, path, _use_new_zipfile_serialization=form == "zip")
    content = path.read_bytes()
    rng = random.Random(0)
    damaged = [content[:length] for length in sorted(rng.sample(range(64, len(content)), 60))]
    for _ in range(250):
        changed = bytearray(content)
        for _ in range(rng.choice((1, 1, 3, 10))):
            changed[rng.randrange(8, len(changed))] ^= 1 << rng.randrange(8)
        damaged.append(bytes(changed))
    errors = 0
    for data in damaged:
        path.write_bytes(data)
        found = loaded_or_error(path)
        errors += isinstance(found, str)
    assert errors > 80


# ---- NumPy's archives ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize("save", [np.savez, np.savez_compressed])
def test_npz(tmp_path, save):
    arrays = {
        "conv.weight": np.arange(48, dtype=np.float32).reshape(2, 4, 2, 3).transpose(0, 3, 1, 2),
        "Fortran": np.asfortranarray(np.arange(6.0).reshape(2, 3)),
        "big-endian": np.arange(3, dtype=">f4"),
        "scalar": np.array(7),
        "empty": np.zeros((0, 3), np.float16),
        "flags": np.array([True, False]),
    }
    save(tmp_path / "x.npz", **arrays)
    expected = {name: array.astype(array.dtype.newbyteorder("=")) for name, array in arrays.items()}
    assert_same(fastnn.load(tmp_path / "x.npz"), expected)
    save(tmp_path / "none.npz")
    assert fastnn.load(tmp_path / "none.npz") == {}


def test_npz_refuses(path):
    for value, words in ((np.array([object()]), "dtype object"), (np.array(["text"]), "dtype <U4")):
        with open(path, "wb") as file:
            np.savez(file, x=value)
        with pytest.raises(ValueError, match=rf"load: .*weights\.pt has the array 'x.npy' of {words}"):
            fastnn.load(path)
    header = b"\x93NUMPY\x01\x00" + struct.pack("<H", 80)
    header += b"{'descr': '<f4', 'fortran_order': False, 'shape': (1099511627776,), }".ljust(79) + b"\n"
    with zipfile.ZipFile(path, "w") as file:
        file.writestr("x.npy", header + bytes(16))
    with pytest.raises(ValueError, match=r"of shape \(1099511627776,\) in \d+ bytes"):
        fastnn.load(path)


def test_what_else_a_file_may_be_is_said(tmp_path):
    path = tmp_path / "array.npy"
    np.save(path, np.ones(3))
    with pytest.raises(ValueError, match=r"array\.npy is a single array of NumPy's, which np\.load reads"):
        fastnn.load(path)
    path.write_bytes(pickle.dumps({"weight": [1.0, 2.0]}))
    with pytest.raises(ValueError, match=r"is a pickle, but none of torch\.save"):
        fastnn.load(path)
