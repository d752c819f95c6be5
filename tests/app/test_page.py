"""The live page in a real browser, on the real VGG-19 at 64 pixels."""

from __future__ import annotations

import io
import json
import re
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
import uvicorn
from PIL import Image

from tests.browser import CHROMIUM, Visit, chromium
from tests.evidence.scans import scan
from texton.app.house import Given, House
from texton.app.server import make_app
from texton.images.files import read_settings
from texton.web.server import listen

pytest.importorskip("playwright.sync_api", reason="playwright is not installed")
pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(
        CHROMIUM is None, reason="no chromium here: apt-get install chromium runs these"
    ),
]
EXAMPLES = Path(__file__).parents[2] / "examples"
QUICK = """
localStorage.setItem("texton-size-solved", "64");
localStorage.setItem("texton-preset-solved", "fast");
"""
LIVE = ".explore .panel > .live"
DROP = """async ([where, name, type, data]) => {
  const bytes = Uint8Array.from(atob(data), (one) => one.charCodeAt(0));
  const carried = new DataTransfer();
  carried.items.add(new File([bytes], name, { type }));
  const node = document.querySelector(where);
  for (const kind of ["dragenter", "dragover", "drop"]) {
    const told = { bubbles: true, cancelable: true, dataTransfer: carried };
    node.dispatchEvent(new DragEvent(kind, told));
  }
}"""


@contextmanager
def serving(history: Path, port: int = 0, evidence: Path | None = None) -> Iterator[str]:
    """The address of a live page, as ``texton app`` serves it."""
    photos = [EXAMPLES / "chelsea.jpg", EXAMPLES / "coffee.jpg"]
    house = House(Given(history, photos, evidence=evidence, device="cpu"), log=lambda line: None)
    with listen("127.0.0.1", port) as bound:
        config = uvicorn.Config(
            make_app(house, "127.0.0.1"), log_level="error", timeout_graceful_shutdown=1
        )
        server = uvicorn.Server(config)
        thread = threading.Thread(target=server.run, kwargs={"sockets": [bound]})
        thread.start()
        try:
            yield f"http://127.0.0.1:{bound.getsockname()[1]}"
        finally:
            server.should_exit = True
            thread.join(30)


