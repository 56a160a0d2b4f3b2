"""IoU of whole tracks, from the columns of pixels that they share."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from msnvis.evaluation.pieces import Pieces, cut
from msnvis.evaluation.settings import IOU_THRESHOLDS
from msnvis.masks import RLE

#: Masks that are worked on at a time: it bounds the memory, and more is not quicker.
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
        ``(D, T)`` int64 pixels of `first`.

    Raises ValueError when a mask is malformed; `masks.validate` then says which.

    >>> square = {"size": [2, 2], "counts": b"04"}
    >>> compare([[square, square]], [[square, None]], (2, 2), np.ones((1, 1), bool))
    (array([[0.5]]), array([[4, 4]]))
    """
    num_frames = len(first[0])
    step = min(num_frames, max(1, _MASKS_AT_ONCE // (len(first) + len(second))))
    least = IOU_THRESHOLDS[0] if step == num_frames else 0.0
    shared, total = np.zeros(allowed.shape, np.int64), np.zeros(allowed.shape, np.int64)
    areas = []
    for start in range(0, num_frames, step):
        length = min(step, num_frames - start)
        some = cut([masks[start : start + step] for masks in first], size, length)
        others = cut([masks[start : start + step] for masks in second], size, length)
        shared += _shared(some, others, size, allowed, least)
        total += some.areas.sum(axis=1)[:, None] + others.areas.sum(axis=1)
        areas.append(some.areas)
    union = total - shared
    iou = np.divide(shared, union, out=np.zeros(union.shape), where=union > 0)
    return iou, np.concatenate(areas, axis=1)


def _shared(
    first: Pieces, second: Pieces, size: tuple[int, int], allowed: np.ndarray, least: float
) -> np.ndarray:
    """``(D, G)`` int64 pixels shared over all frames, 0 for pairs that cannot reach an IoU of `least`."""
    shared = np.zeros(allowed.shape, np.int64)
    most = _at_most(first, second)
    total = first.areas.sum(axis=1)[:, None] + second.areas.sum(axis=1)
    worthwhile = allowed & (most > 0) & (most * (1 + least) >= total * least)
    for g in np.flatnonzero(worthwhile.any(axis=0)):
        track = _Columns(second, g, size)
        for d in np.flatnonzero(worthwhile[:, g]):
            shared[d, g] = track.shared_with(first, d)
    return shared


def _at_most(first: Pieces, second: Pieces) -> np.ndarray:
    """``(D, G)`` int64: no pair shares more than the boxes do, or than the smaller mask has."""
    left, top = np.maximum(first.boxes[:2, :, None], second.boxes[:2, None])
    right, bottom = np.minimum(first.boxes[2:, :, None], second.boxes[2:, None])
    boxes = np.maximum(right - left, 0) * np.maximum(bottom - top, 0)
    masks = np.minimum(first.areas[:, None], second.areas)
    return np.minimum(boxes, masks).sum(axis=2)


class _Columns:
    """One track, for each column of each frame."""

    def __init__(self, pieces: Pieces, track: int, size: tuple[int, int]) -> None:
        part = slice(pieces.first[track], pieces.first[track + 1])
        seen = np.flatnonzero(pieces.bottom[part] > pieces.top[part]) + part.start
        column, top, bottom = pieces.column[seen], pieces.top[seen], pieces.bottom[seen]
        # An empty piece may lie one column behind the last frame.
        length = pieces.areas.shape[1] * size[1] + 1
        self._top, self._bottom = np.zeros(length, np.int64), np.zeros(length, np.int64)
        self._top[column], self._bottom[column] = top, bottom
        again = column[1:][column[1:] == column[:-1]]
        self._several = np.zeros(length, bool) if len(again) else None
        if self._several is not None:
            self._several[again] = True
            self._top[again] = self._bottom[again] = 0
            self._height = size[0]
            self._starts = np.append(column * size[0] + top, length * size[0])
            self._stops = column * size[0] + bottom
            self._pixels = np.append(0, np.cumsum(bottom - top))

    def shared_with(self, pieces: Pieces, track: int) -> int:
        """Pixels that `track` of `pieces` has in common with this one."""
        part = slice(pieces.first[track], pieces.first[track + 1])
        column, top, bottom = pieces.column[part], pieces.top[part], pieces.bottom[part]
        shared = np.minimum(bottom, self._bottom.take(column))
        shared -= np.maximum(top, self._top.take(column))
        total = int(np.maximum(shared, 0, out=shared).sum())
        if self._several is not None:
            many = np.flatnonzero(self._several.take(column))
            base = column[many] * self._height
            total += int((self._before(base + bottom[many]) - self._before(base + top[many])).sum())
        return total

    def _before(self, position: np.ndarray) -> np.ndarray:
        """Pixels of this track before a pixel, counted down the columns of all frames."""
        index = np.searchsorted(self._stops, position, side="right")
        return self._pixels[index] + np.maximum(position - self._starts[index], 0)
