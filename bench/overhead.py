"""One solver step beside the network's bare arithmetic, and beside the Lucent kind of step.

    python bench/overhead.py [--sides 128,224,512] [--rounds 15] [--device cpu] [--batches 1]

*Bare* is the truncated network of torch's own modules at the solver's dtype and memory format,
forward and backward to the image, nothing else: on the pixels that the step solves, and on the
picture's own, without the bleed around it (up to 8.5 % of the area). The *Lucent kind* is what such
tools do by default: the whole network in float32, a hook on every module, gradients for the weights
as well as the image; it has a process of its own, as the command line settles the allocator of its.
"""

from __future__ import annotations

import argparse
import copy
from collections.abc import Callable
from itertools import product
from multiprocessing.connection import Connection

import report
import torch
from torch import Tensor, nn

from texton import Network, TextonError, load_network
from texton.jobs.allocator import settle_allocator
from texton.methods.parts.filter_inversion import FilterInversion
from texton.methods.parts.seeds import generator_for
from texton.network.device import choose_compute
from texton.solve.presets import SolverSettings

LAYERS = ("relu1_2", "relu3_2", "relu5_2")


def solver_step(
    net: Network, layer: str, photo: Tensor, device: str = "cpu", batch: int = 1
) -> tuple[Callable[[], object], Tensor]:
    """The solver as a feature map inversion runs it, past its opening, and what it solves."""
    settle_allocator(photo.shape[2] * photo.shape[3])  # as the command line does
    settings = SolverSettings(steps=100_000, early_stop=False, opening=5)
    inversion = FilterInversion(photo, net, layer, settings, choose_compute(device))
    channels = range(4, 4 + batch)
    generators = [generator_for(0, "bench", layer, channel) for channel in channels]
    solver = inversion.solver(list(channels), generators, settings)
    steps = iter(solver)
    for _ in range(6):
        next(steps)
    return lambda: next(steps), solver.canvas.values.detach().clone()


def bare_step(net: Network, layer: str, photo: Tensor, device: str = "cpu") -> Callable[[], object]:
    """Forward and backward through the truncated network, in the solver's format."""
    compute = choose_compute(device)
    parts = []
    for name, part in copy.deepcopy(net.module).requires_grad_(False).named_children():
        parts.append(part)
        if name == layer:
            break
    truncated = nn.Sequential(*parts).to(compute.device, compute.dtype)
    truncated = truncated.to(memory_format=compute.memory_format)
    image = net.prepare(photo, compute).requires_grad_(True)
    with torch.no_grad():
        slope = torch.randn_like(truncated(image))
    return lambda: torch.autograd.grad(truncated(image), image, slope)


def whole_step(net: Network, layer: str, photo: Tensor) -> Callable[[], object]:
    """The Lucent kind: everything computed, everything hooked, everything with a gradient."""
    module = copy.deepcopy(net.module).float().eval().requires_grad_(True)
    module = module.to(memory_format=torch.contiguous_format)  # as weights come
    seen: dict[str, Tensor] = {}
    for name, part in module.named_modules():
        part.register_forward_hook(lambda _m, _i, output, name=name: seen.update({name: output}))
    image = photo.clone().requires_grad_(True)
    adam = torch.optim.Adam([image], lr=0.05)
    mean = torch.tensor(net.preprocessing["mean"]).reshape(1, 3, 1, 1)

    def step() -> None:
        adam.zero_grad()
        module(image * 255 - mean)
        (-seen[layer][:, 4].mean()).backward()
        adam.step()

    return step


class OwnProcess:
    """The Lucent kind of step in a process that texton's solver never ran in."""

    def __init__(self, layer: str, side: int) -> None:
        context = torch.multiprocessing.get_context("spawn")
        self._pipe, theirs = context.Pipe()
        self._process = context.Process(target=_serve, args=(theirs, layer, side), daemon=True)
        self._process.start()

    def __call__(self) -> None:
        self._pipe.send(True)
        self._pipe.recv()

    def close(self) -> None:
        self._pipe.send(False)
        self._process.join()


