"""ONNX Runtime, as `with_torch.py` has PyTorch: the inference of LSTMs, in which it is the faster one at times."""

from __future__ import annotations

from typing import Any

import numpy as np
import onnx
import onnxruntime
from onnx import TensorProto, helper, numpy_helper

from . import inputs
from .inputs import Array, Ways
from .layers import recurrent_weights

OPSET, IR_VERSION = 17, 9  # in which ONNX Runtime has known LSTM for years
GATES = [0, 3, 1, 2]  # i o f g, in terms of PyTorch's order

_threads = 1


def setup(threads: int) -> str:
    """Sets the number of threads; returns the version."""
    global _threads
    _threads = threads
    return f"ONNX Runtime {onnxruntime.__version__}"


def numpy(value: Array) -> Array:
    """Results are arrays."""
    return value


def release() -> None:
    """Nothing outlives a case."""


def lstm_inference(T: int, N: int, I: int, H: int, layers: int = 1, directions: int = 1) -> Ways:
    """The outputs, as ONNX lays them out: (T, directions, N, H)."""
    if layers > 1 and directions > 1:
        raise NotImplementedError("ONNX Runtime: layers of two directions are not stacked here")
    suffixes = ["", "_reverse"][:directions]
    initializers = [numpy_helper.from_array(np.array([1]), "axis")] if layers > 1 else []
    nodes = []
    source = "x"
    for layer in range(layers):
        weights = [_weights(I if layer == 0 else H, H, f"_l{layer}{suffix}") for suffix in suffixes]
        names = [f"{kind}{layer}" for kind in ("W", "R", "B")]
        initializers += [
            numpy_helper.from_array(np.stack([w[i] for w in weights]), name) for i, name in enumerate(names)
        ]
        direction = "bidirectional" if directions == 2 else "forward"
        nodes.append(helper.make_node("LSTM", [source, *names], [f"y{layer}"], hidden_size=H, direction=direction))
        source = f"y{layer}"
        if layer + 1 < layers:  # (T, 1, N, H) -> (T, N, H)
            nodes.append(helper.make_node("Squeeze", [source, "axis"], [f"x{layer + 1}"]))
            source = f"x{layer + 1}"
    graph = helper.make_graph(
        nodes,
        "lstm",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, (T, N, I))],
        [helper.make_tensor_value_info(source, TensorProto.FLOAT, (T, directions, N, H))],
        initializers,
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", OPSET)], ir_version=IR_VERSION)
    onnx.checker.check_model(model)
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = _threads
    session = onnxruntime.InferenceSession(model.SerializeToString(), options, providers=["CPUExecutionProvider"])
    x = inputs.uniform(1, T, N, I)

    def run() -> Any:
        return session.run(None, {"x": x})[0]

    def check() -> Array:
        return run().transpose(0, 2, 1, 3).reshape(T, N, directions * H)

    run.check = check  # type: ignore[attr-defined]
    return {"ONNX Runtime": run}


def _weights(I: int, H: int, suffix: str) -> tuple[Array, Array, Array]:
    """W, R and B of a layer in one direction."""
    shapes = {"weight_ih": (4 * H, I), "weight_hh": (4 * H, H), "bias_ih": (4 * H,), "bias_hh": (4 * H,)}
    by_gate = [
        a.reshape(4, H, -1)[GATES].reshape(a.shape)
        for a in recurrent_weights({kind + suffix: shape for kind, shape in shapes.items()}, H).values()
    ]
    return by_gate[0], by_gate[1], np.concatenate(by_gate[2:])
