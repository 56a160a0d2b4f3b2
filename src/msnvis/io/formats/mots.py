"""MOTS text: a line is one mask, ``frame id class_id height width rle``, id = class id * 1000 + instance."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from msnvis import masks as mask_ops
from msnvis.errors import OutputError
from msnvis.io.formats import reading
from msnvis.structures import UNNAMED, UNNAMED_CATEGORY, Track, VideoInstances

#: Instances that one class can have.
MAX_INSTANCES = 1000


def lines(video: VideoInstances, size: tuple[int, int] | None = None) -> Iterator[str]:
    """One a mask, frame by frame, masks made disjoint by score; those with nothing left are left out."""
    size = size or video.size
    numbers = _object_ids(video)
    for index, tracks in enumerate(video.by_frame()):
        rles = mask_ops.resize([track.rles[index] for track in tracks], size)
        rles = mask_ops.without_overlaps(rles, [track.frame_scores[index] for track in tracks])
        for track, rle, area in zip(tracks, rles, mask_ops.areas(rles), strict=True):
            if area:
                counts = rle["counts"].decode("ascii")
                category = video.category_id(track)
                yield f"{index} {numbers[track.id]} {category} {size[0]} {size[1]} {counts}\n"


def read(text: str | Path, classes: Mapping[int, str], timestamps: Any, name: str) -> VideoInstances:
    where = str(text) if isinstance(text, Path) else "the MOTS text"
    named = {category: label for category, label in classes.items() if category != UNNAMED_CATEGORY}
    labels = {category: label for label, category in enumerate(named)} | {UNNAMED_CATEGORY: UNNAMED}
    tracks: dict[int, Track] = {}
    size = None
    last = -1
    with reading.explained(where):
        content = text.read_text(encoding="ascii") if isinstance(text, Path) else text
    for number, line in enumerate(content.splitlines(), start=1):
        with reading.explained(f"{where}: line {number}"):
            index, object_id, category, height, width, counts = line.split()
            size = size or reading.frame_size(int(height), int(width))
            rle = {"size": [int(height), int(width)], "counts": counts.encode("ascii")}
            if int(category) not in labels:
                raise ValueError(f"class id {category} has no name in `classes`")
            track = tracks.setdefault(
                int(object_id), Track(int(object_id) % MAX_INSTANCES, labels[int(category)], 1.0)
            )
            track.rles[int(index)] = mask_ops.validate(rle, size)
            track.frame_scores[int(index)] = 1.0
            last = max(last, int(index))
    if len({track.id for track in tracks.values()}) < len(tracks):  # numbered within each class
        for object_id, track in tracks.items():
            track.id = object_id
    with reading.explained(where):
        if timestamps is not None and len(timestamps) <= last:
            raise ValueError(f"frame {last} is beyond the {len(timestamps)} timestamps")
        seconds = reading.clock(timestamps, last + 1 if timestamps is None else len(timestamps))
    return VideoInstances(
        name, size or (0, 0), seconds, tuple(named.values()), list(tracks.values()), tuple(named)
    )


def _object_ids(video: VideoInstances) -> dict[int, int]:
    """Track id -> id in the file."""
    as_they_are = all(track.id < MAX_INSTANCES for track in video.tracks)
    counted: dict[int, int] = {}
    numbers = {}
    for track in video.tracks:
        category = video.category_id(track)
        counted[category] = counted.get(category, 0) + 1
        instance = track.id if as_they_are else counted[category]
        if instance >= MAX_INSTANCES:
            raise OutputError(
                f"'{video.name}' has too many tracks of class '{video.class_name(track)}' for MOTS text "
                f"(at most {MAX_INSTANCES - 1}); raise the score threshold or choose another format"
            )
        numbers[track.id] = category * MAX_INSTANCES + instance
    return numbers
