"""Random numbers: one generator for the whole library, its seed and its state."""

from __future__ import annotations

import operator
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import DTypeLike

from .arrays import sizes
from .tensor import Tensor

if TYPE_CHECKING:  # numpy.random costs 20 ms: it is loaded when the first random number is asked for
    from numpy.random import Generator

_generator: Generator | None = None


def default_generator() -> Generator:
    """The generator (Philox) that everything random in fastnn draws from; seeded by the system until `manual_seed`."""
    global _generator
    if _generator is None:
        _generator = np.random.Generator(np.random.Philox())
    return _generator


def manual_seed(seed: int) -> Generator:
    """Starts the default generator anew, so that a program repeats bit for bit.

    Args:
        seed: any integer of 64 bits, signed or not.

    Returns:
        The default generator.

    Raises:
        TypeError: `seed` is not an integer.
        ValueError: it does not fit into 64 bits.

    Example:
        >>> import fastnn
        >>> _ = fastnn.manual_seed(0)
        >>> a = fastnn.randn(3)
        >>> _ = fastnn.manual_seed(0)
        >>> bool((a == fastnn.randn(3)).all())
        True
    """
    try:
        number = operator.index(seed)
    except TypeError:
        raise TypeError(f"manual_seed: seed is {seed!r}; expected an int") from None
    if not -(1 << 63) <= number < 1 << 64:
        raise ValueError(f"manual_seed: seed is {seed}; expected an integer of 64 bits")
    generator = default_generator()
    generator.bit_generator.state = np.random.Philox(number % (1 << 64)).state
    return generator


def get_rng_state() -> dict[str, Any]:
    """The state of the default generator as plain numbers, lists and strings that JSON can hold."""
    state: dict[str, Any] = _plain(default_generator().bit_generator.state)
    return state


def set_rng_state(state: dict[str, Any]) -> None:
    """Continues where `get_rng_state` was called.

    Raises:
        ValueError: `state` does not come from `get_rng_state`.
    """
    try:
        default_generator().bit_generator.state = state
    except (KeyError, TypeError, ValueError, OverflowError) as error:
        raise ValueError(f"set_rng_state: this is not a state of the generator: {error!r}") from None


def _plain(state: Any) -> Any:
    if isinstance(state, dict):
        return {key: _plain(value) for key, value in state.items()}
    return state.tolist() if isinstance(state, (np.ndarray, np.generic)) else state


def rand(
    *size: Any, dtype: DTypeLike | None = None, requires_grad: bool = False, generator: Generator | None = None
) -> Tensor:
    """Uniform random numbers from [0, 1); float32 unless `dtype` says float64."""
    draw = (generator or default_generator()).random
    return Tensor(np.asarray(draw(sizes(size), _real_type("rand", dtype))), requires_grad)


def randn(
    *size: Any, dtype: DTypeLike | None = None, requires_grad: bool = False, generator: Generator | None = None
) -> Tensor:
    """Random numbers of the normal distribution with mean 0 and variance 1; float32 unless `dtype` says float64."""
    draw = (generator or default_generator()).standard_normal
    return Tensor(np.asarray(draw(sizes(size), _real_type("randn", dtype))), requires_grad)


def _real_type(name: str, dtype: DTypeLike | None) -> Any:
    kind = np.dtype(np.float32 if dtype is None else dtype)
    if kind not in (np.float32, np.float64):
        raise TypeError(f"{name}: dtype is {kind}; expected float32 or float64")
    return kind
