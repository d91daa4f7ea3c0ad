"""NAdam."""

from __future__ import annotations

from collections.abc import Iterable

from .. import ops
from ..tensor import Tensor
from .optimizer import Array, Group, Optimizer, check_betas, check_non_negative, check_switches


class NAdam(Optimizer):
    """NAdam, in PyTorch's order of operations: Adam with Nesterov's momentum, which grows from step to step.

    The averages are Adam's. With mu = beta1 * (1 - 0.96^(step * momentum_decay) / 2), mu_next the same for the next
    step, mu_product the product of mu over all steps so far, and root = sqrt(exp_avg_sq / (1 - beta2^step)) + eps:
    p -= lr * ((1 - mu) / (1 - mu_product) * g + mu_next / (1 - mu_product * mu_next) * exp_avg) / root. One fused
    kernel call updates all parameters of a group (Dozat: Incorporating Nesterov momentum into Adam, ICLR workshop
    2016).

    Args:
        params: the parameters, or dicts of groups with options of their own.
        lr: the learning rate.
        betas: how much of the averages of the gradient and of its square is kept.
        eps: keeps the denominator away from 0.
        weight_decay: the factor of the L2 penalty.
        momentum_decay: how fast the momentum grows from half of its final value.
        decoupled_weight_decay: whether the weight decay shrinks the parameters instead of changing the gradients.
        maximize: whether to go up instead of down.

    Raises:
        ValueError: an option is negative, or one of betas is not below 1.

    Example:
        >>> import fastnn
        >>> from fastnn.optim import NAdam
        >>> w = fastnn.Parameter(fastnn.tensor([1.0, 2.0]))
        >>> optimizer = NAdam([w], lr=0.1, momentum_decay=0)
        >>> (w * w).sum().backward()
        >>> optimizer.step()
        >>> w.detach()
        tensor([0.8944, 1.8944])
    """

    def __init__(
        self,
        params: Iterable[Tensor] | Iterable[Group],
        lr: float = 2e-3,
        betas: tuple[float, float] = (0.9, 0.999),
        eps: float = 1e-8,
        weight_decay: float = 0,
        momentum_decay: float = 4e-3,
        decoupled_weight_decay: bool = False,
        *,
        maximize: bool = False,
    ) -> None:
        defaults = {
            "lr": lr,
            "betas": betas,
            "eps": eps,
            "weight_decay": weight_decay,
            "momentum_decay": momentum_decay,
            "decoupled_weight_decay": decoupled_weight_decay,
            "maximize": maximize,
        }
        self._check_options(defaults)
        super().__init__(params, defaults)

    def _check_options(self, group: Group) -> None:
        check_non_negative("NAdam", group, "lr", "eps", "weight_decay", "momentum_decay")
        check_betas("NAdam", group)
        check_switches("NAdam", group, "decoupled_weight_decay", "maximize")

    def _update(self, group: Group, params: list[Tensor], grads: list[Array]) -> None:
        steps, state = self._next_steps(params), self._state_arrays(params, ["exp_avg", "exp_avg_sq"])
        beta1, beta2 = group["betas"]
        mu_products = ops.nadam(
            [param.data for param in params],
            grads,
            state["exp_avg"],
            state["exp_avg_sq"],
            [float(self.state.get(param, {}).get("mu_product", 1)) for param in params],
            steps,
            group["lr"],
            beta1,
            beta2,
            group["eps"],
            group["weight_decay"],
            group["momentum_decay"],
            group["decoupled_weight_decay"],
            group["maximize"],
        )
        self._keep_state(params, step=steps, mu_product=mu_products, **state)
