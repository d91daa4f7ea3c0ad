"""`fastnn sample`."""

from __future__ import annotations

import argparse

import fastnn

from .arguments import UsageError, number
from .checkpoints import load_state, read_config


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """What `fastnn sample` takes."""
    parser.add_argument("checkpoint", help="a checkpoint that `fastnn train charlm` has written")
    parser.add_argument(
        "--prompt", metavar="TEXT", help="what the text starts with (default: the beginning of a line, not printed)"
    )
    parser.add_argument(
        "--temperature",
        type=number(float, 0),
        default=1.0,
        metavar="N",
        help="below 1 likely characters become likelier, 0 takes the likeliest (default: 1)",
    )
    parser.add_argument("--length", type=number(int, 0), default=500, metavar="N", help="characters (default: 500)")
    parser.add_argument(
        "--seed", type=number(int, 0, below=1 << 63), default=0, metavar="N", help="for the draws (default: 0)"
    )


def run(args: argparse.Namespace) -> int:
    """Prints text that a model makes up."""
    from ..data import Characters
    from ..models import CharRNN

    arrays, config = read_config(args.checkpoint, ["charlm"])
    characters = Characters(config["vocabulary"])
    model = CharRNN(**config["model"]["arguments"])
    load_state(model, args.checkpoint, arrays)
    prompt = args.prompt
    if not prompt:
        prompt = "\n" if "\n" in characters.vocabulary else characters.vocabulary[0]
    try:
        tokens = characters.encode(prompt)
    except ValueError as error:
        raise UsageError(f"--prompt: {error}") from error
    fastnn.manual_seed(args.seed)
    print((args.prompt or "") + characters.decode(model.sample(tokens, args.length, args.temperature)))
    return 0
