"""A style as a thing of its own: the distribution of energy over feature maps (section 2.3)."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from texton.errors import TextonError
from texton.images.place import check_suffix
from texton.reading import read_json_file, take, take_all

if TYPE_CHECKING:
    from torch import Tensor

    from texton.network.network import Network

STATISTICS = ("means", "moments", "gram")  # functions of `texton.network.codes`
STYLE_LAYERS: tuple[str, ...] = ("relu1_1", "relu2_1", "relu3_1", "relu4_1", "relu5_1")
FORMAT = "texton-style/1"


@dataclass(frozen=True, eq=False)
class Fingerprint:
    """Each filter's mean and standard deviation, layer by layer, over one image.

    Attributes:
        network, weights_hash: what measured it; fingerprints of two networks do not compare.
        moments: layer → (1, 2C): C means, then C standard deviations, as `codes.moments`.
    """

    network: str
    weights_hash: str
    moments: dict[str, Tensor]

    def statistic(self, name: str, layers: Sequence[str]) -> dict[str, Tensor]:
        """``means`` (1, C) or ``moments`` (1, 2C) of the layers."""
        if name == "moments":
            return {layer: self.moments[layer] for layer in layers}
        return {layer: self.moments[layer].chunk(2, 1)[0] for layer in layers}

    def check(self, network: Network, statistic: str, layers: Sequence[str]) -> None:
        """Raise TextonError unless it can stand for a style of that network and statistic."""
        if self.weights_hash != network.weights_hash:
            raise TextonError(
                f"the fingerprint is of another network ({self.network}, weights "
                f"{self.weights_hash}): make it again with this one"
            )
        if statistic == "gram":
            raise TextonError(
                "a fingerprint has no Gram matrices: use pmci or moments, or the image"
            )
        missing = [layer for layer in layers if layer not in self.moments]
        if missing:
            raise TextonError(
                f"the fingerprint has no layer {missing[0]}: it has {', '.join(self.moments)}"
            )
        for layer in layers:
            if self.moments[layer].shape[1] != 2 * network.layer(layer).channels:
                raise TextonError(f"the fingerprint's layer {layer} is damaged: make it again")

    def save(self, path: str | Path) -> Path:
        """Write it as JSON, atomically; the name ends in ``.style``."""
        path = Path(path)
        check_suffix(path, ".style", "a fingerprint ends in .style")
        layers = {
            layer: dict(zip(("mean", "std"), _halves(values), strict=True))
            for layer, values in self.moments.items()
        }
        content = {
            "format": FORMAT,
            "network": self.network,
            "weights_hash": self.weights_hash,
            "layers": layers,
        }
        from texton.images.files import write_bytes

        write_bytes(json.dumps(content).encode(), path)
        return path


def fingerprint(
    image: Tensor,
    network: Network,
    layers: Sequence[str] = STYLE_LAYERS,
    device: str = "cpu",
) -> Fingerprint:
    """Measure an image's style: (1, C, H, W) in [0, 1], at the size it has.

    Raises:
        TextonError: an unknown layer, an image too small for it.
    """
    import torch

    from texton.methods.parts.photographs import check_photo
    from texton.network.codes import moments
    from texton.network.device import choose_compute

    check_photo(image, network)
    with torch.no_grad():
        codes = network.encode(image, layers, choose_compute(device, torch.float32))
    found = {layer: moments(codes[layer]).cpu() for layer in layers}
    return Fingerprint(network.name, network.weights_hash, found)


def read_fingerprint(path: str | Path) -> Fingerprint:
    """Read a ``.style`` file.

    Raises:
        TextonError: it is missing, or not what `Fingerprint.save` writes.
    """
    path = Path(path)
    try:
        content = read_json_file(path)
        if content.get("format") not in (FORMAT, "texton-style-1"):
            raise ValueError("another format")
        layers = take(content, "layers", dict)
        found = {layer: _values(take(layers, layer, dict)) for layer in layers}
        return Fingerprint(take(content, "network", str), take(content, "weights_hash", str), found)
    except OSError as error:
        raise TextonError(f"cannot read '{path}': {error.strerror or error}") from None
    except ValueError:
        raise TextonError(
            f"'{path}' is not a style file: make one with `texton fingerprint`"
        ) from None


def style_distances(
    images: Sequence[Tensor | Fingerprint],
    network: Network,
    statistic: str = "means",
    layers: Sequence[str] = STYLE_LAYERS,
    device: str = "cpu",
) -> Tensor:
    """How far apart the styles of images are: (N, N), symmetric, 0 on the diagonal.

    Per layer ‖s_a − s_b‖ / √(‖s_a‖ ‖s_b‖) for the statistic s, averaged over the layers.

    Raises:
        TextonError: fewer than two images; an unknown statistic or layer; a fingerprint of
            another network.
    """
    import torch

    if statistic not in STATISTICS:
        raise TextonError(f"unknown statistic '{statistic}': use {', '.join(STATISTICS)}")
    if len(images) < 2:
        raise TextonError("there is nothing to compare: name two images or more")
    vectors = [_vectors(image, network, statistic, layers, device) for image in images]
    count = len(images)
    distances = torch.zeros(count, count)
    for a in range(count):
        for b in range(a + 1, count):
            per_layer = [
                (x - y).norm() / (x.norm() * y.norm()).sqrt().clamp_min(1e-12)
                for x, y in zip(vectors[a], vectors[b], strict=True)
            ]
            distances[a, b] = distances[b, a] = torch.stack(per_layer).mean()
    return distances


def statistic_of(name: str) -> Callable[[Tensor], Tensor]:
    """The statistic of that name: a code (B, C, H, W) → (B, …)."""
    from texton.network import codes

    found: Callable[[Tensor], Tensor] = getattr(codes, name)
    return found


def _vectors(
    image: Tensor | Fingerprint,
    network: Network,
    statistic: str,
    layers: Sequence[str],
    device: str,
) -> list[Tensor]:
    if isinstance(image, Fingerprint):
        image.check(network, statistic, layers)
        found = image.statistic(statistic, layers)
        return [found[layer].flatten() for layer in layers]
    import torch

    from texton.network.device import choose_compute

    with torch.no_grad():
        codes = network.encode(image, layers, choose_compute(device, torch.float32))
        return [statistic_of(statistic)(codes[layer]).flatten().cpu() for layer in layers]


def _halves(values: Tensor) -> list[list[float]]:
    return [[float(f"{v:.6g}") for v in half[0].tolist()] for half in values.chunk(2, 1)]


def _values(entry: dict[str, Any]) -> Tensor:
    import torch

    mean, spread = take_all(entry, "mean", float), take_all(entry, "std", float)

    values = torch.tensor([mean + spread], dtype=torch.float32)
    if len(mean) != len(spread) or not mean or not values.isfinite().all():
        raise ValueError("damaged")
    return values
