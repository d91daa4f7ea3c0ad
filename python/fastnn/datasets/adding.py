"""The adding problem: a sum of two numbers that stand far apart in a long sequence of others.

S. Hochreiter, J. Schmidhuber, Long short-term memory, Neural Computation 9(8), 1997, section 5.4.
"""

from __future__ import annotations

import numpy as np

from ..data import ArrayDataset

__all__ = ["AddingProblem"]


class AddingProblem(ArrayDataset):
    """Sequences of random numbers, two of which are marked: the target is their sum.

    Items are `(x, target)`: float32 `(steps, 2)`, in each step a number from [0, 1) and a mark, 1 in one step of the
    first tenth and in one of the second half, elsewhere 0; and float32 `(1,)`. A model has to carry a number over
    about `steps / 2` to `steps` steps. Who always answers 1 has a mean squared error of 1/6.

    Args:
        items: the number of sequences.
        steps: their length, at least 2.
        seed: decides everything.

    Raises:
        ValueError: `items` is less than 1 or `steps` less than 2.

    Example:
        >>> from fastnn.datasets import AddingProblem
        >>> x, target = AddingProblem(items=10, steps=100)[0]
        >>> x.shape, target.shape
        ((100, 2), (1,))
    """

    def __init__(self, items: int, steps: int, seed: int = 0) -> None:
        if items < 1 or steps < 2:
            raise ValueError(f"AddingProblem: items is {items} and steps {steps}, expected at least 1 and 2")
        generator = np.random.Generator(np.random.Philox(seed))
        numbers = generator.random((items, steps), np.float32)
        marks = np.zeros_like(numbers)
        every = np.arange(items)
        for place in (
            generator.integers(0, -(-steps // 10), items),
            generator.integers((steps + 1) // 2, steps, items),
        ):
            marks[every, place] = 1
        super().__init__(np.stack([numbers, marks], axis=2), (numbers * marks).sum(1, keepdims=True))
