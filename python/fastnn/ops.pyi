from collections.abc import Sequence
from typing import Any

from numpy.typing import DTypeLike, NDArray

_Array = NDArray[Any]
_IntPair = int | Sequence[int]

# matmul
def matmul(a: Any, b: Any) -> _Array: ...

# linear
def linear_forward(x: Any, weight: Any, bias: Any | None = None) -> _Array: ...
def linear_backward_input(dy: Any, weight: Any) -> _Array: ...
def linear_backward_weight(
    dy: Any,
    x: Any,
    bias: bool = True,
    *,
    dw: _Array | None = None,
    db: _Array | None = None,
    accumulate: bool = False,
) -> tuple[_Array, _Array | None]: ...

# conv2d
def conv2d_forward(
    x: Any,
    weight: Any,
    bias: Any | None = None,
    stride: _IntPair = 1,
    padding: _IntPair = 0,
    dilation: _IntPair = 1,
    groups: int = 1,
    *,
    algorithm: str = "auto",
    scale: Any | None = None,
    residual: Any | None = None,
    relu: bool = False,
) -> _Array: ...
def conv2d_output_size(
    x: Any,
    weight: Any,
    bias: Any | None = None,
    stride: _IntPair = 1,
    padding: _IntPair = 0,
    dilation: _IntPair = 1,
    groups: int = 1,
) -> tuple[int, int, int, int]: ...
def conv2d_backward_input(
    dy: Any,
    weight: Any,
    input_size: Sequence[int],
    stride: _IntPair = 1,
    padding: _IntPair = 0,
    dilation: _IntPair = 1,
    groups: int = 1,
    *,
    algorithm: str = "auto",
    residual: Any | None = None,
) -> _Array: ...
def conv2d_backward_weight(
    dy: Any,
    x: Any,
    weight_size: Sequence[int],
    stride: _IntPair = 1,
    padding: _IntPair = 0,
    dilation: _IntPair = 1,
    groups: int = 1,
    bias: bool = True,
    *,
    dw: _Array | None = None,
    db: _Array | None = None,
    accumulate: bool = False,
    algorithm: str = "auto",
) -> tuple[_Array, _Array | None]: ...
def set_conv2d_algorithm(algorithm: str) -> None: ...
def get_conv2d_algorithm() -> str: ...

# pool2d
def max_pool2d_forward(
    x: Any,
    kernel_size: _IntPair,
    stride: _IntPair | None = None,
    padding: _IntPair = 0,
    dilation: _IntPair = 1,
    ceil_mode: bool = False,
    return_argmax: bool = True,
) -> tuple[_Array, _Array | None]: ...
def max_pool2d_backward(
    dy: Any,
    argmax: Any,
    input_size: Sequence[int],
    kernel_size: _IntPair,
    stride: _IntPair | None = None,
    padding: _IntPair = 0,
    dilation: _IntPair = 1,
    ceil_mode: bool = False,
) -> _Array: ...
def max_pool2d_indices(
    argmax: Any,
    input_size: Sequence[int],
    kernel_size: _IntPair,
    stride: _IntPair | None = None,
    padding: _IntPair = 0,
    dilation: _IntPair = 1,
    ceil_mode: bool = False,
) -> _Array: ...
def avg_pool2d_forward(
    x: Any,
    kernel_size: _IntPair,
    stride: _IntPair | None = None,
    padding: _IntPair = 0,
    ceil_mode: bool = False,
    count_include_pad: bool = True,
    divisor_override: int | None = None,
) -> _Array: ...
def avg_pool2d_backward(
    dy: Any,
    input_size: Sequence[int],
    kernel_size: _IntPair,
    stride: _IntPair | None = None,
    padding: _IntPair = 0,
    ceil_mode: bool = False,
    count_include_pad: bool = True,
    divisor_override: int | None = None,
) -> _Array: ...
def adaptive_max_pool2d_forward(
    x: Any, output_size: int | Sequence[int | None] | None, return_argmax: bool = True
) -> tuple[_Array, _Array | None]: ...
def adaptive_max_pool2d_backward(dy: Any, argmax: Any, input_size: Sequence[int]) -> _Array: ...
def adaptive_max_pool2d_indices(argmax: Any, input_size: Sequence[int]) -> _Array: ...
def adaptive_avg_pool2d_forward(x: Any, output_size: int | Sequence[int | None] | None) -> _Array: ...
def adaptive_avg_pool2d_backward(dy: Any, input_size: Sequence[int]) -> _Array: ...

