"""The oracle itself: against finite differences, against definitions and against PyTorch."""

import itertools

import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal

import reference as ref

INF, NAN = np.inf, np.nan

CONVS = {  # x's shape, w's shape, arguments
    "plain": ((2, 3, 5, 6), (4, 3, 3, 2), {}),
    "1x1": ((2, 3, 4, 5), (2, 3, 1, 1), {}),
    "1x1 strided": ((2, 3, 5, 4), (2, 3, 1, 1), {"stride": 2}),
    "stride over kernel": ((1, 2, 9, 8), (3, 2, 2, 2), {"stride": 3}),
    "unread last rows": ((1, 2, 8, 9), (2, 2, 3, 3), {"stride": (2, 4), "padding": (0, 1)}),
    "padding over kernel": ((1, 1, 2, 3), (2, 1, 2, 1), {"padding": (3, 2)}),
    "dilation": ((2, 2, 7, 8), (3, 2, 3, 2), {"dilation": (2, 3), "padding": (2, 1)}),
    "groups": ((2, 4, 5, 5), (6, 2, 3, 3), {"groups": 2, "padding": 1}),
    "depthwise": (
        (1, 3, 7, 6),
        (6, 1, 3, 3),
        {"groups": 3, "stride": 2, "padding": 1, "dilation": 2},
    ),
    "kernel fills input": ((2, 2, 3, 4), (5, 2, 3, 4), {}),
    "empty batch": ((0, 2, 4, 4), (3, 2, 3, 3), {"padding": 1}),
}
WINDOWS = {  # x's shape, arguments of max and of average pooling
    "plain": ((2, 3, 4, 6), {"kernel_size": 2}),
    "overlapping": ((1, 2, 6, 7), {"kernel_size": 3, "stride": 2, "padding": 1}),
    "stride over kernel": ((1, 2, 9, 10), {"kernel_size": 2, "stride": (3, 4)}),
    "rectangular": ((2, 1, 5, 7), {"kernel_size": (1, 3), "stride": (2, 1), "padding": (0, 1)}),
    "ceil": ((1, 2, 6, 7), {"kernel_size": 3, "stride": 2, "ceil_mode": True}),
    "ceil padded": ((1, 2, 6, 8), {"kernel_size": 3, "stride": 3, "padding": 1, "ceil_mode": True}),
    "ceil drops": ((1, 1, 3, 5), {"kernel_size": 2, "stride": 2, "padding": 1, "ceil_mode": True}),
    "ceil over stride": ((1, 2, 7, 5), {"kernel_size": 2, "stride": 4, "ceil_mode": True}),
    "kernel over input": ((1, 2, 1, 2), {"kernel_size": 3, "stride": 3, "ceil_mode": True}),
    "empty batch": ((0, 2, 4, 4), {"kernel_size": 2}),
}
MAX_POOLS = WINDOWS | {
    "dilation": ((2, 1, 8, 9), {"kernel_size": (2, 3), "stride": 1, "dilation": (3, 2)}),
    "dilation ceil": (
        (1, 2, 8, 7),
        {"kernel_size": 3, "stride": 2, "padding": 1, "dilation": 2, "ceil_mode": True},
    ),
}
AVG_POOLS = (
    WINDOWS
    | {
        f"{name}, pad not counted": (shape, kwargs | {"count_include_pad": False})
        for name, (shape, kwargs) in WINDOWS.items()
    }
    | {
        "divisor": ((1, 2, 5, 6), {"kernel_size": 3, "padding": 1, "divisor_override": 4}),
        "divisor ceil": (
            (1, 2, 6, 6),
            {"kernel_size": 3, "stride": 2, "ceil_mode": True, "divisor_override": 7},
        ),
    }
)
ACTIVATIONS = ["relu", "sigmoid", "tanh"]
SOFTMAXES = ["softmax", "log_softmax"]
REDUCTIONS = ["mean", "sum", "none"]


def over(table):
    return pytest.mark.parametrize(("shape", "kwargs"), table.values(), ids=table.keys())


