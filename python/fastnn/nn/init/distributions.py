"""Fills a tensor with random numbers of a distribution, or with one value."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from typing import TYPE_CHECKING, Any, TypeVar

import numpy as np

from ... import ops
from ...arrays import Array
from ...random import draw_seed, source_of
from ...tape import run_deferred
from ...tensor import Tensor, expect_numbers

if TYPE_CHECKING:
    from numpy.random import Generator

_T = TypeVar("_T", bound=Tensor)

_skipping = ContextVar("skipping", default=False)

_BLOCK = 1 << 16  # elements; half a megabyte of float64 stays in the cache, and a large weight needs no copy of it


def uniform_(tensor: _T, a: float = 0.0, b: float = 1.0, generator: Generator | None = None) -> _T:
    """Fills with values drawn uniformly from [a, b), two finite numbers."""
    _expect_finite("uniform_", a=a, b=b)
    if not a <= b:
        raise ValueError(f"uniform_: the interval is [{a}, {b}); expected a <= b")
    return _fill("uniform_", tensor, lambda y: ops.random_uniform(y, a, b, draw_seed(generator, "uniform_")))


def normal_(tensor: _T, mean: float = 0.0, std: float = 1.0, generator: Generator | None = None) -> _T:
    """Fills with values drawn from the normal distribution."""
    expect_numbers("normal_", mean=mean, std=std)
    if not std >= 0:
        raise ValueError(f"normal_: std is {std}; expected at least 0")
    return _fill("normal_", tensor, lambda y: ops.random_normal(y, mean, std, draw_seed(generator, "normal_")))


def trunc_normal_(
    tensor: _T,
    mean: float = 0.0,
    std: float = 1.0,
    a: float = -2.0,
    b: float = 2.0,
    generator: Generator | None = None,
) -> _T:
    """Fills from the normal distribution with what falls outside of [a, b] drawn again.

    `mean` and `std` are those before truncation; the interval is in absolute terms, not in standard deviations.

    Raises:
        ValueError: `std` is not above 0, `a` is above `b`, or `mean` or `std` is not finite.
    """
    expect_numbers("trunc_normal_", a=a, b=b)
    _expect_finite("trunc_normal_", mean=mean, std=std)
    if not std > 0:
        raise ValueError(f"trunc_normal_: std is {std}; expected a number above 0")
    if not a <= b:
        raise ValueError(f"trunc_normal_: the interval is [{a}, {b}]; expected a <= b")
    source, low, high = source_of("trunc_normal_", generator), (a - mean) / std, (b - mean) / std

    def draw(y: Array) -> None:
        elements = y.reshape(-1)
        for start in range(0, elements.size, _BLOCK):
            block = elements[start : start + _BLOCK]
            x = mean + std * _truncated_normal(source, block.size, low, high)
            np.copyto(block, np.clip(x, a, b), casting="same_kind")  # which rounding may have left

    return _fill("trunc_normal_", tensor, draw)


def constant_(tensor: _T, val: float) -> _T:
    """Fills with one value."""
    expect_numbers("constant_", val=val)
    check_real("constant_", tensor)
    return write(tensor, val)


def ones_(tensor: _T) -> _T:
    """Fills with ones."""
    return constant_(tensor, 1.0)


def zeros_(tensor: _T) -> _T:
    """Fills with zeros."""
    return constant_(tensor, 0.0)


def _truncated_normal(source: Generator, count: int, low: float, high: float) -> Any:
    """Numbers of the standard normal distribution in [low, high], by rejection.

    Candidates are normal where the interval holds much of the distribution, and uniform elsewhere (Robert, Simulation
    of truncated normal variables, 1995), up to where the density is below 2^-53 of its largest.
    """
    nearest = max(low, min(0.0, high))
    reach = math.sqrt(nearest**2 + 2 * 53 * math.log(2))
    low, high = max(low, -reach), min(high, reach)
    normal = math.erf(high / math.sqrt(2)) - math.erf(low / math.sqrt(2)) > 0.6
    values, found = np.empty(count), 0
    while found < count:
        size = 2 * (count - found) + 16
        if normal:
            x = source.standard_normal(size)
            x = x[(x >= low) & (x <= high)]
        else:
            x = source.uniform(low, high, size)
            x = x[source.random(size) <= np.exp((nearest**2 - x * x) / 2)]
        x = x[: count - found]
        values[found : found + len(x)] = x
        found += len(x)
    return values


def _fill(name: str, tensor: _T, draw: Callable[[Array], None]) -> _T:
    """Overwrites a tensor by `draw`, which fills a C-contiguous array of float32 or float64; errors speak of `name`."""
    check_real(name, tensor)
    if _skipping.get():
        return tensor
    run_deferred()  # with the values that they were to see
    data = tensor.data
    if data.flags.carray and data.dtype.char in "fd":
        draw(data)
    else:
        values = np.empty(data.shape, data.dtype if data.dtype.char in "fd" else np.float64)
        draw(values)
        np.copyto(data, values, casting="same_kind")
    tensor._version += 1
    return tensor


def write(tensor: _T, values: Any) -> _T:
    """Overwrites a tensor with values of its shape."""
    if _skipping.get():
        return tensor
    run_deferred()
    np.copyto(tensor.data, values)
    tensor._version += 1
    return tensor


@contextmanager
def skipped() -> Iterator[None]:
    """Inside, initializers leave tensors as they are (in this thread)."""
    before = _skipping.set(True)
    try:
        yield
    finally:
        _skipping.reset(before)


def _expect_finite(name: str, **arguments: float) -> None:
    expect_numbers(name, **arguments)
    for argument, value in arguments.items():
        if not math.isfinite(value):
            raise ValueError(f"{name}: {argument} is {value}; expected a finite number")


def check_real(name: str, tensor: Tensor) -> None:
    """Raises TypeError for what is no floating-point tensor."""
    if not isinstance(tensor, Tensor):
        raise TypeError(f"{name}: got {type(tensor).__name__}; expected a Tensor")
    if tensor.dtype.kind != "f":
        raise TypeError(f"{name}: the tensor has dtype {tensor.dtype}; expected a floating-point one")
