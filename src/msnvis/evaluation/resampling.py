"""Confidence intervals: how the statistics vary when the videos are drawn anew.

The percentile bootstrap (Efron and Tibshirani, "An Introduction to the Bootstrap", 1993, chapter 13). The
videos are drawn, not the tracks, because the tracks of a video depend on each other. Nothing is matched
again: a video that is drawn twice counts twice.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from msnvis.evaluation.curves import Ranking, by_category, envelope
from msnvis.evaluation.matching import CategoryMatches
from msnvis.evaluation.settings import AREA_RANGES, MAX_TRACKS, RECALL_THRESHOLDS, STATISTICS, Statistic

#: Percentiles at the ends of a 95 % interval.
_PERCENTILES = (2.5, 97.5)
#: Numbers that are worked on at a time.
_CELLS = 1 << 21


def intervals(
    matches: Sequence[CategoryMatches],
    categories: Sequence[int],
    videos: Sequence[int],
    samples: int,
    seed: int,
) -> dict[str, tuple[float, float]]:
    """The 95 % interval of each statistic that is defined in any sample; none when `samples` is 0.

    Args:
        matches: of all videos.
        categories: K ids.
        videos: ids of all videos, those without tracks and objects included.
        samples: number of times that as many videos as there are are drawn with replacement.
        seed: of the drawing.
    """
    if not samples or not videos:
        return {}
    drawn = np.random.default_rng(seed).multinomial(
        len(videos), np.full(len(videos), 1 / len(videos)), samples
    )
    columns = {number: column for column, number in enumerate(videos)}
    groups = by_category(matches)
    sums = {name: np.zeros(samples) for name in STATISTICS}
    counts = {name: np.zeros(samples) for name in STATISTICS}
    for category in categories:
        weights = drawn[:, [columns[item.video_id] for item in groups[category]]]
        parts = _Parts(groups[category], weights)
        for name, statistic in STATISTICS.items():
            values, defined = parts.values(statistic)
            sums[name] += np.where(defined, values, 0)
            counts[name] += defined
    means = {name: sums[name][counts[name] > 0] / counts[name][counts[name] > 0] for name in STATISTICS}
    return {name: tuple(np.percentile(v, _PERCENTILES).tolist()) for name, v in means.items() if len(v)}


class _Parts:
    """What the statistics of one category are made of, for B samples."""

    def __init__(self, matches: Sequence[CategoryMatches], weights: np.ndarray) -> None:
        """`weights` is ``(B, V)``: how often each of the V videos was drawn."""
        self._weights = weights
        self._rankings = [Ranking(matches, most) for most in MAX_TRACKS]
        counted = np.array([item.counted.sum(axis=1) for item in matches], np.int64)
        self._num_objects = weights @ counted.reshape(len(matches), len(AREA_RANGES))
        self._precisions: dict[int, np.ndarray] = {}

    def values(self, statistic: Statistic) -> tuple[np.ndarray, np.ndarray]:
        """``(B,)`` float64 and whether it is defined: ``(B,)`` bool."""
        area, ranking = statistic.area, self._rankings[statistic.most]
        if statistic.of == "recall":
            found = self._weights[:, ranking.videos] @ ranking.correct[area].T.astype(np.int64)
            values = found / np.maximum(self._num_objects[:, area, None], 1)
        else:
            if area not in self._precisions:
                self._precisions[area] = self._average_precision(ranking, area)
            values = self._precisions[area]
        return values[:, statistic.thresholds].mean(axis=1), self._num_objects[:, area] > 0

    def _average_precision(self, ranking: Ranking, area: int) -> np.ndarray:
        """``(B, T)`` float64."""
        correct, wrong = ranking.correct[area], ranking.wrong[area]
        together = max(1, _CELLS // max(correct.size, 1))
        parts = [np.zeros((0, len(correct)))]
        for start in range(0, len(self._weights), together):
            weights = self._weights[start : start + together, None, ranking.videos]
            num_objects = np.maximum(self._num_objects[start : start + together, area, None, None], 1)
            hits = np.cumsum(weights * correct, axis=2)
            best = envelope(hits, np.cumsum(weights * wrong, axis=2))
            # How many recalls are reached at each rank; the precision is read where one is first reached.
            reached = np.searchsorted(RECALL_THRESHOLDS, hits / num_objects, side="right")
            parts.append((best * np.diff(reached, axis=2, prepend=0)).sum(axis=2) / len(RECALL_THRESHOLDS))
        return np.concatenate(parts)
