"""Precision over recall from the matches of all videos, as the official ``accumulate`` makes it."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Sequence

import numpy as np

from msnvis.evaluation.matching import CategoryMatches
from msnvis.evaluation.settings import (
    AREA_RANGES,
    IOU_THRESHOLDS,
    MAX_TRACKS,
    RECALL_THRESHOLDS,
    UNDEFINED,
)

#: What the official code adds to the number of tracks so that it never divides by nothing.
_TINY = np.spacing(1)


def accumulate(
    matches: Sequence[CategoryMatches], categories: Sequence[int]
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Precision ``(T, R, K, A, M)``, recall ``(T, K, A, M)`` and scores ``(T, R, K, A, M)``; see `Report`.

    Args:
        matches: of all videos; of one category in the order of the video ids, which decides between equal
            scores.
        categories: K ids.
    """
    shape = (len(IOU_THRESHOLDS), len(RECALL_THRESHOLDS), len(categories), len(AREA_RANGES), len(MAX_TRACKS))
    precision, scores = np.full(shape, UNDEFINED), np.full(shape, UNDEFINED)
    recall = np.full((shape[0], *shape[2:]), UNDEFINED)
    videos = by_category(matches)
    for k, category in enumerate(categories):
        for m, most in enumerate(MAX_TRACKS):
            ranking = Ranking(videos[category], most)
            for a in np.flatnonzero(ranking.num_objects):
                curves = _curves(ranking, a)
                precision[:, :, k, a, m], recall[:, k, a, m], scores[:, :, k, a, m] = curves
    return precision, recall, scores


def by_category(matches: Iterable[CategoryMatches]) -> dict[int, list[CategoryMatches]]:
    """The matches of each category, nothing for those that have none."""
    groups: dict[int, list[CategoryMatches]] = defaultdict(list)
    for item in matches:
        groups[item.category_id].append(item)
    return groups


class Ranking:
    """The n tracks of one category in all videos, best first; earlier ones first where scores are equal.

    Attributes:
        scores: ``(n,)`` float64.
        videos: ``(n,)`` int64 which of `matches` a track is from.
        correct: ``(A, T, n)`` bool.
        wrong: ``(A, T, n)`` bool.
        num_objects: ``(A,)`` int64 objects that count.
    """

    def __init__(self, matches: Sequence[CategoryMatches], most: int) -> None:
        """`most` is the number of tracks taken of each video."""
        flags = np.zeros((len(AREA_RANGES), len(IOU_THRESHOLDS), 0), bool)
        scores = np.concatenate([np.zeros(0), *(item.tracks.scores[:most] for item in matches)])
        order = np.argsort(-scores, kind="stable")
        self.scores = scores[order]
        self.videos = np.repeat(
            np.arange(len(matches)), [min(len(item.tracks.scores), most) for item in matches]
        )[order]
        self.correct = np.concatenate([flags, *(item.correct[..., :most] for item in matches)], 2)[..., order]
        self.wrong = np.concatenate([flags, *(item.wrong[..., :most] for item in matches)], 2)[..., order]
        self.num_objects = sum(
            (item.counted.sum(axis=1) for item in matches), start=np.zeros(len(AREA_RANGES), np.int64)
        )


def envelope(correct: np.ndarray, wrong: np.ndarray) -> np.ndarray:
    """The best precision at each rank or any later one: ``(..., n)`` float64.

    Args:
        correct: ``(..., n)`` true positives up to each rank.
        wrong: ``(..., n)`` false positives up to each rank.
    """
    precision = correct / (wrong + correct + _TINY)
    return np.maximum.accumulate(precision[..., ::-1], axis=-1)[..., ::-1]


def _curves(ranking: Ranking, a: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Precision ``(T, R)``, final recall ``(T,)`` and scores ``(T, R)`` for one range of areas."""
    correct = np.cumsum(ranking.correct[a], axis=1)
    recall = correct / ranking.num_objects[a]
    # A recall that is never reached points behind the last rank, where there is nothing.
    best = np.append(
        envelope(correct, np.cumsum(ranking.wrong[a], axis=1)), np.zeros((len(recall), 1)), axis=1
    )
    scores = np.append(ranking.scores, 0.0)
    ranks = np.array([np.searchsorted(row, RECALL_THRESHOLDS) for row in recall])
    final = recall[:, -1] if recall.shape[1] else 0.0
    return np.take_along_axis(best, ranks, axis=1), final, scores[ranks]
