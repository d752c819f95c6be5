"""How canvases are seen, and what maximising needs of the solver and of a spectrum."""

from __future__ import annotations

import math
from dataclasses import replace
from functools import partial

import pytest
import torch
from torch import nn

from texton import Network, TextonError
from texton.network.device import Compute
from texton.solve.canvas import FourierCanvas, PixelCanvas, pink_noise
from texton.solve.maximise import Diverse, Maximise, check_place
from texton.solve.objective import Codes, Objective
from texton.solve.presets import MAXIMISING, solver_settings
from texton.solve.rules import Adam
from texton.solve.solver import Solver
from texton.solve.views import Windows, warped

CPU = torch.device("cpu")


def drawn(*seeds: int) -> list[torch.Generator]:
    return [torch.Generator().manual_seed(seed) for seed in seeds]


def numbered(height: int, width: int) -> torch.Tensor:
    return torch.arange(height * width, dtype=torch.float32).reshape(1, 1, height, width)


def test_a_plain_window_shows_pixels_as_they_are_and_goes_on_at_the_other_edge() -> None:
    image = numbered(12, 10)
    views = Windows(drawn(0), (8, 8))
    over_an_edge = 0
    for index in range(40):
        (view,) = views.at(index)
        seen = view(image)
        assert seen.shape == (1, 1, 8, 8)
        row, column = divmod(int(seen[0, 0, 0, 0]), 10)
        expected = image.roll((-row, -column), (2, 3))[..., :8, :8]
        assert torch.equal(seen, expected)
        over_an_edge += row > 4 or column > 2
    assert over_an_edge > 5


def test_an_image_whose_edges_do_not_meet_goes_on_with_its_mirror() -> None:
    image = numbered(12, 12)
    views = Windows(drawn(1), (8, 8), meet=False)
    for index in range(40):
        (view,) = views.at(index)
        steps = view(image)[0, 0].diff(dim=1).abs()
        assert float(steps.max()) <= 1  # never from one edge to the other
    assert torch.equal(views.again(image), view(image))


def test_a_window_that_is_turned_keeps_its_size_scale_and_middle() -> None:
    side = 64
    rows, columns = torch.meshgrid(*[torch.arange(side) - (side - 1) / 2] * 2, indexing="ij")
    ramp = torch.stack([rows, columns])[None].float()
    angle, scale = torch.tensor([0.2]), torch.tensor([0.9])
    seen = warped(ramp, (32, 24), angle, scale)
    assert seen.shape == (1, 2, 32, 24)
    down, right = seen[0].diff(dim=1)[:, 10, 10], seen[0].diff(dim=2)[:, 10, 10]
    for step in (down, right):
        assert float(step.norm()) == pytest.approx(0.9, abs=1e-4)
    assert abs(float(down @ right)) < 1e-4
    assert math.atan2(float(right[0]), float(right[1])) == pytest.approx(0.2, abs=1e-3)
    assert float(seen.mean((2, 3)).abs().max()) < 1e-3
    shifted = warped(ramp, (32, 24), 0 * angle, 1 + 0 * scale, (0.5, -0.25))
    assert torch.allclose(shifted.mean((2, 3)), torch.tensor([[0.5, -0.25]]), atol=1e-4)


def test_every_image_has_windows_of_its_own() -> None:
    image = torch.rand(1, 3, 20, 20, generator=drawn(0)[0]).expand(2, -1, -1, -1)
    told = {"scale": 0.1, "degrees": 10.0}
    (both,) = Windows(drawn(3, 4), (12, 12), **told).at(0)
    (alone,) = Windows(drawn(4), (12, 12), **told).at(0)
    assert torch.equal(both(image)[1:], alone(image[1:]))
    assert not torch.equal(both(image)[0], both(image)[1])


class _Brightness(Objective):
    """Minus the mean of the image: negative, and flat once all is white."""

    layers = ("0",)

    def __call__(self, codes: Codes, image: torch.Tensor) -> torch.Tensor:
        return -image.mean((1, 2, 3))


def _solver(objective: Objective, **changes: object) -> Solver:
    network = Network(nn.Sequential(nn.Conv2d(3, 2, 3, padding=1), nn.ReLU()))
    settings = replace(solver_settings("normal"), opening=0, tv=0.0, **changes)  # type: ignore[arg-type]
    canvas = PixelCanvas(torch.full((1, 3, 16, 16), 0.5))
    encoder = partial(network.encoder, compute=Compute(CPU))
    return Solver(encoder, objective, canvas, Adam(canvas, settings), settings, drawn(0))


def test_a_negative_error_that_no_longer_falls_ends_the_solving() -> None:
    solver = _solver(_Brightness(), steps=150, learning_rate=0.2)
    for _ in solver:
        pass
    assert float(solver.canvas.images().min()) == 1
    assert solver.steps.item() < 110


def test_slopes_of_several_views_are_averaged() -> None:
    class Halves:
        def at(self, index: int):  # type: ignore[no-untyped-def]
            return (lambda image: image[..., :8], lambda image: image[..., 8:])

    whole = _solver(_Brightness(), steps=1, early_stop=False)
    parts = _solver(_Brightness(), steps=1, early_stop=False)
    parts._views = Halves()
    moves = [[float(step.errors) for step in solver] for solver in (whole, parts)]
    assert moves[0] == pytest.approx(moves[1])
    assert torch.equal(whole.canvas.images(), parts.canvas.images())


