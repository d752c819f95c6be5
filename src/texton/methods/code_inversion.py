"""Code inversion, of a photograph's code as it is or modified (the paper's section 2).

Modified at random it is RMCI, the photograph in a random style (section 2.2); ``ranks`` is the
2016 code's direct purposeful modification (section 2.3).
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from texton.errors import TextonError
from texton.methods.inversions import Decoding
from texton.methods.method import ERROR, STARTS, STEPS, Method, OnStep, Task
from texton.methods.options import MAX_SEED, option
from texton.methods.result import Result, Unit

if TYPE_CHECKING:
    from torch import Tensor

    from texton.network.network import Network

Modify = Callable[["Tensor"], "Tensor"]


@dataclass(frozen=True)
class InvertOptions(Decoding):
    """Of ``texton invert``."""

    modify: str = option(
        "none",
        "Before inverting: none; random reallocates the energy (RMCI, a style per --seed); "
        "ranks orders the maps as in --style.",
        choices=("none", "random", "ranks"),
        named=True,
    )
    style: Any = option(None, "The image of --modify ranks.", named=True, picture=True)
    shares_seed: int | None = option(
        None, "The random shares' own seed; --seed by default.", low=0, high=MAX_SEED, named=True
    )
    spread: float = option(
        1.0, "0 even shares, 1 half-normal, more: few carry most.", low=0, high=10, named=True
    )

    def __post_init__(self) -> None:
        super().__post_init__()
        if (self.modify == "ranks") != (self.style is not None):
            raise TextonError("--modify ranks and --style IMAGE go together")
        if self.modify == "random" and self.shares_seed is None:
            object.__setattr__(self, "shares_seed", self.seed)  # which style it is: told in names


def invert(
    image: Tensor,
    network: Network,
    layer: str,
    *,
    modify: Modify | None = None,
    device: str = "auto",
    on_step: OnStep | None = None,
    **options: Any,
) -> Result:
    """Code inversion: an image whose code at ``layer`` is the photograph's.

    Args:
        image: (1, C, H, W) in [0, 1].
        modify: changes the code before it is inverted, (1, C, M, N) → (1, C, M, N): the
            functions of `texton.network.codes`, or your own.
        options: of `Decoding`: ``preset``, ``steps``, ``seed``, ``tv``, ``jitter``, ``decoder``, …

    Raises:
        TextonError: an unknown layer, option or device; numbers out of range; an image too small;
            a decoder of another network or layer.
    """
    from texton.methods.parts.inverting import decoder_of, inverted

    task = Task.of(image, network, Decoding.of(options), layer, device=device)
    decoder = decoder_of(task, task.options.decoder)
    return inverted(task, task.units[0], modify, on_step, decoder)


def invert_random(
    image: Tensor,
    network: Network,
    layer: str,
    *,
    shares_seed: int = 0,
    spread: float = 1.0,
    **options: Any,
) -> Result:
    """Randomly modified code inversion, RMCI: the photograph in a random style.

    Args:
        shares_seed: which random style; apart from the solver's ``seed``, so that one style
            can be solved from different starts.
        spread: 0 shares energy evenly, 1 half-normally, more makes few filters carry most.

    Raises:
        TextonError: ``spread`` outside 0 to 10; else as `invert`.
    """
    told = {"modify": "random", "shares_seed": shares_seed, "spread": spread, **options}
    return METHOD.picture(image, network, layer, **told)


def invert_ranks(
    image: Tensor, style: Tensor, network: Network, layer: str, **options: Any
) -> Result:
    """The 2016 code's direct purposeful modification: maps permuted and shifted to a style's.

    Args:
        style: (1, C, H, W) in [0, 1], of any size.
    """
    return METHOD.picture(image, network, layer, modify="ranks", style=style, **options)


def make(task: Task, on_step: OnStep | None = None) -> Iterator[Result]:
    """An inversion for every unit: a layer of a photograph."""
    from texton.methods.parts.inverting import decoder_of, inverted

    decoder = decoder_of(task, task.options.decoder)
    for unit in task.units:
        yield inverted(task, unit, change(task, unit), on_step, decoder)


def check(task: Task) -> None:
    """Refuse a task whose style, or whose decoder, cannot be read."""
    from texton.methods.parts.inverting import decoder_of

    decoder_of(task, task.options.decoder)
    if task.options.style is not None:
        task.picture(task.options.style)


def change(task: Task, unit: Unit) -> Modify | None:
    """What the options do to a code."""
    told, network, layer = task.options, task.network, unit.layer or ""
    if told.modify == "none":
        return None
    from texton.methods.parts.seeds import generator_for
    from texton.network.codes import match_ranks, random_shares, reallocate

    if told.modify == "random":
        # The style depends on the layer and the seed alone: one seed is one style on every photo.
        drawn = generator_for(told.shares_seed, "shares", layer, None)
        return lambda code: reallocate(code, random_shares(code, drawn, told.spread))
    style = task.picture(told.style)

    def ranked(code: Tensor) -> Tensor:
        return match_ranks(code, network.encode(style.to(code.device), layer)[layer])

    return ranked


METHOD = Method(
    name="invert",
    title="What a layer's whole code still knows of a photograph",
    caption="{unit}, inverted from {photo}",
    axes=("photo", "layer"),
    options=InvertOptions,
    figures=(ERROR, STEPS, STARTS),
    make=make,
    check=check,
    about="Find an image whose code at a layer is the photograph's, as it is or modified.",
)
