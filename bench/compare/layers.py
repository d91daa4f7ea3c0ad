"""Work at the level of layers, written once: fastnn's Python API is PyTorch's.

`lib` is the module `with_fastnn` or `with_torch`. Layers run forward and backward.
"""

from __future__ import annotations

import math
import zlib
from collections.abc import Callable
from itertools import product
from types import ModuleType
from typing import Any

import numpy as np

from . import inputs
from .inputs import Array, Run, Ways


def loaded(lib: ModuleType, model: Any) -> Any:
    """The model with the same weights in both libraries.

    Weights have the variance of He et al. (2015), biases are small, BatchNorm starts near the identity.
    """
    lib.load(model, {name: _weight(name, tuple(value.shape)) for name, value in model.state_dict().items()})
    return model


def _weight(name: str, shape: tuple[int, ...]) -> Array:
    if name.endswith("num_batches_tracked"):
        return np.zeros((), np.int64)  # type: ignore[return-value]
    values = inputs.uniform(zlib.crc32(name.encode()), *shape)
    if len(shape) > 1:
        return values * np.float32(math.sqrt(6 / math.prod(shape[1:])))
    if name.endswith(("weight", "running_var")):
        return 1 + values / 4
    return values / 10


def _forward_backward(lib: ModuleType, make: Callable[[], Callable[[Any], Any]], x: Array, compiled: bool) -> Ways:
    """The function or layer that `make` makes, of x: its output, and the gradients of x and of its parameters.

    Args:
        lib: the library.
        make: called once for each way.
        x: the input.
        compiled: whether a compiler may help, too.
    """

    def passes(layout: Callable[[Any], Any], compiler: Callable[[Any], Any]) -> Run:
        function = make()
        parameters = list(function.parameters()) if isinstance(function, lib.api.nn.Module) else []
        function = compiler(function)
        input = layout(lib.tensor(x))
        dy = layout(lib.tensor(inputs.uniform(2, *function(input).shape)))
        leaves = [input.requires_grad_(), *parameters]

        def run() -> tuple[Any, ...]:
            for leaf in leaves:
                leaf.grad = None
            y = function(input)
            y.backward(dy)
            return (y, *(leaf.grad for leaf in leaves))

        return run

    layouts = lib.LAYOUTS if x.ndim == 4 else {"": lambda array: array}
    compilers = lib.compilers() if compiled else {"": lambda function: function}
    return {
        " ".join(filter(None, names)): passes(layouts[names[0]], compilers[names[1]])
        for names in product(layouts, compilers)
    }


def linear(lib: ModuleType, N: int, I: int, O: int) -> Ways:
    return _forward_backward(lib, lambda: loaded(lib, lib.api.nn.Linear(I, O)), inputs.uniform(1, N, I), False)


def batch_norm_relu(lib: ModuleType, N: int, C: int, H: int) -> Ways:
    def make() -> Any:
        nn = lib.api.nn
        return loaded(lib, nn.Sequential(nn.BatchNorm2d(C), nn.ReLU(inplace=True)))

    return _forward_backward(lib, make, inputs.uniform(1, N, C, H, H), True)


def layer_norm(lib: ModuleType, N: int, D: int) -> Ways:
    return _forward_backward(lib, lambda: loaded(lib, lib.api.nn.LayerNorm(D)), inputs.uniform(1, N, D), True)


def group_norm(lib: ModuleType, N: int, C: int, H: int, groups: int) -> Ways:
    return _forward_backward(
        lib, lambda: loaded(lib, lib.api.nn.GroupNorm(groups, C)), inputs.uniform(1, N, C, H, H), True
    )


def instance_norm(lib: ModuleType, N: int, C: int, H: int) -> Ways:
    return _forward_backward(
        lib, lambda: loaded(lib, lib.api.nn.InstanceNorm2d(C, affine=True)), inputs.uniform(1, N, C, H, H), True
    )


def local_response_norm(lib: ModuleType, N: int, C: int, H: int, size: int) -> Ways:
    return _forward_backward(
        lib, lambda: lib.api.nn.LocalResponseNorm(size, k=2.0), inputs.uniform(1, N, C, H, H), True
    )


def max_pool2d(lib: ModuleType, N: int, C: int, H: int, R: int, stride: int, pad: int) -> Ways:
    return _forward_backward(lib, lambda: lib.api.nn.MaxPool2d(R, stride, pad), inputs.uniform(1, N, C, H, H), False)


