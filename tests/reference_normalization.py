"""The float64 oracle of the normalizations that look at one sample at a time (see reference.py)."""

import numpy as np

from reference import in_float64


def windows(C, size):
    """(C, C): row c has ones at the channels of c's window."""
    c, i = np.ogrid[:C, :C]
    return ((i >= c - size // 2) & (i <= c + (size - 1) // 2)).astype(np.float64)


@in_float64
def local_response_norm_forward(x, size, alpha=1e-4, beta=0.75, k=1.0):
    s = k + alpha / size * np.einsum("ci,ni...->nc...", windows(x.shape[1], size), x * x)
    return x * s**-beta


@in_float64
def local_response_norm_backward(dy, x, size, alpha=1e-4, beta=0.75, k=1.0):
    window = windows(x.shape[1], size)
    s = k + alpha / size * np.einsum("ci,ni...->nc...", window, x * x)
    t = dy * x * s ** (-beta - 1)
    return dy * s**-beta - 2 * alpha * beta / size * x * np.einsum("ci,nc...->ni...", window, t)
