"""Several models that answer as one."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import numpy as np

from .. import functional as F
from ..joining import stack
from ..tensor import Tensor
from .container import ModuleList
from .module import Module


class Ensemble(Module):
    """The mean of what several models answer: their inputs -> scores (N, classes) or (N, classes, ...).

    Args:
        models: one or more, which take the same inputs and return scores of one shape (logits).
        average: "probabilities" for the mean of the models' softmax, or "logits" for the mean of their scores (which
            is the normalised geometric mean of the probabilities). Both are returned as scores: softmax of the
            first are the mean probabilities, and `cross_entropy` takes either.

    Raises:
        ValueError: there are no models, or `average` is something else.

    Example:
        >>> import fastnn
        >>> from fastnn import models
        >>> model = fastnn.ensemble([models.lenet5(), models.lenet5()])
        >>> model(fastnn.ones(4, 1, 28, 28)).shape
        (4, 10)
    """

    def __init__(self, models: Iterable[Module], average: str = "probabilities") -> None:
        super().__init__()
        self.models = ModuleList(models)
        if not len(self.models):
            raise ValueError("ensemble: there are no models; expected one or more")
        if average not in ("probabilities", "logits"):
            raise ValueError(f"ensemble: average is {average!r}; expected 'probabilities' or 'logits'")
        self.average = average

    def forward(self, *args: Any, **kwargs: Any) -> Tensor:
        """What the models take -> scores."""
        scores: list[Tensor] = [model(*args, **kwargs) for model in self.models]
        if self.average == "logits":
            return stack(scores).mean(0)
        logs = stack([F.log_softmax(x, 1) for x in scores])
        # exp of the largest becomes 1, so that the sum is not lost where all probabilities are tiny.
        largest = Tensor(np.maximum(logs.data.max(0), np.finfo(logs.dtype).min))
        return (logs - largest).exp().mean(0).log() + largest

    def replace_head(self, num_classes: int) -> Module:
        """Gives each model a new head (see `Module.replace_head`). Returns the last model's."""
        heads: list[Module] = [model.replace_head(num_classes) for model in self.models]
        return heads[-1]

    def extra_repr(self) -> str:
        """The argument."""
        return f"average={self.average!r}"


def ensemble(models: Iterable[Module], average: str = "probabilities") -> Ensemble:
    """A module that answers with the mean of several models' answers; the arguments are those of `nn.Ensemble`."""
    return Ensemble(models, average)
