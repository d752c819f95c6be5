"""The mixing desk and style as a hand uses them: VGG-19 in Debian's Chromium."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest

from tests.app.live import serving
from tests.browser import CHROMIUM, Visit, chromium
from tests.helpers import EXAMPLES
from texton.app.house import Given, House

pytest.importorskip("playwright.sync_api", reason="playwright is not installed")
pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(
        CHROMIUM is None, reason="no chromium here: apt-get install chromium runs these"
    ),
]
LEFT, RIGHT = (f".one-side:nth-child({at}) img" for at in (1, 2))
FADER = ".fader:nth-child(1) input[type=range]"
CHOSEN = """
sessionStorage.setItem("texton-chosen", '{"network": "vgg19", "layer": "relu2_2"}');
localStorage.setItem("texton-size-desk", "64");
localStorage.setItem("texton-size-style", "96");
"""


@pytest.fixture(scope="module")
def address(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    folder = tmp_path_factory.mktemp("desk")
    house = House(Given(folder, [EXAMPLES / "chelsea.jpg"], device="cpu"), lambda line: None)
    with serving(house) as found:
        yield found


@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    with chromium() as started:
        yield started


@pytest.fixture
def page(browser: Any) -> Iterator[Any]:
    """A browser of its own, in which nothing may go wrong."""
    context = browser.new_context(viewport={"width": 1300, "height": 900})
    context.add_init_script(CHOSEN)
    visit = Visit(context.new_page())
    visit.page.set_default_timeout(60_000)
    yield visit.page
    context.close()
    assert visit.problems == []
    assert visit.foreign() == []


def desk(page: Any, address: str) -> None:
    """The desk at 64 pixels, when its first picture has settled."""
    page.goto(f"{address}/#desk")
    page.locator(FADER).wait_for()
    page.locator(LEFT).wait_for()
    settled(page)


def settled(page: Any) -> None:
    page.locator(".pair:not(.solving)").wait_for()


def history(address: str) -> list[dict[str, Any]]:
    with httpx.Client(base_url=address) as client:
        client.get("/")
        found: list[dict[str, Any]] = client.get("/api/history").json()
        return found


def move(page: Any, positions: list[float], release: bool = True) -> None:
    """A hand at the first fader."""
    page.locator(FADER).evaluate(
        """(fader, [positions, release]) => {
            for (const at of positions) {
                fader.value = at;
                fader.dispatchEvent(new Event("input", { bubbles: true }));
            }
            if (release) fader.dispatchEvent(new Event("change", { bubbles: true }));
        }""",
        [positions, release],
    )


def test_the_picture_follows_the_hand_and_is_kept_when_it_lets_go(page: Any, address: str) -> None:
    desk(page, address)
    from playwright.sync_api import expect

    before, kept = page.locator(LEFT).get_attribute("src"), len(history(address))
    move(page, [90], release=False)
    expect(page.locator(LEFT)).not_to_have_attribute("src", before, timeout=10_000)
    settled(page)
    assert len(history(address)) == kept
    move(page, [20])
    page.locator(".desk-told pre").wait_for()
    command = page.locator(".desk-told pre").inner_text()
    assert re.search(r"texton mix chelsea\.jpg relu2_2 --energy \d+=0\.251 --size 64", command)
    assert page.locator(FADER).get_attribute("aria-valuetext") == "0.251 times"
    newest = history(address)[0]
    assert newest["command"] == command and len(history(address)) == kept + 1
    assert page.locator(RIGHT).get_attribute("src") == newest["url"]


def test_a_hundred_quick_moves_end_in_the_last(page: Any, address: str) -> None:
    desk(page, address)
    kept = len(history(address))
    move(page, [float(at) for at in range(1, 100)] + [75.0])
    page.locator(".desk-told pre").wait_for()
    settled(page)
    assert len(history(address)) == kept + 1
    assert "=3.16 " in history(address)[0]["command"]
    page.wait_for_timeout(500)
    assert len(history(address)) == kept + 1  # nothing ran on


def test_faders_are_turned_by_keys_typed_muted_and_reset(page: Any, address: str) -> None:
    desk(page, address)
    page.get_by_label("Keep what is let go of").uncheck()
    typed, fader = page.locator(".fader .typed").first, page.locator(FADER)
    fader.focus()
    page.keyboard.press("ArrowRight")
    assert typed.input_value() == "1.02"
    page.keyboard.press("Home")
    assert typed.input_value() == "0"
    typed.fill("4")
    typed.press("Enter")
    assert float(fader.input_value()) == pytest.approx(80, abs=0.5)
    page.get_by_label(re.compile("^Mute Filter")).first.press("Enter")
    assert (
        page.get_by_label(re.compile("^Mute Filter")).first.get_attribute("aria-pressed") == "true"
    )
    page.get_by_role("button", name="Reset all", exact=True).click()
    assert typed.input_value() == "1"
    page.get_by_label("Add a filter, 0 to 127").fill("99")
    page.get_by_label("Add a filter, 0 to 127").press("Enter")
    page.get_by_label("#99").wait_for()
    for mode in ("Random style", "Blend"):
        page.get_by_label(mode, exact=True).check(force=True)
        settled(page)
    assert page.locator(".state.error").count() == 0


def test_a_painting_is_dropped_and_two_methods_paint_on_one_clock(
    page: Any, address: str, tmp_path: Path
) -> None:
    page.goto(f"{address}/#style")
    page.get_by_label("Two side by side").check(force=True)
    drop = page.locator(".photo-picker").first.locator("input[type=file]")
    drop.set_input_files(EXAMPLES / "coffee.jpg")
    page.locator(".style-results pre").nth(1).wait_for()
    settled(page)
    commands = page.locator(".style-results pre").all_inner_texts()
    assert sum("gatys" in one for one in commands) == 1
    assert all(one.startswith("texton stylize chelsea.jpg coffee.jpg") for one in commands)
    for side in (LEFT, RIGHT):
        assert "/api/pictures/" in page.locator(side).get_attribute("src")
    assert page.locator(".stage").is_visible()  # one over the other
