"""Resizing: kernels against an oracle, F.interpolate and the layers against PyTorch, gradients, errors."""

import itertools

import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal

import fastnn
from fastnn import functional as F
from fastnn import nn, ops

DTYPES = [np.float32, np.float64]
SIZES = [(5, 4), (10, 8), (1, 1), (3, 9), (7, 3), (20, 12)]  # of 5 x 4 pixels
WAYS = [("nearest", False), ("nearest-exact", False), ("bilinear", False), ("bilinear", True)]


def matrix(size, count, mode, align_corners):
    """A (count, size): what the elements of the output consist of, so that a row is resized by A @ x."""
    A = np.zeros((count, size))
    for i in range(count):
        if mode == "bilinear":
            at = i * (size - 1) / max(count - 1, 1) if align_corners else max((i + 0.5) * size / count - 0.5, 0)
            low = min(int(at), size - 1)
            A[i, low] += 1 - (at - low)
            A[i, min(low + 1, size - 1)] += at - low
        else:
            # Which one is nearest is decided in single precision, as in PyTorch.
            middle = np.float32(i + 0.5 if mode == "nearest-exact" else i)
            A[i, min(int(np.floor(middle * (np.float32(size) / np.float32(count)))), size - 1)] = 1
    return A


def close(actual, expected, dtype):
    assert actual.dtype == dtype
    tolerance = 1e-5 if dtype == np.float32 else 1e-13
    assert_allclose(actual, expected, rtol=tolerance, atol=tolerance)


# ---- kernels ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize(("mode", "align_corners"), WAYS)
def test_kernels(isa, mode, align_corners, dtype):
    rng = np.random.default_rng(0)
    for C, size in itertools.product((1, 3, 8, 16, 33, 70), SIZES):
        x = rng.standard_normal((2, C, 5, 4)).astype(dtype)
        A, B = (matrix(*sizes, mode, align_corners) for sizes in zip((5, 4), size, strict=True))
        y = ops.upsample2d_forward(x, size, mode, align_corners)
        close(y, A @ x.astype(np.float64) @ B.T, dtype)
        assert y.transpose(0, 2, 3, 1).flags.c_contiguous
        dy = rng.standard_normal(y.shape).astype(dtype)
        close(ops.upsample2d_backward(dy, x.shape, mode, align_corners), A.T @ dy.astype(np.float64) @ B, dtype)


@pytest.mark.parametrize("mode", ["nearest", "bilinear"])
def test_memory_layouts_and_empty_arrays(isa, mode):
    x = np.random.default_rng(0).standard_normal((2, 5, 4, 6)).astype(np.float32)
    y = ops.upsample2d_forward(x, (7, 9), mode)
    dx = ops.upsample2d_backward(y, x.shape, mode)
    for view in (ops.to_channels_last(x), np.repeat(x, 2, axis=3)[..., ::2], x[:, :, ::-1].copy()[:, :, ::-1]):
        assert_array_equal(ops.upsample2d_forward(view, (7, 9), mode), y)
    assert_array_equal(ops.upsample2d_backward(np.ascontiguousarray(y), x.shape, mode), dx)
    for shape in [(0, 5, 4, 6), (2, 0, 4, 6)]:
        empty = ops.upsample2d_forward(np.zeros(shape), (7, 9), mode)
        assert empty.shape == (*shape[:2], 7, 9)
        assert ops.upsample2d_backward(empty, shape, mode).shape == shape


def test_large_outputs_bypass_the_caches(isa):
    x = np.random.default_rng(0).standard_normal((1, 64, 65, 63)).astype(np.float32)
    for mode in ("nearest", "bilinear"):
        whole = ops.upsample2d_forward(np.repeat(x, 9, axis=0), (130, 126), mode)  # 38 MB
        assert_array_equal(whole, np.repeat(ops.upsample2d_forward(x, (130, 126), mode), 9, axis=0))


@pytest.mark.parametrize("mode", ["nearest", "bilinear"])
def test_same_bits_on_any_number_of_threads(threads, mode):
    x = np.random.default_rng(0).standard_normal((3, 5, 40, 30)).astype(np.float32)
    y = ops.upsample2d_forward(x, (77, 91), mode)
    dx = ops.upsample2d_backward(y, x.shape, mode)
    ops.set_num_threads(1)
    assert ops.upsample2d_forward(x, (77, 91), mode).tobytes() == y.tobytes()
    assert ops.upsample2d_backward(y, x.shape, mode).tobytes() == dx.tobytes()


