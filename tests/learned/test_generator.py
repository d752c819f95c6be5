"""Networks that paint: what they give, their files, those of pytorch/examples, and ONNX."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from safetensors.torch import save_file
from torch import Tensor, nn

from texton import TextonError
from texton.learned.file import Header, save_trained
from texton.learned.generator import Architecture, Generator
from texton.learned.onnx_graph import write_onnx
from texton.learned.style_file import read_style_model

TINY = Architecture(width=2, residuals=1)


def tiny(styles: int = 1, output: str = "tanh", seed: int = 0) -> Generator:
    """Of weights that tell everything apart, its norms' too."""
    torch.manual_seed(seed)
    upsampling = "nearest" if output == "255" else "bilinear"
    made = Generator(Architecture(2, 1, styles, 5, output, upsampling))
    for weight in made.parameters():
        nn.init.normal_(weight, std=0.3)
    return made.eval()


def header_of(generator: Generator, **rest: Any) -> Header:
    told: dict[str, Any] = {"network": "vgg19", "weights_hash": "0", "pooling": "avg"}
    made = {"layers": ("relu1_1",), "steps": 1, "photos": 9, **told, **rest}
    return Header(kind="style", architecture=generator.architecture.as_json(), **made)


@pytest.mark.parametrize("size", [(16, 16), (17, 30), (33, 40)])
def test_the_size_stays_and_values_are_an_image(size: tuple[int, int]) -> None:
    painted = tiny()(torch.rand(2, 3, *size))
    assert painted.shape == (2, 3, *size)
    assert 0 <= painted.min() < painted.max() <= 1


def test_images_of_a_batch_do_not_mix_and_each_has_its_style() -> None:
    generator, images = tiny(styles=2), torch.rand(2, 3, 20, 20)
    shares = torch.eye(2)
    with torch.no_grad():
        together = generator(images, shares)
        alone = [generator(images[i : i + 1], shares[i : i + 1]) for i in range(2)]
        other = generator(images[:1], shares[1:])
    torch.testing.assert_close(together, torch.cat(alone))
    assert (other - alone[0]).abs().max() > 0.01


def test_a_share_of_one_style_is_that_style_and_blends_lie_between() -> None:
    both, image = tiny(styles=2), torch.rand(1, 3, 16, 16)
    first = tiny()
    state = both.state_dict()
    norms = {name for name in state if ".conv2d." not in name}
    first.load_state_dict({name: x[:1] if name in norms else x for name, x in state.items()})
    with torch.no_grad():
        torch.testing.assert_close(both(image, torch.tensor([[1.0, 0.0]])), first(image))
        even = both(image)
        assert torch.equal(even, both(image, torch.tensor([[0.5, 0.5]])))
        assert not torch.allclose(even, first(image))


def test_a_picture_that_is_even_is_painted_evenly() -> None:
    """No frame and no checkerboard: reflected borders look like any other place."""
    painted = tiny()(torch.full((1, 3, 32, 32), 0.3))
    assert painted.flatten(2).std(2).max() < 1e-3


@pytest.mark.parametrize(
    "told",
    [
        {"width": 0},
        {"width": 4000},
        {"residuals": 1.5},
        {"styles": True},
        {"side": 4},
        {"output": "relu"},
        {"upsampling": "bicubic"},
    ],
)
def test_numbers_that_make_no_generator_are_refused(told: dict[str, Any]) -> None:
    with pytest.raises(TextonError, match="a generator's"):
        Architecture(**told)


def test_what_is_written_is_read_with_its_names(tmp_path: Path) -> None:
    generator, image = tiny(styles=2), torch.rand(1, 3, 18, 21)
    header = header_of(generator, about={"styles": ["night", "scream"]})
    path = save_trained(generator, header, tmp_path / "two.safetensors")
    model = read_style_model(path)
    assert model.names == ("night", "scream") and model.header == header
    painted = model.paint(image, (3.0, 1.0), torch.device("cpu"))
    with torch.no_grad():
        assert torch.equal(painted, generator(image, torch.tensor([[0.75, 0.25]])))
    with pytest.raises(TextonError, match=r"3 shares for the 2 styles .*night, scream"):
        model.shares((1.0, 1.0, 1.0))
    for bad in (torch.rand(1, 3, 15, 40), torch.rand(1, 1, 32, 32)):
        with pytest.raises(TextonError, match="takes 3 channels and 16 pixels"):
            model.paint(bad, (), torch.device("cpu"))


