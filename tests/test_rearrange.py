"""Layers that rearrange elements, the bilinear map and the identity: against PyTorch, gradients, errors."""

import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal

import fastnn
from fastnn import functional as F
from fastnn import nn, ops


def array(*shape, dtype=np.float32, seed=0):
    return np.random.default_rng(seed).standard_normal(shape).astype(dtype)


REARRANGEMENTS = [
    ("PixelShuffle", (2,), (2, 12, 3, 5)),
    ("PixelShuffle", (3,), (9, 2, 2)),
    ("PixelShuffle", (1,), (2, 3, 2, 2)),
    ("PixelShuffle", (2,), (2, 3, 4, 5, 2)),
    ("PixelUnshuffle", (2,), (2, 3, 6, 4)),
    ("PixelUnshuffle", (3,), (1, 6, 9)),
    ("PixelUnshuffle", (2,), (2, 2, 5, 4, 6)),
    ("ChannelShuffle", (2,), (2, 6, 3, 4)),
    ("ChannelShuffle", (3,), (2, 6, 5)),
    ("ChannelShuffle", (4,), (1, 8, 2, 3, 2)),
    ("Flatten", (1, 2), (2, 3, 4, 5)),
    ("Unflatten", (1, (2, 3)), (4, 6, 5)),
    ("Unflatten", (-1, (2, -1, 1)), (4, 6)),
    ("Identity", (3, "ignored"), (2, 3)),
]


@pytest.mark.parametrize(("name", "args", "shape"), REARRANGEMENTS)
def test_layers_against_torch(name, args, shape):
    torch = pytest.importorskip("torch")
    ours, theirs = getattr(nn, name)(*args), getattr(torch.nn, name)(*args)
    assert repr(ours) == repr(theirs)
    for dtype in (np.float32, np.float64):
        for inside in (False, True):
            a = array(*shape, dtype=dtype)
            a = ops.to_channels_last(a) if inside and a.ndim == 4 else a
            x, tx = fastnn.Tensor(a, requires_grad=True), torch.tensor(np.ascontiguousarray(a), requires_grad=True)
            y, ty = ours(x), theirs(tx)
            assert_array_equal(y.detach().numpy(), ty.detach().numpy())
            dy = array(*y.shape, dtype=dtype, seed=1)
            y.backward(dy)
            ty.backward(torch.tensor(dy))
            assert_array_equal(x.grad.numpy(), tx.grad.numpy())


def test_no_images():  # PyTorch's backward fails
    x = fastnn.zeros(0, 4, 3, 3).requires_grad_()
    y = F.pixel_unshuffle(F.pixel_shuffle(x, 2), 2)
    y.sum().backward()
    assert (y.shape, x.grad.shape) == ((0, 4, 3, 3), (0, 4, 3, 3))


def test_images_stay_channels_last():
    x = fastnn.Tensor(ops.to_channels_last(array(2, 12, 4, 6)))
    for y in (F.pixel_shuffle(x, 2), F.pixel_unshuffle(x, 2), F.channel_shuffle(x, 3)):
        assert y.numpy().transpose(0, 2, 3, 1).flags.c_contiguous


def test_channel_shuffle_of_integers():
    assert F.channel_shuffle(fastnn.tensor(np.arange(6).reshape(1, 6, 1, 1)), 3).flatten().tolist() == [
        0,
        2,
        4,
        1,
        3,
        5,
    ]


