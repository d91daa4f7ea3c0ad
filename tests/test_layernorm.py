"""LayerNorm and RMSNorm: kernels against the oracle, and the functions and the layers against PyTorch."""

import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal

import fastnn
import reference_normalization as ref
from fastnn import functional as F
from fastnn import nn, ops

DTYPES = [np.float32, np.float64]
TOLERANCE = {np.float32: 5e-6, np.float64: 1e-13}
SIZES = [1, 2, 3, 4, 5, 7, 8, 9, 15, 16, 17, 33, 65, 768]  # around 2, 4, 8 and 16 lanes, and four vectors
LONG = 3 * 4096 + 5  # in pieces
LAYOUTS = {  # makes an array of this shape in some memory order
    "C order": lambda a: a,
    "channels-last": lambda a: ops.to_channels_last(a),
    "rows transposed": lambda a: np.ascontiguousarray(a.swapaxes(0, 1)).swapaxes(0, 1),
    "reversed": lambda a: np.ascontiguousarray(a[::-1, ..., ::-1])[::-1, ..., ::-1],
    "inside out": lambda a: np.asfortranarray(a),
    "every other": lambda a: np.repeat(a, 2, axis=-1)[..., ::2],
}


@pytest.fixture
def rng():
    return np.random.default_rng(0)


def close(actual, expected, inv_std=0.0):
    """Up to the rounding of sums, in terms of the largest value; 1 / std magnifies that of x - mean."""
    assert actual.shape == expected.shape
    largest = np.max(np.abs(expected), initial=1.0)
    factor = largest * max(1.0, np.max(inv_std, initial=0.0))
    assert_allclose(actual, expected, rtol=0, atol=TOLERANCE[actual.dtype.type] * factor)


def check(rng, shape, normalized, dtype, layout=lambda a: a, with_weight=True, with_bias=True):
    x, dy = (layout(a.astype(dtype)) for a in (rng.standard_normal((2, *shape)) * 2 + 1))
    w, b = rng.standard_normal((2, *normalized)).astype(dtype)
    w, b = w if with_weight else None, b if with_bias else None
    y, mean, inv_std = ops.layer_norm_forward(x, normalized, w, b)
    assert y.dtype == mean.dtype == inv_std.dtype == dtype
    close(y, ref.layer_norm_forward(x, normalized, w, b), inv_std)
    got = ops.layer_norm_backward(dy, x, mean, inv_std, normalized, w, with_bias)
    expected = ref.layer_norm_backward(dy, x, normalized, w)
    for wanted, a, e in zip((True, with_weight, with_bias), got, expected, strict=True):
        assert wanted or a is None
        if wanted:
            close(a, e, inv_std)

    y, inv_std = ops.rms_norm_forward(x, normalized, w)
    close(y, ref.layer_norm_forward(x, normalized, w, centered=False), inv_std)
    dx, dw = ops.rms_norm_backward(dy, x, inv_std, normalized, w)
    expected = ref.layer_norm_backward(dy, x, normalized, w, centered=False)
    close(dx, expected[0], inv_std)
    assert (dw is None) == (w is None)
    if with_weight:
        close(dw, expected[1], inv_std)


# Kernels against the oracle -----------------------------------------------------------------------


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("size", SIZES)
def test_sizes_of_rows(isa, rng, size, dtype):
    for rows in (1, 3, 4, 9, 37):
        check(rng, (rows, size), (size,), dtype)


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("rows", [1, 2, 7])
def test_long_rows(isa, rng, rows, dtype):
    check(rng, (rows, LONG), (LONG,), dtype)


@pytest.mark.parametrize("with_bias", [False, True])
@pytest.mark.parametrize("with_weight", [False, True])
@pytest.mark.parametrize("shape", [(5, 21), (5, LONG)])
def test_parameters(isa, rng, shape, with_weight, with_bias):
    check(rng, shape, shape[1:], np.float32, with_weight=with_weight, with_bias=with_bias)


