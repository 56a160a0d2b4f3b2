"""COCO JSON: a frame is an image, a mask is an annotation. ``track_id`` and ``tracks`` are as in TAO."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from msnvis import masks as mask_ops
from msnvis.io.formats import reading
from msnvis.io.formats.ytvis import VIDEO_ID, as_lists, categories
from msnvis.structures import UNNAMED, UNNAMED_CATEGORY, Track, VideoInstances


def header(video: VideoInstances, size: tuple[int, int] | None = None) -> dict[str, Any]:
    """Everything but the annotations; the images are an iterator."""
    height, width = size or video.size
    return {
        "info": {"description": "video instances found by msnvis", "version": "1"},
        "videos": [
            {
                "id": VIDEO_ID,
                "name": video.name,
                "cuts": list(video.cuts),
                "gaps": [list(gap) for gap in video.gaps],
            }
        ],
        "images": (
            {
                "id": index + 1,
                "video_id": VIDEO_ID,
                "frame_index": index,
                "file_name": f"{video.name}/{index:05d}.jpg",
                "height": height,
                "width": width,
                "timestamp": timestamp,
            }
            for index, timestamp in enumerate(video.timestamps.tolist())
        ),
        "categories": categories(video),
        "tracks": [
            {
                "id": track.id,
                "video_id": VIDEO_ID,
                "category_id": video.category_id(track),
                "score": track.score,
            }
            for track in video.tracks
        ],
    }


def annotations(video: VideoInstances, size: tuple[int, int] | None = None) -> Iterator[dict[str, Any]]:
    """One a mask, frame by frame, made one at a time."""
    size = size or video.size
    number = 0
    for index, tracks in enumerate(video.by_frame()):
        rles = mask_ops.resize([track.rles[index] for track in tracks], size)
        for track, rle in zip(tracks, rles, strict=True):
            number += 1
            yield {
                "id": number,
                "image_id": index + 1,
                "video_id": VIDEO_ID,
                "track_id": track.id,
                "category_id": video.category_id(track),
                "score": track.frame_scores[index],
                **mask_fields(rle),
                "iscrowd": 0,
            }


def mask_fields(rle: mask_ops.RLE) -> dict[str, Any]:
    """The fields of an annotation that follow from its mask."""
    x1, y1, x2, y2 = mask_ops.boxes([rle])[0].tolist()
    return {
        "segmentation": mask_ops.to_json(rle),
        "bbox": [x1, y1, x2 - x1, y2 - y1],
        "area": int(mask_ops.areas([rle])[0]),
    }


def to_dict(video: VideoInstances, size: tuple[int, int] | None) -> dict[str, Any]:
    return as_lists({**header(video, size), "annotations": annotations(video, size)})


def read(data: Mapping[str, Any] | str | Path) -> VideoInstances:
    content, where = reading.load_json(data)
    with reading.explained(where):
        images = sorted(content["images"], key=lambda image: image.get("frame_index", image["id"]))
        sizes = {reading.frame_size(image["height"], image["width"]) for image in images}
        if len(sizes) != 1:
            raise ValueError(f"its images have {len(sizes)} sizes, but the frames of a video have one")
        timed = all("timestamp" in image for image in images)
        classes = reading.class_names(content["categories"])
        entry = content.get("videos", [{}])[0]
        video = VideoInstances(
            name=str(entry.get("name", "video")),
            size=sizes.pop(),
            timestamps=reading.clock([i["timestamp"] for i in images] if timed else None, len(images)),
            classes=tuple(classes.values()),
            category_ids=tuple(classes),
            cuts=reading.cuts(entry.get("cuts", []), len(images)),
            gaps=reading.gaps(entry.get("gaps", []), len(images)),
        )
        labels = {category: label for label, category in enumerate(classes)} | {UNNAMED_CATEGORY: UNNAMED}
        tracks: dict[int, Track] = {}
        for entry in content.get("tracks", ()):
            if "score" in entry:
                number, label = reading.track_id(entry["id"]), labels[entry["category_id"]]
                tracks[number] = Track(number, label, reading.score(entry["score"]))
        indices = {image["id"]: index for index, image in enumerate(images)}
        entries = list(content.get("annotations", ()))
    scored = set(tracks)
    for place, annotation in enumerate(entries):
        with reading.explained(f"{where}: {reading.entry_name('annotation', annotation, place)}"):
            index, track_id = indices[annotation["image_id"]], reading.track_id(annotation["track_id"])
            label = labels[annotation["category_id"]]
            track = tracks.setdefault(track_id, Track(track_id, label, 1.0))
            track.rles[index] = mask_ops.from_json(annotation["segmentation"], video.size)
            track.frame_scores[index] = reading.score(annotation.get("score", 1.0))
    for track in tracks.values():
        if track.id not in scored:
            track.score = sum(track.frame_scores.values()) / len(track.frame_scores)
    video.tracks = list(tracks.values())
    return video
