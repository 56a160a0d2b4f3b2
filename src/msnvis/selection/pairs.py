"""Training pairs for selectors, by the recipe of FrameSelect (Garg & Goel, WACV 2021), as in the paper.

Every object is propagated from its first true mask. In each frame the segmenter's masks are matched to the
truth by the Hungarian method; an object's pair is its segmenter's mask and its propagated mask, and the label
says which has the higher IoU with the truth. The better one is propagated on (the oracle policy).
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from msnvis import masks as mask_ops
from msnvis.datasets.video import AnnotatedVideo
from msnvis.masks import RLE
from msnvis.propagators import Propagator
from msnvis.segmenters import Segmenter
from msnvis.structures import Detections
from msnvis.tracking.association import associate
from msnvis.tracking.tracker import TrackingOptions

#: Score of an object whose first true mask no detection matches.
UNSEEN_SCORE = 0.5


@dataclass(frozen=True)
class FramePairs:
    """The pairs of one frame; N objects.

    Attributes:
        frame: index in the video.
        objects: ``(N,)`` int64 ids of the true tracks.
        first, second: the segmenter's and the propagated mask of each.
        ious: ``(N, 2)`` float32, of both with the truth.
        overlaps: ``(N,)`` float32, IoU of the two masks: in the pipeline only pairs above 0.1 are associated.
        scores: ``(N, 2)`` float32, of both as the tracker would have them.
    """

    frame: int
    objects: np.ndarray
    first: list[RLE]
    second: list[RLE]
    ious: np.ndarray
    overlaps: np.ndarray
    scores: np.ndarray


def video_pairs(
    video: AnnotatedVideo,
    segmenter: Segmenter,
    propagator: Propagator,
    directions: Sequence[str] = ("forward", "backward"),
) -> Iterator[FramePairs]:
    """All pairs of one annotated video, each direction in turn; the segmenter sees each frame once.

    Raises:
        InputError: a frame cannot be read.
    """
    segmenter.reset()
    found = [segmenter.segment([image])[0] for image in video.images()]
    for direction in directions:
        order = range(video.num_frames) if direction == "forward" else reversed(range(video.num_frames))
        oracle = _OracleTracker(propagator)
        for frame in order:
            truth = {t.id: t.rles[frame] for t in video.tracks if frame in t.rles and not t.crowd}
            pairs = oracle.step(frame, video.image(frame), truth, found[frame])
            if len(pairs.objects):
                yield pairs


class _OracleTracker:
    """Propagates every object and corrects it by whichever mask the truth prefers."""

    def __init__(self, propagator: Propagator) -> None:
        self.propagator = propagator
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
            objects=np.array(objects, np.int64),
            first=first,
            second=second,
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
        """Take the better mask of a pair, any mask of a lost object, and the true one of a new object."""
        better = dict(zip(pairs.objects.tolist(), pairs.ious[:, 0] > pairs.ious[:, 1], strict=True))
        for i, rle in truth.items():
            score = float(found.scores[detected[i]]) if i in detected else UNSEEN_SCORE
            if i not in self.scores:
                self.corrections[i] = rle
            elif i in detected and (better.get(i, False) or i not in real):
                self.corrections[i] = found.rles[detected[i]]
            if i in detected or i not in self.scores:
                self.scores[i] = max(score, self.scores.get(i, 0.0))


def _paired_iou(first: Sequence[RLE], second: Sequence[RLE]) -> np.ndarray:
    """``(N,)`` float32 IoU of each pair."""
    return np.diag(mask_ops.iou_matrix(first, second)).astype(np.float32)