@pytest.mark.parametrize("layout", LAYOUTS.values(), ids=LAYOUTS.keys())
@pytest.mark.parametrize("count", [1, 2, 3, 4])
def test_any_number_of_dimensions_in_any_layout(isa, rng, layout, count):
    shape = (3, 4, 5, 6)
    check(rng, shape, shape[4 - count :], np.float32, layout)


def test_layouts_stay(rng):
    """Where the normalized dimensions lie in one piece; a permuted view of an image is one row a pixel."""
    x = ops.to_channels_last(rng.standard_normal((2, 3, 4, 5)))
    for a, normalized in ((x, (3, 4, 5)), (x.transpose(0, 2, 3, 1), (3,)), (x[0].T.swapaxes(0, 1), (3,))):
        y, mean, inv_std = ops.layer_norm_forward(a, normalized)
        dx = ops.layer_norm_backward(y, a, mean, inv_std, normalized)[0]
        assert y.strides == dx.strides == a.strides


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("shape", [(700, 130), (9, LONG)])
def test_same_bits_on_any_number_of_threads(isa, rng, shape, dtype):
    x, dy = rng.standard_normal((2, *shape)).astype(dtype)
    w, b = rng.standard_normal((2, shape[1])).astype(dtype)
    before, results = ops.get_num_threads(), set()
    try:
        for threads in (1, 2, 3):
            ops.set_num_threads(threads)
            y, mean, inv_std = ops.layer_norm_forward(x, shape[1:], w, b)
            gradients = ops.layer_norm_backward(dy, x, mean, inv_std, shape[1:], w)
            results.add(tuple(a.tobytes() for a in (y, mean, inv_std, *gradients)))
    finally:
        ops.set_num_threads(before)
    assert len(results) == 1


def test_sums_over_many_rows_keep_their_digits(isa, rng):
    x, dy = (1 + rng.standard_normal((2, 50_000, 3))).astype(np.float32)
    _, mean, inv_std = ops.layer_norm_forward(x, (3,))
    _, dw, db = ops.layer_norm_backward(dy, x, mean, inv_std, (3,), np.ones(3, np.float32))
    _, expected_dw, expected_db = ref.layer_norm_backward(dy, x, (3,))
    assert_allclose(dw, expected_dw, rtol=0, atol=1e-6 * np.abs(dy).sum() / 3)
    assert_allclose(db, expected_db, rtol=1e-6)


# Statistics ---------------------------------------------------------------------------------------


@pytest.mark.parametrize("size", [50, 4097, 100_000])
def test_variance_far_from_zero(isa, rng, size):
    x = (1e4 + rng.standard_normal((3, size))).astype(np.float32)
    _, mean, inv_std = ops.layer_norm_forward(x, (size,))
    exact = x.astype(np.float64)
    assert_allclose(mean, exact.mean(1), rtol=6e-8)
    assert_allclose(inv_std, 1 / np.sqrt(exact.var(1) + 1e-5), rtol=1e-6)


@pytest.mark.parametrize("outlier", [0, 1, 5000])
def test_variance_beside_an_outlier(isa, rng, outlier):
    x = rng.standard_normal((2, 20_000)).astype(np.float32)
    x[:, outlier] = 1e3
    inv_std = ops.layer_norm_forward(x, (20_000,))[2]
    assert_allclose(inv_std, 1 / np.sqrt(x.astype(np.float64).var(1) + 1e-5), rtol=1e-5)


@pytest.mark.parametrize("value", [0.0, 0.1, 1e4, -3e30])
@pytest.mark.parametrize("size", [7, 20_000])
def test_constant_rows_have_variance_zero(isa, value, size):
    x = np.full((2, size), value, np.float32)
    y, mean, inv_std = ops.layer_norm_forward(x, (size,), eps=0.25)
    assert_array_equal(mean, x[:, 0])
    assert_array_equal(inv_std, 2)
    assert_array_equal(y, 0)


