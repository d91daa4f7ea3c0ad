"""Training: the loop, evaluation, and checkpoints from which a stopped run continues bit for bit."""

from __future__ import annotations

import json
import math
import os
import signal
import zlib
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from itertools import islice
from typing import Any

import numpy as np

from . import nn, random, serialization
from .data import DataLoader, Dataset
from .nn.sizes import checked_size
from .nn.utils import clip_grad_norm_, clip_grad_value_
from .optim import LBFGS, Optimizer
from .optim.lr_scheduler import LRScheduler, ReduceLROnPlateau
from .optim.swa_utils import AveragedModel, MultiAverage, get_ema_multi_avg_fn
from .tasks import Carry, Classification, Task
from .tensor import Array, Tensor, expect_numbers, no_grad

__all__ = ["Trainer", "evaluate", "read_checkpoint", "stop_on_signals"]

_FORMAT = "fastnn checkpoint 1"


class Trainer:
    """Trains a model and writes checkpoints.

    A step goes through `accumulate` batches (in the end of an epoch through those that are left), adds up their
    gradients as those of one large batch, clips them, and updates the parameters. After each step `scheduler.step()` is
    called. At the end of each epoch, and where `stop` has been called, it writes a checkpoint: one safetensors file
    with the arrays `model.*` and `optimizer.*` and, as JSON in its metadata, everything else that the rest of the run
    depends on. A run that goes on from it ends in the same bits as one that was never stopped, on any number of
    threads.

    Args:
        model: what is trained.
        optimizer: over the model's parameters.
        loader: gives batches `(x, target)` of N items each. Its seed and the epoch determine the order.
        epochs: how often the whole data set is gone through.
        task: the loss and what else is measured (see `fastnn.tasks`); `Classification()` where None.
        scheduler: changes the learning rate after each step, or None. A `ReduceLROnPlateau` is told the training loss
            after each epoch.
        accumulate: batches a step. Layers that look at a whole batch, such as batch normalization, see them one by one.
        clip_value: the largest absolute value of an element of the gradients, to which it is clipped, or None.
        clip_norm: the largest norm of all gradients together, to which they are clipped (after `clip_value`), or None.
        ema_decay: how much of an exponential moving average of the weights and buffers each step keeps (step n at most
            n / (n + 9), so that the first weights are soon forgotten); that average is what is evaluated and saved.
            None for the weights themselves.
        test: a data set to evaluate at the end of each epoch, or None.
        test_batch_size: its items at a time.
        checkpoint: the path to write to, or None.
        config: JSON data to be kept in the checkpoint, such as the model's name. `resume` insists that it is the same.

    Attributes:
        averaged: the `optim.swa_utils.AveragedModel` of `ema_decay`, or None.
        epoch: epochs completed.
        step: steps done of the epoch under way.
        items: training items seen in the epoch under way.
        history: one dict for each epoch: the `loss` and the other metrics of the task over its training batches (each
            before its step), and as `test_loss` and so on those over the test data after it.

    Raises:
        TypeError: an argument is of the wrong kind.
        ValueError: a number is out of range, the loader has no batches, the optimizer is `LBFGS`, or the scheduler is
            that of another one.

    Example:
        >>> import fastnn
        >>> from fastnn import models, optim
        >>> from fastnn.data import DataLoader, Subset
        >>> from fastnn.datasets import MNISTSubset
        >>> from fastnn.training import Trainer
        >>> _ = fastnn.manual_seed(0)
        >>> model = models.lenet5()
        >>> optimizer = optim.SGD(model.parameters(), lr=0.05, momentum=0.9)
        >>> loader = DataLoader(Subset(MNISTSubset(), range(256)), batch_size=64, shuffle=True, seed=0)
        >>> trainer = Trainer(model, optimizer, loader, epochs=2)
        >>> trainer.fit()
        True
        >>> len(trainer.history)
        2
    """

    def __init__(
        self,
        model: nn.Module,
        optimizer: Optimizer,
        loader: DataLoader,
        epochs: int,
        *,
        task: Task | None = None,
        scheduler: LRScheduler | None = None,
        accumulate: int = 1,
        clip_value: float | None = None,
        clip_norm: float | None = None,
        ema_decay: float | None = None,
        test: Dataset[Any] | None = None,
        test_batch_size: int = 1000,
        checkpoint: str | os.PathLike[str] | None = None,
        config: dict[str, Any] | None = None,
    ) -> None:
        for name, limit in (("clip_value", clip_value), ("clip_norm", clip_norm)):
            if limit is not None:
                expect_numbers("Trainer", **{name: limit})
                if not limit > 0:
                    raise ValueError(f"Trainer: {name} is {limit}; expected a number above 0, or None")
        for name, value, kind in (("model", model, nn.Module), ("optimizer", optimizer, Optimizer)):
            if not isinstance(value, kind):
                raise TypeError(f"Trainer: {name} is {type(value).__name__}; expected {kind.__name__}")
        if scheduler is not None and not isinstance(scheduler, LRScheduler):
            raise TypeError(f"Trainer: scheduler is {type(scheduler).__name__}; expected LRScheduler or None")
        if scheduler is not None and scheduler.optimizer is not optimizer:
            raise ValueError("Trainer: scheduler belongs to another optimizer")
        if not len(loader):
            raise ValueError("Trainer: loader has no batches")
        if isinstance(optimizer, LBFGS):
            raise ValueError("Trainer: optimizer is LBFGS, which goes through the data many times a step")
        self.model = model
        self.optimizer = optimizer
        self.loader = loader
        self.epochs = checked_size("Trainer: epochs", epochs)
        self.task = Classification() if task is None else task
        self.scheduler = scheduler
        self.accumulate = checked_size("Trainer: accumulate", accumulate)
        self.clip_value = clip_value
        self.clip_norm = clip_norm
        self.ema_decay = ema_decay
        self.averaged: AveragedModel | None = None
        if ema_decay is not None:
            self.averaged = AveragedModel(model, multi_avg_fn=_ema(ema_decay), use_buffers=True)
        self.test = test
        self.test_batch_size = test_batch_size
        self.checkpoint = checkpoint
        self.config = config or {}
        self.epoch = 0
        self.step = 0
        self.items = 0
        self.history: list[dict[str, float]] = []
        self._sums: dict[str, float] = {}
        self._carry: Carry = ()
        self._stopping = False

    @property
    def metrics(self) -> dict[str, float]:
        """Loss and other metrics over the training items of the epoch under way, each as the model was before its step.

        Empty before the first step of an epoch.
        """
        return _metrics(self.task, self._sums, self.items)

    @property
    def result(self) -> nn.Module:
        """What is evaluated and saved: the average of the weights where there is one, otherwise the model itself."""
        return self.model if self.averaged is None else self.averaged.module

    def stop(self) -> None:
        """Makes `fit` write a checkpoint after the present step and return; may be called by callbacks and signals."""
        self._stopping = True

    def fit(
        self,
        on_step: Callable[[Trainer], None] | None = None,
        on_epoch: Callable[[Trainer], None] | None = None,
    ) -> bool:
        """Trains until all epochs are done or `stop` is called.

        Args:
            on_step: called with this trainer after each step.
            on_epoch: called with this trainer at the end of each epoch, when its checkpoint is written.

        Returns:
            Whether all epochs are done.

        Raises:
            FloatingPointError: the loss is infinite or not a number. The last checkpoint is left as it is.
            OSError: the checkpoint cannot be written.
        """
        self.model.train()
        while self.epoch < self.epochs:
            batches = self.loader.batches(self.epoch, self.step * self.accumulate)
            while step := list(islice(batches, self.accumulate)):
                self._train_step(step)
                if on_step is not None:
                    on_step(self)
                if self._stop_was_called():
                    self.save()
                    return False
            self._end_epoch()
            self.save()
            if on_epoch is not None:
                on_epoch(self)
            if self._stop_was_called():
                break
        return self.epoch == self.epochs

    def _stop_was_called(self) -> bool:
        called, self._stopping = self._stopping, False
        return called

    def _train_step(self, batches: list[tuple[Array, Array]]) -> None:
        items, sums, carry = sum(len(target) for _, target in batches), dict[str, float](), self._carry
        self.optimizer.zero_grad()
        for x, target in batches:
            loss, measured, carry = self.task.step(self.model, Tensor(x), Tensor(target), carry)
            value = loss.item()
            if not math.isfinite(value):
                raise FloatingPointError(
                    f"the loss is {value} in epoch {self.epoch + 1}, step {self.step + 1}: training has diverged; "
                    "a smaller learning rate may help"
                )
            loss.backward(np.full(loss.shape, len(target) / items))  # its share of the mean over all items of the step
            _add(sums, {"loss": value * len(target), **measured})
        if self.clip_value is not None:
            clip_grad_value_(self.model.parameters(), self.clip_value)
        if self.clip_norm is not None:
            clip_grad_norm_(self.model.parameters(), self.clip_norm)
        self.optimizer.step()
        if self.scheduler is not None and not isinstance(self.scheduler, ReduceLROnPlateau):
            self.scheduler.step()
        if self.averaged is not None:
            self.averaged.update_parameters(self.model)
        self.step += 1
        self.items += items
        self._carry = carry
        _add(self._sums, sums)

    def _end_epoch(self) -> None:
        record = self.metrics
        if self.test is not None:
            test = evaluate(self.result, self.test, self.test_batch_size, self.task)
            record |= {f"test_{name}": value for name, value in test.items()}
        if isinstance(self.scheduler, ReduceLROnPlateau):
            self.scheduler.step(record["loss"])
        self.history.append(record)
        self.epoch += 1
        self.step, self.items, self._sums, self._carry = 0, 0, {}, ()

    # ---- checkpoints ------------------------------------------------------------------------------------------

    def save(self, path: str | os.PathLike[str] | None = None) -> None:
        """Writes a checkpoint to `path`, or to the trainer's own; does nothing where there is neither.

        `model.*` is what `result` holds; where that is an average, `trained.*` is what it is an average of. A kill at
        any moment leaves the old file or the new one, whole.
        """
        path = self.checkpoint if path is None else path
        if path is None:
            return
        optimizer = self.optimizer.state_dict()
        arrays = {f"model.{name}": value for name, value in self.result.state_dict().items()}
        if self.averaged is not None:
            arrays |= {f"trained.{name}": value for name, value in self.model.state_dict().items()}
        arrays |= {f"carry.{i}": value for i, value in enumerate(self._carry)}
        numbers: dict[str, dict[str, Any]] = {}
        for index, entries in optimizer["state"].items():
            for name, value in entries.items():
                if isinstance(value, (np.ndarray, Tensor)):
                    arrays[f"optimizer.{index}.{name}"] = value.data if isinstance(value, Tensor) else value
                else:
                    numbers.setdefault(str(index), {})[name] = value
        state = {
            "identity": self._identity(),
            "progress": {
                "epoch": self.epoch,
                "step": self.step,
                "items": self.items,
                "averaged": 0 if self.averaged is None else int(self.averaged.n_averaged),
                "sums": self._sums,
                "history": self.history,
            },
            "optimizer": {"param_groups": optimizer["param_groups"], "state": numbers},
            "scheduler": None if self.scheduler is None else self.scheduler.state_dict(),
            "rng": random.get_rng_state(),
        }
        metadata = {"format": _FORMAT, "config": self.config, "trainer": state}
        # In sorted order: a resumed run's dicts may have another one, and its file must be the same to the byte.
        metadata = json.loads(json.dumps(metadata, sort_keys=True))
        serialization.save(arrays, path, metadata=metadata)

    def resume(self, path: str | os.PathLike[str]) -> None:
        """Takes over the state of the run that wrote the checkpoint: `fit` goes on from there.

        The trainer must have been made in the same way: the same model, data, batches, epochs and config.

        Raises:
            OSError: the file cannot be read.
            ValueError: it is no checkpoint, or one of another run; the message says what differs.
        """
        arrays, metadata = read_checkpoint(path)
        try:
            state = metadata["trainer"]
            saved, own = state["identity"], self._identity()
            different = [key for key in own if own[key] != saved[key]]
            optimizer = {"param_groups": state["optimizer"]["param_groups"], "state": {}}
            for index, numbers in state["optimizer"]["state"].items():
                optimizer["state"].setdefault(int(index), {}).update(numbers)
            for key, value in _with_prefix("optimizer", arrays).items():
                index, _, name = key.partition(".")
                optimizer["state"].setdefault(int(index), {})[name] = value
            progress = state["progress"]
            epoch, step, items, count = (int(progress[name]) for name in ("epoch", "step", "items", "averaged"))
            sums, history = dict(progress["sums"]), list(progress["history"])
            carry = tuple(value for _, value in sorted(_with_prefix("carry", arrays).items()))
            scheduler, rng = state["scheduler"], state["rng"]
        except (KeyError, TypeError, ValueError, AttributeError) as error:
            raise ValueError(f"resume: {os.fspath(path)}: the checkpoint is incomplete: {error!r}") from error
        if different:
            lines = [f"{key} was {_short(saved[key])} and is {_short(own[key])}" for key in different]
            raise ValueError(f"resume: {os.fspath(path)} belongs to another run: " + "; ".join(lines))
        try:
            self.result.load_state_dict(_with_prefix("model", arrays))
            if self.averaged is not None:
                self.model.load_state_dict(_with_prefix("trained", arrays))
                self.averaged.n_averaged.fill_(count)
        except RuntimeError as error:
            raise ValueError(f"resume: {os.fspath(path)} holds another model: {error}") from error
        self.optimizer.load_state_dict(optimizer)
        if self.scheduler is not None:
            self.scheduler.load_state_dict(scheduler)
        random.set_rng_state(rng)
        self.epoch, self.step, self.items, self.history = epoch, step, items, history
        self._sums, self._carry = sums, carry

    def _identity(self) -> dict[str, Any]:
        """What must be the same in the run that wrote a checkpoint and in the run that goes on from it."""
        loader = self.loader
        return {
            "config": self.config,
            "data": _describe(loader.dataset),
            "test data": None if self.test is None else _describe(self.test),
            "batch size": loader.batch_size,
            "shuffle": loader.shuffle,
            "drop_last": loader.drop_last,
            "seed": loader.seed,
            "transform": getattr(loader.transform, "__qualname__", repr(loader.transform)),
            "epochs": self.epochs,
            "task": type(self.task).__name__,
            "accumulate": self.accumulate,
            "clip value": self.clip_value,
            "clip norm": self.clip_norm,
            "EMA decay": self.ema_decay,
            "optimizer": type(self.optimizer).__name__,
            "scheduler": None if self.scheduler is None else type(self.scheduler).__name__,
        }


