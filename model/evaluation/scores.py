"""Figures of scores that tell two classes apart, under any weights of the items."""

import numpy as np


class Scores:
    """ROC AUC and average precision of M items.

    scores: float64 (M,), the higher the likelier. truth: bool (M,).
    """

    def __init__(self, scores: np.ndarray, truth: np.ndarray) -> None:
        self._order = np.argsort(-scores, kind="stable")
        ranked = scores[self._order]
        self._truth = truth[self._order].astype(np.float64)
        self._ends = np.flatnonzero(np.append(ranked[1:] < ranked[:-1], True))  # no threshold between equal scores

    def measure(self, weights: np.ndarray) -> dict[str, np.ndarray]:
        """Return roc_auc and average_precision (B,) under weights (B, M); NaN without items of either class.

        roc_auc: the probability that a positive item scores higher than a negative one, ties counted half (Mann and
        Whitney). average_precision: sum of (R_n - R_{n-1}) P_n over the distinct scores, as scikit-learn has it.
        """
        ranked = weights[:, self._order]
        positive = np.cumsum(ranked * self._truth, axis=1)[:, self._ends]
        negative = np.cumsum(ranked, axis=1)[:, self._ends] - positive
        new_positive = np.diff(positive, axis=1, prepend=0.0)
        new_negative = np.diff(negative, axis=1, prepend=0.0)
        positives, negatives = positive[:, -1], negative[:, -1]
        below = negatives[:, None] - negative + 0.5 * new_negative
        precision = positive / np.maximum(positive + negative, np.finfo(float).tiny)
        pairs = np.where(positives * negatives > 0, positives * negatives, np.nan)
        return {
            "roc_auc": (new_positive * below).sum(axis=1) / pairs,
            "average_precision": (new_positive * precision).sum(axis=1) / np.where(positives > 0, positives, np.nan),
        }
