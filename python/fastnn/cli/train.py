"""`fastnn train`."""

from __future__ import annotations

import argparse
import math
import os
import shlex
import sys
import tempfile
from typing import Any

import fastnn

from .arguments import UsageError, number
from .checkpoints import read_config
from .settings import IMAGE_RUNS, NOT_FOR_IMAGES, SETTINGS, all_settings, defaults, run_of
from .steps import OPTIMIZERS, SCHEDULES, make_optimizer, make_schedule


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """What `fastnn train` takes."""
    parser.add_argument(
        "model",
        help="a model that classifies images: lenet5, cifar_resnet20, row_lstm or another one (a wrong name lists "
        "them); charlm for a language model of characters, series for forecasts of a time series, adding for the "
        "adding problem",
    )
    parser.add_argument(
        "--data",
        metavar="PATH",
        help="a folder with the files of the data set (default: for MNIST the subset inside fastnn, for CIFAR-10 "
        "$FASTNN_DATA_DIR); for charlm a text file, for series a CSV file",
    )
    positive, fraction, any_above = number(int, 1), number(float, 0, below=1), number(float, 0, above=True)
    options: dict[str, tuple[Any, str]] = {
        "loss": (
            ("cross_entropy", "hinge"),
            "of images; of a linear classifier: softmax regression, or the linear SVM",
        ),
        "epochs": (positive, "passes over the training data"),
        "batch_size": (positive, "items a batch"),
        "accumulate": (positive, "batches a step, as one large batch in less memory"),
        "optimizer": (
            tuple(OPTIMIZERS),
            "what makes the steps; one that is not the default brings its own lr, momentum and weight decay",
        ),
        "lr": (any_above, "learning rate, the highest of the run"),
        "schedule": (
            tuple(SCHEDULES),
            "what the learning rate does: " + "; ".join(f"{name} {text}" for name, text in SCHEDULES.items()),
        ),
        "warmup": (number(int, 0), "steps at the start in which the learning rate rises from nearly 0"),
        "momentum": (fraction, "momentum of sgd and rmsprop"),
        "weight_decay": (number(float, 0), "factor of the weights in their gradient; for adamw in the step itself"),
        "clip_value": (number(float, 0), "largest element of the gradients, 0 for any"),
        "clip_norm": (number(float, 0), "largest norm of the gradients, 0 for any"),
        "ema": (
            fraction,
            "share that an average of the weights keeps in each step; it is tested and saved; 0 for none",
        ),
        "seed": (number(int, 0, below=1 << 63), "for the initial weights and the order of the data"),
        "cell": (("lstm", "gru", "rnn"), "kind of the recurrent layers"),
        "embedding_dim": (positive, "size of the vectors that stand for characters"),
        "hidden_size": (positive, "units of a recurrent layer"),
        "num_layers": (positive, "recurrent layers"),
        "dropout": (fraction, "probability of dropout between recurrent layers"),
        "steps": (positive, "characters through which gradients flow back; length of the sequences of adding"),
        "items": (positive, "training sequences of adding"),
        "window": (positive, "rows of the series that a forecast sees"),
        "horizon": (positive, "rows of the series that it forecasts"),
        "season": (positive, "rows after which the seasonal naive forecast repeats the series"),
    }
    for name, (kind, text) in options.items():
        how = {"choices": kind} if isinstance(kind, tuple) else {"type": kind, "metavar": "N"}
        parser.add_argument(_flag(name), help=f"{text} (default: {defaults(name)})", **how)
    parser.add_argument(
        "--dataset",
        choices=("mnist", "cifar10"),
        help="images to train on (default: cifar10; mnist for lenet5, mlp, linear_classifier and row_*)",
    )
    parser.add_argument("--columns", metavar="A,B", help="columns of the series (default: all that hold numbers)")
    parser.add_argument("--plot", metavar="FILE", help="an image of the forecasts of series (needs Matplotlib)")
    parser.add_argument(
        "--original", action="store_true", default=None, help="lenet5 or googlenet in the form of its paper"
    )
    parser.add_argument(
        "--threads",
        type=number(int, 1, below=4097),
        metavar="N",
        help="threads; the result is the same for any number",
    )
    parser.add_argument("--out", metavar="FILE", help="the checkpoint to write (default: MODEL.safetensors)")
    parser.add_argument("--resume", metavar="FILE", help="go on from this checkpoint, writing to it (or to --out)")


