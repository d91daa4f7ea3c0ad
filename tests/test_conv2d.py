"""Direct conv2d: every pass against the float64 oracle, on every instruction set."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import reference as ref
from fastnn import ops

TOLERANCE = {np.float32: 3e-6, np.float64: 1e-14}  # of the sum of absolute products


@pytest.fixture(scope="module", autouse=True)
def direct():
    """Other algorithms round differently; they have tests of their own."""
    before = ops.get_conv2d_algorithm()
    ops.set_conv2d_algorithm("direct")
    yield
    ops.set_conv2d_algorithm(before)


def draw_arrays(shape, dtype, seed=0):
    rng = np.random.default_rng(seed)
    return [rng.standard_normal(s).astype(dtype) for s in shape]


def assert_close(got, expected, scale, dtype):
    """|got - expected| <= tolerance * (the same sum over absolute values)."""
    assert got.shape == expected.shape
    assert got.dtype == dtype
    assert np.all(np.abs(got - expected) <= TOLERANCE[dtype] * (scale + 1e-30))


def check(dtype, N, C, H, W, K, R, S, stride=(1, 1), padding=(0, 0), dilation=(1, 1), groups=1):
    window = (stride, padding, dilation, groups)
    x, w, b = draw_arrays([(N, C, H, W), (K, C // groups, R, S), (K,)], dtype)
    y = ref.conv2d_forward(x, w, b, *window)
    (dy,) = draw_arrays([y.shape], dtype, 1)
    ax, aw, ab, ady = np.abs(x), np.abs(w), np.abs(b), np.abs(dy)

    got = ops.conv2d_forward(x, w, b, *window)
    assert_close(got, y, ref.conv2d_forward(ax, aw, ab, *window), dtype)
    got = ops.conv2d_forward(x, w, None, *window)
    assert_close(got, ref.conv2d_forward(x, w, None, *window), ref.conv2d_forward(ax, aw, None, *window), dtype)
    got = ops.conv2d_backward_input(dy, w, x.shape, *window)
    expected = ref.conv2d_backward_input(dy, w, x.shape, *window)
    assert_close(got, expected, ref.conv2d_backward_input(ady, aw, x.shape, *window), dtype)
    dw, db = ops.conv2d_backward_weight(dy, x, w.shape, *window)
    expected_dw, expected_db = ref.conv2d_backward_weight(dy, x, w.shape, *window)
    scale_dw, scale_db = ref.conv2d_backward_weight(ady, ax, w.shape, *window)
    assert_close(dw, expected_dw, scale_dw, dtype)
    assert_close(db, expected_db, scale_db, dtype)


SHAPES = {
    "lenet conv1": {"N": 3, "C": 1, "H": 28, "W": 28, "K": 6, "R": 5, "S": 5, "padding": (2, 2)},
    "lenet conv2": {"N": 3, "C": 6, "H": 14, "W": 14, "K": 16, "R": 5, "S": 5},
    "first layer": {"N": 1, "C": 3, "H": 30, "W": 29, "K": 33, "R": 7, "S": 7, "stride": (2, 2), "padding": (3, 3)},
    "3x3": {"N": 2, "C": 17, "H": 15, "W": 16, "K": 65, "R": 3, "S": 3, "padding": (1, 1)},
    "3x3 s2": {"N": 2, "C": 16, "H": 15, "W": 14, "K": 31, "R": 3, "S": 3, "stride": (2, 2), "padding": (1, 1)},
    "1x1": {"N": 2, "C": 33, "H": 7, "W": 9, "K": 20, "R": 1, "S": 1},
    "1x1, few pixels": {"N": 1, "C": 33, "H": 2, "W": 2, "K": 20, "R": 1, "S": 1},
    "1x1 s2": {"N": 2, "C": 5, "H": 8, "W": 9, "K": 7, "R": 1, "S": 1, "stride": (2, 2)},
    "1x1 padded": {"N": 2, "C": 5, "H": 4, "W": 3, "K": 7, "R": 1, "S": 1, "padding": (1, 2)},
    "dilated": {"N": 2, "C": 4, "H": 13, "W": 12, "K": 5, "R": 3, "S": 3, "padding": (2, 3), "dilation": (2, 3)},
    "dilated s2": {
        "N": 1, "C": 4, "H": 13, "W": 14, "K": 5, "R": 3, "S": 3,
        "stride": (2, 2), "padding": (2, 3), "dilation": (2, 3),
    },
    "dilation = stride": {
        "N": 1, "C": 2, "H": 13, "W": 14, "K": 3, "R": 3, "S": 2,
        "stride": (2, 3), "padding": (2, 3), "dilation": (2, 3),
    },
    "stride > kernel": {"N": 2, "C": 3, "H": 11, "W": 13, "K": 4, "R": 2, "S": 3, "stride": (5, 4), "padding": (1, 1)},
    "grouped": {"N": 2, "C": 12, "H": 9, "W": 8, "K": 18, "R": 3, "S": 3, "padding": (1, 1), "groups": 3},
    "grouped 1x1": {"N": 2, "C": 12, "H": 3, "W": 4, "K": 8, "R": 1, "S": 1, "groups": 4},
    "depthwise": {"N": 2, "C": 19, "H": 9, "W": 8, "K": 19, "R": 3, "S": 3, "padding": (1, 1), "groups": 19},
    "depthwise x2 s2": {
        "N": 1, "C": 5, "H": 9, "W": 8, "K": 10, "R": 3, "S": 3, "stride": (2, 2), "padding": (1, 1), "groups": 5,
    },
    "one pixel": {"N": 1, "C": 1, "H": 1, "W": 1, "K": 1, "R": 1, "S": 1},
    "whole image": {"N": 4, "C": 16, "H": 5, "W": 5, "K": 120, "R": 5, "S": 5},
    "row kernel": {"N": 2, "C": 3, "H": 6, "W": 17, "K": 4, "R": 1, "S": 7, "padding": (0, 3)},
    "column kernel": {"N": 2, "C": 3, "H": 17, "W": 6, "K": 4, "R": 7, "S": 1, "padding": (3, 0)},
    "large padding": {"N": 1, "C": 2, "H": 3, "W": 4, "K": 3, "R": 2, "S": 2, "stride": (2, 1), "padding": (7, 6)},
    "channel blocks": {"N": 1, "C": 450, "H": 4, "W": 3, "K": 17, "R": 3, "S": 3, "padding": (1, 1)},
    "strips of rows": {"N": 1, "C": 40, "H": 90, "W": 70, "K": 8, "R": 3, "S": 3, "padding": (1, 1)},
    "1x1, many pixels": {"N": 3, "C": 18, "H": 40, "W": 41, "K": 37, "R": 1, "S": 1},
    "1x1, many pixels, fewer filters": {"N": 3, "C": 37, "H": 40, "W": 41, "K": 18, "R": 1, "S": 1},
    "long rows of few channels": {"N": 2, "C": 3, "H": 9, "W": 400, "K": 41, "R": 3, "S": 3, "padding": (1, 1)},
    "long rows, many filters": {"N": 1, "C": 2, "H": 9, "W": 400, "K": 70, "R": 3, "S": 3, "padding": (1, 1)},
    "images of few channels": {"N": 20, "C": 1, "H": 14, "W": 15, "K": 64, "R": 3, "S": 3, "padding": (1, 1)},
    "1x1 s2, some images": {"N": 5, "C": 33, "H": 14, "W": 15, "K": 40, "R": 1, "S": 1, "stride": (2, 2)},
    "3x3 s2, splits": {"N": 9, "C": 20, "H": 13, "W": 13, "K": 35, "R": 3, "S": 3, "stride": (2, 2), "padding": (1, 1)},
    "few channels, wide bands": {
        "N": 2, "C": 3, "H": 19, "W": 12, "K": 40, "R": 7, "S": 2, "stride": (2, 1), "padding": (3, 1),
    },
    "few channels, blocks of rows": {
        "N": 1, "C": 2, "H": 61, "W": 9, "K": 18, "R": 3, "S": 3, "stride": (3, 2), "padding": (1, 1),
    },
    "3x3 s2, many channels": {
        "N": 9, "C": 130, "H": 15, "W": 13, "K": 70, "R": 3, "S": 3, "stride": (2, 2), "padding": (1, 1),
    },
    "grouped, strided, many channels": {
        "N": 2, "C": 140, "H": 9, "W": 11, "K": 80, "R": 2, "S": 3,
        "stride": (1, 3), "padding": (5, 4), "dilation": (3, 2), "groups": 2,
    },
    "strided, long rows": {
        "N": 2, "C": 64, "H": 3, "W": 530, "K": 33, "R": 3, "S": 1, "stride": (1, 2), "padding": (1, 0),
    },
    "1x1 s2, many channels": {"N": 9, "C": 115, "H": 14, "W": 13, "K": 290, "R": 1, "S": 1, "stride": (2, 2)},
    "1x1 s2, channel blocks": {"N": 12, "C": 530, "H": 9, "W": 10, "K": 530, "R": 1, "S": 1, "stride": (2, 2)},
    "1x1 s3 x s2": {"N": 3, "C": 65, "H": 14, "W": 13, "K": 66, "R": 1, "S": 1, "stride": (3, 2)},
    "3x3, small images": {"N": 20, "C": 67, "H": 3, "W": 5, "K": 64, "R": 3, "S": 3, "padding": (2, 1)},
    "dilated, small images": {
        "N": 20, "C": 64, "H": 7, "W": 8, "K": 70, "R": 3, "S": 2,
        "stride": (2, 1), "padding": (3, 3), "dilation": (3, 2),
    },
    "many channels, small images": {
        "N": 11, "C": 515, "H": 6, "W": 7, "K": 131, "R": 3, "S": 3, "padding": (1, 1),
    },
    "many channels, dilated groups": {
        "N": 1, "C": 1030, "H": 24, "W": 21, "K": 260, "R": 2, "S": 3,
        "padding": (0, 3), "dilation": (1, 2), "groups": 2,
    },
    "taps in the padding": {"N": 2, "C": 9, "H": 4, "W": 5, "K": 8, "R": 5, "S": 5, "padding": (4, 2)},
    "empty batch": {"N": 0, "C": 3, "H": 5, "W": 5, "K": 4, "R": 3, "S": 3},
}  # fmt: skip


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("name", SHAPES)
def test_equals_oracle(isa, dtype, name):
    check(dtype, **SHAPES[name])


@pytest.mark.parametrize("K", [3, 64])  # 3: neighbouring pixels share vectors
def test_denormals_of_a_bias_gradient_are_flushed(isa, K):
    x, dy = np.ones((1, 2, 8, 8), np.float32), np.zeros((1, K, 8, 8), np.float32)
    dy[..., 0, :2] = 1.3e-38, -1.2e-38
    np.testing.assert_array_equal(ops.conv2d_backward_weight(dy, x, (K, 2, 3, 3), 1, 1)[1], np.zeros(K, np.float32))


SMALL = st.integers(1, 4)


@settings(max_examples=60, deadline=None)
@given(
    N=st.integers(0, 3), cg=st.integers(1, 5), kg=st.integers(1, 5), groups=st.integers(1, 3),
    H=st.integers(1, 12), W=st.integers(1, 12), R=SMALL, S=SMALL,
    stride=st.tuples(SMALL, SMALL), padding=st.tuples(st.integers(0, 3), st.integers(0, 3)),
    dilation=st.tuples(st.integers(1, 3), st.integers(1, 3)), isa_index=st.integers(0, 3),
)  # fmt: skip
def test_drawn_shapes(N, cg, kg, groups, H, W, R, S, stride, padding, dilation, isa_index):
    for size, kernel, p, d in ((H, R, padding[0], dilation[0]), (W, S, padding[1], dilation[1])):
        if d * (kernel - 1) + 1 > size + 2 * p:
            return
    before = ops.isa()
    ops.set_isa(ops.isas()[isa_index % len(ops.isas())])
    try:
        check(np.float32, N, cg * groups, H, W, kg * groups, R, S, stride, padding, dilation, groups)
    finally:
        ops.set_isa(before)


@pytest.mark.parametrize("channels", [1, 7, 8, 9, 15, 16, 17, 31, 32, 33])
def test_channel_tails(isa, channels):
    check(np.float32, 1, channels, 6, 7, channels, 3, 3, padding=(1, 1))


def test_any_strides():
    x, w = draw_arrays([(3, 5, 9, 8), (4, 5, 3, 3)], np.float32)
    expected = ops.conv2d_forward(x, w, None, 1, 1)
    assert np.array_equal(expected, ops.conv2d_forward(np.asfortranarray(x), np.asfortranarray(w), None, 1, 1))
    nhwc = np.ascontiguousarray(x.transpose(0, 2, 3, 1)).transpose(0, 3, 1, 2)
    assert np.array_equal(expected, ops.conv2d_forward(nhwc, w, None, 1, 1))
    assert np.array_equal(expected[::-1], ops.conv2d_forward(x[::-1], w, None, 1, 1))
    flipped = ops.conv2d_forward(x[:, :, ::-1, ::-1], w[:, :, ::-1, ::-1], None, 1, 1)
    np.testing.assert_allclose(flipped[:, :, ::-1, ::-1], expected, rtol=1e-4, atol=1e-5)
    wide = np.repeat(x, 2, axis=3)
    assert np.array_equal(expected, ops.conv2d_forward(wide[..., ::2], w, None, 1, 1))


def test_output_is_channels_last():
    x, w = draw_arrays([(2, 3, 6, 5), (4, 3, 3, 3)], np.float32)
    y = ops.conv2d_forward(x, w)
    assert y.transpose(0, 2, 3, 1).flags.c_contiguous
    assert y.ctypes.data % 64 == 0


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize(
    ("x_shape", "w_shape", "window"),
    [
        ((8, 16, 30, 30), (40, 16, 3, 3), (1, 1)),
        ((4, 64, 28, 28), (64, 64, 1, 1), (1, 0)),
        ((4, 24, 31, 31), (40, 24, 3, 3), (2, 1)),
        ((64, 1, 28, 28), (6, 1, 5, 5), (1, 2)),
        ((1, 64, 14, 14), (256, 64, 3, 3), (1, 1)),
        ((4, 33, 40, 40), (17, 33, 1, 1), (1, 0)),
        ((6, 48, 20, 20), (34, 48, 1, 1), (2, 0)),
        ((20, 80, 14, 14), (70, 80, 1, 1), (2, 0)),
        ((20, 65, 15, 14), (70, 65, 3, 3), (2, 1)),
        ((20, 512, 5, 6), (128, 512, 3, 3), (1, 1)),
    ],
)
def test_same_bits_on_any_number_of_threads(isa, dtype, x_shape, w_shape, window):
    x, w, b = draw_arrays([x_shape, w_shape, w_shape[:1]], dtype)
    before, results = ops.get_num_threads(), []
    try:
        for n in (1, 2, 3, 7):
            ops.set_num_threads(n)
            y = ops.conv2d_forward(x, w, b, *window)
            dx = ops.conv2d_backward_input(y, w, x.shape, *window)
            results.append((y, dx, *ops.conv2d_backward_weight(y, x, w.shape, *window)))
    finally:
        ops.set_num_threads(before)
    for other in results[1:]:
        for a, b_ in zip(results[0], other, strict=True):
            assert np.array_equal(a, b_)


def test_accumulates_into_given_gradients():
    x, w = draw_arrays([(2, 3, 6, 5), (4, 3, 3, 3)], np.float32)
    dy = ops.conv2d_forward(x, w)
    dw, db = ops.conv2d_backward_weight(dy, x, w.shape)
    dw2, db2 = np.ones_like(dw), np.full_like(db, 2)
    out = ops.conv2d_backward_weight(dy, x, w.shape, dw=dw2, db=db2, accumulate=True)
    assert out[0] is dw2
    assert out[1] is db2
    np.testing.assert_array_equal(dw2, np.float32(1) + dw)
    np.testing.assert_array_equal(db2, np.float32(2) + db)
    ops.conv2d_backward_weight(dy, x, w.shape, dw=dw2, db=db2)
    np.testing.assert_array_equal(dw2, dw)
    assert ops.conv2d_backward_weight(dy, x, w.shape, bias=False)[1] is None


@pytest.mark.parametrize("value", [np.nan, np.inf])
@pytest.mark.parametrize("K", [1, 2, 4, 6, 33])
@pytest.mark.parametrize("column", [4, 5, 6])
def test_nan_and_infinity_reach_their_windows_only(isa, K, column, value):
    x, w = draw_arrays([(1, 3, 9, 12), (K, 3, 3, 3)], np.float32)
    x[0, 1, 4, column] = value
    y = ops.conv2d_forward(x, w, None, 1, 1)
    touched = np.zeros((9, 12), bool)
    touched[3:6, column - 1 : column + 2] = True
    assert np.array_equal(~np.isfinite(y[0]), np.broadcast_to(touched, (K, 9, 12)))
    assert np.array_equal(np.isnan(y), ~np.isfinite(y) & np.isnan(value))


X, WEIGHT = np.zeros((2, 3, 8, 8), np.float32), np.zeros((4, 3, 3, 3), np.float32)


@pytest.mark.parametrize(
    ("kwargs", "error", "message"),
    [
        ({"x": X[0]}, ValueError, r"x has shape \(3, 8, 8\); expected 4 dimensions"),
        ({"weight": WEIGHT[0]}, ValueError, r"weight has shape .* expected 4 dimensions"),
        ({"x": X.astype(np.int32)}, TypeError, "x has dtype int32; expected float32 or float64"),
        ({"x": X.astype(np.float16)}, TypeError, "x has dtype float16"),
        ({"weight": WEIGHT.astype(np.float64)}, TypeError, "weight has dtype float64, x has float32"),
        ({"x": [[1.0]]}, TypeError, "x is a list; expected an array"),
        ({"weight": np.zeros((4, 4, 3, 3), np.float32)}, ValueError, "weight has 4 input channels, x has 3"),
        ({"weight": np.zeros((4, 3, 0, 3), np.float32)}, ValueError, r"weight has shape .* at least 1"),
        ({"bias": np.zeros(3, np.float32)}, ValueError, r"bias has shape \(3,\); expected \(4,\)"),
        ({"stride": 0}, ValueError, "stride is 0; expected 1"),
        ({"stride": (1, -1)}, ValueError, "stride is -1"),
        ({"stride": 1.5}, TypeError, r"stride is 1\.5; expected an int or a pair"),
        ({"stride": (1, 2, 3)}, TypeError, r"stride is .* expected an int or a pair"),
        ({"padding": -1}, ValueError, "padding is -1"),
        ({"dilation": 0}, ValueError, "dilation is 0"),
        ({"dilation": 4}, ValueError, "the kernel covers 9 rows, the padded input has 8"),
        ({"groups": 0}, ValueError, "groups is 0"),
        ({"groups": 2}, ValueError, "multiples of 2 groups"),
        ({"padding": 2**41}, ValueError, "padding is 2199023255552"),
        ({"padding": 2**39}, ValueError, "too large"),
        ({"padding": 10**6}, MemoryError, "no memory for an array of shape"),
    ],
)
def test_bad_input(kwargs, error, message):
    with pytest.raises(error, match=message):
        ops.conv2d_forward(**{"x": X, "weight": WEIGHT, **kwargs})


def test_padded_input_beyond_any_memory():
    # The shapes of all arrays are small: only padding and dilation are large, so that the number of
    # padded elements, or their bytes, would wrap around to 0 in 64 bits.
    message = "the padded input of .* is too large"
    x, w, dy = (np.ones((1, 1, n, n), np.float32) for n in (1, 2, 2))
    for window in ((1, 2**31, 2**32 - 1), (2**39, 2**31, 2**32 - 1)):
        with pytest.raises(ValueError, match=message):
            ops.conv2d_forward(x, w, None, *window)
    with pytest.raises(ValueError, match=message):
        ops.conv2d_backward_input(dy, w, x.shape, 1, 2**31, 2**32 - 1)
    with pytest.raises(ValueError, match=message):
        ops.conv2d_backward_weight(dy, x, w.shape, 1, 2**31, 2**32 - 1)
    wide = np.zeros((1, 2**21, 1, 1), np.float32)
    with pytest.raises(ValueError, match=message):
        ops.conv2d_forward(wide, wide, None, 2**39, 2**39)


def test_bad_gradients():
    dy = ops.conv2d_forward(X, WEIGHT)
    with pytest.raises(ValueError, match="conv2d_backward_input: dy has shape"):
        ops.conv2d_backward_input(dy, WEIGHT, (2, 3, 9, 8))
    with pytest.raises(TypeError, match=r"input_size is .* expected 4 ints"):
        ops.conv2d_backward_input(dy, WEIGHT, (2, 3, 8))
    with pytest.raises(ValueError, match="dy has shape"):
        ops.conv2d_backward_weight(dy[:1], X, WEIGHT.shape)
    with pytest.raises(ValueError, match="accumulate needs dw"):
        ops.conv2d_backward_weight(dy, X, WEIGHT.shape, accumulate=True)
    with pytest.raises(ValueError, match="dw has shape"):
        ops.conv2d_backward_weight(dy, X, WEIGHT.shape, dw=np.zeros((4, 3, 3, 2), np.float32))
    with pytest.raises(TypeError, match="dw has dtype float64"):
        ops.conv2d_backward_weight(dy, X, WEIGHT.shape, dw=np.zeros(WEIGHT.shape))
    with pytest.raises(ValueError, match="writeable and C-contiguous"):
        ops.conv2d_backward_weight(dy, X, WEIGHT.shape, dw=np.asfortranarray(WEIGHT))
    frozen = WEIGHT.copy()
    frozen.flags.writeable = False
    with pytest.raises(ValueError, match="writeable"):
        ops.conv2d_backward_weight(dy, X, WEIGHT.shape, dw=frozen)
    with pytest.raises(ValueError, match="db is given, but bias is False"):
        ops.conv2d_backward_weight(dy, X, WEIGHT.shape, bias=False, db=np.zeros(4, np.float32))


@pytest.mark.parametrize("name", ["3x3 s2", "dilated s2", "grouped", "depthwise x2 s2", "lenet conv1"])
def test_equals_pytorch(name):
    torch = pytest.importorskip("torch")
    p = {"stride": (1, 1), "padding": (0, 0), "dilation": (1, 1), "groups": 1, **SHAPES[name]}
    window = (p["stride"], p["padding"], p["dilation"], p["groups"])
    weight_shape = (p["K"], p["C"] // p["groups"], p["R"], p["S"])
    x, w, b = draw_arrays([(p["N"], p["C"], p["H"], p["W"]), weight_shape, (p["K"],)], np.float64)
    tx, tw, tb = (torch.tensor(a, requires_grad=True) for a in (x, w, b))
    ty = torch.nn.functional.conv2d(tx, tw, tb, *window)
    (dy,) = draw_arrays([tuple(ty.shape)], np.float64, 1)
    ty.backward(torch.tensor(dy))
    dw, db = ops.conv2d_backward_weight(dy, x, w.shape, *window)
    for got, expected in (
        (ops.conv2d_forward(x, w, b, *window), ty.detach()),
        (ops.conv2d_backward_input(dy, w, x.shape, *window), tx.grad),
        (dw, tw.grad),
        (db, tb.grad),
    ):
        np.testing.assert_allclose(got, expected.numpy(), rtol=1e-11, atol=1e-12)