over_convs = pytest.mark.parametrize(("shape", "weight_shape", "kwargs"), CONVS.values(), ids=CONVS.keys())


@pytest.fixture
def rng():
    return np.random.default_rng(0)


@pytest.fixture
def torch():
    return pytest.importorskip("torch")


def without_ties(rng, shape):
    return rng.permutation(np.prod(shape)).reshape(shape).astype(np.float64)


def without(kwargs, *names):
    return {name: value for name, value in kwargs.items() if name not in names}


def assert_gradient(dx, f, x, dy):
    assert dx.shape == x.shape
    assert_allclose(dx, ref.numeric_gradient(f, x, dy), rtol=1e-6, atol=1e-7)


def assert_same(actual, expected):
    assert actual.dtype == expected.dtype == np.float64
    assert_allclose(actual, expected, rtol=1e-12, atol=1e-12, strict=True)


def torch_autograd(torch, f, dy, *arrays):
    """f's value and its gradients with respect to each array, by PyTorch."""
    tensors = [torch.tensor(array, requires_grad=True) for array in arrays]
    y = f(*tensors)
    y.backward(torch.tensor(dy))
    return y.detach().numpy(), *(tensor.grad.numpy() for tensor in tensors)


# The tool -----------------------------------------------------------------------------------------


def test_numeric_gradient_of_a_cubic(rng):
    x, dy = rng.normal(size=(2, 3, 4))
    assert_allclose(ref.numeric_gradient(lambda x: x**3, x, dy), 3 * x**2 * dy, rtol=1e-7)


def test_float32_is_widened_before_it_is_used(rng):
    x, w = rng.normal(size=(5, 7)).astype(np.float32), rng.normal(size=(3, 7)).astype(np.float32)
    y = ref.linear_forward(x, w=w)
    assert_array_equal(y, ref.linear_forward(np.float64(x), np.float64(w)), strict=True)


# Matrix product and linear ------------------------------------------------------------------------


over_batches = pytest.mark.parametrize("batch", [(), (4,), (2, 3), (0,)], ids=str)


def test_matmul_by_definition(rng):
    a, b = rng.normal(size=(3, 4)), rng.normal(size=(4, 5))
    expected = [[sum(a[i, k] * b[k, j] for k in range(4)) for j in range(5)] for i in range(3)]
    assert_same(ref.matmul(a, b), np.array(expected))


@over_batches
def test_linear_gradients(rng, batch):
    x, w, b = rng.normal(size=(*batch, 5)), rng.normal(size=(3, 5)), rng.normal(size=3)
    dy = rng.normal(size=(*batch, 3))
    dw, db = ref.linear_backward_weight(dy, x)
    dx = ref.linear_backward_input(dy, w)
    assert_gradient(dx, lambda x: ref.linear_forward(x, w, b), x, dy)
    assert_gradient(dw, lambda w: ref.linear_forward(x, w, b), w, dy)
    assert_gradient(db, lambda b: ref.linear_forward(x, w, b), b, dy)


@over_batches
def test_linear_equals_pytorch(torch, rng, batch):
    x, w, b = rng.normal(size=(*batch, 5)), rng.normal(size=(3, 5)), rng.normal(size=3)
    dy = rng.normal(size=(*batch, 3))
    y, dx, dw, db = torch_autograd(torch, torch.nn.functional.linear, dy, x, w, b)
    assert_same(ref.linear_forward(x, w, b), y)
    assert_same(ref.linear_backward_input(dy, w), dx)
    for ours, theirs in zip(ref.linear_backward_weight(dy, x), (dw, db), strict=True):
        assert_same(ours, theirs)


# Convolution --------------------------------------------------------------------------------------


