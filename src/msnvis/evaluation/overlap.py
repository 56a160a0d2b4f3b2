"""IoU of whole tracks, from where their runs of pixels start and stop."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from msnvis.evaluation.runs import MOST_PIXELS, Runs, read_runs
from msnvis.evaluation.settings import IOU_THRESHOLDS
from msnvis.masks import RLE

#: Masks that are worked on at a time: it bounds the memory.
_MASKS_AT_ONCE = 4000


def compare(
    first: Sequence[Sequence[RLE | None]],
    second: Sequence[Sequence[RLE | None]],
    size: tuple[int, int],
    allowed: np.ndarray,
) -> tuple[np.ndarray, np.ndarray]:
    """IoU of tracks, and their areas in each frame.

    The IoU of two tracks is the sum over all frames of the intersections by that of the unions; where one of
    the two is absent, the other still counts in the union (Yang et al., "Video Instance Segmentation", ICCV
    2019, section 4).

    Args:
        first: D tracks, at least one, each with a mask of `size` or None for each of T frames.
        second: G tracks of the same frames.
        size: ``(height, width)``.
        allowed: ``(D, G)`` bool, which pairs to compare.

    Returns:
        ``(D, G)`` float64 IoU, exact from 0.5 on; what is certainly lower, or not allowed, may be 0 instead.
        ``(D, T)`` int32 pixels of `first`.

    Raises ValueError when a mask is malformed; `masks.validate` then says which.

    >>> square = {"size": [2, 2], "counts": b"04"}
    >>> compare([[square, square]], [[square, None]], (2, 2), np.ones((1, 1), bool))
    (array([[0.5]]), array([[4, 4]], dtype=int32))
    """
    num_frames = len(first[0])
    step = min(_MASKS_AT_ONCE // (len(first) + len(second)), MOST_PIXELS // (size[0] * size[1]))
    step = min(num_frames, max(1, step))
    least = IOU_THRESHOLDS[0] if step == num_frames else 0.0
    shared, total = np.zeros(allowed.shape, np.int64), np.zeros(allowed.shape, np.int64)
    areas = []
    for start in range(0, num_frames, step):
        length = min(step, num_frames - start)
        runs = read_runs([masks[start : start + step] for masks in (*first, *second)], size, length)
        pixels = runs.areas.sum(axis=1)
        both = pixels[: len(first), None] + pixels[len(first) :]
        shared += _shared(runs, allowed, both, least)
        total += both
        areas.append(runs.areas[: len(first)])
    union = total - shared
    iou = np.divide(shared, union, out=np.zeros(union.shape), where=union > 0)
    return iou, np.concatenate(areas, axis=1)


def _shared(runs: Runs, allowed: np.ndarray, total: np.ndarray, least: float) -> np.ndarray:
    """``(D, G)`` int64 pixels shared over all frames, 0 for pairs that cannot reach an IoU of `least`.

    Args:
        runs: D tracks and then G others.
        allowed: ``(D, G)`` bool, which pairs to compare.
        total: ``(D, G)`` int64 pixels of both.
        least: see above.
    """
    shared, num_first = np.zeros(allowed.shape, np.int64), len(allowed)
    most = _at_most(runs, num_first)
    worthwhile = allowed & (most > 0) & (most * (1 + least) >= total * least)
    for d, g in np.argwhere(worthwhile).tolist():
        both = zip(runs.edges[d], runs.edges[num_first + g], strict=True)
        starts, stops = (_merged(*edges) for edges in both)
        # Both have what lies from the second of all starts to the first of all stops, from the third to the
        # second and so on.
        shared[d, g] = np.maximum(stops[:-1] - starts[1:], 0).sum(dtype=np.int64)
    return shared


def _merged(first: np.ndarray, second: np.ndarray) -> np.ndarray:
    """Two sorted arrays as one."""
    both = np.concatenate([first, second])
    both.sort(kind="stable")  # it merges what is sorted, in half the time of any other kind
    return both


def _at_most(runs: Runs, num_first: int) -> np.ndarray:
    """``(D, G)`` int64: no pair shares more than the boxes do, or than the smaller mask has."""
    first, second = runs.boxes[:, :num_first, None], runs.boxes[:, None, num_first:]
    left, top = np.maximum(first[:2], second[:2])
    right, bottom = np.minimum(first[2:], second[2:])
    boxes = np.maximum(right - left, 0) * np.maximum(bottom - top, 0)
    masks = np.minimum(runs.areas[:num_first, None], runs.areas[num_first:])
    return np.minimum(boxes, masks).sum(axis=2, dtype=np.int64)
