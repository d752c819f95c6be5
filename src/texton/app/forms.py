"""A method's declared options as a form, and what a form says as options: no method is named."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, get_origin

from texton.app.models import Model
from texton.errors import TextonError, near_names
from texton.methods.declared import Declared
from texton.methods.method import Method
from texton.methods.options import Options, declarations

_SINGLE = {int: "int", float: "float", bool: "bool", str: "text"}
_SEVERAL = {int: "ints", float: "floats", str: "texts"}


_GIVEN = ("evidence", "numbers")  # what is held, that no form says
_FLAG = re.compile(r"(?<![\w-])--[a-z][a-z-]*")
_HELD = {"evidence": "the evidence"}  # what the page was started with
_ELSEWHERE = {"--size": "“Long edge”", "--pooling": "the network's pooling"}  # beside the options


class Mistake(TextonError):  # noqa: N818 - it is told, not raised through
    """What is wrong with a request, and with which option, if with one."""

    def __init__(self, message: str, option: str | None = None) -> None:
        super().__init__(message)
        self.option = option


@dataclass(frozen=True)
class Files:
    """What stands for the files that options name: no page says a path.

    Attributes:
        photo: the file of a photograph's id; raises a TextonError where there is none.
        models: trained models by the names that the page knows.
        evidence: what a scan made, of the network that is asked; None without.
    """

    photo: Callable[[str], Path]
    models: Mapping[str, Model]
    evidence: Path | None = None


def method_json(method: Method, models: Mapping[str, Model]) -> dict[str, Any]:
    """A method as the page knows it: its words, its form, its figures."""
    declared = declarations(method.options)
    forms = [form for x in declared if (form := option_json(x, models)) is not None]
    forms = [{**form, "help": in_words(form["help"], declared)} for form in forms]
    if any(x.spec.argument for x in declared) and _models_of(method, models):
        forms = [{**form, "required": False} for form in forms]  # a model may take their place
    return {
        "name": method.name,
        "title": method.title,
        "about": in_words(method.about, declared),
        "axes": list(method.axes),
        "size": method.size,
        "names_units": method.named is not None,
        "takes_pictures": method.takes_pictures,
        "options": forms,
        "figures": [x.key for x in method.shown()],
    }


def _models_of(method: Method, models: Mapping[str, Model]) -> list[str]:
    """The options of a method's form that take a trained model."""
    every = declarations(method.options)
    return [x.name for x in every if kind_of(x) == "model" and option_json(x, models)]


def in_words(text: str, declared: Iterable[Declared]) -> str:
    """What is said of a method's options, as the page has them: by fields, not by flags."""
    fields = {**_ELSEWHERE}
    for one in declared:
        name = _HELD.get(one.spec.holds) or f"“{_label(one)}”"
        fields |= {flag: name for flag in (one.flag, one.spec.also) if flag}
    return _FLAG.sub(lambda found: fields.get(found[0], found[0]), text)


def _label(declared: Declared) -> str:
    return declared.name.strip("_").replace("_", " ").capitalize()


def option_json(declared: Declared, models: Mapping[str, Model]) -> dict[str, Any] | None:
    """An option's field; None for one whose file the page cannot name."""
    kind = kind_of(declared)
    spec = declared.spec
    choices = list(spec.choices)
    if kind == "model":
        choices = [name for name, one in models.items() if one.is_for(spec.holds)]
        kind = "choice" if choices else None
    if kind is None:
        return None
    required = spec.argument or (declared.default is None and not _unset(declared))
    return {
        "name": declared.name,
        "label": _label(declared),
        "help": spec.help,
        "kind": kind,
        "default": _plain(declared.default),
        "low": spec.low,
        "high": spec.high,
        "above": spec.above,
        "choices": choices,
        "unset": _unset(declared),
        "usual": spec.usual,
        "required": required,
    }


