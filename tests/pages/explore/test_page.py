"""The page in a real Chromium: what a person does with it, by mouse, keyboard and dropped files."""

import io
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import parse_qs

import numpy as np
import pytest
import soundfile

from tests.support.browser import SLOW, Browser, Page, chromium
from tests.support.exploring import HOSTILE_LABEL, UPLOAD_MB, Explored

CARDS = "#hits .card .bar:not([hidden])"


def there(selector: str) -> str:
    return f"document.querySelector({selector!r}) !== null"


def text(selector: str) -> str:
    return f"document.querySelector({selector!r}).textContent"


@pytest.fixture(scope="module")
def browser(tmp_path_factory: pytest.TempPathFactory, explored: Explored) -> Iterator[Browser]:
    """A Chromium that asks nobody but the server."""
    with chromium(tmp_path_factory.mktemp("browser")) as browser:
        yield browser
        requests = [event["params"]["request"]["url"] for event in browser.events
                    if event["method"] == "Network.requestWillBeSent"]  # fmt: skip
        assert len(requests) > 50
        elsewhere = [url for url in requests if not url.startswith((explored.url, "data:", "blob:", "about:"))]
        assert not elsewhere


@pytest.fixture
def page(browser: Browser, explored: Explored) -> Page:
    """The page as it opens, on a desk."""
    page = browser.page()
    page.call("Network.enable")
    page.size(1200, 900)
    page.open(explored.url)
    page.wait(there("#hits .card"))
    page.pace(SLOW)
    return page


def keys(page: Page, where: str = "#hits") -> list[str]:
    found: list[str] = page.run(f"[...document.querySelectorAll('{where} .card')].map(card => card.dataset.key)")
    return found


def test_a_search_by_dropping_a_picture(page: Page, explored: Explored, tmp_path: Path) -> None:
    clip = explored.ask("clip/" + explored.ask("keys", text="video0")[0]["key"])
    time = clip["times"][6]
    (tmp_path / "mine.jpg").write_bytes(explored.send(f"/clip/{clip['key']}/frame.jpg?time={time}")[1])
    page.drop_file("#drop", tmp_path / "mine.jpg")
    page.wait(there(CARDS))
    assert page.run(text("#found")) == "Sounds nearest to mine.jpg"
    page.wait(f"{there('#preview img')} && document.querySelector('#preview img').naturalWidth > 0")
    assert page.run("document.querySelector('input[name=by][value=audio]').disabled")  # a picture has no sound
    page.click("#to label:first-child")
    page.wait(f"{text('#found')} === 'Images nearest to mine.jpg'")
    assert keys(page)[0] == clip["key"]
    assert float(page.run(text("#hits .card .said span"))) >= 0.99
    page.click("#duplicates")
    answered = "document.getElementById('hits').dataset.question === location.hash"
    page.wait(f"location.hash.includes('duplicates=1') && {answered}")
    assert len(keys(page)) == 10
    page.run("split.value = 'test'; split.dispatchEvent(new Event('change', {bubbles: true}))")
    page.wait(f"location.hash.includes('split=test') && {answered}")
    assert len(keys(page)) == 3
    assert not page.problems() and page.run("document.getElementById('error').hidden")


def test_a_search_by_choosing_a_sound_and_by_a_key(page: Page, explored: Explored, tmp_path: Path) -> None:
    clip = explored.ask("some")[0]
    (tmp_path / "mine.wav").write_bytes(explored.send(f"/clip/{clip['key']}/sound.wav")[1])
    page.choose_file("#file", tmp_path / "mine.wav")
    page.wait(there(CARDS))
    assert page.run(text("#found")) == "Images nearest to mine.wav"
    page.wait(there("#preview audio"))
    page.click("#key")
    page.write(clip["key"])
    page.press("Enter")
    page.wait(f"{text('#found')} === 'Sounds nearest to the picture of {clip['key']}'")
    page.wait(there(CARDS))
    found = keys(page)
    other = found[1]
    page.click(f'#hits .card[data-key="{other}"] .actions button')  # more like this
    page.wait(f"{text('#found')} === 'Sounds nearest to the picture of {other}'")
    page.run("history.back()")
    page.wait(f"{text('#found')} === 'Sounds nearest to the picture of {clip['key']}'")
    assert keys(page) == found and not page.problems()


