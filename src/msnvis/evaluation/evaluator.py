"""The YouTube-VIS evaluation, from results and annotations to a `Report`."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import fields
from itertools import groupby, islice
from pathlib import Path
from typing import Any

import numpy as np

from msnvis.datasets.video import AnnotatedTrack, VideoDataset
from msnvis.errors import OptionError
from msnvis.evaluation.curves import accumulate
from msnvis.evaluation.ground_truth import GroundTruth, read_ground_truth
from msnvis.evaluation.matching import CategoryMatches, Objects, Tracks, match
from msnvis.evaluation.overlap import track_iou
from msnvis.evaluation.report import Report
from msnvis.evaluation.resampling import intervals
from msnvis.evaluation.results import FoundTrack, Results, read_results
from msnvis.evaluation.settings import ANY_CATEGORY

#: Tracks of one video that are compared at a time: it bounds the memory, and more is not quicker.
_TOGETHER = 50

#: Category id and video id.
_Key = tuple[int, int]
#: An object of the ground truth, its mean area and its pixels in each frame.
_Member = tuple[AnnotatedTrack, float, np.ndarray]


def evaluate(
    results: Results,
    annotations: Mapping[str, Any] | str | Path | VideoDataset,
    *,
    class_agnostic: bool = False,
    bootstrap: int = 0,
    seed: int = 0,
) -> Report:
    """Evaluate video instance segmentation, with the numbers of the official YouTube-VIS evaluation.

    Args:
        results: a file, its content, or what stands for it: the official list of ``{"video_id",
            "category_id", "score", "segmentations"}``; ``tracks.json`` of `msnvis run`, or a folder with
            many; `VideoInstances`, or a list of them; a `VideoDataset`. Videos and classes of our own forms
            are found by name in the annotations, those of the official list by id.
        annotations: YouTube-VIS json, as a file or its content, or a `VideoDataset`.
        class_agnostic: ignore the classes.
        bootstrap: number of samples of the videos (drawn with replacement) from which 95 % confidence
            intervals are taken; 0 for none.
        seed: of these samples.

    Raises:
        InputError: a file cannot be read, or entries of it are wrong; all are named or counted.
        OptionError: `bootstrap` is negative.

    >>> mask = {"size": [2, 2], "counts": "04"}
    >>> truth = {"videos": [{"id": 1, "width": 2, "height": 2, "length": 1}],
    ...          "categories": [{"id": 1, "name": "cat"}],
    ...          "annotations": [{"id": 1, "video_id": 1, "category_id": 1, "segmentations": [mask]}]}
    >>> found = [{"video_id": 1, "category_id": 1, "score": 0.5, "segmentations": [mask]}]
    >>> round(evaluate(found, truth).statistics["mAP"], 3)
    1.0
    """
    if bootstrap < 0:
        raise OptionError(f"bootstrap={bootstrap} is no number of samples; give 0 for none, or 1000")
    truth = read_ground_truth(annotations)
    categories = {ANY_CATEGORY: "all"} if class_agnostic else truth.categories
    matches = list(_match_all(results, truth, class_agnostic))
    precision, recall, scores = accumulate(matches, list(categories))
    return Report(
        categories=categories,
        videos={video.id: video.name for video in truth.videos.values()},
        precision=precision,
        recall=recall,
        scores=scores,
        matches=matches,
        intervals=intervals(matches, list(categories), list(truth.videos), bootstrap, seed),
        class_agnostic=class_agnostic,
    )


def _match_all(results: Results, truth: GroundTruth, class_agnostic: bool) -> Iterator[CategoryMatches]:
    """By category and then video, both by growing id."""
    members = _group_objects(truth, class_agnostic)
    found: dict[_Key, list[Tracks]] = defaultdict(list)
    for together in _batches(read_results(results, truth, class_agnostic), class_agnostic):
        key = _key(together[0], class_agnostic)
        found[key].append(_compare(together, members.get(key, [])))
    for category_id, video_id in sorted(found.keys() | members.keys()):
        key = (category_id, video_id)
        objects = _objects(members.get(key, []))
        tracks = found.get(key) or [_compare([], members[key])]
        yield match(video_id, category_id, _join(tracks), objects)


def _key(track: FoundTrack, class_agnostic: bool) -> _Key:
    return (ANY_CATEGORY if class_agnostic else track.category_id), track.video.id


def _group_objects(truth: GroundTruth, class_agnostic: bool) -> dict[_Key, list[_Member]]:
    numbers = list(truth.categories)
    groups: dict[_Key, list[_Member]] = defaultdict(list)
    for video in truth.videos.values():
        members = zip(video.objects, video.areas, video.pixels, strict=True)
        # By category and then as annotated: without classes this decides between equal overlaps.
        for member in sorted(members, key=lambda member: member[0].label):
            category_id = ANY_CATEGORY if class_agnostic else numbers[member[0].label]
            groups[category_id, video.id].append(member)
    return groups


def _batches(tracks: Iterable[FoundTrack], class_agnostic: bool) -> Iterator[list[FoundTrack]]:
    """Tracks of one video and category, out of what follows each other in the results for one video."""
    for _, run in groupby(tracks, key=lambda track: track.video.id):
        while some := list(islice(run, _TOGETHER)):
            some.sort(key=lambda track: _key(track, class_agnostic))
            for _, together in groupby(some, key=lambda track: _key(track, class_agnostic)):
                yield list(together)


def _compare(tracks: list[FoundTrack], members: list[_Member]) -> Tracks:
    iou = np.zeros((len(tracks), len(members)))
    if tracks and members:
        frames = range(tracks[0].video.num_frames)
        masks = [[item.rles.get(frame) for frame in frames] for item, _, _ in members]
        pixels = np.array([pixels for _, _, pixels in members])
        iou = track_iou([t.masks for t in tracks], np.array([t.areas for t in tracks]), masks, pixels)
    return Tracks(
        entries=np.array([track.entry for track in tracks], np.int64),
        categories=np.array([track.category_id for track in tracks], np.int64),
        scores=np.array([track.score for track in tracks], np.float64),
        areas=np.array([track.areas.sum() / max(np.count_nonzero(track.areas), 1) for track in tracks]),
        iou=iou,
    )


def _objects(members: list[_Member]) -> Objects:
    return Objects(
        ids=np.array([item.id for item, _, _ in members], np.int64),
        areas=np.array([area for _, area, _ in members], np.float64),
        crowd=np.array([item.crowd for item, _, _ in members], bool),
    )


def _join(parts: list[Tracks]) -> Tracks:
    return Tracks(*(np.concatenate([getattr(part, f.name) for part in parts]) for f in fields(Tracks)))
