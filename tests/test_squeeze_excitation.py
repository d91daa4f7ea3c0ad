"""SqueezeExcitation: what it computes, its gradients, its state and errors."""

import numpy as np
import pytest

import fastnn
from fastnn import nn


def tensor(*shape, seed=0, dtype=np.float32, requires_grad=False):
    return fastnn.tensor(np.random.default_rng(seed).standard_normal(shape).astype(dtype), requires_grad=requires_grad)


def oracle(x, w1, b1, w2, b2):
    """The paper's equations 2 to 4 in float64."""
    x, w1, w2 = (a.astype(np.float64) for a in (x, w1[:, :, 0, 0], w2[:, :, 0, 0]))
    hidden = np.maximum(x.mean((-2, -1)) @ w1.T + b1, 0)
    return x * (1 / (1 + np.exp(-(hidden @ w2.T + b2))))[..., None, None]


@pytest.mark.parametrize("shape", [(2, 6, 5, 4), (3, 6, 1, 1), (0, 6, 3, 3), (6, 5, 4)])
def test_against_the_paper(shape):
    layer = nn.SqueezeExcitation(6, 2)
    x = tensor(*shape)
    y = layer(x).detach().numpy()
    assert y.shape == shape
    np.testing.assert_allclose(y, oracle(x.data, *layer.state_dict().values()), rtol=1e-5, atol=1e-6)


def test_gradients():
    layer = nn.SqueezeExcitation(4, 3, nn.Softsign, nn.Tanh).double()
    x = tensor(2, 4, 3, 2, dtype=np.float64, requires_grad=True)
    assert fastnn.gradcheck(lambda x, *_: layer(x), (x, *layer.parameters()))


def test_like_the_same_modules_of_torch():
    torch = pytest.importorskip("torch")
    ours = nn.SqueezeExcitation(8, 2, activation=nn.SiLU)
    fc1, fc2 = torch.nn.Conv2d(8, 2, 1), torch.nn.Conv2d(2, 8, 1)
    theirs = torch.nn.ModuleDict({"fc1": fc1, "fc2": fc2})
    assert ours.load_state_dict(theirs.state_dict()) == ([], [])
    x = tensor(3, 8, 7, 5, requires_grad=True)
    tx = torch.tensor(x.data.copy(), requires_grad=True)
    y, ty = ours(x), fc2(torch.nn.functional.silu(fc1(tx.mean((2, 3), keepdim=True)))).sigmoid() * tx
    dy = np.random.default_rng(1).standard_normal(y.shape).astype(np.float32)
    y.backward(dy)
    ty.backward(torch.tensor(dy))
    np.testing.assert_allclose(y.detach().numpy(), ty.detach().numpy(), rtol=1e-5, atol=1e-6)
    np.testing.assert_allclose(x.grad.numpy(), tx.grad.numpy(), rtol=1e-5, atol=1e-6)
    for a, b in zip(ours.parameters(), theirs.parameters(), strict=True):
        np.testing.assert_allclose(a.grad.numpy(), b.grad.numpy(), rtol=1e-4, atol=1e-5)


def test_text_and_errors():
    layer = nn.SqueezeExcitation(4, 2)
    assert [name for name, _ in layer.named_children()] == ["avgpool", "fc1", "fc2", "activation", "scale_activation"]
    for shape in [(2, 3, 8, 8), (4, 8), (1, 2, 4, 3, 3)]:
        with pytest.raises(ValueError, match=r"SqueezeExcitation: x has shape .*expected \(N, 4, H, W\)"):
            layer(tensor(*shape))
    with pytest.raises(TypeError, match="SqueezeExcitation: x is ndarray"):
        layer(np.zeros((1, 4, 2, 2), np.float32))
    with pytest.raises(ValueError, match="in_channels is 0"):
        nn.SqueezeExcitation(0, 2)
