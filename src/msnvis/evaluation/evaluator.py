"""The YouTube-VIS evaluation, from results and annotations to a `Report`."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Mapping
from dataclasses import fields

import numpy as np

from msnvis.datasets.formats.segmentations import encoded_masks
from msnvis.datasets.video import AnnotatedTrack
from msnvis.errors import OptionError
from msnvis.evaluation.curves import accumulate
from msnvis.evaluation.ground_truth import Annotations, GroundTruth, TrueVideo, read_ground_truth
from msnvis.evaluation.matching import CategoryMatches, Objects, Tracks, match
from msnvis.evaluation.overlap import compare
from msnvis.evaluation.problems import refuse
from msnvis.evaluation.report import Report
from msnvis.evaluation.resampling import intervals
from msnvis.evaluation.results import Head, Results, ResultsReader
from msnvis.evaluation.settings import ANY_CATEGORY
from msnvis.masks import RLE

_NOTE_ON_0 = (
    "what is matched to the annotation with id 0 counts as wrong, as in the official evaluation, where 0 "
    "stands for no match; number annotations from 1"
)


class _BrokenTruth(ValueError):
    """A mask of the ground truth is malformed."""


#: Category id and video id.
_Key = tuple[int, int]
#: An object of the ground truth and its mean area.
_Member = tuple[AnnotatedTrack, float]


def evaluate(
    results: Results,
    annotations: Annotations,
    *,
    class_agnostic: bool = False,
    bootstrap: int = 0,
    seed: int = 0,
) -> Report:
    """Evaluate video instance segmentation, with the numbers of the official YouTube-VIS evaluation.

    Args:
        results: a file, its content, or what stands for it: the official list of ``{"video_id",
            "category_id", "score", "segmentations"}``; ``tracks.json`` of `msnvis run`, or a folder with
            many; `VideoInstances`, or a list of them; a `VideoDataset`; files that `load_results` read.
            Videos and classes of our own forms are found by name in the annotations, those of the official
            list by id.
        annotations: YouTube-VIS json, as a file or its content; a `VideoDataset`; what `read_ground_truth`
            made of one of them.
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
    _keep_freed_memory()
    truth = read_ground_truth(annotations, check=False)
    categories = {ANY_CATEGORY: "all"} if class_agnostic else truth.categories
    try:
        matches = list(_match_all(results, truth, class_agnostic))
    except _BrokenTruth:
        read_ground_truth(annotations)  # it says what is wrong with which
        raise
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
        notes=tuple(_NOTE_ON_0 for item in matches if 0 in item.objects.ids),
    )


def _keep_freed_memory() -> None:
    """Have glibc keep freed arrays of up to this size for the next ones; elsewhere it does nothing.

    glibc's ``malloc`` takes the largest block that it has given back to the system for what a program needs
    again and again (``M_MMAP_THRESHOLD`` in mallopt(3)). Without one it gives back every array of a video and
    then gets it anew, page by page, which takes an eighth of the time of an evaluation.
    """
    np.empty(1 << 24, np.uint8)


def _match_all(results: Results, truth: GroundTruth, class_agnostic: bool) -> Iterator[CategoryMatches]:
    """By category and then video, both by growing id."""
    members = _group_objects(truth, class_agnostic)
    found: dict[_Key, list[Tracks]] = defaultdict(list)
    reader = ResultsReader(truth, class_agnostic)
    for batch in reader.batches(results):
        for key, tracks in _compare_batch(batch, reader, members, class_agnostic):
            found[key].append(tracks)
    if not truth.checked:
        for key in members.keys() - found.keys():
            _check(members[key], truth.videos[key[1]])
    refuse(reader.problems)
    for key in sorted(found.keys() | members.keys()):
        objects = _objects(members.get(key, []))
        tracks = found.get(key) or [_tracks([], np.zeros((0, 0)), np.zeros((0, len(objects.ids))))]
        category_id, video_id = key
        yield match(video_id, category_id, _join(tracks), objects)


def _group_objects(truth: GroundTruth, class_agnostic: bool) -> dict[_Key, list[_Member]]:
    numbers = list(truth.categories)
    groups: dict[_Key, list[_Member]] = {}
    for video in truth.videos.values():
        members = zip(video.objects, video.areas, strict=True)
        # By category and then as annotated: without classes this decides between equal overlaps.
        for member in sorted(members, key=lambda member: member[0].label):
            category_id = ANY_CATEGORY if class_agnostic else numbers[member[0].label]
            groups.setdefault((category_id, video.id), []).append(member)
    return groups


def _compare_batch(
    batch: list[Head], reader: ResultsReader, members: Mapping[_Key, list[_Member]], class_agnostic: bool
) -> Iterator[tuple[_Key, Tracks]]:
    """The tracks of a batch by category, compared with the objects of the same category."""
    video = batch[0].video
    categories = np.array([ANY_CATEGORY if class_agnostic else head.category_id for head in batch])
    groups = {c: members.get((c, video.id), []) for c in np.unique(categories).tolist()}
    objects = _masks([member for group in groups.values() for member in group], video)
    theirs = np.repeat(list(groups), [len(group) for group in groups.values()])
    allowed = categories[:, None] == theirs
    try:
        masks = [encoded_masks(head.content, video.size, video.num_frames) for head in batch]
        iou, areas = compare(masks, objects, video.size, allowed)
    except (ValueError, TypeError, KeyError, AttributeError):
        # Some masks are wrong, or not as encoders write them.
        tracks = reader.tracks(batch)
        if reader.problems.found:
            return
        try:
            iou, areas = compare([track.masks for track in tracks], objects, video.size, allowed)
        except ValueError as error:
            raise _BrokenTruth from error
    for category in groups:
        rows = np.flatnonzero(categories == category)
        some = [batch[row] for row in rows]
        yield (category, video.id), _tracks(some, areas[rows], iou[rows][:, theirs == category])


def _masks(members: list[_Member], video: TrueVideo) -> list[list[RLE | None]]:
    return [[item.rles.get(frame) for frame in range(video.num_frames)] for item, _ in members]


def _check(members: list[_Member], video: TrueVideo) -> None:
    """Decode objects that nothing was compared with."""
    try:
        compare(_masks(members, video), [], video.size, np.zeros((len(members), 0), bool))
    except ValueError as error:
        raise _BrokenTruth from error


def _tracks(heads: list[Head], areas: np.ndarray, iou: np.ndarray) -> Tracks:
    return Tracks(
        entries=np.array([head.entry for head in heads], np.int64),
        categories=np.array([head.category_id for head in heads], np.int64),
        scores=np.array([head.score for head in heads], np.float64),
        areas=areas.sum(axis=1) / np.maximum(np.count_nonzero(areas, axis=1), 1),
        iou=iou,
    )


def _objects(members: list[_Member]) -> Objects:
    return Objects(
        ids=np.array([item.id for item, _ in members], np.int64),
        areas=np.array([area for _, area in members], np.float64),
        crowd=np.array([item.crowd for item, _ in members], bool),
    )


def _join(parts: list[Tracks]) -> Tracks:
    return Tracks(*(np.concatenate([getattr(part, f.name) for part in parts]) for f in fields(Tracks)))
