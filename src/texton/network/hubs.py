"""Networks of torchvision and timm, by name."""

from __future__ import annotations

import contextlib
import inspect
import logging
import re
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import torch
from torch import nn

from texton.errors import TextonError, near_names, one_line, optional
from texton.network.inside import look_inside
from texton.network.told import (
    IMAGENET,
    Source,
    named,
    quiet,
    random_seed,
    seeded,
    without_resizing,
)

_EXAMPLE = "write torchvision:resnet18 or timm:resnet18"
_OTHER_INPUT = {
    "video": "takes videos: texton takes networks of single images, as torchvision:resnet18 is",
    "optical_flow": "takes two images: texton takes networks of one, as torchvision:resnet18 is",
}
_ELSEWHERE = ("hf-hub:", "hf_hub:", "local-dir:")  # timm's own words for where it looks


def from_torchvision(spec: str, name: str, tag: str, seed: int | None) -> Source:
    with optional("torchvision"):
        from torchvision import models
    known = models.list_models()
    if name not in known:
        raise TextonError(f"torchvision has no '{name}'{near_names(name, known)}: {_EXAMPLE}")
    _check_images(name, models.get_model_builder(name).__module__)
    available = list(models.get_model_weights(name))
    if seed is not None:
        builder = models.get_model_builder(name)
        backbone = "weights_backbone" in inspect.signature(builder).parameters
        options = {"weights_backbone": None} if backbone else {}
        with seeded(seed):
            module = builder(weights=None, **options)
        chosen = available[0] if available else None
    else:
        chosen = _torchvision_weights(spec, name, tag, available)
        module = _downloaded(spec, name, chosen, lambda: models.get_model(name, weights=chosen))
    transforms = chosen.transforms() if chosen is not None else None
    preprocessing = {key: tuple(getattr(transforms, key, IMAGENET[key])) for key in ("mean", "std")}
    details: dict[str, str] = {}
    if not hasattr(transforms, "mean"):  # a detector's are inside it, and so is a resizing
        details = without_resizing(module)
        if (seen := look_inside(module, [3])) is not None and seen.normalises:
            preprocessing, details = {}, {"inside": str(seen), **details}
    weights = getattr(chosen, "name", "")
    return named(module, f"torchvision:{name}", preprocessing, seed, weights, details)


def named_by_hubs(name: str) -> list[str]:
    """``resnet50[@random]`` as those hubs would have it that are installed and have one."""
    bare, _, tag = name.partition("@")
    found = []
    with contextlib.suppress(TextonError), optional("torchvision"):
        from torchvision import models

        if bare in models.list_models():
            found.append(f"torchvision:{name}")
    with contextlib.suppress(TextonError), optional("timm"):
        import timm

        if timm.is_model(bare) and (not tag or random_seed(tag) is not None):
            found.append(f"timm:{name}")
    return found


def _check_images(name: str, home: str) -> None:
    """Refuse what is no network of single images with a gradient, by the module that makes it."""
    kind = home.removeprefix("torchvision.models.").partition(".")[0]
    if kind in _OTHER_INPUT:
        raise TextonError(f"torchvision's '{name}' {_OTHER_INPUT[kind]}")
    if kind == "quantization":
        raise TextonError(
            f"torchvision's '{name}' computes in 8-bit integers, through which there is no "
            f"gradient: use torchvision:{name.removeprefix('quantized_')}"
        )


def _torchvision_weights(spec: str, name: str, tag: str, available: list[Any]) -> Any:
    if not available:
        raise TextonError(f"torchvision has no weights for '{name}': {ways_out(spec)}")
    by_name = {weights.name.lower(): weights for weights in available}
    if not tag or tag.lower() == "default":
        return type(available[0]).DEFAULT
    if tag.lower() not in by_name:
        near = near_names(tag, [weights.name for weights in available])
        choice = ", ".join(weights.name for weights in available)
        raise TextonError(f"'{name}' has no weights '{tag}'{near}: use {choice} or random")
    return by_name[tag.lower()]


def _downloaded(spec: str, name: str, chosen: Any, build: Callable[[], nn.Module]) -> nn.Module:
    """torchvision's own loader checks the hash; the file is fetched first, to fail in one line."""
    target = Path(torch.hub.get_dir()) / "checkpoints" / chosen.url.rpartition("/")[2]
    known_hash = re.search(r"-([a-f0-9]+)\.", target.name)
    try:
        if not target.exists():
            target.parent.mkdir(parents=True, exist_ok=True)
            torch.hub.download_url_to_file(
                chosen.url, str(target), known_hash[1] if known_hash else None
            )
        with quiet():
            return build()
    except (OSError, RuntimeError) as error:  # URLError is an OSError
        reason = one_line(error)
        raise TextonError(
            f"the weights of '{name}' cannot be downloaded ({reason}): {ways_out(spec)}"
        ) from None


def from_timm(spec: str, name: str, tag: str, seed: int | None) -> Source:
    with optional("timm"):
        import timm
    elsewhere = name.startswith(_ELSEWHERE)
    if tag and seed is None and elsewhere:  # hf-hub:owner/name@revision
        name, tag = f"{name}@{tag}", ""
    if tag and seed is None:
        raise TextonError(f"'{spec}': write timm's weights as NAME.TAG, or @random")
    if name.startswith("local-dir:") and not Path(name.partition(":")[2]).is_dir():
        raise TextonError(f"'{spec}': there is no folder '{name.partition(':')[2]}'")
    if not elsewhere and not timm.is_model(name.partition(".")[0]):
        known = timm.list_models()
        raise TextonError(f"timm has no '{name}'{near_names(name, known)}: {_EXAMPLE}")
    try:
        with seeded(seed or 0), _unlogged("huggingface_hub"):
            module = timm.create_model(name, pretrained=seed is None)
    except Exception as error:  # noqa: BLE001 - the hub's client has exceptions of its own
        there = "a folder of it, timm:local-dir:FOLDER, needs no connection"
        way = there if elsewhere else ways_out(spec)  # its architecture is read there too
        raise TextonError(f"timm cannot make '{name}' ({one_line(error)}): {way}") from None
    trained = getattr(module, "pretrained_cfg", None) or {}
    preprocessing: dict[str, Any] = {
        key: tuple(trained.get(key, IMAGENET[key])) for key in ("mean", "std")
    }
    preprocessing["channels"] = trained.get("input_size", (3,))[0]
    return named(module, f"timm:{name}", preprocessing, seed, "pretrained")


@contextlib.contextmanager
def _unlogged(name: str) -> Iterator[None]:
    """Without the lines of a package that tells every try: the last is told in one."""
    logger = logging.getLogger(name)
    level = logger.level
    logger.setLevel(logging.CRITICAL + 1)
    try:
        yield
    finally:
        logger.setLevel(level)


def ways_out(spec: str) -> str:
    return f"give --weights FILE, or write {spec.partition('@')[0]}@random"