@pytest.mark.parametrize(
    ("call", "kind", "message"),
    [
        (lambda: F.pixel_shuffle(fastnn.ones(1, 6, 2, 2), 2), ValueError, "pixel_shuffle: x has 6 channels; .* of 4"),
        (lambda: F.pixel_shuffle(fastnn.ones(4, 2), 2), ValueError, r"pixel_shuffle: x has shape \(4, 2\)"),
        (lambda: F.pixel_shuffle(fastnn.ones(4, 2, 2).long(), 2), TypeError, "pixel_shuffle: x has dtype int64"),
        (lambda: F.pixel_shuffle(fastnn.ones(4, 2, 2), 0), ValueError, "upscale_factor is 0; expected at least 1"),
        (lambda: F.pixel_unshuffle(fastnn.ones(1, 2, 3, 4), 2), ValueError, "pixel_unshuffle: x has 3 x 4 pixels"),
        (lambda: F.channel_shuffle(fastnn.ones(1, 5, 2), 2), ValueError, "channel_shuffle: x has shape .* of 2 groups"),
        (lambda: F.channel_shuffle(np.ones((1, 4, 2)), 2), TypeError, "channel_shuffle: x is ndarray"),
        (lambda: nn.PixelShuffle(1.5), TypeError, "PixelShuffle: upscale_factor is 1.5"),
        (lambda: nn.ChannelShuffle(0), ValueError, "ChannelShuffle: groups is 0"),
        (lambda: nn.Unflatten(1, 6), TypeError, "Unflatten: unflattened_size is 6; expected a sequence"),
        (lambda: nn.Unflatten(1, ()), ValueError, "Unflatten: unflattened_size is empty"),
        (
            lambda: nn.Unflatten(1, (4, -1))(fastnn.ones(2, 6)),
            ValueError,
            r"a dimension of 6 does not split into \(4, -1\)",
        ),
        (lambda: nn.Unflatten(1, (-1, -1))(fastnn.ones(2, 6)), ValueError, "a dimension of 6 does not split"),
        (lambda: nn.Unflatten(2, (2, 3))(fastnn.ones(2, 6)), IndexError, "Unflatten: dimension 2 is out of range"),
    ],
)
def test_errors(call, kind, message):
    with pytest.raises(kind, match=message):
        call()


# ---- the bilinear map ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("shape", "bias"), [((5,), True), ((2, 3), False), ((), True), ((0,), True)])
def test_bilinear_against_torch(shape, bias):
    torch = pytest.importorskip("torch")
    ours, theirs = nn.Bilinear(3, 4, 6, bias), torch.nn.Bilinear(3, 4, 6, bias)
    assert repr(ours) == repr(theirs)
    assert max(abs(p.data).max() for p in ours.parameters()) <= 1 / np.sqrt(3)
    assert ours.load_state_dict(theirs.state_dict()) == ([], [])
    arrays = array(*shape, 3), array(*shape, 4, seed=1)
    xs = [fastnn.tensor(a, requires_grad=True) for a in arrays]
    txs = [torch.tensor(a, requires_grad=True) for a in arrays]
    y, ty = ours(*xs), theirs(*txs)
    dy = array(*y.shape, seed=2)
    y.backward(dy)
    ty.backward(torch.tensor(dy))
    assert_allclose(y.detach().numpy(), ty.detach().numpy(), rtol=1e-4, atol=1e-5)
    for a, b in zip([*xs, *ours.parameters()], [*txs, *theirs.parameters()], strict=True):
        assert_allclose(a.grad.numpy(), b.grad.numpy(), rtol=1e-4, atol=1e-5)


def test_bilinear_gradients_and_errors():
    inputs = [fastnn.tensor(array(*s, dtype=float), requires_grad=True) for s in [(2, 3), (2, 2), (4, 3, 2), (4,)]]
    assert fastnn.gradcheck(F.bilinear, inputs)
    with pytest.raises(ValueError, match=r"bilinear: x1 has shape \(2, 3\) and x2 \(3, 2\); expected \(..., 3\) and"):
        F.bilinear(fastnn.ones(2, 3), fastnn.ones(3, 2), fastnn.ones(4, 3, 2))
    with pytest.raises(ValueError, match=r"bilinear: weight has shape \(3, 2\)"):
        F.bilinear(fastnn.ones(2, 3), fastnn.ones(2, 2), fastnn.ones(3, 2))
    with pytest.raises(ValueError, match="Bilinear: in2_features is 0"):
        nn.Bilinear(1, 0, 1)
