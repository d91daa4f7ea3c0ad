"""LBFGS: the path, the evaluations and the state against PyTorch's; what it minimizes; errors."""

import copy

import numpy as np
import pytest

import fastnn
from fastnn.nn import functional as F
from fastnn.optim import LBFGS
from fastnn.tensor import Parameter, Tensor

DTYPES = [np.float32, np.float64]
SHAPES = [(4, 3), (3,), (), (0, 2)]


def start(dtype):
    rng = np.random.default_rng(0)
    return [np.asarray(rng.standard_normal(shape), dtype) for shape in SHAPES]


def valley(w, b, c, _):
    """Rosenbrock's function between neighbours, over all parameters."""
    x, y, z = w.reshape(-1), b, c.reshape(1)
    one = ((1 - x[:-1]) ** 2).sum() + 10 * ((x[1:] - x[:-1] ** 2) ** 2).sum()
    return one + ((1 - y) ** 2).sum() + 10 * ((z - (y * y).sum()) ** 2).sum()


def bowl(w, b, c, _):
    """An ill-conditioned quadratic function."""
    return (w * w).sum() * 0.5 + (w[0] * w[0]).sum() * 20 + ((b - 3) ** 2).sum() * 0.01 + (c * c).sum()


def closure_of(function, optimizer, parameters, seen):
    def closure():
        optimizer.zero_grad()
        loss = function(*parameters)
        loss.backward()
        seen.append(loss.item())
        return loss

    return closure


OPTIONS = [
    {"line_search_fn": "strong_wolfe"},
    {"line_search_fn": "strong_wolfe", "lr": 0.1, "history_size": 2},
    {"line_search_fn": "strong_wolfe", "lr": 30.0, "max_iter": 4},
    {"line_search_fn": "strong_wolfe", "max_iter": 7, "max_eval": 5},
    {"line_search_fn": "strong_wolfe", "max_eval": 1},
    {"line_search_fn": "strong_wolfe", "tolerance_grad": 1.0},
    {"lr": 0.01},
    {"lr": 0.02, "max_iter": 3, "history_size": 1},
    {"lr": 0.02, "max_eval": 6},
    {"lr": 0.02, "tolerance_change": 1e-2},
]


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("function", [valley, bowl])
@pytest.mark.parametrize("options", OPTIONS, ids=str)
def test_ten_steps_against_pytorch(function, options, dtype):
    torch = pytest.importorskip("torch")
    ours = [Parameter(x) for x in start(dtype)]
    theirs = [torch.nn.Parameter(torch.tensor(x)) for x in start(dtype)]
    optimizer, reference = LBFGS(ours, **options), torch.optim.LBFGS(theirs, **options)
    seen, expected = [], []
    closure = closure_of(function, optimizer, ours, seen)
    reference_closure = closure_of(function, reference, theirs, expected)
    losses = [(optimizer.step(closure).item(), reference.step(reference_closure).item()) for _ in range(10)]
    # Each iteration multiplies the rounding errors of those before: the paths part in the end, and both arrive.
    same, rtol = (5, 1e-3) if dtype == np.float32 else (12, 1e-7)
    np.testing.assert_allclose(seen[:same], expected[:same], rtol=rtol, atol=1e-9)
    np.testing.assert_allclose(*losses[0], rtol=rtol)
    if min(losses[-1]) > 1e-2 * losses[0][0]:  # slow ones stay together
        np.testing.assert_allclose(*zip(*losses, strict=True), rtol=1e-2)
    else:
        assert max(losses[-1]) < 1e-2 * losses[0][0]
    if len(seen) <= same:
        for a, b in zip(ours, theirs, strict=True):
            np.testing.assert_allclose(a.data, b.detach().numpy(), rtol=rtol, atol=rtol)
    state, other = optimizer.state[ours[0]], reference.state[theirs[0]]
    assert set(state) == set(other) - {"al"}  # PyTorch's scratch
    assert len(state["old_dirs"]) == len(state["old_stps"]) == len(state["ro"])
    assert state["func_evals"] == len(seen)


@pytest.mark.parametrize("line_search_fn", [None, "strong_wolfe"])
def test_goes_on_from_pytorchs_state(line_search_fn):
    torch = pytest.importorskip("torch")
    theirs = [torch.nn.Parameter(torch.tensor(x)) for x in start(np.float64)]
    options = {"lr": 0.02, "max_iter": 5, "line_search_fn": line_search_fn}
    reference = torch.optim.LBFGS(theirs, **options)
    reference_closure = closure_of(valley, reference, theirs, [])
    reference.step(reference_closure)
    ours = [Parameter(p.detach().numpy().copy()) for p in theirs]
    optimizer = LBFGS(ours)
    optimizer.load_state_dict(reference.state_dict())
    assert optimizer.param_groups[0]["max_iter"] == 5
    optimizer.step(closure_of(valley, optimizer, ours, []))
    reference.step(reference_closure)
    for a, b in zip(ours, theirs, strict=True):
        np.testing.assert_allclose(a.data, b.detach().numpy(), rtol=1e-9)


