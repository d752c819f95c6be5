"""A PNG that texton saved, given back: the request that makes its picture again."""

from __future__ import annotations

import shlex
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from texton.app.forms import kind_of, options_of
from texton.app.house import House, network_name
from texton.app.kinds import KINDS, run_of
from texton.app.method_run import takes_photo
from texton.errors import TextonError
from texton.methods.catalogue import methods
from texton.methods.command import LARGEST, SMALLEST
from texton.methods.options import declarations
from texton.reading import take, take_all, take_optional

if TYPE_CHECKING:
    from texton.methods.method import Method

_FOREIGN = "this picture holds no settings of texton: open a PNG that texton saved"
_BESIDE = {"preset": "preset", "steps": "steps_asked", "seed": "seed"}  # outside the options


def opened(content: bytes, house: House) -> dict[str, Any]:
    """The request, tried as if it were made, and what of it is not here.

    Raises:
        TextonError: it is no picture, not texton's, or of settings that are none.
    """
    settings = settings_in(content)
    try:
        request = take_optional(settings, "request", dict)
        found = dict(request) if request else _from_settings(settings, house)
        found = _as_known(found, house)
    except ValueError as error:
        raise TextonError(f"its settings are not texton's: {error}") from None
    missing = None
    if "photo" in found and house.photos.get(found["photo"]) is None:
        wants = not any(kind in found for kind in KINDS)
        method = methods().get(str(found.get("method")))
        if wants and method is not None and takes_photo(method, found.get("layer")):
            missing, found["photo"] = "photo", None
            options_of(method, take_optional(found, "options", dict) or {}, house.files)
    if missing is None:
        run_of(found, house)  # what it refuses is refused here
    return {"request": found, "missing": missing}


def settings_in(content: bytes) -> dict[str, Any]:
    """The settings inside a PNG.

    Raises:
        TextonError: it is none, or holds none.
    """
    from texton.images.files import read_settings

    if not content.startswith(b"\x89PNG"):
        raise TextonError(_FOREIGN)
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "opened.png"
        path.write_bytes(content)
        try:
            settings = read_settings(path)
        except TextonError:
            raise TextonError("this is no PNG that can be read: open another") from None
    if not settings or ("method" not in settings and "request" not in settings):
        raise TextonError(_FOREIGN)
    return settings


def _as_known(request: dict[str, Any], house: House) -> dict[str, Any]:
    """A request with what this server has for what it had."""
    network = take_optional(request, "network", str)
    if network is not None and network not in house.networks:
        raise TextonError(f"network '{network[:80]}' is not here: start texton app with --network")
    photo = take_optional(request, "photo", str)
    return {**request, "photo": photo} if "photo" in request else request


def _from_settings(settings: Mapping[str, Any], house: House) -> dict[str, Any]:
    """Of a picture of the command line."""
    name = take(settings, "method", str)
    method = methods().get(name)
    if method is None:
        raise TextonError(f"there is no method '{name[:40]}' in this texton")
    said = dict(take_optional(settings, "options", dict) or {})
    for option, key in _BESIDE.items():
        if settings.get(key) is not None:
            said[option] = settings[key]
    words = _words(settings)
    size = [int(x) for x in take_all(settings, "size", int)] if "size" in settings else []
    edge = max(size, default=0)
    named = [photo for word in words if (photo := house.photos.named(Path(word).name))]
    network = take_optional(settings, "network", str)
    request: dict[str, Any] = {
        "method": name,
        "network": None if network is None else network_name(network),
        "layer": take_optional(settings, "layer", str),
        "channel": take_optional(settings, "channel", int),
        "options": _offered(method, said, house),
        "size": edge if SMALLEST <= edge <= LARGEST else None,
    }
    if takes_photo(method, request["layer"]):
        request["photo"] = named[0].id if named else None
    return request


def _offered(method: Method, said: Mapping[str, Any], house: House) -> dict[str, Any]:
    """Of the options recorded, those of the form, pictures by the ids of photographs here."""
    found: dict[str, Any] = {}
    for declared in declarations(method.options):
        kind, value = kind_of(declared), said.get(declared.name)
        if kind is None or value is None:
            continue
        if kind in ("picture", "pictures"):
            several = value if isinstance(value, list) else [value]
            photos = [house.photos.named(Path(str(one)).name) for one in several]
            ids = [photo.id for photo in photos if photo is not None]
            if len(ids) < len(several):
                raise TextonError(f"its {declared.name} are not here: drop them on the page first")
            found[declared.name] = ids if kind == "pictures" else ids[0]
        else:
            found[declared.name] = value
    return found


def _words(settings: Mapping[str, Any]) -> list[str]:
    try:
        return shlex.split(take_optional(settings, "command", str) or "")
    except ValueError:
        return []
