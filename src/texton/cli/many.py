"""Options that take several values in a row, as a shell makes them of ``--weights epoch_*.pt``."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from typer.core import TyperCommand


class ManyValues(TyperCommand):
    """``--styles a.jpg b.jpg`` for every option that may be given several times.

    Only after the words that must be given, or may be several: before them nobody could tell
    whose a word is.
    """

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        flags = {flag: one for one in self.params for flag in (*one.opts, *one.secondary_opts)}
        words = [one for one in self.params if one.param_type_name == "argument"]
        needed = sum(1 for one in words if one.required or one.nargs < 0)
        return super().parse_args(ctx, _repeated(args, flags, needed))


def _repeated(args: list[str], flags: Mapping[str, Any], needed: int) -> list[str]:
    """``--photos a b`` as ``--photos a --photos b``; without a value last, for Typer to refuse."""
    told: list[str] = []
    bare: list[str] = []
    many: str | None = None
    takes_one, plain = False, 0
    for word in args:
        if word.startswith("-") and word != "-":
            known = flags.get(word)
            takes_one = known is not None and not getattr(known, "is_flag", False)
            many = word if known is not None and getattr(known, "multiple", False) else None
            (told if many is None else bare).append(word)
        elif many is not None and (takes_one or plain >= needed):
            told += [many, word]
            bare = [name for name in bare if name != many]
            takes_one = False
        else:
            plain += not takes_one
            takes_one = False
            told.append(word)
    return told + bare[:1]
