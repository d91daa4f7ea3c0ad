"""SGD and what all optimizers share: trajectories against PyTorch's and plain NumPy, state, options, errors."""

import copy
import itertools
import json
import math

import numpy as np
import pytest

import fastnn
from fastnn.optim import SGD, Optimizer, lr_scheduler
from fastnn.tensor import Parameter, Tensor

SHAPES = [(3,), (4, 5), (2, 3, 3, 1), ()]


def params(dtype=np.float32):
    rng = np.random.default_rng(0)
    return [Parameter(np.asarray(rng.standard_normal(shape), dtype)) for shape in SHAPES]


def gradient(step, i):
    return np.random.default_rng([step, i]).standard_normal(SHAPES[i])


def set_gradients(parameters, step, skip=()):
    for i, p in enumerate(parameters):
        p.grad = None if i in skip else Tensor(np.asarray(gradient(step, i), p.dtype))


OPTIONS = [
    {
        "lr": lr,
        "momentum": momentum,
        "dampening": dampening,
        "weight_decay": decay,
        "nesterov": nesterov,
        "maximize": maximize,
    }
    for lr, (momentum, dampening, nesterov), decay, maximize in itertools.product(
        [0.1],
        [(0.0, 0.0, False), (0.9, 0.0, False), (0.9, 0.3, False), (0.9, 0.0, True)],
        [0.0, 0.01],
        [False, True],
    )
]


@pytest.mark.parametrize("options", OPTIONS, ids=str)
def test_sgd_against_the_formula(options, isa):
    ours = params(np.float64)
    values, buffers = [p.data.copy() for p in ours], [None] * len(ours)
    optimizer = SGD(ours, **options)
    for step in range(5):
        set_gradients(ours, step)
        optimizer.step()
        for i, value in enumerate(values):
            g = (-gradient(step, i) if options["maximize"] else gradient(step, i)) + options["weight_decay"] * value
            if options["momentum"]:
                if buffers[i] is None:
                    buffers[i] = g
                else:
                    buffers[i] = options["momentum"] * buffers[i] + (1 - options["dampening"]) * g
                g = g + options["momentum"] * buffers[i] if options["nesterov"] else buffers[i]
            values[i] = value - options["lr"] * g
    for p, value in zip(ours, values, strict=True):
        np.testing.assert_allclose(p.data, value, rtol=1e-12)


@pytest.mark.parametrize("options", OPTIONS, ids=str)
def test_sgd_against_torch(options):
    torch = pytest.importorskip("torch")
    ours = params()
    theirs = [torch.nn.Parameter(torch.tensor(p.data)) for p in ours]
    optimizer, reference = SGD(ours, **options), torch.optim.SGD(theirs, **options)
    schedule = lr_scheduler.CosineAnnealingLR(optimizer, 6, eta_min=0.01)
    reference_schedule = torch.optim.lr_scheduler.CosineAnnealingLR(reference, 6, eta_min=0.01)
    for step in range(10):
        skip = {1} if step in (0, 4) else set()  # its momentum starts late, and pauses
        set_gradients(ours, step, skip)
        for i, p in enumerate(theirs):
            p.grad = None if i in skip else torch.tensor(gradient(step, i), dtype=torch.float32)
        optimizer.step()
        reference.step()
        schedule.step()
        reference_schedule.step()
        assert schedule.get_last_lr() == pytest.approx(reference_schedule.get_last_lr(), rel=1e-12)
        for a, b in zip(ours, theirs, strict=True):
            np.testing.assert_allclose(a.data, b.detach().numpy(), rtol=2e-5, atol=1e-6)


def test_sgd_goes_on_from_torch_state():
    torch = pytest.importorskip("torch")
    ours = params()
    theirs = [torch.nn.Parameter(torch.tensor(p.data)) for p in ours]
    reference = torch.optim.SGD(theirs, lr=0.1, momentum=0.9)
    for step in range(3):
        for i, p in enumerate(theirs):
            p.grad = torch.tensor(gradient(step, i), dtype=torch.float32)
        if step == 2:
            optimizer = SGD(ours, lr=99.0)
            optimizer.load_state_dict(reference.state_dict())
            for a, b in zip(ours, theirs, strict=True):
                a.data[...] = b.detach().numpy()
            set_gradients(ours, step)
            optimizer.step()
        reference.step()
    for a, b in zip(ours, theirs, strict=True):
        np.testing.assert_allclose(a.data, b.detach().numpy(), rtol=1e-5, atol=1e-6)


