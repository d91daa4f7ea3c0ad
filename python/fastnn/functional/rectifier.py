"""Rectifiers and other piecewise activation functions, element-wise. Any shape -> the same shape.

Where there is `inplace`, it is taken for PyTorch's sake: the input is never changed.
"""

from __future__ import annotations

import numpy as np

from .. import ops
from ..deferred import Deferred
from ..random import draw_seed
from ..tensor import Array, Tensor, expect_numbers, expect_tensors, record


def relu(x: Tensor, inplace: bool = False) -> Tensor:
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


def prelu(x: Tensor, weight: Tensor) -> Tensor:
    """The rectifier with slopes that are learnt: x where it is positive, else `weight` * x (He et al., 2015).

    Args:
        x: (N, C, ...), any shape for one slope.
        weight: the slope of each channel (C,), or one for all (1,).

    Raises:
        ValueError: `weight` has another shape.
        TypeError: element types other than float32 and float64, or different ones.

    Example:
        >>> import fastnn
        >>> x = fastnn.tensor([[-1.0, -1.0], [2.0, 2.0]])
        >>> fastnn.functional.prelu(x, fastnn.tensor([0.5, 0.25]))
        tensor([[-0.5 , -0.25],
                [ 2.  ,  2.  ]])
    """
    expect_tensors("prelu", x=x, weight=weight)
    shape, w = x.shape, weight.data
    if w.ndim > 1:
        raise ValueError(f"prelu: weight has shape {w.shape}; expected one dimension")
    channels = shape[1] if len(shape) > 1 else 1
    if w.size not in (1, channels):
        raise ValueError(f"prelu: weight has {w.size} elements, x of shape {shape} has {channels} channels")
    slopes, rows = w.reshape(-1), x.data
    if w.size > 1 and len(shape) not in (2, 4):  # as images of one row
        rows = rows.reshape(*shape[:2], 1, -1)
    y = ops.prelu_forward(rows, slopes)
    dw_wanted = weight.requires_grad

    def backward(dy: Array) -> tuple[Array, Array | None]:
        dx, dw = ops.prelu_backward(dy.reshape(rows.shape), rows, slopes, dw_wanted)
        return dx.reshape(shape), None if dw is None else dw.reshape(w.shape)

    return record(y.reshape(shape), backward, x, weight)


def rrelu(
    x: Tensor, lower: float = 1 / 8, upper: float = 1 / 3, training: bool = False, inplace: bool = False
) -> Tensor:
    """The rectifier with random slopes (Xu, Wang, Chen, Li, 2015): x where it is positive, else a slope times x.

    In training each element has a slope of its own, drawn uniformly from [lower, upper]; otherwise it is their mean.
    Each call takes 64 bits from the generator that `fastnn.manual_seed` seeds. They and the place of an element in
    memory decide on its slope, and backward decides anew, so that no slopes are kept.

    Args:
        x: the input, float32 or float64.
        lower: the smallest slope.
        upper: the largest one.
        training: whether to draw.
        inplace: taken for PyTorch's sake; the input is never changed.

    Raises:
        ValueError: the bounds are not finite, or `lower` is above `upper`.

    Example:
        >>> import fastnn
        >>> fastnn.functional.rrelu(fastnn.tensor([-2.0, 3.0]), 0.25, 0.75)
        tensor([-1.,  3.])
    """
    expect_tensors("rrelu", x=x)
    check_slopes("rrelu", lower, upper)
    if not training:
        return leaky_relu(x, (lower + upper) / 2)
    data, seed = x.data, draw_seed()
    y = ops.rrelu_forward(data, lower, upper, seed)
    return record(y, lambda dy: ops.rrelu_backward(dy, data, lower, upper, seed), x)


def check_slopes(name: str, lower: float, upper: float) -> None:
    """Raises an error that names the bounds of `rrelu` where they are not finite numbers in order."""
    expect_numbers(name, lower=lower, upper=upper)
    if not (np.isfinite(lower) and np.isfinite(upper) and lower <= upper):
        raise ValueError(f"{name}: lower is {lower}, upper {upper}; expected finite numbers with lower <= upper")


def elu(x: Tensor, alpha: float = 1.0, inplace: bool = False) -> Tensor:
    """The exponential linear unit: x where it is positive, else `alpha` * (exp(x) - 1) (Clevert et al., 2015).

    Args:
        x: the input, float32 or float64.
        alpha: minus the limit for negative x.
        inplace: taken for PyTorch's sake; the input is never changed.

    Example:
        >>> import fastnn
        >>> fastnn.functional.elu(fastnn.tensor([-100.0, 2.0]))
        tensor([-1.,  2.])
    """
    expect_tensors("elu", x=x)
    expect_numbers("elu", alpha=alpha)
    data = x.data
    y = ops.elu_forward(data, alpha)
    saved = y if alpha >= 0 else data  # the sign of y no longer tells that of x
    return record(y, lambda dy: ops.elu_backward(dy, saved, alpha), x)


def selu(x: Tensor, inplace: bool = False) -> Tensor:
    """The self-normalizing unit scale * elu(x, alpha) (Klambauer, Unterthiner, Mayr, Hochreiter, 2017).

    With scale = 1.0507... and alpha = 1.6732..., mean 0 and variance 1 are what the activations of a deep network with
    normally distributed weights (variance 1 / fan-in) move towards.

    Example:
        >>> import fastnn
        >>> fastnn.functional.selu(fastnn.tensor([-100.0, 0.0, 1.0]))
        tensor([-1.7581,  0.    ,  1.0507])
    """
    expect_tensors("selu", x=x)
    y = ops.selu_forward(x.data)
    return record(y, lambda dy: ops.selu_backward(dy, y), x)


