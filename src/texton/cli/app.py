"""``texton app``: the live page."""

from __future__ import annotations

import os
import sys
import threading
import webbrowser
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from texton.errors import TextonError

if TYPE_CHECKING:
    from texton.app.house import House
    from texton.atlas.site.follow import Follower

Photos = Annotated[
    list[Path] | None,
    typer.Argument(metavar="PHOTO", help="Image files to begin with.", show_default=False),
]
_HISTORY = "Where pictures are kept; by default in your home, for all of your pages."


def app_command(
    photos: Photos = None,
    network: Annotated[str, typer.Option(help="See `texton networks`.")] = "vgg19",
    weights: Annotated[
        Path | None, typer.Option(help="Other weights for it.", show_default=False)
    ] = None,
    atlas: Annotated[
        Path | None, typer.Option(metavar="DIR", help="An atlas beside it.", show_default=False)
    ] = None,
    evidence: Annotated[
        Path | None,
        typer.Option(metavar="DIR", help="What `texton scan` made.", show_default=False),
    ] = None,
    models: Annotated[
        Path | None,
        typer.Option(metavar="DIR", help="Models that `texton train` made.", show_default=False),
    ] = None,
    history: Annotated[
        Path | None, typer.Option(metavar="DIR", help=_HISTORY, show_default=False)
    ] = None,
    host: Annotated[
        str, typer.Option(help="0.0.0.0 lets other machines in, by an address with a key.")
    ] = "127.0.0.1",
    port: Annotated[int, typer.Option(help="The port; 0 takes a free one.")] = 8765,
    device: Annotated[str, typer.Option(help="auto, cpu, cuda or mps.")] = "auto",
    browser: Annotated[bool, typer.Option(help="Open the page in a browser.")] = True,
) -> None:
    """Open a page to explore filters by hand: pick one, watch it appear, turn. Ctrl-C ends it."""
    from texton.app.guard import Keys
    from texton.app.house import Given, House
    from texton.app.server import make_app
    from texton.methods.command import NetworkOptions
    from texton.web.server import is_loopback, listen, serve

    if device.partition(":")[0] not in ("auto", "cpu", "cuda", "mps"):
        raise TextonError(f"unknown device '{device}': use auto, cpu, cuda or mps")
    chosen = NetworkOptions(network=network, weights=weights, device=device)
    folder = history or _usual_history()
    given = Given(folder, photos or (), chosen, evidence, models, device, atlas=atlas is not None)
    follower = None if atlas is None else _follower(atlas)
    house = House(given)
    with listen(host, port) as bound:
        name, number = bound.getsockname()[:2]
        key = "" if is_loopback(name) else f"?key={Keys.kept_in(folder).key}"
        address = f"http://{_reached(name)}:{number}/{key}"
        print(address, flush=True)
        _tell(house, name)
        if browser:
            opening = threading.Timer(0.2, webbrowser.open, [address])
            opening.daemon = True
            opening.start()
        beside = None
        if follower is not None:
            from texton.atlas.site.serve import site_app

            beside, follower.leaving = site_app(follower), house.leaving
        serve(make_app(house, name, beside), bound, house.leaving.set)


def _reached(name: str) -> str:
    """How a browser of this machine reaches an address that is bound."""
    if name in ("0.0.0.0", "::"):
        return "127.0.0.1" if name == "0.0.0.0" else "[::1]"
    return f"[{name}]" if ":" in name else name


def _tell(house: House, name: str) -> None:
    lines = ["Ctrl-C ends it"]
    if name in ("0.0.0.0", "::"):
        lines.insert(0, "other machines reach it by this one's name, with the same key")
    print(*lines, sep="\n", file=sys.stderr, flush=True)


def _usual_history() -> Path:
    """Where programs of this user keep what is theirs."""
    data = os.environ.get("XDG_DATA_HOME", "")
    return (Path(data) if data else Path.home() / ".local" / "share") / "texton" / "app"


def _follower(atlas: Path) -> Follower:
    from texton.atlas.site.follow import Follower
    from texton.jobs.store import Store

    return Follower(Store.open(atlas), None, None)
