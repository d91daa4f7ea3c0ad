"""What `fastnn train` trains: for each kind of run the model, the data, and what is said at the end."""

from __future__ import annotations

import inspect
import os
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

import fastnn

from .. import models, nn
from ..data import Characters, Dataset, TokenStreams, Windows
from ..data.transforms import Transform
from ..tasks import Classification, LanguageModelling, Regression, Task
from .arguments import UsageError

if TYPE_CHECKING:
    from ..training import Trainer


class Run(NamedTuple):
    """What a run needs beside its settings.

    Attributes:
        model: what is trained.
        arguments: what it was made with, for the checkpoint.
        train: the training data.
        test: the held-out data.
        task: what is trained for.
        data: what the data are called.
        items: what their items are called.
        contents: what else `fastnn predict` and `fastnn sample` need, for the checkpoint.
        shuffle: whether the training data come in a new order each epoch.
        transform: what is done to each training batch.
        test_batch_size: held-out items at a time.
        report: lines for the end of the run.
    """

    model: nn.Module
    arguments: dict[str, Any]
    train: Dataset[Any]
    test: Dataset[Any]
    task: Task
    data: str
    items: str
    contents: dict[str, Any]
    shuffle: bool = True
    transform: Transform | None = None
    test_batch_size: int = 1000
    report: Callable[[Trainer], list[str]] = lambda _: []


def prepare(name: str, settings: dict[str, Any], data: str | None, plot_file: str | None = None) -> Run:
    """Reads the data and makes the model of a run. UsageError where the command line does not fit them."""
    if plot_file is not None and name != "series":
        raise UsageError(f"--plot: {name} draws nothing")
    if settings.get("dropout") and settings["num_layers"] == 1:
        raise UsageError(f"--dropout {settings['dropout']}: it comes between recurrent layers, and there is only one")
    if "dataset" in settings:
        return _images(name, settings, data)
    if name == "adding":
        return _adding(settings, data)
    if data is None:
        raise UsageError(f"{name} needs --data and a {'CSV' if name == 'series' else 'text'} file")
    return _series(settings, data, plot_file) if name == "series" else _charlm(settings, data)


def _chosen(settings: dict[str, Any], *names: str) -> dict[str, Any]:
    return {name: settings[name] for name in names}


# ---- images ---------------------------------------------------------------------------------------------------


_LOSSES: dict[str, type[nn.Module]] = {"cross_entropy": nn.CrossEntropyLoss, "hinge": nn.MultiMarginLoss}


def _images(name: str, settings: dict[str, Any], folder: str | None) -> Run:
    train, test = (_image_data(settings["dataset"], folder, part) for part in (True, False))
    image = fastnn.as_tensor(train[0][0][None])
    _, channels, height, width = image.shape
    sizes = {
        "num_classes": len(train.classes),
        "in_channels": channels,
        "image_width": width,
        "in_features": channels * height * width,
    }
    parameters = inspect.signature(getattr(models, name)).parameters
    arguments: dict[str, Any] = {key: value for key, value in sizes.items() if key in parameters}
    if settings.get("original"):
        if "original" not in parameters:
            raise UsageError(f"--original: {name} has one form only")
        arguments["original"] = True
    if "hidden_size" in settings:
        arguments |= _chosen(settings, "hidden_size")
    model = models.get(name, **arguments)
    try:
        with fastnn.no_grad():
            model.eval()(image)
    except ValueError as error:
        raise UsageError(
            f"{name} does not take the images of {settings['dataset']}, {channels}x{height}x{width}: {error}"
        ) from error
    scale = {"mean": np.array(train.mean).tolist(), "std": np.array(train.std).tolist()}
    return Run(
        model,
        arguments,
        train,
        test,
        Classification(_LOSSES[settings["loss"]]()),
        type(train).__name__,
        "images",
        {"input": {"size": list(train.images.shape[1:3]), **scale}, "classes": list(train.classes)},
        transform=getattr(train, "augment", None),
    )


def _image_data(name: str, folder: str | None, train: bool) -> Any:
    from ..datasets import CIFAR10, MNIST, MNISTSubset

    if name == "cifar10":
        return CIFAR10(folder, train)
    return MNISTSubset(train) if folder is None else MNIST(folder, train)


# ---- charlm: characters of a text -----------------------------------------------------------------------------


