"""A picture's command line: what makes it again, spelled as a user would."""

from __future__ import annotations

import shlex
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from texton.methods.method import Method
from texton.methods.options import Options, declarations, option

if TYPE_CHECKING:
    from texton.network.sizes import Intake

SMALLEST, LARGEST = 16, 10_000


@dataclass(frozen=True)
class NetworkOptions(Options):
    """Which network, and where it is computed."""

    network: str = option("vgg19", "See `texton networks`.")
    weights: Path | None = option(
        None, "Other weights: safetensors, a checkpoint, or FILE::KEY of it."
    )
    pooling: str = option("avg", "avg (as in the paper) or max.", choices=("avg", "max"))
    bands: tuple[int, ...] = option((), "The one or three channels a picture shows: 3,2,1.", low=0)
    device: str = option("auto", "auto, cpu, cuda or mps.")

    def load(self) -> Any:
        """The `Network`.

        Raises:
            TextonError: see `load_network`.
        """
        from texton.network.load import load_network

        bands = self.bands or None
        return load_network(self.network, weights=self.weights, pooling=self.pooling, bands=bands)


@dataclass(frozen=True)
class ReadingOptions(Options):
    """How photographs are read."""

    size: int | None = option(
        None, "Long edge in pixels; the method's own by default.", low=SMALLEST, high=LARGEST
    )
    enlarge: bool = option(False, "Enlarge photographs that are smaller.")
    white: float | None = option(
        None, "The files' value that is white: 4095 of 12 bits in 16.", above=0
    )

    crop: str = option(
        "auto",
        "auto: as the network needs it; square: the middle; none: the whole.",
        choices=("auto", "square", "none"),
    )

    @classmethod
    def kept_in(cls, settings: Mapping[str, Any]) -> dict[str, Any]:
        """How photographs were read; settings of before do not tell every option."""
        return {x.name: settings[x.name] for x in declarations(cls) if x.name in settings}

    def read(
        self,
        path: Any,
        size: int | None,
        channels: int,
        intake: Intake,
        tell: Callable[[str], object],
    ) -> Any:
        """A photograph, (1, channels, H, W), at ``size`` where these do not say one.

        Args:
            intake: which images the network takes.
            tell: is told, in a line, where a photograph is trimmed for it.

        Raises:
            TextonError: see `read_image`.
        """
        from texton.images.crop import trimmed
        from texton.images.files import read_image

        needs = intake.told(self.crop)
        multiple = needs.pop("multiple", 1)
        told = {"enlarge": self.enlarge, "channels": channels, "white": self.white, **needs}
        image = read_image(path, self.size or size, **told)
        taken = trimmed(image, multiple)
        if taken.shape != image.shape:
            (rows, columns), (high, wide) = taken.shape[2:], image.shape[2:]
            tell(
                f"{path}: trimmed from {wide}×{high} to {columns}×{rows} pixels, multiples of "
                f"{multiple} (--crop none leaves it whole)"
            )
        return taken.contiguous()

    def read_alpha(self, path: Any, size: int | None, image: Any, intake: Intake) -> Any:
        """How opaque the photograph is that `read` gave, (H, W); None where all of it is."""
        from texton.images.alpha import read_alpha

        told = {"enlarge": self.enlarge, "white": self.white, **intake.told(self.crop)}
        return read_alpha(path, image, self.size or size, **told)


def command_of(
    method: Method, photo: str | None, units: list[str], told: list[Options], out: Path | str
) -> str:
    """``texton filter photo.jpg relu4_2:4 --seed 3 -o x.png``.

    Args:
        units: ``relu4_2:4`` or ``relu4_2``, as many as there are.
        told: the method's options, and how photographs are read and which network it is.
    """
    arguments = [*([] if photo is None else [photo]), *units]
    for options in told:
        for declared in declarations(type(options)):
            if declared.spec.argument:
                arguments += map(str, getattr(options, declared.name))
    return recorded(method.name, arguments, told, out)


def recorded(
    name: str,
    arguments: list[str],
    told: list[Options],
    out: Path | str,
    said: Iterable[str] | None = None,
) -> str:
    """A command line of any command.

    Args:
        said: the options to tell; by default those that are not at their defaults.
    """
    words = [word for options in told for word in words_of(options, said)]
    return shlex.join(["texton", name, *arguments, *words, "-o", str(out)])


def words_of(options: Options, said: Iterable[str] | None = None) -> list[str]:
    """Options as a command line's words: those said, or those that are not at their defaults."""
    words: list[str] = []
    changed = options.changed() if said is None else {x: getattr(options, x) for x in said}
    for declared in declarations(type(options)):
        value = changed.get(declared.name)
        if value is True:
            words.append(declared.flag)
        elif declared.item is Path:
            words += [word for one in value or () for word in (declared.flag, str(one))]
        elif value is not None and not (declared.spec.argument or declared.spec.hidden):
            words += [declared.flag, declared.spell(value)]
    return words
