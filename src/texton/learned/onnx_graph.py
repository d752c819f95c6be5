"""A generator as an ONNX graph, which other programs run: written node by node, nothing traced.

The graph takes ``image`` (1, 3, H, W), float32 in [0, 1], of any size from 16 pixels a side, and
gives ``styled`` of the same size. A generator of several styles takes ``shares`` (1, styles) too.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from texton.errors import optional
from texton.learned.generator import EPSILON, FLAT, STRIDE, Generator

OPSET = 17  # runtimes from 2022 on read it


def write_onnx(generator: Generator, path: Path, told: Mapping[str, str] | None = None) -> Path:
    """Write the graph, atomically.

    Args:
        told: kept in the file, as its metadata: what made the generator.

    Raises:
        TextonError: onnx is not installed.
    """
    from texton.images.files import write_bytes

    graph = _Graph(generator)
    model = graph.model()
    for key, value in (told or {}).items():
        model.metadata_props.add(key=key, value=value)
    write_bytes(model.SerializeToString(), path)
    return path


class _Graph:
    """Nodes in order; every method adds some and gives the name of what comes out."""

    def __init__(self, generator: Generator) -> None:
        with optional("onnx"):
            import onnx
        self._onnx = onnx
        self._generator = generator
        state = generator.state_dict().items()
        self._weights = {name: value.detach().float().cpu().numpy() for name, value in state}
        self._styles = generator.architecture.styles
        self._nodes: list[Any] = []
        self._constants: dict[str, np.ndarray[Any, Any]] = {}

    def model(self) -> Any:
        """The whole, checked by onnx itself."""
        onnx, helper = self._onnx, self._onnx.helper
        self._write()
        sizes: list[Any] = [1, 3, "height", "width"]
        floats = onnx.TensorProto.FLOAT
        inputs = [helper.make_tensor_value_info("image", floats, sizes)]
        if self._styles > 1:
            inputs.append(helper.make_tensor_value_info("shares", floats, [1, self._styles]))
        outputs = [helper.make_tensor_value_info("styled", floats, sizes)]
        constants = [onnx.numpy_helper.from_array(x, name) for name, x in self._constants.items()]
        graph = helper.make_graph(self._nodes, "texton-style", inputs, outputs, constants)
        opset = [helper.make_opsetid("", OPSET)]
        model = helper.make_model(graph, opset_imports=opset, producer_name="texton", ir_version=8)
        onnx.checker.check_model(model)
        return model

    def _write(self) -> None:
        """`Generator.forward`, once more."""
        output = self._generator.architecture.output
        self._node("Shape", ["image"], "size", start=2, end=4)
        x = self._to_multiple("image")
        if output == "255":
            given = x = self._with("Mul", x, 255.0)
        else:
            given = x = self._with("Sub", self._with("Mul", x, 2.0), 1.0)
        for number, stride in ((1, 1), (2, 2), (3, 2)):
            x = self._relu(self._norm(self._conv(x, f"conv{number}", stride), f"in{number}"))
        for number in range(1, self._generator.architecture.residuals + 1):
            x = self._residual(x, f"res{number}")
        for number in (1, 2):
            grown = self._conv(self._doubled(x), f"deconv{number}")
            x = self._relu(self._norm(grown, f"in{number + 3}"))
        x = self._conv(x, "deconv3")
        if output == "added":
            x = self._node("Add", [x, self._norm(given, "in0", FLAT)])
        if output == "255":
            x = self._node("Clip", [self._with("Div", x, 255.0), *self._scalars(0.0, 1.0)])
        else:
            x = self._with("Mul", self._with("Add", self._node("Tanh", [x]), 1.0), 0.5)
        axes, zeros = self._constant("axes", [2, 3]), self._constant("zeros", [0, 0])
        self._node("Slice", [x, zeros, "size", axes], "styled")

    def _to_multiple(self, x: str) -> str:
        """Reflected at its end, up to a multiple of the stride."""
        missing = self._node(
            "Mod", [self._node("Neg", ["size"]), self._constant("stride", [STRIDE])]
        )
        before = self._constant("six_zeros", [0] * 6)
        pads = self._node("Concat", [before, missing], axis=0)
        return self._node("Pad", [x, pads], mode="reflect")

    def _conv(self, x: str, name: str, stride: int = 1) -> str:
        weight, bias = (self._weight(f"{name}.conv2d.{part}") for part in ("weight", "bias"))
        border = self._constants[weight].shape[2] // 2
        pads = self._constant(f"border{border}", [0, 0, border, border] * 2)
        padded = self._node("Pad", [x, pads], mode="reflect")
        return self._node("Conv", [padded, weight, bias], strides=[stride, stride])

    def _norm(self, x: str, name: str, epsilon: float = EPSILON) -> str:
        if self._styles == 1:
            scale, shift = (self._weight(f"{name}.{part}", 0) for part in ("weight", "bias"))
            return self._node("InstanceNormalization", [x, scale, shift], epsilon=epsilon)
        channels = self._weights[f"{name}.weight"].shape[1]
        ones = self._constant(f"ones{channels}", np.ones(channels, np.float32))
        none = self._constant(f"none{channels}", np.zeros(channels, np.float32))
        plain = self._node("InstanceNormalization", [x, ones, none], epsilon=epsilon)
        shape = self._constant(f"shape{channels}", [1, channels, 1, 1])
        scale, shift = (
            self._node(
                "Reshape",
                [self._node("MatMul", ["shares", self._weight(f"{name}.{part}")]), shape],
            )
            for part in ("weight", "bias")
        )
        return self._node("Add", [self._node("Mul", [plain, scale]), shift])

    def _residual(self, x: str, name: str) -> str:
        inside = self._relu(self._norm(self._conv(x, f"{name}.conv1"), f"{name}.in1"))
        added = self._norm(self._conv(inside, f"{name}.conv2"), f"{name}.in2")
        return self._node("Add", [x, added])

    def _relu(self, x: str) -> str:
        return self._node("Relu", [x])

    def _doubled(self, x: str) -> str:
        scales = self._constant("double", np.array([1, 1, 2, 2], np.float32))
        if self._generator.architecture.upsampling == "bilinear":
            told = {"mode": "linear", "coordinate_transformation_mode": "half_pixel"}
        else:
            told = {
                "mode": "nearest",
                "coordinate_transformation_mode": "asymmetric",
                "nearest_mode": "floor",
            }
        return self._node("Resize", [x, "", scales], **told)

    def _with(self, kind: str, x: str, number: float) -> str:
        return self._node(kind, [x, *self._scalars(number)])

    def _scalars(self, *numbers: float) -> list[str]:
        return [self._constant(f"number{x:g}", np.array(x, np.float32)) for x in numbers]

    def _weight(self, name: str, row: int | None = None) -> str:
        value = self._weights[name]
        return self._constant(name, value if row is None else value[row])

    def _constant(self, name: str, value: Sequence[int] | np.ndarray[Any, Any]) -> str:
        whole = value if isinstance(value, np.ndarray) else np.array(value, np.int64)
        self._constants[name] = np.ascontiguousarray(whole)
        return name

    def _node(self, kind: str, inputs: list[str], out: str = "", **told: Any) -> str:
        out = out or f"{kind.lower()}_{len(self._nodes)}"
        self._nodes.append(self._onnx.helper.make_node(kind, inputs, [out], **told))
        return out
