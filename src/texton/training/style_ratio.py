"""How far a generator is from what the optimiser reaches: their losses on the same photographs."""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from texton.errors import TextonError
from texton.images.files import as_saved
from texton.learned.style_file import StyleModel
from texton.methods.method import Task
from texton.methods.options import declarations
from texton.methods.parts.style_terms import measure, read_style, softened, style_objective
from texton.methods.style import METHOD
from texton.network.device import choose_compute
from texton.network.network import Network
from texton.training.style_options import StyleTraining


@dataclass(frozen=True, eq=False)
class Compared:
    """One photograph in one style, painted at once and solved for.

    Attributes:
        before, painted, solved: every term of the photograph and of both pictures as saved, as
            `measure` gives them.
        images: (3, H, W) each: the photograph, painted, solved.
        seconds: that either took.
    """

    photo: str
    style: str
    before: dict[str, Any]
    painted: dict[str, Any]
    solved: dict[str, Any]
    images: tuple[Tensor, Tensor, Tensor]
    seconds: tuple[float, float]

    @property
    def ratio(self) -> float:
        """The painted picture's loss to the solved one's: 1 is as good, more is worse."""
        return float(self.painted["total"] / self.solved["total"])


def compare(
    model: StyleModel,
    photos: Mapping[str, Tensor],
    paintings: Sequence[Path],
    network: Network,
    device: str = "auto",
    preset: str = "normal",
) -> Iterator[Compared]:
    """Every photograph, (1, 3, H, W), in every style of a model.

    Args:
        paintings: what it was trained on, in the same order.
        preset: the optimiser's; `stylize` of the same options as the training's.

    Raises:
        TextonError: a model that texton did not train, or on another network; other paintings
            than it has styles; an unknown device.
    """
    told = trained_with(model, network, paintings)
    compute = choose_compute(device, torch.float32)
    for number, painting in enumerate(paintings):
        sought = replace(told.sought([painting]), preset=preset)
        style = read_style(str(painting), network, told.style_size)
        mix = [float(number == other) for other in range(len(paintings))]
        for name, photo in photos.items():
            one = replace(sought, styles=(style,))
            task = Task.of(photo, network, one, device=device)
            solved = next(iter(METHOD.make(task, None)))
            targets = style_objective(photo, [softened(style, one)], 1.0, network, one, compute)
            started = time.perf_counter()
            painted = as_saved(model.paint(photo, mix, compute.device))
            seconds = time.perf_counter() - started
            before, at_once, after = (
                measure(targets, image, network, compute)
                for image in (photo, painted, solved.image[None])
            )
            yield Compared(
                name,
                model.names[number],
                before,
                at_once,
                after,
                images=(photo[0], painted[0].cpu(), solved.image),
                seconds=(seconds, solved.seconds),
            )


def trained_with(model: StyleModel, network: Network, paintings: Sequence[Path]) -> StyleTraining:
    """The options of a model's training.

    Raises:
        TextonError: as `compare`.
    """
    if model.header is None:
        raise TextonError(f"'{model.path}' does not say how it was trained: texton's own do")
    model.header.check_network(network, model.path)
    if len(paintings) != len(model.names):
        raise TextonError(
            f"'{model.path}' has {len(model.names)} styles ({', '.join(model.names)}): name their "
            "paintings, in this order"
        )
    known = {x.name for x in declarations(StyleTraining)}
    before = {"style_blur": 0.0}  # of models that do not say it
    kept = {k: v for k, v in {**before, **model.header.options}.items() if k in known}
    return StyleTraining.of({key: value for key, value in kept.items() if value is not None})
