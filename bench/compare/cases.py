"""What is compared, as data: names of operations and shapes. The shapes are those of `bench/shapes.h`."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path

SHAPES = Path(__file__).parent.parent / "shapes.h"

# The operations that run on each table of shapes.h; `with_fastnn.py` and `with_torch.py` say how.
KERNELS = {
    "gemm_sizes": ["matmul"],
    "conv2d_sizes": ["conv2d_forward", "conv2d_backward_input", "conv2d_backward_weight"],
    "linear_sizes": ["linear_forward", "linear_backward_input", "linear_backward_weight"],
    "pool2d_sizes": ["max_pool2d_forward", "max_pool2d_backward", "avg_pool2d_forward", "avg_pool2d_backward"],
    "activation_sizes": [
        f"{name}_{direction}" for name in ("relu", "sigmoid", "tanh") for direction in ("forward", "backward")
    ],
    "softmax_sizes": [
        f"{name}_{direction}" for name in ("softmax", "log_softmax") for direction in ("forward", "backward")
    ],
    "layout_sizes": ["to_channels_last"],
}


@dataclass(frozen=True)
class Case:
    """One piece of work for both libraries.

    Attributes:
        op: a function of `with_<library>.py` or, written once for both libraries, of `training.py`.
        args: its arguments.
        tolerance: the allowed difference between the two results, in terms of the largest value.
        max_rounds: the most rounds that it is worth.
    """

    op: str
    args: tuple[int | str, ...] = ()
    tolerance: float = 1e-4
    max_rounds: int = 1000

    @property
    def name(self) -> str:
        """`conv2d_forward/32,64,56,64,3,1,1`; without file names."""
        sizes = ",".join(str(a) for a in self.args if isinstance(a, int))
        return f"{self.op}/{sizes}" if sizes else self.op


def tables() -> dict[str, list[tuple[int, ...]]]:
    """The tables of `bench/shapes.h`: their names and rows."""
    blocks = re.findall(r"(\w+)\[\] = \{(.*?)\n\};", SHAPES.read_text(), re.DOTALL)
    return {
        name: [tuple(int(n) for n in row.split(",")) for row in re.findall(r"\{([\d, ]+)\}", body)]
        for name, body in blocks
    }


def cases(data: Path) -> list[Case]:
    """All cases. `data` is the folder of MNIST's four idx files, for the epoch."""
    shapes = tables()
    kernels = [Case(op, shape) for table, ops in KERNELS.items() for op in ops for shape in shapes[table]]
    return [
        *kernels,
        *(Case("cross_entropy", shape) for shape in shapes["softmax_sizes"]),
        *(Case("sgd_momentum", shape) for shape in shapes["optimizer_sizes"]),
        Case("overhead_relu"),
        Case("overhead_linear_forward"),
        Case("overhead_linear_step"),
        Case("lenet_step", (128,), tolerance=1e-3),
        Case("lenet_epoch", (128, str(data)), tolerance=1e-3, max_rounds=3),
    ]
