"""fastnn.models.mlp and linear_classifier."""

from itertools import pairwise

import numpy as np
import pytest

import fastnn
from fastnn import models, nn


def test_counts_and_names():
    model = models.mlp()
    assert sum(p.numel() for p in model.parameters()) == 266_610  # LeNet-300-100
    assert [key for key in model.state_dict() if key.endswith("weight")] == ["0.weight", "3.weight", "6.weight"]
    model = models.mlp(5, (4,), 3, batch_norm=True)
    assert list(model.state_dict())[:3] == ["0.weight", "0.bias", "1.weight"]
    assert [type(m) for m in model] == [nn.Linear, nn.BatchNorm1d, nn.ReLU, nn.Dropout, nn.Linear]
    assert {k: v.shape for k, v in models.linear_classifier(12, 3).state_dict().items()} == {
        "0.weight": (3, 12),
        "0.bias": (3,),
    }


@pytest.mark.parametrize("training", [True, False])
@pytest.mark.parametrize("batch_norm", [True, False])
def test_mlp_is_pytorchs(training, batch_norm):
    torch = pytest.importorskip("torch")
    T = torch.nn
    sizes, layers = (3 * 4 * 5, 7, 6), []
    for inputs, outputs in pairwise(sizes):
        norm = [T.BatchNorm1d(outputs)] if batch_norm else []
        layers += [T.Linear(inputs, outputs), *norm, T.Tanh(), T.Dropout(0.0)]
    theirs = T.Sequential(*layers, T.Linear(6, 2)).double().train(training)
    ours = models.mlp(60, (7, 6), 2, nn.Tanh, batch_norm=batch_norm).double().train(training)
    ours.load_state_dict(theirs.state_dict())
    x = np.random.default_rng(0).standard_normal((8, 3, 4, 5))
    y, expected = ours(fastnn.tensor(x)), theirs(torch.tensor(x).flatten(1))
    np.testing.assert_allclose(y.detach().numpy(), expected.detach().numpy(), rtol=1e-9, atol=1e-12)
    (y * y).sum().backward()
    expected.square().sum().backward()
    for p, q in zip(ours.parameters(), theirs.parameters(), strict=True):
        np.testing.assert_allclose(p.grad.numpy(), q.grad.numpy(), rtol=1e-7, atol=1e-10)


def test_dropout_and_errors():
    assert [m.p for m in models.mlp(4, (3, 2), dropout=0.25).modules() if isinstance(m, nn.Dropout)] == [0.25] * 2
    with pytest.raises(ValueError, match="784"):
        models.linear_classifier()(fastnn.zeros(2, 3, 32, 32))
    for hidden in (300, "300"):
        with pytest.raises(TypeError, match=r"MLP: hidden is .*300.*; expected the units of each hidden layer"):
            models.mlp(hidden=hidden)
    with pytest.raises(TypeError, match="MLP: activation is 'relu'; expected what makes a module"):
        models.mlp(activation="relu")
