"""Models around recurrent layers: characters one by one, and sequences that are read to their end."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from .. import nn
from ..random import default_generator
from ..tensor import Tensor, expect_tensors, no_grad

if TYPE_CHECKING:
    from numpy.random import Generator
    from numpy.typing import NDArray

_LAYERS: dict[str, type[Any]] = {"rnn": nn.RNN, "gru": nn.GRU, "lstm": nn.LSTM}


def _recurrent(cell: str, input_size: int, hidden_size: int, num_layers: int, **options: Any) -> nn.Module:
    if cell not in _LAYERS:
        raise ValueError(f"models: cell is {cell!r}; expected one of {', '.join(_LAYERS)}")
    layers: nn.Module = _LAYERS[cell](input_size, hidden_size, num_layers, **options)
    return layers


def _expect(name: str, x: Tensor, shape: str) -> None:
    expect_tensors(name, x=x)
    if x.ndim != shape.count(",") + 1:
        raise ValueError(f"{name}: x has shape {x.shape}; expected {shape}")


class CharRNN(nn.Module):
    """A language model of characters: embedding, recurrent layers, and a linear layer to the scores of the next one.

    Tokens (T, N) -> scores (T, N, num_tokens) and the states of the recurrent layers (A. Karpathy, The unreasonable
    effectiveness of recurrent neural networks, 2015).

    Args:
        num_tokens: the number of different characters.
        embedding_dim: size of the vectors that stand for them.
        hidden_size: units of each recurrent layer.
        num_layers: recurrent layers.
        cell: "lstm", "gru" or "rnn".
        dropout: the probability with which outputs are dropped between the recurrent layers in training.

    Example:
        >>> import fastnn
        >>> from fastnn.models import CharRNN
        >>> model = CharRNN(num_tokens=65)
        >>> scores, (h, c) = model(fastnn.zeros(10, 2, dtype="int64"))
        >>> scores.shape, h.shape
        ((10, 2, 65), (2, 2, 256))
    """

    def __init__(
        self,
        num_tokens: int,
        embedding_dim: int = 64,
        hidden_size: int = 256,
        num_layers: int = 2,
        cell: str = "lstm",
        dropout: float = 0.0,
    ) -> None:
        super().__init__()
        self.embedding = nn.Embedding(num_tokens, embedding_dim)
        self.rnn = _recurrent(cell, embedding_dim, hidden_size, num_layers, dropout=dropout)
        self.linear = nn.Linear(hidden_size, num_tokens)

    def forward(self, x: Tensor, states: tuple[Tensor, ...] | None = None) -> tuple[Tensor, tuple[Tensor, ...]]:
        """Tokens (T, N) and the states after those before them, or None -> scores (T, N, num_tokens), states."""
        y, states = self.rnn(self.embedding(x), states if states is None or len(states) > 1 else states[0])
        scores: Tensor = self.linear(y)
        return scores, states if isinstance(states, tuple) else (states,)

    def sample(
        self,
        prompt: Sequence[int] | NDArray[np.int64],
        length: int,
        temperature: float = 1.0,
        generator: Generator | None = None,
    ) -> list[int]:
        """Tokens that go on after a prompt, each drawn from the probabilities that the model gives it.

        Args:
            prompt: one or more tokens.
            length: how many to draw.
            temperature: scores are divided by it: below 1 likely tokens become likelier; 0 takes the likeliest.
            generator: what draws; the one that `fastnn.manual_seed` seeds where None.

        Raises:
            ValueError: the prompt is empty, length or temperature is negative, or the model's scores are NaN.

        Example:
            >>> import fastnn
            >>> from fastnn.models import CharRNN
            >>> len(CharRNN(num_tokens=5).sample([0], length=3))
            3
        """
        if not len(prompt):
            raise ValueError("sample: the prompt is empty; expected at least one token")
        if length < 0 or not temperature >= 0:
            raise ValueError(f"sample: length is {length} and temperature {temperature}; expected at least 0")
        generator = default_generator() if generator is None else generator
        tokens: list[int] = []
        x, states = np.asarray(prompt, np.int64)[:, None], None
        training = self.training
        self.eval()
        try:
            with no_grad():
                for _ in range(length):
                    scores, states = self(Tensor(x), states)
                    tokens.append(_draw(scores.data[-1, 0].astype(np.float64), temperature, generator))
                    x = np.full((1, 1), tokens[-1], np.int64)
        finally:
            self.train(training)
        return tokens


def _draw(scores: NDArray[np.float64], temperature: float, generator: Generator) -> int:
    if np.isnan(scores).any():
        raise ValueError("sample: the model's scores hold NaN")
    if temperature == 0:
        return int(scores.argmax())
    shifted = (scores - scores.max()) / temperature
    cumulated = np.exp(shifted).cumsum()
    return int(np.searchsorted(cumulated, generator.random() * cumulated[-1], side="right"))


def char_rnn(num_classes: int = 65, **options: Any) -> CharRNN:
    """`CharRNN` for so many different characters, 65 of them in Tiny Shakespeare; the options are its other arguments.

    Example:
        >>> import fastnn
        >>> from fastnn.models import char_rnn
        >>> model = char_rnn(num_classes=5, cell="gru")
        >>> model(fastnn.zeros(10, 2, dtype="int64"))[0].shape
        (10, 2, 5)
    """
    return CharRNN(num_classes, **options)


class ManyToOne(nn.Module):
    """Reads a sequence to its end and answers once: recurrent layers, and a linear layer on the last output.

    (N, T, input_size) -> (N, *output_shape).

    Args:
        input_size: size of the input at each step.
        output_shape: the shape of an answer.
        hidden_size: units of each recurrent layer.
        num_layers: recurrent layers.
        cell: "lstm", "gru" or "rnn".
        dropout: the probability with which outputs are dropped between the recurrent layers in training.

    Example:
        >>> import fastnn
        >>> from fastnn.models import ManyToOne
        >>> ManyToOne(input_size=7, output_shape=(24, 7))(fastnn.randn(2, 96, 7)).shape
        (2, 24, 7)
    """

    def __init__(
        self,
        input_size: int,
        output_shape: Sequence[int],
        hidden_size: int = 64,
        num_layers: int = 1,
        cell: str = "lstm",
        dropout: float = 0.0,
    ) -> None:
        super().__init__()
        self.output_shape = tuple(output_shape)
        self.rnn = _recurrent(cell, input_size, hidden_size, num_layers, dropout=dropout)
        self.linear = nn.Linear(hidden_size, int(np.prod(self.output_shape)))

    def forward(self, x: Tensor) -> Tensor:
        """(N, T, input_size) -> (N, *output_shape)."""
        _expect("ManyToOne", x, "(N, T, input_size)")
        y, _ = self.rnn(x.transpose(0, 1))
        answer: Tensor = self.linear(y[-1])
        return answer.reshape(-1, *self.output_shape)

    def replace_head(self, num_classes: int) -> nn.Module:
        """See `Module.replace_head`. ValueError where an answer is no vector of scores."""
        if len(self.output_shape) != 1:
            raise ValueError(
                f"replace_head: an answer of {type(self).__name__} has shape {self.output_shape}; expected scores of "
                "classes"
            )
        head = super().replace_head(num_classes)
        self.output_shape = (num_classes,)
        return head


class Forecaster(ManyToOne):
    """Forecasts a time series: the last rows of `size` variables (N, T, size) -> the next rows (N, horizon, size).

    The network sees how the series differs from its last row and answers how it will differ from it. So the naive
    forecast, that all stays as it is, needs no learning, and a level that was never seen before does not matter.

    Args:
        size: the number of variables.
        horizon: rows to forecast.
        hidden_size: units of each recurrent layer.
        num_layers: recurrent layers.
        cell: "lstm", "gru" or "rnn".
        dropout: the probability with which outputs are dropped between the recurrent layers in training.

    Example:
        >>> import fastnn
        >>> from fastnn.models import Forecaster
        >>> Forecaster(size=7, horizon=24)(fastnn.randn(2, 96, 7)).shape
        (2, 24, 7)
    """

    def __init__(
        self,
        size: int,
        horizon: int,
        hidden_size: int = 64,
        num_layers: int = 1,
        cell: str = "lstm",
        dropout: float = 0.0,
    ) -> None:
        super().__init__(size, (horizon, size), hidden_size, num_layers, cell, dropout)

    def forward(self, x: Tensor) -> Tensor:
        """(N, T, size) -> (N, horizon, size)."""
        _expect("Forecaster", x, "(N, T, size)")
        last = x[:, -1:]
        return super().forward(x - last) + last


class RowClassifier(ManyToOne):
    """Classifies images that it reads row by row, from top to bottom: (N, C, H, W) -> scores (N, num_classes).

    A step's input is one row of all channels, C * W numbers; H may be anything (Le, Jaitly, Hinton: A simple way to
    initialize recurrent networks of rectified linear units, 2015, reads MNIST pixel by pixel).

    Args:
        num_classes: the number of classes.
        in_channels: C.
        image_width: W.
        hidden_size: units of the recurrent layer.
        num_layers: recurrent layers.
        cell: "lstm", "gru" or "rnn".

    Example:
        >>> import fastnn
        >>> from fastnn.models import RowClassifier
        >>> RowClassifier()(fastnn.zeros(2, 1, 28, 28)).shape
        (2, 10)
    """

    def __init__(
        self,
        num_classes: int = 10,
        in_channels: int = 1,
        image_width: int = 28,
        hidden_size: int = 128,
        num_layers: int = 1,
        cell: str = "lstm",
    ) -> None:
        super().__init__(in_channels * image_width, (num_classes,), hidden_size, num_layers, cell)

    def forward(self, x: Tensor) -> Tensor:
        """(N, C, H, W) -> scores (N, num_classes), to which softmax has not been applied."""
        _expect("RowClassifier", x, "(N, C, H, W)")
        return super().forward(x.transpose(1, 2).flatten(2))


def row_rnn(
    num_classes: int = 10, in_channels: int = 1, image_width: int = 28, hidden_size: int = 128, num_layers: int = 1
) -> RowClassifier:
    """`RowClassifier` with the plain recurrent network."""
    return RowClassifier(num_classes, in_channels, image_width, hidden_size, num_layers, cell="rnn")


def row_gru(
    num_classes: int = 10, in_channels: int = 1, image_width: int = 28, hidden_size: int = 128, num_layers: int = 1
) -> RowClassifier:
    """`RowClassifier` with gated recurrent units."""
    return RowClassifier(num_classes, in_channels, image_width, hidden_size, num_layers, cell="gru")


def row_lstm(
    num_classes: int = 10, in_channels: int = 1, image_width: int = 28, hidden_size: int = 128, num_layers: int = 1
) -> RowClassifier:
    """`RowClassifier` with long short-term memory."""
    return RowClassifier(num_classes, in_channels, image_width, hidden_size, num_layers, cell="lstm")
