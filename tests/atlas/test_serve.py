"""The server of an atlas: the pages of an export, what is new as it is made, and nothing else."""

from __future__ import annotations

import asyncio
import json
import re
import signal
import socket
import subprocess
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path
from typing import Any
from urllib.request import Request, urlopen

import numpy as np
import pytest
from starlette.testclient import TestClient

from tests.atlases import TEXTON, until
from tests.fake_atlas import add_unit, fake_atlas, serving
from tests.helpers import Run, assert_refused
from texton.atlas.index import TextureIndex
from texton.atlas.similar import Map, Similar
from texton.atlas.site.follow import Follower
from texton.atlas.site.serve import _events, make_app
from texton.atlas.textures import Texture
from texton.errors import TextonError
from texton.jobs.manifest import AtlasLayer
from texton.jobs.store import Store, Unit


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
    for host in ("evil.example", "evil.example:8000", "", "[", "[evil]:1", "0.0.0.0", "[::2]:80"):
        assert client.get("/", headers={"host": host}).status_code == 400, host
    for host in ("localhost:8000", "LOCALHOST", "127.0.0.1", "127.0.0.1:8000", "[::1]:8000"):
        assert client.get("/", headers={"host": host}).status_code == 200, host


@pytest.mark.parametrize("host", ["::1", "0:0:0:0:0:0:0:1", "127.0.0.1", "localhost"])
def test_it_answers_on_every_loopback_address(host: str, tmp_path: Path) -> None:
    store = fake_atlas(tmp_path, [("relu1_1", 1)], ["cat"])
    try:
        with serving(Follower(store), host) as address, urlopen(address) as page:
            assert page.status == 200 and b"relu1_1" in page.read()
    except TextonError as error:  # a machine without IPv6
        pytest.skip(str(error))


