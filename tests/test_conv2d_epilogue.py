"""What conv2d_forward does to its sums before it writes them: scale, bias, residual and ReLU, in every algorithm."""

import itertools

import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal

import reference as ref
from fastnn import ops

CASES = {  # x's shape, w's shape, arguments
    "1x1": ((2, 20, 9, 8), (37, 20, 1, 1), {}),
    "1x1 of few pixels": ((1, 20, 4, 5), (37, 20, 1, 1), {}),
    "1x1 of one pixel": ((1, 600, 1, 1), (70, 600, 1, 1), {}),
    "1x1 of many channels": ((1, 1100, 12, 9), (33, 1100, 1, 1), {}),
    "1x1 strided": ((2, 20, 9, 8), (17, 20, 1, 1), {"stride": 2}),
    "direct": ((2, 5, 11, 9), (33, 5, 3, 3), {"padding": 1, "algorithm": "direct"}),
    "direct, channels in blocks": ((1, 700, 6, 5), (40, 700, 3, 3), {"padding": 1, "algorithm": "direct"}),
    "strided": ((2, 8, 9, 8), (20, 8, 3, 3), {"stride": 2, "padding": 1}),
    "small images": ((20, 64, 9, 8), (70, 64, 3, 3), {"stride": 2, "padding": 1}),
    "groups": ((2, 24, 7, 6), (36, 12, 3, 3), {"groups": 2, "padding": 1}),
    "neighbours": ((2, 3, 12, 12), (6, 3, 5, 5), {"padding": 2}),
    "filters a channel": ((2, 13, 9, 8), (52, 1, 3, 3), {"groups": 13, "padding": 1}),
    "winograd groups": ((2, 66, 9, 8), (80, 33, 3, 3), {"groups": 2, "padding": 1}),
    "depthwise": ((2, 37, 9, 8), (37, 1, 3, 3), {"groups": 37, "padding": 1}),
    "depthwise strided": ((2, 37, 9, 8), (37, 1, 3, 3), {"groups": 37, "stride": 2, "padding": 1}),
    "depthwise dilated": ((2, 20, 9, 8), (20, 1, 3, 2), {"groups": 20, "dilation": 2}),
    "narrow groups": ((2, 24, 9, 8), (24, 4, 3, 3), {"groups": 6, "padding": 1}),
    "padding alone": ((1, 4, 2, 2), (18, 4, 1, 1), {"padding": 3, "stride": 4}),
}
WINOGRAD = {
    "Winograd": ((2, 20, 11, 9), (37, 20, 3, 3), {"padding": 1, "algorithm": "winograd"}),
    "Winograd 5x5": ((2, 20, 11, 9), (33, 20, 5, 5), {"padding": 2, "algorithm": "winograd"}),
}
OPTIONS = list(itertools.product([False, True], repeat=4))


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize(
    ("shape", "weight_shape", "kwargs"), (CASES | WINOGRAD).values(), ids=(CASES | WINOGRAD).keys()
)
def test_every_algorithm(isa, shape, weight_shape, kwargs, dtype):
    winograd = kwargs.get("algorithm") == "winograd"
    if winograd and dtype == np.float64:
        pytest.skip("Winograd's algorithm is for float32")
    rng = np.random.default_rng(0)
    x, w = rng.standard_normal(shape).astype(dtype), rng.standard_normal(weight_shape).astype(dtype)
    scale, bias = rng.uniform(-2, 2, (2, weight_shape[0])).astype(dtype)
    window = {name: value for name, value in kwargs.items() if name != "algorithm"}
    sums = ref.conv2d_forward(x, w, **window)
    residual = rng.standard_normal(sums.shape).astype(dtype)
    tolerance = (1e-4 if winograd else 2e-5) if dtype == np.float32 else 1e-12
    for scales, biases, adds, relu in OPTIONS:
        given = {"scale": scale if scales else None, "residual": residual if adds else None, "relu": relu}
        y = ops.conv2d_forward(x, w, bias if biases else None, **kwargs, **given)
        expected = sums * scale[:, None, None] if scales else sums
        expected = expected + bias[:, None, None] if biases else expected
        expected = expected + residual if adds else expected
        expected = ref.relu_forward(expected) if relu else expected
        assert y.dtype == dtype
        assert_allclose(y, expected, rtol=0, atol=tolerance * np.abs(sums).max())


@pytest.mark.parametrize(
    ("shape", "weight_shape", "kwargs"), (CASES | WINOGRAD).values(), ids=(CASES | WINOGRAD).keys()
)
def test_residual_and_relu_are_what_they_are_alone(isa, shape, weight_shape, kwargs):
    """Bit by bit: whether a network is fused does not change its results."""
    rng = np.random.default_rng(1)
    x, w = rng.standard_normal(shape).astype(np.float32), rng.standard_normal(weight_shape).astype(np.float32)
    bias = rng.standard_normal(weight_shape[0]).astype(np.float32)
    y = ops.conv2d_forward(x, w, bias, **kwargs)
    residual = rng.standard_normal(y.shape).astype(np.float32)
    fused = ops.conv2d_forward(x, w, bias, **kwargs, residual=residual, relu=True)
    assert_array_equal(fused, ops.relu_forward(y + residual))


def test_relu_passes_nan():
    x = np.array([np.nan, -1, 2], np.float32).reshape(3, 1, 1, 1)
    w = np.ones((1, 1, 1, 1), np.float32)
    assert_array_equal(ops.conv2d_forward(x, w, relu=True).ravel(), [np.nan, 0, 2])


def test_output_size_raises_what_forward_raises():
    x, w, b = np.ones((2, 3, 8, 9), np.float32), np.ones((4, 3, 3, 3), np.float32), np.ones(4, np.float32)
    assert ops.conv2d_output_size(x, w, b, 2, 1) == (2, 4, 4, 5)
    for function in (ops.conv2d_output_size, ops.conv2d_forward):
        with pytest.raises(ValueError, match="conv2d_forward: weight has 2 input channels, x has 3"):
            function(x, w[:, :2])
        with pytest.raises(ValueError, match=r"conv2d_forward: bias has shape \(3,\); expected \(4,\)"):
            function(x, w, b[:3])
        with pytest.raises(TypeError, match="conv2d_forward: weight has dtype float64, x has float32"):
            function(x, w.astype(np.float64))


def test_errors_say_what_is_wrong():
    x, w, b = np.ones((2, 3, 8, 9), np.float32), np.ones((4, 3, 3, 3), np.float32), np.ones(4, np.float32)
    with pytest.raises(ValueError, match=r"conv2d_forward: scale has shape \(3,\); expected \(4,\)"):
        ops.conv2d_forward(x, w, scale=b[:3])
    with pytest.raises(ValueError, match=r"conv2d_forward: residual has shape \(2, 4, 8, 9\); expected \(2, 4, 6, 7\)"):
        ops.conv2d_forward(x, w, residual=np.ones((2, 4, 8, 9), np.float32))
    with pytest.raises(TypeError, match="conv2d_forward: residual has dtype float64, x has float32"):
        ops.conv2d_forward(x, w, residual=np.ones((2, 4, 6, 7)))
