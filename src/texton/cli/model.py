"""``texton model``: what a trained network is; as ONNX; compared with the optimiser."""

from __future__ import annotations

import json
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from texton.cli import output as o
from texton.cli.parameters import command, options_from, parameters_of, plain, required
from texton.errors import TextonError
from texton.methods.command import NetworkOptions, ReadingOptions
from texton.methods.options import Options, option
from texton.solve.presets import PRESETS

if TYPE_CHECKING:
    from texton.learned.style_file import StyleModel
    from texton.training.style_ratio import Compared

_SIZE = 256


@dataclass(frozen=True)
class ModelOptions(Options):
    """Of ``texton model``."""

    onnx: Path | None = option(None, "Write it as ONNX, for other programs.")
    photo: tuple[Path, ...] = option((), "Compare its pictures of these with the optimiser's.")
    painting: tuple[Path, ...] = option((), "What it was trained on, one a style, for that.")
    preset: str = option("normal", "The optimiser's: fast, normal or fine.", choices=PRESETS)


def _model(file: Path, out: Path | None, force: bool, as_json: bool, **values: Any) -> None:
    told: ModelOptions = options_from(ModelOptions, values)
    reading: ReadingOptions = options_from(ReadingOptions, values)
    choice: NetworkOptions = options_from(NetworkOptions, values)
    if told.photo and not told.painting:
        raise TextonError("--photo compares with the optimiser: name what it learnt by --painting")
    if out is not None and not told.photo:
        raise TextonError("-o is for a sheet of --photo; an ONNX file is named by --onnx")
    from texton.images.place import check_file
    from texton.learned.style_file import read_style_model

    if out is not None:
        o.check_output(out, force)
    if told.onnx is not None:
        check_file(told.onnx, ".onnx", "ONNX files are named *.onnx", force)
    model = read_style_model(file)
    made = _described(model)
    if told.photo:
        compared = _compared(model, told, reading, choice)
        made["compared"] = [_figures(x) for x in compared]
        made["ratio"] = sum(x.ratio for x in compared) / len(compared)
        if out is not None:
            _save_sheet(compared, out, made)
            made["image"] = str(out)
    if told.onnx is not None:
        from texton.learned.onnx_graph import write_onnx

        write_onnx(model.generator, told.onnx, {"texton": json.dumps(_described(model))})
        made["onnx"] = str(told.onnx)
    if as_json:
        print(json.dumps(made, ensure_ascii=False))
        return
    for key, value in made.items():
        print(f"{key}: {json.dumps(value, ensure_ascii=False).strip(chr(34))}")


def _described(model: StyleModel) -> dict[str, Any]:
    weights = sum(x.numel() for x in model.generator.parameters())
    described = {
        "file": str(model.path),
        "kind": "style",
        "styles": list(model.names),
        "architecture": model.generator.architecture.as_json(),
        "weights": weights,
    }
    if model.header is None:
        return {**described, "made by": "somebody else, as pytorch/examples"}
    told = json.loads(model.header.as_json())
    kept = ("network", "weights_hash", "pooling", "layers", "steps", "photos", "options", "texton")
    last = {"held_out": told["trace"][-1][-1]} if told["trace"] and told["trace"][-1] else {}
    return {**described, **{key: told[key] for key in kept}, **last}


def _compared(
    model: StyleModel, told: ModelOptions, reading: ReadingOptions, choice: NetworkOptions
) -> list[Compared]:
    from texton.training.style_ratio import compare, trained_with

    network = choice.load()
    trained_with(model, network, told.painting)
    intake = network.intake()
    photos = {
        str(path): reading.read(path, _SIZE, network.channels, intake, o.say) for path in told.photo
    }
    found = []
    for one in compare(model, photos, told.painting, network, choice.device, told.preset):
        print(
            f"{Path(one.photo).stem} in {one.style}: painted {one.painted['total']:.3f}, solved "
            f"{one.solved['total']:.3f}, ratio {one.ratio:.2f}",
            file=sys.stderr,
        )
        found.append(one)
    return found


def _figures(one: Compared) -> dict[str, Any]:
    return {
        "photo": one.photo,
        "style": one.style,
        "ratio": one.ratio,
        "before": one.before,
        "painted": one.painted,
        "solved": one.solved,
        "seconds": dict(zip(("painted", "solved"), one.seconds, strict=True)),
    }


def _save_sheet(compared: list[Compared], out: Path, made: dict[str, Any]) -> None:
    """A row for each: the photograph, painted, solved."""
    from texton.images.files import write_image
    from texton.images.sheets import make_rows

    rows = []
    for one in compared:
        names = (
            Path(one.photo).stem,
            f"{one.style}, at once: loss {one.painted['total']:.3f}",
            f"{one.style}, solved: loss {one.solved['total']:.3f}",
        )
        rows.append(list(zip(names, one.images, strict=True)))
    write_image(make_rows(rows, _SIZE, _SIZE), out, made)


model_command = command(
    _model,
    [
        required("file", Path, "Of `texton train style`, or a .pth of others."),
        *parameters_of(ModelOptions),
        plain("out", Path | None, None, o.OUT),
        *parameters_of(ReadingOptions, {"size": f"Long edge in pixels [{_SIZE}]"}),
        *parameters_of(NetworkOptions),
        plain("force", bool, False, o.FORCE),
        plain("as_json", bool, False, o.JSON),
    ],
    "Tell what a trained network is; write it as ONNX; compare it with the optimiser.",
)
