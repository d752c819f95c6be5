"""The live page with what it may be given: an atlas, evidence, trained models; the real VGG-19."""

from __future__ import annotations

import asyncio
import json
import re
import time
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import httpx
import pytest
from starlette.applications import Starlette
from starlette.testclient import TestClient

from tests.app.live import Browser, serving, small_house, wait_until
from tests.evidence import scans
from tests.fake_atlas import fake_atlas
from tests.helpers import EXAMPLES
from texton.app.desk import DeskRun
from texton.app.duel import Duel
from texton.app.forms import Files, kind_of, method_json, options_of
from texton.app.house import Given, House, network_name
from texton.app.method_run import MethodRun
from texton.app.server import make_app
from texton.app.work import About, Told, Work
from texton.app.worker import Worker
from texton.atlas.site.follow import Follower
from texton.atlas.site.serve import site_app
from texton.errors import TextonError
from texton.methods.catalogue import methods
from texton.methods.command import NetworkOptions
from texton.methods.method import Task
from texton.methods.options import Options, declarations, option
from texton.methods.result import Result


def test_an_atlas_has_its_pages_beside_it(tmp_path: Path) -> None:
    house = small_house(tmp_path, [], atlas=True)
    site = site_app(Follower(fake_atlas(tmp_path / "atlas", [("relu1_1", 1)], ["cat"])))
    app = make_app(house, atlas=site)
    with TestClient(app, base_url="http://localhost") as client:
        assert client.get("/").status_code == 200
        assert client.get("/api/house").json()["atlas"] == "/atlas/"
        assert "relu1_1" in client.get("/atlas/").text
        assert client.get("/atlas/assets/site.css").status_code == 200
        assert client.get("/atlas/nothing").status_code == 404
        assert client.get("/atlas/", headers={"host": "evil.example"}).status_code == 400


