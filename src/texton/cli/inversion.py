"""``texton invert``: what a layer's whole code still knows of a photograph."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from texton.cli import common as c
from texton.images import read_image, write_image
from texton.methods.inversion import Priors, invert

Tv = Annotated[float, typer.Option("--tv", help="Weight of the total variation prior.")]
Alpha = Annotated[float, typer.Option("--alpha-norm", help="Weight of the α-norm prior (α = 6).")]
Jitter = Annotated[int, typer.Option(help="Random shifts by up to so many pixels.")]
Fourier = Annotated[bool, typer.Option("--fourier", help="Optimise a spectrum, not pixels.")]


def invert_command(
    photo: c.Photo,
    layer: Annotated[str, typer.Argument(help="See `texton layers`.", show_default=False)],
    out: c.Out = None,
    size: c.Size = c.DEFAULT_SIZE,
    enlarge: c.Enlarge = False,
    preset: c.Preset = "normal",
    steps: c.Steps = None,
    seed: c.Seed = 0,
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
    """Find an image whose code at a layer is the photograph's (code inversion)."""
    c.check_size(size)
    priors = Priors(tv, alpha_norm, jitter, fourier)
    net = c.open_network(network, weights, pooling, bands)
    image = read_image(photo, size, enlarge=enlarge, channels=net.channels)
    net.layer(layer)
    path = c.check_output(out or Path(f"{photo.stem}-{layer}.png"), force, net.saves_planes)
    c.tell_assumed(net)
    with c.unit_progress(1) as progress:
        progress.begin(layer)
        result = invert(
            image,
            net,
            layer,
            preset=preset,
            steps=steps,
            seed=seed,
            device=device,
            priors=priors,
            on_step=progress.step,
        )
        progress.finish(result)
    options = {
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
    }
    command = c.recorded_command("invert", [str(photo), layer], options)
    write_image(result.image, path, {"command": command, **result.settings, **result.figures()})
    made = {
        "image": str(path),
        "network": net.name,
        "size": [image.shape[3], image.shape[2]],
        "seed": seed,
        "units": [{**result.figures(), "image": str(path)}],
    }
    c.tell(made, as_json, path)
