"""Multilayer perceptrons, and linear classifiers, which are those without a hidden layer."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from .. import nn
from ..tensor import Tensor


class MLP(nn.Sequential):
    """Linear layers with a nonlinearity between them: (N, ...) of in_features numbers each -> scores (N, num_classes).

    Each hidden layer is followed by batch normalisation where that is wanted, the nonlinearity and dropout. Parameters
    are named by their place, as in torchvision's `ops.MLP`: `0.weight`, `3.weight`, ...

    Args:
        in_features: the numbers of an input; an image of C channels and H x W pixels has C * H * W.
        hidden: units of the hidden layers.
        num_classes: the number of scores.
        activation: makes the nonlinearity.
        dropout: the probability of an output of a hidden layer to become 0 in training.
        batch_norm: whether there is batch normalisation.
    """

    def __init__(
        self,
        in_features: int,
        hidden: Sequence[int],
        num_classes: int,
        activation: Callable[[], nn.Module] = nn.ReLU,
        dropout: float = 0.0,
        batch_norm: bool = False,
    ) -> None:
        super().__init__()
        if not isinstance(hidden, Sequence) or isinstance(hidden, str):
            raise TypeError(f"MLP: hidden is {hidden!r}; expected the units of each hidden layer, such as (300, 100)")
        if not callable(activation):
            raise TypeError(f"MLP: activation is {activation!r}; expected what makes a module, such as nn.ReLU")
        for units in hidden:
            self.append(nn.Linear(in_features, units))
            if batch_norm:
                self.append(nn.BatchNorm1d(units))
            self.append(activation())
            self.append(nn.Dropout(dropout))
            in_features = units
        self.append(nn.Linear(in_features, num_classes))

    def forward(self, x: Tensor) -> Tensor:
        """(N, ...) of in_features numbers each -> scores (N, num_classes)."""
        scores: Tensor = super().forward(x.flatten(1))
        return scores


def mlp(
    in_features: int = 28 * 28,
    hidden: Sequence[int] = (300, 100),
    num_classes: int = 10,
    activation: Callable[[], nn.Module] = nn.ReLU,
    dropout: float = 0.0,
    batch_norm: bool = False,
) -> MLP:
    """A multilayer perceptron; the arguments are those of `MLP`.

    The sizes it has by default are those of LeNet-300-100 for MNIST, 266,610 parameters (Y. LeCun, L. Bottou,
    Y. Bengio, P. Haffner, Gradient-based learning applied to document recognition, 1998, section III.C).

    Example:
        >>> import fastnn
        >>> from fastnn.models import mlp
        >>> model = mlp(in_features=3 * 32 * 32, hidden=(128,), num_classes=10, batch_norm=True)
        >>> model(fastnn.randn(2, 3, 32, 32)).shape
        (2, 10)
    """
    return MLP(in_features, hidden, num_classes, activation, dropout, batch_norm)


def linear_classifier(in_features: int = 28 * 28, num_classes: int = 10) -> MLP:
    """A linear classifier: (N, ...) of in_features numbers each -> scores (N, num_classes).

    With the cross-entropy of its scores (`nn.CrossEntropyLoss`) it is softmax regression, with the hinge loss
    (`nn.MultiMarginLoss`) a linear support vector machine, to which weight decay gives the wide margin.

    Args:
        in_features: the numbers of an input; an image of C channels and H x W pixels has C * H * W.
        num_classes: the number of scores.

    Example:
        >>> import fastnn
        >>> from fastnn.models import linear_classifier
        >>> linear_classifier()(fastnn.zeros(2, 1, 28, 28)).shape
        (2, 10)
    """
    return MLP(in_features, (), num_classes)
