"""The settings of an atlas: all that would mix different pictures if it changed on the way."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from texton.errors import TextonError
from texton.jobs.manifest import Manifest
from texton.methods.catalogue import find_method
from texton.methods.command import NetworkOptions, ReadingOptions
from texton.methods.method import Method
from texton.methods.options import Options, Solving, declarations
from texton.version import __version__

if TYPE_CHECKING:
    from texton.network.network import Network

SIZE = 128
USUAL = {"preset": "fast"}  # of many pictures each may be quick


_WHENCE = ("weights", "checkpoint")  # of one hash, they may come from another file
_NEEDED = ("size", "enlarge", "device", "dtype", "memory_format", "network_details")


def check_told(root: Path, old: Manifest) -> None:
    """Refuse to go on where an atlas does not tell how it was begun."""
    for key in _NEEDED:
        if key not in old.settings:
            raise TextonError(f"the atlas in '{root}' does not tell its {key}: use another --out")


def network_options(old: Manifest | None, said: Mapping[str, Any]) -> NetworkOptions:
    """Which network: what is said, else what the atlas has."""
    kept = dict(old.network_options) if old else {}
    kept["bands"] = kept.get("bands") or ()
    return NetworkOptions.of({**kept, **said})


def named_network(choice: NetworkOptions) -> dict[str, Any]:
    """The network as `load_network` takes it, for the manifest."""
    told = {**choice.as_json(), "bands": list(choice.bands) or None}
    del told["device"]
    return told


def reading_options(old: Manifest | None, said: Mapping[str, Any]) -> ReadingOptions:
    """How photographs are read."""
    kept = ReadingOptions.kept_in(old.settings) if old else {"size": SIZE}
    return ReadingOptions.of({**kept, **said})


def method_options(method: Method, old: Manifest | None, said: Mapping[str, Any]) -> Options:
    """The method's options; an atlas of before has them among its settings.

    Raises:
        TextonError: an option that the method has not, or a value that is refused.
    """
    known = {declared.name for declared in declarations(method.options)}
    usual = {key: value for key, value in USUAL.items() if key in known}
    if old:
        usual = dict(old.options) or {k: v for k, v in old.settings.items() if k in known}
    return method.options.of({**usual, **said})


def complete(
    options: Options, reading: ReadingOptions, device: str, network: Network
) -> dict[str, Any]:
    """The settings asked for with what this machine and this texton make of them, as JSON has it.

    Raises:
        TextonError: an unknown device.
    """
    from texton.methods.parts.setup import compute_for
    from texton.network.device import choose_compute

    solving: dict[str, Any] = {}
    if isinstance(options, Solving):
        solving = {key: getattr(options, key) for key in ("preset", "steps", "seed")}
        solving["solver"] = options.solver()
        compute = compute_for(network, options, device)
    else:
        compute = choose_compute(device)
    settings = {
        **reading.as_json(),
        **solving,
        **compute.describe(),
        "pictures": _pictures(options),
        "preprocessing": network.preprocessing,
        "network_details": {k: v for k, v in network.details.items() if k not in _WHENCE},
    }
    told: dict[str, Any] = json.loads(json.dumps(settings, default=str))
    return told


def check_same(
    root: Path, old: Manifest, network: Network, options: Options, settings: Mapping[str, Any]
) -> None:
    """Refuse what would mix different pictures into an atlas, and name the difference."""
    for difference in _differences(old, network, options, settings):
        raise TextonError(f"the atlas in '{root}' {difference}")


def _differences(
    old: Manifest, network: Network, options: Options, settings: Mapping[str, Any]
) -> Iterator[str]:
    other = "use another --out"
    if old.network != network.name:
        yield f"is of {old.network}, you ask for {network.name}: {other}"
    before, now = old.settings, settings
    details, new_details = before["network_details"], now["network_details"]
    for key in sorted(details.keys() | new_details.keys()):
        if details.get(key) != new_details.get(key):
            yield f"has {key} {details.get(key)}, you ask for {new_details.get(key)}: {other}"
    if old.weights_hash != network.weights_hash:
        yield f"was made with other weights of {old.network}: {other}"
    yield from (
        f"{changed}: put the network back, or {other}" for changed in _changed(old, network)
    )
    kept = method_options(find_method(old.method), old, {})
    was_read = reading_options(old, {})
    is_read = ReadingOptions.of(ReadingOptions.kept_in(now))
    for was, asked in ((kept, options), (was_read, is_read)):
        yield from (f"{text}: {other} or {back}" for text, back in _otherwise(was, asked))
    kept_files, files = before.get("pictures", {}), now["pictures"]
    if any(files.get(named) != digest for named, digest in kept_files.items()):
        named = ", ".join(kept_files)
        yield f"was begun with other content of {named}: put the old one back, or {other}"
    for key in ("device", "dtype", "memory_format"):
        if before[key].partition(":")[0] != now[key].partition(":")[0]:  # any GPU will do
            yield (
                f"is computed with {key} {before[key]}, this machine would use {now[key]}: "
                f"go on where it was begun, or {other}"
            )
    if before.get("solver") != now.get("solver"):
        yield (
            f"was begun by texton {old.texton}, whose preset '{now['preset']}' is not that of "
            f"this texton ({__version__}): {other}"
        )


def _pictures(options: Options) -> dict[str, str]:
    """What the files hold that options name: others of these names make other pictures."""
    found = {}
    for declared in declarations(type(options)):
        value = getattr(options, declared.name)
        for one in value if isinstance(value, tuple) else (value,):
            named = declared.spec.picture or declared.spec.holds
            if not (named and isinstance(one, (str, Path))):
                continue
            for path in (Path(one), Path(one) / "manifest.json"):  # of evidence, which tells all
                if path.is_file():
                    found[str(one)] = hashlib.sha256(path.read_bytes()).hexdigest()[:16]
    return found


def _otherwise(before: Options, now: Options) -> Iterator[tuple[str, str]]:
    """What is asked otherwise than before, and how to ask as before."""
    for declared in declarations(type(before)):
        was, asked = getattr(before, declared.name), getattr(now, declared.name)
        if was != asked:
            unset = was is None or was is False or was == ()
            flag = declared.flag
            back = f"leave {flag} out" if unset else f"{flag} {declared.spell(was)}"
            name = declared.name.replace("_", " ")
            yield f"has {name} {_told(was)}, you ask for {_told(asked)}", back


def _changed(old: Manifest, network: Network) -> Iterator[str]:
    """How a network of the same weights is another one than the atlas was begun with."""
    before = old.settings.get("preprocessing", {})  # atlases of before do not tell
    for key, now in network.preprocessing.items():
        if key in before and before[key] != now:
            yield f"was begun with {key} {before[key]} of {old.network}, which now has {now}"
    for layer in old.layers:
        there = network.layers.get(layer.name)
        if layer.name == old.method:
            continue  # of a method that knows no layers
        if there is None:
            yield f"has the layer {layer.name}, which {old.network} no longer has"
        elif layer.filters > 1 and (layer.filters, layer.stride) != (there.channels, there.stride):
            yield (
                f"has {layer.name} with {layer.filters} filters and stride {layer.stride}, now "
                f"{old.network} has it with {there.channels} and {there.stride}"
            )


def _told(value: object) -> str:
    if value is None:
        return "not set"
    return {True: "on", False: "off"}[value] if isinstance(value, bool) else str(value)
