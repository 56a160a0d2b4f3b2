"""Reading what is to be evaluated, track by track, from every form in which results come."""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from msnvis.datasets.formats.fields import field
from msnvis.datasets.formats.frames import posix
from msnvis.datasets.formats.segmentations import quick_masks, read_masks
from msnvis.datasets.problems import Problems
from msnvis.datasets.video import VideoDataset
from msnvis.errors import InputError
from msnvis.evaluation.ground_truth import GroundTruth, TrueVideo
from msnvis.evaluation.problems import refuse
from msnvis.io.formats import reading
from msnvis.io.formats.json_list import holds_list, read_list
from msnvis.io.formats.reading import entry_name
from msnvis.masks import RLE
from msnvis.structures import UNNAMED_CATEGORY, UNNAMED_CLASS, VideoInstances


@dataclass(frozen=True)
class LoadedResults:
    """Results that were read from disk once, to be evaluated in several ways; see `load_results`.

    Attributes:
        files: name and JSON content of each, unchecked.
    """

    files: list[tuple[str, Any]]


#: Everything that `evaluate` takes as results.
Results = (
    str
    | Path
    | LoadedResults
    | Mapping[str, Any]
    | VideoDataset
    | VideoInstances
    | Iterable[Mapping[str, Any] | VideoInstances]
)

#: Masks that are read at a time: it bounds the memory, and more is not quicker.
_MASKS_AT_ONCE = 2000
#: The file of each video in a folder of results.
TRACKS = "tracks.json"


@dataclass(frozen=True)
class FoundTrack:
    """One track of the results.

    Attributes:
        entry: position in the results, from 0.
        id: its number in the file; None where the file gives it none.
        video: in which it is.
        category_id: as in the ground truth, or any other number in a class-agnostic evaluation.
        score: finite.
        masks: one or None for each frame.
    """

    entry: int
    id: int | None
    video: TrueVideo
    category_id: int
    score: float
    masks: list[RLE | None]


def load_results(path: str | Path) -> LoadedResults:
    """Read a file or folder of results into memory; what it holds is checked when it is evaluated.

    Raises `InputError` when a file cannot be read, or the folder has none.
    """
    return LoadedResults(
        [(name, c if isinstance(c, Mapping) else list(c)) for name, c in _contents(Path(path))]
    )


def read_results(results: Results, truth: GroundTruth, class_agnostic: bool = False) -> Iterator[FoundTrack]:
    """The tracks in their order, each read when it is asked for.

    Args:
        results: see `evaluate`.
        truth: to whose videos they belong.
        class_agnostic: take tracks of classes that the ground truth does not know, or of none.

    Raises `InputError`, with all that is wrong, after the last track.
    """
    reader = ResultsReader(truth, class_agnostic)
    for batch in reader.batches(results):
        for track in reader.tracks(batch):
            if not reader.problems.found:
                yield track
    refuse(reader.problems)


@dataclass(frozen=True)
class Head:
    """A track whose masks have not been read.

    Attributes:
        entry: position in the results, from 0.
        file: that it is from, for messages.
        name: in the file, for messages.
        content: as in the file.
        video: in which it is.
        category_id: as in `FoundTrack`.
        score: finite.
    """

    entry: int
    file: str
    name: str
    content: Any
    video: TrueVideo
    category_id: int
    score: float


