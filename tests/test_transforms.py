"""fastnn.data.transforms, and the DataLoader that applies them."""

import numpy as np
import pytest

from fastnn.data import ArrayDataset, DataLoader
from fastnn.data.transforms import Compose, RandomCrop, RandomHorizontalFlip


def numbered(n=50, channels=3, height=5, width=6, dtype=np.float32):
    """Images no two elements of which are equal."""
    return np.arange(1, n * channels * height * width + 1).reshape(n, channels, height, width).astype(dtype)


def generator(seed=0):
    return np.random.default_rng(seed)


@pytest.mark.parametrize("dtype", [np.float32, np.uint8])
@pytest.mark.parametrize("channels_last", [False, True])
def test_random_crop_takes_every_place_of_the_padded_image(channels_last, dtype):
    x = numbered(dtype=dtype)
    images = np.ascontiguousarray(x.transpose(0, 2, 3, 1)).transpose(0, 3, 1, 2) if channels_last else x
    crops = RandomCrop(4, padding=2)(images, generator())
    assert (crops.shape, crops.dtype) == ((50, 3, 4, 4), dtype)
    assert crops.transpose(0, 2, 3, 1).flags.c_contiguous
    padded = np.pad(x, ((0, 0), (0, 0), (2, 2), (2, 2)))
    places = set()
    for crop, image in zip(crops, padded, strict=True):
        found = [(i, j) for i in range(6) for j in range(7) if np.array_equal(crop, image[:, i : i + 4, j : j + 4])]
        assert found
        places.add(found[0])
    assert {i for i, _ in places} == set(range(6))
    assert {j for _, j in places} == set(range(7))


def test_random_crop_fills_each_channel():
    crops = RandomCrop(9, padding=2, fill=(-1, -2.5, -3))(numbered(4, 3, 5, 5), generator())
    for channel, value in enumerate((-1, -2.5, -3)):
        border = np.ones((9, 9), bool)
        border[2:7, 2:7] = False
        assert (crops[:, channel, border] == value).all()
        assert (crops[:, channel, ~border] > 0).all()


def test_random_crop_of_the_whole_image_is_the_image():
    x = numbered(4, 3, 5, 5)
    np.testing.assert_array_equal(RandomCrop(5)(x, generator()), x)
    assert RandomCrop(5)(x[:0], generator()).shape == (0, 3, 5, 5)


def test_random_crop_rejects():
    with pytest.raises(ValueError, match="images of 5x6 with a border of 1 are smaller than 8x8"):
        RandomCrop(8, padding=1)(numbered(), generator())
    with pytest.raises(ValueError, match="broadcast"):
        RandomCrop(4, padding=1, fill=(1, 2))(numbered(), generator())


@pytest.mark.parametrize(
    ("make", "error", "message"),
    [
        (lambda: RandomCrop((4, 4)), TypeError, r"RandomCrop: size is \(4, 4\), expected an integer"),
        (lambda: RandomCrop(0), ValueError, "RandomCrop: size is 0, expected at least 1"),
        (lambda: RandomCrop(4, padding=-1), ValueError, "RandomCrop: padding is -1, expected at least 0"),
        (lambda: RandomHorizontalFlip(2), ValueError, "RandomHorizontalFlip: p is 2, expected a probability"),
        (lambda: RandomCrop(2)(numbered()[0], generator()), ValueError, "RandomCrop: images have shape"),
        (lambda: RandomHorizontalFlip()(numbered()[0], generator()), ValueError, "Flip: images have shape"),
        (lambda: DataLoader([1, 2], transform=3), TypeError, "DataLoader: transform is 3, expected a function"),
    ],
)
def test_errors_name_the_argument(make, error, message):
    with pytest.raises(error, match=message):
        make()


def test_random_horizontal_flip():
    x = numbered(1000)
    before = x.copy()
    y = RandomHorizontalFlip(0.3)(x, generator())
    np.testing.assert_array_equal(x, before)
    flipped = (y == x[..., ::-1]).all((1, 2, 3))
    assert (flipped | (y == x).all((1, 2, 3))).all()
    assert 250 < flipped.sum() < 350
    np.testing.assert_array_equal(RandomHorizontalFlip(0)(x, generator()), x)
    np.testing.assert_array_equal(RandomHorizontalFlip(1)(x, generator()), x[..., ::-1])
    view = x.transpose(0, 2, 3, 1).copy().transpose(0, 3, 1, 2)
    assert RandomHorizontalFlip()(view, generator()).strides == view.strides


def test_compose_applies_in_order_with_one_generator():
    x = numbered()
    both = Compose([RandomCrop(4, 1), RandomHorizontalFlip()])
    g = generator(7)
    np.testing.assert_array_equal(both(x, generator(7)), RandomHorizontalFlip()(RandomCrop(4, 1)(x, g), g))
    assert repr(RandomCrop(4, 1)) == "RandomCrop(size=4, padding=1, fill=0)"


def batches(loader, *arguments):
    return list(loader.batches(*arguments))


@pytest.mark.parametrize("prefetch", [0, 2])
def test_loader_repeats_and_resumes(prefetch):
    dataset = ArrayDataset(numbered(10), np.arange(10))

    def loader(seed=3):
        transform = Compose([RandomCrop(5, padding=2), RandomHorizontalFlip()])
        return DataLoader(dataset, 4, shuffle=True, seed=seed, transform=transform, prefetch=prefetch)

    whole = batches(loader(), 2)
    for start in range(4):
        for (x, y), (x_again, y_again) in zip(whole[start:], batches(loader(), 2, start), strict=True):
            np.testing.assert_array_equal(x, x_again)
            np.testing.assert_array_equal(y, y_again)
    assert not np.array_equal(batches(loader(), 1)[0][0], whole[0][0])
    plain = DataLoader(dataset, 4, shuffle=True, seed=3)
    for (_, y), (_, y_plain) in zip(whole, batches(plain, 2), strict=True):  # the order stays
        np.testing.assert_array_equal(y, y_plain)


def test_batches_differ_within_an_epoch():
    dataset = ArrayDataset(np.tile(numbered(1), (8, 1, 1, 1)))
    loader = DataLoader(dataset, 4, seed=0, transform=RandomCrop(5, padding=4))
    (a,), (b,) = batches(loader, 0)
    assert not np.array_equal(a, b)


def test_loader_transforms_batches_that_are_no_tuples():
    loader = DataLoader([np.full(2, i) for i in range(3)], 2, transform=lambda x, _: x + 1)
    assert [x.tolist() for x in loader] == [[[1, 1], [2, 2]], [[3, 3]]]
