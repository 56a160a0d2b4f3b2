"""Stage 2: which detections become new objects, and which objects are one and the same (paper 3.1)."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from msnvis import masks as mask_ops
from msnvis.masks import RLE
from msnvis.structures import UNNAMED


def find_new_objects(
    candidates: Sequence[RLE],
    labels: Sequence[int],
    tracked: Sequence[RLE],
    tracked_labels: Sequence[int],
    *,
    room: int,
    overlap_tolerance: float = 0.1,
    duplicate_iou: float = 0.7,
) -> list[int]:
    """Choose the candidates that are new: those that intersect no object of the same class (paper 3.1).

    A candidate intersects an object when the object covers more than `overlap_tolerance` of its pixels; an
    object without a name may be of any class. Whatever the classes, an IoU above `duplicate_iou` is the same
    object twice. A candidate that is chosen counts as an object for those after it.

    Args:
        candidates: N masks, the best first.
        labels: N class indices, `UNNAMED` where the class is unknown.
        tracked: M masks of the objects of this frame.
        tracked_labels: M class indices.
        room: choose no more than this many.

    Returns:
        Indices into `candidates`.
    """
    others = [*tracked, *candidates]
    other_labels = [*tracked_labels, *labels]
    shared = mask_ops.intersections(candidates, others)
    own_area, other_area = mask_ops.areas(candidates)[:, None], mask_ops.areas(others)
    iou = shared / np.maximum(own_area + other_area - shared, 1)
    covered = shared / np.maximum(own_area, 1)

    present = list(range(len(tracked)))
    chosen: list[int] = []
    for i, label in enumerate(labels):
        if len(chosen) >= room:
            break
        clash = any(
            iou[i, j] > duplicate_iou
            or (covered[i, j] > overlap_tolerance and _may_be_same_class(label, other_labels[j]))
            for j in present
        )
        if not clash:
            chosen.append(i)
            present.append(len(tracked) + i)
    return chosen


def find_duplicates(rles: Sequence[RLE], duplicate_iou: float = 0.7) -> list[int]:
    """Indices of the masks that repeat an earlier one, so order them by how much they are trusted.

    >>> square = np.zeros((3, 8, 8), bool); square[:2, 1:5, 1:5] = True; square[2, 5:, 5:] = True
    >>> find_duplicates(mask_ops.encode(square))
    [1]
    """
    possible = np.triu(_iou_bound(rles) > duplicate_iou, k=1)
    removed: list[int] = []
    for first, second in np.argwhere(possible).tolist():
        if first in removed or second in removed:
            continue
        if mask_ops.iou_matrix([rles[first]], [rles[second]])[0, 0] > duplicate_iou:
            removed.append(second)
    return sorted(removed)


def _iou_bound(rles: Sequence[RLE]) -> np.ndarray:
    """``(N, N)`` numbers that the IoU cannot exceed, from boxes and areas alone: cheap, and most are low."""
    box, area = mask_ops.boxes(rles), mask_ops.areas(rles).astype(float)
    left, top, right, bottom = box.T
    width = np.minimum.outer(right, right) - np.maximum.outer(left, left)
    height = np.minimum.outer(bottom, bottom) - np.maximum.outer(top, top)
    shared = np.maximum(width, 0) * np.maximum(height, 0)
    smaller = np.minimum(shared, np.minimum.outer(area, area))
    return smaller / np.maximum(np.maximum.outer(area, area), 1)


def _may_be_same_class(first: int, second: int) -> bool:
    return first == second or UNNAMED in (first, second)
