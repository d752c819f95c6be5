"""The facets of a filter: its strongest patches in clusters, and a picture that begins at each."""

from __future__ import annotations

import math
import time
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor

from texton.errors import TextonError
from texton.evidence.patches import patches
from texton.images.files import as_saved
from texton.methods.method import OnStep
from texton.methods.parts.clusters import Clusters, clusters
from texton.methods.parts.looking import window_of, windows
from texton.methods.parts.maximising import LOUDEST
from texton.methods.parts.scanned import evidence_of
from texton.network.codes import check_channel
from texton.network.device import Compute
from texton.solve.blur import blurred
from texton.solve.canvas import FourierCanvas
from texton.solve.maximise import Maximise
from texton.solve.objective import Activation
from texton.solve.presets import SolverSettings
from texton.solve.rules import Adam
from texton.solve.solver import Opening, Solver

if TYPE_CHECKING:
    from texton.network.network import Network

_STRONG = 0.5  # of the strongest: what is weaker may be anything
_NEAREST, _GAP, _TEXTURE = 15, 4, 96
_LARGEST = 224
_RIM = 0.25  # of a patch, over which it fades: its edge would be a frame in the picture
_MAGNIFIED = 8  # a patch of few pixels is not to be a dot
_ALIVE = 100  # a map's mean is far below its peak: begun anew, a picture is no facet's
_THING = 48  # pixels of a receptive field: what sees less shows a texture, which fills a picture
_WIDER = 2  # the layer whose code tells patches apart sees so many times as far


class Facets(NamedTuple):
    """What was found, and the sheet (C, H, W): a picture of each, above its nearest patch."""

    sheet: Tensor
    found: Clusters
    patches: int
    peaks: list[float]
    steps: int
    seconds: float


