"""LeNet-5, in the form that is taught today and in its original form.

Y. LeCun, L. Bottou, Y. Bengio, P. Haffner, Gradient-based learning applied to document recognition, Proceedings of the
IEEE 86(11), 1998, section II.
"""

from __future__ import annotations

import numpy as np

from .. import functional as F
from .. import nn
from ..tensor import Array, Parameter, Tensor, record

# Table I of the paper: the maps of S2 that each map of C3 sees. Symmetry is broken, and the maps are driven apart.
_TABLE_I = [
    *([0, 1, 2], [1, 2, 3], [2, 3, 4], [3, 4, 5], [0, 4, 5], [0, 1, 5]),
    *([0, 1, 2, 3], [1, 2, 3, 4], [2, 3, 4, 5], [0, 3, 4, 5], [0, 1, 4, 5], [0, 1, 2, 5]),
    *([0, 1, 3, 4], [1, 2, 4, 5], [0, 2, 3, 5]),
    [0, 1, 2, 3, 4, 5],
]


def lenet5(num_classes: int = 10, in_channels: int = 1, original: bool = False) -> LeNet5 | OriginalLeNet5:
    """LeNet-5 for images of 28x28 pixels: `OriginalLeNet5` where `original` is true, otherwise `LeNet5`.

    Example:
        >>> import numpy as np
        >>> import fastnn
        >>> from fastnn.models import lenet5
        >>> model = lenet5()
        >>> sum(p.numel() for p in model.parameters())
        61706
        >>> model(fastnn.tensor(np.zeros((2, 1, 28, 28), np.float32))).shape
        (2, 10)
    """
    return (OriginalLeNet5 if original else LeNet5)(num_classes, in_channels)


class LeNet5(nn.Module):
    """LeNet-5 with ReLU, max pooling and full connections: (N, in_channels, 28, 28) -> scores (N, num_classes).

    Two convolutions of 5x5, each followed by ReLU and 2x2 max pooling, then three linear layers; 61,706 parameters for
    10 classes and one channel. Layers are initialised as `nn.Conv2d` and `nn.Linear` are.
    """

    def __init__(self, num_classes: int = 10, in_channels: int = 1) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(in_channels, 6, kernel_size=5, padding=2)
        self.conv2 = nn.Conv2d(6, 16, kernel_size=5)
        self.pool = nn.MaxPool2d(2)
        self.relu = nn.ReLU()
        self.flatten = nn.Flatten()
        self.fc1 = nn.Linear(16 * 5 * 5, 120)
        self.fc2 = nn.Linear(120, 84)
        self.fc3 = nn.Linear(84, num_classes)

    def forward(self, x: Tensor) -> Tensor:
        """(N, in_channels, 28, 28) -> scores (N, num_classes), to which softmax has not been applied."""
        x = self.pool(self.relu(self.conv1(x)))  # (N, 6, 14, 14)
        x = self.pool(self.relu(self.conv2(x)))  # (N, 16, 5, 5)
        x = self.relu(self.fc1(self.flatten(x)))
        x = self.relu(self.fc2(x))
        scores: Tensor = self.fc3(x)
        return scores


class OriginalLeNet5(nn.Module):
    """LeNet-5 as in the paper: (N, in_channels, 28, 28) -> scores (N, num_classes).

    Subsampling layers with a trainable coefficient and bias per map, the sparse connections of the paper's Table I from
    S2 to C3, and the squashing function 1.7159 tanh(2/3 a) after each layer; exactly 60,000 trainable parameters before
    the output.

    Three things differ. Weights start normal with standard deviation 1 / sqrt(fan-in), derived for this squashing
    function in Y. LeCun, L. Bottou, G. Orr, K.-R. Müller, Efficient BackProp, 1998: from the paper's +-2.4 / fan-in
    plain SGD takes several times as long. The output is a plain linear layer, to be trained with the cross-entropy,
    where the paper has Euclidean radial basis function units with fixed centres. And C1 pads images of 28x28 with zeros
    where the paper places them in a background of 32x32.
    """

    def __init__(self, num_classes: int = 10, in_channels: int = 1) -> None:
        super().__init__()
        self.c1 = nn.Conv2d(in_channels, 6, kernel_size=5, padding=2)
        self.s2 = nn.Subsampling2d(6, kernel_size=2)
        self.c3 = _TableConv2d(_TABLE_I, kernel_size=5)
        self.s4 = nn.Subsampling2d(16, kernel_size=2)
        self.c5 = nn.Conv2d(16, 120, kernel_size=5)
        self.f6 = nn.Linear(120, 84)
        self.output = nn.Linear(84, num_classes)
        self.squash = _Squash()
        self.flatten = nn.Flatten()
        for layer in (self.c1, self.c5, self.f6, self.output):
            nn.init.kaiming_normal_(layer.weight, nonlinearity="linear")
            nn.init.zeros_(layer.bias)  # type: ignore[type-var]

    def forward(self, x: Tensor) -> Tensor:
        """(N, in_channels, 28, 28) -> scores (N, num_classes), to which softmax has not been applied."""
        x = self.squash(self.c1(x))  # (N, 6, 28, 28)
        x = self.squash(self.s2(x))  # (N, 6, 14, 14)
        x = self.squash(self.c3(x))  # (N, 16, 10, 10)
        x = self.squash(self.s4(x))  # (N, 16, 5, 5)
        x = self.squash(self.c5(x))  # (N, 120, 1, 1)
        x = self.squash(self.f6(self.flatten(x)))
        scores: Tensor = self.output(x)
        return scores


class _Squash(nn.Module):
    """1.7159 tanh(2/3 a), the squashing function of the paper's Appendix A."""

    def forward(self, a: Tensor) -> Tensor:
        return F.tanh(a * (2 / 3)) * 1.7159


class _TableConv2d(nn.Module):
    """A convolution whose output map k sees the input maps `table[k]` only.

    It holds the kernels that exist and no others: `weight` (connections, kernel_size, kernel_size), in the table's
    order.
    """

    def __init__(self, table: list[list[int]], kernel_size: int) -> None:
        super().__init__()
        self.outputs = np.repeat(np.arange(len(table)), [len(inputs) for inputs in table])
        self.inputs = np.concatenate(table)
        self.dense_shape = (len(table), int(self.inputs.max()) + 1, kernel_size, kernel_size)
        self.weight = Parameter(np.empty((len(self.inputs), kernel_size, kernel_size), np.float32))
        self.bias = Parameter(np.zeros(len(table), np.float32))
        for kernel, output in zip(self.weight.data, self.outputs, strict=True):
            nn.init.normal_(Tensor(kernel), std=(len(table[output]) * kernel_size**2) ** -0.5)

    def forward(self, x: Tensor) -> Tensor:
        dense = np.zeros(self.dense_shape, self.weight.dtype)
        dense[self.outputs, self.inputs] = self.weight.data

        def backward(dw: Array) -> Array:
            return dw[self.outputs, self.inputs]

        return F.conv2d(x, record(dense, backward, self.weight), self.bias)
