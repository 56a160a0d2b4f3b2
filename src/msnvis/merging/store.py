"""Detections of a whole video in little memory: what both directions share, and what each of them found."""

from __future__ import annotations

import zlib
from collections.abc import Iterator

import numpy as np

from msnvis.structures import Detections

_HEADER = np.dtype("<i8")


class DetectionStore:
    """Frame index -> `Detections`, each frame packed to bytes (see `pack`).

    A day of video fits on disk by replacing the dictionary; nothing else looks inside.

    >>> store = DetectionStore()
    >>> store[7] = Detections.from_masks(np.ones((1, 2, 2), bool), [0.5], [[1.0]], ids=[3])
    >>> len(store), store[7].ids.tolist(), 8 in store
    (1, [3], False)
    """

    def __init__(self) -> None:
        self._frames: dict[int, bytes] = {}

    def __setitem__(self, index: int, detections: Detections) -> None:
        self._frames[index] = pack(detections)

    def __getitem__(self, index: int) -> Detections:
        return unpack(self._frames[index])

    def __contains__(self, index: int) -> bool:
        return index in self._frames

    def __iter__(self) -> Iterator[int]:
        return iter(self._frames)

    def __len__(self) -> int:
        return len(self._frames)

    def pop(self, index: int) -> Detections:
        """Take a frame out; what is no longer needed must not fill the memory."""
        return unpack(self._frames.pop(index))


def pack(detections: Detections) -> bytes:
    """One frame as bytes: numbers and run lengths, compressed. `class_scores` are kept to three digits."""
    counts = [rle["counts"] for rle in detections.rles]
    ids = detections.ids
    header = [*detections.size, len(detections), detections.class_scores.shape[1], ids is not None]
    parts = [
        np.array(header, _HEADER),
        np.array([len(text) for text in counts], "<i4"),
        detections.scores.astype("<f4"),
        detections.class_scores.astype("<f2"),
        (ids if ids is not None else np.zeros(0)).astype("<i8"),
    ]
    return zlib.compress(b"".join([*(part.tobytes() for part in parts), *counts]), level=1)


def unpack(packed: bytes) -> Detections:
    """What `pack` was given."""
    data = zlib.decompress(packed)
    height, width, count, num_classes, has_ids = np.frombuffer(data, _HEADER, 5).tolist()
    offset = 5 * _HEADER.itemsize

    def take(dtype: str, length: int) -> np.ndarray:
        nonlocal offset
        values = np.frombuffer(data, dtype, length, offset).copy()
        offset += values.nbytes
        return values

    lengths = take("<i4", count)
    scores = take("<f4", count)
    class_scores = take("<f2", count * num_classes).reshape(count, num_classes).astype(np.float32)
    ids = take("<i8", count) if has_ids else None
    ends = offset + np.cumsum(lengths)
    size = [height, width]  # one list for all masks of the frame: there may be millions
    rles = [
        {"size": size, "counts": data[end - length : end]} for end, length in zip(ends, lengths, strict=True)
    ]
    return Detections((height, width), rles, scores, class_scores, ids)