def test_nan_and_infinity_stay_in_their_rows(isa, rng):
    x = rng.standard_normal((9, 21)).astype(np.float32)
    x[2, 0], x[4, 20], x[6, 3] = np.nan, np.inf, np.nan
    y, mean, inv_std = ops.layer_norm_forward(x, (21,))
    ill = np.isin(np.arange(9), [2, 4, 6])
    assert_array_equal(np.isnan(y), np.broadcast_to(ill[:, None], y.shape))
    dx = ops.layer_norm_backward(np.ones_like(x), x, mean, inv_std, (21,))[0]
    assert_array_equal(np.isnan(dx), np.isnan(y))


# Bindings -----------------------------------------------------------------------------------------


@pytest.mark.parametrize("shape", [(0, 3), (0, 2, 3), (4, 0)])
def test_nothing_to_do(isa, shape):
    x, w = np.ones(shape, np.float32), np.ones(shape[-1:], np.float32)
    y, mean, inv_std = ops.layer_norm_forward(x, shape[-1:], w, w)
    assert y.shape == shape
    dx, dw, db = ops.layer_norm_backward(x, x, mean, inv_std, shape[-1:], w)
    assert dx.shape == shape
    assert_array_equal([dw, db], np.zeros((2, shape[-1])))


X, C = np.ones((4, 3), np.float32), np.ones(3, np.float32)
F4 = np.ones(4, np.float32)


@pytest.mark.parametrize(
    ("op", "arguments", "error", "message"),
    [
        ("layer_norm_forward", (X, (4,)), ValueError, r"x has shape \(4, 3\); expected its last dimensions to be \(4"),
        (
            "layer_norm_forward",
            (X, (1, 4, 3)),
            ValueError,
            r"x has shape \(4, 3\); expected its last dimensions to be \(1",
        ),
        ("layer_norm_forward", (X, ()), TypeError, r"normalized_shape is \(\); expected at least one int"),
        ("layer_norm_forward", (X, 3), TypeError, "normalized_shape is 3; expected at least one int"),
        ("layer_norm_forward", (X, (3.0,)), TypeError, "normalized_shape holds a float; expected an int"),
        ("layer_norm_forward", (X.astype(int), (3,)), TypeError, "x has dtype int64; expected float32 or float64"),
        ("layer_norm_forward", (X, (3,), C[:2]), ValueError, r"weight has shape \(2,\); expected \(3,\)"),
        ("layer_norm_forward", (X, (3,), C, C.astype(float)), TypeError, "bias has dtype float64, x has float32"),
        ("rms_norm_forward", (X, (4, 3), C), ValueError, r"weight has shape \(3,\); expected \(4, 3\)"),
        ("layer_norm_backward", (X.T, X, F4, F4, (3,)), ValueError, r"dy has shape \(3, 4\); expected \(4, 3\)"),
        ("layer_norm_backward", (X, X, C, F4, (3,)), ValueError, r"mean has shape \(3,\); expected \(4,\)"),
        ("rms_norm_backward", (X, X, C, (3,)), ValueError, r"inv_std has shape \(3,\); expected \(4,\)"),
    ],
)
def test_errors_of_the_ops(op, arguments, error, message):
    with pytest.raises(error, match=f"{op}: {message}"):
        getattr(ops, op)(*arguments)


# Functions and layers -----------------------------------------------------------------------------


def test_errors_of_functions_and_layers():
    x = fastnn.ones(2, 3)
    with pytest.raises(TypeError, match="layer_norm: x is ndarray; expected a Tensor"):
        F.layer_norm(X, (3,))
    with pytest.raises(TypeError, match="layer_norm: bias is ndarray; expected a Tensor"):
        F.layer_norm(x, (3,), bias=C)
    with pytest.raises(TypeError, match="rms_norm: eps is '1'; expected a number"):
        F.rms_norm(x, (3,), eps="1")
    with pytest.raises(TypeError, match="rms_norm_forward: x has dtype int64"):
        F.rms_norm(x.long(), (3,))
    with pytest.raises(ValueError, match=r"layer_norm_forward: x has shape \(2, 3\); expected its last"):
        nn.LayerNorm(4)(x)
    with pytest.raises(ValueError, match="LayerNorm: normalized_shape is 0; expected at least 1"):
        nn.LayerNorm((2, 0))
    with pytest.raises(ValueError, match=r"RMSNorm: normalized_shape is \(\); expected at least one integer"):
        nn.RMSNorm(())
    with pytest.raises(TypeError, match=r"LayerNorm: normalized_shape is 1\.5; expected an integer"):
        nn.LayerNorm(1.5)


