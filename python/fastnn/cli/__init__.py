"""The command line: `fastnn info`, `fastnn train`, `fastnn predict` and others, each in a module of its own."""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Sequence

import fastnn

from . import features, info, predict, sample, summary, train, transfer
from .arguments import UsageError, complain

_EPILOG = """exit codes:
  0    done
  1    a file could not be read or written, training has diverged, or memory does not suffice
  2    the command line or an environment variable is wrong
  130  stopped by Ctrl-C (143: by SIGTERM); training has written a checkpoint to go on from
"""


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
    except UsageError as error:
        return complain(args.command, error, 2)
    except (OSError, ValueError, FloatingPointError, ImportError) as error:
        return complain(args.command, error, 1)
    except MemoryError:
        return complain(args.command, MemoryError("out of memory"), 1)


def _parser() -> argparse.ArgumentParser:
    raw = argparse.RawDescriptionHelpFormatter
    parser = argparse.ArgumentParser(
        prog="fastnn", description="Neural networks at hardware speed.", epilog=_EPILOG, formatter_class=raw
    )
    parser.add_argument("--version", action="version", version=f"fastnn {fastnn.__version__}")
    commands = parser.add_subparsers(dest="command", metavar="COMMAND", required=True)

    for name, module, text in (
        ("info", info, "Print what this build and this process run on."),
        ("train", train, "Train a model and write a checkpoint."),
        ("predict", predict, "Classify images with a trained model."),
        ("transfer", transfer, "Show what a network that knows other digits needs to learn new ones."),
        ("summary", summary, "Print a model's layers with their shapes, parameters, costs and receptive fields."),
        ("sample", sample, "Print text that a trained model of characters makes up."),
        ("features", features, "Compare classifiers of images by features and by a network, on CIFAR-10."),
    ):
        sub = commands.add_parser(name, help=text, description=text, epilog=_EPILOG, formatter_class=raw)
        sub.set_defaults(run=module.run)
        module.add_arguments(sub)
    return parser
