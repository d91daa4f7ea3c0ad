"""The oracle of the recurrent layers itself: against finite differences and against PyTorch."""

import numpy as np
import pytest
from numpy.testing import assert_allclose

import reference_recurrent as ref
from reference import numeric_gradient


@pytest.fixture
def rng():
    return np.random.default_rng(0)


RECURRENT = {  # cell, backward, gates, has c, arguments
    "rnn": (ref.rnn_cell, ref.rnn_cell_backward, 1, False, {}),
    "rnn relu": (ref.rnn_cell, ref.rnn_cell_backward, 1, False, {"nonlinearity": "relu"}),
    "gru": (ref.gru_cell, ref.gru_cell_backward, 3, False, {}),
    "lstm": (ref.lstm_cell, ref.lstm_cell_backward, 4, True, {}),
    "lstm proj": (ref.lstm_cell, ref.lstm_cell_backward, 4, True, {}),
}


def recurrent_arrays(rng, name, I, H, N, rows):
    """The states, the weights, and a gradient for each output."""
    _, _, G, has_c, _ = RECURRENT[name]
    R = H - 1 if "proj" in name else H
    states = [rng.standard_normal((N, n)) for n in ((R, H) if has_c else (R,))]
    w = [rng.standard_normal(shape) / 2 for shape in ((G * H, I), (G * H, R), (G * H,), (G * H,))]
    w.append(rng.standard_normal((R, H)) if "proj" in name else None)
    return states, w, rng.standard_normal((rows, R)), [rng.standard_normal(s.shape) for s in states]


@pytest.mark.parametrize("reverse", [False, True])
@pytest.mark.parametrize("name", RECURRENT)
def test_recurrent_gradients(rng, name, reverse):
    cell, backward, _, _, kwargs = RECURRENT[name]
    sizes = np.array([3, 2, 2, 1])
    x = rng.standard_normal((8, 2))
    states, w, dy, dfinal = recurrent_arrays(rng, name, 2, 3, 3, 8)
    w = w if "proj" in name else [*w[:4], None]
    dx, dstates, dw = ref.recurrent_backward(cell, backward, dy, dfinal, x, states, w, sizes, reverse, **kwargs)

    def outputs(x, states, w):
        y, *final = ref.recurrent_forward(cell, x, states, w, sizes, reverse, **kwargs)
        return np.concatenate([a.ravel() for a in (y, *final)])

    def replaced(arrays, i, a):
        return [*arrays[:i], a, *arrays[i + 1 :]]

    d = np.concatenate([a.ravel() for a in (dy, *dfinal)])
    assert_allclose(dx, numeric_gradient(lambda a: outputs(a, states, w), x, d), rtol=1e-6, atol=1e-7)
    for i, s in enumerate(states):
        numeric = numeric_gradient(lambda a, i=i: outputs(x, replaced(states, i, a), w), s, d)
        assert_allclose(dstates[i], numeric, rtol=1e-6, atol=1e-7)
    for i, a in enumerate(w):
        if a is not None:
            numeric = numeric_gradient(lambda a, i=i: outputs(x, states, replaced(w, i, a)), a, d)
            assert_allclose(dw[i], numeric, rtol=1e-6, atol=1e-7)


@pytest.mark.parametrize("name", RECURRENT)
def test_recurrent_layers_equal_pytorch(rng, name):
    torch = pytest.importorskip("torch")
    cell, _, _, has_c, kwargs = RECURRENT[name]
    kinds = {"rnn": torch.nn.RNN, "gru": torch.nn.GRU, "lstm": torch.nn.LSTM}
    if "proj" in name:
        kwargs = kwargs | {"proj_size": 2}
    layer = kinds[name.split()[0]](2, 3, bidirectional=True, dtype=torch.float64, **kwargs)
    x = torch.from_numpy(rng.standard_normal((4, 3, 2)))
    packed = torch.nn.utils.rnn.pack_padded_sequence(x, [4, 3, 1])
    y, final = layer(packed)
    final = final if has_c else (final,)
    weights = dict(layer.named_parameters())
    for d, suffix in enumerate(("_l0", "_l0_reverse")):
        names = ("weight_ih", "weight_hh", "bias_ih", "bias_hh", "weight_hr")
        w = [weights[n + suffix].detach().numpy() if n + suffix in weights else None for n in names]
        got = ref.recurrent_forward(
            cell, packed.data.numpy(), [np.zeros(s.shape[1:]) for s in final], w, packed.batch_sizes.numpy(), d == 1,
            **{k: v for k, v in kwargs.items() if k == "nonlinearity"},
        )  # fmt: skip
        R = got[0].shape[1]
        assert_allclose(got[0], y.data.detach().numpy()[:, d * R : (d + 1) * R], rtol=1e-12, atol=1e-14)
        for a, b in zip(got[1:], final, strict=True):
            assert_allclose(a, b[d].detach().numpy(), rtol=1e-12, atol=1e-14)
