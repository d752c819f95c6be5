"""The look that an atlas's pages and the live page have in common: colours, type, parts."""

from __future__ import annotations

from importlib import resources

SHARED = ("house.css", "theme.js")


def shared(name: str) -> str:
    """The text of one of `SHARED`."""
    return resources.files("texton.web").joinpath("static", name).read_text("utf-8")
