"""Odd modules: what their forwards do beside computing, how their weights come about, what they
are when they are no network of images."""

from __future__ import annotations

import copy
import io
import json
import os
import random
import sys
import threading
import warnings
from collections.abc import Callable
from contextlib import nullcontext
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.nn.utils import parametrizations, prune
from torch.utils import checkpoint

import texton
from tests.helpers import EXAMPLES, Run, assert_refused
from texton import Network, TextonError
from texton.network.device import Compute, choose_compute
from texton.network.forward import Habits

CPU = Compute(torch.device("cpu"))


def image(side: int = 24) -> Tensor:
    return torch.rand(1, 3, side, side, generator=torch.Generator().manual_seed(1))


def plain() -> nn.Sequential:
    with torch.random.fork_rng():
        torch.manual_seed(0)
        convs = nn.Conv2d(3, 6, 3, padding=1), nn.Conv2d(6, 5, 3, padding=1)
    return nn.Sequential(convs[0], nn.ReLU(), convs[1], nn.ReLU())


class Around(nn.Module):
    """A plain network inside one whose forward does something of its own."""

    def __init__(self) -> None:
        super().__init__()
        self.net = plain()

    def forward(self, x: Tensor) -> Tensor:
        out: Tensor = self.net(x)
        return out


def picture(module: nn.Module, layer: str = "net.3", **options: Any) -> texton.Result:
    return texton.invert_filter(image(), Network(module), layer, 1, steps=4, **options)


class Ungraded(Around):
    @torch.no_grad()
    def forward(self, x: Tensor) -> Tensor:
        return super().forward(x)


class Inferring(Around):
    def forward(self, x: Tensor) -> Tensor:
        with torch.inference_mode():
            return super().forward(x)


class SwitchedOff(Around):
    def forward(self, x: Tensor) -> Tensor:
        torch.set_grad_enabled(False)
        return super().forward(x)


class Checkpointed(Around):
    def __init__(self, reentrant: bool) -> None:
        super().__init__()
        self.reentrant = reentrant

    def forward(self, x: Tensor) -> Tensor:
        for part in (self.net[:2], self.net[2:]):
            x = checkpoint.checkpoint(part, x, use_reentrant=self.reentrant)
        return x


@pytest.mark.works(
    "a forward under `torch.no_grad()` or `inference_mode`", "the graph is kept all the same"
)
@pytest.mark.works(
    "gradient checkpointing, of both kinds", "codes are taken from inside the checkpoints"
)
@pytest.mark.parametrize(
    "module",
    [
        *(Ungraded, Inferring, SwitchedOff),
        *(lambda: Checkpointed(True), lambda: Checkpointed(False)),
    ],
)
def test_forwards_that_hide_their_graph(module: Callable[[], nn.Module]) -> None:
    found, usual = picture(module()), picture(Around())
    assert torch.equal(found.image, usual.image) and found.trace == usual.trace
    assert torch.is_grad_enabled() and torch.no_grad.__enter__.__qualname__ == "no_grad.__enter__"


def test_a_tensor_that_is_detached_is_told() -> None:
    class Detached(Around):
        def forward(self, x: Tensor) -> Tensor:
            out: Tensor = self.net[2:](self.net[:2](x).detach())
            return out

    assert picture(Detached(), "net.1").steps == 4
    with pytest.raises(TextonError, match=r"no gradient passes from 'net.3<' of custom"):
        picture(Detached())


def test_checkpoints_elsewhere_are_left_alone() -> None:
    class Slow(Checkpointed):
        def forward(self, x: Tensor) -> Tensor:
            other = threading.Thread(target=train)
            other.start()
            other.join()
            return super().forward(x)

    trained = []

    def train() -> None:
        x = torch.ones(2, requires_grad=True)
        for reentrant in (True, False):
            checkpoint.checkpoint(torch.exp, x, use_reentrant=reentrant).sum().backward()
        trained.append(x.grad)

    usual = checkpoint.CheckpointFunction
    picture(Slow(True))
    assert checkpoint.CheckpointFunction is usual
    assert torch.allclose(trained[-1], torch.full((2,), 2 * torch.e))