class TransformerNet(nn.Module):
    """The network of pytorch/examples, as its README and its weights' names describe it."""

    def __init__(self, width: int, residuals: int) -> None:
        super().__init__()
        sides = [(3, width, 9, 1), (width, 2 * width, 3, 2), (2 * width, 4 * width, 3, 2)]
        ends = [(4 * width, 2 * width, 3, 1), (2 * width, width, 3, 1), (width, 3, 9, 1)]
        for number, told in enumerate(sides, 1):
            self.add_module(f"conv{number}", _Conv(*told))
            self.add_module(f"in{number}", nn.InstanceNorm2d(told[1], affine=True))
        for number in range(1, residuals + 1):
            block = nn.Module()
            for part in ("1", "2"):
                block.add_module(f"conv{part}", _Conv(4 * width, 4 * width, 3, 1))
                block.add_module(f"in{part}", nn.InstanceNorm2d(4 * width, affine=True))
            self.add_module(f"res{number}", block)
        for number, told in enumerate(ends, 1):
            self.add_module(f"deconv{number}", _Conv(*told))
            if number < 3:
                self.add_module(f"in{number + 3}", nn.InstanceNorm2d(told[1], affine=True))
        self.residuals = residuals

    def forward(self, x: Tensor) -> Tensor:
        def run(name: str, x: Tensor) -> Tensor:
            out: Tensor = self.get_submodule(name)(x)
            return out

        for number in (1, 2, 3):
            x = run(f"in{number}", run(f"conv{number}", x)).relu()
        for number in range(1, self.residuals + 1):
            res = f"res{number}"
            inside = run(f"{res}.in1", run(f"{res}.conv1", x)).relu()
            x = x + run(f"{res}.in2", run(f"{res}.conv2", inside))
        for number in (1, 2):
            grown = F.interpolate(x, scale_factor=2, mode="nearest")
            x = run(f"in{number + 3}", run(f"deconv{number}", grown)).relu()
        return run("deconv3", x)


