"""Operations on tensors: forward and backward of each stand side by side. `fastnn.nn.functional` is this module."""

from .activation import relu

__all__ = ["relu"]