def test_state_dict_has_torch_structure():
    torch = pytest.importorskip("torch")
    ours = params()
    theirs = [torch.nn.Parameter(torch.tensor(p.data)) for p in ours]
    optimizer, reference = [
        cls([{"params": p[:1]}, {"params": p[1:], "lr": 0.5}], lr=0.1, momentum=0.9)
        for cls, p in ((SGD, ours), (torch.optim.SGD, theirs))
    ]
    set_gradients(ours, 0)
    for p in theirs:
        p.grad = torch.zeros_like(p)
    optimizer.step()
    reference.step()
    a, b = optimizer.state_dict(), reference.state_dict()
    assert a.keys() == b.keys()
    assert a["state"].keys() == b["state"].keys()
    assert all(a["state"][i].keys() == b["state"][i].keys() for i in b["state"])
    for group, other in zip(a["param_groups"], b["param_groups"], strict=True):
        assert group == {key: value for key, value in other.items() if key in group}


def test_resuming_gives_the_same_bits():
    def run(steps, parameters, optimizer, schedule):
        for step in steps:
            set_gradients(parameters, step)
            optimizer.step()
            schedule.step()

    def make():
        p = params()
        optimizer = SGD([{"params": p[:2], "lr": 0.2}, {"params": p[2:]}], lr=0.1, momentum=0.9, weight_decay=0.01)
        return p, optimizer, lr_scheduler.CosineAnnealingLR(optimizer, 10)

    whole = make()
    run(range(10), *whole)
    first = make()
    run(range(4), *first)
    state, schedule = copy.deepcopy(first[1].state_dict()), json.loads(json.dumps(first[2].state_dict()))
    second = make()
    for p, q in zip(second[0], first[0], strict=True):
        p.data[...] = q.data
    second[1].load_state_dict(state)
    second[2].load_state_dict(schedule)
    run(range(4, 10), *second)
    for p, q in zip(second[0], whole[0], strict=True):
        np.testing.assert_array_equal(p.data, q.data)
    run(range(4, 10), *first)
    for p, q in zip(first[0], whole[0], strict=True):
        np.testing.assert_array_equal(p.data, q.data)


def test_loaded_state_is_a_copy():
    p = params()
    optimizer = SGD(p, lr=0.1, momentum=0.9)
    set_gradients(p, 0)
    optimizer.step()
    state = optimizer.state_dict()
    assert state["state"][0]["momentum_buffer"] is optimizer.state[p[0]]["momentum_buffer"]
    optimizer.load_state_dict(state)
    assert state["state"][0]["momentum_buffer"] is not optimizer.state[p[0]]["momentum_buffer"]


def test_load_state_dict_errors():
    p = params()
    optimizer = SGD(p, lr=0.1)
    other = SGD(params()[:2], lr=0.1).state_dict()
    with pytest.raises(ValueError, match=r"groups of \[2\] parameters; the optimizer has \[4\]"):
        optimizer.load_state_dict(other)
    state = optimizer.state_dict()
    state["param_groups"][0]["weight_decay"] = -1
    with pytest.raises(ValueError, match="SGD: weight_decay is -1"):
        optimizer.load_state_dict(state)
    state["param_groups"][0].update(weight_decay=0, lr="x")
    with pytest.raises(TypeError, match="SGD: lr is 'x'; expected a number"):
        optimizer.load_state_dict(state)
    state = optimizer.state_dict()
    state["state"] = {9: {}}
    with pytest.raises(ValueError, match="parameter 9 that belongs to no group"):
        optimizer.load_state_dict(state)
    state = optimizer.state_dict()
    del state["param_groups"][0]["momentum"]
    with pytest.raises(ValueError, match="SGD: the state has no momentum; it is that of another optimizer"):
        optimizer.load_state_dict(state)
    for state in ({}, None):
        with pytest.raises(TypeError, match=f"SGD: the state is {state}; expected a dict with 'state' and 'param_"):
            optimizer.load_state_dict(state)
    assert optimizer.param_groups[0]["lr"] == 0.1


def test_states_of_older_versions_lack_switches():
    optimizer = SGD(params(), lr=0.1)
    state = optimizer.state_dict()
    del state["param_groups"][0]["maximize"]
    optimizer.load_state_dict(state)
    assert optimizer.param_groups[0]["maximize"] is False


def test_step_skips_bumps_and_calls_the_closure():
    p = params()
    before = [q.data.copy() for q in p]
    optimizer = SGD(p, lr=0.1, momentum=0.9)
    optimizer.step()
    assert not optimizer.state
    versions = [q._version for q in p]

    def closure():
        assert fastnn.is_grad_enabled()
        set_gradients(p, 0, skip={1})
        return 3.5

    with fastnn.no_grad():
        assert optimizer.step(closure) == 3.5
    assert [q._version - v for q, v in zip(p, versions, strict=True)] == [1, 0, 1, 1]
    np.testing.assert_array_equal(p[1].data, before[1])
    assert p[1] not in optimizer.state
    assert all((q.data != b).all() for i, (q, b) in enumerate(zip(p, before, strict=True)) if i != 1)


