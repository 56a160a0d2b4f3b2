"""How good a selector is: how often it is right, and whether its probabilities mean what they say."""

from __future__ import annotations

from itertools import pairwise

import numpy as np

#: Edges of the bins of the difference between the two masks' IoU with the truth.
MARGINS = (0.0, 0.02, 0.05, 0.1, 0.2, 1.0)
CALIBRATION_BINS = 10


def accuracy(chances: np.ndarray, ious: np.ndarray, min_margin: float = 0.0) -> float:
    """Share of pairs for which the better mask is chosen; NaN without pairs.

    Args:
        chances: ``(N,)`` probability that the first is better.
        ious: ``(N, 2)`` IoU of both with the truth; pairs that are equally good do not count.
        min_margin: pairs whose IoUs differ by no more than this do not count.

    >>> accuracy(np.array([0.9, 0.2, 0.7]), np.array([[0.8, 0.5], [0.6, 0.5], [0.5, 0.5]]))
    0.5
    """
    margin = ious[:, 0] - ious[:, 1]
    counted = np.abs(margin) > min_margin
    right = (chances >= 0.5) == (margin > 0)
    return float(right[counted].mean()) if counted.any() else float("nan")


def balanced_accuracy(chances: np.ndarray, ious: np.ndarray, min_margin: float = 0.0) -> float:
    """Mean of the accuracies for pairs whose first and whose second mask is better; NaN if either is missing.

    Always taking the same side, however often it is right, has 0.5.

    >>> balanced_accuracy(np.array([0.9, 0.2, 0.1]), np.array([[0.8, 0.5], [0.6, 0.5], [0.5, 0.6]]))
    0.75
    """
    first_better = ious[:, 0] > ious[:, 1]
    sides = (accuracy(chances[side], ious[side], min_margin) for side in (first_better, ~first_better))
    return sum(sides) / 2


def accuracy_by_margin(chances: np.ndarray, ious: np.ndarray) -> dict[str, tuple[float, int]]:
    """Accuracy and number of pairs in each bin of `MARGINS`, by name of the bin."""
    margin = np.abs(ious[:, 0] - ious[:, 1])
    bins = {}
    for low, high in pairwise(MARGINS):
        inside = (margin > low) & (margin <= high)
        bins[f"{low:g}-{high:g}"] = (accuracy(chances[inside], ious[inside]), int(inside.sum()))
    return bins


def reliability(chances: np.ndarray, ious: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """What a calibration plot shows, by bin: mean probability, share whose first is better, and count."""
    margin = ious[:, 0] - ious[:, 1]
    chances, first_better = chances[margin != 0], margin[margin != 0] > 0
    place = np.minimum((chances * CALIBRATION_BINS).astype(int), CALIBRATION_BINS - 1)
    count = np.bincount(place, minlength=CALIBRATION_BINS)
    total = np.maximum(count, 1)
    said = np.bincount(place, chances, CALIBRATION_BINS) / total
    true = np.bincount(place, first_better, CALIBRATION_BINS) / total
    return said, true, count


def calibration_error(chances: np.ndarray, ious: np.ndarray) -> float:
    """Expected calibration error (Guo et al., ICML 2017): mean distance of said and true, by pairs in a bin.

    >>> calibration_error(np.array([0.75, 0.75, 0.75, 0.75]), np.array([[1, 0], [1, 0], [1, 0], [0, 1]]))
    0.0
    """
    said, true, count = reliability(chances, ious)
    return float((np.abs(said - true) * count).sum() / max(count.sum(), 1))
