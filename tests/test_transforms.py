"""fastnn.data.transforms: what is drawn, and what becomes of the images; and the DataLoader that applies them."""

import numpy as np
import pytest

from fastnn import ops
from fastnn.data import ArrayDataset, DataLoader
from fastnn.data.transforms import (
    ColorJitter,
    Compose,
    Cutout,
    Draws,
    Lighting,
    Normalize,
    RandomCrop,
    RandomHorizontalFlip,
    RandomRotation,
)


def numbered(n=50, channels=3, height=5, width=6, dtype=np.float32):
    """Images no two elements of which are equal; of uint8, no two of one image."""
    return np.arange(1, n * channels * height * width + 1).reshape(n, channels, height, width).astype(dtype)


def pictures(n=30, height=12, width=10, dtype=np.uint8):
    x = np.random.default_rng(0).integers(0, 256, (n, 3, height, width))
    return x.astype(np.uint8) if dtype == np.uint8 else (x / 255).astype(dtype)


def draws(images, seed=0, epoch=0):
    return Draws(range(len(images)), seed, epoch)


EVERY = [
    RandomCrop(4, padding=2),
    RandomCrop((3, 5), padding=2, padding_mode="reflect"),
    RandomHorizontalFlip(),
    RandomRotation(30),
    ColorJitter(0.4, 0.4, 0.4, 0.1),
    Cutout(3),
    Lighting((0.2, 0.02, 0.005), ((1.0, 0.0, 0.0), (0.0, 1.0, 0.0), (0.0, 0.0, 1.0))),
    Normalize((0.5, 0.4, 0.3), (0.2, 0.3, 0.4)),
]


# ---- random numbers -----------------------------------------------------------------------------------------------


def test_draws_depend_on_seed_epoch_index_and_what_was_drawn_before():
    first = Draws([3, 9, 2**40], 5, 1)
    a, b = first.uniform(6), first.uniform(2)
    again = Draws([2**40, 3], 5, 1)
    np.testing.assert_array_equal(again.uniform(6), a[[2, 0]])
    np.testing.assert_array_equal(again.uniform(2), b[[2, 0]])
    others = [a[0, 0], a[1, 0], a[2, 0], a[0, 1], b[0, 0], Draws([3], 6, 1).uniform(1), Draws([3], 5, 2).uniform(1)]
    assert len({float(np.squeeze(value)) for value in others}) == len(others)


def test_draws_have_their_distributions():
    n = 200_000
    u = Draws(np.arange(n), 1).uniform(2)
    assert ((u > 0) & (u < 1)).all()
    counts = np.histogram2d(*u.T, bins=10, range=[[0, 1], [0, 1]])[0]
    assert abs(((counts - n / 100) ** 2 / (n / 100)).sum() - 99) < 5 * np.sqrt(2 * 99)
    z = Draws(np.arange(n), 2).normal(3)
    assert z.shape == (n, 3)
    for moment, expected, variance in ((1, 0, 1), (2, 1, 2), (3, 0, 15), (4, 3, 96)):
        assert np.abs((z**moment).mean(0) - expected).max() < 5 * np.sqrt(variance / n)
    assert np.abs(np.corrcoef(z.T) - np.eye(3)).max() < 5 / np.sqrt(n)


@pytest.mark.parametrize("transform", EVERY, ids=lambda t: type(t).__name__)
@pytest.mark.parametrize("dtype", [np.uint8, np.float32, np.float64])
def test_an_image_is_changed_alike_in_any_batch_and_layout(transform, dtype):
    x = pictures(dtype=dtype)
    before = x.copy()
    y = transform(x, Draws(range(30), 1, 2))
    np.testing.assert_array_equal(x, before)
    chosen = [17, 3, 28]
    np.testing.assert_array_equal(transform(x[chosen], Draws(chosen, 1, 2)), y[chosen])
    inside = np.ascontiguousarray(x.transpose(0, 2, 3, 1)).transpose(0, 3, 1, 2)
    again = transform(inside, Draws(range(30), 1, 2))
    if isinstance(transform, ColorJitter):  # the mean of grey is summed in another order
        np.testing.assert_allclose(again.astype(float), y, atol=1 if dtype == np.uint8 else 1e-6)
    else:
        np.testing.assert_array_equal(again, y)
    assert again.transpose(0, 2, 3, 1).flags.c_contiguous
    assert y.flags.c_contiguous
    if not isinstance(transform, Normalize):
        assert not np.array_equal(transform(x, Draws(range(30), 1, 3)), y)


