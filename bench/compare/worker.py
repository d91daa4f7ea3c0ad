"""The process that runs one library: it builds the work it is told to, shows what it computes, and times it."""

from __future__ import annotations

import importlib
import signal
import time
from multiprocessing import get_context
from multiprocessing.connection import Connection
from types import ModuleType
from typing import Any, NamedTuple

import numpy as np

from . import layers, training
from .inputs import Run, Ways

SAMPLES = 4096


class Unsupported(Exception):
    """The library lacks what the case needs."""


class Sample(NamedTuple):
    """What is sent of an array: enough to tell whether two processes computed the same."""

    shape: tuple[int, ...]
    values: Any  # some elements, the same ones for the same shape
    sum: float
    sum_of_magnitudes: float


class Worker:
    """A library in a process of its own, seen from the process that compares."""

    def __init__(self, library: str, threads: int) -> None:
        self.library = library
        self._threads = threads
        self._start()

    def _start(self) -> None:
        context = get_context("spawn")
        self._pipe, theirs = context.Pipe()
        self._process = context.Process(target=_serve, args=(theirs, self.library, self._threads), daemon=True)
        self._process.start()
        theirs.close()
        self.version: str = self._receive()

    def call(self, command: str, *args: Any) -> Any:
        """Runs one command of `_Server` there; returns when that process is idle again."""
        self._pipe.send((command, args))
        return self._receive()

    def _receive(self) -> Any:
        try:
            kind, value = self._pipe.recv()
        except EOFError:
            self._process.join()
            code = self._process.exitcode
            if hasattr(self, "version"):  # it had started well
                self._start()
            raise RuntimeError(f"the process of {self.library} died (exit code {code})") from None
        if kind == "unsupported":
            raise Unsupported(value)
        if kind == "error":
            raise RuntimeError(f"{self.library}: {value}")
        return value

    def close(self) -> None:
        """Ends the process."""
        self._pipe.close()
        self._process.join()


class _Server:
    def __init__(self, library: str, threads: int) -> None:
        self.lib: ModuleType = importlib.import_module(f".with_{library}", __package__)
        self.version: str = self.lib.setup(threads)
        self.ways: Ways = {}

    def build(self, op: str, args: tuple[Any, ...]) -> dict[str, list[Sample]]:
        """Prepares a case and runs it once in each way; returns samples of the results."""
        self.release()
        if hasattr(self.lib, op):
            ways = getattr(self.lib, op)(*args)
        else:
            ways = getattr(layers if hasattr(layers, op) else training, op)(self.lib, *args)
        samples = {}
        for name, run in ways.items():
            results = getattr(run, "check", run)()
            if hasattr(run, "check"):
                run()  # a compiler may have to compile again for it
            results = results if isinstance(results, tuple) else (results,)
            samples[name] = [_sample(np.atleast_1d(self.lib.numpy(r))) for r in results]
        self.ways = ways
        return samples

    def costs(self) -> tuple[tuple[float, float], ...]:
        """Operations and bytes of a training step of fastnn, call by call; nothing for other cases."""
        return next((self.lib.count(run) for run in self.ways.values() if hasattr(run, "check")), ())

    def time(self, ways: list[str], seconds: float) -> dict[str, float]:
        """The best time of each of these ways, over about so many seconds each."""
        return {name: _best_seconds(self.ways[name], seconds) for name in ways}

    def release(self) -> None:
        """Forgets the case and its arrays."""
        self.ways = {}
        self.lib.release()

    def training(self, function: str, args: tuple[Any, ...]) -> Any:
        """Calls a function of training.py that measures memory."""
        return getattr(training, function)(self.lib, *args)


def _serve(pipe: Connection, library: str, threads: int) -> None:
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C ends the other process, and the pipe with it
    try:
        server = _Server(library, threads)
    except Exception as error:
        pipe.send(("error", f"{type(error).__name__}: {error}"))
        return
    pipe.send(("ok", server.version))
    while True:
        try:
            command, args = pipe.recv()
        except EOFError:
            return
        try:
            answer = ("ok", getattr(server, command)(*args))
        except NotImplementedError as error:
            answer = ("unsupported", str(error))
        except FileNotFoundError as error:
            answer = ("unsupported", f"{error.filename} is not there")
        except AttributeError as error:
            kind = "unsupported" if isinstance(error.obj, ModuleType) else "error"
            answer = (kind, str(error))
        except Exception as error:
            answer = ("error", f"{type(error).__name__}: {error}")
        _wait_until_idle()
        pipe.send(answer)


def _wait_until_idle() -> None:
    """OpenMP's threads spin for some milliseconds after their work: the other library must not run meanwhile."""
    for _ in range(500):
        used = time.process_time()
        time.sleep(0.01)
        if time.process_time() - used < 0.001:
            return
    raise RuntimeError("the threads of this process do not come to rest")


def _best_seconds(run: Run, seconds: float) -> float:
    """The best time of one call; of short ones the best mean over some milliseconds' worth of calls."""
    clock = time.perf_counter
    start = clock()
    run()
    best = clock() - start
    while clock() - start < seconds:
        calls = range(max(1, int(2e-3 / best)))
        before = clock()
        for _ in calls:
            run()
        best = min(best, (clock() - before) / len(calls))
    return best


def _sample(array: Any) -> Sample:
    size = array.size
    where = np.arange(size) if size <= SAMPLES else np.random.default_rng(0).integers(0, size, SAMPLES)
    values = array[np.unravel_index(where, array.shape)].astype(np.float64)
    return Sample(array.shape, values, float(array.sum(dtype=np.float64)), float(np.abs(array).sum(dtype=np.float64)))