def test_resuming_gives_the_same_bits_on_any_number_of_threads(threads):
    def make(values):
        parameters = [Parameter(x.copy()) for x in values]
        optimizer = LBFGS(parameters, max_iter=4, line_search_fn="strong_wolfe")
        return parameters, optimizer, closure_of(valley, optimizer, parameters, [])

    whole, optimizer, closure = make(start(np.float32))
    optimizer.step(closure)
    state, halfway = copy.deepcopy(optimizer.state_dict()), [p.data for p in whole]
    second, resumed, resumed_closure = make(halfway)
    resumed.load_state_dict(state)
    optimizer.step(closure)
    resumed.step(resumed_closure)
    for a, b in zip(whole, second, strict=True):
        np.testing.assert_array_equal(a.data, b.data)


def test_logistic_regression_to_the_minimum():
    rng = np.random.default_rng(0)
    x = rng.standard_normal((200, 5))
    labels = (x @ rng.standard_normal(5) + rng.standard_normal(200) > 0).astype(np.int64)
    w, data = Parameter(np.zeros((2, 5))), Tensor(x)
    w.data = np.zeros((5, 2)).T  # any layout
    optimizer = LBFGS([w], line_search_fn="strong_wolfe", max_iter=100)

    def closure():
        optimizer.zero_grad()
        loss = F.cross_entropy(F.linear(data, w), Tensor(labels)) + 0.01 * (w * w).sum()
        loss.backward()
        return loss

    version = w._version
    with fastnn.no_grad():
        before = optimizer.step(closure).item()
    assert w._version > version
    assert before == pytest.approx(np.log(2))
    assert closure().item() < 0.5
    assert np.abs(w.grad.data).max() < 1e-4


def test_a_parameter_without_gradient_stays_and_a_plain_loss_will_do():
    used, unused = Parameter(np.array([4.0])), Parameter(np.ones(3))
    optimizer = LBFGS([unused, used], line_search_fn="strong_wolfe")

    def closure():
        used.grad = Tensor(2 * used.data)
        return float((used.data**2).sum())

    assert optimizer.step(closure) == 16
    np.testing.assert_allclose(used.data, 0, atol=1e-7)
    np.testing.assert_array_equal(unused.data, np.ones(3))


def test_at_the_minimum_nothing_moves():
    w = Parameter(np.zeros(3, np.float32))
    optimizer = LBFGS([w])
    optimizer.step(closure_of(lambda w: (w * w).sum(), optimizer, [w], []))
    assert optimizer.state[w]["func_evals"] == 1
    np.testing.assert_array_equal(w.data, np.zeros(3))


@pytest.mark.parametrize("line_search_fn", [None, "strong_wolfe"])
def test_a_loss_that_is_not_finite_ends(line_search_fn):
    w = Parameter(np.full(3, np.nan, np.float32))
    optimizer = LBFGS([w], line_search_fn=line_search_fn)
    loss = optimizer.step(closure_of(lambda w: (w * w).sum(), optimizer, [w], []))
    assert np.isnan(loss.item())


@pytest.mark.parametrize(
    ("options", "error", "message"),
    [
        ({"lr": -1}, ValueError, "LBFGS: lr is -1; expected at least 0"),
        ({"lr": "x"}, TypeError, "LBFGS: lr is 'x'; expected a number"),
        ({"max_iter": "x"}, TypeError, "LBFGS: max_iter is 'x'; expected a number"),
        ({"max_iter": -1}, ValueError, "LBFGS: max_iter is -1"),
        ({"max_eval": -1}, ValueError, "LBFGS: max_eval is -1"),
        ({"tolerance_grad": -1}, ValueError, "LBFGS: tolerance_grad is -1"),
        ({"history_size": 0}, ValueError, "LBFGS: history_size is 0; expected at least 1"),
        ({"line_search_fn": "wolfe"}, ValueError, "LBFGS: line_search_fn is 'wolfe'; expected None or 'strong_wolfe'"),
    ],
)
def test_options_out_of_range(options, error, message):
    with pytest.raises(error, match=message):
        LBFGS([Parameter(np.ones(3))], **options)


def test_one_group_and_a_closure():
    a, b = Parameter(np.ones(3)), Parameter(np.ones(3))
    with pytest.raises(ValueError, match="LBFGS: params has several groups; expected one"):
        LBFGS([{"params": [a]}, {"params": [b], "lr": 0.5}])
    with pytest.raises(ValueError, match="LBFGS: params is empty"):
        LBFGS([{"params": []}])
    with pytest.raises(TypeError, match=r"LBFGS: step\(\) needs a closure"):
        LBFGS([a]).step()
