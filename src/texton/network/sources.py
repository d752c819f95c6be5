"""Networks that others made: torchvision's, timm's, a function in a file, a module in memory."""

from __future__ import annotations

import contextlib
import copy
import importlib.util
import inspect
import re
import sys
import traceback
import warnings
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from texton.errors import TextonError, near_names, one_line, optional
from texton.network.weights import load_weights

IMAGENET = {"mean": (0.485, 0.456, 0.406), "std": (0.229, 0.224, 0.225)}
SCHEMES = ("torchvision", "timm")
_PREPROCESSING = ("mean", "std", "input_range", "channels")
_NOTHING_SAID = {"mean": 0.0, "std": 1.0, "input_range": 1.0, "channels": 3}


@dataclass(frozen=True)
class Source:
    """A module with what it must be told about its images, and what nobody said."""

    module: nn.Module
    name: str
    preprocessing: dict[str, Any]
    details: dict[str, Any] = field(default_factory=dict)


def from_spec(spec: str, weights: str | Path | None) -> Source | None:
    """``torchvision:NAME[@weights|@random]``, ``timm:NAME[@random]``, ``file.py:function``.

    ``@random7`` draws the random weights with seed 7; ``@random`` is ``@random0``.

    Returns:
        None where the text has none of these forms.

    Raises:
        TextonError: a package, architecture, file or function that is not there, one that
            fails, weights that cannot be had or do not fit.
    """
    scheme, colon, rest = spec.rpartition(":")
    if colon and scheme.endswith(".py"):
        return _loaded(_from_file(spec, Path(scheme), rest), weights)
    scheme, colon, rest = spec.partition(":")
    if scheme not in SCHEMES or not colon:
        return None
    name, _, tag = rest.partition("@")
    if tag and weights is not None:
        raise TextonError(f"'{spec}' names weights and so does --weights: leave one of them out")
    if weights is not None:
        tag = "random0"
    seed = random_seed(tag)
    make = _torchvision if scheme == "torchvision" else _timm
    source = make(spec, name, tag, seed)
    if weights is not None:
        return _loaded(Source(source.module, f"{scheme}:{name}", source.preprocessing), weights)
    return source


def from_module(module: nn.Module, weights: str | Path | None = None) -> Source:
    """A module as it is; its own ``mean``, ``std``, ``input_range``, ``channels`` are honoured."""
    source = _described(module, type(module).__name__, {})
    if weights is not None:  # into a copy: the module is the caller's
        source = Source(copy.deepcopy(module), source.name, source.preprocessing, source.details)
    return _loaded(source, weights)


def _torchvision(spec: str, name: str, tag: str, seed: int | None) -> Source:
    with optional("torchvision"):
        from torchvision import models
    known = models.list_models()
    if name not in known:
        raise TextonError(f"torchvision has no '{name}'{near_names(name, known)}: {_EXAMPLE}")
    available = list(models.get_model_weights(name))
    if seed is not None:
        builder = models.get_model_builder(name)
        backbone = "weights_backbone" in inspect.signature(builder).parameters
        options = {"weights_backbone": None} if backbone else {}
        with _seeded(seed):
            module = builder(weights=None, **options)
        chosen = available[0] if available else None
    else:
        chosen = _torchvision_weights(spec, name, tag, available)
        module = _downloaded(spec, name, chosen, lambda: models.get_model(name, weights=chosen))
    transforms = chosen.transforms() if chosen is not None else None
    preprocessing = {key: tuple(getattr(transforms, key, IMAGENET[key])) for key in ("mean", "std")}
    return _named(module, f"torchvision:{name}", preprocessing, seed, getattr(chosen, "name", ""))


def _torchvision_weights(spec: str, name: str, tag: str, available: list[Any]) -> Any:
    if not available:
        raise TextonError(f"torchvision has no weights for '{name}': {_ways_out(spec)}")
    named = {weights.name.lower(): weights for weights in available}
    if not tag or tag.lower() == "default":
        return type(available[0]).DEFAULT
    if tag.lower() not in named:
        near = near_names(tag, [weights.name for weights in available])
        choice = ", ".join(weights.name for weights in available)
        raise TextonError(f"'{name}' has no weights '{tag}'{near}: use {choice} or random")
    return named[tag.lower()]


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
        with _quiet():
            return build()
    except (OSError, RuntimeError) as error:  # URLError is an OSError
        reason = one_line(error)
        raise TextonError(
            f"the weights of '{name}' cannot be downloaded ({reason}): {_ways_out(spec)}"
        ) from None


def _timm(spec: str, name: str, tag: str, seed: int | None) -> Source:
    with optional("timm"):
        import timm
    if tag and seed is None:
        raise TextonError(f"'{spec}': write timm's weights as NAME.TAG, or @random")
    if not timm.is_model(name.partition(".")[0]):
        known = timm.list_models()
        raise TextonError(f"timm has no '{name}'{near_names(name, known)}: {_EXAMPLE}")
    try:
        with _seeded(seed or 0):
            module = timm.create_model(name, pretrained=seed is None)
    except Exception as error:  # noqa: BLE001 - the hub's client has exceptions of its own
        raise TextonError(
            f"timm cannot make '{name}' ({one_line(error)}): {_ways_out(spec)}"
        ) from None
    trained = getattr(module, "pretrained_cfg", None) or {}
    preprocessing = {key: tuple(trained.get(key, IMAGENET[key])) for key in ("mean", "std")}
    preprocessing["channels"] = trained.get("input_size", (3,))[0]
    return _named(module, f"timm:{name}", preprocessing, seed, "pretrained")


