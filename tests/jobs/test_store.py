"""An atlas on disk: what counts as made, what a crash may leave, who may build."""

from __future__ import annotations

import errno
import json
import os
import subprocess
import sys
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path

import pytest
import torch

import texton
from texton.errors import TextonError
from texton.images.files import content_hash, write_image
from texton.jobs.manifest import AtlasLayer, AtlasPhoto, Manifest
from texton.jobs.store import Store, Unit, folder_name
from texton.lock import _KERNEL_ONLY

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


def finish(
    store: Store, unit: Unit = UNIT, status: str = "ok", channels: int = 3, seconds: float = 1.0
) -> None:
    write_image(torch.zeros(channels, 16, 16), store.picture(unit))
    store.write(unit, {"status": status, "error": 0.5, "seconds": seconds})


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


@pytest.mark.parametrize("kind", [".png", ".npy"])
@pytest.mark.parametrize("damage", ["lost", "empty", "cut short"])
def test_a_unit_whose_picture_is_not_whole_is_made_again(
    kind: str, damage: str, store: Store
) -> None:
    finish(store, channels=5)
    assert store.record(UNIT) is not None
    file = store.picture(UNIT).with_suffix(kind)
    if damage == "lost":
        file.unlink()
    else:
        file.write_bytes(b"" if damage == "empty" else file.read_bytes()[:-1])
    assert store.record(UNIT) is None and store.status()["done"] == 0


@pytest.mark.parametrize("sizes", [7, [], {}, {".png": "many"}, {".npy": 1}, {"/": 1}])
def test_sizes_that_make_no_sense_count_as_not_made(sizes: object, store: Store) -> None:
    finish(store)
    record = store.record(UNIT)
    assert record is not None
    store.sidecar(UNIT).write_text(json.dumps({**record, "bytes": sizes}))
    assert store.record(UNIT) is None


def test_a_sidecar_of_before_tells_no_sizes(store: Store) -> None:
    finish(store)
    record = store.record(UNIT)
    assert record is not None and record.pop("bytes").keys() == {".png"}
    store.sidecar(UNIT).write_text(json.dumps(record))
    assert store.record(UNIT) == record


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
    write_image(torch.zeros(5, 16, 16), store.picture(UNIT))
    store.write(UNIT, {"status": "failed", "reason": "no memory"})
    record = store.record(UNIT)
    assert record is not None and record["reason"] == "no memory"
    assert list(store.picture(UNIT).parent.iterdir()) == [store.sidecar(UNIT)]  # no planes either


def test_status_adds_up_and_gives_a_rate(store: Store) -> None:
    before = store.status()
    assert before["left"] == 3 and before["rate"] is None and before["seconds_left"] is None
    finish(store)
    finish(store, Unit("relu1_1", 0, "cat"), "dead")
    os.utime(store.sidecar(UNIT), (1000, 1000))
    os.utime(store.sidecar(Unit("relu1_1", 0, "cat")), (1100, 1100))
    status = store.status()
    assert (status["units"], status["done"], status["failed"], status["left"]) == (3, 2, 0, 1)
    assert (status["dead"], status["rate"], status["seconds_left"]) == (1, 0.01, 100.0)
    failed = Unit("odd/<b>.2#3", 1, "cat")
    store.write(failed, {"status": "failed", "reason": "x"})
    os.utime(store.sidecar(failed), (1200, 1200))
    status = store.status()
    assert (status["failed"], status["left"], status["seconds_left"]) == (1, 0, 0.0)
    with store.lock():
        assert store.status()["seconds_left"] == 100.0  # this build tries it again
        store.write(failed, {"status": "failed", "reason": "x"})
        later = time.time() + 60
        os.utime(store.sidecar(failed), (later, later))
        assert store.status()["seconds_left"] == 0.0  # it has


@pytest.mark.parametrize(("seconds", "rate"), [(1.0, None), (60.0, 1 / 200)])
def test_a_pause_is_long_for_units_that_are_quick(
    seconds: float, rate: float | None, store: Store
) -> None:
    for date, unit in ((1000, UNIT), (1200, Unit("relu1_1", 0, "cat"))):
        finish(store, unit, seconds=seconds)
        os.utime(store.sidecar(unit), (date, date))
    assert store.status()["rate"] == rate


def test_odd_layer_names_stay_inside_the_atlas(store: Store) -> None:
    odd = Unit("odd/<b>.2#3", 1, "cat")
    assert store.picture(odd).parent.parent.parent == store.root / "units"
    assert folder_name("relu4_2") == "relu4_2"
    assert folder_name("a/../b") != "a/../b"


def test_temporary_files_are_swept_and_nothing_else(store: Store) -> None:
    finish(store)
    kept = sorted(store.root.rglob("*.*"))
    for place in (store.root, store.root / "index", store.picture(UNIT).parent):
        place.mkdir(exist_ok=True)
        (place / ".cat.png.x1.tmp").write_bytes(b"half")
    assert store.sweep() == 3
    assert sorted(store.root.rglob("*.*")) == kept


