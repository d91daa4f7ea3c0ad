"""nn.RNN, LSTM, GRU and their cells: every option against PyTorch, gradients, states, and errors."""

import itertools

import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal

import fastnn
from fastnn import functional as F
from fastnn import nn
from fastnn.nn.utils.rnn import PackedSequence, pack_padded_sequence, pad_packed_sequence

pytestmark = pytest.mark.filterwarnings("ignore:LSTM with projections is not supported:UserWarning")  # PyTorch's

T, N, I, H = 6, 4, 5, 7
LENGTHS = [3, 6, 1, 4]
KINDS = {
    "RNN": ("RNN", {}),
    "RNN relu": ("RNN", {"nonlinearity": "relu"}),
    "GRU": ("GRU", {}),
    "LSTM": ("LSTM", {}),
    "LSTM proj": ("LSTM", {"proj_size": 3}),
}
OPTIONS = [
    {"num_layers": layers, "bidirectional": bidirectional, "bias": bias}
    for layers, bidirectional, bias in itertools.product((1, 2, 3), (False, True), (True, False))
]
over_kinds = pytest.mark.parametrize(("kind", "extra"), KINDS.values(), ids=KINDS.keys())
over_options = pytest.mark.parametrize("options", OPTIONS, ids=lambda o: "-".join(map(str, o.values())))


@pytest.fixture
def torch():
    return pytest.importorskip("torch")


def normal(*shape, seed=0, dtype=np.float32):
    return np.random.default_rng(seed).standard_normal(shape).astype(dtype)


def states_of(module, *batch, dtype=np.float32):
    """Initial states as arrays."""
    layers = module.num_layers * (1 + module.bidirectional)
    sizes = [module.proj_size or module.hidden_size]
    sizes += [module.hidden_size] if isinstance(module, nn.LSTM) else []
    return [normal(layers, *batch, size, seed=10 + i, dtype=dtype) for i, size in enumerate(sizes)]


def passed(states):
    return tuple(states) if len(states) > 1 else states[0]


def flat(result):
    """The tensors of `(y, h)`, `(y, (h, c))`, a state or `(h, c)`."""
    if isinstance(result, PackedSequence):
        return [result.data]
    return [t for part in result for t in flat(part)] if isinstance(result, tuple) else [result]


def close(ours, theirs):
    assert_allclose(np.asarray(ours.detach()), theirs.detach().numpy(), rtol=1e-5, atol=1e-5)


def compare(torch, ours, theirs, x, states, run=lambda library, module, x, hx: module(x, hx)):
    """Values and all gradients of a module and of PyTorch's with the same parameters."""
    ours.load_state_dict(theirs.state_dict())
    our_x, our_states = fastnn.tensor(x, requires_grad=True), [fastnn.tensor(s, requires_grad=True) for s in states]
    their_x, their_states = torch.tensor(x, requires_grad=True), [torch.tensor(s, requires_grad=True) for s in states]
    got = flat(run(nn, ours, our_x, passed(our_states) if states else None))
    expected = flat(run(torch.nn, theirs, their_x, passed(their_states) if states else None))
    assert len(got) == len(expected)
    our_loss, their_loss = 0, 0
    for i, (a, b) in enumerate(zip(got, expected, strict=True)):
        assert a.shape == tuple(b.shape)
        close(a, b)
        dy = normal(*a.shape, seed=20 + i)
        our_loss, their_loss = our_loss + (a * dy).sum(), their_loss + (b * torch.from_numpy(dy)).sum()
    our_loss.backward()
    their_loss.backward()
    for a, b in zip((our_x, *our_states), (their_x, *their_states), strict=True):
        close(a.grad, b.grad)
    for name, parameter in theirs.named_parameters():
        close(ours.get_parameter(name).grad, parameter.grad)


# Sequences ----------------------------------------------------------------------------------------


@over_kinds
@over_options
@pytest.mark.parametrize("given", [False, True], ids=["zeros", "states"])
def test_equals_pytorch(torch, kind, extra, options, given):
    ours, theirs = (getattr(library, kind)(I, H, **extra, **options) for library in (nn, torch.nn))
    assert repr(ours) == repr(theirs)
    assert list(ours.state_dict()) == list(theirs.state_dict())
    compare(torch, ours, theirs, normal(T, N, I), states_of(ours, N) if given else [])