# max_unpool2d
def max_unpool2d_forward(x: Any, indices: Any, output_size: _IntPair) -> _Array: ...
def max_unpool2d_backward(dy: Any, indices: Any) -> _Array: ...

# pad2d
def pad2d_forward(x: Any, pad: Sequence[int], mode: str = "constant", value: float = 0.0) -> _Array: ...
def pad2d_backward(dy: Any, input_size: Sequence[int], pad: Sequence[int], mode: str = "constant") -> _Array: ...

# upsample2d
def upsample2d_forward(
    x: Any,
    output_size: _IntPair,
    mode: str = "nearest",
    align_corners: bool = False,
    scales: Sequence[float | None] | None = None,
) -> _Array: ...
def upsample2d_backward(
    dy: Any,
    input_size: Sequence[int],
    mode: str = "nearest",
    align_corners: bool = False,
    scales: Sequence[float | None] | None = None,
) -> _Array: ...

# batchnorm
def batch_norm_statistics(
    x: Any,
    eps: float = 1e-05,
    running_mean: _Array | None = None,
    running_var: _Array | None = None,
    momentum: float = 0.1,
) -> tuple[_Array, _Array]: ...
def batch_norm_forward(
    x: Any,
    mean: Any,
    inv_std: Any,
    weight: Any | None = None,
    bias: Any | None = None,
    residual: Any | None = None,
    relu: bool = False,
) -> _Array: ...
def batch_norm_backward(
    dy: Any,
    x: Any,
    mean: Any,
    inv_std: Any,
    weight: Any | None = None,
    bias: Any | None = None,
    y: Any | None = None,
    training: bool = True,
    relu: bool = False,
    residual: bool = False,
) -> tuple[_Array, _Array | None, _Array | None, _Array | None]: ...

# layernorm
def layer_norm_forward(
    x: Any, normalized_shape: Sequence[int], weight: Any | None = None, bias: Any | None = None, eps: float = 1e-05
) -> tuple[_Array, _Array, _Array]: ...
def layer_norm_backward(
    dy: Any,
    x: Any,
    mean: Any,
    inv_std: Any,
    normalized_shape: Sequence[int],
    weight: Any | None = None,
    bias: bool = True,
) -> tuple[_Array, _Array | None, _Array | None]: ...
def rms_norm_forward(
    x: Any, normalized_shape: Sequence[int], weight: Any | None = None, eps: float = 1e-05
) -> tuple[_Array, _Array]: ...
def rms_norm_backward(
    dy: Any, x: Any, inv_std: Any, normalized_shape: Sequence[int], weight: Any | None = None
) -> tuple[_Array, _Array | None]: ...

# groupnorm
def group_norm_forward(
    x: Any, num_groups: int, weight: Any | None = None, bias: Any | None = None, eps: float = 1e-05
) -> tuple[_Array, _Array, _Array]: ...
def group_norm_backward(
    dy: Any, x: Any, mean: Any, inv_std: Any, num_groups: int, weight: Any | None = None, bias: bool = True
) -> tuple[_Array, _Array | None, _Array | None]: ...

# local_response_norm
def local_response_norm_forward(
    x: Any, size: int, alpha: float = 1e-4, beta: float = 0.75, k: float = 1.0
) -> _Array: ...
def local_response_norm_backward(
    dy: Any, x: Any, size: int, alpha: float = 1e-4, beta: float = 0.75, k: float = 1.0
) -> _Array: ...

