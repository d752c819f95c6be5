"""Two atlases side by side: who drifted, who died, who became another."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from tests.fake_atlas import fake_atlas
from tests.helpers import Run, assert_refused
from texton.atlas import drift
from texton.atlas.drift import drifts
from texton.atlas.site.drifting import DriftSite
from texton.atlas.textures import Texture
from texton.errors import TextonError
from texton.jobs.store import Store, Unit

LAYERS = (("relu1_1", 6),)


def _dead(channel: int) -> object:
    return lambda unit: "dead" if unit.channel == channel else "ok"


@pytest.fixture
def pair(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> tuple[Store, Store]:
    """In the second, filter 1 has filter 2's texture, 3 is dead, 4 was dead."""
    first = fake_atlas(tmp_path / "a", LAYERS, ["cat"], _dead(4))  # type: ignore[arg-type]
    second = fake_atlas(tmp_path / "b", LAYERS, ["cat"], _dead(3))  # type: ignore[arg-type]
    rng = np.random.default_rng(0)
    vectors = rng.normal(size=(6, 20)).astype(np.float16)
    moved = vectors + rng.normal(size=vectors.shape).astype(np.float16) * 0.05
    moved[1] = vectors[2]

    def known(store: Store, units: object, *_: object) -> dict[Unit, Texture]:
        rows = vectors if store.root.name == "a" else moved
        return {u: Texture(rows[u.channel], (0, 0)) for u in units}  # type: ignore[attr-defined]

    monkeypatch.setattr(drift, "measure_textures", known)
    return first, second


def test_the_farthest_comes_first_and_fates_are_told(pair: tuple[Store, Store]) -> None:
    found = drifts(*pair)
    assert [(x.channel, x.fate) for x in found.layers["relu1_1"][:3]] == [
        (3, "died"),
        (4, "woke"),
        (1, "alive"),
    ]
    one = found.layers["relu1_1"][2]
    assert one.nearest == 2 and not one.kept and one.far is not None and one.far > 0.5
    rest = found.layers["relu1_1"][3:]
    assert all(x.kept and x.far is not None and x.far < 0.3 for x in rest)
    told = found.summary("relu1_1")
    assert (told["died"], told["woke"], told["kept"]) == (1, 1, 3 / 4)
    assert found.farthest(1) == [one]


def test_the_same_atlas_has_not_drifted(pair: tuple[Store, Store]) -> None:
    found = drifts(pair[0], pair[0]).layers["relu1_1"]
    assert [x.far for x in found if x.fate == "alive"] == [0.0] * 5
    assert found[-1].fate == "dead"


def test_pages_lead_to_each_layer_and_ask_for_nothing_else(pair: tuple[Store, Store]) -> None:
    site = DriftSite(drifts(*pair))
    paths = list(site.paths())
    assert "relu1_1/1.a.webp" in paths and "relu1_1/1.b.webp" in paths
    assert all(site.content(path) is not None for path in paths)
    page = site.content("relu1_1/index.html")
    assert isinstance(page, str) and "now like 2" in page and "died" in page
    assert "http" not in page and " style=" not in page and "<script" not in page
    assert site.content("relu1_1/9.a.webp") is None


def test_what_cannot_be_compared_is_refused(tmp_path: Path) -> None:
    first = fake_atlas(tmp_path / "a", LAYERS, ["cat"])
    other = fake_atlas(tmp_path / "b", (("relu1_1", 7),), ["cat"])
    with pytest.raises(TextonError, match="of one architecture"):
        drifts(first, other)
    strange = fake_atlas(tmp_path / "c", LAYERS, ["cup"])
    with pytest.raises(TextonError, match="no photograph in common"):
        drifts(first, strange)
    strange.save(replace(strange.manifest, method="parts"))
    with pytest.raises(TextonError, match="of one method"):
        drifts(first, strange)


def test_command(run: Run, pair: tuple[Store, Store]) -> None:
    made = run("atlas", "compare", pair[0].root, pair[1].root, "-o", "drift", "--json")
    assert made.code == 0, made.err
    told = json.loads(made.out)
    assert Path(told["site"]).is_file()
    assert told["layers"]["relu1_1"]["drifts"][0]["fate"] == "died"
    assert_refused(run("atlas", "compare", pair[0].root, "nowhere", "-o", "x"), "no atlas")
