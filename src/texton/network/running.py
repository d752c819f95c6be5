"""Running a network's copy for codes, whatever its forward does beside."""

from __future__ import annotations

from contextlib import nullcontext

import torch
from torch import Tensor, nn

from texton.errors import TextonError
from texton.network.forward import Habits
from texton.network.hooks import Collected, collect, has_slope
from texton.network.layers import Prepare, Size, Trace, layouts_at, trace_layers
from texton.network.layout import Layout


class Running:
    """How one network is run; what is learnt of it in one forward holds for all.

    Attributes:
        habits: what its forward does beside computing.
    """

    def __init__(self, name: str) -> None:
        self.habits = Habits()
        self._name = name
        self._modified_later: set[str] = set()

    def traced(self, module: nn.Module, prepare: Prepare, channels: int) -> Trace:
        """The layers of a copy in float32, and what it does beside is noted.

        Raises:
            TextonError: it cannot be run on an image, or gives no layers.
        """
        with self.habits.noted(module) as forget:
            return trace_layers(module, prepare, channels, forget)

    def layouts(
        self, module: nn.Module, prepare: Prepare, channels: int, size: Size
    ) -> dict[str, Layout | None]:
        """Where the tokens of images of this size lie."""
        with self.habits.kept(module, torch.device("cpu"), slopes=False):
            return layouts_at(module, prepare, channels, size)

    def codes(
        self, module: nn.Module, prepared: Tensor, wanted: list[Collected]
    ) -> dict[str, Tensor]:
        """What is wanted of a forward pass, by key.

        Raises:
            TextonError: something is not reached, or has no gradient to an image that wants one.
        """
        codes = self._run(module, prepared, wanted)
        if has_slope(prepared) and not all(code.requires_grad for code in codes.values()):
            codes = self._with_slopes(module, prepared, wanted)
        if unreached := [item.key for item in wanted if item.key not in codes]:
            raise TextonError(f"{self._name} does not reach {', '.join(unreached)} on this image")
        return codes

    def _run(
        self, module: nn.Module, prepared: Tensor, wanted: list[Collected]
    ) -> dict[str, Tensor]:
        habits, slopes = self.habits, has_slope(prepared)
        grades = torch.is_grad_enabled()
        try:
            with habits.kept(module, prepared.device, slopes) if habits.any() else nullcontext():
                codes, changed = collect(module, prepared, wanted, self._modified_later)
                if changed:  # by an in-place operation after the layer: take a copy from now on
                    self._modified_later |= changed
                    codes, _ = collect(module, prepared, wanted, self._modified_later)
        finally:
            if torch.is_grad_enabled() != grades:  # it may be left in the middle of a forward
                torch.set_grad_enabled(grades)
        return codes

    def _with_slopes(
        self, module: nn.Module, prepared: Tensor, wanted: list[Collected]
    ) -> dict[str, Tensor]:
        """The codes of a forward that computes them without a graph, with one."""
        before, self.habits.cuts = self.habits.cuts, True
        codes = self._run(module, prepared, wanted)
        if cut := [key for key, code in codes.items() if not code.requires_grad]:
            self.habits.cuts = before
            raise TextonError(
                f"no gradient passes from '{cut[0]}' of {self._name} to the image (its forward "
                "detaches a tensor before it, or it does not see the image): choose another layer"
            )
        return codes