class Faceting:
    """The facets of filters of one layer.

    Raises:
        TextonError: no evidence, or of another network; an unknown layer.
    """

    def __init__(
        self,
        network: Network,
        folder: Path,
        layer: str,
        settings: SolverSettings,
        compute: Compute,
    ) -> None:
        self._network, self._layer = network, layer
        self._evidence = evidence = evidence_of(network, folder)
        self._settings, self._compute = settings, compute
        intake = network.intake([layer])
        step = math.lcm(network.layer(layer).stride, intake.multiple)
        field = evidence.layer(layer).layer.field or _LARGEST
        self._field = min(field, *(intake.only or (_LARGEST,)))
        side = -(-max(self._field, _TEXTURE) // step) * step
        self.size = intake.only or (side, side)
        self._wider = self._sees_wider()

    def _sees_wider(self) -> str:
        """The deepest rectified layer that sees no more than twice as far; or the layer itself."""
        known = self._network.layers
        names = list(known)
        for name in reversed(names[names.index(self._layer) + 1 :]):
            field = known[name].receptive_field
            if known[name].rectifies and field and field <= _WIDER * self._field:
                return name
        return self._layer

    def facets(
        self, channel: int, most: int, generator: torch.Generator, on_step: OnStep | None
    ) -> Facets:
        """Of one filter.

        Raises:
            TextonError: the layer has no such filter, or nothing excites it.
        """
        check_channel(self._network.layer(self._layer).channels, channel)
        started = time.perf_counter()
        strong = self._strong(channel)
        points = self._points(strong, channel)
        found = clusters(points, most, generator)
        tiles: list[tuple[Tensor, Tensor]] = []
        peaks, steps = [], 0
        for facet in range(int(found.labels.max()) + 1):
            own = (found.labels == facet).nonzero().flatten()
            away = (points[own] - points[own].mean(0)).square().sum(1)
            nearest = own[away.argsort()[:_NEAREST]]
            solver = self._solver(channel, strong[nearest].mean(0, keepdim=True), generator)
            for step in solver:
                if on_step is not None:
                    on_step(step)
            image = as_saved(solver.canvas.images())
            peaks.append(self._peak(image, channel))
            steps += int(solver.steps[0])
            tiles.append((image[0].cpu(), strong[nearest[0]]))
        sheet = as_saved(self._sheet(tiles, most))
        return Facets(sheet, found, len(strong), peaks, steps, time.perf_counter() - started)

    def _strong(self, channel: int) -> Tensor:
        """(N, C, field, field): patches at least half as strong as the strongest."""
        every = patches(self._evidence, self._layer, channel, outside="reflect")
        if not every or every[0].place.value <= 0:
            raise TextonError(
                f"nothing in '{self._evidence.root}' excites {self._layer}:{channel}: "
                "scan more pictures"
            )
        least = _STRONG * every[0].place.value
        shape = (self._field, self._field)
        kept = [x.image[None] for x in every if x.place.value >= least]
        return torch.cat([F.interpolate(x, shape, mode="bilinear", antialias=True) for x in kept])

    def _points(self, strong: Tensor, channel: int) -> Tensor:
        """(N, D) of length 1: what a layer that sees twice as far says of each patch, on the
        average; of the filter's own layer, if there is none, the other filters."""
        rows = []
        for patch in strong:
            wide = _in_the_middle(patch[None], self.size)
            with torch.no_grad():
                code = self._network.encode(wide, self._wider, self._compute.exact())[self._wider]
            means = self._inside(code.float()).mean((2, 3))[0].cpu()
            if self._wider == self._layer:
                means = torch.cat([means[:channel], means[channel + 1 :]])
            rows.append(means)
        return F.normalize(torch.stack(rows))

    def _inside(self, code: Tensor) -> Tensor:
        """The part of a code that lies over a patch in the middle, one place at least."""
        for axis, extent in ((2, self.size[0]), (3, self.size[1])):
            count = code.shape[axis]
            start = (extent - self._field) // 2
            first = math.floor(start * count / extent)
            last = math.ceil((start + self._field) * count / extent)
            first = max(0, min(first, count - 1))
            code = code.narrow(axis, first, max(1, min(last, count) - first))
        return code

    def _solver(self, channel: int, mean: Tensor, generator: torch.Generator) -> Solver:
        """From the mean of patches to what excites the filter: where it sees a thing, in the
        middle of the picture; a texture everywhere."""
        compute, settings = self._compute, self._settings
        mean = blurred(mean, self._field / 16)
        start = _in_the_middle(mean, self.size, fades=True).to(compute.device)
        canvas = FourierCanvas.of(start, LOUDEST)
        window = window_of(self._network, self._layer, self.size, self._field)
        most = float(self._evidence.layer(self._layer).top_value[channel, 0])
        code = self._network.encode(start, self._layer, compute.exact())[self._layer]
        where = torch.ones(1, *code.shape[2:], device=compute.device)
        place, reach, alive = None, None, float(_ALIVE)
        if self._field > _THING:
            place = code.shape[2] // 2, code.shape[3] // 2
            where = torch.zeros_like(where)
            where[0][place] = 1
            window, reach, alive = self.size, min(self._field // 4, 16), 1.0
        maximise = Maximise(self._layer, [channel], compute.device, most, place)
        lift = Activation(self._network.preactivation(self._layer), [channel], where)
        return Solver(
            partial(self._network.encoder, compute=compute),
            maximise,
            canvas,
            Adam(canvas, settings),
            settings,
            [generator],
            Opening(lift, lambda codes: alive * maximise.activation(codes)),
            arithmetic=compute.arithmetic,
            views=windows([generator], self._field, window, reach=reach),
        )

    def _peak(self, image: Tensor, channel: int) -> float:
        """Over the strongest patch's."""
        with torch.no_grad():
            code = self._network.encode(image, self._layer, self._compute.exact())[self._layer]
        most = float(self._evidence.layer(self._layer).top_value[channel, 0])
        return float(code[0, channel].max()) / most

    def _sheet(self, tiles: list[tuple[Tensor, Tensor]], most: int) -> Tensor:
        """White where there are fewer facets than might have been."""
        height, width = self.size
        down, right = height + _GAP, width + _GAP
        sheet = torch.ones(len(tiles[0][0]), 2 * down - _GAP, most * right - _GAP)
        for index, (image, patch) in enumerate(tiles):
            left = index * right
            sheet[:, :height, left : left + width] = image
            times = max(1, min(_MAGNIFIED, min(height, width) // self._field))
            patch = patch.repeat_interleave(times, 1).repeat_interleave(times, 2)
            side = patch.shape[1]
            top = down + (height - side) // 2
            across = left + (width - side) // 2
            sheet[:, top : top + side, across : across + side] = patch
        return sheet


def _in_the_middle(patch: Tensor, size: tuple[int, int], fades: bool = False) -> Tensor:
    """(1, C, h, h) on its mean colour, (1, C, *size); into which it fades, or has an edge."""
    whole = patch.mean((2, 3), keepdim=True).expand(-1, -1, *size).clone()
    side = patch.shape[2]
    top, left = (size[0] - side) // 2, (size[1] - side) // 2
    inner = whole[..., top : top + side, left : left + side]
    if fades:
        edge = ((torch.arange(side) + 0.5) / (_RIM * side)).clamp_max(1)
        window = (torch.minimum(edge, edge.flip(0)) * math.pi / 2).sin().square()
        patch = inner + (patch - inner) * window[:, None] * window
    inner.copy_(patch)
    return whole
