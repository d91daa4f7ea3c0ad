"""F.conv_transpose1d and 2d, nn.ConvTranspose1d and 2d: against PyTorch, by finite differences, and their messages."""

import numpy as np
import pytest

import fastnn
import fastnn.nn.functional as F
from fastnn import nn


def tensors(*shapes):
    rng = np.random.default_rng(0)
    return [fastnn.tensor(rng.standard_normal(s), requires_grad=True) for s in shapes]


WINDOWS = [
    {},
    {"stride": 2, "padding": 1, "output_padding": 1},
    {"stride": 3, "padding": 1, "output_padding": 2, "groups": 2},
    {"dilation": 3, "output_padding": 2},
    {"stride": 2, "dilation": 4, "output_padding": 3, "groups": 4},
    {"stride": 4, "groups": 4},
]


def check(name, x_shape, w_shape, K, window):
    torch = pytest.importorskip("torch")
    x, w, b = tensors(x_shape, w_shape, (K,))
    tx, tw, tb = (torch.tensor(t.detach().numpy(), requires_grad=True) for t in (x, w, b))
    y, ty = getattr(F, name)(x, w, b, **window), getattr(torch.nn.functional, name)(tx, tw, tb, **window)
    assert y.shape == tuple(ty.shape)
    dy = np.random.default_rng(1).standard_normal(y.shape)
    y.backward(dy)
    ty.backward(torch.tensor(dy))
    np.testing.assert_allclose(y.detach().numpy(), ty.detach().numpy(), rtol=1e-11, atol=1e-12)
    for ours, theirs in ((x, tx), (w, tw), (b, tb)):
        np.testing.assert_allclose(ours.grad.numpy(), theirs.grad.numpy(), rtol=1e-11, atol=1e-12)