def test_a_short_sound_says_how_much_silence_it_got(page: Page, tmp_path: Path) -> None:
    soundfile.write(tmp_path / "short.wav", np.sin(np.arange(9600) / 5), 16000)
    page.choose_file("#file", tmp_path / "short.wav")
    page.wait(there(CARDS))
    assert "0.4 s of silence added to its sound" in page.run(text("#preview small"))


def test_sounds_really_play(page: Page, explored: Explored) -> None:
    """By mouse and by keyboard; one at a time, to the end, and not after a second press."""
    player = "document.getElementById('player')"
    page.click("#hits .card:first-child .view")
    page.wait(f"!{player}.paused && {player}.currentTime > 0.02 && !{player}.muted && {player}.volume === 1")
    assert page.run(f"{player}.duration") == pytest.approx(1.0, abs=0.01)
    page.wait("document.querySelector('.view[aria-pressed=true] .line').getBoundingClientRect().width > 0")
    page.click("#hits .card:nth-child(2) .view")
    page.wait(f"!{player}.paused && {player}.currentTime > 0")
    assert page.run("document.querySelector('#hits .card:nth-child(2) .view').ariaPressed") == "true"
    assert page.run("document.querySelectorAll('[aria-pressed=true]').length") == 1
    page.pace(4)
    page.wait(f"{player}.ended && document.querySelectorAll('[aria-pressed=true]').length === 0")
    page.pace(SLOW)
    page.run("document.querySelector('#hits .card:nth-child(3) .view').focus()")
    page.press("Enter")
    page.wait(f"!{player}.paused && {player}.currentTime > 0.01")
    page.press("Enter")
    page.wait(f"{player}.paused && !{player}.ended")
    sent = page.run("document.getElementById('player').currentSrc").removeprefix(explored.url[:-1])
    wave, _ = soundfile.read(io.BytesIO(explored.send(sent)[1]))
    assert abs(wave).max() > 0.01 and not page.problems()


def test_a_bad_file_is_answered_on_the_page(page: Page, tmp_path: Path) -> None:
    (tmp_path / "letter.txt").write_text("dear model")
    page.drop_file("#drop", tmp_path / "letter.txt")
    page.wait("!document.getElementById('error').hidden")
    said = page.run(text("#error"))
    assert said.startswith("letter.txt cannot be read as a picture, a sound or a video: ") and "/proc" not in said
    (tmp_path / "large.wav").write_bytes(bytes(UPLOAD_MB * 10**6 + 1))
    page.choose_file("#file", tmp_path / "large.wav")
    page.wait(f"{text('#error')}.includes('this server takes {UPLOAD_MB} MB at most')")
    page.click("#key")
    page.write("no such clip")
    page.press("Enter")
    page.wait(f"{text('#error')}.startsWith('No clip has a key or a label like')")
    page.click("#any")
    page.wait(there(CARDS))
    assert page.run("document.getElementById('error').hidden")


def test_a_walk_step_by_step(page: Page, explored: Explored) -> None:
    page.click('nav a[href="#walk"]')
    page.wait(there("#steps .card"))
    here = "document.querySelector('#here .card').dataset.key"
    first = page.run(here)
    assert first not in keys(page, "#steps") and page.run("document.getElementById('back').disabled")
    second = keys(page, "#steps")[0]
    page.click("#steps .card:first-child .actions button")
    page.wait(f"{here} === '{second}'")
    page.wait("document.querySelectorAll('#path li').length === 2")
    page.wait("document.activeElement.id === 'here-label'")  # what was pressed is gone; the keyboard goes on from here
    page.wait("[...document.querySelectorAll('#path img')].every(image => image.naturalWidth > 0)")
    page.click("#way label:last-child")  # by sound to sounds
    page.wait(f"{text('#neighbours')} === 'Sounds nearest to its sound'")
    expected = explored.ask("search", query=second, by="audio", to="audio", top=9)["hits"]
    assert keys(page, "#steps") == [hit["key"] for hit in expected][:8]
    page.click("#back")
    page.wait(f"{here} === '{first}' && document.getElementById('path-part').hidden")
    page.click("#elsewhere")
    page.wait(f"{here} !== '{first}'")
    assert not page.problems()


