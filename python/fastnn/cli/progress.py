"""How training goes: a bar on a terminal, and one line for each epoch anywhere."""

from __future__ import annotations

import os
import sys
import time
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from ..training import Trainer

_FORMATS = {"accuracy": ".2%", "perplexity": ".3f"}


def text(metrics: dict[str, float]) -> str:
    """Metrics in words: `loss 0.1234, test accuracy 97.50%`."""
    words = ((name.replace("_", " "), value) for name, value in metrics.items())
    return ", ".join(f"{name} {value:{_FORMATS.get(name.removeprefix('test '), '.4f')}}" for name, value in words)


class Progress:
    """Shows the progress of a trainer.

    Args:
        trainer: before its first step.
        items: what the items of its data set are called.
    """

    def __init__(self, trainer: Trainer, items: str) -> None:
        self._items = items
        self._per_epoch = len(trainer.loader.dataset)
        self._total = trainer.epochs * self._per_epoch
        self._done = self._start_of_epoch = trainer.epoch * self._per_epoch + trainer.items
        self._seconds = 0.0
        self._since = time.perf_counter()
        self._first = self._done
        self._bar: Any = None
        if sys.stderr.isatty():
            from tqdm import tqdm  # type: ignore[import-untyped]

            self._bar = tqdm(
                total=self._total,
                initial=self._done,
                unit=f" {items}",
                dynamic_ncols=True,
                leave=False,
                colour=None if os.environ.get("NO_COLOR") else "green",
                bar_format="{desc} {percentage:3.0f}%|{bar}| {rate_noinv_fmt}, {remaining} left{postfix}",
            )

    def on_step(self, trainer: Trainer) -> None:
        """Moves the bar."""
        done = trainer.epoch * self._per_epoch + trainer.items
        if self._bar is not None:
            self._bar.set_description_str(f"epoch {trainer.epoch + 1}/{trainer.epochs}", refresh=False)
            self._bar.set_postfix_str(text(trainer.metrics), refresh=False)
            self._bar.update(done - self._done)
        self._done = done

    def on_epoch(self, trainer: Trainer) -> None:
        """Prints a line."""
        now = time.perf_counter()
        rate = (self._done - self._start_of_epoch) / (now - self._since)
        self._seconds += now - self._since
        left = (self._total - self._done) * self._seconds / max(1, self._done - self._first)
        self._since, self._start_of_epoch = now, self._done
        line = (
            f"epoch {trainer.epoch}/{trainer.epochs}: {text(trainer.history[-1])}, {rate:,.0f} {self._items}/s, "
            f"{left // 60:.0f}:{left % 60:02.0f} left"
        )
        if self._bar is not None:
            self._bar.clear()
        print(line, flush=True)
        if self._bar is not None:
            self._bar.refresh()

    def close(self) -> None:
        """Takes the bar away."""
        if self._bar is not None:
            self._bar.close()
