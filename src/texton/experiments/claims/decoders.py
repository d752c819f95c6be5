"""A code decoded in one pass, solved for, or both: which image is nearer, in code and pixels?"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from PIL.Image import Image
from torch import Tensor

from texton.experiments.harness.experiment import Experiment
from texton.experiments.harness.lab import Lab, need
from texton.experiments.harness.options import Options
from texton.experiments.measures.statistics import Array, Estimate, mean_interval
from texton.experiments.report.findings import Cell, Findings, Outcome
from texton.experiments.report.plots import curves
from texton.images.folder import Picture
from texton.images.sheets import Tile, make_sheet
from texton.learned.decoder import LoadedDecoder
from texton.methods.code_inversion import InvertOptions
from texton.methods.inversions import inversion_steps
from texton.methods.method import Task
from texton.methods.parts.inverting import inverted
from texton.methods.result import Result, Unit

DECODER, SOLVER, BOTH = "decoder", "solver", "decoder + solver"
_SHARES = (0.1, 0.2, 0.4, 1.0)  # of the solver's steps, that a polish is given
_SHOWN = 4

Measured = dict[str, dict[str, Array]]  # by who made it, by figure: a number per photograph


def run(lab: Lab) -> Findings:
    need(bool(lab.options.decoders), "name decoders to compare: --decoders FILE..., one a layer")
    decoders = [LoadedDecoder(path, lab.network) for path in lab.options.decoders]
    names = [decoder.layer for decoder in decoders]
    need(len(set(names)) == len(names), f"two decoders of one layer are given: {', '.join(names)}")
    need(len(lab.photos) > 1, "one photograph is given: --photos takes two or more")
    findings, done = Findings(), 0
    in_all = len(decoders) * len(lab.photos)
    told: dict[str, Measured] = {}
    for decoder in decoders:
        made: list[dict[str, Result]] = []
        for photo in lab.photos:
            made.append(_made(lab, decoder, photo))
            done += 1
            lab.reach(f"{decoder.layer} {photo.name}", done, in_all)
        told[decoder.layer] = _measured(lab, made)
        findings.show(
            f"{decoder.layer}: photographs, and what each makes of their codes",
            sheet(lab.photos[:_SHOWN], made[:_SHOWN]),
        )
    report(findings, told, _steps(lab))
    findings.limits.append(
        f"{len(lab.photos)} photographs. Whether a decoder was trained on them only you know: "
        "name some that it has not seen. Seconds are of this machine, network and size, and count "
        "neither loading nor the photograph's own code."
    )
    return findings


def sheet(photos: Sequence[Picture], made: Sequence[Mapping[str, Result]]) -> Image:
    """A row by everyone, the photographs above."""
    rows = [("photograph", [Tile(photo.image[0], photo.name) for photo in photos])]
    for name in made[0]:
        tiles = [Tile(one[name].image, f"{one[name].error:.3g}") for one in made]
        rows.append((name, tiles))
    return make_sheet(rows)


def _steps(lab: Lab) -> int:
    return inversion_steps(lab.options.preset, lab.options.steps)


def polishes(steps: int) -> dict[str, int]:
    """How many steps follow the decoder, by name; the last as many as the solver has alone."""
    return {
        f"{BOTH}, {n} steps": n for n in dict.fromkeys(max(1, round(x * steps)) for x in _SHARES)
    }


def _made(lab: Lab, decoder: LoadedDecoder, photo: Picture) -> dict[str, Result]:
    """One photograph's code, by everyone; the solver last, for its trace."""
    options = {**lab.solving, "seed": lab.options.seed}
    solving: dict[str, dict[str, Any]] = {SOLVER: options}
    from_it = {key: value for key, value in options.items() if key != "steps"}
    for name, polish in {DECODER: 0, **polishes(_steps(lab))}.items():
        solving[name] = {**from_it, "decoder": decoder.path, "polish": polish}
    unit = Unit(decoder.layer, None, photo.name)
    found = {}
    for name, told in solving.items():
        task = Task(
            lab.network,
            (unit,),
            {photo.name: photo.image},
            InvertOptions.of(told),
            lab.options.device,
        )
        uses = decoder if name != SOLVER else None
        if name == DECODER:
            inverted(task, unit, None, None, uses)  # once to warm up: its seconds are few
        found[name] = inverted(task, unit, None, None, uses)
    return found


def _measured(lab: Lab, made: Sequence[Mapping[str, Result]]) -> Measured:
    """Error in code, error in pixels, seconds and steps."""
    names = list(made[0])
    told: Measured = {}
    for name in names:
        results = [one[name] for one in made]
        pixels = [
            pixel_error(result.image, photo.image[0])
            for result, photo in zip(results, lab.photos, strict=True)
        ]
        told[name] = {
            "code": np.array([result.error for result in results]),
            "pixels": np.array(pixels),
            "seconds": np.array([result.seconds for result in results]),
            "steps": np.array([result.steps for result in results], float),
        }
        traces = [_trace(one, name) for one in made]
        pairs = zip((one[SOLVER].trace for one in made), traces, strict=True)
        told[name]["saved"] = np.array([steps_saved(*pair) for pair in pairs])
    return told


def _trace(made: Mapping[str, Result], name: str) -> Sequence[float]:
    """What a run minimises, before every step; of the decoder, where any polish begins."""
    if name != DECODER:
        return made[name].trace
    return next(result.trace for polished, result in made.items() if polished.startswith(BOTH))[:1]


