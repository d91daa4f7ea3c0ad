"""RMSprop."""

from __future__ import annotations

from collections.abc import Iterable

from .. import ops
from ..tensor import Tensor
from .optimizer import Array, Group, Optimizer, check_non_negative, check_switches


class RMSprop(Optimizer):
    """RMSprop, in PyTorch's order of operations.

    g = gradient + weight_decay * p; square_avg = alpha * square_avg + (1 - alpha) * g^2;
    p -= lr * g / (sqrt(square_avg) + eps), or with momentum buffer = momentum * buffer + g / (sqrt(square_avg) + eps);
    p -= lr * buffer. One fused kernel call updates all parameters of a group (Hinton, Srivastava, Swersky: Neural
    networks for machine learning, lecture 6a, 2012).

    Args:
        params: the parameters, or dicts of groups with options of their own.
        lr: the learning rate.
        alpha: how much of the average of squares is kept.
        eps: keeps the denominator away from 0.
        weight_decay: the factor of the L2 penalty.
        momentum: how much of the buffer is kept; 0 does without it.
        centered: whether to divide by the deviation: the square of an average of the gradient (`grad_avg`) is taken
            from square_avg (Graves: Generating sequences with recurrent neural networks, 2013).
        maximize: whether to go up instead of down.

    Raises:
        ValueError: an option is negative.

    Example:
        >>> import fastnn
        >>> from fastnn.optim import RMSprop
        >>> w = fastnn.Parameter(fastnn.tensor([1.0, 2.0]))
        >>> optimizer = RMSprop([w], lr=0.1, alpha=0.75)
        >>> (w * w).sum().backward()
        >>> optimizer.step()
        >>> w.detach()
        tensor([0.8, 1.8])
    """

    def __init__(
        self,
        params: Iterable[Tensor] | Iterable[Group],
        lr: float = 1e-2,
        alpha: float = 0.99,
        eps: float = 1e-8,
        weight_decay: float = 0,
        momentum: float = 0,
        centered: bool = False,
        *,
        maximize: bool = False,
    ) -> None:
        defaults = {
            "lr": lr,
            "alpha": alpha,
            "eps": eps,
            "weight_decay": weight_decay,
            "momentum": momentum,
            "centered": centered,
            "maximize": maximize,
        }
        self._check_options(defaults)
        super().__init__(params, defaults)

    def _check_options(self, group: Group) -> None:
        check_non_negative("RMSprop", group, "lr", "alpha", "eps", "weight_decay", "momentum")
        check_switches("RMSprop", group, "centered", "maximize")

    def _update(self, group: Group, params: list[Tensor], grads: list[Array]) -> None:
        names = ["square_avg"] + ["grad_avg"] * bool(group["centered"]) + ["momentum_buffer"] * (group["momentum"] > 0)
        steps, state = self._next_steps(params), self._state_arrays(params, names)
        none = [None] * len(params)
        ops.rmsprop(
            [param.data for param in params],
            grads,
            state["square_avg"],
            state.get("grad_avg", none),
            state.get("momentum_buffer", none),
            group["lr"],
            group["alpha"],
            group["eps"],
            group["weight_decay"],
            group["momentum"],
            group["centered"],
            group["maximize"],
        )
        self._keep_state(params, step=steps, **state)
