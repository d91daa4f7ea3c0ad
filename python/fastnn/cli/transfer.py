"""`fastnn transfer`."""

from __future__ import annotations

import argparse
import json
from typing import TYPE_CHECKING, Any

from .arguments import UsageError, number

if TYPE_CHECKING:
    from ..data import ArrayDataset
    from ..datasets import MNIST
    from ..nn import Module

_KNOWN, _NEW = range(5), range(5, 10)  # digits


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """What `fastnn transfer` takes."""
    positive = number(int, 1)
    parser.add_argument(
        "--data", metavar="PATH", help="a folder with MNIST's files (default: the subset inside fastnn)"
    )
    parser.add_argument(
        "--images-per-class", type=positive, default=10, metavar="N", help="images of each new digit (default: 10)"
    )
    parser.add_argument(
        "--epochs", type=positive, default=8, metavar="N", help="passes over the images of new digits (default: 8)"
    )
    parser.add_argument(
        "--freeze", action="append", default=[], metavar="PATTERN", help="parameters that stay as they are, 'conv*'"
    )
    parser.add_argument(
        "--seed", type=number(int, 0, below=1 << 63), default=0, metavar="N", help="of all that is drawn (default: 0)"
    )
    parser.add_argument("--json", action="store_true", help="print one JSON object")


def run(args: argparse.Namespace) -> int:
    """Trains LeNet-5 on the digits 0 to 4, and with few images on 5 to 9: from there, and from scratch."""
    import numpy as np

    import fastnn

    from ..datasets import MNIST, MNISTSubset
    from ..models import lenet5
    from ..training import evaluate

    train, test = (MNISTSubset(part) if args.data is None else MNIST(args.data, part) for part in (True, False))
    fewest = min(int((train.labels == digit).sum()) for digit in (*_KNOWN, *_NEW))
    if fewest < args.images_per_class:
        raise UsageError(f"--images-per-class {args.images_per_class}: there is a digit with {fewest}")
    rng = np.random.default_rng(args.seed)
    few, unseen = _digits(train, _NEW, (rng, args.images_per_class)), _digits(test, _NEW)

    fastnn.manual_seed(args.seed)
    model = lenet5(len(_KNOWN))
    known = _digits(train, _KNOWN)
    _train(model, known, 64, 4 if args.data is None else 1, 0.05, args.seed)
    before = evaluate(model, _digits(test, _KNOWN))["accuracy"]

    model.replace_head(len(_NEW))
    if args.freeze:
        try:
            model.freeze(*args.freeze)
        except ValueError as error:
            raise UsageError(f"--{error}") from error
    scratch = lenet5(len(_NEW))
    accuracies = {}
    # The best of the rates 0.01, 0.02 and 0.05 for either.
    for name, network, lr in (("transfer", model, 0.02), ("scratch", scratch, 0.05)):
        _train(network, few, 10, args.epochs, lr, args.seed)
        accuracies[name] = evaluate(network, unseen)["accuracy"]
    result: dict[str, Any] = {
        "known": {"digits": list(_KNOWN), "images": len(known), "accuracy": before},
        "new": {"digits": list(_NEW), "images": len(few), "test_images": len(unseen)},
        "accuracy": accuracies,
    }
    if args.json:
        print(json.dumps(result, indent=2))
        return 0
    print(f"LeNet-5 on {len(known):,} images of the digits 0 to 4: {before:.1%} right")
    print(f"on {len(few)} images of the digits 5 to 9, {args.epochs} times, and {len(unseen):,} test images:")
    print(f"  fine-tuned    {accuracies['transfer']:.1%} right")
    print(f"  from scratch  {accuracies['scratch']:.1%} right")
    return 0


def _digits(data: MNIST, digits: range, few: Any = None) -> ArrayDataset:
    """The images of these digits, labelled from 0 on: all of them, or so many of each, drawn by a generator."""
    import numpy as np

    from ..data import ArrayDataset

    places = [np.flatnonzero(data.labels == digit) for digit in digits]
    if few is not None:
        rng, count = few
        places = [rng.choice(p, count, replace=False) for p in places]
    chosen = np.concatenate(places)
    return ArrayDataset(data.normalize(data.images[chosen]), data.labels[chosen] - digits[0])


def _train(model: Module, data: ArrayDataset, batch_size: int, epochs: int, lr: float, seed: int) -> None:
    from .. import optim
    from ..data import DataLoader
    from ..data.transforms import RandomCrop
    from ..training import Trainer

    # Shifted images: features of five digits that have stood in one place only are of little use for others.
    loader = DataLoader(data, batch_size, shuffle=True, seed=seed, transform=RandomCrop(28, padding=3))
    optimizer = optim.SGD([p for p in model.parameters() if p.requires_grad], lr=lr, momentum=0.9)
    schedule = optim.lr_scheduler.CosineAnnealingLR(optimizer, epochs * len(loader))
    Trainer(model, optimizer, loader, epochs, scheduler=schedule).fit()
