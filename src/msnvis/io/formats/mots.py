"""MOTS text: a line is one mask, ``frame id class_id height width rle``, id = class id * 1000 + instance."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, NamedTuple

from msnvis import masks as mask_ops
from msnvis.errors import OutputError
from msnvis.io.formats import reading
from msnvis.structures import UNNAMED, UNNAMED_CATEGORY, Track, VideoInstances

#: Instances that one class can have.
MAX_INSTANCES = 1000


def lines(video: VideoInstances, size: tuple[int, int] | None = None) -> Iterator[str]:
    """One a mask, by frame and object, masks made disjoint by score; those with nothing left are left out."""
    size = size or video.size
    numbers = _object_ids(video)
    for index, tracks in enumerate(video.by_frame()):
        rles = mask_ops.resize([track.rles[index] for track in tracks], size)
        rles = mask_ops.without_overlaps(rles, [track.frame_scores[index] for track in tracks])
        masks = {track.id: rle for track, rle in zip(tracks, rles, strict=True) if mask_ops.areas([rle])[0]}
        for track in sorted(tracks, key=lambda track: numbers[track.id]):
            if track.id in masks:
                counts = masks[track.id]["counts"].decode("ascii")
                category = video.category_id(track)
                yield f"{index} {numbers[track.id]} {category} {size[0]} {size[1]} {counts}\n"


class Line(NamedTuple):
    """A mask as the text has it; `size` is ``(height, width)``."""

    frame: int
    object_id: int
    category: int
    size: tuple[int, int]
    counts: bytes


def parse(line: str) -> Line:
    """What a line holds, not checked further; raises ValueError.

    >>> parse("52 1005 1 375 1242 WSV").object_id
    1005
    """
    fields = line.split()
    if len(fields) != 6:
        raise ValueError(f"it has {len(fields)} fields, not the 6 of MOTS text")
    frame, object_id, category, height, width = map(int, fields[:5])
    if frame < 0:
        raise ValueError(f"frame {frame} is before the first")
    reading.track_id(object_id)
    return Line(frame, object_id, category, (height, width), fields[5].encode("ascii"))


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
            mask = parse(line)
            size = size or reading.frame_size(*mask.size)
            rle = {"size": list(mask.size), "counts": mask.counts}
            if mask.category not in labels:
                raise ValueError(f"class id {mask.category} has no name in `classes`")
            track = tracks.setdefault(
                mask.object_id, Track(mask.object_id % MAX_INSTANCES, labels[mask.category], 1.0)
            )
            track.rles[mask.frame] = mask_ops.validate(rle, size)
            track.frame_scores[mask.frame] = 1.0
            last = max(last, mask.frame)
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
