"""What is compared, as data: groups of cases and what each group has to reach. The shapes are in `bench/shapes.h`."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path

from . import inputs

SHAPES = Path(__file__).parent.parent / "shapes.h"

ACTIVATIONS = ("relu", "sigmoid", "tanh", "softsign", "leaky_relu", "elu", "silu", "gelu")
MORE_ACTIVATIONS = ("selu", "mish", "softplus", "hardswish")
CROSS_ENTROPIES = ("cross_entropy", "smoothed_cross_entropy", "soft_cross_entropy")
POINT_LOSSES = ("mse_loss", "huber_loss", "bce_with_logits_loss")
PADDING = ("zero_pad2d", "reflection_pad2d", "replication_pad2d", "circular_pad2d")
UPSAMPLING = ("upsample2d_nearest", "upsample2d_bilinear")


@dataclass(frozen=True)
class Case:
    """One piece of work for both libraries.

    Attributes:
        op: a function of `with_<library>.py` (a single kernel) or, written once for both libraries, of `layers.py` or
            `training.py`.
        args: its arguments.
        tolerances: the allowed differences between the results of the two libraries, in terms of the largest value; the
            last one also of all further results.
        max_rounds: the most rounds that it is worth.
    """

    op: str
    args: tuple[int | str, ...] = ()
    tolerances: tuple[float, ...] = (1e-4,)
    max_rounds: int = 1000

    @property
    def name(self) -> str:
        """`conv2d_forward/32,64,56,64,3,1,1`; without file names."""
        sizes = ",".join(str(a) for a in self.args if isinstance(a, int))
        return f"{self.op}/{sizes}" if sizes else self.op

    @property
    def cost(self) -> tuple[float, float]:
        """Floating-point operations, and bytes read and written: the least that the definition and the arrays allow.

        Zeros where nobody has counted them.
        """
        return COSTS[self.op](*self.args) if self.op in COSTS else (0.0, 0.0)


@dataclass(frozen=True)
class Group:
    """Cases that are judged together, and what they have to reach (None: nothing is asked).

    Attributes:
        name: for people; `--group` searches in it.
        cases: its cases.
        mean: the geometric mean of the ratios.
        worst: the smallest ratio.
        mean_share: the geometric mean of the shares of the ceiling.
        worst_share: the smallest share of the ceiling.
    """

    name: str
    cases: tuple[Case, ...]
    mean: float | None = None
    worst: float | None = None
    mean_share: float | None = None
    worst_share: float | None = None


def tables() -> dict[str, list[tuple[int, ...]]]:
    """The tables of `bench/shapes.h`: their names and rows."""
    blocks = re.findall(r"(\w+)\[\] = \{(.*?)\n\};", SHAPES.read_text(), re.DOTALL)
    return {
        name: [tuple(int(n) for n in row.split(",")) for row in re.findall(r"\{([\d, ]+)\}", body)]
        for name, body in blocks
    }


def groups(data: Path) -> list[Group]:
    """All groups. `data` is the folder of MNIST's four idx files, for the epoch."""
    shapes = tables()

    def cases(ops: str | Iterable[str], *names: str) -> tuple[Case, ...]:
        ops = [ops] if isinstance(ops, str) else ops
        return tuple(Case(op, shape) for op in ops for name in names for shape in shapes[name])

    forward, backward_input, backward_weight = passes = (
        "conv2d_forward",
        "conv2d_backward_input",
        "conv2d_backward_weight",
    )
    strided = ("conv2d_stride_2_sizes", "conv2d_5x5_sizes", "conv2d_grouped_sizes")
    softmax = [f"{name}_{way}" for name in ("softmax", "log_softmax") for way in ("forward", "backward")]
    # The sums over a channel cancel almost, and rounding decides which elements pass the ReLU.
    batch_norm = tuple(Case("batch_norm_relu", shape, (1e-4, 1e-2)) for shape in shapes["batch_norm_sizes"])
    overhead = (Case("overhead_relu"), Case("overhead_linear_forward"), Case("overhead_linear_step"))
    epoch = Case("lenet_epoch", (128, str(data)), (1e-3,), max_rounds=3)
    return [
        Group("3x3 stride 1: forward", cases(forward, "conv2d_3x3_sizes"), 2.4, 1.3),
        Group("3x3 stride 1: backward-input", cases(backward_input, "conv2d_3x3_sizes"), 2.4, 1.3),
        Group("3x3 stride 1: backward-weight", cases(backward_weight, "conv2d_3x3_sizes"), 1.8, 1.2),
        Group("1x1: forward", cases(forward, "conv2d_1x1_sizes"), 1.7, 1.0),
        Group("1x1: backward-input", cases(backward_input, "conv2d_1x1_sizes"), 2.0, 1.0),
        Group("1x1: backward-weight", cases(backward_weight, "conv2d_1x1_sizes"), 1.5, 1.0),
        Group("first layers: forward", cases(forward, "conv2d_first_sizes"), 2.0, 1.0),
        Group("first layers: backward-weight", cases(backward_weight, "conv2d_first_sizes"), 1.5, 1.0),
        Group("3x3 stride 2, 5x5, grouped, depthwise: all passes", cases(passes, *strided), 1.5, 1.0),
        Group("BatchNorm + ReLU", batch_norm, 5.0, 3.0),
        Group(
            "normalisation",
            cases("layer_norm", "layer_norm_sizes")
            + cases("group_norm", "group_norm_sizes")
            + cases("instance_norm", "instance_norm_sizes")
            + cases("local_response_norm", "local_response_norm_sizes"),
            1.5,
            1.0,
        ),
        Group("max pooling", cases("max_pool2d", "max_pool2d_sizes"), 5.0, 2.0),
        Group(
            "average pooling",
            cases("avg_pool2d", "avg_pool2d_sizes") + cases("adaptive_avg_pool2d", "adaptive_avg_pool2d_sizes"),
            3.0,
            2.0,
        ),
        Group("padding", cases(PADDING, "pad2d_sizes"), 1.5, 1.0),
        Group("upsampling", cases(UPSAMPLING, "upsample2d_sizes"), 1.5, 1.0),
        Group("activations, 25 M elements", cases(ACTIVATIONS, "activation_sizes"), 5.0, 3.0),
        Group("more activations, 25 M elements", cases(MORE_ACTIVATIONS, "activation_sizes"), 5.0, 3.0),
        Group("linear", cases("linear", "linear_sizes"), 2.5, 1.5),
        Group("LSTM: training", cases("lstm_training", "recurrent_sizes"), 1.7, 1.05),
        Group("LSTM: inference", cases("lstm_inference", "recurrent_sizes"), 1.3, 1.0),
        Group("GRU: training", cases("gru_training", "recurrent_sizes"), 3.2, 2.0),
        Group("GRU: inference", cases("gru_inference", "recurrent_sizes"), 2.5, 1.5),
        Group("RNN: training", cases("rnn_training", "recurrent_sizes"), 3.0, 2.0),
        Group("RNN: inference", cases("rnn_inference", "recurrent_sizes"), 2.5, 1.5),
        Group("GEMM 512 to 2048", cases("matmul", "gemm_sizes"), 2.0, None, 0.88, 0.80),
        Group("SGD-momentum, 25 M parameters", cases("sgd_momentum", "optimizer_sizes"), 1.3, None, 0.85),
        Group("Adam, 25 M parameters", cases("adam", "optimizer_sizes"), 1.3, None, 0.85),
        _step("ResNet-18, batch 16", "resnet18_step", 16, 1.9),
        _step("ResNet-50, batch 16", "resnet50_step", 16, 1.8),
        _step("SE-ResNet-50, batch 16", "se_resnet50_step", 16),
        _step("GoogLeNet, batch 16", "googlenet_step", 16),
        _step("VGG-16, batch 8", "vgg16_step", 8, 3.0),
        _step("AlexNet, batch 32", "alexnet_step", 32, 2.5),
        _step("CIFAR ResNet-20, batch 128", "cifar_resnet20_step", 128, 2.2),
        _step("LeNet, batch 128", "lenet5_step", 128, 4.0),
        Group("training step: characters, 64 steps of 32", (Case("char_rnn_step", (64, 32), (1e-4, 1e-3)),), 1.54),
        Group("inference", (Case("se_resnet50_inference", (16,)), Case("googlenet_inference", (16,)))),
        Group("1x1 of ResNets: all passes", cases(passes, "conv2d_1x1_resnet_sizes")),
        Group("3x3, 16 and 32 channels: all passes", cases(passes, "conv2d_narrow_sizes")),
        Group("other GEMM", cases("matmul", "gemm_other_sizes")),
        Group("linear layers of models", cases("linear", "linear_model_sizes")),
        Group("small activations", cases((*ACTIVATIONS, *MORE_ACTIVATIONS), "small_activation_sizes")),
        Group("element-wise, 25 M elements", cases(("add", "mul", "cat"), "activation_sizes")),
        Group("softmax", cases((*softmax, *CROSS_ENTROPIES), "softmax_sizes")),
        Group("losses, 25 M elements", cases(POINT_LOSSES, "activation_sizes")),
        Group("losses of fewer elements", cases(POINT_LOSSES, "small_activation_sizes")),
        Group("layout", cases("to_channels_last", "layout_sizes")),
        Group("small optimizer steps", cases(("sgd_momentum", "adam"), "small_optimizer_sizes")),
        Group("overhead", overhead),
        Group("LeNet, an epoch of MNIST", (epoch,)),
    ]


