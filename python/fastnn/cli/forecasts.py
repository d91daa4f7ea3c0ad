"""Forecasts of the held-out end of a time series, compared with the two that need no learning."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from .. import nn
from ..data import DataLoader, Windows
from ..tensor import Tensor, no_grad

if TYPE_CHECKING:
    from numpy.typing import NDArray


class Forecasts(NamedTuple):
    """What is forecast for the rows from `start` on, from each row there whose horizon lies within the series.

    Attributes:
        columns: the names of the C variables.
        values: (M, C), the whole series.
        start: the first row that is forecast.
        by_name: of each way to forecast, what it says: (rows, horizon, C).
    """

    columns: Sequence[str]
    values: NDArray[Any]
    start: int
    by_name: dict[str, NDArray[Any]]

    def rescaled(self, mean: NDArray[np.float64] | float, std: NDArray[np.float64] | float) -> Forecasts:
        """The same in the units of the data, of which (x - mean) / std was forecast."""
        by_name = {name: said * std + mean for name, said in self.by_name.items()}
        return Forecasts(self.columns, self.values * std + mean, self.start, by_name)


def forecast(
    model: nn.Module, columns: Sequence[str], values: NDArray[Any], start: int, window: int, horizon: int, season: int
) -> Forecasts:
    """The forecasts of the model (window rows -> horizon rows), of no change, and of a repetition of the last season.

    Args:
        model: a trained model in evaluation mode.
        columns: the names of the variables.
        values: (M, C).
        start: the first row to be forecast, at least `window` and `season`.
        window: rows that the model sees.
        horizon: rows that it forecasts.
        season: rows of a season.
    """
    ahead, origins = np.arange(horizon), np.arange(start, len(values) - horizon + 1)
    with no_grad():
        windows = DataLoader(Windows(values[start - window :], window, horizon), batch_size=1000)
        outputs = [model(Tensor(x)).numpy() for x, _ in windows]
    return Forecasts(
        columns,
        values,
        start,
        {
            type(model).__name__: np.concatenate(outputs),
            "naive": np.repeat(values[origins - 1][:, None], horizon, axis=1),
            f"seasonal naive ({season})": values[origins[:, None] - season + ahead % season],
        },
    )


def scores(forecasts: Forecasts) -> dict[str, tuple[float, float]]:
    """Of each way to forecast the mean absolute error and the root of the mean squared error."""
    result = {}
    for name, said in forecasts.by_name.items():
        rows = forecasts.start + np.arange(len(said))[:, None] + np.arange(said.shape[1])
        errors = said.astype(np.float64) - forecasts.values[rows]
        result[name] = float(np.abs(errors).mean()), float(np.sqrt((errors**2).mean()))
    return result


def table(found: dict[str, tuple[float, float]], units: str) -> list[str]:
    """The scores as lines of text."""
    lines = [f"{'forecast':<24} {'MAE':>10} {'RMSE':>10}   ({units})"]
    return lines + [f"{name:<24} {mae:>10.4f} {rmse:>10.4f}" for name, (mae, rmse) in found.items()]


def plot(forecasts: Forecasts, rows: int = 200, ax: Any = None) -> Any:
    """Draws the last rows of the first variable and, end to end, what was forecast for them.

    Args:
        forecasts: what to draw.
        rows: how many at most.
        ax: Matplotlib's axes to draw into; a new figure where None.

    Returns:
        The axes.

    Raises:
        ImportError: Matplotlib is not installed.
    """
    ax = new_axes() if ax is None else ax
    first = max(forecasts.start, len(forecasts.values) - rows)
    ax.plot(range(first, len(forecasts.values)), forecasts.values[first:, 0], "k", label=forecasts.columns[0])
    for name, said in forecasts.by_name.items():
        horizon = said.shape[1]
        pieces = said[(first - forecasts.start) :: horizon, :, 0]
        ax.plot(first + np.arange(pieces.size), pieces.ravel(), label=name, linewidth=1)
    ax.set_xlabel("row")
    ax.legend()
    return ax


def new_axes() -> Any:
    """Axes of a new figure. ImportError where Matplotlib is not installed."""
    try:
        from matplotlib.figure import Figure  # type: ignore[import-not-found, unused-ignore]
    except ImportError:
        raise ImportError("plots need Matplotlib: pip install 'fastnn[plot]'") from None
    return Figure(figsize=(10, 4), layout="constrained").subplots()
