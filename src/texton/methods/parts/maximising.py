"""Maximising filters, and directions of channel space, of one layer, from noise alone."""

from __future__ import annotations

import math
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from texton.methods.method import OnStep
from texton.methods.parts.answers import Answers
from texton.methods.parts.classifier import CLASS
from texton.methods.parts.evident import Evident
from texton.methods.parts.facet_sheet import as_one, repeated, some
from texton.methods.parts.looking import field_of, window_of, windows
from texton.methods.parts.setup import algorithm_for, bytes_each, finished, run
from texton.methods.parts.tints import (
    MUCH,
    NOT_TRIED,
    SIDE,
    SOME,
    TRIAL,
    Begun,
    brightest,
    flat_images,
    further,
)
from texton.methods.result import DEAD_SHARE, Result, Unit
from texton.network.device import Compute
from texton.solve.canvas import Canvas, FourierCanvas
from texton.solve.directions import Units
from texton.solve.history import Historical
from texton.solve.maximise import Diverse, Maximise, Place, RankMatch
from texton.solve.objective import Activation, Objective
from texton.solve.phase import PhaseCanvas
from texton.solve.presets import SolverSettings
from texton.solve.rules import Adam, Rule
from texton.solve.solver import Opening, Solver
from texton.solve.views import Views

if TYPE_CHECKING:
    from texton.network.layers import Size
    from texton.network.network import Network

LOUDEST = 2.5


@dataclass(frozen=True, eq=False)
class Wanted:
    """What is made as large as it can be.

    Attributes:
        size: (H, W) of the pictures.
        place: of a neuron; None: the mean of the map.
        evident: what photographs say of the layer; None: not known.
        natural: (C, H, W // 2 + 1), the magnitude that a picture's spectrum has; None: any.
        facets: pictures that are one, each unlike the others.
        match: be as strong as often as in the strongest patches, no stronger.
    """

    layer: str
    size: Size
    place: Place | None = None
    evident: Evident | None = None
    natural: Tensor | None = None
    facets: int = 1
    match: bool = False
    diversity: float = 1.0


