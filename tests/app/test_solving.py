"""What is asked of the live page's solver: seen, stopped, displaced, kept, made again."""

from __future__ import annotations

import base64
import io
import json
import shlex
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest
import torch
from PIL import Image

from tests.app.live import LAYER, Browser, serving, small_house, wait_until
from tests.helpers import EXAMPLES, Run
from texton.app import kinds
from texton.app.house import House
from texton.app.work import About, Told
from texton.images.files import read_settings
from texton.methods.catalogue import methods
from texton.methods.result import Result


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("live")


@pytest.fixture(scope="module")
def house(folder: Path) -> House:
    return small_house(folder, [])


@pytest.fixture(scope="module")
def address(house: House) -> Iterator[str]:
    with serving(house) as found:
        yield found


@pytest.fixture
def browser(address: str) -> Browser:
    return Browser(address)


def asked(house: House, **more: Any) -> dict[str, Any]:
    photo = house.photos.listed()[0].id
    options = {"steps": 6, "seed": 3, **more.pop("options", {})}
    return {"method": "filter", "photo": photo, "layer": LAYER, "channel": 2,
            "options": options, **more}  # fmt: skip


def test_an_inversion_is_seen_while_it_is_solved_and_kept(
    browser: Browser, house: House, folder: Path
) -> None:
    body = asked(house, slot="explore")
    with browser.watching():
        number = browser.work(**body)
        assert browser.ended(number) == "done"
    states = browser.states(number)
    assert [x for x in dict.fromkeys(states) if x != "queued"] == ["loading", "solving", "done"]
    frame = browser.of("frame", number)[0]
    assert frame["steps"] == 6 and frame["error"] > 0 and 0 <= frame["achieved"] <= 1.5
    head, _, data = frame["image"].partition(",")
    assert head == "data:image/webp;base64"
    assert Image.open(io.BytesIO(base64.b64decode(data))).size == (48, 32)
    (said,) = browser.of("picture", number)
    picture = said["picture"]
    assert (picture["width"], picture["height"]) == (48, 32)
    assert {"error", "achieved"} <= {x["key"] for x in picture["figures"]}
    assert picture["options"] == {"steps": 6, "seed": 3} and picture["photo"]["name"] == "cat.png"
    content = browser.get(picture["url"]).content
    saved = folder / "got.png"
    saved.write_bytes(content)
    settings = read_settings(saved)
    assert settings is not None and settings["method"] == "filter" and settings["seed"] == 3
    assert settings["command"] == picture["command"]
    for text in (str(settings), str(picture), str(browser.told)):
        assert str(folder) not in text, "a folder of this machine"
    thumb = Image.open(io.BytesIO(browser.get(picture["thumb"]).content))
    assert thumb.size == (48, 32) and picture["beside"] == []


def test_an_animation_is_kept_beside_its_picture(browser: Browser, house: House) -> None:
    body = asked(house, method="dream", channel=None)
    body["options"] = {"iterations": 1, "octaves": 1, "zoom": 2, "animation": "gif"}
    with browser.watching():
        number = browser.work(**body)
        assert browser.ended(number) == "done", browser.of("work", number)[-1]
    picture = browser.of("picture", number)[0]["picture"]
    (beside,) = picture["beside"]
    moving = Image.open(io.BytesIO(browser.get(beside).content))
    assert moving.format == "GIF" and getattr(moving, "n_frames", 1) >= 2
    assert browser.delete(f"/api/pictures/{picture['id']}").status_code == 200
    assert browser.get(beside).status_code == 404


