"""Networks that paint are trained: on what `stylize` minimises, for one style and for two."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from PIL import Image
from torch import nn

import texton
from tests.helpers import Run
from tests.training.recipes import CPU, write_photographs
from texton import Network, TextonError
from texton.learned.file import save_trained
from texton.learned.generator import Architecture
from texton.learned.style_file import read_style_model
from texton.methods.parts.style_terms import measure, softened, style_objective
from texton.training.photos import Photos
from texton.training.style_options import StyleTraining
from texton.training.style_ratio import compare, trained_with
from texton.training.styles import StyleRecipe
from texton.training.trainer import Outcome, train

LAYERS = ("relu1", "relu2")
SMALL = {
    "content_layer": "relu2",
    "style_layers": LAYERS,
    "style_size": 32,
    "width": 4,
    "residuals": 1,
    "crop": 32,
    "batch": 2,
}


class Shallow(nn.Module):
    """Two rectified layers with weights that are always the same."""

    def __init__(self) -> None:
        super().__init__()
        self.conv1, self.relu1 = nn.Conv2d(3, 8, 3, padding=1), nn.ReLU()
        self.pool, self.conv2, self.relu2 = nn.AvgPool2d(2), nn.Conv2d(8, 12, 3), nn.ReLU()
        generator = torch.Generator().manual_seed(3)
        with torch.no_grad():
            for weight in self.parameters():
                weight.copy_(0.4 * torch.randn(weight.shape, generator=generator))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        out: torch.Tensor = self.relu2(self.conv2(self.pool(self.relu1(self.conv1(x)))))
        return out


@pytest.fixture(scope="module")
def shallow() -> Network:
    return Network(Shallow(), name="shallow")


@pytest.fixture(scope="module")
def paintings(tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    """Red stripes, and blue ones across."""
    folder = tmp_path_factory.mktemp("paintings")
    stripes = (torch.arange(32) // 3 % 2).float().expand(32, 32)
    found = []
    for name, colour, image in (("red", 0, stripes), ("blue", 2, stripes.T)):
        pixels = 0.2 * torch.ones(32, 32, 3)
        pixels[..., colour] += 0.8 * image
        path = folder / f"{name}.png"
        Image.fromarray(pixels.clamp(0, 1).mul(255).to(torch.uint8).numpy()).save(path)
        found.append(path)
    return found


@pytest.fixture(scope="module")
def photographs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_photographs(tmp_path_factory.mktemp("photographs"))


def trained(recipe: StyleRecipe, photographs: Path, out: Path, told: StyleTraining) -> Outcome:
    return train(recipe, Photos.read(photographs, told.crop), told, out, CPU)


@pytest.mark.parametrize("statistic", ["pmci", "gatys", "moments"])
def test_the_loss_is_what_stylize_minimises(
    statistic: str, shallow: Network, paintings: list[Path]
) -> None:
    """Of every image of a batch, each against its own content and style."""
    told = StyleTraining.of({**SMALL, "statistic": statistic, "layer_weights": (1, 3)})
    recipe = StyleRecipe(paintings, shallow, told, CPU)
    images = torch.rand(3, 3, 32, 32, generator=torch.Generator().manual_seed(1))
    torch.manual_seed(4)
    which = torch.randint(2, (3,)).tolist()
    assert set(which) == {0, 1}
    torch.manual_seed(4)
    loss = float(recipe.loss(images, 0).detach())
    totals = []
    for image, style in zip(images, which, strict=True):
        one = told.sought(paintings[style : style + 1])
        texture = texton.read_image(paintings[style], 32)
        texture = softened(texture, one)
        objective = style_objective(image[None], [texture], 1.0, shallow, one, CPU)
        with torch.no_grad():
            shares = torch.eye(2)[style : style + 1]
            painted = recipe.model(image[None], shares)
        totals.append(measure(objective, painted, shallow, CPU)["total"])
    assert loss == pytest.approx(sum(totals) / 3, rel=1e-4)


def test_a_training_is_of_the_codes_of_one_pooling(
    shallow: Network, paintings: list[Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    told = StyleTraining.of(SMALL)
    recipe = StyleRecipe(paintings, shallow, told, CPU)
    monkeypatch.setitem(shallow.details, "pooling", "avg")
    header, before = recipe.header(steps=1, photos=9), recipe.identity()
    header.check_network(shallow, "x.safetensors")
    monkeypatch.setitem(shallow.details, "pooling", "max")
    assert recipe.identity() != before
    with pytest.raises(TextonError, match="with avg pooling, not max: add --pooling"):
        header.check_network(shallow, "x.safetensors")


def test_a_model_from_before_style_blur_saw_its_paintings_as_they_are(
    shallow: Network, paintings: list[Path], photographs: Path, tmp_path: Path
) -> None:
    told = StyleTraining.of({**SMALL, "steps": 1})
    recipe = StyleRecipe(paintings, shallow, told, CPU)
    model = read_style_model(trained(recipe, photographs, tmp_path / "a.safetensors", told).path)
    assert model.header is not None
    assert trained_with(model, shallow, paintings) == told
    del model.header.options["style_blur"]
    assert trained_with(model, shallow, paintings) == replace(told, style_blur=0.0)


@pytest.mark.slow
def test_a_style_is_learnt_and_compared_with_the_optimiser(
    shallow: Network, paintings: list[Path], photographs: Path, tmp_path: Path
) -> None:
    told = StyleTraining.of({**SMALL, "steps": 40, "every": 20, "rate": 5e-3})
    recipe = StyleRecipe(paintings, shallow, told, CPU)
    made = trained(recipe, photographs, tmp_path / "two.safetensors", told)
    model = read_style_model(made.path)
    assert model.names == ("red", "blue") and model.header is not None
    assert model.header.network == "shallow" and model.header.steps == 40
    assert model.header.trace[-1][-1] == pytest.approx(made.held, rel=1e-4)
    photo = {"photo": Photos.read(photographs, 32).held_crops(32)[:1]}
    found = list(compare(model, photo, paintings, shallow, "cpu", "fast"))
    assert [x.style for x in found] == ["red", "blue"]
    for one in found:
        assert one.painted["total"] < one.before["total"], "it carries something of the style"
        assert one.ratio == one.painted["total"] / one.solved["total"] > 0.9
    red, blue = (x.images[1].mean((1, 2)) for x in found)
    assert red[0] - blue[0] > 0.02 and blue[2] - red[2] > 0.02, "each in its own colours"
    with pytest.raises(TextonError, match=r"has 2 styles \(red, blue\)"):
        next(compare(model, photo, paintings[:1], shallow))
    other = Network(nn.Sequential(nn.Conv2d(3, 2, 3), nn.ReLU()), name="other")
    with pytest.raises(TextonError, match="was trained on shallow"):
        next(compare(model, photo, paintings, other))


def test_the_same_seed_trains_the_same_network(
    shallow: Network, paintings: list[Path], photographs: Path, tmp_path: Path
) -> None:
    files = []
    for name in ("a", "b"):
        told = StyleTraining.of({**SMALL, "steps": 3, "seed": 1})
        recipe = StyleRecipe(paintings, shallow, told, CPU)
        out = tmp_path / f"{name}.safetensors"
        files.append(trained(recipe, photographs, out, told).path.read_bytes())
    assert files[0] == files[1]
    told = StyleTraining.of({**SMALL, "steps": 3, "seed": 2})
    recipe = StyleRecipe(paintings, shallow, told, CPU)
    out = trained(recipe, photographs, tmp_path / "c.safetensors", told).path
    assert out.read_bytes() != files[0]


def test_a_training_begins_with_what_another_has_learnt(
    shallow: Network, paintings: list[Path], tmp_path: Path
) -> None:
    recipe = StyleRecipe(paintings, shallow, StyleTraining.of({**SMALL, "seed": 1}), CPU)
    with torch.no_grad():
        recipe.model.get_parameter("in1.bias")[1] = 2.0
    header = recipe.header(steps=1, photos=9, options={}, trace=())
    path = save_trained(recipe.model, header, tmp_path / "before.safetensors")
    told = StyleTraining.of({**SMALL, "from_": path})
    state = recipe.model.state_dict()
    again = StyleRecipe(paintings, shallow, told, CPU).model.state_dict()
    assert all(torch.equal(again[name], x) for name, x in state.items())
    one = StyleRecipe(paintings[:1], shallow, told, CPU).model.state_dict()
    assert torch.equal(one["conv1.conv2d.weight"], state["conv1.conv2d.weight"])
    assert one["in1.bias"].shape == (1, 4) and torch.all(one["in1.bias"] == 1.0)
    with pytest.raises(TextonError, match="of another shape: add --width 4 --residuals 1"):
        other = StyleTraining.of({**SMALL, "width": 5, "from_": path})
        StyleRecipe(paintings, shallow, other, CPU)


def test_by_default_it_is_the_network_that_is_quick() -> None:
    told, built = StyleTraining.of({}), Architecture()
    assert (told.width, told.residuals) == (built.width, built.residuals) == (8, 5)


def test_what_cannot_be_learnt_is_told(
    shallow: Network, paintings: list[Path], tmp_path: Path
) -> None:
    told = StyleTraining.of(SMALL)
    (tmp_path / "no.png").write_bytes(b"\x89PNG and nothing")
    (tmp_path / "no.style").write_text("{}")
    for names, says in (
        ([], "no style is given"),
        ([tmp_path / "no.png"], "no.png"),
        ([tmp_path / "no.style"], "is not a style file"),
        ([*paintings, tmp_path / "missing.jpg"], "missing.jpg"),
    ):
        with pytest.raises(TextonError, match=says):
            StyleRecipe(names, shallow, told, CPU)
    grey = Network(nn.Sequential(nn.Conv2d(1, 2, 3), nn.ReLU()), name="grey", channels=1)
    with pytest.raises(TextonError, match="grey takes 1 channels"):
        StyleRecipe(paintings, grey, told, CPU)
    with pytest.raises(TextonError, match="relu3"):
        other = StyleTraining.of({**SMALL, "content_layer": "relu3"})
        StyleRecipe(paintings, shallow, other, CPU)
    with pytest.raises(TextonError, match="3 weights for 2 style layers"):
        StyleTraining.of({**SMALL, "layer_weights": (1, 2, 3)})


@pytest.mark.slow
def test_the_command_trains_paints_and_exports(
    run: Run, paintings: list[Path], photographs: Path
) -> None:
    small = ("--crop", 32, "--batch", 1, "--width", 2, "--residuals", 1, "--style-size", 32)
    layers = ("--content-layer", "relu1_1", "--style-layers", "relu1_1,relu1_2")
    told = ("--photos", photographs, *small, *layers, "--steps", 2, "--method", "gatys")
    made = run("train", "style", *paintings, *told, "-o", "two.safetensors", "--json")
    assert made.code == 0, made.err
    assert json.loads(made.out)["steps"] == 2
    painted = run("stylize", paintings[0], "--model", "two.safetensors", "-o", "x.png")
    assert painted.code == 0, painted.err
    shown = run("model", "two.safetensors", "--onnx", "two.onnx", "--json")
    assert shown.code == 0, shown.err
    described = json.loads(shown.out)
    assert described["styles"] == ["red", "blue"] and described["steps"] == 2
    assert described["options"]["statistic"] == "gatys" and Path("two.onnx").stat().st_size > 999
    compared = run(
        *("model", "two.safetensors", "--photo", photographs / "00.png", "--preset", "fast"),
        *("--painting", *paintings, "--size", 32, "-o", "sheet.png", "--json"),
    )
    assert compared.code == 0, compared.err
    found = json.loads(compared.out)
    assert [x["style"] for x in found["compared"]] == ["red", "blue"] and found["ratio"] > 0
    assert Image.open("sheet.png").width > 3 * 256


def test_a_folder_with_two_photographs_is_not_enough(
    run: Run, paintings: list[Path], tmp_path: Path
) -> None:
    few = write_photographs(tmp_path / "few", 2)
    made = run("train", "style", *paintings, "--photos", few, "--crop", 32, "-o", "x.safetensors")
    assert made.code == 2 and "Traceback" not in made.err
    assert "gives 2 different photographs" in made.err.splitlines()[-1]
    assert not Path("x.safetensors").exists()
