"""``texton stylize``, ``fingerprint``, ``compare``: style as energies of filters."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Annotated, Any

import typer
from torch import Tensor

from texton.cli import output as c
from texton.errors import TextonError
from texton.images.files import read_image, write_image
from texton.methods.feature_map_inversion import invert_filter
from texton.methods.fingerprint import (
    STYLE_LAYERS,
    Fingerprint,
    fingerprint,
    read_fingerprint,
    style_distances,
)
from texton.methods.style import stylize
from texton.methods.style_settings import StyleSettings
from texton.network.choose import parse_filters
from texton.network.network import Network
from texton.reading import decimal_number

Style = Tensor | Fingerprint
_FIVE = ",".join(STYLE_LAYERS)

Styles = Annotated[
    list[str],
    typer.Argument(
        metavar="STYLE...",
        help="Images, .style files, or filters like relu4_2:4 (what that filter extracts).",
        show_default=False,
    ),
]
Method = Annotated[str, typer.Option(help="pmci (filter means), gatys (Gram matrices), moments.")]
ContentWeight = Annotated[
    float | None, typer.Option(help="1; with --preset paper 10.", show_default=False)
]
StyleWeight = Annotated[
    float | None, typer.Option(help="10; with --preset paper 1.", show_default=False)
]
Layers = Annotated[str, typer.Option("--style-layers", help="Comma-separated.")]
LayerWeights = Annotated[
    str | None,
    typer.Option(help="A weight per style layer: 5,4,3,2,1; alike by default.", show_default=False),
]
Init = Annotated[
    str | None,
    typer.Option(help="content or noise (the paper preset's default).", show_default=False),
]
Mix = Annotated[
    str | None,
    typer.Option("--style-mix", help="A share per style: 0.7,0.3.", show_default=False),
]
StyleSize = Annotated[
    int | None,
    typer.Option(help="Long edge of the styles; --size by default.", show_default=False),
]
KeepColors = Annotated[bool, typer.Option("--keep-colors", help="Keep the content's colours.")]
Smooth = Annotated[float, typer.Option("--tv", help="Total variation: keeps flat skies flat.")]
Bleed = Annotated[
    int, typer.Option(help="Pixels solved around the picture and cut off: no frame by padding.")
]
Statistic = Annotated[str, typer.Option(help="means, moments or gram.")]


def stylize_command(
    content: c.Photo,
    styles: Styles,
    out: c.Out = None,
    method: Method = "pmci",
    content_weight: ContentWeight = None,
    style_weight: StyleWeight = None,
    content_layer: Annotated[str, typer.Option(help="Whose code is kept.")] = "relu2_2",
    style_layers: Layers = _FIVE,
    layer_weights: LayerWeights = None,
    init: Init = None,
    style_mix: Mix = None,
    style_size: StyleSize = None,
    keep_colors: KeepColors = False,
    tv: Smooth = StyleSettings.tv,
    bleed: Bleed = StyleSettings.bleed,
    size: c.Size = 512,
    enlarge: c.Enlarge = False,
    preset: c.Preset = "normal",
    steps: c.Steps = None,
    seed: c.Seed = 0,
    network: c.NetworkName = "vgg19",
    weights: c.Weights = None,
    pooling: c.Pooling = "avg",
    device: c.Device = "auto",
    force: c.Force = False,
    as_json: c.Json = False,
) -> None:
    """Paint a photograph in the style of others (PMCI, or Gatys' style transfer)."""
    options = {key: value for key, value in locals().items() if key not in ("content", "styles")}
    c.check_size(size)
    if style_size is not None:
        c.check_size(style_size)
    wanted = StyleSettings(
        method=method,
        content_weight=content_weight,
        style_weight=style_weight,
        content_layer=content_layer,
        style_layers=tuple(name for name in style_layers.split(",") if name),
        layer_weights=_numbers(layer_weights, "--layer-weights"),
        mix=_numbers(style_mix, "--style-mix"),
        init=init,
        keep_colors=keep_colors,
        tv=tv,
        bleed=bleed,
    )
    net = c.open_network(network, weights, pooling)
    photo = read_image(content, size, enlarge=enlarge, channels=net.channels)
    _refuse_itself(content, styles)
    names = "+".join(Path(style).stem.replace(":", "-") for style in styles)
    path = c.check_output(
        out or Path(f"{content.stem}-{names}-{method}.png"), force, net.saves_planes
    )
    c.tell_assumed(net)
    found = [_style(style, net, photo, style_size or size, device, seed) for style in styles]
    with c.unit_progress(1) as progress:
        progress.begin(method)
        result = stylize(
            photo,
            found,
            net,
            wanted,
            preset=preset,
            steps=steps,
            seed=seed,
            device=device,
            on_step=progress.step,
        )
        progress.finish(result)
    flags = {
        "-o" if key == "out" else f"--{key.replace('_', '-')}": value
        for key, value in options.items()
        if key not in ("force", "as_json")
    }
    command = c.recorded_command("stylize", [str(content), *styles], flags | {"-o": path})
    more = {"method": method, "terms": result.settings["terms"]}
    c.finish_one(result, path, command, photo, seed, as_json, more)


def fingerprint_command(
    image: c.Photo,
    out: Annotated[
        Path | None, typer.Option("-o", "--out", help="The .style file.", show_default=False)
    ] = None,
    layers: Annotated[str, typer.Option(help="Comma-separated.")] = _FIVE,
    size: c.Size = 512,
    network: c.NetworkName = "vgg19",
    weights: c.Weights = None,
    pooling: c.Pooling = "avg",
    force: c.Force = False,
    as_json: c.Json = False,
) -> None:
    """Write an image's style, its energies over filters, to a file usable as a STYLE."""
    c.check_size(size)
    path = out or Path(f"{image.stem}.style")
    if path.exists() and not force:
        read_fingerprint(path)  # only a fingerprint may be replaced
    net = c.open_network(network, weights, pooling)
    photo = read_image(image, size, channels=net.channels)
    made = fingerprint(photo, net, tuple(name for name in layers.split(",") if name))
    made.save(path)
    filters = {layer: values.shape[1] // 2 for layer, values in made.moments.items()}
    c.tell({"style": str(path), "network": net.name, "layers": filters}, as_json, path)


def compare_command(
    images: Annotated[
        list[str], typer.Argument(help="Images or .style files.", show_default=False)
    ],
    out: c.Out = None,
    statistic: Statistic = "means",
    layers: Annotated[str, typer.Option(help="Comma-separated.")] = _FIVE,
    size: c.Size = 256,
    network: c.NetworkName = "vgg19",
    weights: c.Weights = None,
    pooling: c.Pooling = "avg",
    force: c.Force = False,
    as_json: c.Json = False,
) -> None:
    """Tell styles apart: the matrix of style distances, each one's nearest marked by *."""
    c.check_size(size)
    if out is not None:
        c.check_output(out, force)
    net = c.open_network(network, weights, pooling)
    found: list[Style] = []
    for name in images:
        found.append(_read_style(name, net, size))
    chosen = tuple(name for name in layers.split(",") if name)
    distances = style_distances(found, net, statistic, chosen)
    others = distances.clone().fill_diagonal_(float("inf"))
    nearest = [int(index) for index in others.argmin(1)]
    if out is not None:
        from texton.images.heatmap import heat_map

        write_image(heat_map(distances, [Path(n).stem for n in images]), out, {"images": images})
    if as_json:
        made: dict[str, Any] = {
            "images": images,
            "statistic": statistic,
            "distances": distances.tolist(),
            "nearest": nearest,
            "image": str(out) if out else None,
        }
        print(json.dumps(made))
        return
    print(_table([Path(name).name for name in images], distances, nearest))
    if out is not None:
        print(out)


def _table(names: list[str], distances: Tensor, nearest: list[int]) -> str:
    width = max(8, *(len(name) for name in names))
    lines = [" " * width + "".join(f"  {name:>{width}}" for name in names)]
    for row, name in enumerate(names):
        cells = (
            f"{float(distances[row, column]):.3f}{'*' if column == nearest[row] else ' '}"
            for column in range(len(names))
        )
        lines.append(f"{name:<{width}}" + "".join(f"  {cell:>{width}}" for cell in cells))
    return "\n".join(lines)


def _style(name: str, net: Network, photo: Tensor, size: int, device: str, seed: int) -> Style:
    """A STYLE of the command line: an image, a ``.style`` file, or a filter's own texture."""
    layer, colon, channels = name.rpartition(":")
    if colon and layer in net.layers and not Path(name).exists():
        (filters,) = parse_filters([name], net, photo)
        if len(filters.channels) != 1:
            raise TextonError(f"'{name}' is more than one filter: name one, like {layer}:4")
        made = invert_filter(photo, net, layer, filters.channels[0], device=device, seed=seed)
        return made.image[None]
    if colon and not Path(name).exists() and re.fullmatch("[0-9]+", channels):
        net.layer(layer)
    return _read_style(name, net, size)


def _read_style(name: str, net: Network, size: int) -> Style:
    if name.endswith(".style"):
        return read_fingerprint(name)
    return read_image(name, size, channels=net.channels)


def _refuse_itself(content: Path, styles: list[str]) -> None:
    for style in styles:
        if Path(style).exists() and content.exists() and content.samefile(style):
            raise TextonError("the style is the content itself: there is nothing to carry over")


def _numbers(text: str | None, option: str) -> tuple[float, ...]:
    try:
        return tuple(decimal_number(part.strip()) for part in text.split(",")) if text else ()
    except ValueError:
        raise TextonError(
            f"{option} is '{text}': give numbers with commas between, like 0.7,0.3"
        ) from None
