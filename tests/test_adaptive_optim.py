"""The adaptive optimizers: the fused kernels and the optimizers against NumPy, the oracle and PyTorch."""

import copy
import itertools
import re

import numpy as np
import pytest

import fastnn
import reference_optim as ref
from fastnn import ops, optim
from fastnn.tensor import Parameter, Tensor

DTYPES = [np.float32, np.float64]
SHAPES = [(3,), (4, 5), (2, 3, 3, 1), (), (0, 2), (31,), (1000,)]


NAMES = ["Adagrad", "RMSprop", "Adadelta", "Adam", "AdamW", "Adamax", "NAdam", "RAdam"]


def combinations(**choices):
    return [dict(zip(choices, values, strict=True)) for values in itertools.product(*choices.values())]


OPTIONS = [
    *(
        ("Adagrad", options)
        for options in combinations(
            lr_decay=[0, 0.1], weight_decay=[0, 0.01], initial_accumulator_value=[0, 0.5], maximize=[False, True]
        )
    ),
    *(
        ("RMSprop", options)
        for options in combinations(
            weight_decay=[0, 0.01], momentum=[0, 0.9], centered=[False, True], maximize=[False, True]
        )
    ),
    *(
        (name, options)
        for name in ("Adam", "AdamW")
        for options in combinations(weight_decay=[0, 0.1], amsgrad=[False, True], maximize=[False, True])
    ),
    *(
        (name, options)
        for name in ("Adadelta", "Adamax")
        for options in combinations(weight_decay=[0, 0.1], maximize=[False, True])
    ),
    *(
        (name, options)
        for name in ("NAdam", "RAdam")
        for options in combinations(weight_decay=[0, 0.1], decoupled_weight_decay=[False, True], maximize=[False, True])
    ),
    ("Adadelta", {"rho": 0.3, "eps": 1e-2}),
    ("Adadelta", {"rho": 1.0}),
    ("Adamax", {"betas": (0.3, 0.5), "eps": 1e-2}),
    ("NAdam", {"betas": (0.3, 0.5), "eps": 1e-2, "momentum_decay": 0.3}),
    ("NAdam", {"momentum_decay": 0}),
    ("RAdam", {"betas": (0.3, 0.99), "eps": 1e-2}),
    ("RAdam", {"betas": (0.9, 0.5)}),
    ("Adagrad", {"eps": 1e-2}),
    ("RMSprop", {"alpha": 0.3, "eps": 1e-2, "centered": True}),
    ("Adam", {"betas": (0.0, 0.5), "eps": 1e-2}),
    ("Adam", {"betas": (0.3, 0.9), "decoupled_weight_decay": True, "weight_decay": 0.1}),
]


def params(dtype=np.float32):
    rng = np.random.default_rng(0)
    return [Parameter(np.asarray(rng.standard_normal(shape), dtype)) for shape in SHAPES]


def gradient(step, i):
    return np.random.default_rng([step, i]).standard_normal(SHAPES[i])


def set_gradients(parameters, step, skip=()):
    for i, p in enumerate(parameters):
        p.grad = None if i in skip else Tensor(np.asarray(gradient(step, i), p.dtype))


def make(name, parameters, **options):
    return getattr(optim, name)(parameters, lr=0.02, **options)


# ---- against PyTorch and the oracle --------------------------------------------------------------------------------


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize(("name", "options"), OPTIONS, ids=str)
def test_twenty_steps_against_pytorch(isa, name, options, dtype):
    torch = pytest.importorskip("torch")
    ours = params(dtype)
    theirs = [torch.nn.Parameter(torch.tensor(p.data)) for p in ours]
    optimizer, reference = make(name, ours, **options), getattr(torch.optim, name)(theirs, lr=0.02, **options)
    for step in range(20):
        skip = {1} if step in (0, 4) else set()  # its first step comes late, and it pauses
        set_gradients(ours, step, skip)
        for i, p in enumerate(theirs):
            p.grad = None if i in skip else torch.tensor(gradient(step, i), dtype=p.dtype)
        optimizer.step()
        reference.step()
    rtol = 1e-5 if dtype == np.float32 else 1e-12
    for a, b in zip(ours, theirs, strict=True):
        np.testing.assert_allclose(a.data, b.detach().numpy(), rtol=rtol, atol=rtol)
        state, expected = optimizer.state[a], reference.state[b]
        assert set(state) == set(expected)
        for key, value in expected.items():
            np.testing.assert_allclose(state[key], value.numpy(), rtol=10 * rtol, atol=rtol, err_msg=key)


