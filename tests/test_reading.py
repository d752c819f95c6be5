"""Files that others could have written: whatever is in them, an answer or one line."""

from __future__ import annotations

import json
import zlib
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image, PngImagePlugin

import texton
from tests.fake_atlas import fake_atlas
from tests.helpers import EXAMPLES, Run
from texton.atlas.site.addresses import PICTURE
from texton.jobs.store import Store, Unit
from texton.reading import decimal_number, read_json, take, take_all, take_optional, whole_number

DEEP = '{"a":' + "[" * 100_000 + "]" * 100_000 + "}"
LESS_DEEP = '{"a":' + "[" * 400 + "]" * 400 + "}"  # can be read, not compared or written again
ODD = [
    DEEP, LESS_DEEP, "", "[]", "null", "{", '{"a": NaN}', '{"a": -Infinity}', '{"a": 1e999}',
    '{"a": ' + "9" * 5000 + "}", '{"a": 9223372036854775808}', '{"a": "\\ud800"}', "\0",
]  # fmt: skip


@pytest.mark.parametrize("text", ODD)
def test_json_that_no_reader_can_take_is_a_value_error(text: str) -> None:
    for content in (text, text.encode(), text.encode("utf-16")):
        with pytest.raises(ValueError):
            read_json(content)


values = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**63), 2**63 - 1) | st.text() | st.floats(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=10,
)


@given(st.dictionaries(st.text(), values, max_size=4))
@pytest.mark.slow
def test_what_json_can_say_comes_back_and_the_rest_is_refused(record: dict[str, object]) -> None:
    try:
        text = json.dumps(record, allow_nan=False)
        json.dumps(record, ensure_ascii=False).encode()
    except ValueError:
        with pytest.raises(ValueError):
            read_json(json.dumps(record))
    else:
        assert read_json(text) == record


def test_fields_are_of_their_type_or_refused() -> None:
    record = {"s": "x", "i": 3, "f": 0.5, "b": True, "l": ["a", "b"], "n": None}
    assert (take(record, "s", str), take(record, "i", int), take(record, "f", float)) == (
        "x", 3, 0.5,
    )  # fmt: skip
    assert take(record, "i", float) == 3.0 and take_all(record, "l", str) == ["a", "b"]
    assert take_optional(record, "n", int) is None and take_optional(record, "gone", int) is None
    for key, kind in (("s", int), ("f", int), ("b", int), ("b", float), ("n", str), ("gone", str)):
        with pytest.raises(ValueError, match=key):
            take(record, key, kind)
    with pytest.raises(ValueError, match="l"):
        take_all(record, "l", int)


@pytest.mark.parametrize("text", ["٣", "３", "²", "+3", "-3", " 3", "3_0", "", "9" * 5000])
def test_a_whole_number_is_of_ascii_digits(text: str) -> None:
    with pytest.raises(ValueError):
        whole_number(text)
    assert not PICTURE.fullmatch(f"{text}.cat.png")


@pytest.mark.parametrize("text", ["٣", "nan", "inf", "1e999", "1_0", "0x1", "", " "])
def test_a_decimal_number_is_finite_and_of_ascii_digits(text: str) -> None:
    with pytest.raises(ValueError):
        decimal_number(text)
    assert (decimal_number("-.5"), decimal_number("1."), decimal_number("2e-1")) == (-0.5, 1, 0.2)


