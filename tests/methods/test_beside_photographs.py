"""Maximising beside what a scan found: bounded by it, and on which path through the network."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from torch import Tensor

from tests.evidence import scans
from tests.helpers import Run, assert_refused
from texton import Network, TextonError, load_network
from texton.methods.maximisation import maximize
from texton.methods.parts.evident import Evident
from texton.network.device import choose_compute
from texton.solve.maximise import Ranked, RankMatch

FILTER = 2


@pytest.fixture(scope="module")
def scanned(tmp_path_factory: pytest.TempPathFactory) -> tuple[Network, Path]:
    place = tmp_path_factory.mktemp("scanned")
    (place / "net.py").write_text(scans.SOURCE)
    spec = f"{place / 'net.py'}:make"
    scans.scan(scans.write_pictures(place / "photos", 8), place / "found", spec)
    return load_network(spec), place / "found"


def evident(scanned: tuple[Network, Path], *channels: int) -> Evident:
    network, found = scanned
    return Evident(network, found, "4", channels, choose_compute("cpu", torch.float32))


def natural(scanned: tuple[Network, Path], channel: int, rank: int = 0) -> Tensor:
    found = evident(scanned, channel)._evidence
    return found.read(found.layer("4").places(channel)[rank].picture)


def test_ranks_are_matched_wherever_they_lie() -> None:
    code = torch.rand(2, 3, 6, 6, generator=torch.Generator().manual_seed(0))
    wanted = [
        Ranked([2, 0], one[[2, 0]].flatten(1).sort(1).values, torch.tensor([1.0, 0.5]))
        for one in code
    ]
    match = RankMatch({"a": wanted})
    assert match({"a": code}, code).tolist() == [0, 0]
    moved = code.roll((2, 3), (2, 3)).flip(2)
    assert match({"a": moved}, code).tolist() == [0, 0]
    assert match({"a": 0 * code}, code).tolist() == pytest.approx([1, 1])
    assert match({"a": 3 * code}, code).tolist() == pytest.approx([4, 4])
    larger = torch.nn.functional.interpolate(code, scale_factor=2)
    assert max(match({"a": larger}, code).tolist()) < 0.01
    other = code.clone()
    other[:, 1] = 7
    assert match({"a": other}, code).tolist() == [0, 0], "a map that nothing is asked of"


def test_a_matched_picture_has_the_ranks_of_photographs(
    scanned: tuple[Network, Path],
) -> None:
    network, found = scanned
    told = {"size": 48, "preset": "fast", "steps": 30, "evidence": found}
    free = maximize(network, "4", FILTER, **told)
    bound = maximize(network, "4", FILTER, match=True, **told)
    match = RankMatch({x: [y] for x, y in evident(scanned, FILTER).ranked(FILTER).items()})
    errors = [
        float(match(network.encode(one.image[None], match.layers), one.image))
        for one in (free, bound)
    ]
    assert free.error is None and bound.error == pytest.approx(errors[1], rel=1e-3)
    assert errors[1] < 0.7 * errors[0]
    assert bound.trace[-1] == pytest.approx(errors[1], abs=0.05)
    with pytest.raises(TextonError, match=r"nothing in .* excites 4:4"):
        maximize(network, "4", 4, match=True, **told)


def test_only_maps_that_add_to_the_filter_are_matched(scanned: tuple[Network, Path]) -> None:
    network, _ = scanned
    ranked = evident(scanned, FILTER).ranked(FILTER)
    assert list(ranked) == ["1", "4"] and ranked["4"].maps == [FILTER]
    kernel = network.module[3].weight[FILTER].sum((1, 2))
    shares = dict(zip(ranked["1"].maps, ranked["1"].weights.tolist(), strict=True))
    assert max(shares, key=shares.__getitem__) in kernel.topk(2).indices.tolist()
    assert sum(shares.values()) == pytest.approx(1, abs=1e-3)
    assert bool((ranked["1"].values.diff(dim=1) >= 0).all())


def test_a_path_tells_the_filters_own_photographs_from_noise(
    scanned: tuple[Network, Path],
) -> None:
    paths = {}
    for channel in range(4):
        known = evident(scanned, channel)
        own = known.path(channel, natural(scanned, channel))
        noise = torch.rand(1, 3, 48, 48, generator=torch.Generator().manual_seed(channel))
        if own is not None:
            paths[channel] = own, known.path(channel, noise)
    assert paths, "no filter's pictures are nearer to each other than to others'"
    assert sum(own for own, _ in paths.values()) > sum(x or 0 for _, x in paths.values())


def test_old_ways_make_a_picture_that_is_smooth(scanned: tuple[Network, Path]) -> None:
    network, _ = scanned
    made = maximize(network, "1", 0, size=32, steps=24, preset="history")
    again = maximize(network, "1", 0, size=32, steps=24, preset="history")
    assert made.status == "ok" and torch.equal(made.image, again.image)
    noise = torch.rand(3, 32, 32, generator=torch.Generator().manual_seed(0)) * 0.2 + 0.4
    code = network.encode(noise[None], "1")["1"][0, 0].mean()
    assert float(network.encode(made.image[None], "1")["1"][0, 0].mean()) > 1.5 * float(code)
    steps = made.image.diff(dim=1).abs().mean() / made.image.std()
    assert float(steps) < 0.8  # of white noise 1.1


def test_what_does_not_go_together_is_one_line(run: Run) -> None:
    words = ("relu4_2:3", "--match")
    assert_refused(run("maximize", *words), "takes its patches from --evidence")
    found = ("--evidence", "found")
    assert_refused(run("maximize", *words, *found, "--natural"), "bounded: leave --natural")
    assert_refused(run("maximize", *words, *found, "--at", "1,1"), "--match is of filters")
    history = ("relu4_2:3", "--preset", "history", "--natural")
    assert_refused(run("maximize", *history), "history is of pixels alone")
    assert_refused(run("maximize", *words, *found), "no evidence in 'found'")
