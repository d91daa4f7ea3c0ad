"""Text as tokens."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

__all__ = ["Characters"]


class Characters:
    """Numbers for characters: token k stands for `vocabulary[k]`.

    Args:
        vocabulary: the characters, each once; `Characters.of(text)` takes those of a text in the order of Unicode.

    Raises:
        ValueError: there are none, one occurs twice, or one is no single character.

    Example:
        >>> from fastnn.data import Characters
        >>> characters = Characters.of("hello")
        >>> characters.vocabulary
        ('e', 'h', 'l', 'o')
        >>> characters.encode("hole").tolist()
        [1, 3, 2, 0]
        >>> characters.decode([1, 3, 2, 0])
        'hole'
    """

    def __init__(self, vocabulary: Sequence[str]) -> None:
        self.vocabulary = tuple(vocabulary)
        self._tokens = {character: token for token, character in enumerate(self.vocabulary)}
        if not self._tokens:
            raise ValueError("Characters: there are no characters, expected at least one")
        if len(self._tokens) < len(self.vocabulary) or not all(len(c) == 1 for c in self._tokens):
            raise ValueError("Characters: the vocabulary must hold single characters, each once")

    @classmethod
    def of(cls, text: str) -> Characters:
        """Numbers for the characters that occur in a text."""
        return cls(sorted(set(text)))

    def __len__(self) -> int:
        """The number of different characters."""
        return len(self.vocabulary)

    def encode(self, text: str) -> NDArray[np.int64]:
        """The tokens of a text. ValueError, naming the character, where it is not in the vocabulary."""
        try:
            return np.fromiter(map(self._tokens.__getitem__, text), np.int64, len(text))
        except KeyError as error:
            raise ValueError(f"{error.args[0]!r} is none of the {len(self)} characters that are known") from None

    def decode(self, tokens: Iterable[Any]) -> str:
        """The text that tokens stand for."""
        return "".join(self.vocabulary[int(token)] for token in tokens)
