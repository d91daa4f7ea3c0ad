"""Changing between NCHW and NHWC memory and other orders of axes: values, layouts, identity where nothing is to do."""

import numpy as np
import pytest
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
