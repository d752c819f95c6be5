"""Gatys' style transfer beside the pastiche package's own command line, measured in one run.

Both minimise the same objective: the same VGG-19 with max pooling, content relu4_2, style relu1_1
... relu5_1, pastiche's weights of terms and layers, starting from the content. pastiche runs with
its defaults (1,000 steps of L-BFGS). Losses are pastiche's own, content and Gram, recomputed here
from the two saved pictures in plain float32 torch.

    python bench/style_transfer.py CONTENT STYLE [--size 256] [--steps 100]
"""

from __future__ import annotations

import argparse
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import torch
from torch import Tensor
from torch.nn import functional as F

import texton
from texton.network.weights import VGG19_CONVS, paper_vgg19

STYLE = [f"relu{block}_1" for block in range(1, 6)]
CONTENT = "relu4_2"
BIN = Path(sys.executable).parent


def codes(image: Tensor) -> dict[str, Tensor]:
    """VGG-19 with max pooling written out, so that neither program's code judges."""
    weights = paper_vgg19()
    x = image * 255 - torch.tensor([123.68, 116.779, 103.939]).reshape(1, 3, 1, 1)
    found, block = {}, "1"
    for name in VGG19_CONVS:
        if name[4] != block:
            x, block = F.max_pool2d(x, 2), name[4]
        x = F.relu(F.conv2d(x, weights[f"{name}.weight"], weights[f"{name}.bias"], padding=1))
        found[name.replace("conv", "relu")] = x
        if name == "conv5_1":
            break
    return found


def gram(code: Tensor) -> Tensor:
    flat = code[0].flatten(1)
    return flat @ flat.T / flat.shape[1]


@torch.no_grad()
def losses(picture: Path, content: Tensor, style: Tensor) -> tuple[float, float]:
    """pastiche's content and style loss, with its own layer weights (.01 and 10 / C²)."""
    made = codes(texton.read_image(picture))
    kept, wanted = codes(content)[CONTENT], codes(style)
    content_loss = 0.01 * F.mse_loss(made[CONTENT], kept)
    style_loss = sum(
        10 / made[layer].shape[1] ** 2 * F.mse_loss(gram(made[layer]), gram(wanted[layer]))
        for layer in STYLE
    )
    return float(content_loss), float(style_loss)


@torch.no_grad()
def same_weights(content: Tensor, style: Tensor) -> list[str]:
    """pastiche's weights for terms that are, as texton's, divided by their own targets."""
    kept, wanted = codes(content)[CONTENT], codes(style)
    layers = [
        10 * float(gram(wanted[layer]).square().sum()) / wanted[layer].shape[1] ** 4
        for layer in STYLE
    ]
    content_weight = 0.01 * float(kept.square().mean()) / sum(layers)
    shares = ",".join(f"{weight / sum(layers):.6g}" for weight in layers)
    weights = ["--content-weight", f"{content_weight:.6g}", "--style-weight", "1"]
    return [*weights, "--layer-weights", shares]


def timed(command: list[str]) -> float:
    started = time.perf_counter()
    subprocess.run(command, check=True, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    return time.perf_counter() - started


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("content")
    parser.add_argument("style")
    parser.add_argument("--size", type=int, default=256)
    parser.add_argument("--steps", type=int, default=100)
    asked = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        content, style = Path(folder, "content.png"), Path(folder, "style.png")
        for source, target in ((asked.content, content), (asked.style, style)):
            texton.write_image(texton.read_image(source, asked.size), target)
        ours, theirs = Path(folder, "ours.png"), Path(folder, "theirs.png")
        command = [str(BIN / "texton"), "stylize", str(content), str(style), "-o", str(ours)]
        command += ["--style-blur", "0"]  # the same painting for both
        command += ["--method", "gatys", "--pooling", "max", "--content-layer", CONTENT]
        command += ["--size", str(asked.size), "--steps", str(asked.steps)]
        command += ["--tv", "0", "--bleed", "0"]
        command += same_weights(texton.read_image(content), texton.read_image(style))
        seconds = {"texton": timed(command)}
        size = texton.read_image(style).shape[2:]
        command = [str(BIN / "pastiche"), "--content", str(content), "--styles", str(style)]
        command += ["--size", str(asked.size), "--style-size", str(max(size))]
        seconds["pastiche"] = timed([*command, "--output", str(theirs)])
        images = (texton.read_image(content), texton.read_image(style))
        print(f"{'':10}  {'seconds':>8}  {'content':>9}  {'Gram':>9}")
        for name, path in (("texton", ours), ("pastiche", theirs)):
            of_content, of_style = losses(path, *images)
            print(f"{name:10}  {seconds[name]:8.1f}  {of_content:9.1f}  {of_style:9.1f}")
        print(f"time, texton over pastiche: {seconds['texton'] / seconds['pastiche']:.2f}")


if __name__ == "__main__":
    main()