def test_a_pair_shows_its_probability(page: Page, explored: Explored) -> None:
    a, b = (clip["key"] for clip in explored.ask("some", count=2))
    page.click('nav a[href="#pair"]')
    page.wait(there("#verdict .score"))
    for side, key in (("image", a), ("audio", b)):
        page.run(f"document.getElementById('{side}-key').select()")
        page.write(key)
        page.press("Enter")
        page.wait(f"location.hash.includes('{side}={key}')")
    verdict = "document.getElementById('verdict')"

    def judged() -> dict[str, list[str]]:
        """Wait for the answer to what is chosen now, compare it with the server's, and return what was asked."""
        page.wait(f"{verdict}.ariaBusy === 'false' && {verdict}.dataset.question.includes('image={a}&')"
                  f" && {verdict}.dataset.question.includes('audio={b}&')")  # fmt: skip
        question = parse_qs(page.run(f"{verdict}.dataset.question"))
        assert question["frame"] == [page.run("document.getElementById('frame-number').value")]
        assert page.run(f"Number({verdict}.dataset.probability)") == explored.ask("pair", **question)["probability"]
        # Browser and Python round ties differently: the browser says how it writes this number.
        written = page.run(f"(100 * {verdict}.dataset.probability).toFixed(1) + '%'")
        assert page.run(text("#verdict .score")) == written
        return question

    question = judged()
    assert "do not belong together" in page.run(text("#verdict .note"))
    page.wait(there("#curve .chance"))
    frame = page.run("document.getElementById('frame').src")
    page.run("document.getElementById('frame-number').focus()")
    page.press("ArrowRight")
    page.wait(f"document.getElementById('frame').src !== '{frame}'")
    next_frame = judged()
    assert int(next_frame["frame"][0]) == int(question["frame"][0]) + 1 and next_frame["start"] == question["start"]
    page.click("#spectrum", across=0.2)
    assert judged()["start"] != question["start"]
    page.click("#play")
    page.wait("document.getElementById('player').currentTime > 0.02")
    page.click("#same")
    page.wait(f"{text('#verdict .note')}.startsWith('They belong together')")
    page.wait("document.getElementById('frame').naturalWidth > 0")
    box = page.run("document.getElementById('crop').getBoundingClientRect().toJSON()")
    assert box["width"] == pytest.approx(box["height"], rel=0.05)  # the model sees a square
    assert not page.problems()


def test_labels_are_text_and_all_fits_a_phone(page: Page, explored: Explored) -> None:
    key = explored.ask("keys", text="onerror")[0]["key"]
    page.size(390, 844)
    page.dark(True)
    for part, ready in ((f"search?query={key}&by=image&to=audio", CARDS), (f"walk?key={key}", "#steps .card"),
                        (f"pair?image={key}&audio={key}", "#verdict .score")):  # fmt: skip
        page.open("about:blank")
        page.open(f"{explored.url}#{part}")
        page.wait(there(ready))
        assert page.run("document.documentElement.scrollWidth") <= 390
        assert page.run("document.body.innerText").count(HOSTILE_LABEL) >= 1
        assert not page.run(there("img[src=x]"))
        unnamed = page.run("""[...document.querySelectorAll('button, input, select')].filter(item =>
            item.checkVisibility() && !item.textContent.trim() && !item.ariaLabel && !item.labels?.length
            && item.ariaHidden !== 'true').length""")
        assert unnamed == 0
    assert not page.problems()
