"""Evidence that a method is told of: of this network, and with the layers it is asked for."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING

from texton.errors import TextonError
from texton.evidence.format import Evidence

if TYPE_CHECKING:
    from texton.methods.method import Task
    from texton.network.network import Network


def evidence_of(network: Network, folder: Path, layers: Iterable[str] = ()) -> Evidence:
    """What `texton scan` found with this network.

    Raises:
        TextonError: the folder is no evidence, or of another network; it lacks one of the layers.
    """
    evidence = Evidence.open(folder)
    if evidence.manifest.weights_hash != network.weights_hash:
        raise TextonError(
            f"the evidence in '{folder}' is of another network than {network.name}, or of other "
            "weights: scan with this one"
        )
    for layer in layers:
        evidence.layer(layer)
    return evidence


def check_evidence(task: Task, folder: Path | None) -> None:
    """Refuse, before anything is made, evidence that some unit will not find itself in."""
    if folder is not None:
        layers = dict.fromkeys(unit.layer for unit in task.units if unit.layer)
        evidence_of(task.network, folder, layers)