def conv2d_by_definition(x, w, b, y_shape, stride=1, padding=0, dilation=1, groups=1):
    (sh, sw), (ph, pw), (dh, dw) = ref.pair(stride), ref.pair(padding), ref.pair(dilation)
    (_, _, H, W), (K, C, R, S) = x.shape, w.shape
    y = np.empty(y_shape)
    for n, k, p, q in np.ndindex(y_shape):
        y[n, k, p, q] = b[k]
        for c, r, s in np.ndindex(C, R, S):
            h, v = p * sh - ph + r * dh, q * sw - pw + s * dw
            if 0 <= h < H and 0 <= v < W:
                group = k // (K // groups)
                y[n, k, p, q] += x[n, group * C + c, h, v] * w[k, c, r, s]
    return y


@over_convs
def test_conv2d_by_definition(rng, shape, weight_shape, kwargs):
    x, w, b = (rng.normal(size=size) for size in (shape, weight_shape, weight_shape[0]))
    y = ref.conv2d_forward(x, w, b, **kwargs)
    assert_same(y, conv2d_by_definition(x, w, b, y.shape, **kwargs))
    assert_same(ref.conv2d_forward(x, w, **kwargs), y - b[:, None, None])


@over_convs
def test_conv2d_gradients(rng, shape, weight_shape, kwargs):
    x, w, b = (rng.normal(size=size) for size in (shape, weight_shape, weight_shape[0]))
    dy = rng.normal(size=ref.conv2d_forward(x, w, b, **kwargs).shape)
    dx = ref.conv2d_backward_input(dy, w, x.shape, **kwargs)
    dw, db = ref.conv2d_backward_weight(dy, x, w.shape, **kwargs)
    assert_gradient(dx, lambda x: ref.conv2d_forward(x, w, b, **kwargs), x, dy)
    assert_gradient(dw, lambda w: ref.conv2d_forward(x, w, b, **kwargs), w, dy)
    assert_gradient(db, lambda b: ref.conv2d_forward(x, w, b, **kwargs), b, dy)


@over_convs
def test_conv2d_equals_pytorch(torch, rng, shape, weight_shape, kwargs):
    x, w, b = (rng.normal(size=size) for size in (shape, weight_shape, weight_shape[0]))
    y = ref.conv2d_forward(x, w, b, **kwargs)
    dy = rng.normal(size=y.shape)
    expected, dx, dw, db = torch_autograd(
        torch, lambda x, w, b: torch.nn.functional.conv2d(x, w, b, **kwargs), dy, x, w, b
    )
    assert_same(y, expected)
    assert_same(ref.conv2d_backward_input(dy, w, x.shape, **kwargs), dx)
    ours = ref.conv2d_backward_weight(dy, x, w.shape, **kwargs)
    for gradient, theirs in zip(ours, (dw, db), strict=True):
        assert_same(gradient, theirs)


# Pooling ------------------------------------------------------------------------------------------


def test_pool_output_size_by_counting_windows():
    sizes = itertools.product(range(1, 9), range(1, 4), range(1, 5), range(2), range(1, 3))
    for size, kernel, stride, padding, dilation in sizes:
        extent = dilation * (kernel - 1) + 1
        end = size + padding
        if padding > kernel // 2 or -padding + extent > end:
            continue
        starts = range(-padding, end, stride)
        fitting = sum(start + extent <= end for start in starts)
        last_end = starts[fitting - 1] + extent
        next_start = starts[fitting - 1] + stride
        added = last_end < end and next_start < size
        args = (size, kernel, stride, padding, dilation)
        assert ref.pool_output_size(*args) == ref.conv_output_size(*args) == fitting, args
        assert ref.pool_output_size(*args, ceil_mode=True) == fitting + added, args


def positions(p, q, kernel_size, stride=None, padding=0, dilation=1):
    """(r * S + s, h, v) of each position of window (p, q), inside of the input or not."""
    (sh, sw), (ph, pw) = ref.pair(kernel_size if stride is None else stride), ref.pair(padding)
    (R, S), (dh, dw) = ref.pair(kernel_size), ref.pair(dilation)
    for r, s in np.ndindex(R, S):
        yield r * S + s, p * sh - ph + r * dh, q * sw - pw + s * dw


