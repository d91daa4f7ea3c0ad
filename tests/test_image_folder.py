"""fastnn.datasets.ImageFolder."""

import sys

import numpy as np
import pytest

from fastnn.data import DataLoader
from fastnn.datasets import ImageFolder

Image = pytest.importorskip("PIL.Image")


def write(root, files):
    """PNG files by path below root; returns their pixels."""
    generator = np.random.default_rng(0)
    images = {}
    for name in files:
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        images[name] = generator.integers(0, 256, (6, 5, 3), np.uint8)
        Image.fromarray(images[name]).save(path)
    return images


def test_classes_and_images_in_sorted_order(tmp_path):
    images = write(tmp_path, ["dog/b.png", "dog/a.PNG", "cat/deep/er/x.png", "cat/1.png", "ant/0.png"])
    (tmp_path / "cat" / "notes.txt").write_text("no image")
    (tmp_path / "readme.md").write_text("no class")
    folder = ImageFolder(tmp_path)
    assert folder.classes == ["ant", "cat", "dog"]
    assert folder.class_to_idx == {"ant": 0, "cat": 1, "dog": 2}
    expected = ["ant/0.png", "cat/1.png", "cat/deep/er/x.png", "dog/a.PNG", "dog/b.png"]
    assert folder.samples == [
        (str(tmp_path / name), label) for name, label in zip(expected, [0, 1, 1, 2, 2], strict=True)
    ]
    assert folder.targets.tolist() == [0, 1, 1, 2, 2]
    assert len(folder) == 5
    for (x, label), name, target in zip(folder, expected, folder.targets, strict=True):
        np.testing.assert_array_equal(x, images[name].transpose(2, 0, 1))
        assert label == target
    np.testing.assert_array_equal(folder[-1][0], folder[4][0])
    with pytest.raises(IndexError):
        folder[5]
    (x, labels), *_ = DataLoader(folder, 5)
    assert (x.shape, x.dtype, labels.tolist()) == ((5, 3, 6, 5), np.uint8, [0, 1, 1, 2, 2])


def test_a_transform_gets_pillows_image_in_rgb(tmp_path):
    (tmp_path / "a").mkdir()
    Image.new("L", (4, 3), 100).save(tmp_path / "a" / "grey.png")
    Image.new("P", (4, 3)).save(tmp_path / "a" / "palette.png")
    modes = [x for x, _ in ImageFolder(tmp_path, transform=lambda image: (image.mode, image.size))]
    assert modes == [("RGB", (4, 3))] * 2
    assert (ImageFolder(tmp_path)[0][0] == 100).all()


def test_errors(tmp_path, monkeypatch):
    with pytest.raises(FileNotFoundError, match=r"ImageFolder: .*nowhere is not a folder"):
        ImageFolder(tmp_path / "nowhere")
    with pytest.raises(FileNotFoundError, match="holds no folders, expected one for each class"):
        ImageFolder(tmp_path)
    write(tmp_path, ["a/1.png"])
    (tmp_path / "b").mkdir()
    with pytest.raises(FileNotFoundError, match=r"ImageFolder: .*b holds no images, expected files that end in .jpg"):
        ImageFolder(tmp_path)
    (tmp_path / "b" / "bad.jpg").write_bytes(b"no image")
    (tmp_path / "b" / "cut.png").write_bytes((tmp_path / "a" / "1.png").read_bytes()[:60])
    folder = ImageFolder(tmp_path)
    for index, name in ((1, "bad.jpg"), (2, "cut.png")):
        with pytest.raises(ValueError, match=f"ImageFolder: .*{name} is not a readable image"):
            folder[index]
    monkeypatch.setitem(sys.modules, "PIL", None)
    with pytest.raises(ImportError, match=r"ImageFolder needs Pillow: pip install 'fastnn\[vision\]'"):
        ImageFolder(tmp_path)
