"""A command's photograph: read as its options say, and what the process fits to it."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from texton.cli import output as o
from texton.methods.command import ReadingOptions
from texton.methods.method import Method
from texton.methods.options import Options

if TYPE_CHECKING:
    from torch import Tensor

    from texton.network.network import Network
    from texton.network.sizes import Intake


def read_photo(
    method: Method,
    path: Path,
    reading: ReadingOptions,
    size: int,
    network: Network,
    intake: Intake,
    options: Options,
) -> tuple[Tensor, Options]:
    """The photograph, (1, C, H, W), and the method's options with its alpha, if it keeps one.

    Args:
        size: the long edge where nobody says one.

    Raises:
        TextonError: see `read_image`.
    """
    from texton.jobs.allocator import settle_allocator

    image = reading.read(path, size, network.channels, intake, o.say)
    if method.keeps_alpha:
        options = options.having(alpha=reading.read_alpha(path, size, image, intake))
    settle_allocator(image.shape[2] * image.shape[3])
    return image, options