def test_step_between_forward_and_backward_is_noticed():
    w = Parameter(np.ones(3, np.float32))
    y = (w * 2).sum()
    w.grad = Tensor(np.ones(3, np.float32))
    SGD([w], lr=0.1).step()
    with pytest.raises(RuntimeError, match="changed in place"):
        y.backward()


def test_parameters_of_any_dense_layout():
    plain, transposed = (Parameter(np.ones((4, 6), np.float32)) for _ in range(2))
    transposed.data = np.ones((6, 4), np.float32).T
    for w in (plain, transposed):
        optimizer = SGD([w], lr=0.1, momentum=0.9)
        for step in range(3):
            w.grad = Tensor(np.arange(24, dtype=np.float32).reshape(4, 6) * step)
            optimizer.step()
            optimizer.load_state_dict(optimizer.state_dict())
    np.testing.assert_array_equal(plain.data, transposed.data)


def test_a_failed_step_leaves_no_state():
    w = Parameter(np.ones(3, np.float32))
    optimizer = SGD([w], lr=0.1, momentum=0.9)
    w.grad = Tensor(np.ones(4, np.float32))
    with pytest.raises(ValueError, match="sgd: "):
        optimizer.step()
    assert w._version == 0
    w.grad = Tensor(np.ones(3, np.float32))
    optimizer.step()
    np.testing.assert_allclose(w.data, [0.9] * 3, rtol=1e-6)


def test_zero_grad():
    p = params()
    optimizer = SGD(p, lr=0.1)
    set_gradients(p, 0, skip={1})
    optimizer.zero_grad(set_to_none=False)
    assert p[1].grad is None
    assert not p[0].grad.data.any()
    optimizer.zero_grad()
    assert all(q.grad is None for q in p)


def test_groups():
    a, b, c, d = params()
    optimizer = SGD([{"params": [a]}, {"params": iter([b]), "lr": 0.5}], lr=0.1)
    optimizer.add_param_group({"params": c, "momentum": 0.9})
    assert [g["lr"] for g in optimizer.param_groups] == [0.1, 0.5, 0.1]
    assert optimizer.param_groups[2]["params"][0] is c
    assert repr(SGD([d], lr=0.1)) == (
        "SGD (\nParameter Group 0\n    dampening: 0\n    lr: 0.1\n    maximize: False\n    momentum: 0\n"
        "    nesterov: False\n    weight_decay: 0\n)"
    )
    assert SGD([d]).param_groups[0]["lr"] == 1e-3


@pytest.mark.parametrize(
    ("make", "kind", "text"),
    [
        (lambda p: SGD([]), ValueError, "params is empty"),
        (lambda p: SGD(p[0]), TypeError, "Parameter; expected an iterable"),
        (lambda p: SGD({"params": p}), TypeError, "dict; expected an iterable"),
        (lambda p: SGD(3), TypeError, "int; expected an iterable"),
        (lambda p: SGD([*p, 3]), TypeError, "one of params is int; expected Tensor"),
        (lambda p: SGD([("w", p[0])]), TypeError, "one of params is tuple"),
        (lambda p: SGD([*p, p[0]]), ValueError, "more than once"),
        (lambda p: SGD([{"params": p}, {"params": p[:1]}]), ValueError, "more than once"),
        (lambda p: SGD([{"params": set(p)}]), TypeError, "no order"),
        (lambda p: SGD([{"lr": 1}]), TypeError, "expected a dict with 'params'"),
        (lambda p: SGD([p[0] * 2]), ValueError, "not a leaf"),
        (lambda p: SGD(p, lr=-1), ValueError, "SGD: lr is -1; expected at least 0"),
        (lambda p: SGD(p, lr=math.nan), ValueError, "SGD: lr is nan"),
        (lambda p: SGD(p, momentum=-0.5), ValueError, "SGD: momentum is -0.5"),
        (lambda p: SGD(p, weight_decay=-1), ValueError, "SGD: weight_decay is -1"),
        (lambda p: SGD(p, nesterov=True), ValueError, "nesterov needs a momentum above 0"),
        (lambda p: SGD(p, momentum=0.9, dampening=0.1, nesterov=True), ValueError, "no dampening"),
        (lambda p: SGD([{"params": p, "lr": -2}]), ValueError, "SGD: lr is -2"),
        (lambda p: Optimizer(p, {}).step(), None, None),
    ],
)
def test_errors(make, kind, text):
    if kind is None:
        make(params())  # nothing has a gradient: nothing to update
        return
    with pytest.raises(kind, match=text):
        make(params())


@pytest.mark.parametrize("name", ["lr", "momentum", "dampening", "weight_decay"])
def test_an_option_that_is_no_number_is_named(name):
    with pytest.raises(TypeError, match=f"SGD: {name} is 'x'; expected a number"):
        SGD([fastnn.Parameter(fastnn.ones(1))], **{name: "x"})
