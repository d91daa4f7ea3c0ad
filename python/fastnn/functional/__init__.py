"""Operations on tensors: forward and backward of each stand side by side. `fastnn.nn.functional` is this module."""

from .activation import elu, gelu, leaky_relu, relu, sigmoid, silu, softsign, tanh
from .batchnorm import batch_norm
from .conv import conv1d, conv2d, conv_transpose1d, conv_transpose2d
from .dropout import dropout, dropout2d
from .embedding import embedding
from .linear import bilinear, linear
from .loss import cross_entropy, mse_loss
from .normalization import local_response_norm
from .pooling import (
    adaptive_avg_pool1d,
    adaptive_avg_pool2d,
    adaptive_max_pool1d,
    adaptive_max_pool2d,
    avg_pool1d,
    avg_pool2d,
    max_pool1d,
    max_pool2d,
)
from .rnn import gru, lstm, rnn
from .shuffle import channel_shuffle, pixel_shuffle, pixel_unshuffle
from .softmax import log_softmax, softmax

__all__ = [
    "adaptive_avg_pool1d",
    "adaptive_avg_pool2d",
    "adaptive_max_pool1d",
    "adaptive_max_pool2d",
    "avg_pool1d",
    "avg_pool2d",
    "batch_norm",
    "bilinear",
    "channel_shuffle",
    "conv1d",
    "conv2d",
    "conv_transpose1d",
    "conv_transpose2d",
    "cross_entropy",
    "dropout",
    "dropout2d",
    "elu",
    "embedding",
    "gelu",
    "gru",
    "leaky_relu",
    "linear",
    "local_response_norm",
    "log_softmax",
    "lstm",
    "max_pool1d",
    "max_pool2d",
    "mse_loss",
    "pixel_shuffle",
    "pixel_unshuffle",
    "relu",
    "rnn",
    "sigmoid",
    "silu",
    "softmax",
    "softsign",
    "tanh",
]
