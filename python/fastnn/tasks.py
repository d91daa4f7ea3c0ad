"""What a model is trained for: the loss of a batch, what is measured beside it, and what it hands to the next batch."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import NamedTuple, TypeAlias

import numpy as np

from . import functional as F
from . import nn
from .tensor import Array, Tensor

__all__ = ["Carry", "Classification", "LanguageModelling", "Regression", "Step", "Task"]

Carry: TypeAlias = "tuple[Array, ...]"


class Step(NamedTuple):
    """What a task makes of a batch.

    Attributes:
        loss: the mean over the batch, recorded.
        sums: of each other measure, the sum over the items of the batch.
        carry: what the next batch of the same pass over the data starts from.
    """

    loss: Tensor
    sums: dict[str, float]
    carry: Carry = ()


class Task:
    """Base class of what `fastnn.training.Trainer` trains for."""

    def step(self, model: nn.Module, x: Tensor, target: Tensor, carry: Carry) -> Step:
        """Runs the model on a batch; `carry` is empty for the first one of a pass over the data."""
        raise NotImplementedError(f"{type(self).__name__} defines no step()")

    def metrics(self, means: dict[str, float]) -> dict[str, float]:
        """What is reported, from the means over the items: `loss` and those of `Step.sums`."""
        return means


class Classification(Task):
    """Scores (N, classes) for labels (N,): the loss, and `accuracy`, the share of items with the right class on top.

    A model with auxiliary classifiers, as `models.GoogLeNet` is in training, returns a tuple: its scores and theirs.

    Args:
        loss: maps (scores, labels) to the mean loss of the batch; `nn.CrossEntropyLoss()` where None.
        auxiliary_weight: factor of the losses of auxiliary classifiers; 0.3 is that of Szegedy et al., Going deeper
            with convolutions, 2015.
    """

    def __init__(self, loss: Callable[[Tensor, Tensor], Tensor] | None = None, auxiliary_weight: float = 0.3) -> None:
        self.loss = nn.CrossEntropyLoss() if loss is None else loss
        self.auxiliary_weight = auxiliary_weight

    def step(self, model: nn.Module, x: Tensor, target: Tensor, carry: Carry) -> Step:
        """The scores of `model(x)` against the labels."""
        outputs = model(x)
        scores, *auxiliary = outputs if isinstance(outputs, tuple) else (outputs,)
        loss = self.loss(scores, target)
        for others in auxiliary:
            loss = loss + self.auxiliary_weight * self.loss(others, target)
        correct = np.count_nonzero(scores.data.argmax(axis=1) == target.data)
        return Step(loss, {"accuracy": int(correct)})


class LanguageModelling(Task):
    """The next token of each of N streams at each of T steps: the cross-entropy, and its exponential, `perplexity`.

    The model maps tokens (T, N) and its states to scores (T, N, tokens) and the next states, as `models.CharRNN` does.
    The states at the end of a batch start the next one, which goes on with the same streams; no gradient flows back
    there: truncated backpropagation through time (Williams and Peng, 1990).
    """

    def step(self, model: nn.Module, x: Tensor, target: Tensor, carry: Carry) -> Step:
        """Tokens (N, T) and the ones that follow them, (N, T)."""
        scores, states = model(x.T, tuple(map(Tensor, carry)) or None)
        loss = F.cross_entropy(scores.reshape(-1, scores.shape[-1]), target.T.reshape(-1))
        return Step(loss, {}, tuple(state.data for state in states))

    def metrics(self, means: dict[str, float]) -> dict[str, float]:
        """The loss and the perplexity."""
        return means | {"perplexity": math.exp(min(means["loss"], 700))}


class Regression(Task):
    """Numbers of any shape (N, ...): the mean squared error, and `mae`, the mean absolute error."""

    def step(self, model: nn.Module, x: Tensor, target: Tensor, carry: Carry) -> Step:
        """The output of `model(x)` against the target."""
        y = model(x)
        loss = F.mse_loss(y, target)
        return Step(loss, {"mae": float(np.abs(y.data - target.data).mean(dtype=np.float64)) * len(target)})
