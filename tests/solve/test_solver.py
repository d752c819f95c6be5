"""The solver: exact steps, per-image independence, no dead pictures, the 2016 algorithm."""

from __future__ import annotations

import gc
import resource
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from unittest.mock import patch

import pytest
import torch
from skimage.restoration import denoise_tv_chambolle
from torch import nn

import texton
from tests.helpers import EXAMPLES, Sleepy
from texton import Network, TextonError
from texton.images.files import as_saved
from texton.methods.parts.filter_inversion import FilterInversion
from texton.methods.parts.seeds import generator_for
from texton.network.codes import isolate
from texton.network.device import Compute, choose_compute
from texton.solve.objective import Activation, Codes
from texton.solve.presets import PRESETS, solver_settings
from texton.solve.solver import Opening
from texton.solve.views import _rolled


def in_batches_of(count: int):  # type: ignore[no-untyped-def]
    return patch.object(Compute, "batch", property(lambda self: count))


@pytest.mark.parametrize("steps", [1, 2, 7, 25])
def test_steps_is_the_exact_number_of_evaluations(
    net: Network, cat: torch.Tensor, steps: int
) -> None:
    calls = []
    real = net.prepare

    def counted(image: torch.Tensor, compute: Compute) -> torch.Tensor:
        calls.append(image.requires_grad)
        return real(image, compute)

    with patch.object(net, "prepare", counted):
        result = texton.invert_filter(cat, net, "relu2_1", 3, steps=steps)
    assert sum(calls) == steps == result.steps == len(result.trace)


def test_same_seed_same_picture_whatever_is_beside_it(net: Network, cat: torch.Tensor) -> None:
    alone = texton.invert_filter(cat, net, "relu3_1", 7, steps=8, seed=5)
    among = texton.invert_filters(cat, net, "relu3_1", [9, 7, 0], steps=8, seed=5)
    assert torch.equal(alone.image, among[1].image)
    other = texton.invert_filter(cat, net, "relu3_1", 7, steps=8, seed=6)
    assert not torch.equal(alone.image, other.image)


def test_batches_solve_the_same_pictures(net: Network, cat: torch.Tensor) -> None:
    """What a GPU does, here in float32: side by side, up to the order of additions."""
    exact = choose_compute("cpu", torch.float32)
    with patch("texton.methods.parts.algorithm.choose_compute", lambda *_: exact):
        single = texton.invert_filters(cat, net, "relu2_2", [0, 4, 9], steps=12)
        with in_batches_of(3):
            together = texton.invert_filters(cat, net, "relu2_2", [0, 4, 9], steps=12)
    for one, other in zip(single, together, strict=True):
        assert one.channel == other.channel
        assert abs(one.error - other.error) < 0.01
        assert (one.image - other.image).abs().mean() < 0.02


@pytest.mark.slow
def test_a_batch_stops_each_image_on_its_own(net: Network, cat: torch.Tensor) -> None:
    with in_batches_of(3):
        results = texton.invert_filters(cat, net, "relu1_2", [2, 3, 36])
    assert len({result.steps for result in results}) > 1
    assert all(len(result.trace) == result.steps for result in results)


def test_the_error_is_the_saved_pictures(net: Network, cat: torch.Tensor) -> None:
    result = texton.invert_filter(cat, net, "relu3_2", 0, steps=15)
    assert torch.equal(result.image, as_saved(result.image))
    target = isolate(net.encode(cat, "relu3_2")["relu3_2"], 0)
    code = net.encode(result.image[None], "relu3_2")["relu3_2"]
    error = (code - target).square().sum() / target.square().sum()
    assert result.error == pytest.approx(float(error), rel=1e-3)
    assert result.achieved == pytest.approx(float(code[:, 0].sum() / target[:, 0].sum()), rel=1e-3)


@pytest.mark.slow
def test_solving_improves_and_stays_in_bounds(net: Network, cat: torch.Tensor) -> None:
    result = texton.invert_filter(cat, net, "relu4_2", 4, steps=40)
    assert result.error < 0.9 and result.trace[-1] < result.trace[8]
    assert result.image.min() >= 0 and result.image.max() <= 1