# arithmetic
def add(a: Any, b: Any) -> _Array: ...
def subtract(a: Any, b: Any) -> _Array: ...
def multiply(a: Any, b: Any) -> _Array: ...
def divide(a: Any, b: Any) -> _Array: ...

# layout
def empty(shape: Sequence[int], dtype: DTypeLike = "float32", *, channels_last: bool = False) -> _Array: ...
def to_channels_last(x: Any) -> _Array: ...
def to_contiguous(x: Any) -> _Array: ...
def copy(dst: _Array, src: Any) -> None: ...
def cat(arrays: Sequence[Any], dim: int = 0) -> _Array: ...
def split(x: Any, sizes: Sequence[int], dim: int = 0) -> list[_Array]: ...

# sum
def sum(x: Any, dim: int) -> _Array: ...

# activation
def relu_forward(x: Any) -> _Array: ...
def relu_backward(dy: Any, y: Any) -> _Array: ...
def sigmoid_forward(x: Any) -> _Array: ...
def sigmoid_backward(dy: Any, y: Any) -> _Array: ...
def tanh_forward(x: Any) -> _Array: ...
def tanh_backward(dy: Any, y: Any) -> _Array: ...
def leaky_relu_forward(x: Any, negative_slope: float = 0.01) -> _Array: ...
def leaky_relu_backward(dy: Any, y: Any, negative_slope: float = 0.01) -> _Array: ...
def elu_forward(x: Any, alpha: float = 1.0) -> _Array: ...
def elu_backward(dy: Any, y: Any, alpha: float = 1.0) -> _Array: ...
def softsign_forward(x: Any) -> _Array: ...
def softsign_backward(dy: Any, y: Any) -> _Array: ...
def silu_forward(x: Any) -> _Array: ...
def silu_backward(dy: Any, x: Any) -> _Array: ...
def celu_forward(x: Any, alpha: float = 1.0) -> _Array: ...
def celu_backward(dy: Any, y: Any, alpha: float = 1.0) -> _Array: ...
def selu_forward(x: Any) -> _Array: ...
def selu_backward(dy: Any, y: Any) -> _Array: ...
def mish_forward(x: Any) -> _Array: ...
def mish_backward(dy: Any, x: Any) -> _Array: ...
def softplus_forward(x: Any, beta: float = 1.0, threshold: float = 20.0) -> _Array: ...
def softplus_backward(dy: Any, x: Any, beta: float = 1.0, threshold: float = 20.0) -> _Array: ...
def logsigmoid_forward(x: Any) -> _Array: ...
def logsigmoid_backward(dy: Any, y: Any) -> _Array: ...
def hardtanh_forward(x: Any, min_val: float = -1.0, max_val: float = 1.0) -> _Array: ...
def hardtanh_backward(dy: Any, y: Any, min_val: float = -1.0, max_val: float = 1.0) -> _Array: ...
def hardsigmoid_forward(x: Any) -> _Array: ...
def hardsigmoid_backward(dy: Any, x: Any) -> _Array: ...
def hardswish_forward(x: Any) -> _Array: ...
def hardswish_backward(dy: Any, x: Any) -> _Array: ...
def threshold_forward(x: Any, threshold: float, value: float) -> _Array: ...
def threshold_backward(dy: Any, x: Any, threshold: float, value: float) -> _Array: ...
def softshrink_forward(x: Any, lambd: float = 0.5) -> _Array: ...
def softshrink_backward(dy: Any, x: Any, lambd: float = 0.5) -> _Array: ...
def hardshrink_forward(x: Any, lambd: float = 0.5) -> _Array: ...
def hardshrink_backward(dy: Any, x: Any, lambd: float = 0.5) -> _Array: ...
def tanhshrink_forward(x: Any) -> _Array: ...
def tanhshrink_backward(dy: Any, x: Any) -> _Array: ...
def gelu_forward(x: Any, approximate: str = "none") -> _Array: ...
def gelu_backward(dy: Any, x: Any, approximate: str = "none") -> _Array: ...

