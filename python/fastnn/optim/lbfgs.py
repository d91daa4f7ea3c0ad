"""L-BFGS."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

import numpy as np

from .. import ops
from ..tape import run_deferred
from ..tensor import Tensor, enable_grad
from .line_search import Point, strong_wolfe
from .optimizer import Array, Group, Optimizer, check_non_negative, check_number


class LBFGS(Optimizer):
    """L-BFGS, as PyTorch does it: a quasi-Newton method for full batches.

    Each iteration goes along minus the gradient times an estimate of the inverse Hessian, which the differences of the
    last `history_size` parameters and gradients give, by `lr` or as far as the line search says (Nocedal: Updating
    quasi-Newton matrices with limited storage, 1980). It takes `history_size` times twice the memory of the parameters.

    Args:
        params: the parameters; there can be one group only.
        lr: the length of an iteration, or the first one that the line search tries.
        max_iter: iterations a step.
        max_eval: evaluations of the loss a step; a quarter more than iterations where None.
        tolerance_grad: the step ends where no element of the gradient is larger.
        tolerance_change: the step ends where neither the loss nor a parameter changes by more.
        history_size: differences that are kept.
        line_search_fn: None, or `"strong_wolfe"` for a line search.

    Raises:
        ValueError: an option is out of range, or there is more than one group.

    Example:
        >>> import fastnn
        >>> from fastnn.optim import LBFGS
        >>> w = fastnn.Parameter(fastnn.tensor([-1.0, 2.0]))
        >>> optimizer = LBFGS([w], line_search_fn="strong_wolfe")
        >>> def closure():
        ...     optimizer.zero_grad()
        ...     loss = (1 - w[0]) ** 2 + 100 * (w[1] - w[0] ** 2) ** 2
        ...     loss.backward()
        ...     return loss
        >>> for _ in range(3):
        ...     loss = optimizer.step(closure)
        >>> abs(w.detach().numpy() - 1).max() < 1e-3
        np.True_
    """

    def __init__(
        self,
        params: Iterable[Tensor] | Iterable[Group],
        lr: float = 1,
        max_iter: int = 20,
        max_eval: int | None = None,
        tolerance_grad: float = 1e-7,
        tolerance_change: float = 1e-9,
        history_size: int = 100,
        line_search_fn: str | None = None,
    ) -> None:
        check_number("LBFGS", {"max_iter": max_iter}, "max_iter")
        defaults = {
            "lr": lr,
            "max_iter": max_iter,
            "max_eval": max_iter * 5 // 4 if max_eval is None else max_eval,
            "tolerance_grad": tolerance_grad,
            "tolerance_change": tolerance_change,
            "history_size": history_size,
            "line_search_fn": line_search_fn,
        }
        self._check_options(defaults)
        super().__init__(params, defaults)

    def _check_options(self, group: Group) -> None:
        check_non_negative("LBFGS", group, "lr", "max_iter", "max_eval", "tolerance_grad", "tolerance_change")
        check_number("LBFGS", group, "history_size")
        if not group["history_size"] >= 1:
            raise ValueError(f"LBFGS: history_size is {group['history_size']}; expected at least 1")
        if group["line_search_fn"] not in (None, "strong_wolfe"):
            raise ValueError(f"LBFGS: line_search_fn is {group['line_search_fn']!r}; expected None or 'strong_wolfe'")

    def add_param_group(self, param_group: Group) -> None:
        """Adds the group. ValueError where there is one already."""
        if self.param_groups:
            raise ValueError("LBFGS: params has several groups; expected one, with the same options for all")
        super().add_param_group(param_group)
        if not self.param_groups[0]["params"]:
            raise ValueError("LBFGS: params is empty; expected at least one tensor")

    def step(self, closure: Callable[[], Any] | None = None) -> Any:
        """Makes up to `max_iter` iterations.

        Args:
            closure: sets the gradients to zero, computes the loss and its gradients, and returns the loss. Called many
                times.

        Returns:
            The loss before the step.
        """
        if closure is None:
            raise TypeError("LBFGS: step() needs a closure that computes the loss and its gradients")
        group = self.param_groups[0]
        state = self.state[group["params"][0]]  # of all parameters together
        state.setdefault("func_evals", 0)
        state.setdefault("n_iter", 0)

        def evaluate() -> tuple[Any, float, Array]:
            state["func_evals"] += 1
            with enable_grad():
                loss = closure()
            return loss, float(loss), self._gradient()

        first_loss, loss, grad = evaluate()
        first_evaluation = state["func_evals"]
        if _largest(grad) <= group["tolerance_grad"]:
            return first_loss

        for iteration in range(1, int(group["max_iter"]) + 1):
            state["n_iter"] += 1
            direction = self._direction(grad, group["history_size"])
            t = group["lr"] * (min(1.0, 1 / float(np.abs(grad).sum())) if state["n_iter"] == 1 else 1)
            loss_before, slope = loss, _dot(grad, direction)
            state.update(d=direction, t=t, prev_flat_grad=grad, prev_loss=loss)
            if slope > -group["tolerance_change"]:
                break
            if group["line_search_fn"] is not None:
                values = [param.data.copy() for param in group["params"]]

                def point(t: float, direction: Array = direction, values: list[Array] = values) -> Point:
                    self._move(t, direction)
                    _, loss, grad = evaluate()
                    self._restore(values)
                    return Point(t, loss, grad, _dot(grad, direction))

                evaluations_left = group["max_eval"] - (state["func_evals"] - first_evaluation + 1)
                start = Point(0.0, loss, grad, slope)
                t, loss, grad, _ = strong_wolfe(point, start, t, _largest(direction), evaluations_left)
                state["t"] = t
                self._move(t, direction)
            else:
                self._move(t, direction)
                if iteration < group["max_iter"]:  # what comes after the last one is not looked at
                    _, loss, grad = evaluate()
            if (
                state["func_evals"] - first_evaluation + 1 >= group["max_eval"]
                or _largest(grad) <= group["tolerance_grad"]
                or _largest(direction) * t <= group["tolerance_change"]
                or abs(loss - loss_before) < group["tolerance_change"]
            ):
                break
        return first_loss

    @np.errstate(all="ignore")
    def _direction(self, grad: Array, history_size: int) -> Array:
        """Minus the gradient times the estimate of the inverse Hessian, after the last step has gone into that."""
        state = self.state[self.param_groups[0]["params"][0]]
        if state["n_iter"] == 1:
            state.update(old_dirs=[], old_stps=[], ro=[], H_diag=1.0)
            return -grad
        differences, steps, ro = state["old_dirs"], state["old_stps"], state["ro"]
        y, s = grad - state["prev_flat_grad"], state["d"] * _scalar(state["t"], grad)
        ys = _dot(y, s)
        if ys > 1e-10:
            for kept, new in ((differences, y), (steps, s), (ro, 1 / ys)):
                if len(kept) == history_size:
                    kept.pop(0)
                kept.append(new)
            state["H_diag"] = ys / _dot(y, y)

        direction, shares = -grad, [0.0] * len(ro)
        for i in reversed(range(len(ro))):
            shares[i] = _dot(steps[i], direction) * float(ro[i])
            direction -= _scalar(shares[i], grad) * differences[i]
        direction *= _scalar(state["H_diag"], grad)
        for i, share in enumerate(shares):
            direction += _scalar(share - _dot(differences[i], direction) * float(ro[i]), grad) * steps[i]
        return direction

    # ---- the parameters as one vector ---------------------------------------------------------------------------

    def _gradient(self) -> Array:
        params = self.param_groups[0]["params"]
        grads = [np.zeros(p.shape, p.dtype) if p.grad is None else p.grad.data for p in params]
        return np.concatenate([g.reshape(-1) for g in grads])

    @np.errstate(all="ignore")
    def _move(self, t: float, direction: Array) -> None:
        params = self.param_groups[0]["params"]
        ends = np.cumsum([param.numel() for param in params])
        parts = np.split(direction * _scalar(t, direction), ends[:-1])
        self._restore([param.data + part.reshape(param.shape) for param, part in zip(params, parts, strict=True)])

    def _restore(self, values: list[Array]) -> None:
        run_deferred()  # with the parameters that they were to see
        for param, value in zip(self.param_groups[0]["params"], values, strict=True):
            param.data[...] = value
            param._version += 1


def _scalar(value: Any, x: Array) -> Any:
    """A number in the element type of an array, which keeps its type in a product with it."""
    return x.dtype.type(value)


def _dot(a: Array, b: Array) -> float:
    # BLAS's sums depend on its number of threads.
    return float(ops.matmul(a[None], b[:, None])[0, 0])


def _largest(x: Array) -> float:
    return float(np.abs(x).max(initial=0))
