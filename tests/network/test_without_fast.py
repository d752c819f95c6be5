"""network/fast/ may be deleted: nothing but time and memory changes."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import torch

import texton

_CODES = """
import sys
import torch
import texton
from texton.network.copies import make_lean

torch.manual_seed(0)
net = texton.load_network("vgg19")
image = torch.rand(1, 3, 40, 48, requires_grad=True)
names = ["relu1_2", "pool2", "conv3_1", "relu4_1", "relu4_1<"]
codes = net.encode(image, names)
(slope,) = torch.autograd.grad([code.square().mean() for code in codes.values()], image)
result = texton.invert_filter(image.detach(), net, "relu2_1", 4, steps=12)
layers = [str(layer) for layer in net.layers.values()]
tensors = {name: code.detach() for name, code in codes.items()}
tensors |= {"slope": slope, "image": result.image}
torch.save({"tensors": tensors, "layers": layers, "lean": make_lean.__module__}, sys.argv[1])
"""


def made_by(package: Path, out: Path) -> dict[str, Any]:
    """What a copy of the package makes, in a process of its own."""
    command = [sys.executable, "-c", _CODES, str(out)]
    paths = {**os.environ, "PYTHONPATH": str(package.parent)}
    subprocess.run(command, check=True, env=paths, cwd=out.parent)
    result: dict[str, Any] = torch.load(out)
    return result


@pytest.mark.slow
def test_without_the_folder_codes_gradients_and_pictures_are_the_same(tmp_path: Path) -> None:
    package = Path(texton.__file__).parent
    bare = tmp_path / "bare" / "texton"
    shutil.copytree(package, bare, ignore=shutil.ignore_patterns("fast", "__pycache__"))
    assert not (bare / "network" / "fast").exists()
    with_it, without = made_by(package, tmp_path / "a.pt"), made_by(bare, tmp_path / "b.pt")
    assert with_it.pop("lean") == "texton.network.fast.modules"
    assert without.pop("lean") == "texton.network.copies"
    assert with_it["layers"] == without["layers"]
    assert with_it["tensors"].keys() == without["tensors"].keys()
    for name, tensor in with_it["tensors"].items():
        distance = (without["tensors"][name] - tensor).norm() / tensor.norm()
        assert distance < (0.02 if name == "image" else 1e-4), name
