"""Initializers: they fill a tensor in place, from the generator that `fastnn.manual_seed` seeds.

Names, arguments and formulas are PyTorch's. A weight has shape `(out, in)` or `(out, in / groups, *kernel)`; its fan-in
is the number of inputs of one output, `in / groups * kernel elements`, and its fan-out `out * kernel elements`.

References:
    Glorot, Bengio: Understanding the difficulty of training deep feedforward neural networks (2010).
    He, Zhang, Ren, Sun: Delving deep into rectifiers (2015).
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any, TypeVar

import numpy as np

from ..random import default_generator
from ..tape import run_deferred
from ..tensor import Tensor

_T = TypeVar("_T", bound=Tensor)

_BLOCK = 1 << 16  # elements; half a megabyte of random numbers stays in the cache

_GAINS: dict[str, float] = {
    **dict.fromkeys(("linear", "conv1d", "conv2d", "conv3d", "sigmoid"), 1.0),
    "tanh": 5 / 3,
    "relu": math.sqrt(2),
    "selu": 3 / 4,
}


def calculate_gain(nonlinearity: str, param: float | None = None) -> float:
    """The factor by which weights in front of this nonlinearity are scaled to keep the variance of the signal.

    | nonlinearity | gain |
    |---|---|
    | linear, conv1d, conv2d, conv3d, sigmoid | 1 |
    | tanh | 5/3 |
    | relu | sqrt(2) |
    | leaky_relu | sqrt(2 / (1 + param^2)), param = 0.01 by default |
    | selu | 3/4 |
    | maxout | 1 / sqrt(E[M^2]), M the largest of param normal variables, param = 2 by default |

    Raises:
        ValueError: there is no such nonlinearity in the table.
    """
    if nonlinearity == "leaky_relu":
        return math.sqrt(2 / (1 + (0.01 if param is None else param) ** 2))
    if nonlinearity == "maxout":
        return _maxout_gain(2 if param is None else param)
    if nonlinearity not in _GAINS:
        known = ", ".join(sorted({*_GAINS, "leaky_relu", "maxout"}))
        raise ValueError(f"calculate_gain: nonlinearity is {nonlinearity!r}; expected one of {known}")
    return _GAINS[nonlinearity]


def _maxout_gain(pieces: float) -> float:
    """What keeps the second moment where the largest of `pieces` sums of many products goes on.

    He et al.'s argument for ReLU holds for any function of sums that are normal with mean 0 and standard deviation s:
    its second moment is s^2 E[f(N)^2]. That of a maximum of independent ones is s^2 E[M^2], and the density of M is
    pieces phi(x) Phi(x)^(pieces - 1) (Tseran, Montufar: Expected gradients of maxout networks, 2023, name the same
    numbers). The trapezoidal rule is as good as exact for such functions.
    """
    if not pieces >= 1:
        raise ValueError(f"calculate_gain: maxout has {pieces} pieces; expected at least 1")
    x = np.arange(-640, 1281) / 64
    density = pieces * np.exp(-x * x / 2) * np.array([math.erfc(-v / math.sqrt(2)) / 2 for v in x]) ** (pieces - 1)
    return 1 / math.sqrt((x * x * density).sum() / (64 * math.sqrt(2 * math.pi)))


def uniform_(tensor: _T, a: float = 0.0, b: float = 1.0) -> _T:
    """Fills with values drawn uniformly from [a, b)."""
    if not a <= b:
        raise ValueError(f"uniform_: the interval is [{a}, {b}); expected a <= b")
    return _fill("uniform_", tensor, lambda shape: default_generator().uniform(a, b, shape))


def normal_(tensor: _T, mean: float = 0.0, std: float = 1.0) -> _T:
    """Fills with values drawn from the normal distribution."""
    if not std >= 0:
        raise ValueError(f"normal_: std is {std}; expected at least 0")
    return _fill("normal_", tensor, lambda shape: default_generator().normal(mean, std, shape))


def constant_(tensor: _T, val: float) -> _T:
    """Fills with one value."""
    return _fill("constant_", tensor, lambda _: val)


def ones_(tensor: _T) -> _T:
    """Fills with ones."""
    return constant_(tensor, 1.0)


def zeros_(tensor: _T) -> _T:
    """Fills with zeros."""
    return constant_(tensor, 0.0)


def xavier_uniform_(tensor: _T, gain: float = 1.0) -> _T:
    """Fills a weight uniformly from [-a, a), a = gain * sqrt(6 / (fan_in + fan_out)) (Glorot and Bengio, 2010).

    Raises:
        ValueError: the tensor has fewer than 2 dimensions.
    """
    fan_in, fan_out = _fans("xavier_uniform_", tensor)
    bound = gain * math.sqrt(6 / max(fan_in + fan_out, 1))
    return uniform_(tensor, -bound, bound)


def xavier_normal_(tensor: _T, gain: float = 1.0) -> _T:
    """Fills a weight from a normal distribution, std = gain * sqrt(2 / (fan_in + fan_out)) (Glorot and Bengio, 2010).

    Raises:
        ValueError: the tensor has fewer than 2 dimensions.
    """
    fan_in, fan_out = _fans("xavier_normal_", tensor)
    return normal_(tensor, 0.0, gain * math.sqrt(2 / max(fan_in + fan_out, 1)))


def kaiming_uniform_(tensor: _T, a: float = 0, mode: str = "fan_in", nonlinearity: str = "leaky_relu") -> _T:
    """Fills a weight uniformly from [-b, b), b = gain * sqrt(3 / fan) (He et al., 2015).

    Args:
        tensor: the weight.
        a: the negative slope of the leaky ReLU that follows; used with `nonlinearity="leaky_relu"` only.
        mode: "fan_in" keeps the variance of the forward pass, "fan_out" that of the backward pass.
        nonlinearity: a name that `calculate_gain` knows.

    Raises:
        ValueError: the tensor has fewer than 2 dimensions, or mode or nonlinearity is unknown.

    Example:
        >>> from fastnn import nn
        >>> conv = nn.Conv2d(3, 8, 3)
        >>> w = nn.init.kaiming_uniform_(conv.weight, nonlinearity="relu")
    """
    bound = math.sqrt(3) * _kaiming_std("kaiming_uniform_", tensor, a, mode, nonlinearity)
    return uniform_(tensor, -bound, bound)


def kaiming_normal_(tensor: _T, a: float = 0, mode: str = "fan_in", nonlinearity: str = "leaky_relu") -> _T:
    """Fills a weight from a normal distribution, std = gain / sqrt(fan) (He et al., 2015).

    Arguments and errors are those of `kaiming_uniform_`.
    """
    return normal_(tensor, 0.0, _kaiming_std("kaiming_normal_", tensor, a, mode, nonlinearity))


def _kaiming_std(name: str, tensor: Tensor, a: float, mode: str, nonlinearity: str) -> float:
    if mode not in ("fan_in", "fan_out"):
        raise ValueError(f"{name}: mode is {mode!r}; expected 'fan_in' or 'fan_out'")
    fan = _fans(name, tensor)[mode == "fan_out"]
    return calculate_gain(nonlinearity, a) / math.sqrt(max(fan, 1))


def _fans(name: str, tensor: Tensor) -> tuple[int, int]:
    _check(name, tensor)
    shape = tensor.shape
    if len(shape) < 2:
        raise ValueError(f"{name}: the tensor has shape {shape}; a fan needs at least 2 dimensions")
    kernel = math.prod(shape[2:])
    return shape[1] * kernel, shape[0] * kernel


def _check(name: str, tensor: Tensor) -> None:
    if not isinstance(tensor, Tensor):
        raise TypeError(f"{name}: got {type(tensor).__name__}; expected a Tensor")
    if tensor.dtype.kind != "f":
        raise TypeError(f"{name}: the tensor has dtype {tensor.dtype}; expected a floating-point one")


def _fill(name: str, tensor: _T, values: Callable[[tuple[int, ...]], Any]) -> _T:
    _check(name, tensor)
    run_deferred()  # with the values that they were to see
    if tensor.data.flags.c_contiguous:  # block by block: the same numbers, without a float64 copy of a large weight
        elements = tensor.data.reshape(-1)
        for start in range(0, elements.size, _BLOCK):
            block = elements[start : start + _BLOCK]
            np.copyto(block, values(block.shape))
    else:
        np.copyto(tensor.data, values(tensor.shape))
    tensor._version += 1
    return tensor
