"""How a tensor holds feature maps: channels first or last, or as tokens whose grid is known.

Sizes alone do not tell what an axis is: 64 tokens of 64 features look the same turned over. So
the axes of tensors are followed by name through what a forward pass does to them.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from torch import Tensor

BATCH, FEATURES, ROWS, COLUMNS, UNKNOWN = "b", "c", "y", "x", "?"
_MAPS = (BATCH, FEATURES, ROWS, COLUMNS)
_LAST = (BATCH, ROWS, COLUMNS, FEATURES)
_WINDOWED = (UNKNOWN, UNKNOWN, FEATURES)
_TO_LAST, _TO_FIRST = (0, 2, 3, 1), (0, 3, 1, 2)
_RESHAPES = frozenset({"view", "reshape", "flatten", "unflatten", "squeeze", "unsqueeze"})
_SWAPS = frozenset({"transpose", "swapaxes", "swapdims", "transpose_"})
_PRODUCTS = frozenset({"matmul", "__matmul__", "bmm"})
_JOINS = frozenset({"cat", "concat", "concatenate"})
_SLICES = frozenset({"chunk", "split", "tensor_split", "__getitem__"})
_CONVOLUTIONS = frozenset({"conv2d", "conv_transpose2d"})


@dataclass(frozen=True)
class Grid:
    """An axis of tokens: ``front`` that stand for no place, rows × columns, ``back`` more."""

    rows: int
    columns: int
    front: int = 0
    back: int = 0

    @property
    def count(self) -> int:
        return self.front + self.rows * self.columns + self.back


Label = str | Grid
Labels = tuple[Label, ...]


@dataclass(frozen=True)
class Layout:
    """How a layer gives its code where that is not (B, C, H, W).

    ``form`` is ``last`` for (B, H, W, C), ``tokens`` for (B, N, C), ``sequence`` for (N, B, C);
    the latter two lie on a ``grid``.
    """

    form: str
    grid: Grid | None = None

    def code(self, value: Tensor) -> Tensor:
        """The code in it, (B, C, H, W): a view."""
        if self.grid is None:
            return value.permute(*_TO_FIRST)
        tokens = value.transpose(0, 1) if self.form == "sequence" else value
        rows, columns, front = self.grid.rows, self.grid.columns, self.grid.front
        placed = tokens[:, front : front + rows * columns]
        return placed.reshape(-1, rows, columns, placed.shape[-1]).permute(*_TO_FIRST)


class Layouts:
    """What the axes of a forward pass's tensors are, noted call by call.

    Features are what a convolution gives on axis 1 and a linear layer or layer norm on the last;
    tokens are what rows × columns become when they are flattened, with what is concatenated to
    them set aside. What nobody followed is taken for tokens where their number fits one grid alone.

    Args:
        held: parameters and buffers: what is made of them alone is the same for every image.
    """

    def __init__(self, image: Tensor, held: Iterable[Tensor] = ()) -> None:
        self._held = list(held)
        self._constant = {id(x) for x in self._held}
        self._batch = image.shape[0]
        # Tensors are kept alive, so that an id means one tensor.
        self._labels: dict[int, tuple[Tensor, Labels]] = {}
        self._grids: dict[int, Grid | None] = {}
        self._labels[id(image)] = image, _MAPS

    def layout_of(self, value: Tensor, entering: Tensor | None = None) -> Layout | str | None:
        """A layout; None for (B, C, H, W); a text, where a tensor holds no code, that may say why.

        Args:
            entering: what the module reads that gives the value: where that is (B, H, W, C), so
                are features of as many rows and columns, whatever was done in between.
        """
        if id(value) in self._constant:
            return " (the same for every image)"
        labels = self._of(value)
        if labels[1:] == _WINDOWED and entering is not None and self._of(entering) == _LAST:
            labels = _LAST if entering.shape[:3] == value.shape[:3] else labels
            self._labels[id(value)] = value, labels
        if value.ndim == 4:
            if value.shape[0] != self._batch:
                return " (not one for each image)"
            if labels == _LAST:
                return Layout("last")
            turned = labels[1] in (ROWS, COLUMNS) or FEATURES in labels[2:]
            gridded = any(isinstance(x, Grid) for x in labels)
            return "" if turned or gridded else None
        if value.ndim != 3 or labels[-1] != FEATURES:
            return ""
        for axis, form in ((1, "tokens"), (0, "sequence")):
            grid = labels[axis]
            if grid == UNKNOWN:
                grid = self._grids.get(value.shape[axis]) or UNKNOWN
            if isinstance(grid, Grid) and value.shape[1 - axis] == self._batch:
                return Layout(form, grid)
        return " (tokens whose grid is not known)"

    def note(self, name: str, args: tuple[Any, ...], kwargs: dict[str, Any], output: Any) -> None:
        """One call of a function."""
        if name == "multi_head_attention_forward":
            output = output[0]
        several = output if isinstance(output, (tuple, list)) else (output,)
        given = [x for x in _flat((*args, *kwargs.values())) if isinstance(x, Tensor)]
        same = all(id(x) in self._constant for x in given)
        if given and not same and _writes(name):
            self._constant -= {id(given[0]), id(given[0]._base)}
        for out in several:
            if isinstance(out, Tensor) and same and (given or not _is_number(out)):
                self._constant.add(id(out))
                self._held.append(out)
            if given and isinstance(out, Tensor) and 0 not in out.shape:
                labels = self._labels_after(name, given, _told(args[1:], kwargs), out)
                if len(labels) == out.ndim:
                    self._labels[id(out)] = out, labels

    def _labels_after(
        self, name: str, given: Sequence[Tensor], told: Sequence[Any], out: Tensor
    ) -> Labels:
        known = self._of(given[0])
        if name in _CONVOLUTIONS:
            return _MAPS
        if name == "permute" and len(told) == out.ndim == len(known):
            return self._turned(known, tuple(told))
        if name in _SWAPS and len(told) == 2:
            order = list(range(out.ndim))
            order[told[0]], order[told[1]] = order[told[1]], order[told[0]]
            return tuple(known[axis] for axis in order)
        if name in ("linear", "layer_norm"):
            return (*known[:-1], FEATURES if known[-1] in (FEATURES, UNKNOWN) else UNKNOWN)
        if name in _RESHAPES:
            return self._reshaped(given[0].shape, known, out.shape)
        if name in _PRODUCTS:
            right = self._of(given[1]) if len(given) == 2 else ()
            return (*known[:-1], right[-1]) if len(right) == len(known) else ()
        if name == "unbind" or (name == "__getitem__" and out.ndim < len(known)):
            return _without(known, told[0] if told else 0, name == "unbind")
        if name in _JOINS:
            return self._joined(given, out)
        return self._inherited(given, out, name in _SLICES)

    def _of(self, value: Tensor) -> Labels:
        if id(value) in self._labels:
            return self._labels[id(value)][1]
        first = BATCH if value.ndim > 1 and value.shape[0] == self._batch else UNKNOWN
        return (first, *(UNKNOWN,) * (value.ndim - 1))[: value.ndim]

    def _turned(self, known: Labels, order: tuple[int, ...]) -> Labels:
        """What nobody followed so far is taken for what it is turned to or from."""
        if not set(known) - {BATCH, UNKNOWN} and order in (_TO_LAST, _TO_FIRST):
            return _LAST if order == _TO_LAST else _MAPS
        return tuple(known[axis] for axis in order)

    def _inherited(self, given: Sequence[Tensor], out: Tensor, sliced: bool) -> Labels:
        """Of a call that changes no axis: the first of its arguments that says something."""
        labels: list[Label] = [UNKNOWN] * out.ndim
        for each in given:
            for axis, label in enumerate(self._of(each) if each.ndim == out.ndim else ()):
                same = each.shape[axis] == out.shape[axis]
                if isinstance(label, Grid) and not same:
                    label = self._grids.get(out.shape[axis]) or UNKNOWN
                elif not (same or sliced or label in (ROWS, COLUMNS)):
                    continue
                if labels[axis] == UNKNOWN:
                    labels[axis] = label
        return tuple(labels)

    def _joined(self, given: Sequence[Tensor], out: Tensor) -> Labels:
        """Tokens that are concatenated to those of a grid are set aside."""
        labels = list(self._inherited(given, out, sliced=True))
        for axis in range(out.ndim):
            sizes = [x.shape[axis] for x in given if x.ndim == out.ndim]
            grids = [x[axis] for x in map(self._of, given) if len(x) == out.ndim]
            placed = [i for i, label in enumerate(grids) if isinstance(label, Grid)]
            if len(sizes) < 2 or sum(sizes) != out.shape[axis] or not placed:
                continue
            grid, front, back = grids[placed[0]], sum(sizes[: placed[0]]), sizes[placed[0] + 1 :]
            labels[axis] = UNKNOWN
            if len(placed) == 1 and isinstance(grid, Grid):
                labels[axis] = self._registered(
                    Grid(grid.rows, grid.columns, grid.front + front, grid.back + sum(back))
                )
        return tuple(labels)

    def _reshaped(self, before: Sequence[int], known: Labels, after: Sequence[int]) -> Labels:
        """Axes merged and split, group by group of equal products."""
        labels: list[Label] = []
        start = 0
        for merged, divided in _groups(before, after):
            names = known[start : start + len(merged)]
            start += len(merged)
            labels += self._divided(self._merged(merged, names), divided)
        return tuple(labels)

    def _merged(self, sizes: Sequence[int], names: Labels) -> Label:
        wide = [i for i, size in enumerate(sizes) if size > 1]
        found = [names[i] for i in wide] or list(names[:1])
        if found == [ROWS, COLUMNS]:
            return self._registered(Grid(sizes[wide[0]], sizes[wide[1]]))
        if len(found) > 1:
            return FEATURES if set(found) == {UNKNOWN, FEATURES} else UNKNOWN
        return found[0] if found else UNKNOWN

    def _divided(self, label: Label, sizes: Sequence[int]) -> list[Label]:
        """Of rows that are split, the first are rows of blocks."""
        wide = [i for i, size in enumerate(sizes) if size > 1] or list(range(len(sizes)))[:1]
        labels: list[Label] = [UNKNOWN] * len(sizes)
        if len(wide) == 1 or (wide and label in (ROWS, COLUMNS)):
            labels[wide[0]] = label
        elif isinstance(label, Grid) and [sizes[i] for i in wide] == [label.rows, label.columns]:
            labels[wide[0]], labels[wide[1]] = ROWS, COLUMNS
        return labels

    def _registered(self, grid: Grid) -> Grid:
        """Known by its number of tokens, unless another has the same."""
        if grid.rows * grid.columns > 1 and self._grids.setdefault(grid.count, grid) != grid:
            self._grids[grid.count] = None
        return grid


def _is_number(value: Tensor) -> bool:
    """No index, count or mask."""
    return value.is_floating_point() or value.is_complex()


def _writes(name: str) -> bool:
    """Whether a call changes its first argument: ``add_``, ``__iadd__``, ``__setitem__``."""
    if name.startswith("__"):
        return name == "__setitem__" or name.startswith("__i")
    return name.endswith("_")


def _flat(values: Any) -> Iterator[Any]:
    for value in values:
        if isinstance(value, (tuple, list)):
            yield from _flat(value)
        else:
            yield value


def _told(args: tuple[Any, ...], kwargs: dict[str, Any]) -> list[Any]:
    """What a call is told beside its tensors: axes, given one by one or as a tuple."""
    said = [x for x in (*args, *kwargs.values()) if not isinstance(x, Tensor)]
    return list(said[0]) if len(said) == 1 and isinstance(said[0], (tuple, list)) else said


def _without(known: Labels, index: Any, unbound: bool) -> Labels:
    """The axes that are left where some are picked from by a number."""
    if unbound:
        gone = index if isinstance(index, int) else 0
        return tuple(x for axis, x in enumerate(known) if axis != gone % len(known))
    if isinstance(index, int):
        return known[1:]
    return ()


def _groups(
    before: Sequence[int], after: Sequence[int]
) -> Iterator[tuple[Sequence[int], Sequence[int]]]:
    """The shortest runs of sizes that have the same product."""
    i = j = 0
    while i < len(before) or j < len(after):
        start, begin = i, j
        left, right = before[i] if i < len(before) else 1, after[j] if j < len(after) else 1
        i, j = min(i + 1, len(before)), min(j + 1, len(after))
        while left != right:
            if left < right:
                left *= before[i]
                i += 1
            else:
                right *= after[j]
                j += 1
        yield before[start:i], after[begin:j]
