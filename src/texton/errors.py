"""What can go wrong through no fault of the program, said in one line that tells what to do."""

from __future__ import annotations

import difflib
import importlib
from collections.abc import Iterable
from types import ModuleType


class TextonError(Exception):
    """A mistake of the input or the machine; its text is one line for the user (exit code 2)."""


def near_names(name: str, known: Iterable[str], count: int = 3) -> str:
    """``" (did you mean 'relu4_2'?)"`` from the names nearest to ``name``, or an empty string."""
    folded = {candidate.lower(): candidate for candidate in known}
    matches = difflib.get_close_matches(name.lower(), folded, n=count, cutoff=0.6)
    if not matches:
        return ""
    return f" (did you mean {' or '.join(repr(folded[match]) for match in matches)}?)"


def needed(package: str, install: str) -> ModuleType:
    """A package that not everybody has.

    Raises:
        TextonError: it is not installed; the message says how to.
    """
    try:
        return importlib.import_module(package)
    except ImportError as error:
        if error.name and error.name.split(".")[0] == package.split(".")[0]:
            raise TextonError(f"{package} is not installed: pip install {install}") from None
        raise TextonError(f"{package} cannot be imported: {one_line(error)}") from None


def one_line(error: BaseException) -> str:
    """``"ValueError: what it says"``."""
    lines = str(error).strip().splitlines()
    return f"{type(error).__name__}: {lines[0][:200]}" if lines else type(error).__name__


def first_line(error: BaseException) -> str:
    """What it says, or its type where it says nothing."""
    lines = str(error).strip().splitlines()
    return lines[0][:200] if lines else type(error).__name__
