"""What experiments say of numbers whose answer is planted."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
import pytest
import torch
from numpy.typing import NDArray

from tests.helpers import EXAMPLES
from texton import Network
from texton.experiments.catalogue import find_experiment
from texton.experiments.claims import gram_explained, reallocation
from texton.experiments.claims.energy_or_gram import _wrong_filters, _wrong_name
from texton.experiments.claims.style_pairs import MEASURES, WRONG, Pair, agreement, compare, control
from texton.experiments.claims.style_retrieval import (
    COLOUR,
    GREY,
    HISTOGRAM,
    MATCHED,
    RANDOM,
    SHUFFLED,
    Judge,
    verdicts,
)
from texton.experiments.claims.style_retrieval import compare as compare_statistics
from texton.experiments.harness.folder import Folder
from texton.experiments.harness.lab import Lab
from texton.experiments.harness.options import Options
from texton.experiments.harness.run import run_experiment
from texton.experiments.measures.statistics import Estimate
from texton.experiments.measures.style_statistics import (
    STATISTICS,
    apart,
    distances_by_layer,
    measure,
    over_pairs,
)
from texton.experiments.report.findings import Findings, Verdict
from texton.images.folder import Picture

Array = NDArray[np.float64]
NOTHING = Picture("nothing", torch.zeros(1, 3, 8, 8))


def pair(rng: np.random.Generator, **wanted: tuple[float, float]) -> Pair:
    """A photograph at 1 from its style; method → distance at every weight, least content error."""
    curves = {
        method: [
            (content * k, {m: distance * rng.uniform(0.95, 1.05) for m in MEASURES})
            for k in (1, 2, 3)
        ]
        for method, (distance, content) in wanted.items()
    }
    return Pair(NOTHING, NOTHING, dict.fromkeys(MEASURES, 1.0), curves)


def pairs_of(
    pmci: float, gatys: float, wrong: float, count: int = 8, unlike: int = 0
) -> list[Pair]:
    """So many pairs; in ``unlike`` of them Gatys reaches no content error that PMCI reaches."""
    rng = np.random.default_rng(0)
    return [
        pair(rng, pmci=(pmci, 0.1), gatys=(gatys, 9.0 if i < unlike else 0.1), wrong=(wrong, 0.1))
        for i in range(count)
    ]


def said(judge: Callable[[Findings, Sequence[Pair]], None], pairs: list[Pair]) -> Verdict:
    findings = Findings()
    judge(findings, pairs)
    return findings.verdicts[-1]


@pytest.mark.parametrize(
    ("pairs", "outcome"),
    [
        (pairs_of(0.5, 0.5, 0.9), "holds"),
        (pairs_of(1, 1, 1), "not supported"),  # as near as each other, for neither has moved
        (pairs_of(0.5, 1, 0.9), "partly"),
        (pairs_of(0.8, 0.5, 0.9), "partly"),
        (pairs_of(1, 0.5, 1), "not supported"),
        (pairs_of(0.5, 0.5, 0.9, 1), "not supported"),
        (pairs_of(0.5, 0.5, 0.9, 8, 4), "holds"),
        (pairs_of(0.5, 0.5, 0.9, 8, 5), "partly"),
    ],
)
def test_sums_are_as_good_as_gram_only_where_both_carry_a_style_over(
    pairs: list[Pair], outcome: str
) -> None:
    assert said(compare, pairs).outcome == outcome


def test_pairs_without_a_common_content_error_are_counted() -> None:
    findings = Findings()
    compare(findings, pairs_of(0.5, 0.5, 0.9, 5, 3))
    assert "2 of 5 pairs reach a content error in common" in findings.verdicts[0].evidence
    assert any("fewer than half" in limit for limit in findings.limits)
    nothing = Findings()
    compare(nothing, pairs_of(0.5, 0.5, 0.9, 3, 3))
    assert not nothing.verdicts and "no content error in common" in nothing.limits[0]


@pytest.mark.parametrize(
    ("pairs", "outcome"),
    [
        (pairs_of(0.5, 0.5, 0.9), "holds"),
        (pairs_of(0.5, 0.5, 0.5), "not supported"),
        (pairs_of(1, 1, 2), "not supported"),  # the right filters did not come nearer
        (pairs_of(0.5, 0.5, 0.9, 1), "not supported"),
    ],
)
def test_wrong_filters_tell_only_where_the_right_ones_come_nearer(
    pairs: list[Pair], outcome: str
) -> None:
    verdict = said(control, pairs)
    assert verdict.outcome == outcome
    assert f"{len(pairs)} of {len(pairs)} pairs" in verdict.evidence


@pytest.mark.parametrize(
    ("gatys", "wrong", "outcome"),
    [
        ([1.0] * 8, [0.0, 1.0] * 4, "holds"),
        ([1.0] * 8, [1.0] * 8, "partly"),
        ([0.0, 1.0] * 4, [0.0, 1.0] * 4, "not supported"),
        ([1.0], [0.0], "not supported"),
    ],
)
def test_styles_agree_only_where_wrong_filters_do_not(
    gatys: list[float], wrong: list[float], outcome: str
) -> None:
    findings = Findings()
    agreement(findings, {"gatys": gatys, WRONG: wrong}, 0.5)
    assert findings.verdicts[0].outcome == outcome


def test_every_style_has_wrong_filters_of_its_own(tmp_path: Path) -> None:
    lab = Lab("energy-or-gram", Options(size=48), Folder(tmp_path))
    image = lab.styles[0].image
    one, other = Picture("brick", image), Picture("brick-shuffled", image)
    assert _wrong_name(one) not in {one.name, other.name}
    a, b, again = (_wrong_filters(lab, style).moments for style in (one, other, one))
    for layer in a:
        assert torch.equal(a[layer], again[layer]) and not torch.equal(a[layer], b[layer])


def planted(value: float, count: int = 6) -> Array:
    noise = np.random.default_rng(round(100 * value)).uniform(-0.02, 0.02, (count, count))
    return np.asarray(value + noise + noise.T)


@pytest.mark.parametrize(
    ("changed", "outcome"),
    [
        ({}, "holds"),
        ({gram_explained.SCALE: 0.8}, "not supported"),
        ({gram_explained.WRONG: 0.8}, "not supported"),
        ({gram_explained.REST: 0.8}, "partly"),
        ({gram_explained.RANDOM: 0.8}, "partly"),
        ({gram_explained.RANDOM: None}, "partly"),
        ({gram_explained.SUMS: 0.45}, "partly"),
    ],
)
def test_sums_explain_gram_only_where_no_control_does(
    changed: dict[str, float | None], outcome: str
) -> None:
    wanted: dict[str, float | None] = dict.fromkeys(
        (gram_explained.WRONG, gram_explained.SCALE, gram_explained.REST, gram_explained.RANDOM),
        0.2,
    )
    wanted = {gram_explained.SUMS: 0.8, **wanted, **changed}
    findings = Findings()
    gram_explained._judge(findings, {k: planted(v) for k, v in wanted.items() if v is not None})
    assert findings.verdicts[0].outcome == outcome
    assert bool(findings.limits) == (wanted[gram_explained.RANDOM] is None)
    untrained = "a network that has learnt nothing" in findings.verdicts[0].evidence
    assert untrained == (wanted[gram_explained.RANDOM] == 0.8)


def test_two_images_prove_nothing_of_gram_matrices() -> None:
    findings = Findings()
    lines = {gram_explained.SUMS: 0.9, gram_explained.WRONG: 0.1, gram_explained.SCALE: 0.1}
    lines |= {gram_explained.REST: 0.1, gram_explained.RANDOM: 0.1}
    gram_explained._judge(findings, {name: planted(value, 2) for name, value in lines.items()})
    assert findings.verdicts[0].outcome == "not supported"


def test_overall_scale_is_told_from_which_filters_differ() -> None:
    rng = np.random.default_rng(0)
    same = rng.random(40)
    scaled = np.stack([same * k for k in (1, 2, 3, 4)])
    mixed = rng.random((4, 40))
    found = [
        gram_explained._shares((m[:, :, None] * m[:, None]).reshape(4, -1), m, 0)
        for m in (scaled, mixed)
    ]
    by_scale = [shares.estimate(gram_explained.SCALE).value for shares in found]
    assert by_scale[0] == pytest.approx(1) and by_scale[1] < 0.3
    assert all(shares.estimate(gram_explained.SUMS).value > 0.999 for shares in found)


def trend(value: float, spread: float = 0.05) -> Estimate:
    return Estimate(value, value - spread, value + spread, 20)


def draws_apart(shares: float, starts: float, count: int = 4) -> reallocation.Apart:
    return reallocation.Apart(planted(shares, count), planted(starts, count)[0])


@pytest.mark.parametrize(
    ("random", "apart_", "outcome"),
    [
        (trend(0.1), draws_apart(0.5, 0.1), "holds"),
        (trend(0.8), draws_apart(0.5, 0.1), "partly"),
        (trend(0.1, 0.9), draws_apart(0.5, 0.1), "partly"),  # not significant is not absent
        (None, draws_apart(0.5, 0.1), "partly"),
        (trend(0.1), draws_apart(0.5, 0.5), "partly"),  # any other start does as much
        (trend(0.1), draws_apart(0.5, 0.1, 1), "partly"),
    ],
)
@pytest.mark.parametrize("name", ["structure", "colour"])
def test_reallocation_is_judged_against_its_controls(
    name: str, random: Estimate | None, apart_: reallocation.Apart, outcome: str
) -> None:
    sign = reallocation.CLAIMS[name][1]

    def signed(found: Estimate) -> Estimate:
        low, high = sorted((sign * found.low, sign * found.high))
        return Estimate(sign * found.value, low, high, found.n)

    raw = {"trained": signed(trend(0.8)), "plain": signed(trend(0.5))}
    excess = {"trained": signed(trend(0.8))} | ({"random": signed(random)} if random else {})
    findings = Findings()
    reallocation.judge(findings, name, raw, excess, "relu5_1", apart_)
    assert findings.verdicts[0].outcome == outcome
    assert "nan" not in findings.verdicts[0].evidence
    unsure = {"trained": Estimate(0.8 * sign, -np.inf, np.inf, 1), "plain": raw["plain"]}
    opposed = {"trained": signed(trend(-0.8)), "plain": raw["plain"]}
    for trends in ((unsure, unsure), (opposed, excess), (raw, opposed)):
        reallocation.judge(findings, name, *trends, "relu5_1", apart_)
    assert [verdict.outcome for verdict in findings.verdicts[1:]] == ["not supported"] * 3


def test_the_same_share_of_the_headroom_is_the_same_excess() -> None:
    low = reallocation.beyond("structure", np.array([0.2 + 0.4]), 0.2)
    high = reallocation.beyond("structure", np.array([0.8 + 0.1]), 0.8)
    np.testing.assert_allclose([low, high], 0.5)
    np.testing.assert_allclose(reallocation.beyond("colour", np.array([9.0]), 4.0), 5)


@pytest.mark.slow
def test_one_draw_is_said_to_prove_nothing_and_every_unit_is_planned(tmp_path: Path) -> None:
    units: list[tuple[int, int]] = []
    made = run_experiment(
        find_experiment("reallocation"),
        tmp_path / "out",
        {
            "photos": (EXAMPLES / "chelsea.jpg",),
            "layers": ("relu1_1", "relu2_1"),
            "size": 48,
            "steps": 1,
            "repeats": 1,
        },
        on_unit=lambda key, done, of: units.append((done, of)),
    )
    assert units[0] == (1, 10) and units[-1] == (10, 10)
    data = json.loads(Path(made["data"]).read_text())
    two = [row for row in data["tables"]["distances"] if row["what"] == "two random shares apart"]
    assert len(two) == 3 and all(row["relu1_1"] is None for row in two)
    assert {verdict["outcome"] for verdict in made["verdicts"]} == {"not supported"}


Found = dict[tuple[str, str], tuple[float, float]]  # pictures, statistic → mAP, p
GOOD: Found = {
    **{(pictures, name): (0.8, 0.01) for pictures in (COLOUR, GREY) for name in STATISTICS},
    (MATCHED, "means"): (0.8, 0.01),
    (COLOUR, HISTOGRAM): (0.5, 0.3),
    (COLOUR, SHUFFLED): (0.5, 0.3),
    (RANDOM, "means"): (0.5, 0.3),
}
CHANCE: Found = dict.fromkeys(GOOD, (0.5, 0.4))
GRAM = [(pictures, "gram") for pictures in (COLOUR, GREY)]


def judge_of(found: Found, works: int = 40, styles: int = 5) -> Judge:
    judge = Judge([], 0)
    judge.works = [f"work {i}" for i in range(works)]
    judge.styles = [f"style {i % styles}" for i in range(works)]
    rng = np.random.default_rng(0)
    for key, (precision, p) in found.items():
        judge.precisions[key] = precision + rng.uniform(-0.02, 0.02, works)
        judge.chances[key] = 0.5, p
    return judge


@pytest.mark.parametrize(
    ("found", "works", "outcomes"),
    [
        (GOOD, 40, ["holds", "holds", "holds", "holds"]),
        (GOOD, 20, ["partly"] * 4),
        (GOOD, 1, ["partly"] + ["not supported"] * 1 + ["partly", "not supported"]),
        (CHANCE, 40, ["not supported"] * 4),
        (GOOD | {(COLOUR, SHUFFLED): (0.8, 0.01), (RANDOM, "means"): (0.8, 0.01)}, 40, None),
        (GOOD | dict.fromkeys(GRAM, (0.83, 0.01)), 40, ["holds"] * 4),  # less does not count
        (GOOD | dict.fromkeys(GRAM, (0.9, 0.01)), 40, ["holds", "holds", "not supported", "holds"]),
        (GOOD | {(RANDOM, "means"): (0.7, 0.01)}, 40, ["holds", "holds", "holds", "partly"]),
    ],
)
def test_statistics_are_compared_only_where_they_tell_styles(
    found: Found, works: int, outcomes: list[str] | None
) -> None:
    findings = Findings()
    verdicts(findings, judge_of(found, works), own=False)
    expected = outcomes or ["holds", "not supported", "holds", "not supported"]
    assert [verdict.outcome for verdict in findings.verdicts] == expected


def test_the_programs_own_pictures_support_no_claim_wholly() -> None:
    findings = Findings()
    verdicts(findings, judge_of(GOOD), own=True)
    assert [verdict.outcome for verdict in findings.verdicts] == ["partly"] * 4


def test_without_random_weights_nothing_is_said_of_training() -> None:
    findings = Findings()
    compare_statistics(findings, judge_of({k: v for k, v in GOOD.items() if k[0] != RANDOM}))
    assert len(findings.verdicts) == 2 and "twin of random weights" in findings.limits[0]


def test_a_verdict_says_who_is_behind() -> None:
    """In words: "ahead by -0.07" has to be read twice."""
    worse = dict.fromkeys(GRAM, (0.7, 0.01)) | {(COLOUR, SHUFFLED): (0.9, 0.01)}
    findings = Findings()
    compare_statistics(findings, judge_of(GOOD | worse))
    shuffled, against, learnt = (verdict.evidence for verdict in findings.verdicts)
    assert "the means are behind by 0.1" in shuffled and "network is ahead by 0.3" in learnt
    assert against.count("behind by 0.") == 2 and "ahead" not in against
    grams = dict.fromkeys((gram_explained.SCALE, gram_explained.REST, gram_explained.RANDOM), 0.2)
    lines = {gram_explained.SUMS: 0.5, gram_explained.WRONG: 0.8, **grams}
    findings = Findings()
    gram_explained._judge(findings, {name: planted(value) for name, value in lines.items()})
    evidence = findings.verdicts[0].evidence
    assert "ahead by 0.3" in evidence and evidence.count("behind by 0.3") == 3


def test_equal_distances_find_no_style_by_the_order_of_files() -> None:
    judge = Judge([], 0)
    judge.works = [f"work {i}" for i in range(60)]
    judge.styles = [f"style {i // 12}" for i in range(60)]
    judge.score(COLOUR, HISTOGRAM, "–", np.ones((60, 60)))
    chance, p = judge.chances[COLOUR, HISTOGRAM]
    assert p > 0.05 and abs(float(judge.precisions[COLOUR, HISTOGRAM].mean()) - chance) < 0.05


def test_the_mean_over_pairs_has_the_interval_of_its_things() -> None:
    rng = np.random.default_rng(0)
    inside = 0
    for _ in range(200):
        effect = rng.normal(size=8)
        found = over_pairs(effect[:, None] + effect[None])
        inside += found.low <= 0 <= found.high
        assert found.value == pytest.approx(2 * effect.mean())
    assert 0.91 < inside / 200 < 0.99
    assert over_pairs(np.full((2, 2), 3.0)) == Estimate(3.0, -np.inf, np.inf, 2)
    assert np.isnan(over_pairs(np.zeros((1, 1))).value)


def test_distances_layer_by_layer_are_those_of_all_statistics_at_once(net: Network) -> None:
    images = list(torch.rand(5, 3, 32, 32, generator=torch.Generator().manual_seed(0)))
    layers = ("relu1_1", "relu2_1")
    vectors = measure(images, net, layers)
    for layer, means, found in distances_by_layer(images, net, layers):
        np.testing.assert_array_equal(means, vectors["means"][layer])
        assert list(found) == list(STATISTICS)
        for name in STATISTICS:
            np.testing.assert_allclose(found[name], apart(vectors[name][layer]), atol=1e-4)
