"""Rectifiers and other piecewise activation layers, element-wise. Any shape -> the same shape."""

from __future__ import annotations

from math import isfinite

from .. import functional as F
from .. import ops
from ..functional.rectifier import check_slopes
from ..tensor import Parameter, Tensor, expect_numbers
from . import init as initial
from .activation import Inplace
from .module import Module
from .sizes import checked_size


class ReLU(Inplace):
    """max(x, 0).

    Args:
        inplace: taken for PyTorch's sake; the input is never changed.
    """

    def forward(self, x: Tensor) -> Tensor:
        """Any shape -> the same shape."""
        return F.relu(x)


class LeakyReLU(Inplace):
    """x where it is positive, else `negative_slope` * x (Maas, Hannun, Ng, 2013).

    Args:
        negative_slope: the slope for negative x.
        inplace: taken for PyTorch's sake; the input is never changed.
    """

    def __init__(self, negative_slope: float = 0.01, inplace: bool = False) -> None:
        super().__init__(inplace)
        self.negative_slope = negative_slope

    def forward(self, x: Tensor) -> Tensor:
        """Any shape -> the same shape."""
        return F.leaky_relu(x, self.negative_slope)

    def _arguments(self) -> tuple[str, ...]:
        return (f"negative_slope={self.negative_slope}",)


class PReLU(Module):
    """x where it is positive, else `weight` * x with slopes that are learnt (He et al., 2015).

    (N, num_parameters, ...) -> the same shape; any shape for one slope. Weight decay would draw the slopes to 0.

    Args:
        num_parameters: one slope for all, or one for each channel.
        init: the slopes' initial value.

    Attributes:
        weight: (num_parameters,).

    Example:
        >>> import fastnn
        >>> from fastnn import nn
        >>> nn.PReLU()(fastnn.tensor([-2.0, 3.0])).tolist()
        [-0.5, 3.0]
    """

    weight: Parameter

    def __init__(self, num_parameters: int = 1, init: float = 0.25) -> None:
        super().__init__()
        self.num_parameters = checked_size("PReLU: num_parameters", num_parameters)
        self.init = init
        self.weight = Parameter(ops.empty((self.num_parameters,)))
        self.reset_parameters()

    def reset_parameters(self) -> None:
        """Sets the slopes to their initial value."""
        initial.constant_(self.weight, self.init)

    def forward(self, x: Tensor) -> Tensor:
        """(N, num_parameters, ...) -> the same shape."""
        return F.prelu(x, self.weight)

    def extra_repr(self) -> str:
        """The number of slopes."""
        return f"num_parameters={self.num_parameters}"


class RReLU(Inplace):
    """x where it is positive, else x times a slope (Xu, Wang, Chen, Li, 2015).

    In training each element draws a slope of its own from [lower, upper]; in evaluation mode it is their mean.

    Args:
        lower: the smallest slope.
        upper: the largest one.
        inplace: taken for PyTorch's sake; the input is never changed.

    Raises:
        ValueError: the bounds are not finite, or `lower` is above `upper`.
    """

    def __init__(self, lower: float = 1 / 8, upper: float = 1 / 3, inplace: bool = False) -> None:
        super().__init__(inplace)
        check_slopes("RReLU", lower, upper)
        self.lower = lower
        self.upper = upper

    def forward(self, x: Tensor) -> Tensor:
        """Any shape -> the same shape."""
        return F.rrelu(x, self.lower, self.upper, self.training)

    def _arguments(self) -> tuple[str, ...]:
        return (f"lower={self.lower}", f"upper={self.upper}")


class ELU(Inplace):
    """x where it is positive, else `alpha` * (exp(x) - 1) (Clevert et al., 2015).

    Args:
        alpha: minus the limit for negative x.
        inplace: taken for PyTorch's sake; the input is never changed.
    """

    def __init__(self, alpha: float = 1.0, inplace: bool = False) -> None:
        super().__init__(inplace)
        self.alpha = alpha

    def forward(self, x: Tensor) -> Tensor:
        """Any shape -> the same shape."""
        return F.elu(x, self.alpha)

    def _arguments(self) -> tuple[str, ...]:
        return (f"alpha={self.alpha}",)


class SELU(Inplace):
    """The self-normalizing unit 1.0507 * elu(x, 1.6732) (Klambauer et al., 2017); `AlphaDropout` is its dropout.

    Args:
        inplace: taken for PyTorch's sake; the input is never changed.
    """

    def forward(self, x: Tensor) -> Tensor:
        """Any shape -> the same shape."""
        return F.selu(x)


