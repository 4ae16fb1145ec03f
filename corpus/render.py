"""Render a whole corpus, mp4 files and a table: in any number of processes, resumable, equal bytes for equal input.

`corpus.json`, written first, says which corpus the folder holds; `corpus.csv`, written last, that it is complete.
"""

import csv
import io
import json
import multiprocessing
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ProcessPoolExecutor, as_completed
from contextlib import contextmanager
from fractions import Fraction
from functools import partial
from pathlib import Path

from avcorr.files import write_atomically
from avcorr.pipeline.decoding.ffmpeg import ffmpeg_version
from avcorr.pipeline.errors import CorpusError
from avcorr.signals import leave_signals_to_parent

from .encode import encode
from .rendered_clip import LABELS, Clip, Look
from .sounds import CLIP_SECONDS

CORPUS_VERSION = 1
"""Version of the corpus: raised whenever a clip of the same seed and index would look or sound different."""
HEADER = ("path", "label", "split", "start", "duration")


def clip_path(index: int) -> str:
    """Return a clip's path relative to the corpus."""
    return f"videos/{LABELS[index % len(LABELS)]}_{index:06d}.mp4"


def clip_split(index: int, test_share: float) -> str:
    """Return `train` or `test`: within each class the test clips lie evenly, `test_share` of them all."""
    share = Fraction(test_share).limit_denominator(1000)
    place, half = index // len(LABELS), Fraction(1, 2)
    return "test" if int((place + 1) * share + half) > int(place * share + half) else "train"


def render_corpus(
    out: Path,
    clips: int,
    seed: int,
    workers: int,
    ffmpeg: str,
    *,
    width: int = 160,
    height: int = 120,
    test_share: float = 0.2,
    difficulty: float = 0.25,
    progress: Callable[[int, int], None] | None = None,
) -> Path:
    """Render `clips` videos of 10 s into `out` and return the path of `corpus.csv`.

    What was rendered before an interruption is kept. `progress` is called with (clips done, clips in all).

    Args:
        out: a folder that is new, empty, or holds this very corpus, complete or not.
        clips: number of videos; clip i shows class i modulo 12.
        seed: at least 0; clip i depends on (seed, i, picture, difficulty) only.
        workers: processes that render; 1 renders in this one.
        ffmpeg: path of the ffmpeg that encodes.
        width: of the picture, pixels, even.
        height: of the picture, pixels, even.
        test_share: share of each class in the split `test`, 0..1.
        difficulty: how strong noise, cutaways and the like are, 0..1.

    Raises:
        CorpusError: for a folder that holds something else, a setting out of range, or a failure of ffmpeg.
        DecoderError: when `ffmpeg` cannot be run.
    """
    _check(clips, seed, workers, width, height, test_share, difficulty)
    identity = {
        "version": CORPUS_VERSION, "clips": clips, "seed": seed, "width": width, "height": height,
        "test_share": test_share, "difficulty": difficulty, "ffmpeg": ffmpeg_version(ffmpeg),
    }  # fmt: skip
    _claim(out, identity)
    missing = [index for index in range(clips) if not (out / clip_path(index)).exists()]
    done = clips - len(missing)
    if progress is not None:
        progress(done, clips)
    task = partial(render_clip, out=out, seed=seed, look=Look(width, height, difficulty), ffmpeg=ffmpeg)
    with _results(task, missing, workers) as results:
        for _ in results:
            done += 1
            if progress is not None:
                progress(done, clips)
    write_atomically(out / "corpus.csv", _table(clips, test_share).encode())
    return out / "corpus.csv"


def render_clip(index: int, *, out: Path, seed: int, look: Look, ffmpeg: str) -> int:
    """Render one clip and return its index."""
    clip = Clip(seed, index, look)
    encode(ffmpeg, out / clip_path(index), look, clip.frames(), clip.waveform())
    return index


@contextmanager
def _results(task: Callable[[int], int], indices: list[int], workers: int) -> Iterator[Iterable[int]]:
    """Yield the results as they come; when the caller fails or is interrupted, drop what has not begun."""
    _single_threaded()
    if workers == 1 or len(indices) < 2:
        yield map(task, indices)
        return
    # Spawned: a forked child would inherit the threads of whoever calls.
    context = multiprocessing.get_context("spawn")
    pool = ProcessPoolExecutor(min(workers, len(indices)), mp_context=context, initializer=_prepare_worker)
    try:
        futures = [pool.submit(task, index) for index in indices]
        yield (future.result() for future in as_completed(futures))
    finally:
        pool.shutdown(cancel_futures=True)


def _prepare_worker() -> None:
    """Leave signals to the process that started this one: it lets the running clips finish."""
    leave_signals_to_parent()
    _single_threaded()


def _single_threaded() -> None:
    """Keep the rasteriser to one thread: the clips are what runs in parallel."""
    import cv2

    cv2.setNumThreads(1)


def _check(clips: int, seed: int, workers: int, width: int, height: int, test_share: float, difficulty: float) -> None:
    for name, value, low, high in (
        ("clips", clips, 1, 999_999),
        ("seed", seed, 0, 2**63 - 1),
        ("workers", workers, 1, 256),
        ("width", width, 32, 1920),
        ("height", height, 32, 1920),
        ("test_share", test_share, 0, 1),
        ("difficulty", difficulty, 0, 1),
    ):
        if not low <= value <= high:
            raise CorpusError(f"{name} must lie in {low}..{high}, got {value}")
    if width % 2 or height % 2:
        raise CorpusError(f"width and height must be even (4:2:0 chroma), got {width}x{height}")


def _claim(out: Path, identity: dict[str, object]) -> None:
    """Make the folder ours, or see that it holds this very corpus."""
    marker = out / "corpus.json"
    try:
        out.mkdir(parents=True, exist_ok=True)
        if marker.exists():
            found = json.loads(marker.read_text(encoding="utf-8"))
            if found != identity:
                differing = [
                    name for name in identity if not isinstance(found, dict) or found.get(name) != identity[name]
                ]
                raise CorpusError(
                    f"{out} holds another corpus (different: {', '.join(differing)}); name an empty folder or remove it"
                )
        elif any(out.iterdir()):
            raise CorpusError(f"{out} is not empty and holds no corpus.json; name an empty folder")
        else:
            write_atomically(marker, (json.dumps(identity, indent=2) + "\n").encode())
        (out / "videos").mkdir(exist_ok=True)
    except (OSError, ValueError) as error:
        raise CorpusError(f"cannot use {out} for a corpus: {error}") from error


def _table(clips: int, test_share: float) -> str:
    text = io.StringIO()
    rows = csv.writer(text, lineterminator="\n")
    rows.writerow(HEADER)
    for index in range(clips):
        label = LABELS[index % len(LABELS)]
        rows.writerow((clip_path(index), label, clip_split(index, test_share), 0, round(CLIP_SECONDS)))
    return text.getvalue()
