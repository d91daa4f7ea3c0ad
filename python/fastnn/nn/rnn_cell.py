"""Recurrent layers for single steps: RNNCell, LSTMCell, GRUCell."""

from __future__ import annotations

import math
from typing import Any

from .. import ops
from ..functional.rnn import gru, lstm, rnn
from ..tensor import Parameter, Tensor, expect_tensors
from . import init
from .module import Module
from .rnn import check_nonlinearity
from .sizes import checked_size


class _Cell(Module):
    """The parameters of one layer in one direction, and the checks of its arguments."""

    _gates: int

    weight_ih: Parameter
    weight_hh: Parameter
    bias_ih: Parameter | None
    bias_hh: Parameter | None

    def __init__(self, input_size: int, hidden_size: int, bias: bool) -> None:
        super().__init__()
        name = type(self).__name__
        self.input_size = checked_size(f"{name}: input_size", input_size)
        self.hidden_size = checked_size(f"{name}: hidden_size", hidden_size)
        self.bias = bias
        rows = self._gates * self.hidden_size
        self.weight_ih = Parameter(ops.empty((rows, self.input_size)))
        self.weight_hh = Parameter(ops.empty((rows, self.hidden_size)))
        self.register_parameter("bias_ih", Parameter(ops.empty((rows,))) if bias else None)
        self.register_parameter("bias_hh", Parameter(ops.empty((rows,))) if bias else None)
        self.reset_parameters()

    def reset_parameters(self) -> None:
        """Draws all parameters anew."""
        bound = 1 / math.sqrt(self.hidden_size)
        for parameter in self.parameters():
            init.uniform_(parameter, -bound, bound)

    @property
    def _weights(self) -> list[tuple[Any, ...]]:
        return [(self.weight_ih, self.weight_hh, self.bias_ih, self.bias_hh)]

    def _sequence(self, x: Tensor, **states: Tensor) -> tuple[Tensor, ...]:
        """Input and states as those of a sequence of one step in a batch."""
        name = type(self).__name__
        expect_tensors(name, x=x, **states)
        if x.ndim not in (1, 2):
            raise ValueError(f"{name}: x has shape {x.shape}; expected (N, I), or (I,) without a batch")
        for label, state in states.items():
            if state.shape != (*x.shape[:-1], self.hidden_size):
                expected = (*x.shape[:-1], self.hidden_size)
                raise ValueError(f"{name}: {label} has shape {state.shape}; expected {expected}")
        return tuple(t.reshape(1, -1, t.shape[-1]) for t in (x, *states.values()))

    def _step_of(self, x: Tensor, final: Tensor) -> Tensor:
        """The final state (1, N, H) of that sequence as the state of a step."""
        return final.reshape(*x.shape[:-1], self.hidden_size)

    def extra_repr(self) -> str:
        """The sizes, and the options that are not at their defaults."""
        return f"{self.input_size}, {self.hidden_size}{'' if self.bias else ', bias=False'}"


class RNNCell(_Cell):
    """One step of `RNN`: (N, I), (N, H) -> (N, H), or (I,), (H,) -> (H,).

    Args:
        input_size: I.
        hidden_size: H.
        bias: whether there are biases.
        nonlinearity: "tanh" or "relu".

    Attributes:
        weight_ih: (H, I), initialised as all parameters: uniform in +-1 / sqrt(H).
        weight_hh: (H, H).
        bias_ih: (H,) or None.
        bias_hh: (H,) or None.

    Example:
        >>> import fastnn
        >>> from fastnn import nn
        >>> nn.RNNCell(10, 20)(fastnn.randn(3, 10)).shape
        (3, 20)
    """

    _gates = 1

    def __init__(self, input_size: int, hidden_size: int, bias: bool = True, nonlinearity: str = "tanh") -> None:
        check_nonlinearity("RNNCell", nonlinearity)
        super().__init__(input_size, hidden_size, bias)
        self.nonlinearity = nonlinearity

    def forward(self, x: Tensor, hx: Tensor | None = None) -> Tensor:
        """The next state, from `hx` or from zeros."""
        step, *states = self._sequence(x) if hx is None else self._sequence(x, hx=hx)
        h_n = rnn(step, states[0] if states else None, self._weights, nonlinearity=self.nonlinearity)[1]
        return self._step_of(x, h_n)

    def extra_repr(self) -> str:
        """The sizes, and the options that are not at their defaults."""
        return super().extra_repr() + ("" if self.nonlinearity == "tanh" else f", nonlinearity={self.nonlinearity}")


class LSTMCell(_Cell):
    """One step of `LSTM`: (N, I), ((N, H), (N, H)) -> ((N, H), (N, H)), or the same without N.

    Args:
        input_size: I.
        hidden_size: H.
        bias: whether there are biases.

    Attributes:
        weight_ih: (4 H, I): the rows of i, f, g and o. All parameters are uniform in +-1 / sqrt(H).
        weight_hh: (4 H, H).
        bias_ih: (4 H,) or None.
        bias_hh: (4 H,) or None.

    Example:
        >>> import fastnn
        >>> from fastnn import nn
        >>> h, c = nn.LSTMCell(10, 20)(fastnn.randn(3, 10), (fastnn.zeros(3, 20), fastnn.zeros(3, 20)))
        >>> h.shape, c.shape
        ((3, 20), (3, 20))
    """

    _gates = 4

    def __init__(self, input_size: int, hidden_size: int, bias: bool = True) -> None:
        super().__init__(input_size, hidden_size, bias)

    def forward(self, x: Tensor, hx: tuple[Tensor, Tensor] | None = None) -> tuple[Tensor, Tensor]:
        """The next `(h, c)`, from those in `hx` or from zeros."""
        if hx is None:
            _, h_n, c_n = lstm(self._sequence(x)[0], None, self._weights)
        else:
            if not isinstance(hx, (tuple, list)) or len(hx) != 2:
                raise TypeError(f"LSTMCell: hx is {type(hx).__name__}; expected a tuple (h, c)")
            step, h, c = self._sequence(x, h=hx[0], c=hx[1])
            _, h_n, c_n = lstm(step, (h, c), self._weights)
        return self._step_of(x, h_n), self._step_of(x, c_n)


class GRUCell(_Cell):
    """One step of `GRU`: (N, I), (N, H) -> (N, H), or (I,), (H,) -> (H,).

    Args:
        input_size: I.
        hidden_size: H.
        bias: whether there are biases.

    Attributes:
        weight_ih: (3 H, I): the rows of r, z and n. All parameters are uniform in +-1 / sqrt(H).
        weight_hh: (3 H, H).
        bias_ih: (3 H,) or None.
        bias_hh: (3 H,) or None.

    Example:
        >>> import fastnn
        >>> from fastnn import nn
        >>> nn.GRUCell(10, 20)(fastnn.randn(10), fastnn.zeros(20)).shape
        (20,)
    """

    _gates = 3

    def __init__(self, input_size: int, hidden_size: int, bias: bool = True) -> None:
        super().__init__(input_size, hidden_size, bias)

    def forward(self, x: Tensor, hx: Tensor | None = None) -> Tensor:
        """The next state, from `hx` or from zeros."""
        step, *states = self._sequence(x) if hx is None else self._sequence(x, hx=hx)
        return self._step_of(x, gru(step, states[0] if states else None, self._weights)[1])
