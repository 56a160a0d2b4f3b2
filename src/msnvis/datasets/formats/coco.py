"""COCO json: images, one video each, or frames of videos where images carry ``video_id``.

Such frames are ordered by ``frame_index`` (TAO, and what we write) or ``frame_id`` (CocoVID of mmtracking),
and masks are joined to tracks by ``track_id`` or ``instance_id``.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from msnvis import masks as mask_ops
from msnvis.datasets.formats import coco_json, output
from msnvis.datasets.formats.base import DatasetFormat, Frames, dataset_formats
from msnvis.datasets.formats.coco_json import Categories
from msnvis.datasets.formats.fields import field, flag, size
from msnvis.datasets.formats.frames import frame_file, images_folder
from msnvis.datasets.formats.tracks import TrackBuilder
from msnvis.datasets.problems import Problems
from msnvis.datasets.video import AnnotatedVideo, VideoDataset
from msnvis.io.formats.coco import mask_fields
from msnvis.io.formats.reading import entry_name
from msnvis.io.writers.json_stream import write_annotations

#: The folder that our files have their frames in.
FRAMES = "images"


@dataclass(frozen=True)
class _Image:
    id: int
    video_id: int | None
    order: int | None
    file: Path
    size: tuple[int, int]
    exhaustive: str


@dataset_formats.register(
    "coco", summary="COCO: a json file of images, or of frames with video_id and track_id; also written"
)
class CocoFormat(DatasetFormat):
    writes = True

    def read(self, path: Path, images: Path | None, problems: Problems) -> VideoDataset:
        content, file = coco_json.load(path)
        categories = Categories.read(coco_json.entries(content, "categories", file), file, problems)
        entries = coco_json.entries(content, "images", file)
        about = _by_id(coco_json.entries(content, "videos", file, optional=True))
        first = entries[0].get("file_name") if entries and isinstance(entries[0], dict) else None
        folder = images_folder(file, images, first if isinstance(first, str) else None, FRAMES)
        videos: dict[int, AnnotatedVideo] = {}
        places: dict[int, tuple[AnnotatedVideo, int]] = {}  # of images, by id
        for number, frames in _by_video(_images(entries, folder, file, problems), file, problems).items():
            with problems.noted(file, f"video {number}", "video"):
                videos[number] = _video(number, frames, about.get(number, {}))
                places |= {frame.id: (videos[number], index) for index, frame in enumerate(frames)}
        builder = TrackBuilder()
        listed = set(_by_id(entries))
        for place, entry in enumerate(coco_json.entries(content, "annotations", file, optional=True)):
            with problems.noted(file, entry_name("annotation", entry, place), "annotation"):
                _add(entry, places, listed, categories, builder)
        return VideoDataset(categories.names, categories.ids, builder.assign(list(videos.values())))

    def write(self, dataset: VideoDataset, folder: Path, frames: Frames) -> None:
        of_images = all(video.num_frames == 1 for video in dataset.videos)
        names = output.image_names(dataset.videos) if of_images else output.file_names(dataset.videos)
        output.place_frames(dataset.videos, names, folder / FRAMES, frames)
        header = {"info": output.INFO, "images": list(_images_json(dataset, names, of_images))}
        if not of_images:
            header["videos"] = [
                {"id": video.id, "name": video.name, "fps": video.fps} for video in dataset.videos
            ]
        header["categories"] = coco_json.categories_json(dataset)
        write_annotations(folder / coco_json.ANNOTATIONS, header, _annotations(dataset, of_images))


def _by_id(entries: list[Any]) -> dict[int, dict[str, Any]]:
    return {e["id"]: e for e in entries if isinstance(e, dict) and type(e.get("id")) is int}


def _images(entries: list[Any], folder: Path, file: Path, problems: Problems) -> list[_Image]:
    images: dict[int, _Image] = {}
    for place, entry in enumerate(entries):
        with problems.noted(file, entry_name("image", entry, place), "image"):
            image = _Image(
                id=field(entry, "id", int),
                video_id=field(entry, "video_id", int, None),
                order=field(entry, "frame_index", int, field(entry, "frame_id", int, None)),
                file=frame_file(folder, field(entry, "file_name", str)),
                size=size(entry),
                exhaustive=field(entry, "exhaustive", str, "all"),
            )
            if image.id in images:
                raise ValueError("an earlier image has the same id")
            images[image.id] = image
    return list(images.values())


def _by_video(images: list[_Image], file: Path, problems: Problems) -> dict[int, list[_Image]]:
    """The frames of each video in order."""
    if all(image.video_id is None for image in images):
        return {image.id: [image] for image in images}
    videos: dict[int, list[_Image]] = {}
    for image in images:
        if image.video_id is None:
            problems.add(file, f"image {image.id}", "it has no video_id, but others have", "image")
        else:
            videos.setdefault(image.video_id, []).append(image)
    for frames in videos.values():
        if all(frame.order is not None for frame in frames):
            frames.sort(key=lambda frame: frame.order)
    return videos


def _video(number: int, frames: list[_Image], about: dict[str, Any]) -> AnnotatedVideo:
    sizes = {frame.size for frame in frames}
    if len(sizes) > 1:
        raise ValueError(f"its images have {len(sizes)} sizes, but the frames of a video have one")
    orders = [frame.order for frame in frames if frame.order is not None]
    if len(set(orders)) < len(orders):
        raise ValueError("two of its images have the same frame index")
    if len({frame.exhaustive for frame in frames}) > 1:
        raise ValueError("its images differ in 'exhaustive', but a video has one")
    first = frames[0]
    return AnnotatedVideo(
        id=number,
        name=field(about, "name", str, first.file.stem if first.video_id is None else first.file.parent.name),
        size=first.size,
        frames=tuple(frame.file for frame in frames),
        fps=coco_json.fps(about),
        exhaustive=first.exhaustive,
    )


def _add(
    entry: Any,
    places: dict[int, tuple[AnnotatedVideo, int]],
    listed: set[int],
    categories: Categories,
    builder: TrackBuilder,
) -> None:
    """Add the mask of an annotation to its track."""
    image_id = field(entry, "image_id", int)
    if image_id not in places:
        what = "or its video has a problem itself" if image_id in listed else "is not in the file"
        raise ValueError(f"its image {image_id} {what}")
    video, index = places[image_id]
    key = field(entry, "track_id", int, field(entry, "instance_id", int, None))
    if key is None:
        key = field(entry, "id", int)
    if entry.get("segmentation") in (None, []):
        raise ValueError("it has no mask")
    rle = mask_ops.from_json(entry["segmentation"], video.size)
    builder.add(video.id, key, categories.label(entry), index, rle, crowd=flag(entry, "iscrowd"))


def _images_json(dataset: VideoDataset, names: list[list[str]], of_images: bool) -> Iterator[dict[str, Any]]:
    number = 0
    for video, files in zip(dataset.videos, names, strict=True):
        for index, file in enumerate(files):
            number += 1
            yield {
                "id": video.id if of_images else number,
                **({} if of_images else {"video_id": video.id, "frame_index": index}),
                "file_name": file,
                "height": video.size[0],
                "width": video.size[1],
                **({} if video.exhaustive == "all" else {"exhaustive": video.exhaustive}),
            }


def _annotations(dataset: VideoDataset, of_images: bool) -> Iterator[dict[str, Any]]:
    number = frames_before = 0
    for video in dataset.videos:
        for track in video.tracks:
            for index, rle in track.rles.items():
                number += 1
                yield {
                    "id": track.id if of_images else number,
                    "image_id": video.id if of_images else frames_before + index + 1,
                    **({} if of_images else {"video_id": video.id, "track_id": track.id}),
                    "category_id": dataset.category_ids[track.label],
                    **mask_fields(rle),
                    "iscrowd": int(track.crowd),
                }
        frames_before += video.num_frames
