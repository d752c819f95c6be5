"""Checkpoints as they lie on disks: what is in them by name, without running what they store."""

from __future__ import annotations

import io
import pickle
import pickletools
import re
import zipfile
from _compat_pickle import IMPORT_MAPPING, NAME_MAPPING
from collections import OrderedDict
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any

import torch
from safetensors.torch import load_file
from torch import Tensor

from texton.errors import TextonError, first_line

KEY_MARK = "::"  # "epoch_3.ckpt::ema.model" is what a checkpoint holds by that name
_DEEPEST = 8
Place = tuple[str, dict[str, Any]]  # a dotted name, and what lies there
_LEGACY_PICKLES = 4  # a magic number, a version, the machine, the object; then raw storages
_PROTOCOLS = 3  # pickles of a later protocol are none that weights_only reads
_FOREIGN = {
    b"version https://git-lfs": "a pointer of Git LFS, not the file itself: run `git lfs pull`",
    b"<!DOCTYPE": "a web page, not the file behind it: download it again",
    b"<html": "a web page, not the file behind it: download it again",
    b"\x89HDF": "HDF5, as Keras writes it: save it from PyTorch, or as safetensors",
    b"GGUF": "GGUF, of quantised language models: give a state dict or safetensors",
    b"\x1f\x8b": "compressed by gzip: unpack it first",
}
_ARCHIVES = {  # what lies in a zip of another kind
    "constants.pkl": (
        "a TorchScript archive, a program with its weights: save these alone, "
        "torch.save(torch.jit.load('{0}').state_dict(), 'weights.pt')"
    ),
    "archive_format": (
        "a program of torch.export: save its weights alone, "
        "torch.save(dict(torch.export.load('{0}').state_dict), 'weights.pt')"
    ),
}


def split_key(weights: str | Path) -> tuple[Path, str]:
    """``FILE::KEY`` as the file and the key, empty where none is given."""
    file, mark, key = str(weights).rpartition(KEY_MARK)
    whole = Path(weights)
    return (Path(file), key) if mark and file and not whole.exists() else (whole, "")


@dataclass(frozen=True)
class Checkpoint:
    """What a file holds.

    Attributes:
        states: everything that holds tensors by name: by its dotted place, ``""`` the whole.
        otherwise: what else it is, in a line: a pickled module; empty where it is nothing else.
    """

    states: dict[str, dict[str, Any]]
    otherwise: str


def read_checkpoint(path: Path) -> Checkpoint:
    """What a safetensors file or a PyTorch file holds, nested as it may be.

    PyTorch files are read with ``weights_only``. Classes and functions that they name beside
    tensors are never imported: something inert stands for each.

    Raises:
        TextonError: the file is missing, damaged, of another kind, or holds no tensors by name.
    """
    said = f"the weights file '{path}'"
    if path.is_dir() or not path.exists():
        what = "is a folder" if path.is_dir() else "does not exist"
        raise TextonError(f"{said} {what}: name a state dict or safetensors")
    try:
        _check_kind(path)
        read = load_file(path) if path.suffix == ".safetensors" else _read_torch(path)
    except TextonError:
        raise
    except pickle.UnpicklingError:
        raise TextonError(
            f"{said} is damaged or holds more than tensors: save the network's state_dict(), "
            "or safetensors"
        ) from None
    except Exception as error:  # noqa: BLE001 - a damaged file makes the readers raise anything
        size = path.stat().st_size
        what = f"it may be cut off at {size:,} bytes" if size else "it is empty"
        raise TextonError(
            f"{said} cannot be read: {what}; get it again ({first_line(error)})"
        ) from None
    module = _module_in(read)
    otherwise = f"{said} {_pickled(*module)}" if module else ""
    states = dict(_state_dicts(read))
    if not states:
        raise TextonError(otherwise or f"{said} is no state dict: save state_dict() alone")
    return Checkpoint(states, otherwise)


class _Inert(list[Any]):
    """Stands for an object that a checkpoint holds beside tensors: takes anything, does nothing."""

    is_module = False

    def __new__(cls, *_: Any, **__: Any) -> _Inert:
        return super().__new__(cls)

    def __init__(self, *_: Any, **__: Any) -> None:
        super().__init__()

    def __setstate__(self, state: Any) -> None:
        self.is_module = isinstance(state, dict) and {"_parameters", "_modules"} <= state.keys()

    def __eq__(self, other: object) -> bool:
        return self is other

    def __hash__(self) -> int:  # type: ignore[override] # it may be a key
        return id(self)


def is_inert(value: Any) -> bool:
    """Whether it stands for an object that was not made."""
    return isinstance(value, _Inert)