@over(MAX_POOLS)
def test_max_pool2d_by_definition(rng, shape, kwargs):
    x = rng.integers(-3, 0, shape).astype(np.float64)  # ties, and all below padding with zeros
    y, argmax = ref.max_pool2d_forward(x, **kwargs)
    H, W = shape[2:]
    for n, c, p, q in np.ndindex(y.shape):
        window = {
            position: x[n, c, h, v]
            for position, h, v in positions(p, q, **without(kwargs, "ceil_mode"))
            if 0 <= h < H and 0 <= v < W
        }
        assert y[n, c, p, q] == max(window.values())
        assert argmax[n, c, p, q] == max(window, key=window.get)  # the first, as dicts are ordered


@over(MAX_POOLS)
def test_max_pool2d_gradient(rng, shape, kwargs):
    x = without_ties(rng, shape)
    y, argmax = ref.max_pool2d_forward(x, **kwargs)
    dy = rng.normal(size=y.shape)
    dx = ref.max_pool2d_backward(dy, argmax, shape, **without(kwargs, "ceil_mode"))
    assert_gradient(dx, lambda x: ref.max_pool2d_forward(x, **kwargs)[0], x, dy)


def assert_max_pool2d_equals_pytorch(torch, x, kwargs):
    y, argmax = ref.max_pool2d_forward(x, **kwargs)
    dy = np.random.default_rng(1).normal(size=y.shape)
    expected, dx = torch_autograd(torch, lambda x: torch.nn.functional.max_pool2d(x, **kwargs), dy, x)
    assert_same(y, expected)
    windowing = without(kwargs, "ceil_mode")
    assert_same(ref.max_pool2d_backward(dy, argmax, x.shape, **windowing), dx)


@over(MAX_POOLS)
def test_max_pool2d_equals_pytorch(torch, rng, shape, kwargs):
    assert_max_pool2d_equals_pytorch(torch, rng.normal(size=shape), kwargs)
    with_ties = rng.integers(-3, 0, shape).astype(np.float64)
    assert_max_pool2d_equals_pytorch(torch, with_ties, kwargs)


@over(MAX_POOLS)
def test_max_pool2d_of_nan_and_inf_equals_pytorch(torch, rng, shape, kwargs):
    x = rng.choice([-INF, -1.0, 1.0, INF, NAN], shape)
    assert_max_pool2d_equals_pytorch(torch, x, kwargs)
    assert_max_pool2d_equals_pytorch(torch, np.full(shape, -INF), kwargs)


@pytest.mark.parametrize(
    ("window", "argmax"),
    [
        ([1, 3, 3, 2], 1),
        ([0.0, -0.0, 0.0, 0.0], 0),
        ([5, INF, INF, 1], 1),
        ([-INF, -INF, -INF, -INF], 0),
        ([INF, NAN, 9, INF], 1),
        ([NAN, INF, NAN, 2], 2),
        ([1, 2, NAN, NAN], 3),
    ],
)
def test_max_pool2d_first_wins_and_nan_wins_over_everything(window, argmax):
    x = np.reshape(np.float64(window), (1, 1, 2, 2))
    y, at = ref.max_pool2d_forward(x, 2)
    assert at.item() == argmax
    assert_array_equal(y.item(), window[argmax])
    dx = ref.max_pool2d_backward(np.full(y.shape, 3.0), at, x.shape, 2)
    assert_array_equal(dx.ravel(), np.where(np.arange(4) == argmax, 3.0, 0.0))


def test_max_pool2d_padding_never_wins():
    y, argmax = ref.max_pool2d_forward(np.full((1, 1, 2, 2), -INF), 3, stride=2, padding=1)
    assert (y.item(), argmax.item()) == (-INF, 4)  # the centre is the first position inside


def test_max_pool2d_window_that_sees_only_padding():
    x, windowing = np.ones((1, 1, 1, 3)), ((1, 2), 1, (0, 1), (1, 4))  # sees columns -1 and 3
    y, argmax = ref.max_pool2d_forward(x, *windowing)
    assert (y.item(), argmax.item()) == (-INF, 0)
    assert_array_equal(ref.max_pool2d_backward(np.ones_like(y), argmax, x.shape, *windowing), 0 * x)


