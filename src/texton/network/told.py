"""What a network must be told of its images: what is said, what it says itself, what is assumed."""

from __future__ import annotations

import contextlib
import math
import re
import warnings
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from torch import Tensor, nn

from texton.network.inside import Inside, look_inside

if TYPE_CHECKING:
    from texton.network.network import Network

IMAGENET = {"mean": (0.485, 0.456, 0.406), "std": (0.229, 0.224, 0.225)}
PREPROCESSING = ("mean", "std", "input_range", "channels")
_NOTHING_SAID = {"mean": 0.0, "std": 1.0, "input_range": 1.0, "channels": 3}


@dataclass(frozen=True)
class Source:
    """A module with what it must be told about its images, and what nobody said."""

    module: nn.Module
    name: str
    preprocessing: dict[str, Any]
    details: dict[str, Any] = field(default_factory=dict)


def described(module: nn.Module, name: str, said: dict[str, Any]) -> Source:
    """With what the module says about itself, and the rest taken for granted and recorded.

    Its attributes ``channels``, ``mean``, ``std`` may mean anything: they are believed only where
    its first layer takes as many channels, and where it does not normalise by itself already.
    """
    own = getattr(module, "channels", None)
    counts = [said.get("channels"), own]
    seen = look_inside(module, [x for x in counts if isinstance(x, int) and _is_count(x)])
    notes: dict[str, str] = {}
    believed = _believed(module, seen, said, notes)
    assumed = {key: x for key, x in _NOTHING_SAID.items() if key not in said | believed}
    if "channels" in assumed:
        assumed["channels"] = _channels_of(module, seen)
    if "input_range" in assumed and seen is not None and seen.takes_bytes:
        assumed["input_range"] = 255.0
    text = ", ".join(f"{key} {value:g}{notes.get(key, '')}" for key, value in assumed.items())
    details = {"assumed": text} if text else {}
    if seen is not None and seen.normalises:
        details["inside"] = str(seen)
    return Source(module, name, {**assumed, **believed, **said}, details)


def _believed(
    module: nn.Module, seen: Inside | None, said: dict[str, Any], notes: dict[str, str]
) -> dict[str, Any]:
    """What attributes of the module say of its images; in ``notes``, why others are set aside."""
    found: dict[str, Any] = {}
    own = getattr(module, "channels", None)
    if _is_count(own) and "channels" not in said:
        if seen is None or seen.channels == own:
            found["channels"] = own
        else:
            notes["channels"] = f" (its attribute says {own}, its first layer otherwise)"
    channels = said.get("channels", found.get("channels", _channels_of(module, seen)))
    white = numbers(getattr(module, "input_range", None))
    if white is not None and len(white) == 1 and white[0] > 0 and "input_range" not in said:
        found["input_range"] = white[0]
    colours = said.get("input_range", found.get("input_range", 1.0))
    for key in ("mean", "std"):
        values = numbers(getattr(module, key, None))
        if values is None or key in said:
            continue
        if seen is not None and seen.normalises:
            notes[key] = " (it normalises itself)"
        elif len(values) not in (1, channels) or (key == "std" and min(values) <= 0):
            notes[key] = " (its attribute is none for its first layer)"
        elif key == "mean" and not 0 <= min(values) <= max(values) <= colours:
            notes[key] = f" (its attribute is no colour of images whose white is {colours:g})"
        else:
            found[key] = values
    return found


def _channels_of(module: nn.Module, seen: Inside | None) -> int:
    if seen is not None:
        return seen.channels
    first = next((part for part in module.modules() if isinstance(part, nn.Conv2d)), None)
    return first.in_channels if first else 3


def remarkable(network: Network) -> list[str]:
    """What people are told of a network, each in a line: what is taken for granted or was found,
    of its weights and of its images, and how it behaves."""
    lines: list[str] = []
    details = network.details
    if checkpoint := details.get("checkpoint"):
        lines.append(f"{details['weights']}: {checkpoint}")
    if assumed := details.get("assumed"):
        lines.append(f"{network.name}: assumed {assumed}")
    if inside := details.get("inside"):
        lines.append(f"{network.name}: {inside}")
    return lines + [f"{network.name} {remark}" for remark in network.remarks]


def as_said(said: Mapping[str, Any]) -> dict[str, Any]:
    """Preprocessing as numbers, whatever kind they come in; what is None is not said.

    Raises:
        ValueError: a value that is none; it says which.
    """
    told: dict[str, Any] = {}
    for key, value in said.items():
        if value is None:
            continue
        many = numbers(value)
        if key == "bands":
            told[key] = value
        elif key == "channels":
            if many is None or len(many) != 1 or not many[0].is_integer() or many[0] < 1:
                raise ValueError(f"channels is {value!r}: give a whole number")
            told[key] = int(many[0])
        elif many is None or (key == "input_range" and len(many) != 1):
            what = (
                "the value of white, 1 or 255" if key == "input_range" else "one or one a channel"
            )
            raise ValueError(f"{key} is {value!r}: give finite numbers, {what}")
        else:
            told[key] = many if key != "input_range" else many[0]
    return told


def _is_count(value: Any) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and 0 < value <= 4096


def numbers(value: Any) -> list[float] | None:
    """Finite numbers that a value holds; None where it holds anything else."""
    if isinstance(value, Tensor):
        if value.is_meta or value.is_complex() or value.numel() > 4096:
            return None
        value = value.detach().flatten().tolist()
    elif isinstance(value, (np.ndarray, np.generic)):
        value = value.reshape(-1).tolist()
    many = value if isinstance(value, Sequence) and not isinstance(value, str) else [value]
    plain = all(isinstance(x, (int, float)) and not isinstance(x, bool) for x in many)
    return [float(x) for x in many] if plain and many and all(map(math.isfinite, many)) else None


def named(
    module: nn.Module,
    name: str,
    preprocessing: dict[str, Any],
    seed: int | None,
    weights: str,
    details: Mapping[str, Any] = MappingProxyType({}),
) -> Source:
    """A hub's network, whose name tells which weights it has."""
    if seed is None:
        told = {"weights": weights, **details}
        return Source(module, f"{name}@{weights}", preprocessing, told)
    suffix = f"@random{seed}" if seed else "@random"
    drawn = f"random, seed {seed}, torch {torch.__version__}"
    return Source(module, name + suffix, preprocessing, {"weights": drawn, **details})


def without_resizing(module: nn.Module) -> dict[str, str]:
    """Let torchvision's detectors take images at the size they have, and say so.

    They scale a short edge to 800 pixels by default: strides and fields would be those of another
    size than the picture's, and change with it.
    """
    found = [x for x in module.modules() if type(x).__name__ == "GeneralizedRCNNTransform"]
    for part in found:
        vars(part)["resize"] = _at_its_size
    return {"resizing": "left out: layers are in the picture's own pixels"} if found else {}


def _at_its_size(image: Tensor, target: Any = None) -> tuple[Tensor, Any]:
    return image, target


def random_seed(tag: str) -> int | None:
    """The seed that ``random7`` names; None where it names something else."""
    match = re.fullmatch(r"random([0-9]{0,18})", tag)
    return int(match[1] or 0) if match else None


@contextlib.contextmanager
def quiet() -> Iterator[None]:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        yield


@contextlib.contextmanager
def seeded(seed: int) -> Iterator[None]:
    """Random weights that are the same every time, and leave the caller's generator alone."""
    with torch.random.fork_rng(devices=[]), quiet():
        torch.default_generator.manual_seed(seed)
        yield
