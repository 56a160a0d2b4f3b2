"""Tracks cut into vertical pieces, each within one column: what two share is then simple arithmetic."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from msnvis import masks as mask_ops
from msnvis.masks import RLE


@dataclass(frozen=True)
class Pieces:
    """D tracks over T frames, in P pieces.

    Attributes:
        column: ``(P,)`` int64 frame times the width of a frame, plus the column within it; growing along a
            track.
        top: ``(P,)`` int64 first row.
        bottom: ``(P,)`` int64 row behind the last; that of an empty piece is its top.
        first: ``(D + 1,)`` int64 at which piece each track begins.
        areas: ``(D, T)`` int64 pixels.
        boxes: ``(4, D, T)`` int64 left, top, right and bottom of the box around each mask, the last two
            behind it; of no use where there is none.
    """

    column: np.ndarray
    top: np.ndarray
    bottom: np.ndarray
    first: np.ndarray
    areas: np.ndarray
    boxes: np.ndarray


def cut(tracks: Sequence[Sequence[RLE | None]], size: tuple[int, int], num_frames: int) -> Pieces:
    """Cut tracks that have a mask of `size` or None for each frame.

    Raises ValueError when a mask is malformed; `masks.validate` then says which.

    >>> rle = mask_ops.encode(np.array([[[0, 1, 1], [1, 1, 0]]], bool))[0]
    >>> pieces = cut([[None, rle]], (2, 3), num_frames=2)
    >>> pieces.areas.tolist(), pieces.column[pieces.bottom > pieces.top].tolist()
    ([[0, 4]], [3, 4, 5])
    """
    width = size[1]
    seen = np.array([[rle is not None for rle in masks] for masks in tracks], bool)
    seen = seen.reshape(len(tracks), num_frames)
    shown = [rle["counts"] for masks in tracks for rle in masks if rle]
    areas, boxes = np.zeros(seen.shape, np.int64), np.zeros((4, *seen.shape), np.int64)
    column, top, bottom, first = _cut(shown, size)
    if shown:
        place = np.arange(len(shown)) * width
        # The last two pieces of each mask are empty.
        starts, ends = first[:-1], first[1:] - 2
        spans = np.stack([starts, ends], axis=1).ravel()
        areas[seen] = np.add.reduceat(bottom - top, starts)
        boxes[0, seen], boxes[1, seen] = column[starts] - place, np.minimum.reduceat(top, spans)[::2]
        boxes[2, seen] = column[np.maximum(ends - 1, starts)] - place + 1
        boxes[3, seen] = np.maximum.reduceat(bottom, spans)[::2]
        column += np.repeat(np.nonzero(seen)[1] * width - place, np.diff(first))
    return Pieces(column, top, bottom, first[np.append(0, np.cumsum(seen.sum(axis=1)))], areas, boxes)


def _cut(counts: list[bytes], size: tuple[int, int]) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """Column, top and bottom of the pieces of N masks as if side by side, and ``(N + 1,)`` first."""
    height = size[0]
    background, foreground, first = mask_ops.run_pairs(counts, size)
    stop = background + foreground
    np.cumsum(stop, out=stop)
    column = (stop - foreground) // height
    bottom = stop - column * height
    top = bottom - foreground
    if bottom.max(initial=0) <= height:
        return column, top, bottom, first
    # Cut what goes on at the top of the next columns.
    parts = np.maximum(bottom - 1, 0) // height + 1
    ends = np.cumsum(parts)
    whole = np.repeat(np.arange(len(parts)), parts)
    later = np.arange(len(whole)) - (ends - parts)[whole]
    top = np.where(later == 0, top[whole], 0)
    bottom = np.minimum(bottom[whole] - later * height, height)
    return column[whole] + later, top, bottom, np.append(0, ends)[first]