def avg_pool2d(lib: ModuleType, N: int, C: int, H: int, R: int, stride: int, pad: int) -> Ways:
    return _forward_backward(lib, lambda: lib.api.nn.AvgPool2d(R, stride, pad), inputs.uniform(1, N, C, H, H), False)


def adaptive_avg_pool2d(lib: ModuleType, N: int, C: int, H: int, out: int) -> Ways:
    return _forward_backward(lib, lambda: lib.api.nn.AdaptiveAvgPool2d(out), inputs.uniform(1, N, C, H, H), False)


def _pad2d(layer: str) -> Callable[[ModuleType, int, int, int, int], Ways]:
    def ways(lib: ModuleType, N: int, C: int, H: int, pad: int) -> Ways:
        return _forward_backward(lib, lambda: getattr(lib.api.nn, layer)(pad), inputs.uniform(1, N, C, H, H), False)

    return ways


zero_pad2d, reflection_pad2d, replication_pad2d, circular_pad2d = map(
    _pad2d, ("ZeroPad2d", "ReflectionPad2d", "ReplicationPad2d", "CircularPad2d")
)


def _upsample2d(mode: str) -> Callable[[ModuleType, int, int, int, int], Ways]:
    def ways(lib: ModuleType, N: int, C: int, H: int, P: int) -> Ways:
        x = inputs.uniform(1, N, C, H, H)
        return _forward_backward(lib, lambda: lib.api.nn.Upsample(P, mode=mode), x, False)

    return ways


upsample2d_nearest, upsample2d_bilinear = map(_upsample2d, ("nearest", "bilinear"))


def _activation(name: str) -> Callable[[ModuleType, int], Ways]:
    def ways(lib: ModuleType, n: int) -> Ways:
        x = 4 * inputs.uniform(1, n)  # into the tails
        return _forward_backward(lib, lambda: getattr(lib.api.nn.functional, name), x, True)

    return ways


relu, sigmoid, tanh, softsign = map(_activation, ("relu", "sigmoid", "tanh", "softsign"))
leaky_relu, elu, silu, gelu = map(_activation, ("leaky_relu", "elu", "silu", "gelu"))
selu, mish, softplus, hardswish = map(_activation, ("selu", "mish", "softplus", "hardswish"))


def add(lib: ModuleType, n: int) -> Ways:
    a, b = lib.tensor(inputs.uniform(1, n)), lib.tensor(inputs.uniform(2, n))
    return {"": lambda: a + b}


def mul(lib: ModuleType, n: int) -> Ways:
    a, b = lib.tensor(inputs.uniform(1, n)), lib.tensor(inputs.uniform(2, n))
    return {"": lambda: a * b}


def cat(lib: ModuleType, n: int) -> Ways:
    a, b = lib.tensor(inputs.uniform(1, n)), lib.tensor(inputs.uniform(2, n))
    return {"": lambda: lib.api.cat([a, b])}


def _loss(lib: ModuleType, criterion: Any, x: Any, target: Any) -> Ways:
    """A loss, its mean and its gradient."""
    x, target = lib.tensor(x), lib.tensor(target)
    x.requires_grad_()

    def run() -> Any:
        x.grad = None
        loss = criterion(x, target)
        loss.backward()
        return loss, x.grad

    return {"": run}


def cross_entropy(lib: ModuleType, N: int, C: int) -> Ways:
    return _loss(lib, lib.api.nn.CrossEntropyLoss(), inputs.uniform(1, N, C), inputs.labels(N, C))


def smoothed_cross_entropy(lib: ModuleType, N: int, C: int) -> Ways:
    criterion = lib.api.nn.CrossEntropyLoss(lib.tensor(1 + inputs.uniform(2, C)), label_smoothing=0.1)
    return _loss(lib, criterion, inputs.uniform(1, N, C), inputs.labels(N, C))


def soft_cross_entropy(lib: ModuleType, N: int, C: int) -> Ways:
    target = np.abs(inputs.uniform(2, N, C))
    target /= target.sum(1, keepdims=True)
    return _loss(lib, lib.api.nn.CrossEntropyLoss(), inputs.uniform(1, N, C), target)


