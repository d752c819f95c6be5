"""What can go wrong through no fault of the program, said in one line that tells what to do."""

from __future__ import annotations

import difflib
from collections.abc import Iterable, Iterator
from contextlib import contextmanager


class TextonError(Exception):
    """A mistake of the input or the machine; its text is one line for the user (exit code 2)."""


class TextonWarning(UserWarning):
    """What goes on, and may not be what was meant; its text is one line for the user."""


def near_names(name: str, known: Iterable[str], count: int = 3) -> str:
    """``" (did you mean 'relu4_2'?)"`` from the names nearest to ``name``, or an empty string."""
    folded = {candidate.lower(): candidate for candidate in known}
    matches = difflib.get_close_matches(name.lower(), folded, n=count, cutoff=0.6)
    if not matches:
        return ""
    return f" (did you mean {' or '.join(repr(folded[match]) for match in matches)}?)"


def one_line(error: BaseException) -> str:
    """``"ValueError: what it says"``: an error's kind and first line."""
    lines = str(error).strip().splitlines()
    return f"{type(error).__name__}: {lines[0][:200]}" if lines else type(error).__name__


def first_line(error: BaseException) -> str:
    """What it says, or its type where it says nothing."""
    lines = str(error).strip().splitlines()
    return lines[0][:200] if lines else type(error).__name__


def install(extra: str) -> str:
    """What installs an extra: from the checkout, as texton is on no package index yet."""
    return f"pip install '.[{extra}]' in texton's checkout"


@contextmanager
def optional(extra: str) -> Iterator[None]:
    """Around imports of packages that only an extra of texton installs.

    Raises:
        TextonError: one is missing or cannot be imported; the message says what to do.
    """
    try:
        yield
    except ModuleNotFoundError as error:
        package = (error.name or "a package").partition(".")[0]
        raise TextonError(f"{package} is not installed: {install(extra)}") from None
    except ImportError as error:
        raise TextonError(f"what {extra} needs cannot be imported: {one_line(error)}") from None
