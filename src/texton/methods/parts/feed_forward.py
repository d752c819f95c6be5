"""`stylize --model`: a photograph painted in one pass by a network that learnt to."""

from __future__ import annotations

import time
from typing import Any

import torch
from torch import Tensor

from texton.errors import TextonError
from texton.images.files import as_saved, content_hash
from texton.learned.style_file import StyleModel, read_style_model
from texton.methods.method import Task
from texton.methods.options import declarations
from texton.methods.parts.colours import with_colors_of, without_white
from texton.methods.parts.photographs import alpha_of, bits_of
from texton.methods.result import Result, Unit
from texton.network.device import choose_compute
from texton.version import __version__

_OF_ANY = {
    "model",
    "style_mix",
    "keep_colors",
    "seed",
    "depth",
    "alpha",
    "kept",
}  # options that a model minds or ignores


def check_model(task: Task) -> StyleModel:
    """The model of the options.

    Raises:
        TextonError: it cannot be read or used; styles or options of the optimiser beside it.
    """
    told = task.options
    if told.styles:
        raise TextonError("the styles are in the model: leave out the others, or --model")
    for declared in declarations(type(told)):
        if declared.name in told.changed() and declared.name not in _OF_ANY:
            raise TextonError(
                f"{declared.flag} is for pictures that are solved for: leave it out with --model"
            )
    if told.keep_colors == "statistics":
        raise TextonError("the styles are in the model, with their colours: use --keep-colors luma")
    model = read_style_model(told.model)
    model.shares(told.style_mix)
    return model


def painted(task: Task, unit: Unit, model: StyleModel) -> Result:
    """The photograph of a unit, painted.

    Raises:
        TextonError: see `StyleModel.paint`; an unknown device.
    """
    told, content = task.options, task.photo(unit)
    bits, alpha = bits_of(told, content), alpha_of(told, content)
    if alpha is not None:
        content = without_white(content, alpha)
    device = choose_compute(task.device, torch.float32).device
    started = time.perf_counter()
    picture = model.paint(content, told.style_mix, device)
    if told.keep_colors:
        picture = with_colors_of(content.to(device), picture)
    seconds = time.perf_counter() - started
    return Result(
        image=as_saved(picture, bits)[0].cpu(),
        unit=unit,
        figures=dict.fromkeys(("total", "content", "style", "steps", "starts")),
        seconds=seconds,
        settings=_recorded(task, content, model, device),
        alpha=alpha,
        bits=bits,
    )


def _recorded(
    task: Task, content: Tensor, model: StyleModel, device: torch.device
) -> dict[str, Any]:
    told = task.options
    made = model.header
    shares = model.shares(told.style_mix)[0].tolist()
    return {
        "texton": __version__,
        "torch": torch.__version__,
        "method": "stylize",
        "photo_hash": content_hash(content),
        "size": [content.shape[3], content.shape[2]],
        "model": {
            "file": model.path.name,
            "styles": dict(zip(model.names, shares, strict=True)),
            "architecture": model.generator.architecture.as_json(),
            **({"network": made.network, "steps": made.steps} if made else {}),
        },
        "keep_colors": told.keep_colors,
        "device": str(device),
        "dtype": "float32",
    }
