"""Generators in files: those that texton trained, and those of pytorch/examples."""

from __future__ import annotations

import os
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from texton.errors import TextonError
from texton.learned.file import SUFFIX, Header, check_fits, is_trained, load_trained
from texton.learned.generator import SMALLEST, Architecture, Generator
from texton.network.checkpoint import read_checkpoint

FOREIGN = "pytorch/examples"
_FIRST = "conv1.conv2d.weight"
_RUNNING = re.compile(r"\.(running_mean|running_var|num_batches_tracked)$")  # of before torch 0.4
_NORM = re.compile(r"(^|\.)in\d+\.(weight|bias)$")


@dataclass(frozen=True, eq=False)
class StyleModel:
    """A generator that was read, in evaluation mode.

    Attributes:
        names: of its styles, one each.
        header: what made it; None of somebody else's.
    """

    path: Path
    generator: Generator
    names: tuple[str, ...]
    header: Header | None = None

    def paint(self, image: Tensor, mix: Sequence[float], device: torch.device) -> Tensor:
        """An image (1, 3, H, W) in its styles, mixed; in [0, 1], on the device.

        Raises:
            TextonError: see `shares`; an image of other channels, or too small.
        """
        shares = self.shares(mix)
        if image.shape[1] != 3 or min(image.shape[2:]) < SMALLEST:
            size = f"{image.shape[1]} channels, {image.shape[3]}×{image.shape[2]} pixels"
            raise TextonError(
                f"the photograph has {size}: '{self.path}' takes 3 channels and {SMALLEST} pixels "
                "or more a side"
            )
        generator = self.generator.to(device)
        with torch.inference_mode():
            painted: Tensor = generator(image.to(device), shares.to(device))
        return painted.clone()

    def shares(self, mix: Sequence[float]) -> Tensor:
        """(1, styles), summing to 1, of a share per style; all alike where none is given.

        Raises:
            TextonError: there are more or fewer than styles.
        """
        mix = mix or (1.0,) * len(self.names)
        if len(mix) != len(self.names):
            known = ", ".join(self.names)
            raise TextonError(
                f"{len(mix)} shares for the {len(self.names)} styles of '{self.path}' ({known}): "
                "give one for each"
            )
        return torch.tensor([[share / sum(mix) for share in mix]])


def read_style_model(path: str | os.PathLike[str]) -> StyleModel:
    """Read what `texton train style` wrote, or a ``.pth`` of pytorch/examples' fast_neural_style.

    Raises:
        TextonError: there is no such file, or it holds anything else.
    """
    path = Path(path)
    if path.suffix == SUFFIX and (is_trained(path) or not path.is_file()):
        return _own(path)
    return _foreign(path)


def build(architecture: Mapping[str, Any]) -> Generator:
    """The module of a header's architecture.

    Raises:
        ValueError: it is none.
    """
    known = set(Architecture.__dataclass_fields__)
    if architecture.keys() != known:
        raise ValueError(f"its architecture has not {', '.join(sorted(known))}")
    try:
        return Generator(Architecture(**architecture))
    except TextonError as error:
        raise ValueError(str(error)) from None


def names_of(header: Header) -> tuple[str, ...]:
    """Of a header's styles; numbers where it has none of them."""
    count = int(header.architecture["styles"])
    names = header.about.get("styles")
    if isinstance(names, list) and len(names) == count:
        return tuple(str(name)[:80] for name in names)
    return tuple(str(number + 1) for number in range(count))


def _own(path: Path) -> StyleModel:
    trained = load_trained(path, "style")
    generator = trained.built(build)
    assert isinstance(generator, Generator)
    return StyleModel(path, generator, names_of(trained.header), trained.header)


def _foreign(path: Path) -> StyleModel:
    try:
        states = read_checkpoint(path).states
    except TextonError as error:
        raise TextonError(str(error).replace("the weights file", "the model", 1)) from None
    found = [_plain(state) for state in states.values()]
    state = next((one for one in found if _FIRST in one), None)
    if state is None:
        raise TextonError(f"'{path}' is not a network that paints: `texton train style` makes one")
    architecture = _architecture(state, path)
    with torch.device("meta"):
        generator = Generator(architecture)
    state = {name: x[None] if _NORM.search(name) else x for name, x in state.items()}
    check_fits(generator.state_dict(), state, path)
    generator.load_state_dict(state, assign=True)
    return StyleModel(path, generator.eval().requires_grad_(False), (path.stem,))


def _plain(state: Mapping[str, Any]) -> dict[str, Tensor]:
    """Its tensors as texton names them, without what norms of before torch 0.4 kept and no use
    is made of."""
    named = {name.removeprefix("module."): value for name, value in state.items()}
    return {
        name: value.float()
        for name, value in named.items()
        if isinstance(value, Tensor) and not _RUNNING.search(name)
    }


def _architecture(state: Mapping[str, Tensor], path: Path) -> Architecture:
    first = state[_FIRST]
    numbers = [int(x[1]) for name in state if (x := re.match(r"res(\d{1,4})\.", name))]
    if first.ndim != 4 or not numbers:
        raise TextonError(f"'{path}' is not the network of {FOREIGN}' fast_neural_style")
    width, blocks, side = first.shape[0], max(numbers), first.shape[2]
    return Architecture(width, blocks, side=side, output="255", upsampling="nearest")
