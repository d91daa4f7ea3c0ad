"""The kernels in PyTorch: as `with_fastnn.py`, in every way that a user might choose. The fastest one counts."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable
from functools import cache, partial
from typing import Any

os.environ.setdefault("TORCHINDUCTOR_COMPILE_THREADS", "1")  # no processes in the background of other measurements

import torch as api
import torch.nn.functional as F

from . import inputs, torch_models
from .inputs import Run, Ways

aten = api.ops.aten

LAYOUTS: dict[str, Callable[[Any], Any]] = {
    "NCHW": lambda x: x,
    "channels-last": lambda x: x.to(memory_format=api.channels_last),
}
OPTIMIZER_ARGUMENTS: dict[str, dict[str, Any]] = {"": {}, "fused": {"fused": True}}


@cache
def compilers() -> dict[str, Callable[[Any], Any]]:
    """Eager, and torch.compile where it works: it needs a C++ compiler."""
    choices: dict[str, Callable[[Any], Any]] = {"": lambda function: function}
    try:
        api.compile(api.sin)(api.zeros(4))
    except Exception as error:
        reason = (str(error).strip() or type(error).__name__).splitlines()[0]
        print(f"torch.compile does not work here and is left out: {reason}", file=sys.stderr, flush=True)
        return choices
    return {**choices, "compiled": partial(api.compile, dynamic=False)}


def setup(threads: int) -> str:
    """Sets the number of threads; returns the version."""
    api.set_num_threads(threads)
    return f"PyTorch {api.__version__} ({api.backends.cpu.get_cpu_capability()})"


def tensor(array: Any) -> Any:
    """A tensor over a NumPy array."""
    return api.from_numpy(array)


def parameter(array: Any) -> Any:
    """A parameter over a NumPy array."""
    return api.nn.Parameter(tensor(array))


def numpy(value: Any) -> Any:
    """The array inside of a result."""
    return value.detach().numpy() if isinstance(value, api.Tensor) else value


def load(model: Any, arrays: dict[str, Any]) -> None:
    """Sets the parameters of a model."""
    model.load_state_dict({name: tensor(array) for name, array in arrays.items()})


def model(name: str, *arguments: Any, **options: Any) -> Any:
    """A new model."""
    return getattr(torch_models, name)(*arguments, **options)


def release() -> None:
    """Forgets what was compiled for the last case."""
    api.compiler.reset()


def memory() -> dict[str, int]:
    """PyTorch has no counters of its memory on a CPU."""
    return {}


# ---- kernels ------------------------------------------------------------------------------------------------------


def _by_layout(make: Callable[..., Run], *arrays: Any) -> Ways:
    """make(*tensors) for each layout of the four-dimensional ones."""
    return {
        name: make(*(layout(tensor(a)) if a.ndim == 4 else tensor(a) for a in arrays))
        for name, layout in LAYOUTS.items()
    }


def matmul(M: int, N: int, K: int) -> Ways:
    a, b = tensor(inputs.uniform(1, M, K)), tensor(inputs.uniform(2, K, N))
    return {"": lambda: api.mm(a, b)}


def conv2d_forward(N: int, C: int, H: int, K: int, R: int, stride: int, pad: int, groups: int = 1) -> Ways:
    def make(x: Any, w: Any, b: Any, dy: Any) -> Run:
        return lambda: F.conv2d(x, w, b, stride, pad, 1, groups)

    return _by_layout(make, *inputs.conv2d(N, C, H, K, R, stride, pad, groups))


def _conv2d_backward(shape: tuple[int, ...], groups: int, wanted: list[bool]) -> Ways:
    *_, K, _, stride, pad = shape

    def make(x: Any, w: Any, b: Any, dy: Any) -> Run:
        def run() -> tuple[Any, ...]:
            gradients = aten.convolution_backward(
                dy, x, w, [K], [stride] * 2, [pad] * 2, [1, 1], False, [0, 0], groups, wanted
            )
            return tuple(g for g in gradients if g is not None)

        return run

    return _by_layout(make, *inputs.conv2d(*shape, groups))


def conv2d_backward_input(N: int, C: int, H: int, K: int, R: int, stride: int, pad: int, groups: int = 1) -> Ways:
    return _conv2d_backward((N, C, H, K, R, stride, pad), groups, [True, False, False])


def conv2d_backward_weight(N: int, C: int, H: int, K: int, R: int, stride: int, pad: int, groups: int = 1) -> Ways:
    return _conv2d_backward((N, C, H, K, R, stride, pad), groups, [False, True, True])


def _forward(op: Callable[..., Any]) -> Callable[..., Ways]:
    def ways(*shape: int) -> Ways:
        x = tensor(inputs.uniform(1, *shape))
        return {"": lambda: op(x)}

    return ways


def _backward(op: Callable[..., Any]) -> Callable[..., Ways]:
    def ways(*shape: int) -> Ways:
        dy, y = tensor(inputs.uniform(1, *shape)), tensor(inputs.uniform(2, *shape))
        return {"": lambda: op(dy, y)}

    return ways


softmax_forward = _forward(lambda x: api.softmax(x, -1))
softmax_backward = _backward(lambda dy, y: aten._softmax_backward_data(dy, y, -1, api.float32))
log_softmax_forward = _forward(lambda x: api.log_softmax(x, -1))
log_softmax_backward = _backward(lambda dy, y: aten._log_softmax_backward_data(dy, y, -1, api.float32))


def to_channels_last(N: int, C: int, H: int) -> Ways:
    x = tensor(inputs.uniform(1, N, C, H, H))
    return {"": lambda: x.contiguous(memory_format=api.channels_last)}
