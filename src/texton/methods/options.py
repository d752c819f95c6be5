"""Options declared once: fields of a frozen dataclass that carry their help, bounds and choices."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import MISSING, Field, asdict, dataclass, field, fields, replace
from typing import Any, Self, get_type_hints

from texton.errors import TextonError, near_names
from texton.methods.declared import Declared, Spec
from texton.solve.presets import MAX_STEPS, PRESETS, SolverSettings, solver_settings

MAX_SEED = 2**63 - 1
DTYPES = ("auto", "float32", "bfloat16", "float16")
_DECLARED: dict[type[Options], tuple[Declared, ...]] = {}


def option(default: Any, help: str, *, choices: Iterable[str] = (), **told: Any) -> Any:
    """A field of an `Options` class; ``told`` is what `Spec` has beside help and choices."""
    spec = Spec(help, choices=tuple(choices), **told)
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


def _plain(value: Any) -> Any:
    if isinstance(value, tuple):
        return [_plain(item) for item in value]
    if isinstance(value, dict):
        return {str(key): _plain(item) for key, item in value.items()}
    if hasattr(value, "dtype"):
        from texton.images.files import content_hash

        return f"image {content_hash(value)}"
    return value if value is None or isinstance(value, (bool, int, float, str)) else str(value)
