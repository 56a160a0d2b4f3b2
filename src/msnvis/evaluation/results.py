"""Reading what is to be evaluated, track by track, from every form in which results come."""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Any

import numpy as np

from msnvis.datasets.formats.fields import entry_name, field
from msnvis.datasets.problems import Problems
from msnvis.datasets.video import VideoDataset
from msnvis.errors import InputError
from msnvis.evaluation.ground_truth import GroundTruth, TrueVideo
from msnvis.evaluation.problems import refuse
from msnvis.datasets.formats.segmentations import read_masks
from msnvis.io.formats import reading
from msnvis.io.formats.json_list import holds_list, read_list
from msnvis.masks import RLE
from msnvis.structures import UNNAMED_CATEGORY, UNNAMED_CLASS, VideoInstances

#: Everything that `evaluate` takes as results.
Results = (
    str
    | Path
    | Mapping[str, Any]
    | VideoDataset
    | VideoInstances
    | Iterable[Mapping[str, Any] | VideoInstances]
)

#: The file of each video in a folder of results.
TRACKS = "tracks.json"


@dataclass(frozen=True)
class FoundTrack:
    """One track of the results.

    Attributes:
        entry: position in the results, from 0.
        video: in which it is.
        category_id: as in the ground truth, or any other number in a class-agnostic evaluation.
        score: finite.
        masks: one or None for each frame.
        areas: ``(T,)`` int64 pixels of them.
    """

    entry: int
    video: TrueVideo
    category_id: int
    score: float
    masks: list[RLE | None]
    areas: np.ndarray


@dataclass(frozen=True)
class _Entry:
    """An entry before it is checked, its numbers those of the ground truth, and how messages call it."""

    file: str
    name: str
    content: Any


def read_results(results: Results, truth: GroundTruth, class_agnostic: bool = False) -> Iterator[FoundTrack]:
    """The tracks in their order, each read when it is asked for.

    Args:
        results: see `evaluate`.
        truth: to whose videos they belong.
        class_agnostic: take tracks of classes that the ground truth does not know, or of none.

    Raises `InputError`, with all that is wrong, after the last track.
    """
    problems = Problems()
    for place, entry in enumerate(_entries(results, truth, class_agnostic)):
        track = None
        with problems.noted(entry.file, entry.name, "result"):
            track = _track(place, entry.content, truth, class_agnostic)
        if track and not problems.found:
            yield track
    refuse(problems)


def _track(place: int, entry: Any, truth: GroundTruth, class_agnostic: bool) -> FoundTrack:
    video = truth.videos.get(field(entry, "video_id", int))
    if video is None:
        raise ValueError(f"its video_id {entry['video_id']} is none of the videos of {truth.where}")
    category = field(entry, "category_id", int)
    if category not in truth.categories and not class_agnostic:
        raise ValueError(f"its category_id {category} is none of the categories of {truth.where}")
    score = field(entry, "score", float)
    if not math.isfinite(score):
        raise ValueError(f"its score is {score}, which cannot be ranked")
    return FoundTrack(place, video, category, float(score), *read_masks(entry, video.size, video.num_frames))


def _entries(results: Results, truth: GroundTruth, class_agnostic: bool) -> Iterator[_Entry]:
    if isinstance(results, VideoDataset):
        results = map(results.instances, results.videos)
    elif isinstance(results, VideoInstances):
        results = [results]
    if isinstance(results, (str, Path)):
        yield from _file_entries(Path(results), truth, class_agnostic)
    elif isinstance(results, Mapping):
        yield from _own_entries(results, "the results", truth, class_agnostic)
    else:
        for place, item in enumerate(results):
            if isinstance(item, VideoInstances):
                yield from _own_entries(item.to_ytvis(), f"video '{item.name}'", truth, class_agnostic)
            else:
                yield _Entry("the results", f"entry {place}", item)


def _file_entries(path: Path, truth: GroundTruth, class_agnostic: bool) -> Iterator[_Entry]:
    if not path.is_dir() and holds_list(path):
        for place, item in enumerate(read_list(path)):
            yield _Entry(str(path), f"entry {place}", item)
        return
    files = sorted(path.rglob(TRACKS)) if path.is_dir() else [path]
    if not files:
        raise InputError(
            f"{path} holds no {TRACKS}; give the folder that `msnvis run` wrote, or a results file"
        )
    for file in files:
        content, where = reading.load_json(file)
        yield from _own_entries(content, where, truth, class_agnostic)


def _own_entries(
    content: Mapping[str, Any], where: str, truth: GroundTruth, class_agnostic: bool
) -> Iterator[_Entry]:
    """Of ``tracks.json``, whose numbers of videos and categories need not be those of the ground truth."""
    with reading.explained(where):
        videos = _video_numbers(content, truth)
        names = {c["id"]: c["name"] for c in field(content, "categories", list)}
        annotations = field(content, "annotations", list)
    numbers = {name: number for number, name in truth.categories.items()}
    for place, entry in enumerate(annotations):
        name = entry_name("track", entry, place)
        with reading.explained(f"{where}: {name}"):
            category, video = field(entry, "category_id", int), field(entry, "video_id", int)
            class_name = names.get(category, UNNAMED_CLASS if category == UNNAMED_CATEGORY else None)
            if class_name in numbers:
                category = numbers[class_name]
            elif not class_agnostic:
                if category == UNNAMED_CATEGORY:
                    continue  # nothing named it, so it is no answer to which class it is
                raise ValueError(
                    f"its class '{class_name}' is none of the categories of {truth.where} (a class-agnostic "
                    "evaluation would take it)"
                )
            content = {**entry, "video_id": videos[video], "category_id": category}
        yield _Entry(where, name, content)


def _video_numbers(content: Mapping[str, Any], truth: GroundTruth) -> dict[int, int]:
    """Id of each video in the results -> its id in the ground truth.

    By name; every file of `msnvis run` calls its only video 1. By id where the names are unknown and no such
    file is at hand, or where there is one video on both sides.
    """
    entries = field(content, "videos", list)
    by_name: dict[str, list[int]] = {}
    for video in truth.videos.values():
        by_name.setdefault(video.name, []).append(video.id)
    numbers = {}
    for entry in entries:
        number, name = field(entry, "id", int), _name(entry)
        same = by_name.get(name, [])
        if len(same) == 1:
            numbers[number] = same[0]
        elif number in same or (number in truth.videos and len(entries) == len(truth.videos)):
            numbers[number] = number
        else:
            raise ValueError(f"its video '{name}' ({number}) is none of the videos of {truth.where}")
    return numbers


def _name(entry: Mapping[str, Any]) -> str:
    names = field(entry, "file_names", list, [])
    return field(entry, "name", str, PurePosixPath(str(names[0])).parent.name if names else "")
