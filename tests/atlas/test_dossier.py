"""Pages with evidence: what excites filters, what feeds them, how far textures are trusted."""

from __future__ import annotations

import io
import json
import re
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

import texton
from tests.evidence.scans import FILTERS, scan, write_pictures
from tests.evidence.scans import SOURCE as NETWORK_SOURCE
from tests.fake_atlas import add_unit
from tests.helpers import Run, assert_refused
from texton.atlas.dossier.dossier import Dossier
from texton.atlas.dossier.pictures import _projected
from texton.atlas.site.catalog import Catalog
from texton.atlas.site.site import Site
from texton.cli import atlas_site
from texton.errors import TextonError
from texton.evidence.format import Evidence
from texton.evidence.patches import Box, field_box
from texton.jobs.manifest import AtlasLayer, AtlasPhoto, Manifest
from texton.jobs.store import Store, Unit
from texton.methods.parts.composition import contributions, wiring_of
from texton.methods.parts.projecting import Projector, shown
from texton.methods.parts.sweep import integral, means_in, sweep
from texton.methods.parts.trust import trust
from texton.network.device import choose_compute
from texton.network.network import Network

LAYERS = ("1", "4")
CPU = choose_compute("cpu").exact()


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    base = tmp_path_factory.mktemp("dossier")
    (base / "small.py").write_text(NETWORK_SOURCE)
    write_pictures(base / "pictures", 12)
    scan(base / "pictures", base / "evidence", f"{base / 'small.py'}:make")
    return base


@pytest.fixture(scope="module")
def network(place: Path) -> Network:
    return texton.load_network(f"{place / 'small.py'}:make")


@pytest.fixture(scope="module")
def store(place: Path, network: Network) -> Store:
    return _atlas(place / "atlas", network)


def _atlas(root: Path, network: Network, weights: str | None = None) -> Store:
    """An atlas of the small network, its textures noise."""
    layers = [network.layer(name) for name in LAYERS]
    manifest = Manifest(
        "0.1.0",
        "2.0",
        network.name,
        weights or network.weights_hash,
        None,
        {"network": network.name},
        {"preset": "fast", "size": 48, "seed": 0},
        tuple(
            AtlasLayer(x.name, x.channels, x.stride, 5, tuple(range(x.channels))) for x in layers
        ),
        (AtlasPhoto("cat", "photos/cat.png", "0" * 16, "cat.jpg", 48, 32),),
    )
    root.mkdir(parents=True)
    store = Store(root, manifest)
    store.save(manifest)
    image = torch.rand(1, network.channels, 32, 48, generator=torch.Generator().manual_seed(0))
    store.write_photo("cat", image)
    for unit in store.units():
        add_unit(store, unit)
    return store


@pytest.fixture(scope="module")
def dossier(store: Store, place: Path, network: Network) -> Dossier:
    found = Dossier.open(store, place / "evidence", lambda: network, projected=2)
    found.update()
    return found


@pytest.mark.slow
def test_parts_are_those_of_the_strongest_places(dossier: Dossier, network: Network) -> None:
    evidence = dossier.evidence
    for channel in (0, 2):
        places = evidence.layer("4").places(channel)[:4]
        peaks = [(evidence.read(x.picture), x.row, x.column) for x in places]
        found = contributions(network, wiring_of(network, "4"), channel, peaks, CPU)
        told = dossier.records["4"]["filters"][str(channel)]
        listed = [c for c in found.adding[:8] if found.of(c) >= 0.005 * found.added]
        assert [one[0] for one in told["adds"]] == listed
        shares = [found.of(c) / found.added for c in listed]
        assert [one[1] for one in told["adds"]] == pytest.approx(shares, rel=1e-3)
        assert told["half"] == found.for_half()


def test_a_part_says_what_it_is_part_of(dossier: Dossier) -> None:
    first = dossier.records["4"]["filters"]["0"]["adds"][0]
    source = dossier.records["4"]["source"]
    page = dossier.page(source, first[0])
    assert page is not None
    assert ("4", 0, first[1]) in page["feeds"]
    shares = [share for *_, share in page["feeds"]]
    assert shares == sorted(shares, reverse=True)


def test_what_is_known_is_not_measured_again(dossier: Dossier, store: Store, place: Path) -> None:
    def refused() -> Network:
        raise AssertionError("the network is not needed")

    again = Dossier.open(store, place / "evidence", refused)
    again.update()
    assert again.records["4"]["filters"] == dossier.records["4"]["filters"]
    assert {*again.columns("4")} == {figure.key for figure in again.figures}


def test_other_weights_and_layers_are_refused(place: Path, network: Network) -> None:
    other = _atlas(place / "other", network, weights="f" * 16)
    with pytest.raises(TextonError, match="other weights"):
        Dossier.open(other, place / "evidence", lambda: network)
    with pytest.raises(TextonError, match="no evidence"):
        Dossier.open(other, place / "pictures", lambda: network)