@over(AVG_POOLS)
def test_avg_pool2d_by_definition(rng, shape, kwargs):
    x = rng.normal(size=shape)
    y = ref.avg_pool2d_forward(x, **kwargs)
    (H, W), (ph, pw) = shape[2:], ref.pair(kwargs.get("padding", 0))
    windowing = without(kwargs, "ceil_mode", "count_include_pad", "divisor_override")
    for n, c, p, q in np.ndindex(y.shape):
        total = inside = inside_padded = 0
        for _, h, v in positions(p, q, **windowing):
            inside_padded += -ph <= h < H + ph and -pw <= v < W + pw
            if 0 <= h < H and 0 <= v < W:
                inside += 1
                total += x[n, c, h, v]
        divisor = inside_padded if kwargs.get("count_include_pad", True) else inside
        divisor = kwargs.get("divisor_override", divisor)
        assert_allclose(y[n, c, p, q], total / divisor, rtol=1e-12)


@over(AVG_POOLS)
def test_avg_pool2d_gradient(rng, shape, kwargs):
    x = rng.normal(size=shape)
    dy = rng.normal(size=ref.avg_pool2d_forward(x, **kwargs).shape)
    dx = ref.avg_pool2d_backward(dy, shape, **kwargs)
    assert_gradient(dx, lambda x: ref.avg_pool2d_forward(x, **kwargs), x, dy)


@over(AVG_POOLS)
def test_avg_pool2d_equals_pytorch(torch, rng, shape, kwargs):
    x = rng.normal(size=shape)
    y = ref.avg_pool2d_forward(x, **kwargs)
    dy = rng.normal(size=y.shape)
    expected, dx = torch_autograd(torch, lambda x: torch.nn.functional.avg_pool2d(x, **kwargs), dy, x)
    assert_same(y, expected)
    assert_same(ref.avg_pool2d_backward(dy, shape, **kwargs), dx)


ADAPTIVE = [((2, 2, 5, 7), (2, 3)), ((1, 3, 6, 4), (1, 1)), ((1, 2, 3, 4), (5, 4)), ((0, 2, 3, 4), (2, 2))]


@pytest.mark.parametrize(("shape", "output_size"), ADAPTIVE)
def test_adaptive_pool2d_gradients(rng, shape, output_size):
    x, dy = without_ties(rng, shape), rng.normal(size=(*shape[:2], *output_size))
    _, at = ref.adaptive_max_pool2d_forward(x, output_size)
    dx = ref.adaptive_max_pool2d_backward(dy, at, shape)
    assert_gradient(dx, lambda x: ref.adaptive_max_pool2d_forward(x, output_size)[0], x, dy)
    dx = ref.adaptive_avg_pool2d_backward(dy, shape)
    assert_gradient(dx, lambda x: ref.adaptive_avg_pool2d_forward(x, output_size), x, dy)


@pytest.mark.parametrize(("shape", "output_size"), ADAPTIVE)
def test_adaptive_pool2d_equals_pytorch(torch, rng, shape, output_size):
    x, dy = rng.normal(size=shape), rng.normal(size=(*shape[:2], *output_size))
    F = torch.nn.functional
    y, dx = torch_autograd(torch, lambda x: F.adaptive_max_pool2d(x, output_size), dy, x)
    expected, at = ref.adaptive_max_pool2d_forward(x, output_size)
    assert_same(y, expected)
    assert_same(dx, ref.adaptive_max_pool2d_backward(dy, at, shape))
    y, dx = torch_autograd(torch, lambda x: F.adaptive_avg_pool2d(x, output_size), dy, x)
    assert_same(y, ref.adaptive_avg_pool2d_forward(x, output_size))
    assert_same(dx, ref.adaptive_avg_pool2d_backward(dy, shape))


# BatchNorm ----------------------------------------------------------------------------------------

over_batch_norms = pytest.mark.parametrize("shape", [(5, 3), (3, 2, 4), (2, 3, 3, 2)])


