"""Tracks as runs of pixels, down the columns of one frame after the other."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import pairwise

import numpy as np

from msnvis import masks as mask_ops
from msnvis.masks import RLE

#: Positions and numbers of pixels of a track are int32.
MOST_PIXELS = 2**31 - 1
#: Masks that are read at a time: more would leave the processor's cache.
_MASKS_AT_ONCE = 600


@dataclass(frozen=True)
class Runs:
    """D tracks over T frames.

    Attributes:
        edges: of each track two ``(R,)`` int32: the pixel at which each run starts, and the one behind its
            last, counted down the columns of one frame after the other. Runs may be empty.
        areas: ``(D, T)`` int32 pixels.
        boxes: ``(4, D, T)`` int32 left, top, right and bottom of the box around each mask, the last two
            behind it; of no use where there is none.
    """

    edges: list[tuple[np.ndarray, np.ndarray]]
    areas: np.ndarray
    boxes: np.ndarray


def read_runs(tracks: Sequence[Sequence[RLE | None]], size: tuple[int, int], num_frames: int) -> Runs:
    """The runs of tracks that have a mask of `size` or None for each of T frames (at least one).

    Args:
        tracks: D tracks.
        size: ``(height, width)``.
        num_frames: T; all of them have at most `MOST_PIXELS`.

    Raises ValueError when a mask is malformed; `masks.validate` then says which.

    >>> rle = mask_ops.encode(np.array([[[0, 1, 1], [1, 1, 0]]], bool))[0]
    >>> runs = read_runs([[None, rle]], (2, 3), num_frames=2)
    >>> start, stop = runs.edges[0]
    >>> start[stop > start].tolist(), stop[stop > start].tolist(), runs.areas.tolist()
    ([7], [11], [[0, 4]])
    """
    parts = list(_read_parts(tracks, size, num_frames))
    areas = [np.zeros((0, num_frames), np.int32), *(part.areas for part in parts)]
    boxes = [np.zeros((4, 0, num_frames), np.int32), *(part.boxes for part in parts)]
    edges = [edges for part in parts for edges in part.edges]
    return Runs(edges, np.concatenate(areas), np.concatenate(boxes, axis=1))


def _read_parts(
    tracks: Sequence[Sequence[RLE | None]], size: tuple[int, int], num_frames: int
) -> Iterator[Runs]:
    step = max(1, _MASKS_AT_ONCE // num_frames)
    nothing = mask_ops.encode_crop(np.zeros((0, 0), bool), 0, 0, size)["counts"]
    for start in range(0, len(tracks), step):
        some = tracks[start : start + step]
        counts = [rle["counts"] if rle else nothing for masks in some for rle in masks]
        yield _read(counts, size, num_frames)


def _read(counts: list[bytes], size: tuple[int, int], num_frames: int) -> Runs:
    height, width = np.int32(size[0]), np.int32(size[1])
    frame = np.tile(np.arange(num_frames, dtype=np.int32), len(counts) // num_frames)
    start, stop, first = mask_ops.run_edges(counts, size, frame * (height * width))
    length = stop - start
    areas = np.add.reduceat(length, first[:-1], dtype=np.int32)
    column = start // height
    top = start - column * height
    bottom = top + length
    # Without the last run, which is empty, or the last two.
    last = first[1:] - 2
    last = np.maximum(last - (length[last] == 0), first[:-1])
    spans = np.stack([first[:-1], last + 1], axis=1).ravel()
    highest, lowest = np.minimum.reduceat(top, spans)[::2], np.maximum.reduceat(bottom, spans)[::2]
    # Runs that go on in the next column reach from the top to the bottom.
    highest, lowest = np.where(lowest > height, 0, highest), np.minimum(lowest, height)
    left, right = column[first[:-1]], (stop[last] - 1) // height + 1
    boxes = np.stack([left - frame * width, highest, right - frame * width, lowest])
    shape = (-1, num_frames)
    tracks = first[::num_frames].tolist()
    edges = [(start[i:j], stop[i:j]) for i, j in pairwise(tracks)]
    return Runs(edges, areas.reshape(shape), boxes.reshape(4, *shape))
