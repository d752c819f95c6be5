"""A generator learns what `stylize` minimises: of any photograph, for one style or several."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from texton.errors import TextonError
from texton.images.files import content_hash
from texton.learned.file import Header, codes_of
from texton.learned.generator import Architecture, Generator
from texton.learned.style_file import read_style_model
from texton.methods.parts.fingerprint import Fingerprint
from texton.methods.parts.style_terms import (
    Style,
    Targets,
    read_style,
    softened,
    style_objective,
    style_targets,
)
from texton.methods.style import StyleOptions
from texton.network.device import Compute
from texton.network.network import Network
from texton.training.photos import seed_of
from texton.training.style_options import StyleTraining

_SHAPE = ("width", "residuals", "output")
_SHOWN = 4  # held-out photographs in a sample


class StyleRecipe:
    """A `texton.training.trainer.Recipe`.

    A crop's loss is `style_objective` of its own content and of one style, drawn for each: every
    term is divided by its own target, so that a weight means what it means to `stylize`.

    Args:
        paintings: images or ``.style`` files.

    Raises:
        TextonError: none, too many, or one that cannot be read or used; an unknown layer.
    """

    def __init__(
        self,
        paintings: Sequence[Path],
        network: Network,
        told: StyleTraining,
        compute: Compute,
    ) -> None:
        if network.channels != 3:
            raise TextonError(f"{network.name} takes {network.channels} channels: painting takes 3")
        if not paintings:
            raise TextonError("no style is given: name at least one image or .style file")
        self.network, self.told, self.compute = network, told, compute
        self.paintings = tuple(paintings)
        self.sought = told.sought(self.paintings[:1])
        for layer in (told.content_layer, *told.style_layers):
            network.layer(layer)
        read = [read_style(str(x), network, told.style_size) for x in self.paintings]
        self._hashes = [_checked(x, network, self.sought) for x in read]
        styles = [softened(x, self.sought) for x in read]
        with torch.no_grad():
            each = [style_targets([x], 1.0, network, self.sought, compute) for x in styles]
        self._targets = {key: torch.cat([one[key] for one in each]) for key in each[0]}
        architecture = Architecture(told.width, told.residuals, len(styles), output=told.output)
        with torch.random.fork_rng([]):
            torch.manual_seed(seed_of(told.seed, "generator"))
            self.model: torch.nn.Module = Generator(architecture)
        if told.from_ is not None:
            self.model.load_state_dict(_learnt(told.from_, architecture))
        self._architecture = architecture
        self._layers = tuple(dict.fromkeys((told.content_layer, *told.style_layers)))

    def loss(self, images: Tensor, step: int) -> Tensor:
        which = torch.randint(len(self.paintings), (len(images),)).to(images.device)
        painted = self._painted(images, which).float()
        codes = self.network.encode(painted, self._layers, self.compute)
        targets: Targets = {key: target[which] for key, target in self._targets.items()}
        told = (1.0, self.network, self.sought, self.compute)
        objective = style_objective(images, (), *told, targets=targets)
        return objective(codes, painted).mean()

    def sample(self, images: Tensor) -> Tensor:
        """Held-out photographs in a row, and under them what becomes of them, a row a style."""
        shown = images[:_SHOWN]
        rows = [shown]
        for number in range(len(self.paintings)):
            which = torch.full((len(shown),), number, device=images.device)
            rows.append(self._painted(shown, which).float())
        return torch.cat([torch.cat(list(row), 2) for row in rows], 1).cpu()

    def identity(self) -> dict[str, Any]:
        return {"recipe": "style", "paintings": self._hashes, **codes_of(self.network)}

    def header(self, **made: Any) -> Header:
        names = [x.stem for x in self.paintings]
        about = {
            "styles": names,
            "hashes": self._hashes,
            "paintings": [x.name for x in self.paintings],
        }
        architecture = self._architecture.as_json()
        rest = {"architecture": architecture, "about": about, **made}
        return Header.on(self.network, "style", self.told.style_layers, **rest)

    def _painted(self, images: Tensor, which: Tensor) -> Tensor:
        shares = F.one_hot(which, len(self.paintings)).float()
        painted: Tensor = self.model(images, shares)
        return painted


def _checked(style: Style, network: Network, told: StyleOptions) -> str:
    """A hash of it.

    Raises:
        TextonError: a fingerprint that cannot be used.
    """
    if not isinstance(style, Fingerprint):
        return content_hash(style)
    style.check(network, told.matched, told.style_layers)
    whole = torch.cat([style.moments[layer].flatten() for layer in told.style_layers])
    return hashlib.sha256(whole.numpy().tobytes()).hexdigest()[:16]


def _learnt(path: Path, architecture: Architecture) -> dict[str, Tensor]:
    """What a model has learnt, for another of so many styles: each begins where its own are, or,
    where there are others, between them.

    Raises:
        TextonError: it cannot be read, or is of another shape.
    """
    generator = read_style_model(path).generator
    styles, mine = architecture.styles, generator.architecture
    if mine.output == "255":
        raise TextonError(f"'{path}' is pytorch/examples' network: begin with one of texton's")
    if replace(mine, styles=styles) != architecture:
        other = {x: y for x, y in mine.as_json().items() if x in _SHAPE}
        said = " ".join(f"--{name} {value}" for name, value in other.items())
        raise TextonError(f"'{path}' is a network of another shape: add {said}")
    state = generator.state_dict()
    if mine.styles != styles:
        for name, rows in state.items():
            if ".conv2d." not in name:
                state[name] = rows.mean(0, keepdim=True).repeat(styles, 1)
    return state
