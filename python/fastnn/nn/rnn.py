"""Recurrent layers over whole sequences: RNN, LSTM, GRU; `rnn_cell` has them for single steps."""

from __future__ import annotations

import math
import warnings
from collections.abc import Sequence
from typing import Any, TypeAlias

from .. import functional as F
from .. import ops
from ..functional.dropout import check_probability
from ..functional.rnn import gru, lstm, rnn
from ..joining import cat
from ..tensor import Parameter, Tensor, expect_tensors
from . import init
from .module import Module
from .sizes import checked_size
from .utils.rnn import PackedSequence

Sequences: TypeAlias = "Tensor | PackedSequence"
States: TypeAlias = "tuple[Tensor, ...]"


class Recurrent(Module):
    """Layers of recurrent networks in one direction or two, over padded or packed sequences.

    A subclass says how many gates a unit has, which states a layer carries from step to step, and what computes it.
    """

    _gates: int
    _kinds: tuple[str, ...] = ("weight_ih", "weight_hh", "bias_ih", "bias_hh")
    _states: tuple[str, ...] = ("h_0",)

    def __init__(
        self,
        input_size: int,
        hidden_size: int,
        num_layers: int,
        bias: bool,
        batch_first: bool,
        dropout: float,
        bidirectional: bool,
        proj_size: int = 0,
    ) -> None:
        super().__init__()
        name = type(self).__name__
        self.input_size = checked_size(f"{name}: input_size", input_size)
        self.hidden_size = checked_size(f"{name}: hidden_size", hidden_size)
        self.num_layers = checked_size(f"{name}: num_layers", num_layers)
        self.proj_size = checked_size(f"{name}: proj_size", proj_size, minimum=0)
        if self.proj_size >= self.hidden_size:
            raise ValueError(f"{name}: proj_size is {proj_size}; expected less than hidden_size, {hidden_size}")
        check_probability(f"{name}: dropout", dropout)
        if dropout and self.num_layers == 1:
            warnings.warn(f"{name}: dropout comes between layers, and there is only one", stacklevel=3)
        self.bias = bias
        self.batch_first = batch_first
        self.dropout = dropout
        self.bidirectional = bidirectional
        output_size, rows = self.proj_size or self.hidden_size, self._gates * self.hidden_size
        for layer in range(self.num_layers):
            columns = self.input_size if layer == 0 else output_size * (1 + bidirectional)
            shapes: dict[str, tuple[int, ...]] = {"weight_ih": (rows, columns), "weight_hh": (rows, output_size)}
            if bias:
                shapes |= {"bias_ih": (rows,), "bias_hh": (rows,)}
            if self.proj_size:
                shapes["weight_hr"] = (self.proj_size, self.hidden_size)
            for suffix in self._suffixes(layer):
                for kind, shape in shapes.items():
                    self.register_parameter(kind + suffix, Parameter(ops.empty(shape)))
        self.reset_parameters()

    def reset_parameters(self) -> None:
        """Draws all parameters anew."""
        bound = 1 / math.sqrt(self.hidden_size)
        for parameter in self.parameters():
            init.uniform_(parameter, -bound, bound)

    def flatten_parameters(self) -> None:
        """Does nothing; there for the sake of programs written for PyTorch."""

    def forward(self, x: Sequences, hx: Any = None) -> tuple[Sequences, Any]:
        """The outputs of the last layer at each step, and the states of each layer after the last one."""
        name = type(self).__name__
        if isinstance(x, PackedSequence):
            data, batch_sizes = x.data, x.batch_sizes.data
            initial = self._initial_states(hx, (int(batch_sizes[0]),), x.sorted_indices)
            y, final = self._through_layers(data, initial, batch_sizes)
            if x.unsorted_indices is not None:
                final = tuple(state[:, x.unsorted_indices] for state in final)
            return x._replace(data=y), self._pass_on(final)
        expect_tensors(name, x=x)
        if x.ndim not in (2, 3):
            batched = "(N, T, I)" if self.batch_first else "(T, N, I)"
            raise ValueError(f"{name}: x has shape {x.shape}; expected {batched}, or (T, I) without a batch")
        if x.ndim == 2:
            initial = self._initial_states(hx, (), None)
            y, final = self._through_layers(x.unsqueeze(1), tuple(s.unsqueeze(1) for s in initial), None)
            return y.squeeze(1), self._pass_on(tuple(state.squeeze(1) for state in final))
        data = x.transpose(0, 1) if self.batch_first else x
        y, final = self._through_layers(data, self._initial_states(hx, (data.shape[1],), None), None)
        return y.transpose(0, 1) if self.batch_first else y, self._pass_on(final)

    def _initial_states(self, hx: Any, batch: tuple[int, ...], order: Tensor | None) -> States:
        """The given states, checked and in the order of the packed batch; none where they are to be zeros."""
        if hx is None:
            return ()
        name = type(self).__name__
        states = (hx,) if len(self._states) == 1 else hx
        if not isinstance(states, (tuple, list)) or len(states) != len(self._states):
            raise TypeError(f"{name}: hx is {type(hx).__name__}; expected a tuple ({', '.join(self._states)})")
        expect_tensors(name, **dict(zip(self._states, states, strict=True)))
        for state, label, size in zip(states, self._states, self._state_sizes(), strict=True):
            expected = (self.num_layers * (1 + self.bidirectional), *batch, size)
            if state.shape != expected:
                raise ValueError(f"{name}: {label} has shape {state.shape}; expected {expected}")
        return tuple(states) if order is None else tuple(state[:, order] for state in states)

    def _through_layers(self, x: Tensor, initial: States, batch_sizes: Any) -> tuple[Tensor, States]:
        directions = 1 + self.bidirectional
        finals = []
        for layer in range(self.num_layers):
            if layer:
                x = F.dropout(x, self.dropout, self.training)
            part = slice(layer * directions, (layer + 1) * directions)
            states = tuple(state[part] for state in initial) if self.num_layers > 1 else initial
            x, *final = self.one_layer(layer, x, states, batch_sizes)
            finals.append(final)
        if self.num_layers == 1:
            return x, tuple(finals[0])
        return x, tuple(cat(state) for state in zip(*finals, strict=True))

    def one_layer(self, layer: int, x: Tensor, states: States = (), batch_sizes: Any = None) -> States:
        """The outputs of one layer for x, time first or packed, and its states at the end."""
        suffixes = self._suffixes(layer)
        weights = [tuple(self._parameters.get(kind + suffix) for kind in self._kinds) for suffix in suffixes]
        return self._compute(x, self._pass_on(states), weights, batch_sizes)

    def _suffixes(self, layer: int) -> list[str]:
        """How the names of the parameters of a layer end, one for each direction."""
        return [f"_l{layer}", f"_l{layer}_reverse"][: 1 + self.bidirectional]

    def _state_sizes(self) -> tuple[int, ...]:
        return (self.hidden_size,)

    def _pass_on(self, states: States) -> Any:
        """States as callers and functions know them: one alone, several as a tuple, None where there are none."""
        return (states if len(self._states) > 1 else states[0]) if states else None

    def _compute(self, x: Tensor, hx: Any, weights: Sequence[tuple[Any, ...]], batch_sizes: Any) -> States:
        """The outputs and final states of a layer with these weights."""
        raise NotImplementedError(f"{type(self).__name__} defines no _compute()")

    def extra_repr(self) -> str:
        """The sizes, and the options that are not at their defaults."""
        options = {
            "proj_size": (self.proj_size, 0),
            "num_layers": (self.num_layers, 1),
            "bias": (self.bias, True),
            "batch_first": (self.batch_first, False),
            "dropout": (self.dropout, 0),
            "bidirectional": (self.bidirectional, False),
        }
        changed = [f"{name}={value}" for name, (value, default) in options.items() if value != default]
        return ", ".join([f"{self.input_size}, {self.hidden_size}", *changed])


