"""`fastnn summary`."""

from __future__ import annotations

import argparse
import json

from .arguments import UsageError, number
from .settings import NOT_FOR_IMAGES

# The images that models are made for, by the first letters of their names; 3x224x224 for others.
_INPUTS = {**dict.fromkeys(("lenet", "mlp", "linear_", "row_"), (1, 28, 28)), "cifar_": (3, 32, 32)}


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """What `fastnn summary` takes."""
    parser.add_argument("model", help="a model that classifies images: resnet50, lenet5 or another one")
    parser.add_argument(
        "--input", type=_shape, metavar="CxHxW", help="shape of an image (default: what the model is made for)"
    )
    parser.add_argument("--batch-size", type=number(int, 1), default=1, metavar="N", help="images (default: 1)")
    parser.add_argument(
        "--num-classes", type=number(int, 1), metavar="N", help="classes (default: what the model is made for)"
    )
    parser.add_argument("--json", action="store_true", help="print one JSON object")


def run(args: argparse.Namespace) -> int:
    """Prints what a model consists of, layer by layer, without running it."""
    from .. import models
    from ..inspection import summary
    from ..nn.utils import skip_init

    known = models.list(exclude=NOT_FOR_IMAGES)
    if args.model not in known:
        raise UsageError(f"there is no model '{args.model}'; expected one of {', '.join(known)}")
    model = skip_init(models.get, args.model, **({} if args.num_classes is None else {"num_classes": args.num_classes}))
    usual = next((shape for start, shape in _INPUTS.items() if args.model.startswith(start)), (3, 224, 224))
    image = args.input or usual
    try:
        found = summary(model, (args.batch_size, *image))
    except ValueError as error:
        raise UsageError(f"{args.model} does not take images of {'x'.join(map(str, image))}: {error}") from error
    print(json.dumps(found.to_dict(), indent=2) if args.json else found)
    return 0


def _shape(text: str) -> tuple[int, ...]:
    try:
        sizes = tuple(int(part) for part in text.split("x"))
    except ValueError:
        sizes = ()
    if len(sizes) != 3 or min(sizes) < 1:
        raise argparse.ArgumentTypeError(f"'{text}' is not a shape such as 3x224x224")
    return sizes