@pytest.mark.parametrize(("preset", "row"), [("fast", 3), ("normal", 1)])
@pytest.mark.slow
def test_filters_that_end_dead_elsewhere_live(net: Network, preset: str, row: int) -> None:
    """The faintest of the first layers, and a row of the deepest."""
    cat = texton.read_image(EXAMPLES / "chelsea.jpg", 32)
    for layer, channels in {"relu1_1": [6], "relu1_2": [14, 36], "relu5_4": range(row)}.items():
        for result in texton.invert_filters(cat, net, layer, list(channels), preset=preset):
            assert result.status == "ok" and result.achieved is not None
            assert result.achieved >= 0.005, result


def test_a_silent_filter_is_woken_and_a_dead_one_is_named() -> None:
    network = Network(Sleepy())
    photo = torch.full((1, 3, 24, 24), 0.5)
    woken, dead = texton.invert_filters(photo, network, "relu", [1, 2])
    assert woken.status == "ok" and woken.achieved is not None and woken.achieved > 0.005
    assert dead.status == "dead" and dead.starts >= 3 and dead.achieved == 0.0


def test_a_filter_found_silent_is_lifted_in_that_step(net: Network, cat: torch.Tensor) -> None:
    """What the lift reads is no longer encoded by then, and is encoded anew."""
    settings = solver_settings("normal", steps=20)
    inversion = FilterInversion(cat, net, "relu2_2", settings, choose_compute("cpu"))
    solver = inversion.solver([3], [generator_for(0, "any", "relu2_2", 3)], settings)
    opening = solver._opening
    assert opening is not None
    encoded: list[set[str]] = []
    now = 0

    def share(codes: Codes) -> torch.Tensor:
        encoded.append(set(codes))
        return torch.tensor([0.0 if now == 10 else 1.0])

    lifted: list[int] = []

    class Watched(Activation):
        def __call__(self, codes: Codes, image: torch.Tensor) -> torch.Tensor:
            lifted.append(now)
            return super().__call__(codes, image)

    lift = Watched("relu2_2<", [3], torch.ones(1, 4, 4))
    solver._opening = Opening(lift, share)
    for step in solver:
        now = step.index
    assert lifted == [0, 1, 2, 10]
    alone, both = {"relu2_2"}, {"relu2_2", "relu2_2<"}
    looked_at = [both] * 4 + [alone] * 2 + [both] + [alone]  # steps 0 to 3, 5, 10, 11, 15
    assert encoded == looked_at


@pytest.mark.slow
def test_an_image_is_read_when_it_would_be_alone_whatever_restarts_beside_it(
    net: Network, cat: torch.Tensor
) -> None:
    """As on a device that is waited for: every fifth step, and where its own opening ends."""
    settings = solver_settings("normal", steps=40)
    inversion = FilterInversion(cat, net, "relu2_2", settings, choose_compute("cpu"))
    now = 0

    def weak(channels: list[int]) -> list[tuple[bool, bool]]:
        nonlocal now
        generators = [generator_for(0, "any", "relu2_2", channel) for channel in channels]
        solver = inversion.solver(channels, generators, settings)
        solver._waits_for = True

        def share(_: Codes) -> torch.Tensor:
            first = 0.5 if now < 5 or now > 12 else 0.05 if now < 7 else 0.015
            return torch.tensor([first, 0.0 if now < 9 else 0.5][: len(channels)])

        assert solver._opening is not None
        solver._opening = Opening(solver._opening.objective, share)
        now, seen = 0, []
        for step in solver:
            seen.append((bool(solver._weak[0]), int(solver.starts[0]) > 1))
            now = step.index
        if len(channels) > 1:
            assert solver.starts.tolist() == [1, 2]  # the other one did begin anew
        return seen

    alone = weak([3])
    assert [index for index, (weakly, _) in enumerate(alone) if weakly] == list(range(10, 15))
    assert weak([3, 4]) == alone  # the other one's opening ends at step 9


def test_what_goes_on_ends_where_the_whole_solve_does(net: Network, cat: torch.Tensor) -> None:
    """As on a device that is waited for: an image stood still before the steps were kept."""
    settings = replace(solver_settings("fast", steps=9), opening=0)
    inversion = FilterInversion(cat, net, "relu1_2", settings, choose_compute("cpu"))
    first, other = (
        inversion.solver([3, 4], [generator_for(0, "any", "relu1_2", x) for x in (3, 4)], settings)
        for _ in range(2)
    )
    first._ends = torch.tensor([2.0, 6.0], dtype=first._ends.dtype)
    other.go_on(4, first.state())
    assert [step.index for step in other] == [5, 6]
    assert other.steps.tolist() == [0, 2] and [len(x) for x in other.traces] == [0, 2]
    with pytest.raises(ValueError, match="does not fit"):
        other.go_on(4, {**first.state(), "ends": torch.ones(3)})


