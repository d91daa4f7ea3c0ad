"""The optimizers' steps in float64, slow and obvious: the oracle for the kernels."""

import numpy as np

from reference import in_float64


@in_float64
def sgd(p, g, buf, lr, momentum, dampening, weight_decay, nesterov, maximize, first_step):
    """(p, buf) after one step of torch.optim.SGD; the first step starts buf as the gradient."""
    if maximize:
        g = -g
    if weight_decay != 0:
        g = g + weight_decay * p
    if momentum != 0:
        buf = g if first_step else momentum * buf + (1 - dampening) * g
        g = g + momentum * buf if nesterov else buf
    return p - lr * g, buf


@in_float64
def adagrad(p, g, total, step, lr, lr_decay, weight_decay, eps, maximize):
    """(p, total) after step number `step` (from 1) of torch.optim.Adagrad; total is its state "sum"."""
    g = (-g if maximize else g) + weight_decay * p
    total = total + g**2
    return p - lr / (1 + (step - 1) * lr_decay) * g / (np.sqrt(total) + eps), total


@in_float64
def rmsprop(p, g, square_avg, grad_avg, buf, lr, alpha, eps, weight_decay, momentum, centered, maximize):
    """(p, square_avg, grad_avg, buf) after one step of torch.optim.RMSprop; the state starts as zeros."""
    g = (-g if maximize else g) + weight_decay * p
    square_avg = alpha * square_avg + (1 - alpha) * g**2
    grad_avg = alpha * grad_avg + (1 - alpha) * g
    variance = square_avg - grad_avg**2 if centered else square_avg
    buf = momentum * buf + g / (np.sqrt(variance) + eps)
    return p - lr * buf, square_avg, grad_avg, buf


def _adam_averages(p, g, exp_avg, exp_avg_sq, lr, beta1, beta2, weight_decay, decoupled, maximize):
    g = -g if maximize else g
    if decoupled:
        p = (1 - lr * weight_decay) * p
    else:
        g = g + weight_decay * p
    return p, g, beta1 * exp_avg + (1 - beta1) * g, beta2 * exp_avg_sq + (1 - beta2) * g**2


@in_float64
def adam(p, g, exp_avg, exp_avg_sq, largest, step, lr, beta1, beta2, eps, weight_decay, decoupled, amsgrad, maximize):
    """(p, exp_avg, exp_avg_sq, largest) after step number `step` (from 1) of Adam or AdamW; zeros before it."""
    p, g, exp_avg, exp_avg_sq = _adam_averages(
        p, g, exp_avg, exp_avg_sq, lr, beta1, beta2, weight_decay, decoupled, maximize
    )
    largest = np.maximum(largest, exp_avg_sq)
    second = (largest if amsgrad else exp_avg_sq) / (1 - beta2**step)
    return p - lr * (exp_avg / (1 - beta1**step)) / (np.sqrt(second) + eps), exp_avg, exp_avg_sq, largest


@in_float64
def adadelta(p, g, square_avg, acc_delta, lr, rho, eps, weight_decay, maximize):
    """(p, square_avg, acc_delta) after one step of torch.optim.Adadelta; the state starts as zeros."""
    g = (-g if maximize else g) + weight_decay * p
    square_avg = rho * square_avg + (1 - rho) * g**2
    delta = np.sqrt((acc_delta + eps) / (square_avg + eps)) * g
    return p - lr * delta, square_avg, rho * acc_delta + (1 - rho) * delta**2


@in_float64
def adamax(p, g, exp_avg, exp_inf, step, lr, beta1, beta2, eps, weight_decay, maximize):
    """(p, exp_avg, exp_inf) after step number `step` (from 1) of torch.optim.Adamax; zeros before it."""
    g = (-g if maximize else g) + weight_decay * p
    exp_avg = beta1 * exp_avg + (1 - beta1) * g
    exp_inf = np.maximum(beta2 * exp_inf, np.abs(g) + eps)
    return p - lr * (exp_avg / (1 - beta1**step)) / exp_inf, exp_avg, exp_inf


@in_float64
def nadam(p, g, m, v, step, lr, beta1, beta2, eps, weight_decay, momentum_decay, decoupled, maximize):
    """(p, m, v) after step number `step` (from 1) of torch.optim.NAdam with the same options since the first."""
    p, g, m, v = _adam_averages(p, g, m, v, lr, beta1, beta2, weight_decay, decoupled, maximize)
    mu = [beta1 * (1 - 0.96 ** (t * momentum_decay) / 2) for t in range(1, step + 2)]
    first_moment = mu[-1] * m / (1 - np.prod(mu)) + (1 - mu[-2]) * g / (1 - np.prod(mu[:-1]))
    return p - lr * first_moment / (np.sqrt(v / (1 - beta2**step)) + eps), m, v


@in_float64
def radam(p, g, m, v, step, lr, beta1, beta2, eps, weight_decay, decoupled, maximize):
    """(p, m, v) after step number `step` (from 1) of torch.optim.RAdam; zeros before it."""
    p, g, m, v = _adam_averages(p, g, m, v, lr, beta1, beta2, weight_decay, decoupled, maximize)
    update = m / (1 - beta1**step)
    longest = 2 / (1 - beta2) - 1
    length = longest - 2 * step * beta2**step / (1 - beta2**step)
    if length > 5:
        update *= np.sqrt((length - 4) * (length - 2) * longest / ((longest - 4) * (longest - 2) * length))
        update *= np.sqrt(1 - beta2**step) / (np.sqrt(v) + eps)
    return p - lr * update, m, v