class RNN(Recurrent):
    """Elman's network (1990): h_t = tanh(weight_ih x_t + bias_ih + weight_hh h_(t-1) + bias_hh), as in PyTorch.

    (T, N, I) -> (T, N, D H), D being 1 or, where `bidirectional`, 2; (N, T, I) -> (N, T, D H) where `batch_first`;
    (T, I) -> (T, D H); or a `PackedSequence` -> a `PackedSequence`.

    Args:
        input_size: I, the size of the input at each step.
        hidden_size: H, the number of units.
        num_layers: layers, each of which reads the outputs of the one before.
        nonlinearity: "tanh" or "relu".
        bias: whether there are biases.
        batch_first: whether the batch is the first dimension of input and output (never of the states).
        dropout: the probability with which outputs are dropped between the layers in training.
        bidirectional: whether each layer also reads the sequence from its end, with weights of its own; the outputs
            of both directions stand side by side.

    Attributes:
        weight_ih_l{k}: (H, I), or (H, D H) for layers k > 0, initialised as all parameters: uniform in +-1 / sqrt(H).
            The names of the reverse direction end in `_reverse`.
        weight_hh_l{k}: (H, H).
        bias_ih_l{k}: (H,).
        bias_hh_l{k}: (H,).

    Raises:
        TypeError: an argument has the wrong type. When called: the same, for tensors and element types.
        ValueError: an argument is out of range. When called: a shape does not fit, or there is nothing in x.

    Example:
        >>> import fastnn
        >>> from fastnn import nn
        >>> y, h_n = nn.RNN(10, 20, num_layers=2)(fastnn.randn(5, 3, 10), fastnn.zeros(2, 3, 20))
        >>> y.shape, h_n.shape
        ((5, 3, 20), (2, 3, 20))
    """

    _gates = 1

    def __init__(
        self,
        input_size: int,
        hidden_size: int,
        num_layers: int = 1,
        nonlinearity: str = "tanh",
        bias: bool = True,
        batch_first: bool = False,
        dropout: float = 0.0,
        bidirectional: bool = False,
    ) -> None:
        check_nonlinearity("RNN", nonlinearity)
        super().__init__(input_size, hidden_size, num_layers, bias, batch_first, dropout, bidirectional)
        self.nonlinearity = nonlinearity

    def _compute(self, x: Tensor, hx: Any, weights: Sequence[tuple[Any, ...]], batch_sizes: Any) -> States:
        return rnn(x, hx, weights, batch_sizes, self.nonlinearity)


