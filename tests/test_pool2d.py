"""Max and average pooling: kernels against the oracle, bindings, functions and PyTorch."""

import itertools

import numpy as np
import pytest
from hypothesis import HealthCheck, assume, given, settings
from hypothesis import strategies as st
from numpy.testing import assert_allclose, assert_array_equal

import fastnn
import reference as ref
from fastnn import functional as F
from fastnn import ops

INF, NAN = np.inf, np.nan
CHANNELS = [1, 3, 4, 5, 6, 8, 15, 16, 17, 33]  # around 2, 4, 8 and 16 lanes
DTYPES = [np.float32, np.float64]

WINDOWS = {  # height and width of x, arguments of max and of average pooling
    "plain": ((4, 6), {"kernel_size": 2}),
    "rest unread": ((5, 7), {"kernel_size": 2}),
    "1x1": ((3, 4), {"kernel_size": 1}),
    "1x1 strided": ((5, 4), {"kernel_size": 1, "stride": 2}),
    "overlapping": ((6, 7), {"kernel_size": 3, "stride": 2, "padding": 1}),
    "stride 1": ((5, 4), {"kernel_size": 3, "stride": 1, "padding": 1}),
    "stride over kernel": ((9, 10), {"kernel_size": 2, "stride": (3, 4)}),
    "rectangular": ((5, 7), {"kernel_size": (1, 3), "stride": (2, 1), "padding": (0, 1)}),
    "ceil": ((6, 7), {"kernel_size": 3, "stride": 2, "ceil_mode": True}),
    "side by side": ((7, 9), {"kernel_size": 3}),
    "ceil padded": ((6, 8), {"kernel_size": 3, "stride": 3, "padding": 1, "ceil_mode": True}),
    "ceil drops": ((3, 5), {"kernel_size": 2, "stride": 2, "padding": 1, "ceil_mode": True}),
    "kernel over input": ((1, 2), {"kernel_size": 3, "stride": 3, "ceil_mode": True}),
    "global": ((7, 5), {"kernel_size": (7, 5)}),
    "256 positions": ((17, 16), {"kernel_size": 16, "stride": 1}),
    "272 positions": ((17, 18), {"kernel_size": (16, 17), "stride": 1, "padding": (3, 8)}),
}
MAX_POOLS = WINDOWS | {
    "dilation": ((8, 9), {"kernel_size": (2, 3), "stride": 1, "dilation": (3, 2)}),
    "dilation ceil": ((8, 7), {"kernel_size": 3, "stride": 2, "padding": 1, "dilation": 2, "ceil_mode": True}),
    "nothing but padding": ((1, 4), {"kernel_size": 3, "stride": 3, "padding": 1, "dilation": 2, "ceil_mode": True}),
}
AVG_POOLS = (
    WINDOWS
    | {f"{name}, pad not counted": (hw, a | {"count_include_pad": False}) for name, (hw, a) in WINDOWS.items()}
    | {
        "divisor": ((5, 6), {"kernel_size": 3, "padding": 1, "divisor_override": 4}),
        "divisor ceil": ((6, 6), {"kernel_size": 3, "stride": 2, "ceil_mode": True, "divisor_override": -7}),
    }
)


@pytest.fixture
def rng():
    return np.random.default_rng(0)


def by_name(cases):
    return pytest.mark.parametrize(("size", "kwargs"), cases.values(), ids=cases.keys())


def close(actual, expected, dtype):
    assert actual.dtype == dtype
    tolerance = 2e-6 if dtype == np.float32 else 1e-14
    assert_allclose(actual, expected, rtol=tolerance, atol=tolerance)


def without_ceil(kwargs):
    """The oracle's max_pool2d_backward takes the output's size from dy."""
    return {name: value for name, value in kwargs.items() if name != "ceil_mode"}


