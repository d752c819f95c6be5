"""Options declared once: fields of a frozen dataclass that carry their help, bounds and choices."""

from __future__ import annotations

import math
import types
from collections.abc import Iterable, Mapping
from dataclasses import MISSING, Field, asdict, dataclass, field, fields, replace
from numbers import Integral, Real
from pathlib import Path
from typing import Any, Self, Union, get_args, get_origin, get_type_hints

from texton.errors import TextonError, near_names
from texton.reading import decimal_number, whole_number
from texton.solve.presets import MAX_STEPS, PRESETS, SolverSettings, solver_settings

MAX_SEED = 2**63 - 1
DTYPES = ("auto", "float32", "bfloat16", "float16")


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


def option(
    default: Any,
    help: str,
    *,
    low: float | None = None,
    high: float | None = None,
    above: float | None = None,
    choices: Iterable[str] = (),
    named: bool = False,
    argument: bool = False,
    hidden: bool = False,
    picture: bool = False,
    typed: bool = False,
    usual: Mapping[str, float] | None = None,
    also: str = "",
    holds: str = "",
) -> Any:
    """A field of an `Options` class; see `Spec`."""
    spec = Spec(
        help,
        low=low,
        high=high,
        above=above,
        choices=tuple(choices),
        named=named,
        argument=argument,
        hidden=hidden,
        picture=picture,
        typed=typed,
        usual=usual,
        also=also,
        holds=holds,
    )
    return field(default=default, metadata={"option": spec})


@dataclass(frozen=True)
class Options:
    """A method's options, refused in one line where a value is not what its field declares.

    Values may come from Python, a command line or a file: lists become tuples, whole numbers
    become floats where those are asked for.

    Raises:
        TextonError: a value of another type, out of bounds, or none of the choices.
    """

    def __post_init__(self) -> None:
        for declared in declarations(type(self)):
            value = declared.accepted(getattr(self, declared.name))
            object.__setattr__(self, declared.name, value)

    @classmethod
    def of(cls, given: Mapping[str, Any]) -> Self:
        """From names and values.

        Raises:
            TextonError: an option that is not declared, or a value that is refused.
        """
        known = {declared.name for declared in declarations(cls)}
        for name in given:
            if name not in known:
                raise TextonError(f"there is no option '{name}'{near_names(name, known)}")
        return cls(**given)

    def having(self, **values: Any) -> Self:
        """The same with other values, of the options that it has."""
        known = {declared.name for declared in declarations(type(self))}
        return replace(self, **{name: x for name, x in values.items() if name in known})

    def changed(self) -> dict[str, Any]:
        """The options that are not at their defaults."""
        every = {x.name: (getattr(self, x.name), x) for x in declarations(type(self))}
        return {name: v for name, (v, x) in every.items() if not x.is_default(v)}

    def as_json(self) -> dict[str, Any]:
        """All of them, as JSON has it; `of` reads it back."""
        return {x.name: _plain(getattr(self, x.name)) for x in declarations(type(self))}

    @classmethod
    def declared(cls, name: str, default: Any) -> Any:
        """The same option for a class that inherits, with another default."""
        spec = cls.__dataclass_fields__[name].metadata
        return field(default=default, metadata=spec)


@dataclass(frozen=True)
class Solving(Options):
    """What every method that solves for its pictures may be told."""

    preset: str = option(
        "normal",
        "fast, normal, fine or paper (the 2016 algorithm).",
        choices=PRESETS,
    )
    steps: int | None = option(None, "Exactly so many steps, no early stop.", low=1, high=MAX_STEPS)
    seed: int = option(0, "The same seed gives the same picture.", low=0, high=MAX_SEED)
    dtype: str = option(
        "auto",
        "Steps are computed in float32, bfloat16 or float16; auto: bfloat16 where it is native.",
        choices=DTYPES,
    )

    def settings(self) -> SolverSettings:
        """What the solver is told."""
        return solver_settings(self.preset, steps=self.steps)

    def solver(self) -> dict[str, Any]:
        """What the solver is going to do, as far as it makes other pictures."""
        return asdict(self.settings())


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


def declarations(options: type[Options]) -> tuple[Declared, ...]:
    """The options of a class, in order; its own before those that it inherits."""
    if options not in _DECLARED:
        hints = get_type_hints(options)
        own = vars(options).get("__annotations__", {})
        every = [_declared(x, hints[x.name]) for x in fields(options)]
        _DECLARED[options] = tuple(sorted(every, key=lambda x: x.name not in own))
    return _DECLARED[options]


def _declared(of: Field[Any], kind: Any) -> Declared:
    default = of.default_factory() if of.default_factory is not MISSING else of.default
    return Declared(of.name, kind, default, of.metadata["option"])


_WORDS = {int: "a whole number", float: "a number", bool: "True or False", str: "a text"}


_DECLARED: dict[type[Options], tuple[Declared, ...]] = {}


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


def _plain(value: Any) -> Any:
    if isinstance(value, tuple):
        return [_plain(item) for item in value]
    if isinstance(value, dict):
        return {str(key): _plain(item) for key, item in value.items()}
    if hasattr(value, "dtype"):
        from texton.images.files import content_hash

        return f"image {content_hash(value)}"
    return value if value is None or isinstance(value, (bool, int, float, str)) else str(value)
