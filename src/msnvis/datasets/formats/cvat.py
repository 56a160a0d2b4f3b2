"""CVAT: exports "CVAT for video 1.1", unpacked: ``annotations.xml`` and, if exported with them, ``images``.

A folder of several such exports makes a dataset of several videos. A track is a list of shapes (polygon,
mask, box, ellipse) at frames; ``outside="1"`` ends its visibility. CVAT writes a shape for every frame,
those it interpolated with ``keyframe="0"``; where a file has keyframes only, they are interpolated here as
CVAT does: boxes and ellipses linearly, polygons by matching corners at the same share of the outline, while
masks stay until the next keyframe, and the last shape until the end of the video.

Sources: the XML annotation format in CVAT's documentation, and its exporter for masks (run lengths along
the rows of a box, background first) and frames that were filtered (``start_frame``, ``frame_filter``
"step=N").
"""

from __future__ import annotations

import re
from bisect import bisect_right
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from xml.etree import ElementTree

from msnvis.datasets.formats.base import DatasetFormat, dataset_formats
from msnvis.datasets.formats.cvat_shapes import KINDS, Shape, between
from msnvis.datasets.formats.fields import MAX_FRAMES, checked_size
from msnvis.datasets.formats.frames import folders_in, image_size, images_in
from msnvis.datasets.formats.tracks import TrackBuilder
from msnvis.datasets.problems import Problems
from msnvis.datasets.video import AnnotatedVideo, VideoDataset
from msnvis.errors import InputError
from msnvis.io.formats import reading
from msnvis.masks import RLE

ANNOTATIONS = "annotations.xml"


@dataclass(frozen=True)
class _Task:
    name: str
    size: tuple[int, int]
    numbers: range
    labels: tuple[str, ...]


@dataset_formats.register("cvat", summary='CVAT: exports "CVAT for video 1.1", one or a folder of several')
class CvatFormat(DatasetFormat):
    def read(self, path: Path, images: Path | None, problems: Problems) -> VideoDataset:
        if path.suffix.lower() == ".zip":
            raise InputError(f"{path} is a zip archive; unpack the export and give its folder")
        files = [path] if path.is_file() else [f for f in _candidates(path) if f.is_file()]
        if not files:
            raise InputError(f"{path} holds no {ANNOTATIONS}; unpack the export and give its folder")
        found: list[tuple[AnnotatedVideo, _Task, ElementTree.Element]] = []
        for number, file in enumerate(files, start=1):
            with problems.noted(file, "the file", "video"):
                here = images or file.parent / "images"
                if len(files) > 1 and images:
                    here = images / file.parent.name
                root = _parse(file)
                task = _task(root, file, images_in(here))
                found.append((_video(number, task, here), task, root))
        names = tuple(dict.fromkeys(name for _, task, _ in found for name in task.labels))
        builder = TrackBuilder()
        for video, task, root in found:
            for place, element in enumerate(root.iter("track")):
                with problems.noted(files[video.id - 1], f"track {element.get('id', place)}", "track"):
                    _add_track(element, place, video, task, names, builder)
        ids = tuple(range(1, len(names) + 1))
        return VideoDataset(names, ids, builder.assign([video for video, _, _ in found]))


def _candidates(path: Path) -> Iterator[Path]:
    yield path / ANNOTATIONS
    yield from (folder / ANNOTATIONS for folder in folders_in(path))


class _Builder(ElementTree.TreeBuilder):
    """Refuses document types: CVAT writes none, and entities declared in them can grow without bound."""

    def doctype(self, *_: object) -> None:
        raise ValueError("it declares a document type, which CVAT does not write")


