"""Debian's Chromium, driven by Playwright, for tests of pages."""

from __future__ import annotations

import re
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser")
FLAGS = [
    "--headless",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--disable-quic",
    "--no-first-run",
]


class Visit:
    """A page, everything it asked for, and whatever went wrong on it."""

    def __init__(self, page: Any) -> None:
        self.page = page
        self.requests: list[str] = []
        self.problems: list[str] = []
        page.on("request", lambda request: self.requests.append(request.url))
        page.on("requestfailed", self._failed)
        page.on("pageerror", lambda error: self.problems.append(str(error)))
        page.on("console", self._listen)
        page.set_default_timeout(15_000)

    def _failed(self, request: Any) -> None:
        if request.failure != "net::ERR_ABORTED":  # given up for the next page
            self.problems.append(f"{request.failure}: {request.url}")

    def _listen(self, message: Any) -> None:
        if message.type in ("error", "warning"):
            self.problems.append(message.text)

    def pictures(self) -> set[str]:
        """The addresses of tiles of an atlas that were fetched."""
        return {url for url in self.requests if re.search(r"/\d+\.[^/]+\.png$", url)}

    def foreign(self) -> list[str]:
        """The addresses outside this machine that were asked for."""
        here = ("file://", "http://127.0.0.1", "data:")
        return [url for url in self.requests if not url.startswith(here)]


@contextmanager
def chromium() -> Iterator[Any]:
    """A browser."""
    from playwright.sync_api import sync_playwright

    with sync_playwright() as driver:
        started = driver.chromium.launch(executable_path=CHROMIUM, args=FLAGS)
        yield started
        started.close()