def pruned() -> nn.Module:
    module = plain()
    prune.random_unstructured(module[0], "weight", 0.3)
    prune.l1_unstructured(module[0], "weight", 0.5)
    return module


def normed(*names: str) -> nn.Module:
    module = plain()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", FutureWarning)
        nn.utils.weight_norm(module[0])
        nn.utils.spectral_norm(module[2])
    return module


def parametrised() -> nn.Module:
    module = plain()
    parametrizations.weight_norm(module[0])
    parametrizations.spectral_norm(module[2])
    return module


@pytest.mark.works("pruned modules", "copied as they compute")
@pytest.mark.works(
    "weight norm, spectral norm, parametrizations, old and new", "copied as they compute"
)
@pytest.mark.parametrize("make", [pruned, normed, parametrised])
def test_weights_that_are_computed(make: Callable[[], nn.Module]) -> None:
    module = make()
    module(image())  # now they are no leaves of a graph
    network = Network(module)
    with torch.no_grad():
        for weight in module.parameters():
            weight.mul_(1.5)  # trained on, since the last forward
    network.encode(image(), "3")
    module.eval()
    expected = module(image()).detach()
    torch.testing.assert_close(network.encode(image(), "3")["3"], expected)
    assert list(network.layers) == ["0", "1", "2", "3"]  # no parametrizations
    state = set(module.state_dict())
    assert picture(module, "3").steps == 4 and set(module.state_dict()) == state
    torch.testing.assert_close(module(image()).detach(), expected)


class Keeping(Around):
    """What Grad-CAM classes do."""

    def __init__(self) -> None:
        super().__init__()
        self.last: Any = None
        self.seen: dict[str, list[Tensor]] = {"all": []}
        self.lock, self.log, self.math = threading.Lock(), sys.stderr, os

    def forward(self, x: Tensor) -> Tensor:
        with self.lock:
            self.last = self.net[:2](x)
            self.seen["all"].append(self.last)
            out: Tensor = self.net[2:](self.last)
            return out


@pytest.mark.works("a module that keeps activations, files or locks (Grad-CAM)", "copied")
def test_a_module_that_keeps_what_it_computes() -> None:
    module = Keeping()
    kept = module(image()), module.last
    assert torch.equal(picture(module).image, picture(Around()).image)
    assert module.last is kept[1] and len(module.seen["all"]) == 1


class Noted(nn.Conv2d):
    def get_extra_state(self) -> dict[str, int]:
        return {"steps": 7}

    def set_extra_state(self, state: Any) -> None:
        pass


@pytest.mark.works("weights made under `inference_mode`, layers with extra state", "work")
def test_extra_state_and_weights_of_inference() -> None:
    assert picture(nn.Sequential(Noted(3, 4, 3), nn.ReLU()), "1").steps == 4
    with torch.inference_mode():
        module = plain()
    assert torch.equal(picture(module, "3").image, picture(plain(), "3").image)


@pytest.mark.works("your own forward, backward and global hooks", "never called by texton")
def test_hooks_are_never_called() -> None:
    module, calls = plain(), []

    def called(*_: Any) -> None:
        calls.append(1)

    for part in module:
        part.register_forward_hook(called)
        part.register_forward_pre_hook(called)
        part.register_full_backward_hook(called)
    everywhere = nn.modules.module.register_module_forward_hook(called)
    try:
        found = picture(module, "3")
        assert calls == [] and torch.equal(found.image, picture(plain(), "3").image)
        module(image())
        assert len(calls) == 4 + 4 + 5
    finally:
        everywhere.remove()
    assert all(part._forward_hooks for part in module)


