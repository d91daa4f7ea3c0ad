"""Padding: kernels against NumPy, F.pad and the layers against PyTorch, gradients, errors."""

import itertools

import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal

import fastnn
from fastnn import functional as F
from fastnn import nn, ops

NUMPY_MODES = {"constant": "constant", "reflect": "reflect", "replicate": "edge", "circular": "wrap"}
MODES = list(NUMPY_MODES)
PADS = [  # left, right, top, bottom, around 5 x 4 pixels
    (0, 0, 0, 0),
    (1, 1, 1, 1),
    (3, 2, 4, 0),
    (0, 3, 0, 4),
    (-1, 2, 3, -2),
    (-1, -2, -3, -1),
]
DTYPES = [np.float32, np.float64]


def padded(x, pad, mode, value=0.0):
    """NumPy's padding of the last two dimensions; negative numbers crop, in circular mode before anything is added."""
    left, right, top, bottom = pad
    crop_first = mode == "circular"

    def crop(x):
        rows, cols = (
            slice(max(-top, 0), x.shape[-2] - max(-bottom, 0)),
            slice(max(-left, 0), x.shape[-1] - max(-right, 0)),
        )
        return x[..., rows, cols]

    widths = [(0, 0)] * (x.ndim - 2) + [(max(top, 0), max(bottom, 0)), (max(left, 0), max(right, 0))]
    more = {"constant_values": value} if mode == "constant" else {}
    if crop_first:
        return np.pad(crop(x), widths, NUMPY_MODES[mode])
    return crop(np.pad(x, widths, NUMPY_MODES[mode], **more))


def summed(dy, size, pad, mode):
    """The gradient: every element of dy goes to the element of x that it was copied from."""
    source = padded(np.arange(1, size[2] * size[3] + 1).reshape(size[2:]), pad, mode)
    dx = np.zeros((*size[:2], size[2] * size[3] + 1))
    for p, q in np.ndindex(source.shape):
        dx[:, :, source[p, q]] += dy[:, :, p, q]
    return dx[:, :, 1:].reshape(size)


def strange_layouts(x):
    yield x
    yield ops.to_channels_last(x)
    yield np.repeat(x, 2, axis=3)[..., ::2]
    yield x[:, :, ::-1].copy()[:, :, ::-1]


# ---- kernels ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("mode", MODES)
def test_kernels(isa, mode, dtype):
    rng = np.random.default_rng(0)
    for C, pad in itertools.product((1, 3, 16, 21), PADS):
        if mode == "circular" and min(pad) < 0:
            continue  # F.pad crops first
        x = rng.standard_normal((2, C, 5, 4)).astype(dtype)
        expected = padded(x, pad, mode, 2.5)
        for layout in strange_layouts(x):
            y = ops.pad2d_forward(layout, pad, mode, 2.5)
            assert_array_equal(y, expected)
        assert y.dtype == dtype
        assert y.transpose(0, 2, 3, 1).flags.c_contiguous
        dy = rng.standard_normal(y.shape).astype(dtype)
        tolerance = 1e-5 if dtype == np.float32 else 1e-14
        for layout in strange_layouts(dy):
            dx = ops.pad2d_backward(layout, x.shape, pad, mode)
            assert_allclose(dx, summed(dy, x.shape, pad, mode), rtol=tolerance, atol=tolerance)


@pytest.mark.parametrize("mode", MODES)
def test_one_row_and_no_image(isa, mode):
    x = np.ones((2, 3, 1, 4), np.float32)
    if mode == "reflect":
        with pytest.raises(ValueError, match="the height 1 is padded by 1 and 1; expected less than 1"):
            ops.pad2d_forward(x, (1, 1, 1, 1), mode)
    else:
        assert ops.pad2d_forward(x, (1, 1, 1, 1), mode, 1.0).tolist() == np.ones((2, 3, 3, 6)).tolist()
    assert ops.pad2d_forward(x[:0], (1, 1, 0, 0), mode).shape == (0, 3, 1, 6)
    assert ops.pad2d_backward(np.ones((0, 3, 1, 6)), (0, 3, 1, 4), (1, 1, 0, 0), mode).shape == (0, 3, 1, 4)
    assert ops.pad2d_forward(x[:, :0], (1, 1, 0, 0), mode).shape == (2, 0, 1, 6)


@pytest.mark.parametrize("mode", MODES)
def test_same_bits_on_any_number_of_threads(threads, mode):
    x = np.random.default_rng(0).standard_normal((5, 7, 60, 50)).astype(np.float32)
    y = ops.pad2d_forward(x, (2, 1, 3, 4), mode)
    assert_array_equal(y, padded(x, (2, 1, 3, 4), mode))
    dx = ops.pad2d_backward(y, x.shape, (2, 1, 3, 4), mode)
    ops.set_num_threads(1)
    assert ops.pad2d_backward(y, x.shape, (2, 1, 3, 4), mode).tobytes() == dx.tobytes()