@pytest.mark.parametrize(("name", "options"), OPTIONS, ids=str)
def test_against_the_oracle(isa, name, options):
    ours = params(np.float64)
    optimizer = make(name, ours, **options)
    group = optimizer.param_groups[0]
    values = [p.data.copy() for p in ours]
    states = [[np.zeros(s)] * 3 for s in SHAPES]
    if name == "Adagrad":
        states = [[np.full(s, float(group["initial_accumulator_value"]))] for s in SHAPES]
    for step in range(1, 6):
        set_gradients(ours, step)
        optimizer.step()
        for i, (p, state) in enumerate(zip(values, states, strict=True)):
            g, lr, decay, eps = gradient(step, i), group["lr"], group["weight_decay"], group["eps"]
            if name == "Adagrad":
                values[i], *states[i] = ref.adagrad(
                    p, g, *state, step, lr, group["lr_decay"], decay, eps, group["maximize"]
                )
            elif name == "RMSprop":
                rest = (group["momentum"], group["centered"], group["maximize"])
                values[i], *states[i] = ref.rmsprop(p, g, *state, lr, group["alpha"], eps, decay, *rest)
            elif name == "Adadelta":
                values[i], *states[i] = ref.adadelta(p, g, *state[:2], lr, group["rho"], eps, decay, group["maximize"])
            elif name == "Adamax":
                rest = (*group["betas"], eps, decay, group["maximize"])
                values[i], *states[i] = ref.adamax(p, g, *state[:2], step, lr, *rest)
            elif name == "NAdam":
                rest = (*group["betas"], eps, decay, group["momentum_decay"])
                rest += (group["decoupled_weight_decay"], group["maximize"])
                values[i], *states[i] = ref.nadam(p, g, *state[:2], step, lr, *rest)
            elif name == "RAdam":
                rest = (*group["betas"], eps, decay, group["decoupled_weight_decay"], group["maximize"])
                values[i], *states[i] = ref.radam(p, g, *state[:2], step, lr, *rest)
            else:
                rest = (group["decoupled_weight_decay"], group["amsgrad"], group["maximize"])
                values[i], *states[i] = ref.adam(p, g, *state, step, lr, *group["betas"], eps, decay, *rest)
    exact = 1e-7 if name == "NAdam" else 1e-10  # its product of momenta is kept in single precision, as in PyTorch
    for p, value in zip(ours, values, strict=True):
        np.testing.assert_allclose(p.data, value, rtol=exact, atol=exact / 100)


@pytest.mark.parametrize("dtype", DTYPES)
def test_each_operation_is_rounded_as_in_numpy(isa, dtype):
    rng, real = np.random.default_rng(0), dtype
    p, g, mean = (rng.standard_normal(1001).astype(dtype) for _ in range(3))
    square = rng.random(1001).astype(dtype)
    mean1 = mean + real(1 - 0.9) * (g - mean)
    square1 = real(0.99) * square + real(1 - 0.99) * g * g
    scale = np.sqrt(square1) / real(np.sqrt(1 - 0.99**3)) + real(1e-8)
    expected = p - real(0.1 / (1 - 0.9**3)) * mean1 / scale
    ops.adam([p], [g], [mean], [square], [None], [3], 0.1, 0.9, 0.99)
    for found, wanted in ((mean, mean1), (square, square1), (p, expected)):
        np.testing.assert_array_equal(found, wanted)


