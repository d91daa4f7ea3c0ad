"""`fastnn predict`."""

from __future__ import annotations

import argparse
import json
from typing import TYPE_CHECKING, Any

from .arguments import UsageError, complain, number
from .checkpoints import load_state, read_config
from .settings import IMAGE_RUNS

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """What `fastnn predict` takes."""
    parser.add_argument("checkpoint", help="a checkpoint that `fastnn train` has written")
    parser.add_argument("images", nargs="+", metavar="IMAGE", help="an image file or an idx file of images")
    parser.add_argument("--json", action="store_true", help="print a JSON array with one object for each image")
    parser.add_argument(
        "--top", type=number(int, 1), default=1, metavar="K", help="print the K likeliest classes (default: 1)"
    )
    parser.add_argument("--invert", action="store_true", help="the images are dark on light (MNIST is light on dark)")


def run(args: argparse.Namespace) -> int:
    """Classifies images with a trained model."""
    import numpy as np

    from .. import models
    from ..functional import softmax
    from ..nn.utils import skip_init
    from ..tensor import Tensor, no_grad

    arrays, config = read_config(args.checkpoint, IMAGE_RUNS)
    model = skip_init(models.get, config["model"]["name"], **config["model"]["arguments"])
    load_state(model, args.checkpoint, arrays)
    classes, scale = config["classes"], config["input"]
    mean, std = (np.reshape(np.float32(scale[key]), (-1, 1, 1)) for key in ("mean", "std"))
    if args.top > len(classes):
        raise UsageError(f"--top {args.top}: the model has {len(classes)} classes")

    results: list[dict[str, Any]] = []
    failed = False
    for path in args.images:
        try:
            images = _read_images(path, (len(mean), *scale["size"]))
        except (OSError, ValueError) as error:
            complain("predict", error, 1)
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
    from ..data import read_idx

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
