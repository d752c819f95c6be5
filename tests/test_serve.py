"""The server of an atlas: the pages of an export, what is new as it is made, and nothing else."""

from __future__ import annotations

import asyncio
import json
import re
import socket
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from urllib.request import Request, urlopen

import pytest
from starlette.testclient import TestClient

from tests.atlases import until
from tests.conftest import Run
from tests.fake_atlas import add_unit, fake_atlas, serving
from tests.test_cli import assert_refused
from texton.atlas.site.follow import Follower
from texton.atlas.site.serve import _events, make_app
from texton.store import Store, Unit


def test_a_port_that_is_taken_is_refused(run: Run, tmp_path: Path) -> None:
    fake_atlas(tmp_path / "atlas", [("relu1_1", 1)], ["cat"])
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        assert_refused(run("atlas", "serve", "atlas", "--port", port), f"port {port} is taken")
    assert_refused(run("atlas", "serve", "atlas", "--port", 99999), "--port is 99999")


@pytest.fixture
def served(tmp_path: Path) -> Iterator[tuple[TestClient, Follower, Store]]:
    store = fake_atlas(
        tmp_path, [("relu1_1", 6)], ["cat"], lambda u: "ok" if u.channel < 2 else None
    )
    follower = Follower(store)
    with TestClient(make_app(follower, watch=False), base_url="http://127.0.0.1") as client:
        yield client, follower, store


def test_the_server_has_what_an_export_has(
    served: tuple[TestClient, Follower, Store],
) -> None:
    client, follower, _ = served
    for path in follower.site.paths():
        answer = client.get(f"/{path}")
        assert answer.status_code == 200, path
        content = follower.site.content(path)
        expected = content.read_bytes() if isinstance(content, Path) else content
        got = answer.text if isinstance(expected, str) else answer.content
        assert got == expected, path
    assert client.get("/").text == client.get("/index.html").text
    assert "texton-live" in client.get("/").text


@pytest.mark.parametrize(
    "path",
    ["/nothing", "/relu1_1/9.html", "/relu1_1/01.html", "/relu1_1/4.cat.png", "/manifest.json",
     "/../manifest.json", "/%2e%2e/manifest.json", "/relu1_1/%2e%2e/%2e%2e/manifest.json"],
)  # fmt: skip
def test_the_server_has_nothing_else(served: tuple[TestClient, Follower, Store], path: str) -> None:
    assert served[0].get(path).status_code == 404


def test_a_foreign_name_for_this_machine_is_turned_away(
    served: tuple[TestClient, Follower, Store],
) -> None:
    client = served[0]
    assert client.get("/", headers={"host": "evil.example"}).status_code == 400
    assert client.get("/", headers={"host": "localhost:8000"}).status_code == 200


def first_news(follower: Follower, since: str) -> tuple[str, dict[str, object]]:
    """The first event of a connection, as a browser would read it: its id and its data."""

    async def wait() -> str:
        async for text in _events(follower, since):
            if "event:" in text:
                return text
        raise AssertionError("no event")

    lines = dict(line.split(": ", 1) for line in asyncio.run(wait()).strip().split("\n"))
    if lines["event"] == "changed":
        return "changed", {}
    return lines["id"], json.loads(lines["data"])


def test_events_tell_what_is_new_and_a_reconnection_goes_on(
    served: tuple[TestClient, Follower, Store],
) -> None:
    client, follower, store = served
    found = re.search(r'texton-live" content="([^"]+)"', client.get("/").text)
    assert found
    add_unit(store, Unit("relu1_1", 3, "cat"))
    follower.look()
    position, news = first_news(follower, found[1])
    assert [unit[:3] for unit in news["units"]] == [["relu1_1", 3, "cat"]]  # type: ignore[attr-defined]
    assert news["status"]["done"] == 3  # type: ignore[index]
    add_unit(store, Unit("relu1_1", 4, "cat"), "failed")
    follower.look()
    later, again = first_news(follower, position)
    assert [unit[1] for unit in again["units"]] == [4] and later != position  # type: ignore[attr-defined]
    add_unit(store, Unit("relu1_1", 4, "cat"))
    follower.look()
    _, retried = first_news(follower, later)
    assert retried["units"][0][3][0] == "ok"  # type: ignore[index]
    assert "relu1_1/4.cat.png" in client.get("/relu1_1/4.html").text


def test_a_browser_that_lost_the_connection_names_the_last_event_it_had(tmp_path: Path) -> None:
    store = fake_atlas(tmp_path, [("relu1_1", 4)], ["cat"], lambda u: "ok" if u.channel else None)
    follower = Follower(store)

    def event(last: str) -> dict[str, str]:
        asked = Request(f"{address}/events?since={start}", headers={"Last-Event-ID": last})
        lines: list[str] = []
        with urlopen(asked, timeout=20) as answer:
            assert answer.headers["content-type"].startswith("text/event-stream")
            while not any(line.startswith("data:") for line in lines):
                lines.append(answer.readline().decode())
        return dict(line.strip().split(": ", 1) for line in lines if ": " in line)

    with serving(follower) as address:
        start = follower.spell(0)
        add_unit(store, Unit("relu1_1", 0, "cat"))
        until(lambda: follower.news(0).position == 1)
        first = event("")
        assert first["event"] == "news" and len(json.loads(first["data"])["units"]) == 1
        assert json.loads(event(first["id"])["data"])["units"] == []
        assert event("another-1")["event"] == "changed"


def test_a_page_of_another_server_or_another_plan_is_made_anew(
    served: tuple[TestClient, Follower, Store],
) -> None:
    _, follower, store = served
    before = follower.spell(0)
    assert first_news(follower, "other-0")[0] == "changed"
    builder = Store.open(store.root)  # another process's: nothing but the disk is shared
    more = tuple(replace(layer, filters=8) for layer in store.manifest.layers)
    builder.save(replace(store.manifest, layers=more))
    follower.look()
    assert first_news(follower, before)[0] == "changed"
