"""A live page that is really served, on a small network, and a browser without a screen."""

from __future__ import annotations

import json
import re
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import httpx
import uvicorn
from PIL import Image

from tests.helpers import EXAMPLES
from texton.app.house import Given, House
from texton.app.server import make_app
from texton.methods.command import NetworkOptions
from texton.web.server import listen

SMALL = """
import torch
from torch import nn

def made():
    torch.manual_seed(0)
    return nn.Sequential(
        nn.Conv2d(3, 4, 3, padding=1), nn.ReLU(), nn.AvgPool2d(2),
        nn.Conv2d(4, 6, 3, padding=1), nn.ReLU(),
    )
"""
LAYER = "4"  # of six filters
WAIT = 60.0


class Browser:
    """One browser: its cookies, its page's token, and what its connection was sent."""

    def __init__(self, address: str) -> None:
        self.client = httpx.Client(base_url=address, timeout=WAIT)
        found = re.search(r'name="texton-token" content="([\w-]+)"', self.client.get("/").text)
        assert found is not None
        self.token = found[1]
        self.told: list[tuple[str, dict[str, Any]]] = []
        self._streams: list[httpx.Response] = []

    def get(self, path: str, **params: Any) -> httpx.Response:
        return self.client.get(path, params=params or None)

    def post(self, path: str, body: Any, **headers: str) -> httpx.Response:
        content = body if isinstance(body, bytes) else json.dumps(body).encode()
        sent = {"X-Texton-Token": self.token, **headers}
        return self.client.post(path, content=content, headers=sent)

    def delete(self, path: str) -> httpx.Response:
        return self.client.delete(path, headers={"X-Texton-Token": self.token})

    def work(self, **body: Any) -> str:
        answer = self.post("/api/work", body)
        assert answer.status_code == 200, answer.text
        number = answer.json()["id"]
        assert isinstance(number, str)
        return number

    @contextmanager
    def watching(self) -> Iterator[None]:
        """With the page open."""
        with self.client.stream("GET", "/api/events", timeout=None) as stream:
            reader = threading.Thread(target=self._read, args=(stream,), daemon=True)
            reader.start()
            try:
                yield
            finally:
                # The reader holds the connection: what it waits for comes within half a second.
                self._leave(stream)
                reader.join(WAIT)

    def _read(self, stream: httpx.Response) -> None:
        event = ""
        try:
            for line in stream.iter_lines():
                if line.startswith("event: "):
                    event = line[7:]
                elif line.startswith("data: "):
                    self.told.append((event, json.loads(line[6:])))
        except (httpx.HTTPError, httpx.StreamError, OSError, ValueError):
            pass  # left

    def _leave(self, stream: httpx.Response) -> None:
        network = stream.extensions["network_stream"]
        network.get_extra_info("socket").shutdown(2)

    def states(self, number: str) -> list[str]:
        return [x["state"] for event, x in self.told if event == "work" and x["id"] == number]

    def of(self, event: str, number: str) -> list[dict[str, Any]]:
        return [x for kind, x in self.told if kind == event and x["id"] == number]

    def ended(self, number: str) -> str:
        """How a work ended."""
        ends = {"done", "failed", "cancelled", "displaced"}
        wait_until(lambda: bool(ends & set(self.states(number))))
        return self.states(number)[-1]


def wait_until(true: Callable[[], bool], seconds: float = WAIT) -> None:
    end = time.monotonic() + seconds
    while not true():
        assert time.monotonic() < end, "it never came true"
        time.sleep(0.01)


def small_house(folder: Path, log: list[str], **given: Any) -> House:
    """A small network, and the cat at 48 pixels; what is refused is in the log."""
    (folder / "small.py").write_text(SMALL)
    photo = folder / "cat.png"
    if not photo.exists():
        Image.open(EXAMPLES / "chelsea.jpg").resize((48, 32)).save(photo)
    network = NetworkOptions(network=f"{folder / 'small.py'}:made", device="cpu")
    told = {"photos": (photo,), "network": network, "device": "cpu", **given}
    return House(Given(folder / "history", **told), log.append)


@contextmanager
def serving(house: House, grace: float = 0.4) -> Iterator[str]:
    """The page's address, as long as it is served."""
    app = make_app(house, grace=grace)
    with listen("127.0.0.1", 0) as bound:
        config = uvicorn.Config(app, log_level="warning", timeout_graceful_shutdown=1)
        server = uvicorn.Server(config)
        thread = threading.Thread(target=server.run, kwargs={"sockets": [bound]}, daemon=True)
        thread.start()
        wait_until(lambda: server.started)
        try:
            yield f"http://127.0.0.1:{bound.getsockname()[1]}"
        finally:
            house.leaving.set()
            server.should_exit = True
            thread.join(WAIT)
