"""TIFF files of more than Pillow reads: colours of over 8 bits, many bands."""

from __future__ import annotations

import contextlib
import warnings
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
_RGB = 2
_GREY = np.array([0.299, 0.587, 0.114], dtype=np.float32)
_TURNS = {  # by orientation: whether rows and columns are swapped, then rows, columns flipped
    2: (False, False, True), 3: (False, True, True), 4: (False, True, False),
    5: (True, False, False), 6: (True, False, True), 7: (True, True, True), 8: (True, True, False),
}  # fmt: skip


def read_deep(path: Path, channels: int, white: float | None) -> Tensor | None:
    """The first page of a TIFF that has more than 8-bit colours, as (1, channels, H, W) in [0, 1].

    Bands become channels where the network takes as many; of RGB, an alpha is laid on white.
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
    samples, bits = _one(tags.get(_SAMPLES, 1)), _one(tags.get(_BITS, 1))
    rgb = _one(tags.get(_PHOTOMETRIC, 0)) == _RGB
    alpha = rgb and samples == 4 and _one(tags.get(_EXTRA, 0)) in (1, 2)
    bands = samples > 1 and not alpha and samples == channels and channels != 3
    plain = samples <= 2 or (bits <= 8 and samples <= 4)
    if not tags or (plain and not bands):
        return None
    check_size(path, _one(tags.get(_WIDTH, 0)), _one(tags.get(_HEIGHT, 0)))
    if rgb and samples == 3:  # Pillow reads it too, with the upper 8 bits
        try:
            _reader()
        except TextonError as error:
            told = TextonWarning(f"'{path}' is read with 8 of its {bits} bits: {error}")
            warnings.warn(told, stacklevel=3)
            return None
    values = _upright(_pages(path), tags)
    return _as_channels(
        in_unit(values, values.dtype.name, path, white), path, channels, alpha, bands
    )


def _as_channels(values: Values, path: Path, channels: int, alpha: bool, bands: bool) -> Tensor:
    if alpha:
        values = values[..., :3] * values[..., 3:] + (1 - values[..., 3:])
    if not bands and values.shape[2] != 3:
        raise TextonError(
            f"'{path}' has {values.shape[2]} bands, the network takes {channels} channels: "
            "save those that it takes as a .npy"
        )
    if not bands and channels != 3:
        values = np.repeat((values @ _GREY)[..., None], channels, axis=2)
    return torch.from_numpy(np.ascontiguousarray(values.transpose(2, 0, 1)))[None]


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
