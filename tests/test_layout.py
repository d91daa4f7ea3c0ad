"""Changing between NCHW and NHWC memory and other orders of axes: values, layouts, identity where nothing is to do."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.testing import assert_array_equal

from fastnn import ops

SIZES = [1, 2, 3, 4, 5, 6, 7, 8, 15, 16, 17, 63, 64, 65, 67, 129]


def numbered(shape, dtype):
    """Every element another value, so that a misplaced one shows."""
    return np.arange(np.prod(shape), dtype=dtype).reshape(shape)


def check(x):
    last = ops.to_channels_last(x)
    assert last.shape == x.shape
    assert last.dtype == x.dtype
    assert last.transpose(0, 2, 3, 1).flags.c_contiguous
    assert_array_equal(last, x)
    back = ops.to_contiguous(last)
    assert back.flags.c_contiguous
    assert_array_equal(back, x)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("C", SIZES)
def test_channels_and_pixels(isa, C, dtype):
    for pixels in SIZES:
        check(numbered((2, C, 1, pixels), dtype))


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("shape", [(24, 64, 56, 56), (16, 3, 130, 130), (5, 2, 200, 201), (7, 1, 300, 300)])
def test_any_number_of_threads(isa, threads, shape, dtype):
    check(numbered(shape, dtype))


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("batch", [1, 2, 5, 2003])
def test_many_small_images(isa, batch, dtype):
    for C in (2, 3, 4, 5, 8, 9):
        for pixels in (2, 3, 4, 5, 7, 8, 20):
            check(numbered((batch, C, 1, pixels), dtype))


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("shape", [(20001, 2, 1, 3), (9001, 4, 1, 3), (9001, 3, 1, 11), (2001, 4, 5, 5)])
def test_many_small_images_on_any_number_of_threads(isa, threads, shape, dtype):
    check(numbered(shape, dtype))


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("n", [1, 2, 3, 4, 7, 8, 9, 15, 16, 17, 33, 511, 512, 513, 5000])
def test_swapped_rows(isa, n, dtype):
    for B, J, I in ((1, 2, 3), (3, 5, 1), (2, 1, 4), (3, 4, 2), (0, 2, 2), (2, 0, 3)):
        x = numbered((B, J, I, n), dtype)
        y = ops.to_contiguous(x.swapaxes(1, 2))
        assert y.flags.c_contiguous
        assert_array_equal(y, x.swapaxes(1, 2))


@pytest.mark.parametrize("shape", [(700, 30, 2, 24), (1, 3, 5000, 5), (7, 11, 5, 600)])
def test_swapped_rows_on_any_number_of_threads(isa, threads, shape):
    x = numbered(shape, np.float32)
    assert_array_equal(ops.to_contiguous(x.swapaxes(1, 2)), x.swapaxes(1, 2))


@pytest.mark.parametrize("shape", [(0, 3, 4, 5), (2, 0, 4, 5), (2, 3, 0, 5), (2, 3, 4, 0)])
def test_empty(isa, shape):
    assert ops.to_channels_last(np.empty(shape)).shape == shape
    assert ops.to_contiguous(ops.empty(shape, channels_last=True)).shape == shape


def test_what_has_the_layout_is_returned_itself():
    x = numbered((2, 3, 4, 5), np.float32)
    assert ops.to_contiguous(x) is x
    last = ops.to_channels_last(x)
    assert last is not x
    assert ops.to_channels_last(last) is last


def test_strided_inputs():
    x = numbered((4, 6, 8, 10), np.float32)
    for view in (x[::2, ::3, ::2, ::5], x[::-1, ::-1, ::-1, ::-1], x.transpose(3, 1, 0, 2), x[:, :, 1:, 1:]):
        assert_array_equal(ops.to_channels_last(view), view)
        assert_array_equal(ops.to_contiguous(view), view)


@st.composite
def view_of(draw, shape, dtype):
    """A view of this shape, and the array that it is a part of: steps either way, margins, any order of axes."""
    order = draw(st.permutations(range(len(shape))))
    steps = [draw(st.sampled_from([1, 1, 1, 2, 3, -1, -2])) for _ in shape]
    margins = [draw(st.integers(0, 2)) for _ in shape]
    whole = [n * abs(step) + margin for n, step, margin in zip(shape, steps, margins, strict=True)]
    base = np.zeros([whole[axis] for axis in order], dtype)
    window = base.transpose(np.argsort(order))[(..., *(slice(None, None, step) for step in steps))]
    return base, window[(..., *(slice(0, n) for n in shape))]


@settings(max_examples=300, deadline=None)
@given(
    data=st.data(),
    shape=st.lists(st.sampled_from([1, 2, 3, 4, 7, 16, 33]), min_size=0, max_size=4),
    dtype=st.sampled_from([np.float32, np.float64]),
)
def test_copies_between_any_strides(data, shape, dtype):
    base, dst = data.draw(view_of(shape, dtype))
    _, src = data.draw(view_of(shape, dtype))
    src[...] = numbered(shape, dtype) + 1
    ops.copy(dst, src)
    assert_array_equal(dst, src)
    assert np.count_nonzero(base) == dst.size  # nothing beside it was touched
    ops.copy(dst, -2.5)
    assert_array_equal(dst, np.full(shape, -2.5))
    assert np.count_nonzero(base) == dst.size


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize(
    ("shape", "window"),
    [
        ((16, 70, 30, 31), np.s_[:, 3:50]),  # channels of each pixel
        ((16, 70, 30, 31), np.s_[:, :, ::2, 1::3]),
        ((16, 70, 30, 31), np.s_[:, :, 2:-2, ::-1]),
        ((5, 4, 60000), np.s_[::2, 1:, 5:-7]),  # long rows
        ((3, 200003), np.s_[:, ::2]),
        ((3, 2, 2, 3, 2, 3, 2, 2, 3, 5), np.s_[..., ::2, ::2, ::2, ::2, ::2, ::2, ::2, ::2, ::2, ::2]),
    ],
)
def test_slices_on_any_number_of_threads(isa, threads, shape, window, dtype):
    numbers = numbered(shape, dtype)
    for x in (numbers, ops.to_channels_last(numbers)) if len(shape) == 4 else (numbers,):
        part = x[window]
        for y in (ops.to_contiguous(part), np.zeros_like(part)):
            ops.copy(y, part)
            assert_array_equal(y, part)
        whole = np.zeros_like(x)
        ops.copy(whole[window], part)
        assert_array_equal(whole[window], part)
        assert np.count_nonzero(whole) == np.count_nonzero(part)
    last = ops.to_channels_last(numbered((9, 40, 17, 19), dtype)[::2, 1::3])  # a slice of channels-first images
    assert_array_equal(last, numbered((9, 40, 17, 19), dtype)[::2, 1::3])


def test_copies_between_overlapping_views():
    x = numbered((40, 50), np.float32)
    expected = x[:-1].copy()
    ops.copy(x[1:], x[:-1])
    assert_array_equal(x[1:], expected)


def test_copies_write_nothing_while_tracing():
    x = numbered((20000,), np.float32)
    ops.trace([])
    try:
        ops.copy(x[1:], x[:-1])
        ops.copy(x, 1.0)
    finally:
        ops.trace(None)
    assert_array_equal(x, numbered((20000,), np.float32))


def test_numbers_beyond_the_type_become_infinite():
    x = np.zeros(3, np.float32)
    ops.copy(x, -1e300)  # without a warning, as in arithmetic
    assert_array_equal(x, [-np.inf] * 3)


@pytest.mark.parametrize("window", [np.s_[:, ::2], np.s_[:, 1:], np.s_[:, :, 1:, ::-1], np.s_[:, ::-1]])
def test_parts_of_channels_last_images_stay_channels_last(window):
    x = ops.to_channels_last(numbered((3, 8, 6, 5), np.float32))
    part = x[window]
    dense = ops.to_channels_last(part)
    for y in (ops.relu_forward(part), ops.add(part, 1.0), ops.add(part, dense), ops.cat([part, part], 1)):
        assert y.transpose(0, 2, 3, 1).flags.c_contiguous
    assert all(y.transpose(0, 2, 3, 1).flags.c_contiguous for y in ops.split(part, [1, part.shape[1] - 1], 1))
    first = numbered((3, 16, *part.shape[2:]), np.float32)[:, : part.shape[1]]  # not dense, channels-first
    assert ops.add(first, dense).transpose(0, 2, 3, 1).flags.c_contiguous
    assert_array_equal(ops.add(first, dense), first + part)


def test_special_values_keep_their_bits(isa):
    bits = np.array([0x7FC00001, 0xFFC12345, 0x7F800000, 0x80000000, 1, 0x007FFFFF], np.uint32)  # NaNs, denormals, ...
    x = np.resize(bits, (1, 7, 5, 5)).view(np.float32)
    back = ops.to_contiguous(ops.to_channels_last(x))
    assert_array_equal(back.view(np.uint32), x.view(np.uint32))


def test_bad_arguments():
    with pytest.raises(ValueError, match=r"to_channels_last: x has shape \(2, 3\); expected 4 dimensions"):
        ops.to_channels_last(np.zeros((2, 3)))
    with pytest.raises(TypeError, match="to_channels_last: x has dtype int64"):
        ops.to_channels_last(np.zeros((1, 2, 3, 4), int))
    with pytest.raises(TypeError, match="to_contiguous: x is a str"):
        ops.to_contiguous("x")
    for x in (np.full((2, 3), None).T, np.zeros(4, [("a", "O"), ("b", "i4")])[::2]):
        with pytest.raises(TypeError, match="to_contiguous: x holds Python objects"):
            ops.to_contiguous(x)
    x = np.zeros((2, 3), np.float32)
    with pytest.raises(TypeError, match="copy: dst is a list; expected a NumPy array to write to"):
        ops.copy([1.0], x)
    with pytest.raises(ValueError, match=r"copy: src has shape \(3, 2\); expected \(2, 3\)"):
        ops.copy(x, x.reshape(3, 2).copy())
    with pytest.raises(TypeError, match="copy: src has dtype float64, dst has float32"):
        ops.copy(x, np.zeros((2, 3)))
    with pytest.raises(TypeError, match="copy: dst has dtype int64; expected float32 or float64"):
        ops.copy(np.zeros(3, int), 1)
    with pytest.raises(ValueError, match="copy: dst must be writeable"):
        ops.copy(np.broadcast_to(x, (4, 2, 3)), 1.0)
    with pytest.raises(ValueError, match="copy: src is too large for a float"):
        ops.copy(x, 10**400)
    assert not x.any()
