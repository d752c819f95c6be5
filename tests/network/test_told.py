"""What a network is told of its images: what it says itself, and what it does to them itself."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn

from tests.helpers import EXAMPLES, Run, assert_refused
from texton import load_network
from texton.network.inside import look_inside

CAT = EXAMPLES / "chelsea.jpg"
OWN = """
import numpy as np
import torch
from torch import nn

class Scale(nn.Module):
    def __init__(self, mean, std, channels=64):
        super().__init__()
        self.channels = channels
        self.register_buffer("mean", torch.tensor(mean).view(1, -1, 1, 1))
        self.register_buffer("std", torch.tensor(std).view(1, -1, 1, 1))
        self.features = nn.Sequential(nn.Conv2d(3, 4, 3), nn.ReLU())

    def forward(self, x):
        return self.features((x - self.mean) / self.std)

class Saying(Scale):
    def forward(self, x):
        return self.features(x)

class Transform:
    mean, std = [0.5, 0.4, 0.3], np.array([0.2, 0.2, 0.1])

class Steps:
    transforms = [object(), Transform()]

def normalises(): return Scale([0.5, 0.4, 0.3], [0.2, 0.2, 0.1])
def bytes_inside(): return Scale([120.0, 110.0, 100.0], [60.0, 60.0, 60.0])
def says(): return Saying([0.5, 0.4, 0.3], [0.2, 0.2, 0.1], 3)
def says_other(): return Saying([0.5] * 64, [-1.0] * 64)
def transform(): return Saying([0.0] * 5, [0.0] * 5), Steps()
def nothing_beside(): return nn.Sequential(nn.Conv2d(3, 4, 3)), None
def folded(): return nn.Sequential(nn.PixelUnshuffle(2), nn.Conv2d(12, 4, 3))
def first_norm():
    norm = nn.BatchNorm2d(3)
    norm.running_mean.fill_(0.5)
    return nn.Sequential(norm, nn.Conv2d(3, 4, 3))
def of_numpy():
    told = {"mean": np.full(3, 0.5), "std": torch.ones(1), "channels": np.int64(3)}
    return nn.Sequential(nn.Conv2d(3, 4, 3)), told

def a_class(): return Scale
def a_function(): return lambda x: x
def a_state(): return nn.Conv2d(3, 4, 3).state_dict()
def a_list(): return [nn.Conv2d(3, 4, 3)]
def an_optimizer(): return nn.Conv2d(3, 4, 3), object()
def with_arguments(config): return nn.Conv2d(3, 4, 3)
def a_word(): return nn.Conv2d(3, 4, 3), {"mean": "imagenet"}
def a_pair(): return nn.Conv2d(3, 4, 3), {"input_range": (0, 255)}
def a_half(): return nn.Conv2d(3, 4, 3), {"channels": 2.5}
"""


@pytest.fixture
def own(tmp_path: Path) -> Path:
    (tmp_path / "own.py").write_text(OWN)
    return tmp_path / "own.py"


def close(told: dict[str, Any], mean: list[float], std: list[float], white: float = 1.0) -> bool:
    same = np.allclose(told["mean"], mean, atol=1e-5) and np.allclose(told["std"], std, atol=1e-5)
    return same and told["input_range"] == white and told["channels"] == 3


PLAIN = ([0.0] * 3, [1.0] * 3)
SAID = ([0.5, 0.4, 0.3], [0.2, 0.2, 0.1])


@pytest.mark.parametrize(
    ("function", "mean", "std", "white", "tells"),
    [
        pytest.param(
            *("normalises", *PLAIN, 1.0, "normalises images itself (mean 0.5 0.4 0.3, std"),
            marks=pytest.mark.works(
                "a network that normalises its images itself (a module for it, its own `forward`)",
                "seen at its first layer: mean 0, std 1, so that nothing is done twice; it is told",
            ),
        ),
        pytest.param(
            *("bytes_inside", *PLAIN, 255.0, "input_range 255"),
            marks=pytest.mark.works(
                "a network that normalises images of 0 to 255 itself", "gets images of 0 to 255"
            ),
        ),
        pytest.param(
            *("says", *SAID, 1.0, "assumed input_range 1\n"),
            marks=pytest.mark.works(
                "attributes `mean`, `std`, `channels` that fit its first layer", "are believed"
            ),
        ),
        pytest.param(
            *("says_other", *PLAIN, 1.0, "channels 3 (its attribute says 64"),
            marks=pytest.mark.works(
                "`self.channels = 64`, `self.mean`, `self.std` that mean something else",
                "set aside, as its first layer takes other numbers; it is told",
            ),
        ),
        pytest.param(
            *("transform", *SAID, 1.0, ""),
            marks=pytest.mark.works(
                "a function that returns (module, a transform with a mean and a std)",
                "its mean and std are taken",
            ),
        ),
        ("nothing_beside", *PLAIN, 1.0, "assumed mean 0, std 1"),
        pytest.param(
            *("folded", *PLAIN, 1.0, "channels 3"),
            marks=pytest.mark.works(
                "a first convolution of pixels that are folded into channels",
                "the image's channels are found, not the convolution's",
            ),
        ),
        ("first_norm", *PLAIN, 1.0, "channels 3"),
        ("of_numpy", [0.5] * 3, [1.0] * 3, 1.0, ""),
    ],
)
def test_what_is_told_and_seen(
    function: str, mean: list[float], std: list[float], white: float, tells: str,
    own: Path, run: Run,
) -> None:  # fmt: skip
    net = load_network(f"{own}:{function}")
    assert close(net.preprocessing, mean, std, white)
    listed = run("layers", "--network", f"{own}:{function}", "--json")
    assert listed.code == 0, listed.err
    assert tells in listed.err
    assert ("itself" in listed.err) == (function in ("normalises", "bytes_inside"))


def test_a_network_that_normalises_gets_the_codes_that_it_has_without_texton(own: Path) -> None:
    net = load_network(f"{own}:bytes_inside")
    image = torch.rand(1, 3, 32, 32)
    with torch.no_grad():
        expected = net.module.eval()(image * 255)
    assert torch.allclose(net.encode(image, "features.1")["features.1"], expected, atol=1e-5)


@pytest.mark.works(
    "a function that returns a class, a function, a state dict, a list, a transform without a mean",
    "one line that says what it returns and what to return",
)
@pytest.mark.parametrize(
    ("function", "says"),
    [
        ("a_class", "the class Scale: return Scale(…)"),
        ("a_function", "a function: put it into the forward"),
        ("a_state", "a state dict: make the module"),
        ("a_list", "a list of 1: return an nn.Module"),
        ("an_optimizer", "a module and object"),
        ("with_arguments", "texton calls it without arguments"),
        ("a_word", "mean is 'imagenet'"),
        ("a_pair", "input_range is (0, 255): give finite numbers, the value of white"),
        ("a_half", "channels is 2.5"),
    ],
)
def test_what_is_no_network_is_told(function: str, says: str, own: Path, run: Run) -> None:
    assert_refused(run("layers", "--network", f"{own}:{function}"), says)


def test_looking_leaves_the_module_as_it_is() -> None:
    class Counting(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.conv, self.calls = nn.Conv2d(3, 4, 3), 0
            self.register_buffer("seen", torch.zeros(1))
            self.last: torch.Tensor | None = None

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            print("called")
            self.calls += 1
            self.seen += torch.rand(1)
            self.last = self.conv(x)
            return self.last

    module, heard = Counting().train(), []
    module(torch.rand(1, 3, 8, 8))
    module.conv.register_forward_hook(lambda *_: heard.append(1))
    module.conv.register_forward_pre_hook(lambda *_: heard.append(2))
    seen, state = module.seen.clone(), torch.random.get_rng_state()
    inside = look_inside(module)
    assert inside is not None and inside.channels == 3 and not inside.normalises
    assert module.calls == 1 and module.training and torch.equal(module.seen, seen)
    assert heard == [] and torch.equal(torch.random.get_rng_state(), state)
    assert len(module.conv._forward_pre_hooks) == 1


@pytest.mark.parametrize(
    "module", [nn.Linear(3, 4), nn.Conv1d(3, 4, 3), nn.LazyConv2d(4, 3), nn.Sequential()]
)
def test_where_there_is_nothing_to_ask_nothing_is_said(module: nn.Module) -> None:
    assert look_inside(module) is None


DETECTOR = """
from torch import nn
from torchvision.models.detection.transform import GeneralizedRCNNTransform

