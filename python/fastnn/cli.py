"""The command line: `fastnn info`, `fastnn train`, `fastnn predict`."""

from __future__ import annotations

import argparse
import json
import math
import os
import shlex
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

import fastnn

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from .training import Trainer

_EPILOG = """exit codes:
  0    done
  1    a file could not be read or written, training has diverged, or memory does not suffice
  2    the command line or an environment variable is wrong
  130  stopped by Ctrl-C (143: by SIGTERM); training has written a checkpoint to go on from
"""

# What `train` does unless told otherwise, by data set. A resumed run takes all of them from its checkpoint.
_SETTINGS: dict[str, dict[str, Any]] = {
    "mnist": {
        "dataset": "mnist",
        "original": False,
        "epochs": 15,
        "batch_size": 64,
        "lr": 0.05,
        "momentum": 0.9,
        "weight_decay": 0.0,
        "seed": 0,
    },
    "cifar10": {
        "dataset": "cifar10",
        "original": False,
        "epochs": 30,
        "batch_size": 128,
        "lr": 0.1,
        "momentum": 0.9,
        "weight_decay": 1e-4,
        "seed": 0,
    },
}


def main(argv: Sequence[str] | None = None) -> int:
    """Runs one command and returns its exit code."""
    parser = _parser()
    args = parser.parse_args(argv)
    try:
        code: int = args.run(args)
        sys.stdout.flush()
        return code
    except KeyboardInterrupt:
        return 130
    except BrokenPipeError:  # the reader of our output has gone; Python must not try to flush it again
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 1
    except _UsageError as error:
        return _complain(args.command, error, 2)
    except (OSError, ValueError, FloatingPointError, ImportError) as error:
        return _complain(args.command, error, 1)
    except MemoryError:
        return _complain(args.command, MemoryError("out of memory"), 1)


class _UsageError(Exception):
    pass


def _complain(command: str, error: Exception, code: int) -> int:
    if isinstance(error, OSError) and error.strerror and error.filename:
        text = f"{error.filename}: {error.strerror}"
    else:
        text = str(error)
    print(f"fastnn {command}: error: {text}", file=sys.stderr)
    return code


# ---- arguments ------------------------------------------------------------------------------------------------


def _parser() -> argparse.ArgumentParser:
    raw = argparse.RawDescriptionHelpFormatter
    parser = argparse.ArgumentParser(
        prog="fastnn", description="Neural networks at hardware speed.", epilog=_EPILOG, formatter_class=raw
    )
    parser.add_argument("--version", action="version", version=f"fastnn {fastnn.__version__}")
    commands = parser.add_subparsers(dest="command", metavar="COMMAND", required=True)

    def command(name: str, run: Callable[[argparse.Namespace], int], text: str) -> argparse.ArgumentParser:
        sub = commands.add_parser(name, help=text, description=text, epilog=_EPILOG, formatter_class=raw)
        sub.set_defaults(run=run)
        return sub

    info = command("info", _info, "Print what this build and this process run on.")
    info.add_argument("--json", action="store_true", help="print one JSON object")

    train = command("train", _train, "Train a model on MNIST or CIFAR-10 and write a checkpoint.")
    train.add_argument("model", help="the model: lenet5, cifar_resnet20 or another one (a wrong name lists them)")
    train.add_argument("--original", action="store_true", default=None, help="lenet5 in the form of the 1998 paper")
    train.add_argument(
        "--dataset", choices=list(_SETTINGS), help="what to train on (default: mnist for lenet5, cifar10 for others)"
    )
    train.add_argument(
        "--data",
        metavar="DIR",
        help="a folder with the files of the data set (default: for MNIST the subset inside fastnn, for CIFAR-10 "
        "$FASTNN_DATA_DIR)",
    )
    positive, fraction = _number(int, 1), _number(float, 0, below=1)
    for name, kind, text in (
        ("epochs", positive, "passes over the training images"),
        ("batch_size", positive, "images a step"),
        ("lr", _number(float, 0, above=True), "learning rate at the start; it falls to 0 along a cosine"),
        ("momentum", fraction, "momentum of SGD"),
        ("weight_decay", _number(float, 0), "factor of the weights in their gradient"),
        ("seed", _number(int, 0, below=1 << 63), "for the initial weights and the order of the images"),
    ):
        flag = "--" + name.replace("_", "-")
        mnist, cifar10 = (settings[name] for settings in _SETTINGS.values())
        default = f"{mnist}" if mnist == cifar10 else f"{mnist}; {cifar10} on CIFAR-10"
        train.add_argument(flag, type=kind, metavar="N", help=f"{text} (default: {default})")
    train.add_argument(
        "--threads",
        type=_number(int, 1, below=4097),
        metavar="N",
        help="threads; the result is the same for any number",
    )
    train.add_argument("--out", metavar="FILE", help="the checkpoint to write (default: MODEL.safetensors)")
    train.add_argument("--resume", metavar="FILE", help="go on from this checkpoint, writing to it (or to --out)")

    predict = command("predict", _predict, "Classify images with a trained model.")
    predict.add_argument("checkpoint", help="a checkpoint that `fastnn train` has written")
    predict.add_argument("images", nargs="+", metavar="IMAGE", help="an image file or an idx file of images")
    predict.add_argument("--json", action="store_true", help="print a JSON array with one object for each image")
    predict.add_argument(
        "--top", type=positive, default=1, metavar="K", help="print the K likeliest classes (default: 1)"
    )
    predict.add_argument("--invert", action="store_true", help="the images are dark on light (MNIST is light on dark)")
    return parser