@pytest.fixture(scope="module")
def address(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    root = tmp_path_factory.mktemp("page")
    scan(EXAMPLES, root / "evidence", "vgg19", layers="relu1_2,relu2_1")
    with serving(root / "history", evidence=root / "evidence") as address:
        yield address


@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    with chromium() as started:
        yield started


def new_visit(browser: Any, **context: Any) -> Visit:
    made = browser.new_context(**{"viewport": {"width": 1300, "height": 900}, **context})
    made.add_init_script(QUICK)
    visit = Visit(made.new_page())
    visit.page.set_default_timeout(30_000)
    return visit


@pytest.fixture
def visit(browser: Any) -> Iterator[Visit]:
    """A browser of its own; at the end nothing may have gone wrong, nothing asked of elsewhere."""
    visit = new_visit(browser)
    yield visit
    visit.page.context.close()
    assert visit.problems == []
    assert visit.foreign() == []


def open_maps(page: Any, address: str, layer: str = "relu2_1") -> None:
    page.goto(f"{address}/#explore?layer={layer}")
    page.wait_for_selector(".map .value:not(:empty)")


def solved(page: Any, where: str = LIVE) -> str:
    """The address of the picture that a view ends with."""
    image = page.locator(f'{where} img[src^="/api/pictures/"]')
    image.wait_for()
    source: str = image.get_attribute("src")
    return source


def kept(page: Any) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = page.evaluate("fetch('/api/history').then((one) => one.json())")
    return found


def until(page: Any, asked: str, arg: Any = None) -> None:
    """Wait for what JavaScript says: Playwright's own way is refused by the page's policy."""
    end = time.monotonic() + 30
    while not page.evaluate(asked, arg):
        assert time.monotonic() < end, f"never: {asked}"
        page.wait_for_timeout(50)


def make_maps(page: Any, count: int) -> None:
    """So many quick pictures, asked for as the page asks."""
    before = len(kept(page))
    for channel in range(count):
        body = {"method": "map", "layer": "relu1_2", "channel": channel, "size": 64, "options": {}}
        page.evaluate(
            "async (body) => { const api = await import('/static/api.js');"
            "const photo = (await api.get('/api/house')).photos[0].id;"
            "await api.work({ ...body, photo }); }",
            {**body, "slot": f"map-{channel}"},
        )
    until(
        page,
        "async (count) => (await (await fetch('/api/history')).json()).length >= count",
        arg=before + count,
    )


def dropped(page: Any, where: str, name: str, kind: str, content: bytes) -> None:
    import base64

    page.evaluate(DROP, [where, name, kind, base64.b64encode(content).decode()])


def test_an_inversion_is_watched_as_it_appears_and_a_reload_keeps_it(
    visit: Visit, address: str
) -> None:
    page = visit.page
    open_maps(page, address)
    assert page.locator(".map").count() == 128
    seen = page.evaluate_handle(
        "(where) => { const seen = new Set(), node = document.querySelector(where);"
        "new MutationObserver(() => seen.add(node.src)).observe(node, { attributes: true });"
        "return seen; }",
        f"{LIVE} img",
    )
    page.locator(".map").first.click()
    unit = f"relu2_1:{page.locator('.map').first.get_attribute('data-channel')}"
    assert page.locator(".panel h2").inner_text() == unit
    source = solved(page)
    frames = [one for one in seen.evaluate("(seen) => [...seen]") if one.startswith("data:image")]
    assert len(frames) >= 2
    assert len(page.locator(".panel .plot .error").first.get_attribute("points").split()) >= 2
    assert "Achieved" in page.locator(f"{LIVE} dl").inner_text()
    for of in ("hangs on", "excites", "made of"):  # of the photograph, and of the evidence
        page.locator(".beside-texture", has_text=of).locator(
            'img[src^="/api/pictures/"]'
        ).wait_for()
    page.reload()
    assert solved(page) == source
    assert page.locator(".panel h2").inner_text() == unit
    page.goto(f"{address}/#history")
    page.locator(".shelf .tile").first.wait_for()
    page.goto(f"{address}/#explore")
    assert solved(page) == source


def test_a_place_of_the_photograph_shows_what_each_filter_says_there(
    visit: Visit, address: str
) -> None:
    page = visit.page
    with page.expect_response(re.compile("/api/maps")) as answered:
        open_maps(page, address)
    told = json.loads(answered.value.headers["x-maps"])
    content = answered.value.body()
    energies = told["energies"]
    order = [int(x) for x in page.locator(".map .name").all_text_contents()]
    assert order == sorted(range(128), key=lambda x: -energies[x])
    box = page.locator(".photo-stage").bounding_box()
    page.mouse.move(box["x"] + 0.7 * box["width"], box["y"] + 0.3 * box["height"])
    page.wait_for_selector(".maps.placed")
    at = int(0.3 * told["rows"]) * told["columns"] + int(0.7 * told["columns"])
    size = told["rows"] * told["columns"]
    values = [content[c * size + at] / 255 * told["peaks"][c] for c in range(128)]
    shown = page.locator(".map .value").all_text_contents()
    assert [float(x) for x in shown] == pytest.approx([values[c] for c in order], rel=0.06)
    page.mouse.down()
    page.mouse.up()
    page.select_option(".tools select", "place")
    first = int(page.locator(".map .name").first.inner_text())
    assert values[first] == pytest.approx(max(values), rel=0.02)
    strongest = page.locator(".here b").all_inner_texts()
    assert len(strongest) == 6
    assert int(strongest[0]) == first


def test_photographs_are_dropped_and_what_is_none_is_refused(visit: Visit, address: str) -> None:
    page = visit.page
    open_maps(page, address)
    before = page.locator(".photo-picker .choice label").count()
    buffer = io.BytesIO()
    Image.effect_mandelbrot((90, 60), (-2, -1, 1, 1), 60).convert("RGB").save(buffer, "PNG")
    with page.expect_response(re.compile("/api/maps")):
        dropped(page, ".explore", "figure.png", "image/png", buffer.getvalue())
    assert page.locator(".photo-picker .choice label").count() == before + 1
    assert page.locator(".photo-stage img").get_attribute("alt") == "The photograph figure.png"
    dropped(page, ".drop", "notes.png", "image/png", b"no picture at all")
    page.locator(".toast.error").wait_for()
    assert page.locator(".photo-picker .choice label").count() == before + 1
    assert [x for x in visit.problems if "422" not in x] == []
    visit.problems.clear()  # the browser tells refusals on its console


def test_another_method_has_a_form_that_sends_what_was_changed(visit: Visit, address: str) -> None:
    page = visit.page
    page.goto(f"{address}/#methods?method=invert")
    page.locator(".method-form .bar[aria-checked=true]").wait_for()
    page.locator(".method-form [data-layer=relu1_2]").click()
    page.fill("#size", "48")
    page.locator(".common summary").click()
    page.get_by_label("Steps", exact=True).fill("none")
    page.click(".primary")
    wrong = page.locator(".wrong:visible")
    assert "no whole number" in wrong.inner_text()
    assert page.evaluate("document.activeElement.getAttribute('aria-invalid')") == "true"
    page.get_by_label("Steps", exact=True).fill("-3")
    page.click(".primary")  # the server says what is wrong with it, and the field has it
    until(page, "/at least|1/.test(document.querySelector('.wrong:not([hidden])')?.innerText)")
    visit.problems.clear()
    page.get_by_label("Steps", exact=True).fill("3")
    with page.expect_request("**/api/work") as asked:
        page.click(".primary")
    body = json.loads(asked.value.post_data)
    assert body["options"] == {"steps": 3}
    assert (body["method"], body["layer"], body["size"]) == ("invert", "relu1_2", 48)
    source = solved(page, ".methods .panel .live")
    assert "texton invert" in page.locator(".methods .panel pre").first.inner_text()
    newest = kept(page)[0]
    assert (newest["url"], newest["options"]) == (source, {"steps": 3})


def test_a_phone_has_bars_for_thumbs_and_a_texture_is_of_a_picture(
    browser: Any, address: str
) -> None:
    visit = new_visit(browser, viewport={"width": 390, "height": 844})
    page = visit.page
    page.goto(f"{address}/#methods?method=texture")
    page.wait_for_selector(".bar[aria-checked=true]")
    widths = page.locator(".bar").evaluate_all("(all) => all.map((one) => one.clientWidth)")
    assert len(widths) > 30 and min(widths) >= 24
    chosen = page.locator(".bar[aria-checked=true]").bounding_box()
    assert 0 <= chosen["x"] <= 390 - chosen["width"], "the drawing scrolls to what is chosen"
    assert page.evaluate("document.documentElement.scrollWidth") <= 390, "and the page does not"
    page.locator(".method-form .choice label[title='coffee.jpg']").click()
    assert page.locator("#channel").is_hidden() and page.locator(".layer-picker").is_hidden()
    page.locator(".method-form .choice label[title='none: of a filter']").click()
    assert page.locator("#channel").is_visible() and page.locator(".layer-picker").is_visible()
    page.goto(f"{address}/#style")
    weights = page.locator(".style-side > .fader input.typed")
    weights.first.wait_for()
    assert [one.input_value() for one in weights.all()] == ["1", "10"]
    presets = page.locator("select", has=page.locator("option", has_text="paper"))
    presets.select_option("paper")
    assert [one.input_value() for one in weights.all()] == ["10", "1"]
    page.context.close()
    assert visit.problems == [] and visit.foreign() == []


def test_history_compares_saves_opens_again_and_forgets(
    visit: Visit, address: str, tmp_path: Path
) -> None:
    page = visit.page
    page.goto(f"{address}/#history")
    page.locator("#connection").wait_for(state="attached")
    make_maps(page, 2)
    page.reload()
    page.locator(".shelf .tile").first.wait_for()
    count = page.locator(".shelf .tile").count()
    newest = kept(page)[0]
    page.locator(".shelf .tile").first.click()
    page.locator(".seen select").select_option(index=2)
    page.locator(".seen .stage input").focus()
    page.keyboard.press("End")
    assert (
        page.locator(".seen .stage").evaluate("(x) => x.style.getPropertyValue('--at')") == "100%"
    )
    page.reload()
    page.locator(".seen .stage").wait_for()  # both sides are in the address
    assert "import texton" in page.locator(".detail pre").nth(1).inner_text()
    with page.expect_download() as saving:
        page.click("text=Save PNG")
    saved = tmp_path / "saved.png"
    saving.value.save_as(saved)
    assert read_settings(saved)["request"] == newest["request"]
    dropped(page, ".above .drop", "saved.png", "image/png", saved.read_bytes())
    page.locator(".method-form").wait_for()
    assert newest["title"] in page.locator(".method-form h2").first.inner_text()
    page.locator(
        f".method-form .bar[data-layer='{newest['unit']['layer']}'][aria-checked=true]"
    ).wait_for()
    changed = page.locator(".option.changed").count()
    assert changed == len(newest["options"])
    page.goto(f"{address}/#history?picture={newest['id']}")
    page.locator(".danger").click()
    page.locator("text=Delete for good?").click()
    until(page, f"document.querySelectorAll('.shelf .tile').length === {count - 1}")
    assert newest["id"] not in [one["id"] for one in kept(page)]


def test_work_is_cancelled_and_a_second_browser_sees_none_of_it(
    visit: Visit, browser: Any, address: str
) -> None:
    page = visit.page
    open_maps(page, address)
    other = new_visit(browser)
    open_maps(other.page, address)
    page.select_option(".tools.small select >> nth=1", "paper")
    unwanted = int(page.locator(".map").first.get_attribute("data-channel"))
    before = [one["id"] for one in kept(page)]
    page.locator(".map").first.click()
    page.locator(f'{LIVE} img[src^="data:image"]').wait_for()
    assert other.page.locator(f"{LIVE} img").get_attribute("src") is None
    other.page.locator(".map").nth(1).click()  # waits for its turn behind the other
    page.locator(LIVE).get_by_text("Cancel", exact=True).click()
    until(page, "/ancelled/.test(document.querySelector('.live .state').innerText)")
    solved(other.page)
    made = [one for one in kept(page) if one["id"] not in before]
    assert unwanted not in [one["unit"]["channel"] for one in made]  # nor what was to follow it
    assert other.problems == []
    other.page.context.close()


def test_a_keyboard_alone_leads_from_the_top_to_a_texture(visit: Visit, address: str) -> None:
    page = visit.page
    open_maps(page, address, "relu1_2")

    def tab_to(where: str) -> None:
        for _ in range(40):
            page.keyboard.press("Tab")
            if page.evaluate("(where) => document.activeElement.matches(where)", where):
                return
        raise AssertionError(f"Tab does not lead to {where}")

    tab_to(".photo-stage")
    for key in ("ArrowRight", "Shift+ArrowDown"):
        page.keyboard.press(key)
    until(page, "/Strongest: filter/.test(document.getElementById('said').textContent)")
    tab_to(".bar")
    with page.expect_response(re.compile("layer=conv2_1")):
        page.keyboard.press("ArrowRight")  # past pool1
        page.keyboard.press("ArrowRight")
    until(page, "document.querySelectorAll('.map').length === 128")
    tab_to(".map")
    page.keyboard.press("ArrowRight")
    page.keyboard.press("ArrowDown")
    row = page.evaluate(
        "[...document.querySelectorAll('.map')].findIndex((x) => x === document.activeElement)"
    )
    tops = page.evaluate("[...document.querySelectorAll('.map')].map((x) => x.offsetTop)")
    assert row == 1 + tops.count(tops[0])
    page.keyboard.press("Home")
    page.keyboard.press("Enter")
    solved(page)
    tab_to(".panel select")


@pytest.mark.parametrize(("scheme", "width"), [("light", 1300), ("dark", 390)])
def test_nothing_serious_bars_anybody(browser: Any, address: str, scheme: str, width: int) -> None:
    axe = pytest.importorskip("axe_playwright_python.sync_playwright").Axe()
    visit = new_visit(browser, viewport={"width": width, "height": 900}, color_scheme=scheme)
    page = visit.page
    found = []
    for view, ready in (
        ("explore?layer=relu2_1&filter=0", ".map .value:not(:empty)"),
        ("methods?method=stylize", ".option"),
        ("methods?method=maximize", ".bar[aria-checked=true]"),
        ("desk", "input[type=range]"),
        ("style", "input[type=range]"),
        ("history", ".shelf .tile"),
    ):
        page.goto(f"{address}/#{view}")
        if view == "history":
            make_maps(page, 2)
        page.locator(ready).first.wait_for()
        if view == "history":
            page.locator(".shelf .tile").first.click()
            page.locator(".seen select").select_option(index=1)
        violations = axe.run(page).response["violations"]
        serious = [x for x in violations if x["impact"] in ("serious", "critical")]
        found += [(view, x["id"], [node["html"][:120] for node in x["nodes"][:3]]) for x in serious]
        wider = page.evaluate("document.documentElement.scrollWidth - innerWidth")
        assert wider <= 0, f"{view} is wider than the window"
    page.context.close()
    assert found == []


def test_a_server_that_was_killed_comes_back_with_its_history(browser: Any, tmp_path: Path) -> None:
    visit = new_visit(browser)
    page = visit.page
    with serving(tmp_path) as address:
        open_maps(page, address, "relu1_1")
        page.locator(".map").first.click()
        source = solved(page)
    until(page, "/away/.test(document.getElementById('connection').textContent)")
    with serving(tmp_path, int(address.rpartition(":")[2])):
        until(page, "document.getElementById('connection').textContent === ''")
        assert source in [one["url"] for one in kept(page)]
        before = time.monotonic()
        page.locator(".map").nth(1).click()  # without a reload: the page has found its way back
        until(
            page,
            "(old) => { const now = document.querySelector('.panel .live img').getAttribute('src');"
            "return now !== old && now.startsWith('/api/pictures/'); }",
            arg=source,
        )
        assert time.monotonic() - before < 30
        page.context.close()
