"""Hostile requests to the live page: refused, in one line of the log each."""

from __future__ import annotations

import json
import socket
import struct
import subprocess
import sys
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import quote

import httpx
import pytest
from hypothesis import given
from hypothesis import strategies as st
from starlette.testclient import TestClient

from tests.app.live import LAYER, Browser, serving, small_house
from tests.helpers import Run, assert_refused
from texton.app.guard import Keys
from texton.app.hidden import Hidden
from texton.app.server import make_app

LOG: list[str] = []


@pytest.fixture(scope="module")
def address(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    with serving(small_house(tmp_path_factory.mktemp("guard"), LOG)) as found:
        yield found


@pytest.fixture
def browser(address: str) -> Browser:
    found = Browser(address)
    LOG.clear()
    return found


def assert_told(answer: httpx.Response, status: int, says: str) -> None:
    """One line to whoever asked, one in the log."""
    assert answer.status_code == status, answer.text
    said = answer.json()["error"]
    assert says in said and "\n" not in said
    assert len(LOG) == 1 and LOG[0].startswith(f"refused {status}: ") and LOG[0].isprintable(), LOG
    LOG.clear()


def test_other_hosts_origins_and_visitors_without_a_token(browser: Browser, address: str) -> None:
    body = json.dumps({"method": "filter"}).encode()
    host = address.removeprefix("http://")
    for other in ("evil.example", f"evil.example:{host.partition(':')[2]}", "", "[", "0.0.0.0"):
        assert_told(browser.client.get("/", headers={"Host": other}), 400, "another machine")
    for origin in ("http://evil.example", "null", f"http://{host}.evil.example", "http://[", "",
                   f"ftp://{host}", f"http://user@{host}"):  # fmt: skip
        assert_told(browser.post("/api/work", body, Origin=origin), 403, "another site")
        assert_told(browser.client.get("/api/house", headers={"Origin": origin}), 403, "site")
    assert browser.client.get("/api/house", headers={"Origin": address}).status_code == 200
    other = Browser(address)
    for token in ("", "x", other.token, "é"):
        sent = {b"X-Texton-Token": token.encode()}
        answer = browser.client.post("/api/work", content=body, headers=sent)
        assert_told(answer, 403, "reload the page")
        assert_told(browser.client.delete("/api/work/1", headers=sent), 403, "reload the page")
    for cookie in ("", "texton=short", f"texton={'a' * 44}", "texton=../../etc/passwd; ;;="):
        answer = httpx.get(f"{address}/api/house", headers={"Cookie": cookie})
        assert_told(answer, 403, "open the page first")
    mine = f"texton={browser.client.cookies['texton']}"
    for foreign in ('other={"a":1}', "x@y=1"):  # of another program's page on this machine
        answer = httpx.get(f"{address}/api/house", headers={"Cookie": f"{foreign}; {mine}"})
        assert answer.status_code == 200, foreign
    assert_told(
        httpx.post(f"{address}/api/work", content=body, headers={"X-Texton-Token": other.token}),
        403,
        "open the page",
    )


def test_the_cookie_is_the_browsers_alone(address: str) -> None:
    answer = httpx.get(address)
    cookie = answer.headers["set-cookie"].lower()
    assert "httponly" in cookie and "samesite=strict" in cookie
    assert "default-src 'self'" in answer.headers["content-security-policy"]
    assert answer.headers["x-content-type-options"] == "nosniff"


def test_with_a_host_of_others_the_key_is_asked_for(tmp_path: Path) -> None:
    house = small_house(tmp_path, log := [])
    key = Keys.kept_in(house.given.history).key
    with TestClient(make_app(house, "0.0.0.0"), base_url="http://studio.example") as client:
        assert client.get("/").status_code == 403
        assert client.get("/static/main.js").status_code == 403
        assert client.get("/?key=wrong").status_code == 403
        assert len(log) == 3
        assert client.get(f"/?key={key}").status_code == 200
        assert client.get("/api/house").status_code == 200  # the browser keeps it
    assert not any(key in line for line in log)
    assert (house.given.history / "secret").stat().st_mode & 0o077 == 0


def test_long_bodies_are_not_read(browser: Browser, address: str) -> None:
    host, port = address.removeprefix("http://").split(":")
    cookie = f"texton={browser.client.cookies['texton']}"
    head = (f"POST /api/photos HTTP/1.1\r\nHost: {host}:{port}\r\nCookie: {cookie}\r\n"
            f"X-Texton-Token: {browser.token}\r\nX-Name: big.png\r\n")  # fmt: skip
    with socket.create_connection((host, int(port)), timeout=10) as said:
        said.sendall(f"{head}Content-Length: {200 << 20}\r\n\r\n".encode())
        answer = b"".join(iter(lambda: said.recv(65536), b"")).decode()  # and it hangs up
        assert answer.startswith("HTTP/1.1 413") and "64 MiB" in answer
        assert "connection: close" in answer.lower()
    assert len(LOG) == 1
    LOG.clear()
    part = b"0" * (1 << 20)
    with socket.create_connection((host, int(port)), timeout=10) as said:
        said.sendall(f"{head}Transfer-Encoding: chunked\r\n\r\n".encode())
        sent = 0
        try:
            while sent < 200:
                said.sendall(b"100000\r\n" + part + b"\r\n")
                sent += 1
        except OSError:
            pass  # it hung up
        assert sent < 120, "all of it was taken"
    assert len(LOG) == 1 and "413" in LOG[0]


def png(width: int, height: int) -> bytes:
    """A PNG that says to be so large, and holds nothing."""
    head = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    parts = (b"IHDR", head), (b"IDAT", zlib.compress(b"\0" * 100)), (b"IEND", b"")
    chunks = (
        struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))
        for kind, data in parts
    )
    return b"\x89PNG\r\n\x1a\n" + b"".join(chunks)


