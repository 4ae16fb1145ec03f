"""The report in a real Chromium: what a pointer, a keyboard, a phone and a screen reader make of it."""

import time
from collections.abc import Iterator
from pathlib import Path

import axe_core_python
import numpy as np
import pytest
from PIL import Image

from avcorr.pages.report.report import write_report
from tests.support.browser import SECONDS, SLOW, Browser, Page, chromium
from tests.support.reports import fabricate_run

AXE = Path(axe_core_python.__file__).parent / "axe.min.js"
SIZES = {"desktop": (1200, 900), "phone": (390, 844), "small phone": (320, 640)}


@pytest.fixture(scope="module")
def report(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_report(fabricate_run(tmp_path_factory.mktemp("browsed") / "made-up", localises=True))


@pytest.fixture(scope="module")
def browser(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Browser]:
    with chromium(tmp_path_factory.mktemp("chromium")) as running:
        yield running


@pytest.fixture
def page(browser: Browser, report: Path) -> Iterator[Page]:
    page = browser.page()
    page.size(1200, 900)
    page.open(report.as_uri())
    page.pace(SLOW)
    yield page
    assert not page.problems()


def place(page: Page, kind: str, number: int) -> tuple[float, float]:
    """Scroll a map into view and return where a point of it is on the screen."""
    page.run(f"document.querySelector('[data-map={kind}]').scrollIntoView({{block: 'center'}})")
    x, y = page.run(f"screenPlace(document.querySelector('[data-map={kind}]'), {number})")
    return x, y


def mouse(page: Page, kind: str, x: float, y: float, **more: object) -> None:
    page.call("Input.dispatchMouseEvent", type=kind, x=x, y=y, **more)


def key(page: Page, name: str, code: int, *, shift: bool = False) -> None:
    text = {"Enter": "\r", " ": " "}.get(name, "")
    for kind in ("keyDown" if text else "rawKeyDown", "keyUp"):
        page.call("Input.dispatchKeyEvent", type=kind, key=name, windowsVirtualKeyCode=code, text=text,
                  modifiers=8 * shift)  # fmt: skip


def tab(page: Page) -> str:
    """Go to the next thing that takes the keyboard, and return what it is."""
    key(page, "Tab", 9)
    return page.run(
        "(() => { const now = document.activeElement; "
        "return now.tagName + ' ' + (now.getAttribute('aria-label') ?? now.textContent).trim().slice(0, 60) })()"
    )


PLAYS = "!player.paused && player.currentTime > 0.05"


def test_a_press_on_a_picture_plays_its_sound_and_one_more_stops_it(page: Page) -> None:
    button = "button[data-sound]"
    page.click(button)
    page.wait(PLAYS)
    assert page.run(f"document.querySelector('{button}').getAttribute('aria-pressed')") == "true"
    page.click(button)
    page.wait("player.paused")
    assert page.run(f"document.querySelector('{button}').getAttribute('aria-pressed')") == "false"
    page.click(button)
    page.click(".tile.query button[data-sound]")
    page.wait(PLAYS)
    assert page.run("document.querySelectorAll('[aria-pressed=true]').length") == 1
    page.pace(4)
    page.wait("player.ended")  # and the mark goes out by itself
    page.wait("!document.querySelector('[aria-pressed=true]')")


def test_pointing_at_a_clip_shows_its_frame_in_place_and_in_the_other_map(page: Page) -> None:
    for kind, number in (("audio", 3), ("image", 11)):
        x, y = place(page, kind, number)
        mouse(page, "mouseMoved", x, y)
        page.wait("!document.querySelector('.tip').hidden")
        shown = page.run("current")
        label, name, seconds, media = page.run(f"points.items[{shown}]")
        text = page.run("document.querySelector('.tip').textContent")
        assert label in text and name in text and f"{seconds:.1f} s" in text
        assert page.run("document.querySelector('.tip use').getAttribute('href')") == f"#picture-{media}"
        box = page.run("document.querySelector('.tip').getBoundingClientRect().toJSON()")
        assert box["left"] >= 0 and box["right"] <= 1200 and box["top"] >= 0 and box["bottom"] <= 900
        for other in ("audio", "image"):
            ring = page.run(
                f"[...'xy'].map(c => +document.querySelector('[data-map={other}] .ring').getAttribute('c' + c))"
            )
            assert ring == page.run(f"points.places.{other}[{shown}]")
        mouse(page, "mouseMoved", 5, 5)
        page.wait("document.querySelector('.tip').hidden && !document.querySelector('.ring.on')")


def test_a_frame_is_really_painted(page: Page, tmp_path: Path) -> None:
    """What is drawn from a symbol must not stay empty; the made-up pictures have all hues."""
    box = page.run(
        "(() => { const tile = document.querySelector('.tile .view'); tile.scrollIntoView({block: 'center'}); "
        "return tile.getBoundingClientRect().toJSON() })()"
    )
    end = time.monotonic() + SECONDS
    while True:  # a picture is decoded beside the page
        page.screenshot(tmp_path / "now.png", whole=False)
        picture = np.asarray(Image.open(tmp_path / "now.png").convert("RGB"))
        part = picture[int(box["top"]) : int(box["bottom"]), int(box["left"]) : int(box["right"])]
        if part.reshape(-1, 3).std(axis=0).min() > 20:
            break
        assert time.monotonic() < end


def test_a_press_on_a_point_plays_it(page: Page) -> None:
    x, y = place(page, "image", 7)
    for kind in ("mousePressed", "mouseReleased"):
        mouse(page, kind, x, y, button="left", clickCount=1)
    page.wait(PLAYS)
    assert page.run("playing.number === String(points.items[current][3])")
    page.click("button[data-class='1']")
    assert page.run("document.querySelectorAll('g.faded').length") == 2 * 3
    page.click("button[data-class='1']")
    assert page.run("document.querySelectorAll('g.faded').length") == 0


def test_all_of_it_can_be_done_by_keyboard(page: Page) -> None:
    assert tab(page) == "A Skip to the results"
    key(page, "Enter", 13)
    assert page.run("document.activeElement.id") == "results"
    reached = [tab(page) for _ in range(400)]
    reached = reached[: next(i for i, name in enumerate(reached) if name.startswith(("BODY", "A Skip")))]
    order = page.run(
        "[...document.querySelectorAll('main button, main summary, main .map')].filter(e => e.checkVisibility())"
        ".map(e => e.tagName + ' ' + (e.getAttribute('aria-label') ?? e.textContent).trim().slice(0, 60))"
    )
    assert [name for name in reached if not name.startswith("PRE")] == order and len(order) > 50
    page.run("document.querySelector('[data-map=audio]').focus({focusVisible: true})")
    page.wait("!document.querySelector('.tip').hidden")
    first = page.run("current")
    seen = {first}
    for name, code in (("ArrowRight", 39), ("ArrowDown", 40), ("ArrowLeft", 37), ("ArrowUp", 38)):
        for _ in range(8):
            key(page, name, code)
            seen.add(page.run("current"))
    assert len(seen) > 10
    assert page.run("announced.textContent").startswith(page.run("points.items[current][0]"))
    key(page, "Enter", 13)
    page.wait(PLAYS)
    key(page, "Escape", 27)
    page.wait("player.paused && document.querySelector('.tip').hidden")


@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("dark", [False, True])
def test_nothing_is_cut_off_or_unreadable(page: Page, size: str, dark: bool) -> None:
    """Rules of axe for WCAG 2.1 A and AA: names, roles, order of headings, contrast of text."""
    width, height = SIZES[size]
    page.size(width, height)
    page.dark(dark)
    assert page.run("document.documentElement.scrollWidth") <= width
    page.run(AXE.read_text() + "; 0")
    found = page.run(
        "axe.run(document, {resultTypes: ['violations']}).then(r => r.violations.map("
        "v => [v.id, v.help, v.nodes.slice(0, 3).map(n => n.html.slice(0, 200) + n.failureSummary)]))"
    )
    assert found == []


def test_the_page_asks_for_nothing(browser: Browser, report: Path) -> None:
    page = browser.page()
    page.call("Network.enable")
    page.call("Network.emulateNetworkConditions", offline=True, latency=0, downloadThroughput=0, uploadThroughput=0)
    first = len(browser.events)
    page.open(report.as_uri())
    page.pace(SLOW)
    page.click("button[data-sound]")
    page.wait(PLAYS)
    asked = [
        event["params"]["request"]["url"]
        for event in browser.events[first:]
        if event["method"] == "Network.requestWillBeSent"
    ]
    assert asked[0] == report.as_uri()
    assert all(url.startswith(("data:", "blob:")) for url in asked[1:])
    assert not page.problems()
