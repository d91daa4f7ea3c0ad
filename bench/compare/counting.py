"""Operations and bytes of a training step, counted call by call of `fastnn.ops` while it runs once.

They are the least that the arrays allow: the multiply-adds of the best algorithm that there is (transforms are free),
and every array read or written once. The least time of a step is the sum over its calls: one starts when the other is
done.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from typing import Any
from unittest import mock

import numpy as np

from fastnn import ops

from .inputs import Run

Array = np.ndarray[Any, Any]
Cost = tuple[float, float]

# The arguments that are written as well as read, or read once more after all of them have been summed.
TWICE = {"sgd": (0, 2), "adam": (0, 2, 3), "batch_norm_backward": (0, 1)}


def count(run: Run) -> tuple[Cost, ...]:
    """Floating-point operations and bytes of each call of `fastnn.ops` that computes something, in order."""
    costs: list[Cost] = []

    def counted(name: str, function: Callable[..., Any]) -> Callable[..., Any]:
        def call(*args: Any, **options: Any) -> Any:
            results = function(*args, **options)
            moved = _bytes(name, args, options, results)
            if moved:
                costs.append((_flops(name, args, results), moved))
            return results

        return call

    functions = {name: value for name, value in vars(ops).items() if callable(value) and not name.startswith("_")}
    with mock.patch.multiple(ops, **{name: counted(name, function) for name, function in functions.items()}):
        run()
    return tuple(costs)


def _arrays(value: Any) -> Iterator[Array]:
    if isinstance(value, np.ndarray):
        yield value
    elif isinstance(value, list | tuple):
        for item in value:
            yield from _arrays(item)


def _bytes(name: str, args: tuple[Any, ...], options: dict[str, Any], results: Any) -> float:
    """Zero for what computes nothing: sizes, new memory, an array that has the layout already."""
    given = {array.ctypes.data: array for array in _arrays(args)}
    made = {array.ctypes.data: array for array in _arrays([results, *options.values()])}
    twice = list(_arrays([args[i] for i in TWICE.get(name, ())]))
    if not given or not (made.keys() - given.keys() or twice):
        return 0.0
    return float(sum(array.nbytes for array in [*(given | made).values(), *twice]))


def _flops(name: str, args: tuple[Any, ...], results: Any) -> float:
    first = next(_arrays(results), None)
    match name:
        case "conv2d_forward":
            return _conv2d(args[0].shape, args[1].shape, first.shape)
        case "conv2d_backward_input":
            return _conv2d(first.shape, args[1].shape, args[0].shape)
        case "conv2d_backward_weight":
            return _conv2d(args[1].shape, first.shape, args[0].shape)
        case "linear_forward" | "linear_backward_input":
            return 2.0 * args[1].size * (args[0].size // args[0].shape[-1])
        case "linear_backward_weight":
            return 2.0 * args[0].size * args[1].shape[-1]
        case "lstm_forward":
            return _recurrent(args[0], args[3], args[4])
        case "lstm_backward":
            return 2 * _recurrent(args[3], args[6], args[7])
    return 0.0


def _conv2d(x: tuple[int, ...], w: tuple[int, ...], y: tuple[int, ...]) -> float:
    """By the definition, or the products of Winograd's algorithm, F(4x4, 3x3) or F(2x2, 5x5): 36 for a tile.

    With up to 8 channels its transforms take more than it saves.
    """
    direct = 2.0 * math.prod(y) * math.prod(w[1:])
    outputs = {(3, 3): 4, (5, 5): 2}.get(w[2:])
    if outputs is None or w[1] <= 8 or round(x[2] / y[2]) != 1:
        return direct
    tiles = y[0] * math.ceil(y[2] / outputs) * math.ceil(y[3] / outputs)
    return min(direct, 2.0 * 36 * tiles * w[0] * w[1])


def _recurrent(x: Array, weight_ih: Array, weight_hh: Array) -> float:
    return 2.0 * (x.size // x.shape[-1]) * (weight_ih.size + weight_hh.size)
