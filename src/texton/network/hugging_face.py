"""Vision models of Hugging Face's transformers: a folder of ``save_pretrained``, or a name."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Mapping
from logging import CRITICAL
from pathlib import Path
from typing import Any

import torch
from torch import nn

from texton.errors import TextonError, one_line, optional
from texton.network.inside import look_inside
from texton.network.told import IMAGENET, Source, named, numbers, quiet, seeded
from texton.reading import read_json_file

_PROCESSORS = ("preprocessor_config.json", "processor_config.json")
_TOWERS = ("vision_model", "vision_tower", "visual")  # of models that take text beside images
_PIXELS = "pixel_values"


def from_transformers(spec: str, name: str, tag: str, seed: int | None) -> Source:
    """A model that takes images, its weights from safetensors alone, no code of a repository run.

    Its own image processor's mean, std and white are honoured.

    Raises:
        TextonError: it is not to be had, takes no images, has other weights than its architecture
            or none in safetensors, or an image processor of another form.
    """
    with optional("transformers"):
        from transformers import AutoConfig, AutoModel
    if tag and seed is None:
        raise TextonError(f"'{spec}': write transformers:PATH_OR_NAME, or @random behind it")
    local = Path(name).is_dir()
    if not local and name.startswith((".", "/", "~")):
        raise TextonError(f"'{spec}': there is no folder '{name}'")
    told = {"trust_remote_code": False, "local_files_only": local}
    try:
        with quiet(), _silent():
            config = AutoConfig.from_pretrained(name, **told)
            with torch.device("meta"):
                takes = AutoModel.from_config(config).main_input_name
            if takes != _PIXELS and not hasattr(config, "vision_config"):
                raise TextonError(f"'{spec}' takes {takes}, no images: name a vision model")
            with seeded(seed or 0):
                module, details = _made(AutoModel, name, config, told, seed)
    except TextonError:
        raise
    except Exception as error:  # noqa: BLE001 - the hub's client has exceptions of its own
        raise TextonError(_not_had(spec, local, error)) from None
    module = _tower(spec, module.float(), takes)
    processor = _processor(name, local)
    preprocessing = _preprocessing(spec, processor)
    details |= {} if processor else {"assumed": "ImageNet's mean and std: it has no processor"}
    channels = getattr(getattr(config, "vision_config", config), "num_channels", None)
    if not isinstance(channels, int):
        seen = look_inside(module)
        channels = seen.channels if seen else 3
    preprocessing["channels"] = channels
    return named(module, f"transformers:{name}", preprocessing, seed, "pretrained", details)


def _made(
    auto: Any, name: str, config: Any, told: Mapping[str, Any], seed: int | None
) -> tuple[nn.Module, dict[str, Any]]:
    if seed is not None:
        return auto.from_config(config), {}
    module, report = auto.from_pretrained(
        name, config=config, use_safetensors=True, output_loading_info=True, **told
    )
    missing = sorted(report["missing_keys"])
    if 2 * len(missing) > len(module.state_dict()):
        raise TextonError(
            f"'{name}' does not hold the weights of its {type(module).__name__}: "
            f"{len(missing)} are missing, the first is {missing[0]}"
        )
    return module, {"untrained": ", ".join(missing)} if missing else {}


def _tower(spec: str, module: nn.Module, takes: str) -> nn.Module:
    """The part that takes images, of a model that takes text as well."""
    if takes == _PIXELS:
        return module
    for name in _TOWERS:
        part = getattr(module, name, None)
        if isinstance(part, nn.Module) and getattr(part, "main_input_name", _PIXELS) == _PIXELS:
            return part
    raise TextonError(f"'{spec}' takes {takes} beside images: name a vision model")


def _not_had(spec: str, local: bool, error: Exception) -> str:
    """Why it is not to be had, and what to do."""
    what = " ".join(str(error).split())
    if "safetensors" in what and ("found" in what or "no file named" in what):
        return (
            f"'{spec}' has no weights in safetensors: load it where you trust it, and write it "
            "anew with model.save_pretrained(folder)"
        )
    if "trust_remote_code" in what:
        return f"'{spec}' needs code of its own, which texton does not run: give file.py:function"
    names = "a folder that save_pretrained wrote" + ("" if local else ", or huggingface.co's name")
    return f"'{spec}' cannot be had ({one_line(error)}): give {names}"


def _processor(name: str, local: bool) -> dict[str, Any]:
    """What its image processor is told; empty where it has none."""
    for file in _PROCESSORS:
        path = Path(name) / file if local else _fetched(name, file)
        if path is None or not path.is_file():
            continue
        try:
            read = read_json_file(path)
        except (OSError, ValueError) as error:
            raise TextonError(f"'{path}' is no image processor's: {one_line(error)}") from None
        inner = read.get("image_processor", read if file == _PROCESSORS[0] else None)
        if isinstance(inner, dict):
            return inner
    return {}


def _fetched(name: str, file: str) -> Path | None:
    from huggingface_hub import hf_hub_download

    with contextlib.suppress(Exception), _silent():
        return Path(hf_hub_download(name, file))
    return None


def _preprocessing(spec: str, told: Mapping[str, Any]) -> dict[str, Any]:
    """(x · 255 · rescale_factor − mean) / std, each of it where the processor does it."""
    if not told:
        return dict(IMAGENET)
    white, offset = 255.0, 0.0
    if _flag(spec, told, "do_rescale"):
        white *= _number(spec, told, "rescale_factor", 1 / 255)
        offset = 1.0 if told.get("rescale_offset") is True else 0.0
    mean, std = [0.0], [1.0]
    if _flag(spec, told, "do_normalize"):
        found = [numbers(told.get(key, IMAGENET[key[6:]])) for key in ("image_mean", "image_std")]
        if found[0] is None or found[1] is None or min(found[1]) <= 0:
            raise TextonError(f"'{spec}': its image processor's mean or std are no numbers above 0")
        mean, std = found[0], found[1]
    return {"mean": [x + offset for x in mean], "std": std, "input_range": round(white, 9)}


def _flag(spec: str, told: Mapping[str, Any], key: str) -> bool:
    value = told.get(key, True)
    if value is not None and not isinstance(value, bool):
        raise TextonError(f"'{spec}': its image processor's {key} is {value!r}, not true or false")
    return value is not False


def _number(spec: str, told: Mapping[str, Any], key: str, default: float) -> float:
    found = numbers(told.get(key, default))
    if found is None or len(found) != 1 or found[0] <= 0:
        raise TextonError(f"'{spec}': its image processor's {key} is {told[key]!r}: no number")
    return found[0]


@contextlib.contextmanager
def _silent() -> Iterator[None]:
    """Its bars and reports are left out while it loads; what the caller had is put back."""
    with optional("transformers"):
        from huggingface_hub import utils as hub
        from transformers.utils import logging

    levels = logging.get_verbosity(), hub.logging.get_verbosity()
    bars = logging.is_progress_bar_enabled(), not hub.are_progress_bars_disabled()
    logging.set_verbosity(CRITICAL)
    hub.logging.set_verbosity(CRITICAL)
    logging.disable_progress_bar()
    hub.disable_progress_bars()
    try:
        yield
    finally:
        logging.set_verbosity(levels[0])
        hub.logging.set_verbosity(levels[1])
        if bars[0]:
            logging.enable_progress_bar()
        if bars[1]:
            hub.enable_progress_bars()
