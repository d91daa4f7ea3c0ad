"""The kernels in fastnn: each function takes a shape and returns the way to run it (there is one of everything)."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import fastnn as api
from fastnn import ops

from . import inputs
from .inputs import Ways

# The choices that a user has; `training.py` tries all of them.
LAYOUTS: dict[str, Callable[[Any], Any]] = {"": lambda x: x}
OPTIMIZER_ARGUMENTS: dict[str, dict[str, Any]] = {"": {}}


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


def memory() -> dict[str, int]:
    """The allocator's counters of bytes and blocks."""
    stats = ops.memory_stats()
    return {key: stats[key] for key in ("live_bytes", "cached_bytes", "system_blocks")}


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


def linear_forward(N: int, I: int, O: int) -> Ways:
    x, w, b, _ = inputs.linear(N, I, O)
    return {"": lambda: ops.linear_forward(x, w, b)}


def linear_backward_input(N: int, I: int, O: int) -> Ways:
    _, w, _, dy = inputs.linear(N, I, O)
    return {"": lambda: ops.linear_backward_input(dy, w)}


def linear_backward_weight(N: int, I: int, O: int) -> Ways:
    x, _, _, dy = inputs.linear(N, I, O)
    return {"": lambda: ops.linear_backward_weight(dy, x)}


def max_pool2d_forward(N: int, C: int, H: int, R: int, stride: int, pad: int) -> Ways:
    x, _ = inputs.pool2d(N, C, H, R, stride, pad)
    x = ops.to_channels_last(x)
    return {"": lambda: ops.max_pool2d_forward(x, R, stride, pad)[0]}


def max_pool2d_backward(N: int, C: int, H: int, R: int, stride: int, pad: int) -> Ways:
    x, dy = inputs.pool2d(N, C, H, R, stride, pad)
    dy = ops.to_channels_last(dy)
    _, argmax = ops.max_pool2d_forward(x, R, stride, pad)
    return {"": lambda: ops.max_pool2d_backward(dy, argmax, x.shape, R, stride, pad)}


def avg_pool2d_forward(N: int, C: int, H: int, R: int, stride: int, pad: int) -> Ways:
    x, _ = inputs.pool2d(N, C, H, R, stride, pad)
    x = ops.to_channels_last(x)
    return {"": lambda: ops.avg_pool2d_forward(x, R, stride, pad)}


def avg_pool2d_backward(N: int, C: int, H: int, R: int, stride: int, pad: int) -> Ways:
    x, dy = inputs.pool2d(N, C, H, R, stride, pad)
    dy = ops.to_channels_last(dy)
    return {"": lambda: ops.avg_pool2d_backward(dy, x.shape, R, stride, pad)}


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


relu_forward, relu_backward = _forward("relu_forward"), _backward("relu_backward")
sigmoid_forward, sigmoid_backward = _forward("sigmoid_forward"), _backward("sigmoid_backward")
tanh_forward, tanh_backward = _forward("tanh_forward"), _backward("tanh_backward")
softmax_forward, softmax_backward = _forward("softmax_forward"), _backward("softmax_backward")
log_softmax_forward, log_softmax_backward = _forward("log_softmax_forward"), _backward("log_softmax_backward")


def to_channels_last(N: int, C: int, H: int) -> Ways:
    x = inputs.uniform(1, N, C, H, H)
    return {"": lambda: ops.to_channels_last(x)}
