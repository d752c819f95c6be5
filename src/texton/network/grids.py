"""Where tokens lie: on the grid that images of a size have, looked up anew for every size."""

from __future__ import annotations

from collections.abc import Callable

from torch import Tensor

from texton.errors import TextonError
from texton.network.layers import Size, Trace
from texton.network.layout import Layout

Layouts = dict[str, Layout | None]


class Grids:
    """The layouts of one network's layers by the sizes of images.

    Args:
        look: at images of another size than that which was traced.
    """

    def __init__(self, trace: Trace, look: Callable[[Size], Layouts]) -> None:
        self._layers, self._look = trace.layers, look
        own = {name: layer.layout for name, layer in trace.layers.items()}
        self._known: dict[Size, Layouts] = {trace.size: own}

    def code(self, name: str, value: Tensor, size: Size) -> Tensor:
        """What a layer gave of images of that size, as a code (B, C, M, N).

        Raises:
            TextonError: nobody knows where its tokens lie.
        """
        layout = self._layers[name].layout
        if layout is not None and layout.grid is not None:
            if size not in self._known:
                self._known[size] = self._look(size)
            layout = self._known[size].get(name)
            if layout is None:
                raise TextonError(
                    f"nobody knows where the tokens of {name} lie on {size[1]}×{size[0]} pixels: "
                    "try another size, or a layer before it"
                )
        return value if layout is None else layout.code(value)
