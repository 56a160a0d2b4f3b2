"""Detections of a whole video in little memory: what both directions share, and what each of them found."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

import numpy as np

from msnvis.structures import Detections


class DetectionStore:
    """Frame index -> `Detections`, with `class_scores` kept to three digits.

    Masks are kept as they are, not copied or packed: those that the tracker takes over from the segmenter,
    which are most, are then in memory once, however many stores hold them, and they go into the results.

    >>> store = DetectionStore()
    >>> store[7] = Detections.from_masks(np.ones((1, 2, 2), bool), [0.5], [[1.0]], ids=[3])
    >>> len(store), store[7].ids.tolist(), 8 in store
    (1, [3], False)
    """

    def __init__(self) -> None:
        self._frames: dict[int, Detections] = {}

    def __setitem__(self, index: int, detections: Detections) -> None:
        self._frames[index] = _with_scores_as(np.float16, detections)

    def __getitem__(self, index: int) -> Detections:
        return _with_scores_as(np.float32, self._frames[index])

    def __contains__(self, index: int) -> bool:
        return index in self._frames

    def __iter__(self) -> Iterator[int]:
        return iter(self._frames)

    def __len__(self) -> int:
        return len(self._frames)

    def pop(self, index: int) -> Detections:
        """Take a frame out; what is no longer needed must not fill the memory."""
        return _with_scores_as(np.float32, self._frames.pop(index))


def _with_scores_as(dtype: type[np.floating], detections: Detections) -> Detections:
    return replace(detections, class_scores=detections.class_scores.astype(dtype))
