"""Stochastic gradient descent."""

from __future__ import annotations

from collections.abc import Iterable

from .. import ops
from ..tensor import Tensor
from .optimizer import Array, Group, Optimizer, check_non_negative, check_number, check_switches, empty_like


class SGD(Optimizer):
    """Stochastic gradient descent with momentum, Nesterov momentum and weight decay, in PyTorch's order of operations.

    g = gradient + weight_decay * p; buffer = momentum * buffer + (1 - dampening) * g (g itself in the first step);
    p -= lr * (g + momentum * buffer if nesterov else buffer). One fused kernel call updates all parameters of a group.

    Args:
        params: the parameters, or dicts of groups with options of their own.
        lr: the learning rate.
        momentum: how much of the buffer is kept; 0 is plain gradient descent.
        dampening: how much of a gradient the buffer leaves out.
        weight_decay: the factor of the L2 penalty.
        nesterov: whether to look one step ahead (Sutskever et al.: On the importance of initialization and momentum in
            deep learning, 2013).
        maximize: whether to go up instead of down.

    Raises:
        ValueError: an option is negative, or `nesterov` comes without momentum or with dampening.

    Example:
        >>> import fastnn
        >>> from fastnn.optim import SGD
        >>> w = fastnn.Parameter(fastnn.tensor([1.0, 2.0]))
        >>> optimizer = SGD([w], lr=0.1, momentum=0.9)
        >>> (w * w).sum().backward()
        >>> optimizer.step()
        >>> w.detach()
        tensor([0.8, 1.6])
    """

    def __init__(
        self,
        params: Iterable[Tensor] | Iterable[Group],
        lr: float = 1e-3,
        momentum: float = 0,
        dampening: float = 0,
        weight_decay: float = 0,
        nesterov: bool = False,
        *,
        maximize: bool = False,
    ) -> None:
        defaults = {
            "lr": lr,
            "momentum": momentum,
            "dampening": dampening,
            "weight_decay": weight_decay,
            "nesterov": nesterov,
            "maximize": maximize,
        }
        self._check_options(defaults)
        super().__init__(params, defaults)

    def _check_options(self, group: Group) -> None:
        check_number("SGD", group, "dampening")
        check_non_negative("SGD", group, "lr", "momentum", "weight_decay")
        check_switches("SGD", group, "nesterov", "maximize")
        if group["nesterov"] and (group["momentum"] <= 0 or group["dampening"] != 0):
            raise ValueError(
                f"SGD: nesterov needs a momentum above 0 and no dampening; momentum is {group['momentum']}, "
                f"dampening {group['dampening']}"
            )

    def _update(self, group: Group, params: list[Tensor], grads: list[Array]) -> None:
        buffers: list[Array | None] = [None] * len(params)
        first_steps = [True] * len(params)
        if group["momentum"]:
            for i, param in enumerate(params):
                buffers[i] = self.state[param].get("momentum_buffer")
                first_steps[i] = buffers[i] is None
                if first_steps[i]:
                    buffers[i] = empty_like(param.data)
        ops.sgd(
            [param.data for param in params],
            grads,
            buffers,
            first_steps,
            group["lr"],
            group["momentum"],
            group["dampening"],
            group["weight_decay"],
            group["nesterov"],
            group["maximize"],
        )
        if group["momentum"]:  # after the call: had it failed, a buffer that holds nothing yet would stay
            for param, buffer in zip(params, buffers, strict=True):
                self.state[param]["momentum_buffer"] = buffer
