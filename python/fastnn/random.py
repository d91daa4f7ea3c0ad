"""Random numbers: one generator for the whole library, its seed and its state."""

from __future__ import annotations

import operator
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import DTypeLike

from . import ops
from .arrays import Array, integer, sizes
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
    """Uniform random numbers from [0, 1); float32 unless `dtype` says float64.

    Each call takes 64 bits from the generator. They and the place of an element decide on its number.

    Args:
        size: the sizes, one by one or as one sequence.
        dtype: float32 or float64.
        requires_grad: whether `backward` computes a gradient for the tensor.
        generator: where the 64 bits come from; that of `fastnn.manual_seed` by default.

    Raises:
        TypeError: a size is not an integer, or `dtype` or `generator` is something else.
        ValueError: a size is negative.
    """
    y = _empty("rand", size, dtype)
    ops.random_uniform(y, 0.0, 1.0, draw_seed(generator, "rand"))
    return Tensor(y, requires_grad)


def randn(
    *size: Any, dtype: DTypeLike | None = None, requires_grad: bool = False, generator: Generator | None = None
) -> Tensor:
    """Random numbers of the normal distribution with mean 0 and variance 1; float32 unless `dtype` says float64.

    Arguments and errors are those of `rand`.
    """
    y = _empty("randn", size, dtype)
    ops.random_normal(y, 0.0, 1.0, draw_seed(generator, "randn"))
    return Tensor(y, requires_grad)


def source_of(name: str, generator: Generator | None) -> Generator:
    """The generator to draw from, by default that of the library; `name` is the function that errors speak of."""
    if generator is None:
        return default_generator()
    if not isinstance(generator, np.random.Generator):
        raise TypeError(f"{name}: generator is {type(generator).__name__}; expected a numpy.random.Generator")
    return generator


def draw_seed(generator: Generator | None = None, name: str = "draw_seed") -> int:
    """64 bits of a generator (see `source_of`): the seed of a kernel that makes the numbers itself."""
    if generator is None:
        return default_generator().bit_generator.random_raw()
    return int(source_of(name, generator).integers(0, (1 << 64) - 1, dtype=np.uint64, endpoint=True))


def _empty(name: str, size: tuple[Any, ...], dtype: DTypeLike | None) -> Array:
    shape = tuple(integer(name, size=n) for n in sizes(size))
    if min(shape, default=0) < 0:
        raise ValueError(f"{name}: size is {shape}; expected numbers of at least 0")
    kind = np.dtype(np.float32 if dtype is None else dtype)
    if kind not in (np.float32, np.float64):
        raise TypeError(f"{name}: dtype is {kind}; expected float32 or float64")
    return ops.empty(shape, kind)
