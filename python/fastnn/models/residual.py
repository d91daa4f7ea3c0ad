"""What residual blocks share: a shortcut around a residual branch, and channel attention within."""

from __future__ import annotations

from typing import TypeVar

from .. import nn
from ..tensor import Tensor

_M = TypeVar("_M", bound=nn.Module)


class ResidualBlock(nn.Module):
    """Base class of residual blocks: ReLU(residual(x) + shortcut(x)), or with `se` ReLU(se(residual(x)) + shortcut(x)).

    A subclass defines `residual` and, where that is not the identity, `shortcut`.

    Attributes:
        out_channels: channels of the output.
        se: the squeeze-and-excitation of the residual branch, which `add_squeeze_excitation` sets, or None.

    Args:
        out_channels: channels of the output.
    """

    def __init__(self, out_channels: int) -> None:
        super().__init__()
        self.out_channels = out_channels
        self.se: nn.Module | None = None

    def residual(self, x: Tensor) -> Tensor:
        """The branch that is learnt."""
        raise NotImplementedError(f"{type(self).__name__} defines no residual()")

    def shortcut(self, x: Tensor) -> Tensor:
        """The branch around it: the input in the shape of the output."""
        return x

    def forward(self, x: Tensor) -> Tensor:
        """(N, C, H, W) -> (N, out_channels, P, Q)."""
        identity = self.shortcut(x)
        out = self.residual(x)
        if self.se is not None:
            out = self.se(out)
        out += identity
        return nn.functional.relu(out)


def add_squeeze_excitation(model: _M, reduction: int = 16) -> _M:
    """Gives each residual block of a model a squeeze-and-excitation, applied to its branch before the addition.

    It weighs the channels by what a network with one hidden layer makes of their means (J. Hu, L. Shen, G. Sun,
    Squeeze-and-excitation networks, CVPR 2018). Its parameters are those of `nn.SqueezeExcitation`, named `se.fc1` and
    `se.fc2` within a block.

    Args:
        model: a residual block or a network of them: anything with `ResidualBlock` inside.
        reduction: a block of C channels has C // reduction hidden units.

    Returns:
        The model.

    Raises:
        ValueError: there is no residual block in the model, a block has less than `reduction` channels, or it has a
            squeeze-and-excitation already.

    Example:
        >>> from fastnn import models
        >>> model = models.add_squeeze_excitation(models.cifar_resnet20())
        >>> model.layer3[0].se.fc1.weight.shape
        (4, 64, 1, 1)
    """
    if not isinstance(model, nn.Module):
        raise TypeError(f"add_squeeze_excitation: model is {type(model).__name__}; expected a Module")
    blocks = [module for module in model.modules() if isinstance(module, ResidualBlock)]
    if not blocks:
        raise ValueError(f"add_squeeze_excitation: {type(model).__name__} has no residual blocks")
    for block in blocks:
        if block.se is not None:
            raise ValueError(f"add_squeeze_excitation: a {type(block).__name__} has a squeeze-and-excitation already")
        if not 1 <= reduction <= block.out_channels:
            raise ValueError(
                f"add_squeeze_excitation: reduction is {reduction}; expected 1 to {block.out_channels}, "
                f"the channels of a {type(block).__name__}"
            )
    for block in blocks:
        block.se = nn.SqueezeExcitation(block.out_channels, block.out_channels // reduction)
    return model
