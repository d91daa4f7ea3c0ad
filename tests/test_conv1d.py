"""F.conv1d, and paddings that have names: against PyTorch, by finite differences, and their messages."""

import numpy as np
import pytest

import fastnn
import fastnn.nn.functional as F
from fastnn import ops

# Of PyTorch, once a process.
pytestmark = pytest.mark.filterwarnings("ignore:Using padding='same':UserWarning")


def tensors(*shapes, dtype=np.float64):
    rng = np.random.default_rng(0)
    return [fastnn.tensor(rng.standard_normal(s).astype(dtype), requires_grad=True) for s in shapes]


WINDOWS = [
    {},
    {"stride": 2, "padding": 3, "dilation": 2},
    {"stride": (3,), "padding": (1,), "dilation": (1,), "groups": 2},
    {"padding": 1, "groups": 4},
    {"padding": "valid"},
    {"padding": "same"},
    {"padding": "same", "dilation": 3, "groups": 2},
]


@pytest.mark.parametrize("kernel", [1, 3, 4])
@pytest.mark.parametrize("window", WINDOWS, ids=str)
@pytest.mark.parametrize("batched", [True, False])
def test_conv1d_equals_pytorch(isa, window, kernel, batched):
    torch = pytest.importorskip("torch")
    groups = window.get("groups", 1)
    x, w, b = tensors((3, 4, 17) if batched else (4, 17), (8, 4 // groups, kernel), (8,))
    tx, tw, tb = (torch.tensor(t.detach().numpy(), requires_grad=True) for t in (x, w, b))
    y, ty = F.conv1d(x, w, b, **window), torch.nn.functional.conv1d(tx, tw, tb, **window)
    dy = np.random.default_rng(1).standard_normal(y.shape)
    y.backward(dy)
    ty.backward(torch.tensor(dy))
    np.testing.assert_allclose(y.detach().numpy(), ty.detach().numpy(), rtol=1e-11, atol=1e-12)
    for ours, theirs in ((x, tx), (w, tw), (b, tb)):
        np.testing.assert_allclose(ours.grad.numpy(), theirs.grad.numpy(), rtol=1e-11, atol=1e-12)


@pytest.mark.parametrize("window", WINDOWS, ids=str)
def test_conv1d_gradients(window):
    groups = window.get("groups", 1)
    x, w, b = tensors((2, 4, 10), (4, 4 // groups, 4), (4,))
    assert fastnn.gradcheck(lambda x, w, b: F.conv1d(x, w, b, **window), (x, w, b))


@pytest.mark.parametrize("kernel", [(1, 2), (4, 3), (2, 2)])
def test_same_padding_that_differs_between_the_sides(kernel):
    torch = pytest.importorskip("torch")
    x, w = tensors((2, 3, 6, 7), (4, 3, *kernel))
    y = F.conv2d(x, w, padding="same", dilation=(1, 3))
    tx, tw = (torch.tensor(t.detach().numpy()) for t in (x, w))
    expected = torch.nn.functional.conv2d(tx, tw, padding="same", dilation=(1, 3))
    np.testing.assert_allclose(y.detach().numpy(), expected.numpy(), rtol=1e-11, atol=1e-12)
    assert fastnn.gradcheck(lambda x, w: F.conv2d(x, w, padding="same", dilation=(1, 3)), (x, w))


def test_no_copies_between_layers():
    x, w = tensors((2, 8, 30), (8, 8, 3), dtype=np.float32)
    y = F.conv1d(x, w)
    rows = y.data[:, :, None]
    assert np.shares_memory(ops.to_channels_last(rows), rows)


def test_depthwise_sequence():
    x, w = tensors((2, 24, 33), (24, 1, 5))
    y = F.conv1d(x, w, padding=2, groups=24).detach().numpy()
    padded = np.pad(x.detach().numpy(), ((0, 0), (0, 0), (2, 2)))
    expected = sum(padded[:, :, i : i + 33] * w.detach().numpy()[:, 0, i, None] for i in range(5))
    np.testing.assert_allclose(y, expected, rtol=1e-11, atol=1e-12)


X, W = np.ones((2, 3, 8)), np.ones((4, 3, 3))


@pytest.mark.parametrize(
    ("kwargs", "error", "message"),
    [
        ({"x": X}, TypeError, "conv1d: x is ndarray; expected a Tensor"),
        ({"weight": W}, TypeError, "conv1d: weight is ndarray"),
        ({"bias": X}, TypeError, "conv1d: bias is ndarray"),
        ({"x": fastnn.tensor(X[0, 0])}, ValueError, r"conv1d: x has shape \(8,\); expected \(N, C, L\) or \(C, L\)"),
        ({"weight": fastnn.tensor(W[0])}, ValueError, r"conv1d: weight has shape \(3, 3\); expected 3 dimensions"),
        ({"weight": fastnn.tensor(W[:, :2])}, ValueError, "weight has 2 input channels, x has 3"),
        ({"weight": fastnn.tensor(W.astype(np.float32))}, TypeError, "weight has dtype float32, x has float64"),
        ({"bias": fastnn.tensor(np.ones(3))}, ValueError, r"bias has shape \(3,\); expected \(4,\)"),
        ({"stride": 0}, ValueError, "stride is 0"),
        ({"stride": (1, 2)}, TypeError, "stride holds a tuple"),
        ({"padding": -1}, ValueError, "padding is -1"),
        ({"padding": "full"}, ValueError, "conv1d: padding is 'full'; expected integers, 'same' or 'valid'"),
        ({"padding": "same", "stride": 2}, ValueError, "conv1d: padding 'same' needs stride 1"),
        ({"padding": "same", "stride": "a"}, TypeError, "conv1d: stride is .*; expected an int or two"),
        ({"dilation": 4}, ValueError, "the kernel covers 9 columns, the padded input has 8"),
        ({"groups": 2}, ValueError, "multiples of 2 groups"),
    ],
)
def test_bad_input(kwargs, error, message):
    with pytest.raises(error, match=message):
        F.conv1d(**{"x": fastnn.tensor(X), "weight": fastnn.tensor(W), **kwargs})