class _Conv(nn.Module):
    def __init__(self, inputs: int, outputs: int, side: int, stride: int) -> None:
        super().__init__()
        self.reflection_pad = nn.ReflectionPad2d(side // 2)
        self.conv2d = nn.Conv2d(inputs, outputs, side, stride)

    def forward(self, x: Tensor) -> Tensor:
        out: Tensor = self.conv2d(self.reflection_pad(x))
        return out


@pytest.fixture(scope="module")
def foreign() -> TransformerNet:
    torch.manual_seed(1)
    made = TransformerNet(3, 2).eval()
    for name, weight in made.named_parameters():
        nn.init.normal_(weight, std=20 if name.startswith("deconv3") else 0.4)
    return made


@pytest.mark.parametrize("kind", ["plain", "old", "parallel"])
def test_weights_of_pytorch_examples_paint_as_they_do_there(
    kind: str, foreign: TransformerNet, tmp_path: Path
) -> None:
    state = dict(foreign.state_dict())
    if kind == "old":  # of torch 0.3: norms kept what they never used
        state |= {f"in{n}.running_{x}": torch.ones(3) for n in range(1, 6) for x in ("mean", "var")}
        state["res1.in1.running_mean"] = torch.ones(3)
    if kind == "parallel":
        state = {f"module.{name}": value for name, value in state.items()}
    torch.save(state, tmp_path / "mosaic.pth")
    model = read_style_model(tmp_path / "mosaic.pth")
    assert model.names == ("mosaic",) and model.header is None
    image = torch.rand(1, 3, 24, 32)
    with torch.no_grad():
        theirs = foreign(image * 255).clamp(0, 255) / 255
    assert theirs.std() > 0.05
    torch.testing.assert_close(model.paint(image, (), torch.device("cpu")), theirs)


def _spoiled(state: dict[str, Tensor], how: str) -> dict[str, Tensor]:
    if how == "missing":
        del state["in4.bias"]
    elif how == "shape":
        state["deconv1.conv2d.weight"] = torch.zeros(6, 12, 5, 5)
    elif how == "number":
        state["in2.weight"] = torch.full((6,), float("nan"))
    elif how == "deep":
        state["res9999.conv1.conv2d.weight"] = torch.zeros(1)
    elif how == "odd":
        state["conv1.conv2d.weight"] = torch.zeros(3)
    else:
        state = {"features.0.weight": torch.zeros(3, 3, 3, 3)}
    return state


@pytest.mark.parametrize(
    ("how", "says"),
    [
        ("missing", "'in4.bias' is missing"),
        ("shape", r"'deconv1.conv2d.weight' is \(6, 12, 5, 5\)"),
        ("number", "holds what is no number"),
        ("deep", "residuals is 9999"),
        ("odd", "is not the network of pytorch/examples"),
        ("other", "is not a network that paints"),
    ],
)
@pytest.mark.parametrize("suffix", [".pth", ".safetensors"])
def test_foreign_weights_that_do_not_fit(
    how: str, says: str, suffix: str, foreign: TransformerNet, tmp_path: Path
) -> None:
    path = tmp_path / f"bad{suffix}"
    state = _spoiled(dict(foreign.state_dict()), how)
    if suffix == ".pth":
        torch.save(state, path)
    else:
        save_file(state, path)
    with pytest.raises(TextonError, match=says):
        read_style_model(path)


@pytest.mark.parametrize("suffix", [".pth", ".safetensors", ".onnx"])
@pytest.mark.parametrize("content", [b"", b"\x89PNG\r\n", b"x" * 4000, None])
def test_files_that_are_no_models(suffix: str, content: bytes | None, tmp_path: Path) -> None:
    path = tmp_path / f"x{suffix}"
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(TextonError, match=r"x\.") as told:
        read_style_model(path)
    assert "\n" not in str(told.value) and "weights file" not in str(told.value)


def test_a_file_that_would_run_something_is_not_run(tmp_path: Path) -> None:
    class Bomb:
        def __reduce__(self) -> Any:
            return Path.touch, (tmp_path / "ran",)

    torch.save({"conv1.conv2d.weight": torch.zeros(1), "x": Bomb()}, tmp_path / "bomb.pth")
    with pytest.raises(TextonError):
        read_style_model(tmp_path / "bomb.pth")
    assert not (tmp_path / "ran").exists()


@pytest.mark.parametrize(
    ("change", "says"),
    [
        ({"kind": "decoder"}, "holds a decoder"),
        ({"architecture": {"width": 2}}, "architecture"),
        ({"architecture": {**TINY.as_json(), "width": "2"}}, "width"),
        ({"architecture": {**TINY.as_json(), "width": 10**9}}, "width"),
        ({"architecture": {**TINY.as_json(), "residuals": 2}}, "res2"),
    ],
)
def test_files_of_texton_that_do_not_fit(change: dict[str, Any], says: str, tmp_path: Path) -> None:
    generator = tiny()
    told = json.loads(header_of(generator).as_json()) | change
    path = tmp_path / "bad.safetensors"
    save_file(generator.state_dict(), path, {"texton": json.dumps(told)})
    with pytest.raises(TextonError, match=says):
        read_style_model(path)


@pytest.mark.parametrize("output", ["tanh", "added", "255"])
@pytest.mark.parametrize("styles", [1, 3])
def test_onnxruntime_paints_the_same_picture(styles: int, output: str, tmp_path: Path) -> None:
    runtime = pytest.importorskip("onnxruntime")
    generator = tiny(styles, output)
    if output == "255":
        with torch.no_grad():
            generator.deconv3.conv2d.weight *= 400
            generator.deconv3.conv2d.bias.fill_(128)
    path = write_onnx(generator, tmp_path / "night.onnx", {"styles": "night"})
    session = runtime.InferenceSession(path, providers=["CPUExecutionProvider"])
    shares = torch.tensor([[0.6, 0.3, 0.1][:styles]])
    more = {"shares": shares.numpy()} if styles > 1 else {}
    for size in ((32, 32), (37, 50)):
        image = torch.rand(1, 3, *size)
        (styled,) = session.run(None, {"image": image.numpy(), **more})
        with torch.no_grad():
            ours = generator(image, shares if styles > 1 else None)
        assert ours.std() > 0.05
        torch.testing.assert_close(torch.from_numpy(styled), ours, rtol=0, atol=1e-4)
    assert session.get_modelmeta().custom_metadata_map == {"styles": "night"}