# ---- structure -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", NAMES)
def test_defaults_and_state_are_pytorchs(name):
    torch = pytest.importorskip("torch")
    ours = params()
    theirs = [torch.nn.Parameter(torch.tensor(p.data)) for p in ours]
    optimizer, reference = getattr(optim, name)(ours), getattr(torch.optim, name)(theirs)
    set_gradients(ours, 0)
    for i, p in enumerate(theirs):
        p.grad = torch.tensor(gradient(0, i), dtype=p.dtype)
    optimizer.step()
    reference.step()
    a, b = optimizer.state_dict(), reference.state_dict()
    assert a["param_groups"] == [{key: group[key] for key in a["param_groups"][0]} for group in b["param_groups"]]
    assert {i: set(entries) for i, entries in a["state"].items()} == {i: set(e) for i, e in b["state"].items()}

    optimizer = getattr(optim, name)(params(), lr=99.0)  # goes on from PyTorch's state
    optimizer.load_state_dict(b)
    resumed = optimizer.param_groups[0]["params"]
    for p, q in zip(resumed, theirs, strict=True):
        p.data[...] = q.detach().numpy()
        q.grad = torch.ones_like(q)
        p.grad = Tensor(np.ones_like(p.data))
    optimizer.step()
    reference.step()
    for p, q in zip(resumed, theirs, strict=True):
        np.testing.assert_allclose(p.data, q.detach().numpy(), rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize(
    ("name", "options"),
    [
        ("Adagrad", {"lr_decay": 0.1, "initial_accumulator_value": 0.1}),
        ("RMSprop", {"momentum": 0.9, "centered": True}),
        ("Adam", {"amsgrad": True, "weight_decay": 0.01}),
        ("AdamW", {}),
        ("Adadelta", {}),
        ("Adamax", {"weight_decay": 0.01}),
        ("NAdam", {}),
        ("RAdam", {"betas": (0.9, 0.9)}),
    ],
)
def test_resuming_gives_the_same_bits(name, options):
    def run(steps, parameters, optimizer):
        for step in steps:
            set_gradients(parameters, step)
            optimizer.step()

    def start():
        p = params()
        return p, make(name, [{"params": p[:2], "lr": 0.2}, {"params": p[2:]}], **options)

    whole, first, second = start(), start(), start()
    run(range(10), *whole)
    run(range(4), *first)
    state = copy.deepcopy(first[1].state_dict())
    for p, q in zip(second[0], first[0], strict=True):
        p.data[...] = q.data
    second[1].load_state_dict(state)
    run(range(4, 10), *second)
    for p, q in zip(second[0], whole[0], strict=True):
        np.testing.assert_array_equal(p.data, q.data)


@pytest.mark.parametrize(("name", "options"), [("Adam", {"lr": 0.1, "amsgrad": True}), ("NAdam", {})])
def test_a_checkpoint_holds_the_state(tmp_path, name, options):
    from fastnn import nn
    from fastnn.data import ArrayDataset, DataLoader
    from fastnn.training import Trainer

    rng = np.random.default_rng(0)
    data = ArrayDataset(rng.standard_normal((30, 4)).astype(np.float32), rng.integers(0, 3, 30))

    def trainer(epochs, path):
        fastnn.manual_seed(0)
        model = nn.Linear(4, 3)
        optimizer = getattr(optim, name)(model.parameters(), **options)
        return Trainer(model, optimizer, DataLoader(data, 8, shuffle=True, seed=0), epochs, checkpoint=path)

    whole = trainer(2, tmp_path / "whole")
    whole.fit()
    stopped = trainer(2, tmp_path / "part")
    stopped.fit(on_step=lambda t: t.stop() if (t.epoch, t.step) == (1, 2) else None)
    resumed = trainer(2, tmp_path / "part")
    resumed.resume(tmp_path / "part")
    resumed.fit()
    assert (tmp_path / "part").read_bytes() == (tmp_path / "whole").read_bytes()


def test_an_option_switched_on_later_starts_its_state_as_zeros():
    p, q = params(), params()
    late, plain = make("RMSprop", p), make("RMSprop", q)
    for step in range(2):
        for parameters, optimizer in ((p, late), (q, plain)):
            set_gradients(parameters, step)
            optimizer.step()
        late.param_groups[0]["momentum"] = 0.9
    for a, b in zip(p, q, strict=True):  # momentum's first step is a plain one
        np.testing.assert_allclose(a.data, b.data, rtol=1e-6, atol=1e-7)
        assert set(late.state[a]) == {"step", "square_avg", "momentum_buffer"}


def test_a_failed_step_changes_nothing():
    w = Parameter(np.ones(3, np.float32))
    for name in ("Adagrad", "RMSprop", "Adam", "Adadelta", "Adamax", "NAdam", "RAdam"):
        optimizer = make(name, [w])
        w.grad = Tensor(np.ones(4, np.float32))
        with pytest.raises(ValueError, match=f"{name.lower()}: grads\\[0\\] has shape"):
            optimizer.step()
        assert not optimizer.state
        np.testing.assert_array_equal(w.data, np.ones(3))
    assert w._version == 0


def test_parameters_of_any_dense_layout():
    plain, transposed = (Parameter(np.ones((4, 6), np.float32)) for _ in range(2))
    transposed.data = np.ones((6, 4), np.float32).T
    for w in (plain, transposed):
        optimizer = make("Adam", [w], amsgrad=True)
        for step in range(3):
            w.grad = Tensor(np.arange(24, dtype=np.float32).reshape(4, 6) * step)
            optimizer.step()
            optimizer.load_state_dict(optimizer.state_dict())
    np.testing.assert_array_equal(plain.data, transposed.data)


# ---- kernels -------------------------------------------------------------------------------------------------------


def test_same_bits_on_any_number_of_threads(isa):
    shapes, results = [(100_001,), (7,), (65_537,), (1,), (40_000,)], []
    before = ops.get_num_threads()
    try:
        for threads in (1, 2, 3):
            ops.set_num_threads(threads)
            found = []
            for name in ("adagrad", "rmsprop", "adam", "adadelta", "adamax", "nadam", "radam", "lerp"):
                rng = np.random.default_rng(0)
                p, g, *states = [[rng.random(s, np.float32) for s in shapes] for _ in range(5)]
                if name == "adagrad":
                    ops.adagrad(p, g, states[0], [3] * 5, 0.1, 0.1, 0.01)
                elif name == "rmsprop":
                    ops.rmsprop(p, g, *states, 0.1, 0.9, 1e-8, 0.01, 0.9, True)
                elif name == "adam":
                    ops.adam(p, g, *states, [1, 2, 3, 4, 5], 0.1, weight_decay=0.01, amsgrad=True)
                elif name == "adadelta":
                    ops.adadelta(p, g, *states[:2], 0.1)
                elif name == "nadam":
                    ops.nadam(p, g, *states[:2], [0.5] * 5, [1, 2, 3, 4, 5], 0.1)
                elif name == "lerp":
                    ops.lerp(p, g, 0.3)
                else:
                    getattr(ops, name)(p, g, *states[:2], [1, 2, 3, 4, 50], 0.1)
                found += itertools.chain(p, *states)
            results.append(np.concatenate(found))
    finally:
        ops.set_num_threads(before)
    np.testing.assert_array_equal(results[1], results[0])
    np.testing.assert_array_equal(results[2], results[0])


def test_parameters_may_be_at_different_steps_and_of_different_types(isa):
    p = [np.zeros(5, np.float32), np.zeros(5), np.zeros(5, np.float32)]
    g = [np.ones_like(a) for a in p]
    means, squares = ([np.zeros_like(a) for a in p] for _ in range(2))
    ops.adam(p, g, means, squares, [None] * 3, [1, 1, 2], 0.1)
    np.testing.assert_allclose(p[0], -0.1, rtol=1e-6)
    np.testing.assert_allclose(p[1], -0.1, rtol=1e-6)
    np.testing.assert_allclose(p[2], -0.1 * (0.1 / 0.19) / np.sqrt(0.001 / 0.001999), rtol=1e-5)


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("weight", [0, 0.3, 0.5, 0.9, 1])
def test_lerp(isa, weight, dtype):
    rng = np.random.default_rng(0)
    p, ends = ([np.asarray(rng.standard_normal(shape), dtype) for shape in SHAPES] for _ in range(2))
    before = copy.deepcopy(p)
    ops.lerp(p, ends, weight)
    for start, end, found in zip(before, ends, p, strict=True):
        np.testing.assert_allclose(found, start + weight * (end - start), rtol=1e-6, atol=1e-6)
        if weight in (0, 1):
            np.testing.assert_array_equal(found, end if weight else start)


def test_adamax_keeps_nan(isa):
    p = [np.zeros(2, np.float32)]
    averages, largest = [np.zeros(2, np.float32)], [np.zeros(2, np.float32)]
    for step, g in enumerate(([np.nan, 1], [1, 1]), 1):
        ops.adamax(p, [np.array(g, np.float32)], averages, largest, [step], 0.1)
    np.testing.assert_array_equal(np.isnan(largest[0]), [True, False])


def test_op_errors_say_what_is_wrong_and_change_nothing():
    p, g = np.ones((2, 3), np.float32), np.ones((2, 3), np.float32)
    state = [np.zeros_like(p)]

    def refused(error, message, op, *arguments, **options):
        with pytest.raises(error, match=message):
            getattr(ops, op)([p], *arguments, lr=0.1, **options)
        np.testing.assert_array_equal(p, np.ones((2, 3)))

    refused(ValueError, "adagrad: grads has length 2, params has 1", "adagrad", [g, g], state, [1])
    refused(ValueError, "adagrad: sums has length 0, params has 1", "adagrad", [g], [], [1])
    refused(ValueError, "adagrad: steps has length 2, params has 1", "adagrad", [g], state, [1, 1])
    refused(ValueError, r"adagrad: steps\[0\] is 0; expected at least 1", "adagrad", [g], state, [0])
    refused(ValueError, r"adagrad: sums\[0\] is None, expected an array", "adagrad", [g], [None], [1])
    refused(TypeError, r"rmsprop: square_avgs\[0\] is a list", "rmsprop", [g], [[1]], [None], [None])
    refused(
        ValueError,
        r"rmsprop: grad_avgs\[0\] is None, centered is True",
        "rmsprop",
        [g],
        state,
        [None],
        [None],
        centered=True,
    )
    refused(
        ValueError,
        r"rmsprop: buffers\[0\] is None, momentum is 0.5",
        "rmsprop",
        [g],
        state,
        [None],
        [None],
        momentum=0.5,
    )
    refused(ValueError, r"adam: exp_avg_sqs\[0\] has shape \(3, 2\)", "adam", [g], state, [g.T], [None], [1])
    refused(
        TypeError,
        r"adam: exp_avgs\[0\] has dtype float64, params\[0\] has float32",
        "adam",
        [g],
        [np.zeros((2, 3))],
        state,
        [None],
        [1],
    )
    refused(
        ValueError,
        r"adam: max_exp_avg_sqs\[0\] is None, amsgrad is True",
        "adam",
        [g],
        state,
        state,
        [None],
        [1],
        amsgrad=True,
    )
    refused(ValueError, "nadam: mu_products has length 0, steps has 1", "nadam", [g], state, state, [], [1])
    refused(ValueError, r"adamax: steps\[0\] is 0", "adamax", [g], state, [np.zeros_like(p)], [0])
    refused(ValueError, r"adadelta: acc_deltas\[0\] is None, expected an array", "adadelta", [g], state, [None])
    with pytest.raises(ValueError, match=r"lerp: ends\[0\] has shape \(3, 2\); expected \(2, 3\)"):
        ops.lerp([p], [g.T], 0.5)
    layout = r"adam: exp_avgs\[0\] must have the memory layout of params\[0\]"
    refused(ValueError, layout, "adam", [g], [np.zeros((3, 2), np.float32).T], state, [None], [1])


@pytest.mark.parametrize(
    ("name", "options", "message"),
    [
        *((name, {"lr": -1}, "lr is -1; expected at least 0") for name in NAMES),
        *((name, {"eps": -1e-9}, "eps is -1e-09") for name in NAMES),
        *((name, {"weight_decay": -1}, "weight_decay is -1") for name in NAMES),
        *((name, {"betas": (0.9, 1)}, r"betas\[1\] is 1; expected a number below 1") for name in NAMES[3:]),
        ("Adadelta", {"rho": 1.5}, "rho is 1.5; expected at most 1"),
        ("Adadelta", {"rho": -0.5}, "rho is -0.5; expected at least 0"),
        ("NAdam", {"momentum_decay": -1}, "momentum_decay is -1"),
        ("Adam", {"betas": (1.0, 0.9)}, r"betas\[0\] is 1.0; expected a number below 1"),
        ("AdamW", {"betas": (0.9, -0.1)}, r"AdamW: betas\[1\] is -0.1; expected at least 0"),
        ("Adam", {"betas": (0.9, float("nan"))}, r"betas\[1\] is nan"),
        ("RMSprop", {"alpha": -1}, "alpha is -1"),
        ("RMSprop", {"momentum": -1}, "momentum is -1"),
        ("Adagrad", {"lr_decay": -1}, "lr_decay is -1"),
        ("Adagrad", {"initial_accumulator_value": -1}, "initial_accumulator_value is -1"),
    ],
)
def test_options_out_of_range(name, options, message):
    with pytest.raises(ValueError, match=f"{name}: " if message.startswith(name) else message):
        getattr(optim, name)(params(), **options)
    with pytest.raises(ValueError, match=message.removeprefix(f"{name}: ")):
        getattr(optim, name)([{"params": params(), **options}])


def test_options_that_are_no_numbers():
    for name, option in (("Adam", "lr"), ("RMSprop", "alpha"), ("Adagrad", "eps")):
        with pytest.raises(TypeError, match=f"{name}: {option} is 'x'; expected a number"):
            getattr(optim, name)(params(), **{option: "x"})
    with pytest.raises(TypeError, match=r"Adam: betas is 0.9; expected two numbers"):
        optim.Adam(params(), betas=0.9)
    with pytest.raises(TypeError, match=r"Adam: betas\[1\] is 'x'"):
        optim.Adam(params(), betas=(0.9, "x"))


SWITCHES = {
    "SGD": ("nesterov", "maximize"),
    "Adagrad": ("maximize",),
    "Adadelta": ("maximize",),
    "RMSprop": ("centered", "maximize"),
    "Adam": ("amsgrad", "maximize", "decoupled_weight_decay"),
    "AdamW": ("amsgrad", "maximize"),
    "Adamax": ("maximize",),
    "NAdam": ("decoupled_weight_decay", "maximize"),
    "RAdam": ("decoupled_weight_decay", "maximize"),
}


@pytest.mark.parametrize(("name", "option"), [(name, option) for name, all_ in SWITCHES.items() for option in all_])
def test_options_that_are_on_or_off(name, option):
    others = {"momentum": 0.9} if option == "nesterov" else {}
    results = []
    for on in (True, np.True_, 1):
        p = fastnn.Parameter(fastnn.full((3,), 2.0))
        p.grad = fastnn.ones(3)
        getattr(optim, name)([p], **others, **{option: on}).step()
        results.append(p.detach().numpy())
    np.testing.assert_array_equal(results[1:], [results[0]] * 2)
    for value in (None, "on", -1, 0.5, [True]):
        message = f"^{name}: {option} is {re.escape(repr(value))}; expected True or False"
        with pytest.raises(TypeError, match=message):
            getattr(optim, name)(params(), **others, **{option: value})
