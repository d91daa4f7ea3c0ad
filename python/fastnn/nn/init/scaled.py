"""Fills a weight with random numbers on the scale that its numbers of inputs and outputs ask for."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, TypeVar

import numpy as np

from ...tensor import Tensor, expect_numbers
from .distributions import check_real, normal_, uniform_

if TYPE_CHECKING:
    from numpy.random import Generator

_T = TypeVar("_T", bound=Tensor)

_GAINS: dict[str, float] = {
    **dict.fromkeys(("linear", "conv1d", "conv2d", "conv3d", "sigmoid"), 1.0),
    **dict.fromkeys(("conv_transpose1d", "conv_transpose2d", "conv_transpose3d"), 1.0),
    "tanh": 5 / 3,
    "relu": math.sqrt(2),
    "selu": 3 / 4,
}


def calculate_gain(nonlinearity: str, param: float | None = None) -> float:
    """The factor by which weights in front of this nonlinearity are scaled to keep the variance of the signal.

    | nonlinearity | gain |
    |---|---|
    | linear, conv1d, conv2d, conv3d, conv_transpose1d, conv_transpose2d, conv_transpose3d, sigmoid | 1 |
    | tanh | 5/3 |
    | relu | sqrt(2) |
    | leaky_relu | sqrt(2 / (1 + param^2)), param = 0.01 by default |
    | selu | 3/4 |
    | maxout | 1 / sqrt(E[M^2]), M the largest of param normal variables, param = 2 by default |

    Raises:
        ValueError: there is no such nonlinearity in the table, or `param` is not what it takes.
    """
    if nonlinearity == "leaky_relu":
        if isinstance(param, bool) or not isinstance(param, (int, float, type(None))):
            raise ValueError(f"calculate_gain: param is {param!r}; expected the negative slope, a number")
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
    if isinstance(pieces, bool) or not isinstance(pieces, (int, float)):
        raise ValueError(f"calculate_gain: param is {pieces!r}; expected the number of maxout's pieces")
    if not 1 <= pieces < math.inf:
        raise ValueError(f"calculate_gain: maxout has {pieces} pieces; expected at least 1")
    x = np.arange(-640, 1281) / 64
    density = pieces * np.exp(-x * x / 2) * np.array([math.erfc(-v / math.sqrt(2)) / 2 for v in x]) ** (pieces - 1)
    return 1 / math.sqrt((x * x * density).sum() / (64 * math.sqrt(2 * math.pi)))


def xavier_uniform_(tensor: _T, gain: float = 1.0, generator: Generator | None = None) -> _T:
    """Fills a weight uniformly from [-a, a), a = gain * sqrt(6 / (fan_in + fan_out)) (Glorot and Bengio, 2010).

    Raises:
        ValueError: the tensor has fewer than 2 dimensions.
    """
    expect_numbers("xavier_uniform_", gain=gain)
    fan_in, fan_out = _fans("xavier_uniform_", tensor)
    bound = gain * math.sqrt(6 / max(fan_in + fan_out, 1))
    return uniform_(tensor, -bound, bound, generator)


def xavier_normal_(tensor: _T, gain: float = 1.0, generator: Generator | None = None) -> _T:
    """Fills a weight from a normal distribution, std = gain * sqrt(2 / (fan_in + fan_out)) (Glorot and Bengio, 2010).

    Raises:
        ValueError: the tensor has fewer than 2 dimensions.
    """
    expect_numbers("xavier_normal_", gain=gain)
    fan_in, fan_out = _fans("xavier_normal_", tensor)
    return normal_(tensor, 0.0, gain * math.sqrt(2 / max(fan_in + fan_out, 1)), generator)


def kaiming_uniform_(
    tensor: _T,
    a: float = 0,
    mode: str = "fan_in",
    nonlinearity: str = "leaky_relu",
    generator: Generator | None = None,
) -> _T:
    """Fills a weight uniformly from [-b, b), b = gain * sqrt(3 / fan) (He et al., 2015).

    Args:
        tensor: the weight.
        a: the negative slope of the leaky ReLU that follows; used with `nonlinearity="leaky_relu"` only.
        mode: "fan_in" keeps the variance of the forward pass, "fan_out" that of the backward pass.
        nonlinearity: a name that `calculate_gain` knows.
        generator: where the random numbers come from; that of `fastnn.manual_seed` by default.

    Raises:
        ValueError: the tensor has fewer than 2 dimensions, or mode or nonlinearity is unknown.

    Example:
        >>> from fastnn import nn
        >>> conv = nn.Conv2d(3, 8, 3)
        >>> w = nn.init.kaiming_uniform_(conv.weight, nonlinearity="relu")
    """
    bound = math.sqrt(3) * _kaiming_std("kaiming_uniform_", tensor, a, mode, nonlinearity)
    return uniform_(tensor, -bound, bound, generator)


def kaiming_normal_(
    tensor: _T,
    a: float = 0,
    mode: str = "fan_in",
    nonlinearity: str = "leaky_relu",
    generator: Generator | None = None,
) -> _T:
    """Fills a weight from a normal distribution, std = gain / sqrt(fan) (He et al., 2015).

    Arguments and errors are those of `kaiming_uniform_`.
    """
    return normal_(tensor, 0.0, _kaiming_std("kaiming_normal_", tensor, a, mode, nonlinearity), generator)


def lecun_uniform_(tensor: _T, generator: Generator | None = None) -> _T:
    """Fills a weight uniformly from [-a, a), a = sqrt(3 / fan_in) (LeCun et al., 1998): sums of inputs keep variance 1.

    Raises:
        ValueError: the tensor has fewer than 2 dimensions.
    """
    bound = math.sqrt(3 / max(_fans("lecun_uniform_", tensor)[0], 1))
    return uniform_(tensor, -bound, bound, generator)


def lecun_normal_(tensor: _T, generator: Generator | None = None) -> _T:
    """Fills a weight from a normal distribution, std = 1 / sqrt(fan_in) (LeCun et al., 1998); for SELU, too.

    Raises:
        ValueError: the tensor has fewer than 2 dimensions.
    """
    return normal_(tensor, 0.0, 1 / math.sqrt(max(_fans("lecun_normal_", tensor)[0], 1)), generator)


def standard_uniform_(tensor: _T, generator: Generator | None = None) -> _T:
    """Fills a weight uniformly from [-a, a), a = 1 / sqrt(fan_in).

    The heuristic that Glorot and Bengio (2010, equation 1) found in common use and compare theirs with: the variance
    of a layer's output is a third of that of its input, so that signals and gradients fade from layer to layer.

    Raises:
        ValueError: the tensor has fewer than 2 dimensions.
    """
    bound = 1 / math.sqrt(max(_fans("standard_uniform_", tensor)[0], 1))
    return uniform_(tensor, -bound, bound, generator)


def _kaiming_std(name: str, tensor: Tensor, a: float, mode: str, nonlinearity: str) -> float:
    if mode not in ("fan_in", "fan_out"):
        raise ValueError(f"{name}: mode is {mode!r}; expected 'fan_in' or 'fan_out'")
    fan = _fans(name, tensor)[mode == "fan_out"]
    return calculate_gain(nonlinearity, a) / math.sqrt(max(fan, 1))


def _fans(name: str, tensor: Tensor) -> tuple[int, int]:
    check_real(name, tensor)
    shape = tensor.shape
    if len(shape) < 2:
        raise ValueError(f"{name}: the tensor has shape {shape}; a fan needs at least 2 dimensions")
    kernel = math.prod(shape[2:])
    return shape[1] * kernel, shape[0] * kernel
