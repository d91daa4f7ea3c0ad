"""Which pixels of an image an element of a layer's output sees: sizes of outputs and receptive fields.

A. Araujo, W. Norris, J. Sim, Computing receptive fields of convolutional neural networks, Distill, 2019
(doi:10.23915/distill.00021).
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from fractions import Fraction
from operator import index
from typing import TYPE_CHECKING, Any, NamedTuple, TypeAlias

if TYPE_CHECKING:
    from .nn import Module

Number: TypeAlias = "int | float"


class ReceptiveField(NamedTuple):
    """What each element of an output sees of the input, one number for each dimension of the image.

    Element i of the output sees the `size` pixels around `centre + i * stride`; the centre of the first pixel is 0.
    Padding counts as pixels, so a field can be larger than the image. Behind transposed convolutions, whose elements
    may see one pixel more or less each, the size is the largest and the centre the mean.
    """

    size: tuple[Number, ...]
    stride: tuple[Number, ...]
    centre: tuple[Number, ...]


class Axis(NamedTuple):
    """A receptive field along one dimension."""

    size: Fraction = Fraction(1)
    stride: Fraction = Fraction(1)
    centre: Fraction = Fraction(0)

    def through(
        self, kernel: int, stride: int = 1, padding: int = 0, dilation: int = 1, transposed: bool = False
    ) -> Axis:
        """The field behind windows: element i sees `kernel` elements from `i * stride - padding` on.

        Transposed, it is element i of the input that writes to those of the output.
        """
        reach = Fraction(dilation * (kernel - 1))
        if not transposed:
            size = self.size + reach * self.stride
            return Axis(size, self.stride * stride, self.centre + (reach / 2 - padding) * self.stride)
        seen = -(-int(reach + 1) // stride)
        centre = self.centre + (padding - reach / 2) / stride * self.stride
        return Axis(self.size + (seen - 1) * self.stride, self.stride / stride, centre)

    def over(self, positions: int) -> Axis:
        """What so many elements see together."""
        steps = (positions - 1) * self.stride
        return Axis(self.size + steps, Fraction(0), self.centre + steps / 2)

    def joined(self, other: Axis, positions: int) -> Axis | None:
        """What elements see that depend on both; None where that is not the same for all of so many elements."""
        if positions > 1 and self.stride != other.stride:
            wide, narrow = (self, other.over(positions)) if self.stride == 0 else (other, self.over(positions))
            covers = wide.stride == 0 and abs(wide.centre - narrow.centre) * 2 <= wide.size - narrow.size
            return wide if covers else None
        first = min(a.centre - a.size / 2 for a in (self, other))
        last = max(a.centre + a.size / 2 for a in (self, other))
        return Axis(last - first, self.stride, (first + last) / 2)


def field_of(axes: Sequence[Axis]) -> ReceptiveField:
    """The field of an image from those along its dimensions."""
    size, stride, centre = (tuple(map(_plain, values)) for values in zip(*axes, strict=True))
    return ReceptiveField(size, stride, centre)


def _plain(value: Fraction) -> Number:
    return value.numerator if value.denominator == 1 else float(value)


def conv_output_size(
    input_size: int | Sequence[int],
    kernel_size: int | Sequence[int],
    stride: int | Sequence[int] | None = 1,
    padding: int | Sequence[int] = 0,
    dilation: int | Sequence[int] = 1,
    ceil_mode: bool = False,
) -> int | tuple[int, ...]:
    """The size of what a convolution or pooling makes of an input of this size.

    (input_size + 2 padding - dilation (kernel_size - 1) - 1) // stride + 1, or with `ceil_mode` rounded up, but for a
    window that would start in the padding behind.

    Args:
        input_size: an integer, or a sequence of one for each dimension. So are the next four.
        kernel_size: of the window.
        stride: step of the window; None for its size, as in pooling.
        padding: added on both sides.
        dilation: distance of the window's elements.
        ceil_mode: whether windows may reach beyond the end.

    Returns:
        An integer where all arguments are; otherwise a tuple.

    Raises:
        TypeError, ValueError: no integers, or too small; sequences of different lengths; a window larger than the
            padded input.

    Example:
        >>> import fastnn
        >>> fastnn.conv_output_size(224, 7, stride=2, padding=3)
        112
        >>> fastnn.conv_output_size((32, 40), 3, padding=(0, 1))
        (30, 40)
    """
    stride = kernel_size if stride is None else stride
    given = {
        "input_size": (input_size, 1),
        "kernel_size": (kernel_size, 1),
        "stride": (stride, 1),
        "padding": (padding, 0),
        "dilation": (dilation, 1),
    }
    lengths = {len(value) for value, _ in given.values() if isinstance(value, Sequence)}
    if len(lengths) > 1 or 0 in lengths:
        raise ValueError(f"conv_output_size: the arguments have {sorted(lengths)} numbers; expected as many each")
    dimensions = max(lengths, default=1)
    values = [_integers("conv_output_size", name, v, least, dimensions) for name, (v, least) in given.items()]
    sizes = tuple(_output_size(ceil_mode, *one) for one in zip(*values, strict=True))
    return sizes if lengths else sizes[0]


def _output_size(ceil_mode: bool, size: int, kernel: int, stride: int, padding: int, dilation: int) -> int:
    span = size + 2 * padding - dilation * (kernel - 1) - 1
    if span < 0:
        raise ValueError(
            f"conv_output_size: the window covers {dilation * (kernel - 1) + 1} elements, the padded input has "
            f"{size + 2 * padding}"
        )
    count = (span + (stride - 1 if ceil_mode else 0)) // stride + 1
    return count - 1 if ceil_mode and (count - 1) * stride >= size + padding else count


def receptive_field(layers: Iterable[Any]) -> ReceptiveField:
    """The receptive field of the last of several layers, one behind the other.

    Args:
        layers: layers with windows, each a module (a convolution, pooling or padding; those without windows, such as
            activations and normalisations, change nothing; `nn.Sequential` stands for its modules) or a tuple
            (kernel_size, stride, padding, dilation), from whose end padding 0 and dilation 1 may be left out, and
            stride 1.

    Raises:
        TypeError, ValueError: a layer is of another kind. For whole models there is `fastnn.summary`.

    Example:
        >>> import fastnn
        >>> from fastnn import nn
        >>> fastnn.receptive_field([(7, 2, 3), (3, 2, 1), (3, 1, 1)])
        ReceptiveField(size=(19, 19), stride=(4, 4), centre=(0, 0))
        >>> fastnn.receptive_field([nn.Conv2d(3, 8, 5), nn.ReLU(), nn.MaxPool2d(2)])
        ReceptiveField(size=(6, 6), stride=(2, 2), centre=(2.5, 2.5))
    """
    axes: list[Axis] | None = None
    for window in _windows(layers):
        if axes is None:
            axes = [Axis() for _ in window]
        if len(window) != len(axes):
            raise ValueError(f"receptive_field: a layer has {len(window)} dimensions, those before it have {len(axes)}")
        axes = [axis.through(*one) for axis, one in zip(axes, window, strict=True)]
    return field_of(axes or [Axis(), Axis()])


def _windows(layers: Iterable[Any]) -> Iterator[list[tuple[int, int, int, int, bool]]]:
    """The windows of each layer along each dimension."""
    from . import nn
    from .nn.padding import _Pad

    if not isinstance(layers, Iterable):
        raise TypeError(f"receptive_field: layers is {type(layers).__name__}; expected several modules or tuples")
    others = _others()
    for layer in layers:
        if isinstance(layer, nn.Sequential):
            yield from _windows(layer)
        elif isinstance(layer, nn.Module):
            if isinstance(layer, _Pad):  # (left, right, top, ...), the last dimension first
                yield [(1, 1, before, 1, False) for before in layer.padding[::2][::-1]]
            elif hasattr(layer, "kernel_size") and not isinstance(layer, others):
                yield _window_of(layer)
            elif any(True for _ in layer.children()) or isinstance(layer, others):
                raise ValueError(
                    f"receptive_field: {type(layer).__name__} is no layer with windows; see fastnn.summary"
                )
            elif type(layer).__name__.startswith("Adaptive"):
                raise ValueError(f"receptive_field: the windows of {type(layer).__name__} depend on the input's size")
        elif isinstance(layer, Sequence) and 1 <= len(layer) <= 4:
            yield _window("a layer", *layer)
        else:
            raise TypeError(
                f"receptive_field: a layer is {type(layer).__name__}; expected a module or (kernel_size, stride, "
                "padding, dilation)"
            )


def _others() -> tuple[type[Module], ...]:
    """Layers that move elements or mix those of different places, but not by windows over their input."""
    from . import nn
    from .nn.rnn import Recurrent
    from .nn.rnn_cell import _Cell
    from .nn.unpooling import _MaxUnpool

    return (
        *(nn.Linear, nn.Bilinear, nn.Embedding, Recurrent, _Cell, nn.Flatten, nn.Unflatten),
        *(nn.Upsample, nn.PixelShuffle, nn.PixelUnshuffle, _MaxUnpool),
    )


def _window_of(layer: Module) -> list[tuple[int, int, int, int, bool]]:
    name = type(layer).__name__
    kernel, stride = layer.kernel_size, getattr(layer, "stride", None)
    padding, dilation = getattr(layer, "padding", 0), getattr(layer, "dilation", 1)
    dimensions = {"1d": 1, "3d": 3}.get(name[-2:], 2)
    if padding == "same":
        reach = zip(*(_integers(name, "", v, 1, dimensions) for v in (kernel, dilation)), strict=True)
        padding = tuple(d * (k - 1) // 2 for k, d in reach)
    elif padding == "valid":
        padding = 0
    transposed = bool(getattr(layer, "transposed", False))
    return _window(name, kernel, stride, padding, dilation, transposed=transposed, dimensions=dimensions)


def _window(
    name: str, kernel: Any, stride: Any = 1, padding: Any = 0, dilation: Any = 1, *, transposed: bool = False,
    dimensions: int = 2,
) -> list[tuple[int, int, int, int, bool]]:  # fmt: skip
    stride = kernel if stride is None else stride
    parts = {"kernel_size": (kernel, 1), "stride": (stride, 1), "padding": (padding, 0), "dilation": (dilation, 1)}
    values = [_integers(f"receptive_field: {name}", key, v, least, dimensions) for key, (v, least) in parts.items()]
    return [(*one, transposed) for one in zip(*values, strict=True)]


def _integers(op: str, name: str, value: Any, least: int, dimensions: int) -> tuple[int, ...]:
    given = tuple(value) if isinstance(value, Sequence) else (value,)
    try:
        values = tuple(map(index, given)) * (dimensions if len(given) == 1 else 1)
    except TypeError:
        values = ()
    if len(values) != dimensions:
        several = f", or {dimensions}" if dimensions > 1 else ""
        raise TypeError(f"{op}: {name} is {value!r}; expected an integer{several}")
    if min(values) < least:
        raise ValueError(f"{op}: {name} is {value!r}; expected at least {least}")
    return values
