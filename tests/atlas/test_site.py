"""The atlas as pages, without a browser: what is exported, what is similar."""

from __future__ import annotations

import io
import json
import os
import re
from dataclasses import replace
from html.parser import HTMLParser
from pathlib import Path
from typing import Any
from urllib.parse import unquote, urlsplit

import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from tests.fake_atlas import add_unit, fake_atlas, fake_method
from tests.helpers import Run, assert_refused
from texton.atlas.index import TextureIndex
from texton.atlas.similar import Similar
from texton.atlas.site import addresses
from texton.atlas.site.catalog import Catalog
from texton.atlas.site.pictures import thumbnail
from texton.atlas.site.site import Site
from texton.jobs.store import Store, Unit
from texton.methods.catalogue import methods
from texton.methods.method import Axis, Figure

EVIL = "<script>alert(1)</script>"
ODD = "_blocks.2._swish#2"


class Links(HTMLParser):
    """The addresses a page refers to, its element ids, and its tags."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.addresses: list[str] = []
        self.ids: list[str] = []
        self.images_without_alt = 0
        self.inline = 0
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        told = dict(attrs)
        self.addresses += [told[key] or "" for key in ("href", "src") if key in told]
        self.ids += [told["id"] or ""] if "id" in told else []
        self.images_without_alt += tag == "img" and "alt" not in told
        self.inline += "style" in told or (tag == "script" and "src" not in told)
        self.inline += any(key.startswith("on") for key in told)


def read(kind: str, text: str) -> dict[str, object]:
    found = re.search(r"push\((.*)\);\n$", text, re.S)
    assert found
    name, value = json.loads(found[1])
    assert name == kind and isinstance(value, dict)
    return value


def check_links(root: Path) -> int:
    """Every address on every page leads to a file of the site; returns how many there were."""
    count = 0
    for page in root.rglob("*.html"):
        links = Links(page.read_text())
        assert links.images_without_alt == 0 and links.inline == 0, page
        assert len(links.ids) == len(set(links.ids)), page
        for address in links.addresses:
            parts = urlsplit(address)
            if address == "data:," or (address.startswith("#") and address[1:] in links.ids):
                continue
            assert not parts.scheme and not parts.netloc, f"{page} asks for {address}"
            target = (page.parent / unquote(parts.path)).resolve()
            assert target.is_file() and root.resolve() in target.parents, f"{page}: {address}"
            count += 1
    return count


def test_an_export_is_whole_and_asks_for_nothing_else(run: Run, tmp_path: Path) -> None:
    fake_atlas(tmp_path / "atlas")
    outcome = run("atlas", "export", "atlas", "--out", "site", "--no-similar", "--json")
    assert outcome.code == 0, outcome.err
    made = json.loads(outcome.out)
    assert made["site"] == "site/index.html" and made["units"] == made["done"] == 104
    site = tmp_path / "site"
    assert check_links(site) > 500
    assert len(list(site.glob("relu2_1/*.html"))) == 41
    assert len(list(site.glob("relu2_1/*.png"))) == 80
    master = tmp_path / "atlas/units/relu2_1/7/cup.png"
    assert (site / "relu2_1/7.cup.png").read_bytes() == master.read_bytes()
    shipped = [p for p in site.rglob("*") if p.suffix in (".html", ".js", ".css")]
    outward = r"https?://(?!www\.w3\.org/2000/svg\")|url\(|import\b|fetch\("  # a name is not asked
    outside = [p for p in shipped if re.search(outward, p.read_text())]
    assert not outside


def test_a_filters_page_tells_everything_without_a_script(tmp_path: Path) -> None:
    site = Site(Catalog.read(fake_atlas(tmp_path)))
    page = site.content("relu2_1/7.html")
    assert isinstance(page, str)
    figures = ("0.736", "26.2 %", "7.10 %", "90.0 %", "5 × 5 px")
    for told in ("relu2_1:7", *figures, "How to read it", "<b>Achieved</b>:"):
        assert told in page, told
    for photo in ("cat", "cup"):
        assert f'src="../relu2_1/7.{photo}.png"' in page
        assert f'src="../photos/{photo}.png"' in page
        assert f"texton filter {photo}.jpg &#39;relu2_1:7&#39; --size 48" in page
    assert 'rel="prev" href="6.html"' in page and 'rel="next" href="8.html"' in page


def test_dead_failed_and_missing_units_are_shown_as_such(tmp_path: Path) -> None:
    told = {0: "dead", 1: "failed", 2: None}
    store = fake_atlas(tmp_path, [("relu1_1", 4)], ["cat"], lambda u: told.get(u.channel, "ok"))
    site = Site(Catalog.read(store))
    pages = [site.content(f"relu1_1/{channel}.html") for channel in range(4)]
    texts = [page for page in pages if isinstance(page, str)]
    assert "stayed silent" in texts[0] and "out of &lt;memory&gt;" in texts[1]
    assert "Not made yet" in texts[2] and "Not made yet" not in texts[3]
    assert site.content("relu1_1/1.cat.png") is None and site.content("relu1_1/2.cat.png") is None
    layer = read("layer", str(site.content("assets/layers/relu1_1.js")))
    assert layer["photos"][0]["status"] == ["dead", "failed", None, "ok"]  # type: ignore[index]
    assert layer["photos"][0]["error"][1] is None  # type: ignore[index]
    overview = str(site.content("index.html"))
    assert "1 dead" in overview and "1 failed" in overview and "2 of 4 pictures" in overview


@pytest.mark.parametrize("axes", [("photo",), ("photo", "layer"), ("layer", "channel"), ()])
@pytest.mark.slow
def test_an_atlas_of_any_method_has_pages_in_its_own_words(
    run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, axes: tuple[Axis, ...]
) -> None:
    monkeypatch.setitem(methods(), "blur", fake_method(*axes))
    fake_atlas(tmp_path / "atlas", [("relu1_1", 2), ("relu2_1", 3)], method="blur")
    assert run("atlas", "export", "atlas", "--out", "site").code == 0
    site = tmp_path / "site"
    check_links(site)
    layer = "relu2_1" if "layer" in axes else "blur"
    name = f"{layer}:0" if "channel" in axes else layer
    overview, page = ((site / path).read_text() for path in ("index.html", f"{layer}/0.html"))
    assert "<h1>Photographs out of focus</h1>" in overview and f"<title>{name} " in page
    assert "median sharpness" in overview and "<b>Sharpness</b>: How much detail is left." in page
    on = "cat" if "photo" in axes else "-"
    assert f"<figcaption>{on}, blurred by {name}</figcaption>" in page
    assert (site / "photos/cat.png").exists() == ("photo" in axes)
    assert page.count("<figure") == (4 if "photo" in axes else 1)
    assert ("what one unit sees" in page) == ({"photo", "layer"} <= set(axes))
    assert '">most sharpness first</option>' in (site / "all.html").read_text()
    told = read("atlas", (site / "assets/atlas.js").read_text())
    assert told["method"]["axes"] == list(axes)  # type: ignore[index]
    assert told["figures"][0]["key"] == "sharpness"  # type: ignore[index]
    for shipped in site.rglob("*.html"):
        foreign = r"(?i)achieved|leakage|texture that" + ("" if "channel" in axes else "|filter")
        text = re.sub(r"<code>.*?</code>", "", shipped.read_text())  # the command is the record's
        assert not re.search(foreign, text), shipped


def test_a_figure_of_another_type_is_a_dash(tmp_path: Path) -> None:
    store = fake_atlas(tmp_path, [("relu1_1", 5)], ["cat"])
    catalog = Catalog.read(store)
    odd = ["high", [1], True, float("nan"), 10**400]
    for channel, value in enumerate(odd):
        catalog.records[Unit("relu1_1", channel, "cat")]["error"] = value
    del catalog.records[Unit("relu1_1", 0, "cat")]["achieved"]
    site = Site(catalog)
    for path in site.paths():
        assert site.content(path) is not None
    assert str(site.content("relu1_1/0.html")).count("<dd>–</dd>") == 2
    layer = read("layer", str(site.content("assets/layers/relu1_1.js")))
    assert layer["photos"][0]["error"] == [None] * 5  # type: ignore[index]


@pytest.mark.parametrize(("better", "best"), [("low", min), ("high", max)])
def test_the_overview_shows_the_clearest_of_every_part(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, better: Any, best: Any
) -> None:
    figure = Figure("error", "Error", "How far off.", better=better)
    method = replace(fake_method("photo", "layer", "channel"), figures=(figure,))
    monkeypatch.setitem(methods(), "blur", method)
    store = fake_atlas(tmp_path, [("relu1_1", 24)], ["cat"], method="blur")
    page = str(Site(Catalog.read(store)).content("index.html"))
    shown = list(map(int, re.findall(r'class="tile" href="relu1_1/([0-9]+).html"', page)))
    errors = [store.record(unit)["error"] for unit in store.units()]  # type: ignore[index]
    assert shown == [best((c, c + 1), key=errors.__getitem__) for c in range(0, 24, 2)]


def test_any_name_is_escaped_and_has_an_address(run: Run, tmp_path: Path) -> None:
    fake_atlas(tmp_path / "atlas", [(EVIL, 2), (ODD, 3), ("assets", 1), ("CON", 1)], ["a b&c"])
    assert run("atlas", "export", "atlas", "--out", "site", "--no-similar").code == 0
    site = tmp_path / "site"
    check_links(site)
    assert (site / "_blocks.2._swish~232/1.html").is_file() and (site / ".nojekyll").exists()
    assert (site / "~61ssets/0.html").is_file()
    for page in site.rglob("*.html"):
        assert "<script>alert" not in page.read_text(), page
    data = (site / "assets/atlas.js").read_text()
    assert read("atlas", data)["layers"][0]["name"] == EVIL  # type: ignore[index]


@given(st.lists(st.text(min_size=1, max_size=12), min_size=2, max_size=2, unique=True))
@pytest.mark.slow
def test_two_names_never_share_an_address(names: list[str]) -> None:
    first, second = map(addresses.slug, names)
    assert first != second
    for slug in (first, second):
        assert re.fullmatch(r"[A-Za-z0-9_.~-]+", slug)
        assert slug not in (".", "..") and slug[0] != "." and slug[-1] != "."
        assert slug.lower() not in ("assets", "photos", "con", "nul")


def test_an_earlier_export_is_replaced_and_nothing_else(run: Run, tmp_path: Path) -> None:
    store = fake_atlas(tmp_path / "atlas", [("relu1_1", 3), ("relu1_2", 2)], ["cat"])
    words = ("atlas", "export", "atlas", "--no-similar", "--out")
    assert run(*words, "site").code == 0
    (tmp_path / "site/mine.txt").write_text("mine")
    store.save(replace(store.manifest, layers=store.manifest.layers[:1]))
    assert run(*words, "site").code == 0
    assert not list((tmp_path / "site/relu1_2").glob("*"))
    assert (tmp_path / "site/mine.txt").read_text() == "mine"
    check_links(tmp_path / "site")


def test_what_cannot_be_exported_is_refused(run: Run, tmp_path: Path) -> None:
    fake_atlas(tmp_path / "atlas", [("relu1_1", 2)], ["cat"])
    full = tmp_path / "full"
    full.mkdir()
    (full / "mine.txt").write_text("mine")
    assert_refused(run("atlas", "export", "atlas", "--out", "full"), "not empty")
    assert_refused(run("atlas", "export", "atlas", "--out", "atlas/site"), "inside the atlas")
    assert_refused(run("atlas", "export", "full", "--out", "new"), "no atlas")
    assert_refused(run("atlas", "export", "atlas", "--out", "full/mine.txt"), "is a file")
    assert_refused(run("atlas", "serve", "full"), "no atlas")
    assert not (tmp_path / "new").exists() and [p.name for p in full.iterdir()] == ["mine.txt"]
    assert run("atlas", "export", "atlas", "--out", "full", "--force", "--no-similar").code == 0
    assert (full / "mine.txt").exists() and (full / "index.html").exists()


def test_large_pictures_have_thumbnails(tmp_path: Path) -> None:
    store = fake_atlas(tmp_path, [("relu1_1", 2)], ["cat"])
    large(store)
    site = Site(Catalog.read(store))
    small = site.content("relu1_1/0.cat.thumb.webp")
    assert isinstance(small, bytes) and small[8:12] == b"WEBP"
    assert "0.cat.thumb.webp" in str(site.content("index.html"))
    assert "relu1_1/0.cat.thumb.webp" in set(site.paths())


def test_a_thumbnail_is_made_once_until_its_picture_changes(tmp_path: Path) -> None:
    path = tmp_path / "picture.png"
    Image.new("RGB", (300, 200), "red").save(path)
    first = thumbnail(path)
    assert first is not None and thumbnail(path) is first
    Image.new("RGB", (300, 200), "blue").save(path)
    os.utime(path, (1, 1))
    later = thumbnail(path)
    assert later is not None and Image.open(io.BytesIO(later)).getpixel((9, 9))[2] > 200  # type: ignore[index]
    truncate(path)
    assert thumbnail(path) is None


def test_a_damaged_picture_is_shown_as_not_made_and_told(run: Run, tmp_path: Path) -> None:
    store = fake_atlas(tmp_path / "atlas", [("relu1_1", 4)], ["cat"])
    large(store)
    truncate(store.picture(Unit("relu1_1", 1, "cat")))
    store.picture(Unit("relu1_1", 3, "cat")).write_bytes(b"")
    outcome = run("atlas", "export", "atlas", "--out", "site", "--no-similar", "--json")
    assert outcome.code == 0, outcome.err
    assert json.loads(outcome.out)["done"] == 2 and json.loads(outcome.out)["left"] == 2
    assert "skipped relu1_1:1 on cat" in outcome.err and "skipped relu1_1:3" in outcome.err
    assert "cannot write" not in outcome.err
    assert check_links(tmp_path / "site") > 20
    assert not list((tmp_path / "site").rglob("[13].cat.*"))
    assert "Not made yet" in (tmp_path / "site/relu1_1/1.html").read_text()


def large(store: Store) -> None:
    """Pictures that are too large to be their own thumbnails."""
    wide = tuple(replace(photo, width=300, height=200) for photo in store.manifest.photos)
    store.save(replace(store.manifest, photos=wide))
    for unit in store.units():
        Image.new("RGB", (300, 200), "red").save(store.picture(unit))


def truncate(path: Path) -> None:
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])


@pytest.mark.slow
def test_similar_textures_are_similar(tmp_path: Path) -> None:
    """Channels 64 apart have the same picture: they must be each other's nearest."""
    store = fake_atlas(tmp_path, [("relu1_1", 68), ("relu1_2", 8)], ["cat", "cup"])
    catalog = Catalog.read(store)
    similar = TextureIndex().update(store, catalog.alive())
    for channel in range(4):
        assert similar.same["relu1_1", channel][0] == ("relu1_1", channel + 64)
        assert similar.others["relu1_2", channel][0][1] % 64 == channel
        assert all(layer == "relu1_2" for layer, _ in similar.others["relu1_1", channel])
    found = similar.maps["relu1_1"]
    assert sorted(found.cells) == sorted(found.walk()) == list(range(68))
    assert len(set(found.cells.values())) == 68
    assert max(found.cells.values()) < found.columns * found.rows
    page = str(Site(catalog, similar).content("relu1_1/0.html"))
    assert "Similar textures" in page and "64.html" in page


