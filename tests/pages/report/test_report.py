import json
import re
from html.parser import HTMLParser
from pathlib import Path

import pytest

from avcorr.model.errors import EvaluationError, ModelError
from avcorr.model.evaluation.evaluate import write_evaluation
from avcorr.model.evaluation.examples import MISTAKES
from avcorr.model.evaluation.figures import per_class, percent, share
from avcorr.model.evaluation.retrieval import RANKS
from avcorr.model.evaluation.sanity import Check
from avcorr.pages.report.plots import compact, histogram, line_chart, scatter, ticks
from avcorr.pages.report.report import write_report
from tests.support.reports import FORGED_LINES, fabricate_evaluation, fabricate_run

VOID_TAGS = {"meta", "img", "br"}


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
        self.text += " "
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
    headings = (
        "Training",
        "Correspondence",
        "Retrieval",
        "Retrieved examples",
        "Most confident mistakes",
        "Embeddings",
        "Run",
    )
    for heading in (*headings, "Checks", "Accuracy by class"):
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
    assert not re.search(r"fetch|XMLHttpRequest|import\(|http", page.scripts[-1])


def test_a_hostile_label_is_text(page: Page):
    assert "<script>alert(1)</script>" in page.text
    assert len(page.scripts) == 3  # two of them data
    assert "alert" not in page.scripts[0] + page.scripts[2] and "<script" not in page.scripts[1]
    assert any("<script>" in (picture.get("aria-label") or "") for picture in page.all("svg"))


def test_the_headline_shows_interval_chance_and_counts(page: Page, run: Path):
    metrics = json.loads((run / "eval" / "metrics.json").read_text())
    text = " ".join(page.text.split())
    low, high = metrics["avc"]["interval"]
    assert f"95 % interval {100 * low:.1f} to {100 * high:.1f} %, 288 balanced pairs" in text
    assert "chance 50.0 %" in text
    row = metrics["retrieval"]["audio_to_image"]
    assert f"A sound finds its class first {100 * row['recall_at_1']:.1f} %" in text
    assert "48 sounds, each among 48 frames, its own too" in text
    assert "after 4,000 training steps" in text
    assert metrics["gallery_sha256"] in text


def test_the_papers_figures_are_labelled_as_not_comparable(page: Page):
    text = " ".join(page.text.split())
    assert (
        "not comparable with this run: ours learned from 1,200 videos of the dataset made-up and is judged on 24"
        in text
    )
    for figure in ("78 %", "81.9 %", "79.8 %"):
        assert figure in text


def test_every_figure_has_its_interval_chance_and_number(page: Page, run: Path):
    metrics = json.loads((run / "eval" / "metrics.json").read_text())
    text = " ".join(page.text.split())
    assert f"Protocol full/center Gallery {metrics['gallery_sha256'][:12]} Seeds 0, 1, 2 Decoded by ffmpeg 7" in text
    for row in metrics["retrieval"].values():
        for name, (low, high) in row["interval"].items():
            if name not in RANKS:
                assert (
                    f"{percent(row[name])} {share(low)}–{share(high)} chance ({percent(row['chance'][name])} )" in text
                )
        assert f"{row['label_queries']:,}" in text
    for kind, row in metrics["avc"]["by_negative"].items():
        low, high = row["intervals"]["accuracy"]
        told = f"{row['pairs']} {percent(row['accuracy'])} {share(low)}–{share(high)}"
        assert f"{kind.replace('_', ' ').capitalize()} {told}" in text
    for label, row in metrics["avc"]["per_class"].items():
        assert f"{label} {percent(row['accuracy'])}" in text and f"{row['pairs']} {row['videos']} videos" in text
    assert "nDCG at 30: gain 1 for the same label, else 0" in text


def test_a_failed_check_stands_above_the_results(run: Path, tmp_path: Path):
    (tmp_path / "eval").mkdir()
    metrics = json.loads((run / "eval" / "metrics.json").read_text())
    checks = [Check("silence", False, "it <leaks>"), Check("batch size", True, "fine"), Check("leakage", None, "few")]
    metrics["sanity"] = [vars(check) for check in checks]
    (tmp_path / "eval" / "metrics.json").write_text(json.dumps(metrics))
    text = " ".join(Page(write_report(tmp_path).read_text(encoding="utf-8")).text.split())
    assert (
        text.index("A check of this evaluation failed") < text.index("silence: it <leaks>") < text.index("AVC accuracy")
    )
    assert "Silence failed it <leaks> Batch size passed fine Leakage not made few" in text


