"""``texton check NETWORK``: in one screen, what texton sees in somebody's network."""

from __future__ import annotations

import json
import shlex
from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import asdict, replace
from typing import TYPE_CHECKING, Any

from texton.cli import output as o
from texton.cli.parameters import command, options_from, parameters_of, plain, required
from texton.methods.command import NetworkOptions, words_of

if TYPE_CHECKING:
    from texton.cli.checking import Layers, Trial
    from texton.network.network import Network

_SHOWN = 3  # names of one kind


def _check(network: str, as_json: bool, **values: Any) -> None:
    choice: NetworkOptions = options_from(NetworkOptions, {**values, "network": network})
    net = choice.load()
    told: dict[str, Any] = {"network": net.name, "weights": _weights(net), "input": _input(net)}
    lines = _begun(net)
    try:
        told |= _looked_at(net, choice, lines)
    finally:  # what was found before something failed is what a user needs then
        if not as_json:
            print("\n".join(lines))
    if as_json:
        print(json.dumps(told, ensure_ascii=False))


check_command = command(
    _check,
    [
        required("network", str, "See `texton networks`."),
        *(x for x in parameters_of(NetworkOptions) if x.name != "network"),
        plain("as_json", bool, False, o.JSON),
    ],
    "What texton sees in a network: its images, its layers, three steps of one filter.",
)


def _looked_at(net: Network, choice: NetworkOptions, lines: list[str]) -> dict[str, Any]:
    """The parts that may fail, each told as it is known."""
    from texton.cli.checking import seen_in, trial_picture, try_filter

    picture = trial_picture(net)
    size = net.intake().only
    told = f"{size[1]}×{size[0]} pixels alone" if size else "of many sizes"
    lines.append(_line("", f"{told}; it brings them to a size itself" if net.resizes else told))
    seen = seen_in(net, picture)
    lines += [*_layers(net, seen), *(_line("remark", x) for x in net.remarks)]
    trial = try_filter(net, picture, seen, choice.device)
    lines += _trial(trial, choice)
    return {
        "size": list(size) if size else None,
        "layers": {**asdict(seen), "count": len(seen.names)},
        "remarks": list(net.remarks),
        "trial": {**asdict(trial), "falls": trial.falls},
    }


def _begun(net: Network) -> list[str]:
    count = sum(x.numel() for x in net.module.parameters())
    lines = [_line("network", f"{net.name}: {type(net.module).__name__}, {count:,} weights")]
    lines += [_line("weights", text) for text in _weights(net).values()]
    told = net.preprocessing
    mean, std = (_numbers(told[key]) for key in ("mean", "std"))
    planes = f"{told['channels']} channel{'s' * (told['channels'] != 1)}"
    text = f"{planes}, white {told['input_range']:g}, mean {mean}, std {std}"
    lines.append(_line("input", text))
    for key in ("assumed", "inside", "resizing"):
        if key in net.details:
            before = {"assumed": "assumed ", "resizing": "resizing "}.get(key, "")
            lines.append(_line("", f"{before}{net.details[key]}"))
    return lines


def _weights(net: Network) -> dict[str, str]:
    return {key: str(net.details[key]) for key in _FOUND if key in net.details}


_FOUND = ("weights", "checkpoint", "untrained")


def _input(net: Network) -> dict[str, Any]:
    found = {key: net.details.get(key) for key in ("assumed", "inside", "resizing")}
    return {**net.preprocessing, **found}


def _layers(net: Network, seen: Layers) -> Iterator[str]:
    kinds = Counter(layer.kind for layer in net.layers.values()).most_common(4)
    counted = ", ".join(f"{count} {kind}" for kind, count in kinds)
    yield _line("layers", f"{len(seen.names)} ({counted}), {seen.filters:,} filters")
    names = [seen.names[0], seen.names[len(seen.names) // 2], seen.names[-1]]
    yield _line("", ", ".join(dict.fromkeys(names)) + "; `texton layers` lists them")
    every = len(seen.inverted) == len(seen.names)
    yield _line("inverted", "all of them can be" if every else f"{len(seen.inverted)} can be")
    yield from (_line("", f"not {text}") for text in _grouped(seen.without))
    if seen.silent:
        yield _line("silent", f"on the trial's picture: {_some(seen.silent)}")
    yield from (_line("no layers", text) for text in _grouped(seen.outside))


def _trial(trial: Trial, choice: NetworkOptions) -> Iterator[str]:
    errors = " → ".join(f"{x:.3g}" for x in trial.errors)
    fall = "falls" if trial.falls else "does not fall in three steps"
    height, width = trial.size
    name = f"{trial.layer}:{trial.channel}"
    yield _line("trial", f"{name}, {width}×{height} pixels of noise: the error {fall}: {errors}")
    yield _line("", f"{trial.seconds:.2g} s a step ({trial.device}, {trial.dtype})")
    words = words_of(replace(choice, device=NetworkOptions.device))
    yield _line("next", f"texton filter PHOTO {shlex.join([name, *words])}")


def _grouped(reasons: Mapping[str, list[str]]) -> Iterator[str]:
    """``2 modules give a tensor of 2 axes: fc, head``."""
    for reason, names in reasons.items():
        yield f"{len(names)}, {reason}: {_some(names)}"


def _some(names: tuple[str, ...] | list[str]) -> str:
    return ", ".join(names[:_SHOWN]) + (", …" if len(names) > _SHOWN else "")


def _numbers(values: list[float]) -> str:
    once = values[:1] if len(set(values)) == 1 else values
    return " ".join(f"{x:.4g}" for x in once)


def _line(name: str, text: str) -> str:
    return f"{name:<10}{text}"
