"""Which track stands for which object of the ground truth, by the official greedy rule."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np


@dataclass(frozen=True)
class VideoOverlaps:
    """All tracks of a video against all its objects, whatever their categories.

    D tracks in the order of the results, G objects in the order of the ground truth.

    Attributes:
        video_id: as in the ground truth.
        entries: ``(D,)`` int64 positions of the tracks in the results, from 0.
        categories: ``(D,)`` int64 category ids of the tracks.
        scores: ``(D,)`` float64.
        areas: ``(D,)`` float64 mean area of a track over the frames in which it has pixels, 0 for none.
        gt_ids: ``(G,)`` int64 annotation ids.
        gt_categories: ``(G,)`` int64.
        gt_areas: ``(G,)`` float64.
        gt_crowd: ``(G,)`` bool.
        iou: ``(D, G)`` float64 IoU of the whole tracks: intersections summed over all frames by unions summed.
    """

    video_id: int
    entries: np.ndarray
    categories: np.ndarray
    scores: np.ndarray
    areas: np.ndarray
    gt_ids: np.ndarray
    gt_categories: np.ndarray
    gt_areas: np.ndarray
    gt_crowd: np.ndarray
    iou: np.ndarray


@dataclass(frozen=True)
class CategoryMatches:
    """What was matched in one video and category.

    D is the number of tracks (at most 100, best first), G of objects, T of IoU thresholds and A of area ranges
    (see `settings`; the first range is ``all``, the first threshold 0.5).

    Attributes:
        video_id: as in the ground truth.
        category_id: as in the ground truth; `ANY_CATEGORY` in a class-agnostic evaluation.
        tracks: ``(D,)`` int64 rows of `VideoOverlaps` that the tracks are, best first.
        objects: ``(G,)`` int64 columns of `VideoOverlaps` that the objects are.
        scores: ``(D,)`` float64 of the tracks.
        matches: ``(A, T, D)`` int16 index into `objects` that the track was matched to, -1 for none.
        correct: ``(A, T, D)`` bool: true positives.
        wrong: ``(A, T, D)`` bool: false positives. A track that is neither does not count: it is matched to a
            crowd or to an object outside the area range, or is itself outside it.
        counted: ``(A, G)`` bool: objects that count, which is neither crowd nor outside the area range.
    """

    video_id: int
    category_id: int
    tracks: np.ndarray
    objects: np.ndarray
    scores: np.ndarray
    matches: np.ndarray
    correct: np.ndarray
    wrong: np.ndarray
    counted: np.ndarray
