"""What a model consists of and what it costs, layer by layer, without running it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import DTypeLike

from .nn import Module
from .receptive_fields import ReceptiveField, field_of
from .tensor import Tensor
from .tracing import Cost, Trace, tracing

# That of a tensor, or of several in tuples, lists and dicts; None for what is no tensor.
Shape: TypeAlias = Any


@dataclass
class LayerSummary:
    """One call of a module.

    Attributes:
        name: the name of the module within the model; "" for the model itself.
        kind: its class.
        depth: how many modules it lies within.
        output_shape: that of its output: a tuple for a tensor, tuples, lists and dicts of them for several.
        parameters: how many numbers its parameters hold, together with the modules in it, each counted once.
        trainable_parameters: how many of these require a gradient.
        multiply_adds: products with additions in convolutions, linear and recurrent layers and matrix products,
            together with the modules in it. Other operations are not counted, as in the figures that papers give.
        activation_bytes: memory of the outputs of all operations, together with the modules in it, as training keeps
            them; views of other tensors need none.
        receptive_field: what an element of the output sees of the model's input; None where that is no image or signal,
            not the same for all elements, or not known.
        called: whether the model calls it at all (in evaluation mode).
    """

    name: str
    kind: str
    depth: int
    output_shape: Shape = None
    parameters: int = 0
    trainable_parameters: int = 0
    multiply_adds: int = 0
    activation_bytes: int = 0
    receptive_field: ReceptiveField | None = None
    called: bool = False


@dataclass
class ModelSummary:
    """A model, layer by layer in the order of the calls; `str` makes a table of it, `to_dict` data for JSON.

    Attributes:
        input_shape: as it was given.
        layers: the model and all modules in it. One that is called twice comes twice.
        parameters: how many numbers the model's parameters hold.
        trainable_parameters: how many of these require a gradient.
        parameter_bytes: memory of the parameters and buffers.
        multiply_adds: for an input of `input_shape`.
        activation_bytes: likewise.
    """

    input_shape: Shape
    layers: list[LayerSummary] = field(default_factory=list)
    parameters: int = 0
    trainable_parameters: int = 0
    parameter_bytes: int = 0
    multiply_adds: int = 0
    activation_bytes: int = 0

    def to_dict(self) -> dict[str, Any]:
        """All of it in dicts, lists and numbers."""
        found = asdict(self)
        for layer in found["layers"]:
            if layer["receptive_field"] is not None:
                layer["receptive_field"] = layer["receptive_field"]._asdict()
        return found

    def __str__(self) -> str:
        return _table(self)


def summary(model: Module, input_shape: Sequence[Any], dtype: DTypeLike | None = None) -> ModelSummary:
    """What each layer of a model makes of an input: shape, parameters, multiply-adds, memory and receptive field.

    Nothing is computed, and no memory is used for activations: the model's `forward` runs in evaluation mode, but on
    tensors that are shapes only (see `fastnn.tracing`). Any module will do. Where `forward` looks at the values of an
    activation, it sees zeros.

    Args:
        model: a module. It is left as it is.
        input_shape: of the input, with the batch; for several inputs a sequence of shapes.
        dtype: of the input. By default that of the first parameter; "int64" where a model takes indices.

    Raises:
        TypeError: `model` is no module, or `input_shape` no shape.
        ValueError: the model does not take such an input; what it says itself.

    Example:
        >>> import fastnn
        >>> from fastnn import models
        >>> found = fastnn.summary(models.lenet5(), (1, 1, 28, 28))
        >>> print(found)
        layer    kind       output      parameters  multiply-adds  activations  receptive field
                 LeNet5     1x10            61,706        416,520      60.0 kB  32 / 0 at 13.5
        conv1    Conv2d     1x6x28x28          156        117,600      18.8 kB  5 / 1 at 0
        relu     ReLU       1x6x28x28                                  18.8 kB  5 / 1 at 0
        pool     MaxPool2d  1x6x14x14                                   4.7 kB  6 / 2 at 0.5
        ...
        activations      60.0 kB
        >>> found.layers[1].receptive_field
        ReceptiveField(size=(5, 5), stride=(1, 1), centre=(0, 0))
    """
    if not isinstance(model, Module):
        raise TypeError(f"summary: model is {type(model).__name__}; expected a Module")
    shapes = _shapes(input_shape)
    floating = [p.dtype for p in model.parameters() if p.dtype.kind == "f"]
    wanted = np.dtype(dtype if dtype is not None else floating[0] if floating else np.float32)
    training = [(module, module.training) for module in model.modules()]
    calls = _Calls(model)
    try:
        model.eval()
        with tracing() as trace:
            calls.watch(trace)
            model(*(trace.input(shape, wanted) for shape in shapes))
    finally:
        calls.end()
        for module, mode in training:
            module.training = mode
    layers = calls.layers()
    whole = layers[0]
    members = {id(m): m for m in (*model.parameters(), *model.buffers())}
    return ModelSummary(
        shapes[0] if len(shapes) == 1 else shapes,
        layers,
        whole.parameters,
        whole.trainable_parameters,
        sum(m.data.nbytes for m in members.values()),
        whole.multiply_adds,
        whole.activation_bytes,
    )


class _Calls:
    """Hooks of all modules of a model, which follow its calls."""

    def __init__(self, model: Module) -> None:
        self._names = {module: name for name, module in model.named_modules()}
        self._handles: list[Any] = []
        self._open: list[tuple[LayerSummary, Cost]] = []
        self._layers: list[LayerSummary] = []

    def watch(self, trace: Trace) -> None:
        """Puts the hooks in place."""

        def begin(module: Module, args: Any) -> None:
            layer = self._layer(module, len(self._open))
            self._layers.append(layer)
            self._open.append((layer, trace.cost()))

        def end(module: Module, args: Any, output: Any) -> None:
            layer, before = self._open.pop()
            after = trace.cost()
            layer.called = True
            layer.output_shape = _shape_of(output)
            layer.multiply_adds = after.multiply_adds - before.multiply_adds
            layer.activation_bytes = after.bytes - before.bytes
            if isinstance(output, Tensor) and (axes := trace.fields(output)):
                layer.receptive_field = field_of(axes)

        for module in self._names:
            self._handles += [
                module.register_forward_pre_hook(begin, prepend=True),
                module.register_forward_hook(end),
            ]

    def end(self) -> None:
        """Takes the hooks away."""
        for handle in self._handles:
            handle.remove()

    def layers(self) -> list[LayerSummary]:
        """The calls in their order, and each module that nobody called in the place where its neighbours are."""
        called = {layer.name for layer in self._layers}
        layers = list(self._layers)
        for module, name in self._names.items():
            prefix = name + "."
            if name in called or any(other.startswith(prefix) for other in called):
                continue
            if type(module).forward is Module.forward:  # a list of modules or parameters, which nobody calls
                continue
            parent, near = name, list[int]()
            while not near:
                parent = parent.rpartition(".")[0]
                near = [i for i, layer in enumerate(layers) if not parent or f"{layer.name}.".startswith(f"{parent}.")]
            layers.insert(near[-1] + 1, self._layer(module, name.count(".") + 1))
        return layers

    def _layer(self, module: Module, depth: int) -> LayerSummary:
        parameters = list(module.parameters())
        return LayerSummary(
            self._names[module],
            type(module).__name__,
            depth,
            parameters=sum(p.numel() for p in parameters),
            trainable_parameters=sum(p.numel() for p in parameters if p.requires_grad),
        )


def _shapes(input_shape: Any) -> tuple[tuple[int, ...], ...]:
    several = isinstance(input_shape, Sequence) and input_shape and isinstance(input_shape[0], Sequence)
    shapes = tuple(input_shape) if several else (input_shape,)
    for shape in shapes:
        if not isinstance(shape, Sequence) or not all(isinstance(n, (int, np.integer)) and n >= 0 for n in shape):
            raise TypeError(f"summary: input_shape is {input_shape!r}; expected a shape such as (1, 3, 224, 224)")
    return tuple(tuple(map(int, shape)) for shape in shapes)


def _shape_of(output: Any) -> Shape:
    if isinstance(output, Tensor):
        return output.shape
    if isinstance(output, dict):
        return {key: _shape_of(value) for key, value in output.items()}
    if isinstance(output, (tuple, list)):
        return [_shape_of(value) for value in output]
    return None


# ---- text ---------------------------------------------------------------------------------------------------------

_COLUMNS = ("layer", "kind", "output", "parameters", "multiply-adds", "activations", "receptive field")


def _table(model: ModelSummary) -> str:
    rows: list[tuple[str, ...]] = [_COLUMNS]
    callers = [""]
    for layer in model.layers:
        del callers[max(layer.depth, 1) :]
        rows.append(_row(layer, layer.name.removeprefix(f"{callers[-1]}.")))
        callers.append(layer.name)
    widths = [max(len(row[i]) for row in rows) for i in range(len(_COLUMNS))]
    lines = []
    for row in rows:
        cells = [
            cell.rjust(w) if 3 <= i <= 5 else cell.ljust(w) for i, (cell, w) in enumerate(zip(row, widths, strict=True))
        ]
        lines.append("  ".join(cells).rstrip())
    frozen = model.parameters - model.trainable_parameters
    lines += [
        "",
        f"input            {_shape_text(model.input_shape)}",
        f"parameters       {model.parameters:,}" + (f" ({frozen:,} frozen)" if frozen else ""),
        f"multiply-adds    {model.multiply_adds:,}",
        f"parameter memory {_bytes(model.parameter_bytes)}",
        f"activations      {_bytes(model.activation_bytes)}",
    ]
    return "\n".join(lines)


def _row(layer: LayerSummary, label: str) -> tuple[str, ...]:
    name = "  " * max(layer.depth - 1, 0) + label
    if not layer.called:
        return name, layer.kind, "not called", f"{layer.parameters:,}", "", "", ""
    seen = ""
    if layer.receptive_field is not None:
        size, stride, centre = map(_pair, layer.receptive_field)
        seen = f"{size} / {stride} at {centre}"
    return (
        name,
        layer.kind,
        _shape_text(layer.output_shape),
        f"{layer.parameters:,}" if layer.parameters else "",
        f"{layer.multiply_adds:,}" if layer.multiply_adds else "",
        _bytes(layer.activation_bytes) if layer.activation_bytes else "",
        seen,
    )


def _pair(values: tuple[float, ...]) -> str:
    texts = [f"{value:g}" for value in values]
    return texts[0] if len(set(texts)) == 1 else "x".join(texts)


def _shape_text(shape: Shape) -> str:
    if isinstance(shape, tuple) and all(isinstance(n, int) for n in shape):
        return "x".join(map(str, shape)) or "scalar"
    if isinstance(shape, dict):
        return ", ".join(f"{key} {_shape_text(value)}" for key, value in shape.items())
    if isinstance(shape, (list, tuple)):
        return ", ".join(map(_shape_text, shape))
    return "-"


def _bytes(count: int) -> str:
    for unit, size in (("GB", 1e9), ("MB", 1e6), ("kB", 1e3)):
        if count >= size:
            return f"{count / size:.1f} {unit}"
    return f"{count} B"
