"""What others could have written: JSON within bounds, its fields by type, numbers as plain text."""

from __future__ import annotations

import json
import math
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any, NoReturn, TypeVar

_MOST = 50_000_000
_DEEPEST = 64  # levels: what compares it or writes it again must not run out of stack
_LARGEST = 2**63
_DECIMAL = re.compile(r"[+-]?([0-9]+\.?[0-9]*|\.[0-9]+)([eE][+-]?[0-9]+)?")

T = TypeVar("T", str, int, float, bool, list[Any], dict[str, Any])


def read_json(content: bytes | str) -> dict[str, Any]:
    """A JSON object as a dict.

    Raises:
        ValueError: it is anything else, longer than 50 MB, nested deeper than 64 levels, or
            holds what no file can carry on: NaN, an infinity, half a surrogate pair.
    """
    if len(content) > _MOST:
        raise ValueError("too long")
    text = content if isinstance(content, str) else content.decode()
    try:
        read = json.loads(
            text, parse_constant=_refuse, parse_float=decimal_number, parse_int=_whole
        )
    except RecursionError:
        raise ValueError("nested too deep") from None
    if not isinstance(read, dict):
        raise ValueError("no JSON object")
    _check_depth(read)
    if "\\u" in text:
        json.dumps(read, ensure_ascii=False).encode()  # half a pair: a UnicodeEncodeError is one
    return read


def read_json_file(path: Path) -> dict[str, Any]:
    """As `read_json`; of a file that is too long no more is read than it takes to know.

    Raises:
        OSError, ValueError: it cannot be read; it is something else.
    """
    with path.open("rb") as file:
        return read_json(file.read(_MOST + 1))


def to_json(value: Any, indent: int | None = None) -> str:
    """JSON that `read_json` takes: no number is null, and a byte of a file name that is no text
    becomes a question mark."""
    text = json.dumps(_finite(value), indent=indent, ensure_ascii=False, allow_nan=False)
    return text.encode(errors="replace").decode()


def take(record: Mapping[str, Any], key: str, kind: type[T]) -> T:
    """A field of that type: str, int, float (a whole number is one too), bool, list or dict.

    Raises:
        ValueError: it is missing or of another type.
    """
    if key not in record:
        raise ValueError(f"there is no '{key}'")
    return _typed(record[key], kind, key)


def take_optional(record: Mapping[str, Any], key: str, kind: type[T]) -> T | None:
    """As `take`; None where it is missing or null."""
    value = record.get(key)
    return None if value is None else _typed(value, kind, key)


def take_all(record: Mapping[str, Any], key: str, kind: type[T]) -> list[T]:
    """A list whose members are all of that type."""
    return [_typed(value, kind, key) for value in take(record, key, list)]


def whole_number(text: str) -> int:
    """``"31"`` as a number: ASCII digits alone; int() takes signs, spaces and any script's.

    Raises:
        ValueError: another text, or over 18 digits.
    """
    if not re.fullmatch("[0-9]{1,18}", text):
        raise ValueError(f"no whole number: {text[:40]!r}")
    return int(text)


def decimal_number(text: str) -> float:
    """``"0.7"`` as a finite number, written in ASCII.

    Raises:
        ValueError: another text, or out of range.
    """
    if not _DECIMAL.fullmatch(text) or not math.isfinite(value := float(text)):
        raise ValueError(f"no number: {text[:40]!r}")
    return value


def _finite(value: Any) -> Any:
    if isinstance(value, float) and not math.isfinite(value):
        return None
    if isinstance(value, dict):
        return {key: _finite(inner) for key, inner in value.items()}
    return [_finite(inner) for inner in value] if isinstance(value, (list, tuple)) else value


def _typed(value: Any, kind: type[T], key: str) -> T:
    if kind is float and isinstance(value, int) and not isinstance(value, bool):
        value = float(value)
    if not isinstance(value, kind) or (kind is int and isinstance(value, bool)):
        raise ValueError(f"its '{key}' is no {kind.__name__}")
    return value


def _whole(text: str) -> int:
    if len(text) > 20 or not -_LARGEST <= int(text) < _LARGEST:
        raise ValueError("a number out of range")
    return int(text)


def _refuse(constant: str) -> NoReturn:
    raise ValueError(f"{constant} is no number")


def _check_depth(read: dict[str, Any]) -> None:
    level: list[Any] = [read]
    for _ in range(_DEEPEST):
        level = [
            inner
            for value in level
            if isinstance(value, (dict, list))
            for inner in (value.values() if isinstance(value, dict) else value)
        ]
        if not level:
            return
    raise ValueError("nested too deep")
