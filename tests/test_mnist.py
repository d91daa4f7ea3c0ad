"""fastnn.datasets: MNIST and the subset of it inside the package."""

import hashlib
import shutil
from pathlib import Path

import numpy as np
import pytest

import fastnn.datasets.mnist as mnist_module
from fastnn.data import DataLoader, read_idx, write_idx
from fastnn.datasets import MNIST, MNISTSubset

SUBSET = Path(mnist_module.__file__).parent / "mnist_subset"
FULL = Path(__file__).resolve().parents[2] / "shared" / "data" / "mnist"
needs_full_mnist = pytest.mark.skipif(not FULL.is_dir(), reason=f"full MNIST is not at {FULL}")


# --- the embedded subset ---------------------------------------------------------------------


@pytest.mark.parametrize(
    ("train", "per_class", "images_sha256", "labels_sha256"),
    [
        (
            True,
            600,
            "2310bf8f1f7d51e4252173bee099a89c4c9908f6ca731e358645d95b0f62053b",
            "06e183845d3226c98ff5fef837b77d480294d871ab6f918da6a7aa9413b9f5fa",
        ),
        (
            False,
            100,
            "6973118ee26132cec5e8bca46303f598e8d7f3fd72a7056c43f828e761c432f0",
            "dd09f7c420b0ae3b12e27577950099656961d334160a05f57159510b1011915e",
        ),
    ],
)
def test_subset_content(train, per_class, images_sha256, labels_sha256):
    subset = MNISTSubset(train)
    assert subset.images.shape == (10 * per_class, 28, 28)
    assert subset.images.dtype == np.uint8
    assert subset.labels.dtype == np.int64
    np.testing.assert_array_equal(np.bincount(subset.labels), [per_class] * 10)
    assert hashlib.sha256(subset.images.tobytes()).hexdigest() == images_sha256
    labels = subset.labels.astype(np.uint8)
    assert hashlib.sha256(labels.tobytes()).hexdigest() == labels_sha256
    attribution = (SUBSET / "ATTRIBUTION.md").read_text()
    assert images_sha256 in attribution
    assert labels_sha256 in attribution


def test_subset_files_are_small():
    assert sum(file.stat().st_size for file in SUBSET.iterdir()) <= 1_300_000


@needs_full_mnist
@pytest.mark.parametrize(("train", "split", "per_class"), [(True, "train", 600), (False, "t10k", 100)])
def test_subset_is_the_documented_part_of_mnist(train, split, per_class):
    images = read_idx(FULL / f"{split}-images-idx3-ubyte.gz")
    labels = read_idx(FULL / f"{split}-labels-idx1-ubyte.gz")
    chosen = np.sort(np.concatenate([np.flatnonzero(labels == d)[:per_class] for d in range(10)]))
    subset = MNISTSubset(train)
    np.testing.assert_array_equal(subset.images, images[chosen])
    np.testing.assert_array_equal(subset.labels, labels[chosen])


# --- items, batches, normalisation -----------------------------------------------------------


def normalized(images):
    return (images.astype(np.float64) / 255 - 0.1307) / 0.3081


def test_items_and_batches():
    test = MNISTSubset(train=False)
    image, label = test[7]
    assert (image.shape, image.dtype) == ((1, 28, 28), np.float32)
    assert isinstance(label, np.int64)
    np.testing.assert_allclose(image[0], normalized(test.images[7]), atol=1e-6)
    assert label == test.labels[7]

    x, y = next(iter(DataLoader(test, 128)))
    assert (x.shape, x.dtype, y.shape, y.dtype) == ((128, 1, 28, 28), np.float32, (128,), np.int64)
    np.testing.assert_array_equal(x[7], image)
    np.testing.assert_array_equal(y, test.labels[:128])

    np.testing.assert_array_equal(test[-1][0], test[999][0])
    with pytest.raises(IndexError):
        test[1000]
    with pytest.raises(TypeError):
        test[1:3]


def test_normalize():
    images = np.arange(28 * 28 * 2, dtype=np.int64).astype(np.uint8).reshape(2, 28, 28)
    x = MNIST.normalize(images)
    assert (x.shape, x.dtype) == ((2, 1, 28, 28), np.float32)
    np.testing.assert_allclose(x[:, 0], normalized(images), atol=1e-6)
    np.testing.assert_array_equal(MNIST.normalize(images[1]), x[1:])
    np.testing.assert_array_equal(MNIST.normalize(images[:, ::-1, ::-1]), x[:, :, ::-1, ::-1])
    assert MNIST.normalize(images[:0]).shape == (0, 1, 28, 28)
    with pytest.raises(TypeError, match="dtype float32"):
        MNIST.normalize(images.astype(np.float32))
    for shape in [(28,), (2, 14, 56), (2, 1, 28, 28)]:
        with pytest.raises(ValueError, match=r"expected \(N, 28, 28\)"):
            MNIST.normalize(np.zeros(shape, np.uint8))


