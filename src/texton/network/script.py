"""TorchScript, scripted or traced, as modules whose layers can be looked into.

A scripted module runs in an interpreter of its own, which calls no Python hook. Its graphs say
which part calls which, and on what: here they are run node by node, and every part is a module.
"""

from __future__ import annotations

import copy
from collections.abc import Callable
from typing import Any

import torch
import torch.nn.functional as F
from torch import nn

from texton.errors import TextonError, first_line
from texton.network.forward import undisturbed

_PLAIN = ("ReLU", "ReLU6", "Sigmoid", "Tanh", "Hardswish", "SiLU", "Identity")
_SIZES = ("stride", "padding", "dilation")


def opened(module: nn.Module, name: str, channels: int) -> nn.Module:
    """The module, or what a scripted one does, with its parameters, as modules of Python.

    Raises:
        TextonError: it does what cannot be followed here, or something else comes out.
    """
    if not isinstance(module, torch.jit.ScriptModule):
        return module
    try:
        ours = _open(module).eval()
        if isinstance(ours, Opened) and not list(ours.children()):
            raise ValueError("it has no parts: frozen, or one function")
        _check_same(copy.deepcopy(module).eval(), ours, channels)
        return ours
    except (RuntimeError, AttributeError, AssertionError, TypeError, ValueError) as error:
        raise TextonError(
            f"{name} is TorchScript whose graph cannot be followed ({first_line(error)}): give the "
            "Python module it was made from, with its weights, "
            "`network.load_state_dict(scripted.state_dict())`"
        ) from None


def _check_same(theirs: nn.Module, ours: nn.Module, channels: int) -> None:
    generator = torch.Generator().manual_seed(0)
    for side in (64, 224, 32, 28):
        image = torch.rand((1, channels, side, side), generator=generator)
        with torch.no_grad():
            try:
                with undisturbed():  # one that draws numbers is given the same
                    expected = theirs(image)
            except Exception:  # noqa: BLE001 - a stranger's module may raise anything
                continue
            with undisturbed():
                given = ours(image)
            torch.testing.assert_close(given, expected, rtol=1e-3, atol=1e-4)
        return


def _open(part: torch.jit.ScriptModule) -> nn.Module:
    kind = part.original_name
    if kind in _PLAIN and not [*part.parameters(), *part.children()]:
        return getattr(nn, kind)()  # type: ignore[no-any-return]
    named = type(kind, (Opened,), {})  # told apart, as those of Python are
    return (_convolution(part) if kind == "Conv2d" else None) or named(part)


def _convolution(part: torch.jit.ScriptModule) -> nn.Module | None:
    """A convolution as torch has it: its stride and field are known so. None: it is another."""
    told = _told(part)
    if told is None:
        return None
    weight, bias = part.weight, getattr(part, "bias", None)
    into, size = weight.shape[1] * told["groups"], tuple(weight.shape[2:])
    with torch.device("meta"):
        conv = nn.Conv2d(into, len(weight), size, bias=bias is not None, **told)
    conv.weight = nn.Parameter(weight, requires_grad=weight.requires_grad)
    conv.bias = bias if bias is None else nn.Parameter(bias, requires_grad=bias.requires_grad)
    return conv


def _told(part: torch.jit.ScriptModule) -> dict[str, Any] | None:
    if hasattr(part, "padding_mode"):  # scripted: its settings are kept
        told = {key: getattr(part, key) for key in (*_SIZES, "groups")}
        return told if part.padding_mode == "zeros" else None
    nodes = [x for x in part.graph.nodes() if x.kind().startswith("aten::")]
    if [x.kind() for x in nodes] != ["aten::_convolution"]:
        return None
    values = [_constant(value) for value in list(nodes[0].inputs())[3:9]]
    stride, padding, dilation, transposed, _, groups = values
    if transposed:
        return None
    return {"stride": stride, "padding": padding, "dilation": dilation, "groups": groups}


def _constant(value: Any) -> Any:
    node = value.node()
    if node.kind() == "prim::ListConstruct":
        return tuple(_constant(one) for one in node.inputs())
    return value.toIValue()


class _Graphs(dict[str, Any]):
    """Of a part's methods, by name: nobody changes them, and they cannot be copied."""

    def __deepcopy__(self, memo: dict[int, Any]) -> _Graphs:
        return self