@pytest.mark.parametrize(
    "words",
    [
        ("filter", "cat.jpg", "relu1_1:٣"),
        ("filter", "cat.jpg", "relu1_1:top٣"),
        ("filter", "cat.jpg", "relu1_1:" + "9" * 5000),
        ("filter", "cat.jpg", "relu1_1:0", "--bands", "٠"),
        ("filter", "cat.jpg", "relu1_1:0", "--network", "vgg19@random٣"),
        ("mix", "cat.jpg", "relu1_1", "--energy", "٣=2"),
        ("mix", "cat.jpg", "relu1_1", "--energy", "3=٢"),
        ("mix", "cat.jpg", "relu1_1", "--energy", "3=nan"),
        ("stylize", "cat.jpg", "cup.jpg", "--layer-weights", "٥,4,3,2,1"),
        ("stylize", "cat.jpg", "cup.jpg", "--style-mix", "nan"),
        ("atlas", "build", "cat.jpg", "--out", "a", "--layers", "relu1_1", "--channels", "٣"),
        ("atlas", "build", "cat.jpg", "--out", "a", "--layers", "relu1_1", "--channels", "top٣"),
    ],
)  # fmt: skip
def test_numbers_in_other_scripts_or_endless_are_no_numbers(
    words: tuple[str, ...], run: Run, tmp_path: Path
) -> None:
    for name, source in (("cat.jpg", "chelsea.jpg"), ("cup.jpg", "coffee.jpg")):
        (tmp_path / name).write_bytes((EXAMPLES / source).read_bytes())
    outcome = run(*words)
    assert outcome.code == 2 and outcome.err.startswith("error: "), outcome.err
    assert outcome.err.count("\n") == 1 and len(outcome.err) < 6000
    assert sorted(path.name for path in tmp_path.iterdir()) == ["cat.jpg", "cup.jpg"]


def style(**other: object) -> str:
    layers = {"relu1_1": {"mean": [0.5] * 64, "std": [0.1] * 64}}
    told = {"format": "texton-style/1", "network": "vgg19", "weights_hash": "x", "layers": layers}
    return json.dumps({**told, **other})


@pytest.mark.parametrize(
    "text",
    [
        *ODD,
        style(layers={"relu1_1": [1]}),
        style(layers={"relu1_1": {"mean": "12", "std": "34"}}),
        style(layers={"relu1_1": {"mean": ["1"], "std": ["2"]}}),
        style(layers={"relu1_1": {"mean": [1e300], "std": [1e300]}}),
        style(layers={"relu1_1": {"mean": [[1]], "std": [[1]]}}),
        style(layers=[]),
        style(network=3),
        style(format="texton-style/9"),
    ],
)
def test_a_style_file_that_is_none_is_told_in_one_line(text: str, run: Run, tmp_path: Path) -> None:
    (tmp_path / "x.style").write_text(text)
    outcome = run("compare", EXAMPLES / "chelsea.jpg", "x.style")
    assert (outcome.code, outcome.err) == (
        2,
        "error: 'x.style' is not a style file: make one with `texton fingerprint`\n",
    )
    assert run("stylize", EXAMPLES / "chelsea.jpg", "x.style", "--size", 64).code == 2


def test_style_files_of_before_are_read(net: texton.Network, cat: torch.Tensor, run: Run) -> None:
    path = texton.fingerprint(cat, net, ["relu1_1"]).save("new.style")
    text = path.read_text()
    assert '"texton-style/1"' in text
    Path("old.style").write_text(text.replace("texton-style/1", "texton-style-1"))
    compared = run("compare", "old.style", "new.style", "--layers", "relu1_1", "--json")
    assert json.loads(compared.out)["distances"][0][1] == 0


@pytest.mark.parametrize("text", ODD)
def test_a_manifest_that_is_none_is_told_in_one_line(text: str, run: Run, tmp_path: Path) -> None:
    fake_atlas(tmp_path / "a", (("relu1_1", 2),))
    (tmp_path / "a/manifest.json").write_text(text)
    for words in (("status", "a"), ("export", "a", "-o", "site"), ("build", "--out", "a")):
        outcome = run("atlas", *words)
        assert outcome.code == 2 and outcome.err.count("\n") == 1, outcome.err
        assert "is no atlas's" in outcome.err


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("layers", [{"name": "relu1_1"}]),
        ("layers", "relu1_1"),
        ("layers", []),
        ("photos", []),
        ("layers", [["relu1_1"]]),
        ("photos", [{"name": "../../secret"}]),
        ("settings", []),
        ("settings", {"size": "64"}),
        ("network", None),
        ("channels", 3),
    ],
)
def test_a_manifest_whose_fields_are_of_other_types_is_told(
    key: str, value: object, run: Run, tmp_path: Path
) -> None:
    store = fake_atlas(tmp_path / "a", (("relu1_1", 2),))
    path = store.root / "manifest.json"
    path.write_text(json.dumps({**json.loads(path.read_text()), key: value}))
    outcome = run("atlas", "export", "a", "-o", "site")
    assert outcome.code == 2 and "is no atlas's" in outcome.err, outcome.err