@pytest.mark.parametrize("mode", ["nearest", "nearest-exact", "bilinear"])
@pytest.mark.parametrize("scale", [1e-320, 1e-30, 1e300])
def test_extreme_scales_stay_inside(mode, scale):
    x = np.arange(6, dtype=np.float32).reshape(1, 1, 2, 3)
    y = ops.upsample2d_forward(x, (4, 7), mode, scales=(scale, scale))
    assert set(y.ravel()) <= set(x.ravel())
    assert ops.upsample2d_backward(y, x.shape, mode, scales=(scale, scale)).sum() == y.sum()


def test_nearest_is_the_kronecker_product_with_ones(isa):
    x = np.random.default_rng(0).standard_normal((2, 3, 4, 5)).astype(np.float32)
    x[0, 0, 0, 0] = np.nan
    y = F.interpolate(fastnn.tensor(x), scale_factor=(2, 3)).numpy()
    assert_array_equal(y[1, 2], np.kron(x[1, 2], np.ones((2, 3), np.float32)))
    assert np.isnan(y).sum() == 6


@pytest.mark.parametrize(
    ("call", "kind", "message"),
    [
        (lambda x: ops.upsample2d_forward(x[0], 2), ValueError, r"x has shape \(2, 4, 5\); expected 4"),
        (lambda x: ops.upsample2d_forward(x, 2, "cubic"), ValueError, "mode is 'cubic'; expected nearest"),
        (
            lambda x: ops.upsample2d_forward(x, 2, align_corners=True),
            ValueError,
            "align_corners is True; expected False",
        ),
        (lambda x: ops.upsample2d_forward(x, 0), ValueError, "output_size is 0; expected 1"),
        (lambda x: ops.upsample2d_forward(x, 2, scales=3), TypeError, "scales is 3; expected 2 numbers"),
        (lambda x: ops.upsample2d_forward(x, 2, scales=(1, 0)), ValueError, "scales holds 0; expected numbers above 0"),
        (lambda x: ops.upsample2d_forward(x, 2, scales=("a", 1)), ValueError, "scales holds 'a'"),
        (lambda x: ops.upsample2d_forward(x[:, :, :0], 2), ValueError, "the input has 0 x 5 pixels"),
        (lambda x: ops.upsample2d_backward(x, (2, 2, 2, 2)), ValueError, r"dy has shape \(1, 2, 4, 5\); expected"),
    ],
)
def test_errors_of_the_kernels(call, kind, message):
    with pytest.raises(kind, match=f"^upsample2d_(forward|backward): {message}"):
        call(np.zeros((1, 2, 4, 5), np.float32))


# ---- F.interpolate ------------------------------------------------------------------------------------------------

HOW = [
    {"size": 5},
    {"size": 14},
    {"size": 1},
    {"scale_factor": 2},
    {"scale_factor": 1.7},
    {"scale_factor": 0.6},
    {"scale_factor": 1.7, "recompute_scale_factor": True},
]
GRID = [(mode, (2, 3, 7), how) for mode in ("nearest", "nearest-exact", "linear", "area") for how in HOW]
GRID += [
    (mode, (2, 5, 6, 7), how)
    for mode in ("nearest", "nearest-exact", "bilinear", "area")
    for how in [*HOW, {"size": (3, 11)}, {"scale_factor": (2.0, 0.5)}, {"size": [6, 7]}]
]
# As many elements as before, but not the same ones.
GRID += [("nearest-exact", shape, {"scale_factor": 1.1}) for shape in ((2, 3, 7), (2, 5, 6, 7))]


@pytest.mark.parametrize(("mode", "shape", "how"), GRID)
def test_against_torch(mode, shape, how):
    torch = pytest.importorskip("torch")
    rng = np.random.default_rng(0)
    for align_corners, dtype in itertools.product((None, True, False) if "linear" in mode else (None,), DTYPES):
        a = rng.standard_normal(shape).astype(dtype)
        x, tx = fastnn.tensor(a, requires_grad=True), torch.tensor(a, requires_grad=True)
        y = F.interpolate(x, mode=mode, align_corners=align_corners, **how)
        ty = torch.nn.functional.interpolate(tx, mode=mode, align_corners=align_corners, **how)
        tolerance = 1e-5 if dtype == np.float32 else 1e-12
        assert_allclose(y.detach().numpy(), ty.detach().numpy(), rtol=tolerance, atol=tolerance)
        dy = rng.standard_normal(y.shape).astype(dtype)
        y.backward(dy)
        ty.backward(torch.tensor(dy))
        assert_allclose(x.grad.numpy(), tx.grad.numpy(), rtol=tolerance, atol=tolerance)