def check_max(x, kwargs, rng):
    y, argmax = ops.max_pool2d_forward(x, **kwargs)
    expected, positions = ref.max_pool2d_forward(x, **kwargs)
    assert_array_equal(y, expected)
    assert_array_equal(argmax, positions)
    R, S = ref.pair(kwargs["kernel_size"])
    assert argmax.dtype == (np.uint8 if R * S <= 256 else np.int32)
    assert_array_equal(ops.max_pool2d_forward(x, **kwargs, return_argmax=False)[0], y)
    assert ops.max_pool2d_forward(x, **kwargs, return_argmax=False)[1] is None

    dy = rng.standard_normal(y.shape).astype(x.dtype)
    dx = ops.max_pool2d_backward(dy, argmax, x.shape, **kwargs)
    close(dx, ref.max_pool2d_backward(dy, positions, x.shape, **without_ceil(kwargs)), x.dtype)


def check_avg(x, kwargs, rng):
    y = ops.avg_pool2d_forward(x, **kwargs)
    close(y, ref.avg_pool2d_forward(x, **kwargs), x.dtype)
    dy = rng.standard_normal(y.shape).astype(x.dtype)
    close(ops.avg_pool2d_backward(dy, x.shape, **kwargs), ref.avg_pool2d_backward(dy, x.shape, **kwargs), x.dtype)


# Kernels against the oracle -----------------------------------------------------------------------


@pytest.mark.parametrize("dtype", DTYPES)
@by_name(MAX_POOLS)
def test_max(isa, size, kwargs, dtype, rng):
    for C in (1, 6, 17):
        x = rng.integers(-4, 5, (2, C, *size)).astype(dtype)  # with many ties
        check_max(x, kwargs, rng)


@pytest.mark.parametrize("dtype", DTYPES)
@by_name(AVG_POOLS)
def test_avg(isa, size, kwargs, dtype, rng):
    for C in (1, 6, 17):
        check_avg(rng.standard_normal((2, C, *size)).astype(dtype), kwargs, rng)


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("C", CHANNELS)
def test_channels(isa, C, dtype, rng):
    for N, size in itertools.product((1, 3), ((2, 2), (6, 7))):
        x = rng.integers(-4, 5, (N, C, *size)).astype(dtype)
        for kwargs in ({"kernel_size": 2}, {"kernel_size": 3, "stride": 2, "padding": 1}):
            check_max(x, kwargs, rng)
            check_avg(x, kwargs, rng)


