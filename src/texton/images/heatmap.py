"""A matrix of distances as a picture."""

from __future__ import annotations

import io
from collections.abc import Sequence

from PIL import Image
from torch import Tensor

from texton.errors import optional


def heat_map(distances: Tensor, names: Sequence[str]) -> Image.Image:
    """(N, N) distances, labelled, with the number in every cell up to twenty images."""
    with optional("experiments"):  # half a second of import, seldom needed
        from matplotlib.figure import Figure

    count = len(names)
    side = max(3.5, 0.55 * count + 2)
    figure = Figure(figsize=(side + 1, side), dpi=120, layout="constrained")
    axes = figure.subplots()
    drawn = axes.imshow(distances.numpy(), cmap="viridis_r", vmin=0)
    axes.set_xticks(range(count), names, rotation=45, ha="right")
    axes.set_yticks(range(count), names)
    if count <= 20:
        middle = float(distances.max()) / 2
        for row in range(count):
            for column in range(count):
                value = float(distances[row, column])
                ink = "white" if value > middle else "black"
                axes.text(column, row, f"{value:.2f}", color=ink, ha="center", va="center", size=7)
    figure.colorbar(drawn, label="style distance")
    buffer = io.BytesIO()
    figure.savefig(buffer, format="png", bbox_inches="tight")
    return Image.open(buffer).convert("RGB")