@over_kinds
@pytest.mark.parametrize("bidirectional", [False, True])
def test_batch_first_and_unbatched_equal_pytorch(torch, kind, extra, bidirectional):
    for batch_first in (False, True):
        options = {"num_layers": 2, "batch_first": batch_first, "bidirectional": bidirectional}
        ours, theirs = (getattr(library, kind)(I, H, **extra, **options) for library in (nn, torch.nn))
        assert repr(ours) == repr(theirs)
        x = normal(N, T, I) if batch_first else normal(T, N, I)
        compare(torch, ours, theirs, x, states_of(ours, N))
        for states in ([], states_of(ours)):
            theirs.zero_grad()
            ours.zero_grad()
            compare(torch, ours, theirs, normal(T, I), states)


@over_kinds
@pytest.mark.parametrize("bidirectional", [False, True])
@pytest.mark.parametrize("lengths", [LENGTHS, [6, 4, 4, 1], [5, 5, 5, 5]], ids=str)
def test_packed_sequences_equal_pytorch(torch, kind, extra, bidirectional, lengths):
    def run(library, module, x, hx):
        pack = library.utils.rnn.pack_padded_sequence(x, lengths, enforce_sorted=False)
        y, states = module(pack, hx)
        return library.utils.rnn.pad_packed_sequence(y)[0], states

    ours, theirs = (
        getattr(library, kind)(I, H, num_layers=2, bidirectional=bidirectional, **extra) for library in (nn, torch.nn)
    )
    x = normal(T, N, I)
    compare(torch, ours, theirs, x, [], run)
    ours.zero_grad()
    theirs.zero_grad()
    compare(torch, ours, theirs, x, states_of(ours, N), run)


@over_kinds
@pytest.mark.parametrize("bidirectional", [False, True])
def test_a_packed_batch_is_its_sequences_one_by_one(kind, extra, bidirectional):
    module = getattr(nn, kind)(I, H, num_layers=2, bidirectional=bidirectional, **extra)
    x = normal(T, N, I)
    for n, length in enumerate(LENGTHS):
        x[length:, n] = np.nan
    states = states_of(module, N)
    packed = pack_padded_sequence(fastnn.tensor(x), LENGTHS, enforce_sorted=False)
    y, final = module(packed, passed([fastnn.tensor(s) for s in states]))
    padded, lengths = pad_packed_sequence(y)
    assert_array_equal(lengths.numpy(), LENGTHS)
    for n, length in enumerate(LENGTHS):
        alone = module(fastnn.tensor(x[:length, n]), passed([fastnn.tensor(s[:, n]) for s in states]))
        together = [padded[:length, n], *(s[:, n] for s in flat(final))]
        for a, b in zip(together, flat(alone), strict=True):
            assert_allclose(a.detach().numpy(), b.detach().numpy(), rtol=1e-5, atol=1e-6)


@over_kinds
@pytest.mark.parametrize("bidirectional", [False, True])
@pytest.mark.parametrize("packed", [False, True])
def test_gradients(kind, extra, bidirectional, packed):
    fastnn.manual_seed(1)
    extra = extra | ({"proj_size": 2} if "proj_size" in extra else {})
    module = getattr(nn, kind)(2, 3, num_layers=2, bidirectional=bidirectional, **extra).double()
    states = states_of(module, 2, dtype=np.float64)
    inputs = [normal(3, 2, 2, dtype=np.float64), *states]

    def function(x, *arguments):
        hx = passed(arguments[: len(states)])
        for (name, _), value in zip(list(module.named_parameters()), arguments[len(states) :], strict=True):
            object.__getattribute__(module, "_parameters")[name] = value
        y, final = module(pack_padded_sequence(x, [1, 3], enforce_sorted=False) if packed else x, hx)
        return tuple(flat((y, final)))

    inputs += [p.detach().numpy().copy() for p in module.parameters()]
    assert fastnn.gradcheck(function, [fastnn.tensor(a, requires_grad=True) for a in inputs])