@pytest.mark.works(
    "a module whose forward reads what its own hooks kept", "they are kept in the copy"
)
def test_hooks_that_a_forward_needs() -> None:
    class Skips(Around):
        def __init__(self) -> None:
            super().__init__()
            self.kept: dict[str, Tensor] = {}
            self.up = nn.Conv2d(11, 4, 1)
            nn.init.constant_(self.up.bias, 1.0)
            self.net[1].register_forward_hook(self.keep)

        def keep(self, part: nn.Module, args: Any, output: Tensor) -> None:
            self.kept["skip"] = output

        def forward(self, x: Tensor) -> Tensor:
            out: Tensor = self.up(torch.cat([self.net(x), self.kept["skip"]], 1))
            return out

    module = Skips()
    assert picture(module, "up").steps == 4 and module.kept == {}


class Drawing(Around):
    def __init__(self) -> None:
        super().__init__()
        self.own = torch.Generator()
        self.drop = nn.Identity()

    def forward(self, x: Tensor) -> Tensor:
        x = F.dropout(self.net(x), 0.3, training=True) * torch.rand(1) * torch.rand(1).cpu()
        x = x * random.random() * np.random.rand() * torch.rand(1, generator=self.own)
        out: Tensor = self.drop(x)
        return out


@pytest.mark.works(
    "dropout in functional form, random layers", "every forward is given the same numbers"
)
def test_random_layers_give_the_same_picture_twice() -> None:
    module = Drawing()
    torch.manual_seed(3)
    before = torch.get_rng_state(), random.getstate(), module.own.get_state()
    first = picture(module, "drop")
    assert torch.equal(torch.get_rng_state(), before[0]) and random.getstate() == before[1]
    assert torch.equal(module.own.get_state(), before[2])
    torch.rand(5), random.random()
    again = picture(module, "drop")
    assert torch.equal(first.image, again.image) and first.trace == again.trace
    assert "random numbers" in first.settings["remarks"][0]
    assert "remarks" not in picture(Around()).settings


@pytest.mark.parametrize("name", ["cuda:1", "mps"])
def test_a_gpus_own_random_numbers_are_the_same_and_put_back(name: str) -> None:
    device, calls, module = torch.device(name), [], plain()
    backend = SimpleNamespace(
        get_rng_state=lambda *which: ("state", *which),
        set_rng_state=lambda *told: calls.append(("put back", *told)),
        manual_seed=lambda _: calls.append(("seeded",)),
        device=lambda which: nullcontext(),
    )
    which = () if name == "mps" else (device,)
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(torch, "get_device_module", lambda _: backend)
        with Habits(draws=True).kept(module, device, slopes=False):
            calls.append(("drawn",))
    assert calls == [("seeded",), ("drawn",), ("put back", ("state", *which), *which)]


class Unsteady(Around):
    def forward(self, x: Tensor) -> Tensor:
        out: Tensor = self.net(x * (1 + int.from_bytes(os.urandom(2)) / 2**16))
        return out


class Noisy(Around):
    def forward(self, x: Tensor) -> Tensor:
        print("shape", *x.shape)
        torch.set_default_dtype(torch.float64)
        torch.set_num_threads(3)
        torch.use_deterministic_algorithms(True)
        torch.backends.cudnn.benchmark = True
        out: Tensor = self.net(x)
        torch.manual_seed(0)
        return out


@pytest.mark.works(
    "a module that prints, seeds, or changes threads and flags", "put back; not on stdout"
)
def test_a_module_that_changes_the_process(capsys: pytest.CaptureFixture[str]) -> None:
    def process() -> list[Any]:
        flags = torch.are_deterministic_algorithms_enabled(), torch.backends.cudnn.benchmark
        return [torch.get_default_dtype(), torch.get_num_threads(), flags]

    before, drawn = process(), torch.get_rng_state()
    found = picture(Noisy())
    assert process() == before and torch.equal(torch.get_rng_state(), drawn)
    assert torch.equal(found.image, picture(Around()).image)
    told = capsys.readouterr()
    assert told.out == "" and 1 <= told.err.count("shape") <= 2  # not in every step


