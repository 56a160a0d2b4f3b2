"""Why objects were not found, and what the tracks that found nothing are: the story behind the number."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from itertools import groupby

import numpy as np
from scipy.optimize import linear_sum_assignment

from msnvis.evaluation.frames import FrameOverlap, PairedVideos, VideoTracks, frame_overlaps, pair_videos
from msnvis.evaluation.ground_truth import Annotations
from msnvis.evaluation.results import Results
from msnvis.evaluation.verdicts import (
    Diagnosis,
    ObjectDiagnosis,
    ObjectVerdict,
    Span,
    Thresholds,
    TrackDiagnosis,
    TrackVerdict,
)

#: More than any sum of IoUs in a video: the number of good matches is maximised first.
_FIRST = 1e4


def diagnose(
    results: Results,
    annotations: Annotations,
    *,
    class_agnostic: bool = False,
    score_threshold: float = 0.0,
    thresholds: Thresholds | None = None,
) -> Diagnosis:
    """Say of every object what became of it and of every track what it is; see `diagnose_videos`.

    Args:
        results: see `evaluate`.
        annotations: see `evaluate`.
        class_agnostic: ignore the classes, so that nothing is confused.
        score_threshold: tracks with a lower score are left out. Results for the average precision often hold
            many that nobody would show; without a threshold they are told as duplicates and false positives.
        thresholds: the defaults of `Thresholds` when not given.

    Raises `InputError` as `evaluate` does.

    >>> mask = {"size": [2, 2], "counts": "04"}
    >>> truth = {"videos": [{"id": 1, "width": 2, "height": 2, "length": 1}],
    ...          "categories": [{"id": 1, "name": "cat"}, {"id": 2, "name": "dog"}],
    ...          "annotations": [{"id": 1, "video_id": 1, "category_id": 1, "segmentations": [mask]}]}
    >>> found = [{"video_id": 1, "category_id": 2, "score": 0.5, "segmentations": [mask]}]
    >>> diagnose(found, truth).confusion()
    {'cat': {'dog': 1}}
    """
    paired = pair_videos(results, annotations, class_agnostic=class_agnostic, score_threshold=score_threshold)
    return diagnose_videos(paired, thresholds)


def diagnose_videos(paired: PairedVideos, thresholds: Thresholds | None = None) -> Diagnosis:
    """Diagnose every object and every track.

    In each frame a track covers the one object that it overlaps most, if their IoU reaches `cover_iou`.
    Objects and tracks that cover them are paired one to one so that there are, in this order, as many good
    matches of the right category, as many good matches and as much IoU as possible. In each frame an object
    is held by its own track if that covers it, else by the one of those covering it that covers it longest.

    Args:
        paired: the videos with what was found in them.
        thresholds: the defaults of `Thresholds` when not given.

    >>> diagnose_videos(PairedVideos(["cat"], [])).object_counts()["missed"]
    0
    """
    thresholds = thresholds or Thresholds()
    objects: list[ObjectDiagnosis] = []
    tracks: list[TrackDiagnosis] = []
    for video in paired.videos:
        case = _Case(video, paired.classes, thresholds)
        objects += [case.diagnose_object(g) for g, item in enumerate(video.objects) if not item.crowd]
        tracks += [case.diagnose_track(d) for d in range(len(video.tracks))]
    objects.sort(key=lambda item: (item.verdict.rank, item.iou, -item.frames, item.video, item.object))
    tracks.sort(key=lambda item: (item.verdict.rank, -item.score, item.video, item.track))
    return Diagnosis(objects, tracks, thresholds, paired.track_numbers)


class _Case:
    """One video with G objects, D tracks and T frames; `g` and `d` are positions among them.

    Attributes:
        iou: ``(G, D)`` of whole objects and tracks.
        covered: ``(T, D)`` the object that a track covers in a frame, -1 for none.
        frames_covered: ``(G, D)`` in how many frames the track covers the object.
        partners: ``{g: d}``.
        held: for each object ``{frame: d or None}`` over the frames in which it has pixels.
    """

    def __init__(self, video: VideoTracks, classes: Sequence[str], thresholds: Thresholds) -> None:
        self.video, self.classes, self.thresholds = video, classes, thresholds
        num_objects, num_tracks = len(video.objects), len(video.tracks)
        self.covered = np.full((video.num_frames, num_tracks), -1)
        self.object_frames: list[list[int]] = [[] for _ in video.objects]
        self.track_frames: list[list[int]] = [[] for _ in video.tracks]
        shared = np.zeros((num_objects, num_tracks))
        areas = np.zeros((num_objects, 1)), np.zeros((1, num_tracks))
        for overlap in frame_overlaps(video):
            for g in overlap.objects:
                self.object_frames[g].append(overlap.frame)
            for d in overlap.tracks:
                self.track_frames[d].append(overlap.frame)
            self.covered[overlap.frame, overlap.tracks] = _covered(overlap, thresholds.cover_iou)
            shared[np.ix_(overlap.objects, overlap.tracks)] += overlap.intersections
            areas[0][overlap.objects, 0] += overlap.object_areas
            areas[1][0, overlap.tracks] += overlap.track_areas
        self.iou = shared / np.maximum(areas[0] + areas[1] - shared, 1)
        self.frames_covered = np.array(
            [(self.covered == g).sum(axis=0) for g in range(num_objects)], np.int64
        )
        self.frames_covered = self.frames_covered.reshape(num_objects, num_tracks)
        self.partners = self._pair()
        self.held = [self._hold(g) for g in range(num_objects)]

    def _pair(self) -> dict[int, int]:
        right = np.array([[o.label == t.label for t in self.video.tracks] for o in self.video.objects], bool)
        good = self.iou >= self.thresholds.match_iou
        worth = self.iou + _FIRST * good + _FIRST**2 * (good & right.reshape(good.shape))
        worth[self.frames_covered == 0] = 0
        worth[[item.crowd for item in self.video.objects]] = 0
        pairs = zip(*linear_sum_assignment(worth, maximize=True), strict=True)
        return {int(g): int(d) for g, d in pairs if worth[g, d] > 0}

    def _hold(self, g: int) -> dict[int, int | None]:
        by_length = np.argsort(-self.frames_covered[g], kind="stable").tolist()
        order = sorted(by_length, key=lambda d: d != self.partners.get(g))
        return {
            frame: next((d for d in order if self.covered[frame, d] == g), None)
            for frame in self.object_frames[g]
        }

    def _holders(self, g: int) -> list[int]:
        """The tracks that hold the object for long enough to matter, longest first."""
        times = Counter(d for d in self.held[g].values() if d is not None)
        least = self.thresholds.switch_share * len(self.held[g])
        return [d for d, count in times.most_common() if count >= least]

    def diagnose_object(self, g: int) -> ObjectDiagnosis:
        item, frames = self.video.objects[g], self.object_frames[g]
        holders = self._holders(g)
        best = self.partners.get(g, holders[0] if holders else None)
        uncovered = sum(d is None for d in self.held[g].values())
        coverage = 1 - uncovered / len(frames) if frames else 0.0
        return ObjectDiagnosis(
            video=self.video.name,
            object=item.id,
            category=self.classes[item.label],
            verdict=self._object_verdict(g, holders, coverage),
            iou=float(self.iou[g, best]) if best is not None else 0.0,
            track=None if best is None else self.video.tracks[best].id,
            track_category=None if best is None else self.classes[self.video.tracks[best].label],
            frames=len(frames),
            coverage=coverage,
            spans=self._spans(g),
        )

    def _object_verdict(self, g: int, holders: list[int], coverage: float) -> ObjectVerdict:
        own = self.partners.get(g)
        good = own is not None and self.iou[g, own] >= self.thresholds.match_iou
        if coverage < self.thresholds.missed_share and not good:
            return ObjectVerdict.MISSED
        if good and self.video.tracks[own].label != self.video.objects[g].label:
            return ObjectVerdict.CONFUSED
        if len(holders) > 1 or own is None:
            return ObjectVerdict.SWITCHED
        if coverage < self.thresholds.fragmented_share:
            return ObjectVerdict.FRAGMENTED
        return ObjectVerdict.FOUND if good else ObjectVerdict.POOR_MASK

    def _spans(self, g: int) -> list[Span]:
        spans = []
        for d, run in groupby(self.held[g].items(), key=lambda pair: pair[1]):
            frames = [frame for frame, _ in run]
            spans.append(Span(frames[0], frames[-1], None if d is None else self.video.tracks[d].id))
        return spans

    def diagnose_track(self, d: int) -> TrackDiagnosis:
        track, frames = self.video.tracks[d], self.track_frames[d]
        g = self._object_of(d)
        item = None if g is None else self.video.objects[g]
        return TrackDiagnosis(
            video=self.video.name,
            track=track.id,
            category=self.classes[track.label],
            score=track.score,
            verdict=self._track_verdict(d, g),
            iou=0.0 if g is None else float(self.iou[g, d]),
            object=None if item is None else item.id,
            object_category=None if item is None else self.classes[item.label],
            first=frames[0] if frames else None,
            last=frames[-1] if frames else None,
        )

    def _object_of(self, d: int) -> int | None:
        """The track's partner, else the object that it covers most of the time."""
        for g, own in self.partners.items():
            if own == d:
                return g
        if not self.track_frames[d] or not self.video.objects:
            return None
        g = int(self.frames_covered[:, d].argmax())
        often = self.frames_covered[g, d] >= self.thresholds.duplicate_share * len(self.track_frames[d])
        return g if often else None

    def _track_verdict(self, d: int, g: int | None) -> TrackVerdict:
        if g is None:
            return TrackVerdict.FALSE_POSITIVE
        item = self.video.objects[g]
        if item.crowd:
            return TrackVerdict.CROWD
        if self.partners.get(g) == d and self.iou[g, d] >= self.thresholds.match_iou:
            right = item.label == self.video.tracks[d].label
            return TrackVerdict.MATCHED if right else TrackVerdict.CONFUSED
        if self.partners.get(g) == d or d in self._holders(g):
            return TrackVerdict.PARTIAL
        return TrackVerdict.DUPLICATE


def _covered(overlap: FrameOverlap, cover_iou: float) -> np.ndarray:
    """Of each track in a frame the object that it covers, -1 for none: ``(d,)``."""
    if not len(overlap.objects):
        return np.full(len(overlap.tracks), -1)
    iou = overlap.iou
    return np.where(iou.max(axis=0) >= cover_iou, overlap.objects[iou.argmax(axis=0)], -1)