def mse_loss(lib: ModuleType, n: int) -> Ways:
    return _loss(lib, lib.api.nn.MSELoss(), inputs.uniform(1, n), inputs.uniform(2, n))


def huber_loss(lib: ModuleType, n: int) -> Ways:
    return _loss(lib, lib.api.nn.HuberLoss(delta=0.5), inputs.uniform(1, n), inputs.uniform(2, n))


def bce_with_logits_loss(lib: ModuleType, n: int) -> Ways:
    target = (inputs.uniform(2, n) > 0).astype(np.float32)
    return _loss(lib, lib.api.nn.BCEWithLogitsLoss(), 4 * inputs.uniform(1, n), target)


def recurrent_weights(shapes: dict[str, tuple[int, ...]], H: int) -> dict[str, Array]:
    """The parameters of a recurrent layer of H units, by their names in PyTorch."""
    return {n: inputs.uniform(zlib.crc32(n.encode()), *s) / np.float32(H**0.5) for n, s in shapes.items()}


def _recurrent(kind: str, training: bool) -> Callable[..., Ways]:
    def ways(lib: ModuleType, T: int, N: int, I: int, H: int, layers: int = 1, directions: int = 1) -> Ways:
        layer = getattr(lib.api.nn, kind)(I, H, layers, bidirectional=directions == 2)
        shapes = {name: tuple(value.shape) for name, value in layer.state_dict().items()}
        lib.load(layer, recurrent_weights(shapes, H))
        x, dy = lib.tensor(inputs.uniform(1, T, N, I)), lib.tensor(inputs.uniform(2, T, N, directions * H))
        leaves = [x, *layer.parameters()]

        def train() -> tuple[Any, ...]:
            for leaf in leaves:
                leaf.grad = None
            y, _ = layer(x)
            y.backward(dy)
            return (y, *(leaf.grad for leaf in leaves))

        def infer() -> Any:
            with lib.api.no_grad():
                return layer(x)[0]

        x.requires_grad_(training)
        return {"": train if training else infer}

    return ways


lstm_training, lstm_inference = _recurrent("LSTM", True), _recurrent("LSTM", False)
gru_training, gru_inference = _recurrent("GRU", True), _recurrent("GRU", False)
rnn_training, rnn_inference = _recurrent("RNN", True), _recurrent("RNN", False)


# ---- optimizers ---------------------------------------------------------------------------------------------------


def _optimizer_step(lib: ModuleType, name: str, arguments: dict[str, Any], tensors: int, n: int) -> Run:
    parameters = [lib.parameter(inputs.uniform(i, n)) for i in range(tensors)]
    for i, p in enumerate(parameters):
        p.grad = lib.tensor(inputs.uniform(tensors + i, n))
    optimizer = getattr(lib.api.optim, name)(parameters, **arguments)

    def run() -> Any:
        optimizer.step()
        return parameters[0], parameters[-1]

    return run


def sgd_momentum(lib: ModuleType, tensors: int, n: int) -> Ways:
    return {
        name: _optimizer_step(lib, "SGD", {"lr": 1e-3, "momentum": 0.9, **arguments}, tensors, n)
        for name, arguments in lib.OPTIMIZER_ARGUMENTS.items()
    }


def adam(lib: ModuleType, tensors: int, n: int) -> Ways:
    return {
        name: _optimizer_step(lib, "Adam", {"lr": 1e-3, **arguments}, tensors, n)
        for name, arguments in lib.OPTIMIZER_ARGUMENTS.items()
    }


# ---- the cost of an operation that has nothing to do ---------------------------------------------------------------


def overhead_relu(lib: ModuleType) -> Ways:
    x, relu = lib.tensor(inputs.uniform(1, 4)), lib.api.nn.functional.relu
    return {"": lambda: relu(x)}


def overhead_linear_forward(lib: ModuleType) -> Ways:
    layer, x = loaded(lib, lib.api.nn.Linear(4, 4)), lib.tensor(inputs.uniform(1, 1, 4))
    return {"": lambda: layer(x)}


def overhead_linear_step(lib: ModuleType) -> Ways:
    layer, x = loaded(lib, lib.api.nn.Linear(4, 4)), lib.tensor(inputs.uniform(1, 1, 4))

    def run() -> Any:
        layer.zero_grad()
        layer(x).sum().backward()
        return layer.weight.grad, layer.bias.grad

    return {"": run}
