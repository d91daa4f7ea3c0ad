"""fastnn.features against slow NumPy, scikit-image and scikit-learn."""

import colorsys
import sys

import numpy as np
import pytest

from fastnn.features import BagOfVisualWords, color_histogram, hog


def images(n=6, channels=3, height=16, width=20, dtype=np.uint8, seed=0):
    x = np.random.default_rng(seed).integers(0, 256, (n, channels, height, width))
    return x.astype(np.uint8) if dtype == np.uint8 else (x / 255).astype(dtype)


# ---- histograms of oriented gradients -----------------------------------------------------------------------------


@pytest.mark.parametrize("dtype", [np.uint8, np.float32, np.float64])
def test_hog_is_that_of_scikit_image(dtype):
    feature = pytest.importorskip("skimage.feature")
    x = images(dtype=dtype)
    y = hog(x, orientations=5, pixels_per_cell=4, cells_per_block=3, block_norm="L2")
    assert y.dtype == np.float32
    for row, image in zip(y, x, strict=True):
        expected = feature.hog(
            image.transpose(1, 2, 0), 5, (4, 4), (3, 3), block_norm="L2", channel_axis=-1, feature_vector=True
        )
        np.testing.assert_allclose(row, expected, atol=1e-5)
    assert hog(x[:0], 5, 4, 3).shape == (0, y.shape[1])


def test_hog_tells_directions_apart():
    pytest.importorskip("skimage")
    stripes = np.zeros((2, 1, 16, 16), np.uint8)
    stripes[0, 0, ::2], stripes[1, 0, :, ::4] = 0, 255
    stripes[0, 0, ::4] = 255
    horizontal, vertical = hog(stripes, orientations=4).reshape(2, -1, 4).sum(1)
    assert horizontal.argmax() != vertical.argmax()


# ---- colours ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("dtype", [np.uint8, np.float32])
@pytest.mark.parametrize("bins", [1, 5, 8])
@pytest.mark.parametrize("space", ["rgb", "hsv"])
def test_color_histogram(space, bins, dtype):
    x = images(3, dtype=dtype, height=5, width=4)
    x[0, :, 0] = x[0, :1, 0]  # grey
    x[1, :, 0] = 0
    y = color_histogram(x, bins, space)
    assert y.dtype == np.float32
    expected = np.zeros((3, 3, bins))
    for n, h, w in np.ndindex(3, 5, 4):
        color = (x[n, :, h, w] / (np.float32(255) if dtype == np.uint8 else 1)).astype(np.float32).tolist()
        if space == "hsv":
            color = colorsys.rgb_to_hsv(*color)
        for channel, value in enumerate(color):
            expected[n, channel, min(int(value * bins), bins - 1)] += 1 / 20
    assert np.abs(y.reshape(3, 3, bins) - expected).max() < 0.051  # a value on the border of two bins
    assert np.abs(y.reshape(3, 3, bins) - expected).mean() < 1e-3
    np.testing.assert_allclose(y.reshape(3, 3, bins).sum(2), 1, rtol=1e-6)


def test_color_histogram_of_many_images_and_of_none():
    x = images(1203, height=2, width=2)
    np.testing.assert_array_equal(color_histogram(x)[1100], color_histogram(x[1100:1101])[0])
    assert color_histogram(x[:0], 4).shape == (0, 12)


# ---- visual words -------------------------------------------------------------------------------------------------


