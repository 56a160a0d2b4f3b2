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
        top: ``(P,)`` int32 first row.
        bottom: ``(P,)`` int32 row behind the last; that of an empty piece is its top.
        first: ``(D + 1,)`` int64 at which piece each track begins.
        areas: ``(D, T)`` int32 pixels.
        boxes: ``(4, D, T)`` int32 left, top, right and bottom of the box around each mask, the last two
            behind it; of no use where there is none.
    """

    column: np.ndarray
    top: np.ndarray
    bottom: np.ndarray
    first: np.ndarray
    areas: np.ndarray
    boxes: np.ndarray

    def track(self, index: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Column, top and bottom of the pieces of one track."""
        part = slice(self.first[index], self.first[index + 1])
        return self.column[part], self.top[part], self.bottom[part]


def cut(tracks: Sequence[Sequence[RLE | None]], size: tuple[int, int], num_frames: int) -> Pieces:
    """Cut tracks (at least one) that have a mask of `size` or None for each frame (at least one).

    All their frames together may have 2^31 - 1 pixels.

    Raises ValueError when a mask is malformed; `masks.validate` then says which.

    >>> rle = mask_ops.encode(np.array([[[0, 1, 1], [1, 1, 0]]], bool))[0]
    >>> pieces = cut([[None, rle]], (2, 3), num_frames=2)
    >>> pieces.areas.tolist(), pieces.column[pieces.bottom > pieces.top].tolist()
    ([[0, 4]], [3, 4, 5])
    """
    width = size[1]
    nothing = mask_ops.encode_crop(np.zeros((0, 0), bool), 0, 0, size)["counts"]
    counts = [rle["counts"] if rle else nothing for masks in tracks for rle in masks]
    column, top, bottom, first = _cut(counts, size)
    starts, ends = first[:-1], first[1:] - 1
    ends = ends - (top[ends - 1] == bottom[ends - 1])  # the last piece of a mask is empty, or the last two
    spans = np.stack([starts, ends], axis=1).ravel()
    place = np.arange(len(counts), dtype=np.int32) * width
    boxes = np.stack(
        [
            column[starts] - place,
            np.minimum.reduceat(top, spans)[::2],
            column[np.maximum(ends - 1, starts)] - place + 1,
            np.maximum.reduceat(bottom, spans)[::2],
        ]
    )
    areas = np.add.reduceat(bottom - top, starts, dtype=np.int32)
    tracks_first = first[::num_frames]
    column = column.astype(np.int64)
    for number, start in enumerate(tracks_first[:-1].tolist()):
        column[start : tracks_first[number + 1]] -= number * num_frames * width
    shape = (len(tracks), num_frames)
    return Pieces(column, top, bottom, tracks_first, areas.reshape(shape), boxes.reshape(4, *shape))


def _cut(counts: list[bytes], size: tuple[int, int]) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """Column, top and bottom of the pieces of N masks as if side by side, and ``(N + 1,)`` first."""
    height = np.int32(size[0])
    background, foreground, first = mask_ops.run_pairs(counts, size)
    # NumPy sums up five times as quickly where input and output have different strides.
    both = np.empty((len(background), 2), np.int32)
    stop = np.cumsum(np.add(background, foreground, out=both[:, 0]), dtype=np.int32)
    start = stop - foreground
    column = start // height
    top = start - column * height
    bottom = top + foreground
    if bottom.max() <= height:
        return column, top, bottom, first
    # Cut what goes on at the top of the next columns.
    parts = np.maximum(bottom - 1, 0) // height + 1
    ends = np.cumsum(parts)
    whole = np.repeat(np.arange(len(parts)), parts)
    later = (np.arange(len(whole)) - (ends - parts)[whole]).astype(np.int32)
    top = np.where(later == 0, top[whole], np.int32(0))
    bottom = np.minimum(bottom[whole] - later * height, height)
    return column[whole] + later, top, bottom, np.append(0, ends)[first]
