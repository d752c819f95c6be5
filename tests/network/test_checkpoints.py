"""Checkpoints as training leaves them on disks: nested, prefixed, averaged, wrapped, not ours."""

from __future__ import annotations

import argparse
import collections
import datetime
import enum
import json
import pickle
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.torch import save_file
from torch import Tensor, nn

import texton
from tests.helpers import EXAMPLES, Run, assert_refused
from texton import TextonError, load_network

CAT = EXAMPLES / "chelsea.jpg"
MINE = """
import torch
from torch import nn
def make():
    torch.manual_seed(9)
    return nn.Sequential(nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4), nn.ReLU(), nn.Conv2d(4, 5, 3))
"""
State = dict[str, Tensor]


def module(seed: int = 1) -> nn.Module:
    torch.manual_seed(seed)
    return nn.Sequential(nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4), nn.ReLU(), nn.Conv2d(4, 5, 3))


def state(seed: int = 1, prefix: str = "") -> State:
    return {f"{prefix}{key}": value for key, value in module(seed).state_dict().items()}


def hash_of(seed: int = 1) -> str:
    return load_network(module(seed)).weights_hash


@pytest.fixture
def mine(tmp_path: Path) -> str:
    (tmp_path / "mine.py").write_text(MINE)
    return str(tmp_path / "mine.py:make")


class Stage(enum.Enum):
    TRAIN = "train"


class Config(dict):  # type: ignore[type-arg]
    """What a project of its own keeps its settings in."""


class Settings:
    def __init__(self) -> None:
        self.rate, self.layers = 0.1, [1, 2]


def trained() -> dict[str, Any]:
    """What lies beside the weights: an optimiser, plain data, classes of a project's own."""
    steps = {i: {"step": torch.ones(1), "exp_avg": w} for i, w in enumerate(state(3).values())}
    return {
        "optimizer": {"state": steps, "param_groups": [{"lr": 0.1, "params": list(steps)}]},
        "epoch": 3,
        "args": argparse.Namespace(rate=0.1, data=Path("photos"), other=[1, "a"]),
        "best": np.float64(0.5),
        "curve": np.arange(3.0),
        "dtype": np.dtype("float32"),
        "when": datetime.datetime(2026, 1, 2),
        "counts": collections.defaultdict(int, a=1),
        "stage": {Stage.TRAIN: 1},
        "config": Config(width=3, inner=Config(a=1)),
        "settings": Settings(),
        "loss": torch.tensor(0.5),
        "bytes": b"abc",
    }


NESTED: dict[str, tuple[Callable[[], dict[str, Any]], str]] = {
    "plain": (state, ""),
    "nested": (lambda: {"model": state()}, "model"),
    "model_state_dict": (lambda: {"model_state_dict": state(), "epoch": 3}, "model_state_dict"),
    "lightning": (
        lambda: {"state_dict": state(1, "model."), "pytorch-lightning_version": "2.4"},
        "state_dict, 'model.' taken off its keys",
    ),
    "its loss beside it": (
        lambda: {"state_dict": {**state(1, "net."), "loss.weight": torch.ones(3)}},
        "state_dict, 'net.' taken off its keys, 1 beside it left out (loss.weight)",
    ),
    "compiled": (lambda: state(1, "_orig_mod."), "'_orig_mod.' taken off its keys"),
    "in parallel": (lambda: state(1, "module."), "'module.' taken off its keys"),
    "both": (lambda: state(1, "module._orig_mod."), "'module._orig_mod.' taken off its keys"),
    "backbone": (lambda: state(1, "backbone."), "'backbone.' taken off its keys"),
    "deep": (
        lambda: {"ckpt": {"nets": {"g": state(1, "model.net.")}}},
        "ckpt.nets.g, 'model.net.' taken off its keys",
    ),
    "a part compiled": (
        lambda: {f"{k[0]}._orig_mod{k[1:]}": v for k, v in state().items()},
        "'_orig_mod.' taken off its keys",
    ),
    "averaged": (
        lambda: torch.optim.swa_utils.AveragedModel(module()).state_dict(),
        "'module.' taken off its keys",
    ),
    "with all of training": (lambda: {"model": state(), **trained()}, "model"),
    "twice the same": (lambda: {"state_dict": state(), "model": state()}, "state_dict"),
    "another's beside it": (lambda: {"discriminator": {"a": torch.ones(1)}, "g": state()}, "g"),
}


