"""CharRNN, ManyToOne, Forecaster, RowClassifier, and the way of gradients back through time."""

import numpy as np
import pytest

import fastnn
from fastnn import models, nn
from fastnn.nn.utils import gradient_norms
from fastnn.tasks import LanguageModelling, Regression

CELLS = ["rnn", "gru", "lstm"]


def randn(*shape, seed=0):
    return fastnn.tensor(np.random.default_rng(seed).standard_normal(shape).astype(np.float32))


# Models -------------------------------------------------------------------------------------------


@pytest.mark.parametrize("cell", CELLS)
@pytest.mark.parametrize("num_layers", [1, 2])
def test_char_rnn_goes_on_where_it_stopped(cell, num_layers):
    model = models.CharRNN(11, 5, 7, num_layers, cell)
    tokens = np.random.default_rng(0).integers(0, 11, (9, 3))
    whole, states = model(fastnn.tensor(tokens))
    assert whole.shape == (9, 3, 11)
    assert len(states) == (2 if cell == "lstm" else 1)
    first, between = model(fastnn.tensor(tokens[:4]))
    second, end = model(fastnn.tensor(tokens[4:]), between)
    joined = np.concatenate([first.detach().numpy(), second.detach().numpy()])
    np.testing.assert_allclose(joined, whole.detach().numpy(), rtol=1e-5, atol=1e-6)
    for a, b in zip(end, states, strict=True):
        np.testing.assert_allclose(a.detach().numpy(), b.detach().numpy(), rtol=1e-5, atol=1e-6)


def test_char_rnn_is_what_its_parts_are_in_pytorch():
    torch = pytest.importorskip("torch")
    model = models.CharRNN(11, 5, 7)
    embedding, lstm, linear = torch.nn.Embedding(11, 5), torch.nn.LSTM(5, 7, 2), torch.nn.Linear(7, 11)
    theirs = torch.nn.ModuleDict({"embedding": embedding, "rnn": lstm, "linear": linear})
    assert str(model.load_state_dict(theirs.state_dict())) == "<All keys matched successfully>"
    tokens = np.random.default_rng(0).integers(0, 11, (9, 3))
    expected = linear(lstm(embedding(torch.from_numpy(tokens)))[0]).detach().numpy()
    np.testing.assert_allclose(model(fastnn.tensor(tokens))[0].detach().numpy(), expected, atol=1e-5)


def test_sample_follows_the_probabilities():
    model = models.CharRNN(3, 2, 4).train()
    with fastnn.no_grad():
        scores = model(fastnn.tensor([[2]]))[0].numpy()[0, 0].astype(np.float64)
    for temperature in (1.0, 0.5):
        p = np.exp((scores - scores.max()) / temperature)
        p /= p.sum()
        fastnn.manual_seed(0)
        drawn = [model.sample([2], 1, temperature)[0] for _ in range(2000)]
        assert np.abs(np.bincount(drawn, minlength=3) / 2000 - p).max() < 5 * np.sqrt(0.25 / 2000)
    assert model.sample([2], 1, temperature=0) == [int(scores.argmax())]
    assert model.sample([2], 0) == []
    assert model.training
    fastnn.manual_seed(1)
    first = model.sample(np.array([0, 1]), 20)
    fastnn.manual_seed(1)
    assert model.sample([0, 1], 20) == first


@pytest.mark.parametrize("cell", CELLS)
def test_many_to_one_answers_from_the_last_step(cell):
    model = models.ManyToOne(4, (3, 2), hidden_size=6, num_layers=2, cell=cell)
    x = randn(5, 8, 4)
    y = model(x)
    assert y.shape == (5, 3, 2)
    last = model.rnn(x.transpose(0, 1))[0][-1]
    np.testing.assert_allclose(y.detach().numpy().reshape(5, 6), model.linear(last).detach().numpy(), rtol=1e-6)


def test_forecaster_does_not_care_for_the_level():
    model = models.Forecaster(2, 3, hidden_size=8)
    x = randn(4, 10, 2)
    shift = fastnn.tensor([8.0, -16.0])
    y, moved = model(x), model(x + shift)
    assert y.shape == (4, 3, 2)
    np.testing.assert_allclose((moved - shift).detach().numpy(), y.detach().numpy(), atol=1e-5)
    nn.init.zeros_(model.linear.weight)
    nn.init.zeros_(model.linear.bias)
    np.testing.assert_array_equal(model(x).detach().numpy(), np.repeat(x.numpy()[:, -1:], 3, axis=1))


def test_row_classifier_reads_rows_from_the_top():
    model = models.RowClassifier(10, in_channels=3, image_width=5, hidden_size=6, cell="gru")
    x = randn(2, 3, 4, 5)
    rows = fastnn.tensor(x.numpy().transpose(0, 2, 1, 3).reshape(2, 4, 15))
    np.testing.assert_allclose(
        model(x).detach().numpy(), models.ManyToOne.forward(model, rows).detach().numpy(), rtol=1e-6
    )


def test_heads_for_other_classes():
    model = models.row_gru(hidden_size=6)
    head = model.replace_head(7)
    for n in (2, 10):  # of 10 there are as many scores as of 7 images of 10 classes
        assert model(randn(n, 1, 28, 28)).shape == (n, 7)
    assert head is model.linear


