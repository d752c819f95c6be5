"""A photograph made what a filter answers more, held by what an earlier layer says of it."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from texton.methods.parts.looking import field_of, window_of, windows
from texton.network.device import Compute
from texton.solve.canvas import FourierCanvas, noise
from texton.solve.maximise import Held, Maximise
from texton.solve.objective import Objective
from texton.solve.presets import SolverSettings
from texton.solve.rules import Adam
from texton.solve.solver import Solver

if TYPE_CHECKING:
    from texton.network.network import Network

_OF_FIELD = 4  # the holding layer sees a quarter of what the filter does


def holding_layer(network: Network, layer: str) -> str:
    """The deepest layer before it whose receptive field is a quarter of its own, or the first."""
    field = field_of(network, layer)
    found = next(iter(network.layers))
    for name in network.layers:
        if name == layer:
            break
        own = network.layers[name].receptive_field
        if own is not None and own * _OF_FIELD <= field:
            found = name
    return found


def accentuation(
    network: Network,
    photo: Tensor,
    maximise: Maximise,
    hold: str,
    weight: float,
    settings: SolverSettings,
    compute: Compute,
    generator: torch.Generator,
) -> Solver:
    """The solver, about to begin.

    Args:
        weight: of being held, where 1 pulls back as much as the filter pulls away, at first.
    """
    photo = photo.to(compute.device, torch.float32)
    (layer,) = maximise.layers
    size, field = (photo.shape[2], photo.shape[3]), field_of(network, layer)
    window = window_of(network, layer, size, field)
    views = windows([generator], field, window, meet=False)
    look = network.encoder([hold], compute)

    def target() -> Tensor:
        with torch.no_grad():
            return look(views.again(photo))[hold]

    held = Held(hold, target)
    canvas = FourierCanvas.of(photo)
    encoder = partial(network.encoder, compute=compute)
    objective: Objective = maximise
    if weight:
        (view,) = views.at(0)
        astray = noise([generator], canvas.values.shape[1:], 0.0, settings.contrast)
        codes = encoder(dict.fromkeys((layer, hold)))
        with torch.no_grad():
            canvas.values += astray.to(canvas.values)  # where it is, nothing pulls it back
        pulls = []
        for term in (maximise, held):
            image = view(canvas())
            (slope,) = torch.autograd.grad(term(codes(image), image).sum(), canvas.values)
            pulls.append(float(slope.abs().sum()))
        canvas = FourierCanvas.of(photo)
        objective = maximise + weight * pulls[0] / max(pulls[1], 1e-30) * held
    rule = Adam(canvas, settings)
    told = (settings, [generator])
    return Solver(
        encoder, objective, canvas, rule, *told, arithmetic=compute.arithmetic, views=views
    )
