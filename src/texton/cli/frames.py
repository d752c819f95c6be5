"""``texton stylize NIGHT --frames CLIP``: pictures in a row, each begun from the one before."""

from __future__ import annotations

import inspect
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import typer

from texton.cli import output as o
from texton.cli.make import command_for
from texton.cli.parameters import Command, command, options_from, plain
from texton.cli.photograph import read_photo
from texton.cli.progress import progress
from texton.cli.series import Series
from texton.errors import TextonError
from texton.images.animation import SUFFIXES, write_animation
from texton.methods.command import ReadingOptions, command_of
from texton.methods.method import Method, Task
from texton.methods.result import Unit

if TYPE_CHECKING:
    from texton.network.network import Network

_FRAMES = typer.Option(
    help="Stylise a folder of pictures, or a GIF, frame by frame; PHOTO is then a style too, and "
    "--out a folder.",
    show_default=False,
)
_ANIMATION = typer.Option(help="With --frames: webp or gif, all of them as one.")
_MOVING = {".gif", ".webp"}


def framed(method: Method) -> Command:
    """The command of a method whose photograph may also be a row of frames."""
    one = command_for(method)

    def run(**values: Any) -> None:
        frames, animation = values.pop("frames"), values.pop("animation")
        if frames is not None:
            _Frames(method, frames, animation, values).run()
        elif animation is not None:
            raise TextonError("--animation is of --frames: name a folder of pictures or a GIF")
        elif not values["styles"] and values["model"] is None:
            raise TextonError("Missing argument 'STYLE...': name at least one image, or --model")
        else:
            one(**values)

    known = list(inspect.signature(one).parameters.values())
    metavar = typer.Argument(metavar="[STYLE]...", help=_help_of(known, "styles"))
    found = [
        plain("styles", list[str] | None, None, metavar) if x.name == "styles" else x for x in known
    ]
    found.append(plain("frames", Path | None, None, _FRAMES))
    found.append(plain("animation", str | None, None, _ANIMATION))
    return command(run, found, one.__doc__ or "")


def _help_of(parameters: Sequence[inspect.Parameter], name: str) -> str:
    found = next(x for x in parameters if x.name == name)
    return str(found.annotation.__metadata__[0].help)


