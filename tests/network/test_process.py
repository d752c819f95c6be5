"""Texton's results, and the process, beside a stranger's code: its files and its forwards."""

from __future__ import annotations

import json
import random
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

import texton
from tests.helpers import EXAMPLES, Run, assert_refused
from texton import Network, TextonError, load_network

CAT = EXAMPLES / "chelsea.jpg"
MODULE = """
import argparse, random, sys, numpy, torch
from torch import nn
{line}
def net():
    {inner}
    return nn.Sequential(nn.Conv2d(3, 4, 3, padding=1), nn.ReLU())
made = net()
"""


def process() -> list[Any]:
    flags = torch.are_deterministic_algorithms_enabled(), torch.get_num_threads()
    numbers = random.getstate(), np.random.get_state()[1].tolist(), torch.get_rng_state().tolist()
    kinds = torch.is_grad_enabled(), torch.get_default_dtype(), torch.get_default_device()
    return [flags, numbers, kinds]


@pytest.mark.works(
    "a file that seeds, prints, reads `sys.argv`, or switches gradients, dtypes or devices",
    "undone: pictures and stdout stay as they are",
)
@pytest.mark.parametrize(
    "line",
    [
        "torch.set_grad_enabled(False)",
        "torch.set_default_device('meta')",
        "torch.use_deterministic_algorithms(True)",
        "print('hello'); torch.manual_seed(5); random.seed(5); numpy.random.seed(5)",
        "argparse.ArgumentParser().parse_args(); sys.stdout.write('hello')",
    ],
)
def test_a_file_leaves_the_process_alone(line: str, run: Run) -> None:
    inner = "torch.set_default_device(None)"
    Path("mine.py").write_text(MODULE.format(line=line, inner=inner))
    Path("plain.py").write_text(MODULE.format(line="", inner="pass"))
    before = process()
    found = []
    for name in ("mine", "plain"):
        words = (CAT, "1:0", "--network", f"{name}.py:net", "--size", 24, "--steps", 1)
        outcome = run("filter", *words, "-o", f"{name}.png", "--json")
        assert outcome.code == 0, outcome.err
        found.append(json.loads(outcome.out)["units"][0]["error"])
        assert process() == before
    assert found[0] == found[1]


@pytest.mark.works("a module that lies in a file under a name", "as what a function returns")
def test_a_module_in_a_file(run: Run) -> None:
    Path("mine.py").write_text(MODULE.format(line="", inner="pass"))
    first, again, by_function = (load_network(f"mine.py:{x}") for x in ("made", "made", "net"))
    assert first.weights_hash == again.weights_hash == by_function.weights_hash
    assert list(first.layers) == ["0", "1"]


