"""The float64 oracle of activation functions beyond ReLU, sigmoid and tanh, and of what makes one value of several.

Backward functions take the input x, whatever the kernels are told by.
"""

import math

import numpy as np

from reference import dropout_words, in_float64, sigmoid_forward

SELU_ALPHA, SELU_SCALE = 1.6732632423543772848170429916717, 1.0507009873554804934193349852946


@in_float64
def leaky_relu_forward(x, negative_slope=0.01):
    return np.where(x > 0, x, negative_slope * x)


@in_float64
def leaky_relu_backward(dy, x, negative_slope=0.01):
    return np.where(x > 0, dy, negative_slope * dy)


@in_float64
def elu_forward(x, alpha=1.0):
    return np.where(x > 0, x, alpha * np.expm1(np.minimum(x, 0)))


@in_float64
def elu_backward(dy, x, alpha=1.0):
    return dy * np.where(x > 0, 1, alpha * np.exp(np.minimum(x, 0)))


@in_float64
def softsign_forward(x):
    return x / (1 + np.abs(x))


@in_float64
def softsign_backward(dy, x):
    return dy / (1 + np.abs(x)) ** 2


@in_float64
def silu_forward(x):
    return x * sigmoid_forward(x)


@in_float64
def silu_backward(dy, x):
    s = sigmoid_forward(x)
    return dy * (s + x * s * (1 - s))


@in_float64
def gelu_forward(x, approximate="none"):
    if approximate == "tanh":
        return x * sigmoid_forward(np.sqrt(8 / np.pi) * (x + 0.044715 * x**3))
    return x * np.vectorize(math.erfc, otypes=[float])(-x / np.sqrt(2)) / 2


@in_float64
def gelu_backward(dy, x, approximate="none"):
    if approximate == "tanh":
        s = sigmoid_forward(np.sqrt(8 / np.pi) * (x + 0.044715 * x**3))
        return dy * (s + x * s * (1 - s) * np.sqrt(8 / np.pi) * (1 + 3 * 0.044715 * x**2))
    probability = np.vectorize(math.erfc, otypes=[float])(-x / np.sqrt(2)) / 2
    return dy * (probability + x * np.exp(-(x**2) / 2) / np.sqrt(2 * np.pi))


@in_float64
def selu_forward(x):
    return SELU_SCALE * np.where(x > 0, x, SELU_ALPHA * np.expm1(np.minimum(x, 0)))


@in_float64
def selu_backward(dy, x):
    return dy * SELU_SCALE * np.where(x > 0, 1, SELU_ALPHA * np.exp(np.minimum(x, 0)))


@in_float64
def celu_forward(x, alpha=1.0):
    return np.where(x > 0, x, alpha * np.expm1(np.minimum(x, 0) / alpha))


@in_float64
def celu_backward(dy, x, alpha=1.0):
    return dy * np.where(x > 0, 1, np.exp(np.minimum(x, 0) / alpha))


@in_float64
def softplus_forward(x, beta=1.0, threshold=20.0):
    return np.where(beta * x > threshold, x, np.logaddexp(0, beta * x) / beta)


@in_float64
def softplus_backward(dy, x, beta=1.0, threshold=20.0):
    return dy * np.where(beta * x > threshold, 1, sigmoid_forward(beta * x))


@in_float64
def logsigmoid_forward(x):
    return -np.logaddexp(0, -x)


@in_float64
def logsigmoid_backward(dy, x):
    return dy * sigmoid_forward(-x)


@in_float64
def mish_forward(x):
    return x * np.tanh(np.logaddexp(0, x))


@in_float64
def mish_backward(dy, x):
    t = np.tanh(np.logaddexp(0, x))
    return dy * (t + x * (1 - t) * (1 + t) * sigmoid_forward(x))


@in_float64
def hardtanh_forward(x, min_val=-1.0, max_val=1.0):
    return np.minimum(np.maximum(x, min_val), max_val)


@in_float64
def hardtanh_backward(dy, x, min_val=-1.0, max_val=1.0):
    return np.where((x > min_val) & (x < max_val), dy, 0)


@in_float64
def hardsigmoid_forward(x):
    return np.clip(x + 3, 0, 6) / 6


@in_float64
def hardsigmoid_backward(dy, x):
    return np.where((x > -3) & (x < 3), dy / 6, 0)


@in_float64
def hardswish_forward(x):
    return x * np.clip(x + 3, 0, 6) / 6


@in_float64
def hardswish_backward(dy, x):
    return dy * np.select([x <= -3, x >= 3], [0, 1], x / 3 + 0.5)


@in_float64
def threshold_forward(x, threshold, value):
    return np.where(x <= threshold, value, x)


@in_float64
def threshold_backward(dy, x, threshold, value):
    return np.where(x <= threshold, 0, dy)


@in_float64
def softshrink_forward(x, lambd=0.5):
    return np.select([x > lambd, x < -lambd], [x - lambd, x + lambd], 0)


@in_float64
def softshrink_backward(dy, x, lambd=0.5):
    return np.where(np.abs(x) > lambd, dy, 0)


@in_float64
def hardshrink_forward(x, lambd=0.5):
    return np.where(np.abs(x) > lambd, x, 0)


@in_float64
def hardshrink_backward(dy, x, lambd=0.5):
    return np.where(np.abs(x) > lambd, dy, 0)


@in_float64
def tanhshrink_forward(x):
    return x - np.tanh(x)


@in_float64
def tanhshrink_backward(dy, x):
    return dy * np.tanh(x) ** 2


@in_float64
def prelu_forward(x, w):
    return np.where(x > 0, x, w.reshape(-1, *(1,) * (x.ndim - 2)) * x)


@in_float64
def prelu_backward(dy, x, w):
    """(dx, dw)."""
    dx = np.where(x > 0, dy, w.reshape(-1, *(1,) * (x.ndim - 2)) * dy)
    products = np.where(x > 0, 0, x * dy)
    if w.size == 1:
        return dx, products.sum().reshape(1)
    return dx, products.sum(axis=tuple(k for k in range(x.ndim) if k != 1))


def rrelu_slopes(count, lower, upper, seed):
    """The slopes of `count` elements in the order of memory."""
    return lower + (upper - lower) * np.floor(dropout_words(count, seed) / 256) / 2.0**24


def maxout_forward(x, pieces, axis):
    """(y, the place of the winner): the last NaN, else the first maximum."""
    shape = (*x.shape[:axis], x.shape[axis] // pieces, pieces, *x.shape[axis + 1 :])
    groups = np.moveaxis(x.reshape(shape), axis + 1, 0)
    y, winner = groups[0].copy(), np.zeros(groups[0].shape, int)
    for j in range(1, pieces):
        better = (groups[j] > y) | np.isnan(groups[j])
        y, winner = np.where(better, groups[j], y), np.where(better, j, winner)
    return y, winner


def maxout_backward(dy, winner, pieces, axis):
    won = np.stack([np.where(winner == j, dy, 0) for j in range(pieces)], axis + 1)
    return won.reshape(*dy.shape[:axis], dy.shape[axis] * pieces, *dy.shape[axis + 1 :])
