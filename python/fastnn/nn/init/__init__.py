"""Initializers: they fill a tensor in place, from the generator that `fastnn.manual_seed` seeds or a given one.

Names, arguments and formulas are PyTorch's where it has them; `apply` initializes a whole model. A weight has shape
`(out, in)` or `(out, in / groups, *kernel)`; its fan-in is the number of inputs of one output, `in / groups * kernel
elements`, and its fan-out `out * kernel elements`.

References:
    LeCun, Bottou, Orr, Mueller: Efficient BackProp (1998).
    Glorot, Bengio: Understanding the difficulty of training deep feedforward neural networks (2010).
    Martens: Deep learning via Hessian-free optimization (2010).
    Saxe, McClelland, Ganguli: Exact solutions to the nonlinear dynamics of learning in deep linear networks (2013).
    He, Zhang, Ren, Sun: Delving deep into rectifiers (2015).
"""

from .distributions import constant_, normal_, ones_, trunc_normal_, uniform_, zeros_
from .scaled import (
    calculate_gain,
    kaiming_normal_,
    kaiming_uniform_,
    lecun_normal_,
    lecun_uniform_,
    standard_uniform_,
    xavier_normal_,
    xavier_uniform_,
)
from .schemes import apply
from .structured import dirac_, eye_, orthogonal_, sparse_

__all__ = [
    "apply",
    "calculate_gain",
    "constant_",
    "dirac_",
    "eye_",
    "kaiming_normal_",
    "kaiming_uniform_",
    "lecun_normal_",
    "lecun_uniform_",
    "normal_",
    "ones_",
    "orthogonal_",
    "sparse_",
    "standard_uniform_",
    "trunc_normal_",
    "uniform_",
    "xavier_normal_",
    "xavier_uniform_",
    "zeros_",
]
