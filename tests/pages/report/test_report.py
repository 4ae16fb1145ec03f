import json
import os
import re
import shutil
from collections.abc import Callable
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import pytest

from avcorr.model.errors import EvaluationError, ModelError
from avcorr.model.evaluation.compare import compare
from avcorr.model.evaluation.evaluation_folder import find_evaluation, write_evaluation
from avcorr.model.evaluation.examples import MISTAKES
from avcorr.model.evaluation.figures import per_class, percent, share
from avcorr.model.evaluation.retrieval import RANKS
from avcorr.model.evaluation.sanity import Check
from avcorr.pages.report.plots import compact, histogram, line_chart, scatter, ticks
from avcorr.pages.report.report import write_report
from tests.support.odd_files import put
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
def localising(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return fabricate_run(tmp_path_factory.mktemp("runs") / "made-up", 40, localises=True)


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
    metrics = json.loads((find_evaluation(run) / "metrics.json").read_text())
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
    metrics = json.loads((find_evaluation(run) / "metrics.json").read_text())
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
    (tmp_path / "eval" / "a").mkdir(parents=True)
    metrics = json.loads((find_evaluation(run) / "metrics.json").read_text())
    checks = [Check("silence", False, "it <leaks>"), Check("batch size", True, "fine"), Check("leakage", None, "few")]
    metrics["sanity"] = [vars(check) for check in checks]
    (tmp_path / "eval" / "a" / "metrics.json").write_text(json.dumps(metrics))
    text = " ".join(Page(write_report(tmp_path).read_text(encoding="utf-8")).text.split())
    assert (
        text.index("A check of this evaluation failed") < text.index("silence: it <leaks>") < text.index("AVC accuracy")
    )
    assert "Silence failed it <leaks> Batch size passed fine Leakage not made few" in text


def test_many_classes_are_folded_between_the_best_and_the_worst(run: Path, tmp_path: Path):
    metrics = json.loads((find_evaluation(run) / "metrics.json").read_text())
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
    (tmp_path / "metrics.jsonl").write_bytes((run / "metrics.jsonl").read_bytes())
    shutil.copytree(find_evaluation(run), tmp_path / "eval" / ".made-up.0a1b2c3d.new.tmp")
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
    assert f"{len(FORGED_LINES) + 1} lines were left out in all" in caplog.text  # 1e999 is no number, either


def test_a_log_without_an_end_is_refused(tmp_path: Path):
    (tmp_path / "metrics.jsonl").symlink_to("/dev/zero")
    with pytest.raises(ModelError, match=r"metrics.jsonl cannot be read \(is no regular file\)"):
        write_report(tmp_path)


def test_an_empty_folder_is_a_clear_error(tmp_path: Path):
    with pytest.raises(ModelError, match="nothing to report"):
        write_report(tmp_path)


def change(name: str, value: object) -> Callable[[Any], None]:
    """Return what sets an entry by its dotted name, or takes it away where the value is `...`."""

    def changed(content: Any) -> None:
        *places, last = (int(part) if part.isdigit() else part for part in name.split("."))
        for place in places:
            content = content[place]
        if value is ...:
            del content[last]
        else:
            content[last] = value

    return changed


@pytest.mark.parametrize(
    ("name", "value", "words"),
    [
        ("metrics.avc", ..., "avc is not there"),
        ("metrics.format_version", 1, "has format version 1, not 4; evaluate again"),
        ("metrics.format_version", ..., "has format version None"),
        ("metrics.clips", "many", "clips: input should be a valid integer"),
        ("metrics.avc.accuracy", "high", "avc.accuracy: input should be a valid number"),
        ("metrics.avc.accuracy", float("nan"), "NaN is no number that JSON has"),
        ("metrics.avc.accuracy", 7, "avc.accuracy: input should be less than or equal to 1"),
        ("metrics.avc.interval", [0.5], "avc.interval: list should have at least 2 items"),
        ("metrics.avc.per_class", [1], "avc.per_class: input should be an object"),
        ("metrics.avc.histogram.positive", [1, 2], "avc.histogram: has not one count between two edges"),
        ("metrics.avc.by_negative.other_video", {"pairs": 3}, "avc.by_negative.other_video"),
        ("metrics.retrieval.audio_to_image", ..., "retrieval.audio_to_image is not there"),
        ("metrics.retrieval.audio_to_image.recall_at_1", "x", "retrieval.audio_to_image: recall_at_1 is no number"),
        ("metrics.retrieval.audio_to_image.chance", {}, "has no chance or no interval"),
        ("metrics.run", [], "run: input should be"),
        ("metrics.run.dataset", 3, "run.dataset: input should be a valid string"),
        ("metrics.sanity", [{"name": 3}], "sanity.0.name: input should be a valid string"),
        ("metrics.protocol.notes", "text", "protocol.notes: input should be"),
        (
            "examples.directions.0.rows.0.query.media",
            "0",
            "directions.0.rows.0.query.media: input should be a valid int",
        ),
        ("examples.directions.0.rows.0.results.0.media", "../../x", "media: input should be a valid integer"),
        ("examples.seed", ..., "seed is not there"),
        ("mistakes.false_alarms.rows", 3, "false_alarms.rows: input should be"),
        ("mistakes.misses", ..., "misses is not there"),
        ("projection.labels", [0], "has not one label, item and place in either map for each point"),
        ("projection.classes", [], "has points of no class"),
        ("projection.image.0", [0.5], "image.0: list should have at least 2 items"),
        ("heat_maps.0.own.places", [[0.5], [0.5, 0.5]], "0.own.places: is no grid"),
        ("heat_maps.0.other.sound", ..., "0.other.sound is not there"),
    ],
)
def test_a_forged_evaluation_is_told_by_its_entry(
    localising: Path, tmp_path: Path, name: str, value: object, words: str
) -> None:
    part, _, place = name.partition(".")
    folder = tmp_path / "eval" / "forged"
    shutil.copytree(find_evaluation(localising), folder, ignore=shutil.ignore_patterns("media"))
    content = json.loads((folder / f"{part}.json").read_text())
    change(place, value)(content)
    (folder / f"{part}.json").write_text(json.dumps(content))
    with pytest.raises(EvaluationError, match=rf"forged/{part}.json .*avcorr eval --run") as told:
        write_report(tmp_path)
    assert words in str(told.value) and len(str(told.value)) < 500
    if part == "metrics":
        with pytest.raises(EvaluationError, match=re.escape(words)):
            compare([tmp_path])


@pytest.mark.parametrize("forged", ["{", "[" * 200_000, "[]", "", "\xff", "pipe", "zero"])
@pytest.mark.parametrize("name", ["metrics", "examples", "projection"])
def test_what_is_no_json_is_named(localising: Path, tmp_path: Path, name: str, forged: str) -> None:
    folder = tmp_path / "eval" / "forged"
    shutil.copytree(find_evaluation(localising), folder, ignore=shutil.ignore_patterns("media"))
    path = folder / f"{name}.json"
    put(path, forged)
    with pytest.raises(EvaluationError, match=rf"{name}\.json cannot be read \(.*\); make it with: avcorr eval --run"):
        write_report(tmp_path)


def test_a_run_has_several_evaluations(run: Path, tmp_path: Path) -> None:
    for number, name in enumerate(("first", "second")):
        shutil.copytree(find_evaluation(run), tmp_path / "eval" / name, ignore=shutil.ignore_patterns("media"))
        metrics = json.loads((tmp_path / "eval" / name / "metrics.json").read_text())
        (tmp_path / "eval" / name / "metrics.json").write_text(json.dumps({**metrics, "split": name}))
        os.utime(tmp_path / "eval" / name / "metrics.json", (1000 - number, 1000 - number))
    assert "Evaluated on the first split" in write_report(tmp_path).read_text()
    assert "Evaluated on the second split" in write_report(tmp_path, "second").read_text()
    rows = compare([tmp_path, tmp_path / "eval" / "second"])["runs"]
    assert [(row["run"], row["evaluation"], row["split"]) for row in rows] == [
        (str(tmp_path), "first", "first"), (str(tmp_path), "second", "second")
    ]  # fmt: skip
    with pytest.raises(EvaluationError, match="has no evaluation 'third'; it has first, second"):
        write_report(tmp_path, "third")
    with pytest.raises(EvaluationError, match="'../x' is no name of an evaluation"):
        write_report(tmp_path, "../x")


def test_names_are_not_content(run: Path, tmp_path: Path) -> None:
    """The same clips of the same names, with other labels, or of shards made otherwise, are not the same thing."""
    places = [tmp_path / name / "eval" / "e" for name in ("a", "b")]
    for number, place in enumerate(places):
        place.mkdir(parents=True)
        metrics = json.loads((find_evaluation(run) / "metrics.json").read_text())
        metrics["labels_sha256"] = str(number)
        metrics["run"]["shards"] = {"frames_per_second": 4.0 - 3 * number, "short_side": 80}
        (place / "metrics.json").write_text(json.dumps(metrics))
    notes = compare([place.parent.parent for place in places])["notes"]
    assert "The runs have different labels: their figures are not of the same thing." in notes
    assert any("have shards made otherwise (frames_per_second 4.0, 1.0): their figures" in note for note in notes)
    assert len(compare([places[0], places[0]])["notes"]) == 1


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
