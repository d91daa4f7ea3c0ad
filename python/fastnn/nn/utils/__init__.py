"""Tools around modules: groups of parameters, clipped and measured gradients, penalties, packed sequences."""

from . import rnn
from .clip_grad import clip_grad_norm_, clip_grad_value_
from .gradient_norms import gradient_norms
from .parameter_groups import parameter_groups
from .penalties import l1_penalty, l2_penalty
from .skip_init import skip_init

__all__ = [
    "clip_grad_norm_",
    "clip_grad_value_",
    "gradient_norms",
    "l1_penalty",
    "l2_penalty",
    "parameter_groups",
    "rnn",
    "skip_init",
]
