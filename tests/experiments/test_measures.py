"""What the experiments measure, on data whose answer is known."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats

from texton.errors import TextonError
from texton.experiments.measures import colour, structure
from texton.experiments.measures.blends import dense_blends, disjoint_blends, overlap
from texton.experiments.measures.describer import held_out, is_held_out
from texton.experiments.measures.statistics import (
    by_work,
    difference_p,
    identification,
    label_chance,
    matrix_correlation,
    mean_interval,
    rank_trend,
    retrieval,
    separation,
    wilson,
)
from texton.experiments.measures.style_statistics import (
    apart,
    at_equal_content,
    covariance,
    difference_explained,
    explained,
    shuffled,
)
from texton.network.codes import gram, means
from texton.network.network import Network

BLACK, WHITE = torch.zeros(3, 32, 32), torch.ones(3, 32, 32)


def noise(seed: int, *shape: int) -> torch.Tensor:
    return torch.rand(shape or (3, 64, 64), generator=torch.Generator().manual_seed(seed))


def line(*places: float) -> np.ndarray:
    """Distances of points on a line."""
    points = np.asarray(places)
    return np.abs(points[:, None] - points[None])


# retrieval


def test_average_precision_and_nearest_of_a_case_done_by_hand() -> None:
    # from 0: 1 (other), 2 (same), 3 (other), 4 (same) → (1/2 + 2/4) / 2
    precision, nearest = retrieval(line(0, 1, 2, 3, 4), list("abaXa"), list("vwxyz"))
    assert precision[0] == pytest.approx(0.5) and nearest[0] == 0
    assert precision[4] == pytest.approx((1 / 2 + 2 / 4) / 2)
    assert np.isnan(precision[[1, 3]]).all() and np.isnan(nearest[[1, 3]]).all()  # nothing to find


def test_styles_that_lie_apart_are_found_and_styles_that_mix_are_not() -> None:
    styles, works = list("aaabbb"), list("123456")
    assert np.mean(retrieval(line(0, 1, 2, 10, 11, 12), styles, works)) == 1
    precision, nearest = retrieval(line(0, 10, 20, 1, 11, 21), styles, works)
    assert nearest.sum() == 0 and precision.mean() < 0.6


def test_crops_of_one_picture_are_never_hits_for_it() -> None:
    # each work's two crops lie together; the other work of its style is the farthest of all
    places = [0, 0.1, 100, 100.1, 1, 1.1, 101, 101.1]
    styles, works = list("aaaabbbb"), list("11223344")
    precision, nearest = retrieval(line(*places), styles, works)
    assert nearest.sum() == 0
    counted_as_hits = retrieval(line(*places), styles, range(8))[1]
    assert counted_as_hits.sum() == 8, "the case must tell the two ways of counting apart"
    assert (precision < 0.5).all()


@given(st.integers(0, 10_000))
def test_how_near_the_crops_of_a_work_are_changes_nothing(seed: int) -> None:
    rng = np.random.default_rng(seed)
    works = rng.integers(0, 6, 14)
    styles = works % 3
    distances = rng.random((14, 14))
    distances += distances.T
    other = np.where(works[:, None] == works, rng.random((14, 14)), distances)
    for before, after in zip(
        retrieval(distances, styles, works), retrieval(other, styles, works), strict=True
    ):
        np.testing.assert_allclose(before, after)


def test_a_work_counts_once_whatever_its_crops() -> None:
    values = np.array([1.0, 1.0, 1.0, 0.0, np.nan])
    assert sorted(by_work(values, ["a", "a", "a", "b", "c"])) == [0, 1]


def mean_precision(distances: np.ndarray, styles: object, works: object) -> float:
    return float(by_work(retrieval(distances, styles, works)[0], works).mean())  # type: ignore[arg-type]


def test_styles_dealt_out_at_random_give_the_chance_and_the_p_value() -> None:
    styles, works = list("aaaabbbb"), list(range(8))
    apart_ = line(0, 1, 2, 3, 50, 51, 52, 53)
    chance, p = label_chance(apart_, styles, works, mean_precision, 300)
    assert 0.4 < chance < 0.7 and p < 0.05  # 3 of 7 others are of the style
    mixed = line(0, 20, 40, 60, 1, 21, 41, 61)
    assert label_chance(mixed, styles, works, mean_precision, 300)[1] > 0.5


# identification, intervals, trends


def test_identification_counts_hits_places_and_ties() -> None:
    hits, places = identification(np.array([[0, 1, 2], [5, 4, 3], [7.0, 7, 7]]))
    assert hits.tolist() == [1, 0, pytest.approx(1 / 3)]
    assert places.tolist() == [0, 1, 1]


def test_without_any_likeness_identification_is_at_chance() -> None:
    rng = np.random.default_rng(0)
    hits = [identification(rng.random((8, 8)))[0].mean() for _ in range(500)]
    assert np.mean(hits) == pytest.approx(1 / 8, abs=0.02)


def test_wilsons_interval_is_the_textbooks() -> None:
    half = wilson(0.5, 10)
    assert (half.low, half.high) == (
        pytest.approx(0.2366, abs=1e-3),
        pytest.approx(0.7634, abs=1e-3),
    )
    none = wilson(0.0, 10)
    assert none.low == 0 and none.high == pytest.approx(0.2775, abs=1e-3)


def test_the_interval_of_a_mean_covers_it_as_often_as_it_says() -> None:
    rng = np.random.default_rng(1)
    found = [mean_interval(rng.normal(3, 1, 40), seed) for seed in range(150)]
    assert 0.88 < np.mean([x.low <= 3 <= x.high for x in found]) < 0.99
    width = np.mean([x.high - x.low for x in found])
    assert width == pytest.approx(2 * 1.96 / math.sqrt(40), rel=0.1)
    constant = mean_interval([2.0] * 5)
    assert (constant.low, constant.value, constant.high, constant.n) == (2, 2, 2, 5)
    one = mean_interval([2.0])
    assert (one.low, one.value, one.high, one.n) == (-math.inf, 2, math.inf, 1)
    assert str(one) == "2.00 (n = 1: no interval)"


@pytest.mark.slow
def test_a_difference_is_found_where_there_is_one() -> None:
    rng = np.random.default_rng(2)
    a = rng.normal(0, 1, 30)
    assert difference_p(a, a) > 0.9
    assert difference_p(a, a + 3) < 0.002
    p = [difference_p(rng.normal(0, 1, 20), rng.normal(0, 1, 20), s) for s in range(40)]
    assert np.mean(np.array(p) < 0.05) < 0.2  # no effect: seldom significant


def test_rank_trends_have_their_sign_their_size_and_an_interval() -> None:
    assert rank_trend([[1], [2], [3]]).value == pytest.approx(1)
    assert rank_trend([[3], [2], [1]]).value == pytest.approx(-1)
    assert rank_trend([[5, 5], [5, 5]]).value == 0
    rng = np.random.default_rng(3)
    none = rank_trend([rng.normal(0, 1, 20) for _ in range(5)])
    assert none.low < 0 < none.high and none.n == 100
    rising = rank_trend([rng.normal(i, 1, 20) for i in range(5)])
    assert rising.low > 0.6 and rising.high < 1


@pytest.mark.parametrize("step", [0.0, 0.3, 1.0, 2.0])
@pytest.mark.parametrize("each", [3, 8, 20])
@pytest.mark.slow
def test_the_interval_of_a_trend_covers_the_truth(step: float, each: int) -> None:
    rng = np.random.default_rng(6)
    levels, many = step * np.arange(5)[:, None], 4000
    truth = rank_trend_of(levels + rng.normal(size=(5, many)))
    drawn = levels + rng.normal(size=(100, 5, each))
    found = [rank_trend(list(groups), seed) for seed, groups in enumerate(drawn)]
    assert all(x.low <= x.value <= x.high for x in found)
    assert np.mean([x.value for x in found]) == pytest.approx(truth, abs=0.05)
    assert np.mean([x.low <= truth <= x.high for x in found]) > (0.78 if each == 3 else 0.87)
    if step == 0:
        assert np.mean([x.low > 0 or x.high < 0 for x in found]) < 0.2


def rank_trend_of(values: np.ndarray) -> float:
    place = np.arange(len(values)).repeat(values.shape[1])
    return float(stats.spearmanr(place, values.ravel()).statistic)


def test_what_is_drawn_twice_does_not_make_a_trend_steeper() -> None:
    rng = np.random.default_rng(7)
    found = [rank_trend([rng.normal(-i, 1, 8) for i in range(5)], seed) for seed in range(20)]
    middles = [(x.low + x.high) / 2 - x.value for x in found]
    assert abs(np.mean(middles)) < 0.03


def test_too_few_in_a_group_have_no_trend_that_is_clear() -> None:
    for groups in ([[1], [2], [3]], [[1, 1.5], [2, 2.5], [3, 4]], [[1, 2, 3], [4, 5]], [[], []]):
        few = rank_trend(groups)
        assert (few.low, few.high) == (-1, 1)


def test_separation_is_the_share_of_pairs_in_order() -> None:
    assert separation([1, 2], [3, 4]) == 1
    assert separation([3, 4], [1, 2]) == 0
    assert separation([1, 4], [2, 3]) == 0.5
    assert separation([1], [1]) == 0.5


def test_distance_matrices_correlate_with_what_they_are_made_from() -> None:
    a = line(0, 1, 4, 9)
    assert matrix_correlation(a, 3 * a + 1) == pytest.approx(1)
    assert matrix_correlation(a, -a) == pytest.approx(-1)
    assert matrix_correlation(a, np.ones((4, 4))) == 0


# colours


def test_colour_entropy_is_the_logarithm_of_the_number_of_colours() -> None:
    assert colour.colour_entropy(BLACK) == 0
    four = torch.stack([BLACK[:, :16, :16]] * 4)
    four[1, 0], four[2, 1], four[3, 2] = 1, 1, 1
    assert colour.colour_entropy(torch.cat(list(four), 2)) == pytest.approx(2)
    assert colour.colour_histogram(noise(0)).sum() == pytest.approx(1)


def test_hues_are_counted_from_two_percent_and_greys_have_none() -> None:
    picture = WHITE.clone() * 0.5
    assert colour.hue_count(picture) == 0
    picture[:, :16] = torch.tensor([1.0, 0, 0]).reshape(3, 1, 1)
    picture[:, 16:30] = torch.tensor([0, 1.0, 0]).reshape(3, 1, 1)
    assert colour.hue_count(picture) == 2
    picture[:2, 31, :10], picture[2, 31, :10] = 0, 1  # 1 % blue
    assert colour.hue_count(picture) == 2


def test_sliced_distance_of_colours_is_half_the_distance_of_two_flat_pictures() -> None:
    # the mean of |cos| between a direction and a random one is 1/2 in three dimensions
    assert colour.colour_distance(BLACK, WHITE) == pytest.approx(50, rel=0.2)  # L* 0 and 100
    picture = noise(1)
    assert colour.colour_distance(picture, picture.flip(2)) == 0
    assert colour.colour_distance(BLACK, picture) == colour.colour_distance(picture, BLACK)


def test_matched_colours_have_the_mean_and_spread_asked_for() -> None:
    mean, spread = np.array([55.0, 4, -6]), np.array([6.0, 5, 5])
    made = torch.from_numpy(colour.matched_colours(noise(2), mean, spread)).permute(2, 0, 1)
    values = colour.lab(made).reshape(-1, 3)
    np.testing.assert_allclose(values.mean(0), mean, atol=1)
    np.testing.assert_allclose(values.std(0), spread, rtol=0.15)


# structure


def test_sliced_wasserstein_of_flat_patches_is_known() -> None:
    # the sum of a random unit vector's entries is about N(0, 1): its mean modulus √(2/π)
    a, b = BLACK + 0.25, BLACK + 0.75
    expected = 0.5 * math.sqrt(2 / math.pi)
    assert structure.patch_distance(a, b) == pytest.approx(expected, rel=0.2)


@pytest.mark.parametrize("count", [2, 3, 700])
def test_quantiles_are_numpys(count: int) -> None:
    values, grid = np.random.default_rng(0).normal(size=(count, 5)), np.linspace(0, 1, 257)
    expected = np.quantile(values, grid, axis=0)
    np.testing.assert_allclose(structure._quantiles(values, grid), expected.T, rtol=0, atol=1e-12)


def test_patches_are_alike_wherever_they_stand_and_differ_by_structure() -> None:
    stripes = (torch.arange(64) // 4 % 2).float().expand(3, 64, 64)
    moved, turned = stripes.roll(8, 2), stripes.transpose(1, 2)
    mixed = stripes[:, :, torch.randperm(64, generator=torch.Generator().manual_seed(0))]
    assert structure.patch_distance(stripes, stripes) == 0
    assert structure.patch_distance(stripes, moved) < 1e-6
    assert structure.patch_distance(stripes, turned) > 0.05
    assert structure.patch_distance(stripes, mixed) > 0.05, "the same colours, other patches"


@pytest.mark.parametrize("exponent", [0.0, -1.0, -2.0])
def test_the_spectral_slope_is_the_exponent_that_was_put_in(exponent: float) -> None:
    white = np.fft.fft2(np.random.default_rng(4).normal(size=(128, 128)))
    rows = np.fft.fftfreq(128)
    frequency = np.maximum(np.hypot(rows[:, None], rows[None]), 1 / 128)
    light = np.fft.ifft2(white * frequency ** (exponent / 2)).real
    light = 0.5 + 0.1 * (light - light.mean()) / light.std()
    picture = torch.from_numpy(light).float().expand(3, -1, -1)
    assert structure.spectral_slope(picture) == pytest.approx(exponent, abs=0.2)


def test_one_grating_has_one_orientation_and_noise_has_all() -> None:
    grating = (0.5 + 0.5 * torch.sin(torch.arange(64) / 3)).expand(3, 64, 64)
    assert structure.orientation_entropy(grating) < 0.1
    assert structure.orientation_entropy(noise(5)) > 3.8


def test_flat_pictures_have_neither_slope_nor_orientations() -> None:
    rounded = (0.5 + 0.001 * noise(5)).mul(255).round() / 255
    for measure in (structure.spectral_slope, structure.orientation_entropy):
        assert math.isnan(measure(BLACK)) and math.isnan(measure(rounded))
        assert math.isfinite(measure(0.5 + 0.1 * noise(5)))


@pytest.mark.parametrize("channels", [1, 2, 5])
def test_structure_of_other_bands_is_that_of_their_mean(channels: int) -> None:
    image = noise(12, channels, 64, 64)
    grey = image.mean(0, keepdim=True).expand(3, -1, -1)
    for measure in (structure.spectral_slope, structure.orientation_entropy):
        assert measure(image) == pytest.approx(measure(grey), abs=1e-3)
    assert structure.compressed_size(image) == pytest.approx(structure.compressed_size(grey), 0.1)


def test_noise_needs_bits_and_a_flat_picture_none() -> None:
    flat = torch.full((3, 64, 64), 0.5)
    assert 0 <= structure.compressed_size(flat) < 0.2
    assert 4 < structure.compressed_size(noise(6)) < 24
    twice = torch.cat([noise(6), noise(60)], 2)
    expected = (structure.compressed_size(noise(6)) + structure.compressed_size(noise(60))) / 2
    assert structure.compressed_size(twice) == pytest.approx(expected, rel=0.02)


def test_likeness_forgives_a_change_of_tone_and_nothing_else() -> None:
    picture = noise(7) * 0.5
    assert structure.likeness(picture, picture) == pytest.approx(1)
    assert structure.likeness(picture, picture * 1.5 + 0.1) == pytest.approx(1, abs=1e-4)
    assert abs(structure.likeness(picture, noise(8))) < 0.1


# codes


def test_distances_of_statistics_are_scaled_by_both_and_taken_in_pieces() -> None:
    a, b = np.array([3.0, 4]), np.array([0.0, 2])
    expected = math.sqrt(9 + 4) / math.sqrt(5 * 2)
    np.testing.assert_allclose(apart(np.stack([a, b])), [[0, expected], [expected, 0]])
    wide = np.random.default_rng(5).random((3, 40_000))
    norm = np.linalg.norm
    expected = norm(wide[0] - wide[2]) / math.sqrt(norm(wide[0]) * norm(wide[2]))
    assert apart(wide)[0, 2] == pytest.approx(expected)


def test_shuffled_channels_keep_values_and_the_order_within_a_work() -> None:
    rows = np.arange(40.0).reshape(4, 10)
    mixed = shuffled({"x": rows}, ["a", "a", "b", "b"])["x"]
    np.testing.assert_array_equal(np.sort(mixed, 1), rows)
    np.testing.assert_array_equal(mixed[1] - mixed[0], np.full(10, 10.0))
    assert not np.array_equal(mixed[2] - mixed[0], np.full(10, 20.0))
    assert rows[0, 0] == 0 and rows[0, 9] == 9, "the operand stays"


@pytest.mark.slow
def test_covariances_are_gram_matrices_without_the_sums() -> None:
    code = noise(9, 1, 5, 8, 8)
    expected = torch.cov(code[0].flatten(1), correction=0)
    torch.testing.assert_close(covariance(code)[0], expected, atol=1e-5, rtol=1e-4)
    mean = means(code)[0]
    torch.testing.assert_close(gram(code)[0], expected + mean.outer(mean), atol=1e-5, rtol=1e-4)


def test_how_much_sums_explain_is_all_of_an_outer_product_and_little_of_the_identity() -> None:
    mean = np.array([1.0, 2, 3])
    assert explained(np.outer(mean, mean) * 7, mean) == pytest.approx(1)
    assert explained(np.eye(9), np.eye(9)[0]) == pytest.approx(1 / 9)
    other, common = np.array([3.0, 1, 1]), np.eye(3) * 5
    grams = (np.outer(mean, mean) + common, np.outer(other, other) + common)
    assert difference_explained(grams, (mean, other)) == pytest.approx(1)
    assert difference_explained(grams, (mean[[2, 0, 1]], other[[2, 0, 1]])) < 0.5
    assert difference_explained((common, common), (mean, other)) == 0


def test_curves_are_compared_at_a_content_error_that_both_reach() -> None:
    a = [(0.1, {"d": 10.0}), (0.3, {"d": 6.0})]
    b = [(0.6, {"d": 1.0}), (0.2, {"d": 5.0})]
    content, at_a, at_b = at_equal_content(a, b, "d") or (0, 0, 0)
    assert content == pytest.approx(0.25)
    assert (at_a, at_b) == (pytest.approx(7), pytest.approx(4.5))
    assert at_equal_content(a, [(0.4, {"d": 1.0})], "d") is None


def test_blends_that_would_share_filters_are_refused() -> None:
    assert overlap(disjoint_blends(7, 3, 0)) == 0
    with pytest.raises(TextonError, match="7 filters make 3 blends that share none, not 4"):
        disjoint_blends(7, 4, 0)


def test_the_describer_is_told_whatever_package_it_comes_from() -> None:
    for name, same in {
        "efficientnet_lite0": True,
        "timm:tf_efficientnet_lite0.in1k@pretrained": True,
        "timm:efficientnet_b0@pretrained": False,
        "vgg19": False,
    }.items():
        network = Network(torch.nn.Conv2d(3, 4, 3), name=name)
        assert is_held_out(network) == same
        if same:
            with pytest.raises(TextonError, match="must not be the network under test"):
                held_out(network)


@given(st.integers(16, 128), st.integers(2, 8), st.integers(0, 99))
def test_blends_are_shares_and_disjoint_ones_are_orthogonal(
    count: int, wanted: int, seed: int
) -> None:
    for drawn in (disjoint_blends(count, wanted, seed), dense_blends(count, wanted, seed)):
        assert drawn.shape == (wanted, count) and bool((drawn >= 0).all())
        torch.testing.assert_close(drawn.sum(1), torch.ones(wanted))
    assert overlap(disjoint_blends(count, wanted, seed)) == 0
    assert overlap(dense_blends(count, wanted, seed)) > 0.3
