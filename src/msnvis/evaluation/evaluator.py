"""The YouTube-VIS evaluation, from results and annotations to a `Report`."""

from __future__ import annotations

import gc
import math
from collections import defaultdict
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import fields

import numpy as np

from msnvis.errors import OptionError
from msnvis.evaluation.batches import (
    Batch,
    BrokenTruth,
    Key,
    Member,
    as_tracks,
    masks_of,
)
from msnvis.evaluation.curves import accumulate
from msnvis.evaluation.ground_truth import Annotations, GroundTruth, TrueVideo, read_ground_truth
from msnvis.evaluation.matching import CategoryMatches, Objects, Tracks, match
from msnvis.evaluation.overlap import compare
from msnvis.evaluation.problems import refuse
from msnvis.evaluation.report import Report
from msnvis.evaluation.resampling import intervals
from msnvis.evaluation.results import LoadedResults, Results, ResultsReader
from msnvis.evaluation.settings import ANY_CATEGORY
from msnvis.evaluation.workers import can_fork, spread
from msnvis.structures import VideoInstances

_NOTE_ON_0 = (
    "what is matched to the annotation with id 0 counts as wrong, as in the official evaluation, where 0 "
    "stands for no match; number annotations from 1"
)

#: With fewer, another process costs more than it saves.
_VIDEOS_PER_WORKER = 20
#: Of results that are read while processes work on them. It bounds the memory; the start of all processes,
#: once for each portion, is nothing beside the time of reading so many.
_MASKS_PER_PORTION = 40_000


@contextmanager
def _without_collector() -> Iterator[None]:
    """Nothing here leaves cycles; looking for them in all inputs again and again is a tenth of the work."""
    enabled = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if enabled:
            gc.enable()


@_without_collector()
def evaluate(
    results: Results,
    annotations: Annotations,
    *,
    class_agnostic: bool = False,
    bootstrap: int = 0,
    seed: int = 0,
    workers: int = 1,
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
        workers: processes that compare masks; no number changes with it. They are forked, on Linux while no
            other thread of Python runs; elsewhere, and for few videos, all takes place in this process.

    Raises:
        InputError: a file cannot be read, or entries of it are wrong; all are named or counted.
        OptionError: `bootstrap` is negative, or `workers` below 1.
        MsnvisError: a worker process ended too early.

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
    if workers < 1:
        raise OptionError(f"workers={workers} is no number of processes; give 1 or more")
    truth = read_ground_truth(annotations, check=False)
    categories = {ANY_CATEGORY: "all"} if class_agnostic else truth.categories
    try:
        workers = min(workers, len(truth.videos) // _VIDEOS_PER_WORKER) if can_fork() else 1
        matches = list(_match_all(results, truth, class_agnostic, max(workers, 1)))
    except BrokenTruth:
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


def _match_all(
    results: Results, truth: GroundTruth, class_agnostic: bool, workers: int
) -> Iterator[CategoryMatches]:
    """By category and then video, both by growing id."""
    members = _group_objects(truth, class_agnostic)
    found: dict[Key, list[Tracks]] = defaultdict(list)
    reader = ResultsReader(truth, class_agnostic)
    batches = (Batch(heads, members, class_agnostic) for heads in reader.batches(results))
    most = 0 if workers == 1 else math.inf if _in_memory(results) else _MASKS_PER_PORTION
    for batch, compared in spread(Batch.compare, _portions(batches, most), workers):
        compared = compared or batch.mended(reader)
        for key, tracks in batch.tracks(*compared) if compared else ():
            found[key].append(tracks)
    if not truth.checked:
        for key in members.keys() - found.keys():
            _check(members[key], truth.videos[key[1]])
    refuse(reader.problems)
    for key in sorted(found.keys() | members.keys()):
        objects = _objects(members.get(key, []))
        tracks = found.get(key) or [as_tracks([], np.zeros((0, 0)), np.zeros((0, len(objects.ids))))]
        category_id, video_id = key
        yield match(video_id, category_id, _join(tracks), objects)


def _in_memory(results: Results) -> bool:
    """Whether all masks are there before the evaluation begins."""
    if isinstance(results, list):
        return not any(isinstance(item, VideoInstances) for item in results)
    return isinstance(results, LoadedResults)


def _portions(batches: Iterable[Batch], most: float) -> Iterator[list[Batch]]:
    """What is to be in memory at a time: batches of up to `most` masks together, at least one."""
    portion: list[Batch] = []
    num_masks = 0
    for batch in batches:
        if portion and num_masks + batch.num_masks > most:
            yield portion
            portion, num_masks = [], 0
        portion.append(batch)
        num_masks += batch.num_masks
    if portion:
        yield portion


def _group_objects(truth: GroundTruth, class_agnostic: bool) -> dict[Key, list[Member]]:
    numbers = list(truth.categories)
    groups: dict[Key, list[Member]] = {}
    for video in truth.videos.values():
        members = zip(video.objects, video.areas, strict=True)
        # By category and then as annotated: without classes this decides between equal overlaps.
        for member in sorted(members, key=lambda member: member[0].label):
            category_id = ANY_CATEGORY if class_agnostic else numbers[member[0].label]
            groups.setdefault((category_id, video.id), []).append(member)
    return groups


def _check(members: list[Member], video: TrueVideo) -> None:
    """Decode objects that nothing was compared with."""
    try:
        compare(masks_of(members, video), [], video.size, np.zeros((len(members), 0), bool))
    except ValueError as error:
        raise BrokenTruth from error


def _objects(members: list[Member]) -> Objects:
    return Objects(
        ids=np.array([item.id for item, _ in members], np.int64),
        areas=np.array([area for _, area in members], np.float64),
        crowd=np.array([item.crowd for item, _ in members], bool),
    )


def _join(parts: list[Tracks]) -> Tracks:
    return Tracks(*(np.concatenate([getattr(part, f.name) for part in parts]) for f in fields(Tracks)))
