"""The state of a training on disk: what is needed to go on as if nothing had happened."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from texton.errors import TextonError, first_line
from texton.learned.file import check_fits, read_tensors, write_tensors
from texton.reading import read_json, take, take_all, to_json

FORMAT = "texton-training-1"
_MODEL, _OPTIMISER = "model/", "optimiser/"


@dataclass
class Progress:
    """How far a training is.

    Attributes:
        seconds: spent training, in all runs together.
        trace: [step, loss, loss on held-out photographs], as often as there is a sample.
        average: of the loss, over the latest steps.
    """

    step: int = 0
    seconds: float = 0.0
    average: float = 0.0
    trace: list[tuple[float, ...]] = field(default_factory=list)


def keep_state(
    model: nn.Module,
    optimiser: torch.optim.Optimizer,
    progress: Progress,
    decides: dict[str, Any],
    path: Path,
) -> None:
    """Write the state, whole or not at all.

    Args:
        decides: what has to be the same where it is gone on with.

    Raises:
        TextonError: the disk does not take it.
    """
    tensors = {_MODEL + name: value.detach().cpu() for name, value in model.state_dict().items()}
    for number, values in optimiser.state_dict()["state"].items():
        for name, value in values.items():
            tensors[f"{_OPTIMISER}{number}/{name}"] = torch.as_tensor(value).detach().cpu()
    text = to_json({"format": FORMAT, "decides": decides, **vars(progress)})
    write_tensors(tensors, text, path)


def read_state(
    model: nn.Module, optimiser: torch.optim.Optimizer, decides: dict[str, Any], path: Path
) -> Progress:
    """Put a state back into a model and its optimiser; how far it is.

    Raises:
        TextonError: it is damaged, or of another training.
    """
    anew = f"take '{path}' away to begin anew, or name another -o"
    tensors, text = read_tensors(path, "the state of a training")
    try:
        read = read_json(text)
        if read.get("format") != FORMAT:
            raise ValueError(f"its format is not {FORMAT}")
        before = take(read, "decides", dict)
        progress = Progress(
            step=take(read, "step", int),
            seconds=take(read, "seconds", float),
            average=take(read, "average", float),
            trace=[
                tuple(take_all({"row": row}, "row", float)) for row in take_all(read, "trace", list)
            ],
        )
    except ValueError as error:
        raise TextonError(f"'{path}' is damaged ({first_line(error)}): {anew}") from None
    for key, value in decides.items():
        if key not in before or before[key] != value:
            said = _short(before.get(key, "unsaid"))
            raise TextonError(
                f"an unfinished training is there, with {key} {said}, not {_short(value)}: {anew}"
            )
    own = {x.removeprefix(_MODEL): y for x, y in tensors.items() if x.startswith(_MODEL)}
    check_fits(model.state_dict(), own, path)
    model.load_state_dict(own)
    _put_optimiser(optimiser, tensors, path)
    return progress


def _put_optimiser(
    optimiser: torch.optim.Optimizer, tensors: dict[str, Tensor], path: Path
) -> None:
    parameters = [x for group in optimiser.param_groups for x in group["params"]]
    state: dict[int, dict[str, Tensor]] = {}
    for name, value in tensors.items():
        if not name.startswith(_OPTIMISER):
            continue
        number, _, key = name.removeprefix(_OPTIMISER).partition("/")
        place = int(number) if number.isdecimal() else -1
        fits = 0 <= place < len(parameters) and value.shape in (parameters[place].shape, ())
        if not fits or not bool(value.isfinite().all()):
            raise TextonError(f"'{path}' is damaged: take it away to begin anew")
        state.setdefault(place, {})[key] = value
    groups = optimiser.state_dict()["param_groups"]
    optimiser.load_state_dict({"state": state, "param_groups": groups})


def _short(value: Any) -> str:
    return str(value)[:60]