# prelu
def prelu_forward(x: Any, weight: Any) -> _Array: ...
def prelu_backward(dy: Any, x: Any, weight: Any, weight_gradient: bool = True) -> tuple[_Array, _Array | None]: ...

# rrelu
def rrelu_forward(x: Any, lower: float, upper: float, seed: int) -> _Array: ...
def rrelu_backward(dy: Any, x: Any, lower: float, upper: float, seed: int) -> _Array: ...

# maxout
def maxout_forward(x: Any, pieces: int, axis: int = -1, return_argmax: bool = True) -> tuple[_Array, _Array | None]: ...
def maxout_backward(dy: Any, argmax: Any, pieces: int, axis: int = -1) -> _Array: ...

# glu
def glu_forward(x: Any, axis: int = -1) -> _Array: ...
def glu_backward(dy: Any, x: Any, axis: int = -1) -> _Array: ...

# dropout
def dropout(
    x: Any,
    p: float,
    seed: int,
    *,
    scale: float | None = None,
    dropped: float = 0.0,
    kept: float = 0.0,
    channels_last: bool = False,
) -> _Array: ...

# random numbers
def random_uniform(y: _Array, low: float, high: float, seed: int) -> None: ...
def random_normal(y: _Array, mean: float, std: float, seed: int) -> None: ...

# embedding
def embedding_forward(x: Any, weight: Any) -> _Array: ...
def embedding_backward(
    dy: Any,
    x: Any,
    num_embeddings: int,
    padding_idx: int | None = None,
    *,
    dw: _Array | None = None,
    accumulate: bool = False,
) -> _Array: ...

# augment
def augment_uniform(seed: int, epoch: int, indices: Any, count: int, block: int = 0) -> _Array: ...
def augment_crop(
    x: Any, top: Any, left: Any, height: int, width: int, flip: Any, fill: Any, reflect: bool = False
) -> _Array: ...
def augment_erase(x: Any, boxes: Any, fill: Any) -> _Array: ...
def augment_warp(x: Any, matrices: Any, fill: Any) -> _Array: ...
def augment_scale(x: Any, scale: Any, offset: Any, real: bool = False) -> _Array: ...
def augment_colors(x: Any, factors: Any, order: Any) -> _Array: ...

# softmax
def softmax_forward(x: Any, axis: int = -1) -> _Array: ...
def softmax_backward(dy: Any, y: Any, axis: int = -1) -> _Array: ...
def log_softmax_forward(x: Any, axis: int = -1) -> _Array: ...
def log_softmax_backward(dy: Any, y: Any, axis: int = -1) -> _Array: ...

# loss
def softmax_cross_entropy_forward(
    x: Any,
    target: Any,
    ignore_index: int = -100,
    return_log_probabilities: bool = True,
    *,
    weight: Any | None = None,
    label_smoothing: float = 0.0,
) -> tuple[_Array, _Array | None]: ...
def softmax_cross_entropy_backward(
    dloss: Any,
    log_probabilities: Any,
    target: Any,
    ignore_index: int = -100,
    *,
    weight: Any | None = None,
    label_smoothing: float = 0.0,
) -> _Array: ...

