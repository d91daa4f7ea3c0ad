"""Convolution of volumes against NumPy and PyTorch, gradients, errors."""

import itertools

import numpy as np
import pytest
from numpy.testing import assert_allclose

import fastnn
from fastnn import functional as F
from fastnn import nn


def array(*shape, dtype=np.float32, seed=0):
    return np.random.default_rng(seed).standard_normal(shape).astype(dtype)


def oracle(x, w, b, stride, padding, dilation, groups):
    """The definition in float64, one tap after the other."""
    x, w = x.astype(np.float64), w.astype(np.float64)
    (K, C, *kernel), N = w.shape, x.shape[0]
    x = np.pad(x, [(0, 0), (0, 0), *((p, p) for p in padding)])
    size = [(n - d * (k - 1) - 1) // s + 1 for n, k, s, d in zip(x.shape[2:], kernel, stride, dilation, strict=True)]
    y = np.zeros((N, K, *size))
    for g, tap in itertools.product(range(groups), np.ndindex(*kernel)):
        where = [
            slice(t * d, t * d + s * (o - 1) + 1, s) for t, d, s, o in zip(tap, dilation, stride, size, strict=True)
        ]
        seen = x[(slice(None), slice(g * C, (g + 1) * C), *where)]
        rows = slice(g * (K // groups), (g + 1) * (K // groups))
        y[:, rows] += np.einsum("ncdhw,kc->nkdhw", seen, w[(rows, slice(None), *tap)])
    return y + b.reshape(-1, 1, 1, 1)


CASES = [  # shape of x, K, kernel, stride, padding, dilation, groups
    ((2, 3, 5, 6, 7), 4, (3, 3, 3), (1, 1, 1), (0, 0, 0), (1, 1, 1), 1),
    ((2, 3, 5, 6, 7), 4, (3, 3, 3), (1, 1, 1), (1, 1, 1), (1, 1, 1), 1),
    ((2, 4, 7, 8, 5), 6, (2, 3, 1), (2, 1, 3), (1, 2, 0), (3, 1, 2), 2),
    ((1, 16, 4, 9, 8), 16, (1, 3, 3), (1, 2, 2), (0, 1, 1), (1, 1, 1), 1),
    ((2, 8, 4, 5, 5), 8, (3, 1, 1), (3, 1, 1), (2, 0, 0), (1, 1, 1), 8),
    ((1, 2, 1, 4, 4), 3, (3, 2, 2), (1, 1, 1), (3, 0, 0), (1, 1, 1), 1),  # outputs that see no slice at all
    ((0, 3, 4, 5, 5), 2, (2, 2, 2), (1, 1, 1), (0, 0, 0), (1, 1, 1), 1),
]


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("case", CASES)
def test_against_the_definition(isa, case, dtype):
    shape, K, kernel, *window, groups = case
    x, w, b = (
        array(*shape, dtype=dtype),
        array(K, shape[1] // groups, *kernel, dtype=dtype, seed=1),
        array(K, dtype=dtype),
    )
    inside = np.ascontiguousarray(x.transpose(0, 2, 3, 4, 1)).transpose(0, 4, 1, 2, 3)
    expected = oracle(x, w, b, *window, groups)
    for memory in (x, inside, np.repeat(x, 2, axis=2)[:, :, ::2]):
        y = F.conv3d(fastnn.Tensor(memory), fastnn.Tensor(w), fastnn.Tensor(b), *window, groups).numpy()
        assert y.dtype == dtype
        assert_allclose(
            y, expected, rtol=1e-4 if dtype == np.float32 else 1e-11, atol=1e-4 if dtype == np.float32 else 1e-11
        )
    assert y.transpose(0, 2, 3, 4, 1).flags.c_contiguous


@pytest.mark.parametrize("case", CASES[:-1])
def test_gradcheck(case):
    shape, K, kernel, *window, groups = case
    small = (1, *shape[1:2], *(min(n, k + 2) for n, k in zip(shape[2:], kernel, strict=True)))
    if (
        shape[1] > 8
        or min(n + 2 * p - d * (k - 1) for n, p, d, k in zip(small[2:], window[1], window[2], kernel, strict=True)) < 1
    ):
        small = (1, groups, *shape[2:])
    x, w, b = (
        array(*small, dtype=float),
        array(K, small[1] // groups, *kernel, dtype=float, seed=1),
        array(K, dtype=float),
    )
    inputs = [fastnn.tensor(a, requires_grad=True) for a in (x, w, b)]
    # Linear in each of its arguments: a few random directions tell all.
    y = F.conv3d(*inputs, *window, groups)
    dy = array(*y.shape, dtype=float, seed=2)
    y.backward(dy)
    for i, tensor in enumerate(inputs):
        step = array(*tensor.shape, dtype=float, seed=3)
        moved = [fastnn.tensor(t.data + step if t is tensor else t.data) for t in inputs]
        change = (F.conv3d(*moved, *window, groups).numpy() - y.detach().numpy()) * dy
        assert_allclose((tensor.grad.numpy() * step).sum(), change.sum(), rtol=1e-9, atol=1e-9, err_msg=str(i))


LAYERS = [
    ((3, 4, 3), {}, (2, 3, 5, 6, 7)),
    ((3, 4, 3), {"padding": 1, "bias": False}, (3, 5, 6, 7)),
    (
        (4, 6, (2, 3, 1)),
        {"stride": (2, 1, 3), "padding": (1, 2, 0), "dilation": (3, 1, 2), "groups": 2},
        (2, 4, 7, 8, 5),
    ),
    ((3, 4, (2, 3, 4)), {"padding": "same", "dilation": (3, 1, 1)}, (2, 3, 5, 6, 7)),
    ((3, 4, 2), {"padding": "valid", "stride": 2}, (2, 3, 5, 6, 7)),
    ((3, 4, 3), {"padding": (1, 2, 0), "padding_mode": "reflect"}, (2, 3, 5, 6, 7)),
    ((3, 4, 3), {"padding": 2, "padding_mode": "replicate"}, (2, 3, 5, 6, 7)),
    ((3, 4, (3, 2, 4)), {"padding": "same", "padding_mode": "circular"}, (3, 5, 6, 7)),
]


@pytest.mark.filterwarnings("ignore:Using padding='same':UserWarning")  # of PyTorch
@pytest.mark.parametrize(("args", "kwargs", "shape"), LAYERS)
def test_layer_against_torch(args, kwargs, shape):
    torch = pytest.importorskip("torch")
    ours, theirs = nn.Conv3d(*args, **kwargs), torch.nn.Conv3d(*args, **kwargs)
    assert repr(ours) == repr(theirs)
    assert ours.load_state_dict(theirs.state_dict()) == ([], [])
    x, tx = fastnn.tensor(array(*shape), requires_grad=True), torch.tensor(array(*shape), requires_grad=True)
    y, ty = ours(x), theirs(tx)
    dy = array(*y.shape, seed=1)
    y.backward(dy)
    ty.backward(torch.tensor(dy))
    assert_allclose(y.detach().numpy(), ty.detach().numpy(), rtol=1e-4, atol=1e-5)
    assert_allclose(x.grad.numpy(), tx.grad.numpy(), rtol=1e-4, atol=1e-5)
    for (name, a), b in zip(ours.named_parameters(), theirs.parameters(), strict=True):
        assert_allclose(a.grad.numpy(), b.grad.numpy(), rtol=1e-4, atol=1e-4, err_msg=name)


def test_only_the_gradients_that_are_wanted():
    x, w = fastnn.tensor(array(1, 2, 3, 4, 4)), fastnn.tensor(array(3, 2, 2, 2, 2), requires_grad=True)
    F.conv3d(x, w, fastnn.zeros(3)).sum().backward()
    assert x.grad is None
    assert w.grad is not None


@pytest.mark.parametrize(
    ("args", "kind", "message"),
    [
        (
            (fastnn.ones(4, 3, 2, 2),),
            ValueError,
            r"weight has shape \(4, 3, 2, 2\); expected \(K, C / groups, T, R, S\)",
        ),
        ((fastnn.ones(4, 2, 2, 2, 2),), ValueError, "weight has 2 input channels for each of 1 groups, x has 3"),
        (
            (fastnn.ones(4, 1, 2, 2, 2), None, 1, 0, 1, 3),
            ValueError,
            "weight has 4 output channels; expected a multiple of 3",
        ),
        ((fastnn.ones(4, 3, 2, 2, 2), fastnn.ones(3)), ValueError, r"bias has shape \(3,\); expected \(4,\)"),
        (
            (fastnn.ones(4, 3, 7, 2, 2),),
            ValueError,
            "the kernel's extent is 7 .*; expected at most the input's depth 4",
        ),
        ((fastnn.ones(4, 3, 2, 2, 2), None, 0), ValueError, "stride is 0; expected at least 1"),
        ((fastnn.ones(4, 3, 2, 2, 2), None, (1, 2)), TypeError, r"stride is \(1, 2\); expected an int or three"),
        ((fastnn.ones(4, 3, 2, 2, 2), None, 2, "same"), ValueError, "padding 'same' needs stride 1"),
        ((fastnn.ones(4, 3, 2, 2, 2), None, 1, "full"), ValueError, "padding is 'full'"),
        ((fastnn.ones(4, 3, 0, 2, 2),), ValueError, "weight has shape .*; expected a kernel of at least 1"),
        ((np.ones((4, 3, 2, 2, 2)),), TypeError, "weight is ndarray"),
    ],
)
def test_errors(args, kind, message):
    with pytest.raises(kind, match=f"^conv3d: {message}"):
        F.conv3d(fastnn.ones(1, 3, 4, 5, 5), *args)


def test_wrong_inputs():
    with pytest.raises(ValueError, match=r"conv3d: x has shape \(1, 3, 4\)"):
        F.conv3d(fastnn.ones(1, 3, 4), fastnn.ones(4, 3, 2, 2, 2))
    with pytest.raises(TypeError, match="dtype"):
        F.conv3d(fastnn.ones(1, 3, 4, 4, 4).double(), fastnn.ones(4, 3, 2, 2, 2))
    with pytest.raises(ValueError, match=r"Conv3d: kernel_size is \(1, 2\); expected one integer or three"):
        nn.Conv3d(3, 4, (1, 2))