class CELU(Inplace):
    """x where it is positive, else `alpha` * (exp(x / alpha) - 1) (Barron, 2017).

    Args:
        alpha: minus the limit for negative x, not 0.
        inplace: taken for PyTorch's sake; the input is never changed.

    Raises:
        ValueError: `alpha` is 0.
    """

    def __init__(self, alpha: float = 1.0, inplace: bool = False) -> None:
        super().__init__(inplace)
        if alpha == 0:
            raise ValueError("CELU: alpha is 0; expected any other number")
        self.alpha = alpha

    def forward(self, x: Tensor) -> Tensor:
        """Any shape -> the same shape."""
        return F.celu(x, self.alpha)

    def _arguments(self) -> tuple[str, ...]:
        return (f"alpha={self.alpha}",)


class Hardtanh(Inplace):
    """min(max(x, min_val), max_val).

    Args:
        min_val: the smallest result.
        max_val: the largest one.
        inplace: taken for PyTorch's sake; the input is never changed.

    Raises:
        ValueError: `max_val` is not above `min_val`.
    """

    def __init__(self, min_val: float = -1.0, max_val: float = 1.0, inplace: bool = False) -> None:
        super().__init__(inplace)
        expect_numbers("Hardtanh", min_val=min_val, max_val=max_val)
        if not max_val > min_val:
            raise ValueError(f"Hardtanh: min_val is {min_val}, max_val {max_val}; expected min_val < max_val")
        self.min_val = min_val
        self.max_val = max_val

    def forward(self, x: Tensor) -> Tensor:
        """Any shape -> the same shape."""
        return F.hardtanh(x, self.min_val, self.max_val)

    def _arguments(self) -> tuple[str, ...]:
        return (f"min_val={self.min_val}", f"max_val={self.max_val}")


class ReLU6(Hardtanh):
    """min(max(x, 0), 6).

    Args:
        inplace: taken for PyTorch's sake; the input is never changed.
    """

    def __init__(self, inplace: bool = False) -> None:
        super().__init__(0.0, 6.0, inplace)

    def _arguments(self) -> tuple[str, ...]:
        return ()


class Hardsigmoid(Inplace):
    """min(max(x + 3, 0), 6) / 6.

    Args:
        inplace: taken for PyTorch's sake; the input is never changed.
    """

    def forward(self, x: Tensor) -> Tensor:
        """Any shape -> the same shape."""
        return F.hardsigmoid(x)


class Hardswish(Inplace):
    """x * min(max(x + 3, 0), 6) / 6 (Howard et al., 2019).

    Args:
        inplace: taken for PyTorch's sake; the input is never changed.
    """

    def forward(self, x: Tensor) -> Tensor:
        """Any shape -> the same shape."""
        return F.hardswish(x)


class Threshold(Inplace):
    """x where it is above `threshold`, else `value`.

    Args:
        threshold: the largest x that is replaced.
        value: what replaces it.
        inplace: taken for PyTorch's sake; the input is never changed.
    """

    def __init__(self, threshold: float, value: float, inplace: bool = False) -> None:
        super().__init__(inplace)
        self.threshold = threshold
        self.value = value

    def forward(self, x: Tensor) -> Tensor:
        """Any shape -> the same shape."""
        return F.threshold(x, self.threshold, self.value)

    def _arguments(self) -> tuple[str, ...]:
        return (f"threshold={self.threshold}", f"value={self.value}")


class Softshrink(Module):
    """Moves x towards 0 by `lambd`; 0 where it is nearer than that.

    Args:
        lambd: where the interval around 0 ends.

    Raises:
        ValueError: `lambd` is negative or not finite.
    """

    def __init__(self, lambd: float = 0.5) -> None:
        super().__init__()
        if not (lambd >= 0 and isfinite(lambd)):
            raise ValueError(f"Softshrink: lambd is {lambd}; expected a finite number, at least 0")
        self.lambd = lambd

    def forward(self, x: Tensor) -> Tensor:
        """Any shape -> the same shape."""
        return F.softshrink(x, self.lambd)

    def extra_repr(self) -> str:
        """The argument."""
        return str(self.lambd)


class Hardshrink(Module):
    """0 where -lambd <= x <= lambd, else x.

    Args:
        lambd: where the interval around 0 ends.
    """

    def __init__(self, lambd: float = 0.5) -> None:
        super().__init__()
        self.lambd = lambd

    def forward(self, x: Tensor) -> Tensor:
        """Any shape -> the same shape."""
        return F.hardshrink(x, self.lambd)

    def extra_repr(self) -> str:
        """The argument."""
        return str(self.lambd)
