"""conv2d by Winograd's algorithm: every family of transforms against the float64 oracle; the choice of algorithm."""

import re

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import fastnn
import reference as ref
from fastnn import ops
from fastnn.nn import functional as F

RELATIVE_ERROR = 2e-5  # of the largest element


def draw(*shapes, seed=0):
    rng = np.random.default_rng(seed)
    return [rng.standard_normal(shape, dtype=np.float32) for shape in shapes]


def check(N, C, H, W, K, R, padding, groups=1, bias=True):
    """All passes against the oracle and, in terms of sum |x| |w|, against direct convolution."""
    window = ((1, 1), padding, (1, 1), groups)
    x, w, b = draw((N, C, H, W), (K, C // groups, R, R), (K,))
    b = b if bias else None
    y = ref.conv2d_forward(x, w, b, *window)
    (dy,) = draw(y.shape, seed=1)
    ax, aw, ady = np.abs(x), np.abs(w), np.abs(dy)
    ab = None if b is None else np.abs(b)
    passes = [
        (y, ref.conv2d_forward(ax, aw, ab, *window), lambda a: ops.conv2d_forward(x, w, b, *window, algorithm=a)),
        (
            ref.conv2d_backward_input(dy, w, x.shape, *window),
            ref.conv2d_backward_input(ady, aw, x.shape, *window),
            lambda a: ops.conv2d_backward_input(dy, w, x.shape, *window, algorithm=a),
        ),
        (
            ref.conv2d_backward_weight(dy, x, w.shape, *window)[0],
            ref.conv2d_backward_weight(ady, ax, w.shape, *window)[0],
            lambda a: ops.conv2d_backward_weight(dy, x, w.shape, *window, algorithm=a)[0],
        ),
    ]
    for expected, scale, run in passes:
        got = run("winograd")
        assert got.shape == expected.shape
        assert got.dtype == np.float32
        if got.size:
            assert np.abs(got - expected).max() <= RELATIVE_ERROR * np.abs(expected).max()
        # A window takes over rounding errors of the tile around it, a tap those of its filter, and on images of one to
        # a few pixels single products can be small: the largest of an image, or of a filter, counts.
        if got.size:
            bound = (2e-5 if R == 5 else 1e-5) * scale.max(axis=(1, 2, 3), keepdims=True)
            assert np.all(np.abs(got - run("direct")) <= bound)
    _, db = ops.conv2d_backward_weight(dy, x, w.shape, *window, algorithm="winograd")
    expected, scale = (ref.conv2d_backward_weight(a, x, w.shape, *window)[1] for a in (dy, ady))
    assert db.shape == (K,)
    assert np.all(np.abs(db - expected) <= 1e-6 * scale)


SHAPES = {
    "one pixel": {"N": 1, "C": 1, "H": 1, "W": 1, "K": 1, "R": 3, "padding": (1, 1)},
    "one tile": {"N": 1, "C": 16, "H": 4, "W": 4, "K": 32, "R": 3, "padding": (1, 1)},
    "smaller than a tile": {"N": 2, "C": 5, "H": 3, "W": 2, "K": 6, "R": 3, "padding": (1, 1)},
    "2x2 images": {"N": 40, "C": 20, "H": 2, "W": 2, "K": 33, "R": 3, "padding": (1, 1)},
    "tails": {"N": 2, "C": 17, "H": 15, "W": 18, "K": 65, "R": 3, "padding": (1, 1)},
    "no padding": {"N": 2, "C": 16, "H": 12, "W": 9, "K": 16, "R": 3, "padding": (0, 0)},
    "large padding": {"N": 1, "C": 4, "H": 3, "W": 4, "K": 3, "R": 3, "padding": (7, 5)},
    "deep": {"N": 3, "C": 300, "H": 7, "W": 7, "K": 40, "R": 3, "padding": (1, 1)},
    "deep, 2x2 images": {"N": 3, "C": 500, "H": 2, "W": 2, "K": 24, "R": 3, "padding": (1, 1)},
    "deep, a few tiles": {"N": 3, "C": 320, "H": 7, "W": 9, "K": 384, "R": 3, "padding": (1, 1)},
    "deep, many tiles": {"N": 2, "C": 640, "H": 50, "W": 33, "K": 8, "R": 3, "padding": (1, 1)},
    "5x5": {"N": 2, "C": 19, "H": 11, "W": 14, "K": 34, "R": 5, "padding": (2, 2)},
    "5x5 without padding": {"N": 1, "C": 3, "H": 5, "W": 6, "K": 4, "R": 5, "padding": (0, 0)},
    "5x5 deep": {"N": 1, "C": 210, "H": 9, "W": 6, "K": 33, "R": 5, "padding": (3, 1)},
    "groups": {"N": 2, "C": 51, "H": 15, "W": 10, "K": 51, "R": 3, "padding": (1, 1), "groups": 3},
    "groups of a panel and more": {"N": 3, "C": 40, "H": 7, "W": 9, "K": 194, "R": 3, "padding": (1, 1), "groups": 2},
    "groups, 2x2 images": {"N": 20, "C": 64, "H": 2, "W": 2, "K": 128, "R": 3, "padding": (1, 1), "groups": 4},
    "groups, 5x5": {"N": 2, "C": 38, "H": 11, "W": 14, "K": 66, "R": 5, "padding": (2, 2), "groups": 2},
    "empty batch": {"N": 0, "C": 3, "H": 5, "W": 5, "K": 4, "R": 3, "padding": (1, 1)},
}


@pytest.mark.parametrize("name", SHAPES)
def test_equals_oracle(isa, name):
    check(**SHAPES[name])


@settings(max_examples=40, deadline=None)
@given(
    N=st.integers(0, 4), C=st.integers(1, 40), K=st.integers(1, 70), H=st.integers(1, 13), W=st.integers(1, 13),
    R=st.sampled_from([3, 5]), padding=st.tuples(st.integers(0, 6), st.integers(0, 6)), groups=st.integers(1, 3),
    bias=st.booleans(), isa_index=st.integers(0, 3),
)  # fmt: skip
def test_drawn_shapes(N, C, K, H, W, R, padding, groups, bias, isa_index):
    if groups > 1:
        C, K = (8 + C) * groups, (8 + K) * groups
    if H + 2 * padding[0] < R or W + 2 * padding[1] < R:
        return
    before = ops.isa()
    ops.set_isa(ops.isas()[isa_index % len(ops.isas())])
    try:
        check(N, C, H, W, K, R, padding, groups, bias)
    finally:
        ops.set_isa(before)


@pytest.mark.parametrize("C", [1, 7, 8, 15, 16, 17, 32, 33])
@pytest.mark.parametrize("K", [1, 8, 16, 31, 32, 33])
def test_channel_tails(isa, C, K):
    check(1, C, 6, 7, K, 3, (1, 1))


@pytest.mark.parametrize(
    ("x_shape", "K", "R", "groups"),
    [
        ((8, 32, 30, 30), 70, 3, 1),
        ((8, 200, 14, 14), 70, 3, 1),
        ((64, 64, 2, 2), 64, 3, 1),
        ((8, 24, 14, 14), 40, 5, 1),
        ((6, 33, 67, 70), 65, 3, 1),
        ((8, 96, 20, 20), 210, 3, 3),
    ],
)
def test_same_bits_on_any_number_of_threads(isa, x_shape, K, R, groups):
    x, w, b = draw(x_shape, (K, x_shape[1] // groups, R, R), (K,))
    window = (1, R // 2, 1, groups)
    before, results = ops.get_num_threads(), []
    try:
        for n in (1, 2, 3, 7):
            ops.set_num_threads(n)
            y = ops.conv2d_forward(x, w, b, *window, algorithm="winograd")
            dx = ops.conv2d_backward_input(y, w, x.shape, *window, algorithm="winograd")
            results.append((y, dx, *ops.conv2d_backward_weight(y, x, w.shape, *window, algorithm="winograd")))
    finally:
        ops.set_num_threads(before)
    for other in results[1:]:
        for a, b_ in zip(results[0], other, strict=True):
            assert np.array_equal(a, b_)


def test_weight_gradients_accumulate(isa):
    x, dy, before = draw((2, 17, 9, 10), (2, 20, 9, 10), (20, 17, 3, 3))
    dw, db = ops.conv2d_backward_weight(dy, x, before.shape, 1, 1, algorithm="winograd")
    sums = before.copy(), np.ones_like(db)
    ops.conv2d_backward_weight(dy, x, before.shape, 1, 1, dw=sums[0], db=sums[1], accumulate=True, algorithm="winograd")
    np.testing.assert_array_equal(sums[0], before + dw)
    np.testing.assert_array_equal(sums[1], 1 + db)
    ops.conv2d_backward_weight(dy, x, before.shape, 1, 1, dw=sums[0], db=sums[1], algorithm="winograd")
    np.testing.assert_array_equal(sums[0], dw)


def test_weight_gradient_of_many_pixels(isa):
    # Several splits and blocks of tiles, and the error of a long sum of values with a mean.
    x, dy = draw((4, 16, 112, 112), (4, 33, 112, 112))
    x = np.maximum(x, 0)
    expected, _ = ref.conv2d_backward_weight(dy, x, (33, 16, 3, 3), 1, 1)
    dw, _ = ops.conv2d_backward_weight(dy, x, expected.shape, 1, 1, algorithm="winograd")
    assert np.abs(dw - expected).max() <= RELATIVE_ERROR * np.abs(expected).max()


@pytest.mark.parametrize("value", [np.nan, np.inf])
def test_nan_and_infinity_stay_in_the_tiles_that_see_them(isa, value):
    x, w = draw((2, 3, 20, 20), (4, 3, 3, 3))
    clean = ops.conv2d_forward(x, w, None, 1, 1, algorithm="winograd")
    x[0, 1, 9, 12] = value
    y = ops.conv2d_forward(x, w, None, 1, 1, algorithm="winograd")
    bad = ~np.isfinite(y)
    assert bad[0, :, 8:11, 11:14].all()  # the windows that see it
    tiles = np.zeros(y.shape, bool)
    tiles[0, :, 8:12, 8:16] = True  # rows 8 to 10 lie in one row of tiles, columns 11 to 13 in two columns of them
    assert not np.any(bad & ~tiles)
    assert np.array_equal(y[~tiles], clean[~tiles])


def test_any_strides():
    x, w = draw((3, 16, 9, 8), (20, 16, 3, 3))
    expected = ops.conv2d_forward(x, w, None, 1, 1, algorithm="winograd")
    for other in (np.asfortranarray(x), ops.to_channels_last(x), np.repeat(x, 2, axis=3)[..., ::2]):
        assert np.array_equal(
            expected, ops.conv2d_forward(other, np.asfortranarray(w), None, 1, 1, algorithm="winograd")
        )
    assert np.array_equal(expected[::-1], ops.conv2d_forward(x[::-1], w, None, 1, 1, algorithm="winograd"))


def test_a_group_is_a_convolution_of_its_channels(isa):
    x, w, b = draw((2, 51, 13, 11), (60, 17, 3, 3), (60,))
    y = ops.conv2d_forward(x, w, b, 1, 1, 1, 3, algorithm="winograd")
    for g in range(3):
        xg, wg, bg = x[:, 17 * g : 17 * g + 17], w[20 * g : 20 * g + 20], b[20 * g : 20 * g + 20]
        assert np.array_equal(y[:, 20 * g : 20 * g + 20], ops.conv2d_forward(xg, wg, bg, 1, 1, algorithm="winograd"))


def test_nan_and_infinity_stay_in_their_group(isa):
    x, w = draw((1, 40, 9, 9), (40, 10, 3, 3))
    x[0, 13, 4, 4] = np.nan
    x[0, 29, 4, 4] = np.inf
    y = ops.conv2d_forward(x, w, None, 1, 1, 1, 4, algorithm="winograd")
    bad = ~np.isfinite(y).all(axis=(0, 2, 3))
    assert np.array_equal(bad, np.repeat([False, True, True, False], 10))


# The choice ---------------------------------------------------------------------------------------

X, WEIGHT = draw((8, 64, 28, 28), (64, 64, 3, 3))


@pytest.fixture
def preference():
    before = fastnn.get_conv2d_algorithm()
    yield fastnn.set_conv2d_algorithm
    fastnn.set_conv2d_algorithm(before)


def test_direct_is_one_word_away(preference):
    by = {a: ops.conv2d_forward(X, WEIGHT, algorithm=a) for a in ("auto", "direct", "winograd")}
    assert np.array_equal(by["auto"], by["winograd"])
    assert not np.array_equal(by["direct"], by["winograd"])
    x, w = fastnn.as_tensor(X), fastnn.as_tensor(WEIGHT)
    for algorithm, expected in by.items():
        preference(algorithm)
        assert fastnn.get_conv2d_algorithm() == algorithm
        assert np.array_equal(F.conv2d(x, w).numpy(), expected)
        assert np.array_equal(ops.conv2d_forward(X, WEIGHT, algorithm="direct"), by["direct"])


def test_direct_weight_gradient_is_one_word_away(preference):
    x, dy = draw((8, 64, 30, 30), (8, 64, 28, 28))
    by = {a: ops.conv2d_backward_weight(dy, x, (64, 64, 3, 3), algorithm=a)[0] for a in ("auto", "direct", "winograd")}
    assert np.array_equal(by["auto"], by["winograd"])
    assert not np.array_equal(by["direct"], by["winograd"])
    preference("direct")
    assert np.array_equal(ops.conv2d_backward_weight(dy, x, (64, 64, 3, 3))[0], by["direct"])


def test_the_preference_leaves_out_what_an_algorithm_cannot_do(preference):
    preference("winograd")
    x, w = X.astype(np.float64), WEIGHT.astype(np.float64)
    assert np.array_equal(ops.conv2d_forward(x, w), ops.conv2d_forward(x, w, algorithm="direct"))
    strided = ops.conv2d_forward(X, WEIGHT, None, 2)
    assert np.array_equal(strided, ops.conv2d_forward(X, WEIGHT, None, 2, algorithm="direct"))


def test_float64_is_direct():
    x, w = X[:1].astype(np.float64), WEIGHT.astype(np.float64)
    assert np.array_equal(ops.conv2d_forward(x, w), ops.conv2d_forward(x, w, algorithm="direct"))


@pytest.mark.parametrize(
    ("kwargs", "got"),
    [
        ({"stride": 2}, "stride (2, 2)"),
        ({"stride": (1, 2)}, "stride (1, 2)"),
        ({"dilation": 2}, "dilation (2, 2)"),
        ({"weight": WEIGHT[:, :8], "groups": 8}, "groups 8 of 8 input and 8 output channels"),
        ({"weight": WEIGHT[..., :1, :1]}, "a 1x1 kernel"),
        ({"weight": WEIGHT[..., :2]}, "a 3x2 kernel"),
        ({"x": X.astype(np.float64), "weight": WEIGHT.astype(np.float64)}, "got float64"),
    ],
)
def test_what_winograd_cannot_do(kwargs, got):
    kwargs = {"x": X, "weight": WEIGHT, **kwargs}
    message = "algorithm 'winograd' takes float32, a 3x3 or 5x5 kernel, .*" + re.escape(got)
    with pytest.raises(ValueError, match="conv2d_forward: " + message):
        ops.conv2d_forward(**kwargs, algorithm="winograd")
    x, w = kwargs.pop("x"), kwargs.pop("weight")
    dy = ops.conv2d_forward(x, w, **kwargs)
    with pytest.raises(ValueError, match="conv2d_backward_input: " + message):
        ops.conv2d_backward_input(dy, w, x.shape, **kwargs, algorithm="winograd")
    with pytest.raises(ValueError, match="conv2d_backward_weight: " + message):
        ops.conv2d_backward_weight(dy, x, w.shape, **kwargs, algorithm="winograd")


def test_unknown_algorithm(preference):
    for call in (lambda: ops.conv2d_forward(X, WEIGHT, algorithm="fft"), lambda: preference("fft")):
        with pytest.raises(ValueError, match="algorithm is 'fft'; expected 'auto', 'direct' or 'winograd'"):
            call()


def test_verbose_names_the_algorithm(python):
    code = (
        "import numpy as np; from fastnn import ops\n"
        "x, w = np.ones((1, 4, 6, 6), np.float32), np.ones((4, 4, 3, 3), np.float32)\n"
        "x = ops.to_channels_last(x)\n"
        "for algorithm in ('direct', 'winograd'): ops.conv2d_forward(x, w, algorithm=algorithm)"
    )
    lines = python(code, FASTNN_VERBOSE="1").stderr.splitlines()[-2:]
    for line, algorithm in zip(lines, ("direct", "winograd"), strict=True):
        assert re.fullmatch(rf"fastnn conv2d_forward \(1, 4, 4, 4\) \w+ {algorithm} \d+\.\d+ ms", line)