def _number(kind: type, low: float, *, above: bool = False, below: float = math.inf) -> Callable[[str], Any]:
    """An argument's type: a number that is at least (or with `above` more than) `low` and less than `below`."""
    words = "an integer" if kind is int else "a number"
    words += f" above {low}" if above else f" of at least {low}"
    words += "" if below == math.inf else f" and below {below}"

    def parse(text: str) -> Any:
        try:
            value = kind(text)
        except ValueError:
            value = math.nan
        if not low <= value < below or (above and value == low):
            raise argparse.ArgumentTypeError(f"'{text}' is not {words}")
        return value

    return parse


# ---- info -----------------------------------------------------------------------------------------------------


def _info(args: argparse.Namespace) -> int:
    import platform

    import numpy as np

    info = fastnn.ops.info()
    info |= {"python": platform.python_version(), "numpy": np.__version__, "processor": _processor()}
    if args.json:
        print(json.dumps(info, indent=2))
        return 0
    reasons = {"processor": "the best that this processor has", "FASTNN_ISA": "FASTNN_ISA"}
    quota = info["cpus_cgroup_quota"]
    rows = {
        "fastnn": info["version"],
        "instruction set": f"{info['isa']} ({reasons.get(info['isa_from'], info['isa_from'])}); "
        f"detected {info['isa_detected']}, available {', '.join(info['isas'])}",
        "threads": f"{info['threads']} (from {info['threads_from']}); CPUs by affinity {info['cpus_affinity']}, "
        f"by cgroup quota {'unlimited' if quota is None else f'{quota:g}'}",
        "OpenMP": info["openmp"],
        "allocator": info["allocator"],
        "compiler": info["compiler"] + (f", sanitizers {info['sanitizers']}" if info["sanitizers"] else ""),
        "CUDA": "yes" if info["cuda"] else "no",
        "processor": info["processor"],
        "Python": info["python"],
        "NumPy": info["numpy"],
    }
    for name, value in rows.items():
        print(f"{name:<16} {value}")
    return 0


def _processor() -> str:
    import platform

    try:
        with open("/proc/cpuinfo") as file:
            for line in file:
                if line.startswith("model name"):
                    return line.partition(":")[2].strip()
    except OSError:
        pass
    return platform.processor() or platform.machine()


# ---- train ----------------------------------------------------------------------------------------------------


def _train(args: argparse.Namespace) -> int:
    import numpy as np

    from . import models, optim, training
    from .data import DataLoader

    if args.model not in models.names():
        raise _UsageError(f"there is no model '{args.model}'; expected one of {', '.join(models.names())}")
    settings, out = _settings(args)
    _check_writable(out)
    if args.threads:
        fastnn.set_num_threads(args.threads)
    train, test = (_dataset(settings["dataset"], args.data, part) for part in (True, False))

    fastnn.manual_seed(settings["seed"])
    arguments = {"num_classes": len(train.classes)}
    if settings["original"]:
        if args.model != "lenet5":
            raise _UsageError(f"--original: {args.model} has one form only")
        arguments["original"] = True
    model = models.create(args.model, **arguments)
    _check_fit(args.model, model, train, settings["dataset"])
    loader = DataLoader(
        train,
        settings["batch_size"],
        shuffle=True,
        seed=settings["seed"],
        transform=getattr(train, "augment", None),
    )
    optimizer = optim.SGD(
        model.parameters(), settings["lr"], momentum=settings["momentum"], weight_decay=settings["weight_decay"]
    )
    trainer = training.Trainer(
        model,
        optimizer,
        loader,
        settings["epochs"],
        scheduler=optim.lr_scheduler.CosineAnnealingLR(optimizer, settings["epochs"] * len(loader)),
        test=test,
        checkpoint=out,
        config={
            "model": {"name": args.model, "arguments": arguments},
            "input": {
                "size": list(train.images.shape[1:3]),
                "mean": np.array(train.mean).tolist(),
                "std": np.array(train.std).tolist(),
            },
            "classes": list(train.classes),
            "settings": settings,
        },
    )
    if args.resume is not None:
        trainer.resume(args.resume)

    parameters, threads = sum(p.numel() for p in model.parameters()), fastnn.get_num_threads()
    print(
        f"{type(model).__name__}: {parameters:,} parameters; {type(train).__name__}: {len(train):,} training and "
        f"{len(test):,} test images; {threads} thread{'s' if threads > 1 else ''}, {fastnn.ops.isa()}",
        flush=True,
    )
    progress = _Progress(trainer)
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
    print(f"test accuracy {trainer.history[-1]['test_accuracy']:.2%}; checkpoint {out}")
    return 0