def evaluate(
    model: nn.Module, dataset: Dataset[Any], batch_size: int = 1000, task: Task | None = None
) -> dict[str, float]:
    """Loss and other metrics over a data set, in evaluation mode and without gradients.

    Args:
        model: what the task takes: for `Classification`, it maps images (N, ...) to scores (N, classes).
        dataset: items `(x, target)`.
        batch_size: items at a time.
        task: the loss and what else is measured (see `fastnn.tasks`); `Classification()` where None.

    Returns:
        By name the means over the items: `loss`, and `accuracy` or what the task measures.

    Raises:
        ValueError: the data set is empty.
    """
    if not len(dataset):
        raise ValueError("evaluate: dataset is empty")
    task = Classification() if task is None else task
    totals: dict[str, float] = {}
    carry: Carry = ()
    training = model.training
    model.eval()
    try:
        with no_grad():
            for x, target in DataLoader(dataset, batch_size):
                loss, sums, carry = task.step(model, Tensor(x), Tensor(target), carry)
                _add(totals, {"loss": loss.item() * len(target), **sums})
    finally:
        model.train(training)
    return _metrics(task, totals, len(dataset))


def read_checkpoint(path: str | os.PathLike[str]) -> tuple[dict[str, Array], dict[str, Any]]:
    """The arrays of a checkpoint by name (`model.*`, `optimizer.*`) and its metadata (`config`, `trainer`).

    Raises:
        OSError: the file cannot be read.
        ValueError: it is damaged, or no checkpoint of `Trainer`.
    """
    metadata = serialization.load_metadata(path)
    if metadata.get("format") != _FORMAT:
        raise ValueError(f"{os.fspath(path)} is not a checkpoint that fastnn's Trainer has written")
    return serialization.load(path), metadata