def test_dropout_stands_between_the_layers():
    x = fastnn.tensor(normal(T, N, I))
    module = nn.GRU(I, H, num_layers=3, dropout=0.4)
    layers = [nn.GRU(size, H) for size in (I, H, H)]
    for k, layer in enumerate(layers):
        layer.load_state_dict({f"{name[:-1]}0": a for name, a in module.state_dict().items() if name.endswith(f"l{k}")})
    fastnn.manual_seed(3)
    y, h_n = module(x)
    fastnn.manual_seed(3)
    z, states = x, []
    for k, layer in enumerate(layers):
        z, h = layer(z if k == 0 else F.dropout(z, 0.4))
        states.append(h)
    assert_array_equal(y.detach().numpy(), z.detach().numpy())
    assert_array_equal(h_n.detach().numpy(), np.concatenate([s.detach().numpy() for s in states]))

    state = fastnn.get_rng_state()
    first, second = (module.eval()(x)[0].detach().numpy() for _ in range(2))
    assert fastnn.get_rng_state() == state
    assert_array_equal(first, second)
    assert repr(module) == "GRU(5, 7, num_layers=3, dropout=0.4)"
    with pytest.warns(UserWarning, match="LSTM: dropout comes between layers, and there is only one"):
        nn.LSTM(3, 4, dropout=0.5)


def test_truncated_backpropagation_through_time():
    module = nn.LSTM(I, H)
    x = fastnn.tensor(normal(T, N, I), requires_grad=True)
    _, state = module(x[:3])
    y, _ = module(x[3:], tuple(s.detach() for s in state))
    y.sum().backward()
    assert not x.grad.numpy()[:3].any()
    assert x.grad.numpy()[3:].any()
    whole = module(x)[0].detach().numpy()
    assert_allclose(y.detach().numpy(), whole[3:], rtol=1e-6, atol=1e-6)


@over_kinds
def test_same_bits_on_any_number_of_threads(kind, extra, threads):
    fastnn.manual_seed(0)
    module = getattr(nn, kind)(64, 96, num_layers=2, bidirectional=True, **extra)
    y, state = module(fastnn.tensor(normal(20, 32, 64)))
    y.sum().backward()
    found = [t.detach().numpy().tobytes() for t in flat((y, state))] + [
        p.grad.data.tobytes() for p in module.parameters()
    ]
    assert _first_bits.setdefault((kind, *extra), found) == found


_first_bits = {}


@over_kinds
def test_initial_parameters(kind, extra):
    fastnn.manual_seed(0)
    module = getattr(nn, kind)(30, 100, **extra)
    for parameter in module.parameters():
        values = parameter.detach().numpy()
        assert abs(values).max() <= 0.1
        assert values.std() == pytest.approx(0.1 / np.sqrt(3), rel=0.1)
    before = module.weight_hh_l0.detach().numpy().copy()
    module.reset_parameters()
    assert (module.weight_hh_l0.detach().numpy() != before).any()


@over_kinds
def test_no_grad_and_nan(kind, extra):
    module = getattr(nn, kind)(I, H, **extra)
    x = normal(T, N, I)
    with fastnn.no_grad():
        y, state = module(fastnn.tensor(x))
    assert not any(t.requires_grad for t in flat((y, state)))
    x[2, 1] = np.nan
    hit = np.isnan(module(fastnn.tensor(x))[0].detach().numpy())
    assert hit[2:, 1].all()
    assert not hit[:2].any()
    assert not hit[:, [0, 2, 3]].any()


# Cells --------------------------------------------------------------------------------------------

CELLS = {
    "RNNCell": {},
    "RNNCell relu": {"nonlinearity": "relu"},
    "GRUCell": {},
    "LSTMCell": {},
}
over_cells = pytest.mark.parametrize(("kind", "extra"), [(k.split()[0], e) for k, e in CELLS.items()], ids=CELLS.keys())


@over_cells
@pytest.mark.parametrize("bias", [True, False])
@pytest.mark.parametrize("batch", [(N,), (1,), ()], ids=str)
def test_cells_equal_pytorch(torch, kind, extra, bias, batch):
    ours, theirs = (getattr(library, kind)(I, H, bias, **extra) for library in (nn, torch.nn))
    assert repr(ours) == repr(theirs)
    assert list(ours.state_dict()) == list(theirs.state_dict())
    x = normal(*batch, I)
    states = [normal(*batch, H, seed=s) for s in range(2 if kind == "LSTMCell" else 1)]
    compare(torch, ours, theirs, x, states)
    ours.zero_grad()
    theirs.zero_grad()
    compare(torch, ours, theirs, x, [])


@over_cells
def test_cells_are_the_steps_of_a_sequence(kind, extra):
    cell, module = getattr(nn, kind)(I, H, **extra), getattr(nn, kind.removesuffix("Cell"))(I, H, **extra)
    module.load_state_dict({f"{name}_l0": a for name, a in cell.state_dict().items()})
    x, state = fastnn.tensor(normal(T, N, I)), None
    for step in x:
        state = cell(step, state)
    for a, b in zip(flat(state), flat(module(x)[1]), strict=True):
        assert_allclose(a.detach().numpy(), b.detach().numpy()[0], rtol=1e-5, atol=1e-6)


