"""Adam and AdamW."""

from __future__ import annotations

from collections.abc import Iterable

from .. import ops
from ..tensor import Tensor
from .optimizer import Array, Group, Optimizer, check_betas, check_non_negative, check_switches


class Adam(Optimizer):
    """Adam, in PyTorch's order of operations.

    g = gradient + weight_decay * p; exp_avg = beta1 * exp_avg + (1 - beta1) * g;
    exp_avg_sq = beta2 * exp_avg_sq + (1 - beta2) * g^2;
    p -= lr / (1 - beta1^step) * exp_avg / (sqrt(exp_avg_sq / (1 - beta2^step)) + eps). One fused kernel call updates
    all parameters of a group (Kingma, Ba: Adam: A method for stochastic optimization, ICLR 2015).

    Args:
        params: the parameters, or dicts of groups with options of their own.
        lr: the learning rate.
        betas: how much of the averages of the gradient and of its square is kept.
        eps: keeps the denominator away from 0.
        weight_decay: the factor of the L2 penalty.
        amsgrad: whether the largest average of squares so far takes the place of the present one (Reddi, Kale, Kumar:
            On the convergence of Adam and beyond, ICLR 2018).
        maximize: whether to go up instead of down.
        decoupled_weight_decay: whether the weight decay shrinks the parameters instead of changing the gradients, as
            `AdamW` does.

    Raises:
        ValueError: an option is negative, or one of betas is not below 1.

    Example:
        >>> import fastnn
        >>> from fastnn.optim import Adam
        >>> w = fastnn.Parameter(fastnn.tensor([1.0, 2.0]))
        >>> optimizer = Adam([w], lr=0.1)
        >>> (w * w).sum().backward()
        >>> optimizer.step()
        >>> w.detach()
        tensor([0.9, 1.9])
    """

    def __init__(
        self,
        params: Iterable[Tensor] | Iterable[Group],
        lr: float = 1e-3,
        betas: tuple[float, float] = (0.9, 0.999),
        eps: float = 1e-8,
        weight_decay: float = 0,
        amsgrad: bool = False,
        *,
        maximize: bool = False,
        decoupled_weight_decay: bool = False,
    ) -> None:
        defaults = {
            "lr": lr,
            "betas": betas,
            "eps": eps,
            "weight_decay": weight_decay,
            "amsgrad": amsgrad,
            "maximize": maximize,
            "decoupled_weight_decay": decoupled_weight_decay,
        }
        self._check_options(defaults)
        super().__init__(params, defaults)

    def _check_options(self, group: Group) -> None:
        name = type(self).__name__
        check_non_negative(name, group, "lr", "eps", "weight_decay")
        check_betas(name, group)
        check_switches(name, group, "amsgrad", "maximize", "decoupled_weight_decay")

    def _update(self, group: Group, params: list[Tensor], grads: list[Array]) -> None:
        names = ["exp_avg", "exp_avg_sq"] + ["max_exp_avg_sq"] * bool(group["amsgrad"])
        steps, state = self._next_steps(params), self._state_arrays(params, names)
        beta1, beta2 = group["betas"]
        ops.adam(
            [param.data for param in params],
            grads,
            state["exp_avg"],
            state["exp_avg_sq"],
            state.get("max_exp_avg_sq", [None] * len(params)),
            steps,
            group["lr"],
            beta1,
            beta2,
            group["eps"],
            group["weight_decay"],
            group["decoupled_weight_decay"],
            group["amsgrad"],
            group["maximize"],
        )
        self._keep_state(params, step=steps, **state)


class AdamW(Adam):
    """Adam with decoupled weight decay: p *= 1 - lr * weight_decay before each step; the gradients stay as they are.

    Arguments and errors are those of `Adam`; `weight_decay` is 0.01 by default (Loshchilov, Hutter: Decoupled weight
    decay regularization, ICLR 2019).

    Example:
        >>> import fastnn
        >>> from fastnn.optim import AdamW
        >>> w = fastnn.Parameter(fastnn.tensor([1.0, 2.0]))
        >>> optimizer = AdamW([w], lr=0.1, weight_decay=0.5)
        >>> (w * w).sum().backward()
        >>> optimizer.step()
        >>> w.detach()
        tensor([0.85, 1.8 ])
    """

    def __init__(
        self,
        params: Iterable[Tensor] | Iterable[Group],
        lr: float = 1e-3,
        betas: tuple[float, float] = (0.9, 0.999),
        eps: float = 1e-8,
        weight_decay: float = 1e-2,
        amsgrad: bool = False,
        *,
        maximize: bool = False,
    ) -> None:
        super().__init__(params, lr, betas, eps, weight_decay, amsgrad, maximize=maximize, decoupled_weight_decay=True)