FILE = """
import os, torch
from torch import nn
import torch.nn.functional as F

class Net(nn.Module):
    def __init__(self):
        super().__init__()
        self.net = nn.Sequential(nn.Conv2d(3, 6, 3), nn.ReLU())
        self.aux = nn.Conv2d(6, 2, 1)

class Noisy(Net):
    @torch.no_grad()
    def forward(self, x):
        print("shape", *x.shape)
        return F.dropout(self.net(x), 0.5, training=True)

class Unsteady(Net):
    def forward(self, x):
        return self.net(x * (1 + os.urandom(1)[0]))

class Timed(Net):
    def forward(self, x, time):
        return self.net(x) * time

def traced(): return torch.jit.trace(Net().net, torch.rand(1, 3, 32, 32))
def noisy(): return Noisy(), {"mean": 0, "std": 1, "input_range": 1, "channels": 3}
def unsteady(): return Unsteady()
def timed(): return Timed()
def lazy(): return nn.Sequential(nn.LazyConv2d(4, 3), nn.ReLU())
def volumes(): return nn.Sequential(nn.Conv3d(3, 4, 3), nn.ReLU())
def signals(): return nn.Sequential(nn.Conv1d(3, 4, 3), nn.ReLU())
def meta(): return nn.Sequential(nn.Conv2d(3, 4, 3, device="meta"), nn.ReLU())
"""
CAT = EXAMPLES / "chelsea.jpg"


def call(run: Run, function: str, layer: str = "net.1", *more: object) -> Any:
    Path("mine.py").write_text(FILE)
    words = ("filter", CAT, f"{layer}:0", "--size", 24, "--steps", 2, "-o", f"{function}.png")
    return run(*words, "--network", f"mine.py:{function}", *more)


def test_a_noisy_module_by_the_command_line(run: Run) -> None:
    outcome = call(run, "noisy", "net.1", "--json")
    assert outcome.code == 0, outcome.err
    assert json.loads(outcome.out)["units"][0]["status"] == "ok"
    assert "random numbers in its forward" in outcome.err


@pytest.mark.works(
    "a module that draws numbers from nowhere", "said: the same seed gives other pictures"
)
def test_a_module_that_is_never_the_same_is_told(run: Run) -> None:
    outcome = call(run, "unsteady")
    assert outcome.code == 0 and "does not give the same picture" in outcome.err


@pytest.mark.works("a module on the meta device", "refused, and how to give it values")
@pytest.mark.works("`nn.LazyConv2d` that was never run", "refused, and how to run it once")
@pytest.mark.works(
    "networks of signals or volumes (`nn.Conv1d`, `nn.Conv3d`)", "refused, and how to wrap them"
)
@pytest.mark.works("a forward of two inputs", "refused, and the three lines that make it one")
@pytest.mark.works("a layer that the forward does not call", "named as such")
@pytest.mark.parametrize(
    ("function", "says"),
    [
        ("timed", "return self.net(x, time=…)`"),
        ("lazy", "never run: '0' (LazyConv2d)"),
        ("volumes", "nn.Conv3d, and texton shows networks of images"),
        ("signals", "its first convolution an nn.Conv1d"),
        ("meta", "is on the meta device, where '0' (Conv2d)"),
    ],
)
def test_what_is_refused_is_named(function: str, says: str, run: Run) -> None:
    assert_refused(call(run, function), says)


@pytest.mark.filterwarnings("ignore")
def test_a_traced_module_by_the_command_line(run: Run) -> None:
    outcome = call(run, "traced", "1", "--json")
    assert outcome.code == 0, outcome.err
    assert json.loads(outcome.out)["units"][0]["layer"] == "1"


def test_a_layer_that_is_not_called_is_named(run: Run) -> None:
    outcome = call(run, "unsteady", "aux")
    assert outcome.code == 2 and "'aux' is no layer" in outcome.err
    assert "does not call it in evaluation mode" in outcome.err