@pytest.mark.slow
def test_the_index_is_kept_and_brought_up_to_date(tmp_path: Path) -> None:
    store = fake_atlas(tmp_path, [("relu1_1", 12)], ["cat"], lambda u: "ok" if u.channel else None)
    first = TextureIndex().update(store, Catalog.read(store).alive())
    measured: list[int] = []
    again = TextureIndex().update(
        store, Catalog.read(store).alive(), lambda done, count: measured.append(count)
    )
    assert again == first and measured == []
    add_unit(store, Unit("relu1_1", 0, "cat"))
    later = TextureIndex().update(
        store, Catalog.read(store).alive(), lambda done, count: measured.append(count)
    )
    assert measured == [1] and ("relu1_1", 0) in later.same
    (tmp_path / "index/textures.npz").write_bytes(b"damaged")
    assert TextureIndex().update(store, Catalog.read(store).alive()) == later


def test_an_atlas_with_nothing_made_has_pages(tmp_path: Path) -> None:
    store = fake_atlas(tmp_path, [("relu1_1", 3)], ["cat"], lambda u: None)
    catalog = Catalog.read(store)
    assert TextureIndex().update(store, catalog.alive()) == Similar()
    site = Site(catalog)
    assert all(site.content(path) is not None for path in site.paths())
