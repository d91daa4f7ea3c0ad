"""The checkpoints of `fastnn train`: what stands in them beside the arrays, and the model inside."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from .settings import SETTINGS

if TYPE_CHECKING:
    from collections.abc import Iterable

    import numpy as np
    from numpy.typing import NDArray

    from ..nn import Module

# By run, what its config holds beside the model and the settings, with the keys of dicts.
_IMAGES = {"input": {"size", "mean", "std"}, "classes": None}
_CONTENTS: dict[str, dict[str, set[str] | None]] = {
    "mnist": _IMAGES,
    "cifar10": _IMAGES,
    "row_*": _IMAGES,
    "charlm": {"vocabulary": None},
    "series": {"columns": None, "mean": None, "std": None},
    "adding": {},
}


def read_config(path: str, runs: Iterable[str]) -> tuple[dict[str, NDArray[Any]], dict[str, Any]]:
    """The arrays and the config of a checkpoint that `fastnn train` has written in one of these runs.

    Raises:
        OSError: the file cannot be read.
        ValueError: it is something else.
    """
    from ..training import read_checkpoint

    arrays, metadata = read_checkpoint(path)
    config: Any = metadata.get("config")
    if not _is_whole(config):
        raise ValueError(f"{path} is not a checkpoint that `fastnn train` has written")
    if config["run"] not in runs:
        raise ValueError(f"{path} holds {config['model']['name']}, which does something else")
    return arrays, config


def load_state(model: Module, path: str, arrays: dict[str, NDArray[np.generic]]) -> None:
    """Gives a model the parameters in a checkpoint's arrays. ValueError where they do not fit."""
    try:
        model.load_state_dict({name[6:]: value for name, value in arrays.items() if name.startswith("model.")})
    except RuntimeError as error:
        raise ValueError(f"{path}: {error}") from error
    model.eval()


def _is_whole(config: Any) -> bool:
    if not isinstance(config, dict) or config.get("run") not in SETTINGS:
        return False
    entries = {
        "model": {"name", "arguments"},
        "settings": set(SETTINGS[config["run"]]),
        **_CONTENTS[config["run"]],
    }
    return all(
        isinstance(config.get(key), list) if names is None else _has(config.get(key), names)
        for key, names in entries.items()
    )


def _has(value: Any, names: set[str]) -> bool:
    return isinstance(value, dict) and names <= set(value)
