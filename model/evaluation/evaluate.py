"""Evaluate embeddings of held-out clips.

Says what was measured along with the numbers: protocol, seeds, counts and a hash of the gallery. Reads no media: the
views that the examples show are named in `Evaluation.wanted`, and whoever can decode them hands the bytes back.
"""

import hashlib
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from ..embedding.embed import Embeddings
from ..errors import EvaluationError
from ..settings import EvalSettings
from .avc import correspondence, score_pairs
from .examples import ClipRecord, Shown, View, examples, heat_maps, mistakes
from .pairing import APART_SECONDS, Derange, draw_negatives
from .projection import project
from .relevance import Ontology, Relevance, SameLabel
from .retrieval import retrieval
from .sanity import Check
from .scorer import Locator, PairScorer
from .table import table

FORMAT_VERSION = 4

AVC = (
    "For each seed every clip gives one positive pair (the frame drawn by that seed, with its own sound) and one "
    "negative pair (the same frame with the sound of a clip of another source video, each sound used once). Decided at "
    "p > 0.5. Intervals: 95 % bootstrap over source videos. Other kinds of negative: a sound of the same clip at least "
    f"{APART_SECONDS:g} s away; a sound of another source video of the same label."
)
RETRIEVAL = (
    "{views} Gallery: {clips}; within a modality the query and the other clips of its source video are taken out. "
    "Gain: {gain}; what has a gain is relevant, across modalities also the query's own clip; the ideal ranking of nDCG "
    "is over the whole gallery. Instance figures and median rank: the query's own clip alone. Ties are broken by a "
    "seeded shuffle. Intervals: 95 % bootstrap over the source videos of the queries."
)
VIEWS = {
    "center": "One view per clip, the one nearest its middle.",
    "mean10": "A clip's embedding is the mean of ten views evenly over it, scaled to length 1.",
    "random": "One view per clip, drawn by the first seed.",
}
CLIPS = {
    "full": "all clips of the split",
    "avenet": "one clip of each source video",
    "cavmae-1545": "the clips of the list of 1,545 (CAV-MAE)",
    "vggsounder": "the clips that VGGSounder labels",
    "list": "the clips of the given list",
}
PROJECTION = "One view per clip; classes drawn at random, labels used for choice and colour only."


class Plan(NamedTuple):
    """Which views of C clips are used for what."""

    drawn: np.ndarray
    """int64 (C, S), the view of each clip that each seed takes."""
    pooled: np.ndarray
    """int64 (C, P), the views whose mean stands for the clip in retrieval."""


@dataclass(frozen=True)
class Evaluation:
    """The outcome of `evaluate`, ready for JSON."""

    metrics: dict[str, Any]
    examples: dict[str, Any]
    mistakes: dict[str, Any]
    projection: dict[str, Any] | None
    heat_maps: list[dict[str, Any]] | None
    """Where the sound is, of models that say so."""
    wanted: list[View]
    """Views that the parts above show, some hundreds; an item's "media" is a position in this list."""

    @property
    def located(self) -> list[View]:
        """Views over whose frames heat maps lie, of which the part that the model sees is shown."""
        return [self.wanted[row["frame"]["media"]] for row in self.heat_maps or []]

    def __str__(self) -> str:
        return table(self.metrics)