def _serve(pipe: Connection, layer: str, side: int) -> None:
    step = whole_step(load_network("vgg19"), layer, report.square(side))
    while pipe.recv():
        step()
        pipe.send(True)


def work_of(net: Network, layer: str, side: int) -> float:
    """Operations of one bare step: twice the multiplications of the forward pass, and again for
    the image's gradient."""
    total = 0.0
    compute = choose_compute("cpu", torch.float32)
    x = torch.zeros(1, 3, side, side)
    with torch.no_grad():
        for name, part in net.frozen(compute).named_children():
            before, x = x, part(x)
            if isinstance(part, nn.Conv2d):
                kernel = part.kernel_size[0] * part.kernel_size[1]
                total += 2 * before.shape[1] * kernel * x.numel()
            if name == layer:
                break
    return 2 * total


def against_bare(net: Network, asked: argparse.Namespace, peak: float) -> str:
    device, on_gpu, rows = asked.device, asked.device != "cpu", []
    for side in (int(part) for part in asked.sides.split(",")):
        photo = report.square(side)
        for layer, batch in product(LAYERS, (int(part) for part in asked.batches.split(","))):
            slow = side >= 512 and layer != "relu1_2" and not on_gpu
            rounds = max(5, asked.rounds // 3) if slow else asked.rounds
            ours, canvas = solver_step(net, layer, photo, device, batch)
            alone = photo.expand(batch, -1, -1, -1)
            bare = [bare_step(net, layer, images, device) for images in (canvas, alone)]
            step, *others = report.interleaved([ours, *bare], rounds, device, 10 if on_gpu else 1)
            share = batch * work_of(net, layer, side) / min(step) / peak
            ratios = [report.spread(report.ratios(step, other)) for other in others]
            size = f"{side}²" if batch == 1 else f"{batch} × {side}²"
            each = f"{min(step) * 1000 / batch:.{2 if on_gpu else 1}f}"
            rows.append((layer, size, each, *ratios, f"{share:.0%}"))
            print(*rows[-1], flush=True)
    head = ("layer", "images", "ms a step and image", "step / bare: median (quartiles)",
            "step / bare on the picture alone", "of matmul peak")  # fmt: skip
    return report.table(head, rows)


def against_lucent(net: Network, rounds: int) -> str:
    rows = []
    for side, layer in ((224, "relu2_2"), (224, "relu5_2")):
        photo = report.square(side)
        lucent = OwnProcess(layer, side)
        works = [lucent, solver_step(net, layer, photo)[0]]
        whole, step = report.interleaved(works, max(5, rounds // 2))
        lucent.close()
        ratio = report.spread(report.ratios(whole, step), 1)
        rows.append((layer, f"{side}²", f"{min(step) * 1000:.0f}", ratio))
        print(*rows[-1], flush=True)
    return report.table(("layer", "image", "ms a step", "times slower"), rows)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--sides", default="128,224,512")
    parser.add_argument("--rounds", type=int, default=15)
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--batches", help="1; on a GPU 1,8,32")
    asked = parser.parse_args()
    asked.batches = asked.batches or ("1" if asked.device == "cpu" else "1,8,32")
    try:
        compute = choose_compute(asked.device)
    except TextonError as error:
        parser.error(str(error))
    net = load_network("vgg19")
    peak = report.peak_flops(compute.dtype, asked.device)
    text = f"{report.machine(asked.device)}; matmul peak {peak / 1e9:.0f} GFLOP/s\n\n"
    text += against_bare(net, asked, peak)
    if asked.device != "cpu":
        report.publish("overhead-gpu", text)
        return
    text += "\n\nThe Lucent kind of step (whole network, float32, every module hooked, gradients "
    text += "for the weights too) over texton's:\n\n"
    report.publish("overhead", text + against_lucent(net, asked.rounds))


if __name__ == "__main__":
    main()