@pytest.mark.parametrize("kernel", [(1, 1), (2, 2), (3, 3), (4, 5)])
@pytest.mark.parametrize("window", WINDOWS, ids=str)
def test_conv_transpose2d_equals_pytorch(isa, window, kernel):
    groups = window.get("groups", 1)
    check("conv_transpose2d", (2, 4, 5, 6), (4, 8 // groups, *kernel), 8, window)
    check("conv_transpose2d", (4, 5, 6), (4, 8 // groups, *kernel), 8, window)


@pytest.mark.parametrize("kernel", [1, 3, 4])
@pytest.mark.parametrize("window", WINDOWS, ids=str)
def test_conv_transpose1d_equals_pytorch(window, kernel):
    groups = window.get("groups", 1)
    check("conv_transpose1d", (2, 4, 9), (4, 8 // groups, kernel), 8, window)
    check("conv_transpose1d", (4, 9), (4, 8 // groups, kernel), 8, window)


def test_pairs():
    window = {"stride": (2, 3), "padding": (0, 1), "output_padding": (1, 2), "dilation": (1, 2)}
    check("conv_transpose2d", (2, 4, 5, 6), (4, 3, 3, 2), 3, window)


@pytest.mark.parametrize("window", WINDOWS, ids=str)
def test_gradients(window):
    groups = window.get("groups", 1)
    x, w, b = tensors((2, 4, 3, 2), (4, 4 // groups, 3, 2), (4,))
    assert fastnn.gradcheck(lambda x, w, b: F.conv_transpose2d(x, w, b, **window), (x, w, b))
    x, w = tensors((2, 4, 4), (4, 4 // groups, 3))
    assert fastnn.gradcheck(lambda x, w: F.conv_transpose1d(x, w, **window), (x, w))


def test_is_the_adjoint_of_conv2d():
    x, y, w = (t.detach() for t in tensors((2, 3, 9, 8), (2, 5, 4, 4), (5, 3, 3, 2)))
    there = (F.conv2d(x, w, stride=2).numpy() * y.numpy()).sum()
    back = (x.numpy() * F.conv_transpose2d(y, w, stride=2).numpy()).sum()
    assert there == pytest.approx(back, rel=1e-12)


def test_only_wanted_gradients():
    x, w = tensors((2, 4, 5, 6), (4, 3, 3, 3))
    F.conv_transpose2d(x.detach(), w).sum().backward()
    assert w.grad is not None
    F.conv_transpose2d(x, w.detach()).sum().backward()
    assert x.grad is not None


@pytest.mark.parametrize("size", [(9, 12), (10, 13), (2, 3, 10, 12)])
def test_output_size(size):
    torch = pytest.importorskip("torch")
    ours, theirs = nn.ConvTranspose2d(4, 3, 3, (2, 2), (1, 0)), torch.nn.ConvTranspose2d(4, 3, 3, (2, 2), (1, 0))
    ours.load_state_dict(theirs.state_dict())
    size = (size[0], size[1] + 1) if len(size) == 2 else (*size[:3], size[3] + 1)
    x = np.random.default_rng(0).standard_normal((2, 4, 5, 6)).astype(np.float32)
    y, ty = ours(fastnn.tensor(x), output_size=size), theirs(torch.tensor(x), output_size=size)
    np.testing.assert_allclose(y.detach().numpy(), ty.detach().numpy(), rtol=1e-4, atol=1e-5)


def test_bad_output_size():
    layer, x = nn.ConvTranspose2d(4, 3, 3, 2), fastnn.ones(2, 4, 5, 6)
    with pytest.raises(ValueError, match=r"output_size is \(11, 15\); expected \[11, 13\] to \[12, 14\]"):
        layer(x, output_size=(11, 15))
    with pytest.raises(ValueError, match=r"output_size is \(11,\); expected 2 integers"):
        layer(x, output_size=(11,))
    with pytest.raises(ValueError, match=r"ConvTranspose2d: output_size is 11; expected 2 integers"):
        layer(x, output_size=11)
    with pytest.raises(ValueError, match=r"ConvTranspose2d: x has shape \(4,\); expected 3 or 4 dimensions"):
        layer(x[0, :, 0, 0], output_size=(11, 13))


def test_whole_output_size_of_a_single_image():
    layer, x = nn.ConvTranspose2d(4, 3, 3, 2), fastnn.ones(4, 5, 6)
    assert layer(x, output_size=(3, 12, 14)).shape == (3, 12, 14)


X, W = np.ones((2, 4, 5, 6)), np.ones((4, 3, 3, 3))


@pytest.mark.parametrize(
    ("kwargs", "error", "message"),
    [
        ({"x": X}, TypeError, "conv_transpose2d: x is ndarray; expected a Tensor"),
        ({"weight": W}, TypeError, "conv_transpose2d: weight is ndarray"),
        ({"bias": X}, TypeError, "conv_transpose2d: bias is ndarray"),
        ({"x": fastnn.tensor(X[0, 0])}, ValueError, r"x has shape \(5, 6\); expected \(N, C, P, Q\) or \(C, P, Q\)"),
        (
            {"weight": fastnn.tensor(W[0])},
            ValueError,
            r"weight has shape \(3, 3, 3\); expected \(C, K / gr",
        ),
        ({"weight": fastnn.tensor(W[:2])}, ValueError, "conv_transpose2d: weight has 2 input channels, x has 4"),
        ({"weight": fastnn.tensor(W.astype(np.float32))}, TypeError, "weight has dtype float32, dy has float64"),
        ({"bias": fastnn.tensor(np.ones(4))}, ValueError, r"bias has shape \(4,\); expected \(3,\)"),
        ({"stride": 0}, ValueError, "conv_transpose2d: stride is 0; expected at least 1"),
        ({"stride": (1, 2, 3)}, TypeError, r"stride is \(1, 2, 3\); expected an int or two"),
        ({"stride": 1.5}, TypeError, "stride is 1.5; expected an int or two"),
        ({"padding": -1}, ValueError, "padding is -1"),
        ({"padding": "same"}, TypeError, "padding is 'same'; expected an int or two"),
        ({"padding": 4}, ValueError, "the output has -1 rows and 0 columns; expected at least 1"),
        ({"output_padding": 1}, ValueError, "output_padding is 1; expected less than stride or dilation"),
        ({"dilation": 0}, ValueError, "dilation is 0"),
        ({"groups": 3}, ValueError, "multiples of 3 groups"),
        ({"groups": 0}, ValueError, "groups is 0"),
        ({"groups": "2"}, TypeError, "conv_transpose2d: groups is '2'; expected an int"),
    ],
)
def test_bad_input(kwargs, error, message):
    with pytest.raises(error, match=message):
        F.conv_transpose2d(**{"x": fastnn.tensor(X), "weight": fastnn.tensor(W), **kwargs})


def test_bad_input_of_sequences():
    with pytest.raises(ValueError, match=r"conv_transpose1d: x has shape .*; expected \(N, C, L\) or \(C, L\)"):
        F.conv_transpose1d(fastnn.tensor(X), fastnn.tensor(W))
    with pytest.raises(ValueError, match=r"conv_transpose1d: weight has shape .*; expected 3 dimensions"):
        F.conv_transpose1d(fastnn.tensor(X[0]), fastnn.tensor(W))
