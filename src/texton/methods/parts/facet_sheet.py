"""Several pictures of one filter as one picture."""

from __future__ import annotations

from dataclasses import replace

import torch
from torch import Tensor

from texton.images.files import as_saved
from texton.methods.method import STARTS, STEPS
from texton.methods.result import Result
from texton.solve.directions import Units

_GAP = 4  # pixels between pictures that are one


def repeated(units: Units, times: int) -> Units:
    """Each unit so many times."""
    if isinstance(units, Tensor):
        return units.repeat_interleave(times, 0)
    return [unit for unit in units for _ in range(times)]


def some(units: Units, which: list[int]) -> Units:
    return units[which] if isinstance(units, Tensor) else [units[b] for b in which]


def as_one(facets: list[Result]) -> Result:
    """Pictures in rows, white between them, and the means of their figures."""
    images = [facet.shown for facet in facets]
    channels, height, width = images[0].shape
    columns = -(-len(images) // max(1, round(len(images) ** 0.5)))
    rows = -(-len(images) // columns)
    shape = (channels, rows * (height + _GAP) - _GAP, columns * (width + _GAP) - _GAP)
    sheet = torch.ones(shape)
    for index, image in enumerate(images):
        top, left = (index // columns) * (height + _GAP), (index % columns) * (width + _GAP)
        sheet[:, top : top + height, left : left + width] = image
    figures: dict[str, float | None] = {}
    for key in facets[0].figures:
        known = [x for facet in facets if (x := facet.figures[key]) is not None]
        figures[key] = sum(known) / len(known) if known else None
        if key in (STEPS.key, STARTS.key) and known:
            figures[key] = max(known)  # they are counts, and side by side
    dead = all(facet.status == "dead" for facet in facets)
    return replace(
        facets[0],
        image=as_saved(sheet),
        alpha=None,
        figures=figures,
        status="dead" if dead else "ok",
        seconds=sum(facet.seconds for facet in facets),
    )