@over_cells
def test_gradients_of_cells(kind, extra):
    cell = getattr(nn, kind)(2, 3, **extra).double()
    states = [normal(2, 3, seed=s, dtype=np.float64) for s in range(2 if kind == "LSTMCell" else 1)]
    inputs = [fastnn.tensor(a, requires_grad=True) for a in (normal(2, 2, dtype=np.float64), *states)]
    assert fastnn.gradcheck(lambda x, *states: cell(x, passed(states)), inputs)


# Errors -------------------------------------------------------------------------------------------

X = fastnn.zeros(T, N, I)
LSTM = nn.LSTM(I, H, num_layers=2)


@pytest.mark.parametrize(
    ("call", "error", "message"),
    [
        (lambda: nn.RNN(0, 3), ValueError, "RNN: input_size is 0; expected at least 1"),
        (lambda: nn.GRU(3, 2.5), TypeError, "GRU: hidden_size is 2.5; expected an integer"),
        (lambda: nn.LSTM(3, 2, 0), ValueError, "LSTM: num_layers is 0; expected at least 1"),
        (lambda: nn.LSTM(3, 2, proj_size=2), ValueError, "LSTM: proj_size is 2; expected less than hidden_size, 2"),
        (lambda: nn.GRU(3, 2, 2, dropout=1.5), ValueError, "GRU: dropout: p is 1.5; expected a probability"),
        (lambda: nn.RNN(3, 2, nonlinearity="elu"), ValueError, "RNN: nonlinearity is 'elu'; expected 'tanh' or 'relu'"),
        (lambda: nn.RNNCell(3, 2, nonlinearity=1), ValueError, "RNNCell: nonlinearity is 1; expected 'tanh' or 'relu'"),
        (lambda: nn.LSTMCell(3, -1), ValueError, "LSTMCell: hidden_size is -1; expected at least 1"),
        (lambda: LSTM(X.numpy()), TypeError, "LSTM: x is ndarray; expected a Tensor"),
        (lambda: LSTM(X[0, 0]), ValueError, r"LSTM: x has shape \(5,\); expected \(T, N, I\), or \(T, I\) without"),
        (lambda: LSTM(X[:, :, :4]), ValueError, "weight_ih has 5 input features, x has 4"),
        (lambda: LSTM(X[:0]), ValueError, "x has no time steps"),
        (lambda: LSTM(X[:, :0]), ValueError, "x has an empty batch"),
        (lambda: LSTM(X, X), TypeError, r"LSTM: hx is Tensor; expected a tuple \(h_0, c_0\)"),
        (lambda: LSTM(X, (X, None)), TypeError, "LSTM: c_0 is NoneType; expected a Tensor"),
        (
            lambda: LSTM(X, (fastnn.zeros(2, N, H), fastnn.zeros(2, N, 3))),
            ValueError,
            r"LSTM: c_0 has shape \(2, 4, 3\); expected \(2, 4, 7\)",
        ),
        (lambda: nn.GRU(I, H)(X, X), ValueError, r"GRU: h_0 has shape \(6, 4, 5\); expected \(1, 4, 7\)"),
        (
            lambda: nn.GRU(I, H)(X[:, 0], fastnn.zeros(1, 1, H)),
            ValueError,
            r"GRU: h_0 has shape \(1, 1, 7\); expected \(1, 7\)",
        ),
        (lambda: nn.GRUCell(I, H)(X), ValueError, r"GRUCell: x has shape \(6, 4, 5\); expected \(N, I\), or \(I,\)"),
        (lambda: nn.GRUCell(I, H)(X[0], X[0]), ValueError, r"GRUCell: hx has shape \(4, 5\); expected \(4, 7\)"),
        (lambda: nn.LSTMCell(I, H)(X[0], X[0]), TypeError, r"LSTMCell: hx is Tensor; expected a tuple \(h, c\)"),
        (
            lambda: nn.LSTMCell(I, H)(X[0], (fastnn.zeros(N, H), fastnn.zeros(H))),
            ValueError,
            r"LSTMCell: c has shape \(7,\); expected \(4, 7\)",
        ),
        (lambda: nn.RNNCell(I, H)(None), TypeError, "RNNCell: x is NoneType; expected a Tensor"),
    ],
)
def test_errors(call, error, message):
    with pytest.raises(error, match=message):
        call()