def test_its_command_and_its_python_make_the_same_picture(
    browser: Browser, house: House, folder: Path, run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    body = asked(house, size=32, options={"direction": {"1": 1, "3": 0.5}}, channel=None)
    with browser.watching():
        number = browser.work(**body)
        assert browser.ended(number) == "done"
    picture = browser.of("picture", number)[0]["picture"]
    pixels = Image.open(io.BytesIO(browser.get(picture["url"]).content)).tobytes()
    monkeypatch.chdir(folder)
    words = shlex.split(picture["command"])
    outcome = run(*words[1:])
    assert outcome.code == 0, outcome.err
    made = folder / words[words.index("-o") + 1]
    assert Image.open(made).tobytes() == pixels
    made.unlink()
    assert len(picture["python"].splitlines()) == 3
    exec(picture["python"], {})
    assert Image.open(made).tobytes() == pixels


@pytest.mark.slow
def test_a_hundred_moves_end_in_the_last_ones_picture(
    browser: Browser, house: House, monkeypatch: pytest.MonkeyPatch
) -> None:
    with browser.watching():
        moves = [
            browser.work(**asked(house, slot="desk", options={"steps": 400, "seed": seed}))
            for seed in range(99)
        ]
        moves.append(browser.work(**asked(house, slot="desk", options={"seed": 99})))
        assert browser.ended(moves[-1]) == "done"
        for number in moves[:-1]:
            assert browser.ended(number) == "displaced"
        assert not any(browser.of("picture", number) for number in moves[:-1])
    (said,) = browser.of("picture", moves[-1])
    assert said["picture"]["options"]["seed"] == 99


def test_a_work_is_cancelled_at_its_next_step_and_the_next_begins(
    browser: Browser, house: House
) -> None:
    with browser.watching():
        long = browser.work(**asked(house, slot="a", options={"steps": 100_000}))
        waits = browser.work(**asked(house, slot="b"))
        wait_until(lambda: "solving" in browser.states(long))
        assert browser.delete(f"/api/work/{long}").status_code == 200
        assert browser.ended(long) == "cancelled"
        assert browser.ended(waits) == "done"
        assert browser.delete(f"/api/work/{long}0").status_code == 404
    positions = [x["position"] for x in browser.of("work", waits) if x["state"] == "queued"]
    assert positions[0] == 1


def test_closing_the_page_stops_its_work_and_no_others(address: str, house: House) -> None:
    stays, leaves = Browser(address), Browser(address)
    with stays.watching():
        with leaves.watching():
            long = leaves.work(**asked(house, options={"steps": 100_000}))
            wait_until(lambda: "solving" in leaves.states(long))
        mine = stays.work(**asked(house))
        assert stays.ended(mine) == "done"
        assert not stays.states(long), "a second browser is a second session"


def test_a_page_that_comes_back_sees_how_everything_stands(address: str, house: House) -> None:
    browser = Browser(address)
    with browser.watching():
        long = browser.work(**asked(house, options={"steps": 100_000}))
        wait_until(lambda: bool(browser.of("frame", long)))
    browser.told.clear()
    with browser.watching():
        wait_until(lambda: bool(browser.of("frame", long)))
        assert browser.states(long)[0] == "solving"
        browser.delete(f"/api/work/{long}")
        assert browser.ended(long) == "cancelled"


def test_work_that_nobody_ever_watched_is_stopped(address: str, house: House) -> None:
    first, other = Browser(address), Browser(address)
    first.work(**asked(house, options={"steps": 100_000}))
    with other.watching():
        assert other.ended(other.work(**asked(house))) == "done"


class _Fails:
    """A run that ends in an error."""

    def __init__(self, error: Exception) -> None:
        self._error = error

    def run(self, told: Told) -> Iterator[Result]:
        told.check()
        raise self._error

    def about(self, result: Result) -> About:
        raise NotImplementedError


@pytest.mark.parametrize(
    "error, says",
    [
        (torch.OutOfMemoryError("CUDA out of memory. Tried 3 GiB"), "use a smaller size"),
        (MemoryError(), "use a smaller size"),
        (ZeroDivisionError("at /home/somebody/secret/x.py"), "texton failed"),
    ],
)
def test_what_goes_wrong_is_said_in_one_line_and_the_next_work_begins(
    browser: Browser, house: House, monkeypatch: pytest.MonkeyPatch, error: Exception, says: str
) -> None:
    monkeypatch.setitem(kinds.KINDS, "fails", lambda body, house: _Fails(error))
    with browser.watching():
        number = browser.work(fails={}, slot="a")
        assert browser.ended(number) == "failed"
        message = browser.of("work", number)[-1]["message"]
        assert says in message and "\n" not in message and "/home" not in message
        assert browser.ended(browser.work(**asked(house))) == "done"


def test_a_layer_that_is_none_is_told_with_the_nearest(browser: Browser, house: House) -> None:
    with browser.watching():
        number = browser.work(**asked(house, layer="44"))
        assert browser.ended(number) == "failed"
    assert "44" in browser.of("work", number)[-1]["message"]


def test_maps_and_layers(browser: Browser, house: House) -> None:
    layers = browser.get("/api/network").json()["layers"]
    assert [x["channels"] for x in layers if x["name"] == LAYER] == [6]
    photo = house.photos.listed()[0].id
    answer = browser.get("/api/maps", photo=photo, layer=LAYER)
    told = json.loads(answer.headers["x-maps"])
    assert len(answer.content) == told["channels"] * told["rows"] * told["columns"]
    assert (told["rows"], told["columns"]) == (16, 24)
    maps = torch.frombuffer(bytearray(answer.content), dtype=torch.uint8).reshape(6, 16, 24)
    network = house.network(house.default)
    image = texton_image(house)
    code = network.encode(image, LAYER)[LAYER][0]
    for c in range(6):
        assert told["peaks"][c] == pytest.approx(float(code[c].max()), rel=1e-3, abs=1e-9)
        shown = maps[c] / 255 * told["peaks"][c]
        assert torch.allclose(shown, code[c], atol=told["peaks"][c] / 500 + 1e-9)
    assert sum(told["energies"]) == pytest.approx(1, abs=1e-3)
    assert browser.get("/api/maps", photo=photo, layer="44").status_code == 422


def texton_image(house: House) -> torch.Tensor:
    from texton.images.files import read_image

    return read_image(house.photos.listed()[0].file, 224)


def filled(form: dict[str, Any], photo: str) -> Any:
    """What somebody might say where a form must be filled in."""
    kind = form["kind"]
    return {"pictures": [photo], "picture": photo, "factors": {"0": 1.0}}.get(kind, form["low"])


def test_of_two_moves_that_cross_on_their_way_the_later_stays(
    browser: Browser, house: House
) -> None:
    with browser.watching():
        later = browser.work(**asked(house, slot="desk", options={"steps": 100_000}), asked=2.5)
        earlier = browser.work(**asked(house, slot="desk"), asked=1.5)
        assert browser.ended(earlier) == "displaced"
        wait_until(lambda: "solving" in browser.states(later))
        last = browser.work(**asked(house, slot="desk"), asked=3)
        assert browser.ended(later) == "displaced" and browser.ended(last) == "done"


@pytest.mark.parametrize("name", list(methods()))
def test_every_method_is_served_from_its_declaration(
    browser: Browser, house: House, name: str
) -> None:
    coffee = (EXAMPLES / "coffee.jpg").read_bytes()
    photo = browser.post("/api/photos", coffee, **{"X-Name": "coffee.jpg"}).json()["id"]
    told = browser.get("/api/house").json()
    method = next(x for x in told["methods"] if x["name"] == name)
    options = {x["name"]: filled(x, photo) for x in method["options"] if x["required"]}
    known = {x["name"]: x for x in method["options"]}
    for few in ("steps", "iterations"):
        if few in known:
            options[few] = 2
    for of_vgg in ("content_layer", "style_layers"):
        if of_vgg in known:
            options[of_vgg] = [LAYER] if known[of_vgg]["kind"] == "texts" else LAYER
    body = {"method": name, "options": options, "photo": told["photos"][0]["id"], "size": 48}
    with browser.watching():
        answer = browser.post("/api/work", {**body, "layer": LAYER, "channel": 1})
        if answer.status_code == 422:  # of evidence, which this page was not given
            assert "texton scan" in answer.json()["error"]
            return
        number = answer.json()["id"]
        state = browser.ended(number)
    message = browser.of("work", number)[-1]["message"]
    if state == "failed":
        assert "texton scan" in message
        return
    assert state == "done", message
    picture = browser.of("picture", number)[-1]["picture"]
    assert picture["request"]["method"] == name and picture["title"] == method["title"]


def test_a_texture_is_of_a_picture_as_well(
    browser: Browser, house: House, folder: Path, run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    body = asked(house, method="texture", layer=None, channel=None, size=40, options={"steps": 2})
    with browser.watching():
        number = browser.work(**body)
        assert browser.ended(number) == "done", browser.of("work", number)[-1]["message"]
    picture = browser.of("picture", number)[0]["picture"]
    assert picture["caption"] == "The texture of cat.png" and picture["photo"]["name"] == "cat.png"
    content = browser.get(picture["url"]).content
    assert str(folder).encode() not in content
    found = browser.post("/api/open", content).json()
    assert found == {"request": picture["request"], "missing": None}
    assert found["request"]["photo"] == body["photo"]
    monkeypatch.chdir(folder)
    outcome = run(*shlex.split(picture["command"])[1:-1], "again.png")
    assert outcome.code == 0, outcome.err
    told = browser.post("/api/open", Path("again.png").read_bytes()).json()["request"]
    assert (told["photo"], told["layer"], told["size"]) == (body["photo"], None, 40)
    exec(picture["python"].replace("cat-texture.png", "python.png"), {})
    pixels = [Image.open(x).tobytes() for x in (io.BytesIO(content), "again.png", "python.png")]
    assert pixels[0] == pixels[1] == pixels[2]
    refused = browser.post("/api/work", {**body, "photo": None})
    assert refused.status_code == 422 and "choose a photograph" in refused.json()["error"]


def test_a_server_that_comes_back_has_its_history_and_goes_on(tmp_path: Path) -> None:
    house = small_house(tmp_path, [])
    with serving(house) as address:
        browser = Browser(address)
        with browser.watching():
            number = browser.work(**asked(house))
            assert browser.ended(number) == "done"
        before = browser.get("/api/history").json()
    assert len(before) == 1
    (tmp_path / "cat.png").unlink()  # the photograph that it was made of is kept
    (tmp_path / "history" / "pictures" / "0123456789abcdef0123.json").write_text("[1]")
    log: list[str] = []
    again = small_house(tmp_path, log, photos=())
    with serving(again) as address:
        browser.client.base_url = httpx.URL(address)
        assert browser.get("/api/history").json() == before
        assert any("left out picture" in line for line in log)
        with browser.watching():
            number = browser.work(**before[0]["request"])
            assert browser.ended(number) == "done"
        both = browser.get("/api/history").json()
        assert len(both) == 2
        first, second = (browser.get(x["url"]).content for x in both)
        assert Image.open(io.BytesIO(first)).tobytes() == Image.open(io.BytesIO(second)).tobytes()
        assert browser.delete(f"/api/pictures/{both[0]['id']}").status_code == 200
        assert browser.get("/api/history").json() == before
        assert browser.get(both[0]["url"]).status_code == 404


def test_a_saved_picture_gives_its_settings_back(
    browser: Browser, house: House, folder: Path, run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    body = asked(house)
    with browser.watching():
        number = browser.work(**body)
        assert browser.ended(number) == "done"
    picture = browser.of("picture", number)[0]["picture"]
    content = browser.get(picture["url"]).content
    found = browser.post("/api/open", content).json()
    assert found == {"request": picture["request"], "missing": None}
    monkeypatch.chdir(folder)
    outcome = run("filter", "cat.png", f"{LAYER}:1", "--network", "small.py:made", "--steps", 4,
                  "--seed", 9, "--size", 40, "-o", "cli.png", "--force")  # fmt: skip
    assert outcome.code == 0, outcome.err
    answer = browser.post("/api/open", (folder / "cli.png").read_bytes())
    request = answer.json()["request"]
    assert request["options"] == {"steps": 4, "seed": 9, "preset": "normal"}
    assert (request["channel"], request["size"], request["photo"]) == (1, 40, body["photo"])


@pytest.mark.parametrize(
    "settings, says",
    [
        (None, "no settings of texton"),
        ({"command": "x"}, "no settings of texton"),
        ({"method": 3}, "no str"),
        ({"method": "nothing"}, "no method"),
        ({"method": "filter", "network": [1]}, "no str"),
        ({"method": "filter", "network": "other"}, "is not here"),
        ({"method": "filter", "options": {"steps": "many"}}, "steps"),
        ({"method": "filter", "size": ["a"]}, "no int"),
        ({"method": "filter", "request": [1]}, "no dict"),
        ({"request": {"method": "filter", "photo": 4}}, "no str"),
        ({"request": {"method": "filter", "options": {"nothing": 1}}}, "no option"),
    ],
)
def test_foreign_pngs_are_refused_in_one_line(
    browser: Browser, tmp_path: Path, settings: dict[str, Any] | None, says: str
) -> None:
    from texton.images.files import write_image

    path = write_image(torch.zeros(3, 16, 16), tmp_path / "foreign.png", settings)
    answer = browser.post("/api/open", path.read_bytes())
    assert answer.status_code == 422 and says in answer.json()["error"], answer.text
    assert "\n" not in answer.json()["error"] and str(tmp_path) not in answer.text
