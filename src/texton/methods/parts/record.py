"""What a picture that nothing is solved for records of how it was made."""

from __future__ import annotations

from typing import Any

import torch

from texton.errors import TextonError
from texton.images.files import content_hash
from texton.methods.method import Task
from texton.methods.result import Unit
from texton.network.device import Compute
from texton.version import __version__


def described(method: str, task: Task, unit: Unit, compute: Compute) -> dict[str, Any]:
    """As PNG and JSON carry it. The picture is RGB, whatever bands the network's images show."""
    image = task.photo(unit)
    told = {
        "texton": __version__,
        "torch": torch.__version__,
        "method": method,
        **task.network.describe(),
        "photo_hash": content_hash(image),
        "size": [image.shape[3], image.shape[2]],
        **task.needs,
        "options": task.options.as_json(),
        **compute.describe(),
    }
    told.pop("bands", None)
    return told


def channel_of(unit: Unit) -> int:
    """
    Raises:
        TextonError: the unit is a whole layer.
    """
    if unit.channel is None:
        raise TextonError(f"{unit.layer} alone is no filter: name a channel")
    return unit.channel
