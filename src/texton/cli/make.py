"""One command a method, made from its declaration: parse, make, keep what is finished, tell."""

from __future__ import annotations

import inspect
import sys
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import typer

from texton.cli import output as o
from texton.cli.file_names import default_name, file_name, spec_word
from texton.cli.named import parameter_of, source_named, wanted
from texton.cli.parameters import Command, command, options_from, parameters_of, plain, required
from texton.cli.photograph import read_photo
from texton.cli.progress import progress
from texton.cli.series import Member, Series, SeriesOptions, own_details
from texton.errors import TextonError
from texton.methods.command import NetworkOptions, ReadingOptions, command_of
from texton.methods.directions import labels, spec_of
from texton.methods.method import Method, Task
from texton.methods.options import Options
from texton.methods.result import Unit

if TYPE_CHECKING:
    from texton.methods.result import Result

Made = tuple[Member, "Result"]


def command_for(method: Method) -> Command:
    """The command of a method, as Typer takes it."""

    def run(**values: Any) -> None:
        _Making(method, values).run()

    side = "Long edge" if "photo" in method.axes else "Side"
    sizes = {"size": f"{side} in pixels [{method.size}]"}
    found: list[inspect.Parameter] = []
    if "photo" in method.axes:
        found.append(required("photo", Path, "An image file, or a .npy."))
    named = parameter_of(method)
    found += [] if named is None else [named]
    declared = parameters_of(method.options)
    found += [one for one in declared if one.default is one.empty]
    found.append(plain("out", Path | None, None, o.OUT))
    if named is not None:
        each = typer.Option(help="Also write every unit, unlabelled, into this folder.")
        found.append(plain("each", Path | None, None, each))
    found += [one for one in declared if one.default is not one.empty]
    reading = parameters_of(ReadingOptions, sizes)
    found += reading if "photo" in method.axes else _sides(method, reading)
    found += [x for x in parameters_of(NetworkOptions) if x.name != "weights"]
    found += parameters_of(SeriesOptions)
    found += [plain("force", bool, False, o.FORCE), plain("as_json", bool, False, o.JSON)]
    return command(run, found, f"{method.title}.\n\n{method.about}")


def _sides(method: Method, reading: list[inspect.Parameter]) -> list[inspect.Parameter]:
    """Of a method without a photograph: --size alone, where it is the user's to choose, and how
    pictures are read that stand in a filter's place."""
    known = {"size"} if method.size else set()
    return [x for x in reading if x.name in known | ({"white"} if method.takes_pictures else set())]


@dataclass(frozen=True)
class _Place:
    """Where a unit of its own is written, and the command that makes it again."""

    path: Path
    command: str