def test_the_wrapper_that_is_told_works() -> None:
    class Timed(Around):
        def forward(self, x: Tensor, time: float, scale: float = 1.0) -> Tensor:
            out: Tensor = self.net(x) * time * scale
            return out

    with pytest.raises(TextonError, match="also takes time, and") as refused:
        Network(Timed()).layer("net.3")
    lines = [part.strip(" `") for part in str(refused.value).partition("wrap it, ")[2].split(" / ")]
    source = "\n".join([lines[0], *(f"    {line}" for line in lines[1:])]).replace("…", "0.5")
    names: dict[str, Any] = {"nn": nn}
    exec(source, names)
    assert picture(names["Alone"](Timed()), "net.net.3").steps == 4


@pytest.mark.works("an int8-quantised module", "refused: no gradient passes through it")
@pytest.mark.filterwarnings("ignore")
def test_quantised_modules_are_refused() -> None:
    module = nn.Sequential(torch.ao.nn.quantized.Conv2d(3, 4, 3), nn.ReLU())
    with pytest.raises(TextonError, match=r"is quantised to whole numbers .'0' is a Conv2d"):
        Network(module)


class Block(Around):
    """A function, a branch, a loop, a sum: what graphs are made of."""

    def __init__(self) -> None:
        super().__init__()
        self.act = nn.ReLU()
        self.more = nn.Conv2d(5, 5, 3, padding=1, stride=2)

    def forward(self, x: Tensor) -> Tensor:
        x = self.act(self.net(x))
        if x.shape[1] > 100:
            x = x * 2
        for _ in range(2):
            x = x + 0.5 * F.relu(x)
        out: Tensor = self.act(self.more(x)) + F.avg_pool2d(x, 2)
        return out


def through_a_file(module: Any) -> Any:
    file = io.BytesIO()
    torch.jit.save(module, file)
    file.seek(0)
    return torch.jit.load(file)


@pytest.mark.works("TorchScript and traced modules", "run by their graph: every part is a layer")
@pytest.mark.parametrize("through", [lambda x: x, through_a_file])
@pytest.mark.parametrize("how", [torch.jit.script, lambda x: torch.jit.trace(x, image())])
@pytest.mark.filterwarnings("ignore")
def test_scripted_modules_have_layers(how: Any, through: Any) -> None:
    module = Block().eval()
    scripted, usual = through(how(module)), Network(module)
    network = Network(scripted)
    assert [(x.name, x.kind) for x in network.layers.values()] == [
        (x.name, x.kind) for x in usual.layers.values()
    ]
    for name in ("net.1", "more", "act#2"):
        assert (network.layers[name].kind, network.layers[name].stride) == (
            usual.layers[name].kind,
            usual.layers[name].stride,
        )
        found, expected = network.encode(image(), name)[name], usual.encode(image(), name)[name]
        torch.testing.assert_close(found, expected)
    before = copy.deepcopy(scripted.state_dict())
    assert picture(scripted, "act#2").error == pytest.approx(picture(module, "act#2").error, 1e-3)
    assert all(torch.equal(x, before[key]) for key, x in scripted.state_dict().items())


@pytest.mark.filterwarnings("ignore")
def test_a_script_that_cannot_be_followed_is_named() -> None:
    def relu(x: Tensor) -> Tensor:  # another than torch's
        return x * 2

    class Other(Around):
        def forward(self, x: Tensor) -> Tensor:
            return relu(self.net(x))

    with pytest.raises(
        TextonError, match=r"TorchScript whose graph cannot be followed .* give the"
    ):
        Network(torch.jit.script(Other()))


class Complex(Around):
    def __init__(self) -> None:
        super().__init__()
        self.turn = nn.Parameter(torch.randn(6, 5, dtype=torch.complex64))
        self.size = nn.Identity()

    def forward(self, x: Tensor) -> Tensor:
        code = self.net[:2](x).to(torch.complex64)
        out: Tensor = self.size(torch.einsum("bchw,cd->bdhw", code, self.turn).abs())
        return out