class LSTM(Recurrent):
    """Long short-term memory (Hochreiter and Schmidhuber, 1997; forget gates: Gers et al., 2000), as in PyTorch.

    i, f, g, o = weight_ih x_t + bias_ih + weight_hh h_(t-1) + bias_hh, g after tanh and the others after the sigmoid
    function; c_t = f c_(t-1) + i g; h_t = o tanh(c_t), with `proj_size` multiplied by weight_hr (Sak et al., 2014).

    Shapes are those of `RNN`, with R = `proj_size` or H in the place of H: (T, N, I) -> (T, N, D R). The initial states
    are `(h_0, c_0)`, (num_layers D, N, R) and (num_layers D, N, H), zeros where left out; so are the final ones:
    `y, (h_n, c_n) = lstm(x, (h_0, c_0))`.

    Args:
        input_size: I, the size of the input at each step.
        hidden_size: H, the number of cells.
        num_layers: layers, each of which reads the outputs of the one before.
        bias: whether there are biases.
        batch_first: whether the batch is the first dimension of input and output (never of the states).
        dropout: the probability with which outputs are dropped between the layers in training.
        bidirectional: whether each layer also reads the sequence from its end.
        proj_size: R, the size of the outputs, less than H; 0 for H, without projection.

    Attributes:
        weight_ih_l{k}: (4 H, I), or (4 H, D R) for layers k > 0: the rows of i, f, g and o. All parameters are uniform
            in +-1 / sqrt(H). The names of the reverse direction end in `_reverse`.
        weight_hh_l{k}: (4 H, R).
        bias_ih_l{k}: (4 H,).
        bias_hh_l{k}: (4 H,).
        weight_hr_l{k}: (R, H), with `proj_size`.

    Raises:
        TypeError: an argument has the wrong type. When called: the same, for tensors and element types.
        ValueError: an argument is out of range. When called: a shape does not fit, or there is nothing in x.

    Example:
        >>> import fastnn
        >>> from fastnn import nn
        >>> y, (h_n, c_n) = nn.LSTM(10, 20, num_layers=2)(fastnn.randn(5, 3, 10))
        >>> y.shape, h_n.shape, c_n.shape
        ((5, 3, 20), (2, 3, 20), (2, 3, 20))
    """

    _gates = 4
    _kinds = (*Recurrent._kinds, "weight_hr")
    _states = ("h_0", "c_0")

    def __init__(
        self,
        input_size: int,
        hidden_size: int,
        num_layers: int = 1,
        bias: bool = True,
        batch_first: bool = False,
        dropout: float = 0.0,
        bidirectional: bool = False,
        proj_size: int = 0,
    ) -> None:
        super().__init__(input_size, hidden_size, num_layers, bias, batch_first, dropout, bidirectional, proj_size)

    def _state_sizes(self) -> tuple[int, ...]:
        return self.proj_size or self.hidden_size, self.hidden_size

    def _compute(self, x: Tensor, hx: Any, weights: Sequence[tuple[Any, ...]], batch_sizes: Any) -> States:
        return lstm(x, hx, weights, batch_sizes)


