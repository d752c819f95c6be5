"""What can go wrong through no fault of the program, said in one line that tells what to do."""

from __future__ import annotations

import difflib
from collections.abc import Iterable


class TextonError(Exception):
    """A mistake of the input or the machine; its text is one line for the user (exit code 2)."""


def near_names(name: str, known: Iterable[str], count: int = 3) -> str:
    """``" (did you mean 'relu4_2'?)"`` from the names nearest to ``name``, or an empty string."""
    folded = {candidate.lower(): candidate for candidate in known}
    matches = difflib.get_close_matches(name.lower(), folded, n=count, cutoff=0.6)
    if not matches:
        return ""
    return f" (did you mean {' or '.join(repr(folded[match]) for match in matches)}?)"
