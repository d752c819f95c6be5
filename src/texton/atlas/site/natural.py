"""What pictures and weights say of a filter, as the template of its page takes it."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from texton.atlas.site import addresses

if TYPE_CHECKING:
    from texton.atlas.dossier.dossier import Dossier

Link = Callable[[str, int], dict[str, Any] | str]


def shown(dossier: Dossier, layer: str, channel: int, link: Link) -> dict[str, Any] | None:
    """None where nothing is known of the filter.

    Args:
        link: another filter as a tile that leads to its page, or its name.
    """
    found = dossier.page(layer, channel)
    if found is None:
        return None
    for key in ("adds", "takes"):
        found[key] = [
            (link(found["source"], part), f"{100 * abs(share):.0f} %", drawn)
            for part, share, drawn in found[key]
        ]
    found["feeds"] = [(link(*fed), f"{100 * share:.0f} %", "") for *fed, share in found["feeds"]]
    found["projections"] = None
    if found["places"]:
        found["sprite"] = addresses.patches(layer, channel)
        if dossier.sprites.projectable(layer):
            found["projections"] = addresses.projections(layer, channel)
    return found
