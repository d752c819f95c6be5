"""``texton atlas export`` and ``texton atlas serve``: an atlas as pages."""

from __future__ import annotations

import json
import sys
from collections.abc import Mapping
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from texton.cli import output as o
from texton.cli.progress import progress
from texton.methods.result import Unit

if TYPE_CHECKING:
    from texton.atlas.dossier.dossier import Dossier
    from texton.jobs.store import Store
    from texton.network.network import Network

Atlas = Annotated[Path, typer.Argument(metavar="DIR", help="An atlas.", show_default=False)]

Evidence = Annotated[
    Path | None,
    typer.Option(help="What `texton scan` made: patches, figures and parts.", show_default=False),
]
Projections = Annotated[
    int,
    typer.Option(help="With evidence: patches of a filter that are projected too.", min=0, max=9),
]

_NAMED = 5  # damaged pictures that are named


def export_command(
    atlas: Atlas,
    out: Annotated[
        Path, typer.Option("-o", "--out", help="The folder to write.", show_default=False)
    ],
    similar: Annotated[
        bool, typer.Option(help="Find similar textures and draw maps of them.")
    ] = True,
    evidence: Evidence = None,
    projections: Projections = 3,
    force: Annotated[
        bool, typer.Option("--force", help="Write into a folder that is not empty.")
    ] = False,
    as_json: o.Json = False,
) -> None:
    """Write an atlas as static pages: open index.html, or put the folder on any web server.

    An earlier export is replaced. What is not made yet shows as empty tiles.
    """
    from texton.atlas.index import TextureIndex
    from texton.atlas.site.catalog import Catalog
    from texton.atlas.site.export import check_target, export
    from texton.atlas.site.site import Site
    from texton.jobs.store import Store

    store = Store.open(atlas)
    check_target(out, atlas, force)
    dossier = _dossier(store, evidence, projections)
    catalog = Catalog.read(store)
    _tell_damaged(catalog.drop_unreadable())
    index = TextureIndex()
    if similar:
        with progress() as told:
            index.update(store, catalog.alive(), lambda n, of: told.reach(n, of, "textures"))
    site = Site(catalog, index.similar, dossier=dossier)
    count = sum(1 for _ in site.paths())
    with progress(count) as told:
        made = export(site, out, lambda: told.finish("pages and pictures"))
    page = made.path / "index.html"
    if as_json:
        exported = {"site": str(page), "files": made.files, "bytes": made.bytes, **catalog.counts()}
        print(json.dumps(exported, ensure_ascii=False))
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
    evidence: Evidence = None,
    projections: Projections = 3,
) -> None:
    """Show an atlas in a browser, live while it is being built. Ctrl-C ends it."""
    from texton.atlas.index import TextureIndex
    from texton.atlas.site.follow import Follower
    from texton.atlas.site.serve import make_app
    from texton.jobs.store import Store
    from texton.web.server import listen, serve

    store = Store.open(atlas)
    dossier = _dossier(store, evidence, projections)
    with listen(host, port) as bound:
        follower = Follower(store, TextureIndex() if similar else None, dossier)
        name, number = bound.getsockname()[:2]
        print(f"http://{f'[{name}]' if ':' in name else name}:{number}/", flush=True)
        print("Ctrl-C ends it", file=sys.stderr)
        serve(make_app(follower, name), bound, follower.leaving.set)  # 127.1 is bound as 127.0.0.1


def compare_command(
    first: Annotated[Path, typer.Argument(metavar="A", help="An atlas.", show_default=False)],
    second: Annotated[
        Path, typer.Argument(metavar="B", help="One of the same architecture.", show_default=False)
    ],
    out: Annotated[
        Path, typer.Option("-o", "--out", help="The folder to write.", show_default=False)
    ],
    force: Annotated[
        bool, typer.Option("--force", help="Write into a folder that is not empty.")
    ] = False,
    as_json: o.Json = False,
) -> None:
    """Write two atlases side by side as static pages: how far each filter drifted, most first.

    Of two checkpoints, of a fine-tuned network and its base, of trained and random weights.
    """
    from texton.atlas.drift import drifts
    from texton.atlas.site.drifting import DriftSite
    from texton.atlas.site.export import check_target, export
    from texton.jobs.store import Store

    stores = Store.open(first), Store.open(second)
    for atlas in (first, second):
        check_target(out, atlas, force)
    with progress() as told:
        found = drifts(*stores, lambda done, of: told.reach(done, of, "textures"))
    site = DriftSite(found)
    with progress(sum(1 for _ in site.paths())) as told:
        made = export(site, out, lambda: told.finish("pages and pictures"))
    page = made.path / "index.html"
    if as_json:
        layers = {
            name: {**found.summary(name), "drifts": [vars(one) for one in every]}
            for name, every in found.layers.items()
        }
        print(json.dumps({"site": str(page), "layers": layers}, ensure_ascii=False))
    else:
        print(page)


def _dossier(store: Store, evidence: Path | None, projected: int) -> Dossier | None:
    """What the evidence says of an atlas's filters, measured where it is not known yet."""
    if evidence is None:
        return None
    from texton.atlas.dossier.dossier import Dossier
    from texton.jobs.making import loaded

    def network() -> Network:
        found = loaded(store.manifest.network_options)
        o.tell_assumed(found)
        return found

    dossier = Dossier.open(store, evidence, network, projected)
    with progress() as told:
        dossier.update(lambda what, done, of: told.reach(done, of, what))
    return dossier


def _tell_damaged(damaged: Mapping[Unit, Path]) -> None:
    for unit, file in islice(damaged.items(), _NAMED):
        print(
            f"skipped {unit}: '{file}' is damaged; delete it and build again",
            file=sys.stderr,
        )
    if len(damaged) > _NAMED:
        print(f"skipped {len(damaged) - _NAMED} more that are damaged", file=sys.stderr)