class ResultsReader:
    """Reads results in batches of tracks of one video; notes in `problems` what is wrong with them.

    Entries go around with the file that they are from and with what messages call them.
    """

    def __init__(self, truth: GroundTruth, class_agnostic: bool) -> None:
        self.problems = Problems()
        self._truth = truth
        self._class_agnostic = class_agnostic
        self._numbers = {name: number for number, name in truth.categories.items()}

    def batches(self, results: Results) -> Iterator[list[Head]]:
        """Tracks that follow each other in the results and are of the same video."""
        batch: list[Head] = []
        for head in self._heads(results):
            masks = (len(batch) + 1) * head.video.num_frames
            if batch and (head.video is not batch[0].video or masks > _MASKS_AT_ONCE):
                yield batch
                batch = []
            batch.append(head)
        if batch:
            yield batch

    def _heads(self, results: Results) -> Iterator[Head]:
        for place, (file, name, content) in enumerate(self._entries(results)):
            head = None
            with self.problems.noted(file, name, "result"):
                head = Head(place, file, name, content, *self._belongs(content))
            if head:
                yield head

    def tracks(self, batch: list[Head]) -> list[FoundTrack]:
        """The tracks of a batch, without those that something is wrong with."""
        video = batch[0].video
        try:
            masks = quick_masks([head.content for head in batch], video.size, video.num_frames)
        except (ValueError, TypeError, KeyError, AttributeError):
            masks = [self._masks(head) for head in batch]
        return [
            FoundTrack(head.entry, _own_id(head.content), video, head.category_id, head.score, read[0])
            for head, read in zip(batch, masks, strict=True)
            if read
        ]

    def _masks(self, head: Head) -> tuple[list[RLE | None], np.ndarray] | None:
        with self.problems.noted(head.file, head.name, "result"):
            return read_masks(head.content, head.video.size, head.video.num_frames)
        return None

    def _belongs(self, entry: Any) -> tuple[TrueVideo, int, float]:
        """Video, category and score; raises ValueError with what is wrong."""
        video = self._truth.videos.get(field(entry, "video_id", int))
        if video is None:
            raise ValueError(f"its video_id {entry['video_id']} is none of the videos of {self._truth.where}")
        category = field(entry, "category_id", int)
        if category not in self._truth.categories and not self._class_agnostic:
            raise ValueError(f"its category_id {category} is none of the categories of {self._truth.where}")
        score = field(entry, "score", float)
        if not math.isfinite(score):
            raise ValueError(f"its score is {score}, which cannot be ranked")
        return video, category, float(score)

    def _entries(self, results: Results) -> Iterator[tuple[str, str, Any]]:
        if isinstance(results, VideoDataset):
            results = map(results.instances, results.videos)
        elif isinstance(results, VideoInstances):
            results = [results]
        if isinstance(results, (str, Path)):
            yield from self._file_entries(_contents(Path(results)))
        elif isinstance(results, LoadedResults):
            yield from self._file_entries(results.files)
        elif isinstance(results, Mapping):
            yield from self._own_entries(results, "the results")
        else:
            for place, item in enumerate(results):
                if isinstance(item, VideoInstances):
                    yield from self._own_entries(item.to_ytvis(), f"video '{item.name}'")
                else:
                    yield "the results", f"entry {place}", item

    def _file_entries(self, files: Iterable[tuple[str, Any]]) -> Iterator[tuple[str, str, Any]]:
        for file, content in files:
            if isinstance(content, Mapping):
                yield from self._own_entries(content, file)
            else:
                for place, item in enumerate(content):
                    yield file, f"entry {place}", item

    def _own_entries(self, content: Mapping[str, Any], where: str) -> Iterator[tuple[str, str, Any]]:
        """Of ``tracks.json``, whose videos and categories have numbers of their own."""
        with reading.explained(where):
            videos = _video_numbers(content, self._truth)
            names = {c["id"]: c["name"] for c in field(content, "categories", list)}
            annotations = field(content, "annotations", list)
        names.setdefault(UNNAMED_CATEGORY, UNNAMED_CLASS)
        for place, entry in enumerate(annotations):
            name, translated = entry_name("track", entry, place), None
            with self.problems.noted(where, name, "result"):
                category = self._category(field(entry, "category_id", int), names)
                video = videos.get(field(entry, "video_id", int))
                translated = {**entry, "video_id": video, "category_id": category}
            # What nothing could name does not say of which class it is.
            if translated and (category != UNNAMED_CATEGORY or self._class_agnostic):
                yield where, name, translated

    def _category(self, number: int, names: Mapping[int, str]) -> int:
        """The number that the ground truth has for a class of the results."""
        name = names.get(number)
        if name not in self._numbers and number != UNNAMED_CATEGORY and not self._class_agnostic:
            raise ValueError(f"its class '{name}' is none of the categories of {self._truth.where}")
        return self._numbers.get(name, number)


def _contents(path: Path) -> Iterator[tuple[str, Any]]:
    """Name and content of each file: a JSON object, or the elements of a list, read one by one."""
    if not path.is_dir() and holds_list(path):
        yield str(path), read_list(path)
        return
    files = sorted(path.rglob(TRACKS)) if path.is_dir() else [path]
    if not files:
        raise InputError(f"{path} holds no {TRACKS}; give the folder that `msnvis run` wrote, or a file")
    for file in files:
        content, name = reading.load_json(file)
        yield name, content


def _own_id(entry: Any) -> int | None:
    number = entry.get("id")
    return number if type(number) is int else None


def _video_numbers(content: Mapping[str, Any], truth: GroundTruth) -> dict[int, int]:
    """Id of each video in the results -> its id in the ground truth.

    By name, because every file of `msnvis run` calls its only video 1. By id where there are as many videos
    as in the ground truth, under other names.
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
    return field(entry, "name", str, posix(str(names[0])).parent.name if names else "")
