"""Hugging Face's models from folders, timm's words for where it looks, ONNX files."""

from __future__ import annotations

import json
import logging
import shutil
import sys
from pathlib import Path
from types import ModuleType

import numpy as np
import pytest
import torch
from safetensors.torch import load_file
from torch import nn

from tests.helpers import EXAMPLES, Run, assert_refused
from texton import load_network

CAT = EXAMPLES / "chelsea.jpg"
PROCESSOR = {
    "do_rescale": True, "rescale_factor": 1 / 255, "do_normalize": True,
    "image_mean": [0.5, 0.4, 0.3], "image_std": [0.2, 0.2, 0.1], "size": {"shortest_edge": 32},
}  # fmt: skip


@pytest.fixture(scope="module")
def folders(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """``resnet`` with a processor, ``vit`` without, ``bert``, as save_pretrained writes them."""
    transformers = pytest.importorskip("transformers", reason="transformers is not installed")
    place = tmp_path_factory.mktemp("folders")
    small = {"hidden_size": 16, "num_hidden_layers": 2, "num_attention_heads": 2}
    resnet = transformers.ResNetConfig(embedding_size=8, hidden_sizes=[8, 16], depths=[1, 1])
    vit = transformers.ViTConfig(**small, intermediate_size=32, image_size=32, patch_size=8)
    bert = transformers.BertConfig(**small, vocab_size=9, intermediate_size=8)
    for name, kind, config in (
        ("resnet", transformers.ResNetModel, resnet),
        ("vit", transformers.ViTForImageClassification, vit),
        ("bert", transformers.BertModel, bert),
    ):
        kind(config).save_pretrained(place / name)
    (place / "resnet" / "preprocessor_config.json").write_text(json.dumps(PROCESSOR))
    return place


@pytest.mark.works(
    "`transformers:FOLDER` or `transformers:NAME`: a CNN or a vision transformer of Hugging Face",
    "its layers, with its own image processor's mean, std and white; from safetensors alone, and "
    "no code of a repository is run",
)
@pytest.mark.slow
def test_a_cnn_of_hugging_face(folders: Path, run: Run) -> None:
    from transformers import ResNetConfig, ResNetModel

    spec = f"transformers:{folders / 'resnet'}"
    net = load_network(spec)
    assert np.allclose(net.preprocessing["mean"], PROCESSOR["image_mean"])
    assert net.preprocessing["input_range"] == 1 and net.name == f"{spec}@pretrained"
    image = torch.rand(1, 3, 32, 32)
    model = ResNetModel(ResNetConfig.from_pretrained(folders / "resnet")).eval()
    model.load_state_dict(load_file(folders / "resnet" / "model.safetensors"))
    mean, std = (torch.tensor(PROCESSOR[key]).view(3, 1, 1) for key in ("image_mean", "image_std"))
    with torch.no_grad():
        expected = model((image - mean) / std).last_hidden_state
    assert torch.allclose(
        net.encode(image, "encoder.stages.1")["encoder.stages.1"], expected, atol=1e-5
    )
    words = ("filter", CAT, "encoder.stages.1:3", "--size", 32, "--steps", 2, "--network", spec)
    made = run(*words, "--json", "-o", "x.png")
    assert made.code == 0 and "Loading" not in made.err, made.err
    assert np.isfinite(json.loads(made.out)["units"][0]["error"])
    random = load_network(f"{spec}@random7")
    assert random.name == f"{spec}@random7" and random.weights_hash != net.weights_hash


@pytest.mark.slow
def test_a_transformer_of_hugging_face(folders: Path, run: Run) -> None:
    spec = f"transformers:{folders / 'vit'}"
    listed = run("layers", "--network", spec, "--json")
    assert listed.code == 0, listed.err
    assert "assumed ImageNet's mean and std" in listed.err
    layers = {layer["name"]: layer for layer in json.loads(listed.out)["layers"]}
    assert layers["embeddings.patch_embeddings.projection"]["channels"] == 16
    assert (layers["layers.1"]["channels"], layers["layers.1"]["stride"]) == (16, 8)
    made = run("filter", CAT, "layers.1:3", "--size", 40, "--steps", 2, "--network", spec, "--json")
    assert made.code == 0, made.err
    assert json.loads(made.out)["size"] == [32, 32]


@pytest.mark.works(
    "a folder of Hugging Face that is no vision model, has no safetensors, other weights or an odd "
    "processor",
    "one line that says so",
)
@pytest.mark.slow
def test_a_hubs_name_alone_is_known(run: Run) -> None:
    pytest.importorskip("torchvision")
    refused = run("layers", "--network", "resnet50@random")
    assert_refused(refused, "did you mean 'torchvision:resnet50@random'")
    assert_refused(run("layers", "--network", "vgg91"), "did you mean 'vgg19'?")


@pytest.mark.parametrize(
    ("kind", "says"),
    [
        ("bert", "takes input_ids, no images"),
        ("nowhere", "there is no folder"),
        ("pickled", "has no weights in safetensors"),
        ("swapped", "does not hold the weights of its ViTModel"),
        ("empty", "give a folder that save_pretrained wrote"),
        ("remote", "needs code of its own"),
        ({"image_mean": "imagenet"}, "mean or std"),
        ({"image_std": [0, 1, 1]}, "mean or std"),
        ({"rescale_factor": "a lot"}, "rescale_factor is 'a lot'"),
        ({"do_normalize": 3}, "do_normalize is 3"),
        ([], "no image processor's"),
    ],
)
def test_folders_refused(kind: object, says: str, folders: Path, run: Run, tmp_path: Path) -> None:
    folder = tmp_path / "model"
    if kind == "bert":
        folder = folders / "bert"
    elif kind == "empty":
        folder.mkdir()
    elif kind != "nowhere":
        shutil.copytree(folders / ("vit" if kind == "swapped" else "resnet"), folder)
    if kind == "pickled":
        (folder / "model.safetensors").unlink()
        torch.save({}, folder / "pytorch_model.bin")
    elif kind == "swapped":
        shutil.copy(folders / "resnet" / "model.safetensors", folder)
    elif kind == "remote":
        code = {
            "model_type": "mine",
            "auto_map": {"AutoConfig": "mine.Mine", "AutoModel": "mine.M"},
        }
        (folder / "config.json").write_text(json.dumps(code))
        (folder / "mine.py").write_text("raise SystemExit('it was run')")
    elif not isinstance(kind, str):
        told = {**PROCESSOR, **kind} if isinstance(kind, dict) else kind
        (folder / "preprocessor_config.json").write_text(json.dumps(told))
    assert_refused(run("layers", "--network", f"transformers:{folder}"), says)


@pytest.mark.slow
def test_a_processor_that_leaves_images_as_bytes(folders: Path, tmp_path: Path) -> None:
    shutil.copytree(folders / "resnet", tmp_path / "m@1")  # a folder's name may look like a tag
    told = {"do_rescale": False, "image_mean": [127.5] * 3, "image_std": 64}
    whole = {"image_processor": {**PROCESSOR, **told}}
    (tmp_path / "m@1" / "preprocessor_config.json").unlink()
    (tmp_path / "m@1" / "processor_config.json").write_text(json.dumps(whole))
    net = load_network(f"transformers:{tmp_path / 'm@1'}")
    assert net.preprocessing["input_range"] == 255
    assert net.preprocessing["mean"] == [127.5] * 3 and net.preprocessing["std"] == [64.0] * 3


@pytest.fixture
def asked(monkeypatch: pytest.MonkeyPatch) -> list[tuple[str, bool]]:
    """What a timm that makes anything was asked for."""
    asked: list[tuple[str, bool]] = []

    def create(name: str, pretrained: bool) -> nn.Module:
        asked.append((name, pretrained))
        return nn.Sequential(nn.Conv2d(3, 4, 3))

    fake = ModuleType("timm")
    vars(fake).update(is_model=lambda _: False, list_models=lambda: ["x"], create_model=create)
    monkeypatch.setitem(sys.modules, "timm", fake)
    return asked


@pytest.mark.works(
    "`timm:hf-hub:OWNER/NAME`, `timm:local-dir:FOLDER`", "timm looks there, as by its own words"
)
@pytest.mark.parametrize(
    ("name", "wanted"),
    [
        ("hf-hub:timm/tiny.a1", ("hf-hub:timm/tiny.a1", True)),
        ("hf-hub:timm/tiny.a1@v2", ("hf-hub:timm/tiny.a1@v2", True)),
        ("hf_hub:timm/tiny@random", ("hf_hub:timm/tiny", False)),
        ("local-dir:{folder}", ("local-dir:{folder}", True)),
    ],
)
def test_timm_elsewhere(
    name: str, wanted: tuple[str, bool], asked: list[tuple[str, bool]], tmp_path: Path
) -> None:
    load_network(f"timm:{name.format(folder=tmp_path)}")
    assert asked == [(wanted[0].format(folder=tmp_path), wanted[1])]


def test_a_hub_that_cannot_be_reached_is_told_in_one_line(
    asked: list[tuple[str, bool]], run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    def create(name: str, pretrained: bool) -> nn.Module:
        logging.getLogger("huggingface_hub.utils").warning("Retrying in 1s")
        raise OSError("no route to host\nand more")

    monkeypatch.setattr(sys.modules["timm"], "create_model", create)
    before = logging.getLogger("huggingface_hub").level
    outcome = run("layers", "--network", "timm:hf-hub:timm/tiny.a1")
    assert_refused(outcome, "(OSError: no route to host): a folder of it, timm:local-dir:FOLDER")
    assert logging.getLogger("huggingface_hub").level == before


def test_timm_s_folder_that_is_not_there(asked: list[tuple[str, bool]], run: Run) -> None:
    assert_refused(run("layers", "--network", "timm:local-dir:nowhere"), "no folder 'nowhere'")
    assert asked == []


@pytest.mark.works(
    "`onnx:FILE`", "its convolutions are layers, through onnx2torch; codes are the module's own"
)
def test_a_network_in_an_onnx_file(run: Run, tmp_path: Path) -> None:
    pytest.importorskip("onnx2torch", reason="onnx2torch is not installed")
    module = nn.Sequential(nn.Conv2d(3, 4, 3, padding=1), nn.ReLU(), nn.MaxPool2d(2)).eval()
    axes = {"image": {0: "b", 2: "h", 3: "w"}}
    file, image = tmp_path / "m.onnx", torch.rand(1, 3, 32, 48)
    options = {"dynamo": False, "input_names": ["image"], "dynamic_axes": axes}
    torch.onnx.export(module, (image,), str(file), **options)
    listed = run("layers", "--network", f"onnx:{file}", "--json")
    assert listed.code == 0, listed.err
    names = [layer["name"] for layer in json.loads(listed.out)["layers"]]
    assert len(names) == 3
    code = load_network(f"onnx:{file}").encode(image, names[-1])[names[-1]]
    with torch.no_grad():
        assert torch.allclose(code, module(image), atol=1e-5)
    words = ("filter", CAT, f"{names[1]}:2", "--size", 32, "--steps", 2)
    made = run(*words, "--network", f"onnx:{file}")
    assert made.code == 0, made.err
    assert (tmp_path / made.out.strip()).is_file()
    (tmp_path / "bad.onnx").write_bytes(b"no network")
    assert_refused(run("layers", "--network", "onnx:bad.onnx"), "cannot be converted from ONNX")


@pytest.mark.parametrize(
    ("spec", "package", "says"),
    [
        ("onnx:x.onnx", "onnx2torch", "onnx2torch is not installed: pip install '.[onnx]'"),
        ("transformers:x", "transformers", "pip install '.[transformers]'"),
        ("onnx:none.onnx", None, "no file 'none.onnx'"),
    ],
)
def test_what_is_not_installed_is_named(
    spec: str, package: str | None, says: str, run: Run, tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:  # fmt: skip
    (tmp_path / "x.onnx").touch()
    if package:
        monkeypatch.setitem(sys.modules, package, None)
    assert_refused(run("layers", "--network", spec), says)