@pytest.mark.parametrize(
    ("call", "kind", "message"),
    [
        (lambda x: ops.pad2d_forward(x[0], (1, 1, 1, 1)), ValueError, r"x has shape \(2, 4, 5\); expected 4"),
        (lambda x: ops.pad2d_forward(x.astype(int), (1, 1, 1, 1)), TypeError, "x has dtype int64"),
        (lambda x: ops.pad2d_forward(x, (1, 1)), TypeError, r"pad is \(1, 1\); expected 4 ints"),
        (lambda x: ops.pad2d_forward(x, (1, 1, 1, 0.5)), TypeError, "pad holds a float"),
        (lambda x: ops.pad2d_forward(x, (1, 1, 1, 1), "mirror"), ValueError, "mode is 'mirror'; expected constant, "),
        (lambda x: ops.pad2d_forward(x, (-3, -3, 0, 0)), ValueError, "the width 5 is padded by -3 and -3; expected to"),
        (lambda x: ops.pad2d_forward(x, (0, 6, 0, 0), "circular"), ValueError, "the width 5 is .*; expected at most 5"),
        (
            lambda x: ops.pad2d_forward(x, (0, 0, 4, 0), "reflect"),
            ValueError,
            "the height 4 is .*; expected less than 4",
        ),
        (lambda x: ops.pad2d_forward(x, (-3, -2, 0, 0), "replicate"), ValueError, "expected to leave at least 1"),
        (lambda x: ops.pad2d_backward(x, (1, 2, 4, 4), (0, 0, 0, 0)), ValueError, r"dy has shape \(1, 2, 4, 5\)"),
    ],
)
def test_errors_of_the_kernels(call, kind, message):
    with pytest.raises(kind, match=f"pad2d_(forward|backward): .*{message}" if message[0] != "p" else message):
        call(np.zeros((1, 2, 4, 5), np.float32))


# ---- F.pad --------------------------------------------------------------------------------------------------------

SHAPES_AND_PADS = [
    ((2, 3, 7), [(1, 2), (-1, 2), (6, 6), (-2, -3)]),
    ((3, 7), [(2, 1)]),
    ((2, 3, 5, 4), [(1, 1, 1, 1), (-1, 3, 2, -2), (3, 3, 4, 4)]),
    ((3, 5, 4), [(1, 2, 0, 3)]),
    ((2, 3, 4, 5, 3), [(1, 1, 2, 0, 1, 2), (2, -1, 1, -1, 0, 3)]),
    ((3, 4, 5, 3), [(1, 1, 2, 0, 1, 2)]),
]
CONSTANT = [
    ((2, 3, 5, 4), [(2, 1), (1, 0, 0, 0, 1, 1), (0, 0, 0, 0, -1, 2), (1, 1, 0, 0, 0, 0, 0, 2)]),
    ((5,), [(2, 1), (-1, -1)]),
    ((2, 3, 4, 5, 3), [(1, 2)]),
]
GRID = [(mode, shape, pad) for mode in MODES for shape, pads in SHAPES_AND_PADS for pad in pads]
GRID += [("constant", shape, pad) for shape, pads in CONSTANT for pad in pads]


