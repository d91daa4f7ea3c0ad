"""What `fastnn train` does unless told otherwise. A resumed run takes all of it from its checkpoint."""

from __future__ import annotations

from typing import Any

_STEPS = {"schedule": "cosine", "warmup": 0, "accumulate": 1, "clip_value": 0.0, "ema": 0.0}
_SGD = {"optimizer": "sgd", "momentum": 0.9, "clip_norm": 0.0, **_STEPS}
_ADAM = {"optimizer": "adam", "momentum": 0.0, "weight_decay": 0.0, "clip_norm": 1.0, **_STEPS}
_RECURRENT = {"cell": "lstm", "num_layers": 1, "dropout": 0.0}

# By run: three for images, which the model and the data set decide between, and three that have a name of their own.
SETTINGS: dict[str, dict[str, Any]] = {
    "mnist": {
        "dataset": "mnist",
        "loss": "cross_entropy",
        "original": False,
        "epochs": 15,
        "batch_size": 64,
        "lr": 0.05,
        "weight_decay": 0.0,
        "seed": 0,
        **_SGD,
    },
    "cifar10": {
        "dataset": "cifar10",
        "loss": "cross_entropy",
        "original": False,
        "epochs": 30,
        "batch_size": 128,
        "lr": 0.1,
        "weight_decay": 1e-4,
        "seed": 0,
        **_SGD,
    },
    "row_*": {
        "dataset": "mnist",
        "loss": "cross_entropy",
        "hidden_size": 128,
        "epochs": 3,
        "batch_size": 64,
        "lr": 2e-3,
        "seed": 0,
        **_ADAM,
    },
    "charlm": {
        **_RECURRENT,
        "num_layers": 2,
        "embedding_dim": 64,
        "hidden_size": 256,
        "steps": 64,
        "epochs": 3,
        "batch_size": 32,
        "lr": 2e-3,
        "seed": 0,
        **_ADAM,
        "schedule": "constant",
    },
    "series": {
        **_RECURRENT,
        "hidden_size": 64,
        "columns": None,
        "window": 36,
        "horizon": 12,
        "season": 12,
        "epochs": 60,
        "batch_size": 32,
        "lr": 5e-3,
        "seed": 0,
        **_ADAM,
    },
    "adding": {
        **_RECURRENT,
        "hidden_size": 64,
        "steps": 100,
        "items": 20000,
        "epochs": 10,
        "batch_size": 50,
        "lr": 2e-3,
        "seed": 0,
        **_ADAM,
    },
}

IMAGE_RUNS = ("mnist", "cifar10", "row_*")

# The networks by name that do not classify images; `charlm` trains this one.
NOT_FOR_IMAGES = "char_rnn"


def run_of(model: str, dataset: str | None) -> str:
    """The run that trains a model: by its own name, or for one that classifies images by the data set."""
    if model in SETTINGS and model not in IMAGE_RUNS:
        return model
    if model.startswith("row_"):
        return "row_*"
    return dataset or ("mnist" if model in ("lenet5", "mlp", "linear_classifier") else "cifar10")


def all_settings() -> list[str]:
    """The names of the settings of all runs."""
    return list(dict.fromkeys(name for settings in SETTINGS.values() for name in settings))


def defaults(name: str) -> str:
    """What help says of the default of a setting."""
    runs: dict[str, list[str]] = {}
    for run, settings in SETTINGS.items():
        if name in settings:
            runs.setdefault(str(settings[name]), []).append(run)
    if len(runs) == 1:
        return next(iter(runs))
    return "; ".join(f"{value} for {_listed(names)}" for value, names in runs.items())


def _listed(names: list[str]) -> str:
    return " and ".join(filter(None, [", ".join(names[:-1]), names[-1]]))
