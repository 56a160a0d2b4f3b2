"""Small annotated videos, and datasets in the json of YouTube-VIS, by hand and by hypothesis."""

from __future__ import annotations

import copy
import json
from pathlib import Path

import cv2
import numpy as np
from hypothesis import strategies as st

from msnvis import masks as mask_ops
from msnvis.datasets.video import AnnotatedTrack, AnnotatedVideo, VideoDataset

#: Rows 1 and 2 of columns 2 and 3 in a frame of 4 rows and 6 columns.
SQUARE = np.zeros((4, 6), bool)
SQUARE[1:3, 2:4] = True
#: Its runs down the columns: 2 whole columns and one pixel, 2 on, 2 off, 2 on, the rest.
RUNS = {"size": [4, 6], "counts": [9, 2, 2, 2, 9]}
COMPRESSED = mask_ops.to_json(mask_ops.encode(SQUARE[None])[0])
POLYGON = [[2, 1, 4, 1, 4, 3, 2, 3]]

_CONTENT = {
    "videos": [
        {"id": 3, "width": 6, "height": 4, "length": 2, "file_names": ["clip/00000.jpg", "clip/00005.jpg"]},
        {"id": 4, "width": 6, "height": 4, "length": 1, "file_names": ["other/00000.jpg"]},
    ],
    "categories": [{"id": 26, "name": "person"}, {"id": 1, "name": "airplane"}],
    "annotations": [
        {
            "id": 7,
            "video_id": 3,
            "category_id": 1,
            "iscrowd": 0,
            "height": 4,
            "width": 6,
            "length": 2,
            "segmentations": [RUNS, None],
            "bboxes": [[2, 1, 2, 2], None],
            "areas": [4, None],
        },
        {
            "id": 8,
            "video_id": 3,
            "category_id": 26,
            "iscrowd": 1,
            "segmentations": [COMPRESSED, POLYGON],
            "bboxes": [[2, 1, 2, 2], [2, 1, 2, 2]],
            "areas": [4, 4],
        },
    ],
}


def ytvis_content() -> dict:
    """Two videos; an airplane in the first frame of the first, a crowd of people in both."""
    return copy.deepcopy(_CONTENT)


def write_json(path: Path, content: object) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(content))
    return path


def write_frames(folder: Path, content: dict) -> Path:
    """The frames that YouTube-VIS json names; the k-th of a video has the grey value 10 * k."""
    for video in content["videos"]:
        for index, name in enumerate(video["file_names"]):
            write_image(folder / name, (video["height"], video["width"]), 10 * index)
    return folder


def write_image(path: Path, size: tuple[int, int], grey: int = 0) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    assert cv2.imwrite(str(path), np.full((*size, 3), grey, np.uint8))
    return path


def pixels(rle: dict) -> np.ndarray:
    return mask_ops.decode([rle], tuple(rle["size"]))[0]


@st.composite
def datasets(draw: st.DrawFn) -> VideoDataset:
    """Any dataset whose tracks have a mask at least; frames lie in ``/frames/NAME`` and need not exist."""
    classes = draw(st.lists(st.sampled_from("abcdef"), min_size=1, unique=True))
    category_ids = draw(
        st.lists(st.integers(0, 99), min_size=len(classes), max_size=len(classes), unique=True)
    )
    videos = []
    track_id = 0
    ids = draw(st.lists(st.integers(1, 9), max_size=3, unique=True))
    for video_id in ids:
        size = draw(st.tuples(st.integers(1, 6), st.integers(1, 6)))
        length = draw(st.integers(1, 3))
        tracks = []
        for _ in range(draw(st.integers(0, 2))):
            track_id += draw(st.integers(1, 3))
            indices = draw(st.lists(st.integers(0, length - 1), min_size=1, unique=True))
            seed = draw(st.integers(0, 99))
            maps = np.random.default_rng(seed).random((len(indices), *size)) < draw(
                st.sampled_from([0.0, 0.5, 1])
            )
            rles = dict(zip(sorted(indices), mask_ops.encode(maps), strict=True))
            label = draw(st.integers(0, len(classes) - 1))
            tracks.append(AnnotatedTrack(track_id, label, rles, draw(st.booleans())))
        name = f"v{video_id}" if length > 1 else "00000"
        frames = tuple(Path("/frames") / f"v{video_id}" / f"{index:05d}.jpg" for index in range(length))
        videos.append(
            AnnotatedVideo(video_id, name, size, frames, tuple(tracks), draw(st.sampled_from([6.0, 24.0])))
        )
    return VideoDataset(tuple(classes), tuple(category_ids), videos)
