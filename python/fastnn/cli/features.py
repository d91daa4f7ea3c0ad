"""`fastnn features`."""

from __future__ import annotations

import argparse
import json
import time
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import fastnn

from .arguments import UsageError, number

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from ..datasets import CIFAR10
    from ..nn import Module

    Part = tuple[NDArray[np.uint8], NDArray[np.int64]]  # images (N, 3, 32, 32) and labels
    Result = tuple[str, int, float]  # what it is called, the number of features, and the accuracy

METHODS = ("pixels", "hog", "words", "cnn")


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """What `fastnn features` takes."""
    positive = number(int, 1)
    parser.add_argument("--data", metavar="PATH", help="the folder of CIFAR-10's files (default: $FASTNN_DATA_DIR)")
    parser.add_argument(
        "--methods",
        metavar="A,B",
        default=",".join(METHODS),
        help="what to compare (default: pixels,hog,words,cnn): raw pixels, histograms of oriented gradients and of "
        "colours (needs scikit-image), visual words (needs scikit-learn), and a small convolutional network",
    )
    parser.add_argument(
        "--train-size", type=positive, default=10_000, metavar="N", help="training images (default: 10000)"
    )
    parser.add_argument("--test-size", type=positive, default=2_000, metavar="N", help="test images (default: 2000)")
    parser.add_argument("--words", type=positive, default=400, metavar="N", help="visual words (default: 400)")
    parser.add_argument(
        "--epochs", type=positive, default=10, metavar="N", help="epochs of the network's training (default: 10)"
    )
    parser.add_argument(
        "--seed", type=number(int, 0, below=1 << 32), default=0, metavar="N", help="for all that is random (default: 0)"
    )
    parser.add_argument(
        "--threads", type=number(int, 1, below=4097), metavar="N", help="threads (default: as `fastnn info` says)"
    )
    parser.add_argument("--json", action="store_true", help="print a JSON array with one object for each method")


def run(args: argparse.Namespace) -> int:
    """Compares features of images by what a classifier makes of them."""
    from ..datasets import CIFAR10

    chosen = args.methods.split(",")
    for name in chosen:
        if name not in METHODS:
            raise UsageError(f"--methods: there is no '{name}'; expected some of {','.join(METHODS)}")
    if args.threads:
        fastnn.set_num_threads(args.threads)
    train, test = (
        _some(CIFAR10(args.data, part), size) for part, size in ((True, args.train_size), (False, args.test_size))
    )
    if not args.json:
        print(f"CIFAR10: {len(train[0]):,} training and {len(test[0]):,} test images", flush=True)
        print(f"{'features':<34}{'size':>8}{'test accuracy':>16}{'seconds':>10}", flush=True)
    results = []
    for name in chosen:
        fastnn.manual_seed(args.seed)
        start = time.perf_counter()
        text, size, accuracy = _METHODS[name](train, test, args)
        seconds = time.perf_counter() - start
        results.append({"features": name, "size": size, "test_accuracy": accuracy, "seconds": seconds})
        if not args.json:
            print(f"{text:<34}{size:>8,}{accuracy:>16.2%}{seconds:>10.1f}", flush=True)
    if args.json:
        print(json.dumps(results, indent=2))
    return 0


def _some(data: CIFAR10, size: int) -> Part:
    """So many images at equal distances, which is the same number of each class where the files are sorted."""
    import numpy as np

    chosen = np.linspace(0, len(data) - 1, min(size, len(data))).astype(int)
    return data.images[chosen].transpose(0, 3, 1, 2), data.labels[chosen]


def _linear(text: str, features: Callable[[Any], Any], train: Part, test: Part, seed: int) -> Result:
    """A linear classifier of features, each of them standardised."""
    from .. import nn
    from ..data import ArrayDataset
    from ..preprocessing import Standardize

    x, x_test = (features(images) for images, _ in (train, test))
    size = x.shape[1]
    model = nn.Sequential(Standardize(size).fit(x), nn.Linear(size, 10))
    nn.init.zeros_(model[1].weight)
    model[0].std.data[...] *= size**0.5  # items of length about 1: one learning rate for all kinds of features
    accuracy = _trained(
        model, ArrayDataset(x, train[1]), ArrayDataset(x_test, test[1]), seed, epochs=20, lr=10.0, weight_decay=2e-5
    )
    return text, size, accuracy


def _trained(
    model: Module,
    train: Any,
    test: Any,
    seed: int,
    *,
    epochs: int,
    lr: float,
    weight_decay: float,
    transform: Any = None,
) -> float:
    """The accuracy on test data after training."""
    from .. import optim, training
    from ..data import DataLoader

    loader = DataLoader(train, min(100, len(train)), shuffle=True, seed=seed, transform=transform)
    optimizer = optim.SGD(model.parameters(), lr=lr, momentum=0.9, weight_decay=weight_decay)
    scheduler = optim.lr_scheduler.CosineAnnealingLR(optimizer, epochs * len(loader))
    training.Trainer(model, optimizer, loader, epochs, scheduler=scheduler).fit()
    return training.evaluate(model, test)["accuracy"]


def _pixels(train: Part, test: Part, args: argparse.Namespace) -> Result:
    return _linear("raw pixels", lambda x: x.reshape(len(x), -1).astype("float32"), train, test, args.seed)


def _hog(train: Part, test: Part, args: argparse.Namespace) -> Result:
    import numpy as np

    from ..features import color_histogram, hog

    def features(images: Any) -> Any:
        return np.hstack([hog(images, pixels_per_cell=4), color_histogram(images)])

    return _linear("oriented gradients and colours", features, train, test, args.seed)


def _words(train: Part, test: Part, args: argparse.Namespace) -> Result:
    from ..features import BagOfVisualWords

    bag = BagOfVisualWords(args.words, stride=2, seed=args.seed).fit(train[0])
    return _linear(f"{args.words} visual words", bag.transform, train, test, args.seed)


def _cnn(train: Part, test: Part, args: argparse.Namespace) -> Result:
    from .. import nn
    from ..data import ArrayDataset
    from ..data.transforms import Compose, RandomCrop, RandomHorizontalFlip
    from ..preprocessing import Standardize

    def block(inputs: int, outputs: int) -> list[Module]:
        return [
            nn.Conv2d(inputs, outputs, 3, padding=1, bias=False),
            nn.BatchNorm2d(outputs),
            nn.ReLU(),
            nn.MaxPool2d(2),
        ]

    model = nn.Sequential(
        Standardize(3).fit(train[0]),
        *block(3, 32),
        *block(32, 64),
        *block(64, 128),
        nn.Flatten(),
        nn.Linear(128 * 4 * 4, 10),
    )
    augment = Compose([RandomCrop(32, padding=4, padding_mode="reflect"), RandomHorizontalFlip()])
    accuracy = _trained(
        model,
        ArrayDataset(*train),
        ArrayDataset(*test),
        args.seed,
        epochs=args.epochs,
        lr=0.01,
        weight_decay=5e-4,
        transform=augment,
    )
    return "convolutional network", sum(p.numel() for p in model.parameters()), accuracy


_METHODS: dict[str, Callable[[Part, Part, argparse.Namespace], Result]] = {
    "pixels": _pixels,
    "hog": _hog,
    "words": _words,
    "cnn": _cnn,
}