# ---- windows ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("dtype", [np.float32, np.uint8])
@pytest.mark.parametrize("mode", ["constant", "reflect"])
def test_random_crop_takes_every_place_of_the_padded_image(mode, dtype):
    x = numbered(dtype=dtype)
    crops = RandomCrop(4, padding=2, padding_mode=mode)(x, draws(x))
    assert (crops.shape, crops.dtype) == ((50, 3, 4, 4), dtype)
    padded = np.pad(x, ((0, 0), (0, 0), (2, 2), (2, 2)), mode)
    places = set()
    for crop, image in zip(crops, padded, strict=True):
        found = [(i, j) for i in range(6) for j in range(7) if np.array_equal(crop, image[:, i : i + 4, j : j + 4])]
        assert found
        places.add(found[0])
    assert {i for i, _ in places} == set(range(6))
    assert {j for _, j in places} == set(range(7))


def test_random_crop_takes_every_place_equally_often():
    n = 20_000
    row, column = np.mgrid[:5, :6].astype(np.float32)
    x = np.broadcast_to(np.stack([row, column]), (n, 2, 5, 6))
    corner = RandomCrop(2)(x, draws(x))[:, :, 0, 0].astype(int)
    counts = np.bincount(corner[:, 0] * 5 + corner[:, 1], minlength=20)
    assert ((counts - n / 20) ** 2 / (n / 20)).sum() < 19 + 5 * np.sqrt(2 * 19)


def test_random_crop_fills_each_channel():
    x = numbered(4, 3, 5, 5)
    crops = RandomCrop(9, padding=2, fill=(-1, -2.5, -3))(x, draws(x))
    for channel, value in enumerate((-1, -2.5, -3)):
        border = np.ones((9, 9), bool)
        border[2:7, 2:7] = False
        assert (crops[:, channel, border] == value).all()
        assert (crops[:, channel, ~border] > 0).all()


def test_random_crop_of_the_whole_image_is_the_image():
    x = numbered(4, 3, 5, 5)
    np.testing.assert_array_equal(RandomCrop(5)(x, draws(x)), x)
    np.testing.assert_array_equal(RandomCrop((5, 5))(x, draws(x)), x)
    assert RandomCrop(5)(x[:0], draws([])).shape == (0, 3, 5, 5)


def test_random_horizontal_flip():
    x = numbered(1000)
    y = RandomHorizontalFlip(0.3)(x, draws(x))
    flipped = (y == x[..., ::-1]).all((1, 2, 3))
    assert (flipped | (y == x).all((1, 2, 3))).all()
    assert 230 < flipped.sum() < 370
    np.testing.assert_array_equal(RandomHorizontalFlip(0)(x, draws(x)), x)
    np.testing.assert_array_equal(RandomHorizontalFlip(1)(x, draws(x)), x[..., ::-1])


# ---- rotations, squares -------------------------------------------------------------------------------------------


def test_rotation_by_right_angles_is_counter_clockwise():
    x = pictures(4, 7, 7, np.float64)
    for degrees, turns in ((0, 0), (90, 1), (180, 2), (-90, 3)):
        y = RandomRotation((degrees, degrees))(x, draws(x))
        np.testing.assert_allclose(y, np.rot90(x, turns, (2, 3)), atol=1e-12)


def test_rotation_takes_angles_from_its_range():
    """A line from the centre to the right is found at the angle that it was turned by."""
    x = np.zeros((500, 1, 81, 81))
    x[:, 0, 40, 70] = 1
    y = RandomRotation((-20, 50))(x, draws(x))
    rows, columns = np.mgrid[40:-41:-1, -40:41]
    angles = np.degrees(np.arctan2((y[:, 0] * rows).sum((1, 2)), (y[:, 0] * columns).sum((1, 2))))
    assert angles.min() > -21
    assert angles.max() < 51
    assert angles.mean() == pytest.approx(15, abs=5 * 70 / np.sqrt(12 * 500))
    assert angles.std() == pytest.approx(70 / np.sqrt(12), rel=0.1)


def test_rotation_fills_the_corners():
    x = np.ones((3, 3, 20, 20), np.float32)
    y = RandomRotation((45, 45), fill=(2, 3, 4))(x, draws(x))
    np.testing.assert_allclose(y[:, :, 0, 0], [[2, 3, 4]] * 3)
    np.testing.assert_allclose(y[:, :, 10, 10], 1, atol=1e-6)