class Opened(nn.Module):
    """One part of a scripted module, run node by node."""

    def __init__(self, part: torch.jit.ScriptModule) -> None:
        super().__init__()
        methods = {name: part._c._get_method(name).graph for name in part._c._method_names()}
        self._graphs = _Graphs({key: x for key, x in methods.items() if _is_forward(key)})
        for name, weight in part.named_parameters(recurse=False):
            self.register_parameter(name, nn.Parameter(weight, requires_grad=weight.requires_grad))
        for name, buffer in part.named_buffers(recurse=False):
            self.register_buffer(name, buffer)
        for name, child in part.named_children():
            self.add_module(name, _open(child))  # type: ignore[arg-type]
        for graph in list(self._graphs.values()):
            self._read(part, graph)

    def forward(self, *inputs: Any, method: str = "forward") -> Any:
        return self.run(method, *inputs)

    def run(self, method: str, *inputs: Any) -> Any:
        graph = self._graphs[method]
        names = [value.debugName() for value in graph.inputs()]
        values = dict(zip(names, (self, *inputs), strict=False))
        _run(graph, values)
        given = [values[value.debugName()] for value in graph.outputs()]
        return given[0] if len(given) == 1 else tuple(given)

    def _read(self, part: torch.jit.ScriptModule, block: Any) -> None:
        """Its attributes and further methods; refuse what cannot be run."""
        for node in block.nodes():
            kind = node.kind()
            for inner in node.blocks():
                self._read(part, inner)
            if kind == "prim::CallMethod" and node.s("name") not in self._graphs:
                method: Any = getattr(part, node.s("name"), None)
                if hasattr(method, "graph"):
                    self._graphs[node.s("name")] = method.graph
                    self._read(part, method.graph)
            elif kind == "prim::GetAttr" and not hasattr(self, node.s("name")):
                if hasattr(part, node.s("name")):  # a number, a list
                    setattr(self, node.s("name"), getattr(part, node.s("name")))
            elif kind not in _STEPS:
                _operation(node)


def _run(block: Any, values: dict[str, Any]) -> None:
    for node in block.nodes():
        inputs = [values[value.debugName()] for value in node.inputs()]
        step = _STEPS.get(node.kind())
        given = _operation(node)(inputs) if step is None else step(node, inputs, values)
        names = [value.debugName() for value in node.outputs()]
        if len(names) == 1:
            values[names[0]] = given
        else:
            values.update(zip(names, given or (), strict=True))


def _operation(node: Any) -> Callable[[list[Any]], Any]:
    """What a node's schema names, which of its arguments go by name."""
    schema = torch._C.parse_schema(node.schema())
    space, _, name = schema.name.partition("::")
    operation = getattr(getattr(torch.ops, space), name)
    operation = getattr(operation, schema.overload_name or "default")
    named = [x.name if x.kwarg_only else "" for x in schema.arguments]

    def call(inputs: list[Any]) -> Any:
        each = list(zip(named, inputs, strict=True))
        return operation(*(x for key, x in each if not key), **{key: x for key, x in each if key})

    return call


def _literal(node: Any, inputs: list[Any], values: dict[str, Any]) -> Any:
    if node.output().type().kind() == "FunctionType":
        return getattr(F, node.s("name"))
    return node.output().toIValue()


def _method(node: Any, inputs: list[Any], values: dict[str, Any]) -> Any:
    part, *rest = inputs
    name = node.s("name")
    if not isinstance(part, Opened):
        return part(*rest)
    return part(*rest, method=name) if _is_forward(name) else part.run(name, *rest)


def _is_forward(method: str) -> bool:
    """A traced part that is called several times has ``forward1`` and so on."""
    return method.startswith("forward") and method[len("forward") :] in ("", *map(str, range(99)))


def _branch(node: Any, inputs: list[Any], values: dict[str, Any]) -> Any:
    block = list(node.blocks())[0 if inputs[0] else 1]
    _run(block, values)
    given = [values[value.debugName()] for value in block.outputs()]
    return given[0] if len(given) == 1 else given


def _loop(node: Any, inputs: list[Any], values: dict[str, Any]) -> Any:
    most, goes_on, *carried = inputs
    (block,) = node.blocks()
    count = 0
    while goes_on and count < most:
        names = [value.debugName() for value in block.inputs()]
        values.update(zip(names, (count, *carried), strict=True))
        _run(block, values)
        goes_on, *carried = [values[value.debugName()] for value in block.outputs()]
        count += 1
    return carried[0] if len(carried) == 1 else carried


def _raised(node: Any, inputs: list[Any], values: dict[str, Any]) -> Any:
    raise RuntimeError(str(inputs[0]))


_STEPS: dict[str, Callable[[Any, list[Any], dict[str, Any]], Any]] = {
    "prim::Constant": _literal,
    "prim::GetAttr": lambda node, inputs, _: getattr(inputs[0], node.s("name")),
    "prim::CallMethod": _method,
    "prim::CallFunction": lambda node, inputs, _: inputs[0](*inputs[1:]),
    "prim::If": _branch,
    "prim::Loop": _loop,
    "prim::ListConstruct": lambda node, inputs, _: inputs,
    "prim::TupleConstruct": lambda node, inputs, _: tuple(inputs),
    "prim::DictConstruct": lambda node, inputs, _: dict(
        zip(inputs[::2], inputs[1::2], strict=True)
    ),
    "prim::ListUnpack": lambda node, inputs, _: _one(inputs[0]),
    "prim::TupleUnpack": lambda node, inputs, _: _one(inputs[0]),
    "prim::TupleIndex": lambda node, inputs, _: inputs[0][inputs[1]],
    "prim::unchecked_cast": lambda node, inputs, _: inputs[0],
    "prim::NumToTensor": lambda node, inputs, _: inputs[0],
    "prim::RaiseException": _raised,
    "aten::__getitem__": lambda node, inputs, _: inputs[0][inputs[1]],
    "aten::len": lambda node, inputs, _: len(inputs[0]),
    "aten::append": lambda node, inputs, _: inputs[0].append(inputs[1]),
    "aten::Int": lambda node, inputs, _: int(inputs[0]),
}


def _one(several: Any) -> Any:
    return several[0] if len(several) == 1 else several
