"""YouTube-VIS 2019, 2021 and 2022 and OVIS: one json file, frames in a folder.

The json is that of the official annotations (youtubevos/cocoapi): ``videos`` with ``file_names``,
``width``, ``height`` and ``length``, ``annotations`` of a track each with ``segmentations``, ``bboxes`` and
``areas`` for every frame, null where the object is not visible. Public validation sets have no
``annotations``.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

from msnvis.datasets.formats import coco_json, output
from msnvis.datasets.formats.base import DatasetFormat, Frames, dataset_formats
from msnvis.datasets.formats.coco_json import Categories
from msnvis.datasets.formats.fields import field, flag, size
from msnvis.datasets.formats.frames import frame_file, images_folder, posix
from msnvis.datasets.formats.segmentations import read_masks
from msnvis.datasets.problems import Problems
from msnvis.datasets.video import AnnotatedTrack, AnnotatedVideo, VideoDataset
from msnvis.io.formats.reading import entry_name
from msnvis.io.formats.ytvis import mask_lists
from msnvis.io.writers.json_stream import write_annotations

#: The folder of the frames, as in the official layout.
FRAMES = "JPEGImages"


@dataset_formats.register(
    "ytvis", summary="YouTube-VIS 2019, 2021, 2022 and OVIS: a json file, frames in JPEGImages; also written"
)
class YtvisFormat(DatasetFormat):
    writes = True

    def read(self, path: Path, images: Path | None, problems: Problems) -> VideoDataset:
        content, file = coco_json.load(path)
        categories = Categories.read(coco_json.entries(content, "categories", file), file, problems)
        entries = coco_json.entries(content, "videos", file)
        folder = images_folder(file, images, _first_name(entries), FRAMES)
        videos: dict[int, AnnotatedVideo] = {}
        for place, entry in enumerate(entries):
            with problems.noted(file, entry_name("video", entry, place), "video"):
                video = _video(entry, folder)
                if video.id in videos:
                    raise ValueError("an earlier video has the same id")
                videos[video.id] = video
        tracks: dict[int, list[AnnotatedTrack]] = {number: [] for number in videos}
        taken: set[int] = set()
        listed = coco_json.known_ids(entries)
        for place, entry in enumerate(coco_json.entries(content, "annotations", file, optional=True)):
            with problems.noted(file, entry_name("annotation", entry, place), "annotation"):
                video = _video_of(entry, videos, listed)
                track = _track(entry, video, categories)
                if track.id in taken:
                    raise ValueError("an earlier annotation has the same id")
                taken.add(track.id)
                tracks[video.id].append(track)
        return VideoDataset(
            categories.names,
            categories.ids,
            [replace(video, tracks=tuple(tracks[number])) for number, video in videos.items()],
        )

    def write(self, dataset: VideoDataset, folder: Path, frames: Frames) -> None:
        names = output.file_names(dataset.videos)
        output.place_frames(dataset.videos, names, folder / FRAMES, frames)
        header = {
            "info": output.INFO,
            "videos": [_video_json(v, n) for v, n in zip(dataset.videos, names, strict=True)],
            "categories": coco_json.categories_json(dataset),
        }
        write_annotations(folder / coco_json.ANNOTATIONS, header, _annotations(dataset))


def _first_name(entries: list[Any]) -> str | None:
    """The first frame that the file names, if it is in order so far."""
    try:
        return str(entries[0]["file_names"][0])
    except (KeyError, IndexError, TypeError):
        return None


def _video(entry: Any, folder: Path) -> AnnotatedVideo:
    number = field(entry, "id", int)
    names = field(entry, "file_names", list)
    if not names or not all(isinstance(name, str) for name in names):
        raise ValueError("its 'file_names' are not a list of names")
    length = field(entry, "length", int, len(names))
    if length != len(names):
        raise ValueError(f"its length is {length}, but it has {len(names)} file names")
    return AnnotatedVideo(
        id=number,
        name=field(entry, "name", str, posix(names[0]).parent.name or str(number)),
        size=size(entry),
        frames=tuple(frame_file(folder, name) for name in names),
        fps=coco_json.fps(entry),
    )


def _video_of(entry: Any, videos: Mapping[int, AnnotatedVideo], listed: set[int]) -> AnnotatedVideo:
    number = field(entry, "video_id", int)
    if number not in videos:
        what = "itself has a problem" if number in listed else "is not in the file"
        raise ValueError(f"its video {number} {what}")
    return videos[number]


def _track(entry: Any, video: AnnotatedVideo, categories: Categories) -> AnnotatedTrack:
    masks, _ = read_masks(entry, video.size, video.num_frames)
    for key in ("bboxes", "areas"):
        values = field(entry, key, list, None)
        if values is not None and len(values) != video.num_frames:
            raise ValueError(f"it has {len(values)} {key} for the {video.num_frames} frames of its video")
    height, width = video.size
    claimed = field(entry, "height", int, height), field(entry, "width", int, width)
    if claimed != video.size:
        raise ValueError(f"its height and width are {claimed}, those of its video {video.size}")
    rles = {index: rle for index, rle in enumerate(masks) if rle is not None}
    return AnnotatedTrack(field(entry, "id", int), categories.label(entry), rles, flag(entry, "iscrowd"))


def _video_json(video: AnnotatedVideo, names: list[str]) -> dict[str, Any]:
    height, width = video.size
    return {
        "id": video.id,
        "name": video.name,
        "height": height,
        "width": width,
        "length": video.num_frames,
        "fps": video.fps,
        "file_names": names,
    }


def _annotations(dataset: VideoDataset) -> Iterator[dict[str, Any]]:
    for video in dataset.videos:
        for track in video.tracks:
            yield {
                "id": track.id,
                "video_id": video.id,
                "category_id": dataset.category_ids[track.label],
                "iscrowd": int(track.crowd),
                "height": video.size[0],
                "width": video.size[1],
                "length": video.num_frames,
                **mask_lists(dict(track.rles), video.num_frames),  # some are decoded each time
            }
