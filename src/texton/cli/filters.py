"""``texton filter``: feature map inversion of any filters of any layers."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Annotated, Any

import typer
from torch import Tensor

from texton.cli import output as c
from texton.errors import TextonError
from texton.images.files import read_image, write_image
from texton.images.sheets import Tile, make_sheet
from texton.methods.feature_map_inversion import iter_filters
from texton.methods.result import Result
from texton.network.choose import Filters, parse_filters
from texton.network.network import Network

Specs = Annotated[
    list[str],
    typer.Argument(
        metavar="LAYER:CHANNELS...",
        help="Filters: relu4_2:4, relu4_2:0-4, relu4_2:0,7,31, relu4_2:all, relu*_2:top5.",
        show_default=False,
    ),
]
Each = Annotated[
    Path | None,
    typer.Option(help="Also write every unit, unlabelled, into this folder.", show_default=False),
]


def filter_command(
    photo: c.Photo,
    filters: Specs,
    out: c.Out = None,
    each: Each = None,
    size: c.Size = c.DEFAULT_SIZE,
    enlarge: c.Enlarge = False,
    preset: c.Preset = "normal",
    steps: c.Steps = None,
    seed: c.Seed = 0,
    network: c.NetworkName = "vgg19",
    weights: c.Weights = None,
    pooling: c.Pooling = "avg",
    bands: c.Bands = None,
    device: c.Device = "auto",
    force: c.Force = False,
    as_json: c.Json = False,
) -> None:
    """Show what filters extract from a photograph (feature map inversion).

    One filter gives its picture, several a labelled sheet: a row is a layer.
    """
    c.check_size(size)
    net = c.open_network(network, weights, pooling, bands)
    image = read_image(photo, size, enlarge=enlarge, channels=net.channels)
    chosen = parse_filters(filters, net, image)
    count = sum(len(group.channels) for group in chosen)
    path = out or _default_name(photo, filters, chosen)
    c.check_output(path, force, planes=net.saves_planes and count == 1)
    places = _places(each, chosen, force, net.saves_planes)
    options = {
        "--size": size,
        "--enlarge": enlarge,
        "--preset": preset,
        "--steps": steps,
        "--seed": seed,
        "--network": network,
        "--weights": weights,
        "--pooling": pooling,
        "--bands": bands,
        "--device": device,
    }

    def command(specs: list[str], target: Path) -> str:
        return c.recorded_command("filter", [str(photo), *specs], {**options, "-o": target})

    c.tell_assumed(net)
    done: list[Result] = []
    interrupted = False
    try:
        for result in _solve(image, net, chosen, count, (preset, steps, seed, device)):
            if places:
                unit = (result.layer, result.channel)
                spec = f"{result.layer}:{result.channel}"
                c.save_one(result, places[unit], command([spec], places[unit]))
            done.append(result)
    except KeyboardInterrupt:
        interrupted = True
    c.warn_dead(done)
    if interrupted:
        saved = f"the {len(done)} of {count} filters that are finished" if done else "nothing"
        print(f"interrupted: saving {saved}", file=sys.stderr)
    if done:
        whole = command(filters, path)
        if count == 1:
            c.save_one(done[0], path, whole)
        else:
            write_image(_sheet(done, net), path, _sheet_settings(done, whole))
        c.tell(_summary(done, path, net, image, seed, places), as_json, path)
    if interrupted:
        raise typer.Exit(130)


def _solve(
    image: Tensor,
    net: Network,
    chosen: list[Filters],
    count: int,
    how: tuple[str, int | None, int, str],
) -> Any:
    preset, steps, seed, device = how
    names = iter([f"{group.layer}:{channel}" for group in chosen for channel in group.channels])
    with c.unit_progress(count) as progress:
        progress.begin(next(names))
        for group in chosen:
            for result in iter_filters(
                image,
                net,
                group.layer,
                group.channels,
                preset=preset,
                steps=steps,
                seed=seed,
                device=device,
                on_step=progress.step,
            ):
                progress.finish(result)
                progress.begin(next(names, "done"))
                yield result


def _places(
    each: Path | None, chosen: list[Filters], force: bool, planes: bool
) -> dict[tuple[str, int | None], Path]:
    if each is None:
        return {}
    if each.exists() and not each.is_dir():
        raise TextonError(f"'{each}' is not a folder: name one for --each")
    return {
        (group.layer, channel): c.check_output(each / f"{group.layer}-{channel}.png", force, planes)
        for group in chosen
        for channel in group.channels
    }


def _default_name(photo: Path, specs: list[str], chosen: list[Filters]) -> Path:
    name = "_".join(spec.replace(":", "-").replace(",", "+") for spec in specs)
    if len(name) > 80:
        count = sum(len(group.channels) for group in chosen)
        name = f"{chosen[0].layer}-to-{chosen[-1].layer}-{count}-filters"
    return Path(f"{photo.stem}-{name}.png")


def _sheet(done: list[Result], net: Network) -> Any:
    rows: dict[str, list[Tile]] = {}
    for result in done:
        note = "dead" if result.status == "dead" else ""
        tile = Tile(result.image, str(result.channel), note, net.bands)
        rows.setdefault(result.layer, []).append(tile)
    return make_sheet(list(rows.items()), net.name if "@random" in net.name else "")


def _sheet_settings(done: list[Result], command: str) -> dict[str, Any]:
    return {
        "command": command,
        **done[0].settings,
        "units": [result.figures() for result in done],
    }


def _summary(
    done: list[Result],
    path: Path,
    net: Network,
    image: Tensor,
    seed: int,
    places: dict[tuple[str, int | None], Path],
) -> dict[str, Any]:
    units = []
    for result in done:
        place = places.get((result.layer, result.channel))
        units.append({**result.figures(), "image": str(place) if place else None})
    return {
        "image": str(path),
        "network": net.name,
        "size": [image.shape[3], image.shape[2]],
        "seed": seed,
        "units": units,
    }
