"""Adamax."""

from __future__ import annotations

from collections.abc import Iterable

from .. import ops
from ..tensor import Tensor
from .optimizer import Array, Group, Optimizer, check_betas, check_non_negative, check_switches


class Adamax(Optimizer):
    """Adamax, in PyTorch's order of operations: Adam with the maximum norm of the gradients in place of their squares.

    g = gradient + weight_decay * p; exp_avg = beta1 * exp_avg + (1 - beta1) * g;
    exp_inf = max(beta2 * exp_inf, |g| + eps); p -= lr / (1 - beta1^step) * exp_avg / exp_inf. One fused kernel call
    updates all parameters of a group (Kingma, Ba: Adam: A method for stochastic optimization, ICLR 2015, section 7).

    Args:
        params: the parameters, or dicts of groups with options of their own.
        lr: the learning rate.
        betas: how much of the average of the gradient and of its largest absolute value is kept.
        eps: keeps the denominator away from 0.
        weight_decay: the factor of the L2 penalty.
        maximize: whether to go up instead of down.

    Raises:
        ValueError: an option is negative, or one of betas is not below 1.

    Example:
        >>> import fastnn
        >>> from fastnn.optim import Adamax
        >>> w = fastnn.Parameter(fastnn.tensor([1.0, 2.0]))
        >>> optimizer = Adamax([w], lr=0.1)
        >>> (w * w).sum().backward()
        >>> optimizer.step()
        >>> w.detach()
        tensor([0.9, 1.9])
    """

    def __init__(
        self,
        params: Iterable[Tensor] | Iterable[Group],
        lr: float = 2e-3,
        betas: tuple[float, float] = (0.9, 0.999),
        eps: float = 1e-8,
        weight_decay: float = 0,
        *,
        maximize: bool = False,
    ) -> None:
        defaults = {"lr": lr, "betas": betas, "eps": eps, "weight_decay": weight_decay, "maximize": maximize}
        self._check_options(defaults)
        super().__init__(params, defaults)

    def _check_options(self, group: Group) -> None:
        check_non_negative("Adamax", group, "lr", "eps", "weight_decay")
        check_betas("Adamax", group)
        check_switches("Adamax", group, "maximize")

    def _update(self, group: Group, params: list[Tensor], grads: list[Array]) -> None:
        steps, state = self._next_steps(params), self._state_arrays(params, ["exp_avg", "exp_inf"])
        beta1, beta2 = group["betas"]
        ops.adamax(
            [param.data for param in params],
            grads,
            state["exp_avg"],
            state["exp_inf"],
            steps,
            group["lr"],
            beta1,
            beta2,
            group["eps"],
            group["weight_decay"],
            group["maximize"],
        )
        self._keep_state(params, step=steps, **state)
