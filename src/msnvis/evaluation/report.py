"""What an evaluation found: the statistics, the curves behind them, and every match."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np

from msnvis.evaluation.matching import CategoryMatches, VideoOverlaps


@dataclass(frozen=True)
class Report:
    """The result of `evaluate`.

    T, R, K, A, M: IoU thresholds, recalls, categories, area ranges and numbers of tracks, see `settings`.

    Attributes:
        categories: id -> name of the K categories in the order of the arrays; one named ``all`` when
            class-agnostic.
        precision: ``(T, R, K, A, M)`` float64, -1 where there is no ground truth.
        recall: ``(T, K, A, M)`` float64, the highest reached; -1 where there is no ground truth.
        scores: ``(T, R, K, A, M)`` float64 score at which each recall is reached, 0 where it is not.
        matches: of every video and category that has a track or an object, by category and then video.
        overlaps: video id -> IoU of every track with every object of the video.
        videos: video id -> name.
        class_agnostic: whether categories were ignored.
    """

    categories: dict[int, str]
    precision: np.ndarray
    recall: np.ndarray
    scores: np.ndarray
    matches: list[CategoryMatches]
    overlaps: dict[int, VideoOverlaps]
    videos: dict[int, str] = field(default_factory=dict)
    class_agnostic: bool = False