class _Frames:
    """One call of the command."""

    def __init__(
        self, method: Method, source: Path, animation: str | None, values: dict[str, Any]
    ) -> None:
        if animation is not None and animation not in SUFFIXES:
            raise TextonError(f"unknown animation '{animation}': use {' or '.join(SUFFIXES)}")
        if values["model"] is not None:
            raise TextonError("--frames are solved for: paint them one by one with --model")
        values["styles"] = [str(values["photo"]), *(values["styles"] or [])]
        self.method, self.source, self.animation = method, source, animation
        self.options = options_from(method.options, values)
        self.options.having(start="the frame before")  # refused here, where it will be later
        self.reading: ReadingOptions = options_from(ReadingOptions, values)
        series = Series.of(values)
        if len(series.choices) > 1:
            raise TextonError("frames are of one network: name one file of --weights")
        self.choice = series.choices[0]
        self.force, self.as_json = values["force"], values["as_json"]
        self.folder: Path = values["out"] or Path(f"{source.stem}-stylized")
        if self.folder.exists() and not self.folder.is_dir():
            raise TextonError(f"'{self.folder}' is no folder: name one for the frames")

    def run(self) -> None:
        frames = _frames_of(self.source, self.folder)
        paths = [self.folder / f"{frame.stem}.png" for frame in frames]
        if self.folder.resolve() == frames[0].parent.resolve():
            raise TextonError(f"'{self.folder}' holds the frames themselves: name another folder")
        for path in paths:
            o.check_output(path, self.force)
        network = self.choice.load()
        o.tell_assumed(network)
        done: list[Path] = []
        interrupted = False
        try:
            with progress(len(frames), each=True) as told:
                for frame, path in zip(frames, paths, strict=True):
                    told.begin(path.stem)
                    line = self._made(network, frame, path, done[-1] if done else None, told.step)
                    done.append(path)
                    told.finish(line)
        except KeyboardInterrupt:
            interrupted = True
            print(f"interrupted: {len(done)} of {len(frames)} frames are kept", file=sys.stderr)
        made: dict[str, Any] = {"frames": [str(path) for path in done]}
        if self.animation is not None and len(done) > 1:
            made["animation"] = str(self._animated(done))
        if done:
            o.tell(made, self.as_json, self.folder)
        if interrupted:
            raise typer.Exit(130)

    def _made(
        self, network: Network, frame: Path, path: Path, before: Path | None, on_step: Any
    ) -> str:
        """A frame, which is written; what there is to say of it."""
        size = self.reading.size or self.method.size
        intake = network.intake()
        needs = intake.told(self.reading.crop)
        size = intake.edge(size, self.reading.crop)
        given = self.options if before is None else self.options.having(start=str(before))
        image, told = read_photo(self.method, frame, self.reading, size, network, intake, given)
        options = told.having(kept=path.with_suffix(o.RESUME))
        again = command_of(
            self.method,
            str(frame),
            [],
            [options.having(resume=False), self.reading, self.choice],
            path,
        )
        if self.options.resume and path.exists() and _command_in(path) == again:
            return f"{path.stem}  is there"
        unit, device = Unit(), self.choice.device
        rest = options, device, size, self.reading.white, needs
        (result,) = self.method.make(Task(network, (unit,), {None: image}, *rest), on_step)
        result.save(path, again)
        o.forget(options)
        return f"{path.stem}  {result.seconds:.1f} s"

    def _animated(self, done: Sequence[Path]) -> Path:
        """All frames as one file beside them."""
        from texton.images.files import read_image

        path = self.folder / f"animation{SUFFIXES[str(self.animation)]}"
        return write_animation([read_image(each)[0] for each in done], path)


def _frames_of(source: Path, folder: Path) -> list[Path]:
    """The frames as files; those of one that moves are written beside what becomes of them.

    Raises:
        TextonError: there are fewer than two, or not all of one size.
    """
    from texton.images.folder import images_in
    from texton.images.opening import identify

    if source.is_dir():
        frames = images_in(source)
    elif source.suffix.lower() in _MOVING:
        frames = _unpacked(source, folder / "frames")
    else:
        raise TextonError(f"'{source}' is neither a folder of pictures nor a GIF: name one")
    if len(frames) < 2:
        raise TextonError(f"there are {len(frames)} frames in '{source}': two are needed at least")
    sizes: dict[tuple[int, int], Path] = {}
    for frame in frames:
        with identify(frame) as picture:
            sizes.setdefault(picture.size, frame)
    if len(sizes) > 1:
        (one, first), (other, then), *_ = sizes.items()
        raise TextonError(
            f"'{first}' is {one[0]}×{one[1]} pixels and '{then}' {other[0]}×{other[1]}: frames are "
            "all of one size"
        )
    return frames


def _unpacked(source: Path, folder: Path) -> list[Path]:
    """A moving picture's frames, each a file, so that every command can be called again."""
    from PIL import ImageSequence

    from texton.images.files import write_image
    from texton.images.opening import check_size, identify

    with identify(source) as moving:
        check_size(source, *moving.size)
        paths = []
        try:
            for number, frame in enumerate(ImageSequence.Iterator(moving), 1):
                path = folder / f"{source.stem}-{number:04}.png"
                o.check_output(path, force=False)
                paths.append(write_image(frame.convert("RGB"), path, {"frame_of": str(source)}))
        except (OSError, SyntaxError, ValueError, EOFError):
            raise TextonError(f"'{source}' is damaged: get the whole file again") from None
    return paths


def _command_in(path: Path) -> str | None:
    from texton.images.files import read_settings

    settings = read_settings(path) or {}
    return settings.get("command") if isinstance(settings.get("command"), str) else None
