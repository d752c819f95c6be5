"""Checkpoints of networks that were trained on other classes, or got another head for it."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from torch import Tensor, nn

import texton
from tests.helpers import EXAMPLES, Run, assert_refused
from texton import TextonError, load_network

SOURCE = """
from tests.network.test_heads import Net, Gated, Pointwise
def make():
    return Net(100)
def gated():
    return Gated()
def pointwise():
    return Pointwise(100)
"""
State = dict[str, Tensor]


class Aux(nn.Module):
    """What helps in training, and is not run in evaluation."""

    def __init__(self, classes: int) -> None:
        super().__init__()
        self.conv, self.fc = nn.Conv2d(4, 3, 1), nn.Linear(3, classes)

    def forward(self, x: Tensor) -> Tensor:
        made: Tensor = self.fc(self.conv(x).mean((2, 3)))
        return made


class Net(nn.Module):
    """Two convolutions, an auxiliary head between them, a head of two layers."""

    def __init__(self, classes: int) -> None:
        super().__init__()
        torch.manual_seed(classes)
        self.one, self.aux = nn.Conv2d(3, 4, 3), Aux(classes)
        self.two, self.relu, self.pool = nn.Conv2d(4, 6, 3), nn.ReLU(), nn.AdaptiveAvgPool2d(1)
        self.head = nn.Sequential(nn.Linear(6, 8), nn.ReLU(), nn.Linear(8, classes))

    def forward(self, x: Tensor) -> Tensor | tuple[Tensor, Tensor]:
        x = self.one(x)
        aux = self.aux(x) if self.training else None
        out: Tensor = self.head(self.pool(self.relu(self.two(x))).flatten(1))
        return out if aux is None else (out, aux)


class Gated(nn.Module):
    """Its linear layer is the last that it has, and not the last that it runs."""

    def __init__(self) -> None:
        super().__init__()
        self.one, self.two, self.gate = nn.Conv2d(3, 4, 3), nn.Conv2d(4, 5, 3), nn.Linear(4, 4)

    def forward(self, x: Tensor) -> Tensor:
        x = self.one(x)
        out: Tensor = self.two(x * self.gate(x.mean((2, 3)))[..., None, None])
        return out.mean((2, 3))


class Pointwise(nn.Module):
    """A head that is a convolution, as SqueezeNet's and those of segmentation."""

    def __init__(self, classes: int) -> None:
        super().__init__()
        self.one, self.head = nn.Conv2d(3, 4, 3), nn.Conv2d(4, classes, 1)

    def forward(self, x: Tensor) -> Tensor:
        out: Tensor = self.head(self.one(x).relu())
        return out


def state(classes: int = 7) -> State:
    return dict(Net(classes).state_dict())


def without(*names: str, classes: int = 100, **more: Tensor) -> State:
    kept = {k: x for k, x in state(classes).items() if not k.startswith(names)}
    return kept | {key.replace("__", "."): x for key, x in more.items()}


def other_head(classes: int = 7) -> State:
    """A dropout and one linear layer in the place of the head."""
    weight, bias = torch.randn(classes, 6), torch.zeros(classes)
    return without("head.", head__1__weight=weight, head__1__bias=bias)


@pytest.fixture
def mine(tmp_path: Path) -> str:
    (tmp_path / "mine.py").write_text(SOURCE)
    return str(tmp_path / "mine.py")


RETOLD: dict[str, tuple[Callable[[], State], str]] = {
    "rows": (state, "aux.fc and head.2 have the file's 7 classes instead of 100"),
    "more rows": (
        lambda: state(1000),
        "aux.fc and head.2 have the file's 1,000 classes instead of 100",
    ),
    "prefixed": (
        lambda: {f"model.{key}": x for key, x in state().items()},
        "'model.' taken off its keys, aux.fc and head.2 have the file's 7 classes instead of 100",
    ),
    "no auxiliary head": (
        lambda: without("aux.", classes=7),
        "head.2 has the file's 7 classes instead of 100, aux is set aside (not in the file)",
    ),
    "no head": (lambda: without("head."), "head is set aside (not in the file)"),
    "no last layer": (lambda: without("head.2."), "head.2 is set aside (not in the file)"),
    "another head": (
        other_head,
        "head is set aside (the file has head.1.weight, head.1.bias there)",
    ),
    "a head of one layer": (
        lambda: without("head.", head__weight=torch.ones(7, 6), head__bias=torch.ones(7)),
        "head is set aside (the file has head.weight, head.bias there)",
    ),
    "a deeper head": (
        lambda: without("head.2.", head__2__0__weight=torch.ones(9, 8)),
        "head.2 is set aside (the file has head.2.0.weight there)",
    ),
    "a head of other widths": (
        lambda: without(
            "head.", head__0__weight=torch.ones(5, 6), head__2__weight=torch.ones(7, 5)
        ),
        "head is set aside (the file has head.0.weight, head.2.weight there)",
    ),
}


