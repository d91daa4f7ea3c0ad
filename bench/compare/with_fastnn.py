"""The kernels in fastnn: each function takes a shape and returns the way to run it (there is one of everything)."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import fastnn as api
from fastnn import models, ops

from . import counting, inputs
from .inputs import Ways


def _channels_last(x: Any) -> Any:
    return api.as_tensor(ops.to_channels_last(x.data)) if isinstance(x, api.Tensor) else x


# The choices that a user has; `layers.py` and `training.py` try all of them.
LAYOUTS: dict[str, Callable[[Any], Any]] = {"": _channels_last}
OPTIMIZER_ARGUMENTS: dict[str, dict[str, Any]] = {"": {}}


def compilers() -> dict[str, Callable[[Any], Any]]:
    """What makes a faster function or model of one; nothing is needed here."""
    return {"": lambda function: function}


def setup(threads: int) -> str:
    """Sets the number of threads; returns the version."""
    api.set_num_threads(threads)
    info = ops.info()
    return f"fastnn {info['version']} ({info['isa']}, {info['compiler']})"


def tensor(array: Any) -> Any:
    """A tensor over a NumPy array."""
    return api.as_tensor(array)


def parameter(array: Any) -> Any:
    """A parameter over a NumPy array."""
    return api.Parameter(array)


def numpy(value: Any) -> Any:
    """The array inside of a result."""
    return value.data if isinstance(value, api.Tensor) else value


def load(model: Any, arrays: dict[str, Any]) -> None:
    """Sets the parameters of a model."""
    model.load_state_dict(arrays)


def model(name: str, *arguments: Any, **options: Any) -> Any:
    """A new model."""
    return getattr(models, name)(*arguments, **options)


def memory() -> dict[str, int]:
    """The allocator's counters of bytes and blocks."""
    stats = ops.memory_stats()
    return {key: stats[key] for key in ("live_bytes", "cached_bytes", "peak_bytes", "system_blocks")}


# Operations and bytes of what a run calls.
count = counting.count


def release() -> None:
    """Gives the memory of the last case back."""
    ops.empty_cache()


# ---- kernels ------------------------------------------------------------------------------------------------------


def matmul(M: int, N: int, K: int) -> Ways:
    a, b = inputs.uniform(1, M, K), inputs.uniform(2, K, N)
    return {"": lambda: ops.matmul(a, b)}


def conv2d_forward(N: int, C: int, H: int, K: int, R: int, stride: int, pad: int, groups: int = 1) -> Ways:
    x, w, b, _ = inputs.conv2d(N, C, H, K, R, stride, pad, groups)
    x = ops.to_channels_last(x)
    return {"": lambda: ops.conv2d_forward(x, w, b, stride, pad, 1, groups)}


def conv2d_backward_input(N: int, C: int, H: int, K: int, R: int, stride: int, pad: int, groups: int = 1) -> Ways:
    x, w, _, dy = inputs.conv2d(N, C, H, K, R, stride, pad, groups)
    dy = ops.to_channels_last(dy)
    return {"": lambda: ops.conv2d_backward_input(dy, w, x.shape, stride, pad, 1, groups)}


def conv2d_backward_weight(N: int, C: int, H: int, K: int, R: int, stride: int, pad: int, groups: int = 1) -> Ways:
    x, w, _, dy = inputs.conv2d(N, C, H, K, R, stride, pad, groups)
    x, dy = ops.to_channels_last(x), ops.to_channels_last(dy)
    return {"": lambda: ops.conv2d_backward_weight(dy, x, w.shape, stride, pad, 1, groups)}


def _forward(name: str) -> Callable[..., Ways]:
    def ways(*shape: int) -> Ways:
        op, x = getattr(ops, name), inputs.uniform(1, *shape)
        return {"": lambda: op(x)}

    return ways


def _backward(name: str) -> Callable[..., Ways]:
    def ways(*shape: int) -> Ways:
        op, dy, y = getattr(ops, name), inputs.uniform(1, *shape), inputs.uniform(2, *shape)
        return {"": lambda: op(dy, y)}

    return ways


softmax_forward, softmax_backward = _forward("softmax_forward"), _backward("softmax_backward")
log_softmax_forward, log_softmax_backward = _forward("log_softmax_forward"), _backward("log_softmax_backward")


def to_channels_last(N: int, C: int, H: int) -> Ways:
    x = inputs.uniform(1, N, C, H, H)
    return {"": lambda: ops.to_channels_last(x)}