@pytest.mark.works(
    'a checkpoint: Lightning\'s, `{"model": …}`, keys under `module.`, `_orig_mod.`, `model.`, …',
    "the one state dict in it that fits is loaded; where it was and what its keys lost is said",
)
@pytest.mark.parametrize("name", NESTED)
def test_the_one_that_fits_is_found(name: str, mine: str, run: Run, tmp_path: Path) -> None:
    make, said = NESTED[name]
    torch.save(make(), tmp_path / "w.ckpt")
    outcome = run("layers", "--network", mine, "--weights", "w.ckpt")
    assert outcome.code == 0, outcome.err
    assert [x for x in outcome.err.splitlines() if x.startswith("w.ckpt: ")] == (
        [f"w.ckpt: {said}"] if said else []
    )
    for network in (mine, module(2)):
        loaded = load_network(network, weights=tmp_path / "w.ckpt")
        assert loaded.weights_hash == hash_of()
        assert loaded.details.get("checkpoint", "") == said


def test_it_is_recorded_in_the_picture(mine: str, run: Run, tmp_path: Path) -> None:
    torch.save({"state_dict": state(1, "model.")}, tmp_path / "w.ckpt")
    words = ("filter", CAT, "3:1", "--size", 32, "--steps", 1, "--network", mine, "-o", "x.png")
    assert run(*words, "--weights", "w.ckpt").code == 0
    told = texton.read_settings(tmp_path / "x.png") or {}
    assert told["weights"] == "w.ckpt" and told["weights_hash"] == hash_of()
    assert told["checkpoint"] == "state_dict, 'model.' taken off its keys"


SEVERAL: dict[str, tuple[Callable[[], dict[str, Any]], str, str]] = {
    "timm": (lambda: {"state_dict": state(1), "state_dict_ema": state(2)}, "state_dict", "_ema"),
    "torchvision": (
        lambda: {
            "model": state(1),
            "model_ema": {"n_averaged": torch.tensor(5), **state(2, "module.")},
            "args": argparse.Namespace(epochs=3),
        },
        "model",
        "_ema",
    ),
    "prefixes": (lambda: {**state(1, "net."), **state(2, "net_ema.")}, "net", "_ema"),
    "lightning": (
        lambda: {"state_dict": {**state(1, "model."), **state(2, "model_ema.")}},
        "state_dict.model",
        "_ema",
    ),
}


@pytest.mark.works(
    "a checkpoint with an average (EMA) beside the weights",
    "both are named; `--weights FILE::KEY` chooses",
)
@pytest.mark.parametrize("name", SEVERAL)
def test_several_are_named_and_one_is_chosen(
    name: str, mine: str, run: Run, tmp_path: Path
) -> None:
    make, first, more = SEVERAL[name]
    torch.save(make(), tmp_path / "w.ckpt")
    words = ("layers", "--network", mine, "--weights")
    refused = run(*words, "w.ckpt")
    assert_refused(refused, f"'w.ckpt' holds 2 that fit, {first}, {first}{more}: choose one")
    assert f"--weights 'w.ckpt::{first}{more}'" in refused.err
    for key, seed in ((first, 1), (first + more, 2)):
        assert run(*words, f"w.ckpt::{key}").code == 0
        loaded = load_network(mine, weights=f"{tmp_path / 'w.ckpt'}::{key}")
        assert loaded.weights_hash == hash_of(seed)
        assert loaded.details["weights"].endswith(f"w.ckpt::{key}")
    assert_refused(run(*words, "w.ckpt::nothing"), "nothing under 'nothing': it has ")


@pytest.mark.works("safetensors with prefixes", "as other checkpoints")
def test_safetensors_likewise(mine: str, run: Run, tmp_path: Path) -> None:
    save_file(state(1, "module."), tmp_path / "one.safetensors")
    save_file({**state(1, "a."), **state(2, "b.")}, tmp_path / "two.safetensors")
    words = ("layers", "--network", mine, "--weights")
    assert "one.safetensors: 'module.' taken off its keys\n" in run(*words, "one.safetensors").err
    assert_refused(run(*words, "two.safetensors"), "holds 2 that fit, a, b")
    loaded = load_network(module(3), weights=tmp_path / "two.safetensors::b")
    assert loaded.weights_hash == hash_of(2)


