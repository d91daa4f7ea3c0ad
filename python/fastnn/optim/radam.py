"""RAdam."""

from __future__ import annotations

from collections.abc import Iterable

from .. import ops
from ..tensor import Tensor
from .optimizer import Array, Group, Optimizer, check_betas, check_non_negative, check_switches


class RAdam(Optimizer):
    """RAdam, in PyTorch's order of operations: Adam whose first steps, where the square's average is uncertain, shrink.

    The averages are Adam's. With rho_inf = 2 / (1 - beta2) - 1 and
    rho = rho_inf - 2 * step * beta2^step / (1 - beta2^step), p -= lr * exp_avg / (1 - beta1^step), and where rho > 5
    that step is divided by (sqrt(exp_avg_sq) + eps) / sqrt(1 - beta2^step) and multiplied by
    sqrt((rho - 4) (rho - 2) rho_inf / ((rho_inf - 4) (rho_inf - 2) rho)). One fused kernel call updates all parameters
    of a group (Liu et al.: On the variance of the adaptive learning rate and beyond, ICLR 2020).

    Args:
        params: the parameters, or dicts of groups with options of their own.
        lr: the learning rate.
        betas: how much of the averages of the gradient and of its square is kept.
        eps: keeps the denominator away from 0.
        weight_decay: the factor of the L2 penalty.
        decoupled_weight_decay: whether the weight decay shrinks the parameters instead of changing the gradients.
        maximize: whether to go up instead of down.

    Raises:
        ValueError: an option is negative, or one of betas is not below 1.

    Example:
        >>> import fastnn
        >>> from fastnn.optim import RAdam
        >>> w = fastnn.Parameter(fastnn.tensor([1.0, 2.0]))
        >>> optimizer = RAdam([w], lr=0.1)
        >>> (w * w).sum().backward()
        >>> optimizer.step()
        >>> w.detach()
        tensor([0.8, 1.6])
    """

    def __init__(
        self,
        params: Iterable[Tensor] | Iterable[Group],
        lr: float = 1e-3,
        betas: tuple[float, float] = (0.9, 0.999),
        eps: float = 1e-8,
        weight_decay: float = 0,
        decoupled_weight_decay: bool = False,
        *,
        maximize: bool = False,
    ) -> None:
        defaults = {
            "lr": lr,
            "betas": betas,
            "eps": eps,
            "weight_decay": weight_decay,
            "decoupled_weight_decay": decoupled_weight_decay,
            "maximize": maximize,
        }
        self._check_options(defaults)
        super().__init__(params, defaults)

    def _check_options(self, group: Group) -> None:
        check_non_negative("RAdam", group, "lr", "eps", "weight_decay")
        check_betas("RAdam", group)
        check_switches("RAdam", group, "decoupled_weight_decay", "maximize")

    def _update(self, group: Group, params: list[Tensor], grads: list[Array]) -> None:
        steps, state = self._next_steps(params), self._state_arrays(params, ["exp_avg", "exp_avg_sq"])
        beta1, beta2 = group["betas"]
        ops.radam(
            [param.data for param in params],
            grads,
            state["exp_avg"],
            state["exp_avg_sq"],
            steps,
            group["lr"],
            beta1,
            beta2,
            group["eps"],
            group["weight_decay"],
            group["decoupled_weight_decay"],
            group["maximize"],
        )
        self._keep_state(params, step=steps, **state)