def kind_of(declared: Declared) -> str | None:
    """What a field of the page holds; None where it is a file that the page does not name."""
    spec, base = declared.spec, declared.base
    if spec.hidden or spec.typed:
        return None
    if spec.holds:
        return None if spec.holds in _GIVEN else "model"
    if spec.picture:
        return "picture" if declared.item is None else "pictures"
    if base in _SINGLE:
        return "choice" if spec.choices else _SINGLE[base]
    if get_origin(base) is dict:
        return "factors"
    return _SEVERAL.get(declared.item)  # a path has none


def _unset(declared: Declared) -> bool:
    return declared.may_be_unset or declared.base is Any


def _plain(value: Any) -> Any:
    if isinstance(value, tuple):
        return [_plain(item) for item in value]
    if isinstance(value, dict):
        return {str(key): number for key, number in value.items()}
    return value if value is None or isinstance(value, (bool, int, float, str)) else None


def options_of(method: Method, said: Mapping[str, Any], files: Files) -> Options:
    """What a form says, as the method's options.

    Raises:
        Mistake: an option that the form has not, or a value that is refused.
    """
    known = {x.name: x for x in declarations(method.options)}
    offered = {name for name, x in known.items() if option_json(x, files.models)}
    values: dict[str, Any] = {}
    for name, value in said.items():
        if name not in offered:
            raise Mistake(f"there is no option '{name[:40]}'{near_names(name[:40], offered)}", name)
        try:
            values[name] = _value(known[name], value, files)
        except TextonError as error:
            raise Mistake(str(error), name) from None
    modelled = any(values.get(name) for name in _models_of(method, files.models))
    for name, declared in known.items():
        if declared.spec.holds == "evidence" and files.evidence is not None:
            values[name] = files.evidence
        elif modelled and declared.spec.argument:
            continue
        elif not values.get(name) and declared.spec.argument and not declared.default:
            raise Mistake(f"{name.replace('_', ' ')} is needed: choose one or more", name)
        elif name not in values and declared.default is None and not _unset(declared):
            raise Mistake(f"{name.replace('_', ' ')} is needed: say it", name)
    try:
        return method.options.of(values)
    except TextonError as error:
        raise Mistake(in_words(str(error), known.values())) from None


def _value(declared: Declared, value: Any, files: Files) -> Any:
    kind = kind_of(declared)
    if value is None:
        return declared.accepted(None) if _unset(declared) else declared.default
    if kind == "model":
        model = files.models.get(value) if isinstance(value, str) else None
        if model is None or not model.is_for(declared.spec.holds):
            near = near_names(str(value)[:80], files.models)
            raise TextonError(f"there is no trained model '{str(value)[:80]}'{near}")
        return declared.accepted(model.file)
    if kind == "picture":
        return _photo(value, files)
    if kind == "pictures":
        if not isinstance(value, list):
            raise TextonError("give photographs as a list")
        return tuple(_photo(one, files) for one in value)
    if kind == "factors" and not isinstance(value, dict):
        raise TextonError('give a number for every channel: {"4": 0.5}')
    return declared.accepted(value)


def _photo(value: Any, files: Files) -> Path:
    if not isinstance(value, str):
        raise TextonError("a photograph is named by its id")
    return files.photo(value)


def without_evidence(options: Options) -> Options:
    """For a network that the evidence is not of."""
    held = [x for x in declarations(type(options)) if x.spec.holds == "evidence"]
    return replace(options, **{x.name: x.default for x in held})


def changed_json(options: Options, photo_id: Callable[[Any], str | None]) -> dict[str, Any]:
    """What is not at its default, as a form would say it: a file by its photograph's id."""

    def of(declared: Declared, value: Any) -> Any:
        kind = kind_of(declared)
        if kind == "picture":
            return photo_id(value)
        if kind == "pictures":
            return [photo_id(one) for one in value]
        return Path(value).name if kind == "model" else _plain(value)

    changed = options.changed()
    told = {x.name: (x, changed[x.name]) for x in _offered(options) if x.name in changed}
    return {name: of(declared, value) for name, (declared, value) in told.items()}


def _offered(options: Options) -> Iterator[Declared]:
    return (x for x in declarations(type(options)) if kind_of(x) is not None)
