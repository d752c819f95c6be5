"""Files of trained networks: read back whole, refused where anything in them is not as written."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import save_file
from torch import nn

import texton
from texton.errors import TextonError
from texton.learned.file import (
    KEY,
    Header,
    is_trained,
    load_trained,
    read_header,
    read_tensors,
    save_trained,
    write_tensors,
)


class Tiny(nn.Module):
    def __init__(self, width: int) -> None:
        super().__init__()
        self.conv = nn.Conv2d(3, width, 3)
        self.register_buffer("mean", torch.zeros(width))


HEADER = Header(
    "decoder", "vgg19", "abc", "avg", ("relu1_1",), {"width": 4}, 10, 20, {"a": 1}, ((1.0, 2.0),)
)


def _build(numbers: Mapping[str, Any]) -> nn.Module:
    if not isinstance(numbers.get("width"), int):
        raise ValueError("its 'width' is no int")
    return Tiny(numbers["width"])


@pytest.fixture
def file(tmp_path: Path) -> Path:
    return save_trained(Tiny(4), HEADER, tmp_path / "in" / "a.safetensors")


def test_a_file_is_read_back(file: Path) -> None:
    read = load_trained(file, "decoder")
    assert read.header == HEADER == read_header(file) and is_trained(file)
    module = read.built(_build)
    assert isinstance(module, Tiny) and not module.training
    state = load_trained(file, "decoder").tensors
    assert all(torch.equal(value, state[name]) for name, value in module.state_dict().items())
    assert not any(x.requires_grad for x in module.parameters())
    with pytest.raises(TextonError, match="holds a decoder, no style"):
        load_trained(file, "style")


def test_how_large_a_file_may_be_is_the_reader_s_to_say(tmp_path: Path) -> None:
    """A kept solve of many megapixels may be larger than any network."""
    path = tmp_path / "a.safetensors"
    write_tensors({"x": torch.ones(9)}, "{}", path)
    assert read_tensors(path, "a solve", largest=None)[0]["x"].sum() == 9
    with pytest.raises(TextonError, match="is not a solve: it is too large"):
        read_tensors(path, "a solve", largest=30)


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("format", "texton-net-2"),
        ("kind", ["decoder"]),
        ("kind", "encoder"),
        ("layers", "relu1_1"),
        ("layers", [1]),
        ("steps", "10"),
        ("steps", True),
        ("photos", -1),
        ("trace", [[1, "2"]]),
        ("trace", [1]),
        ("architecture", []),
        ("about", None),
        ("weights_hash", 5),
    ],
)
def test_headers_are_checked_by_type(key: str, value: Any, tmp_path: Path) -> None:
    told = {**json.loads(HEADER.as_json()), key: value}
    path = tmp_path / "a.safetensors"
    write_tensors(Tiny(4).state_dict(), json.dumps(told), path)
    with pytest.raises(TextonError, match=f"'{path}' cannot be used: ") as error:
        load_trained(path, "decoder")
    assert "\n" not in str(error.value) and not is_trained(path)


def test_other_tensors_are_refused(file: Path) -> None:
    read, state = load_trained(file, "decoder"), Tiny(4).state_dict()
    for numbers in ({"width": "4"}, {}, {"width": 5}, {"width": 10**12}, {"width": -3}):
        with pytest.raises(TextonError, match="cannot be used"):
            replace(read, header=replace(HEADER, architecture=numbers)).built(_build)
    wrong = [
        {**state, "more": state["mean"]},
        {"mean": state["mean"]},
        {**state, "mean": state["mean"].double()},
        {**state, "mean": state["mean"] + float("nan")},
    ]
    for tensors in wrong:
        with pytest.raises(TextonError, match="cannot be used"):
            replace(read, tensors=tensors).built(_build)


def test_foreign_and_damaged_files(file: Path, tmp_path: Path) -> None:
    content = file.read_bytes()
    foreign = tmp_path / "foreign.safetensors"
    save_file(Tiny(4).state_dict(), foreign)
    cut, pickled = tmp_path / "cut.safetensors", tmp_path / "pickled.safetensors"
    cut.write_bytes(content[:-50])
    torch.save(Tiny(4).state_dict(), pickled)
    (tmp_path / "empty.safetensors").touch()
    names = ("foreign", "cut", "pickled", "empty", "missing")
    for path in (*(tmp_path / f"{name}.safetensors" for name in names), tmp_path):
        with pytest.raises(TextonError) as error:
            load_trained(path, "decoder")
        assert str(path) in str(error.value) and "\n" not in str(error.value)
        with pytest.raises(TextonError) as again:
            read_header(path)
        assert str(again.value) == str(error.value) and not is_trained(path)
    assert KEY.encode() in content


def test_another_network_is_refused(file: Path, net: texton.Network) -> None:
    read = load_trained(file, "decoder")
    with pytest.raises(TextonError, match="whose weights another vgg19 does not have"):
        read.check_network(net)
    right = replace(HEADER, weights_hash=net.weights_hash)
    replace(read, header=right).check_network(net)
    with pytest.raises(TextonError, match="with max pooling, not avg"):
        replace(read, header=replace(right, pooling="max")).check_network(net)
