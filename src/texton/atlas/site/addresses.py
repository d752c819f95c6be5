"""Where everything of a site is: addresses that stay, safe on disks and in URLs alike."""

from __future__ import annotations

import re

_SAFE = re.compile(r"[A-Za-z0-9_.-]")
# Names of the site's own folders, and those that Windows keeps for devices.
_TAKEN = re.compile(r"(assets|photos|con|prn|aux|nul|com[0-9]|lpt[0-9])(\..*)?", re.IGNORECASE)

PICTURE = re.compile(
    r"(?P<channel>[0-9]{1,9})\.(?P<photo>.+?)(?P<kind>\.png|\.thumb\.webp|\.map\.webp)"
)
PATCHES = re.compile(r"(?P<channel>[0-9]{1,9})\.(?P<kind>patches|projections)\.webp")


def slug(name: str) -> str:
    """A name as one part of an address: ``_swish#2`` is ``_swish~232``.

    What is not a letter, digit, ``_``, ``.`` or ``-`` becomes ``~`` and two hexadecimal digits
    a byte, so two names never share an address, and a name's own never depends on others.
    """
    parts = [char if _SAFE.match(char) else _escaped(char) for char in name]
    if parts and (parts[0] == "." or parts[-1] == "." or _TAKEN.fullmatch(name)):
        parts[0] = _escaped(name[0])
    if len(parts) > 1 and parts[-1] == ".":
        parts[-1] = _escaped(".")
    return "".join(parts)


def layer_page(layer: str) -> str:
    return f"{slug(layer)}/index.html"


def filter_page(layer: str, channel: int) -> str:
    return f"{slug(layer)}/{channel}.html"


def picture(layer: str, channel: int, photo: str) -> str:
    return f"{slug(layer)}/{channel}.{slug(photo)}.png"


def thumbnail(layer: str, channel: int, photo: str) -> str:
    return f"{slug(layer)}/{channel}.{slug(photo)}.thumb.webp"


def patches(layer: str, channel: int) -> str:
    return f"{slug(layer)}/{channel}.patches.webp"


def projections(layer: str, channel: int) -> str:
    return f"{slug(layer)}/{channel}.projections.webp"


def map_of(layer: str, channel: int, photo: str) -> str:
    return f"{slug(layer)}/{channel}.{slug(photo)}.map.webp"


def unit(layer: str, channel: int, photo: str) -> str:
    """What pages and news of a build call a unit."""
    return f"{slug(layer)}:{channel}@{slug(photo)}"


def photograph(photo: str) -> str:
    return f"photos/{slug(photo)}.png"


def layer_data(layer: str) -> str:
    return f"assets/layers/{slug(layer)}.js"


def _escaped(char: str) -> str:
    return "".join(f"~{byte:02x}" for byte in char.encode("utf-8", "surrogatepass"))
