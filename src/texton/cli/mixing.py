"""``texton mix``: turn single filters' energies up and down."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated

import typer

from texton.cli import output as c
from texton.errors import TextonError
from texton.images.files import read_image
from texton.methods.modified import mix, top_filters
from texton.reading import decimal_number, whole_number

Energy = Annotated[
    str | None,
    typer.Option(help="Factors by channel: 4=3,17=0.2 (0 silences).", show_default=False),
]
Top = Annotated[
    int | None,
    typer.Option(help="Print the filters that carry most energy.", show_default=False),
]


def mix_command(
    photo: c.Photo,
    layer: Annotated[str, typer.Argument(help="See `texton layers`.", show_default=False)],
    energy: Energy = None,
    top: Top = None,
    out: c.Out = None,
    size: c.Size = c.DEFAULT_SIZE,
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
    """A mixing desk: multiply chosen filters' energies and invert; --top says which to turn."""
    if (energy is None) == (top is None):
        raise TextonError("name --energy 4=3,17=0.2 to mix, or --top 10 to see what there is")
    c.check_size(size)
    net = c.open_network(network, weights, pooling)
    image = read_image(photo, size, enlarge=enlarge, channels=net.channels)
    if energy is None:
        shares = top_filters(image, net, layer, top or 0)
        if as_json:
            listed = [{"channel": channel, "share": share} for channel, share in shares]
            print(json.dumps({"layer": layer, "filters": listed}))
            return
        for channel, share in shares:
            print(f"{layer}:{channel:<5} {share:6.2%}")
        return
    factors = _factors(energy)
    path = c.check_output(out or Path(f"{photo.stem}-{layer}-mix.png"), force, net.saves_planes)
    c.tell_assumed(net)
    with c.unit_progress(1) as progress:
        progress.begin(layer)
        result = mix(
            image,
            net,
            layer,
            factors,
            preset=preset,
            steps=steps,
            seed=seed,
            device=device,
            on_step=progress.step,
        )
        progress.finish(result)
    flags = {
        "--energy": energy,
        "--size": size,
        "--enlarge": enlarge,
        "--preset": preset,
        "--steps": steps,
        "--seed": seed,
        "--network": network,
        "--weights": weights,
        "--pooling": pooling,
        "--device": device,
        "-o": path,
    }
    command = c.recorded_command("mix", [str(photo), layer], flags)
    c.finish_one(result, path, command, image, seed, as_json)


def _factors(text: str) -> dict[int, float]:
    factors = {}
    for part in text.split(","):
        channel, equals, factor = part.partition("=")
        try:
            factors[whole_number(channel.strip())] = decimal_number(factor.strip())
        except ValueError:
            equals = ""
        if not equals:
            raise TextonError(f"--energy '{text}' is not understood: write 4=3,17=0.2")
    return factors
