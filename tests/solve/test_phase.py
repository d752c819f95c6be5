"""A spectrum of natural magnitude, of which the phase alone is sought."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from PIL import Image
from torch import nn

from tests.helpers import EXAMPLES, Run, assert_refused
from texton import Network, TextonError
from texton.images.files import read_image
from texton.methods.maximisation import maximize
from texton.methods.parts.natural import magnitude
from texton.solve.canvas import unmixed
from texton.solve.phase import PhaseCanvas, magnitude_of, natural_magnitude

CPU = torch.device("cpu")


def drawn(*seeds: int) -> list[torch.Generator]:
    return [torch.Generator().manual_seed(seed) for seed in seeds]


def power_by_frequency(image: torch.Tensor) -> torch.Tensor:
    """Mean magnitude of the planes at 2, 4, 8 and 16 cycles a picture, along rows."""
    spectrum = torch.fft.rfft2(unmixed(image)[0]).abs().mean(0)
    return torch.stack([spectrum[0, n - 1 : n + 2].mean() for n in (2, 4, 8, 16)])


def test_only_the_phase_is_turned() -> None:
    canvas = PhaseCanvas(drawn(0), natural_magnitude((3, 48, 48)), 48, CPU)
    before = power_by_frequency(canvas.images())
    with torch.no_grad():
        canvas.values += torch.rand(canvas.values.shape, generator=drawn(1)[0]) * 6
    after = power_by_frequency(canvas.images())
    assert torch.allclose(before, after, rtol=0.35)
    assert 0.1 < float(canvas.images().std()) < 0.35


def test_the_power_law_falls_and_has_less_on_the_slant() -> None:
    made = natural_magnitude((3, 64, 64))[0]
    assert float(made[0, 4] / made[0, 16]) == pytest.approx(4**1.2, rel=1e-3)
    assert float(made[4, 4] / made[0, 4]) == pytest.approx(0.75 / 1.25 * 2**-0.6, rel=1e-3)
    assert float(made[0, 0]) == 0


def test_a_folders_spectrum_is_its_photographs(tmp_path: Path) -> None:
    lying = torch.zeros(1, 3, 40, 60) + 0.3
    lying[..., ::4, :] = lying[..., 1::4, :] = 0.7  # ten waves down, none across
    found = magnitude_of([lying[..., :40]])
    assert found[0].sum(1)[8:13].sum() > 10 * found[0].sum(0)[8:13].sum()
    pixels = (lying[0] * 255).round().byte().permute(1, 2, 0).numpy()
    Image.fromarray(pixels).save(tmp_path / "lying.png")
    assert magnitude(3, (32, 32), tmp_path).shape == (3, 32, 17)
    (tmp_path / "lying.png").unlink()
    with pytest.raises(TextonError, match="no images"):
        magnitude(3, (32, 32), tmp_path)


def test_where_it_was_asked_for_is_seen() -> None:
    canvas = PhaseCanvas(drawn(0), natural_magnitude((3, 32, 32)), 32, CPU)
    assert float(canvas.where().min()) == 1  # nothing was asked yet
    for _ in range(2):
        loss = canvas()[:, :, :16, :8].sum()
        torch.autograd.grad(loss, canvas.values)
    where = canvas.where()[0]
    assert where.shape == (32, 32)
    assert float(where[16:].max()) == 0 and float(where[:16, 8:].max()) == 0
    assert float(where[:16, :8].mean()) > 0.9


@pytest.fixture(scope="module")
def red() -> Network:
    """Its filter answers red alone."""
    conv = nn.Conv2d(3, 1, 1, bias=False)
    with torch.no_grad():
        conv.weight.copy_(torch.tensor([1.0, -0.5, -0.5]).reshape(1, 3, 1, 1))
    return Network(nn.Sequential(conv, nn.ReLU()), name="red")


def test_a_natural_picture_answers_more_and_is_transparent(red: Network, tmp_path: Path) -> None:
    made = maximize(red, "1", 0, size=32, steps=30, natural=True)
    assert made.trace[-1] < made.trace[0] < 0
    assert made.alpha is not None and made.alpha.shape == (32, 32)
    path = made.save(tmp_path / "x.png")
    assert Image.open(path).mode == "RGBA"
    on_white = read_image(path)[0]
    assert float((on_white - made.shown).abs().max()) < 0.02
    again = maximize(red, "1", 0, size=32, steps=30, natural=True)
    assert torch.equal(made.image, again.image)
    plain = maximize(red, "1", 0, size=32, steps=2)
    assert plain.alpha is None and torch.equal(plain.shown, plain.image)


def test_a_command_takes_a_folder_of_photographs(run: Run) -> None:
    words = ("maximize", "relu1_1:3", "--size", 24, "--steps", 2)
    made = run(*words, "--natural", "--photographs", EXAMPLES)
    assert made.code == 0, made.err
    assert made.out.strip() == "relu1_1-3-natural.png"
    assert_refused(run(*words, "--photographs", EXAMPLES), "are of --natural pictures")