@pytest.mark.parametrize("size", [1, 4, 5])
def test_cutout_cuts_a_square_around_any_pixel(size):
    x = np.ones((3000, 2, 6, 8), np.float32)
    y = Cutout(size, fill=(7, -1))(x, draws(x))
    assert set(np.unique(y[:, 0])) == {1, 7}
    np.testing.assert_array_equal(y[:, 0] == 7, y[:, 1] == -1)
    found = {(y[:, 0] == 7)[n].tobytes() for n in range(len(y))}
    expected = set()
    for h, w in np.ndindex(6, 8):
        square = np.zeros((6, 8), bool)
        square[max(0, h - size // 2) : h - size // 2 + size, max(0, w - size // 2) : w - size // 2 + size] = True
        expected.add(square.tobytes())
    assert found == expected


# ---- colours ------------------------------------------------------------------------------------------------------


def test_brightness_factors_have_their_range():
    x = np.full((2000, 3, 2, 2), 0.25)
    factors = ColorJitter(brightness=0.4)(x, draws(x))[:, 0, 0, 0] / 0.25
    assert 0.6 <= factors.min() < 0.61
    assert 1.39 < factors.max() <= 1.4
    assert factors.mean() == pytest.approx(1, abs=0.03)
    factors = ColorJitter(brightness=(2, 3))(x, draws(x))[:, 0, 0, 0] / 0.25
    assert 2 <= factors.min() < 2.01 < 2.99 < factors.max() <= 3
    assert ColorJitter(brightness=5)(x, draws(x)).max() == 1


def test_color_jitter_leaves_out_what_is_not_asked_for():
    x = pictures(20, dtype=np.float64)
    np.testing.assert_array_equal(ColorJitter()(x, draws(x)), x)
    grey = np.array([0.2989, 0.587, 0.114])
    y = ColorJitter(saturation=(0, 0))(x, draws(x))
    np.testing.assert_allclose(y, np.einsum("nchw,c->nhw", x, grey)[:, None].repeat(3, 1))
    y = ColorJitter(contrast=(0, 0))(x, draws(x))
    np.testing.assert_allclose(y, np.einsum("nchw,c->n", x, grey)[:, None, None, None] / 120 * np.ones_like(x))
    y = ColorJitter(hue=(1 / 3, 1 / 3))(x, draws(x))
    np.testing.assert_allclose(y, np.roll(x, 1, axis=1), atol=1e-12)  # red becomes green


def test_changes_of_colour_come_in_any_order():
    """Twice as bright and half the contrast: which comes first shows in a pixel that brightness alone would clip."""
    x = np.zeros((1000, 3, 1, 2))
    x[..., 0] = 0.8
    y = ColorJitter(brightness=(2, 2), contrast=(0.5, 0.5))(x, draws(x))[:, 0, 0]
    brighter_first, contrast_first = y[:, 0] < 0.8, y[:, 0] > 0.9
    assert (brighter_first | contrast_first).all()
    assert 400 < brighter_first.sum() < 600


@pytest.mark.parametrize("dtype", [np.uint8, np.float64])
def test_lighting_adds_random_colours_along_the_principal_components(dtype):
    generator = np.random.default_rng(1)
    mixed = generator.standard_normal((4000, 3)) @ generator.uniform(-0.1, 0.1, (3, 3)) + 0.5
    x = mixed.clip(0, 1).reshape(40, 10, 10, 3).transpose(0, 3, 1, 2)
    x = np.round(x * 255).astype(np.uint8) if dtype == np.uint8 else x
    pixels = x.transpose(0, 2, 3, 1).reshape(-1, 3) / (255 if dtype == np.uint8 else 1)
    lighting = Lighting.fit(x, std=5.0)
    values, vectors = np.array(lighting.eigenvalues), np.array(lighting.eigenvectors)
    np.testing.assert_allclose(vectors.T * values @ vectors, np.cov(pixels.T, bias=True), atol=1e-12)
    assert (np.diff(values) < 0).all()

    n = 20_000
    flat = np.full((n, 3, 1, 1), 128 if dtype == np.uint8 else 0.5, dtype)
    added = lighting(flat, draws(flat)).astype(float)[:, :, 0, 0] - flat[:, :, 0, 0]
    if dtype == np.uint8:
        added /= 255
    expected = vectors.T * (5 * values) ** 2 @ vectors
    rounding = 1 / 12 / 255**2 if dtype == np.uint8 else 0
    np.testing.assert_allclose(np.cov(added.T), expected + rounding * np.eye(3), atol=0.05 * expected.max())


def test_normalize_takes_bytes_and_numbers():
    x = pictures(4)
    mean, std = np.array([0.5, 0.4, 0.3]), np.array([0.2, 0.3, 0.4])
    expected = (x / 255 - mean[:, None, None]) / std[:, None, None]
    for images in (x, (x / 255).astype(np.float32)):
        y = Normalize(tuple(mean), tuple(std))(images, draws(x))
        assert y.dtype == np.float32
        np.testing.assert_allclose(y, expected, atol=1e-5)
    np.testing.assert_allclose(Normalize(0, 0.5)(x / 255, draws(x)), x / 127.5, atol=1e-12)


# ---- errors -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("make", "error", "message"),
    [
        (lambda: RandomCrop((4, 4, 4)), ValueError, r"RandomCrop: size is \(4, 4, 4\), expected an integer or two"),
        (lambda: RandomCrop(4.0), TypeError, "RandomCrop: size is 4.0, expected an integer"),
        (lambda: RandomCrop(0), ValueError, "RandomCrop: size is 0, expected at least 1"),
        (lambda: RandomCrop(4, padding=-1), ValueError, "RandomCrop: padding is -1, expected at least 0"),
        (lambda: RandomCrop(4, padding_mode="edge"), ValueError, "RandomCrop: padding_mode is 'edge', expected 'const"),
        (lambda: RandomHorizontalFlip(2), ValueError, "RandomHorizontalFlip: p is 2, expected a probability"),
        (lambda: RandomHorizontalFlip("x"), TypeError, "RandomHorizontalFlip: p is 'x', expected a number"),
        (lambda: RandomRotation("x"), TypeError, "RandomRotation: degrees is 'x', expected a number or two"),
        (lambda: RandomRotation((1, 2, 3)), TypeError, r"RandomRotation: degrees is \(1, 2, 3\), expected a number"),
        (lambda: RandomRotation(np.nan), ValueError, "RandomRotation: degrees is nan, expected"),
        (lambda: RandomRotation(-3), ValueError, "RandomRotation: degrees is -3, expected"),
        (lambda: RandomRotation((3, 2)), ValueError, r"RandomRotation: degrees is \(3, 2\), expected"),
        (lambda: ColorJitter(brightness=-1), ValueError, "ColorJitter: brightness is -1, expected"),
        (lambda: ColorJitter(None), TypeError, "ColorJitter: brightness is None, expected a number or two"),
        (lambda: ColorJitter((1,)), TypeError, r"ColorJitter: brightness is \(1,\), expected a number or two"),
        (lambda: ColorJitter(saturation=[-1, 1]), ValueError, r"saturation is \[-1, 1\], expected no negative number"),
        (lambda: ColorJitter(contrast=(2, 1)), ValueError, r"ColorJitter: contrast is \(2, 1\), expected"),
        (lambda: ColorJitter(hue=0.6), ValueError, "ColorJitter: hue is 0.6, expected a number from 0 to 0.5"),
        (lambda: Cutout(0), ValueError, "Cutout: size is 0, expected at least 1"),
        (lambda: Lighting((1, 2), ((1, 2, 3),)), ValueError, r"Lighting: eigenvalues have shape \(2,\) and eigenvec"),
        (lambda: Lighting((1,), ((1,),), std="x"), TypeError, "Lighting: std is 'x', expected a number"),
        (lambda: Lighting.fit(np.full((2, 3, 4, 4), np.nan)), ValueError, "Lighting.fit: .* not finite"),
        (lambda: Lighting.fit(pictures().astype(int)), TypeError, "Lighting.fit: images have dtype int64, expected"),
        (lambda: Normalize("x", 1), TypeError, "Normalize: mean is 'x', expected a number or one a channel"),
        (lambda: Normalize(0, None), TypeError, "Normalize: std is None, expected a number or one a channel"),
        (lambda: Normalize(0, (1, 0)), ValueError, r"Normalize: std is \(1, 0\), expected no 0"),
        (lambda: Compose(3), TypeError, "Compose: transforms is 3, expected a list of transforms"),
        (lambda: Compose([Cutout(2), 3]), TypeError, r"Compose: transforms is \[Cutout\(.*\), 3\], expected a list"),
        (lambda: DataLoader([1, 2], transform=3), TypeError, "DataLoader: transform is 3, expected a function"),
    ],
)
def test_arguments_are_checked(make, error, message):
    with pytest.raises(error, match=message):
        make()


@pytest.mark.parametrize("transform", EVERY, ids=lambda t: type(t).__name__)
def test_images_are_checked(transform):
    name = type(transform).__name__
    x = pictures(2)
    with pytest.raises(ValueError, match=rf"{name}: images have shape \(3, 12, 10\), expected \(N, C, H, W\)"):
        transform(x[0], draws(x))
    with pytest.raises(TypeError, match=f"{name}: images have dtype int64, expected uint8, float32 or float64"):
        transform(x.astype(int), draws(x))
    with pytest.raises(TypeError, match=f"{name}: images are a list, expected an array"):
        transform(x.tolist(), draws(x))
    with pytest.raises(ValueError, match=f"{name}: there are 2 images and draws for 3"):
        transform(x, Draws(range(3)))


@pytest.mark.parametrize(
    ("transform", "message"),
    [
        (RandomCrop(8, padding=1), "RandomCrop: images of 5x6 with a border of 1 are smaller than 8x8"),
        (RandomCrop(8, 5, padding_mode="reflect"), "RandomCrop: images of 5x6 cannot be reflected in a border of 5"),
        (RandomCrop(4, 1, fill=(1, 2)), r"RandomCrop: fill has shape \(2,\), expected a number or one a channel of 3"),
        (ColorJitter(1), None),
        (Lighting((1,), ((1,),)), "Lighting: images have 3 channels, the eigenvectors 1"),
        (Normalize((1, 2), 1), r"Normalize: mean has shape \(2,\)"),
    ],
)
def test_images_that_do_not_fit(transform, message):
    x = numbered()
    if message is None:
        x, message = x[:, :2], "augment_colors: x has 2 channels; expected 3"
    with pytest.raises(ValueError, match=message):
        transform(x, draws(x))


@pytest.mark.parametrize(
    ("fill", "error", "message"),
    [
        (256, ValueError, "Cutout: fill is 256, expected 0 to 255 for uint8 images"),
        (np.nan, ValueError, "Cutout: fill is nan, expected 0 to 255 for uint8 images"),
        ("x", TypeError, "Cutout: fill is 'x', expected a number or one a channel"),
    ],
)
def test_fill_is_checked(fill, error, message):
    with pytest.raises(error, match=message):
        Cutout(2, fill)(pictures(), draws(pictures()))


def test_ranges_may_be_lists():
    x = pictures()
    for cls, value in ((ColorJitter, (0.5, 1.5)), (RandomRotation, (-20, 20))):
        np.testing.assert_array_equal(cls(list(value))(x, draws(x)), cls(value)(x, draws(x)))


# ---- composition, and the loader ----------------------------------------------------------------------------------


def test_compose_applies_in_order_with_one_source_of_numbers():
    x = numbered()
    both = Compose([RandomCrop(4, 1), RandomHorizontalFlip()])
    shared = draws(x, 7)
    np.testing.assert_array_equal(both(x, draws(x, 7)), RandomHorizontalFlip()(RandomCrop(4, 1)(x, shared), shared))
    assert repr(RandomCrop(4, 1)) == "RandomCrop(size=4, padding=1, fill=0, padding_mode='constant')"


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


@pytest.mark.parametrize("threads", [1, 3])
def test_an_image_is_changed_alike_whatever_the_batches(threads):
    dataset = ArrayDataset(pictures(), np.arange(30))
    transform = Compose([*EVERY[2:]])
    before = ops.get_num_threads()
    ops.set_num_threads(threads)
    try:
        (whole, _), *_ = DataLoader(dataset, 30, seed=4, transform=transform)
        for size, shuffle in ((7, False), (4, True)):
            for x, numbers in DataLoader(dataset, size, shuffle, seed=4, transform=transform):
                np.testing.assert_array_equal(x, whole[numbers])
    finally:
        ops.set_num_threads(before)


def test_equal_images_are_changed_differently():
    dataset = ArrayDataset(np.tile(numbered(1), (8, 1, 1, 1)))
    loader = DataLoader(dataset, 4, seed=0, transform=RandomCrop(5, padding=4))
    (a,), (b,) = batches(loader, 0)
    assert not np.array_equal(a, b)


def test_loader_transforms_batches_that_are_no_tuples():
    loader = DataLoader([np.full(2, i) for i in range(3)], 2, transform=lambda x, _: x + 1)
    assert [x.tolist() for x in loader] == [[[1, 1], [2, 2]], [[3, 3]]]