def _charlm(settings: dict[str, Any], path: str) -> Run:
    try:
        with open(path, encoding="utf-8", newline="") as file:
            text = file.read()
    except UnicodeDecodeError as error:
        raise ValueError(f"{path} is not a text in UTF-8: {error}") from error
    if len(text) < 20:
        raise ValueError(f"{path} holds {len(text)} characters; expected a longer text")
    characters = Characters.of(text)
    tokens = characters.encode(text)
    streams, steps, split = settings["batch_size"], settings["steps"], len(tokens) - len(tokens) // 10
    held_out = tokens[split:]
    test_steps = min(steps, len(held_out) - 1)
    test = TokenStreams(held_out, min(streams, (len(held_out) - 1) // test_steps), test_steps)
    arguments = _chosen(settings, "embedding_dim", "hidden_size", "num_layers", "cell", "dropout")
    arguments["num_tokens"] = len(characters)
    return Run(
        models.CharRNN(**arguments),
        arguments,
        TokenStreams(tokens[:split], streams, steps),
        test,
        LanguageModelling(),
        f"{os.path.basename(path)}, {len(characters)} different characters, {steps} a sequence",
        "sequences",
        {"vocabulary": list(characters.vocabulary)},
        shuffle=False,
        test_batch_size=test.batch_size,
    )


# ---- series: a time series ------------------------------------------------------------------------------------


def _series(settings: dict[str, Any], path: str, plot_file: str | None) -> Run:
    from ..datasets import read_series
    from .forecasts import forecast, new_axes, plot, scores, table

    axes = None if plot_file is None else new_axes()  # before training: is Matplotlib there?
    columns = settings["columns"]
    series = read_series(path, None if columns is None else columns.split(","))
    window, horizon, season = settings["window"], settings["horizon"], settings["season"]
    split = len(series.values) - len(series.values) // 5  # the last fifth is held out
    if split < max(window, season) + horizon:
        raise UsageError(
            f"{path} has {len(series.values)} rows: too few for --window {window}, --horizon {horizon} "
            f"and --season {season}"
        )
    mean, std = series.values[:split].mean(0), series.values[:split].std(0)
    std = np.where(std > 0, std, 1)
    values = ((series.values - mean) / std).astype(np.float32)
    count = len(series.columns)
    arguments = {"size": count} | _chosen(settings, "horizon", "hidden_size", "num_layers", "cell", "dropout")
    test = Windows(values[split - window :], window, horizon)

    def report(trainer: Trainer) -> list[str]:
        model = trainer.result.eval()
        said = forecast(model, series.columns, values, split, window, horizon, season)
        in_units = said.rescaled(mean, std)
        lines = (
            table(scores(in_units), "of the held-out rows")
            if count == 1
            else table(scores(said), "of the held-out rows, in standard deviations")
        )
        if plot_file is not None:
            plot(in_units, ax=axes).figure.savefig(plot_file)
            lines.append(f"plot {plot_file}")
        return lines

    return Run(
        models.Forecaster(**arguments),
        arguments,
        Windows(values[:split], window, horizon),
        test,
        Regression(),
        f"{os.path.basename(path)}, {count} variable{'s' if count > 1 else ''}",
        "windows",
        {"columns": list(series.columns), "mean": mean.tolist(), "std": std.tolist()},
        report=report,
    )


# ---- adding: what it takes to remember ------------------------------------------------------------------------


def _adding(settings: dict[str, Any], data: str | None) -> Run:
    from ..datasets import AddingProblem
    from ..nn.utils import gradient_norms

    if data is not None:
        raise UsageError("adding makes its data; there is nothing for --data to say")
    steps, seed = settings["steps"], settings["seed"]
    test = AddingProblem(1000, steps, seed=seed + 1)
    arguments = _chosen(settings, "hidden_size", "num_layers", "cell", "dropout")
    arguments |= {"input_size": 2, "output_shape": [1]}

    def report(trainer: Trainer) -> list[str]:
        x, target = (fastnn.as_tensor(a[:100]) for a in test.arrays)
        model: Any = trainer.result

        def loss(y: fastnn.Tensor) -> fastnn.Tensor:
            return nn.functional.mse_loss(model.linear(y[-1]), target)

        norms = gradient_norms(model.rnn, x.transpose(0, 1), loss)[-1]
        chosen = sorted({0, steps // 4, steps // 2, 3 * steps // 4, steps - 1})
        return [
            f"always answering 1: test loss {np.mean((test.arrays[1] - 1) ** 2):.4f}",
            "norm of dL/dh at step " + ", ".join(f"{t + 1}: {norms[t]:.1e}" for t in chosen),
        ]

    model = models.ManyToOne(**arguments)
    if settings["cell"] == "lstm":  # with the usual forget gates, half open, one of two learns in ten epochs
        nn.init.apply(model, "xavier_uniform")
    return Run(
        model,
        arguments,
        AddingProblem(settings["items"], steps, seed=seed),
        test,
        Regression(),
        f"the adding problem with {steps} steps",
        "sequences",
        {},
        report=report,
    )