@st.composite
def pools(draw):
    def ints(low, high):
        return st.tuples(st.integers(low, high), st.integers(low, high))

    shape = (draw(st.integers(0, 2)), draw(st.integers(1, 20)), *draw(ints(1, 9)))
    kernel, stride, dilation = draw(ints(1, 4)), draw(ints(1, 5)), draw(ints(1, 3))
    padding = tuple(draw(st.integers(0, k // 2)) for k in kernel)
    kwargs = {"kernel_size": kernel, "stride": stride, "padding": padding, "ceil_mode": draw(st.booleans())}
    return shape, kwargs, dilation


# The fixture sets the same instruction set for every example.
@settings(deadline=None, max_examples=60, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(pools(), st.booleans(), st.integers(0, 9))
def test_any_window(isa, pool, count_include_pad, seed):
    shape, kwargs, dilation = pool
    window = zip(shape[2:], kwargs["kernel_size"], kwargs["stride"], kwargs["padding"], strict=True)
    window = list(window)
    assume(all(ref.pool_output_size(*w, 1, kwargs["ceil_mode"]) >= 1 for w in window))
    rng = np.random.default_rng(seed)
    x = rng.integers(-3, 4, shape).astype(np.float32)
    check_avg(x, kwargs | {"count_include_pad": count_include_pad}, rng)
    if all(ref.pool_output_size(*w, d, kwargs["ceil_mode"]) >= 1 for w, d in zip(window, dilation, strict=True)):
        check_max(x, kwargs | {"dilation": dilation}, rng)


@pytest.mark.parametrize("layout", ["channels-last", "strided", "reversed", "transposed", "byte-swapped", "read-only"])
def test_memory_layouts(layout, rng):
    base = rng.standard_normal((2, 5, 8, 6)).astype(np.float32)
    x = {
        "channels-last": lambda: ops.to_channels_last(base),
        "strided": lambda: np.repeat(base, 2, axis=3)[..., ::2],
        "reversed": lambda: base[::-1, :, ::-1, ::-1],
        "transposed": lambda: base.transpose(0, 1, 3, 2),
        "byte-swapped": lambda: base.astype(">f4"),
        "read-only": lambda: np.frombuffer(base.tobytes(), np.float32).reshape(base.shape),
    }[layout]()
    kwargs = {"kernel_size": 3, "stride": 2, "padding": 1}
    plain = np.array(x, np.float32, order="C")
    y, argmax = ops.max_pool2d_forward(x, **kwargs)
    assert_array_equal(y, ref.max_pool2d_forward(plain, **kwargs)[0])
    assert_array_equal(ops.avg_pool2d_forward(x, **kwargs), ops.avg_pool2d_forward(plain, **kwargs))
    dx = ops.max_pool2d_backward(y, argmax, x.shape, **kwargs)
    dy, argmax = y[:, ::-1][:, ::-1].copy(), np.ascontiguousarray(argmax)
    assert_array_equal(ops.max_pool2d_backward(dy, argmax, x.shape, **kwargs), dx)


def test_results_are_channels_last(rng):
    x = rng.standard_normal((2, 5, 4, 6))
    y, argmax = ops.max_pool2d_forward(x, 2)
    dx = ops.max_pool2d_backward(y, argmax, x.shape, 2)
    mean = ops.avg_pool2d_forward(x, 2)
    for a in (y, argmax, dx, mean, ops.avg_pool2d_backward(mean, x.shape, 2)):
        assert a.transpose(0, 2, 3, 1).flags.c_contiguous


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize(("C", "size"), [(6, 56), (64, 28), (1, 96)])
def test_same_bits_on_any_number_of_threads(isa, C, size, dtype, rng):
    x = rng.standard_normal((24, C, size, size)).astype(dtype)
    results = {}
    for threads in (1, 2, 3):
        before = ops.get_num_threads()
        ops.set_num_threads(threads)
        try:
            for kwargs in ({"kernel_size": 2}, {"kernel_size": 3, "stride": 2, "padding": 1}):
                y, argmax = ops.max_pool2d_forward(x, **kwargs)
                mean = ops.avg_pool2d_forward(x, **kwargs)
                dx = ops.max_pool2d_backward(mean, argmax, x.shape, **kwargs)
                arrays = (y, argmax, mean, dx, ops.avg_pool2d_backward(y, x.shape, **kwargs))
                results.setdefault(str(kwargs), []).append([a.tobytes() for a in arrays])
        finally:
            ops.set_num_threads(before)
    for first, *others in results.values():
        assert all(other == first for other in others)


# Special values -----------------------------------------------------------------------------------


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize(
    ("window", "winner"),
    [
        ([1, NAN, 5, NAN], 3),
        ([NAN, INF, 1, 2], 0),
        ([INF, 1, 2, NAN], 3),
        ([-INF, -INF, -INF, -INF], 0),
        ([-INF, -INF, -3, -INF], 2),
        ([0.0, -0.0, 0.0, -0.0], 0),
        ([-0.0, 0.0, 0.0, -0.0], 0),
        ([2, 7, 7, 2], 1),
        ([INF, INF, 1, 1], 0),
    ],
)
def test_which_element_wins(isa, window, winner, dtype):
    for C in (1, 5, 17):
        x = np.broadcast_to(np.array(window, dtype).reshape(2, 2), (1, C, 2, 2))
        y, argmax = ops.max_pool2d_forward(x, 2)
        assert_array_equal(argmax, np.full((1, C, 1, 1), winner))
        assert y.tobytes() == np.full(C, window[winner], dtype).tobytes()


def test_padding_never_wins(isa):
    x = np.full((1, 3, 3, 3), -INF, np.float32)
    y, argmax = ops.max_pool2d_forward(x, 3, 2, 1)
    assert_array_equal(y, np.full((1, 3, 2, 2), -INF))
    assert_array_equal(argmax[0, 0], [[4, 3], [1, 0]])
    dx = ops.max_pool2d_backward(np.ones_like(y), argmax, x.shape, 3, 2, 1)
    assert_array_equal(dx[0, 0], [[1, 1, 0], [1, 1, 0], [0, 0, 0]])


def test_gradient_of_a_window_of_padding_is_dropped(isa):
    window = {"kernel_size": 3, "stride": 3, "padding": 1, "dilation": 2, "ceil_mode": True}
    x = np.ones((1, 5, 1, 4), np.float32)  # all windows see the rows -1, 1 and 3
    y, argmax = ops.max_pool2d_forward(x, **window)
    assert_array_equal(y, np.full((1, 5, 1, 2), -INF))
    assert_array_equal(argmax, np.zeros(y.shape))
    assert_array_equal(ops.max_pool2d_backward(np.full_like(y, NAN), argmax, x.shape, **window), np.zeros(x.shape))


def test_positions_out_of_range_are_dropped(isa, rng):
    dy = np.ones((1, 5, 2, 2), np.float32)
    for position in (4, 200, 255):
        dx = ops.max_pool2d_backward(dy, np.full(dy.shape, position, np.uint8), (1, 5, 4, 4), 2)
        assert_array_equal(dx, np.zeros((1, 5, 4, 4)))
    for position in (-1, 17 * 17, 2**31 - 1, -(2**31)):
        dx = ops.max_pool2d_backward(dy[..., :1, :1], np.full((1, 5, 1, 1), position, np.int32), (1, 5, 17, 17), 17)
        assert_array_equal(dx, np.zeros((1, 5, 17, 17)))


def test_average_propagates_nan_and_infinity(isa, rng):
    x = rng.standard_normal((1, 5, 8, 8)).astype(np.float32)
    x[0, 1, 2, 3], x[0, 2, 0, 0], x[0, 3, 4, 4], x[0, 3, 4, 5] = NAN, INF, INF, -INF
    with np.errstate(invalid="ignore"):
        expected = ref.avg_pool2d_forward(x, 3, 2, 1)
    assert_allclose(ops.avg_pool2d_forward(x, 3, 2, 1), expected, rtol=1e-5, atol=1e-6)


def test_nan_gradients_stay_in_their_windows(isa):
    dy = np.zeros((1, 3, 2, 2), np.float32)
    dy[0, 1, 0, 0] = NAN
    argmax = np.full(dy.shape, 3, np.uint8)
    dx = ops.max_pool2d_backward(dy, argmax, (1, 3, 4, 4), 2)
    assert np.argwhere(np.isnan(dx)).tolist() == [[0, 1, 1, 1]]


@pytest.mark.parametrize("shape", [(0, 3, 4, 4), (2, 0, 4, 4), (0, 0, 4, 4)])
def test_empty(isa, shape):
    out = (*shape[:2], 2, 2)
    y, argmax = ops.max_pool2d_forward(np.empty(shape, np.float32), 2)
    assert y.shape == argmax.shape == out
    assert ops.max_pool2d_backward(y, argmax, shape, 2).shape == shape
    assert ops.avg_pool2d_forward(np.empty(shape), 2).shape == out
    assert ops.avg_pool2d_backward(y, shape, 2).shape == shape


# Wrong arguments ----------------------------------------------------------------------------------


X = np.zeros((1, 2, 4, 6), np.float32)
DY = np.zeros((1, 2, 2, 3), np.float32)
ARGMAX = np.zeros((1, 2, 2, 3), np.uint8)
BOTH = ("max_pool2d_forward", "avg_pool2d_forward")
BAD_WINDOWS = [  # arguments, error, what the message holds
    ((X[0], 2), ValueError, r"x has shape \(2, 4, 6\); expected 4 dimensions"),
    ((X.astype(int), 2), TypeError, "x has dtype int64; expected float32 or float64"),
    (("x", 2), TypeError, "x is a str"),
    ((X, 0), ValueError, "kernel_size is 0; expected 1"),
    ((X, (2, -1)), ValueError, "kernel_size is -1"),
    ((X, 2.5), TypeError, "kernel_size is 2.5"),
    ((X, (2, 2, 2)), TypeError, r"kernel_size is \(2, 2, 2\); expected an int or a pair"),
    ((X, (2, "a")), TypeError, "kernel_size holds a str"),
    ((X, 2, 0), ValueError, "stride is 0"),
    ((X, 2, (-1, 1)), ValueError, "stride is -1"),
    ((X, 2, 2, -1), ValueError, "padding is -1"),
    ((X, 2, 2, 2), ValueError, "padding is 2; expected at most half of kernel_size 2"),
    ((X, (3, 1), 1, 1), ValueError, "padding is 1; expected at most half of kernel_size 1"),
    ((X, 5), ValueError, r"kernel's extent is 5 \(kernel_size 5, dilation 1\).* height 4 with padding 0"),
    ((X, (1, 7)), ValueError, "kernel's extent is 7 .* width 6"),
    ((X[:, :, :0], 1), ValueError, "the input has height 0"),
    ((X[..., :0], 2, 2, 1), ValueError, "the input has width 0"),
    ((X, 2**40), ValueError, "kernel_size is .* elements"),
    ((X, 2**41), ValueError, "kernel_size is 2199023255552"),
    ((X, 2**70), ValueError, "kernel_size is"),
    ((X, 2, 2**70), ValueError, "stride is"),
    ((X, 2, 2, 2**40), ValueError, "padding is 1099511627776; expected at most half"),
    ((X, (2**31, 1)), ValueError, "kernel_size is .* elements"),
    ((X, (2**31 - 1, 1)), ValueError, "kernel's extent is 2147483647"),
]


@pytest.mark.parametrize("op", BOTH)
@pytest.mark.parametrize(("args", "error", "message"), BAD_WINDOWS)
def test_bad_windows(op, args, error, message):
    with pytest.raises(error, match=f"{op}: .*{message}"):
        getattr(ops, op)(*args)


@pytest.mark.parametrize(
    ("op", "args", "error", "message"),
    [
        ("max_pool2d_forward", (X, 2, 1, 0, 0), ValueError, "dilation is 0"),
        ("max_pool2d_forward", (X, 3, 1, 0, 2), ValueError, "kernel's extent is 5 .kernel_size 3, dilation 2"),
        ("max_pool2d_forward", (X, 3, 1, 0, 2**40), ValueError, "kernel's extent is"),
        ("max_pool2d_forward", (X, (2**30, 1), 1, 0, 2**40), ValueError, "kernel_size 1073741824 .* is too large"),
        ("avg_pool2d_forward", (X, 2, 2, 0, False, True, 0), ValueError, "divisor_override is 0"),
        ("avg_pool2d_forward", (X, 2, 2, 0, False, True, 2**70), ValueError, "divisor_override is"),
        ("avg_pool2d_forward", (X, 2, 2, 0, False, True, 1.5), TypeError, "divisor_override holds a float"),
        ("max_pool2d_backward", (DY[..., :2], ARGMAX, X.shape, 2), ValueError, r"dy .*; expected \(1, 2, 2, 3\)"),
        ("max_pool2d_backward", (DY, ARGMAX[..., :2], X.shape, 2), ValueError, r"argmax .*expected \(1, 2, 2, 3\)"),
        ("max_pool2d_backward", (DY, ARGMAX[0], X.shape, 2), ValueError, r"argmax has shape \(2, 2, 3\)"),
        ("max_pool2d_backward", (DY, ARGMAX.astype(int), X.shape, 2), TypeError, "argmax has dtype int64.* uint8"),
        (
            "max_pool2d_backward",
            (DY[..., :1, :1], ARGMAX[..., :1, :1], (1, 2, 20, 20), 20),
            TypeError,
            "argmax has dtype uint8; expected int32 for kernel_size .20, 20.",
        ),
        ("max_pool2d_backward", (DY, None, X.shape, 2), TypeError, "argmax is a NoneType"),
        ("max_pool2d_backward", (DY, ARGMAX, X.shape[1:], 2), TypeError, "input_size is .*expected 4 ints"),
        ("max_pool2d_backward", (DY, ARGMAX, (1, 2, -4, 6), 2), ValueError, "input_size is -4"),
        ("max_pool2d_backward", (DY.astype(int), ARGMAX, X.shape, 2), TypeError, "dy has dtype int64"),
        ("avg_pool2d_backward", (DY[0], X.shape, 2), ValueError, "dy has shape .*; expected 4 dimensions"),
        ("avg_pool2d_backward", (DY, (1, 3, 4, 6), 2), ValueError, r"dy .*expected \(1, 3, 2, 3\)"),
        ("avg_pool2d_backward", (DY, X.shape, 5), ValueError, "kernel's extent is 5"),
    ],
)
def test_bad_arguments(op, args, error, message):
    with pytest.raises(error, match=f"{op}: .*{message}"):
        getattr(ops, op)(*args)


def test_large_parameters_that_fit(isa):
    """A window may be far larger than the input: time and arithmetic follow the input's size."""
    x = np.arange(6, dtype=np.float64).reshape(1, 1, 2, 3)
    far = {"kernel_size": (2, 1), "stride": (2**40, 1), "dilation": (2**40, 1), "ceil_mode": True}
    y, argmax = ops.max_pool2d_forward(x, **far)
    assert_array_equal(y, x[:, :, :1])
    dx = ops.max_pool2d_backward(y, argmax, x.shape, **far)
    assert_array_equal(dx, np.where(x < 3, x, 0))
    assert_array_equal(ops.max_pool2d_forward(x, 1, 2**40)[0], [[[[0]]]])
    k = 2**31 - 1
    y = ops.avg_pool2d_forward(x, (k, 1), 1, (k // 2, 0), True, False)
    assert_array_equal(y[0, 0, 0], x[0, 0].mean(axis=0))


# Functions on tensors -----------------------------------------------------------------------------


def test_functions_keep_what_backward_needs(rng):
    x = rng.standard_normal((2, 3, 6, 6))
    for function in (F.max_pool2d, F.avg_pool2d):
        t = fastnn.tensor(x, requires_grad=True)
        y = function(t, 3, 2, 1)
        y.sum().backward()
        assert t.grad.shape == x.shape
        with fastnn.no_grad():
            assert not function(t, 2).requires_grad
        assert not function(fastnn.tensor(x), 2).requires_grad


def test_max_positions_are_made_only_for_backward(monkeypatch):
    wanted = []
    forward = ops.max_pool2d_forward

    def spy(*args, return_argmax):
        wanted.append(return_argmax)
        return forward(*args, return_argmax=return_argmax)

    monkeypatch.setattr(ops, "max_pool2d_forward", spy)
    x = fastnn.tensor(X, requires_grad=True)
    F.max_pool2d(x, 2)
    F.max_pool2d(x.detach(), 2)
    with fastnn.no_grad():
        F.max_pool2d(x, 2)
    assert wanted == [True, False, False]


@pytest.mark.parametrize("function", [F.max_pool2d, F.avg_pool2d])
def test_one_image(function, rng):
    images = rng.standard_normal((1, 3, 6, 7))
    x, one = fastnn.tensor(images, requires_grad=True), fastnn.tensor(images[0], requires_grad=True)
    y, y_one = function(x, 3, 2, 1), function(one, 3, 2, 1)
    assert_array_equal(y_one.detach().numpy(), y.detach().numpy()[0])
    dy = rng.standard_normal(y.shape)
    y.backward(fastnn.tensor(dy))
    y_one.backward(fastnn.tensor(dy[0]))
    assert_array_equal(one.grad.numpy(), x.grad.numpy()[0])
    for shape in ((6, 7), (1, 1, 3, 6, 7)):
        with pytest.raises(ValueError, match=rf"{function.__name__}: x has shape .*; expected \(N, C, H, W\)"):
            function(fastnn.tensor(np.zeros(shape)), 2)


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("op", ["max_pool2d", "avg_pool2d"])
def test_pytorch(op, dtype, rng):
    torch = pytest.importorskip("torch")
    for size, kwargs in (MAX_POOLS if op == "max_pool2d" else AVG_POOLS).values():
        for lead in ((2, 5), (3,)):
            values = rng.integers(-9, 10, (*lead, *size)).astype(dtype)
            x = fastnn.tensor(values, requires_grad=True)
            x_torch = torch.tensor(values, requires_grad=True)
            y = getattr(F, op)(x, **kwargs)
            y_torch = getattr(torch.nn.functional, op)(x_torch, **kwargs)
            close(y.detach().numpy(), y_torch.detach().numpy(), dtype)
            if np.isinf(y.detach().numpy()).any():
                continue  # PyTorch gives the gradient of a window of padding to some element
            dy = rng.standard_normal(y.shape).astype(dtype)
            y.backward(fastnn.tensor(dy))
            y_torch.backward(torch.tensor(dy))
            close(x.grad.numpy(), x_torch.grad.numpy(), dtype)
