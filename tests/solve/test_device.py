"""What must hold on every device: `make gpu` runs this file on a GPU, every other run on a CPU."""

from __future__ import annotations

from collections.abc import Iterator
from unittest.mock import patch

import pytest
import torch

import texton
from tests.helpers import Sleepy
from texton import Network
from texton.methods.parts.filter_inversion import FilterInversion
from texton.methods.parts.seeds import generator_for
from texton.network.device import Compute, choose_compute, in_batches
from texton.solve.presets import solver_settings
from texton.solve.solver import Solver

pytestmark = pytest.mark.slow
LAYERS = ("relu1_2", "relu3_1", "relu5_1")


@pytest.fixture(params=["cpu", "cuda", "mps"])
def device(request: pytest.FixtureRequest) -> str:
    chosen: str = request.param
    if request.config.getoption("--device") not in ("all", chosen):
        pytest.skip(f"another device was asked for than {chosen}")
    backend = {"cuda": torch.cuda, "mps": torch.backends.mps}.get(chosen)
    if backend is not None and not backend.is_available():
        pytest.skip(f"this machine has no {chosen} device")
    return chosen


@pytest.fixture
def exact(device: str) -> Iterator[Compute]:
    """Float32, where what is compared is the order of additions."""
    compute = choose_compute(device, torch.float32)
    with patch("texton.methods.parts.algorithm.choose_compute", lambda *_: compute):
        yield compute


def side_by_side(count: int):  # type: ignore[no-untyped-def]
    return patch.object(Compute, "batch", property(lambda _: count))


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_codes_are_those_of_the_cpu(
    net: Network, cat: torch.Tensor, device: str, dtype: torch.dtype
) -> None:
    names = [*LAYERS, "relu5_1<"]
    expected = net.encode(cat, names)
    found = net.encode(cat.to(device), names, choose_compute(device, dtype))
    for name in names:
        assert found[name].device.type == device and found[name].dtype == dtype
        difference = (found[name].cpu().float() - expected[name]).norm() / expected[name].norm()
        assert difference < (2e-5 if dtype == torch.float32 else 0.05), name


def test_gradients_are_those_of_the_cpu(net: Network, cat: torch.Tensor, device: str) -> None:
    slopes = []
    for where in ("cpu", device):
        image = cat.to(where, copy=True).requires_grad_(True)
        code = net.encode(image, "relu3_1", choose_compute(where, torch.float32))["relu3_1"]
        (slope,) = torch.autograd.grad(code.square().sum(), image)
        slopes.append(slope.cpu())
    assert (slopes[0] - slopes[1]).norm() / slopes[0].norm() < 0.01


@pytest.mark.parametrize("layer", LAYERS)
def test_filters_are_inverted_as_on_the_cpu(
    net: Network, cat: torch.Tensor, device: str, layer: str
) -> None:
    channels = [0, 4]
    found = texton.invert_filters(cat, net, layer, channels, preset="fast", device=device)
    there = found
    if device != "cpu":
        there = texton.invert_filters(cat, net, layer, channels, preset="fast", device="cpu")
    for mine, theirs in zip(found, there, strict=True):
        assert mine.status == theirs.status == "ok"
        assert abs(mine.error - theirs.error) < 0.02
        assert mine.settings["device"] == device
        assert mine.image.device.type == "cpu" and 0 <= mine.image.min() <= mine.image.max() <= 1


def test_the_algorithm_of_2016_runs(net: Network, cat: torch.Tensor, device: str) -> None:
    pytest.importorskip("skimage", reason="scikit-image denoises its pictures")
    runs = [
        texton.invert_filter(cat, net, "relu2_1", 5, preset="paper", steps=12, device=where)
        for where in ("cpu", device)
    ]
    assert (runs[0].image - runs[1].image).abs().mean() < 0.01


def test_a_code_is_inverted(net: Network, cat: torch.Tensor, device: str) -> None:
    result = texton.invert(cat, net, "relu2_1", device=device)
    assert result.error < 0.02
    for priors in ({"jitter": 2, "alpha_norm": 0.1}, {"fourier": True}):
        assert texton.invert(cat, net, "relu2_1", device=device, **priors).error < 0.2


@pytest.mark.parametrize("statistic", ["pmci", "gatys"])
def test_a_style_is_carried_over(
    net: Network, cat: torch.Tensor, coffee: torch.Tensor, device: str, statistic: str
) -> None:
    result = texton.stylize(cat, [coffee], net, statistic=statistic, steps=20, device=device)
    terms = result.settings["terms"]
    assert terms["after"]["total"] < 0.5 * terms["before"]["total"]