@pytest.mark.parametrize(("mode", "shape", "pad"), GRID)
def test_against_torch(mode, shape, pad):
    torch = pytest.importorskip("torch")
    rng = np.random.default_rng(0)
    for memory in ("C", "channels-last"):
        a = rng.standard_normal(shape).astype(np.float32)
        if memory == "channels-last" and len(shape) > 2:
            a = np.moveaxis(np.ascontiguousarray(np.moveaxis(a, 1, -1)), -1, 1)
        x, tx = fastnn.Tensor(a, requires_grad=True), torch.tensor(a, requires_grad=True)
        value = 1.5 if mode == "constant" else None
        y, ty = F.pad(x, pad, mode, value), torch.nn.functional.pad(tx, pad, mode, value)
        assert_array_equal(y.detach().numpy(), ty.detach().numpy())
        dy = rng.standard_normal(y.shape).astype(np.float32)
        y.backward(dy)
        ty.backward(torch.tensor(dy))
        assert_allclose(x.grad.numpy(), tx.grad.numpy(), rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize(("shape", "pad"), [((2, 4, 3), (2, 1, 1, 0)), ((1, 2, 3, 2, 3), (1, 2, 1, 0, 2, 1))])
def test_gradcheck(mode, shape, pad):
    x = fastnn.tensor(np.random.default_rng(0).standard_normal(shape), requires_grad=True)
    assert fastnn.gradcheck(lambda x: F.pad(x, pad, mode), x)


@pytest.mark.parametrize("dtype", [np.int64, np.bool_, np.float16])
def test_constant_padding_of_other_types(dtype):
    x = np.array([[1, 0], [0, 1]], dtype)
    y = F.pad(fastnn.tensor(x), (1, 0, 0, 1), value=1)
    assert y.dtype == dtype
    assert_array_equal(y.numpy(), np.pad(x, ((0, 1), (1, 0)), constant_values=1))


@pytest.mark.parametrize("shape", [(3, 4), (40, 50, 60), (4, 8, 40, 40)])
def test_constant_padding_by_numbers_of_numpy(shape):
    sides = (1, 2) if len(shape) < 4 else (0, 0, 0, 0, 1, 2)
    x = fastnn.as_tensor(np.arange(np.prod(shape), dtype=np.float32).reshape(shape))
    for value in (np.float32(0.5), np.float64(0.5), np.int64(3)):
        assert_array_equal(F.pad(x, sides, value=value).numpy(), F.pad(x, sides, value=float(value)).numpy())


def test_constant_padding_keeps_nan_and_infinity():
    x = np.array([[[np.nan, np.inf]]], np.float32)
    assert_array_equal(F.pad(fastnn.tensor(x), (1, 1), value=np.inf).numpy(), [[[np.inf, np.nan, np.inf, np.inf]]])


def test_images_stay_channels_last():
    x = fastnn.Tensor(ops.to_channels_last(np.ones((2, 3, 4, 5), np.float32)))
    for mode, pad in itertools.product(MODES, [(1, 1), (1, 1, 2, 1), (0, 0, 0, 0, 1, 2)]):
        if mode == "constant" or len(pad) == 4:
            assert F.pad(x, pad, mode).numpy().transpose(0, 2, 3, 1).flags.c_contiguous


@pytest.mark.parametrize(
    ("args", "kind", "message"),
    [
        (((1, 1, 1),), ValueError, "pad has 3 numbers; expected an even number, at most 8"),
        (((1,) * 10,), ValueError, "pad has 10 numbers"),
        (((1, 0.5),), TypeError, r"pad is \(1, 0.5\); expected a sequence of integers"),
        ((3,), TypeError, "pad is 3; expected a sequence"),
        (((1, 1), "mirror"), ValueError, "mode is 'mirror'; expected 'constant'"),
        (((1, 1), "reflect"), ValueError, r"x has shape \(1, 2, 3, 4\) and pad has 2 numbers; with mode 'reflect'"),
        (((1, 1, 1, 1), "reflect", 1.0), ValueError, "value is 1.0; mode 'reflect' takes none"),
        (((-3, -3),), ValueError, "a dimension of 4 is cropped by 3 and 3 elements"),
        (((-5, 3),), ValueError, "a dimension of 4 is cropped by 5 and 0 elements"),
        (((3, -5, 0, 0),), ValueError, "a dimension of 4 is cropped by 0 and 5 elements"),
        (((1, 1), "constant", "x"), TypeError, "value is 'x'; expected a number"),
    ],
)
def test_errors(args, kind, message):
    with pytest.raises(kind, match=f"^pad: {message}"):
        F.pad(fastnn.zeros(1, 2, 3, 4), *args)
    with pytest.raises(TypeError, match="pad: x is ndarray"):
        F.pad(np.zeros(3), (1, 1))


# ---- layers -------------------------------------------------------------------------------------------------------

LAYERS = [
    (f"{kind}{d}d", ((2, *([1] * (2 * d - 1))), *more), shape)
    for kind, more in [
        ("ConstantPad", (0.5,)),
        ("ZeroPad", ()),
        ("ReflectionPad", ()),
        ("ReplicationPad", ()),
        ("CircularPad", ()),
    ]
    for d, shape in [(1, (2, 3, 5)), (2, (2, 3, 5, 4)), (3, (2, 3, 4, 5, 4))]
]


@pytest.mark.parametrize(("name", "args", "shape"), LAYERS)
def test_layers_against_torch(name, args, shape):
    torch = pytest.importorskip("torch")
    for arguments in (args, (2, *args[1:])):
        ours, theirs = getattr(nn, name)(*arguments), getattr(torch.nn, name)(*arguments)
        assert repr(ours) == repr(theirs)
        x = np.random.default_rng(0).standard_normal(shape).astype(np.float32)
        for a in (x, x[0]):
            assert_array_equal(ours(fastnn.tensor(a)).numpy(), theirs(torch.tensor(a)).numpy())


def test_errors_of_the_layers():
    with pytest.raises(ValueError, match=r"ReflectionPad2d: padding is \(1, 2\); expected one integer or four"):
        nn.ReflectionPad2d((1, 2))
    with pytest.raises(TypeError, match=r"ZeroPad1d: padding is 1\.5; expected an integer"):
        nn.ZeroPad1d(1.5)
    with pytest.raises(ValueError, match=r"CircularPad1d: x has shape \(1, 2, 3, 4\); expected \(N, C, L\)"):
        nn.CircularPad1d(1)(fastnn.zeros(1, 2, 3, 4))
    with pytest.raises(TypeError, match="ReplicationPad1d: x is ndarray"):
        nn.ReplicationPad1d(1)(np.zeros((1, 2, 3)))
