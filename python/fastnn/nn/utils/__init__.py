"""Tools around modules: clipping of gradients, their way back through time, and packed sequences (`nn.utils.rnn`)."""

from . import rnn
from .clip_grad import clip_grad_norm_, clip_grad_value_
from .gradient_norms import gradient_norms

__all__ = ["clip_grad_norm_", "clip_grad_value_", "gradient_norms", "rnn"]
