"""Codes inverted as they are, or with their energy shared out at random."""

from __future__ import annotations

from collections.abc import Sequence

from texton.experiments.harness.lab import Lab, Work
from texton.experiments.harness.workbench import Made
from texton.images.folder import Picture
from texton.methods.code_inversion import inversion_steps, invert, invert_random
from texton.network.network import Network

Planned = tuple[Network, Picture, str, Sequence[int], bool]
_APART = 1000  # between the seeds of two starts


def plan(lab: Lab, planned: Sequence[Planned], starts: int = 1) -> None:
    """Say how much there is to do.

    Args:
        planned: network, photograph, layer, draws, whether a plain inversion too.
        starts: from how many starts the draws of the network under test are solved.
    """
    steps = inversion_steps(lab.options.preset, lab.options.steps)
    works = []
    for network, photo, layer, draws, plain in planned:
        seeds = [_seed(lab, start) for start in range(starts if network is lab.network else 1)]
        keys = [_key(network, photo, layer, draw, seed) for seed in seeds for draw in draws]
        keys += [_key(network, photo, layer, None, lab.options.seed)] * plain
        works.append(Work(network, layer, tuple(keys), steps))
    lab.plan(works)


def random_style(
    lab: Lab, network: Network, photo: Picture, layer: str, draw: int, start: int = 0
) -> Made:
    """Randomly modified code inversion; ``draw`` numbers the shares, ``start`` the noise."""
    seed = _seed(lab, start)

    def make() -> Made:
        shares = 1000 * lab.options.seed + draw
        result = invert_random(
            photo.image, network, layer, shares_seed=shares, seed=seed, **lab.solving
        )
        return Made(result.image, result.record())

    return lab.picture(_key(network, photo, layer, draw, seed), make)


def plain(lab: Lab, network: Network, photo: Picture, layer: str) -> Made:
    """The same code inverted as it is: what the layer loses by itself."""

    def make() -> Made:
        result = invert(photo.image, network, layer, seed=lab.options.seed, **lab.solving)
        return Made(result.image, result.record())

    return lab.picture(_key(network, photo, layer, None, lab.options.seed), make)


def _seed(lab: Lab, start: int) -> int:
    return lab.options.seed + _APART * start


def _key(network: Network, photo: Picture, layer: str, draw: int | None, seed: int) -> str:
    kind = "plain" if draw is None else f"shares-{draw}"
    return f"{network.name.replace(':', '-').replace('/', '-')}/{layer}/{photo.name}/{kind}-{seed}"
