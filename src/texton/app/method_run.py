"""One picture of any method, from a form: nothing here knows a method by its name."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from texton.app.forms import Mistake, changed_json, in_words, options_of, without_evidence
from texton.app.house import House
from texton.app.recipe import command_and_python
from texton.app.work import About, Told
from texton.errors import TextonError
from texton.methods.catalogue import find_method
from texton.methods.command import LARGEST, SMALLEST, ReadingOptions
from texton.methods.method import Method, Task
from texton.methods.options import Options, declarations
from texton.methods.result import Result, Unit
from texton.methods.units import units_of

if TYPE_CHECKING:
    from texton.app.photos import Photo
    from texton.network.network import Network
    from texton.solve.solver import Step

Turn = Callable[[Callable[[], None]], None]


@dataclass(frozen=True)
class MethodRun:
    """See `Run`. ``size`` is the long edge asked for; None: the method's own."""

    method: Method
    options: Options
    house: House
    network: str
    photo: Photo | None
    layer: str | None
    channel: int | None
    size: int | None

    @classmethod
    def of(cls, body: Mapping[str, Any], house: House) -> MethodRun:
        """From the body of a request.

        Raises:
            TextonError: what it says is refused.
        """
        name = _text(body, "method")
        method = find_method((name or "")[:80])
        network = _text(body, "network") or house.default
        house.network_options(network)
        photo_id, layer = _text(body, "photo"), _text(body, "layer")
        channel, size = _whole(body, "channel"), _whole(body, "size")
        said = body.get("options")
        if not isinstance(said, (dict, type(None))):
            raise Mistake("options are no JSON object: say them by name")
        options = options_of(method, said or {}, house.files)
        photo = None
        if takes_photo(method, layer):
            if photo_id is None:
                raise Mistake("choose a photograph first")
            photo = house.photos.kept(photo_id)
        if size is not None and not SMALLEST <= size <= LARGEST:
            raise Mistake(f"size is {size}: use {SMALLEST} to {LARGEST}", "size")
        if channel is not None and channel < 0:
            raise Mistake(f"there is no filter {channel}: they are numbered from 0")
        if photo is not None and method.takes_pictures:
            channel = None
        elif method.named is None:
            layer = _needed(method, "layer", layer)
            channel = _needed(method, "channel", channel)
        return cls(method, options, house, network, photo, layer, channel, size)

    @property
    def of_picture(self) -> bool:
        """Whether the photograph stands in a filter's place."""
        return self.photo is not None and self.method.takes_pictures

    def run(self, told: Told) -> Iterator[Result]:
        told.check()
        with self.by_fields():
            yield from self.make(told)

    @contextmanager
    def by_fields(self) -> Iterator[None]:
        """Errors in it speak of the page's fields, not of flags."""
        try:
            yield
        except TextonError as error:
            told = in_words(str(error), declarations(self.method.options))
            raise TextonError(told) from None

    def make(
        self,
        told: Told,
        task: Task | None = None,
        *,
        side: Literal["left", "right"] | None = None,
        turn: Turn | None = None,
    ) -> Iterator[Result]:
        """The pictures, one after the other.

        Args:
            task: what is wanted, where that is known already.
            side: of two that are seen side by side, which these are.
            turn: is called in every step with what shows a frame, in place of showing it.
        """
        task = task or self.task(self.house.network(self.network))
        network = task.network
        if self.house.evidence_of not in (None, network.weights_hash):
            task = replace(task, options=without_evidence(self.options))
        gains = any(x.key == "achieved" for x in self.method.figures)

        def achieved(step: Step) -> Any:
            share = step.achieved()
            return None if share is None else share.mean()

        def on_step(step: Step) -> None:
            def show() -> None:
                told.frame(
                    lambda: _side_by_side(step.images(), network),
                    step.index,
                    step.steps,
                    lambda: step.errors.mean(),
                    (lambda: achieved(step)) if gains else None,
                    side,
                )

            show() if turn is None else turn(show)

        for result in self.method.make(task, on_step):
            yield result
            told.check()

    def about(self, result: Result) -> About:
        command, python = command_and_python(self, result)
        photo = self.photo.name if self.photo else ""
        unit = str(replace(result.unit, photo=None)) or (
            photo if self.of_picture else self.method.name
        )
        return About(
            name=self.method.name,
            title=self.method.title,
            caption=self.method.caption.format(unit=unit, photo=photo),
            network=self.network,
            request=self.request(result.unit),
            photo=self.photo,
            options=self._changed(),
            command=command,
            python=python,
            method=self.method,
        )

    def request(self, unit: Unit) -> dict[str, Any]:
        """The body that makes a picture again."""
        return {
            "method": self.method.name,
            "photo": self.photo.id if self.photo else None,
            "network": self.network,
            "layer": unit.layer if self.layer is None else self.layer,
            "channel": unit.channel if self.channel is None else self.channel,
            "options": self._changed(),
            "size": self.size,
        }

    def _changed(self) -> dict[str, Any]:
        photos = self.house.photos

        def photo_id(file: Any) -> str | None:
            found = photos.of_file(Path(file))
            return found.id if found else None

        return changed_json(self.options, photo_id)

    @property
    def specs(self) -> list[str]:
        """What a command line names."""
        if self.layer is None or "layer" not in self.method.axes:
            return []
        return [self.layer if self.channel is None else f"{self.layer}:{self.channel}"]

    def task(self, network: Network) -> Task:
        """What is wanted, the photograph read as the command line would read it."""
        from texton.jobs.allocator import settle_allocator

        reading = ReadingOptions(size=self.size)
        crop = reading.crop if self.photo and not self.of_picture else ""
        known = [self.layer] if self.layer in network.layers else None
        intake = network.intake(known)
        size, needs = self.size or self.method.size, intake.told(crop)
        size = intake.edge(size, crop)
        photos: dict[str | None, Any] = {}
        if self.photo is not None and not self.of_picture:
            image = reading.read(self.photo.file, size, network.channels, intake, lambda line: None)
            photos[None] = image
            settle_allocator(image.shape[2] * image.shape[3])
        else:
            settle_allocator(size**2)
        units = tuple(self.units(network))
        device = self.house.given.device
        return Task(network, units, photos, self.options, device, size, None, needs)

    def units(self, network: Network) -> list[Unit]:
        """What pictures are of: what options name, or the layer and the filter."""
        method = self.method
        if self.photo is not None and self.of_picture:
            return [Unit(photo=str(self.photo.file))]
        if method.named is None or method.named(self.options, network, self.specs) is None:
            layer = _needed(method, "layer", self.layer)
            _needed(method, "channel", self.channel)
            if layer is not None:
                network.layer(layer)  # a pattern is no layer
        return list(units_of(method, self.options, self.specs, network, None))


def takes_photo(method: Method, layer: str | None) -> bool:
    """Whether a picture is of a photograph: a texture is where it is of no layer."""
    return "photo" in method.axes or (method.takes_pictures and layer is None)


def _needed(method: Method, axis: str, value: Any) -> Any:
    """An axis of the method's; None of an axis that it has not."""
    if axis not in method.axes:
        return None
    if value is None:
        what = {"layer": "a layer", "channel": "a filter"}[axis]
        raise Mistake(f"choose {what} first")
    return value


def _side_by_side(images: Any, network: Network) -> Any:
    """(B, C, H, W) as one picture (C, H, W) of the bands that the network shows."""
    import torch

    shown = images[:8][:, list(network.bands)]
    return torch.cat(list(shown), 2)


def _text(body: Mapping[str, Any], key: str) -> str | None:
    value = body.get(key)
    if value is not None and not isinstance(value, str):
        raise Mistake(f"{key} is no text")
    return value


def _whole(body: Mapping[str, Any], key: str) -> int | None:
    value = body.get(key)
    if value is not None and (isinstance(value, bool) or not isinstance(value, int)):
        raise Mistake(f"{key} is no whole number", key)
    return value
