"""Feature map inversion for any direction in channel space: is a filter special?

The paper's ψ gives all of a code's activity to one filter: target = total map ⊗ e_l. Here it is
shared out by any vector u of shares, not negative and summing to 1: target = total map ⊗ u. A
filter is the share vector e_l, and is solved by the same code, start and steps as the others.
"""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence

import torch
import torch.nn.functional as F
from torch import Tensor

from texton.errors import TextonError
from texton.images.files import content_hash
from texton.methods.result import DEAD_SHARE, Result
from texton.methods.seeds import generator_for
from texton.methods.setup import check_photo, compute_for, finished, make_canvas, run
from texton.network.codes import total_map
from texton.network.device import Compute
from texton.network.network import Network
from texton.solve.canvas import Bleed
from texton.solve.objective import CodeMatch, Codes, Objective
from texton.solve.presets import SolverSettings, solver_settings
from texton.solve.priors import TotalVariation
from texton.solve.solver import Opening, Solver

_EDGE, _FINE_STRIDE = 4, 8


class DirectionMatch(CodeMatch):
    """‖φ(X) − total ⊗ u‖² / ‖total ⊗ u‖², one direction u per image of the batch.

    Args:
        shares: (B, C), not negative, rows summing to 1.
        total: (1, M, N), the photograph's feature maps added up.
    """

    def __init__(self, layer: str, shares: Tensor, total: Tensor) -> None:
        super().__init__(layer, shares[:, :, None, None] * total[:, None])
        self._shares, self._asked = shares, shares.square().sum(1) * total.sum()

    def achieved(self, codes: Codes) -> Tensor:
        """(B,): how much of the activity asked for along the direction the image reaches."""
        sums = codes[self.layers[0]].detach().float().clamp_min(0).sum((2, 3))
        return (sums * self._shares).sum(1) / self._asked


class DirectionActivation(Objective):
    """Minus the activation along a direction: `objective.Activation` for any share vector."""

    def __init__(self, layer: str, shares: Tensor, where: Tensor) -> None:
        self.layers = (layer,)
        self._shares, self._where = shares, where.float()

    def __call__(self, codes: Codes, image: Tensor) -> Tensor:
        own = torch.einsum("bchw,bc->bhw", codes[self.layers[0]].float(), self._shares)
        where = F.interpolate(self._where[None], own.shape[1:])[0]
        weighted = (own * where).sum((1, 2)) / where.sum((1, 2))
        return -weighted / own.detach().abs().mean((1, 2)).clamp_min(1e-6)


def single_filters(channels: Sequence[int], count: int) -> Tensor:
    """Share vectors e_l: (filters, C)."""
    return F.one_hot(torch.as_tensor(channels), count).float()


def disjoint_blends(count: int, wanted: int, seed: int) -> Tensor:
    """Random directions that share no filter, so that they are orthogonal as filters are.

    Each spreads half-normal shares over C // wanted filters, at most 8: (wanted, C).

    Raises:
        TextonError: there are not two filters for each.
    """
    if 2 * wanted > count:
        raise TextonError(f"{count} filters make {count // 2} blends that share none, not {wanted}")
    generator = torch.Generator().manual_seed(104729 + seed)
    each = min(8, count // wanted)
    order = torch.randperm(count, generator=generator)
    drawn = torch.zeros(wanted, count)
    for row in range(wanted):
        chosen = order[row * each : (row + 1) * each]
        drawn[row, chosen] = torch.randn(each, generator=generator).abs()
    return drawn / drawn.sum(1, keepdim=True)


def dense_blends(count: int, wanted: int, seed: int) -> Tensor:
    """Random directions over all filters, half-normal: (wanted, C)."""
    generator = torch.Generator().manual_seed(1299709 + seed)
    drawn = torch.randn(wanted, count, generator=generator).abs()
    return drawn / drawn.sum(1, keepdim=True)


def overlap(shares: Tensor) -> float:
    """The mean cosine between different directions: 0 for filters."""
    unit = F.normalize(shares, dim=1)
    cosines = unit @ unit.T
    count = len(shares)
    return float(cosines.fill_diagonal_(0).sum() / max(1, count * (count - 1)))


def invert_directions(
    image: Tensor,
    network: Network,
    layer: str,
    shares: Tensor,
    names: Sequence[str],
    *,
    preset: str = "fast",
    steps: int | None = None,
    seed: int = 0,
    device: str = "auto",
) -> Iterator[Result]:
    """Feature map inversion of directions, in turn.

    Args:
        image: the photograph, (1, C, H, W) in [0, 1].
        shares: (directions, filters of the layer).
        names: what tells the directions apart: each has its own noise.
    """
    check_photo(image, network)
    settings = solver_settings(preset, steps=steps)
    compute = compute_for(settings, device)
    photo = content_hash(image)
    for start in range(0, len(names), compute.batch):
        part = slice(start, start + compute.batch)
        generators = [generator_for(seed, photo, f"{layer}/{name}", None) for name in names[part]]
        yield from _solve(image, network, layer, shares[part], generators, settings, compute)


def _solve(
    image: Tensor,
    network: Network,
    layer: str,
    shares: Tensor,
    generators: list[torch.Generator],
    settings: SolverSettings,
    compute: Compute,
) -> Iterator[Result]:
    started = time.perf_counter()
    shares = shares.to(compute.device)
    fine = network.layer(layer).stride <= _FINE_STRIDE and settings.rule == "adam"
    bleed: Bleed = (_EDGE,) * 4 if fine else (0,) * 4
    wide = F.pad(image, bleed, mode="reflect")
    with torch.no_grad():
        totals = [
            total_map(network.encode(x, layer, compute.exact())[layer]) for x in (image, wide)
        ]
    match = DirectionMatch(layer, shares, totals[1])
    lift = DirectionActivation(network.preactivation(layer), shares, totals[1])
    canvas = make_canvas(network, wide, generators, settings, compute, False, bleed)
    objective = match + settings.tv * TotalVariation() if settings.tv else match
    opening = Opening(lift, match.achieved)
    solver = Solver(network, objective, canvas, settings, compute, generators, opening)
    run(solver, None)
    solved = finished(canvas.images(), settings)
    exact = DirectionMatch(layer, shares, totals[0])
    with torch.no_grad():
        codes = network.encode(solved, layer, compute.exact())
        errors, achieved = exact(codes, solved).tolist(), exact.achieved(codes).tolist()
    seconds = (time.perf_counter() - started) / len(generators)
    for b, share in enumerate(achieved):
        yield Result(
            image=solved[b].cpu(),
            error=errors[b],
            achieved=share,
            status="dead" if share < DEAD_SHARE else "ok",
            layer=layer,
            channel=None,
            steps=solver.steps[b],
            starts=solver.starts[b],
            seconds=seconds,
            trace=tuple(float(step[b]) for step in solver.trace),
        )
