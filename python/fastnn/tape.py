"""The tape: what was computed, as a graph of nodes, and the walk back through it.

Operations make nodes (see `fastnn.tensor.record`). A node holds one function, from the gradient of its output to the
gradients of its inputs, and one edge for each input: the node that made the input, or the leaf tensor that it is. It
holds no array itself; what the function captured lives until backward has run through the node. The tape knows
gradients as plain arrays.
"""

from __future__ import annotations

import itertools
import threading
from collections.abc import Callable
from functools import wraps
from heapq import heappop, heappush
from types import TracebackType
from typing import Any, Protocol, TypeAlias, TypeVar

import numpy as np

from .arrays import Array, elementwise

Gradients: TypeAlias = "Array | tuple[Array | None, ...] | None"
Backward: TypeAlias = Callable[[Array], Gradients]
Edge: TypeAlias = "Node | tuple[Leaf, int] | None"
ArrayHook: TypeAlias = Callable[[Array], Array]
Trace: TypeAlias = Callable[[Any, Backward, "tuple[Any, ...]"], None]  # output, backward, inputs
AnyFunction = TypeVar("AnyFunction", bound=Callable[..., Any])

_clock = itertools.count()


# ---- whether to record --------------------------------------------------------------------------------------------


class _Mode(threading.local):
    grad_enabled = True
    deferred: list[Callable[[], Any]] | None = None  # inside of a module's call, weak references to deferred tensors
    trace: Trace | None = None  # what is told of everything that is recorded (see `fastnn.tracing`)


mode = _Mode()


def run_deferred() -> None:
    """Computes the deferred tensors of this thread (see `fastnn.deferred`) that still exist."""
    if mode.deferred:
        waiting, mode.deferred = mode.deferred, []
        for reference in waiting:
            tensor = reference()
            if tensor is not None:
                tensor.data  # noqa: B018 - computes it


class no_grad:
    """Context manager and decorator: inside, nothing is recorded and nothing is kept for backward (as in PyTorch).

    It holds for the thread that enters it.

    Example:
        >>> import fastnn
        >>> w = fastnn.tensor([1.0, 2.0], requires_grad=True)
        >>> with fastnn.no_grad():
        ...     y = w * 2
        >>> y.requires_grad
        False
    """

    _enabled = False

    def __init__(self) -> None:
        self._before: list[bool] = []

    def __enter__(self) -> None:
        self._before.append(mode.grad_enabled)
        mode.grad_enabled = self._enabled

    def __exit__(
        self, kind: type[BaseException] | None, value: BaseException | None, trace: TracebackType | None
    ) -> None:
        mode.grad_enabled = self._before.pop()

    def __call__(self, function: AnyFunction) -> AnyFunction:
        """Decorates `function`: each of its calls runs inside a context of its own."""

        @wraps(function)
        def wrapper(*args: Any, **kwargs: Any) -> Any:
            with type(self)():
                return function(*args, **kwargs)

        return wrapper  # type: ignore[return-value]


class enable_grad(no_grad):
    """The opposite of `no_grad`, for use inside of it."""

    _enabled = True


def is_grad_enabled() -> bool:
    """Whether operations are recorded at present in this thread."""
    return mode.grad_enabled


# ---- the graph ----------------------------------------------------------------------------------------------------


class Leaf(Protocol):
    """What the tape asks of a tensor that no operation made."""

    _version: int  # counts its changes in place

    def _accumulate(self, gradient: Array) -> None:
        """Adds an array that nobody else holds to its `grad`."""


class Node:
    """One recorded operation."""

    __slots__ = ("backward", "edges", "hooks", "order", "retain", "sums")

    def __init__(self, backward: Backward, edges: list[Edge], sums: bool) -> None:
        self.backward: Backward | None = backward
        self.edges = edges  # a leaf stands there with its version at the time
        self.sums = sums  # whether `backward` adds to what the first edge has got so far
        self.order = next(_clock)  # inputs are made before outputs: this sorts the graph
        self.hooks: list[ArrayHook] | None = None
        self.retain: Callable[[], Leaf | None] | None = None  # a weak reference to a tensor that wants its gradient


class RemovableHandle:
    """Takes a hook out of the list that it was put into."""

    def __init__(self, hooks: list[Any], hook: Any) -> None:
        self._hooks, self._hook = hooks, hook
        hooks.append(hook)

    def remove(self) -> None:
        """Removes the hook; does nothing the second time."""
        if self._hook in self._hooks:
            self._hooks.remove(self._hook)


def walk(root: Node | Leaf, dy: Array, retain_graph: bool) -> None:
    """Takes the gradient `dy` of `root` back to the leaves and adds to their `grad`.

    The pending node that was made last is always the next: all operations that used its output come later in the order
    and have run. Leaves get theirs at the end, so that an error leaves every `grad` as it was.
    """
    if not isinstance(root, Node):
        root._accumulate(dy.copy())
        return
    pending: dict[Node, Array] = {root: dy}
    arrived: dict[Leaf, Array] = {}
    heap = [(-root.order, root)]
    with np.errstate(all="ignore"):
        while heap:
            node = heappop(heap)[1]
            dy = pending.pop(node)
            for hook in tuple(node.hooks or ()):
                dy = hook(dy)
            if node.retain is not None and (keeper := node.retain()) is not None:
                keeper._accumulate(dy.copy())
            if node.backward is None:
                raise RuntimeError(
                    "backward: what was saved for it is gone, because backward has run here before; "
                    "call it with retain_graph=True the first time"
                )
            so_far = pending.get(node.edges[0]) if node.sums else None  # type: ignore[arg-type]
            if so_far is not None and so_far.dtype != dy.dtype:
                so_far = None
            gradients = node.backward(dy) if so_far is None else node.backward(dy, so_far)  # type: ignore[call-arg]
            if type(gradients) is not tuple:
                gradients = (gradients,)  # type: ignore[assignment]
            if so_far is not None:
                pending[node.edges[0]], *others = gradients  # type: ignore
                gradients = (None, *others)
            for edge, gradient in zip(node.edges, gradients, strict=True):  # type: ignore[arg-type]
                if edge is None or gradient is None:
                    continue
                gradient = np.asarray(gradient)  # arithmetic on arrays of 0 dimensions makes NumPy scalars
                if isinstance(edge, Node):
                    if edge not in pending:
                        heappush(heap, (-edge.order, edge))
                    _add(pending, edge, gradient)
                    continue
                leaf, version = edge
                if leaf._version != version:
                    raise RuntimeError(
                        "backward: a leaf tensor was changed in place after it was used in forward "
                        "(by an optimizer's step, for example); run forward again"
                    )
                if not gradient.flags.writeable or np.may_share_memory(gradient, dy):
                    gradient = gradient.copy()  # others may hold the memory that an operation only passes on
                _add(arrived, leaf, gradient)
            if not retain_graph:
                node.backward, node.edges = None, []
        for leaf, gradient in arrived.items():
            leaf._accumulate(gradient)


def _add(sums: dict[Any, Array], key: Any, gradient: Array) -> None:
    sums[key] = elementwise(np.add, sums[key], gradient) if key in sums else gradient