def evaluate(
    embeddings: Embeddings,
    clips: Sequence[ClipRecord],
    plan: Plan,
    scorer: PairScorer,
    settings: EvalSettings,
    run_info: Mapping[str, Any],
    *,
    derange: Derange,
    relevance: Relevance | None = None,
    notes: Sequence[str] = (),
    checks: Sequence[Check] = (),
) -> Evaluation:
    """Measure correspondence and retrieval, and choose what the report shows.

    Args:
        embeddings: of all views.
        clips: those of the gallery.
        plan: which views of each clip are used for what.
        scorer: what decides whether a pair corresponds.
        run_info: passed through as metrics["run"]. The report knows its keys step, dataset (a name), train_videos (a
            count), versions, decoders and shards (mappings), and lists all others as they are.
        derange: gives each clip the sound of another video.
        relevance: what counts as found; default: the same label.
        notes: how the gallery differs from what the protocol's name promises.
        checks: those of `sanity`.

    Raises:
        EvaluationError: when there are fewer than two clips, or when no frame can meet the sound of another video.
    """
    count = len(embeddings)
    if len(plan.drawn) != len(clips) or max(plan.drawn.max(initial=0), plan.pooled.max(initial=0)) >= count:
        raise EvaluationError(
            f"the plan of {len(plan.drawn)} clips does not fit {len(clips)} clip records and {count} views"
        )
    if len(clips) < 2:
        raise EvaluationError(f"evaluation needs at least 2 clips; split {settings.split!r} gives {len(clips)}")
    chosen = pool(embeddings, plan.pooled)
    labels, videos = np.array([clip.label for clip in clips]), np.array([clip.video for clip in clips])
    seed, depth, bootstrap = settings.seed, settings.retrieval_depth, settings.bootstrap
    gallery, pooling = settings.protocol.split("/")
    relevances = [relevance or SameLabel(labels)]
    if settings.ontology:
        relevances.append(Ontology(labels, Path(settings.ontology)))
    negatives = draw_negatives(plan.drawn, embeddings.times, videos, labels, seed, derange)
    scored = score_pairs(embeddings.head_inputs, negatives, scorer)
    metrics = {
        "format_version": FORMAT_VERSION,
        "step": run_info.get("step"),
        "split": settings.split,
        "clips": len(clips),
        "videos": len(np.unique(videos)),
        "views": count,
        "labelled_clips": int((labels != "").sum()),
        "classes": len(np.unique(labels[labels != ""])),
        "seed": seed,
        "seeds": [seed + number for number in range(plan.drawn.shape[1])],
        "gallery_sha256": gallery_hash(clips),
        "labels_sha256": labels_hash(clips),
        "avc": correspondence(scored, videos, labels, scorer, seed, bootstrap),
        "retrieval": retrieval(chosen.image, chosen.audio, videos, relevances, depth, seed, bootstrap),
        "protocol": {
            "name": settings.protocol,
            "notes": list(notes),
            "gains": {f"ndcg_at_{depth}{'_' * bool(kind.name)}{kind.name}": kind.gain for kind in relevances},
            "avc": AVC,
            "retrieval": RETRIEVAL.format(views=VIEWS[pooling], clips=CLIPS[gallery], gain=relevances[0].gain),
            "projection": PROJECTION,
        },
        "sanity": [asdict(check) for check in checks],
        "run": dict(run_info),
    }
    shown, others = Shown(clips), scored["other_video"]
    return Evaluation(
        metrics,
        examples(chosen, clips, videos, seed, shown),
        mistakes(others, embeddings, clips, scorer, shown),
        project(chosen, labels[chosen.clips], settings.tsne_classes, settings.projection, seed, shown),
        heat_maps(embeddings, others.pairs, scorer, seed, shown) if isinstance(scorer, Locator) else None,
        shown.views,
    )


def gallery_hash(clips: Iterable[ClipRecord]) -> str:
    """Return the SHA-256 of a gallery: of the sorted keys of its clips, one a line."""
    return hashlib.sha256("\n".join(sorted(clip.key for clip in clips)).encode()).hexdigest()


def labels_hash(clips: Iterable[ClipRecord]) -> str:
    """Return the SHA-256 of what a gallery's clips are called: of their sorted keys with their labels, one a line."""
    return hashlib.sha256("\n".join(sorted(f"{clip.key}\t{clip.label}" for clip in clips)).encode()).hexdigest()


def pool(embeddings: Embeddings, pooled: np.ndarray) -> Embeddings:
    """Return one row a clip: the mean of its views (C, P), scaled to length 1, at the time of the middle one."""
    middle = embeddings.rows(pooled[:, pooled.shape[1] // 2])
    if pooled.shape[1] == 1:  # as they are, to the last digit
        return middle
    means = (vectors[pooled].mean(axis=1, dtype=np.float64) for vectors in (embeddings.image, embeddings.audio))
    image, audio = (
        (mean / np.maximum(np.linalg.norm(mean, axis=1, keepdims=True), 1e-12)).astype(np.float32) for mean in means
    )
    return Embeddings(image, audio, middle.clips, middle.times)
