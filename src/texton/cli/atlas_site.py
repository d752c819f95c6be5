"""``texton atlas export`` and ``texton atlas serve``: an atlas as pages."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from itertools import islice
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn

from texton.cli import output as c
from texton.jobs.store import Store, Unit

Atlas = Annotated[Path, typer.Argument(metavar="DIR", help="An atlas.", show_default=False)]

Tell = Callable[[int, int], None]

_NAMED = 5  # damaged pictures that are named


def export_command(
    atlas: Atlas,
    out: Annotated[
        Path, typer.Option("-o", "--out", help="The folder to write.", show_default=False)
    ],
    similar: Annotated[
        bool, typer.Option(help="Find similar textures and draw maps of them.")
    ] = True,
    force: Annotated[
        bool, typer.Option("--force", help="Write into a folder that is not empty.")
    ] = False,
    as_json: c.Json = False,
) -> None:
    """Write an atlas as static pages: open index.html, or put the folder on any web server.

    An earlier export is replaced. What is not made yet shows as empty tiles.
    """
    from texton.atlas.index import TextureIndex
    from texton.atlas.site.catalog import Catalog
    from texton.atlas.site.export import check_target, export
    from texton.atlas.site.site import Site

    store = Store.open(atlas)
    check_target(out, atlas, force)
    catalog = Catalog.read(store)
    _tell_damaged(catalog.drop_unreadable())
    index = TextureIndex()
    if similar:
        with _stage("textures") as tell:
            index.update(store, catalog.alive(), tell)
    site = Site(catalog, index.similar)
    count = sum(1 for _ in site.paths())
    with _stage("pages and pictures") as tell:
        done = 0

        def on_file() -> None:
            nonlocal done
            done += 1
            tell(done, count)

        made = export(site, out, on_file)
    page = made.path / "index.html"
    if as_json:
        told = {"site": str(page), "files": made.files, "bytes": made.bytes, **catalog.counts()}
        print(json.dumps(told, ensure_ascii=False))
    else:
        print(page)


def serve_command(
    atlas: Atlas,
    host: Annotated[
        str, typer.Option(help="Where to listen; 0.0.0.0 lets other machines in.")
    ] = "127.0.0.1",
    port: Annotated[int, typer.Option(help="The port; 0 takes a free one.")] = 8000,
    similar: Annotated[
        bool, typer.Option(help="Find similar textures and draw maps of them.")
    ] = True,
) -> None:
    """Show an atlas in a browser, live while it is being built. Ctrl-C ends it."""
    from texton.atlas.index import TextureIndex
    from texton.atlas.site.follow import Follower
    from texton.atlas.site.serve import make_app
    from texton.web.server import listen, serve

    store = Store.open(atlas)
    with listen(host, port) as bound:
        follower = Follower(store, TextureIndex() if similar else None)
        name, number = bound.getsockname()[:2]
        print(f"http://{f'[{name}]' if ':' in name else name}:{number}/", flush=True)
        print("Ctrl-C ends it", file=sys.stderr)
        serve(make_app(follower, host), bound)


def _tell_damaged(damaged: Mapping[Unit, Path]) -> None:
    for unit, file in islice(damaged.items(), _NAMED):
        print(
            f"skipped {unit}: '{file}' is damaged; delete it and build again",
            file=sys.stderr,
        )
    if len(damaged) > _NAMED:
        print(f"skipped {len(damaged) - _NAMED} more that are damaged", file=sys.stderr)


@contextmanager
def _stage(name: str) -> Iterator[Tell]:
    """A bar on a terminal, otherwise a line at each quarter."""
    console = Console(stderr=True)
    if not console.is_terminal:
        yield _quarters(name)
        return
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn())
    with Progress(*columns, console=console, transient=True) as bars:
        task = bars.add_task(name, total=None)
        yield lambda done, count: bars.update(task, completed=done, total=count)


def _quarters(name: str) -> Tell:
    told = 0

    def tell(done: int, count: int) -> None:
        nonlocal told
        quarter = 4 * done // count
        if quarter > told:
            told = quarter
            print(f"{name}  {done} of {count}", file=sys.stderr, flush=True)

    return tell