class Detector(nn.Module):
    def __init__(self):
        super().__init__()
        self.transform = GeneralizedRCNNTransform(400, 600, [0.5, 0.4, 0.3], [0.2, 0.2, 0.1])
        self.conv = nn.Conv2d(3, 4, 3, stride=2, padding=1)
    def forward(self, images):
        return self.conv(self.transform(images)[0].tensors)
"""


@pytest.mark.works(
    "`torchvision:fasterrcnn…` and its other detectors, or your own with torchvision's transform",
    "mean and std are their own, applied once; their resizing is left out, so that layers are in "
    "the picture's own pixels",
)
def test_a_detector_is_not_normalised_twice_nor_resized(run: Run, tmp_path: Path) -> None:
    (tmp_path / "own.py").write_text(DETECTOR)
    net = load_network(f"{tmp_path / 'own.py'}:Detector")
    assert close(net.preprocessing, *PLAIN)
    image = torch.rand(1, 3, 64, 96)
    code = net.encode(image, "conv")["conv"]
    mean, std = (torch.tensor(x).view(3, 1, 1) for x in SAID)
    with torch.no_grad():
        expected = net.module.conv((image - mean) / std)
    assert code.shape == expected.shape and torch.allclose(code, expected, atol=1e-4)
    assert net.layer("conv").stride == 2
    words = ("filter", CAT, "conv:3", "--size", 64, "--steps", 2, "--json", "-o", "x.png")
    made = run(*words, "--network", "own.py:Detector")
    assert made.code == 0, made.err
    unit, settings = json.loads(made.out)["units"][0], json.loads(made.out)["settings"]
    assert np.isfinite(unit["error"])
    assert settings["inside"].startswith("normalises") and "own pixels" in settings["resizing"]


@pytest.mark.slow
def test_torchvision_s_detectors_say_what_they_do_inside() -> None:
    net = load_network("torchvision:fasterrcnn_mobilenet_v3_large_320_fpn@random")
    assert close(net.preprocessing, *PLAIN)
    assert net.details["inside"].startswith("normalises images itself (mean 0.485 0.456 0.406")
    assert "own pixels" in net.details["resizing"]


@pytest.mark.works(
    "`torchvision:` names of no single-image network: `r3d_18`, `raft_small`, `quantized_resnet18`",
    "one line that says what it takes and what to use instead",
)
@pytest.mark.parametrize(
    ("name", "says"),
    [
        ("r3d_18", "takes videos"),
        ("mvit_v1_b@random", "takes videos"),
        ("raft_small", "takes two images"),
        ("quantized_resnet18@random", "no gradient: use torchvision:resnet18"),
    ],
)
def test_what_takes_no_single_image_is_told(name: str, says: str, run: Run) -> None:
    assert_refused(run("layers", "--network", f"torchvision:{name}"), says)
