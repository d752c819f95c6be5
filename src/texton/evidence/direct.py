"""Evidence of a few layers gathered on the spot: nothing is written, nothing is kept."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np
import torch

from texton.errors import TextonError
from texton.evidence.format import Evidence, LayerEvidence
from texton.evidence.geometry import measure_layers
from texton.evidence.looking import Known, files_in, look
from texton.evidence.manifest import EvidenceManifest
from texton.evidence.pictures import Scanned
from texton.evidence.sweep import Sweep
from texton.images.files import read_image
from texton.network.device import Compute
from texton.network.network import Network
from texton.version import __version__

MOST = 2_000  # pictures: more are worth a scan that is kept
_TOGETHER = 32
_TOP = 16


def evidence_in(
    folder: Path, network: Network, layers: Sequence[str], size: int, compute: Compute
) -> Evidence:
    """What excites the filters of some layers in the pictures of a folder, near-duplicates once.

    Raises:
        TextonError: it cannot be read, has no picture that can be, or over 2,000.
    """
    intake = network.intake(layers)
    size = intake.edge(size)
    needs = intake.told()
    pictures = _looked_at(folder, size, network.channels, needs)
    geometry = measure_layers(network, layers, size)
    sweep = Sweep(network, geometry, compute, _TOP, 0)
    states = sweep.nothing()
    numbers = [number for number, one in enumerate(pictures) if one.status == "ok"]
    for start in range(0, len(numbers), _TOGETHER):
        chosen = np.array(numbers[start : start + _TOGETHER])
        paths = (folder / pictures[number].path for number in chosen)
        images = [read_image(path, size, channels=network.channels, **needs) for path in paths]
        hashes = np.array([int(pictures[n].content, 16) for n in chosen], np.uint64)
        sweep.run(states, images, chosen, hashes)
    settings = {"size": size, "top": _TOP, "seed": 0, "channels": network.channels}
    manifest = EvidenceManifest(
        texton=__version__,
        torch=torch.__version__,
        network=network.name,
        weights_hash=network.weights_hash,
        network_options={},
        settings={**settings, **needs, **compute.describe()},
        layers=geometry,
        roots=(str(folder.absolute()),),
    )
    found = {layer.name: LayerEvidence(layer, states[layer.name], _TOP) for layer in geometry}
    return Evidence(folder, manifest, pictures, found)


def _looked_at(folder: Path, size: int, channels: int, needs: Mapping[str, Any]) -> list[Scanned]:
    pictures: list[Scanned] = []
    known = Known([])
    try:
        files = list(islice(files_in(folder, channels, lambda _: None), MOST + 1))
    except OSError as error:
        raise TextonError(f"cannot read '{folder}': {error.strerror or error}") from None
    if len(files) > MOST:
        raise TextonError(
            f"there are over {MOST:,} pictures in '{folder}': `texton scan` it, then --from that"
        )
    for path in files:
        one = look(folder, 0, path, size, channels, needs)
        one = known.judged(one)
        known.note(len(pictures), one)
        pictures.append(one)
    if not any(one.status == "ok" for one in pictures):
        raise TextonError(f"there is neither evidence nor a picture in '{folder}'")
    return pictures
