"""Which track stands for which object of the ground truth, by the official greedy rule."""

from __future__ import annotations

from dataclasses import dataclass, fields

import numpy as np

from msnvis.evaluation.settings import AREA_RANGES, IOU_THRESHOLDS, MAX_TRACKS

#: As in the official evaluation: a perfect overlap counts whatever its rounding.
_THRESHOLDS = np.minimum(IOU_THRESHOLDS, 1 - 1e-10)
_LOWER, _UPPER = np.array(list(AREA_RANGES.values())).T[:, :, None]


@dataclass(frozen=True)
class Tracks:
    """The tracks found in one video and category, D of them.

    Attributes:
        entries: ``(D,)`` int64 positions in the results, from 0.
        categories: ``(D,)`` int64 category ids.
        scores: ``(D,)`` float64.
        areas: ``(D,)`` float64 mean area over the frames in which a track has pixels, 0 for none.
        iou: ``(D, G)`` float64 of the whole tracks with the objects of the same video and category, see
            `overlap.compare`; it is exact from 0.5 on, and may be 0 where it is lower.
    """

    entries: np.ndarray
    categories: np.ndarray
    scores: np.ndarray
    areas: np.ndarray
    iou: np.ndarray

    def best(self) -> Tracks:
        """The 100 of the highest scores; equals by category id (which differ without classes) and entry."""
        order = np.lexsort([self.entries, self.categories, -self.scores])[: MAX_TRACKS[-1]]
        return Tracks(*(getattr(self, f.name)[order] for f in fields(self)))


@dataclass(frozen=True)
class Objects:
    """The objects of the ground truth in one video and category, G of them.

    Attributes:
        ids: ``(G,)`` int64 annotation ids.
        areas: ``(G,)`` float64 mean area over the frames in which an object is seen, as annotated.
        crowd: ``(G,)`` bool.
    """

    ids: np.ndarray
    areas: np.ndarray
    crowd: np.ndarray


@dataclass(frozen=True)
class CategoryMatches:
    """What was matched in one video and category.

    T is the number of IoU thresholds and A of area ranges (see `settings`; the first range is ``all``, the
    first threshold 0.5).

    Attributes:
        video_id: as in the ground truth.
        category_id: as in the ground truth; `ANY_CATEGORY` in a class-agnostic evaluation.
        tracks: at most 100, best first.
        objects: in the order of the annotations.
        matches: ``(A, T, D)`` int32 index into `objects` that a track was matched to, -1 for none.
        correct: ``(A, T, D)`` bool: true positives.
        wrong: ``(A, T, D)`` bool: false positives. A track that is neither does not count: it is matched to a
            crowd or to an object outside the area range, or is itself outside it.
        counted: ``(A, G)`` bool: objects that count, which are neither crowd nor outside the area range.
    """

    video_id: int
    category_id: int
    tracks: Tracks
    objects: Objects
    matches: np.ndarray
    correct: np.ndarray
    wrong: np.ndarray
    counted: np.ndarray


def match(video_id: int, category_id: int, tracks: Tracks, objects: Objects) -> CategoryMatches:
    """Match tracks, best first, each to the free object that it overlaps most.

    Objects that count go before those that do not; of equal overlaps the last object is taken; a crowd stays
    free. All as in the official ``evaluateVid``, for all thresholds and area ranges at once.

    >>> objects = Objects(np.array([7]), np.array([100.0]), np.array([False]))
    >>> scores, iou = np.array([0.3, 0.9]), np.array([[0.9], [0.7]])
    >>> tracks = Tracks(np.arange(2), np.ones(2, int), scores, np.array([90.0, 110.0]), iou)
    >>> match(1, 1, tracks, objects).correct[0].sum(axis=1).tolist()
    [1, 1, 1, 1, 1, 1, 1, 1, 1, 0]
    """
    tracks = tracks.best()
    counted = ~objects.crowd & (objects.areas >= _LOWER) & (objects.areas <= _UPPER)
    matches = _assign(tracks.iou, counted, objects.crowd)
    # A quirk of the official code, where 0 stands for "not matched".
    matched = (matches >= 0) & np.append(objects.ids != 0, False)[matches]
    ranges = np.arange(len(counted))[:, None, None]
    to_counted = np.append(counted, np.zeros((len(counted), 1), bool), axis=1)[ranges, matches]
    outside = ((tracks.areas < _LOWER) | (tracks.areas > _UPPER))[:, None, :]
    ignored = ((matches >= 0) & ~to_counted) | (~matched & outside)
    return CategoryMatches(
        video_id, category_id, tracks, objects, matches, matched & ~ignored, ~matched & ~ignored, counted
    )


def _assign(iou: np.ndarray, counted: np.ndarray, crowd: np.ndarray) -> np.ndarray:
    """``(A, T, D)`` index of the object that each track is matched to, -1 for none."""
    num_tracks, num_objects = iou.shape
    matches = np.full((len(counted), len(_THRESHOLDS), num_tracks), -1, np.int32)
    if not num_objects:
        return matches
    good = iou >= _THRESHOLDS[0]
    # A track and an object that can only have each other.
    alone = good & (good.sum(axis=0) == 1) & (good.sum(axis=1) == 1)[:, None]
    tracks, objects = np.nonzero(alone)
    matches[..., tracks] = np.where(iou[tracks, objects] >= _THRESHOLDS[:, None], objects, -1)
    free = np.ones((*matches.shape[:2], num_objects), bool)
    for track in np.flatnonzero((good & ~alone).any(axis=1)):
        candidates = free & (iou[track] >= _THRESHOLDS[:, None])
        better = candidates & counted[:, None, :]
        candidates = np.where(better.any(axis=2, keepdims=True), better, candidates)
        last_best = num_objects - 1 - np.where(candidates, iou[track], -1)[..., ::-1].argmax(axis=2)
        matches[..., track] = np.where(candidates.any(axis=2), last_best, -1)
        taken = np.arange(num_objects) == matches[..., track, None]
        free &= ~taken | crowd
    return matches
