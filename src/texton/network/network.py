"""A trained CNN as named layers: images in, codes out."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from functools import cached_property
from typing import Any

import torch
from torch import Tensor, nn

from texton.errors import TextonError, first_line
from texton.images.planes import hides_something, shown_bands
from texton.network import sizes
from texton.network.device import Compute, choose_compute, is_out_of_memory
from texton.network.edges import Edges
from texton.network.frozen import (
    FORWARD_HOOKS,
    WeightsVersion,
    cast,
    check_weights,
    frozen_copy,
    is_hooked,
    weights_hash_of,
)
from texton.network.hooks import Collected
from texton.network.layers import Layer, Size, Trace, layouts_at, why_no_layer
from texton.network.layout import Layout
from texton.network.preprocessing import Preprocessing
from texton.network.receptive import edges_along, measure_fields
from texton.network.refuse import check_usable
from texton.network.running import Running
from texton.network.script import opened
from texton.network.trial import ceilings, check_cast, remarks_on, suit
from texton.network.wrappers import unwrapped

try:
    from texton.network.fast import make_lean
except ModuleNotFoundError as error:  # the folder may be deleted: it saves time alone
    if error.name != "texton.network.fast":
        raise

    def make_lean(module: nn.Module) -> None: ...


Encoder = Callable[[Tensor], dict[str, Tensor]]

INPUT = "<"  # "relu4_2<" is what enters relu4_2: its pre-activation


class Network:
    """Any ``nn.Module`` that takes images (B, C, H, W), as a source of codes.

    The module itself is never changed: codes come from a frozen copy in evaluation mode, made
    anew whenever the module's weights have changed.

    Args:
        module: the network; layers carry their dotted module names.
        name: what results call it.
        mean, std: per channel, applied to ``image * input_range``: (x − mean) / std.
        input_range: the value of white that the network was trained with: 1 or 255.
        channels: how many channels its images have.
        bands: the one or three channels that pictures show, where not all of 1 or 3 are.
        details: settings worth keeping with every picture (pooling, where weights came from).
    """

    def __init__(
        self,
        module: nn.Module,
        *,
        name: str = "custom",
        mean: float | Sequence[float] = 0.0,
        std: float | Sequence[float] = 1.0,
        input_range: float = 1.0,
        channels: int = 3,
        bands: Sequence[int] | None = None,
        details: dict[str, Any] | None = None,
    ) -> None:
        module = opened(unwrapped(module), name, channels)
        check_usable(module, name)
        self.name = name
        self.channels = channels
        self.bands = tuple(shown_bands(channels, bands))
        self.saves_planes = hides_something(channels, self.bands)
        self.details = dict(details or {})
        if self.saves_planes:
            self.details["bands"] = list(self.bands)
        self.module = module
        self._given = Preprocessing(name, channels, mean, std, input_range)
        self._hashed: tuple[WeightsVersion, str] | None = None
        self._copies: dict[tuple[Any, ...], tuple[WeightsVersion, nn.Module]] = {}
        self._running, self._needs_hooks = Running(name), False
        self._suited: dict[tuple[Compute, bool], Compute] = {}
        self._layouts: dict[Size, dict[str, Layout | None]] = {}
        self._divisors: dict[tuple[str, ...], int | None] = {}

    @property
    def layers(self) -> dict[str, Layer]:
        """Every layer whose output is a code, in order of execution."""
        return self._trace.layers

    @property
    def others(self) -> dict[str, str]:
        """What modules give that are no layers, by their names."""
        return self._trace.others

    @cached_property
    def measured_layers(self) -> dict[str, Layer]:
        """The layers with every receptive field known: some seconds for a deep network."""
        trace, module = self._trace, self._traced()
        with self._running.habits.kept(module, torch.device("cpu"), slopes=False):
            return measure_fields(module, self.prepare, self.channels, trace)

    def edges(self, layer: str, axis: int) -> Edges:
        """From where to where a layer's units see along an axis, measured."""
        return self.edges_of([layer], axis)[layer]

    def edges_of(self, layers: Iterable[str], axis: int) -> dict[str, Edges]:
        """The same of several layers, in the time of one."""
        trace, module = self._trace, self._traced()
        with self._running.habits.kept(module, torch.device("cpu"), slopes=False):
            return edges_along(module, self.prepare, self.channels, trace, list(layers), axis)

    @cached_property
    def _trace(self) -> Trace:
        trace = self._running.traced(self._traced(), self.prepare, self.channels)
        if not trace.finished and is_hooked(self.module):
            self._needs_hooks = True
            by_hooks = self._running.traced(self._traced(), self.prepare, self.channels)
            trace, self._needs_hooks = (by_hooks, True) if by_hooks.finished else (trace, False)
        check_cast(self, trace, self._running.habits)
        return trace

    @property
    def leaves_hooks_out(self) -> bool:
        """Whether somebody's forward hooks, which may change codes, are not in its copy."""
        return not self._needs_hooks and is_hooked(self.module, FORWARD_HOOKS)

    @property
    def resizes(self) -> bool:
        """Whether it brings its images to another size itself."""
        return self._trace.resizes

    @property
    def patched(self) -> bool:
        """Whether it cuts images into patches that do not overlap."""
        return self._trace.patched

    def input_size(self, layers: Iterable[str] | None = None) -> Size | None:
        """The only size, (H, W), whose images reach these layers, or all; None where many do."""
        trace = self._trace
        names = trace.layers if layers is None else {x.removesuffix(INPUT) for x in layers}
        return trace.size if trace.fixed.intersection(names) else None

    def _traced(self) -> nn.Module:
        """Its own parts, as they are known by: not the lean kind, whose rectifiers lose NaN."""
        return cast(self.copied(), Compute(torch.device("cpu")))

    def copied(self) -> nn.Module:
        """A copy of the module as it is, frozen and in evaluation mode."""
        return frozen_copy(self.module, self.name, self._needs_hooks)

    @cached_property
    def remarks(self) -> tuple[str, ...]:
        """What people must know of the network's pictures, each in a line."""
        return remarks_on(self, self._running.habits)

    def suited(self, compute: Compute, asked: bool = False) -> Compute:
        """What of a device's formats the network can take; tried once.

        Args:
            asked: the user named the dtype: there is no other.

        Raises:
            TextonError: the network cannot be computed in the dtype asked for.
        """
        key = compute, asked
        if key not in self._suited:
            self._suited[key] = suit(self, compute, asked, self._running.habits)
        return self._suited[key]

    @cached_property
    def ceilings(self) -> dict[str, Tensor]:
        """(C,), the most that each filter is seen to give, of the layers that saturate."""
        return ceilings(self)

    @property
    def trial_size(self) -> Size:
        """Rows and columns of an image that the network takes."""
        return self._trace.size

    @property
    def mean_colour(self) -> Tensor:
        """(1, C, 1, 1) in [0, 1]: the image that preprocessing maps to zero, where it can."""
        return self._given.mean_colour

    @property
    def preprocessing(self) -> dict[str, Any]:
        """What `Network` was told of its images; other values make other pictures."""
        return self._given.as_json()

    def layer(self, name: str) -> Layer:
        """The layer of that name.

        Raises:
            TextonError: there is none; the message names the nearest.
        """
        if name not in self.layers:
            raise TextonError(why_no_layer(name, self.name, self.module, self._trace))
        return self.layers[name]

    def preactivation(self, name: str) -> str:
        """The name under which ``encode`` gives what enters a layer's rectifier.

        Its gradient lives where the rectified map is silent. A layer that does not end in a
        rectifier is its own pre-activation.
        """
        layer = self.layer(name)
        while layer.passes_through and layer.source in self.layers:
            layer = self.layers[layer.source]
        return layer.name + INPUT if layer.rectifies else layer.name

    def encode(
        self, image: Tensor, layers: Iterable[str] | str, compute: Compute | None = None
    ) -> dict[str, Tensor]:
        """The codes of an image, run no further than the deepest layer asked for.

        Args:
            image: (B, C, H, W) in [0, 1]; gradients flow back to it.
            layers: one name or several; ``"relu4_2<"`` is what enters relu4_2.
            compute: device and dtype; float32 on the image's own device by default.

        Returns:
            For each name a tensor (B, filters, M, N) in ``compute.dtype``.

        Raises:
            TextonError: an unknown layer, another number of channels, an image that is too
                small for the layer.
        """
        compute = compute or choose_compute(image.device, torch.float32)
        return self.encoder(layers, compute)(image)

    def encoder(
        self, layers: Iterable[str] | str, compute: Compute, module: nn.Module | None = None
    ) -> Encoder:
        """``encode`` for many images: layers and weights are looked up once, here.

        Args:
            module: a copy of the network's own, on the device, to run in place of `frozen`.

        Raises:
            TextonError: an unknown layer, or none.
        """
        names = [layers] if isinstance(layers, str) else list(layers)
        if not names:
            raise TextonError("no layer is named: `texton layers` lists them")
        for name in names:
            self.layer(name.removesuffix(INPUT))
        module = self.frozen(compute) if module is None else module
        wanted = [Collected.parse(name, INPUT) for name in names]
        laid_out = any(self.layer(name.removesuffix(INPUT)).layout for name in names)

        def encode(image: Tensor) -> dict[str, Tensor]:
            if image.ndim != 4 or image.shape[1] != self.channels:
                raise TextonError(
                    f"{self.name} takes images (B, {self.channels}, H, W), not {tuple(image.shape)}"
                )
            try:
                with compute.arithmetic():
                    codes = self._running.codes(module, self.prepare(image, compute), wanted)
                return self._laid_out(codes, image) if laid_out else codes
            except TextonError:
                raise
            except Exception as error:  # a stranger's module may raise anything
                if is_out_of_memory(error):
                    raise
                raise self._failed(image, names, error) from error

        return encode

    def prepare(self, image: Tensor, compute: Compute) -> Tensor:
        """Images (B, C, H, W) in [0, 1] as the module takes them: (image · range − mean) / std."""
        return self._given.prepare(image, compute)

    def frozen(self, compute: Compute) -> nn.Module:
        """The copy that codes come from, made anew whenever the weights have changed.

        Raises:
            TextonError: a module that cannot be copied; weights that are NaN or infinite.
        """
        version = WeightsVersion(self.module)
        kind = compute.device, compute.dtype, compute.channels_last, self._needs_hooks
        made_from, module = self._copies.get(kind, (None, None))
        if module is None or made_from != version:
            with torch.inference_mode(False):  # it is kept, and gradients pass it later
                module = self.copied()
                make_lean(module)
                module = cast(module, compute)
            check_weights(module, self.name)
            self._copies[kind] = (version, module)
        return module

    @property
    def weights_hash(self) -> str:
        """A hash of all parameters and buffers, as they are now: which network made a picture."""
        version = WeightsVersion(self.module)
        if self._hashed is None or self._hashed[0] != version:
            self._hashed = version, weights_hash_of(self.module)
        return self._hashed[1]

    def describe(self) -> dict[str, Any]:
        """What identifies the network, for settings and manifests."""
        told = {"remarks": list(self.remarks)} if self.remarks else {}
        return {"network": self.name, "weights_hash": self.weights_hash, **self.details, **told}

    def _laid_out(self, found: dict[str, Tensor], image: Tensor) -> dict[str, Tensor]:
        """What layers gave, as codes: tokens lie on the grid that images of this size have."""
        codes = {}
        for name, value in found.items():
            layer = self.layer(name.removesuffix(INPUT))
            layout, size = layer.layout, (image.shape[2], image.shape[3])
            if layout is not None and layout.grid is not None:
                layout = self._layouts_at(size).get(layer.name)
                if layout is None:
                    raise TextonError(
                        f"nobody knows where the tokens of {layer.name} lie on {size[1]}×{size[0]} "
                        "pixels: try another size, or a layer before it"
                    )
            codes[name] = value if layout is None else layout.code(value)
        return codes

    def _layouts_at(self, size: Size) -> dict[str, Layout | None]:
        if size not in self._layouts:
            trace, module = self._trace, self._traced()
            with self._running.habits.kept(module, torch.device("cpu"), slopes=False):
                self._layouts[size] = (
                    {name: layer.layout for name, layer in trace.layers.items()}
                    if size == trace.size
                    else layouts_at(module, self.prepare, self.channels, size)
                )
        return self._layouts[size]

    def _failed(self, image: Tensor, names: list[str], error: Exception) -> TextonError:
        """What is wrong with an image, as far as it is its size, and what to do."""
        size, layers = (image.shape[2], image.shape[3]), [x.removesuffix(INPUT) for x in names]
        needed = max(self.layer(name).stride for name in layers)
        only = self.input_size(layers)
        if only is not None and only != size:
            return TextonError(sizes.of_one_size(self.name, size, only))
        if min(size) < needed:
            return TextonError(sizes.too_small(self.name, size, names, needed))
        number = self._divisor(tuple(layers))
        if number is not None and (size[0] % number or size[1] % number):
            return TextonError(sizes.no_multiple(self.name, size, number))
        reason = first_line(error)
        return TextonError(sizes.for_no_known_reason(self.name, size, names, reason))

    def _divisor(self, layers: tuple[str, ...]) -> int | None:
        """What the sides of images must be multiples of, to reach some layers."""
        if layers not in self._divisors:
            compute = choose_compute("cpu", torch.float32)
            module, wanted = self.frozen(compute), [Collected.parse(x, INPUT) for x in layers]

            def takes(size: Size) -> bool:
                image = torch.full((1, self.channels, *size), 0.5)
                try:
                    with torch.no_grad():
                        self._running.codes(module, self.prepare(image, compute), wanted)
                except Exception:  # noqa: BLE001 - a stranger's module may raise anything
                    return False
                return True

            self._divisors[layers] = sizes.divisor(takes)
        return self._divisors[layers]