def _from_file(spec: str, path: Path, function: str) -> Source:
    if not path.is_file():
        raise TextonError(f"there is no file '{path}': write path/to/file.py:function")
    loader = importlib.util.spec_from_file_location(f"texton_user_{path.stem}", path)
    assert loader is not None and loader.loader is not None  # its name ends in .py
    namespace = importlib.util.module_from_spec(loader)
    with _neighbours(path.parent), contextlib.redirect_stdout(sys.stderr):
        sys.modules[loader.name] = namespace  # dataclasses look their own module up
        try:
            with _told(f"'{path}'", path):
                loader.loader.exec_module(namespace)
        except TextonError:
            sys.modules.pop(loader.name, None)
            raise
        make = getattr(namespace, function, None)
        if not callable(make):
            known = [key for key, value in vars(namespace).items() if inspect.isfunction(value)]
            near = near_names(function, known)
            raise TextonError(f"'{path}' has no function '{function}'{near}: it has {known}")
        with _told(f"'{spec}'", path), _seeded(0):
            made = make()
    module, said = made if isinstance(made, tuple) and len(made) == 2 else (made, {})
    if not isinstance(module, nn.Module) or not isinstance(said, Mapping):
        raise TextonError(
            f"'{spec}' returns {type(made).__name__}: return an nn.Module, or "
            "(module, {'mean': …, 'std': …, 'input_range': …, 'channels': …})"
        )
    for key in said:
        if key not in (*_PREPROCESSING, "bands"):
            raise TextonError(
                f"'{spec}' says '{key}'{near_names(str(key), _PREPROCESSING)}: "
                f"its preprocessing may say {', '.join(_PREPROCESSING)}, bands"
            )
    return _described(module, f"{path}:{function}", dict(said))


def _described(module: nn.Module, name: str, said: dict[str, Any]) -> Source:
    """With what the module says about itself, and the rest taken for granted and recorded."""
    for key in _PREPROCESSING:
        value = getattr(module, key, None)
        if key not in said and isinstance(value, (int, float, list, tuple, Tensor)):
            said[key] = value.detach().flatten().tolist() if isinstance(value, Tensor) else value
    assumed = {key: value for key, value in _NOTHING_SAID.items() if key not in said}
    if "channels" in assumed:
        convs = (part for part in module.modules() if isinstance(part, nn.Conv2d))
        first = next(convs, None)
        assumed["channels"] = first.in_channels if first else 3
    text = ", ".join(f"{key} {value:g}" for key, value in assumed.items())
    return Source(module, name, {**assumed, **said}, {"assumed": text} if text else {})


def _named(
    module: nn.Module, name: str, preprocessing: dict[str, Any], seed: int | None, weights: str
) -> Source:
    if seed is None:
        return Source(module, f"{name}@{weights}", preprocessing, {"weights": weights})
    suffix = f"@random{seed}" if seed else "@random"
    details = {"weights": f"random, seed {seed}, torch {torch.__version__}"}
    return Source(module, name + suffix, preprocessing, details)


def _loaded(source: Source, weights: str | Path | None) -> Source:
    if weights is None:
        return source
    load_weights(source.module, weights, source.name)
    details = {**source.details, "weights": str(weights)}
    return Source(source.module, source.name, source.preprocessing, details)


def random_seed(tag: str) -> int | None:
    """The seed that ``random7`` names; None where it names something else."""
    match = re.fullmatch(r"random([0-9]{0,18})", tag)
    return int(match[1] or 0) if match else None


@contextlib.contextmanager
def _quiet() -> Iterator[None]:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        yield


@contextlib.contextmanager
def _seeded(seed: int) -> Iterator[None]:
    """Random weights that are the same every time, and leave the caller's generator alone."""
    with torch.random.fork_rng(devices=[]), _quiet():
        torch.default_generator.manual_seed(seed)
        yield


@contextlib.contextmanager
def _neighbours(folder: Path) -> Iterator[None]:
    """A user's file may import what lies beside it, as when it is run."""
    sys.path.insert(0, str(folder.absolute()))
    try:
        yield
    finally:
        sys.path.remove(str(folder.absolute()))


@contextlib.contextmanager
def _told(what: str, path: Path) -> Iterator[None]:
    """Whatever a user's code raises, as one line that names the line of the file."""
    try:
        yield
    except (Exception, SystemExit) as error:
        if isinstance(error, TextonError):
            raise
        stack = traceback.extract_tb(error.__traceback__)
        frames = [frame for frame in stack if Path(frame.filename).name == path.name]
        line = f" (line {frames[-1].lineno})" if frames else ""
        raise TextonError(f"{what} fails{line}: {one_line(error)}") from None


def _ways_out(spec: str) -> str:
    return f"give --weights FILE, or write {spec.partition('@')[0]}@random"


_EXAMPLE = "write torchvision:resnet18 or timm:resnet18"
