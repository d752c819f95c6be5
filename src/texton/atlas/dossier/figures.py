"""The figures that a filter has beside its texture's, as pages show and sort by them."""

from __future__ import annotations

from texton.methods.method import Figure

STRONGEST = Figure(
    "strongest", "Strongest", "The largest activation in the pictures scanned.", digits=1
)
MEAN = Figure("mean", "Mean", "Of the map over all pictures, each counting alike.", digits=2)
DEVIATION = Figure("deviation", "Deviation", "Standard deviation of the map.", digits=2)
SILENT = Figure("silent", "Silent", "Share of positions where the map is 0.", "percent", 1)
ACTIVE = Figure(
    "active",
    "Active pictures",
    "Share of the pictures that excite the filter anywhere; 0: dead in these pictures.",
    "percent",
    1,
)
SELECTIVITY = Figure(
    "selectivity",
    "Selectivity",
    "How far the strongest hundredth of positions lies above the mean, in deviations.",
    digits=1,
)
HALF = Figure(
    "half",
    "Parts for half",
    "How many filters of the layer before add half of all that excites it, where it is excited "
    "most.",
    digits=0,
)
TRUST = Figure(
    "trust",
    "Trust",
    "How far the texture runs through the earlier layers on the paths of the pictures that excite "
    "the filter: rank correlation of the layers' mean activations, 1 as these among themselves, 0 "
    "as pictures that excite other filters (after Geirhos et al. 2023).",
    digits=2,
    better="high",
)
TUNING = (
    Figure(
        "selective",
        "Orientation selectivity",
        "Of gratings: 0 all orientations alike, 1 one alone.",
        digits=2,
    ),
    Figure("period", "Period", "Of the gratings answered most, in pixels.", digits=1),
    Figure(
        "opponency",
        "Colour opponency",
        "Best hue against its opposite: 0 both alike, 1 the opposite silences.",
        digits=2,
    ),
    Figure("colour", "Colour share", "Of the answers to coloured and to grey gratings.", digits=2),
)
STATISTICS = (STRONGEST, MEAN, DEVIATION, SILENT, ACTIVE, SELECTIVITY)
FIGURES = (*STATISTICS, HALF, TRUST, *TUNING)
