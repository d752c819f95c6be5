"""Scans: what they find is what brute force finds, however they were run."""

from __future__ import annotations

import gc
import json
import os
import shutil
import tracemalloc
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from torch import nn

import texton
from tests.evidence.scans import (
    FILTERS,
    SIZE,
    Inline,
    asked,
    layer_bytes,
    scan,
    small,
    write_pictures,
)
from tests.evidence.scans import SOURCE as NETWORK_SOURCE
from tests.helpers import Run, assert_refused
from texton.evidence.format import Evidence, Place
from texton.evidence.geometry import considered, measure_layers
from texton.evidence.looking import Known
from texton.evidence.patches import crop, field_box, patches
from texton.evidence.pictures import PictureList, Scanned
from texton.jobs import scan as scanning

COUNT = 12


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with ``pictures/`` and the file of a network."""
    base = tmp_path_factory.mktemp("scan")
    (base / "small.py").write_text(NETWORK_SOURCE)
    pictures = write_pictures(base / "pictures", COUNT)
    (pictures / "broken.png").write_bytes(b"\x89PNG\r\n\x1a\nno")
    with Image.open(pictures / "p00.png") as picture:
        picture.save(pictures / "zz.jpg", quality=95)  # the same, written anew
    return base


@pytest.fixture(scope="module")
def network(place: Path) -> str:
    return f"{place / 'small.py'}:make"


@pytest.fixture(autouse=True)
def three_together(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(scanning, "BLOCK", 3)


@pytest.fixture(scope="module")
def found(place: Path, network: str) -> Evidence:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(scanning, "BLOCK", 3)
        scan(place / "pictures", place / "evidence", network)
    return Evidence.open(place / "evidence")


def test_every_figure_is_that_of_brute_force(found: Evidence, network: str) -> None:
    net = texton.load_network(network)
    numbers = [n for n, picture in enumerate(found.pictures) if picture.status == "ok"]
    assert len(numbers) == COUNT
    for name in ("1", "4"):
        layer = found.layer(name)
        best: dict[int, list[float]] = {channel: [] for channel in range(layer.layer.filters)}
        values = []
        for number in numbers:
            image = found.read(number)
            code = net.encode(image, name)[name][0].detach()
            where = considered(layer.layer, tuple(code.shape[1:]), tuple(image.shape[2:]))
            inner = code[:, where[0], where[1]]
            assert where[2] and inner.shape[1] < code.shape[1]
            values.append(inner.flatten(1))
            for channel, top in enumerate(inner.amax((1, 2)).tolist()):
                best[channel].append(top)
                for spot in layer.places(channel):
                    if spot.picture == number:
                        assert code[channel, spot.row, spot.column] == spot.value == top
        for channel, tops in best.items():
            strongest = sorted((top for top in tops if top > 0), reverse=True)[:4]
            assert [spot.value for spot in layer.places(channel)] == pytest.approx(strongest)
        means = torch.stack([one.mean(1) for one in values]).mean(0)
        squares = torch.stack([one.square().mean(1) for one in values]).mean(0)
        assert layer.mean == pytest.approx(means.numpy(), rel=1e-5)
        assert layer.deviation == pytest.approx((squares - means**2).sqrt().numpy(), rel=1e-3)
        active = torch.stack([(one > 0).any(1).float() for one in values]).mean(0)
        assert layer.active_pictures == pytest.approx(active.numpy())
        assert (layer.histogram.sum(1) == 64 * COUNT).all() and layer.pictures == COUNT
        every = torch.cat(values, 1).numpy()
        assert layer.silent == pytest.approx((every <= 0).mean(1), abs=0.06)
        for q in (0.5, 0.9, 0.99):
            assert layer.quantile(q) == pytest.approx(np.quantile(every, q, 1), rel=0.2, abs=0.05)


def test_a_filter_that_is_never_on_is_dead(found: Evidence) -> None:
    layer = found.layer("4")
    assert layer.dead.tolist() == [False] * (FILTERS - 1) + [True]
    assert layer.places(4) == [] and layer.selectivity[4] == 0 and layer.pictures == COUNT
    assert (layer.selectivity[:4] > 0.5).all()


def test_a_patch_is_what_the_unit_saw(found: Evidence, place: Path) -> None:
    bare = texton.load_network(f"{place / 'small.py'}:bare")  # without padding: one unit
    for name, field in (("1", 3), ("4", 8)):
        for channel in range(3):
            for rank, spot in enumerate(found.layer(name).places(channel)):
                cut = crop(found, name, channel, rank)
                assert cut.shape == (3, field, field)
                code = bare.encode(cut[None], name)[name]
                assert code.shape[2:] == (1, 1)
                assert float(code[0, channel]) == pytest.approx(spot.value, rel=1e-5)


def test_pictures_are_named_that_are_no_use(found: Evidence) -> None:
    told = {picture.path: picture for picture in found.pictures}
    assert told["broken.png"].status == "unreadable" and "not an image" in str(
        told["broken.png"].reason
    )
    twin = told["zz.jpg"]
    assert twin.status == "copy" and found.pictures[twin.of].path == "p00.png"
    assert sum("deep/down" in path for path in told) == COUNT // 2


@pytest.mark.parametrize("workers", [2, 3])
def test_any_number_of_workers_leaves_the_same_files(
    found: Evidence, workers: int, place: Path, network: str, tmp_path: Path
) -> None:
    scan(place / "pictures", tmp_path / "e", network, Inline(workers))
    assert layer_bytes(tmp_path / "e") == layer_bytes(found.root)
    ours, theirs = (root / "pictures.jsonl" for root in (tmp_path / "e", found.root))
    assert ours.read_bytes() == theirs.read_bytes()


def test_a_scan_that_was_killed_ends_as_if_it_had_not_been(
    found: Evidence, place: Path, network: str, tmp_path: Path
) -> None:
    root = tmp_path / "e"
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(scanning.Scan, "merge", lambda _: None)  # it never came to it
        scan(place / "pictures", root, network, Inline(2, dies=3))
    assert len(list((root / "parts").glob("*.npz"))) == 2
    with (root / "pictures.jsonl").open("ab") as file:
        file.write(b'{"path": "half')
    (root / "parts" / "cut.npz").write_bytes(b"PK\x03\x04 no more")
    (root / "layers-9").mkdir()
    with scanning.open_scan(asked(place / "pictures", network), root) as opened:
        assert len(opened.left()) == len(opened.blocks()) - 3
    scan(place / "pictures", root, network)
    assert layer_bytes(root) == layer_bytes(found.root)
    assert [path.name for path in root.glob("layers-*")] == [Evidence.open(root).manifest.state]
    assert not list((root / "parts").iterdir())


def test_a_part_that_is_merged_already_counts_once(
    found: Evidence, place: Path, network: str, tmp_path: Path
) -> None:
    root = tmp_path / "e"
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(scanning.Scan, "merge", lambda _: None)
        scan(place / "pictures", root, network)
    (part,) = (root / "parts").glob("*.npz")
    kept = part.read_bytes()
    scan(place / "pictures", root, network)
    part.write_bytes(kept)  # killed between the commit and the end of the parts
    part.with_name("twin.npz").write_bytes(kept)
    scan(place / "pictures", root, network)
    assert layer_bytes(root) == layer_bytes(found.root)


def test_new_pictures_extend_a_scan(network: str, tmp_path: Path) -> None:
    folder, root = write_pictures(tmp_path / "p", 5), tmp_path / "e"
    scan(folder, root, network)
    before = Evidence.open(root).layer("4")
    seen: list[str] = []
    write_pictures(folder, 4, first=5)
    scan(folder, root, network, tell=lambda _, one: seen.append(one.path))
    assert len(seen) == 4
    after, whole = Evidence.open(root).layer("4"), tmp_path / "w"
    assert (before.pictures, after.pictures) == (5, 9)
    scan(folder, whole, network)
    once = Evidence.open(whole).layer("4")
    assert np.array_equal(after.top_value, once.top_value)
    assert np.array_equal(after.histogram, once.histogram)
    assert np.array_equal(after.mean, once.mean)
    unchanged = layer_bytes(root)
    scan(folder, root, network)
    assert layer_bytes(root) == unchanged


def test_a_picture_that_vanishes_is_left_out_of_its_patches(network: str, tmp_path: Path) -> None:
    folder, root = write_pictures(tmp_path / "p", 6), tmp_path / "e"
    scan(folder, root, network)
    evidence = Evidence.open(root)
    spots = evidence.layer("4").places(0)
    evidence.path(spots[0].picture).unlink()
    assert [patch.place for patch in patches(evidence, "4", 0)] == spots[1:]


def test_other_settings_are_refused(found: Evidence, place: Path, network: str) -> None:
    for more, says in (
        ({"layers": "1"}, "layers"),
        ({"network": "vgg19@random"}, "network"),
        ({"white": 300.0}, "white"),
        ({"crop": "square"}, "crop"),
    ):
        with pytest.raises(texton.TextonError, match=f"was begun with {says}"):
            scan(place / "pictures", found.root, **{"network": network, **more})


def test_pictures_are_read_as_they_are_meant(place: Path, network: str, tmp_path: Path) -> None:
    """12 bits in 16, and the middle alone."""
    wide = np.random.default_rng(0).integers(0, 4096, (3, SIZE, 2 * SIZE), np.uint16)
    for number, plane in enumerate(wide):
        (tmp_path / "p").mkdir(exist_ok=True)
        Image.fromarray(plane).save(tmp_path / "p" / f"{number}.png")
    made = scan(tmp_path / "p", tmp_path / "e", network, white=4095.0, crop="square")
    found = Evidence.open(tmp_path / "e")
    image = found.read(0)
    assert image.shape == (1, 3, SIZE, SIZE) and 0.45 < float(image.mean()) < 0.55
    again = scan(tmp_path / "p", tmp_path / "e", network, white=4095.0, crop="square")
    assert again.manifest.settings == made.manifest.settings


@pytest.fixture
def inline(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("texton.cli.scan.make_engine", lambda *_: Inline())


@pytest.mark.usefixtures("inline")
def test_the_command_tells_what_it_found(run: Run, place: Path, network: str) -> None:
    words = ("scan", place / "pictures", "-o", "e", "--network", network, "--size", SIZE)
    outcome = run(*words, "--json")
    assert outcome.code == 0, outcome.err
    made = json.loads(outcome.out)
    assert made == {
        "evidence": "e",
        "network": network,
        "layers": 2,
        "pictures": COUNT,
        "copies": 1,
        "unreadable": 1,
        "scanned": COUNT,
        "filters": 4 + FILTERS,
        "dead": 1,
    }
    assert "skipped: broken.png" in outcome.err
    again = run(*words)
    assert (again.code, again.out) == (0, "e\n")


@pytest.mark.usefixtures("inline")
def test_the_command_tells_once_what_it_assumes_and_finds_in_a_checkpoint(
    run: Run, place: Path
) -> None:
    torch.save({"model": small(padding=1, seed=9).state_dict()}, "w.pt")
    network = f"{place / 'small.py'}:other"
    words = ("scan", place / "pictures", "-o", "e", "--network", network, "--weights", "w.pt")
    for _ in range(2):  # when it is begun, and when it is gone on with
        outcome = run(*words, "--size", SIZE)
        assert outcome.code == 0, outcome.err
        lines = outcome.err.splitlines()
        assert lines[:1] == ["w.pt: model"] and lines.count("w.pt: model") == 1
        assert lines[1].startswith(f"{network}: assumed mean 0, std 1")
        assert outcome.err.count("assumed") == 1


@pytest.mark.usefixtures("inline")
def test_bad_folders_give_one_line(run: Run, tmp_path: Path, network: str) -> None:
    def refuses(folder: str, says: str) -> None:
        words = ("scan", folder, "-o", "e", "--network", network, "--size", SIZE)
        outcome = run(*words)
        skipped = [line for line in outcome.err.splitlines() if not line.startswith("error: ")]
        assert all("skipped: " in line or " of " in line for line in skipped)
        assert_refused(
            type(outcome)(outcome.code, outcome.out, outcome.err.splitlines()[-1] + "\n"), says
        )
        assert not Path("e/manifest.json").exists()

    for name in ("empty", "one", "bad"):
        Path(name).mkdir()
    Path("file.txt").write_text("x")
    write_pictures(Path("one"), 1)
    for number in range(3):
        Path(f"bad/{number}.png").write_bytes(b"no picture")
    refuses("nowhere", "is not there")
    refuses("file.txt", "is no folder")
    refuses("empty", "there are no pictures")
    refuses("one", "there is one picture")
    refuses("bad", "none of the 3 pictures in 'bad' can be read (0.png: ")


@pytest.mark.usefixtures("inline")
def test_a_thousand_files_that_are_no_use_are_not_a_thousand_lines(run: Run, network: str) -> None:
    Path("tiny").mkdir()
    Image.new("RGB", (1, 1)).save("tiny/0.png")
    content = Path("tiny/0.png").read_bytes()
    for number in range(1, 1000):
        Path(f"tiny/{number}.png").write_bytes(content)
    outcome = run("scan", "tiny", "-o", "e", "--network", network)
    assert outcome.code == 2 and "none of the 1000 pictures" in outcome.err
    lines = outcome.err.splitlines()
    assert len([line for line in lines if line.startswith("skipped: ")]) == 21
    assert any("980 more" in line for line in lines)


@pytest.mark.slow
def test_what_is_known_of_pictures_takes_bytes_not_kilobytes(tmp_path: Path) -> None:
    count = 3000
    looks = np.random.default_rng(0).bytes(20 * count)
    listed = PictureList(tmp_path / "pictures.jsonl")
    listed.append(
        Scanned(f"a/{n}.jpg", 0, 9, n, "ok", f"{n:016x}", looks[20 * n : 20 * n + 20].hex())
        for n in range(count)
    )
    tracemalloc.start()
    again = PictureList(listed.file)
    known = Known(again)
    gc.collect()  # a reader of JSON leaves circles
    ours = [tracemalloc.Filter(True, f"*{place}*") for place in ("texton/evidence", "numpy")]
    taken = tracemalloc.take_snapshot().filter_traces(ours).statistics("filename")
    held = sum(statistic.size for statistic in taken)
    tracemalloc.stop()
    assert len(again) == count and held < 120 * count
    assert known.has("a/7.jpg", 0, 9, 7) and not known.has("a/7.jpg", 0, 9, 8)
    assert known.twin(again[1234]) == 1234


@pytest.mark.usefixtures("inline")
def test_names_that_are_no_text_are_scanned_all_the_same(
    run: Run, tmp_path: Path, network: str
) -> None:
    folder = write_pictures(tmp_path / "p", 3)
    odd = os.fsencode(folder) + b"/\xff\xfe.png"
    try:
        shutil.copy(write_pictures(tmp_path / "q", 1, first=8) / "p08.png", odd)
    except OSError:
        pytest.skip("this file system takes text alone")
    outcome = run("scan", folder, "-o", "e", "--network", network, "--size", SIZE)
    assert outcome.code == 0, outcome.err
    evidence = Evidence.open("e")
    paths = [os.fsencode(picture.path) for picture in evidence.pictures]
    assert b"\xff\xfe.png" in paths and evidence.layer("4").pictures == 4
    assert evidence.read(paths.index(b"\xff\xfe.png")).shape[1] == 3


@pytest.mark.parametrize(
    "damage", [b"", b"{}", b"[1]", b'{"format": "texton-evidence/1"}', b"\xff\xfe"]
)
def test_a_manifest_that_is_none_is_told_in_a_line(damage: bytes, tmp_path: Path) -> None:
    (tmp_path / "manifest.json").write_bytes(damage)
    with pytest.raises(texton.TextonError, match="no evidence's"):
        Evidence.open(tmp_path)


def test_layers_files_that_are_damaged_are_told_in_a_line(found: Evidence, tmp_path: Path) -> None:
    root = tmp_path / "e"
    shutil.copytree(found.root, root)
    file = root / found.manifest.state / "4.npz"
    for damage in (b"", file.read_bytes()[:-30], b"PK\x05\x06" + bytes(18)):
        file.write_bytes(damage)
        with pytest.raises(texton.TextonError, match="cannot be read"):
            Evidence.open(root).layer("4")
    np.savez(file, value=np.array([{}], dtype=object))  # a pickle
    with pytest.raises(texton.TextonError, match="cannot be read"):
        Evidence.open(root).layer("4")
    with pytest.raises(texton.TextonError, match="nothing of a layer"):
        Evidence.open(root).layer("5")
    with pytest.raises(texton.TextonError, match="no evidence in"):
        Evidence.open(tmp_path / "nowhere")


def test_fields_and_strides_may_be_oblong() -> None:
    """What a unit sees is found by gradient, and lies in the middle of its patch."""
    torch.manual_seed(0)
    module = nn.Sequential(
        nn.Conv2d(3, 4, (3, 2), stride=(1, 2), padding=(1, 0)), nn.Conv2d(4, 4, (5, 2))
    )
    (layer,) = measure_layers(texton.load_network(module), ["1"], 40)
    image = torch.rand(1, 3, 40, 40, requires_grad=True)
    code = module(image)
    for row, column in ((3, 4), (7, 9)):
        (slope,) = torch.autograd.grad(code[0, :, row, column].sum(), image, retain_graph=True)
        box = field_box(layer, Place(0, row, column, 0.0), 40, 40)
        sides = zip((box.top, box.left), (box.bottom, box.right), (2, 3), strict=True)
        for begins, ends, axis in sides:
            hit = slope.abs().sum((0, 1, 5 - axis)).nonzero().flatten()
            before, after = int(hit[0]) - begins, ends - 1 - int(hit[-1])
            assert min(before, after) >= 0 and abs(before - after) <= 1
    rows, columns, aside = considered(layer, tuple(code.shape[2:]), (40, 40))
    assert aside and rows.stop <= code.shape[2] and columns.stop <= code.shape[3]


def test_without_padding_no_picture_counts_as_cut(place: Path) -> None:
    bare = texton.load_network(f"{place / 'small.py'}:bare")
    (layer,) = measure_layers(bare, ["4"], SIZE)
    code = bare.encode(torch.rand(1, 3, SIZE, SIZE), "4")["4"]
    rows, columns, aside = considered(layer, tuple(code.shape[2:]), (SIZE, SIZE))
    assert (rows.stop, columns.stop) == tuple(code.shape[2:]) and not aside
