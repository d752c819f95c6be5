"""Facets: clusters that are there, one where none are, and a picture of each."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest
import torch

from tests.evidence import scans
from tests.helpers import Run, assert_refused
from texton import TextonError, load_network
from texton.methods.facets import facets
from texton.methods.parts.clusters import clusters, silhouette
from texton.methods.parts.faceting import Faceting, _in_the_middle
from texton.network.device import choose_compute
from texton.solve.presets import MAXIMISING, solver_settings


def drawn(seed: int) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


@pytest.mark.parametrize("count", [2, 3])
@pytest.mark.slow
def test_clusters_that_are_there_are_found(count: int) -> None:
    points = 0.3 * torch.randn(60, 20, generator=drawn(0))
    wanted = torch.arange(60) % count
    wanted[:10] = 0  # the largest, and so the first
    points += 3 * torch.eye(20)[wanted]
    found = clusters(points, 4, drawn(1))
    assert torch.equal(found.labels.bincount(), wanted.bincount().sort(descending=True).values)
    assert torch.equal(found.labels == 0, wanted == 0)
    assert found.silhouette > 0.5
    again = clusters(points, 4, drawn(1))
    assert torch.equal(found.labels, again.labels)


@pytest.mark.parametrize("seed", range(4))
def test_noise_is_one_cluster(seed: int) -> None:
    cloud = torch.randn(50, 12, generator=drawn(seed)) * torch.linspace(3, 0.1, 12)
    found = clusters(cloud, 4, drawn(seed))
    assert int(found.labels.max()) == 0 and found.silhouette == 0
    few = clusters(torch.rand(3, 5, generator=drawn(seed)), 4, drawn(seed))
    assert few.labels.tolist() == [0, 0, 0]


def test_the_silhouette_is_that_of_its_definition() -> None:
    points = torch.tensor([[0.0], [1.0], [10.0], [12.0]])
    expected = [(10.5 - 1) / 11, (10 - 1) / 10, (9.5 - 2) / 9.5, (11.5 - 2) / 11.5]
    expected[0] = (11 - 1) / 11
    found = silhouette(points, torch.tensor([0, 0, 1, 1]))
    assert found == pytest.approx(sum(expected) / 4)


@pytest.fixture(scope="module")
def scanned(tmp_path_factory: pytest.TempPathFactory) -> tuple[str, Path]:
    place = tmp_path_factory.mktemp("facets")
    (place / "net.py").write_text(scans.SOURCE)
    spec = f"{place / 'net.py'}:make"
    scans.scan(scans.write_pictures(place / "photos", 9), place / "found", spec)
    return spec, place / "found"


def test_a_filter_has_a_picture_of_each_facet(scanned: tuple[str, Path]) -> None:
    spec, found = scanned
    network = load_network(spec)
    made = facets(network, "4", 1, found, steps=8, most=3)
    side = 96  # a texture's least
    assert made.image.shape == (3, 2 * side + 4, 3 * side + 8)
    assert made.facets >= 1 and made.patches >= 1 and made.strongest > 0
    assert float(made.image[:, :side, :side].std()) > 0.03  # not grey
    if made.facets == 1:
        assert made.silhouette is None and float(made.image[:, :, side:].min()) == 1
    assert torch.equal(made.image, facets(network, "4", 1, found, steps=8, most=3).image)
    with pytest.raises(TextonError, match=r"nothing in '.*' excites 4:4"):
        facets(network, "4", 4, found)
    other = load_network(spec)
    with torch.no_grad():
        other.module[0].weight *= 2
    with pytest.raises(TextonError, match="is of another network"):
        facets(other, "4", 1, found)


FAR = """
import torch
from torch import nn
def make():
    torch.manual_seed(1)
    parts = [nn.Conv2d(3, 4, 3, padding=1), nn.ReLU(), nn.AvgPool2d(8)]
    parts += [nn.Conv2d(4, 2, 7, padding=3), nn.ReLU(), nn.Conv2d(2, 2, 1), nn.ReLU()]
    parts[3].bias.data.fill_(0.3)
    return nn.Sequential(*parts), {"mean": 0.5, "std": 0.25, "input_range": 1.0, "channels": 3}