@pytest.mark.works(
    "several filters of one call, on a GPU", "each as if alone: errors agree within 0.01"
)
@pytest.mark.parametrize("layer", ["relu1_2", "relu3_1"])
def test_a_batch_of_eight_is_eight_pictures(
    net: Network, cat: torch.Tensor, exact: Compute, layer: str
) -> None:
    channels = list(range(8))
    with side_by_side(1):
        alone = texton.invert_filters(cat, net, layer, channels, steps=12)
    with side_by_side(8):
        together = texton.invert_filters(cat, net, layer, channels, steps=12)
    for one, other in zip(alone, together, strict=True):
        assert one.channel == other.channel and one.steps == other.steps
        assert abs(one.error - other.error) < 0.01
        assert (one.image - other.image).abs().mean() < 0.05  # rounding grows from step to step


def test_the_same_seed_gives_the_same_picture(net: Network, cat: torch.Tensor, device: str) -> None:
    first, again = (
        texton.invert_filters(cat, net, "relu3_1", [3, 9], preset="fast", device=device)
        for _ in range(2)
    )
    assert all(torch.equal(a.image, b.image) for a, b in zip(first, again, strict=True))
    codes = [texton.invert(cat, net, "relu2_1", steps=15, device=device).image for _ in range(2)]
    assert torch.equal(*codes)


@pytest.mark.parametrize("waits_for", [False, True])
def test_a_mixed_batch_restarts_each_image_on_its_own(exact: Compute, waits_for: bool) -> None:
    """One filter always alive, one that has to be woken, one that never can be; also as where a
    device is read every few steps alone."""
    network = Network(Sleepy())
    photo = torch.full((1, 3, 24, 24), 0.5)
    real = Solver.__init__

    def begin(self: Solver, *args: object, **kwargs: object) -> None:
        real(self, *args, **kwargs)  # type: ignore[arg-type]
        self._waits_for |= waits_for

    with patch.object(Solver, "__init__", begin):
        with side_by_side(1):
            alone = texton.invert_filters(photo, network, "relu", [0, 1, 2])
        with side_by_side(3):
            together = texton.invert_filters(photo, network, "relu", [0, 1, 2])
    assert [result.status for result in together] == ["ok", "ok", "dead"]
    for one, other in zip(alone, together, strict=True):
        assert (one.starts, one.steps) == (other.starts, other.steps)
        assert (one.image - other.image).abs().max() < 0.02
    assert together[2].starts >= 3


def test_a_gpu_is_waited_for_every_fifth_step_alone(
    net: Network, cat: torch.Tensor, device: str
) -> None:
    if device != "cuda":
        pytest.skip("only CUDA says when it is waited for")
    settings = solver_settings("normal", steps=22)
    inversion = FilterInversion(cat, net, "relu3_1", settings, choose_compute(device))
    generators = [generator_for(0, "any", "relu3_1", channel) for channel in range(8)]
    solver = inversion.solver(list(range(8)), generators, settings)
    steps = iter(solver)
    for index in range(22):
        reads = index % 5 == 0 or index < 6  # in the opening, and what is made once
        torch.cuda.set_sync_debug_mode("default" if reads else "error")
        try:
            next(steps)
        finally:
            torch.cuda.set_sync_debug_mode("default")


def test_a_batch_is_as_large_as_there_is_room_for(net: Network, cat: torch.Tensor) -> None:
    inversion = FilterInversion(
        cat, net, "relu1_2", solver_settings(), Compute(torch.device("cpu"))
    )
    height, width = inversion._photo.shape[2:]
    assert inversion.bytes_each == 3 * 4 * height * width * (4 * 64)  # conv, relu, conv, relu
    gpu = Compute(torch.device("cuda"))
    free = {"mem_get_info": (10_000, 80_000), "memory_reserved": 5_000, "memory_allocated": 1_000}
    for name, value in free.items():
        patch.object(torch.cuda, name, lambda _, value=value: value).start()
    try:
        assert [gpu.room(each) for each in (1, 100, 2_000, 5_000, 90_000)] == [8192, 64, 4, 1, 1]
        sizes = in_batches(40, gpu, lambda part: part.stop - part.start, each=600)
        assert list(sizes) == [16, 16, 8]
        assert Compute(torch.device("cpu")).room(1) == 1
    finally:
        patch.stopall()


def test_a_gpu_without_room_solves_fewer_side_by_side(
    net: Network, cat: torch.Tensor, device: str
) -> None:
    if device != "cuda":
        pytest.skip("only CUDA can be given less memory than it has")
    photo = torch.nn.functional.interpolate(cat, (512, 512), mode="bicubic").clamp(0, 1)
    torch.cuda.empty_cache()
    total = torch.cuda.mem_get_info()[1]
    used = torch.cuda.memory_reserved()
    torch.cuda.set_per_process_memory_fraction((used + 2**31) / total)
    try:
        results = texton.invert_filters(photo, net, "relu1_2", range(24), steps=2, device=device)
    finally:
        torch.cuda.set_per_process_memory_fraction(1.0)
    assert [result.channel for result in results] == list(range(24))