@pytest.mark.parametrize("typed", ["127.1", "localhost"])
def test_who_may_ask_goes_by_what_is_bound(
    typed: str, run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    fake_atlas(tmp_path / "atlas", [("relu1_1", 1)], ["cat"])
    statuses = []

    def asked(app: Any, bound: socket.socket, leave: object) -> None:
        with TestClient(app) as client:
            for host in ("evil.example", "127.0.0.1"):
                statuses.append(client.get("/", headers={"host": host}).status_code)

    monkeypatch.setattr("texton.web.server.serve", asked)
    words = ("--host", typed, "--port", 0, "--no-similar")
    outcome = run("atlas", "serve", tmp_path / "atlas", *words)
    assert outcome.code == 0, outcome.err
    assert statuses == [400, 200]


def test_other_machines_may_call_it_what_they_like_where_they_are_let_in(tmp_path: Path) -> None:
    follower = Follower(fake_atlas(tmp_path, [("relu1_1", 1)], ["cat"]))
    with TestClient(make_app(follower, "0.0.0.0", watch=False)) as client:
        assert client.get("/", headers={"host": "studio.example"}).status_code == 200


def test_news_do_not_wait_for_the_index_to_be_planned(
    served: tuple[TestClient, Follower, Store], monkeypatch: pytest.MonkeyPatch
) -> None:
    _, follower, _ = served
    told: list[int] = []

    def slow(*_: object) -> dict[str, object]:
        with ThreadPoolExecutor(1) as pool:
            told.append(pool.submit(follower.news, 0).result(timeout=10).position)
        return {}

    class Index(TextureIndex):
        def update(self, *_: object, **__: object) -> Similar:
            return Similar()

    follower._index = Index()
    monkeypatch.setattr("texton.atlas.site.follow._good_maps", slow)
    follower.index()
    assert told == [0]


def test_nothing_computes_once_the_server_has_ended(tmp_path: Path) -> None:
    """A thread in torch as the interpreter ends would abort it: exit code 134 for 130."""
    began = threading.Event()

    class Endless(TextureIndex):
        def update(self, store: Any, units: Any, on_picture: Any = None, *_: Any) -> Any:
            while True:
                began.set()
                time.sleep(0.01)
                on_picture(32, 64)

    before = set(threading.enumerate())
    follower = Follower(fake_atlas(tmp_path, [("relu1_1", 1)], ["cat"]), Endless())
    with TestClient(make_app(follower), base_url="http://127.0.0.1"):
        assert began.wait(20)
        at_work = [x for x in set(threading.enumerate()) - before if "watch" in x.name]
        assert len(at_work) == 2
    assert not any(thread.is_alive() for thread in at_work)


def test_its_threads_have_one_deadline(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    heard = threading.Event()

    class Deaf(Follower):
        def watch(self, stop: threading.Event, pause: float = 1.0) -> None:
            heard.wait(20)

        def watch_index(self, stop: threading.Event) -> None:
            heard.wait(20)

    monkeypatch.setattr("texton.atlas.site.serve._PATIENCE", 0.5)
    follower = Deaf(fake_atlas(tmp_path, [("relu1_1", 1)], ["cat"]))
    with TestClient(make_app(follower), base_url="http://127.0.0.1"):
        left = time.monotonic()
    took = time.monotonic() - left
    heard.set()
    assert 0.4 < took < 0.95


def test_the_index_asks_before_every_layer_whether_to_go_on(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    layers = [("relu1_1", 2), ("relu1_2", 2)]
    follower = Follower(fake_atlas(tmp_path, layers, ["cat"]), TextureIndex())
    laid: list[list[int]] = []

    def measured(_: Store, units: Any, *__: object) -> dict[Unit, Texture]:
        vectors = np.random.default_rng(0).random((len(units), 4)).astype(np.float16)
        return {unit: Texture(vectors[at], (1, at)) for at, unit in enumerate(units)}

    def map_of(channels: list[int], _: object) -> Map:
        laid.append(channels)
        follower.leaving.set()
        return Map(2, 1, {0: 0, 1: 1})

    monkeypatch.setattr("texton.atlas.index.measure_textures", measured)
    monkeypatch.setattr("texton.atlas.similar._layout", map_of)
    follower.index()
    assert len(laid) == 1 and not follower.site.similar.maps
    follower.index()  # what has left begins none
    assert len(laid) == 1


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
        follower.look()
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


@pytest.mark.slow
def test_similar_textures_follow_a_build_that_adds_a_layer(tmp_path: Path) -> None:
    store = fake_atlas(tmp_path, [("relu1_1", 6)], ["cat"])
    follower = Follower(store, TextureIndex())
    follower.index()
    layers = (*store.manifest.layers, AtlasLayer("relu1_2", 4, 2, 5, (0, 1, 2, 3)))
    builder = Store.open(store.root)
    builder.save(replace(store.manifest, layers=layers))
    for channel in range(4):
        add_unit(builder, Unit("relu1_2", channel, "cat"))
    follower.look()
    follower.index()
    similar = follower.site.similar
    assert set(similar.maps) == {"relu1_1", "relu1_2"}
    assert ("relu1_1", 2) in similar.others["relu1_2", 2]


class Failing(Follower):
    """Fails twice at either job, then does it."""

    failures = 2

    def look(self) -> None:
        self._fail(OSError("the disk has gone"))
        super().look()

    def index(self) -> None:
        self._fail(KeyError("relu9"))

    def _fail(self, error: Exception) -> None:
        self.failures -= 1
        if self.failures >= 0:
            raise error


@pytest.mark.parametrize("job", ["watch", "watch_index"])
def test_whatever_fails_is_told_once_and_tried_again(
    tmp_path: Path, job: str, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    for pause in ("_INDEX_PAUSE", "_IDLE_PAUSE"):
        monkeypatch.setattr(f"texton.atlas.site.follow.{pause}", 0.01)
    follower = Failing(fake_atlas(tmp_path, [("relu1_1", 1)], ["cat"]))
    stop = threading.Event()
    words = (stop, 0.01) if job == "watch" else (stop,)
    thread = threading.Thread(target=getattr(follower, job), args=words)
    thread.start()
    try:
        until(lambda: follower.failures < -1)
    finally:
        stop.set()
        thread.join(20)
    told = capsys.readouterr().err.splitlines()
    assert told == [
        "cannot follow the build: OSError: the disk has gone"
        if job == "watch"
        else "cannot find similar textures: KeyError: 'relu9'"
    ]


def test_the_disk_is_read_seldom_while_nobody_is_connected(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    store = fake_atlas(tmp_path, [("relu1_1", 2)], ["cat"])
    follower = Follower(store)
    looks: list[float] = []
    monkeypatch.setattr(follower, "look", lambda: looks.append(time.monotonic()))
    stop = threading.Event()
    thread = threading.Thread(target=follower.watch, args=(stop, 0.01))
    thread.start()
    try:
        until(lambda: len(looks) == 1)
        time.sleep(0.3)
        assert len(looks) == 1
        with follower.client():
            until(lambda: len(looks) > 4)
    finally:
        stop.set()
        thread.join(20)


def test_the_pace_is_measured_only_for_someone_and_after_news(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("texton.atlas.site.follow._STATUS_PAUSE", 0.0)
    store = fake_atlas(tmp_path, [("relu1_1", 4)], ["cat"], lambda u: "ok" if u.channel else None)
    follower = Follower(store)
    whole: list[int] = []
    status = Store.status
    monkeypatch.setattr(Store, "status", lambda self: (whole.append(1), status(self))[1])
    add_unit(store, Unit("relu1_1", 0, "cat"))
    follower.look()
    assert follower.news(0).status["done"] == 4 and whole == []
    with follower.client():
        for _ in range(3):
            follower.look()
            time.sleep(0.05)
    assert whole == [1]


def test_an_unreadable_picture_is_not_there(tmp_path: Path) -> None:
    store = fake_atlas(tmp_path, [("relu1_1", 2)], ["cat"])
    wide = tuple(replace(photo, width=300, height=200) for photo in store.manifest.photos)
    store.save(replace(store.manifest, photos=wide))
    picture = store.picture(Unit("relu1_1", 0, "cat"))
    picture.write_bytes(picture.read_bytes()[:100])
    follower = Follower(store)
    store.picture(Unit("relu1_1", 1, "cat")).unlink()
    store.photo("cat").unlink()
    with TestClient(make_app(follower, watch=False), base_url="http://127.0.0.1") as client:
        for path in ("relu1_1/0.cat.thumb.webp", "relu1_1/1.cat.png", "photos/cat.png"):
            assert client.get(f"/{path}").status_code == 404, path
        assert client.get("/relu1_1/0.html").status_code == 200


@pytest.mark.slow
def test_ctrl_c_ends_the_server_as_it_ends_every_command(tmp_path: Path) -> None:
    fake_atlas(tmp_path, [("relu1_1", 1)], ["cat"])
    with subprocess.Popen(
        [*TEXTON, "atlas", "serve", str(tmp_path), "--port", "0", "--no-similar"],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.default_int_handler),
    ) as process:
        assert process.stdout
        address = process.stdout.readline().strip()
        until(lambda: _answers(address), process)
        process.send_signal(signal.SIGINT)
        _, err = process.communicate(timeout=60)
    assert process.returncode == 130
    assert err.startswith("Ctrl-C ends it\n") and "Traceback" not in err


def _answers(address: str) -> bool:
    try:
        with urlopen(address, timeout=20) as answer:
            return bool(answer.status == 200)
    except OSError:
        return False