def run(args: argparse.Namespace) -> int:
    """Trains a model and writes a checkpoint."""
    from .. import models, training
    from ..data import DataLoader
    from .progress import Progress, text
    from .runs import prepare

    known = [*models.list(exclude=NOT_FOR_IMAGES), *(name for name in SETTINGS if name not in IMAGE_RUNS)]
    if args.model not in known:
        near = [name for name in models.near_names(args.model) if name in known]
        hint = f" (did you mean {' or '.join(near)}?)" if near else ""
        raise UsageError(f"there is no model '{args.model}'{hint}; expected one of {', '.join(known)}")
    kind, settings, out = _settings(args)
    _check_writable(out)
    if args.threads:
        fastnn.set_num_threads(args.threads)
    fastnn.manual_seed(settings["seed"])
    run = prepare(args.model, settings, args.data, args.plot)
    loader = DataLoader(
        run.train, settings["batch_size"], shuffle=run.shuffle, seed=settings["seed"], transform=run.transform
    )
    optimizer = make_optimizer(settings, run.model.parameters())
    steps = settings["epochs"] * math.ceil(len(loader) / settings["accumulate"])
    trainer = training.Trainer(
        run.model,
        optimizer,
        loader,
        settings["epochs"],
        task=run.task,
        scheduler=make_schedule(settings, optimizer, steps),
        accumulate=settings["accumulate"],
        clip_value=settings["clip_value"] or None,
        clip_norm=settings["clip_norm"] or None,
        ema_decay=settings["ema"] or None,
        test=run.test,
        test_batch_size=run.test_batch_size,
        checkpoint=out,
        config={
            "run": kind,
            "model": {"name": args.model, "arguments": run.arguments},
            "settings": settings,
            **run.contents,
        },
    )
    if args.resume is not None:
        trainer.resume(args.resume)

    parameters, threads = sum(p.numel() for p in run.model.parameters()), fastnn.get_num_threads()
    print(
        f"{type(run.model).__name__}: {parameters:,} parameters; {run.data}: {len(run.train):,} training and "
        f"{len(run.test):,} test {run.items}; {threads} thread{'s' if threads > 1 else ''}, {fastnn.ops.isa()}",
        flush=True,
    )
    progress = Progress(trainer, run.items)
    with training.stop_on_signals(trainer.stop) as received:
        try:
            finished = trainer.fit(progress.on_step, progress.on_epoch)
        except KeyboardInterrupt:
            progress.close()
            print("Stopped at once: what was done since the last checkpoint is lost.", file=sys.stderr)
            return 128 + received[0]
        finally:
            progress.close()
    if not finished:
        data = ["--data", args.data] if args.data else []
        again = shlex.join(["fastnn", "train", args.model, *data, "--resume", out])
        print(f"Stopped. Go on with: {again}", file=sys.stderr)
        return 128 + received[0]
    result = {name: value for name, value in trainer.history[-1].items() if name.startswith("test_")}
    print("\n".join([f"{text(result)}; checkpoint {out}", *run.report(trainer)]))
    return 0


def _flag(name: str) -> str:
    return "--" + name.replace("_", "-")


def _settings(args: argparse.Namespace) -> tuple[str, dict[str, Any], str]:
    """The run and its settings, from the command line or the checkpoint that it goes on from, and where it writes."""
    given = {name: getattr(args, name) for name in all_settings() if getattr(args, name) is not None}
    if args.resume is None:
        kind = run_of(args.model, args.dataset)
        settings, source = dict(SETTINGS[kind]), None
        if given.get("optimizer", settings["optimizer"]) != settings["optimizer"]:
            settings |= OPTIMIZERS[given["optimizer"]][1]
        settings |= given
    else:
        config = read_config(args.resume, SETTINGS)[1]
        if args.model != config["model"]["name"]:
            raise UsageError(f"{args.resume} holds the model {config['model']['name']}, not {args.model}")
        kind, settings, source = config["run"], config["settings"], args.resume
    for name, value in given.items():
        if name not in SETTINGS[kind]:
            raise UsageError(f"{_flag(name)}: {args.model} has no such setting")
        if source is not None and value != settings[name]:
            raise UsageError(
                f"{_flag(name)} {value}: {source} was trained with {settings[name]}, "
                "and a resumed run keeps its settings"
            )
    return kind, settings, args.out or source or f"{args.model}.safetensors"


def _check_writable(path: str) -> None:
    """Finds out before hours of training whether the checkpoint can be written after them."""
    if os.path.isdir(path):
        raise IsADirectoryError(f"--out {path} is a directory; expected a file")
    folder = os.path.dirname(os.path.realpath(path))
    try:
        with tempfile.TemporaryFile(dir=folder):
            pass
    except OSError as error:
        raise OSError(f"--out {path} cannot be written: {error.strerror}: {folder}") from error