def _parse(file: Path) -> ElementTree.Element:
    with reading.explained(str(file)):
        try:
            root = ElementTree.parse(file, ElementTree.XMLParser(target=_Builder())).getroot()
        except ElementTree.ParseError as error:
            raise ValueError(f"it is not XML ({error})") from None
        if root.tag != "annotations":
            raise ValueError("it is not an export of CVAT")
        if root.find("image") is not None:
            raise ValueError('it is an export "CVAT for images", without tracks; export "CVAT for video 1.1"')
        if root.find("meta/project") is not None:
            raise ValueError("it is the export of a project; export each of its tasks")
    return root


def _task(root: ElementTree.Element, file: Path, frames: list[Path]) -> _Task:
    meta = next((found for tag in ("task", "job") if (found := root.find(f"meta/{tag}")) is not None), None)
    if meta is None:
        raise ValueError("it describes no task")
    if meta.find("original_size") is None and frames:  # only tasks made from a video have it
        size = image_size(frames[0])
    else:
        size = checked_size(_number(meta, "original_size/height"), _number(meta, "original_size/width"))
    length = _number(meta, "size")
    if not 1 <= length <= MAX_FRAMES:
        raise ValueError(f"a video of {length} frames")
    step = re.search("step *= *([0-9]{1,6})", meta.findtext("frame_filter") or "")
    stride = max(int(step[1]), 1) if step else 1
    start = _number(meta, "start_frame", 0)
    # The file is always called the same; tasks have names of people's choice, jobs have none.
    name = meta.findtext("name") or file.resolve().parent.name
    labels = tuple(label.text or "" for label in meta.iterfind("labels/label/name"))
    return _Task(name, size, range(start, start + length * stride, stride), labels)


def _number(meta: ElementTree.Element, path: str, default: int | None = None) -> int:
    text = meta.findtext(path)
    if not text and default is not None:
        return default
    try:
        return int(text or "")
    except ValueError:
        raise ValueError(f"its '{path}' is not a whole number") from None


def _video(number: int, task: _Task, images: Path) -> AnnotatedVideo:
    files = images_in(images)
    if files and len(files) != len(task.numbers):
        raise ValueError(f"{images} holds {len(files)} images for {len(task.numbers)} frames")
    frames = files or [images / f"frame_{index:06d}.PNG" for index in task.numbers]
    return AnnotatedVideo(number, task.name, task.size, tuple(frames))


def _add_track(
    element: ElementTree.Element,
    place: int,
    video: AnnotatedVideo,
    task: _Task,
    names: tuple[str, ...],
    builder: TrackBuilder,
) -> None:
    """Add the masks of a track, those between its keyframes too."""
    if element.get("label") not in task.labels:
        raise ValueError(f"its label '{element.get('label')}' is not among the labels of the task")
    keyframes: dict[int, Shape | None] = {}  # None where it is outside
    for child in element:
        frame = int(child.attrib["frame"])
        if child.tag not in KINDS:
            raise ValueError(f"frame {frame}: a {child.tag} has no area")
        if frame in keyframes:
            raise ValueError(f"it has two shapes in frame {frame}")
        visible = child.get("outside") != "1"
        if visible and not task.numbers[0] <= frame <= task.numbers[-1]:
            raise ValueError(f"frame {frame} is not in the video")
        keyframes[frame] = Shape.parse(child.tag, child.attrib) if visible else None
    order = sorted(keyframes)
    masks: dict[int, RLE] = {}
    last = None
    for index, number in enumerate(task.numbers):
        shape = _shape_at(number, keyframes, order)
        if shape is not None:
            masks[index] = masks[index - 1] if shape is last else shape.mask(video.size)
        last = shape
    for index, rle in masks.items():
        builder.add(video.id, place + 1, names.index(element.attrib["label"]), index, rle)


def _shape_at(number: int, keyframes: dict[int, Shape | None], order: list[int]) -> Shape | None:
    after = bisect_right(order, number)
    if not after:
        return None
    before = order[after - 1]
    shape = keyframes[before]
    if shape is None or before == number or after == len(order):
        return shape
    next_shape = keyframes[order[after]]
    share = (number - before) / (order[after] - before)
    return shape if next_shape is None else between(shape, next_shape, share)
