"""Decoders: mirrors of networks, of any size, without frames; and what refuses to be one."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
import torch
from torch import nn

from tests.training.recipes import CPU, write_photographs
from texton.errors import TextonError
from texton.learned.decoder import LoadedDecoder, built, decoder_for
from texton.learned.file import load_trained, save_trained
from texton.network.network import Network
from texton.training.decoder import DecoderRecipe
from texton.training.options import DecoderOptions
from texton.training.photos import Photos
from texton.training.trainer import train


@pytest.fixture(scope="module")
def small() -> Network:
    """Two convolutions and a pool between them."""
    torch.manual_seed(1)
    module = nn.Sequential(
        nn.Conv2d(3, 8, 3, padding=1), nn.ReLU(), nn.AvgPool2d(2), nn.Conv2d(8, 12, 3, padding=1)
    )
    return Network(module.append(nn.ReLU()), name="small")


@pytest.fixture(scope="module")
def photos(tmp_path_factory: pytest.TempPathFactory) -> Photos:
    return Photos.read(write_photographs(tmp_path_factory.mktemp("photographs"), 12), 32)


@pytest.fixture(scope="module")
def file(small: Network, photos: Photos, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A decoder of `small`'s last layer, trained for a few seconds."""
    told = DecoderOptions(steps=80, batch=2, crop=32, rate=0.01, every=80)
    out = tmp_path_factory.mktemp("decoder") / "a.safetensors"
    recipe = DecoderRecipe(small, "4", told, photos, CPU)
    before = float(recipe.loss(photos.held_crops(32), 0).detach())
    assert train(recipe, photos, told, out, CPU).held < 0.4 * before
    return out


def test_a_decoder_mirrors_its_network(net: Network) -> None:
    _, architecture = decoder_for(net, "relu3_1")
    assert architecture == {
        "channels": 256,
        "stages": [[1, 128], [2, 128], [1, 64], [2, 64], [1, 3]],
    }
    assert decoder_for(net, "relu1_1")[1]["stages"] == [[1, 3]]
    assert decoder_for(net, "pool1")[1]["stages"] == [[2, 64], [1, 3]]
    with pytest.raises(TextonError, match="no layer 'relu9_9'"):
        decoder_for(net, "relu9_9")


@pytest.mark.parametrize("size", [(32, 32), (33, 47), (35, 34), (16, 16)])
def test_any_size_comes_back(size: tuple[int, int], net: Network) -> None:
    decoder, _ = decoder_for(net, "relu4_1")
    with torch.no_grad():
        code = net.encode(torch.rand(2, 3, *size), "relu4_1")["relu4_1"]
        assert decoder(code, size).shape == (2, 3, *size)


def test_a_plain_code_gives_a_plain_picture(net: Network) -> None:
    """No frame and no checkerboard can come from the decoder itself, whatever its weights are."""
    torch.manual_seed(0)
    decoder, _ = decoder_for(net, "relu3_1")
    with torch.no_grad():
        picture = decoder(torch.rand(1, 256, 1, 1).expand(1, 256, 6, 6), (24, 24))
    assert picture.std((2, 3)).max() < 1e-5 * picture.abs().max()