def test_a_spectrum_is_no_louder_than_it_may() -> None:
    canvas = FourierCanvas(drawn(0, 1), (3, 17, 24), CPU, contrast=1.0, loudest=2.0)
    quiet = canvas.values.detach()[1:] / 1000
    with torch.no_grad():
        canvas.values[1:] = quiet
    before = _planes(canvas).mean((2, 3))
    canvas.bound()
    planes = _planes(canvas)
    mean = planes.mean((2, 3))
    lengths = torch.logit(canvas().detach())  # a colour counts as much as a grey
    loud = (lengths - lengths.mean((2, 3), keepdim=True)).square().sum(1).mean((1, 2)).sqrt()
    assert 1.7 < float(loud[0]) <= 2.02  # a little of a spectrum is no image's
    assert torch.allclose(mean, before, atol=1e-5)  # its mean colour is not what varies
    assert torch.equal(canvas.values[1:], quiet)


def test_a_spectrum_is_given_a_colour() -> None:
    canvas = FourierCanvas(drawn(0, 1), (3, 17, 24), CPU, contrast=0.0)
    told = torch.tensor([[0.1, 0.9, 0.1], [0.5, 0.5, 0.5]])
    canvas.tint(told)
    assert torch.allclose(canvas.images().mean((2, 3)), told, atol=1e-4)


def _planes(canvas: FourierCanvas) -> torch.Tensor:
    spectrum = torch.view_as_complex((canvas.values * canvas._scale).detach())
    return torch.fft.irfft2(spectrum, s=(17, 24))


def test_pink_noise_varies_as_photographs_do() -> None:
    for side in (48, 160):
        image = pink_noise(drawn(5), (3, side, side))
        assert 0.15 < float(image.std()) < 0.35
        rough = float(image.diff(dim=3).square().mean().sqrt())
        assert rough < 0.85 * float(image.std())  # neighbours are alike


def test_maximise_is_a_mean_a_neuron_or_a_direction_in_one_unit() -> None:
    code = torch.randn(2, 3, 4, 5, generator=drawn(0)[0])
    mean = Maximise("x", [1, 2], CPU, unit=2.0)
    expected = torch.stack([code[0, 1].mean(), code[1, 2].mean()]) / 2
    assert torch.allclose(mean.activation({"x": code}), expected)
    assert torch.allclose(mean({"x": code}, code), -expected)
    shares = torch.tensor([[1.0, -0.5, 0.0], [0.0, 0.0, 2.0]])
    neuron = Maximise("x", shares, CPU, place=(3, 0))
    wanted = torch.stack([code[0, 0, 3, 0] - 0.5 * code[0, 1, 3, 0], 2 * code[1, 2, 3, 0]])
    assert torch.allclose(neuron.activation({"x": code}), wanted)
    with pytest.raises(TextonError, match="4×5 neurons here, none at 4,0"):
        check_place((4, 0), (4, 5), "x")


def test_pictures_that_are_alike_count_for_less() -> None:
    code = torch.rand(3, 4, 6, 6, generator=drawn(0)[0])
    code[1] = code[0]  # the same picture twice, and another, of other filters
    code[2, :2] = 0
    maximise = Maximise("x", [3, 3, 3], CPU)
    alone = maximise({"x": code}, code)
    diverse = Diverse(maximise, 1.0)({"x": code}, code)
    kept = diverse / alone
    assert float(kept[0]) == pytest.approx(float(kept[1]), rel=1e-4)
    assert 0 < kept[0] < kept[2] < 1
    assert torch.allclose(Diverse(maximise, 0.0)({"x": code}, code), alone)
    flat = torch.full((3, 3, 96, 96), 0.9)
    flat[1, :, :24, :24] = torch.rand(24, 24, generator=drawn(0)[0])  # in one part of 16
    worth = Diverse(maximise, 0.0)({"x": code}, flat) / alone
    assert float(worth[0]) < 2e-3 and float(worth[1]) == pytest.approx(1 / 16, abs=3e-3)


def test_presets_of_maximising_take_ever_more_steps() -> None:
    assert [MAXIMISING[name].steps for name in ("fast", "normal", "fine")] == [64, 224, 512]
    with pytest.raises(TextonError, match="use fast, normal, fine"):
        solver_settings("paper", presets=MAXIMISING)


def test_a_window_is_turned_about_a_place_that_stays() -> None:
    image = torch.zeros(1, 1, 41, 41)
    image[0, 0, 30:33, 4:7] = 1
    views = Windows(
        drawn(0), (41, 41), reach=0, scale=0.2, degrees=30.0, about=(31.0 - 20, 5.0 - 20)
    )
    for index in range(8):
        (view,) = views.at(index)
        assert float(view(image)[0, 0, 31, 5]) > 0.95
    dot = torch.zeros(1, 1, 41, 41)
    dot[0, 0, 31, 5] = 1
    turned = warped(dot, (41, 41), torch.tensor([0.5]), torch.tensor([0.9]), about=(11.0, -15.0))
    assert int(turned.argmax()) == 31 * 41 + 5