@pytest.mark.works("complex weights", "stay complex, in float32")
def test_complex_weights_stay_complex() -> None:
    module = Complex()
    network = Network(module)
    torch.testing.assert_close(network.encode(image(), "size")["size"], module(image()).detach())
    half = network.encode(image(), "size", choose_compute("cpu", torch.bfloat16))["size"]
    assert network.suited(choose_compute("cpu", torch.bfloat16)).dtype == torch.bfloat16
    torch.testing.assert_close(half.float(), module(image()).detach(), rtol=0.1, atol=0.1)


@pytest.mark.works(
    "weights in float64, float16 or bfloat16", "in float32, where that gives the same codes"
)
def test_a_cast_that_changes_codes_is_refused() -> None:
    assert picture(plain().double(), "3").steps == 4

    class Fine(Around):  # what float32 has no digits for
        def forward(self, x: Tensor) -> Tensor:
            out: Tensor = self.net((x + 1e8) - 1e8)
            return out

    with pytest.raises(TextonError, match=r"other codes in float32 than in its own float64"):
        Network(Fine().double()).layer("net.3")


class Coordinates(Around):
    """CoordConv: the grid is float32, whatever the image is."""

    def __init__(self) -> None:
        super().__init__()
        self.first = nn.Conv2d(4, 3, 1)

    def forward(self, x: Tensor) -> Tensor:
        grid = torch.linspace(-1, 1, x.shape[-1]).expand(len(x), 1, x.shape[2], -1)
        out: Tensor = self.net(self.first(torch.cat([x, grid.to(x.device)], 1)))
        return out


@pytest.mark.works(
    "a float32 grid made in the forward (CoordConv)", "in float32 where bfloat16 fails"
)
def test_a_network_that_fails_in_bfloat16_is_computed_in_float32(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("texton.network.device._has_bfloat16", lambda _: True)
    found = picture(Coordinates())
    assert found.settings["dtype"] == "float32"
    assert found.settings["dtype_because"].startswith("bfloat16 fails: ")
    assert picture(Around()).settings["dtype"] == "bfloat16"
    assert picture(Around(), dtype="float32").settings["dtype"] == "float32"
    with pytest.raises(TextonError, match=r"cannot be computed in bfloat16 .*--dtype float32"):
        picture(Coordinates(), dtype="bfloat16")


def test_dtypes_by_the_command_line(run: Run) -> None:
    for name in ("bfloat16", "float32"):
        outcome = call(run, "unsteady", "net.1", "--dtype", name, "--force", "--json")
        assert outcome.code == 0, outcome.err
        assert f"dtype: {name}" in run("info", "unsteady.png").out
    assert_refused(call(run, "unsteady", "net.1", "--dtype", "float46"), "did you mean 'float16'")


@pytest.mark.works("batch norm without running statistics", "images are solved one by one")
def test_networks_that_mix_a_batch_are_solved_one_by_one() -> None:
    bare = plain().insert(1, nn.BatchNorm2d(6, track_running_stats=False))

    class Mixing(Around):
        def forward(self, x: Tensor) -> Tensor:
            out: Tensor = self.net(x - x.mean(0))
            return out

    gpu = torch.device("cpu")
    for module, alone in ((bare, True), (Mixing(), True), (Around(), False), (plain(), False)):
        network = Network(module)
        assert not network.suited(Compute(gpu)).alone  # a processor takes one at a time anyway
        with pytest.MonkeyPatch.context() as patched:
            patched.setattr("texton.network.device._SIDE_BY_SIDE", {"cpu": 8})
            told = Network(module).suited(Compute(gpu))
            assert (told.alone, told.batch) == (alone, 1 if alone else 8)
            assert told.exact().alone == alone


def test_the_paper_preset_is_float32() -> None:
    with pytest.raises(TextonError, match="the paper preset is computed in float32"):
        picture(plain(), "3", preset="paper", dtype="bfloat16")


def test_a_format_without_room_for_the_codes_is_told() -> None:
    class Huge(Around):
        def forward(self, x: Tensor) -> Tensor:
            out: Tensor = self.net(x * 1e6)
            return out

    with pytest.raises(TextonError, match=r"float16 \(its numbers are too large\)"):
        picture(Huge(), dtype="float16")
    assert picture(Huge()).steps == 4
