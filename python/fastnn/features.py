"""Features of images that are computed and not learned by a network: what a linear classifier can start from.

All take images (N, C, H, W), uint8 or floating-point from 0 to 1, and return float32 (N, D).
"""

from __future__ import annotations

from collections.abc import Iterator
from importlib import import_module
from typing import TYPE_CHECKING, Any, Literal

import numpy as np

from . import ops
from .nn.sizes import checked_size
from .preprocessing import ZCA, checked_eps
from .tensor import Array, Tensor

if TYPE_CHECKING:
    from typing_extensions import Self

__all__ = ["BagOfVisualWords", "color_histogram", "hog"]

_BLOCK_NORMS = ("L1", "L1-sqrt", "L2", "L2-Hys")


def hog(
    images: Any,
    orientations: int = 9,
    pixels_per_cell: int = 8,
    cells_per_block: int = 2,
    *,
    block_norm: str = "L2-Hys",
) -> Array:
    """Histograms of oriented gradients: for each cell, how strong the edges in each direction are.

    Those of scikit-image (`pip install 'fastnn[features]'`), where the strongest channel of a pixel counts (Dalal and
    Triggs: Histograms of oriented gradients for human detection, 2005).

    Args:
        images: (N, C, H, W).
        orientations: directions that are told apart.
        pixels_per_cell: height and width of a cell.
        cells_per_block: height and width, in cells, of the blocks in which histograms are normalised.
        block_norm: how they are: "L1", "L1-sqrt", "L2" or "L2-Hys".

    Returns:
        float32 (N, D): the histograms of the cells of all blocks.

    Raises:
        ImportError: scikit-image is not installed.
        TypeError: one of the numbers is not an integer, or the images are neither uint8 nor floating-point.
        ValueError: the images have another number of dimensions or no channels, or are smaller than a block; a number
            is less than 1, or block_norm another one.

    Example:
        >>> import numpy as np
        >>> from fastnn.features import hog
        >>> hog(np.zeros((5, 3, 32, 32), np.uint8)).shape
        (5, 324)
    """
    pixels = _pixels("hog", images)
    if not pixels.shape[1]:
        raise ValueError(f"hog: images have shape {pixels.shape}, expected at least one channel")
    checked_size("hog: orientations", orientations)
    checked_size("hog: pixels_per_cell", pixels_per_cell)
    checked_size("hog: cells_per_block", cells_per_block)
    if block_norm not in _BLOCK_NORMS:
        raise ValueError(f"hog: block_norm is {block_norm!r}, expected one of {', '.join(_BLOCK_NORMS)}")
    size = pixels_per_cell * cells_per_block
    if min(pixels.shape[2:]) < size:
        raise ValueError(f"hog: images have shape {pixels.shape}, expected blocks of {size} x {size} pixels to fit in")
    compute = _library("hog", "skimage.feature", "features").hog
    cell, block = (pixels_per_cell,) * 2, (cells_per_block,) * 2
    rows = [
        compute(image, orientations, cell, block, block_norm=block_norm, channel_axis=-1, feature_vector=True)
        for image in pixels.transpose(0, 2, 3, 1)
    ]
    cells = [n // pixels_per_cell - cells_per_block + 1 for n in pixels.shape[2:]]
    width = cells[0] * cells[1] * cells_per_block**2 * orientations
    return np.array(rows, np.float32).reshape(len(pixels), width)


def color_histogram(images: Any, bins: int = 8, space: Literal["rgb", "hsv"] = "hsv") -> Array:
    """How the values of each channel are distributed.

    Args:
        images: (N, 3, H, W), red, green and blue.
        bins: equal parts of the range of values.
        space: "rgb" for the channels as they are, "hsv" for hue, saturation and value.

    Returns:
        float32 (N, 3 * bins): the share of the pixels in each bin, channel by channel.

    Raises:
        TypeError: bins is not an integer, or the images are neither uint8 nor floating-point.
        ValueError: the images do not have 3 channels, have no pixels, or some that are not from 0 to 1; bins is less
            than 1, or space is another one.

    Example:
        >>> import numpy as np
        >>> from fastnn.features import color_histogram
        >>> color_histogram(np.full((1, 3, 4, 4), 255, np.uint8), bins=2, space="rgb").tolist()
        [[0.0, 1.0, 0.0, 1.0, 0.0, 1.0]]
    """
    pixels = _pixels("color_histogram", images)
    if pixels.shape[1] != 3 or 0 in pixels.shape[2:]:
        raise ValueError(f"color_histogram: images have shape {pixels.shape}, expected (N, 3, H, W) with some pixels")
    checked_size("color_histogram: bins", bins)
    if space not in ("rgb", "hsv"):
        raise ValueError(f"color_histogram: space is {space!r}, expected 'rgb' or 'hsv'")
    result = np.empty((len(pixels), 3 * bins), np.float32)
    for part, rows in _batches(pixels, result, 500):
        low, high = part.min(), part.max()
        if not 0 <= low <= high <= 1:
            raise ValueError(f"color_histogram: images have values from {low} to {high}, expected 0 to 1")
        values = _hsv(part) if space == "hsv" else part
        places = np.clip(values * bins, 0, bins - 1).astype(np.int64)
        places += bins * np.arange(3)[:, None, None] + 3 * bins * np.arange(len(part))[:, None, None, None]
        counts = np.bincount(places.ravel(), minlength=rows.size)
        rows[...] = counts.reshape(rows.shape) / (part.shape[2] * part.shape[3])
    return result


class BagOfVisualWords:
    """How often, or how much, the patches of an image are like each of the words of a vocabulary.

    The vocabulary are the centres that k-means finds among patches at random places of the training images, each patch
    brought to mean 0 and variance 1 and all of them whitened (Coates, Lee, Ng: An analysis of single-layer networks in
    unsupervised feature learning, 2011). Needs scikit-learn (`pip install 'fastnn[sklearn]'`) to fit.

    Args:
        n_words: the size of the vocabulary, K.
        patch_size: height and width of a patch.
        stride: pixels from one patch of an image to the next one, in `transform`.
        encoding: "triangle": a patch counts for a word as much as its distance falls below the mean of its distances to
            all words; "hard": it counts 1 for the nearest word.
        pool: the features are means over the patches in each of `pool` x `pool` parts of an image.
        whiten: whether patches are whitened (ZCA).
        eps: added to the variances in whitening.
        n_patches: how many patches the vocabulary is made of.
        seed: for the choice of patches and k-means.

    Attributes:
        words: float32 (K, C * patch_size ** 2), after `fit`.

    Raises:
        TypeError: an argument is no number where it should be.
        ValueError: one is out of range.

    Example:
        >>> import numpy as np
        >>> from fastnn.features import BagOfVisualWords
        >>> images = np.random.default_rng(0).integers(0, 256, (20, 3, 16, 16), np.uint8)
        >>> BagOfVisualWords(n_words=10, n_patches=500).fit(images).transform(images).shape
        (20, 40)
    """

    def __init__(
        self,
        n_words: int = 400,
        patch_size: int = 6,
        stride: int = 1,
        encoding: Literal["triangle", "hard"] = "triangle",
        pool: int = 2,
        whiten: bool = True,
        eps: float = 0.1,
        n_patches: int = 50_000,
        seed: int = 0,
    ) -> None:
        sizes = {"n_words": n_words, "patch_size": patch_size, "stride": stride, "pool": pool, "n_patches": n_patches}
        for name, value in sizes.items():
            checked_size(f"BagOfVisualWords: {name}", value)
        checked_size("BagOfVisualWords: seed", seed, minimum=0)
        if n_patches < n_words:
            raise ValueError(f"BagOfVisualWords: n_patches is {n_patches}, expected at least n_words, {n_words}")
        if encoding not in ("triangle", "hard"):
            raise ValueError(f"BagOfVisualWords: encoding is {encoding!r}, expected 'triangle' or 'hard'")
        self.n_words = n_words
        self.patch_size = patch_size
        self.stride = stride
        self.encoding = encoding
        self.pool = pool
        self.whiten = whiten
        self.eps = checked_eps("BagOfVisualWords", eps)
        self.n_patches = n_patches
        self.seed = seed
        self.words: Array | None = None
        self._zca: ZCA | None = None

    def fit(self, images: Any) -> Self:
        """Finds the vocabulary in training images (N, C, H, W), and returns this object.

        Raises:
            ImportError: scikit-learn is not installed.
            ValueError: there are no images, they are smaller than a patch, or have values that are not finite.
        """
        pixels = self._checked(images)
        if not len(pixels):
            raise ValueError("BagOfVisualWords: there are no images to fit to")
        kmeans = _library("BagOfVisualWords", "sklearn.cluster", "sklearn").MiniBatchKMeans
        generator, p = np.random.default_rng(self.seed), self.patch_size
        N, C, H, W = pixels.shape
        n = generator.integers(N, size=self.n_patches)
        top, left = (generator.integers(size - p + 1, size=self.n_patches) for size in (H, W))
        windows = np.lib.stride_tricks.sliding_window_view(pixels, (p, p), axis=(2, 3))
        patches = _normalised(_real(windows[n, :, top, left]).reshape(self.n_patches, C * p * p))
        if not np.isfinite(patches).all():
            raise ValueError("BagOfVisualWords: images have values that are not finite")
        if self.whiten:
            self._zca = ZCA(C * p * p, eps=self.eps).fit(patches)
            patches = self._zca(Tensor(patches)).numpy()
        found = kmeans(self.n_words, random_state=self.seed, batch_size=2048, n_init=1).fit(patches)
        self.words = np.asarray(found.cluster_centers_, np.float32)
        return self

    def transform(self, images: Any) -> Array:
        """The features of images (N, C, H, W): float32 (N, pool * pool * n_words).

        Raises:
            RuntimeError: `fit` was not called.
            ValueError: the images are smaller than a patch, or have other channels than those in `fit`.
        """
        if self.words is None:
            raise RuntimeError("BagOfVisualWords: call fit before transform")
        pixels = self._checked(images)
        C, p = pixels.shape[1], self.patch_size
        if C * p * p != self.words.shape[1]:
            raise ValueError(
                f"BagOfVisualWords: images have {C} channels, those in fit had {self.words.shape[1] // (p * p)}"
            )
        result = np.empty((len(pixels), self.pool**2 * self.n_words), np.float32)
        rows, columns = ((size - p) // self.stride + 1 for size in pixels.shape[2:])
        if min(rows, columns) < self.pool:
            raise ValueError(
                f"BagOfVisualWords: images have {rows} x {columns} patches, expected at least {self.pool} x {self.pool}"
            )
        # So many images at a time that what is computed of them stays in the caches.
        for part, features in _batches(
            pixels, result, max(1, 4_000_000 // (rows * columns * max(self.n_words, C * p * p)))
        ):
            windows = np.lib.stride_tricks.sliding_window_view(part, (p, p), axis=(2, 3))
            windows = windows[:, :, :: self.stride, :: self.stride].transpose(0, 2, 3, 1, 4, 5)
            codes = self._codes(_normalised(_real(windows.reshape(-1, C * p * p))))
            features[...] = self._pooled(codes.reshape(len(part), rows, columns, self.n_words))
        return result

    def _checked(self, images: Any) -> Array:
        pixels = _pixels("BagOfVisualWords", images, scaled=False)
        if min(pixels.shape[2:]) < self.patch_size:
            raise ValueError(
                f"BagOfVisualWords: images have shape {pixels.shape}, expected at least {self.patch_size} x "
                f"{self.patch_size} pixels"
            )
        return pixels

    def _codes(self, patches: Array) -> Array:
        """(M, C * p * p) -> (M, K): what each patch is worth to each word."""
        words = self.words
        assert words is not None
        if self._zca is not None:
            patches = self._zca(Tensor(patches)).numpy()
        # The squared distance, up to the patch's own square: |w|^2 - 2 x w.
        distances = ops.linear_forward(patches, -2 * words, np.square(words).sum(1))
        if self.encoding == "hard":
            codes = np.zeros_like(distances)
            codes[np.arange(len(codes)), distances.argmin(1)] = 1
            return codes
        distances += np.square(patches).sum(1, keepdims=True)
        np.sqrt(np.maximum(distances, 0, out=distances), out=distances)
        np.subtract(distances.mean(1, keepdims=True), distances, out=distances)
        return np.maximum(distances, 0, out=distances)

    def _pooled(self, codes: Array) -> Array:
        """(N, rows, columns, K) -> (N, pool * pool * K)."""
        parts = [
            block.mean((1, 2))
            for band in np.array_split(codes, self.pool, axis=1)
            for block in np.array_split(band, self.pool, axis=2)
        ]
        return np.concatenate(parts, axis=1)


def _pixels(name: str, images: Any, scaled: bool = True) -> Array:
    """Images as an array (N, C, H, W), which with `scaled` has floating-point numbers from 0 to 1."""
    array = np.asarray(images)
    if array.ndim != 4:
        raise ValueError(f"{name}: images have shape {array.shape}, expected (N, C, H, W)")
    if array.dtype != np.uint8 and array.dtype.kind != "f":
        raise TypeError(f"{name}: images have dtype {array.dtype}, expected uint8 or floating-point")
    return _real(array) if scaled else array


def _real(pixels: Array) -> Array:
    return pixels / np.float32(255) if pixels.dtype == np.uint8 else pixels.astype(np.float32, copy=False)


def _normalised(patches: Array) -> Array:
    """Mean 0 and variance 1 for each row, nearly: the variance is that of pixels from 0 to 255 plus 10 (Coates)."""
    centred: Array = patches - patches.mean(1, keepdims=True)
    centred /= np.sqrt(np.square(centred).mean(1, keepdims=True) + np.float32(10 / 255**2))
    return centred


def _hsv(pixels: Array) -> Array:
    """(N, 3, H, W) from red, green and blue to hue, saturation and value, all from 0 to 1."""
    r, g, b = pixels.transpose(1, 0, 2, 3)
    value = pixels.max(1)
    chroma = value - pixels.min(1)
    by = 1 / np.where(chroma > 0, chroma, 1)
    place = np.where(value == r, (g - b) * by % 6, np.where(value == g, 2 + (b - r) * by, 4 + (r - g) * by))
    return np.stack([place / 6, chroma / np.where(value > 0, value, 1), value], axis=1)


def _batches(pixels: Array, result: Array, size: int) -> Iterator[tuple[Array, Array]]:
    """Some images at a time, and the rows of the result that are theirs."""
    for start in range(0, len(pixels), size):
        yield pixels[start : start + size], result[start : start + size]


def _library(name: str, module: str, extra: str) -> Any:
    try:
        return import_module(module)
    except ImportError:
        package = {"skimage": "scikit-image", "sklearn": "scikit-learn"}[module.split(".")[0]]
        raise ImportError(f"{name} needs {package}: pip install 'fastnn[{extra}]'") from None
