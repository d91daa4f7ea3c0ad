"""What is accepted where an array is: anything with numbers inside, in any memory layout."""

import array

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.testing import assert_array_equal

from fastnn import ops

VALUES = np.array([-1.5, 2.0, np.nan, -0.0, 3.5, -np.inf], np.float32)
EXPECTED = np.array([0.0, 2.0, np.nan, 0.0, 3.5, 0.0], np.float32)


class OnlyArray:
    def __array__(self, dtype=None, copy=None):
        return VALUES


class OnlyDLPack:
    def __dlpack__(self, **kwargs):
        return VALUES.__dlpack__(**kwargs)

    def __dlpack_device__(self):
        return VALUES.__dlpack_device__()


def unaligned():
    a = np.frombuffer(b"x" + VALUES.tobytes(), np.float32, offset=1)
    assert not a.flags.aligned
    return a


def read_only():
    a = VALUES.copy()
    a.flags.writeable = False
    return a


@pytest.mark.parametrize(
    "make",
    [
        lambda: VALUES,
        lambda: memoryview(VALUES),
        lambda: array.array("f", VALUES),
        lambda: array.array("d", VALUES),
        OnlyArray,
        OnlyDLPack,
        lambda: VALUES.astype(">f4"),
        lambda: VALUES.astype(">f8"),
        unaligned,
        read_only,
        lambda: VALUES[::-1].copy()[::-1],
        lambda: np.repeat(VALUES, 3)[::3],
        lambda: np.asarray(VALUES).view(np.recarray),
    ],
)
def test_anything_with_an_array_inside(isa, make):
    y = ops.relu_forward(make())
    assert type(y) is np.ndarray
    assert y.dtype in (np.float32, np.float64)
    assert y.dtype.isnative
    assert_array_equal(y, EXPECTED)


def test_pytorch_tensor():
    torch = pytest.importorskip("torch")
    assert_array_equal(ops.relu_forward(torch.from_numpy(VALUES)), EXPECTED)


@pytest.mark.parametrize(
    ("x", "message"),
    [
        ([1.0, 2.0], "relu_forward: x is a list; expected an array"),
        (1.0, "relu_forward: x is a float; expected an array"),
        (None, "relu_forward: x is a NoneType; expected an array"),
        ("1.0", "relu_forward: x is a str; expected an array"),
        (b"1234", r"relu_forward: x has dtype .*; expected float32 or float64"),
        (np.ones(3, int), "relu_forward: x has dtype int64; expected float32 or float64"),
        (np.ones(3, np.float16), "relu_forward: x has dtype float16; expected float32 or float64"),
        (np.ones(3, complex), "relu_forward: x has dtype complex128; expected float32 or float64"),
        (np.ones(3, bool), "relu_forward: x has dtype bool; expected float32 or float64"),
        (np.array([1.0, None]), "relu_forward: x has dtype object; expected float32 or float64"),
        (np.ones(3, np.longdouble), "relu_forward: x has dtype .*; expected float32 or float64"),
    ],
)
def test_anything_else_is_a_type_error(x, message):
    with pytest.raises(TypeError, match=message):
        ops.relu_forward(x)


@st.composite
def views(draw):
    """A view with any strides into a larger array: steps, reversed and permuted axes, repeated elements."""
    ndim = draw(st.integers(0, 4))
    steps = [draw(st.sampled_from([-2, -1, 1, 1, 3])) for _ in range(ndim)]
    shape = [draw(st.integers(0, 5)) for _ in range(ndim)]
    dtype = draw(st.sampled_from([np.float32, np.float64]))
    a = np.random.default_rng(0).standard_normal([n * abs(step) for n, step in zip(shape, steps, strict=True)])
    a = a.astype(dtype)[tuple(slice(None, None, step) for step in steps)].transpose(draw(st.permutations(range(ndim))))
    if draw(st.booleans()):
        a = np.broadcast_to(a, (draw(st.integers(0, 3)), *a.shape))
    return a


@settings(deadline=None, max_examples=200)
@given(views())
def test_any_strides(x):
    for y in (ops.relu_forward(x), ops.relu_backward(np.ones_like(x), x)):
        assert y.shape == x.shape
        assert y.dtype == x.dtype
    assert_array_equal(ops.relu_forward(x), np.maximum(x, 0))
    assert_array_equal(ops.relu_backward(x, ops.relu_forward(x)), np.where(x > 0, x, 0))


@settings(deadline=None, max_examples=100)
@given(views())
def test_conversions_keep_the_values(x):
    y = ops.to_contiguous(x)
    assert y.flags.c_contiguous
    assert_array_equal(y, x)
    if x.ndim == 4:
        y = ops.to_channels_last(x)
        assert y.transpose(0, 2, 3, 1).flags.c_contiguous
        assert_array_equal(y, x)


def test_conversions_return_an_array_that_fits_already():
    x = np.ones((2, 3, 4, 5), np.float32)
    assert ops.to_contiguous(x) is x
    y = ops.to_channels_last(x)
    assert ops.to_channels_last(y) is y


def test_inputs_are_not_changed():
    x = VALUES.copy()
    ops.relu_backward(x, ops.relu_forward(x))
    assert x.tobytes() == VALUES.tobytes()


def test_outputs_keep_a_dense_layout():
    x = ops.to_channels_last(np.ones((2, 3, 4, 5), np.float32))
    assert ops.relu_forward(x).strides == x.strides
    assert ops.relu_forward(x.T).strides == x.T.strides
