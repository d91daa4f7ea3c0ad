"""The kernels of augmentation against slow NumPy with the same numbers, on every instruction set."""

import numpy as np
import pytest

import reference as ref
from fastnn import ops

DTYPES = [np.uint8, np.float32, np.float64]
LAYOUTS = ["channels-last", "planes"]


def images(n=5, channels=3, height=9, width=7, dtype=np.float32, layout="channels-last"):
    x = np.random.default_rng(n + height).integers(0, 256, (n, height, width, channels))
    x = x.astype(np.uint8) if dtype == np.uint8 else (x / 255).astype(dtype)
    x = x.transpose(0, 3, 1, 2)
    return x if layout == "channels-last" else np.ascontiguousarray(x)


def check(y, expected, x, atol=None):
    """Type, layout and values; where a float32 sum is rounded to bytes, a last bit may go the other way."""
    assert y.dtype == x.dtype
    assert y.shape == expected.shape
    assert y.flags.c_contiguous if x.flags.c_contiguous else y.transpose(0, 2, 3, 1).flags.c_contiguous
    if atol is None:
        np.testing.assert_array_equal(y, expected)
    elif y.dtype == np.uint8:
        rounded = np.floor(np.clip(expected, 0, 255) + 0.5)
        assert np.abs(y - rounded).max(initial=0) <= 1
        assert (y != rounded).mean() < 0.01 if y.size else True
    else:
        np.testing.assert_allclose(y, expected, rtol=0, atol=atol if y.dtype == np.float32 else atol * 1e-8)