def test_names_that_only_look_temporary_are_kept(store: Store) -> None:
    photo = AtlasPhoto("cat.tmp", "photos/cat.tmp.png", "aa", "cat.tmp.jpg", 32, 32)
    odd = Store(store.root, replace(MANIFEST, photos=(photo,)))
    odd.write_photo("cat.tmp", torch.rand(1, 5, 20, 20))
    for unit in odd.units():
        finish(odd, unit, channels=5)
    kept = sorted(odd.root.rglob("*.*"))
    assert odd.sweep() == 0 and sorted(odd.root.rglob("*.*")) == kept
    assert odd.status()["done"] == 3


def test_a_trial_that_was_killed_is_swept_and_one_at_work_is_not(tmp_path: Path) -> None:
    store = Store(tmp_path / "a", MANIFEST)
    store.save(MANIFEST)
    begins, ends = store.trial_name()
    dead, alive = (Store(tmp_path / f"{begins}{x}{ends}", MANIFEST) for x in ("dead", "alive"))
    for trial in (dead, alive):
        trial.save(MANIFEST)
    with alive.lock():
        assert store.sweep() == 1
    assert alive.root.exists() and not dead.root.exists()


def test_a_photograph_comes_back_bit_for_bit(store: Store, cat: torch.Tensor) -> None:
    store.write_photo("cat", cat)
    assert torch.equal(store.read_photo("cat", 3), cat)
    for deep in (cat * 0.999, torch.rand(1, 5, 20, 20)):
        store.write_photo("deep", deep)
        assert torch.equal(store.read_photo("deep", deep.shape[1]), deep)
    assert content_hash(texton.read_image(store.photo("cat"))) == content_hash(cat)


def test_an_exact_photograph_is_never_replaced_by_its_picture(store: Store) -> None:
    (photo,) = MANIFEST.photos
    deep = Store(store.root, replace(MANIFEST, photos=(replace(photo, exact=True),)))
    image = torch.rand(1, 3, 20, 20)
    deep.write_photo("cat", image)
    exact = store.root / "photos" / "cat.exact.npy"
    exact.write_bytes(exact.read_bytes()[:-9])
    with pytest.raises(TextonError, match="is damaged: put the old one back"):
        deep.read_photo("cat", 3)
    exact.unlink()
    with pytest.raises(TextonError, match="is missing: put the old one back"):
        deep.read_photo("cat", 3)
    exact.write_bytes(b"of a build that was killed as it began")
    plain = Store(store.root, replace(MANIFEST, photos=(replace(photo, exact=False),)))
    assert plain.read_photo("cat", 3).shape == (1, 3, 20, 20)
    plain.write_photo("cat", torch.zeros(1, 3, 20, 20))
    assert not exact.exists()


@pytest.mark.skipif(not _KERNEL_ONLY, reason="this filelock cannot do without its way out")
def test_a_file_system_without_locks_is_told(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    def missing(*_: object) -> None:
        raise OSError(errno.ENOSYS, "Function not implemented")

    monkeypatch.setattr("fcntl.flock", missing)
    with pytest.raises(TextonError, match="without locks: use another --out"), store.lock():
        pass
    assert not store.is_locked()


@pytest.mark.slow
def test_the_lock_keeps_a_second_build_out_and_dies_with_its_owner(store: Store) -> None:
    hold = (
        "import sys, time; from texton.jobs.store import Store\n"
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


def test_those_who_look_are_not_taken_for_a_build(store: Store) -> None:
    with store.lock():
        pass
    looking = threading.Barrier(4)

    def look(_: int) -> bool:
        looking.wait()
        return any(store.is_locked() for _ in range(500))

    with ThreadPoolExecutor(4) as pool:
        assert not any(pool.map(look, range(4)))


def test_an_atlas_that_may_only_be_read_tells_its_build(store: Store) -> None:
    with store.lock():
        (store.root / "lock").chmod(0o444)
        assert store.is_locked()
    assert not store.is_locked()


def test_a_manifest_of_before_is_of_filters_and_a_new_one_tells_its_method(store: Store) -> None:
    told = json.loads(MANIFEST.to_json())
    del told["method"], told["options"]
    assert Manifest.from_json(json.dumps(told)) == MANIFEST and MANIFEST.method == "filter"
    other = replace(MANIFEST, method="invert", options={"seed": 3, "tv": [0.1]})
    assert Manifest.from_json(other.to_json()) == other
    with pytest.raises(ValueError, match="'method' is no str"):
        Manifest.from_json(json.dumps({**told, "method": 3}))


def test_the_manifest_is_written_only_when_it_changes(store: Store) -> None:
    path = store.root / "manifest.json"
    before = path.stat().st_mtime_ns
    store.save(MANIFEST)
    assert path.stat().st_mtime_ns == before
    store.save(replace(MANIFEST, layers=()))
    assert json.loads(path.read_text())["layers"] == []
