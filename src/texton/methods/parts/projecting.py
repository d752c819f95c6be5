"""Projections: what in an image an activation hangs on, its rectifiers passed by a rule.

One backward pass from a filter's activation at one position down to the pixels. With R the slope
that comes from above and x what entered a rectifier in the forward pass, it lets pass

- ``gradient``: R·[x > 0] (Simonyan et al. 2014, the activation's true gradient);
- ``guided``: R·[x > 0]·[R > 0] (Springenberg et al. 2015);
- ``deconv``: R·[R > 0] (Zeiler & Fergus 2014);
- ``template``: as ``deconv``, through average pooling.

All else is the transposed operation, which is its gradient: of a convolution, of batch
normalisation, of max pooling, which goes back by its switches and adds where windows overlap.
``deconv`` knows the image by these switches alone. The paper's VGG-19 with average pooling has
none, so ``deconv`` computes it with max pooling, as it was trained; ``template`` leaves it as it
is and draws what the weights alone say, the same for every image.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from texton.errors import TextonError
from texton.methods.parts.pools import by_maximum
from texton.methods.parts.rectifying import BY_INPUT, RULES, Rule, Ruled
from texton.network.device import choose_compute, in_batches
from texton.network.frozen import cast, check_weights
from texton.network.network import Network
from texton.network.placing import Placing, placing


@dataclass(frozen=True, eq=False)
class Projection:
    """Slopes to the pixels of images, one a filter's position.

    Attributes:
        slopes: (B, C, H, W), on the CPU: by how much the value grows with each pixel of an image in
            [0, 1], as the rule has it; wholly 0 where a rectified filter is silent.
        values: (B,) the activations they start from.
        cells: (B, 2) their rows and columns in the code.
    """

    slopes: Tensor
    values: Tensor
    cells: Tensor


def project(
    images: Tensor,
    network: Network,
    layer: str,
    channel: int | Sequence[int],
    positions: Tensor | None = None,
    rule: Rule = "guided",
    *,
    device: str = "auto",
) -> Tensor:
    """Projections of one filter's activations, or of one filter an image: see `Projector`.

    Args:
        images: (B, C, H, W) in [0, 1].
        positions: (B, 2) rows and columns of the code; each image's strongest without it.
        rule: ``guided``, ``gradient``, ``deconv`` or ``template``.

    Returns:
        (B, C, H, W), float32: as they come, around 0; `shown` makes pictures of them.

    Raises:
        TextonError: as `Projector`.
    """
    return Projector(network, layer, rule, device).project(images, channel, positions).slopes


def shown(slopes: Tensor, grey: bool = False) -> Tensor:
    """Projections (B, C, H, W) as pictures in [0, 1]: 0.5 + 0.5·R/q, one scale for the colours.

    q is the 99.5 % quantile of \\|R\\| over the pixels that R reaches at all, of each image.

    Args:
        grey: how strong R is in place of what it is: its size over the colours, from black.
    """
    if grey:
        slopes = slopes.square().sum(1, keepdim=True).sqrt().expand_as(slopes)
    scales = [_quantile(one.abs()) for one in slopes]
    scaled = slopes / torch.tensor(scales).reshape(-1, 1, 1, 1)
    return (scaled if grey else 0.5 + 0.5 * scaled).clamp(0, 1)


class Projector:
    """One layer's filters, projected down to the pixels in float32.

    Args:
        rule: see above.

    Raises:
        TextonError: an unknown layer, rule or device.
    """

    def __init__(
        self, network: Network, layer: str, rule: Rule = "guided", device: str = "auto"
    ) -> None:
        if rule not in RULES:
            raise TextonError(f"unknown rule '{rule}': use deconv, guided, gradient or template")
        self.network, self.layer, self.rule = network, network.layer(layer), rule
        self.compute = choose_compute(device, torch.float32)
        # Plain: the lean copy's rectifiers are not to be seen, and its slopes are not these.
        module = cast(network.copied(), self.compute)
        self.pooling = _pooling(network, rule)
        if self.pooling == "max" and network.details.get("pooling") != "max":
            module = by_maximum(module)
        check_weights(module, network.name)
        self._encode = network.encoder(layer, self.compute, module)

    def project(
        self, images: Tensor, channel: int | Sequence[int], positions: Tensor | None = None
    ) -> Projection:
        """
        Args:
            images: (B, C, H, W) in [0, 1].
            channel: the filter, or each image's own.
            positions: (B, 2) rows and columns of the code; each image's strongest without it.

        Raises:
            TextonError: an unknown channel, a position outside the code, an image that is too
                small; rectifiers for which the rule is not defined.
        """
        channels = [channel] * len(images) if isinstance(channel, int) else list(channel)

        def work(part: slice) -> Projection:
            where = None if positions is None else positions[part]
            return self.look(images[part]).project(channels[part], where)

        found = list(in_batches(len(images), self.compute, work))
        parts = zip(*((one.slopes, one.values, one.cells) for one in found), strict=True)
        return Projection(*map(torch.cat, parts))

    def look(self, images: Tensor) -> Seen:
        """Images (B, C, H, W) on their way up to the layer, once for all that is sent back.

        Raises:
            TextonError: images that are too small; rectifiers for which the rule is not defined.
        """
        with torch.inference_mode(False), torch.enable_grad():
            pixels = images.detach().to(self.compute.device, torch.float32, copy=True)
            with Ruled(self.rule) as ruled:
                code = self._encode(pixels.requires_grad_())[self.layer.name]
        self._check(ruled)
        if not code.requires_grad:
            raise TextonError(f"{self.network.name} gives {self.layer.name} no gradient to pixels")
        return Seen(self, pixels, code)

    def _check(self, ruled: Ruled) -> None:
        """Refuse a rule where nobody has said what it is."""
        if self.rule == "gradient":
            return
        what = ""
        if ruled.bent:
            what = f"uses {', '.join(sorted(ruled.bent))} before {self.layer.name}"
        elif not ruled.rectified and ruled.convolved > 1:
            what = f"has no ReLU before {self.layer.name}"
        if what:
            raise TextonError(
                f"{self.network.name} {what}: {self.rule} is defined for ReLU alone, "
                "use --rule gradient"
            )


class Seen:
    """Images that a projector has looked at.

    Attributes:
        code: (B, filters, M, N).
    """

    def __init__(self, projector: Projector, pixels: Tensor, code: Tensor) -> None:
        self._by, self._pixels, self._code = projector, pixels, code
        self.code = code.detach()

    def project(self, channels: Sequence[int], cells: Tensor | None = None) -> Projection:
        """One filter of each image, from a position (B, 2) or its strongest.

        Raises:
            TextonError: an unknown channel, a position outside the code.
        """
        name, (count, rows, columns) = self._by.layer.name, self.code.shape[1:]
        if not all(0 <= channel < count for channel in channels):
            raise TextonError(f"{name} has channels 0 to {count - 1}, not {list(channels)}")
        each = torch.arange(len(self.code))
        if cells is None:
            cells = _strongest(self.code[each, list(channels)])
        if bool((cells < 0).any()) or bool((cells.cpu() >= torch.tensor([rows, columns])).any()):
            raise TextonError(f"{name} has {rows} rows and {columns} columns: no such position")
        with torch.inference_mode(False), torch.enable_grad():
            values = self._code[each, list(channels), cells[:, 0], cells[:, 1]]
            # A silent filter has no slope. The rules that do not look would give it one.
            alive = values > 0 if self._by.rule not in BY_INPUT else torch.ones_like(values)
            told = (values, self._pixels, alive.to(values))
            (slopes,) = torch.autograd.grad(*told, retain_graph=True)
        return Projection(slopes.cpu(), values.detach().cpu(), cells.cpu())

    def nearest(self, x: float, y: float) -> Tensor:
        """(1, 2), the position whose unit is centred nearest to a pixel.

        Raises:
            TextonError: there is no such pixel.
        """
        height, width = self._pixels.shape[2:]
        if not (0 <= x < width and 0 <= y < height):
            raise TextonError(f"there is no pixel {x:g},{y:g}: the photograph is {width}×{height}")
        rows, columns = self.code.shape[2:]
        return torch.tensor([self._placing.nearest(y, x, rows, columns)])

    def centre(self, cell: Tensor) -> tuple[float, float]:
        """The row and column of pixels that a position's unit is centred on."""
        row, column = cell.tolist()
        return self._placing.pixel(row, column)

    @property
    def _placing(self) -> Placing:
        height, width = self._pixels.shape[2:]
        rows, columns = self.code.shape[2:]
        told = (self._by.network, self._by.layer.name, (height, width), (rows, columns))
        return placing(*told)


def _pooling(network: Network, rule: str) -> str | None:
    """That with which a network that may have either is computed."""
    own = network.details.get("pooling")
    return None if own is None else {"deconv": "max", "template": "avg"}.get(rule, own)


def _strongest(maps: Tensor) -> Tensor:
    """(B, M, N) → (B, 2): the row and column of each map's maximum."""
    places = maps.detach().flatten(1).argmax(1)
    return torch.stack([places // maps.shape[2], places % maps.shape[2]], 1)


def _quantile(sizes: Tensor) -> float:
    """99.5 % of what is not 0; 1 where all is."""
    reached = sizes[sizes > 0]
    if not len(reached):
        return 1.0
    return float(reached.kthvalue(max(1, round(0.995 * len(reached)))).values)