def test_an_atlas_that_does_not_tell_how_it_was_begun_is_not_gone_on_with(
    run: Run, tmp_path: Path
) -> None:
    fake_atlas(tmp_path / "a", (("relu1_1", 2),))
    outcome = run("atlas", "build", "--out", "a")
    assert outcome.code == 2 and "'a' does not tell its" in outcome.err, outcome.err


def record_of(store: Store, unit: Unit, **other: object) -> str:
    return json.dumps({**json.loads(store.sidecar(unit).read_text()), **other})


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("error", "high"),
        ("error", [0.5]),
        ("achieved", True),
        ("energy_share", {}),
        ("leakage", "1"),
        ("seconds", "soon"),
        ("steps", [3]),
        ("command", 3),
    ],
)
def test_one_sidecar_of_other_types_is_named_and_left_out(
    key: str, value: object, run: Run, tmp_path: Path
) -> None:
    store = fake_atlas(tmp_path / "a", (("relu1_1", 3),), ("cat",))
    bad = Unit("relu1_1", 1, "cat")
    store.sidecar(bad).write_text(record_of(store, bad, **{key: value}))
    status = json.loads(run("atlas", "status", "a", "--json").out)
    assert (status["done"], status["left"]) == (2, 1)
    outcome = run("atlas", "export", "a", "-o", "site", "--no-similar", "--json")
    assert outcome.code == 0, outcome.err
    assert f"skipped {bad}: '{Path('a') / store.sidecar(bad).relative_to(store.root)}'" in (
        outcome.err
    )
    told = json.loads(outcome.out)
    assert (told["done"], told["left"]) == (2, 1)
    assert (tmp_path / "site/relu1_1/1.html").exists()


@pytest.mark.parametrize("text", ODD)
def test_one_sidecar_that_is_none_is_named_and_left_out(
    text: str, run: Run, tmp_path: Path
) -> None:
    store = fake_atlas(tmp_path / "a", (("relu1_1", 3),), ("cat",))
    bad = Unit("relu1_1", 1, "cat")
    store.sidecar(bad).write_text(text)
    outcome = run("atlas", "export", "a", "-o", "site", "--no-similar", "--json")
    assert outcome.code == 0 and f"skipped {bad}" in outcome.err, outcome.err
    assert json.loads(outcome.out)["left"] == 1


@pytest.mark.parametrize("text", [*ODD, '{"files": 3}', '{"files": [3]}', '{"files": ["../x"]}'])
def test_the_mark_of_a_site_is_read_with_care(text: str, run: Run, tmp_path: Path) -> None:
    fake_atlas(tmp_path / "a", (("relu1_1", 1),), ("cat",))
    (tmp_path / "site").mkdir()
    (tmp_path / "x").write_text("not texton's")
    (tmp_path / "site/texton-site.json").write_text(text)
    outcome = run("atlas", "export", "a", "-o", "site", "--no-similar")
    assert outcome.code == 0, outcome.err
    assert (tmp_path / "x").exists()


def with_settings(path: Path, text: str) -> None:
    info = PngImagePlugin.PngInfo()
    info.add_itxt("texton", text)
    Image.new("RGB", (32, 32)).save(path, pnginfo=info)


