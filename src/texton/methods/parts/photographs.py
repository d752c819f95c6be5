"""What a method asks of the photograph that it is given."""

from __future__ import annotations

from typing import TYPE_CHECKING

from texton.errors import TextonError

if TYPE_CHECKING:
    from torch import Tensor

    from texton.network.network import Network


def check_photo(image: Tensor, network: Network) -> None:
    """Refuse what is no single image of the network's channels."""
    if image.ndim != 4 or image.shape[0] != 1 or image.shape[1] != network.channels:
        raise TextonError(
            f"the photograph is {tuple(image.shape)}: {network.name} takes "
            f"(1, {network.channels}, H, W)"
        )
