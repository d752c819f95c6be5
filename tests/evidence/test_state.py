"""What is kept of the filters: exact sums, strongest places, histograms, all mergeable."""

from __future__ import annotations

import math
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from texton.evidence import exact
from texton.evidence.state import LayerState, bins_of, edges
from texton.evidence.strongest import NOBODY, Strongest, band, draws_of

FILTERS = 3


@given(st.lists(st.floats(width=32, allow_nan=False, allow_infinity=False), min_size=1))
def test_a_sum_is_exact_whatever_the_order(values: list[float]) -> None:
    bins, back = exact.no_sum(1), exact.no_sum(1)
    exact.add(bins, np.array(values, np.float32)[:, None])
    for value in reversed(values):
        exact.add(back, np.array([[value]], np.float32))
    assert np.array_equal(bins, back)
    assert exact.total(bins)[0] == float(sum(map(Fraction, values)))
    assert math.isclose(exact.total(bins)[0], math.fsum(values), rel_tol=1e-15, abs_tol=1e-300)


def found(pictures: np.ndarray[Any, Any], values: np.ndarray[Any, Any]) -> LayerState:
    """A state of some pictures, whose hashes and places follow from their numbers."""
    state = LayerState.none(FILTERS, 4)
    hashes = np.random.default_rng(7).integers(0, 2**63, 100_000).astype(np.uint64)
    places = np.stack([pictures % 11, pictures % 7], -1).astype(np.uint16)
    where = np.repeat(places[:, None], FILTERS, 1)
    state.strongest.add(values, pictures, where, draws_of(hashes[pictures], FILTERS, 5))
    exact.add(state.mean, values / 3)
    exact.add(state.square, values**2)
    np.add.at(state.histogram, (np.arange(FILTERS)[None], bins_of(values)), 1)
    state.active += (values > 0).sum(0)
    state.pictures += len(pictures)
    return state


@settings(max_examples=20, deadline=None)
@given(st.permutations(range(5)), st.integers(0, 99))
def test_parts_merge_in_any_order(order: list[int], seed: int) -> None:
    random = np.random.default_rng(seed)
    values = random.integers(0, 9, (100, FILTERS)).astype(np.float32)  # many ties
    pictures = np.arange(100)
    whole = found(pictures, values).arrays()
    merged = LayerState.none(FILTERS, 4)
    for part in order:
        merged.merge(found(pictures[part::5], values[part::5]))
    for name, array in merged.arrays().items():
        assert np.array_equal(array, whole[name]), name


def test_the_strongest_are_those_that_sorting_finds() -> None:
    values = np.random.default_rng(0).normal(size=(500, FILTERS)).astype(np.float32)
    arrays = found(np.arange(500), values).arrays()
    for channel in range(FILTERS):
        best = np.argsort(-values[:, channel])[:32]
        assert arrays["picture"][0, channel].tolist() == best.tolist()
        assert np.array_equal(arrays["value"][0, channel], values[best, channel])
        assert np.array_equal(arrays["row"][0, channel], best % 11)


def test_of_a_silent_filter_nothing_is_kept() -> None:
    arrays = found(np.arange(9), np.zeros((9, FILTERS), np.float32)).arrays()
    assert (arrays["picture"] == NOBODY).all() and not arrays["value"].any()


@pytest.mark.parametrize("count", [40, 3000, 60_000])
@pytest.mark.parametrize(("low", "high"), [(0.99, 0.999), (0.9, 0.99), (0.5, 0.9)])
def test_a_band_lies_between_its_quantiles(count: int, low: float, high: float) -> None:
    values = np.random.default_rng(1).permuted(
        np.tile(np.arange(1, count + 1, dtype=np.float32)[:, None], FILTERS), axis=0
    )
    arrays = found(np.arange(count), values).arrays()
    for channel in range(FILTERS):
        entries = band(arrays["picture"][:, channel], arrays["drawn"][:, channel], low, high, 3)
        assert len(entries) == 3 or count * (high - low) < 3
        got = [arrays["value"][level, channel, rank] - 0.5 for level, rank in entries]
        spare = 1.6 if count > 40 else 1.0  # of a sample, quantiles are estimates
        above = [1 - value / count for value in got]  # the share that lies above
        assert all((1 - high) / spare**2 <= share <= (1 - low) * spare for share in above), above


def test_a_level_draws_an_eighth() -> None:
    hashes = np.random.default_rng(2).integers(0, 2**63, 4000).astype(np.uint64)
    draws = draws_of(hashes, 4, 9)
    shares = (draws >> np.uint64(61) == 0).mean(0)
    assert np.allclose(shares, 1 / 8, atol=0.02)
    assert (draws[:, 0] != draws[:, 1]).all()


@given(st.floats(2.0**-16, 2.0**16, width=32, exclude_max=True))
def test_a_value_lies_in_its_bin(value: float) -> None:
    number = int(bins_of(np.array([value]))[0])
    low, high = edges()[number - 1 : number + 1]
    assert low <= value < high


def test_what_is_silent_or_out_of_range_has_a_bin_too() -> None:
    assert bins_of(np.array([0.0, -3.0, -0.0, 1e-9])).tolist() == [0, 0, 0, 0]
    assert bins_of(np.array([1e9, 65535.9])).tolist() == [256, 256]


def test_a_state_comes_back_from_its_arrays(tmp_path: Path) -> None:
    state = found(np.arange(50), np.ones((50, FILTERS), np.float32))
    np.savez(tmp_path / "a.npz", **state.arrays())
    back = LayerState.of(dict(np.load(tmp_path / "a.npz", allow_pickle=False)))
    assert all(np.array_equal(a, state.arrays()[name]) for name, a in back.arrays().items())


@pytest.mark.parametrize("name", ["value", "drawn", "histogram", "pictures"])
def test_arrays_of_another_kind_are_refused(name: str) -> None:
    arrays = LayerState.none(FILTERS, 4).arrays()
    with pytest.raises(ValueError, match=name):
        LayerState.of({key: value for key, value in arrays.items() if key != name})
    with pytest.raises(ValueError, match=name):
        LayerState.of({**arrays, name: arrays[name].astype(np.float64)})
    if name != "value":
        with pytest.raises(ValueError, match=name):
            LayerState.of({**arrays, name: arrays[name][..., :1]})
    assert Strongest.none(FILTERS, 4).arrays()["value"].shape == (1, FILTERS, 4)