def celu(x: Tensor, alpha: float = 1.0, inplace: bool = False) -> Tensor:
    """ELU of slope 1 on both sides of 0: x where it is positive, else `alpha` * (exp(x / alpha) - 1) (Barron, 2017).

    Args:
        x: the input, float32 or float64.
        alpha: minus the limit for negative x.
        inplace: taken for PyTorch's sake; the input is never changed.

    Raises:
        ValueError: `alpha` is 0.

    Example:
        >>> import fastnn
        >>> fastnn.functional.celu(fastnn.tensor([-100.0, 2.0]), 0.5)
        tensor([-0.5,  2. ])
    """
    expect_tensors("celu", x=x)
    expect_numbers("celu", alpha=alpha)
    y = ops.celu_forward(x.data, alpha)
    return record(y, lambda dy: ops.celu_backward(dy, y, alpha), x)


def hardtanh(x: Tensor, min_val: float = -1.0, max_val: float = 1.0, inplace: bool = False) -> Tensor:
    """min(max(x, min_val), max_val); NaN stays NaN. The gradient is 0 at both bounds.

    Args:
        x: the input, float32 or float64.
        min_val: the smallest result.
        max_val: the largest one.
        inplace: taken for PyTorch's sake; the input is never changed.

    Raises:
        ValueError: `min_val` is above `max_val`.

    Example:
        >>> import fastnn
        >>> fastnn.functional.hardtanh(fastnn.tensor([-3.0, 0.5, 3.0]))
        tensor([-1. ,  0.5,  1. ])
    """
    expect_tensors("hardtanh", x=x)
    expect_numbers("hardtanh", min_val=min_val, max_val=max_val)
    y = ops.hardtanh_forward(x.data, min_val, max_val)
    return record(y, lambda dy: ops.hardtanh_backward(dy, y, min_val, max_val), x)


def relu6(x: Tensor, inplace: bool = False) -> Tensor:
    """min(max(x, 0), 6).

    Example:
        >>> import fastnn
        >>> fastnn.functional.relu6(fastnn.tensor([-1.0, 2.0, 7.0]))
        tensor([0., 2., 6.])
    """
    expect_tensors("relu6", x=x)
    return hardtanh(x, 0.0, 6.0)


def hardsigmoid(x: Tensor, inplace: bool = False) -> Tensor:
    """min(max(x + 3, 0), 6) / 6, straight lines in the place of the sigmoid.

    Example:
        >>> import fastnn
        >>> fastnn.functional.hardsigmoid(fastnn.tensor([-4.0, 0.0, 1.5]))
        tensor([0.  , 0.5 , 0.75])
    """
    expect_tensors("hardsigmoid", x=x)
    data = x.data
    return record(ops.hardsigmoid_forward(data), lambda dy: ops.hardsigmoid_backward(dy, data), x)


def hardswish(x: Tensor, inplace: bool = False) -> Tensor:
    """Swish of straight lines, x * hardsigmoid(x) (Howard et al.: Searching for MobileNetV3, 2019).

    Example:
        >>> import fastnn
        >>> fastnn.functional.hardswish(fastnn.tensor([-4.0, 1.5, 4.0]))
        tensor([-0.   ,  1.125,  4.   ])
    """
    expect_tensors("hardswish", x=x)
    data = x.data
    return record(ops.hardswish_forward(data), lambda dy: ops.hardswish_backward(dy, data), x)


def threshold(x: Tensor, threshold: float, value: float, inplace: bool = False) -> Tensor:
    """The identity above `threshold`, `value` up to there.

    Example:
        >>> import fastnn
        >>> fastnn.functional.threshold(fastnn.tensor([-1.0, 0.5, 2.0]), 1.0, 9.0)
        tensor([9., 9., 2.])
    """
    expect_tensors("threshold", x=x)
    expect_numbers("threshold", threshold=threshold, value=value)
    data = x.data
    y = ops.threshold_forward(data, threshold, value)
    return record(y, lambda dy: ops.threshold_backward(dy, data, threshold, value), x)


def softshrink(x: Tensor, lambd: float = 0.5) -> Tensor:
    """Moves x towards 0 by `lambd`; 0 where it is nearer than that.

    Raises:
        ValueError: `lambd` is negative or not finite.

    Example:
        >>> import fastnn
        >>> fastnn.functional.softshrink(fastnn.tensor([-2.0, 0.25, 2.0]))
        tensor([-1.5,  0. ,  1.5])
    """
    expect_tensors("softshrink", x=x)
    expect_numbers("softshrink", lambd=lambd)
    data = x.data
    return record(ops.softshrink_forward(data, lambd), lambda dy: ops.softshrink_backward(dy, data, lambd), x)


def hardshrink(x: Tensor, lambd: float = 0.5) -> Tensor:
    """0 where -lambd <= x <= lambd, else x.

    Example:
        >>> import fastnn
        >>> fastnn.functional.hardshrink(fastnn.tensor([-2.0, 0.25, 2.0]))
        tensor([-2.,  0.,  2.])
    """
    expect_tensors("hardshrink", x=x)
    expect_numbers("hardshrink", lambd=lambd)
    data = x.data
    return record(ops.hardshrink_forward(data, lambd), lambda dy: ops.hardshrink_backward(dy, data, lambd), x)
