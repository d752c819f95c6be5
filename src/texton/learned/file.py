"""The file of a network that texton trained: safetensors, with a header that says what made it.

The header is JSON under ``texton`` in the file's metadata. Nothing is ever pickled, and everything
that somebody else could have written is checked by type before it is used.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor, nn

from texton.errors import TextonError, first_line
from texton.images.place import check_suffix, whole
from texton.reading import read_json, take, take_all, to_json
from texton.version import __version__

if TYPE_CHECKING:
    from texton.network.network import Network

FORMAT = "texton-net-1"
SUFFIX = ".safetensors"
KEY = "texton"
Kind = Literal["decoder", "style"]
KINDS: tuple[Kind, ...] = ("decoder", "style")
_WHAT = "a network that texton trained"
_LARGEST = 2_000_000_000  # bytes


@dataclass(frozen=True)
class Header:
    """What a trained network is, and what made it.

    Attributes:
        network: whose codes it was trained on, by name; ``weights_hash`` and ``pooling`` (empty
            where the network has none to choose) say exactly which.
        layers: of that network: a decoder's one, those that a style is told by.
        architecture: numbers and texts that its module is built from.
        steps: it was trained for, on so many ``photos``.
        options: of the training, as JSON has them.
        trace: [step, loss, loss on held-out photographs], now and then.
        about: more of its kind, as a painting's name and hash.
    """

    kind: Kind
    network: str
    weights_hash: str
    pooling: str
    layers: tuple[str, ...]
    architecture: dict[str, Any]
    steps: int
    photos: int
    options: dict[str, Any] = field(default_factory=dict)
    trace: tuple[tuple[float, ...], ...] = ()
    about: dict[str, Any] = field(default_factory=dict)
    texton: str = __version__

    @classmethod
    def on(cls, network: Network, kind: Kind, layers: tuple[str, ...], **rest: Any) -> Header:
        """Of what is trained on a network's codes."""
        codes: dict[str, Any] = codes_of(network)
        return cls(kind, network.name, layers=layers, **codes, **rest)

    def check_network(self, network: Network, path: str | os.PathLike[str]) -> None:
        """Refuse a network whose codes are not those that the file at ``path`` was trained on.

        Raises:
            TextonError: its name, weights or pooling are others.
        """
        told = f"'{path}' was trained on {self.network}"
        if self.weights_hash != network.weights_hash:
            what = network.name if network.name != self.network else f"another {network.name}"
            raise TextonError(f"{told}, whose weights {what} does not have: use its --network")
        if self.pooling != (pooling := codes_of(network)["pooling"]):
            raise TextonError(f"{told} with {self.pooling} pooling, not {pooling}: add --pooling")

    def told(self) -> dict[str, Any]:
        """As JSON has it."""
        return {"format": FORMAT, **vars(self)}

    def as_json(self) -> str:
        return to_json(self.told())

    @classmethod
    def of_json(cls, text: str) -> Header:
        """Read what `as_json` wrote.

        Raises:
            ValueError: it is anything else.
        """
        read = read_json(text)
        if read.get("format") != FORMAT:
            raise ValueError(f"its format is {str(read.get('format'))[:40]!r}, not {FORMAT!r}")
        kind = next((x for x in KINDS if x == read.get("kind")), None)
        if kind is None:
            raise ValueError(f"it is a {str(read.get('kind'))[:40]!r}, not one of {KINDS}")
        rows = take_all(read, "trace", list)
        numbers = [take_all({"trace": row}, "trace", float) for row in rows]
        header = cls(
            kind=kind,
            network=take(read, "network", str),
            weights_hash=take(read, "weights_hash", str),
            pooling=take(read, "pooling", str),
            layers=tuple(take_all(read, "layers", str)),
            architecture=take(read, "architecture", dict),
            steps=take(read, "steps", int),
            photos=take(read, "photos", int),
            options=take(read, "options", dict),
            trace=tuple(map(tuple, numbers)),
            about=take(read, "about", dict),
            texton=take(read, "texton", str),
        )
        if min(header.steps, header.photos) < 0:
            raise ValueError("it counts steps or photographs below zero")
        return header


@dataclass(frozen=True, eq=False)
class Trained:
    """A file that was read: its header and its tensors, on the CPU."""

    path: Path
    header: Header
    tensors: Mapping[str, Tensor]

    def built(self, build: Callable[[Mapping[str, Any]], nn.Module]) -> nn.Module:
        """Its module, in evaluation mode, without gradients to its weights.

        Args:
            build: the module of an architecture; ValueError where there is none of these numbers.
                It is called where tensors take no memory, whatever the numbers ask for.

        Raises:
            TextonError: an architecture that its kind does not know; tensors of another one.
        """
        try:
            with torch.device("meta"):
                module = build(self.header.architecture)
        except (ValueError, RuntimeError) as error:
            raise _damaged(self.path, first_line(error)) from None
        check_fits(module.state_dict(), self.tensors, self.path)
        module.load_state_dict(dict(self.tensors), assign=True)
        return module.eval().requires_grad_(False)

    def check_network(self, network: Network) -> None:
        """Refuse a network whose codes it does not know; see `Header.check_network`."""
        self.header.check_network(network, self.path)