def not_a_number():
    model = models.CharRNN(5)
    model.linear.bias.data[2] = np.nan
    return model


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (
            lambda: models.Forecaster(2, 3).replace_head(5),
            r"an answer of Forecaster has shape \(3, 2\); expected scores",
        ),
        (lambda: models.CharRNN(5, cell="tanh"), "cell is 'tanh'; expected one of rnn, gru, lstm"),
        (lambda: models.CharRNN(5).sample([], 3), "the prompt is empty"),
        (lambda: models.CharRNN(5).sample([0], -1), "length is -1"),
        (lambda: models.CharRNN(5).sample([0], 1, -0.5), "temperature -0.5"),
        (lambda: not_a_number().sample([0], 1), "sample: the model's scores hold NaN"),
        (lambda: not_a_number().sample([0], 1, 0), "sample: the model's scores hold NaN"),
        (
            lambda: models.row_rnn()(randn(2, 28, 28)),
            r"RowClassifier: x has shape \(2, 28, 28\); expected \(N, C, H, W\)",
        ),
        (lambda: models.Forecaster(3, 2)(randn(3, 3)), r"Forecaster: x has shape \(3, 3\); expected \(N, T, size\)"),
        (
            lambda: models.ManyToOne(3, (2,))(randn(3, 3)),
            r"ManyToOne: x has shape \(3, 3\); expected \(N, T, input_size",
        ),
    ],
)
def test_errors_of_models(call, message):
    with pytest.raises(ValueError, match=message):
        call()


# Tasks --------------------------------------------------------------------------------------------


def test_tasks():
    model = models.CharRNN(5, 3, 4)
    tokens = np.random.default_rng(0).integers(0, 5, (2, 7))
    x, target = fastnn.tensor(tokens[:, :-1]), fastnn.tensor(tokens[:, 1:])
    step = LanguageModelling().step(model, x, target, ())
    scores = model(x.T)[0].detach().numpy().astype(np.float64)
    log_p = scores - np.log(np.exp(scores).sum(-1, keepdims=True))
    expected = -np.take_along_axis(log_p, tokens[:, 1:].T[:, :, None], -1).mean()
    assert step.loss.item() == pytest.approx(expected, rel=1e-5)
    assert [c.shape for c in step.carry] == [(2, 2, 4)] * 2
    again = LanguageModelling().step(model, x, target, step.carry)
    assert again.loss.item() != step.loss.item()
    assert LanguageModelling().metrics({"loss": 2.0}) == {"loss": 2.0, "perplexity": pytest.approx(np.e**2)}

    model = models.ManyToOne(2, (1,), 4)
    x, target = randn(6, 5, 2), randn(6, 1, seed=1)
    step = Regression().step(model, x, target, ())
    difference = (model(x) - target).detach().numpy()
    assert step.loss.item() == pytest.approx((difference**2).mean(), rel=1e-5)
    assert step.sums == {"mae": pytest.approx(np.abs(difference).sum(), rel=1e-5)}


# Gradients through time ---------------------------------------------------------------------------


@pytest.mark.parametrize("kind", [nn.RNN, nn.GRU, nn.LSTM])
@pytest.mark.parametrize("num_layers", [1, 2])
@pytest.mark.parametrize("batch_first", [False, True])
def test_gradient_norms_by_finite_differences(kind, num_layers, batch_first):
    """A cell's state is moved at step t: for the loss that is what dL/dh_t says."""
    module = kind(3, 4, num_layers, batch_first=batch_first).double()
    x = np.random.default_rng(0).standard_normal((2, 6, 3) if batch_first else (6, 2, 3))
    weights = np.random.default_rng(1).standard_normal((6, 2, 4))
    weights = fastnn.tensor(weights.transpose(1, 0, 2) if batch_first else weights)
    norms = gradient_norms(module, fastnn.tensor(x), lambda y: (y * y * weights).sum())
    assert norms.shape == (num_layers, 6)
    assert norms.dtype == np.float64

    def moved(layer, t, n, unit, by):
        data = fastnn.tensor(x.transpose(1, 0, 2) if batch_first else x)
        for k in range(num_layers):
            outputs, states = [], ()
            for step in range(6):
                y, _, *others = module.one_layer(k, data[step : step + 1], states)
                if (k, step) == (layer, t):
                    change = np.zeros((1, 2, 4))
                    change[0, n, unit] = by
                    y = y + fastnn.tensor(change)
                outputs.append(y)
                states = (y, *others)
            data = fastnn.cat(outputs)
        y = data.transpose(0, 1) if batch_first else data
        return (y * y * weights).sum().item()

    for layer in range(num_layers):
        for t in (0, 3, 5):
            gradient = [
                (moved(layer, t, n, unit, 1e-6) - moved(layer, t, n, unit, -1e-6)) / 2e-6
                for n in range(2)
                for unit in range(4)
            ]
            assert norms[layer, t] == pytest.approx(np.linalg.norm(gradient), rel=1e-5)


def test_the_gradient_of_a_plain_network_vanishes_and_explodes():
    x = randn(60, 2, 3)
    module = nn.RNN(3, 8, bias=False)
    for factor, far in ((0.5, lambda ratio: ratio < 1e-10), (1.05, lambda ratio: ratio > 5)):
        module.weight_hh_l0.data[:] = np.eye(8) * factor
        module.weight_ih_l0.data[:] *= 1e-3
        norms = gradient_norms(module, x, lambda y: y[-1].sum())[0]
        assert far(norms[0] / norms[-1])


def test_errors_of_gradient_norms():
    with pytest.raises(TypeError, match=r"gradient_norms: module is Linear; expected nn.RNN, nn.LSTM or nn.GRU"):
        gradient_norms(nn.Linear(3, 4), randn(5, 2, 3), lambda y: y.sum())
    with pytest.raises(ValueError, match="module is bidirectional"):
        gradient_norms(nn.GRU(3, 4, bidirectional=True), randn(5, 2, 3), lambda y: y.sum())
    with pytest.raises(ValueError, match=r"x has shape \(5, 3\); expected a batch of sequences"):
        gradient_norms(nn.GRU(3, 4), randn(5, 3), lambda y: y.sum())