@pytest.mark.works(
    "a network that was trained on other classes: `torchvision:resnet50 --weights mine.pt`",
    "its heads take the file's number of classes; a head that the file has otherwise or not at "
    "all is set aside where no layer depends on it; either is said",
)
@pytest.mark.parametrize("name", RETOLD)
def test_layers_are_the_files_whatever_its_head(
    name: str, mine: str, run: Run, tmp_path: Path
) -> None:
    make, said = RETOLD[name]
    trained = make()
    torch.save(trained, tmp_path / "w.pt")
    listed = run("layers", "--network", f"{mine}:make", "--weights", "w.pt")
    assert listed.code == 0, listed.err
    assert [x for x in listed.err.splitlines() if x.startswith("w.pt: ")] == [f"w.pt: {said}"]
    given = Net(100)
    before = load_network(given).weights_hash
    loaded = load_network(given, weights="w.pt")
    assert loaded.details["checkpoint"] == said
    assert load_network(given).weights_hash == before
    same = Net(100)
    plain = {key.removeprefix("model."): x for key, x in trained.items()}
    same.load_state_dict({k: x for k, x in plain.items() if k.startswith(("one", "two"))}, False)
    image = torch.rand(1, 3, 24, 24)
    names = list(loaded.layers)
    assert names == list(load_network(same).layers) == ["one", "two", "relu", "pool"]
    codes, wanted = loaded.encode(image, names), load_network(same).encode(image, names)
    assert all(torch.equal(codes[x], wanted[x]) for x in names)


def test_the_network_is_the_one_that_was_trained(tmp_path: Path) -> None:
    torch.save(state(), tmp_path / "w.pt")
    loaded = load_network(Net(100), weights=tmp_path / "w.pt")
    assert loaded.weights_hash == load_network(Net(7)).weights_hash
    assert loaded.module.head[2].out_features == 7
    assert loaded.module(torch.rand(1, 3, 24, 24))[0].shape[-1] == 7


def test_nothing_random_is_left_where_a_head_is_set_aside(tmp_path: Path) -> None:
    path = tmp_path / "w.pt"
    torch.save(without("head.", "aux."), path)
    first, second = (load_network(Net(classes), weights=path) for classes in (100, 50))
    assert first.weights_hash == second.weights_hash
    assert {key.partition(".")[0] for key in first.module.state_dict()} == {"one", "two"}


def test_it_is_recorded_in_the_picture(mine: str, run: Run, tmp_path: Path) -> None:
    torch.save({"net": state()}, tmp_path / "w.pt")
    words = ("filter", EXAMPLES / "chelsea.jpg", "two:1", "--size", 32, "--steps", 1, "-o", "x.png")
    made = run(*words, "--network", f"{mine}:make", "--weights", "w.pt")
    assert made.code == 0, made.err
    told = texton.read_settings(tmp_path / "x.png") or {}
    assert told["checkpoint"] == "net, aux.fc and head.2 have the file's 7 classes instead of 100"


def test_an_exact_fit_goes_first_and_several_are_named(mine: str, run: Run) -> None:
    words = ("layers", "--network", f"{mine}:make", "--weights")
    torch.save({"old": state(100), "new": state(7)}, "w.pt")
    assert "w.pt: old\n" in run(*words, "w.pt").err
    assert "w.pt::new: new, aux.fc and head.2 have the file's 7" in run(*words, "w.pt::new").err
    torch.save({"model": state(7), "model_ema": {k: x + 1 for k, x in state(7).items()}}, "w.pt")
    assert_refused(run(*words, "w.pt"), "holds 2 that fit, model, model_ema: choose one")
    assert run(*words, "w.pt::model_ema").code == 0