def test_statistics_are_those_of_the_pixels():
    x = MNIST.normalize(MNISTSubset().images)
    assert abs(x.mean()) < 0.02
    assert abs(x.std() - 1) < 0.02
    assert MNIST.classes == ("0", "1", "2", "3", "4", "5", "6", "7", "8", "9")


# --- finding and checking the files ----------------------------------------------------------


def write_split(folder, images, labels, suffix="", split="train"):
    folder.mkdir(parents=True, exist_ok=True)
    write_idx(folder / f"{split}-images-idx3-ubyte{suffix}", images)
    write_idx(folder / f"{split}-labels-idx1-ubyte{suffix}", labels)


IMAGES = np.full((3, 28, 28), 9, np.uint8)
LABELS = np.array([2, 0, 1], np.uint8)


@pytest.mark.parametrize("suffix", ["", ".gz"])
@pytest.mark.parametrize("place", [".", "MNIST/raw"])
def test_root(tmp_path, place, suffix):
    write_split(tmp_path / place, IMAGES, LABELS, suffix)
    assert MNIST(tmp_path).labels.tolist() == [2, 0, 1]
    with pytest.raises(FileNotFoundError, match="t10k-images"):
        MNIST(str(tmp_path), train=False)


def test_both_plain_and_compressed(tmp_path):
    write_split(tmp_path, IMAGES, LABELS)
    write_split(tmp_path, IMAGES, LABELS, ".gz")
    assert len(MNIST(tmp_path)) == 3


@pytest.mark.parametrize("place", [".", "mnist"])
def test_environment(tmp_path, monkeypatch, place):
    monkeypatch.setenv("FASTNN_DATA_DIR", str(tmp_path))
    write_split(tmp_path / place, IMAGES, LABELS)
    assert len(MNIST()) == 3


def test_missing_files_are_named(tmp_path, monkeypatch):
    monkeypatch.delenv("FASTNN_DATA_DIR", raising=False)
    with pytest.raises(FileNotFoundError, match="FASTNN_DATA_DIR is not set"):
        MNIST()
    monkeypatch.setenv("FASTNN_DATA_DIR", str(tmp_path))
    write_split(tmp_path, IMAGES, LABELS)
    (tmp_path / "train-labels-idx1-ubyte").unlink()
    with pytest.raises(FileNotFoundError) as caught:
        MNIST()
    for part in [
        "train-labels-idx1-ubyte",
        str(tmp_path),
        str(tmp_path / "mnist" / "MNIST" / "raw"),
    ]:
        assert part in str(caught.value)


@pytest.mark.parametrize(
    ("images", "labels", "message"),
    [
        (IMAGES[:0], LABELS[:0], "holds no images"),
        (IMAGES, LABELS[:2], r"labels.* holds uint8 \(2,\), expected uint8 \(3,\), one per image"),
        (IMAGES, LABELS + 8, "label 10, expected 0 to 9"),
        (IMAGES, LABELS.astype(np.int32), "labels.* holds int32"),
        (IMAGES[:, :27], LABELS, r"images.* holds uint8 \(3, 27, 28\)"),
        (IMAGES.reshape(-1), LABELS, r"images.* holds uint8 \(2352,\)"),
        (IMAGES.astype(np.float32), LABELS, "images.* holds float32"),
    ],
)
def test_wrong_content(tmp_path, images, labels, message):
    write_split(tmp_path, images, labels)
    with pytest.raises(ValueError, match=message):
        MNIST(tmp_path)


def test_a_truncated_file_is_named(tmp_path):
    shutil.copytree(SUBSET, tmp_path / "copy")
    path = tmp_path / "copy" / "t10k-images-idx3-ubyte.gz"
    path.write_bytes(path.read_bytes()[:5000])
    with pytest.raises(ValueError, match=r"t10k-images-idx3-ubyte\.gz: corrupted gzip stream"):
        MNIST(tmp_path / "copy", train=False)


@needs_full_mnist
@pytest.mark.parametrize(("train", "n"), [(True, 60000), (False, 10000)])
def test_full_mnist(train, n):
    dataset = MNIST(FULL, train)
    assert len(dataset) == n
    assert set(dataset.labels.tolist()) == set(range(10))
    if train:
        assert round(dataset.images.mean() / 255, 4) == MNIST.mean
        assert round(dataset.images.std() / 255, 4) == MNIST.std
