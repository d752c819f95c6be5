"""A photograph painted in other pictures' styles: scale by scale, kept on the way."""

from __future__ import annotations

import time
import warnings
from collections.abc import Iterator
from dataclasses import replace
from functools import cached_property, partial
from typing import TYPE_CHECKING, Any

import torch
import torch.nn.functional as F
from torch import Tensor

from texton.errors import TextonError, TextonWarning
from texton.images.colours import with_colours_of
from texton.images.files import as_saved, content_hash
from texton.methods.method import OnStep, Task
from texton.methods.parts import setup
from texton.methods.parts.colours import with_colors_of, without_white
from texton.methods.parts.keeping import Keeper, Kept
from texton.methods.parts.masks import Regions, bled, read_regions, regions_at
from texton.methods.parts.photographs import alpha_of, bits_of
from texton.methods.parts.seeds import generator_for
from texton.methods.parts.style_terms import (
    Style,
    StyleObjective,
    TextureOf,
    measure,
    read_styles,
    softened,
    style_objective,
    style_targets,
    term_weights,
    weights_of,
)
from texton.methods.parts.style_tiles import Asked, Look, TiledStyle
from texton.methods.parts.tiling import Tiling
from texton.methods.result import Result, Unit
from texton.solve.scales import resized, scaled

if TYPE_CHECKING:
    from texton.methods.parts.algorithm import Algorithm
    from texton.network.network import Network

_SIDE = 512  # of a tile, in pixels that are its own