@pytest.mark.parametrize("text", ODD)
def test_settings_that_cannot_be_read_are_none(text: str, run: Run, tmp_path: Path) -> None:
    with_settings(tmp_path / "x.png", text)
    outcome = run("info", "x.png")
    assert outcome.code == 2 and "carries no settings" in outcome.err, outcome.err


@pytest.mark.parametrize(
    "settings",
    [
        {"units": 3},
        {"units": [3, None, "x", []]},
        {"units": [{"layer": 1, "channel": "x", "error": "high", "achieved": []}]},
        {"units": [{}], "command": ["rm"]},
        {"method": "filter", "units": [{"layer": 1, "error": "high", "achieved": []}, 3, None]},
        {"method": {"a": 1}, "units": [{}]},
        {"command": "texton \x1b[2J\n"},
        {"planes": {"a": [1]}, "bands": "x"},
    ],
)
def test_info_tells_whatever_others_have_written(
    settings: dict[str, object], run: Run, tmp_path: Path
) -> None:
    with_settings(tmp_path / "x.png", json.dumps(settings))
    outcome = run("info", "x.png")
    assert outcome.code == 0 and "\x1b" not in outcome.out, outcome.err
    assert json.loads(run("info", "x.png", "--json").out) == settings


def chunk(kind: bytes, data: bytes) -> bytes:
    body = kind + data
    return len(data).to_bytes(4, "big") + body + zlib.crc32(body).to_bytes(4, "big")


@pytest.mark.parametrize("where", ["before the pixels", "after the pixels"])
@pytest.mark.parametrize("kind", ["zTXt", "iTXt", "iCCP"])
def test_a_png_with_megabytes_of_text_is_an_image(
    kind: str, where: str, run: Run, tmp_path: Path
) -> None:
    noise = np.random.default_rng(0).integers(0, 255, (32, 40, 3), np.uint8)
    path = tmp_path / "x.png"
    texton.write_image(Image.fromarray(noise), path, {"seed": 3})
    content, packed = path.read_bytes(), zlib.compress(b"a" * 2_000_000)
    long = {
        "zTXt": chunk(b"zTXt", b"Comment\0\0" + packed),
        "iTXt": chunk(b"iTXt", b"XML:com.adobe.xmp\0\1\0\0\0" + packed),
        "iCCP": chunk(b"iCCP", b"profile\0\0" + packed),
    }[kind]
    at = 33 if where.startswith("before") else content.index(b"IEND") - 4
    path.write_bytes(content[:at] + long + content[at:])
    assert torch.equal(texton.read_image(path), texton.read_image(_saved(noise, tmp_path)))
    told = texton.read_settings(path)
    assert told in (None, {"seed": 3})
    path.write_bytes(path.read_bytes()[:-40])  # and what is cut short stays refused, or is whole
    assert run("info", path).code in (0, 2)


def _saved(pixels: np.ndarray, folder: Path) -> Path:
    Image.fromarray(pixels).save(folder / "plain.png")
    return folder / "plain.png"


def npy(header: bytes) -> bytes:
    return b"\x93NUMPY\1\0" + len(header).to_bytes(2, "little") + header


@pytest.mark.parametrize(
    "content",
    [
        b"",
        npy(b"(" * 118),
        npy(b"{'descr': '<f8', 'fortran_order': False, 'shape': (99999, 99999, 3), }\n"),
        npy(b"{'descr': 'O', 'fortran_order': False, 'shape': (32, 32, 3), }\n"),
        npy(b"{'descr': " + b"[" * 3000 + b"\n"),
        b"\x93NUMPY\x09\0",
    ],
)
def test_an_array_that_is_none_is_told_in_one_line(
    content: bytes, run: Run, tmp_path: Path
) -> None:
    (tmp_path / "x.npy").write_bytes(content)
    outcome = run("filter", "x.npy", "relu1_1:0", "--size", 32)
    assert outcome.code == 2 and "no NumPy array" in outcome.err, outcome.err
