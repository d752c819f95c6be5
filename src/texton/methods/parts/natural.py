"""How much of every frequency a picture of --natural has."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from torch import Tensor

from texton.errors import TextonError
from texton.images.crop import cropped_planes
from texton.images.files import read_image
from texton.images.folder import images_in
from texton.solve.phase import magnitude_of, natural_magnitude

if TYPE_CHECKING:
    from texton.network.layers import Size


def magnitude(channels: int, size: Size, folder: Path | None) -> Tensor:
    """Of a natural spectrum: of the middles of a folder's photographs, or a power of frequency.

    Raises:
        TextonError: no photographs are there, or one of them cannot be read.
    """
    if folder is None:
        return natural_magnitude((channels, *size))
    if not (files := images_in(folder)):
        raise TextonError(f"there are no images in '{folder}'")
    return magnitude_of(cropped_planes(read_image(x, channels=channels), size) for x in files)
