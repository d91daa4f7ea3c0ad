"""How far gradients reach back through time."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from ...arrays import Array
from ...joining import cat
from ...tensor import Tensor, enable_grad, expect_tensors

__all__ = ["gradient_norms"]


def gradient_norms(module: Any, x: Tensor, loss: Callable[[Tensor], Tensor]) -> Array:
    """The norm of dL/dh_t for each layer and each step t of a recurrent module.

    Where it falls towards early steps the gradient vanishes, where it grows it explodes (Hochreiter, 1991; Bengio,
    Simard, Frasconi, 1994; Pascanu, Mikolov, Bengio, 2013): what happened there hardly reaches the parameters, or
    drowns everything else.

    Args:
        module: `nn.RNN`, `nn.LSTM` or `nn.GRU`, in one direction; it runs step by step, without dropout.
        x: its input, (T, N, I), or (N, T, I) with `batch_first`.
        loss: maps the outputs (T, N, H), or (N, T, H) with `batch_first`, to a tensor of one element.

    Returns:
        (num_layers, T), float64: the norm over the batch and the units. As with `Tensor.backward`, the gradients of
        parameters are added to their `grad`.

    Raises:
        TypeError: `module` is no recurrent module, or `x` not a tensor.
        ValueError: the module is bidirectional, or `x` is no batch of sequences.

    Example:
        >>> import fastnn
        >>> from fastnn import nn
        >>> norms = nn.utils.gradient_norms(nn.RNN(3, 8), fastnn.randn(50, 4, 3), lambda y: y[-1].sum())
        >>> norms.shape, bool(norms[0, 0] < norms[0, -1])
        ((1, 50), True)
    """
    from ..rnn import Recurrent

    if not isinstance(module, Recurrent):
        raise TypeError(f"gradient_norms: module is {type(module).__name__}; expected nn.RNN, nn.LSTM or nn.GRU")
    expect_tensors("gradient_norms", x=x)
    if module.bidirectional:
        raise ValueError("gradient_norms: module is bidirectional; expected one that reads in one direction")
    if x.ndim != 3 or not x.shape[0] or not x.shape[1]:
        raise ValueError(f"gradient_norms: x has shape {x.shape}; expected a batch of sequences")
    layers = []
    with enable_grad():
        data = Tensor(x.data, requires_grad=True)
        data = data.transpose(0, 1) if module.batch_first else data
        for layer in range(module.num_layers):
            steps: list[Tensor] = []
            states: tuple[Tensor, ...] = ()
            for t in range(data.shape[0]):
                y, _, *others = module.one_layer(layer, data[t : t + 1], states)
                y.retain_grad()
                states = (y, *others)  # h_t is y: used as the state, too, it gathers the whole gradient of h_t
                steps.append(y)
            layers.append(steps)
            data = cat(steps)
        loss(data.transpose(0, 1) if module.batch_first else data).backward()
    return np.array([[_norm(y) for y in steps] for steps in layers], np.float64)


def _norm(h: Tensor) -> float:
    return 0.0 if h.grad is None else float(np.linalg.norm(h.grad.data))
