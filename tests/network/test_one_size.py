"""A network of one image size, or of multiples: whatever reads pictures for it heeds that."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch

import texton
from tests.evidence.scans import Inline, scan, write_pictures
from tests.helpers import EXAMPLES, Run
from tests.network.test_fields import unet
from texton import Network
from texton.atlas.plan import Asked, make_plan
from texton.evidence.format import Evidence
from texton.evidence.patches import cut
from texton.experiments.harness.folder import Folder
from texton.experiments.harness.lab import Lab
from texton.experiments.harness.options import Options
from texton.methods.parts.words import see
from texton.methods.tuning import tuning
from texton.network.device import choose_compute

TESTS = Path(__file__).parent.parent
CAT = EXAMPLES / "chelsea.jpg"
VIT, UNET = f"{TESTS / 'transformers.py'}:vit", f"{TESTS / 'network' / 'test_fields.py'}:unet"
ONE = ("--network", VIT)
BEFORE, INSIDE = "blocks.0.norm1", "blocks.0.mlp.1"  # attention: what sees a patch, and all


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    base = tmp_path_factory.mktemp("one-size")
    write_pictures(base / "pictures", 6)
    layers = f"{BEFORE},{INSIDE}"
    scan(base / "pictures", base / "evidence", VIT, Inline(), layers=layers)
    return base


@pytest.fixture(scope="module")
def net() -> Network:
    return texton.load_network(VIT)


def test_a_scan_takes_the_middles_and_goes_on_with_them(place: Path, tmp_path: Path) -> None:
    for count in (2, 4):
        write_pictures(tmp_path / "more", count)
        opened = scan(tmp_path / "more", tmp_path / "e", VIT, Inline(2), layers=BEFORE)
    settings = opened.manifest.settings
    assert settings["crop"] == [32, 32] and settings["size"] == 32
    found = Evidence.open(tmp_path / "e")
    assert found.layer(BEFORE).pictures == 4
    image = found.read(1)
    assert torch.equal(image, texton.read_image(found.path(1), crop=(32, 32)))


def test_patches_are_cut_at_the_token(place: Path, net: Network) -> None:
    evidence = Evidence.open(place / "evidence")
    layer = evidence.layers[BEFORE]
    assert (layer.field, layer.stride, layer.first) == (8, 8, (0, 0))
    for spot in evidence.layer(BEFORE).places(3):
        image = evidence.read(spot.picture)
        code = net.encode(image, BEFORE)[BEFORE][0, 3]
        assert float(code[spot.row, spot.column]) == pytest.approx(spot.value, rel=1e-5)
        assert spot.value == pytest.approx(float(code.max()), rel=1e-5)
        top, left = 8 * spot.row, 8 * spot.column
        cut_out = cut(image, layer, spot).image
        assert torch.equal(cut_out, image[0, :, top : top + 8, left : left + 8])
        alone = torch.full_like(image, 0.5)  # nothing but the patch decides
        alone[0, :, top : top + 8, left : left + 8] = cut_out
        again = net.encode(alone, BEFORE)[BEFORE][0, 3, spot.row, spot.column]
        assert float(again) == pytest.approx(spot.value, rel=1e-4)
    assert evidence.layers[INSIDE].field is None and evidence.layers[INSIDE].effective


def test_a_map_and_a_projection_lie_on_the_token(run: Run) -> None:
    mapped = run("map", CAT, f"{BEFORE}:3", *ONE, "--json")
    (unit,) = json.loads(mapped.out)["units"]
    assert (unit["x"], unit["y"]) == (8 * unit["column"] + 3.5, 8 * unit["row"] + 3.5)
    assert json.loads(mapped.out)["settings"]["crop"] == [32, 32]
    sent = run("project", CAT, f"{BEFORE}:3", *ONE, "--rule", "gradient", "--json")
    (told,) = json.loads(sent.out)["units"]
    assert (told["row"], told["column"]) == (unit["row"], unit["column"])
    away = (texton.read_image(told["image"]) - 0.5).abs().amax((0, 1)) > 0.01
    seen = away.nonzero()
    top, left = int(8 * told["row"]), int(8 * told["column"])
    assert seen.min(0).values.tolist() == [top, left]
    assert seen.max(0).values.tolist() == [top + 7, left + 7]


@pytest.mark.parametrize(
    "words",
    [
        ("patches", f"{BEFORE}:3", "--from", "evidence", "--rule", "gradient"),
        ("patches", "pictures", f"{INSIDE}:1", "--texture", "none", "--rule", "gradient"),
        ("maximize", f"{INSIDE}:1", "--steps", 2, "--evidence", "evidence"),
        ("maximize", f"{BEFORE}:1", "--steps", 2, "--natural", "--photographs", "pictures"),
        ("filter", CAT, f"{INSIDE}:1", "--steps", 2),
        ("tuning", f"{INSIDE}:1"),
        ("parts", "patches:0", "--from", "pictures", "--steps", 2),
        ("parts", "patches:0", "--from", CAT, "--steps", 2),
        ("facets", f"{BEFORE}:3", "--evidence", "evidence", "--steps", 2),
        ("accentuate", CAT, f"{INSIDE}:1", "--steps", 2),
        ("dream", CAT, INSIDE, "--iterations", 2),
        ("stylize", CAT, EXAMPLES / "coffee.jpg", "--content-layer", INSIDE, "--style-layers",
         f"patches,{INSIDE}", "--preset", "fast"),
    ],
    ids=lambda words: "-".join(map(str, words[:2])).replace("/", "-"),
)  # fmt: skip
def test_every_command_gives_it_what_it_takes(
    run: Run, place: Path, words: tuple[object, ...]
) -> None:
    there = {"evidence": place / "evidence", "pictures": place / "pictures"}
    made = run(*(there.get(str(word), word) for word in words), *ONE, "-o", "x.png", "--json")
    assert made.code == 0, made.err
    for unit in json.loads(made.out)["units"]:
        assert unit["status"] == "ok", unit


def test_a_picture_from_nothing_has_its_size(net: Network) -> None:
    result = texton.maximize(net, INSIDE, 1, steps=2, preset="fast")
    assert result.image.shape == (3, 32, 32) and result.settings["size"] == [32, 32]
    early = texton.maximize(net, "patches", 1, size=48, steps=2, preset="fast")
    assert early.image.shape == (3, 48, 48), "what comes before takes any size"
    assert tuning(net, INSIDE, 1).answer > 0
    with pytest.raises(texton.TextonError, match="has no layer 'nonsense'"):
        texton.maximize(net, "nonsense", 1)


def test_a_classifier_of_one_size_sees_pictures_at_it(place: Path, net: Network) -> None:
    scan(place / "pictures", place / "wide", UNET, Inline(), layers="down.0")
    wide = Evidence.open(place / "wide")
    seen = see(wide, net, {"down.0": [0]}, choose_compute("cpu"))
    assert seen.probabilities.shape == (6, 10)


def test_experiments_read_photographs_for_their_network(tmp_path: Path) -> None:
    lab = Lab("figure2", Options(network=VIT, photos=(CAT,)), Folder(tmp_path))
    images = [picture.image for picture in (*lab.photos, *lab.styles)]
    assert {image.shape for image in images} == {(1, 3, 32, 32)}
    assert torch.equal(images[0], texton.read_image(CAT, crop=(32, 32)))
    assert lab.settings()["crop"] == [32, 32]
    lab = Lab("figure2", Options(network=UNET, size=63), Folder(tmp_path))
    assert all(x % 4 == 0 for p in lab.photos for x in p.image.shape[2:])


def test_multiples_are_heeded_alike(place: Path, tmp_path: Path) -> None:
    write_pictures(tmp_path / "p", 3)
    for path in (tmp_path / "p").rglob("*.png"):  # 48×40 become 46×38: no multiples of 4
        texton.images.files.write_image(texton.read_image(path)[..., 1:-1, 1:-1], path)
    opened = scan(tmp_path / "p", tmp_path / "e", UNET, Inline(), layers="join.1")
    assert opened.manifest.settings["multiple"] == 4
    found = Evidence.open(tmp_path / "e")
    assert found.layer("join.1").pictures == 3
    assert {x % 4 for n in range(3) for x in found.read(n).shape[2:]} == {0}
    net = Network(unet())
    assert texton.maximize(net, "join.1", 1, size=50, steps=2, preset="fast").image.shape[1] == 48
    dreamt = texton.dream(found.read(0), net, "join.1", octaves=2, iterations=1)
    assert dreamt.image.shape[1:] == found.read(0).shape[2:]


def test_an_atlas_without_photographs_has_its_size(tmp_path: Path) -> None:
    asked = Asked((), INSIDE, "1", "maximize", network={"network": VIT})
    (photo,) = make_plan(asked, tmp_path / "a").manifest.photos
    assert (photo.width, photo.height) == (32, 32)


@pytest.mark.slow
def test_it_is_said_and_a_scan_goes_on(place: Path, run: Run) -> None:
    words = ("scan", place / "pictures", "-o", "e", *ONE, "--layers", BEFORE, "--workers", 1)
    first = run(*words)
    assert first.code == 0 and first.err.count("32×32 pixels alone: of every picture") == 1
    again = run(*words)
    assert again.code == 0 and "begun with size" not in again.err


@pytest.mark.slow
def test_an_atlas_and_its_evidence(place: Path, run: Run) -> None:
    words = ("--layers", INSIDE, "--channels", "1-2", *ONE, "--steps", 2, "--workers", 1)
    built = run("atlas", "build", CAT, "-o", "a", *words)
    assert built.code == 0 and "32×32 pixels alone" in built.err, built.err
    assert texton.read_image(Path("a") / "photos" / "chelsea.png").shape == (1, 3, 32, 32)
    shown = run("atlas", "export", "a", "-o", "site", "--evidence", place / "evidence")
    assert shown.code == 0, shown.err
