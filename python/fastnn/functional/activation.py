"""Activation functions, element-wise. Any shape -> the same shape."""

from __future__ import annotations

from .. import ops
from ..deferred import Deferred
from ..tensor import Tensor, expect_numbers, expect_tensors, record


def relu(x: Tensor) -> Tensor:
    """max(x, 0); NaN stays NaN.

    Example:
        >>> import fastnn
        >>> fastnn.functional.relu(fastnn.tensor([-1.0, 2.0]))
        tensor([0., 2.])
    """
    expect_tensors("relu", x=x)
    if type(x) is Deferred and (fused := x.then_relu(relu)) is not None:
        return fused
    y = ops.relu_forward(x.data)
    return record(y, lambda dy: ops.relu_backward(dy, y), x)


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


def leaky_relu(x: Tensor, negative_slope: float = 0.01, inplace: bool = False) -> Tensor:
    """The leaky rectifier: x where it is positive, else `negative_slope` * x (Maas, Hannun, Ng, 2013).

    Args:
        x: the input, float32 or float64.
        negative_slope: the slope for negative x.
        inplace: taken for PyTorch's sake; the input is never changed.

    Example:
        >>> import fastnn
        >>> fastnn.functional.leaky_relu(fastnn.tensor([-1.0, 2.0]), 0.5)
        tensor([-0.5,  2. ])
    """
    expect_tensors("leaky_relu", x=x)
    expect_numbers("leaky_relu", negative_slope=negative_slope)
    data = x.data
    y = ops.leaky_relu_forward(data, negative_slope)
    saved = y if negative_slope >= 0 else data  # the sign of y no longer tells that of x
    return record(y, lambda dy: ops.leaky_relu_backward(dy, saved, negative_slope), x)


def elu(x: Tensor, alpha: float = 1.0, inplace: bool = False) -> Tensor:
    """The exponential linear unit: x where it is positive, else `alpha` * (exp(x) - 1) (Clevert et al., 2015).

    Args:
        x: the input, float32 or float64.
        alpha: minus the limit for negative x, at least 0.
        inplace: taken for PyTorch's sake; the input is never changed.

    Raises:
        ValueError: `alpha` is negative.

    Example:
        >>> import fastnn
        >>> fastnn.functional.elu(fastnn.tensor([-100.0, 2.0]))
        tensor([-1.,  2.])
    """
    expect_tensors("elu", x=x)
    expect_numbers("elu", alpha=alpha)
    if not alpha >= 0:
        raise ValueError(f"elu: alpha is {alpha}; expected at least 0")
    y = ops.elu_forward(x.data, alpha)
    return record(y, lambda dy: ops.elu_backward(dy, y, alpha), x)


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
