"""Plots for reports, as PNG."""

from __future__ import annotations

import io
from collections.abc import Mapping, Sequence
from typing import Any

from texton.errors import optional
from texton.experiments.measures.statistics import Estimate

_COLOURS = ("#1f5fa8", "#c2541b", "#3b8a4c", "#7d4aa3", "#6b6b6b", "#b3902d")
_MARKS = "osD^vP"


def by_layer(
    series: Mapping[str, Sequence[Estimate]],
    layers: Sequence[str],
    label: str,
    chance: float | None = None,
) -> bytes:
    """Values with their intervals over layers, one line a series."""
    return panels([(label, series)], layers, chance)


def panels(
    plots: Sequence[tuple[str, Mapping[str, Sequence[Estimate]]]],
    layers: Sequence[str],
    chance: float | None = None,
) -> bytes:
    """Several plots over the same layers, side by side."""
    figure, all_axes = _figure(len(plots))
    for axes, (label, series) in zip(all_axes, plots, strict=True):
        for index, (name, values) in enumerate(series.items()):
            places = [i + 0.06 * (index - (len(series) - 1) / 2) for i in range(len(values))]
            low = [max(0.0, v.value - v.low) for v in values]
            high = [max(0.0, v.high - v.value) for v in values]
            axes.errorbar(
                places,
                [v.value for v in values],
                [low, high],
                label=name,
                color=_COLOURS[index % len(_COLOURS)],
                marker=_MARKS[index % len(_MARKS)],
                capsize=3,
                linewidth=1.4,
            )
        if chance is not None:
            axes.axhline(chance, color="#888", linestyle=":", label="chance")
        axes.set_xticks(range(len(layers)), layers, rotation=20 if len(plots) > 1 else 0)
        axes.set_ylabel(label)
        axes.grid(axis="y", alpha=0.25)
    _legend(figure, all_axes[0])
    return _png(figure)


def curves(
    series: Mapping[str, Sequence[tuple[float, float]]], x_label: str, y_label: str
) -> bytes:
    """Lines through points."""
    figure, (axes,) = _figure(1)
    for index, (name, points) in enumerate(series.items()):
        x, y = zip(*sorted(points), strict=True)
        axes.plot(
            x,
            y,
            label=name,
            color=_COLOURS[index % len(_COLOURS)],
            marker=_MARKS[index % len(_MARKS)],
        )
    axes.set_xlabel(x_label)
    axes.set_ylabel(y_label)
    axes.grid(alpha=0.25)
    _legend(figure, axes)
    return _png(figure)


def _legend(figure: Any, axes: Any) -> None:
    """Under the plot, where it covers nothing."""
    handles, labels = axes.get_legend_handles_labels()
    columns = 2 if max(map(len, labels)) > 22 else 3
    figure.legend(
        handles, labels, loc="outside lower center", ncols=columns, frameon=False, fontsize=9
    )


def _figure(count: int) -> tuple[Any, list[Any]]:
    with optional("experiments"):  # half a second of import, seldom needed
        from matplotlib.figure import Figure

    columns = min(count, 3)
    rows = -(-count // columns)
    size = (7.5 if columns == 1 else 3.9 * columns, 3.7 * rows)
    figure = Figure(figsize=size, dpi=110, layout="constrained", facecolor="white")
    grid = figure.subplots(rows, columns, squeeze=False).ravel().tolist()
    for spare in grid[count:]:
        spare.set_axis_off()
    return figure, grid[:count]


def _png(figure: Any) -> bytes:
    buffer = io.BytesIO()
    figure.savefig(buffer, format="png")
    return buffer.getvalue()