def _step(title: str, op: str, batch_size: int, ratio: float | None = None) -> Group:
    # The loss must agree well, and single kernels do. Gradients of deep networks cannot: those of PyTorch's own layouts
    # differ by up to 7 % (ResNet-18) from the same in float64, because rounding decides which elements pass a ReLU.
    return Group(f"training step: {title}", (Case(op, (batch_size,), (1e-4, 0.3)),), ratio)


# ---- operations and bytes of the ops that have a clear bound -------------------------------------------------------


def _matmul(M: int, N: int, K: int) -> tuple[float, float]:
    return 2.0 * M * N * K, 4.0 * (M * K + K * N + M * N)


def _conv2d(N: int, C: int, H: int, K: int, R: int, stride: int, pad: int, groups: int = 1) -> tuple[float, float]:
    P = inputs.output_size(H, R, stride, pad)
    weights, outputs = K * C // groups * R * R, N * K * P * P
    return 2.0 * outputs * (C // groups) * R * R, 4.0 * (N * C * H * H + weights + outputs)


def _linear(N: int, I: int, O: int) -> tuple[float, float]:
    return 6.0 * N * I * O, 12.0 * (N * I + I * O + N * O)


def _recurrent(gates: int, passes: int) -> Callable[..., tuple[float, float]]:
    def cost(T: int, N: int, I: int, H: int, layers: int = 1, directions: int = 1) -> tuple[float, float]:
        inputs_of_layers = I + (layers - 1) * directions * H
        return 2.0 * passes * T * N * gates * H * directions * (inputs_of_layers + layers * H), 0.0

    return cost


def _pool2d(N: int, C: int, H: int, P: int, argmax_bytes: int) -> tuple[float, float]:
    return 0.0, 8.0 * N * C * H * H + (8.0 + 2 * argmax_bytes) * N * C * P * P


def _max_pool2d(N: int, C: int, H: int, R: int, stride: int, pad: int) -> tuple[float, float]:
    return _pool2d(N, C, H, inputs.output_size(H, R, stride, pad), argmax_bytes=1)


def _avg_pool2d(N: int, C: int, H: int, R: int, stride: int, pad: int) -> tuple[float, float]:
    return _pool2d(N, C, H, inputs.output_size(H, R, stride, pad), argmax_bytes=0)


def _adaptive_avg_pool2d(N: int, C: int, H: int, out: int) -> tuple[float, float]:
    return _pool2d(N, C, H, out, argmax_bytes=0)


def _pad2d(N: int, C: int, H: int, pad: int) -> tuple[float, float]:
    return _resize2d(N, C, H, H + 2 * pad)


def _resize2d(N: int, C: int, H: int, P: int) -> tuple[float, float]:
    return 0.0, 8.0 * N * C * (H * H + P * P)


def _batch_norm_relu(N: int, C: int, H: int) -> tuple[float, float]:
    """Forward reads x for the statistics and again to write y; backward reads dy and x twice and writes dx."""
    return 0.0, 32.0 * N * C * H * H


def _per_image(N: int, C: int, H: int, _: int = 0) -> tuple[float, float]:
    """Each pass reads what it needs twice, as for BatchNorm."""
    return _batch_norm_relu(N, C, H)


def _local_response_norm(N: int, C: int, H: int, size: int) -> tuple[float, float]:
    return 0.0, 20.0 * N * C * H * H


def _bytes_per_element(count: float) -> Callable[..., tuple[float, float]]:
    def cost(*sizes: int) -> tuple[float, float]:
        elements = 1.0
        for size in sizes:
            elements *= size
        return 0.0, count * elements

    return cost


COSTS: dict[str, Callable[..., tuple[float, float]]] = {
    "matmul": _matmul,
    "conv2d_forward": _conv2d,
    "conv2d_backward_input": _conv2d,
    "conv2d_backward_weight": _conv2d,
    "linear": _linear,
    "lstm_training": _recurrent(4, 3),
    "lstm_inference": _recurrent(4, 1),
    "gru_training": _recurrent(3, 3),
    "gru_inference": _recurrent(3, 1),
    "rnn_training": _recurrent(1, 3),
    "rnn_inference": _recurrent(1, 1),
    "max_pool2d": _max_pool2d,
    "avg_pool2d": _avg_pool2d,
    "adaptive_avg_pool2d": _adaptive_avg_pool2d,
    **dict.fromkeys(PADDING, _pad2d),
    **dict.fromkeys(UPSAMPLING, _resize2d),
    "batch_norm_relu": _batch_norm_relu,
    "layer_norm": _bytes_per_element(20),
    "group_norm": _per_image,
    "instance_norm": _per_image,
    "local_response_norm": _local_response_norm,
    **{name: _bytes_per_element(20) for name in (*ACTIVATIONS, *MORE_ACTIVATIONS)},  # x -> y; dy and x or y -> dx
    **{name: _bytes_per_element(20) for name in POINT_LOSSES},  # x, target -> mean; x, target -> dx
    "add": _bytes_per_element(12),
    "mul": _bytes_per_element(12),
    "cat": _bytes_per_element(16),
    "to_channels_last": lambda N, C, H: (0.0, 8.0 * N * C * H * H),
    "sgd_momentum": _bytes_per_element(20),
    "adam": _bytes_per_element(28),
}
