"""Tracks of one video and the objects of their categories, to be compared in any process."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

import numpy as np

from msnvis.datasets.formats.segmentations import encoded_masks
from msnvis.datasets.video import AnnotatedTrack
from msnvis.evaluation.ground_truth import TrueVideo
from msnvis.evaluation.matching import Tracks
from msnvis.evaluation.overlap import compare
from msnvis.evaluation.results import Head, ResultsReader
from msnvis.evaluation.settings import ANY_CATEGORY
from msnvis.masks import RLE

#: Category id and video id.
Key = tuple[int, int]
#: An object of the ground truth and its mean area.
Member = tuple[AnnotatedTrack, float]
#: IoU and areas, see `overlap.compare`.
Compared = tuple[np.ndarray, np.ndarray]


class BrokenTruth(ValueError):
    """A mask of the ground truth is malformed."""


class Batch:
    """Tracks of one video that follow each other in the results; tracks and objects of a category meet."""

    def __init__(self, heads: list[Head], members: Mapping[Key, list[Member]], class_agnostic: bool) -> None:
        self._heads, self._video = heads, heads[0].video
        self._categories = np.array([ANY_CATEGORY if class_agnostic else h.category_id for h in heads])
        self._groups = {c: members.get((c, self._video.id), []) for c in np.unique(self._categories).tolist()}
        lengths = [len(group) for group in self._groups.values()]
        self._of_objects = np.repeat(np.array(list(self._groups)), lengths)

    @property
    def num_masks(self) -> int:
        """At most so many masks of tracks."""
        return len(self._heads) * self._video.num_frames

    def compare(self) -> Compared | None:
        """IoU and areas, see `overlap.compare`; None where a mask is not as encoders write it."""
        _keep_freed_memory()
        size, num_frames = self._video.size, self._video.num_frames
        try:
            return self._compare([encoded_masks(head.content, size, num_frames) for head in self._heads])
        except (ValueError, TypeError, KeyError, AttributeError):
            return None

    def mended(self, reader: ResultsReader) -> Compared | None:
        """As `compare`, after a look at each mask; None where the results are refused.

        Raises `BrokenTruth` when it is not the results that are wrong.
        """
        tracks = reader.tracks(self._heads)
        if reader.problems.found:
            return None
        try:
            return self._compare([track.masks for track in tracks])
        except ValueError as error:
            raise BrokenTruth from error

    def tracks(self, iou: np.ndarray, areas: np.ndarray) -> Iterator[tuple[Key, Tracks]]:
        """The tracks of each category; `iou` and `areas` are what `compare` gave."""
        for category in self._groups:
            rows = np.flatnonzero(self._categories == category)
            heads = [self._heads[row] for row in rows]
            overlaps = iou[rows][:, self._of_objects == category]
            yield (category, self._video.id), as_tracks(heads, areas[rows], overlaps)

    def _compare(self, masks: list[list[RLE | None]]) -> Compared:
        members = [member for group in self._groups.values() for member in group]
        allowed = self._categories[:, None] == self._of_objects
        return compare(masks, masks_of(members, self._video), self._video.size, allowed)


def masks_of(members: Sequence[Member], video: TrueVideo) -> list[list[RLE | None]]:
    """The masks of objects in each frame."""
    return [[item.rles.get(frame) for frame in range(video.num_frames)] for item, _ in members]


def as_tracks(heads: list[Head], areas: np.ndarray, iou: np.ndarray) -> Tracks:
    """See `Tracks`; `areas` are those of each frame."""
    return Tracks(
        entries=np.array([head.entry for head in heads], np.int64),
        categories=np.array([head.category_id for head in heads], np.int64),
        scores=np.array([head.score for head in heads], np.float64),
        areas=areas.sum(axis=1) / np.maximum(np.count_nonzero(areas, axis=1), 1),
        iou=iou,
    )


def _keep_freed_memory() -> None:
    """Have glibc keep freed arrays of up to this size for the next ones; elsewhere it does nothing.

    glibc's ``malloc`` takes the largest block that it has given back to the system for what a program needs
    again and again (``M_MMAP_THRESHOLD`` in mallopt(3)). Without one it gives back every array of a video and
    then gets it anew, page by page, which takes an eighth of the time of an evaluation.
    """
    np.empty(1 << 24, np.uint8)