def _inert(name: str, is_dict: bool) -> type:
    """A class in the place of the one that a checkpoint names."""
    home, _, plain = name.rpartition(".")

    def make_dict(_: type, *__: Any) -> OrderedDict[Any, Any]:
        return OrderedDict()  # the kind that torch's reader puts items into

    members: dict[str, Any] = {"__module__": home, **({"__new__": make_dict} if is_dict else {})}
    return type(plain, (_Inert,), members)


def _read_torch(path: Path) -> Any:
    allowed = torch.serialization.get_safe_globals()  # by whoever runs this: theirs are made
    names = _named_classes(path) - {
        x[1] if isinstance(x, tuple) else f"{x.__module__}.{x.__qualname__}" for x in allowed
    }
    dicts = {name for name in names if name.lower().endswith("dict")}
    while True:
        known: list[Any] = [(_inert(name, name in dicts), name) for name in names]
        try:
            with torch.serialization.safe_globals(known):
                return torch.load(path, map_location="cpu", weights_only=True)
        except pickle.UnpicklingError as error:
            match = re.search(r"SETITEM.* but got <class '(.+)'>", str(error))
            if match and match[1] in names - dicts:  # a dict of another name is given items
                dicts.add(match[1])
            elif any(name.startswith("torch.nn.modules.") for name in names):
                told = f"the weights file '{path}' {_pickled('', 'of torch.nn')}"
                raise TextonError(told) from None
            else:
                raise


def _named_classes(path: Path) -> set[str]:
    """The classes and functions that a PyTorch file names, from its bytes alone."""
    names: set[str] = set()
    for pickled in _pickles(path):
        for code, argument, _ in pickletools.genops(pickled):
            if code.name == "PROTO" and (argument or 0) > _PROTOCOLS:
                raise TextonError(
                    f"the weights file '{path}' is pickled by protocol {argument}: save it again, "
                    "torch.save(model.state_dict(), 'weights.pt') without another protocol"
                )
            if code.name == "GLOBAL":
                home, _, name = str(argument).partition(" ")
                home, name = NAME_MAPPING.get((home, name), (IMPORT_MAPPING.get(home, home), name))
                names.add(f"{home}.{name}")
    return names


def _pickles(path: Path) -> Iterator[IO[bytes]]:
    if not zipfile.is_zipfile(path):
        with path.open("rb") as file:
            for _ in range(_LEGACY_PICKLES):
                yield file
        return
    with zipfile.ZipFile(path) as archive:
        for name in archive.namelist():
            if name.rpartition("/")[2] == "data.pkl":
                yield io.BytesIO(archive.read(name))


def _check_kind(path: Path) -> None:
    with path.open("rb") as file:
        head = file.read(32)
    kinds = [what for mark, what in _FOREIGN.items() if head.upper().startswith(mark.upper())]
    if zipfile.is_zipfile(path):
        with zipfile.ZipFile(path) as archive:
            inside = {name.rpartition("/")[2] for name in archive.namelist()}
        kinds += [what.format(path.name) for mark, what in _ARCHIVES.items() if mark in inside]
        if any(name.endswith(".npy") for name in inside):
            kinds.append("an archive of NumPy's: save its arrays as safetensors")
    if kinds:
        raise TextonError(f"the weights file '{path}' is {kinds[0]}")


def _state_dicts(read: Any, place: str = "", depth: int = 0) -> Iterator[Place]:
    """Dicts that hold tensors by name, whatever else they hold, from the outermost in."""
    if isinstance(read, Mapping):
        inside = {str(key): value for key, value in read.items()}
        if any(isinstance(value, Tensor) for value in inside.values()):
            yield place, inside
    elif isinstance(read, (list, tuple)):
        inside = {str(index): value for index, value in enumerate(read)}
    else:
        return
    if depth < _DEEPEST:
        for key, value in inside.items():
            yield from _state_dicts(value, f"{place}.{key}".lstrip("."), depth + 1)


def _pickled(place: str, kind: str) -> str:
    """Why a module that lies at a place is not taken, and what saves it right."""
    held = f" under '{place}'" if place else ""
    inside = "".join(f"[{key!r}]" for key in place.split(".") if key)
    return (
        f"is a pickled module{held} ({kind}), and to load one runs code that is stored in it. "
        "Where you trust it, save its weights: "
        f"model = torch.load(FILE, weights_only=False){inside}; "
        "torch.save(model.state_dict(), 'weights.pt')"
    )


def _module_in(read: Any, place: str = "", depth: int = 0) -> tuple[str, str] | None:
    if isinstance(read, _Inert):
        kind = type(read).__name__
        made = "GraphModule" if kind.startswith("reduce_") and "fx" in type(read).__module__ else ""
        return (place, made or kind) if made or read.is_module else None
    if isinstance(read, Mapping) and depth < _DEEPEST:
        for key, value in read.items():
            if found := _module_in(value, f"{place}.{key}".lstrip("."), depth + 1):
                return found
    return None
