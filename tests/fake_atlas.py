"""Atlases for the tests of the site: real files in the real layout, drawn instead of solved."""

from __future__ import annotations

import colorsys
import io
import json
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import torch
import uvicorn
from PIL import Image

from texton.atlas.plan import NO_PHOTO
from texton.atlas.site.follow import Follower
from texton.atlas.site.serve import make_app
from texton.jobs.manifest import AtlasLayer, AtlasPhoto, Manifest
from texton.jobs.store import UNIT_FORMAT, Store, Unit
from texton.methods.catalogue import methods
from texton.methods.method import Axis, Figure, Method
from texton.methods.options import Options
from texton.web.server import listen

SIZE = (48, 32)
Status = Callable[[Unit], str | None]
Layers = Sequence[tuple[str, int]]


def fake_atlas(
    root: Path,
    layers: Layers = (("relu1_1", 12), ("relu2_1", 40)),
    photos: Sequence[str] = ("cat", "cup"),
    status: Status = lambda unit: "ok",
    method: str = "filter",
) -> Store:
    """An atlas whose units have the status that ``status`` gives; None: not made yet.

    Of another method (see `fake_method`) it has the layers and photographs that there can be.
    """
    width, height = SIZE
    if method != "filter":
        axes = methods()[method].axes
        layers = layers if "layer" in axes else [(method, 1)]
        layers = layers if "channel" in axes else [(name, 1) for name, _ in layers]
        photos = photos if "photo" in axes else [NO_PHOTO]
    manifest = Manifest(
        texton="0.1.0",
        torch="2.0",
        network="vgg19",
        weights_hash="0123456789abcdef",
        pooling="avg",
        network_options={"network": "vgg19"},
        settings={"preset": "fast", "size": width, "seed": 0},
        layers=tuple(AtlasLayer(name, n, 2, 5, tuple(range(n))) for name, n in layers),
        photos=tuple(
            AtlasPhoto(name, f"photos/{name}.png", "0" * 16, f"{name}.jpg", width, height)
            for name in photos
        ),
        method=method,
    )
    root.mkdir(parents=True, exist_ok=True)
    store = Store(root, manifest)
    store.save(manifest)
    for name in photos:
        store.write_photo(name, torch.full((1, 3, height, width), 0.5))
    for unit in store.units():
        if (made := status(unit)) is not None:
            add_unit(store, unit, made)
    return store


def add_unit(store: Store, unit: Unit, status: str = "ok") -> None:
    """Write a unit as a build leaves it: the picture first, then the sidecar."""
    store.sidecar(unit).parent.mkdir(parents=True, exist_ok=True)
    if status != "failed":
        store.picture(unit).write_bytes(_stripes(unit.channel))
    record = {
        "format": UNIT_FORMAT,
        "layer": unit.layer,
        "channel": unit.channel,
        "photo": unit.photo,
        "status": status,
        "seconds": 0.5,
        "steps": 30,
        "starts": 1,
        "error": 0.5 + (unit.channel * 37 % 100) / 250,
        "achieved": 0.3 - (unit.channel * 17 % 100) / 500,
        "energy_share": (unit.channel * 53 % 100) / 1000,
        "leakage": 0.9,
        "sharpness": 0.25 if unit.photo == "cat" else 0.75,
        "command": f"texton filter {unit.photo}.jpg '{unit.layer}:{unit.channel}' --size 48",
    }
    if status == "failed":
        record = {**{k: v for k, v in record.items() if k != "error"}, "reason": "out of <memory>"}
    store.sidecar(unit).write_text(json.dumps(record))


def fake_method(*axes: Axis) -> Method:
    """A method whose pictures those axes tell apart, with a figure of its own."""
    sharpness = Figure(
        "sharpness", "Sharpness", "How much detail is left.", "percent", digits=0, better="high"
    )
    return Method(
        name="blur",
        title="Photographs out of focus",
        caption="{photo}, blurred by {unit}",
        axes=axes,
        options=Options,
        figures=(sharpness,),
        make=lambda task, on_step: iter(()),
    )


@contextmanager
def serving(follower: Follower, host: str = "127.0.0.1") -> Iterator[str]:
    """The address of a server of the atlas, as ``texton atlas serve`` runs it."""
    with listen(host, 0) as bound:
        config = uvicorn.Config(
            make_app(follower, host), log_level="warning", timeout_graceful_shutdown=1
        )
        server = uvicorn.Server(config)
        thread = threading.Thread(target=server.run, kwargs={"sockets": [bound]})
        thread.start()
        try:
            name = bound.getsockname()[0]
            yield f"http://{f'[{name}]' if ':' in name else name}:{bound.getsockname()[1]}"
        finally:
            server.should_exit = True
            thread.join(20)


_drawn: dict[int, bytes] = {}


def _stripes(channel: int) -> bytes:
    """Stripes whose hue, angle and width follow the channel: neighbours differ a little."""
    kind = channel % 64
    if kind not in _drawn:
        width, height = SIZE
        y, x = np.mgrid[0:height, 0:width]
        angle = np.pi * (kind % 8) / 8
        wave = np.sin((x * np.cos(angle) + y * np.sin(angle)) * (0.5 + kind // 8 * 0.2))
        colour = np.array(colorsys.hsv_to_rgb(kind / 64, 0.8, 1.0))
        pixels = (0.5 + 0.5 * wave)[..., None] * colour * 255
        buffer = io.BytesIO()
        Image.fromarray(pixels.astype(np.uint8)).save(buffer, "PNG")
        _drawn[kind] = buffer.getvalue()
    return _drawn[kind]