def test_a_branch_has_no_mirror() -> None:
    class Branch(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.a, self.b = nn.Conv2d(3, 4, 3, padding=1), nn.Conv2d(4, 4, 3, padding=1)

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            first = self.a(x)
            second: torch.Tensor = self.b(first + torch.relu(first))
            return second

    network = Network(Branch(), name="branch")
    decoder_for(network, "a")
    with pytest.raises(TextonError, match="branch is no chain of stages up to b"):
        decoder_for(network, "b")


def test_what_it_decodes_is_the_photograph(small: Network, photos: Photos, file: Path) -> None:
    decoder = LoadedDecoder(file, small)
    image = photos.held_crops(48)
    code = small.encode(image, "4")["4"]
    decoded = decoder(code, image.shape, CPU)
    assert decoded.shape == image.shape and decoded.min() >= 0 and decoded.max() <= 1
    error, grey = ((x - image).square().mean() for x in (decoded, image.mean((2, 3), True)))
    assert error < 0.5 * grey
    with pytest.raises(TextonError, match=r"decodes 4, not 1: train one with `texton train"):
        decoder.check_layer("1")


def test_files_of_others_are_refused(small: Network, file: Path, tmp_path: Path) -> None:
    torch.manual_seed(2)
    other = Network(nn.Sequential(nn.Conv2d(3, 8, 3, padding=1), nn.ReLU()), name="other")
    with pytest.raises(TextonError, match="trained on small, whose weights other does not have"):
        LoadedDecoder(file, other)
    read = load_trained(file, "decoder")
    shape = read.header.architecture
    bad = [
        replace(read.header, layers=()),
        replace(read.header, layers=("1",)),
        replace(read.header, layers=("no",)),
        replace(read.header, architecture={**shape, "stages": [[1, 3]]}),
        replace(read.header, architecture={**shape, "stages": [[2, 8], [1, 3], 5]}),
        replace(read.header, architecture={**shape, "stages": [[10**9, 8], [1, 3]]}),
        replace(read.header, architecture={**shape, "stages": [[2, 10**12], [1, 3]]}),
        replace(read.header, architecture={**shape, "channels": -1}),
    ]
    for header in bad:
        path = save_trained(read.built(built), header, tmp_path / "b.safetensors")
        with pytest.raises(TextonError, match="cannot be used") as error:
            LoadedDecoder(path, small)
        assert "\n" not in str(error.value)


def test_codes_of_any_scale_are_whitened(photos: Photos) -> None:
    """A layer whose channels differ a thousandfold, and which all say nearly the same."""
    torch.manual_seed(1)
    conv = nn.Conv2d(3, 6, 3, padding=1)
    with torch.no_grad():
        conv.weight.copy_(conv.weight[:1] + 0.1 * conv.weight)
        conv.weight *= torch.logspace(-1, 2, 6)[:, None, None, None]
    network = Network(nn.Sequential(conv), name="scaled")
    told = DecoderOptions(batch=4, crop=32)
    decoder = DecoderRecipe(network, "0", told, photos, CPU).model
    code = network.encode(torch.stack([x[:, :32, :32] / 255 for x in photos.seen]), "0")["0"]
    before = torch.linalg.eigvalsh(torch.cov(code.transpose(0, 1).flatten(1)))
    white = torch.nn.functional.conv2d(code - decoder.mean, decoder.whiten)
    after = torch.linalg.eigvalsh(torch.cov(white.transpose(0, 1).flatten(1)))
    assert before[-1] > 1e3 * before[-3].abs()
    assert after[-3:].min() > 0.2 and after.max() < 5


def test_mixed_precision(small: Network, photos: Photos, tmp_path: Path) -> None:
    """Computed in bfloat16, kept in float32, and it learns."""
    mixed = replace(CPU, dtype=torch.bfloat16)
    told = DecoderOptions(steps=20, batch=2, crop=32, rate=0.01, every=20)
    recipe = DecoderRecipe(small, "1", told, photos, mixed)
    seen: list[torch.dtype] = []
    recipe.model.convs[0].register_forward_hook(lambda _, __, out: seen.append(out.dtype))
    losses: list[float] = []
    outcome = train(
        recipe, photos, told, tmp_path / "a.safetensors", mixed, lambda x: losses.append(x.loss)
    )
    assert set(seen[:20]) == {torch.bfloat16} and outcome.held < 0.7 * losses[0]
    assert all(
        x.dtype == torch.float32 for x in load_trained(outcome.path, "decoder").tensors.values()
    )


def test_a_loss_means_the_same_in_any_batch(small: Network, photos: Photos) -> None:
    told = DecoderOptions(batch=1, crop=32)
    recipe = DecoderRecipe(small, "4", told, photos, CPU)
    images = torch.stack([x[:, :32, :32] / 255 for x in photos.seen[:4]])
    images[0] = 0.5 + 0.001 * images[0]  # as good as flat
    with torch.no_grad():
        each = [float(recipe.loss(image[None], 0)) for image in images]
        assert float(recipe.loss(images, 0)) == pytest.approx(sum(each) / 4, rel=1e-4)
        assert each[0] < 3 * max(each[1:])