class Maximisation:
    """Pictures that the filters of one layer answer most: what they share while they are solved.

    Raises:
        TextonError: as `Answers`.
    """

    def __init__(
        self, network: Network, wanted: Wanted, settings: SolverSettings, compute: Compute
    ) -> None:
        self._network, self._wanted = network, wanted
        self._settings, self._compute = settings, compute
        self._shape = (network.channels, *wanted.size)
        self.answers = Answers(network, wanted.layer, wanted.size, compute, wanted.place)

    @property
    def bytes_each(self) -> int:
        """What one image takes while it is solved."""
        return bytes_each(self._network, self._wanted.layer, self._shape, self._compute)

    def solve(
        self, units: Units, generators: list[torch.Generator], on_step: OnStep | None
    ) -> Iterator[Result]:
        """Every unit's picture, side by side; of facets, which hang together, one by one.

        Args:
            generators: one per picture: of each unit so many as it has facets.
        """
        facets = self._wanted.facets
        if facets == 1:
            yield from self._solve_once(units, generators, on_step)
            return
        for b in range(len(units)):
            drawn = generators[b * facets : (b + 1) * facets]
            several = repeated(units[b : b + 1], facets)
            yield as_one(list(self._solve_once(several, drawn, on_step)))

    def _solve_once(
        self, units: Units, generators: list[torch.Generator], on_step: OnStep | None
    ) -> Iterator[Result]:
        """Every picture, begun from noise, or from a flat colour where that leads further."""
        tried = self._tried(units, generators, on_step) if self._may_be_flat else {}
        solved: dict[int, Result] = {}
        for steps in sorted({x.steps for x in tried.values()} | {0}):
            which = [b for b in range(len(units)) if tried.get(b, NOT_TRIED).steps == steps]
            begun = [tried[b] for b in which if b in tried]
            if which:
                own, drawn = some(units, which), [generators[b] for b in which]
                solved |= zip(which, self._search(own, drawn, on_step, begun), strict=True)
        yield from (solved[b] for b in range(len(units)))

    @property
    def _may_be_flat(self) -> bool:
        """Whether a picture may begin at a flat colour: of a filter's whole map, freely sought."""
        wanted, settings = self._wanted, self._settings
        whole = wanted.place is None and wanted.layer != CLASS
        free = wanted.natural is None and not wanted.match and settings.rule != "history"
        return whole and free and settings.steps >= 2 * TRIAL

    def _tried(
        self, units: Units, generators: list[torch.Generator], on_step: OnStep | None
    ) -> dict[int, Begun]:
        """Those of which a flat colour does something: a quarter of the steps from grey, and where
        that is little, one from the colour; each as far as the better has come."""
        network = self._network
        side = network.intake([self._wanted.layer]).square(min(SIDE, *self._wanted.size))
        flat = flat_images(network.channels, side).to(self._compute.device)
        most, colours = brightest(self.answers.to_each(flat, units), flat)
        grey = (most > SOME).nonzero().flatten().tolist()
        tried = self._trial(units, grey, generators, on_step)
        tinted = [b for b, one in tried.items() if float(most[b]) > MUCH * one.reached]
        if self._wanted.facets > 1 and tinted:
            tinted = grey  # they hang together
        others = self._trial(units, tinted, generators, on_step, colours)
        return tried | {b: further(tried[b], other, float(most[b])) for b, other in others.items()}

    def _trial(
        self,
        units: Units,
        which: list[int],
        generators: list[torch.Generator],
        on_step: OnStep | None,
        colours: Tensor | None = None,
    ) -> dict[int, Begun]:
        if not which:
            return {}
        started = time.perf_counter()
        settings = replace(self._settings, steps=self._settings.steps // TRIAL)
        own, drawn = some(units, which), [generators[b] for b in which]
        canvas = self._canvas(drawn)
        if colours is not None and isinstance(canvas, FourierCanvas):
            canvas.tint(colours[which])
        solver = self._solver(own, drawn, canvas, settings)
        run(solver, on_step)
        with torch.no_grad():
            codes = {self._wanted.layer: self.answers.code(canvas.images())}
            reached = self.answers.objective(own).activation(codes).tolist()
        seconds = (time.perf_counter() - started) / len(which)
        steps, starts, traces = solver.steps.tolist(), solver.starts.tolist(), solver.traces
        values = canvas.values.detach()
        return {
            b: Begun(values[i], reached[i], steps[i], starts[i], traces[i], seconds)
            for i, b in enumerate(which)
        }

    def _search(
        self,
        units: Units,
        generators: list[torch.Generator],
        on_step: OnStep | None,
        begun: Sequence[Begun] = (),
    ) -> Iterator[Result]:
        started = time.perf_counter()
        settings, canvas = self._settings, self._canvas(generators)
        if begun:
            settings = replace(settings, steps=settings.steps - begun[0].steps, opening=0)
            with torch.no_grad():
                canvas.values.copy_(torch.stack([one.values for one in begun]))
        solver = self._solver(units, generators, canvas, settings)
        run(solver, on_step)
        before = begun or [NOT_TRIED] * len(units)
        solved = finished(canvas.images(), settings)
        activations, transfers = self.answers.measure(solved, units)
        seen = self._beside_photographs(solved, units)
        errors: list[float] | list[None] = [None] * len(units)
        if self._wanted.match:
            errors = self._errors(solver.objective, solved)
        alpha = canvas.where() if isinstance(canvas, PhaseCanvas) else None
        seconds = (time.perf_counter() - started) / len(units)
        for b, activation in enumerate(activations):
            dead = activation < DEAD_SHARE
            yield Result(
                image=solved[b].cpu(),
                unit=Unit(self._wanted.layer, None if isinstance(units, Tensor) else units[b]),
                figures={
                    "activation": activation,
                    "transfer": None if dead else transfers[b] / activation,
                    **seen[b],
                    "error": errors[b],
                    "steps": before[b].steps + int(solver.steps[b]),
                    "starts": before[b].starts or int(solver.starts[b]),
                },
                status="dead" if dead else "ok",
                seconds=before[b].seconds + seconds,
                trace=(*before[b].trace, *solver.traces[b]),
                alpha=None if alpha is None else alpha[b],
            )

    def _solver(
        self,
        units: Units,
        generators: list[torch.Generator],
        canvas: Canvas,
        settings: SolverSettings,
    ) -> Solver:
        maximise = self.answers.objective(units)
        objective: Objective = maximise
        if self._wanted.facets > 1:
            objective = Diverse(maximise, self._wanted.diversity)
        if self._wanted.match:
            objective = self._match(units)
        layer = self._wanted.layer
        rule: Rule = Adam(canvas, settings)
        if settings.rule == "history":
            field = math.inf if layer == CLASS else field_of(self._network, layer)
            rule = Historical(canvas, settings, field)
        return Solver(
            partial(self.answers.encoder, compute=self._compute),
            objective,
            canvas,
            rule,
            settings,
            generators,
            self._opening(maximise, units),
            arithmetic=self._compute.arithmetic,
            views=self._views(generators),
        )

    def _beside_photographs(self, solved: Tensor, units: Units) -> list[dict[str, float | None]]:
        """Every map's largest activation over the filter's strongest by photographs, and the
        picture's path; of a neuron, around which it is nothing, none."""
        evident = self._wanted.evident
        none: dict[str, float | None] = {"strongest": None, "path": None}
        if evident is None or isinstance(units, Tensor):
            return [none] * len(units)
        found = []
        for b, unit in enumerate(units):
            with torch.no_grad():
                peak = float(self.answers.code(solved[b : b + 1])[0, unit].max())
            most = float(evident.strongest[unit])
            whole = self._wanted.place is None and peak > 0
            path = evident.path(unit, solved[b : b + 1]) if whole else None
            found.append({"strongest": peak / most if most > 0 else None, "path": path})
        return found

    def _match(self, units: Units) -> RankMatch:
        evident = self._wanted.evident
        assert evident is not None and not isinstance(units, Tensor)
        ranked = [evident.ranked(unit) for unit in units]
        return RankMatch({name: [one[name] for one in ranked] for name in ranked[0]})

    def _errors(self, objective: Objective, solved: Tensor) -> list[float]:
        """Of the pictures as saved, in float32."""
        encode = self.answers.encoder(objective.layers, self._compute.exact())
        with torch.no_grad():
            errors: list[float] = objective(encode(solved), solved).tolist()
        return errors

    def _canvas(self, generators: Sequence[torch.Generator]) -> Canvas:
        device, natural = self._compute.device, self._wanted.natural
        if natural is not None:
            return PhaseCanvas(generators, natural, self._wanted.size[1], device)
        contrast = self._settings.contrast
        if self._settings.rule == "history":
            algorithm, mean = algorithm_for(self._settings), self._network.mean_colour
            start = algorithm.start(self._shape, generators, mean, contrast)
            return algorithm.canvas(start.to(device))
        return FourierCanvas(generators, self._shape, device, contrast=contrast, loudest=LOUDEST)

    def _opening(self, maximise: Maximise, units: Units) -> Opening | None:
        """For a layer that may be silent, which a classifier never is."""
        if self._wanted.layer == CLASS:
            return None
        where = torch.ones(1, 1, 1, device=self._compute.device)
        if self._wanted.place:
            where = torch.zeros(1, *self.answers.extent, device=self._compute.device)
            where[0][self._wanted.place] = 1
        lift = Activation(self._network.preactivation(self._wanted.layer), units, where)
        return Opening(lift, maximise.activation)

    def _views(self, generators: Sequence[torch.Generator]) -> Views | None:
        if self._wanted.match or self._settings.rule == "history":
            return None  # the picture as it is
        layer, size = self._wanted.layer, self._wanted.size
        if layer == CLASS:
            return windows(generators, size[0], size)
        field = field_of(self._network, layer)
        if self._wanted.place:
            reach = min(field // 4, 16)
            return windows(generators, field, size, reach=reach, about=self.answers.about)
        return windows(generators, field, window_of(self._network, layer, size, field))
