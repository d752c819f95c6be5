"""What a method asks of the photograph that it is given."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

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


def alpha_of(told: Any, content: Tensor) -> Tensor | None:
    """How opaque the picture is, (H, W).

    Raises:
        TextonError: it is of another size.
    """
    if told.alpha is None:
        return None
    alpha: Tensor = told.alpha
    if alpha.shape != content.shape[2:]:
        raise TextonError(f"alpha is {tuple(alpha.shape)}: give (H, W) of the photograph")
    return alpha


def bits_of(told: Any, photo: Tensor) -> int:
    """Of the picture's values: as many as the photograph's have, unless it is said."""
    if told.depth is not None:
        return int(told.depth)
    steps = photo * 255
    return 16 if bool(((steps - steps.round()).abs() > 1e-3).any()) else 8