def test_a_file_whose_name_has_the_mark(tmp_path: Path) -> None:
    torch.save(state(), tmp_path / "a::b.pt")
    assert load_network(module(2), weights=tmp_path / "a::b.pt").weights_hash == hash_of()


def test_a_vgg19_in_a_checkpoint(run: Run, tmp_path: Path, net: texton.Network) -> None:
    plain = {key: value.clone() for key, value in net.module.state_dict().items()}
    torch.save({"state_dict": {f"module.{k}": v for k, v in plain.items()}, "epoch": 1}, "w.pt")
    outcome = run("layers", "--weights", "w.pt")
    assert outcome.code == 0
    assert "w.pt: state_dict, 'module.' taken off its keys\n" in outcome.err
    assert load_network("vgg19", weights="w.pt").weights_hash == net.weights_hash


class Loud:
    made = 0

    def __new__(cls) -> Loud:
        Loud.made += 1
        return super().__new__(cls)

    def __setstate__(self, state: object) -> None:
        raise AssertionError("a class that a checkpoint names was given its state")


@pytest.mark.works(
    "an `argparse.Namespace`, a NumPy number, an optimiser or your own classes beside the weights",
    "left out: something inert stands for what the file names, and nothing of it is run",
)
def test_no_class_that_a_checkpoint_names_is_made(tmp_path: Path) -> None:
    allowed = set(torch.serialization.get_safe_globals())
    loud = Loud()
    loud.__dict__["a"] = 1
    torch.save({"model": state(), "loud": loud}, tmp_path / "w.pt")
    assert load_network(module(2), weights=tmp_path / "w.pt").weights_hash == hash_of()
    assert Loud.made == 1
    assert set(torch.serialization.get_safe_globals()) == allowed


def test_the_format_of_before_2020(tmp_path: Path) -> None:
    whole = {"model": state(), "args": argparse.Namespace(a=1)}
    torch.save(whole, tmp_path / "w.pt", _use_new_zipfile_serialization=False)
    assert load_network(module(2), weights=tmp_path / "w.pt").weights_hash == hash_of()


def write_whole(path: Path) -> None:
    torch.save(module(), path)


def write_held(path: Path) -> None:
    torch.save({"model": module(), **trained()}, path)


def write_traced(path: Path) -> None:
    torch.save(torch.fx.symbolic_trace(module()), path)


def write_old(path: Path) -> None:
    torch.save(module(), path, _use_new_zipfile_serialization=False)


def write_script(path: Path) -> None:
    torch.jit.script(module()).save(path)


def write_cut(path: Path) -> None:
    torch.save(state(), path)
    path.write_bytes(path.read_bytes()[:-200])


def write_npz(path: Path) -> None:
    with path.open("wb") as file:
        np.savez(file, a=np.ones(3))


def write_zip(path: Path) -> None:
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("a.txt", "a")


def write_nothing_else(path: Path) -> None:
    torch.save({"epoch": 3, "curve": [1, 2]}, path)


def write_protocol(path: Path) -> None:
    torch.save(state(), path, pickle_protocol=4)


def write_whole_numbers(path: Path) -> None:
    torch.save({k: v.mul(9).to(torch.int8) for k, v in state().items()}, path)


def write_complex(path: Path) -> None:
    torch.save({k: v * 1j if v.ndim == 4 else v for k, v in state().items()}, path)


def write_other(path: Path) -> None:
    torch.save({"epoch": 1, "net": {**state(1, "model."), "model.head": torch.ones(1)}}, path)


def write_loss(path: Path) -> None:
    hyper = {"loss": nn.CrossEntropyLoss()}
    other = {"3.weight": torch.zeros(7, 4, 3, 3)}
    torch.save({"state_dict": {**state(), **other}, "hyper_parameters": hyper}, path)


SAVES = "torch.save(model.state_dict(), 'weights.pt')"


