"""`gradcheck`: the gradients of backward against finite differences of forward."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from .arrays import Array
from .tape import enable_grad
from .tensor import Tensor


def gradcheck(
    function: Callable[..., Any],
    inputs: Tensor | Sequence[Any],
    eps: float = 1e-6,
    atol: float = 1e-5,
    rtol: float = 1e-3,
    raise_exception: bool = True,
) -> bool:
    """Compares the gradients that backward computes with central differences (as `torch.autograd.gradcheck`).

    For each element of each input that requires grad, and for each element of each output, the analytic derivative
    must lie within `atol + rtol * |numeric|` of `(f(x + eps) - f(x - eps)) / (2 eps)`. Backward must give the same
    bits twice, and neither direction may change the inputs. The inputs' own `grad` stays as it is.

    Args:
        function: takes the inputs and returns a tensor or a tuple of tensors.
        inputs: a tensor or a sequence of arguments; the tensors among them that require grad must be float64.
        eps: the step of the differences.
        atol: absolute tolerance.
        rtol: relative tolerance.
        raise_exception: raise on failure instead of returning False.

    Returns:
        True where everything agrees.

    Raises:
        RuntimeError: the gradients are wrong; the message names the worst element.
        TypeError: an input that requires grad is not float64, or an output is not a tensor.
        ValueError: no input requires grad, or no output does.

    Example:
        >>> import fastnn
        >>> x = fastnn.tensor([1.0, 2.0], dtype="float64", requires_grad=True)
        >>> fastnn.gradcheck(lambda x: (x * x).sum(), x)
        True
    """
    arguments = (inputs,) if isinstance(inputs, Tensor) else tuple(inputs)
    wanted = [i for i, a in enumerate(arguments) if isinstance(a, Tensor) and a.requires_grad]
    if not wanted:
        raise ValueError("gradcheck: no input requires grad")
    for i in wanted:
        if arguments[i].dtype != np.float64:
            raise TypeError(f"gradcheck: input {i} has dtype {arguments[i].dtype}; expected float64")

    before = {i: a.data.copy() for i, a in enumerate(arguments) if isinstance(a, Tensor)}
    analytic = _analytic(function, arguments, wanted)
    again = _analytic(function, arguments, wanted)
    changed = [i for i, x in before.items() if not np.array_equal(x, arguments[i].data, equal_nan=x.dtype.kind == "f")]
    if changed:
        failure = f"gradcheck: the function or its backward changed input {changed[0]} in place"
    elif not all(np.array_equal(a, b, equal_nan=True) for a, b in zip(analytic, again, strict=True)):
        failure = "gradcheck: two runs of backward differ (does the function draw random numbers?)"
    else:
        numeric = [_numeric(function, arguments, i, eps) for i in wanted]
        failure = _worst(analytic, numeric, arguments, wanted, atol, rtol)
    if failure and raise_exception:
        raise RuntimeError(failure)
    return not failure


def _outputs(function: Callable[..., Any], arguments: Sequence[Any]) -> list[Tensor]:
    """The outputs that have gradients."""
    returned = function(*arguments)
    outputs = returned if isinstance(returned, tuple) else (returned,)
    for y in outputs:
        if not isinstance(y, Tensor):
            raise TypeError(
                f"gradcheck: the function returned {type(y).__name__}; expected a tensor or a tuple of them"
            )
    return [y for y in outputs if y.requires_grad]


@enable_grad()
def _analytic(function: Callable[..., Any], arguments: Sequence[Any], wanted: Sequence[int]) -> list[Array]:
    """For each wanted input the matrix of derivatives, a row for each element of the outputs."""
    leaves = list(arguments)
    for i in wanted:
        leaves[i] = Tensor(arguments[i].data, requires_grad=True)
    outputs = _outputs(function, leaves)
    if not outputs:
        raise ValueError("gradcheck: no output of the function requires grad")
    rows: list[list[Array]] = [[] for _ in wanted]
    for y in outputs:
        for position in np.ndindex(y.shape):
            dy = np.zeros_like(y.data)
            dy[position] = 1
            for i in wanted:
                leaves[i].grad = None
            y.backward(dy, retain_graph=True)
            for row, i in zip(rows, wanted, strict=True):
                grad = leaves[i].grad
                row.append(np.zeros(leaves[i].numel()) if grad is None else grad.data.reshape(-1))
    return [np.array(row).reshape(len(row), arguments[i].numel()) for row, i in zip(rows, wanted, strict=True)]


@enable_grad()
def _numeric(function: Callable[..., Any], arguments: Sequence[Any], i: int, eps: float) -> Array:
    x = arguments[i].data.copy()
    moved = list(arguments)
    moved[i] = Tensor(x, requires_grad=True)

    def forward() -> Array:
        return np.concatenate([y.data.reshape(-1) for y in _outputs(function, moved)], dtype=np.float64)

    columns = []
    for position in np.ndindex(x.shape):
        value = x[position]
        x[position] = value + eps
        above = forward()
        x[position] = value - eps
        below = forward()
        x[position] = value
        columns.append((above - below) / (2 * eps))
    return np.array(columns).reshape(x.size, -1 if columns else 0).T


def _worst(
    analytic: list[Array],
    numeric: list[Array],
    arguments: Sequence[Any],
    wanted: Sequence[int],
    atol: float,
    rtol: float,
) -> str:
    """What to say about the element that is furthest beyond its tolerance; empty where none is."""
    worst, message = 1.0, ""
    for i, a, n in zip(wanted, analytic, numeric, strict=True):
        if n.size == 0:
            continue
        excess = np.nan_to_num(np.abs(a - n) / (atol + rtol * np.abs(n)), nan=np.inf)
        row, column = np.unravel_index(np.argmax(excess), excess.shape)
        if excess[row, column] > worst:
            worst = excess[row, column]
            element = tuple(int(k) for k in np.unravel_index(column, arguments[i].shape))
            message = (
                f"gradcheck: input {i}, element {element}: backward gives {a[row, column]:.9g}, "
                f"finite differences give {n[row, column]:.9g} (for element {row} of the flattened outputs)"
            )
    return message