class Painting:
    """One photograph, and all that is asked of its picture.

    Args:
        texture_of: the texture of a filter that is named as a style.

    Raises:
        TextonError: see `texton.methods.style.stylize`.
    """

    def __init__(self, task: Task, unit: Unit, texture_of: TextureOf) -> None:
        self.task, self.unit = task, unit
        self.network: Network = task.network
        self.told = told = task.options
        setup.check_photo(task.photo(unit), self.network)
        if told.keep_colors and self.network.channels not in (1, 3):
            raise TextonError(
                f"{self.network.name} takes {self.network.channels} channels, of which none are "
                "colours to keep: leave --keep-colors out"
            )
        self.alpha = alpha_of(told, task.photo(unit))
        self.content = task.photo(unit)
        if self.alpha is not None:
            self.content = without_white(self.content, self.alpha)
        self.styles = read_styles(task, self.content, texture_of)
        if told.keep_colors == "statistics":
            self.styles = [_recoloured(style, self.content) for style in self.styles]
        self.styles = [softened(style, told) for style in self.styles]
        self.regions: Regions | None = None
        if told.mask:
            self.regions = read_regions(told.mask, self.content, self.styles)
        self.settings = told.settings()
        self.compute = setup.compute_for(self.network, told, task.device)
        self.algorithm: Algorithm = setup.algorithm_for(self.settings)
        self.intake = self.network.intake((told.content_layer, *told.style_layers))
        odd = self.intake.only or 2 * told.bleed % self.intake.multiple
        self.edge = 0 if told.is_paper or odd else told.bleed

    def painted(self, plan: list[tuple[float, int]], on_step: OnStep | None) -> Result:
        """The picture, scale by scale: (scale, steps) each."""
        started = time.perf_counter()
        picture, trace = self._solved(plan, on_step)
        height, width = self.content.shape[2:]
        picture = picture[..., self.edge : self.edge + height, self.edge : self.edge + width]
        picture = self.algorithm.finish(picture)
        seconds = time.perf_counter() - started
        if self.told.keep_colors == "luma":
            picture = with_colors_of(self.content.to(picture.device), picture)
        bits = bits_of(self.told, self.task.photo(self.unit))
        saved = as_saved(picture, bits)
        before, after = self._terms(saved)
        scales = [{"scale": scale, "steps": count} for scale, count in plan]
        return Result(
            image=saved[0].cpu(),
            unit=self.unit,
            figures={
                "total": after["total"],
                "content": _mean(after["content"]),
                "style": _mean(after["style"]),
                "steps": len(trace),
                "starts": 1,
            },
            seconds=seconds,
            trace=tuple(trace),
            settings={
                **self._recorded,
                "scales": scales,
                "terms": {"before": before, "after": after},
            },
            alpha=self.alpha,
            bits=bits,
        )

    def objective(self, content: Tensor, scale: float, regions: Regions | None) -> Any:
        """What is minimised at a scale: a `StyleObjective`, or, of a large picture, `TiledStyle`.

        Args:
            content: (1, C, H, W), at that scale already; ``regions`` are of it.
        """
        told, network, compute = self.told, self.network, self.compute
        layers = tuple(told.style_layers)
        sizes = [style.shape[2:].numel() for style in self.styles if isinstance(style, Tensor)]
        of_styles = self._tiling(round(max(sizes, default=0) * scale**2))
        tiling = self._tiling(content.shape[2:].numel())
        if tiling is None and of_styles is None:
            return style_objective(content, self.styles, scale, network, told, compute, regions)
        targets = style_targets(self.styles, scale, network, told, compute, regions, of_styles)
        if tiling is None:
            return style_objective(
                content, self.styles, scale, network, told, compute, regions, targets
            )
        weights = None
        if regions is not None:
            mask = regions_at(regions.content, content.shape[2:])
            weights = weights_of(network, layers, mask)
        look = Look(network, tiling, told.matched, layers, weights)
        terms = {key: (x, targets[key]) for key, x in term_weights(told, regions).items()}
        wanted = content.to(compute.device), told.content_layer, told.weights[0], told.tv
        return TiledStyle(look, Asked(terms, *wanted), compute)

    def _tiling(self, pixels: int) -> Tiling | None:
        """How so many pixels are cut; None where they are looked at as one."""
        if self.told.is_paper or (self.told.tile_size is None and pixels <= self.told.whole):
            return None
        return self._tiles

    @cached_property
    def _tiles(self) -> Tiling | None:
        layers = (self.told.content_layer, *self.told.style_layers)
        try:
            return Tiling(self.network, layers, self.told.tile_size or _SIDE)
        except TextonError as error:
            if self.told.tile_size is not None:
                raise
            told = TextonWarning(f"solved as one, which takes memory: {error}")
            warnings.warn(told, stacklevel=2)
            return None

    def _solved(
        self, plan: list[tuple[float, int]], on_step: OnStep | None
    ) -> tuple[Tensor, list[float]]:
        """The picture with its bleed, and its errors."""
        told, first = self.told, content_hash(self.content)
        generator = generator_for(told.seed, first, told.statistic, None)
        wide = F.pad(self.content, (self.edge,) * 4, mode="reflect")
        kept = self._kept(wide, plan)
        done = 0 if kept is None else kept.scales
        picture = self._begun() if kept is None else kept.canvas
        trace = [] if kept is None else list(kept.trace)
        for index, (scale, count) in enumerate(plan[done:], done):
            small = scaled(wide, scale, self.intake.near)
            within = kept is not None and kept.step > 0
            start = picture if within else self._start(picture, small, generator)
            assert start is not None
            canvas = self.algorithm.canvas(start.to(self.compute.device).contiguous())
            solver = setup.make_solver(
                self.network,
                self.objective(small, scale, self._regions_of(small)),
                canvas,
                replace(self.settings, steps=count),
                self.compute,
                [generator],
                torch.full((1,), 2.0, device=self.compute.device),  # that of 2016 as it is
            )
            if kept is not None and within:
                self._keeper.go_on(solver, kept)
            kept = picture = None  # a rule's memory is large
            for step in solver:
                if self._keeper.is_due() and step.index < step.steps:
                    errors = (*trace, *solver.traces[0])
                    now = Kept(index, step.index, canvas.values, errors, solver.state())
                    self._keeper.keep(now)
                if on_step is not None:
                    on_step(step)
            picture = canvas.images()
            trace += solver.traces[0]
            if index == len(plan) - 1 or self._keeper.is_due():
                self._keeper.keep(Kept(index + 1, 0, picture, tuple(trace)))
        assert picture is not None
        return picture, trace

    def _kept(self, wide: Tensor, plan: list[tuple[float, int]]) -> Kept | None:
        """What was kept of such a solve."""
        kept = self._keeper.kept()
        if kept is None:
            return None
        of = kept.scales - (kept.step == 0)  # the scale that its values are of
        if not 0 <= of < len(plan) or kept.step >= plan[of][1]:
            raise self._keeper.damaged()
        if kept.canvas.shape != scaled(wide, plan[of][0], self.intake.near).shape:
            raise self._keeper.damaged()
        return kept

    def _begun(self) -> Tensor | None:
        """What is begun from, if somebody says it."""
        if self.told.start is None:
            return None
        start = self.task.picture(self.told.start)
        if start.shape != self.content.shape:
            start = resized(start, self.content.shape[2:])
        return F.pad(start, (self.edge,) * 4, mode="reflect")

    def _start(self, picture: Tensor | None, small: Tensor, generator: torch.Generator) -> Tensor:
        """(1, C, H, W), what a scale is begun from."""
        if picture is not None:
            return resized(picture, small.shape[2:])
        if self.told.begins_with == "content":
            return small
        mean_colour = self.network.mean_colour
        return self.algorithm.start(small.shape[1:], [generator], mean_colour, 0.25)

    def _regions_of(self, small: Tensor) -> Regions | None:
        """Of the picture at a scale, bleed included."""
        if self.regions is None:
            return None
        mask = regions_at(bled(self.regions.content, self.edge), small.shape[2:])
        return replace(self.regions, content=mask)

    def _terms(self, saved: Tensor) -> Iterator[dict[str, Any]]:
        """Every term, of the content and of the picture."""
        targets = self.objective(self.content, 1.0, self.regions)
        told = partial(measure, network=self.network, compute=self.compute)
        for image in (self.content, saved):
            whole = isinstance(targets, StyleObjective)
            yield told(targets, image) if whole else targets.measure(image)

    @cached_property
    def _recorded(self) -> dict[str, Any]:
        told = setup.recorded_settings("stylize", self.task, self.unit, self.settings, self.compute)
        for name in ("alpha", "kept", "resume"):  # of how it was asked for
            told.get("options", {}).pop(name, None)
        return told

    @cached_property
    def _keeper(self) -> Keeper:
        of_styles = [_identity(style) for style in self.styles]
        masks = None if self.regions is None else _identity(self.regions.content)
        path = self.told.kept if self.told.resume else None
        return Keeper(path, {**self._recorded, "of_styles": of_styles, "masks": masks})


def _recoloured(style: Style, content: Tensor) -> Style:
    if not isinstance(style, Tensor):
        raise TextonError("a .style file has no colours to change: use --keep-colors luma")
    return with_colours_of(style, content)


def _identity(style: Any) -> str:
    if not isinstance(style, Tensor):
        sums = [(layer, float(x.double().sum())) for layer, x in style.moments.items()]
        return f"{style.weights_hash} {sums}"
    return content_hash(style)


def _mean(terms: dict[str, float]) -> float:
    return sum(terms.values()) / len(terms)