@pytest.mark.parametrize(("shape", "count"), [((5, 3), 1), ((2, 3, 4), 2), ((2, 3, 2, 2), 3), ((4,), 1)])
def test_gradcheck(rng, shape, count):
    normalized = shape[len(shape) - count :]
    x = fastnn.tensor(rng.standard_normal(shape), requires_grad=True)
    w, b = (fastnn.tensor(v, requires_grad=True) for v in rng.standard_normal((2, *normalized)))
    assert fastnn.gradcheck(lambda x, w, b: F.layer_norm(x, normalized, w, b), (x, w, b))
    assert fastnn.gradcheck(lambda x: F.layer_norm(x, normalized), (x,))
    assert fastnn.gradcheck(lambda x, b: F.layer_norm(x, normalized, bias=b), (x, b))
    assert fastnn.gradcheck(lambda x, w: F.rms_norm(x, normalized, w), (x, w))


LAYERS = {
    "defaults": ("LayerNorm", {}),
    "no bias": ("LayerNorm", {"bias": False}),
    "not affine": ("LayerNorm", {"elementwise_affine": False}),
    "eps": ("LayerNorm", {"eps": 0.3}),
    "rms": ("RMSNorm", {}),
    "rms eps": ("RMSNorm", {"eps": 0.3}),
    "rms not affine": ("RMSNorm", {"elementwise_affine": False}),
}


@pytest.mark.parametrize(
    ("shape", "normalized"),
    [((7, 6), 6), ((2, 3, 6), [3, 6]), ((3, 4, 5, 2), (4, 5, 2)), ((3, 4, 2, 5), (5,)), ((0, 4), 4)],
)
@pytest.mark.parametrize(("name", "kwargs"), LAYERS.values(), ids=LAYERS.keys())
def test_layers_equal_pytorch(rng, shape, normalized, name, kwargs):
    torch = pytest.importorskip("torch")
    ours, theirs = (getattr(module, name)(normalized, **kwargs) for module in (nn, torch.nn))
    assert repr(ours) == repr(theirs)
    assert list(ours.state_dict()) == list(theirs.state_dict())
    for param, initial in zip(ours.parameters(), theirs.parameters(), strict=True):
        assert_array_equal(param.detach().numpy(), initial.detach().numpy())
        param.data[...] = rng.standard_normal(param.shape)
    theirs.load_state_dict({k: torch.tensor(v) for k, v in ours.state_dict().items()})
    x, dy = (rng.standard_normal((2, *shape)) * 3 + 5).astype(np.float32)
    t, p = fastnn.tensor(x, requires_grad=True), torch.tensor(x, requires_grad=True)
    y, expected = ours(t), theirs(p)
    y.backward(dy)
    expected.backward(torch.tensor(dy))
    close(y.detach().numpy(), expected.detach().numpy())
    close(t.grad.data, p.grad.numpy())
    for a, b in zip(ours.parameters(), theirs.parameters(), strict=True):
        close(a.grad.data, b.grad.numpy())


def test_double(rng):
    x = rng.standard_normal((5, 3))
    for layer, centered, eps in ((nn.LayerNorm(3), True, 1e-5), (nn.RMSNorm(3), False, np.finfo(float).eps)):
        y = layer.double()(fastnn.tensor(x)).detach().numpy()
        assert_allclose(y, ref.layer_norm_forward(x, (3,), eps=eps, centered=centered), rtol=1e-12)
