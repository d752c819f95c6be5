"""A trained CNN as named layers: images in, codes out."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from functools import cached_property
from typing import Any

import torch
from torch import Tensor, nn

from texton.errors import TextonError
from texton.images.planes import hides_something, shown_bands
from texton.network.copies import Copies
from texton.network.device import Compute, choose_compute, is_out_of_memory
from texton.network.edges import Edges
from texton.network.frozen import cast, is_hooked
from texton.network.grids import Grids, Layouts
from texton.network.hooks import Collected
from texton.network.layers import Layer, Size, Trace, why_no_layer
from texton.network.preprocessing import Preprocessing
from texton.network.receptive import edges_along, measure_fields
from texton.network.refuse import check_usable
from texton.network.running import Running
from texton.network.script import opened
from texton.network.sizes import Intake, Sizes
from texton.network.trial import ceilings, check_cast, remarks_on, suit
from texton.network.wrappers import unwrapped

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
        self._copies, self._running = Copies(module, name), Running(name)
        self._suited: dict[tuple[Compute, bool], Compute] = {}

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
            self._copies.with_hooks = True
            by_hooks = self._running.traced(self._traced(), self.prepare, self.channels)
            self._copies.with_hooks = by_hooks.finished
            trace = by_hooks if by_hooks.finished else trace
        check_cast(self, trace, self._running.habits)
        return trace

    @property
    def resizes(self) -> bool:
        """Whether it brings its images to another size itself."""
        return self._trace.resizes

    @property
    def patched(self) -> bool:
        """Whether it cuts images into patches that do not overlap."""
        return self._trace.patched

    def intake(self, layers: Iterable[str] | None = None) -> Intake:
        """Which images reach these layers, or all: what a photograph is brought to for them.

        Raises:
            TextonError: an unknown layer.
        """
        known = None if layers is None else [self.layer(name).name for name in _bare(layers)]
        return self._sizes.intake(known)

    @cached_property
    def _sizes(self) -> Sizes:
        return Sizes(self.name, self._trace, self._tried)

    def _tried(self, size: Size, layers: Sequence[str]) -> None:
        """Run an image of that size as far as some layers: raises whatever the module does."""
        compute = choose_compute("cpu", torch.float32)
        image = torch.full((1, self.channels, *size), 0.5)
        with torch.no_grad():
            wanted = [Collected.parse(name, INPUT) for name in layers]
            self._running.codes(self.frozen(compute), self.prepare(image, compute), wanted)

    @cached_property
    def _grids(self) -> Grids:
        def look(size: Size) -> Layouts:
            return self._running.layouts(self._traced(), self.prepare, self.channels, size)

        return Grids(self._trace, look)

    def _traced(self) -> nn.Module:
        """Its own parts, as they are known by: not the lean kind, whose rectifiers lose NaN."""
        return cast(self.copied(), Compute(torch.device("cpu")))

    def copied(self) -> nn.Module:
        """A copy of the module as it is, frozen and in evaluation mode."""
        return self._copies.new()

    @cached_property
    def remarks(self) -> tuple[str, ...]:
        """What people must know of the network's pictures, each in a line."""
        return remarks_on(self, self._running.habits, self._copies.leave_hooks_out)

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
        known = [self.layer(name) for name in _bare(names)]
        module = self.frozen(compute) if module is None else module
        wanted = [Collected.parse(name, INPUT) for name in names]
        laid_out = any(layer.layout for layer in known)

        def encode(image: Tensor) -> dict[str, Tensor]:
            if image.ndim != 4 or image.shape[1] != self.channels:
                raise TextonError(
                    f"{self.name} takes images (B, {self.channels}, H, W), not {tuple(image.shape)}"
                )
            size = image.shape[2], image.shape[3]
            try:
                with compute.arithmetic():
                    codes = self._running.codes(module, self.prepare(image, compute), wanted)
                if not laid_out:
                    return codes
                grids = self._grids
                return {x: grids.code(x.removesuffix(INPUT), y, size) for x, y in codes.items()}
            except TextonError:
                raise
            except Exception as error:  # a stranger's module may raise anything
                if is_out_of_memory(error):
                    raise
                why = self._sizes.failure(size, names, _bare(names), error)
                raise TextonError(why) from error

        return encode

    def prepare(self, image: Tensor, compute: Compute) -> Tensor:
        """Images (B, C, H, W) in [0, 1] as the module takes them: (image · range − mean) / std."""
        return self._given.prepare(image, compute)

    def frozen(self, compute: Compute, torus: bool = False) -> nn.Module:
        """The copy that codes come from, made anew whenever the weights have changed.

        Args:
            torus: its convolutions and pools go on at the opposite edge.

        Raises:
            TextonError: a module that cannot be copied; weights that are NaN or infinite.
        """
        return self._copies.frozen(compute, torus)

    @property
    def weights_hash(self) -> str:
        """A hash of all parameters and buffers, as they are now: which network made a picture."""
        return self._copies.weights_hash

    def describe(self) -> dict[str, Any]:
        """What identifies the network, for settings and manifests."""
        told = {"remarks": list(self.remarks)} if self.remarks else {}
        return {"network": self.name, "weights_hash": self.weights_hash, **self.details, **told}


def _bare(names: Iterable[str]) -> list[str]:
    """Layers, of them or of what enters them."""
    return [name.removesuffix(INPUT) for name in names]
