"""Recurrent layers: one layer in one or two directions."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from typing import Any, TypeAlias

import numpy as np

from .. import ops
from ..tensor import Array, Tensor, expect_tensors, is_grad_enabled, record_several

Weights: TypeAlias = "Sequence[Tensor | None]"  # of one direction


def lstm(
    x: Tensor, hx: tuple[Tensor, Tensor] | None, weights: Sequence[Weights], batch_sizes: Any | None = None
) -> tuple[Tensor, Tensor, Tensor]:
    """One layer of long short-term memory over whole sequences, as `torch.nn.LSTM` with one layer.

    i, f, o = sigmoid and g = tanh of x W_ih^T + b_ih + h W_hh^T + b_hh; c = f c + i g; h = o tanh(c), or its projection
    (o tanh(c)) W_hr^T.

    Hochreiter and Schmidhuber: Long Short-Term Memory, 1997; Gers et al.: Learning to Forget, 2000; Sak et al.: Long
    Short-Term Memory Based Recurrent Neural Network Architectures, 2014 (projection).

    Args:
        x: (T, N, I); or (rows, I) with `batch_sizes`.
        hx: the initial states h0 (D, N, R) and c0 (D, N, H), or None for zeros. D is the number of directions, R the
            size of a projection or H.
        weights: for each direction, the second of which runs backwards in time, the tensors (weight_ih (4 H, I),
            weight_hh (4 H, R), bias_ih (4 H,), bias_hh (4 H,), weight_hr (R, H)), the gates in the order i f g o. Both
            biases may be None, weight_hr None or left out.
        batch_sizes: of packed sequences, the number of rows of each time step: positive and not increasing.

    Returns:
        y (T, N, D R) or (rows, D R), h_n (D, N, R) and c_n (D, N, H), the states behind each sequence's last step (its
        first one in the second direction).

    Raises:
        TypeError: element types other than float32 and float64, or different ones.
        ValueError: shapes that do not fit together; no time steps; an empty batch.

    Example:
        >>> import fastnn, fastnn.nn.functional as F
        >>> weights = [(fastnn.ones(8, 3), fastnn.ones(8, 2), None, None)]
        >>> y, h_n, c_n = F.lstm(fastnn.ones(5, 4, 3), None, weights)
        >>> y.shape, h_n.shape, c_n.shape
        ((5, 4, 2), (1, 4, 2), (1, 4, 2))
    """
    weights = [(*w, None) if len(w) == 4 else w for w in weights]
    y, h_n, c_n = _layer("lstm", x, hx or (), 2, weights, 5, batch_sizes, ops.lstm_forward, ops.lstm_backward)
    return y, h_n, c_n


def gru(
    x: Tensor, hx: Tensor | None, weights: Sequence[Weights], batch_sizes: Any | None = None
) -> tuple[Tensor, Tensor]:
    """One layer of gated recurrent units over whole sequences, as `torch.nn.GRU` with one layer.

    r, z = sigmoid of x W_ih^T + b_ih + h W_hh^T + b_hh; n = tanh(x W_in^T + b_in + r (h W_hn^T + b_hn));
    h = (1 - z) n + z h.

    Cho et al.: Learning Phrase Representations using RNN Encoder-Decoder, 2014; the reset gate behind the product as in
    cuDNN.

    Args:
        x: (T, N, I); or (rows, I) with `batch_sizes`.
        hx: the initial state (D, N, H), or None for zeros. D is the number of directions.
        weights: for each direction, the second of which runs backwards in time, the tensors (weight_ih (3 H, I),
            weight_hh (3 H, H), bias_ih (3 H,), bias_hh (3 H,)), the gates in the order r z n. Both biases may be None.
        batch_sizes: of packed sequences, the number of rows of each time step: positive and not increasing.

    Returns:
        y (T, N, D H) or (rows, D H), and h_n (D, N, H), the state behind each sequence's last step (its first one in
        the second direction).

    Raises:
        TypeError, ValueError: as `lstm`.

    Example:
        >>> import fastnn, fastnn.nn.functional as F
        >>> y, h_n = F.gru(fastnn.ones(5, 4, 3), None, [(fastnn.ones(6, 3), fastnn.ones(6, 2), None, None)])
        >>> y.shape, h_n.shape
        ((5, 4, 2), (1, 4, 2))
    """
    states = () if hx is None else (hx,)
    y, h_n = _layer("gru", x, states, 1, weights, 4, batch_sizes, ops.gru_forward, ops.gru_backward)
    return y, h_n


def rnn(
    x: Tensor,
    hx: Tensor | None,
    weights: Sequence[Weights],
    batch_sizes: Any | None = None,
    nonlinearity: str = "tanh",
) -> tuple[Tensor, Tensor]:
    """One plain recurrent layer over whole sequences, as `torch.nn.RNN` with one layer.

    h = tanh (or relu) of x W_ih^T + b_ih + h W_hh^T + b_hh.

    Elman: Finding Structure in Time, 1990.

    Args:
        x: (T, N, I); or (rows, I) with `batch_sizes`.
        hx: the initial state (D, N, H), or None for zeros. D is the number of directions.
        weights: for each direction, the second of which runs backwards in time, the tensors (weight_ih (H, I),
            weight_hh (H, H), bias_ih (H,), bias_hh (H,)). Both biases may be None.
        batch_sizes: of packed sequences, the number of rows of each time step: positive and not increasing.
        nonlinearity: "tanh" or "relu".

    Returns:
        y (T, N, D H) or (rows, D H), and h_n (D, N, H), the state behind each sequence's last step (its first one in
        the second direction).

    Raises:
        TypeError, ValueError: as `lstm`; and another nonlinearity.

    Example:
        >>> import fastnn, fastnn.nn.functional as F
        >>> y, h_n = F.rnn(fastnn.ones(5, 4, 3), None, [(fastnn.ones(2, 3), fastnn.ones(2, 2), None, None)])
        >>> y.shape, h_n.shape
        ((5, 4, 2), (1, 4, 2))
    """

    def forward(*args: Any, training: bool, **options: Any) -> tuple[Array, Array]:  # which keeps its output alone
        return ops.rnn_forward(*args, nonlinearity=nonlinearity, **options)

    states = () if hx is None else (hx,)
    backward = partial(ops.rnn_backward, nonlinearity=nonlinearity)
    y, h_n = _layer("rnn", x, states, 1, weights, 4, batch_sizes, forward, backward)
    return y, h_n


def _layer(
    op: str,
    x: Tensor,
    hx: tuple[Tensor, ...],
    state_count: int,
    weights: Sequence[Weights],
    weight_count: int,
    batch_sizes: Any | None,
    forward: Callable[..., tuple[Any, ...]],
    backward: Callable[..., tuple[Any, ...]],
) -> tuple[Tensor, ...]:
    """The output and the final states: the directions as one operation, each writing its own features of y.

    forward: (x, *initial states, *weights) -> (y, *final states, *kept for backward).
    backward: (dy, *gradients of the final states, x, *initial states, *weights without biases, y, *kept)
    -> (dx, *gradients of the initial states, *gradients of the weights).
    """
    expect_tensors(op, x=x, **{f"hx[{i}]": h for i, h in enumerate(hx)})
    D = len(weights)
    if D not in (1, 2):
        raise ValueError(f"{op}: weights are of {D} directions; expected 1 or 2")
    for d, w in enumerate(weights):
        if len(w) != weight_count:
            raise ValueError(f"{op}: weights[{d}] has {len(w)} tensors; expected {weight_count}")
        for i, t in enumerate(w):
            if not (isinstance(t, Tensor) or (t is None and i >= 2)):
                expect_tensors(op, **{f"weights[{d}][{i}]": t})
        if w[1].ndim != 2:  # type: ignore[union-attr]
            raise ValueError(f"{op}: weight_hh has shape {w[1].shape}; expected 2 dimensions")  # type: ignore[union-attr]
        if d and [getattr(t, "shape", None) for t in w] != [getattr(t, "shape", None) for t in weights[0]]:
            raise ValueError(f"{op}: weights[{d}] have other shapes than weights[0]")
    if len(hx) not in (0, state_count):
        raise ValueError(f"{op}: hx has {len(hx)} tensors; expected {state_count}")
    for h, name in zip(hx, ("h0", "c0"), strict=False):
        if h.ndim != 3 or h.shape[0] != D:
            raise ValueError(f"{op}: {name} has shape {h.shape}; expected 3 dimensions, the first of {D} directions")

    inputs = (x, *hx, *(t for w in weights for t in w if t is not None))
    training = is_grad_enabled() and any(t.requires_grad for t in inputs)
    x_data, dx_wanted = x.data, x.requires_grad
    states = [tuple(h.data[d] for h in hx) or (None,) * state_count for d in range(D)]
    arrays = [tuple(None if t is None else t.data for t in w) for w in weights]
    R = weights[0][1].shape[1]  # type: ignore[union-attr]
    parts = [(..., slice(d * R, (d + 1) * R)) for d in range(D)] if D > 1 else [...]
    y = ops.empty((*x.shape[:-1], D * R), x.dtype) if D > 1 else None
    results = [
        forward(x_data, *states[d], *arrays[d], batch_sizes=batch_sizes, reverse=d == 1, training=training,
                y=None if y is None else y[parts[d]])
        for d in range(D)
    ]  # fmt: skip
    y_data: Array = results[0][0] if y is None else y
    finals = [_stack([r[1 + i] for r in results]) for i in range(state_count)]
    kept = [r[1 + state_count :] for r in results]
    has_biases, has_states = arrays[0][2] is not None, bool(hx)

    def back(gradients: list[Array | None]) -> tuple[Array | None, ...]:
        dy, *dfinals = gradients
        dx: Array | None = None
        dstates, dweights = [], list[Array]()
        for d in range(D):
            w = arrays[d]
            dx, *rest = backward(
                None if dy is None else dy[parts[d]], *(None if g is None else g[d] for g in dfinals),
                x_data, *states[d], *w[:2], *w[4:], y_data[parts[d]], *kept[d],
                batch_sizes=batch_sizes, reverse=d == 1, bias=has_biases, dx=dx, input_gradient=dx_wanted,
            )  # fmt: skip
            dstates.append(rest[:state_count])
            dweights += [g for g in rest[state_count:] if g is not None]
        return (dx, *(_stack(g) for g in zip(*dstates, strict=True) if has_states), *dweights)

    return record_several((y_data, *finals), back, *inputs)


def _stack(arrays: Sequence[Array]) -> Array:
    """Those of all directions with the directions in front; a view of a single one."""
    return arrays[0][None] if len(arrays) == 1 else np.stack(arrays)
