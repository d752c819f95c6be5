"""TIFF files of more than Pillow reads: colours of over 8 bits, many bands."""

from __future__ import annotations

import contextlib
import warnings
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL import TiffImagePlugin
from torch import Tensor

from texton.errors import TextonError, TextonWarning, one_line, optional
from texton.images.levels import Values, in_unit
from texton.images.opening import check_file, check_size

_SUFFIXES = {".tif", ".tiff"}
_WIDTH, _HEIGHT, _BITS, _PHOTOMETRIC = 256, 257, 258, 262
_ORIENTATION, _SAMPLES, _EXTRA = 274, 277, 338
_GREY, _RGB = 1, 2
_MULTIPLIED, _APART = 1, 2  # kinds of alpha: colours are multiplied by it, or not
_LUMA = np.array([0.299, 0.587, 0.114], dtype=np.float32)
_TURNS = {  # by orientation: whether rows and columns are swapped, then rows, columns flipped
    2: (False, False, True), 3: (False, True, True), 4: (False, True, False),
    5: (True, False, False), 6: (True, False, True), 7: (True, True, True), 8: (True, True, False),
}  # fmt: skip


@dataclass(frozen=True)
class _Layout:
    """What the first page's tags say of its values."""

    tags: dict[int, Any]
    channels: int  # that are wanted

    @property
    def samples(self) -> int:
        return _one(self.tags.get(_SAMPLES, 1))

    @property
    def bits(self) -> int:
        return _one(self.tags.get(_BITS, 1))

    @property
    def rgb(self) -> bool:
        return _one(self.tags.get(_PHOTOMETRIC, 0)) == _RGB

    @property
    def alpha(self) -> int:
        """What the last sample is: `_MULTIPLIED`, `_APART`, or 0 where it is no alpha."""
        grey = _one(self.tags.get(_PHOTOMETRIC, 0)) == _GREY and self.channels != 2
        if not (self.samples == 4 if self.rgb else self.samples == 2 and grey):
            return 0
        extra = _one(self.tags.get(_EXTRA, 0))
        return extra if extra in (_MULTIPLIED, _APART) else 0

    @property
    def bands(self) -> bool:
        """Whether every sample is a channel."""
        wanted = self.samples == self.channels and self.channels != 3
        return wanted and self.samples > 1 and not self.alpha

    @property
    def is_deep(self) -> bool:
        """Whether Pillow reads it wrong or not at all."""
        few = self.bits <= 8 and self.samples <= 4
        plain = few if self.alpha else self.samples <= 2 or few
        return bool(self.tags) and (self.bands or not plain)


def read_deep(path: Path, channels: int, white: float | None) -> Tensor | None:
    """The first page of a TIFF that has more than 8-bit colours, as (1, channels, H, W) in [0, 1].

    Bands become channels where the network takes as many; with an alpha, it is laid on white.
    Profiles are not read: colours are taken as sRGB.

    Returns:
        None for any other file, which Pillow reads.

    Raises:
        TextonError: what reads it is missing; other bands than the network takes; damaged.
    """
    if path.suffix.lower() not in _SUFFIXES:
        return None
    check_file(path)
    tags, more = _tags(path)
    if more:
        told = TextonWarning(
            f"'{path}' has several pages: the first is read (save bands as one page, or as a .npy)"
        )
        warnings.warn(told, stacklevel=3)
    layout = _Layout(tags, channels)
    if not layout.is_deep:
        return None
    check_size(path, _one(tags.get(_WIDTH, 0)), _one(tags.get(_HEIGHT, 0)))
    missing = _left_to_pillow(layout)
    if missing is not None:
        told = TextonWarning(f"'{path}' is read with 8 of its {layout.bits} bits: {missing}")
        warnings.warn(told, stacklevel=3)
        return None
    return _as_channels(_upright(_pages(path), tags), path, layout, white)


