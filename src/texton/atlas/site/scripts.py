"""What pages' scripts read, as they read it."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any


def chosen(of: object, names: Sequence[str]) -> dict[str, Any]:
    """Some attributes, by name."""
    return {name: getattr(of, name) for name in names}


def ranges(channels: Sequence[int]) -> list[list[int]]:
    """0, 1, 2, 7 as [[0, 2], [7, 7]]."""
    ranges: list[list[int]] = []
    for channel in channels:
        if ranges and ranges[-1][1] == channel - 1:
            ranges[-1][1] = channel
        else:
            ranges.append([channel, channel])
    return ranges


def script(kind: str, value: dict[str, Any]) -> str:
    """Data as a classic script: what a page may load from a disk as well as from a server."""
    told = json.dumps(value, separators=(",", ":"), allow_nan=False)
    return f"(window.texton=window.texton||{{data:[]}}).data.push([{json.dumps(kind)},{told}]);\n"
