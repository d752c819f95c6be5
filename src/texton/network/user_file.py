"""A network that a function in somebody's file returns."""

from __future__ import annotations

import contextlib
import importlib.util
import inspect
import sys
import traceback
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any
from unittest.mock import patch

from torch import Tensor, nn

from texton.errors import TextonError, near_names, one_line
from texton.network.forward import undisturbed
from texton.network.told import PREPROCESSING, Source, as_said, described, seeded, without_resizing
from texton.network.wrappers import unwrapped


def from_file(spec: str, path: Path, function: str) -> Source:
    if not path.is_file():
        raise TextonError(f"there is no file '{path}': write path/to/file.py:function")
    made = _made(spec, path, function)
    module, said = made if isinstance(made, tuple) and len(made) == 2 else (made, None)
    if not isinstance(module, nn.Module):
        raise TextonError(f"'{spec}' returns {_told_apart(made)}")
    module = unwrapped(module)
    said = _preprocessing(spec, said)
    details = without_resizing(module)  # texton's own: nobody else has seen it
    source = described(module, f"{path}:{function}", said)
    return replace(source, details={**source.details, **details})


def _made(spec: str, path: Path, function: str) -> Any:
    """What the function returns; a module may lie in the file under that name as well."""
    loader = importlib.util.spec_from_file_location(f"texton_user_{path.stem}", path)
    assert loader is not None and loader.loader is not None  # its name ends in .py
    namespace = importlib.util.module_from_spec(loader)
    script = patch.object(sys, "argv", [str(path)])  # texton's own words are none for its parser
    with _neighbours(path.parent), undisturbed(0, told=True), script:
        sys.modules[loader.name] = namespace  # dataclasses look their own module up
        try:
            with _told(f"'{path}'", path):
                loader.loader.exec_module(namespace)
        except TextonError:
            sys.modules.pop(loader.name, None)
            raise
        make = getattr(namespace, function, None)
        if isinstance(make, nn.Module):
            return make
        if not callable(make):
            known = [key for key, value in vars(namespace).items() if inspect.isfunction(value)]
            near = near_names(function, known)
            raise TextonError(f"'{path}' has no function '{function}'{near}: it has {known}")
        with _told(f"'{spec}'", path), seeded(0):
            return make()


def _told_apart(made: Any) -> str:
    """What a function returned in place of a module, and what to return."""
    wanted = (
        "return an nn.Module, or (module, {'mean': …, 'std': …, 'input_range': …, 'channels': …})"
    )
    if isinstance(made, type):
        called = f"return {made.__name__}(…), a module made of it"
        return f"the class {made.__name__}: {called if issubclass(made, nn.Module) else wanted}"
    if isinstance(made, Mapping) and made and all(isinstance(x, Tensor) for x in made.values()):
        return "a state dict: make the module, load it with load_state_dict, and return the module"
    if isinstance(made, Sequence) and any(isinstance(x, nn.Module) for x in made):
        return f"a {type(made).__name__} of {len(made)}: {wanted}"
    if inspect.isroutine(made):
        return "a function: put it into the forward of an nn.Module, and return that"
    return f"{type(made).__name__}: {wanted}"


def _preprocessing(spec: str, said: Any) -> dict[str, Any]:
    """What is said beside a module: a mapping, or a transform that has a mean and a std."""
    if said is None:
        return {}
    if not isinstance(said, Mapping):
        steps = [said, *(getattr(said, "transforms", None) or ())]
        normal = next((x for x in steps if hasattr(x, "mean") and hasattr(x, "std")), None)
        if normal is None:
            raise TextonError(
                f"'{spec}' returns a module and {type(said).__name__}: beside it may stand "
                "{'mean': …, 'std': …, 'input_range': …, 'channels': …}"
            )
        said = {"mean": normal.mean, "std": normal.std}
    for key in said:
        if key not in (*PREPROCESSING, "bands"):
            raise TextonError(
                f"'{spec}' says '{key}'{near_names(str(key), PREPROCESSING)}: "
                f"its preprocessing may say {', '.join(PREPROCESSING)}, bands"
            )
    try:
        return as_said(said)
    except ValueError as error:
        raise TextonError(f"'{spec}' says {error}") from None


@contextlib.contextmanager
def _neighbours(folder: Path) -> Iterator[None]:
    """A user's file may import what lies beside it, as when it is run."""
    sys.path.insert(0, str(folder.absolute()))
    try:
        yield
    finally:
        sys.path.remove(str(folder.absolute()))


@contextlib.contextmanager
def _told(what: str, path: Path) -> Iterator[None]:
    """Whatever a user's code raises, as one line that names the line of the file."""
    try:
        yield
    except (Exception, SystemExit) as error:
        if isinstance(error, TextonError):
            raise
        stack = traceback.extract_tb(error.__traceback__)
        frames = [frame for frame in stack if Path(frame.filename).name == path.name]
        line = f" (line {frames[-1].lineno})" if frames else ""
        needs = isinstance(error, TypeError) and not frames and "required positional" in str(error)
        hint = ": texton calls it without arguments" if needs else ""
        raise TextonError(f"{what} fails{line}: {one_line(error)}{hint}") from None