"""


def test_what_sees_a_thing_is_shown_it_in_the_middle(tmp_path: Path) -> None:
    (tmp_path / "far.py").write_text(FAR)
    spec = f"{tmp_path / 'far.py'}:make"
    scans.scan(scans.write_pictures(tmp_path / "photos", 5), tmp_path / "found", spec)
    network = load_network(spec)
    made = facets(network, "4", 0, tmp_path / "found", steps=16, most=1)
    picture = made.image[None, :, :96, :96]
    code = network.encode(picture, "4")["4"][0, 0]
    row, column = divmod(int(code.argmax()), code.shape[1])
    assert abs(row - 6) <= 2 and abs(column - 6) <= 2
    assert float(code.max()) > 1.5 * float(code.median())


def test_a_picture_begins_without_a_frame() -> None:
    patch = torch.ones(1, 3, 40, 40)
    patch[..., 8:32, 8:32] = 0
    mean = float(patch.mean())
    hard, soft = (_in_the_middle(patch, (56, 56), fades=x)[0, 0] for x in (False, True))
    assert float(hard[8, 28]) == 1 and float(hard[7, 28]) == pytest.approx(mean)
    assert abs(float(soft[8, 28]) - mean) < 0.02
    assert float(soft[28, 28]) == 0 and torch.equal(hard[:8], soft[:8])


def test_patches_are_told_apart_by_what_lies_over_them(scanned: tuple[str, Path]) -> None:
    spec, found = scanned
    network = load_network(spec)
    settings = solver_settings("fast", presets=MAXIMISING)
    told = (found, "1", settings, choose_compute("cpu"))
    faceting = Faceting(network, *told)
    code = torch.arange(96.0).reshape(1, 1, 1, 96).expand(1, 1, 96, 96)
    inside = faceting._inside(code)
    assert inside.shape[2:] == (faceting._field, faceting._field)
    assert float(inside.mean()) == 47  # from 46 on


def test_the_command_shows_facets(run: Run, scanned: tuple[str, Path]) -> None:
    spec, found = scanned
    words = ("facets", "4:0", "--network", spec)
    made = run(*words, "--evidence", found, "--steps", 2, "--json")
    assert made.code == 0, made.err
    told = json.loads(made.out)
    assert told["image"] == "4-0-facets.png" and told["units"][0]["facets"] >= 1
    assert_refused(run(*words), "name --evidence")
    assert_refused(run(*words, "--evidence", "."), "no evidence in")
    assert_refused(run(*words, "--evidence", found, "--size", 64), "--size")


@pytest.mark.slow
def test_an_atlas_by_evidence_knows_what_it_was_begun_with(
    scanned: tuple[str, Path], tmp_path: Path, run: Run
) -> None:
    spec, found = scanned
    own = tmp_path / "own"
    shutil.copytree(found, own)
    network, words = ("--network", spec), ("atlas", "build", "--layers", "4", "--workers", 1)
    others = ("--network", spec.replace(":make", ":other"))
    for method in ("facets", "maximize", "patches", "parts"):
        told = (
            *words,
            "--method",
            method,
            "--evidence" if method[0] in "fm" else "--pictures",
            own,
        )
        assert_refused(run(*told, *others, "--out", "x"), "is of another network")
        assert not (tmp_path / "x").exists()
    assert_refused(run(*told[:3], "0,4", *told[4:], *network), "has nothing of a layer '0'")
    match = ("--method", "maximize", "--match", "--evidence", own, "--size", 48)
    for out, asked in (("m", match), ("p", ("--method", "parts", "--pictures", own, "--edge", 32))):
        made = run(*words, *network, *asked, "--channels", "1", "--steps", 2, "--out", out)
        assert made.code == 0, made.err
        assert list((tmp_path / out).glob("units/4/1/*.png"))
    manifest = json.loads((own / "manifest.json").read_text())
    (own / "manifest.json").write_text(json.dumps(manifest))  # as another scan would leave it
    refused = run(*words, *network, *match, "--channels", "2", "--steps", 2, "--out", "m")
    assert_refused(refused, f"begun with other content of {own}")
