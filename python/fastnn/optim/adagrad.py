"""Adagrad."""

from __future__ import annotations

from collections.abc import Iterable

from .. import ops
from ..tensor import Tensor
from .optimizer import Array, Group, Optimizer, check_non_negative, check_switches


class Adagrad(Optimizer):
    """Adagrad, in PyTorch's order of operations.

    g = gradient + weight_decay * p; sum += g^2; p -= lr / (1 + (step - 1) * lr_decay) * g / (sqrt(sum) + eps). One
    fused kernel call updates all parameters of a group (Duchi, Hazan, Singer: Adaptive subgradient methods for online
    learning and stochastic optimization, 2011).

    Args:
        params: the parameters, or dicts of groups with options of their own.
        lr: the learning rate.
        lr_decay: how fast the learning rate falls with the number of steps.
        weight_decay: the factor of the L2 penalty.
        initial_accumulator_value: what each sum starts from.
        eps: keeps the denominator away from 0.
        maximize: whether to go up instead of down.

    Raises:
        ValueError: an option is negative.

    Example:
        >>> import fastnn
        >>> from fastnn.optim import Adagrad
        >>> w = fastnn.Parameter(fastnn.tensor([1.0, 2.0]))
        >>> optimizer = Adagrad([w], lr=0.1)
        >>> (w * w).sum().backward()
        >>> optimizer.step()
        >>> w.detach()
        tensor([0.9, 1.9])
    """

    def __init__(
        self,
        params: Iterable[Tensor] | Iterable[Group],
        lr: float = 1e-2,
        lr_decay: float = 0,
        weight_decay: float = 0,
        initial_accumulator_value: float = 0,
        eps: float = 1e-10,
        *,
        maximize: bool = False,
    ) -> None:
        defaults = {
            "lr": lr,
            "lr_decay": lr_decay,
            "weight_decay": weight_decay,
            "initial_accumulator_value": initial_accumulator_value,
            "eps": eps,
            "maximize": maximize,
        }
        self._check_options(defaults)
        super().__init__(params, defaults)

    def _check_options(self, group: Group) -> None:
        check_non_negative("Adagrad", group, "lr", "lr_decay", "weight_decay", "initial_accumulator_value", "eps")
        check_switches("Adagrad", group, "maximize")

    def _update(self, group: Group, params: list[Tensor], grads: list[Array]) -> None:
        steps = self._next_steps(params)
        state = self._state_arrays(params, ["sum"], group["initial_accumulator_value"])
        ops.adagrad(
            [param.data for param in params],
            grads,
            state["sum"],
            steps,
            group["lr"],
            group["lr_decay"],
            group["weight_decay"],
            group["eps"],
            group["maximize"],
        )
        self._keep_state(params, step=steps, **state)
