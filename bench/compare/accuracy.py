"""ResNet-20 trained on CIFAR-10 in fastnn and in PyTorch: the same initial weights, batches and recipe.

Each run is a process of its own; the two libraries take turns. Prints the accuracy on the test images and the time of
training and testing. PyTorch runs eagerly, in the memory layout that is faster in a trial. Run
`python -m bench.compare.accuracy --help` from the root of the repository.
"""

from __future__ import annotations

import argparse
import importlib
import json
import os
import sys
import tempfile
import time
from concurrent.futures import ProcessPoolExecutor
from dataclasses import asdict, dataclass
from multiprocessing import get_context
from pathlib import Path
from typing import Any

import numpy as np

import fastnn
from fastnn import models
from fastnn.data import DataLoader, Subset
from fastnn.datasets import CIFAR10

MODEL = "cifar_resnet20"
BATCH_SIZE, LR, MOMENTUM, WEIGHT_DECAY = 128, 0.1, 0.9, 1e-4  # the learning rate falls to 0 along a cosine
MOST_POINTS, LEAST_RATIO = 1.0, 2.0  # wanted: the difference of the mean accuracies, PyTorch's time / fastnn's


@dataclass(frozen=True)
class Task:
    """What a process trains.

    Attributes:
        library: fastnn or torch.
        layout: one of the library's memory layouts.
        threads: threads of the library.
        seed: of the initial weights, the order and the augmentation of the images.
        epochs: passes over the training images.
        limit: how many training images, and as many test images, are used; None for all.
        steps: stop after so many steps and test nothing; None for all.
        data: a folder with CIFAR-10's binary files.
    """

    library: str
    layout: str
    threads: int
    seed: int
    epochs: int
    limit: int | None
    steps: int | None
    data: str


@dataclass(frozen=True)
class Outcome:
    """Share of the test images that are classified correctly, and seconds."""

    accuracy: float
    seconds: float


def train(task: Task) -> Outcome:
    """Trains and tests one model in this process."""
    lib = importlib.import_module(f".with_{task.library}", __package__)
    lib.setup(task.threads)
    fastnn.manual_seed(task.seed)
    weights = models.get(MODEL).state_dict()
    model = lib.model(MODEL)
    lib.load(model, weights)
    layout = lib.LAYOUTS[task.layout]
    if task.library == "torch":
        model = layout(model)
    images, test = (_part(CIFAR10(task.data, part), task.limit) for part in (True, False))
    loader = DataLoader(images, BATCH_SIZE, shuffle=True, seed=task.seed, transform=CIFAR10.augment)

    criterion = lib.api.nn.CrossEntropyLoss()
    options = list(lib.OPTIMIZER_ARGUMENTS.values())[-1]
    optimizer = lib.api.optim.SGD(model.parameters(), LR, momentum=MOMENTUM, weight_decay=WEIGHT_DECAY, **options)
    scheduler = lib.api.optim.lr_scheduler.CosineAnnealingLR(optimizer, task.epochs * len(loader))

    start = time.perf_counter()
    done = 0
    for epoch in range(task.epochs):
        for x, labels in loader.batches(epoch):
            optimizer.zero_grad()
            criterion(model(layout(lib.tensor(x))), lib.tensor(labels)).backward()
            optimizer.step()
            scheduler.step()
            done += 1
            if done == task.steps:
                return Outcome(float("nan"), time.perf_counter() - start)
    model.eval()
    correct = 0
    with lib.api.no_grad():
        for x, labels in DataLoader(test, 1000):
            correct += np.count_nonzero(lib.numpy(model(layout(lib.tensor(x)))).argmax(1) == labels)
    return Outcome(correct / len(test), time.perf_counter() - start)


def _part(dataset: Any, limit: int | None) -> Any:
    n = len(dataset)
    return dataset if limit is None else Subset(dataset, np.linspace(0, n - 1, min(n, limit)).astype(int))


def in_a_process(task: Task) -> Outcome:
    """`train` in a fresh process."""
    with ProcessPoolExecutor(1, get_context("spawn")) as pool:
        return pool.submit(train, task).result()