@contextmanager
def stop_on_signals(stop: Callable[[], None]) -> Iterator[list[int]]:
    """Inside, the first SIGINT (Ctrl-C) or SIGTERM calls `stop`, and a second one raises KeyboardInterrupt.

    For the main thread only. Signals that the process ignores stay ignored.

    Yields:
        A list that receives the number of the signal that called `stop`.

    Example:
        with stop_on_signals(trainer.stop):
            trainer.fit()
    """
    received: list[int] = []

    def handle(number: int, frame: object) -> None:
        if received:
            raise KeyboardInterrupt
        received.append(number)
        stop()

    numbers = [n for n in (signal.SIGINT, signal.SIGTERM) if signal.getsignal(n) is not signal.SIG_IGN]
    before = {number: signal.signal(number, handle) for number in numbers}
    try:
        yield received
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def _ema(decay: float) -> MultiAverage:
    expect_numbers("Trainer", ema_decay=decay)
    if not 0 <= decay < 1:
        raise ValueError(f"Trainer: ema_decay is {decay}, expected a number of at least 0 and below 1")

    def update(averaged: list[Tensor], present: list[Tensor], n_averaged: Tensor) -> None:
        step = int(n_averaged) + 1
        get_ema_multi_avg_fn(min(decay, step / (step + 9)))(averaged, present, n_averaged)

    return update


