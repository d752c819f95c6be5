"""Facets: clusters that are there, one where none are, and a picture of each."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch

from tests.evidence import scans
from tests.helpers import Run, assert_refused
from texton import TextonError, load_network
from texton.methods.facets import facets
from texton.methods.parts.clusters import clusters, silhouette


def drawn(seed: int) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


@pytest.mark.parametrize("count", [2, 3])
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