class _Making:
    """One call of a method's command."""

    def __init__(self, method: Method, values: dict[str, Any]) -> None:
        values = source_named(method, values)
        self.method = method
        self.options: Options = options_from(method.options, values)
        self.reading: ReadingOptions = options_from(ReadingOptions, values)
        self.series = Series.of(values)
        self.photo: Path | None = values.get("photo")
        self.specs: list[str] = values.get("filters") or values.get("layers") or []
        self.out: Path | None = values["out"]
        self.each: Path | None = values.get("each")
        self.force, self.as_json = values["force"], values["as_json"]
        if self.out is not None:
            o.check_suffix(self.out)

    def run(self) -> None:
        members = self._members()
        task = members[0].task
        count = len(members) * len(task.units)
        planes = task.network.saves_planes and count == 1
        moving = self.method.animation(self.options) if self.method.animation else ""
        if moving and (count > 1 or self.each):
            raise TextonError("one picture moves at a time: name one, without --each")
        ends = (self.method.suffix, self.series.name)
        name = default_name(self.photo, self.specs, task.units, self.options, ends)
        path = o.check_output(self.out or name, self.force, planes, moving)
        kept = self.options.having(kept=path.with_suffix(o.RESUME))
        members = [replace(x, task=replace(x.task, options=kept)) for x in members]
        places = self._places(members)
        whole = self._command(self.specs, path, [self.series.network, self.series.weights])
        o.tell_assumed(*(member.task.network for member in members))
        done: list[Made] = []
        interrupted = False
        try:
            for member, result in self._results(members):
                if place := places.get((member, result.unit)):
                    result.save(place.path, place.command)
                done.append((member, result))
        except KeyboardInterrupt:
            interrupted = True
        for member, result in done:
            o.warn_dead([result], member.label)
        if interrupted:
            what = f"the {len(done)} of {count} pictures that are finished" if done else "nothing"
            print(f"interrupted: saving {what}", file=sys.stderr)
        if done:
            if count == 1:
                done[0][1].save(path, whole)
                o.forget(kept)
            else:
                self._save_sheet(done, path, whole)
            self._tell(done, path if count == 1 else None, path, places)
        if interrupted:
            raise typer.Exit(130)

    def _members(self) -> list[Member]:
        """The networks asked for with what is wanted of each: the same of all."""
        from texton.jobs.allocator import settle_allocator

        choices = self.series.choices
        networks = [choice.load() for choice in choices]
        net = networks[-1]  # trained longest: its strongest filters are meant by top5
        size = self.reading.size or self.method.size
        photos: dict[str | None, Any] = {}
        named = [spec.rpartition(":")[0] or spec for spec in self.specs]
        crop = self.reading.crop if "photo" in self.method.axes else ""
        intake = o.tell_intake(net, crop, named)
        needs = intake.told(crop)
        size = intake.edge(size, crop)
        if self.photo is not None:
            given = self.photo, self.reading, size, net, intake, self.options
            photos[None], self.options = read_photo(self.method, *given)
        else:
            settle_allocator(size**2)
        units = wanted(self.method, self.options, self.specs, net, photos.get(None))
        told = self.options, self.series.network.device, size, self.reading.white, needs
        each = zip(self.series.labels, choices, networks, own_details(networks), strict=True)
        return [
            Member(label, choice, Task(one, units, photos, *told), own)
            for label, choice, one, own in each
        ]

    def _results(self, members: list[Member]) -> Iterator[Made]:
        first, *rest = (
            f"{x if x.layer else self.method.name}  {member.label}".rstrip()
            for member in members
            for x in member.task.units
        )
        following = iter([*rest, "done"])
        with progress(len(rest) + 1, each=True) as told:
            told.begin(first)
            for member in members:
                for result in self.method.make(member.task, told.step):
                    told.finish(f"{member.label}  {_line(self.method, result)}".lstrip())
                    told.begin(next(following))
                    yield member, result

    def _places(self, members: list[Member]) -> dict[tuple[Member, Unit], _Place]:
        if self.each is None:
            return {}
        if self.each.exists() and not self.each.is_dir():
            raise TextonError(f"'{self.each}' is not a folder: name one for --each")
        places = {}
        for member in members:
            for unit in member.task.units:
                words = [spec_word(spec_of(unit)), *([member.label] if member.label else [])]
                path = self.each / f"{file_name('-'.join(words))}.png"
                o.check_output(path, self.force, member.task.network.saves_planes)
                command = self._command([spec_of(unit)], path, [member.choice])
                places[member, unit] = _Place(path, command)
        return places

    def _command(self, specs: list[str], path: Path, networks: list[Options]) -> str:
        photo = None if self.photo is None else str(self.photo)
        told = [self.options.having(resume=False), self.reading, *networks]
        return command_of(self.method, photo, specs, told, path)

    def _save_sheet(self, done: list[Made], path: Path, command: str) -> None:
        from texton.images.files import write_image
        from texton.images.sheets import Tile, make_sheet

        layers = list(dict.fromkeys(result.layer for _, result in done))
        rows: dict[str, list[Tile]] = {}
        tiled = zip(done, labels([result.unit for _, result in done]), strict=True)
        for (member, result), label in sorted(tiled, key=lambda x: layers.index(x[0][1].layer)):
            note = "dead" if result.status == "dead" else ""
            tile = Tile(result.shown, label, note, result.settings.get("bands"))
            rows.setdefault(member.row(result, len(layers)), []).append(tile)
        name = done[0][0].task.network.name
        sheet = make_sheet(list(rows.items()), name if "@random" in name else "")
        units = [{**result.record(), **member.own} for member, result in done]
        write_image(sheet, path, {"command": command, **_shared(done[0]), "units": units})

    def _tell(
        self,
        done: list[Made],
        alone: Path | None,
        path: Path,
        places: dict[tuple[Member, Unit], _Place],
    ) -> None:
        units = []
        for member, result in done:
            place = places.get((member, result.unit))
            where = place.path if place else alone
            told = {**result.record(), **member.own}
            units.append({**told, "image": str(where) if where else None})
        task = done[0][0].task
        made: dict[str, Any] = {"image": str(path), "network": task.network.name}
        if task.photos:
            image = task.photos[None]
            made["size"] = [image.shape[3], image.shape[2]]
        seed = getattr(self.options, "seed", None)
        made |= {} if seed is None else {"seed": seed}
        o.tell({**made, "units": units, "settings": _shared(done[0])}, self.as_json, path)


def _shared(made: Made) -> dict[str, Any]:
    """What pictures record, without what is the network's of a series alone."""
    member, result = made
    return {key: value for key, value in result.settings.items() if key not in member.own}


def _line(method: Method, result: Result) -> str:
    """``relu4_2:4  error 0.812  achieved 15.1 %  1.2 s``."""
    shown = [x for x in method.shown() if result.figures.get(x.key) is not None][:3]
    figures = [f"{x.label.lower()} {x.text(result.figures[x.key])}" for x in shown]
    name = str(result.unit) or method.name
    return "  ".join([name, *figures, f"{result.seconds:.1f} s"])
