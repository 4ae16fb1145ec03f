import io
import json
import re
import wave
from dataclasses import dataclass
from html.parser import HTMLParser
from pathlib import Path

import numpy as np
import pytest
import yaml
from PIL import Image

from model.avc import Head
from model.embed import Embeddings
from model.errors import EvaluationError, ModelError
from model.evaluate import Evaluation, Plan, evaluate, write_evaluation
from model.examples import View
from model.report.page import write_report
from model.report.plots import compact, histogram, line_chart, scatter, ticks
from model.settings import EvalSettings

LABELS = ("dog barking", "snare drum", "<script>alert(1)</script>", "rain & wind")

VOID_TAGS = {"meta", "img", "br"}


@dataclass(frozen=True)
class Clip:
    key: str
    video: str
    label: str


def fabricate_evaluation(labels: tuple[str, ...] = LABELS, clips: int = 48, noise: float = 0.5) -> Evaluation:
    """Embeddings with class structure: clips of a label lie together, sound and frame of a clip closer still."""
    generator = np.random.default_rng(0)
    centres = generator.normal(size=(len(labels), 128))
    own = np.repeat(centres[np.arange(clips) % len(labels)] + generator.normal(size=(clips, 128)), 3, axis=0)
    image, audio = (own + noise * generator.normal(size=own.shape) for _ in range(2))
    image, audio = (
        (vectors / np.linalg.norm(vectors, axis=1, keepdims=True)).astype(np.float32) for vectors in (image, audio)
    )
    records = [Clip(f"clip-{index:05d}", f"video-{index // 2}", labels[index % len(labels)]) for index in range(clips)]
    embeddings = Embeddings(image, audio, np.repeat(np.arange(clips), 3), np.tile([1.5, 3.5, 5.5], clips))
    run_info = {
        "step": 4000,
        "dataset": "a made-up corpus",
        "train_videos": 1200,
        "versions": {"numpy": np.__version__},
    }
    views = np.arange(3 * clips).reshape(clips, 3)
    plan = Plan(views, views[:, 1:2])
    return evaluate(embeddings, records, plan, Head(6.0, 6.6), EvalSettings(bootstrap=200), run_info)


def fabricate_media(
    views: list[View], labels: tuple[str, ...] = LABELS, size: int = 64
) -> dict[View, tuple[bytes, bytes]]:
    """A picture and a second of sound per view: hue and pitch go with the label."""
    media = {}
    for clip, seconds in views:
        kind = clip % len(labels)
        y, x = np.mgrid[0:size, 0:size] / size
        phase = kind * 0.7 + clip * 0.05
        waves = [
            128 + 90 * np.sin(6 * (x * np.cos(phase) + y * np.sin(phase)) + kind + part * 1.3) for part in range(3)
        ]
        picture, sound = io.BytesIO(), io.BytesIO()
        Image.fromarray(np.stack(waves, axis=2).astype(np.uint8)).save(picture, "JPEG")
        tone = 0.2 * np.sin(2 * np.pi * (220 + 60 * kind) * np.arange(4000) / 4000)
        with wave.open(sound, "wb") as file:
            file.setparams((1, 2, 4000, 0, "NONE", "not compressed"))
            file.writeframes((32767 * tone).astype("<i2").tobytes())
        media[(clip, seconds)] = (picture.getvalue(), sound.getvalue())
    return media


def fabricate_run(run: Path, steps: int = 4000, labels: tuple[str, ...] = LABELS) -> Path:
    """A whole run folder, as training and evaluation leave it."""
    run.mkdir(parents=True, exist_ok=True)
    generator = np.random.default_rng(0)
    with (run / "metrics.jsonl").open("w") as file:
        for step in range(20, steps + 1, 20):
            gain = 1 - np.exp(-step / 900)
            row = {
                "step": step,
                "loss": float(0.7 - 0.32 * gain + 0.03 * generator.normal()),
                "accuracy": float(0.5 + 0.34 * gain + 0.02 * generator.normal()),
                "pairs_per_second": float(4100 + 120 * generator.normal()),
                "learning_rate": 1e-3 * min(1.0, step / 400),
            }
            file.write(json.dumps(row) + "\n")
    (run / "config.yaml").write_text(yaml.safe_dump({"train": {"steps": steps, "batch_size": 256}}))
    evaluation = fabricate_evaluation(labels)
    write_evaluation(evaluation, run, fabricate_media(evaluation.wanted, labels))
    return run