# ---- random numbers -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("n", "count"), [(0, 3), (1, 1), (2, 4), (3, 5), (9, 2), (17, 9)])
def test_uniform_is_philox(isa, n, count):
    seed, epoch, block = 0x123456789ABCDEF0, 2**32 - 1, 6
    indices = np.arange(n) * 0x100000003
    u = ops.augment_uniform(seed, epoch, indices, count, block)
    assert u.dtype == np.float64
    assert u.shape == (n, count)
    for row, index in zip(u, indices.tolist(), strict=True):
        blocks = range(block, block + -(-count // 4))
        words = [
            word
            for b in blocks
            for word in ref.philox4x32((index & 0xFFFFFFFF, index >> 32, epoch, b), (seed & 0xFFFFFFFF, seed >> 32))
        ]
        np.testing.assert_array_equal(row, (np.array(words[:count]) + 0.5) / 2**32)


# ---- windows ------------------------------------------------------------------------------------------------------


def crop(x, top, left, P, Q, flip, fill, reflect):
    n, channels, H, W = x.shape
    y = np.empty((n, channels, P, Q), x.dtype)
    for image, channel, p, q in np.ndindex(y.shape):
        i, j = top[image] + p, left[image] + (Q - 1 - q if flip[image] else q)
        if reflect:
            i, j = (H - 1 - abs(H - 1 - abs(i)), W - 1 - abs(W - 1 - abs(j)))
        inside = 0 <= i < H and 0 <= j < W
        y[image, channel, p, q] = x[image, channel, i, j] if inside else fill[channel]
    return y


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("layout", LAYOUTS)
@pytest.mark.parametrize("reflect", [False, True])
@pytest.mark.parametrize(("channels", "P", "Q"), [(1, 9, 7), (3, 5, 12), (2, 11, 3), (5, 1, 1), (3, 0, 4)])
def test_crop(isa, channels, P, Q, reflect, layout, dtype):
    x = images(12, channels, dtype=dtype, layout=layout)
    generator = np.random.default_rng(P)
    if reflect:
        top, left = generator.integers(-8, 18 - P, 12), generator.integers(-6, 14 - Q, 12)
    else:
        top, left = generator.integers(-20, 20, 12), generator.integers(-20, 20, 12)
    top[0] = left[0] = 0
    flip = generator.random(12) < 0.5
    fill = np.arange(1, channels + 1).astype(dtype)
    y = ops.augment_crop(x, top, left, P, Q, flip, fill, reflect)
    check(y, crop(x, top, left, P, Q, flip, fill, reflect), x)


# ---- rectangles ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("layout", LAYOUTS)
@pytest.mark.parametrize("channels", [1, 3, 4])
def test_erase(isa, channels, layout, dtype):
    x = images(4, channels, dtype=dtype, layout=layout)
    boxes = np.array([[1, 2, 4, 5], [-3, -2, 3, 100], [5, 5, 5, 6], [20, 20, 30, 30]])
    fill = np.arange(channels).astype(dtype)
    expected = x.copy()
    expected[0, :, 1:4, 2:5] = fill[:, None, None]
    expected[1, :, :3] = fill[:, None, None]
    check(ops.augment_erase(x, boxes, fill), expected, x)


# ---- turned and shifted -------------------------------------------------------------------------------------------


def warp(x, matrices, fill):
    n, channels, H, W = x.shape
    y = np.empty(x.shape)
    for image, h, w in np.ndindex(n, H, W):
        j, i = matrices[image].astype(np.float64) @ (w, h, 1)
        upper, left = math_floor(i), math_floor(j)
        for channel in range(channels):

            def tap(a, b, image=image, channel=channel):
                return float(x[image, channel, a, b]) if 0 <= a < H and 0 <= b < W else float(fill[channel])

            a, b = i - upper, j - left
            y[image, channel, h, w] = (1 - a) * ((1 - b) * tap(upper, left) + b * tap(upper, left + 1)) + a * (
                (1 - b) * tap(upper + 1, left) + b * tap(upper + 1, left + 1)
            )
    return y


def math_floor(value):
    return int(np.floor(value))


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("layout", LAYOUTS)
@pytest.mark.parametrize("channels", [1, 3, 4])
def test_warp(isa, channels, layout, dtype):
    x = images(6, channels, dtype=dtype, layout=layout)
    matrices = np.random.default_rng(0).uniform(-1.5, 1.5, (6, 2, 3))
    matrices[:, :, 2] *= 5
    matrices[0] = [[1, 0, 0], [0, 1, 0]]
    matrices[1] = [[1, 0, 1000], [0, 1, 0]]
    matrices = matrices.astype(np.float64 if dtype == np.float64 else np.float32)
    fill = np.arange(channels).astype(dtype)
    y = ops.augment_warp(x, matrices, fill)
    check(y, warp(x, matrices, fill), x, atol=1e-5)
    np.testing.assert_array_equal(y[0], x[0])
    np.testing.assert_array_equal(y[1], np.broadcast_to(fill[:, None, None], y[1].shape))


def test_warp_survives_numbers_that_are_none():
    x = images(1)
    for value in (np.nan, np.inf, -np.inf, 1e30):
        assert ops.augment_warp(x, np.full((1, 2, 3), value, np.float32), np.zeros(3, np.float32)).shape == x.shape


def test_warp_is_what_pytorch_samples():
    torch = pytest.importorskip("torch")
    x = images(3, dtype=np.float64)
    matrices = np.random.default_rng(1).uniform(-1, 1, (3, 2, 3)) * [1, 1, 4]
    H, W = x.shape[2:]
    grid = (
        np.stack([*np.meshgrid(np.arange(W), np.arange(H)), np.ones((H, W))], -1) @ matrices.transpose(0, 2, 1)[:, None]
    )
    grid = (2 * grid + 1) / (W, H) - 1
    expected = torch.nn.functional.grid_sample(torch.tensor(x), torch.tensor(grid), align_corners=False).numpy()
    np.testing.assert_allclose(ops.augment_warp(x, matrices, np.zeros(3)), expected, atol=1e-12)


# ---- values -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("layout", LAYOUTS)
@pytest.mark.parametrize(("channels", "height", "width"), [(1, 9, 7), (3, 32, 32), (4, 5, 5), (7, 3, 4), (3, 0, 2)])
def test_scale(isa, channels, height, width, layout, dtype):
    x = images(3, channels, height, width, dtype, layout)
    generator = np.random.default_rng(2)
    real = np.float64 if dtype == np.float64 else np.float32
    scale, offset = (generator.uniform(-1, 2, (3, channels)).astype(real) for _ in range(2))
    if dtype == np.uint8:
        offset *= 100
    expected = x.astype(np.float64) * scale[:, :, None, None] + offset[:, :, None, None]
    check(ops.augment_scale(x, scale, offset), expected, x, atol=1e-6)
    y = ops.augment_scale(x, scale, offset, real=True)
    assert y.dtype == real
    np.testing.assert_allclose(y, expected, rtol=1e-6, atol=1e-4 if dtype == np.uint8 else 1e-6)


def grey(image):
    return 0.2989 * image[0] + 0.587 * image[1] + 0.114 * image[2]


def turned(image, turn):
    import colorsys

    y = np.empty(image.shape)
    for place in np.ndindex(image.shape[1:]):
        h, s, v = colorsys.rgb_to_hsv(*image[(slice(None), *place)])
        y[(slice(None), *place)] = colorsys.hsv_to_rgb((h + turn) % 1, s, v)
    return y


def colors(x, factors, order):
    bound = 255 if x.dtype == np.uint8 else 1
    y = x.astype(np.float64) / bound
    changes = [
        lambda image, f: f * image,
        lambda image, f: f * image + (1 - f) * grey(image).mean(),
        lambda image, f: f * image + (1 - f) * grey(image),
        turned,
    ]
    for image, chosen, which in zip(y, factors.astype(np.float64), order, strict=True):
        for change in which:
            image[...] = np.clip(changes[change](image, chosen[change]), 0, 1)
    return y * bound


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("layout", LAYOUTS)
def test_colors(isa, layout, dtype):
    generator = np.random.default_rng(3)
    n = 24
    x = images(n, dtype=dtype, layout=layout)
    x[0] = x[0, :1]  # grey
    factors = generator.uniform(0, 2, (n, 4))
    factors[:, 3] = generator.uniform(-0.5, 0.5, n)
    for i in range(4):  # one change alone
        factors[i] = [*(np.where(np.arange(3) == i, factors[i, :3], 1)), factors[i, 3] if i == 3 else 0]
    factors[4] = [1, 1, 1, 0.5]
    factors[5] = [0, 1, 1, 0]
    factors[6] = [1, 1, 1, 0]
    factors = factors.astype(np.float64 if dtype == np.float64 else np.float32)
    order = np.array([generator.permutation(4) for _ in range(n)])
    y = ops.augment_colors(x, factors, order)
    check(y, colors(x, factors, order), x, atol=2e-5)
    np.testing.assert_array_equal(y[6], x[6])


# ---- all of them --------------------------------------------------------------------------------------------------


def calls(x):
    n, channels = x.shape[:2]
    real = np.float64 if x.dtype == np.float64 else np.float32
    generator = np.random.default_rng(4)
    start, flip, fill = generator.integers(-3, 4, (2, n)), generator.random(n) < 0.5, np.zeros(channels, x.dtype)
    order = np.array([generator.permutation(4) for _ in range(n)], int).reshape(n, 4)
    factors = generator.uniform(0.1, 0.5, (n, 4)).astype(real)
    return {
        "crop": lambda: ops.augment_crop(x, *start, *x.shape[2:], flip, fill),
        "erase": lambda: ops.augment_erase(x, np.tile([1, 1, 5, 5], (n, 1)), fill),
        "warp": lambda: ops.augment_warp(x, np.tile([[0.8, 0.6, 1], [-0.6, 0.8, 2]], (n, 1, 1)).astype(real), fill),
        "scale": lambda: ops.augment_scale(x, factors[:, :channels], factors[:, :channels]),
        "colors": lambda: ops.augment_colors(x, factors, order),
        "uniform": lambda: ops.augment_uniform(3, 1, np.arange(n), 6),
    }


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("name", ["crop", "erase", "warp", "scale", "colors", "uniform"])
def test_same_bits_on_any_number_of_threads_and_for_any_strides(isa, name, dtype):
    x = images(40, 3, 24, 20, dtype)
    before, results = ops.get_num_threads(), set()
    try:
        for threads in (1, 2, 3):
            ops.set_num_threads(threads)
            results.add(calls(x)[name]().tobytes())
        results.add(calls(x[::-1, :, ::-1][::-1, :, ::-1])[name]().tobytes())
        results.add(calls(np.repeat(x, 2, axis=3)[..., ::2])[name]().tobytes())
    finally:
        ops.set_num_threads(before)
    assert len(results) == 1


@pytest.mark.parametrize("shape", [(0, 3, 5, 4), (2, 3, 0, 4), (2, 3, 5, 0), (2, 0, 5, 4)])
def test_images_without_pixels(isa, shape):
    for name, call in calls(np.zeros(shape, np.float32)).items():
        if name != "uniform" and (name != "colors" or shape[1] == 3):
            assert call().shape == shape


X = np.zeros((2, 3, 5, 4), np.float32)
ZERO, FLIP, FILL = np.zeros(2, np.int64), np.zeros(2, bool), np.zeros(3, np.float32)
ORDER = np.tile(np.arange(4), (2, 1))
FACTORS = np.ones((2, 4), np.float32) * np.float32([1, 1, 1, 0])


@pytest.mark.parametrize(
    ("call", "error", "message"),
    [
        (lambda: ops.augment_crop(X[0], ZERO, ZERO, 2, 2, FLIP, FILL), ValueError, r"augment_crop: x has shape \(3, 5"),
        (
            lambda: ops.augment_crop(X.astype(int), ZERO, ZERO, 2, 2, FLIP, FILL),
            TypeError,
            "x has dtype int64; expected",
        ),
        (
            lambda: ops.augment_crop(X, ZERO[:1], ZERO, 2, 2, FLIP, FILL),
            ValueError,
            r"top has shape \(1,\); expected \(2",
        ),
        (lambda: ops.augment_crop(X, ZERO, ZERO, -1, 2, FLIP, FILL), ValueError, "height is -1; expected 0 to"),
        (lambda: ops.augment_crop(X, ZERO, ZERO, 2, 2, ZERO, FILL), TypeError, "flip has dtype int64; expected bool"),
        (lambda: ops.augment_crop(X, ZERO, ZERO, 2, 2, FLIP, FILL[:2]), ValueError, r"fill has shape \(2,\)"),
        (lambda: ops.augment_crop(X, ZERO, ZERO, 2, 2, FLIP, np.zeros(3)), TypeError, "fill has dtype float64, x has"),
        (
            lambda: ops.augment_crop(X, ZERO - 5, ZERO, 2, 2, FLIP, FILL, True),
            ValueError,
            "top holds -5; expected -4 to 7",
        ),
        (
            lambda: ops.augment_crop(X, ZERO, ZERO + 6, 2, 2, FLIP, FILL, True),
            ValueError,
            "left holds 6; expected -3 to 5",
        ),
        (
            lambda: ops.augment_crop(X, ZERO, ZERO + 2**62, 2, 2, FLIP, FILL),
            ValueError,
            "left holds 4611686018427387904",
        ),
        (
            lambda: ops.augment_erase(X, np.zeros((2, 3), int), FILL),
            ValueError,
            r"boxes has shape \(2, 3\); expected \(2, 4",
        ),
        (lambda: ops.augment_warp(X, np.zeros((2, 3, 2), np.float32), FILL), ValueError, "matrices has shape"),
        (
            lambda: ops.augment_warp(X, np.zeros((2, 2, 3)), FILL),
            TypeError,
            "matrices has dtype float64; expected float32",
        ),
        (lambda: ops.augment_scale(X, FACTORS, FACTORS), ValueError, r"scale has shape \(2, 4\); expected \(2, 3\)"),
        (lambda: ops.augment_colors(X[:, :1], FACTORS, ORDER), ValueError, "x has 1 channels; expected 3: red, green"),
        (
            lambda: ops.augment_colors(X, FACTORS, ORDER * 0),
            ValueError,
            "row 0 of order is no permutation of 0, 1, 2, 3",
        ),
        (
            lambda: ops.augment_colors(X, -FACTORS, ORDER),
            ValueError,
            "row 0 of factors is -1, -1, -1, -?0; expected three",
        ),
        (lambda: ops.augment_colors(X, FACTORS * np.nan, ORDER), ValueError, "row 0 of factors is nan"),
        (lambda: ops.augment_uniform(-1, 0, ZERO, 1), ValueError, r"seed is -1; expected 0 to 2\*\*64 - 1"),
        (
            lambda: ops.augment_uniform(0, 2**32, ZERO, 1),
            ValueError,
            r"epoch is 4294967296; expected less than 2\*\*32",
        ),
        (lambda: ops.augment_uniform(0, 0, X, 1), TypeError, "indices has dtype float32; expected int64"),
    ],
)
def test_errors(call, error, message):
    with pytest.raises(error, match=message):
        call()