# point_loss
def mse_loss_forward(x: Any, target: Any, reduction: str = "none") -> _Array: ...
def mse_loss_backward(dloss: Any, x: Any, target: Any) -> _Array: ...
def l1_loss_forward(x: Any, target: Any, reduction: str = "none") -> _Array: ...
def l1_loss_backward(dloss: Any, x: Any, target: Any) -> _Array: ...
def smooth_l1_loss_forward(x: Any, target: Any, beta: float = 1.0, reduction: str = "none") -> _Array: ...
def smooth_l1_loss_backward(dloss: Any, x: Any, target: Any, beta: float = 1.0) -> _Array: ...
def huber_loss_forward(x: Any, target: Any, delta: float = 1.0, reduction: str = "none") -> _Array: ...
def huber_loss_backward(dloss: Any, x: Any, target: Any, delta: float = 1.0) -> _Array: ...
def soft_margin_loss_forward(x: Any, target: Any, reduction: str = "none") -> _Array: ...
def soft_margin_loss_backward(dloss: Any, x: Any, target: Any) -> _Array: ...
def binary_cross_entropy_forward(x: Any, target: Any, reduction: str = "none") -> _Array: ...
def binary_cross_entropy_backward(dloss: Any, x: Any, target: Any) -> _Array: ...
def binary_cross_entropy_with_logits_forward(
    x: Any, target: Any, pos_weight: Any | None = None, reduction: str = "none"
) -> _Array: ...
def binary_cross_entropy_with_logits_backward(
    dloss: Any, x: Any, target: Any, pos_weight: Any | None = None
) -> _Array: ...

# lstm, gru, rnn
def lstm_forward(
    x: Any,
    h0: Any | None,
    c0: Any | None,
    weight_ih: Any,
    weight_hh: Any,
    bias_ih: Any | None = None,
    bias_hh: Any | None = None,
    weight_hr: Any | None = None,
    *,
    batch_sizes: Any | None = None,
    reverse: bool = False,
    training: bool = True,
    y: _Array | None = None,
) -> tuple[_Array, _Array, _Array, _Array | None, _Array | None]: ...
def lstm_backward(
    dy: Any | None,
    dh_n: Any | None,
    dc_n: Any | None,
    x: Any,
    h0: Any | None,
    c0: Any | None,
    weight_ih: Any,
    weight_hh: Any,
    weight_hr: Any | None,
    y: Any,
    gates: Any,
    cells: Any,
    *,
    batch_sizes: Any | None = None,
    reverse: bool = False,
    bias: bool = True,
    dx: _Array | None = None,
    input_gradient: bool = True,
) -> tuple[_Array | None, _Array, _Array, _Array, _Array, _Array | None, _Array | None, _Array | None]: ...
def gru_forward(
    x: Any,
    h0: Any | None,
    weight_ih: Any,
    weight_hh: Any,
    bias_ih: Any | None = None,
    bias_hh: Any | None = None,
    *,
    batch_sizes: Any | None = None,
    reverse: bool = False,
    training: bool = True,
    y: _Array | None = None,
) -> tuple[_Array, _Array, _Array | None]: ...
def gru_backward(
    dy: Any | None,
    dh_n: Any | None,
    x: Any,
    h0: Any | None,
    weight_ih: Any,
    weight_hh: Any,
    y: Any,
    gates: Any,
    *,
    batch_sizes: Any | None = None,
    reverse: bool = False,
    bias: bool = True,
    dx: _Array | None = None,
    input_gradient: bool = True,
) -> tuple[_Array | None, _Array, _Array, _Array, _Array | None, _Array | None]: ...
def rnn_forward(
    x: Any,
    h0: Any | None,
    weight_ih: Any,
    weight_hh: Any,
    bias_ih: Any | None = None,
    bias_hh: Any | None = None,
    *,
    nonlinearity: str = "tanh",
    batch_sizes: Any | None = None,
    reverse: bool = False,
    y: _Array | None = None,
) -> tuple[_Array, _Array]: ...
def rnn_backward(
    dy: Any | None,
    dh_n: Any | None,
    x: Any,
    h0: Any | None,
    weight_ih: Any,
    weight_hh: Any,
    y: Any,
    *,
    nonlinearity: str = "tanh",
    batch_sizes: Any | None = None,
    reverse: bool = False,
    bias: bool = True,
    dx: _Array | None = None,
    input_gradient: bool = True,
) -> tuple[_Array | None, _Array, _Array, _Array, _Array | None, _Array | None]: ...

