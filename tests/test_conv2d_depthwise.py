"""Depthwise and grouped convolution: every pass against the float64 oracle, on every instruction set."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fastnn import ops
from test_conv2d import check, draw_arrays

WINDOWS = {
    "3x3": {"H": 9, "W": 19, "R": 3, "S": 3, "padding": (1, 1)},
    "3x3 s2": {"H": 9, "W": 18, "R": 3, "S": 3, "stride": (2, 2), "padding": (1, 1)},
    "5x5": {"H": 7, "W": 12, "R": 5, "S": 5, "padding": (2, 2)},
    "5x5 s2": {"H": 8, "W": 21, "R": 5, "S": 5, "stride": (2, 2), "padding": (2, 2)},
    "7x7, as large as the image": {"H": 7, "W": 7, "R": 7, "S": 7, "padding": (3, 3)},
    "no padding": {"H": 5, "W": 11, "R": 2, "S": 1},
    "1x1": {"H": 4, "W": 9, "R": 1, "S": 1},
    "1x1 s2": {"H": 4, "W": 9, "R": 1, "S": 1, "stride": (2, 2)},
    "9 columns": {"H": 4, "W": 13, "R": 1, "S": 9, "padding": (0, 4)},
    "dilated": {"H": 9, "W": 17, "R": 3, "S": 3, "padding": (2, 3), "dilation": (2, 3)},
    "dilated s3": {"H": 11, "W": 14, "R": 2, "S": 3, "stride": (3, 3), "padding": (2, 1), "dilation": (3, 2)},
    "stride > kernel": {"H": 9, "W": 10, "R": 2, "S": 2, "stride": (3, 4), "padding": (1, 0)},
    "more padding than image": {"H": 2, "W": 3, "R": 2, "S": 3, "padding": (4, 5)},
}


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("width", [1, 2, 4, 8, 16])
@pytest.mark.parametrize("window", WINDOWS)
def test_equals_oracle(isa, dtype, width, window):
    groups = 3 + 16 // width
    check(dtype, 2, width * groups, K=width * groups, groups=groups, **WINDOWS[window])


@pytest.mark.parametrize("channels", [2, 7, 8, 9, 15, 16, 17, 31, 32, 33, 128])
def test_channel_tails(isa, channels):
    check(np.float32, 1, channels, 6, 10, channels, 3, 3, padding=(1, 1), groups=channels)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("multiplier", [2, 3, 4, 8, 16, 32])
@pytest.mark.parametrize(
    "window", ["3x3", "3x3 s2", "5x5", "1x1", "9 columns", "dilated s3", "more padding than image"]
)
def test_channel_multiplier(isa, dtype, multiplier, window):
    check(dtype, 2, 11, K=11 * multiplier, groups=11, **WINDOWS[window])


@pytest.mark.parametrize("channels", [2, 7, 8, 9, 15, 16, 17, 33])
def test_channel_tails_of_multipliers(isa, channels):
    for multiplier in (2, 4):
        check(np.float32, 1, channels, 6, 10, multiplier * channels, 3, 3, padding=(1, 1), groups=channels)


@pytest.mark.parametrize("width", [1, 4])
def test_empty_batch(isa, width):
    check(np.float32, 0, 4 * width, 5, 5, 4 * width, 3, 3, groups=4)


@settings(max_examples=60, deadline=None)
@given(
    N=st.integers(1, 2), width=st.sampled_from([1, 2, 4, 8]), groups=st.integers(2, 20),
    H=st.integers(1, 9), W=st.integers(1, 24), R=st.integers(1, 4), S=st.integers(1, 8),
    stride=st.tuples(st.integers(1, 3), st.integers(1, 3)),
    padding=st.tuples(st.integers(0, 3), st.integers(0, 4)),
    dilation=st.tuples(st.integers(1, 2), st.integers(1, 2)), isa_index=st.integers(0, 3),
)  # fmt: skip
def test_drawn_shapes(N, width, groups, H, W, R, S, stride, padding, dilation, isa_index):
    for size, kernel, p, d in ((H, R, padding[0], dilation[0]), (W, S, padding[1], dilation[1])):
        if d * (kernel - 1) + 1 > size + 2 * p:
            return
    before = ops.isa()
    ops.set_isa(ops.isas()[isa_index % len(ops.isas())])
    try:
        check(np.float32, N, width * groups, H, W, width * groups, R, S, stride, padding, dilation, groups)
    finally:
        ops.set_isa(before)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize(
    ("N", "C", "H", "width", "R", "stride"),
    [(8, 96, 30, 1, 3, 1), (4, 128, 28, 1, 3, 2), (16, 256, 7, 1, 7, 1), (8, 64, 28, 4, 3, 1), (8, 64, 28, 8, 3, 2)],
)
def test_same_bits_on_any_number_of_threads(isa, dtype, N, C, H, width, R, stride):
    x, w, b = draw_arrays([(N, C, H, H), (C, width, R, R), (C,)], dtype)
    window = (stride, R // 2, 1, C // width)
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


@pytest.mark.parametrize("width", [1, 2, 4, 8])
def test_accumulates_into_given_gradients(isa, width):
    C = 24
    x, w = draw_arrays([(2, C, 6, 5), (C, width, 3, 3)], np.float32)
    window = (1, 1, 1, C // width)
    dy = ops.conv2d_forward(x, w, None, *window)
    dw, db = ops.conv2d_backward_weight(dy, x, w.shape, *window)
    dw2, db2 = np.ones_like(dw), np.full_like(db, 2)
    ops.conv2d_backward_weight(dy, x, w.shape, *window, dw=dw2, db=db2, accumulate=True)
    np.testing.assert_array_equal(dw2, np.float32(1) + dw)
    np.testing.assert_array_equal(db2, np.float32(2) + db)
    dw3, none = ops.conv2d_backward_weight(dy, x, w.shape, *window, bias=False)
    assert none is None
    np.testing.assert_array_equal(dw3, dw)


@pytest.mark.parametrize("value", [np.nan, np.inf])
@pytest.mark.parametrize("width", [1, 2, 4, 8])
@pytest.mark.parametrize("column", [0, 5, 11])
def test_nan_and_infinity_stay_in_their_group_and_windows(isa, width, column, value):
    C, channel = 24, 13
    x, w = draw_arrays([(2, C, 9, 12), (C, width, 3, 3)], np.float32)
    x[1, channel, 4, column] = value
    group = slice(channel // width * width, channel // width * width + width)
    touched = np.zeros((2, C, 9, 12), bool)
    touched[1, group, 3:6, max(column - 1, 0) : column + 2] = True
    y = ops.conv2d_forward(x, w, None, 1, 1, 1, C // width)
    assert np.array_equal(~np.isfinite(y), touched)
    dx = ops.conv2d_backward_input(x, w, x.shape, 1, 1, 1, C // width)
    assert np.array_equal(~np.isfinite(dx), touched)
    dw, db = ops.conv2d_backward_weight(x, np.ones_like(x), w.shape, 1, 1, 1, C // width)
    assert np.array_equal(~np.isfinite(db), np.arange(C) == channel)
    assert np.isfinite(np.delete(dw, channel, axis=0)).all()


@pytest.mark.parametrize("width", [1, 4])
@pytest.mark.parametrize("stride", [1, 2])
def test_equals_pytorch(isa, width, stride):
    torch = pytest.importorskip("torch")
    C = 20
    x, w, b = draw_arrays([(2, C, 11, 13), (C, width, 3, 3), (C,)], np.float64)
    window = (stride, 1, 1, C // width)
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


def test_outputs_beyond_the_cache_are_the_same(isa):
    # They are written past the caches.
    x, w, b = draw_arrays([(3, 32, 230, 230), (32, 16, 3, 3), (32,)], np.float32)
    window = (1, 1, 1, 2)
    y = ops.conv2d_forward(x, w, b, *window, algorithm="direct")
    dx = ops.conv2d_backward_input(y, w, x.shape, *window, algorithm="direct")
    assert np.array_equal(y[2:], ops.conv2d_forward(x[2:], w, b, *window, algorithm="direct"))
    assert np.array_equal(dx[2:], ops.conv2d_backward_input(y[2:], w, (1, *x.shape[1:]), *window, algorithm="direct"))