class Page(HTMLParser):
    """Collects what a test asks of the page, and checks that tags close in the order they open."""

    def __init__(self, html: str) -> None:
        super().__init__()
        self.open: list[str] = []
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.scripts: list[str] = []
        self.text = ""
        self.feed(html)
        self.close()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))
        if tag == "script":
            self.scripts.append("")
        if tag not in VOID_TAGS:
            self.open.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        if self.open and self.open[-1] == "script":
            self.scripts[-1] += data
        elif "style" not in self.open:
            self.text += data

    def all(self, tag: str) -> list[dict[str, str | None]]:
        return [attributes for name, attributes in self.tags if name == tag]


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return fabricate_run(tmp_path_factory.mktemp("runs") / "made-up")


@pytest.fixture(scope="module")
def page(run: Path) -> Page:
    return Page(write_report(run).read_text(encoding="utf-8"))


def test_the_page_parses_and_names_its_parts(page: Page):
    assert page.open == []
    for heading in ("Training", "Correspondence", "Retrieval", "Retrieved examples", "Embeddings", "Run"):
        assert heading in page.text
    assert len(page.all("h1")) == 1
    assert {section["aria-labelledby"] for section in page.all("section")} <= {h.get("id") for h in page.all("h2")}


def test_the_page_loads_nothing_from_elsewhere(page: Page, run: Path):
    for tag, attributes in page.tags:
        assert tag not in {"link", "iframe", "object", "embed"}
        for name in ("src", "href", "srcset", "poster", "action", "data"):
            value = attributes.get(name)
            assert value is None or value.startswith(("data:", "#")), (tag, name, value)
    style = re.search(r"<style>(.*?)</style>", (run / "report.html").read_text(), re.DOTALL)
    assert style is not None
    assert "url(" not in style[1]
    assert "@import" not in style[1]
    assert not re.search(r"fetch|XMLHttpRequest|import\(|http", page.scripts[0])


def test_a_hostile_label_is_text(page: Page):
    assert "<script>alert(1)</script>" in page.text
    assert len(page.scripts) == 1
    assert "alert" not in page.scripts[0]
    assert any("<script>" in (picture["alt"] or "") for picture in page.all("img"))


def test_the_headline_shows_interval_chance_and_counts(page: Page, run: Path):
    metrics = json.loads((run / "eval" / "metrics.json").read_text())
    text = " ".join(page.text.split())
    low, high = metrics["avc"]["interval"]
    assert f"95 % interval {100 * low:.1f} to {100 * high:.1f} %, over 288 balanced pairs" in text
    assert "chance 50 %" in text
    assert "after 4,000 training steps" in text
    assert metrics["gallery_sha256"] in text


def test_the_papers_figures_are_labelled_as_not_comparable(page: Page):
    text = " ".join(page.text.split())
    assert "not comparable with this run: ours on a made-up corpus" in text
    for figure in ("78 %", "81.9 %", "79.8 %"):
        assert figure in text


def test_every_sound_button_has_its_sound_and_a_name(page: Page):
    sounds = {audio["id"] for audio in page.all("audio")}
    buttons = [button for button in page.all("button") if "data-sound" in button]
    assert len(buttons) == 4 * (5 + 1 + 6)  # image to audio, audio to image, audio to audio; queries and results
    for button in buttons:
        assert f"sound-{button['data-sound']}" in sounds
        assert (button["aria-label"] or "").startswith("Play: Sound of ")
    assert all("alt" in picture for picture in page.all("img"))


def test_the_report_is_a_function_of_the_run_folder(run: Path):
    first = write_report(run).read_bytes()
    assert write_report(run).read_bytes() == first
    assert not list(run.glob("*.partial"))