REFUSED: dict[str, tuple[str, Callable[[], State], str]] = {
    "other columns": (
        "make",
        lambda: state(100) | {"head.2.weight": torch.ones(100, 9)},
        "1 of the wrong shape (head.2.weight is 100×9 instead of 100×8)",
    ),
    "rows of the bias alone": (
        "make",
        lambda: state(100) | {"head.2.bias": torch.ones(7)},
        "1 of the wrong shape (head.2.bias",
    ),
    "rows before the end": (
        "make",
        lambda: state(100) | {"head.0.weight": torch.ones(5, 6), "head.0.bias": torch.ones(5)},
        "2 of the wrong shape (head.0.weight",
    ),
    "heads of other numbers of classes": (
        "make",
        lambda: state(7) | {"aux.fc.weight": torch.ones(6, 3), "aux.fc.bias": torch.ones(6)},
        "4 of the wrong shape (aux.fc.weight",
    ),
    "no first layer of the head": ("make", lambda: without("head.0."), "2 missing (head.0.weight"),
    "whole numbers": (
        "make",
        lambda: state(7) | {"head.2.weight": torch.ones(7, 8, dtype=torch.int8)},
        "1 of the wrong kind (head.2.weight is int8",
    ),
    "no convolution": ("make", lambda: without("two."), "2 missing (two.weight"),
    "nobody's key": ("make", lambda: state(7) | {"loss": torch.ones(1)}, "1 unexpected (loss)"),
    "a convolution's rows": (
        "make",
        lambda: state(7) | {"two.weight": torch.ones(9, 4, 3, 3), "two.bias": torch.ones(9)},
        "6 of the wrong shape",
    ),
    "what layers depend on": (
        "gated",
        lambda: {k: x for k, x in Gated().state_dict().items() if "gate" not in k},
        "2 missing (gate.weight, gate.bias)",
    ),
    "a head that gives a map": (
        "pointwise",
        lambda: {k: x for k, x in Pointwise(7).state_dict().items() if "head" not in k},
        "2 missing (head.weight, head.bias)",
    ),
}


@pytest.mark.parametrize("name", REFUSED)
def test_anything_else_is_refused(name: str, mine: str, run: Run) -> None:
    function, make, says = REFUSED[name]
    torch.save(make(), "w.pt")
    words = ("layers", "--network", f"{mine}:{function}", "--weights", "w.pt")
    assert_refused(run(*words), says)


def test_a_convolution_of_one_pixel_is_a_head(mine: str, run: Run) -> None:
    torch.save(Pointwise(7).state_dict(), "w.pt")
    outcome = run("layers", "--network", f"{mine}:pointwise", "--weights", "w.pt")
    assert "w.pt: head has the file's 7 classes instead of 100\n" in outcome.err
    assert outcome.out.splitlines()[2].split()[:3] == ["head", "conv", "7"]


def test_a_script_has_no_other_heads(tmp_path: Path) -> None:
    torch.save(Pointwise(7).state_dict(), tmp_path / "w.pt")
    scripted = torch.jit.script(Pointwise(100))
    with pytest.raises(TextonError, match="2 of the wrong shape"):
        load_network(scripted, weights=tmp_path / "w.pt")


@pytest.mark.parametrize(
    ("name", "head"),
    [
        ("squeezenet1_1", "classifier.1"),
        pytest.param("resnet18", "fc", marks=pytest.mark.slow),
    ],
)
@pytest.mark.slow
def test_of_torchvision(name: str, head: str, tmp_path: Path) -> None:
    from torchvision import models

    trained = models.get_model(name, num_classes=10)
    torch.save(trained.state_dict(), tmp_path / "mine.pt")
    loaded = load_network(f"torchvision:{name}", weights=tmp_path / "mine.pt")
    assert loaded.details["checkpoint"] == f"{head} has the file's 10 classes instead of 1,000"
    assert loaded.weights_hash == load_network(trained).weights_hash
