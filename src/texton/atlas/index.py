"""The index of an atlas's textures: kept beside its pictures, brought up to date when asked."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress

from texton.atlas.similar import Map, Similar, compare_textures, read_similar, write_similar
from texton.atlas.textures import (
    OnPicture,
    Texture,
    measure_textures,
    read_textures,
    write_textures,
)
from texton.errors import TextonError
from texton.jobs.store import Store, Unit


class TextureIndex:
    """Similar filters of an atlas, for the pictures there are; made from them at any time."""

    def __init__(self) -> None:
        self._textures: dict[Unit, Texture] | None = None
        self.similar = Similar()

    def update(
        self,
        store: Store,
        units: Sequence[Unit],
        on_picture: OnPicture | None = None,
        kept: Mapping[str, Map] | None = None,
        go_on: Callable[[], object] = lambda: None,
    ) -> Similar:
        """Measure what is new of ``units``, whose pictures show a live filter, and compare.

        The store is given anew each time, as a build may have added layers and photographs.

        ``go_on`` is asked before every layer that is compared: it raises where nobody waits.

        Where the folder cannot be written, the index is made all the same and not kept.
        """
        before = read_textures(store) if self._textures is None else self._textures
        now = measure_textures(store, units, before, on_picture)
        same = now.keys() == before.keys() and all(now[u].stamp == before[u].stamp for u in now)
        if not same:
            _keep_textures(store, now)
        self._textures = now
        found = read_similar(store, now)
        if found is None:
            layers = [layer.name for layer in store.manifest.layers]
            found = compare_textures(now, layers, kept, go_on)
            if not kept:
                _keep_similar(store, now, found)
        self.similar = found
        return found


def _keep_textures(store: Store, textures: Mapping[Unit, Texture]) -> None:
    with suppress(TextonError):
        write_textures(store, textures)


def _keep_similar(store: Store, textures: Mapping[Unit, Texture], similar: Similar) -> None:
    with suppress(TextonError):
        write_similar(store, textures, similar)