def _write_binary(source: Path, folder: Path) -> None:
    """The data set as binary files, so that the processes need not decode images."""
    for train, names in ((True, [f"data_batch_{i}.bin" for i in range(1, 6)]), (False, ["test_batch.bin"])):
        data = CIFAR10(source, train)
        pixels = data.images.transpose(0, 3, 1, 2).reshape(len(data), -1)
        records = np.concatenate([data.labels[:, None].astype(np.uint8), pixels], axis=1)
        for name, part in zip(names, np.array_split(records, len(names)), strict=True):
            part.tofile(folder / name)


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser("python -m bench.compare.accuracy", description=__doc__.partition("\n")[0])
    add = parser.add_argument
    add("--data", type=Path, default=Path("../shared/data"), metavar="DIR", help="CIFAR-10's files")
    add("--threads", type=int, default=2, help="threads of each library (default: 2)")
    add("--epochs", type=int, default=3, help="passes over the training images (default: 3)")
    add("--seeds", type=int, nargs="+", default=[0, 1, 2], help="one run of each library for each (default: 0 1 2)")
    add("--limit", type=int, metavar="N", help="use N training and N test images only: a look, not a result")
    add("--json", type=Path, metavar="FILE", help="write the results as JSON")
    return parser.parse_args()


def main() -> int:
    """Runs everything; 1 if fastnn is not as accurate and as fast as wanted, 2 if something is missing."""
    arguments = _arguments()
    for variable in ("OMP_NUM_THREADS", "MKL_NUM_THREADS"):
        os.environ[variable] = str(arguments.threads)
    with tempfile.TemporaryDirectory() as folder:
        try:
            _write_binary(arguments.data, Path(folder))
        except (FileNotFoundError, ImportError) as error:
            print(error, file=sys.stderr)
            return 2

        def run(library: str, layout: str, seed: int, steps: int | None = None) -> Outcome:
            common = (arguments.threads, seed, arguments.epochs, arguments.limit, steps, folder)
            return in_a_process(Task(library, layout, *common))

        trials = {layout: run("torch", layout, 0, steps=10).seconds for layout in ("NCHW", "channels-last")}
        layouts = {"fastnn": "", "torch": min(trials, key=lambda layout: trials[layout])}
        print(f"{'seed':<6}{'library':<24}{'test accuracy':>14}{'seconds':>10}", flush=True)
        results: dict[str, list[Outcome]] = {library: [] for library in layouts}
        for seed in arguments.seeds:
            for library, layout in layouts.items():
                outcome = run(library, layout, seed)
                results[library].append(outcome)
                name = f"{library} {layout}".strip()
                print(f"{seed:<6}{name:<24}{outcome.accuracy:>14.2%}{outcome.seconds:>10.1f}", flush=True)

    accuracy = {library: float(np.mean([o.accuracy for o in found])) for library, found in results.items()}
    seconds = {library: sum(o.seconds for o in found) for library, found in results.items()}
    points, ratio = 100 * (accuracy["fastnn"] - accuracy["torch"]), seconds["torch"] / seconds["fastnn"]
    print(
        f"mean accuracy: fastnn {accuracy['fastnn']:.2%}, PyTorch {accuracy['torch']:.2%}, difference {points:+.2f} "
        f"points (wanted: within {MOST_POINTS:g}); PyTorch / fastnn time: {ratio:.2f} (wanted: {LEAST_RATIO:g})"
    )
    if arguments.json:
        runs = {library: [asdict(o) for o in found] for library, found in results.items()}
        report = {"seeds": arguments.seeds, "epochs": arguments.epochs, "limit": arguments.limit, "layouts": layouts}
        arguments.json.write_text(
            json.dumps(report | {"runs": runs, "points": points, "ratio": ratio}, indent=2) + "\n"
        )
    return 0 if arguments.limit or (abs(points) <= MOST_POINTS and ratio >= LEAST_RATIO) else 1


if __name__ == "__main__":
    sys.exit(main())
