"""Running one experiment from its options to its report."""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from texton.errors import TextonError
from texton.experiments.harness.experiment import Experiment
from texton.experiments.harness.folder import Folder
from texton.experiments.harness.lab import Lab, OnUnit
from texton.experiments.report.report import write_report
from texton.jobs.engines import Engine


def run_experiment(
    experiment: Experiment,
    out: Path,
    chosen: dict[str, Any] | None = None,
    *,
    command: str = "",
    on_unit: OnUnit | None = None,
    tell: Callable[[str], None] | None = None,
    engine: Engine | None = None,
) -> dict[str, Any]:
    """Run an experiment, or go on with it, and write its report.

    Args:
        out: its folder; one made with other settings is refused.
        chosen: any of `Options`; what is not chosen is the experiment's default.
        engine: whose workers make the pictures; this process without one.

    Returns:
        ``report`` and ``data`` (paths), ``verdicts``, ``seconds``.

    Raises:
        TextonError: what cannot be read, computed or written.
    """
    name = experiment.name
    options = experiment.defaults.given(chosen or {})
    if options.folder is not None and not experiment.takes_folder:
        raise TextonError(f"{name} takes no folder: give files by --photos and --styles")
    for key in ("preset", "steps", "filters", "repeats", "decoders"):
        needed = "preset" if key == "steps" else key
        if (chosen or {}).get(key) not in (None, ()) and needed not in experiment.uses:
            raise TextonError(f"{name} does not use --{key}: leave it out")
    started = time.perf_counter()
    folder = Folder(out)
    lab = Lab(name, options, folder, on_unit, tell, engine, experiment.samples)
    lab.network, lab.photos, lab.styles  # noqa: B018 - refused before anything is written
    with folder.held():
        lab.settle()
        findings = experiment.run(lab)
        about = {
            key: getattr(experiment, key)
            for key in ("name", "title", "section", "question", "method")
        }
        path = write_report(out, about, _settings(experiment, lab), findings, command)
    return {
        "experiment": name,
        "report": str(path),
        "data": str(out / "data.json"),
        "verdicts": [vars(verdict) for verdict in findings.verdicts],
        "seconds": round(time.perf_counter() - started, 1),
    }


def _settings(experiment: Experiment, lab: Lab) -> dict[str, Any]:
    """What the report says it was made with: only what the experiment heeds."""
    options = lab.options
    inputs = {
        "photos": ", ".join(p.name for p in lab.photos),
        "styles": ", ".join(p.name for p in lab.styles),
    }
    counts = {
        "preset": options.preset if options.steps is None else f"{options.steps} steps",
        "filters per layer": options.filters,
        "repeats": options.repeats,
    }
    return {
        **(inputs if options.folder is None else {"folder": options.folder.name}),
        **lab.network.describe(),
        "size": f"{options.size} pixels",
        **{key: value for key, value in counts.items() if key.split()[0] in experiment.uses},
        "seed": options.seed,
        **lab.compute.describe(),
    }