@over_batch_norms
@pytest.mark.parametrize("relu", [False, True])
@pytest.mark.parametrize("training", [False, True])
def test_batch_norm_gradients(rng, shape, relu, training):
    x, residual, dy = rng.standard_normal((3, *shape))
    w, b, mean, inv_std = rng.uniform(0.5, 2, (4, shape[1]))

    def statistics(x):
        if not training:
            return mean, inv_std
        batch_mean, batch_var = ref.batch_norm_statistics(x)
        return batch_mean, 1 / np.sqrt(batch_var + 1e-5)

    def forward(x, w, b, residual):
        return ref.batch_norm_forward(x, *statistics(x), w, b, residual, relu)

    y = forward(x, w, b, residual)
    dx, dw, db, dresidual = ref.batch_norm_backward(dy, x, *statistics(x), w, y if relu else None, training)
    assert_gradient(dx, lambda x: forward(x, w, b, residual), x, dy)
    assert_gradient(dw, lambda w: forward(x, w, b, residual), w, dy)
    assert_gradient(db, lambda b: forward(x, w, b, residual), b, dy)
    assert_gradient(dresidual, lambda residual: forward(x, w, b, residual), residual, dy)


@over_batch_norms
def test_batch_norm_equals_pytorch(torch, rng, shape):
    x, (w, b) = rng.standard_normal(shape), rng.standard_normal((2, shape[1]))
    mean, var = ref.batch_norm_statistics(x)
    y = ref.batch_norm_forward(x, mean, 1 / np.sqrt(var + 1e-5), w, b)
    arrays = map(torch.tensor, (x, mean, var, w, b))
    assert_same(y, torch.nn.functional.batch_norm(*arrays, training=True).numpy())


# Activations --------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ACTIVATIONS)
def test_activation_gradients(rng, name):
    forward, backward = getattr(ref, f"{name}_forward"), getattr(ref, f"{name}_backward")
    x, dy = rng.normal(size=(2, 3, 4, 5))
    assert_gradient(backward(dy, forward(x)), forward, x, dy)


@pytest.mark.parametrize("name", ACTIVATIONS)
def test_activations_equal_pytorch(torch, rng, name):
    forward, backward = getattr(ref, f"{name}_forward"), getattr(ref, f"{name}_backward")
    special = [0.0, -0.0, NAN, INF, -INF, 1e-310, -1e-310, 40.0, -40.0, 800.0, -800.0, 1e308]
    x = np.append(special, rng.normal(size=20))
    dy = rng.normal(size=x.shape)
    y, dx = torch_autograd(torch, getattr(torch, name), dy, x)
    assert_same(forward(x), y)
    assert_same(backward(dy, y), dx)


def test_relu_of_nan_zero_and_inf():
    y = ref.relu_forward(np.array([NAN, 0.0, -0.0, -2.0, 2.0, INF, -INF]))
    assert_array_equal(y, [NAN, 0, 0, 0, 2, INF, 0])
    assert_array_equal(ref.relu_backward(np.full(7, 3.0), y), [3, 0, 0, 0, 3, 3, 0])


def test_sigmoid_is_stable():
    y = ref.sigmoid_forward(np.array([-INF, -1000.0, -700.0, 0.0, 700.0, 1000.0, INF]))
    assert_allclose(y, [0, 0, np.exp(-700.0), 0.5, 1, 1, 1], rtol=1e-15)


# Embedding ----------------------------------------------------------------------------------------


def embedding_case(rng):
    return rng.standard_normal((5, 3)), rng.integers(0, 5, (4, 6)), rng.standard_normal((4, 6, 3))


def test_embedding_gradient(rng):
    w, x, dy = embedding_case(rng)
    assert_gradient(ref.embedding_backward(dy, x, 5), lambda w: ref.embedding_forward(x, w), w, dy)


