"""fastnn.datasets.CIFAR10 and CIFAR100: all file formats, normalisation, errors; the real data where they are there."""

import io
import pickle
import sys
import tarfile
from pathlib import Path

import numpy as np
import pytest

from fastnn.data import DataLoader
from fastnn.datasets import CIFAR10, CIFAR100

SHARED = Path(__file__).parent.parent.parent / "shared" / "data"


def random_images(n, seed=0):
    return np.random.default_rng(seed).integers(0, 256, (n, 3, 32, 32), np.uint8)


def write_binary(folder, per_file=4):
    """The six files, `per_file` images each; returns all images and labels in the order of the files."""
    folder.mkdir(parents=True, exist_ok=True)
    names = [f"data_batch_{i}.bin" for i in range(1, 6)] + ["test_batch.bin"]
    images = random_images(6 * per_file)
    labels = np.random.default_rng(1).integers(0, 10, 6 * per_file).astype(np.uint8)
    records = np.concatenate([labels[:, None], images.reshape(-1, 3072)], axis=1)
    for i, name in enumerate(names):
        records[i * per_file : (i + 1) * per_file].tofile(folder / name)
    return images, labels


@pytest.mark.parametrize("below", ["", "cifar-10-batches-bin"])
def test_binary_files(tmp_path, below):
    images, labels = write_binary(tmp_path / below)
    for train, part in ((True, slice(0, 20)), (False, slice(20, 24))):
        data = CIFAR10(tmp_path, train)
        assert data.images.dtype == np.uint8
        np.testing.assert_array_equal(data.images, images[part].transpose(0, 2, 3, 1))
        np.testing.assert_array_equal(data.labels, labels[part])
        assert data.labels.dtype == np.int64
        assert len(data) == len(labels[part])


def write_pickles(folder, protocol=2, text=str):
    """The five files of the "python version" of CIFAR-10 with 4 images each, and one of 3."""
    folder.mkdir(parents=True, exist_ok=True)
    images = random_images(23)
    labels = np.random.default_rng(1).integers(0, 10, 23)
    for i, name in enumerate([*(f"data_batch_{i}" for i in range(1, 6)), "test_batch"]):
        part = slice(4 * i, 4 * i + 4)
        batch = {"batch_label": name, "labels": labels[part].tolist(), "data": images[part].reshape(-1, 3072)}
        batch["filenames"] = [f"{n}.png" for n in range(len(images[part]))]
        (folder / name).write_bytes(pickle.dumps({text(key): value for key, value in batch.items()}, protocol))
    return images, labels


@pytest.mark.parametrize("protocol", [2, 3, 4])
@pytest.mark.parametrize("text", [str, str.encode])
def test_pickles(tmp_path, protocol, text, monkeypatch):
    images, labels = write_pickles(tmp_path / "cifar-10-batches-py", protocol, text)
    monkeypatch.setattr(pickle, "Unpickler", None)
    for train, part in ((True, slice(0, 20)), (False, slice(20, 23))):
        data = CIFAR10(tmp_path, train)
        np.testing.assert_array_equal(data.images, images[part].transpose(0, 2, 3, 1))
        np.testing.assert_array_equal(data.labels, labels[part])
        assert (data.images.dtype, data.labels.dtype) == (np.uint8, np.int64)


def python_2(images, labels):
    """A batch as Python 2 has pickled it: strings of bytes."""
    n = len(images)

    def name(text):
        return b"U" + bytes([len(text)]) + text.encode()

    content = images.tobytes()
    return b"".join(
        (
            *(b"\x80\x02}q\x01(", name("batch_label"), name("testing batch 1 of 1"), name("labels"), b"]q\x02("),
            *(b"K" + bytes([label]) for label in labels),
            *(
                b"e",
                name("data"),
                b"cnumpy.core.multiarray\n_reconstruct\nq\x03cnumpy\nndarray\nq\x04K\x00\x85U\x01b\x87R(",
            ),
            *(
                b"K\x01K",
                bytes([n]),
                b"M\x00\x0c\x86cnumpy\ndtype\nq\x05U\x02u1K\x00K\x01\x87R(K\x03U\x01|NNNJ\xff\xff\xff\xff",
            ),
            *(b"J\xff\xff\xff\xffK\x00tb\x89T", len(content).to_bytes(4, "little"), content, b"tb"),
            *(name("filenames"), b"]q\x06(", *(name("a.png") for _ in range(n)), b"eu."),
        )
    )


