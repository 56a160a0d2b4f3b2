"""YouTube-VIS JSON: a video is one entry, a track is one annotation with a mask or null for every frame."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np

from msnvis import masks as mask_ops
from msnvis.io.formats import reading
from msnvis.structures import UNNAMED, UNNAMED_CATEGORY, UNNAMED_CLASS, Track, VideoInstances

#: The only video of a file that we write.
VIDEO_ID = 1
#: Masks that are held at a time.
_CHUNK = 256


def header(video: VideoInstances, size: tuple[int, int] | None = None) -> dict[str, Any]:
    """Everything but the annotations."""
    height, width = size or video.size
    return {
        "info": {"description": "video instances found by msnvis", "version": "1"},
        "videos": [
            {
                "id": VIDEO_ID,
                "name": video.name,
                "height": height,
                "width": width,
                "length": video.num_frames,
                "file_names": [f"{video.name}/{index:05d}.jpg" for index in range(video.num_frames)],
                "timestamps": video.timestamps.tolist(),
                "cuts": list(video.cuts),
                "gaps": [list(gap) for gap in video.gaps],
            }
        ],
        "categories": categories(video),
    }


def categories(video: VideoInstances) -> list[dict[str, Any]]:
    """The classes, and the one of unnamed objects where there are any."""
    named = [{"id": i, "name": name} for i, name in zip(video.category_ids, video.classes, strict=True)]
    if any(track.label == UNNAMED for track in video.tracks):
        named.append({"id": UNNAMED_CATEGORY, "name": UNNAMED_CLASS})
    return named


def annotations(video: VideoInstances, size: tuple[int, int] | None = None) -> Iterator[dict[str, Any]]:
    """One a track, made one at a time; what has a value for each frame is an iterator, see `mask_streams`."""
    size = size or video.size
    for track in video.tracks:
        yield {
            "id": track.id,
            "video_id": VIDEO_ID,
            "category_id": video.category_id(track),
            "score": track.score,
            "iscrowd": 0,
            "height": size[0],
            "width": size[1],
            "length": video.num_frames,
            **mask_streams(track.rles, video.num_frames, size),
            "scores": iter(_dense(track.frame_scores, track.frame_scores.values(), video.num_frames)),
            # The shortest text that gives the same float32 again.
            "class_scores": [float(str(value)) for value in track.class_scores],
        }


def mask_lists(rles: Mapping[int, mask_ops.RLE], num_frames: int) -> dict[str, list[Any]]:
    """The fields that have a value for each frame, null where `rles` (frame index -> mask) has none."""
    return {name: list(values) for name, values in mask_streams(rles, num_frames).items()}


def mask_streams(
    rles: Mapping[int, mask_ops.RLE], num_frames: int, size: tuple[int, int] | None = None
) -> dict[str, Iterator[Any]]:
    """As `mask_lists`, of masks scaled to `size`, a few in memory at a time: they may fill gigabytes.

    To be read in their order, since boxes and areas are taken while the masks go by.
    """
    present = np.zeros(num_frames, bool)
    present[list(rles)] = True
    boxes, areas = np.zeros((num_frames, 4)), np.zeros(num_frames, np.int64)
    chunks = [slice(start, start + _CHUNK) for start in range(0, num_frames, _CHUNK)]

    def segmentations() -> Iterator[dict[str, Any] | None]:
        for chunk in chunks:
            frames = (np.flatnonzero(present[chunk]) + chunk.start).tolist()
            masks = [rles[index] for index in frames]
            masks = masks if size is None else mask_ops.resize(masks, size)
            xyxy = mask_ops.boxes(masks)
            boxes[frames] = np.concatenate([xyxy[:, :2], xyxy[:, 2:] - xyxy[:, :2]], axis=1)
            areas[frames] = mask_ops.areas(masks)
            texts = map(mask_ops.to_json, masks)
            yield from (next(texts) if there else None for there in present[chunk].tolist())

    def dense(values: np.ndarray) -> Iterator[Any]:
        for chunk in chunks:
            both = zip(values[chunk].tolist(), present[chunk].tolist(), strict=True)
            yield from (value if there else None for value, there in both)

    return {"segmentations": segmentations(), "bboxes": dense(boxes), "areas": dense(areas)}


def to_dict(video: VideoInstances, size: tuple[int, int] | None) -> dict[str, Any]:
    return as_lists({**header(video, size), "annotations": annotations(video, size)})


def as_lists(content: Any) -> Any:
    """JSON in which iterators are replaced by lists."""
    if isinstance(content, Iterator):
        return [as_lists(item) for item in content]
    if isinstance(content, dict):
        return {key: as_lists(value) for key, value in content.items()}
    return content


def to_results(video: VideoInstances, video_id: int) -> list[dict[str, Any]]:
    return [
        {
            "video_id": video_id,
            "score": track.score,
            "category_id": video.category_id(track),
            "segmentations": _dense(track.rles, map(mask_ops.to_json, track.rles.values()), video.num_frames),
        }
        for track in video.tracks
        if track.label != UNNAMED
    ]


def read(data: Mapping[str, Any] | str | Path, video_id: int | None) -> VideoInstances:
    content, where = reading.load_json(data)
    with reading.explained(where):
        entry = _choose_video(content["videos"], video_id)
        classes = reading.class_names(content["categories"])
        length = int(entry["length"] if "length" in entry else len(entry["file_names"]))
        video = VideoInstances(
            name=str(entry.get("name") or Path(entry["file_names"][0]).parent.name),
            size=reading.frame_size(entry["height"], entry["width"]),
            timestamps=reading.clock(entry.get("timestamps"), length),
            classes=tuple(classes.values()),
            category_ids=tuple(classes),
            cuts=reading.cuts(entry.get("cuts", []), length),
            gaps=reading.gaps(entry.get("gaps", []), length),
        )
        mine = [a for a in content["annotations"] if a["video_id"] == entry["id"]]
    labels = {category: label for label, category in enumerate(classes)} | {UNNAMED_CATEGORY: UNNAMED}
    for place, annotation in enumerate(mine):
        with reading.explained(f"{where}: {reading.entry_name('track', annotation, place)}"):
            track, segmentations, scores = _read_track(annotation, video, labels)
        for index, segmentation in enumerate(segmentations):
            if segmentation is not None:
                with reading.explained(f"{where}: track {track.id} in frame {index}"):
                    track.rles[index] = mask_ops.from_json(segmentation, video.size)
                    track.frame_scores[index] = reading.score(scores[index])
        video.tracks.append(track)
    return video


def _read_track(
    annotation: Mapping[str, Any], video: VideoInstances, labels: Mapping[int, int]
) -> tuple[Track, list[Any], list[Any]]:
    """A track without its masks, and for each frame its mask as it is in the file, and its score."""
    score = reading.score(annotation.get("score", 1.0))
    track = Track(
        id=reading.track_id(annotation["id"]),
        label=labels[annotation["category_id"]],
        score=score,
        class_scores=np.array(annotation.get("class_scores", ()), dtype=np.float32),
    )
    if track.class_scores.ndim != 1:
        raise ValueError("its 'class_scores' are not a list of numbers")
    segmentations = annotation["segmentations"]
    scores = annotation.get("scores") or [score] * len(segmentations)
    if len(segmentations) != video.num_frames or len(scores) != video.num_frames:
        raise ValueError(f"it has {len(segmentations)} masks for {video.num_frames} frames")
    return track, segmentations, scores


def _choose_video(videos: list[Mapping[str, Any]], video_id: int | None) -> Mapping[str, Any]:
    if video_id is None and len(videos) == 1:
        return videos[0]
    for entry in videos:
        if entry["id"] == video_id:
            return entry
    known = ", ".join(str(entry["id"]) for entry in videos[:20])
    raise ValueError(f"video_id {video_id} is none of its {len(videos)} videos ({known})")


def _dense(frames: Any, values: Any, num_frames: int) -> list[Any]:
    """`values` at `frames`, None elsewhere."""
    dense: list[Any] = [None] * num_frames
    for index, value in zip(frames, values, strict=True):
        dense[index] = value
    return dense