@pytest.mark.parametrize("padding_idx", [None, 2])
def test_embedding_equals_pytorch(torch, rng, padding_idx):
    w, x, dy = embedding_case(rng)

    def embedding(weight):
        return torch.nn.functional.embedding(torch.from_numpy(x), weight, padding_idx)

    y, dw = torch_autograd(torch, embedding, dy, w)
    assert_same(ref.embedding_forward(x, w), y)
    assert_same(ref.embedding_backward(dy, x, 5, padding_idx), dw)


# Softmax and cross-entropy ------------------------------------------------------------------------


def test_softmax_by_definition(rng):
    x = rng.normal(size=(3, 4))
    expected = np.exp(x) / np.exp(x).sum(axis=1, keepdims=True)
    assert_same(ref.softmax_forward(x), expected)
    assert_same(ref.log_softmax_forward(x), np.log(expected))
    for forward in (ref.softmax_forward, ref.log_softmax_forward):
        assert_same(forward(x + 1e4), forward((x + 1e4) - 1e4))


@pytest.mark.parametrize("axis", [0, 1, -1])
@pytest.mark.parametrize("name", SOFTMAXES)
def test_softmax_gradients(rng, name, axis):
    forward, backward = getattr(ref, f"{name}_forward"), getattr(ref, f"{name}_backward")
    x, dy = rng.normal(size=(2, 3, 4, 5))
    assert_gradient(backward(dy, forward(x, axis), axis), lambda x: forward(x, axis), x, dy)


@pytest.mark.parametrize("axis", [0, 1, -1])
@pytest.mark.parametrize("name", SOFTMAXES)
def test_softmaxes_equal_pytorch(torch, rng, name, axis):
    forward, backward = getattr(ref, f"{name}_forward"), getattr(ref, f"{name}_backward")
    x, dy = rng.normal(size=(2, 6, 7, 5)) * 30
    x[0, 0, 0], x[1, 1, 1], x[2, 2, 2], x[:, 3, 3] = INF, -INF, NAN, -INF
    y, dx = torch_autograd(torch, lambda x: getattr(torch, name)(x, axis), dy, x)
    assert_same(forward(x, axis), y)
    assert_same(backward(dy, y, axis), dx)


def test_softmax_cross_entropy_by_definition():
    x, labels = np.log([[1.0, 2.0, 5.0], [4.0, 3.0, 1.0], [1.0, 1.0, 2.0]]), np.array([2, 0, -100])
    losses = -np.log([5 / 8, 4 / 8, 1.0])
    for reduction, loss in zip(REDUCTIONS, (losses.sum() / 2, losses.sum(), losses), strict=True):
        y = ref.softmax_cross_entropy_forward(x, labels, reduction=reduction)
        assert_allclose(y, loss, rtol=1e-14)


LABELS = {
    "all kept": (np.array([0, 3, 1, 3, 2]), -100),
    "some ignored": (np.array([-100, 3, 1, -100, 0]), -100),
    "a class ignored": (np.array([2, 3, 1, 2, 0]), 2),
    "all ignored": (np.full(5, -100), -100),
    "empty batch": (np.empty(0, np.int64), -100),
}
over_labels = pytest.mark.parametrize(("labels", "ignore"), LABELS.values(), ids=LABELS.keys())


@pytest.mark.parametrize("reduction", REDUCTIONS)
@over_labels
def test_softmax_cross_entropy_gradient(rng, labels, ignore, reduction):
    x = rng.normal(size=(len(labels), 4))
    dy = rng.normal(size=len(labels) if reduction == "none" else ())
    dx = ref.softmax_cross_entropy_backward(dy, x, labels, ignore, reduction)
    if reduction == "mean" and np.all(labels == ignore):
        assert np.isnan(ref.softmax_cross_entropy_forward(x, labels, ignore, reduction))
        assert_array_equal(dx, np.zeros_like(x), strict=True)
        return
    assert_gradient(dx, lambda x: ref.softmax_cross_entropy_forward(x, labels, ignore, reduction), x, dy)


