"""fastnn trains and runs neural networks from NumPy at the speed of the hardware."""

from typing import TYPE_CHECKING, Any

from numpy import float32, float64, int64

try:
    from . import ops
except ImportError as error:
    from .startup import leave_if_command

    leave_if_command(error)
    raise
from .creation import arange, full, ones, ones_like, zeros, zeros_like
from .function import Function
from .gradcheck import gradcheck
from .joining import cat, stack
from .ops import get_conv2d_algorithm, get_num_threads, set_conv2d_algorithm, set_num_threads
from .random import default_generator, get_rng_state, manual_seed, rand, randn, set_rng_state
from .selection import maximum, minimum, where
from .tensor import Parameter, Tensor, as_tensor, enable_grad, is_grad_enabled, no_grad, record, tensor

if TYPE_CHECKING:
    from . import data, datasets, features, functional, models, nn, optim, preprocessing, tasks, training
    from .inspection import summary
    from .nn.ensembles import ensemble
    from .receptive_fields import conv_output_size, receptive_field
    from .serialization import load, load_metadata, save

__version__: str = ops.info()["version"]

__all__ = [
    "Function",
    "Parameter",
    "Tensor",
    "arange",
    "as_tensor",
    "cat",
    "conv_output_size",
    "data",
    "datasets",
    "default_generator",
    "enable_grad",
    "ensemble",
    "features",
    "float32",
    "float64",
    "full",
    "functional",
    "get_conv2d_algorithm",
    "get_num_threads",
    "get_rng_state",
    "gradcheck",
    "int64",
    "is_grad_enabled",
    "load",
    "load_metadata",
    "manual_seed",
    "maximum",
    "minimum",
    "models",
    "nn",
    "no_grad",
    "ones",
    "ones_like",
    "ops",
    "optim",
    "preprocessing",
    "rand",
    "randn",
    "receptive_field",
    "record",
    "save",
    "set_conv2d_algorithm",
    "set_num_threads",
    "set_rng_state",
    "stack",
    "summary",
    "tasks",
    "tensor",
    "training",
    "where",
    "zeros",
    "zeros_like",
]

_SUBMODULES = (
    "data",
    "datasets",
    "features",
    "functional",
    "models",
    "nn",
    "optim",
    "preprocessing",
    "tasks",
    "training",
)
_LAZY = {
    "conv_output_size": ".receptive_fields",
    "ensemble": ".nn.ensembles",
    "load": ".serialization",
    "load_metadata": ".serialization",
    "receptive_field": ".receptive_fields",
    "save": ".serialization",
    "summary": ".inspection",
}


def __getattr__(name: str) -> Any:
    """Imports a submodule, or what is in one, when it is first used: `import fastnn` stays cheap."""
    from importlib import import_module

    if name in _SUBMODULES:
        return import_module(f".{name}", __name__)
    if name in _LAZY:
        return getattr(import_module(_LAZY[name], __name__), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted({*globals(), *_SUBMODULES, *_LAZY})
