"""An atlas on disk: what counts as made, what a crash may leave, who may build."""

from __future__ import annotations

import json
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path

import pytest
import torch

import texton
from texton.errors import TextonError
from texton.images import content_hash, write_image
from texton.manifest import AtlasLayer, AtlasPhoto, Manifest
from texton.store import Store, Unit, folder_name

MANIFEST = Manifest(
    texton="0",
    torch="0",
    network="vgg19",
    weights_hash="abc",
    pooling="avg",
    network_options={"network": "vgg19"},
    settings={"preset": "fast", "size": 32},
    layers=(
        AtlasLayer("relu1_1", 64, 1, 3, (0, 5)),
        AtlasLayer("odd/<b>.2#3", 8, 2, None, (1,)),
    ),
    photos=(AtlasPhoto("cat", "photos/cat.png", "aa", "cat.jpg", 32, 32),),
)
UNIT = Unit("relu1_1", 5, "cat")


@pytest.fixture
def store(tmp_path: Path) -> Store:
    store = Store(tmp_path, MANIFEST)
    store.save(MANIFEST)
    return store


def finish(store: Store, unit: Unit = UNIT, status: str = "ok") -> None:
    write_image(torch.zeros(3, 16, 16), store.picture(unit))
    store.write(unit, {"status": status, "error": 0.5})


def test_the_manifest_comes_back_as_it_was(store: Store) -> None:
    assert Store.open(store.root).manifest == MANIFEST
    assert store.units() == [
        Unit("relu1_1", 0, "cat"),
        UNIT,
        Unit("odd/<b>.2#3", 1, "cat"),
    ]


@pytest.mark.parametrize("text", [None, "", "{}", "[]", '{"format": "texton-atlas/9"}', "\0"])
def test_what_is_no_atlas_is_refused(text: str | None, tmp_path: Path) -> None:
    if text is not None:
        (tmp_path / "manifest.json").write_text(text)
    with pytest.raises(TextonError, match="no atlas"):
        Store.open(tmp_path)


def test_a_unit_is_made_when_its_sidecar_and_its_picture_are_there(store: Store) -> None:
    write_image(torch.zeros(3, 16, 16), store.picture(UNIT))
    assert store.record(UNIT) is None
    finish(store)
    record = store.record(UNIT)
    assert record is not None and record["error"] == 0.5 and record["channel"] == 5
    assert [made["layer"] for made in store.records()] == ["relu1_1"]
    store.picture(UNIT).unlink()
    assert store.record(UNIT) is None


@pytest.mark.parametrize(
    "damage",
    [
        "",
        "{",
        "null",
        "{}",
        '{"format": "texton-unit/1", "status": "ok"}',
        '{"format": "texton-unit/1", "layer": "relu1_1", "channel": 6, "photo": "cat", '
        '"status": "ok"}',
    ],
)
def test_a_damaged_or_foreign_sidecar_counts_as_absent(damage: str, store: Store) -> None:
    finish(store)
    store.sidecar(UNIT).write_text(damage)
    assert store.record(UNIT) is None and store.status()["done"] == 0


def test_a_failed_unit_has_a_reason_and_no_picture(store: Store) -> None:
    write_image(torch.zeros(3, 16, 16), store.picture(UNIT))
    store.write(UNIT, {"status": "failed", "reason": "no memory"})
    record = store.record(UNIT)
    assert record is not None and record["reason"] == "no memory"
    assert not store.picture(UNIT).exists()


def test_status_adds_up_and_gives_a_rate(store: Store) -> None:
    before = store.status()
    assert before["left"] == 3 and before["rate"] is None and before["seconds_left"] is None
    finish(store)
    time.sleep(0.02)
    finish(store, Unit("relu1_1", 0, "cat"), "dead")
    status = store.status()
    assert (status["units"], status["done"], status["failed"], status["left"]) == (3, 2, 0, 1)
    assert status["dead"] == 1
    assert 0 < status["rate"] < 60
    assert status["seconds_left"] == pytest.approx(1 / status["rate"])
    store.write(Unit("odd/<b>.2#3", 1, "cat"), {"status": "failed", "reason": "x"})
    status = store.status()
    assert (status["failed"], status["left"], status["seconds_left"]) == (1, 0, 0.0)


def test_odd_layer_names_stay_inside_the_atlas(store: Store) -> None:
    odd = Unit("odd/<b>.2#3", 1, "cat")
    assert store.picture(odd).parent.parent.parent == store.root / "units"
    assert folder_name("relu4_2") == "relu4_2"
    assert folder_name("a/../b") != "a/../b"


def test_temporary_files_are_swept_and_nothing_else(store: Store) -> None:
    finish(store)
    kept = sorted(store.root.rglob("*.*"))
    for place in (store.root, store.picture(UNIT).parent):
        (place / ".cat.png.x1.tmp").write_bytes(b"half")
    assert store.sweep() == 2
    assert sorted(store.root.rglob("*.*")) == kept


def test_a_photograph_comes_back_bit_for_bit(store: Store, cat: torch.Tensor) -> None:
    store.write_photo("cat", cat)
    assert torch.equal(store.read_photo("cat", 3), cat)
    for deep in (cat * 0.999, torch.rand(1, 5, 20, 20)):
        store.write_photo("deep", deep)
        assert torch.equal(store.read_photo("deep", deep.shape[1]), deep)
    assert content_hash(texton.read_image(store.photo("cat"))) == content_hash(cat)


def test_the_lock_keeps_a_second_build_out_and_dies_with_its_owner(store: Store) -> None:
    hold = (
        "import sys, time; from texton.store import Store\n"
        f"with Store.open({str(store.root)!r}).lock(): print('held', flush=True); time.sleep(60)"
    )
    assert not store.is_locked()
    with subprocess.Popen([sys.executable, "-c", hold], stdout=subprocess.PIPE) as other:
        assert other.stdout is not None and other.stdout.readline() == b"held\n"
        assert store.is_locked() and store.status()["running"]
        with pytest.raises(TextonError, match="another build is at work"), store.lock():
            pass
        other.kill()
        other.wait()
    assert not store.is_locked()
    with store.lock():
        assert store.is_locked()


def test_the_manifest_is_written_only_when_it_changes(store: Store) -> None:
    path = store.root / "manifest.json"
    before = path.stat().st_mtime_ns
    store.save(MANIFEST)
    assert path.stat().st_mtime_ns == before
    store.save(replace(MANIFEST, layers=()))
    assert json.loads(path.read_text())["layers"] == []
