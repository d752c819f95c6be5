"""``texton fingerprint``, ``compare``, ``top``: style as energies of filters."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import typer

from texton.cli import output as o
from texton.cli.parameters import command, options_from, parameters_of, plain, required
from texton.errors import TextonError
from texton.methods.command import NetworkOptions, ReadingOptions, recorded
from texton.methods.options import Options, option
from texton.methods.parts.fingerprint import STATISTICS, STYLE_LAYERS

if TYPE_CHECKING:
    from torch import Tensor

_FINGERPRINT_SIZE, _COMPARE_SIZE, _TOP_SIZE = 512, 256, 224
_FORCE = plain("force", bool, False, o.FORCE)
_JSON = plain("as_json", bool, False, o.JSON)
_NETWORK = parameters_of(NetworkOptions)


@dataclass(frozen=True)
class LayerOptions(Options):
    """Which layers tell a style."""

    layers: tuple[str, ...] = option(STYLE_LAYERS, "Comma-separated.")


@dataclass(frozen=True)
class CompareOptions(LayerOptions):
    """Of ``texton compare``."""

    statistic: str = option("means", "means, moments or gram.", choices=STATISTICS)


@dataclass(frozen=True)
class TopOptions(Options):
    """Of ``texton top``."""

    count: int = option(10, "How many.", low=1)


def _fingerprint(image: Path, out: Path | None, force: bool, as_json: bool, **values: Any) -> None:
    told: LayerOptions = options_from(LayerOptions, values)
    reading: ReadingOptions = options_from(ReadingOptions, values)
    choice: NetworkOptions = options_from(NetworkOptions, values)
    from texton.images.place import check_file
    from texton.methods.parts.fingerprint import fingerprint, read_fingerprint

    def foreign(path: Path) -> str:
        try:
            read_fingerprint(path)
        except TextonError:
            return o.FOREIGN
        return ""

    path = out or Path(f"{image.stem}.style")
    check_file(path, ".style", "fingerprints are named *.style", force, foreign)
    net = choice.load()
    o.tell_assumed(net)
    intake = o.tell_intake(net, reading.crop)
    photo = reading.read(image, _FINGERPRINT_SIZE, net.channels, intake, o.say)
    made = fingerprint(photo, net, told.layers, choice.device)
    made.save(path)
    filters = {layer: values.shape[1] // 2 for layer, values in made.moments.items()}
    o.tell({"style": str(path), "network": net.name, "layers": filters}, as_json, path)


def _compare(
    images: list[str], out: Path | None, force: bool, as_json: bool, **values: Any
) -> None:
    told: CompareOptions = options_from(CompareOptions, values)
    reading: ReadingOptions = options_from(ReadingOptions, values)
    choice: NetworkOptions = options_from(NetworkOptions, values)
    from texton.images.files import write_image
    from texton.methods.parts.fingerprint import style_distances
    from texton.methods.parts.style_terms import read_style

    if out is not None:
        o.check_output(out, force)
    net = choice.load()
    o.tell_assumed(net)
    size = reading.size or _COMPARE_SIZE
    needs = o.tell_intake(net, reading.crop).told(reading.crop)
    told_of = reading.enlarge, reading.white, needs
    found = [read_style(name, net, size, *told_of) for name in images]
    distances = style_distances(found, net, told.statistic, told.layers, choice.device)
    others = distances.clone().fill_diagonal_(float("inf"))
    nearest = [int(index) for index in others.argmin(1)]
    made: dict[str, Any] = {"images": images, "statistic": told.statistic}
    if out is not None:
        from texton.images.heatmap import heat_map

        picture = heat_map(distances, [Path(name).stem for name in images])
        again = recorded("compare", images, [told, reading, choice], out)
        write_image(picture, out, {"command": again, **net.describe(), **made})
    if as_json:
        made |= {"distances": distances.tolist(), "nearest": nearest}
        print(json.dumps({**made, "image": str(out) if out else None}))
        return
    print(_table([Path(name).name for name in images], distances, nearest))
    if out is not None:
        print(out)


def _top(photo: Path, layer: str, as_json: bool, **values: Any) -> None:
    told: TopOptions = options_from(TopOptions, values)
    reading: ReadingOptions = options_from(ReadingOptions, values)
    choice: NetworkOptions = options_from(NetworkOptions, values)
    from texton.methods.mixing import top_filters

    net = choice.load()
    o.tell_assumed(net)
    intake = o.tell_intake(net, reading.crop, [layer])
    image = reading.read(photo, _TOP_SIZE, net.channels, intake, o.say)
    shares = top_filters(image, net, layer, told.count, choice.device)
    if as_json:
        listed = [{"channel": channel, "share": share} for channel, share in shares]
        print(json.dumps({"layer": layer, "filters": listed}))
        return
    for channel, share in shares:
        print(f"{layer}:{channel:<5} {share:6.2%}")


def _table(names: Sequence[str], distances: Tensor, nearest: Sequence[int]) -> str:
    width = max(8, *(len(name) for name in names))
    lines = [" " * width + "".join(f"  {name:>{width}}" for name in names)]
    for row, name in enumerate(names):
        cells = (
            f"{float(distances[row, column]):.3f}{'*' if column == nearest[row] else ' '}"
            for column in range(len(names))
        )
        lines.append(f"{name:<{width}}" + "".join(f"  {cell:>{width}}" for cell in cells))
    return "\n".join(lines)


def _sized(size: int) -> dict[str, str]:
    return {"size": f"Long edge in pixels [{size}]"}


fingerprint_command = command(
    _fingerprint,
    [
        required("image", Path, "An image file, or a .npy."),
        plain("out", Path | None, None, typer.Option("-o", "--out", help="The .style file.")),
        *parameters_of(LayerOptions),
        *parameters_of(ReadingOptions, _sized(_FINGERPRINT_SIZE)),
        *_NETWORK,
        _FORCE,
        _JSON,
    ],
    "Write an image's style, its energies over filters, to a file usable as a STYLE.",
)
compare_command = command(
    _compare,
    [
        required("images", list[str], "Images or .style files."),
        plain("out", Path | None, None, o.OUT),
        *parameters_of(CompareOptions),
        *parameters_of(ReadingOptions, _sized(_COMPARE_SIZE)),
        *_NETWORK,
        _FORCE,
        _JSON,
    ],
    "Tell styles apart: the matrix of style distances, each one's nearest marked by *.",
)
top_command = command(
    _top,
    [
        required("photo", Path, "An image file, or a .npy."),
        required("layer", str, "See `texton layers`."),
        *parameters_of(TopOptions),
        *parameters_of(ReadingOptions, _sized(_TOP_SIZE)),
        *_NETWORK,
        _JSON,
    ],
    "Print the filters of a layer that carry most of a photograph's energy.",
)