def test_pickles_of_python_2(tmp_path):
    images, labels = random_images(5), [3, 0, 9, 1, 2]
    content = python_2(images, labels)
    assert pickle.loads(content, encoding="latin-1")["labels"] == labels  # it is what it is meant to be
    (tmp_path / "test_batch").write_bytes(content)
    data = CIFAR10(tmp_path, train=False)
    np.testing.assert_array_equal(data.images, images.transpose(0, 2, 3, 1))
    assert data.labels.tolist() == labels


class Evil:
    def __reduce__(self):
        return exec, ("raise SystemExit('executed')",)


BATCH = {"data": np.zeros((2, 3072), np.uint8), "labels": [1, 2]}


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (
            pickle.dumps(BATCH | {"data": Evil()}, 2),
            "test_batch is damaged: .*refers to __builtin__.exec; only arrays of NumPy",
        ),
        (pickle.dumps(BATCH | {"data": {1}}, 4), "has the pickle instruction EMPTY_SET"),
        (pickle.dumps(BATCH, 2)[:-400], "is damaged: the pickle cannot be read"),
        (pickle.dumps([BATCH], 2), "it holds a list, expected a dict"),
        (b"", "is damaged"),
        (b"cbuiltins\nexec\n.", "refers to builtins.exec"),
        (pickle.dumps({"labels": [1]}, 2), r"holds NoneType as data, expected uint8 \(N, 3072\)"),
        (pickle.dumps(BATCH | {"data": np.zeros((2, 3072))}, 2), r"holds float64 \(2, 3072\) as data"),
        (pickle.dumps(BATCH | {"labels": [1]}, 2), "holds no list of 2 integers as labels"),
        (pickle.dumps(BATCH | {"labels": [1, "2"]}, 2), "holds no list of 2 integers as labels"),
        (pickle.dumps(BATCH | {"labels": [1, -1]}, 2), "holds label -1, expected 0 to 9"),
        (pickle.dumps(BATCH | {"labels": [1, 10]}, 2), "holds label 10, expected 0 to 9"),
    ],
)
def test_damaged_and_hostile_pickles(tmp_path, content, message):
    (tmp_path / "test_batch").write_bytes(content)
    with pytest.raises(ValueError, match=rf"CIFAR10: .*test_batch .*{message}|CIFAR10: .*{message}"):
        CIFAR10(tmp_path, train=False)


def test_pickles_cut_anywhere_are_errors(tmp_path):
    content = pickle.dumps(BATCH | {"data": np.zeros((2, 3072), np.uint8)}, 2)
    for length in (*range(0, 200, 7), *range(len(content) - 100, len(content), 3)):
        (tmp_path / "test_batch").write_bytes(content[:length])
        with pytest.raises(ValueError, match="test_batch is damaged"):
            CIFAR10(tmp_path, train=False)


def test_cifar100(tmp_path):
    assert len(set(CIFAR100.classes)) == 100
    assert list(CIFAR100.classes) == sorted(CIFAR100.classes)
    images = random_images(9)
    generator = np.random.default_rng(0)
    coarse, fine = generator.integers(0, 20, 9), generator.integers(0, 100, 9)
    records = np.concatenate([np.stack([coarse, fine], 1).astype(np.uint8), images.reshape(-1, 3072)], axis=1)
    batch = {"fine_labels": fine.tolist(), "coarse_labels": coarse.tolist(), "data": images.reshape(-1, 3072)}
    for name, content in (
        ("cifar-100-binary/test.bin", records.tobytes()),
        ("cifar-100-python/test", pickle.dumps(batch, 2)),
    ):
        path = tmp_path / name
        path.parent.mkdir()
        path.write_bytes(content)
        data = CIFAR100(tmp_path, train=False)
        np.testing.assert_array_equal(data.images, images.transpose(0, 2, 3, 1))
        np.testing.assert_array_equal(data.labels, fine)
        x, label = data[2]
        mean, std = (np.reshape(v, (3, 1, 1)) for v in (CIFAR100.mean, CIFAR100.std))
        np.testing.assert_allclose(x, (images[2] / 255 - mean) / std, atol=1e-6)
        assert label == fine[2]
        with tarfile.open(tmp_path / (path.parent.name + ".tar.gz"), "w:gz") as archive:
            archive.add(path, path.parent.name + "/" + path.name)
        path.unlink()
        np.testing.assert_array_equal(CIFAR100(tmp_path, train=False).images, data.images)
        with pytest.raises(ValueError, match=rf"CIFAR100: .*{path.parent.name}.tar.gz: train\S* is not in the archive"):
            CIFAR100(tmp_path)
        (tmp_path / (path.parent.name + ".tar.gz")).unlink()
    with pytest.raises(FileNotFoundError, match=r"CIFAR100: neither train.bin, train, cifar-100-binary.tar.gz nor"):
        CIFAR100(tmp_path)