@pytest.mark.parametrize(
    "content, name, says",
    [
        (png(1_000_000, 1_000_000), "wide.png", "megapixels"),
        (png(1_000_000, 20), "wide.png", "pixels"),
        (png(1_000_000, 1), "wide.png", "pixels"),
        (png(64, 64), "cut.png", "damaged"),
        (b"", "empty.png", "empty"),
        (b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 50 50\n", "x.eps", "PostScript"),
        (b"nothing", "photo.png", "not an image"),
        (b"\x80\x04.", "photo.npy", "not an image"),
        (b"x", "../../etc/passwd", "path"),
        (b"x", "..\\boot.ini", "path"),
        (b"x", "/etc/passwd", "path"),
        (b"x", "a\nb.png", "path"),
        (b"x", "..", "path"),
        (b"x", "a" * 200, "characters"),
    ],
    ids=lambda x: x[:20] if isinstance(x, str) else str(len(x)),
)
def test_uploads_that_are_no_photographs(
    browser: Browser, tmp_path: Path, content: bytes, name: str, says: str
) -> None:
    answer = browser.post("/api/photos", content, **{"X-Name": quote(name)})
    assert_told(answer, 422, says)
    assert ".picture" not in answer.text and "history" not in answer.text


def test_an_upload_is_a_photograph_by_its_content(browser: Browser) -> None:
    from tests.helpers import EXAMPLES

    content = (EXAMPLES / "coffee.jpg").read_bytes()
    named = {"X-Name": quote("Käffee 1.jpg")}
    photo = browser.post("/api/photos", content, **named).json()
    assert photo["name"] == "Käffee 1.jpg" and photo["width"] > photo["height"] > 16
    assert browser.post("/api/photos", content, **named).json() == photo
    shown = browser.get(photo["url"], size=40)
    assert shown.headers["content-type"] == "image/webp" and len(shown.content) < 5000
    assert photo in browser.get("/api/house").json()["photos"]


BODIES: list[Any] = [
    {}, {"method": None}, {"method": 3}, {"method": ["filter"]}, {"method": "nothing"},
    {"method": "filter"}, {"method": "filter", "photo": "0" * 16},
    {"method": "filter", "photo": "../secret"}, {"method": "filter", "photo": {"id": 1}},
    {"network": "/etc/passwd.py:f", "method": "filter"}, {"network": 1, "method": "filter"},
    {"method": "filter", "options": []}, {"method": "filter", "options": "x"},
    {"method": "filter", "options": {"steps": "x"}},
    {"method": "filter", "options": {"steps": True}},
    {"method": "filter", "options": {"steps": 1e9}}, {"method": "filter", "options": {"seed": -1}},
    {"method": "filter", "options": {"preset": {}}}, {"method": "filter", "options": {"a/b": 1}},
    {"method": "filter", "options": {"directions": "/etc/passwd.npy"}},
    {"method": "filter", "options": {"direction": [1]}},
    {"method": "filter", "options": {"direction": {"x": 1}}},
    {"method": "filter", "options": {"direction": {"0": "y"}}},
    {"method": "maximize", "layer": LAYER, "channel": 1, "options": {"evidence": "/etc"}},
    {"method": "stylize", "options": {"styles": "/etc/passwd"}},
    {"method": "stylize", "options": {"styles": ["/etc/passwd"]}},
    {"method": "stylize", "options": {"styles": [[["x"]]]}}, {"method": "stylize"},
    {"method": "maximize", "layer": 4}, {"method": "maximize", "layer": LAYER, "channel": "1"},
    {"method": "maximize", "layer": LAYER, "channel": -1},
    {"method": "maximize", "layer": LAYER, "channel": 1, "size": 1},
    {"method": "maximize", "layer": LAYER, "channel": 1, "size": 10**9},
    {"method": "maximize", "layer": LAYER, "channel": 1, "slot": 3},
    {"method": "maximize", "layer": LAYER, "channel": 1, "slot": "a b\n"},
]  # fmt: skip


@pytest.mark.parametrize("body", BODIES, ids=lambda x: json.dumps(x)[:60])
def test_requests_of_wrong_types_are_refused(browser: Browser, body: Any) -> None:
    assert_told(browser.post("/api/work", body), 422, "")


@pytest.mark.parametrize(
    "content",
    [b"", b"[]", b"3", b"{", b"\xff", b'{"a":NaN}', b'{"a":' * 90 + b"1" + b"}" * 90,
     b'{"a":' + b"[" * 100_000, b'{"a":' + b"9" * 400 + b"}", b'{"a":"\\ud800"}'],
)  # fmt: skip
def test_what_is_no_json_object_is_refused(browser: Browser, content: bytes) -> None:
    assert_told(browser.post("/api/work", content), 422, "no JSON object")


@pytest.mark.parametrize(
    "path, status",
    [
        ("/static/..%2fserver.py", 404), ("/static/%2e%2e", 404),
        ("/static/server.py", 404), ("/api/photos/..", 404), ("/api/photos/..%2fsecret", 404),
        ("/api/pictures/secret.png", 404), ("/api/pictures/..%2f..%2fsecret.png", 404),
        ("/api/maps?photo=x&layer=4", 422), ("/api/maps", 422),
        ("/api/network?name=/etc/passwd.py:f", 422), ("/nothing", 404),
    ],
)  # fmt: skip
def test_there_is_nothing_else(browser: Browser, path: str, status: int) -> None:
    assert_told(browser.client.get(path), status, "")


def test_too_many_works_of_one_browser_are_refused(
    browser: Browser, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("texton.app.sessions.MOST_WORKS", 3)
    photo = browser.get("/api/house").json()["photos"][0]["id"]
    body = {"method": "filter", "photo": photo, "layer": LAYER, "channel": 0,
            "options": {"steps": 100_000}}  # fmt: skip
    with browser.watching():
        statuses = [
            browser.post("/api/work", {**body, "slot": f"s{n}"}).status_code for n in range(5)
        ]
    assert statuses == [200] * 3 + [429] * 2


def test_the_first_page_does_not_wait_for_torch(tmp_path: Path) -> None:
    code = (
        "import sys, pathlib; from starlette.testclient import TestClient;"
        "from texton.cli.commands import app; app(['app']);"
        "from texton.app.house import Given, House; from texton.app.server import make_app;"
        "client = TestClient(make_app(House(Given(pathlib.Path('h')))), base_url='http://localhost');"
        "assert client.get('/').status_code == client.get('/api/house').status_code == 200;"
        "assert 'torch' not in sys.modules and 'numpy' not in sys.modules"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=tmp_path, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr


def test_mistakes_on_the_command_line(run: Run, tmp_path: Path) -> None:
    (tmp_path / "no.png").write_bytes(b"nothing")
    common = ("--no-browser", "--port", 0, "--history", tmp_path / "h")
    assert_refused(run("app", "no.png", *common), "not an image")
    assert_refused(run("app", "missing.png", *common), "no file")
    assert_refused(run("app", *common, "--models", "none"), "no folder")
    assert_refused(run("app", *common, "--evidence", "none"), "no evidence")
    assert_refused(run("app", *common, "--device", "abacus"), "abacus")
    assert_refused(run("app", *common, "--atlas", "none"), "none")


def test_the_command_prints_where_it_is_and_ends_with_ctrl_c(
    run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    opened: list[str] = []

    def asked(app: Any, bound: socket.socket, leave: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr("texton.web.server.serve", asked)
    monkeypatch.setattr("webbrowser.open", opened.append)
    outcome = run("app", "--no-browser", "--port", 0, "--history", tmp_path / "h")
    assert outcome.code == 130 and outcome.out.startswith("http://127.0.0.1:") and not opened
    outcome = run("app", "--no-browser", "--host", "0.0.0.0", "--port", 0, "--history", "h")
    assert "?key=" in outcome.out


def test_folders_are_hidden_and_nothing_else() -> None:
    hidden = Hidden()
    hidden.know(Path("/home/me/h/photos/0123.picture"), "cat.png")
    shown = hidden.text("'/home/me/h/photos/0123.picture' is cut; see /usr/lib/x.py line 3")
    assert shown == "'cat.png' is cut; see x.py line 3"
    assert hidden.text(r"C:\Users\me\x.pth fails") == "x.pth fails"
    assert hidden.text("cannot read '/home/me/My Nets/a b.pth': no") == "cannot read 'a b.pth': no"
    for plain in (
        "48/32 pixels",
        "use 1/2",
        "https://a.example/b/c",
        "and/or",
        "relu4_2:4",
        "a / b",
    ):
        assert hidden.text(plain) == plain


@given(st.lists(st.text("ab1_+-", min_size=1, max_size=8), min_size=2, max_size=6))
def test_any_folder_is_hidden(parts: list[str]) -> None:
    path = "/" + "/".join(parts)
    for text in (path, f"'{path}'", f"file={path}", f"cannot read {path}: no"):
        assert f"/{parts[0]}/" not in Hidden().text(text), text
