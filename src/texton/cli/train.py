"""``texton train``: networks of texton's own, trained on a folder of photographs."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import typer

from texton.cli import output as o
from texton.cli.parameters import Command, command, options_from, parameters_of, plain, required
from texton.cli.progress import Progress, duration, progress
from texton.errors import TextonError
from texton.methods.command import NetworkOptions

if TYPE_CHECKING:
    from texton.network.device import Compute
    from texton.network.network import Network
    from texton.training.options import TrainingOptions
    from texton.training.photos import Photos
    from texton.training.trainer import Recipe, Report

_PHOTOS = typer.Option(help="Photographs to learn from, in folders of any depth.")
_OUT = typer.Option("-o", "--out", help="The .safetensors to write.")
_FORCE = typer.Option("--force", help="Train anew what is there, or replace what is not texton's.")


@dataclass(frozen=True)
class Asked:
    """What every training is told on a command line."""

    photos: Path
    out: Path
    network: NetworkOptions
    force: bool
    as_json: bool

    @classmethod
    def of(cls, values: dict[str, Any]) -> Asked:
        """
        Raises:
            TextonError: a place that could not be written, before anything is computed.
        """
        from texton.training.trainer import check_out

        check_out(values["out"], values["force"])
        told = options_from(NetworkOptions, values)
        return cls(values["photos"], values["out"], told, values["force"], values["as_json"])


def parameters(options: type[TrainingOptions]) -> list[Any]:
    """A training's parameters: where the photographs are, where the file goes, its options."""
    return [
        plain("photos", Path, ..., _PHOTOS),
        plain("out", Path, ..., _OUT),
        *parameters_of(options),
        *parameters_of(NetworkOptions),
        plain("force", bool, False, _FORCE),
        plain("as_json", bool, False, o.JSON),
    ]


MakeRecipe = Callable[["Network", "Photos", "Compute"], "Recipe"]


def run_training(
    asked: Asked, told: TrainingOptions, make: MakeRecipe, layers: Sequence[str] = ()
) -> None:
    """Read the photographs, train, tell; exit code 130 where it was interrupted.

    Args:
        layers: that the network must have, known before the photographs are read.
        make: the recipe, of the network, the photographs and what is computed with.

    Raises:
        TextonError: whatever any of these refuses.
    """
    from texton.jobs.allocator import settle_allocator
    from texton.network.device import choose_compute, dtype_named
    from texton.training.photos import Photos
    from texton.training.trainer import forget, train

    network = asked.network.load()
    for layer in layers:
        network.layer(layer)
    o.tell_assumed(network)
    settle_allocator(told.crop**2)
    wanted = choose_compute(asked.network.device, dtype_named(told.dtype))
    compute = network.suited(wanted, asked=told.dtype != "auto")
    if compute.alone and told.batch > 1:
        raise TextonError(f"{network.name} takes one image at a time: use --batch 1")
    with progress() as reading:
        photos = Photos.read(
            asked.photos,
            told.crop,
            channels=network.channels,
            most=told.most,
            on_file=lambda done, total: reading.reach(done, total, "photographs read"),
        )
    recipe = make(network, photos, compute)
    if asked.force:
        forget(asked.out)
    with progress() as shown:
        made = train(recipe, photos, told, asked.out, compute, _Teller(shown))
    if made.interrupted:
        o.say(f"interrupted: saved as it is after {made.steps:,} steps, run it again to go on")
    figures = {
        "model": str(asked.out),
        "network": network.name,
        "steps": made.steps,
        "seconds": round(made.seconds, 1),
        "loss": made.loss,
        "held_out": made.held,
        "photographs": len(photos.seen),
        "samples": str(made.samples),
    }
    o.tell(figures, asked.as_json, made.path)
    if made.interrupted:
        raise typer.Exit(130)


class _Teller:
    """Tells how far a training is, and every sample in a line that stays."""

    def __init__(self, shown: Progress) -> None:
        self._shown, self._started, self._first = shown, time.monotonic(), -1.0

    def __call__(self, report: Report) -> None:
        now = time.monotonic()
        if self._first < 0:
            self._started, self._first = now, report.done
        pace = (report.done - self._first) / max(now - self._started, 1e-9)
        left = f", {duration((1 - report.done) / pace)} left" if pace else ""
        steps = max(report.step, round(report.step / report.done))
        self._shown.reach(report.step, steps, f"loss {report.loss:.4f}{left}")
        if report.sample is not None:
            held = f"held-out {report.held:.4f}"
            self._shown.say(
                f"step {report.step:,}: loss {report.loss:.4f}, {held}, {report.sample}"
            )


def app(words: Sequence[str]) -> typer.Typer:
    """The commands, one a kind of network."""
    made = typer.Typer(
        help="Networks trained on your photographs: decoders, styles.",
        no_args_is_help=True,
        rich_markup_mode=None,
    )
    if "train" in words:
        made.command("decoder")(_decoder_command())
        made.command("style")(_style_command())
    return made


def _decoder_command() -> Command:
    from texton.training.options import DecoderOptions

    def run(layer: str, **values: Any) -> None:
        asked, told = Asked.of(values), options_from(DecoderOptions, values)

        def make(network: Network, photos: Photos, compute: Compute) -> Recipe:
            from texton.training.decoder import DecoderRecipe

            return DecoderRecipe(network, layer, told, photos, compute)

        run_training(asked, told, make, [layer])

    of_layer = typer.Option(help="Whose codes it decodes, like relu3_1.")
    return command(
        run,
        [plain("layer", str, ..., of_layer), *parameters(DecoderOptions)],
        "A network that gives the image of a layer's code in one pass.\n\n"
        "Run it again to go on after whatever happened. `texton invert --decoder` takes it.",
    )


def _style_command() -> Command:
    from texton.training.style_options import StyleTraining

    def run(paintings: list[Path], **values: Any) -> None:
        asked, told = Asked.of(values), options_from(StyleTraining, values)

        def make(network: Network, photos: Photos, compute: Compute) -> Recipe:
            from texton.training.styles import StyleRecipe

            return StyleRecipe(paintings, network, told, compute)

        run_training(asked, told, make, [told.content_layer, *told.style_layers])

    return command(
        run,
        [
            required("paintings", list[Path], "Images or .style files, a style each."),
            *parameters(StyleTraining),
        ],
        "A network that paints any photograph in a style, or in several, in one pass.\n\n"
        "Run it again to go on after whatever happened. `texton stylize --model` takes it.",
    )