def test_archives_of_pickles(tmp_path):
    images, labels = write_pickles(tmp_path / "files")
    with tarfile.open(tmp_path / "cifar-10-python.tar.gz", "w:gz") as archive:
        for path in sorted((tmp_path / "files").iterdir(), reverse=True):
            archive.add(path, "cifar-10-batches-py/" + path.name)
    data = CIFAR10(tmp_path)
    np.testing.assert_array_equal(data.images, images[:20].transpose(0, 2, 3, 1))
    np.testing.assert_array_equal(data.labels, labels[:20])
    content = (tmp_path / "cifar-10-python.tar.gz").read_bytes()
    (tmp_path / "cifar-10-python.tar.gz").write_bytes(content[: len(content) // 2])
    with pytest.raises(ValueError, match=r"CIFAR10: .*cifar-10-python.tar.gz: data_batch_1 is damaged"):
        CIFAR10(tmp_path)


def test_items_and_batches(tmp_path):
    images, labels = write_binary(tmp_path)
    data = CIFAR10(tmp_path)
    mean, std = (np.reshape(v, (3, 1, 1)) for v in (CIFAR10.mean, CIFAR10.std))
    expected = (images[:20] / 255 - mean) / std
    x, label = data[3]
    assert (x.shape, x.dtype, label) == ((3, 32, 32), np.float32, labels[3])
    np.testing.assert_allclose(x, expected[3], atol=1e-6)
    np.testing.assert_array_equal(data[-1][0], data[19][0])
    batch, batch_labels = next(iter(DataLoader(data, 8)))
    np.testing.assert_allclose(batch, expected[:8], atol=1e-6)
    np.testing.assert_array_equal(batch_labels, labels[:8])
    assert batch.transpose(0, 2, 3, 1).flags.c_contiguous  # what the kernels want
    with pytest.raises(IndexError):
        data[20]


def test_augmentation_is_that_of_the_unnormalised_images(tmp_path):
    """Crops of images with a black border and flips, then normalised; and some of everything."""
    write_binary(tmp_path)
    data = CIFAR10(tmp_path)
    (batch, _) = next(iter(DataLoader(data, 20, seed=0, transform=CIFAR10.augment)))
    assert batch.transpose(0, 2, 3, 1).flags.c_contiguous
    padded = np.pad(data.images, ((0, 0), (4, 4), (4, 4), (0, 0)))
    found = set()
    for x, image in zip(batch, padded, strict=True):
        for flip, i, j in np.ndindex(2, 9, 9):
            crop = image[i : i + 32, j : j + 32]
            expected = CIFAR10.normalize(crop[:, ::-1] if flip else crop)[0]
            if np.abs(x - expected).max() < 1e-6:
                found.add((flip, i, j))
                break
        else:
            pytest.fail("an image is no crop")
    assert len(found) > 10
    assert {flip for flip, _, _ in found} == {0, 1}


def test_normalize_rejects():
    with pytest.raises(TypeError, match="dtype float32, expected uint8"):
        CIFAR10.normalize(np.zeros((32, 32, 3), np.float32))
    with pytest.raises(ValueError, match=r"shape \(3, 32, 32\), expected \(N, 32, 32, 3\)"):
        CIFAR10.normalize(np.zeros((3, 32, 32), np.uint8))


def write_archive(path, files):
    """A tar.gz of these names; the contents are bytes, or arrays that become PNG: it has no losses."""
    image_module = pytest.importorskip("PIL.Image")
    with tarfile.open(path, "w:gz") as archive:
        for name, content in files.items():
            if isinstance(content, np.ndarray):
                buffer = io.BytesIO()
                image_module.fromarray(content).save(buffer, "PNG")
                content = buffer.getvalue()
            member = tarfile.TarInfo(name)
            member.size = len(content)
            archive.addfile(member, io.BytesIO(content))


def test_archive(tmp_path):
    images = random_images(4).transpose(0, 2, 3, 1)
    names = ["train/truck/0001.jpg", "test/dog/0000.jpg", "train/truck/0000.jpg", "train/bird/0007.jpg"]
    write_archive(tmp_path / "cifar10-jpeg.tar.gz", dict(zip(names, images, strict=True)))
    train, test = CIFAR10(tmp_path), CIFAR10(tmp_path, train=False)
    np.testing.assert_array_equal(train.images, images[[3, 2, 0]])  # in the order of the names
    assert [CIFAR10.classes[i] for i in train.labels] == ["bird", "truck", "truck"]
    np.testing.assert_array_equal(test.images, images[[1]])
    assert [CIFAR10.classes[i] for i in test.labels] == ["dog"]


def test_where_it_looks(tmp_path, monkeypatch):
    monkeypatch.delenv("FASTNN_DATA_DIR", raising=False)
    with pytest.raises(FileNotFoundError, match="CIFAR10: no root is given and FASTNN_DATA_DIR is not set"):
        CIFAR10()
    monkeypatch.setenv("FASTNN_DATA_DIR", str(tmp_path))
    message = (
        r"neither data_batch_1.bin to data_batch_5.bin, data_batch_1 to data_batch_5, cifar-10-binary.tar.gz, "
        r"cifar-10-python.tar.gz nor cifar10-jpeg.tar.gz is in one of: .*cifar10"
    )
    with pytest.raises(FileNotFoundError, match=message):
        CIFAR10()
    write_binary(tmp_path / "cifar10", per_file=1)
    assert len(CIFAR10()) == 5
    (tmp_path / "cifar10" / "data_batch_3.bin").unlink()
    with pytest.raises(FileNotFoundError, match="CIFAR10: neither"):
        CIFAR10()
    assert len(CIFAR10(train=False)) == 1


def test_damaged_binary_files(tmp_path):
    write_binary(tmp_path, per_file=1)
    content = (tmp_path / "test_batch.bin").read_bytes()
    for changed, message in (
        (content[:-1], r"test_batch.bin holds 3072 bytes, expected a multiple of 3073"),
        (b"", "holds 0 bytes"),
        (b"\x0a" + content[1:], "holds label 10, expected 0 to 9"),
    ):
        (tmp_path / "test_batch.bin").write_bytes(changed)
        with pytest.raises(ValueError, match=message):
            CIFAR10(tmp_path, train=False)


def test_damaged_archives(tmp_path):
    good = random_images(1)[0].transpose(1, 2, 0)
    path = tmp_path / "cifar10-jpeg.tar.gz"
    for files, message in (
        ({"test/dog/0.jpg": good}, "holds no images in train/"),
        ({"train/lion/0.jpg": good}, "train/lion/0.jpg: expected train/<class>/<image> with a class of airplane"),
        ({"train/0.jpg": good}, "train/0.jpg: expected train/<class>/<image>"),
        ({"train/dog/0.jpg": good[:31]}, "train/dog/0.jpg: the image has 32x31 pixels, expected 32x32"),
        ({"train/dog/0.jpg": b"no image"}, "train/dog/0.jpg: cannot identify image file"),
    ):
        write_archive(path, files)
        with pytest.raises(ValueError, match=message):
            CIFAR10(tmp_path)
    path.write_bytes(path.read_bytes()[:-20])
    with pytest.raises(ValueError, match=r"CIFAR10: .*cifar10-jpeg\.tar\.gz"):
        CIFAR10(tmp_path)
    path.write_bytes(b"no archive")
    with pytest.raises(ValueError, match=r"CIFAR10: .*cifar10-jpeg\.tar\.gz"):
        CIFAR10(tmp_path)


def test_a_damaged_archive_is_noticed_whatever_its_images_look_like(tmp_path):
    path = tmp_path / "cifar10-jpeg.tar.gz"
    write_archive(path, {"train/cat/0.png": random_images(1)[0].transpose(1, 2, 0)})
    content = bytearray(path.read_bytes())
    content[-8] ^= 1  # the checksum
    path.write_bytes(content)
    with pytest.raises(ValueError, match="the end of the archive: CRC check failed"):
        CIFAR10(tmp_path)


def test_archives_need_pillow(tmp_path, monkeypatch):
    (tmp_path / "cifar10-jpeg.tar.gz").write_bytes(b"")
    monkeypatch.setitem(sys.modules, "PIL", None)
    with pytest.raises(ImportError, match=r"need Pillow: pip install 'fastnn\[vision\]'"):
        CIFAR10(tmp_path)


def test_the_real_test_images():
    if not (SHARED / "cifar10-jpeg.tar.gz").is_file():
        pytest.skip(f"there is no {SHARED / 'cifar10-jpeg.tar.gz'}")
    pytest.importorskip("PIL")
    data = CIFAR10(SHARED, train=False)
    np.testing.assert_array_equal(np.bincount(data.labels), [1000] * 10)
    x, _ = data.__getitems__(np.arange(len(data)))
    assert np.abs(x.mean((0, 2, 3))).max() < 0.03
    assert np.abs(x.std((0, 2, 3)) - 1).max() < 0.02
