"""Words for filters: those that their pictures share, and none by chance."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from tests.evidence.scans import SOURCE, scan, write_pictures
from tests.helpers import Run, assert_refused
from texton.methods.parts.words import Seen, words

NAMES = [f"w{number}" for number in range(40)]
TABBIES = np.random.default_rng(5).permutation(120).tolist()


def _seen(count: int = 120, tabbies: int = 20) -> Seen:
    """Pictures of 40 classes, some of them tabbies (w7): see `TABBIES`."""
    random = np.random.default_rng(0)
    probabilities = random.dirichlet(np.full(40, 0.3), count)
    chosen = [one for one in TABBIES[:tabbies] if one < count]
    probabilities[chosen] *= 0.3
    probabilities[chosen, 7] += 0.7
    return Seen({at: at for at in range(count)}, probabilities, np.arange(count))


def test_the_word_that_pictures_share_is_found() -> None:
    found = words(_seen(), [TABBIES[:16], TABBIES[4:20]], NAMES)
    assert found[0][0][0] == found[1][0][0] == "w7"
    assert len(found[0]) == 1  # nothing else that they share


def test_shuffled_activations_have_a_word_in_one_of_a_hundred() -> None:
    random = np.random.default_rng(1)
    shuffled = [random.permutation(120)[:16].tolist() for _ in range(400)]
    named = sum(bool(one) for one in words(_seen(), shuffled, NAMES))
    assert named <= 14  # 4 expected


def test_pictures_that_are_alike_because_they_follow_each_other_have_no_word() -> None:
    """Ten films of twenty frames: whatever excites a filter, its frames share a word."""
    random = np.random.default_rng(0)
    probabilities = np.repeat(random.dirichlet(np.full(40, 0.05), 10), 20, 0)
    seen = Seen({at: at for at in range(200)}, probabilities, np.arange(200))
    films = [range(first, first + 16) for first in range(0, 200, 20)]
    assert sum(bool(one) for one in words(seen, films, NAMES)) <= 1
    assert words(_seen(count=60), [[x for x in TABBIES[:20] if x < 60]], NAMES) == [
        []
    ]  # too few to tell


def test_a_filter_without_pictures_has_no_words() -> None:
    assert words(_seen(), [[], [3]], NAMES) == [[], []]


@pytest.mark.slow
def test_command(run: Run, tmp_path: Path) -> None:
    (tmp_path / "small.py").write_text(SOURCE)
    write_pictures(tmp_path / "pictures", 6)
    scan(tmp_path / "pictures", tmp_path / "evidence", f"{tmp_path / 'small.py'}:other")
    told = run("words", tmp_path / "evidence", "4:0-1", "--json")
    assert told.code == 0, told.err
    assert told.err.count(f"{tmp_path / 'small.py'}:other: assumed mean 0") == 1
    assert [one["channel"] for one in json.loads(told.out)["filters"]] == [0, 1]
    assert_refused(run("words", tmp_path / "pictures", "4:0"), "no evidence")
