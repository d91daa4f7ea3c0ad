"""Whole training steps, written once for both libraries: forward, loss, backward, update; and the memory they take."""

from __future__ import annotations

import resource
from collections.abc import Callable
from itertools import product
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np

from . import inputs
from .inputs import Run, Ways
from .layers import loaded

LENET = "lenet5"
CHARACTERS = 65

# By the name of a function of fastnn.models and of torch_models.py: the channels of its images, their pixels in a row,
# and the classes.
MODELS = {
    "googlenet": (3, 224, 1000),
    "se_resnet50": (3, 224, 1000),
    "resnet18": (3, 224, 1000),
    "resnet50": (3, 224, 1000),
    "vgg16": (3, 224, 1000),
    "alexnet": (3, 224, 1000),
    "cifar_resnet20": (3, 32, 10),
    LENET: (1, 28, 10),
}


OPTIONS = {"googlenet": {"aux_logits": False}}


class Trainer:
    """A model, its loss and its optimizer, SGD with momentum; a call is one training step on its batch."""

    def __init__(self, lib: ModuleType, name: str, layout: str, compiler: str, optimizer: str) -> None:
        self.layout = lib.LAYOUTS[layout]
        self.model = self.layout(loaded(lib, lib.model(name, **OPTIONS.get(name, {}))))
        self.forward = lib.compilers()[compiler](self.model)
        self.criterion = lib.api.nn.CrossEntropyLoss()
        arguments = lib.OPTIMIZER_ARGUMENTS[optimizer]
        self.optimizer = lib.api.optim.SGD(self.model.parameters(), lr=1e-3, momentum=0.9, **arguments)
        self.dropouts = [m for m in self.model.modules() if isinstance(m, lib.api.nn.Dropout)]

    def step(self, x: Any, labels: Any) -> Any:
        """One training step; returns the loss before it."""
        loss = self._backward(x, labels)
        self.optimizer.step()
        return loss

    def gradients(self, x: Any, labels: Any) -> tuple[Any, ...]:
        """The loss and the gradients of all parameters, without dropout: what both libraries must agree on."""
        for dropout in self.dropouts:
            dropout.eval()
        loss = self._backward(x, labels)
        for dropout in self.dropouts:
            dropout.train()
        return loss, *(p.grad for p in self.model.parameters())

    def _backward(self, x: Any, labels: Any) -> Any:
        self.optimizer.zero_grad()
        loss = self.criterion(self.forward(x), labels)
        loss.backward()
        return loss


class _Step:
    """A way that is checked by its gradients before it is timed."""

    def __init__(self, trainer: Trainer, x: Any, labels: Any) -> None:
        self._trainer, self._batch = trainer, (trainer.layout(x), labels)

    def check(self) -> tuple[Any, ...]:
        return self._trainer.gradients(*self._batch)

    def __call__(self) -> Any:
        return self._trainer.step(*self._batch)


def _trainers(lib: ModuleType, name: str) -> dict[str, Callable[[], Trainer]]:
    """Each way to train: layout, eager or compiled, optimizer (the last, fused one of large models: 1 % of a step)."""
    optimizers = list(lib.OPTIMIZER_ARGUMENTS)
    if name != LENET:
        optimizers = optimizers[-1:]

    def maker(choice: tuple[str, str, str]) -> Callable[[], Trainer]:
        return lambda: Trainer(lib, name, *choice)

    choices = product(lib.LAYOUTS, lib.compilers(), optimizers)
    return {" ".join(filter(None, choice)): maker(choice) for choice in choices}


def _batch(lib: ModuleType, name: str, size: int) -> tuple[Any, Any]:
    channels, pixels, classes = MODELS[name]
    images = inputs.uniform(1, size, channels, pixels, pixels)
    return lib.tensor(images), lib.tensor(inputs.labels(size, classes))


def _step(name: str) -> Callable[[ModuleType, int], Ways]:
    def ways(lib: ModuleType, batch_size: int) -> Ways:
        batch = _batch(lib, name, batch_size)
        return {way: _Step(make(), *batch) for way, make in _trainers(lib, name).items()}

    return ways


resnet18_step, resnet50_step = _step("resnet18"), _step("resnet50")
se_resnet50_step, googlenet_step = _step("se_resnet50"), _step("googlenet")
vgg16_step, alexnet_step = _step("vgg16"), _step("alexnet")
cifar_resnet20_step, lenet5_step = _step("cifar_resnet20"), _step(LENET)


def _inference(name: str) -> Callable[[ModuleType, int], Ways]:
    def ways(lib: ModuleType, batch_size: int) -> Ways:
        images, _ = _batch(lib, name, batch_size)

        def run(layout: str, compiler: str) -> Run:
            model = loaded(lib, lib.model(name, **OPTIONS.get(name, {}))).eval()
            forward, x = lib.compilers()[compiler](lib.LAYOUTS[layout](model)), lib.LAYOUTS[layout](images)

            def scores() -> Any:
                with lib.api.no_grad():
                    return forward(x)

            return scores

        return {" ".join(filter(None, choice)): run(*choice) for choice in product(lib.LAYOUTS, lib.compilers())}

    return ways


