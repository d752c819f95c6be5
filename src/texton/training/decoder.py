"""How a decoder is trained: on the pixels, and on the code of what it decodes."""

from __future__ import annotations

from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor
from torch.utils.data import DataLoader

from texton.learned.decoder import Decoder, decoder_for
from texton.learned.file import Header, codes_of
from texton.network.device import Compute
from texton.network.network import Network
from texton.training.options import DecoderOptions
from texton.training.photos import Crops, Photos, seed_of

_LOOKED_AT = 64  # crops whose codes are whitened by
_SHOWN = 4
_TINY = 1e-8


class DecoderRecipe:
    """Trains the mirror of a network up to a layer.

    Both errors are shares of what there is to get right in the photographs: of their contrast, and
    of the energy of their codes, on average over crops. Shares of a batch's own would be large
    where there is least to see, and other losses with another ``--batch``. A margin is cut off:
    there the network has padded with zeros, and a decoder that copes with that paints a frame.

    Args:
        photos: by whose codes it whitens.

    Raises:
        TextonError: see `decoder_for`.
    """

    def __init__(
        self, network: Network, layer: str, told: DecoderOptions, photos: Photos, compute: Compute
    ) -> None:
        torch.manual_seed(seed_of(told.seed, "weights"))
        self.model: Decoder
        self.model, self._architecture = decoder_for(network, layer)
        self._network, self._layer, self._told = network, layer, told
        self._compute = compute
        self._encode = network.encoder(layer, compute)
        known = network.layer(layer)
        seen = known.receptive_field or known.stride
        self._margin = min(told.crop // 8, seen // 2)
        self._code_margin = self._margin // known.stride
        self._calibrate(photos)

    def loss(self, images: Tensor, step: int) -> Tensor:
        with torch.no_grad():
            wanted = self._codes(images)
        decoded = self.model(wanted, images.shape)
        loss = images.new_zeros(())
        if self._told.pixels:
            own, target = (_inner(x, self._margin) for x in (decoded, images))
            loss = loss + self._told.pixels * F.mse_loss(own, target) / self._contrast
        if self._told.code:
            own, target = (_inner(x, self._code_margin) for x in (self._codes(decoded), wanted))
            loss = loss + self._told.code * F.mse_loss(own, target) / self._energy
        return loss

    def sample(self, images: Tensor) -> Tensor:
        """Photographs above, what is decoded of their codes below."""
        shown = images[:_SHOWN]
        decoded = self.model(self._codes(shown), shown.shape).clamp(0, 1)
        rows = [torch.cat(list(x), 2) for x in (shown, decoded)]
        return torch.cat(rows, 1)[list(self._network.bands)]

    def identity(self) -> dict[str, Any]:
        return {"recipe": "decoder", "layer": self._layer, **codes_of(self._network)}

    def header(self, **made: Any) -> Header:
        architecture = self._architecture
        return Header.on(
            self._network, "decoder", (self._layer,), architecture=architecture, **made
        )

    def _codes(self, images: Tensor) -> Tensor:
        return self._encode(images)[self._layer].float()

    def _calibrate(self, photos: Photos) -> None:
        crops = Crops(photos.seen, self._told.crop, seed_of(self._told.seed, "calibrate"))
        loader = DataLoader(crops, self._told.batch, sampler=range(_LOOKED_AT))
        batches = list(loader)
        with torch.no_grad():
            codes = [self._codes(batch.to(self._compute.device)) for batch in batches]
        images = torch.cat(batches)
        self._contrast = float(images.var((2, 3), correction=0).mean()) + _TINY
        self._energy = float(torch.stack([x.square().mean() for x in codes]).mean()) + _TINY
        each = torch.cat([code.transpose(0, 1).flatten(1).cpu() for code in codes], 1).double()
        self.model.calibrate(each.mean(1).float(), torch.cov(each))


def _inner(x: Tensor, margin: int) -> Tensor:
    return x[..., margin : x.shape[-2] - margin, margin : x.shape[-1] - margin]
