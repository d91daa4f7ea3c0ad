"""The oracle of the optimizers itself: by hand and against PyTorch."""

import numpy as np
import pytest

import reference_optim as ref


@pytest.fixture
def rng():
    return np.random.default_rng(0)


@pytest.fixture
def torch():
    return pytest.importorskip("torch")


SGDS = {
    "plain": {},
    "weight decay": {"weight_decay": 0.1},
    "momentum": {"momentum": 0.9},
    "dampening": {"momentum": 0.9, "dampening": 0.3},
    "nesterov": {"momentum": 0.9, "nesterov": True, "weight_decay": 0.01},
    "maximize": {"momentum": 0.5, "maximize": True, "weight_decay": 0.01},
}
SGD_DEFAULTS = dict.fromkeys(("momentum", "dampening", "weight_decay"), 0.0)
SGD_DEFAULTS |= dict.fromkeys(("nesterov", "maximize"), False)


@pytest.mark.parametrize(
    ("kwargs", "steps"),
    [
        ({}, [0.8, 0.6]),
        ({"weight_decay": 0.5}, [0.75, 0.5125]),
        ({"momentum": 0.5}, [0.8, 0.5]),
        ({"momentum": 0.5, "dampening": 0.25}, [0.8, 0.55]),
        ({"momentum": 0.5, "nesterov": True}, [0.7, 0.35]),
        ({"momentum": 0.5, "maximize": True}, [1.2, 1.5]),
    ],
    ids=str,
)
def test_sgd_by_hand(kwargs, steps):
    p, buf, g = np.array([1.0]), None, np.array([2.0])
    for step, expected in enumerate(steps):
        p, buf = ref.sgd(p, g, buf, 0.1, **SGD_DEFAULTS | kwargs, first_step=step == 0)
        np.testing.assert_allclose(p, [expected], rtol=1e-14)
    assert (buf is None) == ("momentum" not in kwargs)


@pytest.mark.parametrize("kwargs", SGDS.values(), ids=SGDS.keys())
def test_sgd_equals_pytorch(torch, rng, kwargs):
    p, buf = rng.normal(size=(3, 4)), None
    parameter = torch.nn.Parameter(torch.tensor(p))
    optimizer = torch.optim.SGD([parameter], lr=0.1, **kwargs)
    for step in range(4):
        g = rng.normal(size=p.shape)
        p, buf = ref.sgd(p, g, buf, 0.1, **SGD_DEFAULTS | kwargs, first_step=step == 0)
        parameter.grad = torch.tensor(g)
        optimizer.step()
        np.testing.assert_allclose(p, parameter.detach().numpy(), rtol=1e-12, atol=1e-12)
        if buf is not None:
            np.testing.assert_allclose(
                buf, optimizer.state[parameter]["momentum_buffer"].numpy(), rtol=1e-12, atol=1e-12
            )


@pytest.mark.parametrize("amsgrad", [False, True])
@pytest.mark.parametrize("maximize", [False, True])
def test_adaptive_optimizers_equal_pytorch(torch, rng, amsgrad, maximize):
    start = rng.normal(size=(3, 4))
    zeros = [np.zeros_like(start)] * 3
    runs = {
        "Adagrad": [{"lr_decay": 0.1, "weight_decay": 0.01}, ref.adagrad, zeros[:1], (0.1, 0.1, 0.01, 1e-10)],
        "RMSprop": [
            {"weight_decay": 0.01, "momentum": 0.9, "centered": amsgrad},
            lambda p, g, a, b, c, step, *rest: ref.rmsprop(p, g, a, b, c, *rest),
            zeros,
            (0.1, 0.99, 1e-8, 0.01, 0.9, amsgrad),
        ],
        "Adam": [{"amsgrad": amsgrad}, ref.adam, zeros, (0.1, 0.9, 0.999, 1e-8, 0, False, amsgrad)],
        "AdamW": [{"amsgrad": amsgrad}, ref.adam, zeros, (0.1, 0.9, 0.999, 1e-8, 0.01, True, amsgrad)],
        "Adadelta": [
            {"weight_decay": 0.01},
            lambda p, g, a, b, step, *rest: ref.adadelta(p, g, a, b, *rest),
            zeros[:2],
            (0.1, 0.9, 1e-6, 0.01),
        ],
        "Adamax": [{"weight_decay": 0.01}, ref.adamax, zeros[:2], (0.1, 0.9, 0.999, 1e-8, 0.01)],
        "RAdam": [
            {"betas": (0.9, 0.6), "weight_decay": 0.01, "decoupled_weight_decay": amsgrad},
            ref.radam,
            zeros[:2],
            (0.1, 0.9, 0.6, 1e-8, 0.01, amsgrad),
        ],
        "NAdam": [
            {"weight_decay": 0.01, "decoupled_weight_decay": amsgrad},
            ref.nadam,
            zeros[:2],
            (0.1, 0.9, 0.999, 1e-8, 0.01, 4e-3, amsgrad),
        ],
    }
    for name, (options, step_function, state, arguments) in runs.items():
        p, parameter = start, torch.nn.Parameter(torch.tensor(start))
        optimizer = getattr(torch.optim, name)([parameter], lr=0.1, maximize=maximize, **options)
        for step in range(1, 5):
            g = rng.normal(size=p.shape)
            p, *state = step_function(p, g, *state, step, *arguments, maximize)
            parameter.grad = torch.tensor(g)
            optimizer.step()
            np.testing.assert_allclose(
                p, parameter.detach().numpy(), rtol=1e-9, atol=1e-7 if name == "NAdam" else 1e-12
            )
