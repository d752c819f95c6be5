"""What files are called where nobody says: a name tells what would make another picture."""

from __future__ import annotations

import os
import re
from collections.abc import Iterable
from pathlib import Path

from texton.methods.options import Options, declarations
from texton.methods.result import Unit

_LONGEST_SPECS, _LONGEST_NAME = 80, 200


def default_name(
    photo: Path | None,
    specs: list[str],
    units: tuple[Unit, ...],
    options: Options,
    more: Iterable[str] = (),
) -> Path:
    """``photo-relu4_2-4.png``: the photograph, what of it, the options that are told in names.

    Args:
        specs: what was named; ``units`` stand for it where it is long.
        more: words to end it.
    """
    words = [photo.stem] if photo is not None else []
    named = "_".join(map(spec_word, specs))
    if len(named) > _LONGEST_SPECS:
        named = f"{units[0].layer}-to-{units[-1].layer}-{len(units)}-filters"
    words += [named] if named else []
    words += _told_in_names(options)
    words += [x for x in more if x]
    return Path(file_name("-".join(words))[:_LONGEST_NAME] + ".png")


def spec_word(spec: str) -> str:
    """What a file's name has of what was named: of a picture its own."""
    if os.path.isfile(spec):  # noqa: PTH113 - a Path's raises where it is longer than names
        return Path(spec).stem
    return spec.replace(":", "-").replace(",", "+")


def file_name(words: str) -> str:
    """Words as every file system takes them."""
    return re.sub(r"[^\w.+=,~@#-]+", "-", words)


def _told_in_names(options: Options) -> list[str]:
    """What a default name says of the options: those that make another picture."""
    words = []
    for declared in declarations(type(options)):
        value = getattr(options, declared.name)
        if not declared.spec.named or declared.is_default(value):
            continue
        if declared.spec.picture:
            several = value if isinstance(value, tuple) else (value,)
            words.append("+".join(Path(str(one)).stem for one in several))
        elif declared.base is str:
            words.append(value)
        elif declared.base is Path:
            words.append(value.stem)
        elif value is True:
            words.append(declared.name.replace("_", "-"))
        else:
            words.append(f"{declared.name.replace('_', '-')}{declared.spell(value)}")
    return words
