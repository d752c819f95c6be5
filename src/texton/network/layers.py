"""How layers are found in any module: what every call of a part gives on an image."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from fractions import Fraction
from typing import Any, Literal

import torch
from torch import Tensor, nn
from torch.overrides import TorchFunctionMode

from texton.errors import TextonError, first_line, near_names
from texton.network.device import Compute, choose_compute
from texton.network.geometry import POOLS, RECTIFIERS, Geometry, Strides, cuts
from texton.network.hooks import CALL, INSIDE, describe_output, hooked, is_code, parts_of
from texton.network.inside import said_sizes
from texton.network.layout import Layout, Layouts
from texton.network.refuse import why_not

_RECTIFIER_CALLS = frozenset(
    {"relu", "relu_", "relu6", "hardtanh", "hardtanh_", "gelu", "silu", "silu_"}
    | {"hardswish", "elu", "leaky_relu", "mish"}
)
_TRANSPARENT = (*POOLS, nn.Dropout, nn.Dropout2d, nn.Identity)
_RESIZES = frozenset({"interpolate", "grid_sample", "upsample"})
_SIDES = (64, 96, 128, 224, 299, 32, 28)

Size = tuple[int, int]


@dataclass(frozen=True)
class Layer:
    """One layer of a network.

    ``kind`` is ``conv``, ``pool`` or the class of its module, ``channels`` how many filters it
    has. A layer that ``rectifies`` is silent where its pre-activation, the code of ``source``, has
    a gradient; one that ``passes_through`` (a pool, a block that ends in a layer of its own) has
    the pre-activation of its ``source``, the layer that it reads.

    ``strides`` are how many image pixels lie between neighbours of the code, in a column and in a
    row, less than one where the code is larger than the image; ``stride`` is the larger of them,
    at least 1. ``receptive_field`` is the longer side in pixels of what one activation sees. It is
    None where the way to the layer is not a plain chain of modules, until it is ``measured``; None
    and measured means the whole image, unless the ``status`` is ``not known``; that may also be
    ``at most``.

    ``layout`` tells how its module holds the code, where that is not (B, C, H, W); of tokens, at
    the size that was traced.
    """

    name: str
    kind: str
    channels: int
    stride: int
    receptive_field: int | None
    source: str
    rectifies: bool
    passes_through: bool
    measured: bool = False
    strides: tuple[float, float] = (1, 1)
    status: Literal["exact", "at most", "not known"] = "exact"
    layout: Layout | None = None


@dataclass(frozen=True, eq=False)
class Trace:
    """The layers in order of execution, and what the calls gave that are none.

    Attributes:
        size: rows and columns of the image that was traced.
        fixed: the layers that are reached with images of this size alone.
        resizes: whether the network brings its images to another size itself.
        patched: whether it cuts images, or maps, into patches that do not overlap: what is shifted
            by less than a patch is another image to it.
    """

    layers: dict[str, Layer]
    others: dict[str, str]
    size: Size
    finished: bool = False
    fixed: frozenset[str] = frozenset()
    resizes: bool = False
    patched: bool = False


Prepare = Callable[[Tensor, Compute], Tensor]


def trace_layers(
    module: nn.Module, prepare: Prepare, channels: int, forget: Callable[[], None] = lambda: None
) -> Trace:
    """Every module call that gives feature maps, in order of execution.

    A network that ends in layers for one fixed size is traced as far as it goes.

    Args:
        forget: called after every image: what the module kept of it is gone.

    Raises:
        TextonError: no size gives any.
    """
    best, failure = _Tracer(), None
    gives: dict[str, str] = {}
    sides = [(side, side) for side in _SIDES]
    for size in (sides[0], *said_sizes(module), *sides[1:]):
        tracer, error = _run(module, prepare, channels, size)
        forget()
        failure = failure or error
        gives = gives or tracer.others
        if len(tracer.layers) > len(best.layers):
            best = tracer
        if tracer.finished:
            break
    if not best.layers:
        reason = why_not(module, _failed(failure) if failure else _without_maps(gives))
        raise TextonError(f"the network cannot be run on an image: {reason}")
    fixed: frozenset[str] = frozenset()
    if best.size != sides[0] or best.may_be_fixed:
        rows, columns = best.size
        wider, error = _run(module, prepare, channels, (rows, 2 * columns))
        if error is not None:
            fixed = frozenset(best.layers) - frozenset(wider.layers)
    return Trace(
        best.layers, best.others, best.size, best.finished, fixed, best.resizes, best.patched
    )


def _failed(error: Exception) -> str:
    return f"{first_line(error)} (where it takes anything but one tensor (B, C, H, W), wrap it)"


def _without_maps(gives: dict[str, str]) -> str:
    told = [f"'{name}' gives {what}" for name, what in gives.items()]
    return "; ".join(["no module gives feature maps", *told[:2]])


def layouts_at(
    module: nn.Module, prepare: Prepare, channels: int, size: Size
) -> dict[str, Layout | None]:
    """Where the tokens of images of this size lie."""
    tracer, _ = _run(module, prepare, channels, size)
    return {name: layer.layout for name, layer in tracer.layers.items()}


def _run(
    module: nn.Module, prepare: Prepare, channels: int, size: Size
) -> tuple[_Tracer, Exception | None]:
    compute = choose_compute("cpu", torch.float32)
    prepared = prepare(torch.full((1, channels, *size), 0.5), compute)
    tracer = _Tracer(prepared, (*module.parameters(), *module.buffers()))
    names = {name for name, _ in module.named_modules()}
    try:
        with torch.no_grad(), hooked(module, names, tracer.before, tracer.after), tracer:
            module(prepared)
    except Exception as error:  # noqa: BLE001 - a stranger's module may raise anything
        return tracer, error
    return tracer, None


def why_no_layer(name: str, network: str, module: nn.Module, trace: Trace) -> str:
    """What a part of a network is that is none of its layers, or the nearest names."""
    if name in trace.others:
        inside = [layer for layer in trace.layers if layer.startswith((f"{name}.", f"{name}@"))]
        instead = f"its layers inside: {', '.join(inside[-3:])}" if inside else "a layer before"
        return f"'{name}' gives {trace.others[name]}, no feature maps: choose {instead}"
    if name in (known for known, _ in module.named_modules()):
        return (
            f"'{name}' is no layer: {network}'s forward does not call it in evaluation mode on "
            "this image"
        )
    near = near_names(name, trace.layers)
    return f"{network} has no layer '{name}'{near}: `texton layers` lists them"


class _Tracer(TorchFunctionMode):
    """Notes what every module call reads and gives; sees rectifiers written as functions too."""

    def __init__(self, image: Tensor | None = None, held: Iterable[Tensor] = ()) -> None:
        super().__init__()
        self.layers: dict[str, Layer] = {}
        self.others: dict[str, str] = {}
        self.finished = self.resizes = self.may_be_fixed = self.patched = False
        image = torch.empty(1, 1, 1, 1) if image is None else image
        self.size: Size = (image.shape[2], image.shape[3])
        self._calls: Counter[str] = Counter()
        self._open: list[str] = []
        self._in_upsample = False
        # Tensors are kept alive, so that an id means one tensor during the trace.
        self._seen: dict[int, tuple[Tensor, str, Geometry | None]] = {}
        self._seen[id(image)] = (image, "", Geometry())
        self._given = {id(image)}  # the image and what modules gave
        self._layouts = Layouts(image, held)
        self._strides = Strides(self.size)

    def __exit__(self, kind: Any, *rest: Any) -> None:
        self.finished = kind is None
        super().__exit__(kind, *rest)  # type: ignore[no-untyped-call]

    def __torch_function__(
        self, function: Any, types: Any, args: Any = (), kwargs: Any = None
    ) -> Any:
        output = function(*args, **(kwargs or {}))
        name = getattr(function, "__name__", "")
        self._layouts.note(name, args, kwargs or {}, output)
        args = (*args, *(kwargs or {}).values())
        if not isinstance(output, Tensor) or not args:
            return output
        if name in _RECTIFIER_CALLS and id(args[0]) in self._seen:
            _, source, geometry = self._seen[id(args[0])]
            self._seen.setdefault(id(output), (output, source, geometry))
        if name in _RESIZES and not self.layers and not self._in_upsample:
            self.resizes = True  # by a factor of its own for every size
        self.may_be_fixed |= name == "linear" and output.ndim == 2
        return output

    def before(self, name: str) -> Callable[..., None]:
        def hook(part: nn.Module, args: tuple[Any, ...]) -> None:
            self._calls[name] += 1
            count = self._calls[name]
            self._open.append(name if count == 1 else f"{name}{CALL}{count}")
            self._in_upsample = isinstance(part, nn.Upsample)

        return hook

    def after(self, _: str) -> Callable[..., None]:
        def hook(part: nn.Module, args: tuple[Any, ...], output: Any) -> None:
            name = self._open.pop()
            entering = args[0] if args and isinstance(args[0], Tensor) else None
            found = [
                self._note(f"{name}{inside}" or INSIDE, part, entering, each)
                for inside, each in parts_of(output)
                if (name and not inside) or id(each) not in self._given
            ]
            if name and not (isinstance(output, Tensor) and (any(found) or name in self.others)):
                self.others[name] = describe_output(output)

        return hook

    def _note(self, name: str, part: nn.Module, entering: Tensor | None, output: Tensor) -> bool:
        """Whether a tensor that a module gives is a layer, which is then noted."""
        if not is_code(output) or output.ndim not in (3, 4) or 0 in output.shape:
            return False
        layout = self._layouts.layout_of(output, entering)
        if isinstance(layout, str):
            self.others[name] = f"{describe_output(output)}{layout}"
            return False
        code = output if layout is None else layout.code(output)
        entering = output if entering is None else entering
        _, source, geometry = self._seen.get(id(entering), (entering, "", None))
        # A block gives its last layer's output, or that rectified by a function: its
        # pre-activation is the layer's.
        _, inner, known = self._seen.get(id(output), (output, "", None))
        geometry = known or (geometry.after(part) if geometry and not layout else None)
        extents = (code.shape[2], code.shape[3])
        if geometry is None:
            before = self._extents(entering) or extents
            rows, columns = self._strides.after(part, before, extents)
        else:
            rows, columns = map(Fraction, geometry.strides)
        self._strides.note(extents, (rows, columns))
        rectifies = isinstance(part, RECTIFIERS)
        self.layers[name] = Layer(
            name,
            _kind_of(part),
            code.shape[1],
            max(1, math.ceil(max(rows, columns))),
            max(geometry.fields) if geometry else None,
            source if rectifies or not inner else inner,
            rectifies,
            not rectifies and (bool(inner) or isinstance(part, _TRANSPARENT)),
            strides=(_number(rows), _number(columns)),
            layout=layout,
        )
        self._seen[id(output)] = (output, name, geometry)
        self._given.add(id(output))
        self.may_be_fixed |= layout is not None
        self.patched |= layout is not None or cuts(part)
        return True

    def _extents(self, value: Tensor) -> Size | None:
        """Rows and columns of what enters a module."""
        layout = self._layouts.layout_of(value) if value.ndim in (3, 4) else ""
        if isinstance(layout, str):
            return None
        code = value if layout is None else layout.code(value)
        return code.shape[2], code.shape[3]


def _number(value: Fraction) -> float:
    return int(value) if value.denominator == 1 else float(value)


def _kind_of(part: nn.Module) -> str:
    if isinstance(part, nn.Conv2d):
        return "conv"
    if isinstance(part, POOLS):
        return "pool"
    return type(part).__name__