@pytest.mark.works(
    "a whole pickled module, TorchScript or a traced module as `--weights`",
    "refused: what it is, why, and the two lines of Python that save its weights",
)
@pytest.mark.parametrize(
    ("write", "says"),
    [
        (write_whole, f"is a pickled module (Sequential), and to load one runs code; {SAVES}"),
        (
            write_held,
            f"a pickled module under 'model' (Sequential); weights_only=False)['model'];{SAVES}",
        ),
        (write_traced, f"is a pickled module (GraphModule); {SAVES}"),
        (write_old, f"is a pickled module; {SAVES}"),
        (write_script, "a TorchScript archive; torch.jit.load('w.pt').state_dict()"),
        (write_cut, "cannot be read: it may be cut off at"),
        (write_npz, "NumPy"),
        (write_zip, "cannot be read"),
        (write_nothing_else, "is no state dict"),
        (write_protocol, "pickled by protocol 4"),
        (write_whole_numbers, "0.weight is int8 instead of float32"),
        (write_complex, "0.weight is complex64 instead of float32"),
        (write_loss, "in its 'state_dict': 1 of the wrong shape (3.weight is 7×4×3×3"),
        (write_other, "in its 'net.model': 1 unexpected (head)"),
        (lambda p: p.write_bytes(b"version https://git-lfs.github.com/spec/v1\n"), "git lfs pull"),
        (lambda p: p.write_text("<!doctype html><html>"), "a web page"),
        (lambda p: p.write_bytes(b"\x89HDF\r\n\x1a\n"), "HDF5"),
        (lambda p: p.write_bytes(pickle.dumps(3)), "pickled by protocol"),
        (lambda p: p.write_bytes(b""), "it is empty; get it again"),
        (lambda p: torch.save([1, 2], p), "is no state dict"),
        (lambda p: torch.save(torch.ones(3), p), "is no state dict"),
        (lambda p: torch.save(nn.ReLU(), p), "is a pickled module (ReLU)"),
    ],
)
def test_what_is_no_checkpoint_is_told_in_one_line(
    write: Callable[[Path], object], says: str, mine: str, run: Run, tmp_path: Path
) -> None:
    write(tmp_path / "w.pt")
    outcome = run("layers", "--network", mine, "--weights", "w.pt")
    for part in says.split(";"):
        assert_refused(outcome, part.strip())
    with pytest.raises(TextonError):
        load_network(mine, weights=tmp_path / "w.pt")


def test_the_two_lines_save_it_right(tmp_path: Path) -> None:
    write_whole(tmp_path / "w.pt")
    with pytest.raises(TextonError) as error:
        load_network(module(2), weights=tmp_path / "w.pt")
    lines = str(error.value).rpartition("weights: ")[2]
    lines = lines.replace("FILE", repr(str(tmp_path / "w.pt")))
    exec(lines.replace("'weights.pt'", repr(str(tmp_path / "right.pt"))), {"torch": torch})
    assert load_network(module(2), weights=tmp_path / "right.pt").weights_hash == hash_of()


class Scaled(nn.Module):
    """A layer that keeps part of what it computes with beside its tensors."""

    def __init__(self, scale: float) -> None:
        super().__init__()
        self.conv, self.scale = nn.Conv2d(3, 4, 3), scale

    def forward(self, x: Tensor) -> Tensor:
        made: Tensor = self.conv(x) * self.scale
        return made

    def get_extra_state(self) -> dict[str, float]:
        return {"scale": self.scale}

    def set_extra_state(self, state: dict[str, float]) -> None:
        self.scale = state["scale"]


def test_extra_state_is_loaded_as_it_is_part_of_the_network(tmp_path: Path) -> None:
    trained = Scaled(3.0)
    torch.save({"model": trained.state_dict()}, tmp_path / "w.pt")
    image = torch.rand(1, 3, 16, 16)
    loaded = load_network(Scaled(1.0), weights=tmp_path / "w.pt")
    assert torch.equal(
        loaded.encode(image, "conv")["conv"], load_network(trained).encode(image, "conv")["conv"]
    )
    assert loaded.module.scale == 3.0
    torch.save({"model": {**trained.state_dict(), "_extra_state": {}}}, tmp_path / "bad.pt")
    with pytest.raises(TextonError, match="does not fit Scaled: 'scale'"):
        load_network(Scaled(1.0), weights=tmp_path / "bad.pt")


def test_json_is_unchanged(mine: str, run: Run, tmp_path: Path) -> None:
    torch.save({"model": state()}, tmp_path / "w.pt")
    listed = json.loads(run("layers", "--network", mine, "--weights", "w.pt", "--json").out)
    assert [x["name"] for x in listed["layers"]] == ["0", "1", "2", "3"]
