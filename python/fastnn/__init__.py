"""fastnn trains and runs neural networks from NumPy at the speed of the hardware."""

from . import functional, ops
from .ops import get_num_threads, set_num_threads
from .tensor import Parameter, Tensor, as_tensor, enable_grad, is_grad_enabled, no_grad, record, tensor

__version__: str = ops.info()["version"]

__all__ = [
    "Parameter",
    "Tensor",
    "as_tensor",
    "enable_grad",
    "functional",
    "get_num_threads",
    "is_grad_enabled",
    "no_grad",
    "ops",
    "record",
    "set_num_threads",
    "tensor",
]
