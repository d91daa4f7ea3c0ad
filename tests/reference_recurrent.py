"""The float64 oracle of the recurrent layers, as `reference.py` of the others: sequence by sequence, step by step.

A cell takes a vector x, its states and the weights (w_ih, w_hh, b_ih, b_hh, w_hr; None where there is none) to its next
states, the first of which is its output. A backward cell takes the gradients of those first and gives (dx, gradients of
the states, gradients of the weights).
"""

import numpy as np

from reference import in_float64


def _sigmoid(x):
    return 1 / (1 + np.exp(-x))


def _sums(x, h, w):
    """What the input and the state add to each gate."""
    w_ih, w_hh, b_ih, b_hh = w[:4]
    return w_ih @ x + (0 if b_ih is None else b_ih), w_hh @ h + (0 if b_hh is None else b_hh)


def _sums_backward(da, db, x, h, w):
    """(dx, dh, [dw_ih, dw_hh, db_ih, db_hh]) from the gradients of the two sums."""
    biases = [None, None] if w[2] is None else [da, db]
    return w[0].T @ da, w[1].T @ db, [np.outer(da, x), np.outer(db, h), *biases]


def rnn_cell(x, states, w, nonlinearity="tanh"):
    s = sum(_sums(x, states[0], w))
    return (np.tanh(s) if nonlinearity == "tanh" else np.where(s <= 0, 0, s),)


def rnn_cell_backward(dstates, x, states, w, nonlinearity="tanh"):
    (h,) = rnn_cell(x, states, w, nonlinearity)
    ds = dstates[0] * (1 - h**2) if nonlinearity == "tanh" else np.where(h <= 0, 0, dstates[0])
    dx, dh, dw = _sums_backward(ds, ds, x, states[0], w)
    return dx, (dh,), dw


def _gru_gates(x, h, w):
    (a_r, a_z, a_n), (b_r, b_z, m) = (np.split(s, 3) for s in _sums(x, h, w))
    r, z = _sigmoid(a_r + b_r), _sigmoid(a_z + b_z)
    return r, z, np.tanh(a_n + r * m), m


def gru_cell(x, states, w):
    _, z, n, _ = _gru_gates(x, states[0], w)
    return ((1 - z) * n + z * states[0],)


def gru_cell_backward(dstates, x, states, w):
    (h,), (dh,) = states, dstates
    r, z, n, m = _gru_gates(x, h, w)
    dn = dh * (1 - z) * (1 - n**2)
    dz = dh * (h - n) * z * (1 - z)
    dr = dn * m * r * (1 - r)
    dx, dh_sums, dw = _sums_backward(np.concatenate([dr, dz, dn]), np.concatenate([dr, dz, dn * r]), x, h, w)
    return dx, (dh * z + dh_sums,), dw


def _lstm_gates(x, h, w):
    i, f, g, o = np.split(sum(_sums(x, h, w)), 4)
    return _sigmoid(i), _sigmoid(f), np.tanh(g), _sigmoid(o)


def lstm_cell(x, states, w):
    h, c = states
    i, f, g, o = _lstm_gates(x, h, w)
    c = f * c + i * g
    hidden = o * np.tanh(c)
    return hidden if w[4] is None else w[4] @ hidden, c


def lstm_cell_backward(dstates, x, states, w):
    (h, c), (dh, dc) = states, dstates
    i, f, g, o = _lstm_gates(x, h, w)
    t = np.tanh(f * c + i * g)
    dhidden, dw_hr = (dh, None) if w[4] is None else (w[4].T @ dh, np.outer(dh, o * t))
    dc = dc + dhidden * o * (1 - t**2)
    di, df, dg, do = dc * g * i * (1 - i), dc * c * f * (1 - f), dc * i * (1 - g**2), dhidden * t * o * (1 - o)
    ds = np.concatenate([di, df, dg, do])
    dx, dh, dw = _sums_backward(ds, ds, x, h, w)
    return dx, (dh, dc * f), [*dw, dw_hr]


def sequences(batch_sizes, reverse=False):
    """For each sequence of a packed batch its rows, in the order in which a layer goes through them."""
    starts = np.cumsum(batch_sizes) - batch_sizes
    rows = [
        [start + n for start, size in zip(starts, batch_sizes, strict=True) if n < size] for n in range(batch_sizes[0])
    ]
    return [r[::-1] for r in rows] if reverse else rows


@in_float64
def recurrent_forward(cell, x, states, w, batch_sizes, reverse=False, **kwargs):
    """x (rows, I), states (N, ...) each -> y (rows, R) and the states behind the last step of each sequence."""
    w = [None if a is None else a.astype(np.float64) for a in w]
    y, final = np.empty((len(x), w[1].shape[1])), [np.array(s, np.float64) for s in states]
    for n, rows in enumerate(sequences(batch_sizes, reverse)):
        state = tuple(s[n] for s in final)
        for row in rows:
            state = cell(x[row], state, w, **kwargs)
            y[row] = state[0]
        for s, last in zip(final, state, strict=True):
            s[n] = last
    return (y, *final)


@in_float64
def recurrent_backward(cell, cell_backward, dy, dstates, x, states, w, batch_sizes, reverse=False, **kwargs):
    """(dx, [gradients of the initial states], [gradients of the weights])."""
    w = [None if a is None else a.astype(np.float64) for a in w]
    dx, dinitial = np.empty_like(x), [np.array(d, np.float64) for d in dstates]
    dw = [None if a is None else np.zeros_like(a) for a in w]
    for n, rows in enumerate(sequences(batch_sizes, reverse)):
        state, before = tuple(np.asarray(s[n], np.float64) for s in states), []
        for row in rows:
            before.append(state)
            state = cell(x[row], state, w, **kwargs)
        d = tuple(s[n] for s in dinitial)
        for row, state in zip(rows[::-1], before[::-1], strict=True):
            dx[row], d, step = cell_backward((d[0] + dy[row], *d[1:]), x[row], state, w, **kwargs)
            for total, part in zip(dw, step, strict=False):
                if total is not None:
                    total += part
        for s, first in zip(dinitial, d, strict=True):
            s[n] = first
    return dx, dinitial, dw
