"""A code decoded in one pass, solved for, or both: which image is nearer, in code and pixels?"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
from PIL.Image import Image
from torch import Tensor

from texton.experiments.harness.experiment import Experiment
from texton.experiments.harness.folder import Made
from texton.experiments.harness.lab import Lab, need
from texton.experiments.harness.options import Options
from texton.experiments.harness.work import Series
from texton.experiments.measures.statistics import Array, Estimate, mean_interval
from texton.experiments.report.findings import Cell, Findings, Outcome
from texton.experiments.report.plots import curves
from texton.images.folder import Picture
from texton.images.sheets import Tile, make_sheet
from texton.learned.decoder import LoadedDecoder
from texton.methods.code_inversion import InvertOptions
from texton.methods.inversions import inversion_steps
from texton.methods.result import Unit

DECODER, SOLVER, BOTH = "decoder", "solver", "decoder + solver"
_SHARES = (0.1, 0.2, 0.4, 1.0)  # of the solver's steps
_SHOWN = 4

Who = tuple[str, int]  # who makes a picture, and in how many steps
Measured = dict[Who, dict[str, Array]]  # by figure: a number per photograph


def run(lab: Lab) -> Findings:
    need(bool(lab.options.decoders), "name decoders to compare: --decoders FILE..., one a layer")
    decoders = [LoadedDecoder(path, lab.network) for path in lab.options.decoders]
    names = [decoder.layer for decoder in decoders]
    need(len(set(names)) == len(names), f"two decoders of one layer are given: {', '.join(names)}")
    need(len(lab.photos) > 1, "one photograph is given: --photos takes two or more")
    steps = inversion_steps(lab.options.preset, lab.options.steps)
    series = {
        decoder.layer: {
            who: [_series(lab, decoder, photo, *who) for photo in lab.photos] for who in whos(steps)
        }
        for decoder in decoders
    }
    lab.make([one for by in series.values() for each in by.values() for one in each])
    findings = Findings()
    told: dict[str, Measured] = {}
    for layer, by in series.items():
        made = {who: [lab.made(one)[0] for one in each] for who, each in by.items()}
        told[layer] = {who: _measured(lab, each) for who, each in made.items()}
        findings.show(f"{layer}: what each makes of the photographs' codes", sheet(lab, made))
    report(findings, told)
    findings.limits.append(
        f"{len(lab.photos)} photographs. Whether a decoder was trained on them only you know: "
        "name some that it has not seen. Seconds are of this machine, network and size, and count "
        "neither loading nor the photograph's own code."
    )
    return findings


def whos(steps: int) -> list[Who]:
    """The decoder; the solver after it, and alone, in some of its steps and in all of them."""
    some = list(dict.fromkeys(max(1, round(share * steps)) for share in _SHARES))
    return [(DECODER, 0), *((BOTH, count) for count in some), *((SOLVER, count) for count in some)]


def _series(lab: Lab, decoder: LoadedDecoder, photo: Picture, who: str, steps: int) -> Series:
    """One picture."""
    layer, told = decoder.layer, {**lab.solving, "seed": lab.options.seed}
    by = who if who == SOLVER else f"{who} {decoder.describe()['decoder_hash']}"
    told |= {"steps": steps} if who == SOLVER else {"steps": None, "polish": steps}
    told |= {} if who == SOLVER else {"decoder": decoder.path}
    return Series(
        kind=who,
        network=lab.network,
        source=lab.source(lab.network),
        photo=photo,
        method="invert",
        options=InvertOptions.of(told),
        units=(Unit(layer, None, photo.name),),
        keys=(f"{layer}/{photo.name}/{by.replace(' ', '')}-{steps}-{lab.options.seed}",),
        layer=layer,
        evaluations=max(1, steps),
    )


def _measured(lab: Lab, made: Sequence[Made]) -> dict[str, Array]:
    """Error in code, error in pixels and seconds."""
    pixels = [pixel_error(x.image, y.image[0]) for x, y in zip(made, lab.photos, strict=True)]
    return {
        "code": np.array([float(one.figures["error"]) for one in made]),
        "pixels": np.array(pixels),
        "seconds": np.array([float(one.figures["seconds"]) for one in made]),
    }


def sheet(lab: Lab, made: Mapping[Who, Sequence[Made]]) -> Image:
    """A row by everyone, the photographs above."""
    shown = lab.photos[:_SHOWN]
    rows = [("photograph", [Tile(photo.image[0], photo.name) for photo in shown])]
    for who, each in made.items():
        tiles = [Tile(one.image, f"{one.figures['error']:.3g}") for one in each[:_SHOWN]]
        rows.append((_name(who), tiles))
    return make_sheet(rows)


def _name(who: Who) -> str:
    return who[0] if who[0] == DECODER else f"{who[0]}, {who[1]} steps"


def pixel_error(image: Tensor, photo: Tensor) -> float:
    """‖image − photo‖² / ‖photo − its mean colour‖², (C, H, W) each: 0 the same, 1 a plain one."""
    contrast = (photo - photo.mean((1, 2), keepdim=True)).square().sum()
    return float((image - photo).square().sum() / contrast.clamp_min(1e-12))


def steps_saved(alone: Sequence[tuple[int, float]], steps: int, error: float) -> float:
    """How many more steps the solver alone takes to an error as small.

    Args:
        alone: steps, upwards, and the error that it reaches in them; between two of them along a
            line of logarithms, below and above them the first or the last.
    """
    counts, errors = (np.log(column) for column in zip(*alone, strict=True))
    return float(np.exp(np.interp(-np.log(error), -errors, counts))) - steps


def report(findings: Findings, told: Mapping[str, Measured]) -> None:
    """Tables, plots and verdicts, from figures per layer, maker and photograph."""
    rows: list[list[Cell]] = []
    for layer, measured in told.items():
        alone = [(n, x["code"]) for (by, n), x in measured.items() if by == SOLVER]
        for (by, steps), x in measured.items():
            saved = [
                steps_saved([(n, float(y[i])) for n, y in alone], steps, float(error))
                for i, error in enumerate(x["code"])
            ]
            means = [float(x[key].mean()) for key in ("code", "pixels", "seconds")]
            mean = None if by == SOLVER else float(np.mean(saved))
            rows.append([layer, _name((by, steps)), *means, mean])
        lines = {
            f"{by}, {key}": [
                (steps, float(np.log10(x[key].mean())))
                for (who, steps), x in measured.items()
                if who == by or (who == DECODER and by == BOTH)
            ]
            for by in (BOTH, SOLVER)
            for key in ("code", "pixels")
        }
        findings.plot(f"{layer}: error over steps", curves(lines, "steps", "log10 of the error"))
    findings.table(
        "compared",
        "Decoder, solver, and the solver from where the decoder got",
        ["layer", "by", "error in code", "error in pixels", "seconds", "steps saved"],
        rows,
        "Means over photographs. Error in code: ‖code − target‖² / ‖target‖²; in pixels: the "
        "same of the image, over the photograph's contrast. Steps saved: what the solver alone "
        "takes to an error in code as small, less those taken; no more than it was given.",
    )
    findings.data["compared"] = {
        layer: {_name(who): {k: v.tolist() for k, v in x.items()} for who, x in measured.items()}
        for layer, measured in told.items()
    }
    _judge(findings, told)


def _judge(findings: Findings, told: Mapping[str, Measured]) -> None:
    counts = [steps for by, steps in next(iter(told.values())) if by == SOLVER]
    few, half, every = counts[0], counts[-2] if len(counts) > 1 else counts[0], counts[-1]
    decoded, solved = (DECODER, 0), (SOLVER, every)
    claims = (
        ("In code, the solver comes nearer than the decoder.", "code", solved, decoded),
        ("In pixels, the decoder comes nearer than the solver.", "pixels", decoded, solved),
        (
            f"The decoder's one pass comes nearer in code than {few} steps of the solver.",
            "code",
            decoded,
            (SOLVER, few),
        ),
        (
            f"From the decoder's image, {few} steps come nearer in code than {few} from noise.",
            "code",
            (BOTH, few),
            (SOLVER, few),
        ),
        (
            f"From the decoder's image, {half} steps come as near in code as {every} from noise.",
            "code",
            (BOTH, half),
            solved,
        ),
        (
            f"From the decoder's image, {every} steps come nearer in pixels than from noise.",
            "pixels",
            (BOTH, every),
            solved,
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
        "The code of every photograph is decoded in one pass; solved for from noise, in a tenth, a "
        "fifth, two fifths and all of the preset's steps; and solved for in as many from what the "
        "decoder gave.",
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
