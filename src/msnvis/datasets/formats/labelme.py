"""Labelme: a json file a frame, next to its image; a folder a video, or a folder of such folders.

Shapes of one label and ``group_id`` are one track; several in a frame are its parts. Shapes without a
group_id are the only track of their label. Frames are the images that have a json file. Shapes: polygon,
rectangle, circle (centre and a point on it) and mask (a PNG of the box, base64).

An ``imagePath`` that leads out of the folder is not followed, as a stranger may have written it: its image is
looked for beside the json file.
"""

from __future__ import annotations

import base64
import io
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from msnvis import masks as mask_ops
from msnvis.datasets.formats import shapes
from msnvis.datasets.formats.base import DatasetFormat, dataset_formats
from msnvis.datasets.formats.fields import checked_size, field
from msnvis.datasets.formats.frames import folders_in, frame_file, posix
from msnvis.datasets.formats.tracks import TrackBuilder
from msnvis.datasets.problems import Problems
from msnvis.datasets.video import AnnotatedVideo, VideoDataset
from msnvis.errors import InputError
from msnvis.io.formats import reading
from msnvis.io.image_file import LargeImageError, open_image
from msnvis.io.image_folder import IMAGE_SUFFIXES, natural_key
from msnvis.masks import RLE

#: Who a track is: its label and the number of the group, if there is one.
_Key = tuple[str, int | None]


@dataclass(frozen=True)
class _Frame:
    image: Path
    size: tuple[int, int]
    masks: dict[_Key, RLE]


@dataset_formats.register("labelme", summary="Labelme: folders of one json file a frame, group_id = track")
class LabelmeFormat(DatasetFormat):
    def read(self, path: Path, images: Path | None, problems: Problems) -> VideoDataset:
        folders = [folder for folder in (path, *folders_in(path)) if _json_files(folder)]
        if not folders:
            raise InputError(f"{path} holds no json files; give the folder that Labelme saved to")
        videos: dict[Path, list[_Frame]] = {}
        for folder in folders:
            here = images and (images / folder.name if (images / folder.name).is_dir() else images)
            with problems.noted(folder, f"video '{folder.name}'", "video"):
                videos[folder] = _read(folder, here, problems)
        names = sorted({key[0] for frames in videos.values() for frame in frames for key in frame.masks})
        labels = {name: label for label, name in enumerate(names)}
        found, builder = [], TrackBuilder()
        for number, (folder, frames) in enumerate(videos.items(), start=1):
            name = folder.resolve().name
            found.append(AnnotatedVideo(number, name, frames[0].size, tuple(frame.image for frame in frames)))
            for index, frame in enumerate(frames):
                for key, rle in frame.masks.items():
                    builder.add(number, key, labels[key[0]], index, rle)
        return VideoDataset(tuple(names), tuple(range(1, len(names) + 1)), builder.assign(found))


def _json_files(folder: Path) -> list[Path]:
    if not folder.is_dir():
        raise InputError(f"{folder} is not a folder; give the folder that Labelme saved to")
    return sorted(folder.glob("*.json"), key=lambda path: natural_key(path.name))


def _read(folder: Path, images: Path | None, problems: Problems) -> list[_Frame]:
    frames: list[_Frame] = []
    for file in _json_files(folder):
        with problems.noted(file, "the file", "frame"):
            frame = _frame(file, images, problems)
            if frames and frame.size != frames[0].size:
                raise ValueError(f"its (height, width) are {frame.size}, those of the first {frames[0].size}")
            frames.append(frame)
    if not frames:
        raise ValueError("none of its frames can be read")
    return frames


def _frame(file: Path, images: Path | None, problems: Problems) -> _Frame:
    content, _ = reading.load_json(file)
    size = checked_size(field(content, "imageHeight", int), field(content, "imageWidth", int))
    image = _image(file, field(content, "imagePath", str), images)
    parts: dict[_Key, list[RLE]] = {}
    for place, shape in enumerate(field(content, "shapes", list)):
        with problems.noted(file, f"shape at place {place}", "shape"):
            key = field(shape, "label", str), field(shape, "group_id", int, None)
            mask = _mask(shape, size)
            if key in parts and key[1] is None:
                raise ValueError(f"a second '{key[0]}' in the frame; give each object a group_id of its own")
            parts.setdefault(key, []).append(mask)
    return _Frame(image, size, {key: mask_ops.union(masks) for key, masks in parts.items()})


def _image(file: Path, named: str, images: Path | None) -> Path:
    """The image that a json file names: in `images`; or in its own folder, under that path or next to it."""
    path = posix(named)
    if path.suffix.lower() not in IMAGE_SUFFIXES:
        raise ValueError(f"its imagePath '{named}' is not an image")
    if images:
        return frame_file(images, path.name)
    beside = frame_file(file.parent, path.name)
    try:
        image = frame_file(file.parent, named)
    except ValueError:  # it leads out of the folder
        return beside
    return beside if beside.is_file() and not image.is_file() else image  # as after a move


def _mask(shape: Any, size: tuple[int, int]) -> RLE:
    kind = field(shape, "shape_type", str, "polygon")
    points = _points(shape)
    if kind == "polygon":
        return shapes.polygon_mask(points, size)
    if kind not in ("rectangle", "circle", "mask"):
        raise ValueError(f"a shape of type '{kind}' has no area")
    if len(points) != 2:
        raise ValueError(f"a {kind} of {len(points)} points; it takes 2")
    if kind == "circle":
        radius = float(np.hypot(*(points[1] - points[0])))
        return shapes.polygon_mask(shapes.ellipse(*points[0], radius, radius), size)
    (x1, y1), (x2, y2) = points.min(axis=0), points.max(axis=0)
    if kind == "rectangle":
        return shapes.polygon_mask(shapes.rectangle(x1, y1, x2, y2), size)
    crop = _png(field(shape, "mask", str))
    return mask_ops.encode_crop(crop, round(float(x1)), round(float(y1)), size)


def _points(shape: Any) -> np.ndarray:
    points = np.asarray(field(shape, "points", list))
    if points.ndim != 2 or points.shape[1] != 2 or points.dtype.kind not in "iuf":
        raise ValueError("its points are not a list of x, y")
    points = points.astype(np.float64)
    if not np.isfinite(points).all():
        raise ValueError("its points are not finite")
    return points


def _png(text: str) -> np.ndarray:
    """``(h, w)`` bool."""
    try:
        with open_image(io.BytesIO(base64.b64decode(text, validate=True))) as image:
            return np.array(image.convert("L")) > 0
    except LargeImageError as error:
        raise ValueError(f"its mask is {error}") from None
    except (OSError, ValueError):
        raise ValueError("its mask is not an image") from None
