"""``texton invert``: what a layer's whole code still knows of a photograph."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer

from texton.cli import output as c
from texton.errors import TextonError
from texton.images.files import read_image
from texton.methods.code_inversion import Priors, invert
from texton.methods.modified import invert_random, invert_ranks

Tv = Annotated[float, typer.Option("--tv", help="Weight of the total variation prior.")]
Alpha = Annotated[float, typer.Option("--alpha-norm", help="Weight of the α-norm prior (α = 6).")]
Jitter = Annotated[int, typer.Option(help="Random shifts by up to so many pixels.")]
Fourier = Annotated[bool, typer.Option("--fourier", help="Optimise a spectrum, not pixels.")]
_MODIFY = ("none", "random", "ranks")
Change = Annotated[
    str,
    typer.Option(
        "--modify",
        help="Before inverting: none; random reallocates the energy (RMCI, a style per --seed); "
        "ranks orders the maps as in --style.",
    ),
]
StyleImage = Annotated[
    Path | None, typer.Option("--style", help="The image of --modify ranks.", show_default=False)
]
SharesSeed = Annotated[
    int | None,
    typer.Option(help="The random shares' own seed; --seed by default.", show_default=False),
]
Spread = Annotated[float, typer.Option(help="0 even shares, 1 half-normal, more: few carry most.")]


def invert_command(
    photo: c.Photo,
    layer: Annotated[str, typer.Argument(help="See `texton layers`.", show_default=False)],
    out: c.Out = None,
    size: c.Size = c.DEFAULT_SIZE,
    enlarge: c.Enlarge = False,
    preset: c.Preset = "normal",
    steps: c.Steps = None,
    seed: c.Seed = 0,
    modify: Change = "none",
    style: StyleImage = None,
    shares_seed: SharesSeed = None,
    spread: Spread = 1.0,
    tv: Tv = Priors.tv,
    alpha_norm: Alpha = 0.0,
    jitter: Jitter = 0,
    fourier: Fourier = False,
    network: c.NetworkName = "vgg19",
    weights: c.Weights = None,
    pooling: c.Pooling = "avg",
    bands: c.Bands = None,
    device: c.Device = "auto",
    force: c.Force = False,
    as_json: c.Json = False,
) -> None:
    """Find an image whose code at a layer is the photograph's, as it is or modified."""
    c.check_size(size)
    priors = Priors(tv, alpha_norm, jitter, fourier)
    net = c.open_network(network, weights, pooling, bands)
    image = read_image(photo, size, enlarge=enlarge, channels=net.channels)
    net.layer(layer)
    kind = "" if modify == "none" else f"-{modify}{seed if modify == 'random' else ''}"
    name = f"{photo.stem}-{layer}{kind}.png"
    path = c.check_output(out or Path(name), force, net.saves_planes)
    c.tell_assumed(net)
    if modify not in _MODIFY:
        raise TextonError(f"unknown --modify '{modify}': use {', '.join(_MODIFY)}")
    if (modify == "ranks") != (style is not None):
        raise TextonError("--modify ranks and --style IMAGE go together")
    options: dict[str, Any] = {"preset": preset, "steps": steps, "seed": seed, "device": device}
    with c.unit_progress(1) as progress:
        progress.begin(layer)
        options |= {"priors": priors, "on_step": progress.step}
        if modify == "random":
            shares = seed if shares_seed is None else shares_seed
            result = invert_random(image, net, layer, shares_seed=shares, spread=spread, **options)
        elif style is not None:
            painting = read_image(style, size, channels=net.channels)
            result = invert_ranks(image, painting, net, layer, **options)
        else:
            result = invert(image, net, layer, **options)
        progress.finish(result)
    command = c.recorded_command(
        "invert",
        [str(photo), layer],
        {
            "--modify": modify if modify != "none" else None,
            "--style": style,
            "--shares-seed": shares_seed,
            "--spread": spread if spread != 1 else None,
            "--size": size,
            "--enlarge": enlarge,
            "--preset": preset,
            "--steps": steps,
            "--seed": seed,
            "--tv": tv if tv != Priors.tv else None,
            "--alpha-norm": alpha_norm or None,
            "--jitter": jitter or None,
            "--fourier": fourier,
            "--network": network,
            "--weights": weights,
            "--pooling": pooling,
            "--bands": bands,
            "--device": device,
            "-o": path,
        },
    )
    c.finish_one(result, path, command, image, seed, as_json)
