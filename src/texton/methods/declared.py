"""What an option is: its type, default, help and bounds; read, checked and spelled by them."""

from __future__ import annotations

import math
import types
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from numbers import Integral, Real
from pathlib import Path
from typing import Any, Union, get_args, get_origin

from texton.errors import TextonError, near_names
from texton.reading import decimal_number, whole_number

_WORDS = {int: "a whole number", float: "a number", bool: "True or False", str: "a text"}


@dataclass(frozen=True)
class Spec:
    """What is known of an option beside its type and default.

    Attributes:
        low, high: the numbers allowed, both included; of several numbers each.
        above: the number has to be more.
        choices: the texts allowed.
        named: pictures of other values are other pictures: a default file name tells it.
        argument: on the command line it stands without a name.
        hidden: not on the command line.
        picture: it is an image, or names one: from a command line, a path.
        typed: it makes sense on a command line alone: no form of the live page has it.
        usual: what a number that is not set comes to, by the preset; ``""`` is every other.
        also: another name that its command takes it by.
        holds: what is in the file or folder that it names: ``evidence``, ``numbers``, or the kind
            of a trained model; the live page names no files, and gives it what it has of these.
    """

    help: str
    low: float | None = None
    high: float | None = None
    above: float | None = None
    choices: tuple[str, ...] = ()
    named: bool = False
    argument: bool = False
    hidden: bool = False
    picture: bool = False
    typed: bool = False
    usual: Mapping[str, float] | None = None
    also: str = ""
    holds: str = ""

    def usually(self, preset: str) -> float:
        """What it comes to with a preset, where it is not set; 0 where that is not declared."""
        usual = self.usual or {}
        return usual.get(preset, usual.get("", 0.0))


@dataclass(frozen=True)
class Declared:
    """One option of a class: its name, type, default and `Spec`."""

    name: str
    kind: Any
    default: Any
    spec: Spec

    @property
    def flag(self) -> str:
        """Its name on a command line."""
        return f"--{self.name.rstrip('_').replace('_', '-')}"  # class_ is --class

    @property
    def base(self) -> Any:
        """Its type where it is set: ``int`` of ``int | None``."""
        if get_origin(self.kind) in (Union, types.UnionType):
            return next(x for x in get_args(self.kind) if x is not type(None))
        return self.kind

    @property
    def item(self) -> Any:
        """The type of its items, of a tuple; None for single values."""
        return get_args(self.base)[0] if get_origin(self.base) is tuple else None

    @property
    def may_be_unset(self) -> bool:
        return self.base is not self.kind

    def is_default(self, value: Any) -> bool:
        """Whether a value says nothing."""
        return value is self.default or (not self.spec.picture and bool(value == self.default))

    def accepted(self, value: Any) -> Any:
        """The value as its type has it.

        Raises:
            TextonError: it is not to be had, or out of bounds.
        """
        if value is None and self.may_be_unset:
            return None
        if get_origin(self.base) is dict:
            return {int(key): self._one(number, float) for key, number in _pairs(self, value)}
        if self.item is None:
            return self._one(value, self.base)
        if isinstance(value, str) or not isinstance(value, Iterable):
            raise TextonError(f"{self._told} is {value!r}: give several, as a list")
        return tuple(self._one(item, self.item) for item in value)

    def parse(self, text: str) -> Any:
        """The value that a command line's text spells.

        Raises:
            TextonError: it spells none; the message shows the form.
        """
        if get_origin(self.base) is dict:
            return self.accepted(_factors(self, text))
        if self.item is None:
            return self.accepted(self._number(text, self.base))
        words = [word.strip() for word in text.split(",") if word.strip()]
        return self.accepted([self._number(word, self.item) for word in words])

    def spell(self, value: Any) -> str:
        """The text that `parse` reads as the value."""
        if isinstance(value, dict):
            return ",".join(f"{key}={_exactly(number)}" for key, number in value.items())
        if isinstance(value, tuple):
            return ",".join(map(self.spell, value))
        return _exactly(value) if isinstance(value, float) else str(value)

    @property
    def _told(self) -> str:
        return self.name.rstrip("_").replace("_", " ")

    def _number(self, text: str, kind: Any) -> Any:
        if kind not in (int, float):
            return text
        try:
            return whole_number(text) if kind is int else decimal_number(text)
        except ValueError:
            what = "a whole number" if kind is int else "a number"
            raise TextonError(f"{self.flag} is '{text}': give {what}{_like(self)}") from None

    def _one(self, value: Any, kind: Any) -> Any:
        if kind is Any or (kind is Path and self.spec.picture and hasattr(value, "dtype")):
            return value  # an image may stand for its file
        number = {int: Integral, float: Real}.get(kind)
        if number and isinstance(value, number) and not isinstance(value, bool):
            try:
                value = kind(value)  # NumPy's too
            except OverflowError:
                raise TextonError(f"{self._told} is out of range") from None
        if kind is Path and isinstance(value, str):
            value = Path(value)
        if isinstance(kind, type) and (
            not isinstance(value, kind) or (isinstance(value, bool) and kind is not bool)
        ):
            raise TextonError(f"{self._told} is {value!r}: give {_WORDS.get(kind, kind.__name__)}")
        if isinstance(value, (int, float)) and not isinstance(value, bool):
            self._check_bounds(value)
        if self.spec.choices and value not in self.spec.choices:
            near = near_names(str(value), self.spec.choices)
            choice = " or ".join([", ".join(self.spec.choices[:-1]), self.spec.choices[-1]])
            raise TextonError(f"unknown {self._told} '{value}'{near}: use {choice}")
        return value

    def _check_bounds(self, value: float) -> None:
        spec = self.spec
        if spec.above is not None and not spec.above < value < math.inf:
            raise TextonError(f"{self._told} is {value}: use more than {spec.above:g}")
        low = -math.inf if spec.low is None else spec.low
        high = math.inf if spec.high is None else spec.high
        if not (low <= value <= high and (isinstance(value, int) or math.isfinite(value))):
            to = "or more" if spec.high is None else f"to {_short(high)}"
            raise TextonError(f"{self._told} is {value}: use {_short(low)} {to}")


def _exactly(number: float) -> str:
    """As short as it can be said, and read back as it was."""
    short = f"{number:g}"
    return short if float(short) == number else repr(number)


def _short(value: float) -> str:
    return str(int(value)) if math.isfinite(value) and value == int(value) else f"{value:g}"


def _like(declared: Declared) -> str:
    return ", like 0.7,0.3" if declared.item is float else ""


def _pairs(declared: Declared, value: Any) -> list[tuple[Any, Any]]:
    try:
        return [(int(key), number) for key, number in dict(value).items()]
    except (TypeError, ValueError):
        raise TextonError(f"{declared._told} is {value!r}: give numbers by channel") from None


def _factors(declared: Declared, text: str) -> dict[int, float]:
    factors: dict[int, float] = {}
    for part in text.split(","):
        channel, equals, factor = part.partition("=")
        try:
            if not equals:
                raise ValueError
            number, value = whole_number(channel.strip()), decimal_number(factor.strip())
        except ValueError:
            raise TextonError(
                f"{declared.flag} '{text}' is not understood: write 4=3,17=0.2"
            ) from None
        if number in factors:
            raise TextonError(f"{declared.flag} '{text}' names channel {number} twice")
        factors[number] = value
    return factors