@pytest.mark.parametrize("reduction", REDUCTIONS)
@over_labels
def test_softmax_cross_entropy_equals_pytorch(torch, rng, labels, ignore, reduction):
    def cross_entropy(x):
        return torch.nn.functional.cross_entropy(x, torch.tensor(labels), ignore_index=ignore, reduction=reduction)

    dy = rng.normal(size=len(labels) if reduction == "none" else ())
    finite = rng.normal(size=(len(labels), 4)) * 30
    special = finite.copy()
    special[:1], special[1:2, 2], special[2:3, 0], special[4:, 1] = -INF, INF, NAN, -INF
    for x in (finite, special):
        y, dx = torch_autograd(torch, cross_entropy, dy, x)
        assert_same(ref.softmax_cross_entropy_forward(x, labels, ignore, reduction), y[()])
        assert_same(ref.softmax_cross_entropy_backward(dy, x, labels, ignore, reduction), dx)


AIMS = {
    "weighted": (np.array([2, -100, 0, 3, 3]), {"weight": np.array([0.5, 2.0, 1.0, 0.25])}),
    "smoothed": (np.array([2, -100, 0, 3, 3]), {"label_smoothing": 0.3}),
    "weighted and smoothed": (
        np.array([2, -100, 0, 3, 3]),
        {"weight": np.array([0.5, 2.0, 1.0, 0.25]), "label_smoothing": 0.1},
    ),
    "probabilities": (np.random.default_rng(0).dirichlet(np.ones(4), 5), {}),
    "probabilities, weighted and smoothed": (
        np.random.default_rng(0).dirichlet(np.ones(4), 5),
        {"weight": np.array([0.5, 2.0, 1.0, 0.25]), "label_smoothing": 0.2},
    ),
}


@pytest.mark.parametrize("reduction", REDUCTIONS)
@pytest.mark.parametrize(("target", "kwargs"), AIMS.values(), ids=AIMS.keys())
def test_softmax_cross_entropy_of_other_aims(torch, rng, target, kwargs, reduction):
    x, dy = rng.normal(size=(5, 4)) * 3, rng.normal(size=5 if reduction == "none" else ())
    options = {name: torch.tensor(v) if isinstance(v, np.ndarray) else v for name, v in kwargs.items()}
    y, expected = torch_autograd(
        torch,
        lambda x: torch.nn.functional.cross_entropy(x, torch.tensor(target), reduction=reduction, **options),
        dy,
        x,
    )
    assert_same(ref.softmax_cross_entropy_forward(x, target, reduction=reduction, **kwargs), y[()])
    dx = ref.softmax_cross_entropy_backward(dy, x, target, reduction=reduction, **kwargs)
    assert_same(dx, expected)
    assert_gradient(dx, lambda x: ref.softmax_cross_entropy_forward(x, target, reduction=reduction, **kwargs), x, dy)


# Losses of single predictions ---------------------------------------------------------------------


@pytest.mark.parametrize(
    ("name", "kwargs"),
    [(name, {}) for name in ref.POINT_LOSSES]
    + [
        ("smooth_l1_loss", {"beta": 0.3}),
        ("huber_loss", {"delta": 0.3}),
        ("binary_cross_entropy_with_logits", {"pos_weight": np.array([0.5, 1, 2, 3])}),
    ],
)
def test_point_losses(torch, rng, name, kwargs):
    x, target, dy = rng.normal(size=(3, 5, 4))
    if name == "binary_cross_entropy":
        x = rng.uniform(0.01, 0.99, (5, 4))
    if name.startswith("binary"):
        target = rng.uniform(size=(5, 4))
    if name == "soft_margin_loss":
        target = np.sign(target)
    options = {key: torch.tensor(v) if isinstance(v, np.ndarray) else v for key, v in kwargs.items()}
    y, expected = torch_autograd(
        torch,
        lambda x: getattr(torch.nn.functional, name)(x, torch.tensor(target), reduction="none", **options),
        dy,
        x,
    )
    assert_same(ref.point_loss_forward(name, x, target, **kwargs), y)
    dx = ref.point_loss_backward(name, dy, x, target, **kwargs)
    assert_same(dx, expected)
    assert_gradient(dx, lambda x: ref.point_loss_forward(name, x, target, **kwargs), x, dy)
