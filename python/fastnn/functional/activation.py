"""Smooth activation functions, element-wise. Any shape -> the same shape."""

from __future__ import annotations

from .. import ops
from ..tensor import Tensor, expect_numbers, expect_tensors, record


def sigmoid(x: Tensor) -> Tensor:
    """1 / (1 + exp(-x)), accurate to the last digits for negative x, too.

    Example:
        >>> import fastnn
        >>> fastnn.functional.sigmoid(fastnn.tensor([-100.0, 0.0, 100.0]))
        tensor([0. , 0.5, 1. ])
    """
    expect_tensors("sigmoid", x=x)
    y = ops.sigmoid_forward(x.data)
    return record(y, lambda dy: ops.sigmoid_backward(dy, y), x)


def tanh(x: Tensor) -> Tensor:
    """The hyperbolic tangent.

    Example:
        >>> import fastnn
        >>> fastnn.functional.tanh(fastnn.tensor([-100.0, 0.0, 100.0]))
        tensor([-1.,  0.,  1.])
    """
    expect_tensors("tanh", x=x)
    y = ops.tanh_forward(x.data)
    return record(y, lambda dy: ops.tanh_backward(dy, y), x)


def softsign(x: Tensor) -> Tensor:
    """The soft sign, x / (1 + abs(x)).

    Example:
        >>> import fastnn
        >>> fastnn.functional.softsign(fastnn.tensor([-1.0, 3.0]))
        tensor([-0.5 ,  0.75])
    """
    expect_tensors("softsign", x=x)
    y = ops.softsign_forward(x.data)
    return record(y, lambda dy: ops.softsign_backward(dy, y), x)


def silu(x: Tensor, inplace: bool = False) -> Tensor:
    """The sigmoid linear unit x / (1 + exp(-x)), also known as Swish; `inplace` is taken for PyTorch's sake.

    Example:
        >>> import fastnn
        >>> fastnn.functional.silu(fastnn.tensor([-100.0, 0.0, 100.0]))
        tensor([ -0.,   0., 100.])
    """
    expect_tensors("silu", x=x)
    data = x.data
    return record(ops.silu_forward(data), lambda dy: ops.silu_backward(dy, data), x)


def gelu(x: Tensor, approximate: str = "none") -> Tensor:
    """The Gaussian error linear unit (Hendrycks, Gimpel, 2016): x times the probability that X <= x, X being normal.

    Args:
        x: the input, float32 or float64.
        approximate: "none", or "tanh" for the probability (1 + tanh(sqrt(2 / pi) (x + 0.044715 x^3))) / 2.

    Raises:
        ValueError: `approximate` is neither.

    Example:
        >>> import fastnn
        >>> fastnn.functional.gelu(fastnn.tensor([-100.0, 0.0, 100.0]))
        tensor([ -0.,   0., 100.])
    """
    expect_tensors("gelu", x=x)
    if approximate not in ("none", "tanh"):
        raise ValueError(f"gelu: approximate is {approximate!r}; expected 'none' or 'tanh'")
    data = x.data
    return record(ops.gelu_forward(data, approximate), lambda dy: ops.gelu_backward(dy, data, approximate), x)


def mish(x: Tensor, inplace: bool = False) -> Tensor:
    """Mish, x * tanh(softplus(x)) (Misra, 2019), without overflow; `inplace` is taken for PyTorch's sake.

    Example:
        >>> import fastnn
        >>> fastnn.functional.mish(fastnn.tensor([-100.0, 0.0, 100.0]))
        tensor([ -0.,   0., 100.])
    """
    expect_tensors("mish", x=x)
    data = x.data
    return record(ops.mish_forward(data), lambda dy: ops.mish_backward(dy, data), x)


def softplus(x: Tensor, beta: float = 1.0, threshold: float = 20.0) -> Tensor:
    """log(1 + exp(beta * x)) / beta, a smooth max(x, 0); without overflow, whatever the threshold.

    Args:
        x: the input, float32 or float64.
        beta: how sharp the bend is.
        threshold: where beta * x is above it, the result is x itself.

    Example:
        >>> import fastnn
        >>> fastnn.functional.softplus(fastnn.tensor([-1000.0, 0.0, 1000.0]))
        tensor([0.0000e+00, 6.9315e-01, 1.0000e+03])
    """
    expect_tensors("softplus", x=x)
    expect_numbers("softplus", beta=beta, threshold=threshold)
    data = x.data
    y = ops.softplus_forward(data, beta, threshold)
    return record(y, lambda dy: ops.softplus_backward(dy, data, beta, threshold), x)


def logsigmoid(x: Tensor) -> Tensor:
    """log(sigmoid(x)), without overflow.

    Example:
        >>> import fastnn
        >>> fastnn.functional.logsigmoid(fastnn.tensor([-1000.0, 0.0, 1000.0]))
        tensor([-1.0000e+03, -6.9315e-01,  0.0000e+00])
    """
    expect_tensors("logsigmoid", x=x)
    y = ops.logsigmoid_forward(x.data)
    return record(y, lambda dy: ops.logsigmoid_backward(dy, y), x)


def tanhshrink(x: Tensor) -> Tensor:
    """What tanh takes away: x - tanh(x).

    Example:
        >>> import fastnn
        >>> fastnn.functional.tanhshrink(fastnn.tensor([-100.0, 0.0, 100.0]))
        tensor([-99.,   0.,  99.])
    """
    expect_tensors("tanhshrink", x=x)
    data = x.data
    return record(ops.tanhshrink_forward(data), lambda dy: ops.tanhshrink_backward(dy, data), x)