def _dataset(name: str, folder: str | None, train: bool) -> Any:
    from .datasets import CIFAR10, MNIST, MNISTSubset

    if name == "cifar10":
        return CIFAR10(folder, train)
    return MNISTSubset(train) if folder is None else MNIST(folder, train)


def _check_fit(name: str, model: Any, dataset: Any, dataset_name: str) -> None:
    """Finds out before training whether the model takes the images."""
    image = fastnn.as_tensor(dataset[0][0][None])
    try:
        with fastnn.no_grad():
            model.eval()(image)
    except ValueError as error:
        channels, height, width = image.shape[1:]
        raise _UsageError(
            f"{name} does not take the images of {dataset_name}, {channels}x{height}x{width}: {error}"
        ) from error


def _settings(args: argparse.Namespace) -> tuple[dict[str, Any], str]:
    """The settings of the run, from the command line or the checkpoint that it goes on from, and where it writes."""
    given = {name: getattr(args, name) for name in _SETTINGS["mnist"] if getattr(args, name) is not None}
    if args.resume is None:
        dataset = args.dataset or ("mnist" if args.model == "lenet5" else "cifar10")
        return _SETTINGS[dataset] | given, args.out or f"{args.model}.safetensors"
    config = _read_config(args.resume)[1]
    if args.model != config["model"]["name"]:
        raise _UsageError(f"{args.resume} holds the model {config['model']['name']}, not {args.model}")
    settings = config["settings"]
    for name, value in given.items():
        if value != settings[name]:
            raise _UsageError(
                f"--{name.replace('_', '-')} {value}: {args.resume} was trained with {settings[name]}, "
                "and a resumed run keeps its settings"
            )
    return settings, args.out or args.resume


def _read_config(path: str) -> tuple[dict[str, NDArray[Any]], dict[str, Any]]:
    """The arrays and the config of a checkpoint that `fastnn train` has written."""
    from .training import read_checkpoint

    arrays, metadata = read_checkpoint(path)
    config = metadata.get("config")
    wanted = {"model": {"name", "arguments"}, "input": {"size", "mean", "std"}, "settings": {*_SETTINGS["mnist"]}}
    if not (
        isinstance(config, dict)
        and isinstance(config.get("classes"), list)
        and all(isinstance(config.get(key), dict) and names <= set(config[key]) for key, names in wanted.items())
    ):
        raise ValueError(f"{path} is not a checkpoint that `fastnn train` has written")
    return arrays, config


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


class _Progress:
    """Shows how training goes: a bar on a terminal, and one line for each epoch anywhere."""

    def __init__(self, trainer: Trainer) -> None:
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
                unit=" images",
                dynamic_ncols=True,
                leave=False,
                colour=None if os.environ.get("NO_COLOR") else "green",
                bar_format="{desc} {percentage:3.0f}%|{bar}| {rate_noinv_fmt}, {remaining} left{postfix}",
            )

    def on_step(self, trainer: Trainer) -> None:
        done = trainer.epoch * self._per_epoch + trainer.items
        if self._bar is not None:
            loss, accuracy = trainer.metrics
            self._bar.set_description_str(f"epoch {trainer.epoch + 1}/{trainer.epochs}", refresh=False)
            self._bar.set_postfix_str(f"loss {loss:.4f}, accuracy {accuracy:.2%}", refresh=False)
            self._bar.update(done - self._done)
        self._done = done

    def on_epoch(self, trainer: Trainer) -> None:
        now = time.perf_counter()
        rate = (self._done - self._start_of_epoch) / (now - self._since)
        self._seconds += now - self._since
        left = (self._total - self._done) * self._seconds / max(1, self._done - self._first)
        self._since, self._start_of_epoch = now, self._done
        result = trainer.history[-1]
        line = (
            f"epoch {trainer.epoch}/{trainer.epochs}: loss {result['loss']:.4f}, accuracy {result['accuracy']:.2%}, "
            f"test accuracy {result['test_accuracy']:.2%}, {rate:,.0f} images/s, "
            f"{left // 60:.0f}:{left % 60:02.0f} left"
        )
        if self._bar is not None:
            self._bar.clear()
        print(line, flush=True)
        if self._bar is not None:
            self._bar.refresh()

    def close(self) -> None:
        if self._bar is not None:
            self._bar.close()