@pytest.mark.parametrize("rule", ["adam", "lbfgs"])
def test_a_flat_error_ends_adam_alone(rule: str, net: Network, cat: torch.Tensor) -> None:
    settings = replace(solver_settings("fast"), rule=rule, learning_rate=1e-6, opening=0)
    inversion = FilterInversion(cat, net, "relu1_2", settings, choose_compute("cpu"))
    solver = inversion.solver([2], [generator_for(0, "any", "relu1_2", 2)], settings)
    steps = sum(1 for _ in solver)
    assert (steps < settings.steps) == (rule == "adam")


def test_slopes_are_taken_in_the_arithmetic_of_the_codes(net: Network, cat: torch.Tensor) -> None:
    depth, seen = 0, []
    real = torch.autograd.grad

    @contextmanager
    def counted(_: Compute) -> Iterator[None]:
        nonlocal depth
        depth += 1
        yield
        depth -= 1

    def grad(*args, **kwargs):  # type: ignore[no-untyped-def]
        seen.append(depth)
        return real(*args, **kwargs)

    with patch.object(Compute, "arithmetic", counted), patch.object(torch.autograd, "grad", grad):
        texton.invert_filter(cat, net, "relu1_2", 2, steps=2)
    assert seen and set(seen) == {1}


def test_without_an_opening_nothing_but_the_layer_is_encoded(
    net: Network, cat: torch.Tensor, coffee: torch.Tensor
) -> None:
    asked: list[list[str]] = []
    real = net.encoder

    def encoder(layers, *args, **kwargs):  # type: ignore[no-untyped-def]
        asked.append(list(layers))
        return real(layers, *args, **kwargs)

    with patch.object(net, "encoder", encoder):
        texton.invert(cat, net, "relu2_1", steps=2)
        texton.stylize(cat, [coffee], net, steps=2)
    assert not [name for layers in asked for name in layers if name.endswith("<")]
    assert len([layers for layers in asked if layers == ["relu2_1"]]) == 1  # for the solver


def test_every_image_is_shifted_by_its_own_rows_and_columns() -> None:
    image = torch.rand(2, 3, 5, 7)
    shifts = torch.tensor([[1, -2], [-1, 3]])
    rolled = [torch.roll(image[b], shifts[b].tolist(), (1, 2)) for b in range(2)]
    assert torch.equal(_rolled(image, shifts), torch.stack(rolled))