def codes_of(network: Network) -> dict[str, Any]:
    """What decides a network's codes: its weights, and how it pools, where it says so."""
    pooling = str(network.details.get("pooling", ""))
    return {"weights_hash": network.weights_hash, "pooling": pooling}


def save_trained(module: nn.Module, header: Header, path: Path) -> Path:
    """Write a module's state and its header, whole or not at all.

    Raises:
        TextonError: the name does not end in ``.safetensors``, or the disk does not take it.
    """
    check_suffix(path, SUFFIX, "texton writes safetensors")
    tensors = {name: value.detach().cpu() for name, value in module.state_dict().items()}
    write_tensors(tensors, header.as_json(), path)
    return path


def load_trained(path: str | os.PathLike[str], kind: Kind) -> Trained:
    """Read a file that `save_trained` wrote.

    Raises:
        TextonError: there is none, it is damaged, foreign, or of another kind.
    """
    tensors, text = read_tensors(Path(path), _WHAT)
    header = _header_of(text, Path(path))
    if header.kind != kind:
        raise TextonError(f"'{path}' holds a {header.kind}, no {kind}")
    return Trained(Path(path), header, tensors)


def read_header(path: Path) -> Header:
    """What a file that `save_trained` wrote says of itself.

    Raises:
        TextonError: there is none, it is damaged, or foreign.
    """
    with _refusing(path, _WHAT), _opened(path) as (_, text):
        return _header_of(text, path)


def is_trained(path: Path) -> bool:
    """Whether there is a file that `save_trained` wrote."""
    try:
        with _opened(path) as (_, text):
            Header.of_json(text)
    except (OSError, ValueError, SafetensorError):
        return False
    return True


def write_tensors(tensors: Mapping[str, Tensor], text: str, path: Path) -> None:
    """Tensors and a text, whole or not at all.

    Raises:
        TextonError: the disk does not take them.
    """
    plain = {name: value.contiguous() for name, value in tensors.items()}
    with whole(path) as beside:
        try:
            save_file(plain, beside, {KEY: text})  # a copy in memory, of all of it, would be large
        except SafetensorError as error:  # also what the disk says
            raise OSError(first_line(error)) from None


def read_tensors(
    path: Path, what: str, largest: int | None = _LARGEST
) -> tuple[dict[str, Tensor], str]:
    """What `write_tensors` wrote; up to so many bytes.

    Raises:
        TextonError: there is none, it is damaged or somebody else's; ``what`` it should be.
    """
    with _refusing(path, what), _opened(path, largest) as (file, text):
        return {name: file.get_tensor(name) for name in file.keys()}, text  # noqa: SIM118


def check_fits(wanted: Mapping[str, Tensor], tensors: Mapping[str, Tensor], path: Path) -> None:
    """Refuse tensors that are not a state's: all of them, and only these.

    Raises:
        TextonError: names, shapes or types are others; a number is none.
    """
    if other := sorted(wanted.keys() ^ tensors.keys()):
        raise _damaged(path, f"'{other[0]}' is missing, or not of its architecture")
    for name, value in wanted.items():
        found = tensors[name]
        if found.shape != value.shape or found.dtype != value.dtype:
            raise _damaged(path, f"its '{name}' is {tuple(found.shape)}, not {tuple(value.shape)}")
        if not bool(found.isfinite().all()):
            raise _damaged(path, f"its '{name}' holds what is no number")


@contextmanager
def _opened(path: Path, largest: int | None = _LARGEST) -> Iterator[tuple[Any, str]]:
    """A file, none of whose tensors is read yet, and the text in it."""
    if largest is not None and path.stat().st_size > largest:
        raise ValueError("it is too large")
    with safe_open(path, "pt") as file:
        text = (file.metadata() or {}).get(KEY)
        if text is None:
            raise ValueError("it has no header of texton's")
        yield file, text


@contextmanager
def _refusing(path: Path, what: str) -> Iterator[None]:
    """What goes wrong as a file is read, in a line; ``what`` it should be."""
    if path.is_dir():
        raise TextonError(f"'{path}' is a folder, not {what}")
    try:
        yield
    except OSError as error:
        raise TextonError(f"cannot read '{path}': {error.strerror or error}") from None
    except (ValueError, SafetensorError) as error:
        raise TextonError(f"'{path}' is not {what}: {first_line(error)}") from None


def _header_of(text: str, path: Path) -> Header:
    try:
        return Header.of_json(text)
    except ValueError as error:
        raise _damaged(path, first_line(error)) from None


def _damaged(path: Path, why: str) -> TextonError:
    return TextonError(f"'{path}' cannot be used: {why}")
