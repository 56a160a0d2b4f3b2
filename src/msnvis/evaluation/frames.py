"""Objects and tracks of one video laid over each other, frame by frame."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Literal

import numpy as np

from msnvis import masks as mask_ops
from msnvis.datasets.video import AnnotatedTrack
from msnvis.evaluation.ground_truth import Annotations, read_ground_truth
from msnvis.evaluation.results import FoundTrack, Results, read_results
from msnvis.masks import RLE
from msnvis.structures import Track

#: What the numbers of tracks are: ids from the results, or positions in them.
TrackNumbers = Literal["id", "position"]


@dataclass(frozen=True)
class VideoTracks:
    """What is in a video and what was found in it.

    Attributes:
        name: of the video.
        num_frames: of the video.
        objects: the ground truth.
        tracks: the results.
    """

    name: str
    num_frames: int
    objects: Sequence[AnnotatedTrack]
    tracks: Sequence[Track]


@dataclass(frozen=True)
class PairedVideos:
    """All videos of a data set.

    Attributes:
        classes: names of the labels of objects and tracks.
        videos: those without results included.
        track_numbers: what the ids of the tracks are; positions in the results count from 0.
    """

    classes: Sequence[str]
    videos: Sequence[VideoTracks]
    track_numbers: TrackNumbers = "id"


@dataclass(frozen=True)
class FrameOverlap:
    """The objects and tracks that have pixels in one frame, g objects and d tracks.

    Attributes:
        frame: index from 0.
        objects: ``(g,)`` int64 positions in `VideoTracks.objects`.
        tracks: ``(d,)`` int64 positions in `VideoTracks.tracks`.
        object_areas: ``(g,)`` int64 pixels.
        track_areas: ``(d,)`` int64 pixels.
        intersections: ``(g, d)`` int64 pixels.
    """

    frame: int
    objects: np.ndarray
    tracks: np.ndarray
    object_areas: np.ndarray
    track_areas: np.ndarray
    intersections: np.ndarray

    @property
    def iou(self) -> np.ndarray:
        """``(g, d)`` float64."""
        both = self.object_areas[:, None] + self.track_areas[None, :]
        return self.intersections / (both - self.intersections)


def pair_videos(
    results: Results,
    annotations: Annotations,
    *,
    class_agnostic: bool = False,
    score_threshold: float = 0.0,
) -> PairedVideos:
    """Every annotated video with what was found in it.

    Tracks keep the ids that the results give them, if all have one and no two of a video the same; else they
    are known by their positions in the results.

    Args:
        results: see `evaluate`.
        annotations: see `evaluate`.
        class_agnostic: give everything the one class ``all``.
        score_threshold: tracks with a lower score are left out.

    Raises `InputError` as `evaluate` does.
    """
    truth = read_ground_truth(annotations)
    classes = ("all",) if class_agnostic else tuple(truth.categories.values())
    labels = {number: 0 if class_agnostic else label for label, number in enumerate(truth.categories)}
    results = [t for t in read_results(results, truth, class_agnostic) if t.score >= score_threshold]
    numbers = _track_numbers(results)
    found: dict[int, list[Track]] = defaultdict(list)
    for item in results:
        rles = {frame: rle for frame, rle in enumerate(item.masks) if rle}
        label = labels.get(item.category_id, 0)  # a class-agnostic result may have a category of its own
        number = item.id if numbers == "id" else item.entry
        found[item.video.id].append(Track(number, label, item.score, rles))
    videos = [
        VideoTracks(
            video.name,
            video.num_frames,
            [replace(item, label=0) for item in video.objects] if class_agnostic else video.objects,
            found[video.id],
        )
        for video in truth.videos.values()
    ]
    return PairedVideos(classes, videos, numbers)


def _track_numbers(tracks: Sequence[FoundTrack]) -> TrackNumbers:
    ids = {(track.video.id, track.id) for track in tracks if track.id is not None}
    return "id" if len(ids) == len(tracks) else "position"


def frame_overlaps(video: VideoTracks) -> Iterator[FrameOverlap]:
    """Each frame in order, those without anything included; a mask without pixels counts as absent.

    >>> square = mask_ops.encode(np.ones((1, 2, 2), bool))[0]
    >>> video = VideoTracks("clip", 1, [AnnotatedTrack(5, 0, {0: square})], [Track(0, 0, 1.0, {0: square})])
    >>> [frame.iou.tolist() for frame in frame_overlaps(video)]
    [[[1.0]]]
    """
    for frame in range(video.num_frames):
        objects, object_rles, object_areas = _present([item.rles for item in video.objects], frame)
        tracks, track_rles, track_areas = _present([item.rles for item in video.tracks], frame)
        shared = mask_ops.intersections(object_rles, track_rles)
        yield FrameOverlap(frame, objects, tracks, object_areas, track_areas, shared)


def _present(items: Sequence[Mapping[int, RLE]], frame: int) -> tuple[np.ndarray, list[RLE], np.ndarray]:
    """Positions, masks and areas of those that have pixels in the frame."""
    positions = [position for position, rles in enumerate(items) if frame in rles]
    areas = mask_ops.areas([items[position][frame] for position in positions])
    seen = [position for position, area in zip(positions, areas, strict=True) if area > 0]
    return np.array(seen, np.int64), [items[position][frame] for position in seen], areas[areas > 0]