@pytest.mark.parametrize(
    ("mode", "shape"), [("nearest", (1, 2, 3, 2)), ("bilinear", (1, 2, 3, 2)), ("linear", (2, 1, 3))]
)
def test_gradcheck(mode, shape):
    x = fastnn.tensor(np.random.default_rng(0).standard_normal(shape), requires_grad=True)
    assert fastnn.gradcheck(lambda x: F.interpolate(x, scale_factor=1.7, mode=mode), x)


@pytest.mark.parametrize(
    ("kwargs", "kind", "message"),
    [
        ({}, ValueError, "expected either size or scale_factor"),
        ({"size": 3, "scale_factor": 2}, ValueError, "expected either size or scale_factor"),
        ({"size": (3, 3, 3)}, ValueError, r"size is \(3, 3, 3\); expected one number or 2"),
        ({"size": 2.5}, TypeError, "size is 2.5; expected integers"),
        ({"size": 0}, ValueError, "size is 0; expected at least 1"),
        ({"scale_factor": "2"}, TypeError, "scale_factor is '2'; expected numbers"),
        ({"scale_factor": -1}, ValueError, "scale_factor is -1; expected numbers above 0"),
        ({"scale_factor": 0.1}, ValueError, r"scale_factor 0.1 leaves \[0, 0\] of \[4, 5\]"),
        ({"size": 3, "mode": "linear"}, ValueError, "mode is 'linear'; expected one of nearest"),
        ({"size": 3, "align_corners": True}, ValueError, "align_corners is True; mode 'nearest' takes none"),
        ({"size": 3, "recompute_scale_factor": True}, ValueError, "recompute_scale_factor needs scale_factor"),
        ({"size": 3, "mode": "bicubic"}, NotImplementedError, "mode 'bicubic' is not supported"),
        ({"size": 3, "antialias": True}, NotImplementedError, "antialias=True is not supported"),
    ],
)
def test_errors(kwargs, kind, message):
    with pytest.raises(kind, match=f"^interpolate: {message}"):
        F.interpolate(fastnn.zeros(1, 2, 4, 5), **kwargs)


def test_wrong_inputs():
    with pytest.raises(TypeError, match="interpolate: x is ndarray"):
        F.interpolate(np.zeros((1, 2, 3)), 2)
    with pytest.raises(ValueError, match=r"interpolate: x has shape \(2, 3\)"):
        F.interpolate(fastnn.zeros(2, 3), 2)
    with pytest.raises(NotImplementedError, match=r"x of shape \(1, 1, 2, 2, 2\)"):
        F.interpolate(fastnn.zeros(1, 1, 2, 2, 2), 2)


# ---- layers -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("name", "kwargs"),
    [
        ("Upsample", {"scale_factor": 2}),
        ("Upsample", {"scale_factor": (2, 3.5), "mode": "bilinear"}),
        ("Upsample", {"size": (3, 9), "mode": "bilinear", "align_corners": True}),
        ("Upsample", {"scale_factor": 1.7, "mode": "bilinear", "recompute_scale_factor": True}),
        ("UpsamplingNearest2d", {"scale_factor": 3}),
        ("UpsamplingBilinear2d", {"size": 9}),
    ],
)
def test_layers_against_torch(name, kwargs):
    torch = pytest.importorskip("torch")
    ours, theirs = getattr(nn, name)(**kwargs), getattr(torch.nn, name)(**kwargs)
    assert repr(ours) == repr(theirs)
    x = np.random.default_rng(0).standard_normal((2, 3, 5, 6)).astype(np.float32)
    assert_allclose(ours(fastnn.tensor(x)).numpy(), theirs(torch.tensor(x)).numpy(), rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("factor", ["2", (2, "2")])
def test_a_factor_is_a_number(factor):
    with pytest.raises(TypeError, match=r"^Upsample: scale_factor.* is '2'; expected a number"):
        nn.Upsample(scale_factor=factor)