def encoded(bag, x):
    """Patch by patch."""
    p, stride, words = bag.patch_size, bag.stride, bag.words.astype(np.float64)
    rows, columns = ((size - p) // stride + 1 for size in x.shape[2:])
    result = []
    for image in x.astype(np.float64) / (255 if x.dtype == np.uint8 else 1):
        codes = np.zeros((rows, columns, len(words)))
        for i, j in np.ndindex(rows, columns):
            patch = image[:, i * stride : i * stride + p, j * stride : j * stride + p].ravel()
            patch = (patch - patch.mean()) / np.sqrt(patch.var() + 10 / 255**2)
            if bag.whiten:
                patch = bag._zca.weight.numpy().astype(np.float64) @ (patch - bag._zca.mean.numpy())
            distances = np.linalg.norm(words - patch, axis=1)
            if bag.encoding == "hard":
                codes[i, j, distances.argmin()] = 1
            else:
                codes[i, j] = np.maximum(0, distances.mean() - distances)
        bands = np.array_split(np.arange(rows), bag.pool), np.array_split(np.arange(columns), bag.pool)
        result.append(np.concatenate([codes[np.ix_(a, b)].mean((0, 1)) for a in bands[0] for b in bands[1]]))
    return np.array(result)


@pytest.mark.parametrize("dtype", [np.uint8, np.float64])
@pytest.mark.parametrize("encoding", ["triangle", "hard"])
@pytest.mark.parametrize(("patch", "stride", "pool", "whiten"), [(6, 1, 2, True), (4, 3, 1, True), (3, 2, 3, False)])
def test_bag_of_visual_words(patch, stride, pool, whiten, encoding, dtype):
    pytest.importorskip("sklearn")
    x = images(dtype=dtype)
    bag = BagOfVisualWords(12, patch, stride, encoding, pool, whiten, n_patches=400).fit(x)
    assert bag.words.shape == (12, 3 * patch**2)
    other = images(4, dtype=dtype, seed=1)
    y = bag.transform(other)
    assert (y.shape, y.dtype) == ((4, pool**2 * 12), np.float32)
    np.testing.assert_allclose(y, encoded(bag, other), atol=2e-3 if encoding == "triangle" else 1e-6)
    if encoding == "hard":
        np.testing.assert_allclose(y.reshape(4, pool**2, 12).sum(2), 1, rtol=1e-6)
    assert bag.transform(other[:0]).shape == (0, pool**2 * 12)


def test_the_words_are_what_the_patches_are_like():
    """Images of three patterns: the vocabulary finds them, and tells the images apart."""
    pytest.importorskip("sklearn")
    generator = np.random.default_rng(0)
    patterns = generator.integers(0, 256, (3, 1, 4, 4))
    kinds = generator.integers(0, 3, 60)
    x = np.tile(patterns[kinds], (1, 1, 4, 4)) + generator.integers(-3, 4, (60, 1, 16, 16))
    x = x.clip(0, 255).astype(np.uint8)
    y = BagOfVisualWords(48, 4, 4, "hard", pool=1, whiten=False, n_patches=3000).fit(x).transform(x)
    words = y.argmax(1)
    assert len({(kind, word) for kind, word in zip(kinds, words, strict=True)}) == len(set(words)) >= 3


def test_the_same_seed_gives_the_same_features():
    pytest.importorskip("sklearn")
    x = images()
    make = [BagOfVisualWords(5, n_patches=300, seed=seed).fit(x).transform(x) for seed in (1, 1, 2)]
    np.testing.assert_array_equal(make[0], make[1])
    assert not np.array_equal(make[0], make[2])


# ---- errors -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("call", "error", "message"),
    [
        (lambda: hog(images()[0]), ValueError, r"hog: images have shape \(3, 16, 20\), expected \(N, C, H, W\)"),
        (
            lambda: hog(images().astype(int)),
            TypeError,
            "hog: images have dtype int64, expected uint8 or floating-point",
        ),
        (lambda: hog(images(height=15)), ValueError, "expected blocks of 16 x 16 pixels to fit in"),
        (lambda: hog(images(channels=0)), ValueError, "hog: .* expected at least one channel"),
        (lambda: hog(images(), orientations=0), ValueError, "hog: orientations is 0; expected at least 1"),
        (
            lambda: hog(images(), pixels_per_cell=(8, 8)),
            TypeError,
            r"hog: pixels_per_cell is \(8, 8\); expected an int",
        ),
        (lambda: hog(images(), cells_per_block=-1), ValueError, "hog: cells_per_block is -1; expected at least 1"),
        (lambda: hog(images(), block_norm="L3"), ValueError, "hog: block_norm is 'L3', expected one of L1, L1-sqrt"),
        (lambda: color_histogram(images(channels=1)), ValueError, r"color_histogram: .* expected \(N, 3, H, W\)"),
        (lambda: color_histogram(images(height=0)), ValueError, "with some pixels"),
        (lambda: color_histogram(images(), 0), ValueError, "color_histogram: bins is 0; expected at least 1"),
        (lambda: color_histogram(images(), 2.5), TypeError, "color_histogram: bins is 2.5; expected an integer"),
        (lambda: color_histogram(images() * 1.0), ValueError, r"have values from 0\.0 to 255\.0, expected 0 to 1"),
        (lambda: color_histogram(images() * np.nan), ValueError, "have values from nan to nan, expected 0 to 1"),
        (lambda: color_histogram(images(), space="lab"), ValueError, "space is 'lab', expected 'rgb' or 'hsv'"),
        (lambda: BagOfVisualWords(0), ValueError, "BagOfVisualWords: n_words is 0; expected at least 1"),
        (lambda: BagOfVisualWords(stride=1.5), TypeError, "BagOfVisualWords: stride is 1.5; expected an integer"),
        (lambda: BagOfVisualWords(seed=-1), ValueError, "BagOfVisualWords: seed is -1; expected at least 0"),
        (lambda: BagOfVisualWords(eps=-1), ValueError, "BagOfVisualWords: eps is -1; expected a number of at least 0"),
        (lambda: BagOfVisualWords(whiten=False).fit(images() * np.nan), ValueError, "values that are not finite"),
        (lambda: BagOfVisualWords(10, n_patches=9), ValueError, "n_patches is 9, expected at least n_words, 10"),
        (lambda: BagOfVisualWords(encoding="soft"), ValueError, "encoding is 'soft', expected 'triangle' or 'hard'"),
        (lambda: BagOfVisualWords().transform(images()), RuntimeError, "call fit before transform"),
        (lambda: BagOfVisualWords(patch_size=17).fit(images()), ValueError, "expected at least 17 x 17 pixels"),
        (lambda: BagOfVisualWords().fit(images(0)), ValueError, "there are no images to fit to"),
    ],
)
def test_errors(call, error, message):
    with pytest.raises(error, match=message):
        call()


def test_images_that_do_not_fit_the_vocabulary():
    pytest.importorskip("sklearn")
    bag = BagOfVisualWords(3, n_patches=20).fit(images())
    with pytest.raises(ValueError, match="images have 1 channels, those in fit had 3"):
        bag.transform(images(channels=1))
    with pytest.raises(ValueError, match="images have 1 x 3 patches, expected at least 2 x 2"):
        bag.transform(images(height=6, width=8))


def test_missing_libraries(monkeypatch):
    for name in ("skimage", "skimage.feature", "sklearn", "sklearn.cluster"):
        monkeypatch.setitem(sys.modules, name, None)
    with pytest.raises(ImportError, match=r"hog needs scikit-image: pip install 'fastnn\[features\]'"):
        hog(images())
    with pytest.raises(ImportError, match=r"BagOfVisualWords needs scikit-learn: pip install 'fastnn\[sklearn\]'"):
        BagOfVisualWords(3, n_patches=20).fit(images())
