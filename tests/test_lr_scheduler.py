"""The schedules: learning rates and momenta against PyTorch's and closed forms, resuming, errors."""

import json
import math

import numpy as np
import pytest

from fastnn import optim
from fastnn.optim import lr_scheduler
from fastnn.tensor import Parameter

# PyTorch's, about optimizer.step() and step(epoch).
pytestmark = pytest.mark.filterwarnings("ignore:(Detected call|The epoch parameter):UserWarning")

STEPS = 40


class Halving:
    """A callable object: its attributes belong to the state of a schedule."""

    def __init__(self):
        self.factor = 0.5

    def __call__(self, epoch):
        return self.factor ** (epoch // 5)


def sequence(m, o, *schedules, milestones):
    return m.SequentialLR(o, [make(m, o) for make in schedules], milestones)


def warm_up(m, o):
    return m.LinearLR(o, 0.1, total_iters=5)


SCHEDULES = {
    "lambda": lambda m, o: m.LambdaLR(o, lambda epoch: 1 / (1 + epoch)),
    "lambdas": lambda m, o: m.LambdaLR(o, [lambda epoch: 0.9**epoch, lambda epoch: 1 + epoch]),
    "lambda object": lambda m, o: m.LambdaLR(o, Halving()),
    "multiplicative": lambda m, o: m.MultiplicativeLR(o, lambda epoch: 0.5 + 0.5 * (epoch % 3 > 0)),
    "multiplicative objects": lambda m, o: m.MultiplicativeLR(o, (Halving(), Halving())),
    "step": lambda m, o: m.StepLR(o, 7),
    "step 1": lambda m, o: m.StepLR(o, 1, gamma=0.9),
    "multi-step": lambda m, o: m.MultiStepLR(o, [3, 10, 10, 21]),
    "multi-step unsorted": lambda m, o: m.MultiStepLR(o, (20, 5), gamma=0.3),
    "constant": lambda m, o: m.ConstantLR(o),
    "constant long": lambda m, o: m.ConstantLR(o, factor=0.1, total_iters=100),
    "linear": lambda m, o: m.LinearLR(o),
    "linear down": lambda m, o: m.LinearLR(o, start_factor=1.0, end_factor=0.0, total_iters=17),
    "linear short": lambda m, o: m.LinearLR(o, 0.01, 0.5, total_iters=1),
    "exponential": lambda m, o: m.ExponentialLR(o, 0.93),
    "polynomial": lambda m, o: m.PolynomialLR(o),
    "polynomial power": lambda m, o: m.PolynomialLR(o, total_iters=30, power=0.9),
    "cosine": lambda m, o: m.CosineAnnealingLR(o, 10, 0.01),
    "cosine 1": lambda m, o: m.CosineAnnealingLR(o, 1),
    "cosine long": lambda m, o: m.CosineAnnealingLR(o, 100),
    "restarts": lambda m, o: m.CosineAnnealingWarmRestarts(o, 7),
    "restarts grow": lambda m, o: m.CosineAnnealingWarmRestarts(o, 3, 2, 0.02),
    "cyclic": lambda m, o: m.CyclicLR(o, 0.1, 0.5, 6),
    "cyclic sides": lambda m, o: m.CyclicLR(o, [0.1, 0.2], [0.5, 1.0], 3, 8, mode="triangular2"),
    "cyclic range": lambda m, o: m.CyclicLR(o, 0.1, 0.5, 4, mode="exp_range", gamma=0.9),
    "cyclic no momentum": lambda m, o: m.CyclicLR(o, 0.1, 0.5, 4, cycle_momentum=False),
    "cyclic function": lambda m, o: m.CyclicLR(
        o, 0.1, 0.5, 4, scale_fn=lambda x: 0.8**x, scale_mode="iterations", base_momentum=[0.5, 0.6]
    ),
    "cyclic object": lambda m, o: m.CyclicLR(o, 0.1, 0.5, 4, scale_fn=Halving(), mode="none"),
    "one cycle": lambda m, o: m.OneCycleLR(o, 1.0, total_steps=STEPS),
    "one cycle linear": lambda m, o: m.OneCycleLR(o, [1.0, 2.0], STEPS + 3, anneal_strategy="linear", pct_start=0.45),
    "one cycle epochs": lambda m, o: m.OneCycleLR(
        o, 1.0, epochs=5, steps_per_epoch=9, three_phase=True, div_factor=10, final_div_factor=100
    ),
    "one cycle no momentum": lambda m, o: m.OneCycleLR(o, 1.0, STEPS, cycle_momentum=False, pct_start=0.0),
    "one cycle momenta": lambda m, o: m.OneCycleLR(o, 1.0, STEPS, base_momentum=0.5, max_momentum=[0.8, 0.9]),
    "sequence": lambda m, o: sequence(m, o, warm_up, lambda m, o: m.CosineAnnealingLR(o, 20), milestones=[5]),
    "sequence of three": lambda m, o: sequence(
        m, o, warm_up, lambda m, o: m.ExponentialLR(o, 0.9), lambda m, o: m.StepLR(o, 3), milestones=[6, 20]
    ),
    "sequence with restarts": lambda m, o: sequence(
        m, o, warm_up, lambda m, o: m.CosineAnnealingWarmRestarts(o, 4, 2), milestones=[5]
    ),
    "sequence of one": lambda m, o: sequence(m, o, lambda m, o: m.PolynomialLR(o, 20), milestones=[]),
    "sequence in a sequence": lambda m, o: sequence(
        m,
        o,
        lambda m, o: sequence(m, o, warm_up, lambda m, o: m.ConstantLR(o, 0.5, 4), milestones=[5]),
        lambda m, o: m.ExponentialLR(o, 0.9),
        milestones=[15],
    ),
    "chain": lambda m, o: m.ChainedScheduler([m.ConstantLR(o, 0.1, 5), m.ExponentialLR(o, 0.9)], optimizer=o),
    "chain of one": lambda m, o: m.ChainedScheduler([m.CosineAnnealingLR(o, 12)]),
}


def parameters(framework):
    if framework is lr_scheduler:
        return [Parameter(np.ones(1, np.float32)) for _ in range(2)]
    import torch

    return [torch.nn.Parameter(torch.ones(1)) for _ in range(2)]


def make_optimizer(framework, name="SGD"):
    p = parameters(framework)
    if framework is lr_scheduler:
        package = optim
    else:
        from torch import optim as package
    options = {"momentum": 0.7} if name == "SGD" else {}
    return getattr(package, name)([{"params": p[:1]}, {"params": p[1:], "lr": 0.5}], lr=0.1, **options)


def torch_schedules():
    pytest.importorskip("torch")
    from torch.optim import lr_scheduler as theirs

    return theirs


def present(optimizer):
    return [(group["lr"], group.get("momentum"), tuple(group.get("betas", ()))) for group in optimizer.param_groups]


def trajectory(optimizer, schedule, steps=STEPS):
    """What is set at first and after each step."""
    found = [present(optimizer)]
    for _ in range(steps):
        schedule.step()
        assert schedule.get_last_lr() == [lr for lr, *_ in present(optimizer)]
        found.append(present(optimizer))
    return found


def flat(found):
    return [number for step in found for lr, momentum, betas in step for number in (lr, momentum or 0, *betas)]


def assert_same(found, expected):
    assert flat(found) == pytest.approx(flat(expected), rel=1e-12, abs=1e-15)


@pytest.mark.parametrize("name", SCHEDULES)
@pytest.mark.parametrize("optimizer", ["SGD", "AdamW"])
def test_against_pytorch(name, optimizer):
    theirs = torch_schedules()
    ours, reference = make_optimizer(lr_scheduler, optimizer), make_optimizer(theirs, optimizer)
    schedule, expected = SCHEDULES[name](lr_scheduler, ours), SCHEDULES[name](theirs, reference)
    assert_same(trajectory(ours, schedule), trajectory(reference, expected))
    assert set(schedule.state_dict()) <= set(expected.state_dict())


@pytest.mark.parametrize("name", SCHEDULES)
@pytest.mark.parametrize("at", [0, 4, 5, 13])
def test_resuming_from_a_state(name, at):
    """As a checkpoint does it: the states of the optimizer and the schedule, through JSON."""
    whole, first, second = (make_optimizer(lr_scheduler) for _ in range(3))
    expected = trajectory(whole, SCHEDULES[name](lr_scheduler, whole))
    schedule = SCHEDULES[name](lr_scheduler, first)
    trajectory(first, schedule, at)
    state = json.loads(json.dumps({"schedule": schedule.state_dict(), "optimizer": first.state_dict()}))
    kept = json.dumps(state["schedule"])
    resumed = SCHEDULES[name](lr_scheduler, second)
    second.load_state_dict(state["optimizer"])
    resumed.load_state_dict(state["schedule"])
    assert trajectory(second, resumed, STEPS - at) == expected[at:]
    assert json.dumps(state["schedule"]) == kept
    assert trajectory(first, schedule, STEPS - at) == expected[at:]


@pytest.mark.parametrize("name", SCHEDULES)
def test_going_on_from_pytorchs_state(name):
    theirs = torch_schedules()
    ours, reference = make_optimizer(lr_scheduler), make_optimizer(theirs)
    schedule, expected = SCHEDULES[name](lr_scheduler, ours), SCHEDULES[name](theirs, reference)
    trajectory(reference, expected, 9)
    ours.load_state_dict(reference.state_dict())
    schedule.load_state_dict(expected.state_dict())
    assert_same(trajectory(ours, schedule, 20), trajectory(reference, expected, 20))


LAST_EPOCH = {
    "lambda": lambda m, o, e: m.LambdaLR(o, lambda epoch: 1 / (1 + epoch), last_epoch=e),
    "multiplicative": lambda m, o, e: m.MultiplicativeLR(o, lambda epoch: 0.9, last_epoch=e),
    "step": lambda m, o, e: m.StepLR(o, 3, last_epoch=e),
    "multi-step": lambda m, o, e: m.MultiStepLR(o, [5, 12], last_epoch=e),
    "constant": lambda m, o, e: m.ConstantLR(o, total_iters=12, last_epoch=e),
    "linear": lambda m, o, e: m.LinearLR(o, total_iters=12, last_epoch=e),
    "exponential": lambda m, o, e: m.ExponentialLR(o, 0.9, last_epoch=e),
    "polynomial": lambda m, o, e: m.PolynomialLR(o, 20, last_epoch=e),
    "cosine": lambda m, o, e: m.CosineAnnealingLR(o, 7, last_epoch=e),
    "restarts": lambda m, o, e: m.CosineAnnealingWarmRestarts(o, 7, last_epoch=e),
    "cyclic": lambda m, o, e: m.CyclicLR(o, 0.1, 0.5, 4, last_epoch=e),
    "one cycle": lambda m, o, e: m.OneCycleLR(o, 0.5, 40, last_epoch=e),
}


@pytest.mark.parametrize("name", LAST_EPOCH)
def test_last_epoch_against_pytorch(name):
    theirs, found = torch_schedules(), []
    for framework in (lr_scheduler, theirs):
        optimizer, other = (make_optimizer(framework) for _ in range(2))
        schedule = LAST_EPOCH[name](framework, optimizer, -1)
        trajectory(optimizer, schedule, 6)
        other.load_state_dict(optimizer.state_dict())
        resumed = LAST_EPOCH[name](framework, other, schedule.last_epoch - 1)
        assert resumed.last_epoch == 6
        found.append(trajectory(other, resumed, 12))
    assert_same(*found)
    with pytest.raises(KeyError, match="group 0 has no 'initial_lr'"):
        LAST_EPOCH[name](lr_scheduler, make_optimizer(lr_scheduler), 3)


@pytest.mark.parametrize("name", ["step", "multi-step", "constant", "linear", "exponential", "polynomial", "cosine"])
def test_to_an_epoch_against_pytorch_and_step_by_step(name):
    theirs = torch_schedules()
    ours, reference, walked = make_optimizer(lr_scheduler), make_optimizer(theirs), make_optimizer(lr_scheduler)
    schedule, expected = LAST_EPOCH[name](lr_scheduler, ours, -1), LAST_EPOCH[name](theirs, reference, -1)
    steps = trajectory(walked, LAST_EPOCH[name](lr_scheduler, walked, -1))
    for epoch in (0, 1, 13, 5, 12, 6, 39):
        expected.step(epoch)
        schedule.step(epoch)
        assert_same([present(ours)], [present(reference)])
        assert flat([present(ours)]) == pytest.approx(flat([steps[epoch]]), rel=1e-9, abs=1e-12)
        assert schedule.last_epoch == epoch


@pytest.mark.parametrize("T_mult", [1, 2, 3])
def test_restarts_at_fractions_against_pytorch(T_mult):
    theirs = torch_schedules()
    ours, reference = make_optimizer(lr_scheduler), make_optimizer(theirs)
    schedule = lr_scheduler.CosineAnnealingWarmRestarts(ours, 5, T_mult)
    expected = theirs.CosineAnnealingWarmRestarts(reference, 5, T_mult)
    for epoch in (0, 0.5, 3.25, 4.75, 7.5, 21.5, 3, 64.25):
        schedule.step(epoch)
        expected.step(epoch)
        assert_same([present(ours)], [present(reference)])
        assert schedule.last_epoch == math.floor(epoch)
    for _ in range(10):
        schedule.step()
        expected.step()
        assert_same([present(ours)], [present(reference)])
    with pytest.raises(ValueError, match="epoch is -1; expected at least 0"):
        schedule.step(-1)


def test_a_change_of_the_learning_rate_persists():
    theirs, found = torch_schedules(), []
    for framework in (lr_scheduler, theirs):
        optimizer = make_optimizer(framework)
        schedule = framework.CosineAnnealingLR(optimizer, 20)
        first = trajectory(optimizer, schedule, 5)
        optimizer.param_groups[0]["lr"] *= 0.5
        found.append(first + trajectory(optimizer, schedule, 10))
    assert_same(*found)


@pytest.mark.parametrize("T_max", [1, 2, 7, 10])
def test_cosine_annealing_follows_its_formula(T_max):
    optimizer = make_optimizer(lr_scheduler)
    found = trajectory(optimizer, lr_scheduler.CosineAnnealingLR(optimizer, T_max, 0.01))
    for t, groups in enumerate(found):
        closed = [0.01 + (lr - 0.01) * (1 + math.cos(math.pi * t / T_max)) / 2 for lr in (0.1, 0.5)]
        assert [lr for lr, *_ in groups] == pytest.approx(closed, rel=1e-9, abs=1e-12)


@pytest.mark.parametrize(("start", "steps"), [(0.1, 5), (0.3, 7), (1.0, 10)])
def test_a_linear_way_to_zero_ends_there(start, steps):
    optimizer = make_optimizer(lr_scheduler)
    schedule = lr_scheduler.LinearLR(optimizer, start, 0, steps)
    for _ in range(steps + 2):
        schedule.step()
        assert all(lr >= 0 for lr in schedule.get_last_lr())
    assert max(schedule.get_last_lr()) < 1e-15
    optimizer.load_state_dict(optimizer.state_dict())


def test_the_state_after_a_linear_cycle_loads():
    optimizer = make_optimizer(lr_scheduler)
    schedule = lr_scheduler.OneCycleLR(optimizer, 1.0, 10, anneal_strategy="linear")
    for _ in range(10):
        schedule.step()
    assert schedule.get_last_lr()[0] < 0  # as in PyTorch, where no step comes after it
    optimizer.load_state_dict(optimizer.state_dict())


def test_constant_zero_comes_back():
    optimizer = make_optimizer(lr_scheduler)
    found = trajectory(optimizer, lr_scheduler.ConstantLR(optimizer, factor=0, total_iters=3), 4)
    assert [[lr for lr, *_ in groups] for groups in found] == [[0, 0]] * 3 + [[0.1, 0.5]] * 2


def test_one_cycle_whose_way_up_is_a_single_step():
    optimizer = make_optimizer(lr_scheduler)
    schedule = lr_scheduler.OneCycleLR(optimizer, 1.0, total_steps=10, pct_start=0.1)
    assert schedule.get_last_lr() == [1.0, 1.0]
    trajectory(optimizer, schedule, 10)
    with pytest.raises(ValueError, match="OneCycleLR: step 11 comes after the last of 10"):
        schedule.step()


# ---- ReduceLROnPlateau -------------------------------------------------------------------------------------------

PLATEAUS = [
    {},
    {"factor": 0.5, "patience": 2},
    {"mode": "max", "patience": 1},
    {"patience": 0, "threshold": 0.1, "threshold_mode": "abs"},
    {"mode": "max", "patience": 1, "threshold": 0.2, "threshold_mode": "abs"},
    {"patience": 1, "threshold": 0.3, "cooldown": 3},
    {"factor": 0.3, "patience": 0, "min_lr": [0.01, 0.2]},
    {"factor": 0.1, "patience": 0, "eps": 1e-3},
]


@pytest.mark.parametrize("options", PLATEAUS, ids=str)
@pytest.mark.parametrize("at", [0, 7, 20])
def test_plateau_against_pytorch_and_resumed(options, at):
    theirs = torch_schedules()
    values = np.random.default_rng(0).random(40).round(1) + np.linspace(2, 1, 40)
    values[5] = np.nan
    ours, reference = make_optimizer(lr_scheduler), make_optimizer(theirs)
    schedule = lr_scheduler.ReduceLROnPlateau(ours, **options)
    expected = theirs.ReduceLROnPlateau(reference, **options)
    assert set(schedule.state_dict()) == set(expected.state_dict())
    for i, value in enumerate(values):
        if i == at:
            state = json.loads(json.dumps([schedule.state_dict(), ours.state_dict()]))
            ours = make_optimizer(lr_scheduler)
            schedule = lr_scheduler.ReduceLROnPlateau(ours, **options)
            schedule.load_state_dict(state[0])
            ours.load_state_dict(state[1])
        schedule.step(value)
        expected.step(value)
        assert schedule.get_last_lr() == pytest.approx(expected.get_last_lr(), rel=1e-12)
        assert (schedule.num_bad_epochs, schedule.cooldown_counter) == (
            expected.num_bad_epochs,
            expected.cooldown_counter,
        )


def test_plateau_with_a_group_that_comes_later():
    for min_lr, text in ((0.01, None), ([0.01, 0.01], "min_lrs has 2 values; the optimizer has 3")):
        optimizer = make_optimizer(lr_scheduler)
        schedule = lr_scheduler.ReduceLROnPlateau(optimizer, patience=0, min_lr=min_lr)
        optimizer.add_param_group({"params": parameters(lr_scheduler)})
        schedule.step(1.0)
        if text is None:
            schedule.step(1.0)
            assert schedule.get_last_lr() == pytest.approx([0.01, 0.05, 0.01])
        else:
            with pytest.raises(RuntimeError, match=text):
                schedule.step(1.0)


# ---- errors ------------------------------------------------------------------------------------------------------

M = lr_scheduler


@pytest.mark.parametrize(
    ("make", "error", "text"),
    [
        (lambda o: M.StepLR(3, 10), TypeError, "StepLR: optimizer is int; expected an Optimizer"),
        (lambda o: M.LambdaLR(None, lambda e: 1), TypeError, "LambdaLR: optimizer is NoneType"),
        (lambda o: M.OneCycleLR(3, 1.0, 10), TypeError, "OneCycleLR: optimizer is int"),
        (lambda o: M.ReduceLROnPlateau(3), TypeError, "ReduceLROnPlateau: optimizer is int"),
        (lambda o: M.LRScheduler(o), NotImplementedError, "LRScheduler defines no get_lr"),
        (lambda o: M.LambdaLR(o, [lambda e: 1]), ValueError, "lr_lambda has 1 values; the optimizer has 2 parameter"),
        (lambda o: M.MultiplicativeLR(o, 0.5), TypeError, "MultiplicativeLR: lr_lambda is 0.5; expected a function"),
        (lambda o: M.StepLR(o, 0), ValueError, "StepLR: step_size is 0; expected an integer of at least 1"),
        (lambda o: M.ConstantLR(o, 1.5), ValueError, "ConstantLR: factor is 1.5; expected a number from 0 to 1"),
        (lambda o: M.ConstantLR(o, -0.5), ValueError, "ConstantLR: factor is -0.5"),
        (lambda o: M.LinearLR(o, 0), ValueError, "LinearLR: start_factor is 0; expected a number above 0"),
        (lambda o: M.LinearLR(o, 1.5), ValueError, "LinearLR: start_factor is 1.5"),
        (lambda o: M.LinearLR(o, 0.5, -0.1), ValueError, "LinearLR: end_factor is -0.1"),
        (lambda o: M.LinearLR(o, 0.5, 1.1), ValueError, "LinearLR: end_factor is 1.1"),
        (lambda o: M.CosineAnnealingLR(o, 0), ValueError, "T_max is 0; expected at least 1"),
        (lambda o: M.CosineAnnealingWarmRestarts(o, 0), ValueError, "T_0 is 0; expected an integer of at least 1"),
        (lambda o: M.CosineAnnealingWarmRestarts(o, 5.0), ValueError, "T_0 is 5.0"),
        (lambda o: M.CosineAnnealingWarmRestarts(o, 5, 0), ValueError, "T_mult is 0"),
        (lambda o: M.CosineAnnealingWarmRestarts(o, 5, 1, "x"), ValueError, "eta_min is 'x'; expected a number"),
        (lambda o: M.CyclicLR(o, 0.1, [0.5]), ValueError, "CyclicLR: max_lr has 1 values"),
        (lambda o: M.CyclicLR(o, [0.1] * 3, 0.5), ValueError, "CyclicLR: base_lr has 3 values"),
        (lambda o: M.CyclicLR(o, 0.1, 0.5, mode="x"), ValueError, "CyclicLR: mode is 'x'; expected 'triangular'"),
        (lambda o: M.CyclicLR(o, 0.1, 0.5, 0), ValueError, "CyclicLR: step_size_up is 0"),
        (lambda o: M.CyclicLR(o, 0.1, 0.5, max_momentum=[1]), ValueError, "CyclicLR: max_momentum has 1 values"),
        (lambda o: M.OneCycleLR(o, 1.0), ValueError, "expected total_steps, or epochs and steps_per_epoch"),
        (lambda o: M.OneCycleLR(o, 1.0, epochs=2), ValueError, "expected total_steps, or epochs and steps_per_epoch"),
        (lambda o: M.OneCycleLR(o, 1.0, 0), ValueError, "total_steps is 0; expected an integer of at least 1"),
        (lambda o: M.OneCycleLR(o, 1.0, 1.5), ValueError, "total_steps is 1.5"),
        (lambda o: M.OneCycleLR(o, 1.0, epochs=0, steps_per_epoch=2), ValueError, "epochs is 0"),
        (lambda o: M.OneCycleLR(o, 1.0, epochs=2, steps_per_epoch=-1), ValueError, "steps_per_epoch is -1"),
        (lambda o: M.OneCycleLR(o, 1.0, 9, pct_start=1.5), ValueError, "pct_start is 1.5; expected a number from 0 to"),
        (lambda o: M.OneCycleLR(o, 1.0, 9, anneal_strategy="x"), ValueError, "anneal_strategy is 'x'; expected 'cos'"),
        (lambda o: M.OneCycleLR(o, [1.0], 9), ValueError, "OneCycleLR: max_lr has 1 values"),
        (lambda o: M.ReduceLROnPlateau(o, factor=1.0), ValueError, "factor is 1.0; expected a number below 1"),
        (lambda o: M.ReduceLROnPlateau(o, "x"), ValueError, "mode is 'x'; expected 'min' or 'max'"),
        (lambda o: M.ReduceLROnPlateau(o, threshold_mode="x"), ValueError, "threshold_mode is 'x'; expected 'rel'"),
        (lambda o: M.ReduceLROnPlateau(o, min_lr=[0.1]), ValueError, "min_lr has 1 values; the optimizer has 2"),
        (lambda o: M.SequentialLR(o, [], []), ValueError, "SequentialLR: schedulers is empty"),
        (lambda o: M.SequentialLR(o, [M.StepLR(o, 3)], [2]), ValueError, "1 schedulers and 1 milestones; expected one"),
        (lambda o: M.SequentialLR(o, [3], []), TypeError, r"SequentialLR: schedulers\[0\] is int; expected a schedule"),
        (lambda o: M.SequentialLR(o, [M.ReduceLROnPlateau(o)], []), ValueError, "ReduceLROnPlateau, whose step"),
        (
            lambda o: M.SequentialLR(o, [M.StepLR(make_optimizer(M), 3)], []),
            ValueError,
            r"schedulers\[0\], a StepLR, belongs to another optimizer",
        ),
        (lambda o: M.StepLR(o, 1, "x"), TypeError, "StepLR: gamma is 'x'; expected a number"),
        (lambda o: M.MultiStepLR(o, 3), TypeError, "MultiStepLR: milestones is 3; expected epochs"),
        (lambda o: M.MultiStepLR(o, [1, "x"]), TypeError, r"MultiStepLR: milestones\[1\] is 'x'; expected a number"),
        (lambda o: M.MultiStepLR(o, [1], None), TypeError, "MultiStepLR: gamma is None"),
        (lambda o: M.ExponentialLR(o, None), TypeError, "ExponentialLR: gamma is None; expected a number"),
        (lambda o: M.ConstantLR(o, "x"), TypeError, "ConstantLR: factor is 'x'"),
        (lambda o: M.ConstantLR(o, total_iters="x"), TypeError, "ConstantLR: total_iters is 'x'"),
        (lambda o: M.LinearLR(o, "x"), TypeError, "LinearLR: start_factor is 'x'"),
        (lambda o: M.PolynomialLR(o, 5, "x"), TypeError, "PolynomialLR: power is 'x'"),
        (lambda o: M.CosineAnnealingLR(o, "x"), TypeError, "CosineAnnealingLR: T_max is 'x'"),
        (lambda o: M.CosineAnnealingLR(o, float("nan")), ValueError, "T_max is nan; expected at least 1"),
        (lambda o: M.CyclicLR(o, "x", 1), TypeError, "CyclicLR: base_lr is 'x'"),
        (lambda o: M.CyclicLR(o, 0.1, [1, None]), TypeError, "CyclicLR: max_lr is None"),
        (lambda o: M.CyclicLR(o, 0.1, 1, "x"), TypeError, "CyclicLR: step_size_up is 'x'"),
        (lambda o: M.CyclicLR(o, 0.1, 1, scale_fn=3), TypeError, "CyclicLR: scale_fn is 3; expected a function"),
        (lambda o: M.CyclicLR(o, 0.1, 1, scale_fn=abs, scale_mode="x"), ValueError, "CyclicLR: scale_mode is 'x'"),
        (lambda o: M.OneCycleLR(o, "x", 9), TypeError, "OneCycleLR: max_lr is 'x'"),
        (lambda o: M.OneCycleLR(o, 1, 9, pct_start="x"), TypeError, "OneCycleLR: pct_start is 'x'"),
        (lambda o: M.OneCycleLR(o, 1, 9, div_factor=0), ValueError, "OneCycleLR: div_factor is 0"),
        (lambda o: M.ReduceLROnPlateau(o, patience="x"), TypeError, "ReduceLROnPlateau: patience is 'x'"),
        (lambda o: M.ReduceLROnPlateau(o, factor=float("nan")), ValueError, "ReduceLROnPlateau: factor is nan"),
        (lambda o: M.ReduceLROnPlateau(o, min_lr="x"), TypeError, "ReduceLROnPlateau: min_lr is 'x'"),
        (lambda o: M.ChainedScheduler([]), ValueError, "ChainedScheduler: schedulers is empty"),
        (lambda o: M.ChainedScheduler([M.StepLR(o, 1), 3]), TypeError, r"schedulers\[1\] is int"),
        (
            lambda o: M.ChainedScheduler([M.StepLR(o, 1), M.StepLR(make_optimizer(M), 3)]),
            ValueError,
            r"schedulers\[1\], a StepLR, belongs to another optimizer",
        ),
    ],
)
def test_errors(make, error, text):
    with pytest.raises(error, match=text):
        make(make_optimizer(lr_scheduler))


@pytest.mark.parametrize("make", [lambda o: M.CyclicLR(o, 0.1, 0.5), lambda o: M.OneCycleLR(o, 1.0, 10)])
def test_without_momentum(make):
    optimizer = optim.Adagrad(parameters(lr_scheduler))
    with pytest.raises(ValueError, match="Adagrad has no momentum; expected cycle_momentum=False"):
        make(optimizer)
    assert set(optimizer.param_groups[0]) == {"params", *optimizer.defaults}  # nothing is left behind
