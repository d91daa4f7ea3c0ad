"""Work at the level of layers, written once: fastnn's Python API is PyTorch's.

`lib` is the module `with_fastnn` or `with_torch`.
"""

from __future__ import annotations

import math
from itertools import product
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np

from . import inputs
from .inputs import Run, Ways


def _loaded(lib: ModuleType, model: Any) -> Any:
    """The model with the same weights in both libraries, of the size that the default initialisation gives them."""
    arrays = {}
    for seed, (name, p) in enumerate(model.state_dict().items()):
        shape = tuple(p.shape)
        arrays[name] = inputs.uniform(seed, *shape) / np.float32(math.sqrt(math.prod(shape[1:]) or 1))
    lib.load(model, arrays)
    return model


def cross_entropy(lib: ModuleType, N: int, C: int) -> Ways:
    x, labels = lib.tensor(inputs.uniform(1, N, C)), lib.tensor(inputs.labels(N, C))
    x.requires_grad_()
    criterion = lib.api.nn.CrossEntropyLoss()

    def run() -> Any:
        x.grad = None
        loss = criterion(x, labels)
        loss.backward()
        return loss, x.grad

    return {"": run}


def sgd_momentum(lib: ModuleType, n: int) -> Ways:
    def optimizer_step(arguments: dict[str, Any]) -> Run:
        p = lib.parameter(inputs.uniform(1, n))
        p.grad = lib.tensor(inputs.uniform(2, n))
        optimizer = lib.api.optim.SGD([p], lr=1e-3, momentum=0.9, **arguments)

        def run() -> Any:
            optimizer.step()
            return p

        return run

    return {name: optimizer_step(arguments) for name, arguments in lib.OPTIMIZER_ARGUMENTS.items()}


# ---- the cost of an operation that has nothing to do ---------------------------------------------------------------


def overhead_relu(lib: ModuleType) -> Ways:
    x, relu = lib.tensor(inputs.uniform(1, 4)), lib.api.nn.functional.relu
    return {"": lambda: relu(x)}


def overhead_linear_forward(lib: ModuleType) -> Ways:
    layer, x = _loaded(lib, lib.api.nn.Linear(4, 4)), lib.tensor(inputs.uniform(1, 1, 4))
    return {"": lambda: layer(x)}


def overhead_linear_step(lib: ModuleType) -> Ways:
    layer, x = _loaded(lib, lib.api.nn.Linear(4, 4)), lib.tensor(inputs.uniform(1, 1, 4))

    def run() -> Any:
        layer.zero_grad()
        layer(x).sum().backward()
        return layer.weight.grad, layer.bias.grad

    return {"": run}


# ---- LeNet-5 ------------------------------------------------------------------------------------------------------


class _Lenet:
    """The modern LeNet-5 with its optimizer: SGD with momentum 0.9 on the cross entropy."""

    def __init__(self, lib: ModuleType, layout: str, optimizer: str) -> None:
        nn = lib.api.nn
        self.model = nn.Sequential(
            nn.Conv2d(1, 6, 5, padding=2),
            nn.ReLU(),
            nn.MaxPool2d(2),
            nn.Conv2d(6, 16, 5),
            nn.ReLU(),
            nn.MaxPool2d(2),
            nn.Flatten(),
            nn.Linear(400, 120),
            nn.ReLU(),
            nn.Linear(120, 84),
            nn.ReLU(),
            nn.Linear(84, 10),
        )
        self.model = lib.LAYOUTS[layout](_loaded(lib, self.model))
        self.criterion = nn.CrossEntropyLoss()
        arguments = lib.OPTIMIZER_ARGUMENTS[optimizer]
        self.optimizer = lib.api.optim.SGD(self.model.parameters(), lr=0.02, momentum=0.9, **arguments)

    def step(self, x: Any, labels: Any) -> Any:
        """One training step; returns the loss before it."""
        self.optimizer.zero_grad()
        loss = self.criterion(self.model(x), labels)
        loss.backward()
        self.optimizer.step()
        return loss


def _lenets(lib: ModuleType) -> dict[str, _Lenet]:
    choices = product(lib.LAYOUTS, lib.OPTIMIZER_ARGUMENTS)
    return {" ".join(filter(None, choice)): _Lenet(lib, *choice) for choice in choices}


def lenet_step(lib: ModuleType, batch_size: int) -> Ways:
    x = lib.tensor(inputs.uniform(1, batch_size, 1, 28, 28))
    labels = lib.tensor(inputs.labels(batch_size, 10))

    def steps(lenet: _Lenet) -> Run:
        return lambda: lenet.step(x, labels)

    return {name: steps(lenet) for name, lenet in _lenets(lib).items()}


def lenet_epoch(lib: ModuleType, batch_size: int, data: str) -> Ways:
    """Every image of MNIST once, in a fixed random order; returns the losses of the first ten steps."""
    images, labels = map(lib.tensor, inputs.mnist(Path(data)))
    order = np.random.default_rng(0).permutation(len(labels))
    batches = [lib.tensor(order[i : i + batch_size]) for i in range(0, len(order), batch_size)]

    def epochs(lenet: _Lenet) -> Run:
        return lambda: np.array([lenet.step(images[b], labels[b]).item() for b in batches][:10])

    return {name: epochs(lenet) for name, lenet in _lenets(lib).items()}
