"""IoU of whole tracks, from the columns of pixels that they share."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np

from msnvis.evaluation.pieces import Pieces, cut
from msnvis.evaluation.settings import IOU_THRESHOLDS
from msnvis.masks import RLE

#: Masks that are worked on at a time: it bounds the memory.
_MASKS_AT_ONCE = 4000
#: Masks that are cut at a time: their runs stay in the processor's cache.
_MASKS_IN_CACHE = 128
#: Positions and numbers of pixels are int32.
_MOST_PIXELS = 2**31 - 1

#: Tracks over T frames, each with a mask or None for each frame.
_Masks = Sequence[Sequence[RLE | None]]


def compare(
    first: _Masks, second: _Masks, size: tuple[int, int], allowed: np.ndarray
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
    step = min(_MASKS_AT_ONCE // (len(first) + len(second)), _MOST_PIXELS // (size[0] * size[1]))
    step = min(num_frames, max(1, step))
    least = IOU_THRESHOLDS[0] if step == num_frames else 0.0
    shared, total = np.zeros(allowed.shape, np.int64), np.zeros(allowed.shape, np.int64)
    areas = []
    for start in range(0, num_frames, step):
        length = min(step, num_frames - start)
        some = _Tracks([masks[start : start + step] for masks in first], size, length)
        others = _Tracks([masks[start : start + step] for masks in second], size, length)
        shared += _shared(some, others, size, allowed, least)
        total += some.totals[:, None] + others.totals
        areas.append(some.areas)
    union = total - shared
    iou = np.divide(shared, union, out=np.zeros(union.shape), where=union > 0)
    return iou, np.concatenate(areas, axis=1)


class _Tracks:
    """D tracks over T frames, cut into pieces.

    Attributes:
        pieces: of each track its columns, tops and bottoms, see `Pieces`.
        areas: ``(D, T)`` int32, see `Pieces`.
        boxes: ``(4, D, T)`` int32, see `Pieces`.
        totals: ``(D,)`` int64 pixels over all frames.
    """

    def __init__(self, tracks: _Masks, size: tuple[int, int], num_frames: int) -> None:
        parts = list(_cut_all(tracks, size, num_frames))
        self.pieces = [part.track(index) for part in parts for index in range(len(part.areas))]
        self.areas = np.concatenate([np.zeros((0, num_frames), np.int32), *(part.areas for part in parts)])
        self.boxes = np.concatenate(
            [np.zeros((4, 0, num_frames), np.int32), *(part.boxes for part in parts)], axis=1
        )
        self.totals = self.areas.sum(axis=1, dtype=np.int64)


def _cut_all(tracks: _Masks, size: tuple[int, int], num_frames: int) -> Iterator[Pieces]:
    masks = min(_MASKS_IN_CACHE, _MOST_PIXELS // (size[0] * size[1]))
    step = max(1, masks // num_frames)
    for start in range(0, len(tracks), step):
        yield cut(tracks[start : start + step], size, num_frames)


def _shared(
    first: _Tracks, second: _Tracks, size: tuple[int, int], allowed: np.ndarray, least: float
) -> np.ndarray:
    """``(D, G)`` int64 pixels shared over all frames, 0 for pairs that cannot reach an IoU of `least`."""
    shared = np.zeros(allowed.shape, np.int64)
    most = _at_most(first, second)
    total = first.totals[:, None] + second.totals
    worthwhile = allowed & (most > 0) & (most * (1 + least) >= total * least)
    for g in np.flatnonzero(worthwhile.any(axis=0)):
        track = _Columns(*second.pieces[g], size[0], second.areas.shape[1] * size[1])
        for d in np.flatnonzero(worthwhile[:, g]):
            shared[d, g] = track.shared_with(*first.pieces[d])
    return shared


def _at_most(first: _Tracks, second: _Tracks) -> np.ndarray:
    """``(D, G)`` int64: no pair shares more than the boxes do, or than the smaller mask has."""
    left, top = np.maximum(first.boxes[:2, :, None], second.boxes[:2, None])
    right, bottom = np.minimum(first.boxes[2:, :, None], second.boxes[2:, None])
    boxes = np.maximum(right - left, 0) * np.maximum(bottom - top, 0)
    masks = np.minimum(first.areas[:, None], second.areas)
    return np.minimum(boxes, masks).sum(axis=2, dtype=np.int64)


class _Columns:
    """One track, for each column of each frame; see `Pieces` for column, top and bottom of its P pieces."""

    def __init__(
        self, column: np.ndarray, top: np.ndarray, bottom: np.ndarray, height: int, num_columns: int
    ) -> None:
        # An empty piece may lie one column behind the last frame.
        self._top, self._bottom = np.zeros((2, num_columns + 1), np.int32)
        self._top[column], self._bottom[column] = top, bottom
        self._height = height
        again = column[1:][column[1:] == column[:-1]]
        self._several = np.zeros(num_columns + 1, bool) if len(again) else None
        if self._several is not None:
            self._several[again] = True
            self._top[again] = self._bottom[again] = 0
            self._edges = self._edges_of(column, top, bottom)

    def shared_with(self, column: np.ndarray, top: np.ndarray, bottom: np.ndarray) -> int:
        """Pixels that a track has in common with this one."""
        shared = np.minimum(bottom, self._bottom.take(column))
        shared -= np.maximum(top, self._top.take(column))
        total = int(np.maximum(shared, 0, out=shared).sum(dtype=np.int32))
        return total + (self._shared_edges(self._edges_of(column, top, bottom)) if self._several is not None else 0)

    def _edges_of(self, column: np.ndarray, top: np.ndarray, bottom: np.ndarray) -> np.ndarray:
        """Where pieces start and stop, down the columns, in columns where this track has several pieces."""
        here = np.flatnonzero(self._several.take(column))
        base = (column[here] * self._height).astype(np.int32)
        return np.stack([base + top[here], base + bottom[here]])

    def _shared_edges(self, edges: np.ndarray) -> int:
        # Between the first and the second of all edges in order, the third and the fourth and so on, there is
        # one of the two tracks alone.
        both = np.sort(np.concatenate([self._edges, edges], axis=1), axis=None)
        alone = (both[1::2] - both[::2]).sum(dtype=np.int32)
        total = (self._edges[1] - self._edges[0]).sum() + (edges[1] - edges[0]).sum()
        return int(total - alone) // 2