def test_the_paper_preset_is_the_algorithm_of_2016(net: Network, cat: torch.Tensor) -> None:
    """Against the algorithm written out plainly, in units of 0–255."""
    steps, layer, channel = 12, "relu2_1", 5
    result = texton.invert_filter(cat, net, layer, channel, preset="paper", steps=steps, seed=1)

    from texton.images.files import content_hash

    generator = generator_for(1, content_hash(cat), layer, channel)
    x = torch.rand(cat.shape[1:], generator=generator)[None] * 0.2 - 0.1
    mean = torch.tensor([123.68, 116.779, 103.939]).reshape(1, 3, 1, 1)
    target = isolate(net.encode(cat, layer)[layer], channel)
    velocity = torch.zeros_like(x)
    for step in range(steps):
        x.requires_grad_(True)
        code = net.encode((x + mean) / 255, layer)[layer]
        (slope,) = torch.autograd.grad(0.5 * (code - target).square().sum(), x)
        x = x.detach()
        rate = 0.1 * 0.9 ** (step // 10)
        velocity = 0.9 * velocity - rate * (slope.clamp(-10, 10) + 5e-4 * x)
        x = x + velocity
    picture = ((x + mean) / 255).clamp(0, 1)[0].permute(1, 2, 0).numpy()
    smooth = torch.from_numpy(denoise_tv_chambolle(picture, weight=0.2, channel_axis=-1))
    expected = as_saved(smooth.permute(2, 0, 1))
    assert (result.image - expected).abs().mean() < 0.004
    assert result.settings["dtype"] == "float32"


def test_the_paper_preset_stops_when_the_image_stops(net: Network, cat: torch.Tensor) -> None:
    result = texton.invert_filter(cat, net, "relu1_1", 2, preset="paper")
    assert 10 < result.steps < 1000


@pytest.mark.parametrize(
    ("layer", "below"), [("relu1_1", 0.01), ("relu2_1", 0.02), ("relu3_1", 0.05)]
)
@pytest.mark.slow
def test_code_inversion_gives_the_photograph_back(
    net: Network, cat: torch.Tensor, layer: str, below: float
) -> None:
    result = texton.invert(cat, net, layer)
    assert result.error < below
    assert (result.image - cat[0]).abs().mean() < 0.08
    centred = [x - x.mean((-1, -2), keepdim=True) for x in (result.image, cat[0])]
    likeness = nn.functional.cosine_similarity(*(x.flatten() for x in centred), dim=0)
    assert likeness > (0.75 if layer == "relu3_1" else 0.95)


@pytest.mark.slow
def test_priors_make_pictures_smoother(net: Network, cat: torch.Tensor) -> None:
    def roughness(**priors: float) -> float:
        made = texton.invert(cat, net, "relu3_1", preset="fast", **priors)
        assert made.error < 0.7, priors
        return float((made.image[..., 1:] - made.image[..., :-1]).abs().mean())

    plain = roughness(tv=0)
    assert roughness(tv=10) < plain
    assert roughness(tv=0, jitter=1) != plain
    assert roughness(tv=0, fourier=True) < 1.25 * plain  # though by Adam, from noise
    assert roughness(tv=0, alpha_norm=1) < plain


def test_numbers_out_of_range_are_refused(net: Network, cat: torch.Tensor) -> None:
    with pytest.raises(TextonError, match="steps"):
        solver_settings(steps=0)
    with pytest.raises(TextonError, match="did you mean 'fine'"):
        solver_settings("fin")
    with pytest.raises(TextonError, match="seed"):
        texton.invert(cat, net, "relu1_1", seed=-1)
    with pytest.raises(TextonError, match="tv"):
        texton.invert(cat, net, "relu1_1", tv=-1)
    with pytest.raises(TextonError, match=r"\(1, 3, H, W\)"):
        texton.invert(cat[:, :1], net, "relu1_1")
    assert PRESETS["fast"].steps < PRESETS["normal"].steps < PRESETS["fine"].steps


@pytest.mark.slow
def test_a_hundred_calls_cost_the_same(net: Network) -> None:
    """Hooks, graphs and copies that pile up would show in memory and in calls."""
    image = torch.rand(1, 3, 32, 32, generator=torch.Generator().manual_seed(0))

    def call() -> None:
        net.encode(image, ["relu1_2", "relu2_1"])
        texton.invert_filter(image, net, "relu2_1", 3, steps=2)

    def work() -> int:
        """How many functions a call calls, of Python and of C."""
        events: list[str] = []
        sys.setprofile(lambda _frame, event, _arg: events.append(event))
        try:
            call()
        finally:
            sys.setprofile(None)
        return sum(event in ("call", "c_call") for event in events)

    for _ in range(10):
        call()
    first = work()
    gc.collect()
    objects, memory = len(gc.get_objects()), resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    for _ in range(100):
        call()
    gc.collect()
    grown = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - memory
    assert grown < 20_000, f"{grown} KiB more"
    assert len(gc.get_objects()) - objects < 500
    assert work() < 1.01 * first
    for dtype in (None, torch.float32):
        parts = net.frozen(choose_compute("cpu", dtype)).modules()
        assert not any(m._forward_hooks or m._forward_pre_hooks for m in parts)


@pytest.mark.slow
def test_longer_presets_end_lower(net: Network, cat: torch.Tensor) -> None:
    """None may end early for the noise of a high learning rate, taken for the end of the fall."""
    photo = torch.nn.functional.interpolate(cat, (32, 32), mode="area")
    means = []
    for preset in ("fast", "normal", "fine"):
        means.append(texton.invert_filter(photo, net, "relu5_2", 0, preset=preset).error)
    assert means[0] > means[1] + 0.01 and means[1] > means[2] + 0.005, means
