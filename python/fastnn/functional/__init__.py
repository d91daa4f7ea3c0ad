"""Operations on tensors: forward and backward of each stand side by side. `fastnn.nn.functional` is this module."""

from .activation import relu
from .conv import conv2d
from .linear import linear

__all__ = ["conv2d", "linear", "relu"]
