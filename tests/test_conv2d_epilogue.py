"""What conv2d_forward does to its sums before it writes them: scale, bias, residual and ReLU, in every algorithm."""

import itertools

import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal

import fastnn
import fastnn.nn.functional as F
import reference as ref
from fastnn import ops
from fastnn.tensor import record

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


@pytest.mark.parametrize("channels_last", [False, True])
@pytest.mark.parametrize(
    ("shape", "weight_shape", "kwargs"), (CASES | WINOGRAD).values(), ids=(CASES | WINOGRAD).keys()
)
def test_backward_input_adds_its_residual_last(isa, shape, weight_shape, kwargs, channels_last):
    rng = np.random.default_rng(2)
    w = rng.standard_normal(weight_shape).astype(np.float32)
    window = {name: value for name, value in kwargs.items() if name != "algorithm"}
    dy_shape = ops.conv2d_output_size(np.empty(shape, np.float32), w, **window)
    dy, residual = (rng.standard_normal(size).astype(np.float32) for size in (dy_shape, shape))
    residual = ops.to_channels_last(residual) if channels_last else residual
    dx = ops.conv2d_backward_input(dy, w, shape, **kwargs)
    assert_array_equal(ops.conv2d_backward_input(dy, w, shape, **kwargs, residual=residual), dx + residual)


class TestSeveralConvolutionsOfOneTensor:
    """Their gradients are added by the kernels; nobody can tell."""

    values = np.random.default_rng(3).standard_normal((2, 4, 6, 7), dtype=np.float32)
    w1 = np.random.default_rng(4).standard_normal((5, 4, 1, 1), dtype=np.float32)
    w3 = np.random.default_rng(5).standard_normal((5, 4, 3, 3), dtype=np.float32)

    def gradient_of(self, branch):
        x = fastnn.tensor(self.values, requires_grad=True)
        branch(x * 2).sum().backward()
        return x.grad.data

    def branches(self):
        w1, w3 = fastnn.tensor(self.w1), fastnn.tensor(self.w3)
        return [lambda x: F.conv2d(x, w1), lambda x: x[:, :1] * 3, lambda x: F.conv2d(x, w3, padding=1)]

    def test_the_gradient_is_the_sum(self):
        alone = [self.gradient_of(branch) for branch in self.branches()]
        for order in itertools.permutations(range(3)):
            branches = [self.branches()[i] for i in order]
            together = self.gradient_of(lambda x, branches=branches: sum(b(x).sum() for b in branches))
            assert_allclose(together, sum(alone), rtol=0, atol=1e-5)

    def test_twice_with_a_kept_graph(self):
        x = fastnn.tensor(self.values, requires_grad=True)
        loss = sum(branch(x * 2).sum() for branch in self.branches())
        loss.backward(retain_graph=True)
        once = x.grad.data.copy()
        loss.backward()
        assert_array_equal(x.grad.data, 2 * once)

    def test_hooks_and_retained_gradients_see_the_sum(self):
        x, seen = fastnn.tensor(self.values, requires_grad=True), []
        h = x * 2
        h.retain_grad()
        h.register_hook(lambda dh: seen.append(dh.data.copy()))
        sum(branch(h).sum() for branch in self.branches()).backward()
        assert len(seen) == 1
        assert_array_equal(seen[0], h.grad.data)
        assert_array_equal(2 * seen[0], x.grad.data)

    def test_beside_any_other_operation(self):
        """In an order in which the convolution's gradient comes last."""
        w = fastnn.tensor(self.w3)
        others = {
            "max": lambda x: x.max(),
            "mean": lambda x: x.mean(),
            "itself": lambda x: x.sum(),
            "transposed": lambda x: (x.permute(0, 1, 3, 2) * 2).sum(),
            "part": lambda x: x[:, 1:3, ::2].sum(),
        }
        alone = self.gradient_of(lambda x: F.conv2d(x, w))
        for name, other in others.items():
            together = self.gradient_of(lambda x, other=other: F.conv2d(x, w).sum() + other(x))
            assert together.dtype == np.float32
            assert_allclose(together, alone + self.gradient_of(other), rtol=0, atol=1e-5, err_msg=name)

    def test_a_gradient_of_another_dtype(self):
        """A function that breaks the rules is not reported as the convolution's mistake."""
        w = fastnn.tensor(self.w3)

        def doubled(x):
            return record(2 * x.data, lambda dy: 2.0 * dy.astype(np.float64), x)

        together = self.gradient_of(lambda x: F.conv2d(x, w).sum() + doubled(x).sum())
        assert_allclose(together, self.gradient_of(lambda x: F.conv2d(x, w)) + 4, rtol=0, atol=1e-5)

    def test_a_leaf(self):
        x = fastnn.tensor(self.values, requires_grad=True)
        sum(branch(x).sum() for branch in self.branches()).backward()
        assert_allclose(2 * x.grad.data, sum(self.gradient_of(b) for b in self.branches()), rtol=0, atol=1e-5)


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
    dy = np.ones((2, 4, 6, 7), np.float32)
    with pytest.raises(ValueError, match=r"conv2d_backward_input: residual has shape \(2, 4, 6, 7\); expected \(2, 3"):
        ops.conv2d_backward_input(dy, w, x.shape, residual=dy)
    with pytest.raises(TypeError, match="conv2d_backward_input: residual has dtype float64, dy has float32"):
        ops.conv2d_backward_input(dy, w, x.shape, residual=x.astype(np.float64))