def pixel_error(image: Tensor, photo: Tensor) -> float:
    """‖image − photo‖² / ‖photo − its mean colour‖², (C, H, W) each: 0 the same, 1 a plain one."""
    contrast = (photo - photo.mean((1, 2), keepdim=True)).square().sum()
    return float((image - photo).square().sum() / contrast.clamp_min(1e-12))


def steps_saved(alone: Sequence[float], other: Sequence[float]) -> float:
    """How many steps of the solver alone come as far as another run, less those that it took.

    Args:
        alone, other: what each minimises, before every step; where the solver alone never gets
            there, all of its steps count.
    """
    reached = (step for step, value in enumerate(alone) if value <= other[-1])
    return float(next(reached, len(alone)) - (len(other) - 1))


def report(findings: Findings, told: Mapping[str, Measured], steps: int) -> None:
    """Tables, plots and verdicts, from figures per layer, maker and photograph."""
    rows: list[list[Cell]] = [
        [layer, name, *(float(x[key].mean()) for key in ("code", "pixels", "seconds", "saved"))]
        for layer, measured in told.items()
        for name, x in measured.items()
    ]
    findings.table(
        "compared",
        "Decoder, solver, and the solver from where the decoder got",
        ["layer", "by", "error in code", "error in pixels", "seconds", "steps saved"],
        rows,
        "Means over photographs. Error in code: ‖code − target‖² / ‖target‖²; in pixels: the "
        "same of the image, over the photograph's contrast. Steps saved: those that the solver "
        "alone takes to where this run's last step began, by what it minimises (the error in code "
        "and a little total variation), less those taken.",
    )
    for layer, measured in told.items():
        by = {
            key: [
                (float(measured[name]["steps"].mean()), float(np.log10(measured[name][key].mean())))
                for name in (DECODER, *polishes(steps))
            ]
            for key in ("code", "pixels")
        }
        both = {f"decoder + solver, {key}": points for key, points in by.items()}
        alone = {
            f"solver, {key}": [(float(steps), float(np.log10(measured[SOLVER][key].mean())))]
            for key in by
        }
        lines = {**both, **alone}
        findings.plot(f"{layer}: error over steps", curves(lines, "steps", "log10 of the error"))
    findings.data["compared"] = {
        layer: {name: {k: v.tolist() for k, v in x.items()} for name, x in measured.items()}
        for layer, measured in told.items()
    }
    _judge(findings, told, steps)


def _judge(findings: Findings, told: Mapping[str, Measured], steps: int) -> None:
    some = next(iter(polishes(steps)))
    every = list(polishes(steps))[-1]
    claims = (
        ("In code, the solver comes nearer than the decoder.", "code", SOLVER, DECODER),
        ("In pixels, the decoder comes nearer than the solver.", "pixels", DECODER, SOLVER),
        ("The decoder is the faster.", "seconds", DECODER, SOLVER),
        (
            f"From the decoder's image, {some.rpartition(', ')[2]} come nearer in code than all "
            f"{steps} of the solver alone.",
            "code",
            some,
            SOLVER,
        ),
        (
            "From the decoder's image, as many steps come nearer in pixels than the solver alone.",
            "pixels",
            every,
            SOLVER,
        ),
    )
    for claim, key, less, more in claims:
        by_layer = {
            layer: mean_interval(np.log10(measured[more][key] / measured[less][key]))
            for layer, measured in told.items()
        }
        evidence = "; ".join(f"{layer} {_times(x)}" for layer, x in by_layer.items())
        findings.judge(claim, outcome(list(by_layer.values())), f"{evidence}.")


def outcome(leads: Sequence[Estimate]) -> Outcome:
    """Holds where every layer's lead is above none, refuted where every one is below."""
    if all(lead.low > 0 for lead in leads):
        return "holds"
    return "not supported" if all(lead.high < 0 for lead in leads) else "partly"


def _times(lead: Estimate) -> str:
    """``3.1 times (2.0 to 4.8)`` of a difference of logarithms."""
    value, low, high = (f"{10**x:.3g}" for x in (lead.value, lead.low, lead.high))
    return f"{value} times ({low} to {high}) as small"


EXPERIMENT = Experiment(
    name="decoders",
    title="Inverting a network by another: decoder, solver, or both?",
    section="beside section 2 (Dosovitskiy & Brox 2016 against Mahendran & Vedaldi 2015)",
    question="A decoder gives the image of a code in one pass, the solver looks for it. Which "
    "comes nearer to the code, which to the photograph, in which time, and what is the decoder's "
    "image worth as a start?",
    method=(
        "The code of every photograph is decoded, solved for from noise, and solved for from what "
        "the decoder gave, with a tenth, a fifth, two fifths and all of the steps.",
        "The error in code is the solver's own aim, the error in pixels nobody's but the "
        "decoder's: a decoder has seen photographs, the solver knows none. So Dosovitskiy and Brox "
        "found decoders nearer in the image, and further in the code.",
        "A claim holds where the ratio of the two errors, over photographs, is above one with its "
        "95 % interval in every layer, and is refuted where it is below one in every layer.",
    ),
    run=run,
    uses=("preset", "decoders"),
    defaults=Options(size=128, preset="normal"),
)