# optimizer
def sgd(
    params: Sequence[_Array],
    grads: Sequence[Any],
    buffers: Sequence[_Array | None],
    first_steps: Sequence[bool],
    lr: float,
    momentum: float = 0.0,
    dampening: float = 0.0,
    weight_decay: float = 0.0,
    nesterov: bool = False,
    maximize: bool = False,
) -> None: ...
def adagrad(
    params: Sequence[_Array],
    grads: Sequence[Any],
    sums: Sequence[_Array],
    steps: Sequence[int],
    lr: float,
    lr_decay: float = 0.0,
    weight_decay: float = 0.0,
    eps: float = 1e-10,
    maximize: bool = False,
) -> None: ...
def rmsprop(
    params: Sequence[_Array],
    grads: Sequence[Any],
    square_avgs: Sequence[_Array],
    grad_avgs: Sequence[_Array | None],
    buffers: Sequence[_Array | None],
    lr: float,
    alpha: float = 0.99,
    eps: float = 1e-8,
    weight_decay: float = 0.0,
    momentum: float = 0.0,
    centered: bool = False,
    maximize: bool = False,
) -> None: ...
def adam(
    params: Sequence[_Array],
    grads: Sequence[Any],
    exp_avgs: Sequence[_Array],
    exp_avg_sqs: Sequence[_Array],
    max_exp_avg_sqs: Sequence[_Array | None],
    steps: Sequence[int],
    lr: float,
    beta1: float = 0.9,
    beta2: float = 0.999,
    eps: float = 1e-8,
    weight_decay: float = 0.0,
    decoupled: bool = False,
    amsgrad: bool = False,
    maximize: bool = False,
) -> None: ...
def adadelta(
    params: Sequence[_Array],
    grads: Sequence[Any],
    square_avgs: Sequence[_Array],
    acc_deltas: Sequence[_Array],
    lr: float,
    rho: float = 0.9,
    eps: float = 1e-6,
    weight_decay: float = 0.0,
    maximize: bool = False,
) -> None: ...
def adamax(
    params: Sequence[_Array],
    grads: Sequence[Any],
    exp_avgs: Sequence[_Array],
    exp_infs: Sequence[_Array],
    steps: Sequence[int],
    lr: float,
    beta1: float = 0.9,
    beta2: float = 0.999,
    eps: float = 1e-8,
    weight_decay: float = 0.0,
    maximize: bool = False,
) -> None: ...
def nadam(
    params: Sequence[_Array],
    grads: Sequence[Any],
    exp_avgs: Sequence[_Array],
    exp_avg_sqs: Sequence[_Array],
    mu_products: Sequence[float],
    steps: Sequence[int],
    lr: float,
    beta1: float = 0.9,
    beta2: float = 0.999,
    eps: float = 1e-8,
    weight_decay: float = 0.0,
    momentum_decay: float = 4e-3,
    decoupled: bool = False,
    maximize: bool = False,
) -> list[float]: ...
def radam(
    params: Sequence[_Array],
    grads: Sequence[Any],
    exp_avgs: Sequence[_Array],
    exp_avg_sqs: Sequence[_Array],
    steps: Sequence[int],
    lr: float,
    beta1: float = 0.9,
    beta2: float = 0.999,
    eps: float = 1e-8,
    weight_decay: float = 0.0,
    decoupled: bool = False,
    maximize: bool = False,
) -> None: ...
def lerp(params: Sequence[_Array], ends: Sequence[Any], weight: float) -> None: ...

# memory, threads, instruction sets
def trace(calls: list[Any] | None) -> list[Any] | None: ...
def memory_stats() -> dict[str, int]: ...
def empty_cache() -> None: ...
def info() -> dict[str, Any]: ...
def isa() -> str: ...
def isas() -> list[str]: ...
def set_isa(isa: str) -> None: ...
def get_num_threads() -> int: ...
def set_num_threads(threads: int) -> None: ...
