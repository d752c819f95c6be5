"""Which sizes of images a network takes: what is said where it fails on one."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from texton.network.layers import Size

_DIVISORS = (2, 3, 4, 6, 7, 8, 12, 14, 16, 24, 28, 32, 48, 56, 64)
_ABOUT = 100  # pixels a side of what is tried


def divisor(takes: Callable[[Size], bool]) -> int | None:
    """What a network's sides must be multiples of; None where no number is found.

    A number is tried by two of its odd multiples, which are multiples of no power of two that
    it is not.
    """
    for number in _DIVISORS:
        odd = _ABOUT // number | 1
        if all(takes((number * times, number * times)) for times in (odd, odd + 2)):
            return number
    return None


def too_small(name: str, size: Size, layers: Sequence[str], needed: int) -> str:
    """``name`` takes no image that has less pixels a side than lie between units of its layers."""
    rows, columns = size
    return (
        f"an image of {columns}×{rows} pixels is too small for {', '.join(layers)}: "
        f"it takes at least {needed} a side"
    )


def of_one_size(name: str, size: Size, only: Size) -> str:
    """``name`` takes images of one size alone."""
    rows, columns = only
    return (
        f"{name} takes images of {columns}×{rows} pixels alone, not of {size[1]}×{size[0]}: leave "
        f"--crop out, or read_image(…, crop=({rows}, {columns})), for the middle of a photograph"
    )


def no_multiple(name: str, size: Size, number: int) -> str:
    """``name`` halves images so often that their sides must be multiples of a number."""
    near = max(1, round(max(size) / number)) * number
    return (
        f"{name} takes images whose sides are multiples of {number}, which {size[1]}×{size[0]} is "
        f"not: use --size {near} --crop square, or read_image(…, {near}, crop='square')"
    )


def for_no_known_reason(name: str, size: Size, layers: Sequence[str], reason: str) -> str:
    return (
        f"{name} fails on {size[1]}×{size[0]} pixels before {', '.join(layers)}, "
        f"try another size: {reason}"
    )
