"""Classify frozen embeddings: how much of the labels a linear classifier and the nearest neighbours find in them.

The labels are used here and nowhere in training. Two classifiers, without tuning:

- `linear`: z-scores and multinomial logistic regression, C = 1;
- `knn`: the 20 nearest training items by cosine, each voting exp(cosine / 0.07) for its label (Wu et al. 2018).
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from ..errors import EvaluationError
from .bootstrap import intervals, weighted_mean
from .figures import bounded, versions
from .scores import Scores
from .table import aligned

NEIGHBOURS = 20
TEMPERATURE = 0.07
TOP = 5


@dataclass(frozen=True, eq=False)
class Items:
    """M embeddings with their labels."""

    vectors: Mapping[str, np.ndarray]
    """float32 (M, D) of each space, such as "audio"."""
    labels: np.ndarray
    """str (M,), none of them empty."""
    owners: np.ndarray
    """(M,) what items share that are no independent evidence: their source video or recording."""


def with_both(vectors: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
    """Return image, audio, and both side by side."""
    return {**vectors, "both": np.concatenate([vectors["image"], vectors["audio"]], axis=1)}


def classify(train: Items, test: Items) -> dict[str, dict[str, np.ndarray]]:
    """Learn from `train` and return the scores float64 (M, K) of `test`: {space: {classifier: scores}}.

    The K classes are those of `train`, sorted. Raises EvaluationError when there are fewer than two.
    """
    classes, labels = np.unique(train.labels, return_inverse=True)
    if len(classes) < 2:
        raise EvaluationError(f"a probe needs items of at least 2 labels to learn from; found {len(classes)}")
    return {
        space: {
            "linear": _linear(vectors, labels, test.vectors[space]),
            "knn": _nearest(vectors, labels, test.vectors[space], len(classes)),
        }
        for space, vectors in train.vectors.items()
    }


def figures(
    scores: np.ndarray, classes: np.ndarray, test: Items, chance: float, bootstrap: int, seed: int
) -> dict[str, Any]:
    """Return accuracy, top5_accuracy, map and roc_auc, with 95 % intervals over the owners and values at chance.

    map and roc_auc are means over the classes that the test items have; a label that was not learnt is never right.
    Raises EvaluationError when the test items have fewer than two labels.

    Args:
        scores: (M, K) of the test items.
        classes: str (K,), those of the training items.
        chance: the accuracy of always naming the commonest class of the training items.
    """
    truth = test.labels[:, None] == classes[None, :]
    present = np.flatnonzero(truth.any(axis=0) & ~truth.all(axis=0))
    if not len(present):
        raise EvaluationError(
            f"a probe needs items of at least 2 known labels to be tested on; found {len(test.labels)} items"
        )
    ranked = np.argsort(-scores, axis=1, kind="stable")[:, :TOP]
    first = np.take_along_axis(truth, ranked, axis=1)
    hits = np.stack([first[:, 0], first.any(axis=1)], axis=1).astype(np.float64)
    per_class = [Scores(scores[:, column], truth[:, column]) for column in present]

    def measure(weights: np.ndarray) -> dict[str, np.ndarray]:
        accuracy, top = weighted_mean(weights, hits).T
        found = [row.measure(weights) for row in per_class]
        precision, area = (np.array([row[name] for row in found]) for name in ("average_precision", "roc_auc"))
        return {
            "accuracy": accuracy,
            f"top{TOP}_accuracy": top,
            "map": _mean_of_present(precision),
            "roc_auc": _mean_of_present(area),
        }

    return {
        **{name: float(value[0]) for name, value in measure(np.ones((1, len(hits)))).items()},
        "interval": intervals(measure, test.owners, bootstrap, seed),
        "chance": {
            "accuracy": chance,
            f"top{TOP}_accuracy": min(1.0, TOP / len(classes)),
            "map": float(truth[:, present].mean()),
            "roc_auc": 0.5,
        },
        "items": len(test.labels),
    }


def _mean_of_present(values: np.ndarray) -> np.ndarray:
    """Return the means (B,) of (K, B) over the classes that a resampling has; NaN where it has none."""
    there = ~np.isnan(values)
    counts = there.sum(axis=0)
    means: np.ndarray = np.where(there, values, 0.0).sum(axis=0) / np.where(counts, counts, np.nan)
    return means


def held_out(train: Items, test: Items, bootstrap: int, seed: int) -> dict[str, Any]:
    """Learn from `train`, classify `test`, and return the counts and the figures of each space and classifier."""
    classes, chance = np.unique(train.labels), commonest(train.labels, test.labels)
    return {
        "train_items": len(train.labels),
        "test_items": len(test.labels),
        "classes": len(classes),
        "results": {
            space: {
                classifier: figures(scores, classes, test, chance, bootstrap, seed)
                for classifier, scores in found.items()
            }
            for space, found in classify(train, test).items()
        },
    }


def commonest(train: np.ndarray, test: np.ndarray) -> float:
    """Return the share of `test` labels that are the commonest of `train`."""
    names, counts = np.unique(train, return_counts=True)
    return float((test == names[counts.argmax()]).mean())


def table(result: Mapping[str, Any]) -> str:
    """Lay out a probe's result as text: every figure with its interval and its value at chance."""
    lines = [
        f"{result['name']}, step {result['step']}: {result['train_items']} items to learn from, "
        f"{result['test_items']} classified, {result['classes']} classes",
        f"protocol {result['protocol']}, gallery {result['gallery_sha256'][:12]}, seed {result['seed']}",
        f"decoded by {versions(result['decoders'])}",
        "",
    ]
    rows = [("[95 % interval] (chance)", *HEADS.values())]
    for space, classifiers in result["results"].items():
        for classifier, row in classifiers.items():
            cells = [str(bounded(row[name], row["interval"][name], row["chance"][name])) for name in HEADS]
            rows.append((f"{space}, {classifier}", *cells))
    return "\n".join([*lines, *aligned(rows, right=range(1, 5))])


HEADS = {"accuracy": "accuracy", f"top{TOP}_accuracy": f"top-{TOP} accuracy", "map": "mAP", "roc_auc": "ROC AUC"}


def _linear(train: np.ndarray, labels: np.ndarray, test: np.ndarray) -> np.ndarray:
    from sklearn.linear_model import LogisticRegression
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import StandardScaler

    classifier = make_pipeline(StandardScaler(), LogisticRegression(C=1.0, max_iter=2000))
    classifier.fit(train.astype(np.float64), labels)
    scores: np.ndarray = classifier.predict_proba(test.astype(np.float64))
    return scores


def _nearest(train: np.ndarray, labels: np.ndarray, test: np.ndarray, classes: int) -> np.ndarray:
    train, test = (vectors / np.linalg.norm(vectors, axis=1, keepdims=True) for vectors in (train, test))
    count = min(NEIGHBOURS, len(train))
    scores = np.zeros((len(test), classes))
    step = max(1, (1 << 24) // len(train))
    for first in range(0, len(test), step):
        cosines = test[first : first + step].astype(np.float64) @ train.T.astype(np.float64)
        found = np.argpartition(-cosines, count - 1, axis=1)[:, :count]
        votes = np.exp((np.take_along_axis(cosines, found, axis=1) - 1) / TEMPERATURE)
        rows = np.arange(first, first + len(found)).repeat(count)
        np.add.at(scores, (rows, labels[found].ravel()), votes.ravel())
    return scores