class GRU(Recurrent):
    """Gated recurrent units (Cho et al., 2014) with the reset gate after the matrix product, as in PyTorch.

    r = sigmoid(W_ir x_t + b_ir + W_hr h_(t-1) + b_hr), z likewise; n = tanh(W_in x_t + b_in + r (W_hn h_(t-1) + b_hn));
    h_t = (1 - z) n + z h_(t-1). Arguments, shapes and errors are those of `RNN`.

    Args:
        input_size: I, the size of the input at each step.
        hidden_size: H, the number of units.
        num_layers: layers, each of which reads the outputs of the one before.
        bias: whether there are biases.
        batch_first: whether the batch is the first dimension of input and output (never of the states).
        dropout: the probability with which outputs are dropped between the layers in training.
        bidirectional: whether each layer also reads the sequence from its end.

    Attributes:
        weight_ih_l{k}: (3 H, I), or (3 H, D H) for layers k > 0: the rows of r, z and n. All parameters are uniform in
            +-1 / sqrt(H). The names of the reverse direction end in `_reverse`.
        weight_hh_l{k}: (3 H, H).
        bias_ih_l{k}: (3 H,).
        bias_hh_l{k}: (3 H,).

    Example:
        >>> import fastnn
        >>> from fastnn import nn
        >>> y, h_n = nn.GRU(10, 20, bidirectional=True)(fastnn.randn(5, 3, 10))
        >>> y.shape, h_n.shape
        ((5, 3, 40), (2, 3, 20))
    """

    _gates = 3

    def __init__(
        self,
        input_size: int,
        hidden_size: int,
        num_layers: int = 1,
        bias: bool = True,
        batch_first: bool = False,
        dropout: float = 0.0,
        bidirectional: bool = False,
    ) -> None:
        super().__init__(input_size, hidden_size, num_layers, bias, batch_first, dropout, bidirectional)

    def _compute(self, x: Tensor, hx: Any, weights: Sequence[tuple[Any, ...]], batch_sizes: Any) -> States:
        return gru(x, hx, weights, batch_sizes)


def check_nonlinearity(name: str, nonlinearity: str) -> None:
    """Raises an error that names the layer where the nonlinearity is unknown."""
    if nonlinearity not in ("tanh", "relu"):
        raise ValueError(f"{name}: nonlinearity is {nonlinearity!r}; expected 'tanh' or 'relu'")
