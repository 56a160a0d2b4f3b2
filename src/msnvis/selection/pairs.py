"""Training pairs for selectors, by the recipe of FrameSelect (Garg & Goel, WACV 2021), as in the paper.

Every object is propagated from its first true mask. In each frame the segmenter's masks are matched to the
truth by the Hungarian method; an object's pair is its segmenter's mask and its propagated mask, and the label
says which has the higher IoU with the truth. The better one is propagated on (the oracle policy).

In the pipeline, objects begin with a mask of the segmenter and a selector makes mistakes. Pairs of such masks
are made on request: the start "segmenter" and `mistakes`. Nearest to use are the pairs that the tracker has
with a selector, which may be the one in training, as in DAgger (Ross et al., AISTATS 2011): mistakes follow
each other, masks drift, and a detection may be of another object.
"""

from __future__ import annotations

import random
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import product

import numpy as np

from msnvis import masks as mask_ops
from msnvis.datasets.video import AnnotatedVideo
from msnvis.masks import RLE
from msnvis.propagators import Propagator
from msnvis.segmenters import Segmenter
from msnvis.selection.base import Selector
from msnvis.structures import Detections
from msnvis.tracking.association import associate
from msnvis.tracking.tracker import Tracker, TrackingOptions

#: With which mask an object begins: its first true one, or the segmenter's where it first finds the object.
STARTS = ("truth", "segmenter")
#: Score of an object whose first true mask no detection matches.
UNSEEN_SCORE = 0.5


@dataclass(frozen=True)
class FramePairs:
    """The pairs of one frame; N objects.

    Attributes:
        frame: index in the video.
        start: one of `STARTS`.
        objects: ``(N,)`` int64 ids of the true tracks.
        first, second: the segmenter's and the propagated mask of each.
        truth: the true mask of each.
        ious: ``(N, 2)`` float32, of both with the truth.
        overlaps: ``(N,)`` float32, IoU of the two masks: in the pipeline only pairs above 0.1 are associated.
        scores: ``(N, 2)`` float32, of both as the tracker would have them.
    """

    frame: int
    start: str
    objects: np.ndarray
    first: list[RLE]
    second: list[RLE]
    truth: list[RLE]
    ious: np.ndarray
    overlaps: np.ndarray
    scores: np.ndarray


def video_pairs(
    video: AnnotatedVideo,
    segmenter: Segmenter,
    propagator: Propagator,
    directions: Sequence[str] = ("forward", "backward"),
    starts: Sequence[str] = ("truth",),
    mistakes: float = 0.0,
    selector: Selector | None = None,
) -> Iterator[FramePairs]:
    """All pairs of one annotated video, each direction and start in turn; the segmenter sees each frame once.

    Args:
        video: with frames.
        segmenter, propagator: whose masks are compared.
        directions: in which to go through it.
        starts: some of `STARTS`.
        mistakes: share of the decisions that are turned round; which ones depends on the video's name alone.
        selector: the pairs are those that the tracker asks this selector about; objects then begin with a
            mask of the segmenter, whatever `starts` says. None makes pairs by the recipe.

    Raises:
        InputError: a frame cannot be read.
    """
    segmenter.reset()
    found = [segmenter.segment([image])[0] for image in video.images()]
    for direction, start in product(directions, ("segmenter",) if selector else starts):
        order = range(video.num_frames) if direction == "forward" else reversed(range(video.num_frames))
        seed = f"{video.name} {direction} {start}"
        maker = (
            _OracleTracker(propagator, start, mistakes, seed)
            if selector is None
            else _AskingTracker(propagator, selector, len(segmenter.classes), mistakes, seed)
        )
        for frame in order:
            truth = {t.id: t.rles[frame] for t in video.tracks if frame in t.rles and not t.crowd}
            pairs = maker.step(frame, video.image(frame), truth, found[frame])
            if len(pairs.objects):
                yield pairs


