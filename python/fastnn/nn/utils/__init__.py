"""Tools around modules: clipping of gradients, their way back through time, penalties, packed sequences (`rnn`)."""
"""Tools around modules: parameter groups, clipping and measuring gradients, and packed sequences (`nn.utils.rnn`)."""

from . import rnn
from .clip_grad import clip_grad_norm_, clip_grad_value_
from .gradient_norms import gradient_norms
from .penalties import l1_penalty, l2_penalty

__all__ = ["clip_grad_norm_", "clip_grad_value_", "gradient_norms", "l1_penalty", "l2_penalty", "rnn"]
from .parameter_groups import parameter_groups

__all__ = ["clip_grad_norm_", "clip_grad_value_", "gradient_norms", "parameter_groups", "rnn"]