def test_many_classes_are_folded_between_the_best_and_the_worst(run: Path, tmp_path: Path):
    metrics = json.loads((run / "eval" / "metrics.json").read_text())
    row = metrics["avc"]["per_class"]["snare drum"]
    metrics["avc"]["per_class"] = {f"class {n:02d}": row | {"accuracy": n / 100} for n in range(40)}
    found = per_class(metrics)
    assert [row["label"] for row in found["shown"][:2] + found["shown"][-1:]] == ["class 39", "class 38", "class 00"]
    assert (len(found["shown"]), len(found["others"])) == (24, 16)


def test_every_sound_button_has_its_sound_and_a_name(page: Page):
    sounds = json.loads(page.scripts[0])
    buttons = [button for button in page.all("button") if "data-sound" in button]
    mistakes = [figure for figure in page.all("figure") if figure.get("class") == "mistake"]
    assert len(buttons) == 4 * (5 + 1 + 6) + len(mistakes) and len(mistakes) >= MISTAKES
    for button in buttons:
        assert sounds[button["data-sound"] or ""].startswith("data:audio/")
        assert re.match("Play: (Frame with its own s|S)ound", button["aria-label"] or "")


def test_a_picture_is_in_the_page_once(page: Page):
    symbols = [symbol["id"] for symbol in page.all("symbol") if (symbol["id"] or "").startswith("picture-")]
    shown = [use["href"][1:] for use in page.all("use") if (use.get("href") or "").startswith("#picture-")]  # type: ignore[index]
    assert len(symbols) == len(set(symbols)) == len(page.all("image")) < len(shown)
    assert set(shown) <= set(symbols)


def test_the_report_is_a_function_of_the_run_folder(run: Path):
    first = write_report(run).read_bytes()
    assert write_report(run).read_bytes() == first
    assert not list(run.glob(".*.tmp"))


def test_training_alone_is_reported(run: Path, tmp_path: Path):
    (tmp_path / "metrics.jsonl").write_text((run / "metrics.jsonl").read_text())
    page = Page(write_report(tmp_path).read_text(encoding="utf-8"))
    assert "Trained to step 4,000" in page.text
    assert page.text.count("Not evaluated yet") == 3 and "No pairs: they come" in page.text
    assert "No config.yaml" in page.text


def test_an_evaluation_alone_is_reported_even_without_media_or_labels(tmp_path: Path):
    write_evaluation(fabricate_evaluation(labels=("",)), tmp_path, {}, {})
    page = Page(write_report(tmp_path).read_text(encoding="utf-8"))
    assert "No training log" in page.text
    assert "Too few labelled clips" in page.text
    assert "no media" in page.text
    assert json.loads(page.scripts[0]) == {} and not page.all("image")
    assert "A sound finds its own frame first" in page.text


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


def test_forged_lines_of_the_log_are_left_out(tmp_path: Path, caplog: pytest.LogCaptureFixture):
    lines = [json.dumps({"step": step, "loss": 0.5, "accuracy": "x" * step}).encode() + b"\n" for step in (1, 2)]
    huge = b'{"step": 4, "loss": 1e308}\n{"step": 5, "loss": 1e999}\n{"step": 6, "loss": [0]}\n'
    (tmp_path / "metrics.jsonl").write_bytes(b"".join([*FORGED_LINES, *lines, huge]))
    text = Page(write_report(tmp_path).read_text(encoding="utf-8")).text
    assert "Trained to step 6" in text and "last 0.5" in text
    assert f"{len(FORGED_LINES)} lines were left out in all" in caplog.text


def test_a_log_without_an_end_is_refused(tmp_path: Path):
    (tmp_path / "metrics.jsonl").symlink_to("/dev/zero")
    with pytest.raises(ModelError, match=r"metrics.jsonl cannot be read \(is no regular file\)"):
        write_report(tmp_path)


def test_an_empty_folder_is_a_clear_error(tmp_path: Path):
    with pytest.raises(ModelError, match="nothing to report"):
        write_report(tmp_path)


def test_a_broken_file_is_named(tmp_path: Path):
    (tmp_path / "eval").mkdir()
    (tmp_path / "eval" / "metrics.json").write_text("{")
    with pytest.raises(EvaluationError, match=r"metrics\.json cannot be read .*avcorr eval --run"):
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
    points = scatter([[-1, -1], [1, 1], [0, 0]], [0, 1, 1], 2)
    assert points.groups == [[0], [1, 2]]
    assert points.places[0][1] > points.places[1][1]  # y grows upwards on the page