class _OracleTracker:
    """Propagates every object and corrects it by whichever mask the truth prefers."""

    def __init__(self, propagator: Propagator, start: str, mistakes: float, seed: str) -> None:
        self.propagator = propagator
        self.start, self.mistakes, self.random = start, mistakes, random.Random(seed)
        self.scores: dict[int, float] = {}
        self.corrections: dict[int, RLE] = {}
        self.started = False

    def step(self, frame: int, image: np.ndarray, truth: Mapping[int, RLE], found: Detections) -> FramePairs:
        carried = self._propagate(image)
        ids = list(truth)
        iou_found = mask_ops.iou_matrix(found.rles, [truth[i] for i in ids])
        detected = {ids[j]: i for i, j in associate(iou_found, 0.0)}
        real = {i for i, area in zip(carried, mask_ops.areas(list(carried.values())), strict=True) if area}
        objects = [i for i in ids if i in detected and i in real]
        pairs = self._pairs(frame, objects, truth, found, detected, carried)
        self._correct(pairs, truth, found, detected, real)
        return pairs

    def _propagate(self, image: np.ndarray) -> dict[int, RLE]:
        if not self.started:
            self.started = True
            self.propagator.start(image, {})
            return {}
        carried = self.propagator.step_rles(image, self.corrections)
        self.corrections = {}
        self.scores = {i: score * TrackingOptions.score_decay for i, score in self.scores.items()}
        return carried

    def _pairs(
        self,
        frame: int,
        objects: list[int],
        truth: Mapping[int, RLE],
        found: Detections,
        detected: Mapping[int, int],
        carried: Mapping[int, RLE],
    ) -> FramePairs:
        first = [found.rles[detected[i]] for i in objects]
        second = [carried[i] for i in objects]
        wanted = [truth[i] for i in objects]
        scores = [(found.scores[detected[i]], self.scores[i]) for i in objects]
        return FramePairs(
            frame=frame,
            start=self.start,
            objects=np.array(objects, np.int64),
            first=first,
            second=second,
            truth=wanted,
            ious=np.stack([_paired_iou(first, wanted), _paired_iou(second, wanted)], axis=1),
            overlaps=_paired_iou(first, second),
            scores=np.array(scores, np.float32).reshape(-1, 2),
        )

    def _correct(
        self,
        pairs: FramePairs,
        truth: Mapping[int, RLE],
        found: Detections,
        detected: Mapping[int, int],
        real: set[int],
    ) -> None:
        """Take the better mask of a pair, any mask of a lost object, and the first mask of a new one."""
        chosen = {
            i: (ious[0] > ious[1]) != (self.random.random() < self.mistakes)
            for i, ious in zip(pairs.objects.tolist(), pairs.ious, strict=True)
        }
        for i, rle in truth.items():
            begins = i not in self.scores and self.start == "truth"
            if begins:
                self.corrections[i] = rle
            elif i in detected and (i not in real or chosen.get(i, False)):
                self.corrections[i] = found.rles[detected[i]]
            if i in detected or begins:
                score = float(found.scores[detected[i]]) if i in detected else UNSEEN_SCORE
                self.scores[i] = max(score, self.scores.get(i, 0.0))


class _AskingTracker:
    """The tracker of the pipeline; its pairs are what it asks its selector."""

    def __init__(
        self, propagator: Propagator, selector: Selector, num_classes: int, mistakes: float, seed: str
    ) -> None:
        self.asked = _Asked(selector, mistakes, seed)
        self.tracker = Tracker(propagator, self.asked, num_classes)

    def step(self, frame: int, image: np.ndarray, truth: Mapping[int, RLE], found: Detections) -> FramePairs:
        self.asked.first = self.asked.second = Detections.empty(found.size, found.class_scores.shape[1])
        self.tracker.step(image, found)
        first, second = self.asked.first, self.asked.second
        ids, wanted = np.array(list(truth), np.int64), list(truth.values())
        ious = np.stack([mask_ops.iou_matrix(side.rles, wanted) for side in (first, second)], axis=2)
        fits = ious.max(axis=2)
        # A pair is about the object that either mask fits best; one that fits none says nothing.
        about = np.flatnonzero((fits > 0).any(axis=1))
        objects = fits[about].argmax(axis=1) if len(about) else about
        first, second = first[about], second[about]
        return FramePairs(
            frame=frame,
            start="segmenter",
            objects=ids[objects],
            first=first.rles,
            second=second.rles,
            truth=[wanted[k] for k in objects],
            ious=ious[about, objects].astype(np.float32),
            overlaps=_paired_iou(first.rles, second.rles),
            scores=np.stack([first.scores, second.scores], axis=1),
        )


class _Asked(Selector):
    """Answers as another selector does, but for some mistakes; keeps what it was asked last."""

    def __init__(self, selector: Selector, mistakes: float, seed: str) -> None:
        self.selector, self.mistakes = selector, mistakes
        self.random = np.random.default_rng(list(seed.encode()))

    def prefer(self, image: np.ndarray, first: Detections, second: Detections) -> np.ndarray:
        self.first, self.second = first, second
        prefers_first = self.selector.prefer(image, first, second) >= 0.5
        is_mistake = self.random.random(len(first)) < self.mistakes
        return (prefers_first != is_mistake).astype(np.float32)


def _paired_iou(first: Sequence[RLE], second: Sequence[RLE]) -> np.ndarray:
    """``(N,)`` float32 IoU of each pair."""
    return np.diag(mask_ops.iou_matrix(first, second)).astype(np.float32)
