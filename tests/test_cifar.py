"""fastnn.datasets.CIFAR10: both file formats, normalisation, errors; and the real data set where it is there."""

import io
import sys
import tarfile
from pathlib import Path

import numpy as np
import pytest

from fastnn.data import DataLoader
from fastnn.datasets import CIFAR10

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
    message = r"neither data_batch_1.bin to data_batch_5.bin nor cifar10-jpeg.tar.gz is in one of: .*cifar10"
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