# ---- predict --------------------------------------------------------------------------------------------------


def _predict(args: argparse.Namespace) -> int:
    import numpy as np

    from . import models
    from .functional import softmax
    from .tensor import Tensor, no_grad

    arrays, config = _read_config(args.checkpoint)
    model = models.create(config["model"]["name"], **config["model"]["arguments"])
    try:
        model.load_state_dict({name[6:]: value for name, value in arrays.items() if name.startswith("model.")})
    except RuntimeError as error:
        raise ValueError(f"{args.checkpoint}: {error}") from error
    model.eval()
    classes, scale = config["classes"], config["input"]
    mean, std = (np.reshape(np.float32(scale[key]), (-1, 1, 1)) for key in ("mean", "std"))
    if args.top > len(classes):
        raise _UsageError(f"--top {args.top}: the model has {len(classes)} classes")

    results: list[dict[str, Any]] = []
    failed = False
    for path in args.images:
        try:
            images = _read_images(path, (len(mean), *scale["size"]))
        except (OSError, ValueError) as error:
            _complain("predict", error, 1)
            failed = True
            continue
        if args.invert:
            images = 255 - images
        for start in range(0, len(images), 1000):
            x = (images[start : start + 1000] / np.float32(255) - mean) / std
            with no_grad():
                probabilities = softmax(model(Tensor(x)), 1).numpy()
            for i, row in enumerate(probabilities, start):
                best = np.argsort(-row, kind="stable")[: args.top]
                top = [{"class": classes[k], "probability": float(row[k])} for k in best]
                results.append({"path": path, "index": i, **top[0], "top": top})
                if not args.json:
                    name = path if len(images) == 1 else f"{path}[{i}]"
                    print(f"{name}:", ", ".join(f"{t['class']} {t['probability']:.4f}" for t in top))
    if args.json:
        print(json.dumps(results, indent=2))
    return 1 if failed else 0


def _read_images(path: str, shape: tuple[int, int, int]) -> NDArray[np.uint8]:
    """The images of a file, uint8 (N, C, H, W): all of an idx file (which is grey), or the one of an image file."""
    from .data import read_idx

    with open(path, "rb") as file:
        start = file.read(3)
    if start not in (b"\0\0\x08",) and start[:2] != b"\x1f\x8b":
        return _read_picture(path, shape)
    images = read_idx(path)[:, None]
    if images.dtype != "uint8" or images.shape[1:] != shape:
        expected = f"uint8 (N, {shape[1]}, {shape[2]})" if shape[0] == 1 else "an image file: the model sees colours"
        raise ValueError(f"{path} holds {images.dtype} {images[:, 0].shape}, expected images, {expected}")
    return images


def _read_picture(path: str, shape: tuple[int, int, int]) -> NDArray[np.uint8]:
    """One image file, uint8 (1, C, H, W): grey values for one channel, otherwise red, green and blue."""
    import numpy as np

    try:
        from PIL import Image, ImageOps
    except ImportError:
        raise ValueError(f"{path}: image files need Pillow: pip install 'fastnn[vision]'") from None
    try:
        with Image.open(path) as image:
            picture: Image.Image = ImageOps.exif_transpose(image)
            if picture.mode.startswith("I"):  # 16 bits, which convert("L") would clip at 255
                picture = Image.fromarray((np.asarray(picture) >> 8).astype(np.uint8))
            if picture.has_transparency_data:
                picture = picture.convert("RGBA")
                picture = Image.alpha_composite(Image.new("RGBA", picture.size, "white"), picture)
            channels, height, width = shape
            resized = picture.convert("L" if channels == 1 else "RGB").resize((width, height), Image.Resampling.LANCZOS)
            return np.asarray(resized).reshape(1, height, width, channels).transpose(0, 3, 1, 2)
    except Exception as error:  # decoders raise whatever a damaged file leads them to
        raise ValueError(f"{path} is not a readable image: {error}") from error