def test_the_page_shows_patches_parts_and_figures(dossier: Dossier, store: Store) -> None:
    site = Site(Catalog.read(store), dossier=dossier)
    paths = list(site.paths())
    assert {"4/0.patches.webp", "4/0.cat.map.webp"} <= set(paths)
    page = site.content("4/0.html")
    assert isinstance(page, str)
    places = dossier.sprites.places("4", 0)
    row = Image.open(io.BytesIO(site.content("4/0.patches.webp")))  # type: ignore[arg-type]
    assert row.width == len(places) * row.height
    assert page.count('class="patch"') == len(places) + 2  # and two projections
    assert (
        "In 12 pictures" in page
        and "excited by, of 1" in page
        and "<polygon" in page
        and 'class="petal"' in page
    )
    part = dossier.records["4"]["filters"]["0"]["adds"][0][0]
    assert f'href="../1/{part}.html"' in page
    assert not re.search(r'(src|href)="https?:', page) and " style=" not in page
    for path in paths:
        assert site.content(path) is not None, path
    data = site.content("assets/layers/4.js")
    assert isinstance(data, str)
    columns = json.loads(data[data.index("{", data.index("layer")) : data.rindex("]")])["evidence"]
    assert len(columns["selectivity"]) == FILTERS and columns["active"][4] == 0  # never on
    overview = site.content("index.html")
    assert isinstance(overview, str) and "dead in 12 pictures" in overview


def test_a_projection_of_a_part_is_that_of_the_picture(dossier: Dossier, network: Network) -> None:
    about = dossier.evidence.layer("4")
    projector = Projector(network, "4")
    for channel in (0, 1, 2):
        for place in about.places(channel)[:3]:
            image = dossier.evidence.read(place.picture)
            cell = torch.tensor([[place.row, place.column]])
            whole = shown(projector.project(image, channel, cell).slopes)
            part = _projected(projector, image, about.layer, channel, place)
            box = field_box(about.layer, place, *image.shape[2:])
            inside = box.inside(*image.shape[2:])
            cut = whole[0, :, inside.top : inside.bottom, inside.left : inside.right]
            top, left = inside.top - box.top, inside.left - box.left
            got = part[:, top : top + cut.shape[1], left : left + cut.shape[2]]
            assert torch.allclose(got, cut, atol=1e-5)
            assert part.shape[1:] == (about.layer.field, about.layer.field)


def test_without_evidence_the_pages_are_as_they_were(store: Store) -> None:
    page = Site(Catalog.read(store)).content("4/0.html")
    assert isinstance(page, str) and "pictures</h2>" not in page and "patches" not in page


def test_a_texture_that_runs_as_its_pictures_do_is_trusted() -> None:
    rng = np.random.default_rng(0)
    pictures = rng.random((12, 40))
    halves = np.stack([pictures + 0.1 * rng.random((12, 40)) for _ in range(2)])
    known = np.ones(12, bool)
    own = trust({"a": pictures}, {"a": halves}, known)
    others = trust({"a": np.roll(pictures, 1, 0)}, {"a": halves}, known)
    assert own.min() > 0.85 and abs(others.mean()) < 0.2
    known[3] = False
    assert np.isnan(trust({"a": pictures}, {"a": halves}, known)[3])
    same = np.repeat(halves[:, :1], 12, 1)  # pictures of all filters alike: nothing to tell by
    assert np.isnan(trust({"a": pictures}, {"a": same}, known)).all()


def test_paths_are_means_over_the_field() -> None:
    code = torch.rand(1, 3, 8, 6)
    boxes = [Box(8, 4, 24, 20), Box(0, 0, 2, 2)]  # 4 px a unit; less than one is one
    found = means_in(integral(code), boxes, (32, 24))
    assert torch.allclose(found[0], code[0, :, 2:6, 1:5].mean((1, 2)), atol=1e-6)
    assert torch.allclose(found[1], code[0, :, 0, 0], atol=1e-6)


def test_a_picture_that_is_gone_is_passed_over(place: Path, network: Network) -> None:
    evidence = Evidence.open(place / "evidence")
    wanted = evidence.layer("4").places(0)[0].picture
    gone = evidence.path(wanted)
    kept = gone.read_bytes()
    gone.unlink()
    try:
        paths = sweep(network, evidence, {"4": [0]}, CPU)
        assert int(paths["4"].count[:, 0].sum()) == 3
    finally:
        gone.write_bytes(kept)


def test_what_is_assumed_is_told_once_when_the_network_is_loaded(
    dossier: Dossier,
    place: Path,
    network: Network,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    told = Network(network.module, details={"assumed": "mean 0"}, **network.preprocessing)
    monkeypatch.setattr("texton.jobs.making.loaded", lambda _: told)
    found = atlas_site._dossier(dossier.store, place / "evidence", 0)
    assert found is not None and found.network is found.network is told
    assert capsys.readouterr().err == "custom: assumed mean 0\n"


@pytest.mark.slow
def test_command(run: Run, store: Store, place: Path, network: Network) -> None:
    made = run(
        "atlas", "export", store.root, "--evidence", place / "evidence", "-o", "site", "--json"
    )
    assert made.code == 0, made.err
    assert (Path("site") / "4" / "0.patches.webp").is_file()
    refused = run("atlas", "export", store.root, "--evidence", place / "pictures", "-o", "other")
    assert_refused(refused, "no evidence")
    assert store.record(Unit("4", 0, "cat"))
