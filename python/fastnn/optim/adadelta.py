"""Adadelta."""

from __future__ import annotations

from collections.abc import Iterable

from .. import ops
from ..tensor import Tensor
from .optimizer import Array, Group, Optimizer, check_non_negative, check_switches


class Adadelta(Optimizer):
    """Adadelta, in PyTorch's order of operations.

    g = gradient + weight_decay * p; square_avg = rho * square_avg + (1 - rho) * g^2;
    delta = sqrt(acc_delta + eps) / sqrt(square_avg + eps) * g; acc_delta = rho * acc_delta + (1 - rho) * delta^2;
    p -= lr * delta. One fused kernel call updates all parameters of a group (Zeiler: ADADELTA: An adaptive learning
    rate method, 2012).

    Args:
        params: the parameters, or dicts of groups with options of their own.
        lr: the factor of the steps, whose length the method finds by itself.
        rho: how much of the averages of the squares of gradients and of steps is kept.
        eps: keeps the denominator away from 0, and lets the first steps begin.
        weight_decay: the factor of the L2 penalty.
        maximize: whether to go up instead of down.

    Raises:
        ValueError: an option is negative, or `rho` is above 1.

    Example:
        >>> import fastnn
        >>> from fastnn.optim import Adadelta
        >>> w = fastnn.Parameter(fastnn.tensor([1.0, 2.0]))
        >>> optimizer = Adadelta([w], eps=0.01)
        >>> (w * w).sum().backward()
        >>> optimizer.step()
        >>> w.detach()
        tensor([0.6877, 1.6848])
    """

    def __init__(
        self,
        params: Iterable[Tensor] | Iterable[Group],
        lr: float = 1.0,
        rho: float = 0.9,
        eps: float = 1e-6,
        weight_decay: float = 0,
        *,
        maximize: bool = False,
    ) -> None:
        defaults = {"lr": lr, "rho": rho, "eps": eps, "weight_decay": weight_decay, "maximize": maximize}
        self._check_options(defaults)
        super().__init__(params, defaults)

    def _check_options(self, group: Group) -> None:
        check_non_negative("Adadelta", group, "lr", "rho", "eps", "weight_decay")
        check_switches("Adadelta", group, "maximize")
        if group["rho"] > 1:
            raise ValueError(f"Adadelta: rho is {group['rho']}; expected at most 1")

    def _update(self, group: Group, params: list[Tensor], grads: list[Array]) -> None:
        steps, state = self._next_steps(params), self._state_arrays(params, ["square_avg", "acc_delta"])
        ops.adadelta(
            [param.data for param in params],
            grads,
            state["square_avg"],
            state["acc_delta"],
            group["lr"],
            group["rho"],
            group["eps"],
            group["weight_decay"],
            group["maximize"],
        )
        self._keep_state(params, step=steps, **state)