def _add(totals: dict[str, float], sums: dict[str, float]) -> None:
    for name, value in sums.items():
        totals[name] = totals.get(name, 0) + value


def _metrics(task: Task, sums: dict[str, float], items: int) -> dict[str, float]:
    return task.metrics({name: value / items for name, value in sums.items()}) if items else {}


def _with_prefix(prefix: str, arrays: dict[str, Array]) -> dict[str, Array]:
    start = len(prefix) + 1
    return {name[start:]: value for name, value in arrays.items() if name.startswith(prefix + ".")}


def _describe(dataset: Dataset[Any]) -> dict[str, Any]:
    """A name, the number of items and, where the data set holds its arrays, a checksum of them."""
    description: dict[str, Any] = {"name": type(dataset).__name__, "items": len(dataset)}
    arrays = getattr(dataset, "arrays", None) or [getattr(dataset, name, None) for name in ("images", "labels")]
    if all(isinstance(a, np.ndarray) for a in arrays):
        checksum = 0
        for array in arrays:
            checksum = zlib.crc32(np.ascontiguousarray(array).data, checksum)
        description["crc32"] = f"{checksum:08x}"
    return description


def _short(value: Any) -> str:
    return ", ".join(f"{k} {_short(v)}" for k, v in sorted(value.items())) if isinstance(value, dict) else str(value)