class Around(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.net = nn.Sequential(nn.Conv2d(3, 4, 3, padding=1), nn.ReLU())
        self.last = nn.Identity()

    def forward(self, x: Tensor) -> Tensor:
        out: Tensor = self.last(self.net(x))
        return out


class Seeding(Around):
    def forward(self, x: Tensor) -> Tensor:
        print("hello")
        torch.manual_seed(0)  # where texton's own tests of a forward might start as well
        torch.set_default_dtype(torch.float64)
        return super().forward(x)


def test_a_forward_leaves_the_process_alone(capsys: pytest.CaptureFixture[str]) -> None:
    for module in (Seeding(), Seeding().double()):
        torch.manual_seed(0)
        before = process()
        network = load_network(module)
        network.encode(torch.rand(1, 3, 24, 24), "last")
        torch.manual_seed(0)
        assert process() == before
        torch.rand(3)
        before = process()
        network.encode(torch.ones(1, 3, 24, 24), "last")
        assert process() == before and "draws or seeds" in network.remarks[0]
    assert capsys.readouterr().out == ""


class Drawing(Around):
    def __init__(self, own: Any) -> None:
        super().__init__()
        self.own = own

    def forward(self, x: Tensor) -> Tensor:
        draw = getattr(self.own, "random", None) or self.own.rand
        out: Tensor = self.last(self.net(x) * (1 + float(draw())))
        return out


@pytest.mark.parametrize("own", [np.random.default_rng, np.random.RandomState, random.Random])
def test_own_generators_are_started_anew(own: Callable[[], Any]) -> None:
    module, image = Drawing(own()), torch.rand(1, 3, 24, 24)
    codes = [Network(module).encode(image, "last")["last"] for _ in range(2)]
    other = Drawing(own())
    other.load_state_dict(module.state_dict())
    codes.append(Network(other).encode(image, "last")["last"])
    assert torch.equal(codes[0], codes[1]) and torch.equal(codes[0], codes[2])
    assert "draws or seeds" in Network(module).remarks[0]


class Dropping(Around):
    def forward(self, x: Tensor) -> Tensor:
        out: Tensor = self.last(F.dropout(self.net(x), 0.5, True))
        return out


@pytest.mark.filterwarnings("ignore")
def test_drawing_modules_of_other_kinds_are_taken() -> None:
    image = torch.rand(1, 3, 24, 24)
    for module in (Dropping().double(), torch.jit.script(Dropping())):
        network = Network(module)
        first, again = (network.encode(image, "last")["last"] for _ in range(2))
        assert torch.equal(first, again) and bool((first == 0).any())


@pytest.mark.filterwarnings("ignore")
def test_a_frozen_script_is_named() -> None:
    frozen = torch.jit.freeze(torch.jit.script(Around().eval()))
    with pytest.raises(TextonError, match=r"TorchScript .*it has no parts: frozen"):
        Network(frozen)


def test_hooks_that_are_left_out_are_told() -> None:
    module = Around()
    assert Network(module).remarks == ()
    module.net.register_full_backward_hook(lambda *_: None)
    assert Network(module).remarks == ()
    module.net[0].register_forward_pre_hook(lambda _, args: (2 * args[0],))
    assert "hooks of its own" in Network(module).remarks[0]
    nn.utils.parametrizations.weight_norm(module.net[0])
    plain = Around()
    nn.utils.parametrizations.weight_norm(plain.net[0])
    assert Network(plain).remarks == ()


class Spectral(Around):
    """Frequencies written into a tensor made for them, as in Fourier neural operators."""

    def forward(self, x: Tensor) -> Tensor:
        given = torch.fft.rfft2(x)
        kept = torch.zeros(given.shape, dtype=given.dtype)
        kept[:, :, :4, :4] = given[:, :, :4, :4]
        out: Tensor = self.last(torch.fft.irfft2(kept, s=x.shape[2:]))
        return out


class Written(Around):
    def __init__(self) -> None:
        super().__init__()
        self.register_buffer("held", torch.ones(1, 3, 1, 1))

    def forward(self, x: Tensor) -> Tensor:
        room = torch.zeros_like(self.held).expand(x.shape).contiguous()
        room[:, :2].copy_(x[:, :2])
        out: Tensor = self.last(room)
        return out


@pytest.mark.parametrize("module", [Spectral, Written])
def test_tensors_that_are_written_to_hold_the_image(module: Callable[[], nn.Module]) -> None:
    assert list(Network(module()).layers) == ["last"]


def test_what_is_the_same_for_every_image_is_named() -> None:
    class Constant(Around):
        def forward(self, x: Tensor) -> Tensor:
            out: Tensor = self.last(self.net[0].weight)
            return out

    with pytest.raises(TextonError, match="no module gives feature maps; 'last' gives a tensor"):
        Network(Constant()).layer("last")


def test_a_batch_that_is_a_dict_is_told(run: Run) -> None:
    Path("mine.py").write_text(
        MODULE.format(line="", inner="pass")
        + "class Dict(nn.Sequential):\n"
        + "    def forward(self, batch): return super().forward(batch.images)\n"
        + "def batched(): return Dict(*net())\n"
    )
    assert_refused(run("layers", "--network", "mine.py:batched"), "anything but one tensor")


def test_attributes_that_are_no_colours_are_set_aside() -> None:
    module = Around()
    module.mean, module.std = 3.0, 2.0
    found = load_network(module)
    assert found.preprocessing["mean"] == [0.0] * 3
    assert "mean 0 (its attribute is no colour" in found.details["assumed"]
    module.mean, module.input_range = 127.5, 255
    assert load_network(module).preprocessing["mean"] == [127.5] * 3


def test_complex_images_are_looked_at() -> None:
    class Complex(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.conv, self.last = nn.Conv2d(3, 4, 3, dtype=torch.complex64), nn.ReLU()

        def forward(self, x: Tensor) -> Tensor:
            out: Tensor = self.last(self.conv(((x - 0.5) / 0.25).to(torch.complex64)).abs())
            return out

    assert "mean 0.5, std 0.25" in load_network(Complex()).details["inside"]
    assert texton.load_network(Around()).details.get("inside") is None


class Recalling(Around):
    """A hidden state, a counter, a running mean, a list: a forward begins with the last one's."""

    def __init__(self) -> None:
        super().__init__()
        self.hidden: Tensor | None = None
        self.count, self.seen = 0, {"all": [torch.zeros(1)]}
        self.register_buffer("mean", torch.zeros(()))

    def forward(self, x: Tensor) -> Tensor:
        code = self.net(x)
        self.hidden = code if self.hidden is None else self.hidden * 0.5 + code
        self.count += 1
        self.mean += 0.1
        self.seen["all"].append(code)
        out: Tensor = self.last(self.hidden * self.count + self.mean + len(self.seen["all"]))
        return out


@pytest.mark.works(
    "a module that keeps something from one image to the next (hidden states, counters)",
    "it forgets: every image is its first, which is told",
)
def test_every_image_is_a_module_s_first(run: Run) -> None:
    module, image = Recalling(), torch.rand(1, 3, 24, 24)
    network = Network(module)
    first, again = (network.encode(image, "last")["last"] for _ in range(2))
    network.encode(torch.rand(1, 3, 32, 32), "last")  # of another size than what it kept
    pictures = [texton.invert_filter(image, network, "last", 1, steps=3).image for _ in range(2)]
    assert torch.equal(first, again) and torch.equal(*pictures)
    assert module.count == 0 and module.hidden is None and len(module.seen["all"]) == 1
    torch.testing.assert_close(first, module(image).detach())
    assert any("keeps something" in x for x in network.remarks)


def test_what_is_kept_and_never_read_is_not_told() -> None:
    class Keeping(Around):
        def forward(self, x: Tensor) -> Tensor:
            self.kept = self.net(x)
            out: Tensor = self.last(self.kept)
            return out

    network = Network(Keeping())
    assert list(network.layers) == ["net.0", "net.1", "net", "last"] and network.remarks == ()


def test_codes_of_nan_are_the_same_codes() -> None:
    class Undefined(Around):
        def forward(self, x: Tensor) -> Tensor:
            out: Tensor = self.last(torch.log(-1 - self.net(x)))
            return out

    assert Network(Undefined()).remarks == ()


def test_rectified_codes_that_only_the_network_gives_are_layers() -> None:
    class Pyramid(Around):
        def forward(self, x: Tensor) -> Any:
            code = self.net[0](x)
            return {"p2": F.relu(code), "p3": F.avg_pool2d(code, 2), "same": code}

    network, image = Network(Pyramid()), torch.rand(1, 3, 24, 24)
    assert list(network.layers) == ["net.0", "@p2", "@p3"]
    codes = network.encode(image, ["net.0", "@p2"])
    torch.testing.assert_close(codes["@p2"], codes["net.0"].relu())


def test_rounding_is_no_normalisation() -> None:
    class Rounding(Around):
        def forward(self, x: Tensor) -> Tensor:
            return super().forward((x * 255).round() / 255)

    assert "inside" not in load_network(Rounding()).details
