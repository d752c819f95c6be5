"""What others may read of this machine: no folder of it."""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import PurePath
from typing import Any

# A slash or a drive that no word, address or option stands before, and folders after it.
_POSIX = re.compile(r"(?<![\w:/.<~-])~?/(?:[^\s/'\"<>|,;:()]+/)+")
_QUOTED = re.compile(r"(['\"])(?:~?/|[A-Za-z]:[\\/])[^'\"\n]*[\\/]([^'\"\\/\n]*)\1")  # spaces too
_WINDOWS = re.compile(r"(?<![\w/])[A-Za-z]:\\(?:[^\\/:*?\"<>|\r\n']+\\)+")


class Hidden:
    """Texts without this machine's folders: files that are known by a name are called by it."""

    def __init__(self) -> None:
        self._names: dict[str, str] = {}

    def know(self, path: PurePath, name: str) -> None:
        """Call a file, or a folder, by a name wherever a text holds its path."""
        self._names[str(path)] = name

    def text(self, text: str) -> str:
        """One line or more, without folders."""
        for path in sorted(self._names, key=len, reverse=True):
            if path in text:
                text = text.replace(path, self._names[path])
        return _WINDOWS.sub("", _POSIX.sub("", _QUOTED.sub(r"\1\2\1", text)))

    def settings(self, value: Any) -> Any:
        """The same of everything in a picture's settings."""
        if isinstance(value, (str, PurePath)):
            return self.text(str(value))
        if isinstance(value, Mapping):
            return {key: self.settings(inner) for key, inner in value.items()}
        if isinstance(value, (list, tuple)):
            return [self.settings(inner) for inner in value]
        return value