def read_deep_alpha(path: Path, channels: int, white: float | None) -> Tensor | None:
    """How opaque the same page is, (1, 1, H, W) in [0, 1]; None where `read_deep` reads nothing, or
    nothing says it.

    Raises:
        TextonError: what reads it is missing; damaged.
    """
    if path.suffix.lower() not in _SUFFIXES:
        return None
    layout = _Layout(_tags(path)[0], channels)
    if not (layout.is_deep and layout.alpha) or _left_to_pillow(layout) is not None:
        return None
    values = _upright(_pages(path), layout.tags)
    alpha = _alpha_of(values, path, white)
    return torch.from_numpy(np.ascontiguousarray(alpha.transpose(2, 0, 1)))[None]


def _alpha_of(values: Values, path: Path, white: float | None) -> Values:
    """The last sample, (H, W, 1) in [0, 1]; of floats it is 1 at most, whatever colours are."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # nearly clear is not nearly black
        floats = values.dtype.kind == "f"
        return in_unit(values[..., -1:], values.dtype.name, path, 1.0 if floats else white)


def _as_channels(values: Values, path: Path, layout: _Layout, white: float | None) -> Tensor:
    channels, colours = layout.channels, values[..., :-1] if layout.alpha else values
    found = in_unit(colours, values.dtype.name, path, white)
    if layout.alpha:
        alpha = _alpha_of(values, path, white)
        found = (found if layout.alpha == _MULTIPLIED else found * alpha) + (1 - alpha)
    if layout.alpha and not layout.rgb:
        found = np.repeat(found, 3, axis=2)
    if not layout.bands and found.shape[2] != 3:
        raise TextonError(
            f"'{path}' has {found.shape[2]} bands, the network takes {channels} channels: "
            "save those that it takes as a .npy"
        )
    if not layout.bands and channels != 3:
        found = np.repeat((found @ _LUMA)[..., None], channels, axis=2)
    return torch.from_numpy(np.ascontiguousarray(found.transpose(2, 0, 1)).clip(0, 1))[None]


def _tags(path: Path) -> tuple[dict[int, Any], bool]:
    """Of the first page, and whether there are more; empty where it is no TIFF."""
    with contextlib.suppress(Exception), path.open("rb") as file:  # its parser raises anything
        head = file.read(8)
        head += file.read(8) if head[2:4] in (b"\x2b\0", b"\0\x2b") else b""
        found = TiffImagePlugin.ImageFileDirectory_v2(head)
        file.seek(found.next)
        found.load(file)
        return dict(found), bool(found.next)
    return {}, False


def _left_to_pillow(layout: _Layout) -> TextonError | None:
    """What is missing to read all bits of a picture of which Pillow reads the upper 8."""
    if layout.rgb and (layout.samples == 3 or layout.alpha):
        try:
            _reader()
        except TextonError as error:
            return error
    return None


def _reader() -> Any:
    with optional("images"):
        import tifffile
    return tifffile


def _pages(path: Path) -> Values:
    """The first page, (H, W, bands)."""
    reader = _reader()
    try:
        with reader.TiffFile(path) as file:
            page = file.pages[0]
            values: Values = page.asarray()
            first = page.axes.startswith("S")
    except Exception as error:  # noqa: BLE001 - damaged files make it raise anything
        if "imagecodecs" in str(error):
            raise TextonError(f"'{path}' is compressed: pip install imagecodecs reads it") from None
        raise TextonError(
            f"'{path}' is damaged or of a kind that cannot be read ({one_line(error)}): "
            "save it uncompressed, or as a .npy"
        ) from None
    if values.ndim != 3:
        raise TextonError(f"'{path}' has {values.ndim} axes: save one picture of it")
    return values.transpose(1, 2, 0) if first else values


def _upright(values: Values, tags: dict[int, Any]) -> Values:
    transposed, rows, columns = _TURNS.get(_one(tags.get(_ORIENTATION, 1)), (False, False, False))
    values = values.transpose(1, 0, 2) if transposed else values
    return values[:: -1 if rows else 1, :: -1 if columns else 1]


def _one(value: Any) -> int:
    """A tag's number, or the first of several."""
    first = value[0] if isinstance(value, tuple) and value else value
    return int(first) if isinstance(first, int) else 0