def test_leaving_stops_the_solver_before_it_waits_for_the_atlas(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    workers: list[Worker] = []
    seen: list[tuple[bool, str]] = []

    class Known(Worker):
        def __init__(self, *given: Any) -> None:
            super().__init__(*given)
            workers.append(self)

    class Endless:
        def run(self, told: Told) -> Iterator[Result]:
            while True:
                time.sleep(0.01)
                told.check()
                yield from ()

        def about(self, result: Result) -> About:
            raise AssertionError

    @asynccontextmanager
    async def waits(_: Starlette) -> AsyncIterator[None]:
        yield
        end = time.monotonic() + 2
        while not work.ended and time.monotonic() < end:
            await asyncio.sleep(0.01)
        seen.append((house.leaving.is_set(), work.state))

    monkeypatch.setattr("texton.app.server.Worker", Known)
    monkeypatch.setattr(House, "warm", lambda self: None)
    house = small_house(tmp_path, [], atlas=True)
    work = Work("1", "main", Endless(), lambda event, data: None)
    with TestClient(make_app(house, atlas=Starlette(lifespan=waits)), base_url="http://localhost"):
        workers[0].submit(work)
        wait_until(lambda: work.state == "solving")
    assert seen == [(True, "cancelled")]


@pytest.mark.parametrize("kind", ["method", "duel", "desk"])
def test_what_fails_while_it_is_solved_speaks_of_fields(
    kind: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fails(*_: object) -> Any:
        raise TextonError("no colours to keep: leave --keep-colors out, or add --pooling max")

    house = small_house(tmp_path, [])
    photo = house.photos.listed()[0].id
    body = {"method": "stylize", "photo": photo, "options": {"styles": [photo]}}
    made = MethodRun.of(body, house)
    made = replace(made, method=replace(made.method, make=fails))
    task = Task(SimpleNamespace(weights_hash=""), ())  # type: ignore[arg-type]
    monkeypatch.setattr(House, "network", lambda *_: task.network)
    monkeypatch.setattr(MethodRun, "task", fails if kind == "desk" else lambda *_: task)
    runs = {"method": made, "duel": Duel((made,)), "desk": DeskRun(made, "b", keep=False)}
    with pytest.raises(TextonError) as told:
        list(runs[kind].run(Told(lambda frame: None, lambda: None)))  # type: ignore[attr-defined]
    assert "leave “Keep colors” out, or add the network's pooling max" in str(told.value)


@pytest.mark.slow
def test_evidence_is_given_to_whatever_asks_for_it(tmp_path: Path) -> None:
    source = tmp_path / "net.py"
    source.write_text(scans.SOURCE)
    pictures = scans.write_pictures(tmp_path / "pictures", 6)
    scan = tmp_path / "scan"
    scans.scan(pictures, scan, f"{source}:make")
    network = NetworkOptions(network=f"{source}:make", device="cpu")
    photo = EXAMPLES / "chelsea.jpg"
    given = Given(tmp_path / "h", (photo,), network, scan, device="cpu")
    with serving(House(given)) as address:
        browser = Browser(address)
        layer = browser.get("/api/network").json()["layers"][-1]["name"]
        with browser.watching():
            for method in ("patches", "facets"):
                body = {"method": method, "layer": layer, "channel": 1}
                number = browser.work(**body, options={"seed": 1})
                assert browser.ended(number) == "done", browser.of("work", number)[-1]
                assert str(tmp_path) not in str(browser.told)


def _none(name: str) -> Path:
    raise AssertionError


NO_FILES = Files(_none, {})


def test_evidence_and_models_that_are_none_are_refused(tmp_path: Path) -> None:
    with pytest.raises(TextonError, match="no evidence"):
        small_house(tmp_path, [], evidence=tmp_path)
    with pytest.raises(TextonError, match="no folder"):
        small_house(tmp_path, [], models=tmp_path / "none")


def test_a_form_speaks_of_its_fields() -> None:
    """A flag is of the command line; so is what makes sense there alone."""
    forms = {name: method_json(one, {}) for name, one in methods().items()}
    for name, form in forms.items():
        for text in (form["title"], form["about"], *(x["help"] for x in form["options"])):
            assert not re.search(r"(^|[^\w-])--[a-z]", text), (name, text)
    helps = {(name, x["name"]): x["help"] for name, form in forms.items() for x in form["options"]}
    assert helps["invert", "modify"].endswith("ranks orders the maps as in “Style”.")
    assert helps["stylize", "style_size"] == "Long edge of the styles; “Long edge” by default."
    assert "in the evidence" in forms["facets"]["about"]
    assert ("stylize", "resume") not in helps and ("stylize", "depth") in helps
    with pytest.raises(TextonError, match="no option 'resume'"):
        options_of(methods()["stylize"], {"resume": True, "styles": []}, NO_FILES)
    with pytest.raises(TextonError, match=r"^“Modify” ranks and “Style” IMAGE go together"):
        options_of(methods()["invert"], {"modify": "ranks"}, NO_FILES)


def test_what_an_unset_weight_comes_to_is_declared() -> None:
    made = methods()["stylize"].options
    weights = [x for x in method_json(methods()["stylize"], {})["options"] if x["usual"]]
    for preset in ("fast", "paper"):
        usual = tuple(x["usual"].get(preset, x["usual"][""]) for x in weights)
        assert made(preset=preset).weights == usual  # type: ignore[attr-defined]


def test_trained_models_are_chosen_by_name(tmp_path: Path) -> None:
    from dataclasses import dataclass, replace

    @dataclass(frozen=True)
    class Paints(Options):
        model: Path | None = option(None, "Of a model.", holds="style")
        place: Path | None = option(None, "A folder.")
        styles: tuple[Any, ...] = option((), "Pictures.", argument=True, picture=True)

    method = replace(methods()["stylize"], options=Paints)
    (tmp_path / "wave.safetensors").write_bytes(b"x")
    (tmp_path / "notes.txt").write_bytes(b"x")
    for kind in ("style", "decoder"):
        told = {"__metadata__": {"texton": json.dumps({"kind": kind})}}
        header = json.dumps(told).encode()
        content = len(header).to_bytes(8, "little") + header
        (tmp_path / f"{kind}.safetensors").write_bytes(content)
    models = small_house(tmp_path, [], models=tmp_path).models
    assert list(models) == ["decoder.safetensors", "style.safetensors", "wave.safetensors"]
    field, styles = method_json(method, models)["options"]
    assert not styles["required"], "a model may take their place"
    assert (field["kind"], field["choices"]) == (
        "choice",
        ["style.safetensors", "wave.safetensors"],  # of the last its file does not tell
    )
    (styles,) = method_json(method, {})["options"]
    assert styles["required"]

    files = Files(_none, models)
    chosen = options_of(method, {"model": "style.safetensors"}, files)
    assert chosen == Paints(model=models["style.safetensors"].file)
    with pytest.raises(TextonError, match="styles is needed"):
        options_of(method, {}, files)
    for wrong in ("decoder.safetensors", "/etc/passwd", "../x", 3, ["wave.safetensors"], "wave"):
        with pytest.raises(TextonError, match="trained model"):
            options_of(method, {"model": wrong}, files)
    with pytest.raises(TextonError, match="no option"):
        options_of(method, {"place": "/etc"}, files)


@pytest.mark.parametrize("name", list(methods()))
def test_no_form_takes_a_file(name: str) -> None:
    for declared in declarations(methods()[name].options):
        kind = kind_of(declared)
        if declared.spec.picture and not declared.spec.holds:
            assert kind in ("picture", "pictures", None)
        elif declared.base is Path or declared.item is Path or declared.spec.holds:
            assert kind in (None, "model")
        else:
            assert kind or declared.spec.hidden or declared.spec.typed, (name, declared.name)


@pytest.mark.parametrize(
    "spec, name",
    [
        ("vgg19", "vgg19"),
        ("/home/me/nets/mine.py:made", "mine.py:made"),
        ("onnx:/home/me/x.onnx", "onnx:x.onnx"),
        ("transformers:google/vit-base", "transformers:google/vit-base"),
        ("torchvision:resnet50", "torchvision:resnet50"),
    ],
)
def test_a_network_is_called_by_no_folder(spec: str, name: str) -> None:
    assert network_name(spec) == name


@pytest.mark.slow
def test_the_real_network_at_64_pixels(tmp_path: Path) -> None:
    house = House(Given(tmp_path / "h", (EXAMPLES / "chelsea.jpg",), device="cpu"))
    with serving(house) as address:
        browser = Browser(address)
        photo = browser.get("/api/house").json()["photos"][0]["id"]
        answer: httpx.Response = browser.get("/api/maps", photo=photo, layer="relu4_2", size=64)
        assert len(answer.content) == 512 * 8 * 5
        with browser.watching():
            number = browser.work(
                method="filter", photo=photo, layer="relu4_2", channel=4, size=64,
                options={"preset": "fast"},
            )  # fmt: skip
            assert browser.ended(number) == "done", browser.of("work", number)[-1]
        assert len(browser.of("frame", number)) >= 3
        (said,) = browser.of("picture", number)
        assert said["picture"]["status"] == "ok"
        assert said["picture"]["command"].startswith("texton filter chelsea.jpg relu4_2:4 ")
