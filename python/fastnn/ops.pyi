from collections.abc import Sequence
from typing import Any

from numpy.typing import DTypeLike, NDArray

Array = NDArray[Any]
IntPair = int | Sequence[int]

# matmul
def matmul(a: Any, b: Any) -> Array: ...

# linear
def linear_forward(x: Any, weight: Any, bias: Any | None = None) -> Array: ...
def linear_backward_input(dy: Any, weight: Any) -> Array: ...
def linear_backward_weight(
    dy: Any,
    x: Any,
    bias: bool = True,
    *,
    dw: Array | None = None,
    db: Array | None = None,
    accumulate: bool = False,
) -> tuple[Array, Array | None]: ...

# conv2d
def conv2d_forward(
    x: Any,
    weight: Any,
    bias: Any | None = None,
    stride: IntPair = 1,
    padding: IntPair = 0,
    dilation: IntPair = 1,
    groups: int = 1,
) -> Array: ...
def conv2d_backward_input(
    dy: Any,
    weight: Any,
    input_size: Sequence[int],
    stride: IntPair = 1,
    padding: IntPair = 0,
    dilation: IntPair = 1,
    groups: int = 1,
) -> Array: ...
def conv2d_backward_weight(
    dy: Any,
    x: Any,
    weight_size: Sequence[int],
    stride: IntPair = 1,
    padding: IntPair = 0,
    dilation: IntPair = 1,
    groups: int = 1,
    bias: bool = True,
    *,
    dw: Array | None = None,
    db: Array | None = None,
    accumulate: bool = False,
) -> tuple[Array, Array | None]: ...

# pool2d
def max_pool2d_forward(
    x: Any,
    kernel_size: IntPair,
    stride: IntPair | None = None,
    padding: IntPair = 0,
    dilation: IntPair = 1,
    ceil_mode: bool = False,
    return_argmax: bool = True,
) -> tuple[Array, Array | None]: ...
def max_pool2d_backward(
    dy: Any,
    argmax: Any,
    input_size: Sequence[int],
    kernel_size: IntPair,
    stride: IntPair | None = None,
    padding: IntPair = 0,
    dilation: IntPair = 1,
    ceil_mode: bool = False,
) -> Array: ...
def avg_pool2d_forward(
    x: Any,
    kernel_size: IntPair,
    stride: IntPair | None = None,
    padding: IntPair = 0,
    ceil_mode: bool = False,
    count_include_pad: bool = True,
    divisor_override: int | None = None,
) -> Array: ...
def avg_pool2d_backward(
    dy: Any,
    input_size: Sequence[int],
    kernel_size: IntPair,
    stride: IntPair | None = None,
    padding: IntPair = 0,
    ceil_mode: bool = False,
    count_include_pad: bool = True,
    divisor_override: int | None = None,
) -> Array: ...

# activation
def relu_forward(x: Any) -> Array: ...
def relu_backward(dy: Any, y: Any) -> Array: ...
def sigmoid_forward(x: Any) -> Array: ...
def sigmoid_backward(dy: Any, y: Any) -> Array: ...
def tanh_forward(x: Any) -> Array: ...
def tanh_backward(dy: Any, y: Any) -> Array: ...

# softmax
def softmax_forward(x: Any, axis: int = -1) -> Array: ...
def softmax_backward(dy: Any, y: Any, axis: int = -1) -> Array: ...
def log_softmax_forward(x: Any, axis: int = -1) -> Array: ...
def log_softmax_backward(dy: Any, y: Any, axis: int = -1) -> Array: ...

# loss
def softmax_cross_entropy_forward(
    x: Any, labels: Any, ignore_index: int = -100, return_log_probabilities: bool = True
) -> tuple[Array, Array | None]: ...
def softmax_cross_entropy_backward(
    dloss: Any, log_probabilities: Any, labels: Any, ignore_index: int = -100
) -> Array: ...

# optimizer
def sgd(
    params: Sequence[Array],
    grads: Sequence[Any],
    buffers: Sequence[Array | None],
    first_steps: Sequence[bool],
    lr: float,
    momentum: float = 0.0,
    dampening: float = 0.0,
    weight_decay: float = 0.0,
    nesterov: bool = False,
    maximize: bool = False,
) -> None: ...

# memory, threads, instruction sets
def empty(shape: Sequence[int], dtype: DTypeLike = "float32", *, channels_last: bool = False) -> Array: ...
def to_channels_last(x: Any) -> Array: ...
def to_contiguous(x: Any) -> Array: ...
def memory_stats() -> dict[str, int]: ...
def empty_cache() -> None: ...
def info() -> dict[str, Any]: ...
def isa() -> str: ...
def isas() -> list[str]: ...
def set_isa(isa: str) -> None: ...
def get_num_threads() -> int: ...
def set_num_threads(threads: int) -> None: ...