se_resnet50_inference, googlenet_inference = _inference("se_resnet50"), _inference("googlenet")


class _CharStep:
    """A step of truncated backpropagation through time: the states go on to the next one, gradients are clipped."""

    def __init__(self, lib: ModuleType, tokens: Any, compiler: str, optimizer: str) -> None:
        self._api, self._tokens = lib.api, tokens
        self._model = loaded(lib, lib.model("CharRNN", CHARACTERS))
        self._forward = lib.compilers()[compiler](self._model)
        self._criterion = lib.api.nn.CrossEntropyLoss()
        arguments = lib.OPTIMIZER_ARGUMENTS[optimizer]
        self._optimizer = lib.api.optim.Adam(self._model.parameters(), lr=2e-3, **arguments)
        self._states: Any = None

    def check(self) -> tuple[Any, ...]:
        loss = self._backward()
        return loss, *(p.grad for p in self._model.parameters())

    def __call__(self) -> Any:
        loss = self._backward()
        self._api.nn.utils.clip_grad_norm_(self._model.parameters(), 1.0)
        self._optimizer.step()
        return loss

    def _backward(self) -> Any:
        self._optimizer.zero_grad()
        scores, states = self._forward(self._tokens[:-1], self._states)
        self._states = tuple(state.detach() for state in states)
        loss = self._criterion(scores.reshape(-1, CHARACTERS), self._tokens[1:].reshape(-1))
        loss.backward()
        return loss


def char_rnn_step(lib: ModuleType, steps: int, batch_size: int) -> Ways:
    """The character model: embedding 64, two LSTM layers of 256, Adam."""
    tokens = lib.tensor(inputs.labels((steps + 1) * batch_size, CHARACTERS).reshape(steps + 1, batch_size))
    choices = product(lib.compilers(), lib.OPTIMIZER_ARGUMENTS)
    return {" ".join(filter(None, choice)): _CharStep(lib, tokens, *choice) for choice in choices}


def lenet_epoch(lib: ModuleType, batch_size: int, data: str) -> Ways:
    """Every image of MNIST once, in a fixed random order; returns the losses of the first ten steps."""
    images, labels = map(lib.tensor, inputs.mnist(Path(data)))
    order = np.random.default_rng(0).permutation(len(labels))
    batches = [lib.tensor(order[i : i + batch_size]) for i in range(0, len(order), batch_size)]

    def epochs(trainer: Trainer) -> Run:
        return lambda: np.array([trainer.step(images[b], labels[b]).item() for b in batches][:10])

    return {way: epochs(make()) for way, make in _trainers(lib, LENET).items()}


# ---- memory -------------------------------------------------------------------------------------------------------


def eager_ways(lib: ModuleType, name: str) -> list[str]:
    """The ways whose memory is measured: a compiler in the process would be measured with them."""
    return [way for way in _trainers(lib, name) if "compiled" not in way]


def steady_state(lib: ModuleType, batch_size: int, warm_up: int, steps: int) -> dict[str, float]:
    """What a LeNet training loop asks of the operating system once it is warm."""
    trainer = next(iter(_trainers(lib, LENET).values()))()
    batch = _batch(lib, LENET, batch_size)
    for _ in range(warm_up):
        trainer.step(*batch)
    before, memory, rss = resource.getrusage(resource.RUSAGE_SELF), lib.memory(), resident_bytes("VmRSS")
    for _ in range(steps):
        trainer.step(*batch)
    rss = resident_bytes("VmRSS") - rss
    after = resource.getrusage(resource.RUSAGE_SELF)
    growth = {f"{key} growth": value - memory[key] for key, value in lib.memory().items()}
    return {
        "minor page faults a step": (after.ru_minflt - before.ru_minflt) / steps,
        "major page faults a step": (after.ru_majflt - before.ru_majflt) / steps,
        "resident bytes growth": rss,
        **growth,
    }


def peak_memory(lib: ModuleType, name: str, way: str, batch_size: int, steps: int) -> dict[str, float]:
    """The most memory that a process has held which did nothing but some training steps."""
    imported = resident_bytes("VmRSS")
    trainer = _trainers(lib, name)[way]()
    batch = _batch(lib, name, batch_size)
    for _ in range(steps):
        trainer.step(*batch)
    peak = resident_bytes("VmHWM")
    return {"peak resident bytes": peak, "before the model was made": imported, **lib.memory()}


def resident_bytes(key: str) -> int:
    """`VmRSS`, the resident memory of this process, or `VmHWM`, the most there has been."""
    try:
        status = Path("/proc/self/status").read_text()
    except FileNotFoundError:  # not Linux: the peak must do
        return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return int(status.split(f"{key}:")[1].split()[0]) * 1024