def test_training_alone_is_reported(run: Path, tmp_path: Path):
    (tmp_path / "metrics.jsonl").write_text((run / "metrics.jsonl").read_text())
    page = Page(write_report(tmp_path).read_text(encoding="utf-8"))
    assert "Trained to step 4,000" in page.text
    assert page.text.count("Not evaluated yet") == 3
    assert "No config.yaml" in page.text


def test_an_evaluation_alone_is_reported_even_without_media_or_labels(tmp_path: Path):
    write_evaluation(fabricate_evaluation(labels=("",)), tmp_path, {})
    page = Page(write_report(tmp_path).read_text(encoding="utf-8"))
    assert "No training log" in page.text
    assert "Too few labelled clips" in page.text
    assert "no media" in page.text
    assert not page.all("audio")


def test_an_unfinished_evaluation_is_not_reported(run: Path, tmp_path: Path):
    for name in ("metrics.jsonl", "eval/examples.json"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text((run / name).read_text())
    assert "No examples" in Page(write_report(tmp_path).read_text(encoding="utf-8")).text


def test_a_cut_last_line_and_repeated_steps_are_survived(tmp_path: Path):
    lines = [
        json.dumps({"step": step, "loss": loss}) for step, loss in ((1, 0.7), (2, 0.6), (3, 0.9), (2, 0.5), (3, 0.4))
    ]
    (tmp_path / "metrics.jsonl").write_text("\n".join([*lines, '{"step": 4, "lo']))
    text = Page(write_report(tmp_path).read_text(encoding="utf-8")).text
    assert "Trained to step 3" in text
    assert "last 0.4" in text


def test_an_empty_folder_is_a_clear_error(tmp_path: Path):
    with pytest.raises(ModelError, match="nothing to report"):
        write_report(tmp_path)


def test_a_broken_file_is_named(tmp_path: Path):
    (tmp_path / "eval").mkdir()
    (tmp_path / "eval" / "metrics.json").write_text("{")
    with pytest.raises(EvaluationError, match=r"metrics\.json is not valid JSON"):
        write_report(tmp_path)


def test_ticks_are_round_and_cover_the_range():
    assert ticks(0.0, 1.0, 5) == [0.0, 0.2, 0.4, 0.6, 0.8, 1.0]
    assert ticks(0.43, 0.71, 5) == [0.4, 0.5, 0.6, 0.7, 0.8]
    assert ticks(3.0, 3.0, 5)[0] < 3.0 < ticks(3.0, 3.0, 5)[-1]
    assert ticks(0.0, 400_000.0, 5) == [0, 100_000, 200_000, 300_000, 400_000]


@pytest.mark.parametrize(
    ("value", "text"),
    [(0, "0"), (0.25, "0.25"), (1234, "1,234"), (40_000, "40k"), (1.5e6, "1.5M"), (1e-4, "1e-4"), (-20, "-20")],
)
def test_axis_numbers_are_short(value: float, text: str):
    assert compact(value) == text


def test_charts_stay_within_their_frame():
    chart = line_chart([1, 2, 3], [0.9, 0.2, 0.4], (0.5, "chance"))
    assert chart is not None
    numbers = [float(number) for number in re.findall(r"[\d.]+", chart.paths["raw"])]
    assert (numbers[0], numbers[4]) == (chart.left, chart.right)
    assert all(chart.top <= number <= chart.bottom for number in numbers[1::2])
    assert line_chart([1], [0.5]) is None
    bars = histogram([0.0, 1.0, 2.0], {"positive": [3, 1]}, (1.2, "p = 0.5"))
    assert bars.paths["positive"].count("L") == 5
    assert histogram([0.0, 1.0, 2.0], {"positive": [0, 0]}, (9.0, "p = 0.5")).rules == []
    groups = scatter([[-1, -1], [1, 1], [0, 0]], [0, 1, 1], 2).groups
    assert [len(group) for group in groups] == [1, 2]
    assert groups[0][0][1] > groups[1][0][1]  # y grows upwards on the page
