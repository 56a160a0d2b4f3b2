"""Reading the ground truth of an evaluation: the json alone, without frames."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from msnvis import masks as mask_ops
from msnvis.datasets.formats.fields import MAX_FRAMES, flag, size
from msnvis.datasets.formats.fields import field as typed
from msnvis.datasets.formats.frames import posix
from msnvis.datasets.formats.segmentations import encoded_masks, read_masks
from msnvis.datasets.problems import Problems
from msnvis.datasets.video import AnnotatedTrack, AnnotatedVideo, VideoDataset
from msnvis.errors import InputError
from msnvis.evaluation.problems import refuse
from msnvis.io.formats import reading
from msnvis.io.formats.reading import entry_name
from msnvis.masks import RLE


@dataclass(frozen=True)
class TrueVideo:
    """A video of the ground truth.

    Attributes:
        id: as in the annotations.
        name: of the video, as a rule that of its folder of frames.
        size: ``(height, width)``.
        num_frames: of the video.
        objects: in the order of the annotations.
        areas: mean area of each object over the frames in which it is seen, as annotated; 0 for none.
    """

    id: int
    name: str
    size: tuple[int, int]
    num_frames: int
    objects: list[AnnotatedTrack] = field(default_factory=list)
    areas: list[float] = field(default_factory=list)


@dataclass(frozen=True)
class GroundTruth:
    """What results are compared with.

    Attributes:
        where: the file, for messages.
        categories: id -> name, by growing id; `AnnotatedTrack.label` counts in this order.
        videos: id -> video, by growing id.
        checked: whether all masks are known to be well-formed; otherwise some are known by their size alone.
    """

    where: str
    categories: dict[int, str]
    videos: dict[int, TrueVideo]
    checked: bool = True


#: Everything that `evaluate` takes as annotations.
Annotations = Mapping[str, Any] | str | Path | VideoDataset | GroundTruth


def read_ground_truth(annotations: Annotations, *, check: bool = True) -> GroundTruth:
    """Read YouTube-VIS annotations.

    Masks may be compressed or uncompressed run-length encodings or polygons; null, or empty, where the object
    is not seen. ``areas`` are believed where given, as the official evaluation does, and counted otherwise.

    Args:
        annotations: the json file, its content, a dataset, or what this function made of one of them.
        check: look into every mask. Who decodes them all anyway need not have them decoded twice.

    Raises `InputError`, with all that is wrong.
    """
    if isinstance(annotations, GroundTruth):
        return annotations
    if isinstance(annotations, VideoDataset):
        return _from_dataset(annotations)
    content, where = reading.load_json(annotations)
    problems = Problems()
    if "annotations" not in content:
        raise InputError(
            f"{where} has no annotations, as those of public validation and test sets, whose ground truth is "
            "not published; evaluate on videos that are annotated"
        )
    with reading.explained(where):
        lists = [typed(content, key, list) for key in ("videos", "categories", "annotations")]
    categories = _read_all(lists[1], "category", where, problems, _category)
    categories = dict(sorted(categories.items()))
    videos = _read_all(lists[0], "video", where, problems, _video)
    labels = {number: label for label, number in enumerate(categories)}
    taken: set[int] = set()
    for place, entry in enumerate(lists[2]):
        with problems.noted(where, entry_name("annotation", entry, place), "annotation"):
            _add_object(entry, videos, labels, taken, check)
    refuse(problems)
    return GroundTruth(where, categories, dict(sorted(videos.items())), check)


def _read_all(entries: Sequence[Any], kind: str, where: str, problems: Problems, read: Any) -> dict[int, Any]:
    found: dict[int, Any] = {}
    for place, entry in enumerate(entries):
        with problems.noted(where, entry_name(kind, entry, place), kind):
            number = typed(entry, "id", int)
            if number in found:
                raise ValueError(f"an earlier {kind} has the same id")
            found[number] = read(entry, number)
    return found


def _category(entry: Any, number: int) -> str:
    return typed(entry, "name", str, str(number))


def _video(entry: Any, number: int) -> TrueVideo:
    names = typed(entry, "file_names", list, [])
    length = typed(entry, "length", int, len(names))
    if names and length != len(names):
        raise ValueError(f"its length is {length}, but it has {len(names)} file names")
    if length < 1:
        raise ValueError("it has no frames: neither 'length' nor 'file_names'")
    if length > MAX_FRAMES and not names:
        raise ValueError(f"its length is {length}; more than {MAX_FRAMES} frames need 'file_names'")
    folder = posix(str(names[0])).parent.name if names else ""
    return TrueVideo(number, typed(entry, "name", str, folder or str(number)), size(entry), length)


def _add_object(
    entry: Any, videos: Mapping[int, TrueVideo], labels: Mapping[int, int], taken: set[int], check: bool
) -> None:
    number = typed(entry, "id", int)
    if number in taken:
        raise ValueError("an earlier annotation has the same id")
    taken.add(number)
    video = videos.get(typed(entry, "video_id", int))
    if video is None:
        raise ValueError(f"its video_id {entry['video_id']} is none of the videos")
    if typed(entry, "category_id", int) not in labels:
        raise ValueError(f"its category_id {entry['category_id']} is none of the categories")
    masks, areas = _masks_and_areas(entry, video, check)
    rles = {frame: rle for frame, rle in enumerate(masks) if rle}
    if len(areas) != video.num_frames:
        raise ValueError(f"it has {len(areas)} areas for the {video.num_frames} frames of its video")
    video.objects.append(AnnotatedTrack(number, labels[entry["category_id"]], rles, flag(entry, "iscrowd")))
    video.areas.append(mean_area(areas))


def _masks_and_areas(entry: Any, video: TrueVideo, check: bool) -> tuple[list[RLE | None], list[Any]]:
    areas = typed(entry, "areas", list, None)
    if areas is not None and not check:
        try:
            return encoded_masks(entry, video.size, video.num_frames), areas
        except (TypeError, KeyError, AttributeError, ValueError):
            pass  # they are not as encoders write them, or not for each frame
    masks, counted = read_masks(entry, video.size, video.num_frames)
    return masks, counted.tolist() if areas is None else areas


def mean_area(areas: Sequence[float | None]) -> float:
    """Over the frames in which there is any; 0 for none. Raises ValueError for what is no area."""
    seen = [area for area in areas if area]
    if not seen:
        return 0.0
    if not all(issubclass(kind, (int, float)) for kind in set(map(type, seen))):
        raise ValueError("its 'areas' are not numbers of pixels")
    array = np.array(seen)
    if not (array.min() > 0 and array.max() < np.inf):
        raise ValueError("its 'areas' are not numbers of pixels")
    return float(array.mean())


def _from_dataset(dataset: VideoDataset) -> GroundTruth:
    order = sorted(range(len(dataset.classes)), key=dataset.category_ids.__getitem__)
    categories = {dataset.category_ids[label]: dataset.classes[label] for label in order}
    labels = {label: rank for rank, label in enumerate(order)}
    videos = {video.id: _from_video(video, labels) for video in dataset.videos}
    return GroundTruth("the dataset", categories, dict(sorted(videos.items())))


def _from_video(video: AnnotatedVideo, labels: Mapping[int, int]) -> TrueVideo:
    objects = [AnnotatedTrack(t.id, labels[t.label], t.rles, t.crowd) for t in video.tracks]
    areas = [mean_area(mask_ops.areas(list(t.rles.values())).tolist()) for t in video.tracks]
    return TrueVideo(video.id, video.name, video.size, video.num_frames, objects, areas)
