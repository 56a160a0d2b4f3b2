"""MOTS: KITTI MOTS and MOTSChallenge folders, as text or as PNG maps, or single files of MOTS text.

Layouts: ``instances_txt/0002.txt`` (also ``label_02``), or maps ``instances/0002/000000.png`` of 16 bits with
1000 * class + number of the object, with ``image_02/0002/000000.png`` (KITTI, also under ``training``) or
``images/0002/000001.jpg`` (MOTSChallenge, also under ``train``); and ``MOTS20-02/gt/gt.txt`` with
``MOTS20-02/img1/000001.jpg`` and ``seqinfo.ini``. Frames are matched by the numbers in their names; without
frames the index of a frame is its number in the text, less one where there is a ``seqinfo.ini``, which
counts from 1.

Regions to ignore (class 10, so 10000 in maps) are left out: they are no objects.
"""

from __future__ import annotations

import configparser
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from msnvis import masks as mask_ops
from msnvis.datasets.formats.base import DatasetFormat, dataset_formats
from msnvis.datasets.formats.fields import MAX_FRAMES, checked_size
from msnvis.datasets.formats.frames import first_folder, folders_in, frame_numbers, images_in
from msnvis.datasets.formats.tracks import TrackBuilder
from msnvis.datasets.problems import Problems
from msnvis.datasets.video import DEFAULT_FPS, AnnotatedVideo, VideoDataset
from msnvis.errors import InputError
from msnvis.io.formats.mots import MAX_INSTANCES, parse
from msnvis.io.formats.png import read_labels
from msnvis.io.formats.reading import explained
from msnvis.masks import RLE

#: Class ids of both benchmarks (Voigtlaender et al., MOTS, CVPR 2019).
CLASSES = {1: "car", 2: "pedestrian"}
_IGNORE = 10


@dataclass(frozen=True)
class _Sequence:
    """`annotations` is a text file, or a folder of maps."""

    name: str
    annotations: Path
    images: Path
    info: Path | None = None


@dataset_formats.register(
    "mots", summary="MOTS: the folder of KITTI MOTS or MOTSChallenge (text or maps), or a text"
)
class MotsFormat(DatasetFormat):
    def read(self, path: Path, images: Path | None, problems: Problems) -> VideoDataset:
        sequences = list(_sequences(path, images))
        if not sequences:
            raise InputError(
                f"{path} holds neither instances_txt/*.txt, instances/SEQUENCE/*.png nor SEQUENCE/gt/gt.txt"
            )
        videos, builder = [], TrackBuilder()
        for number, sequence in enumerate(sequences, start=1):
            read = _read_maps if sequence.annotations.is_dir() else _read_text
            with problems.noted(sequence.annotations, f"sequence '{sequence.name}'", "sequence"):
                videos.append(read(number, sequence, builder, problems))
        return VideoDataset(tuple(CLASSES.values()), tuple(CLASSES), builder.assign(videos))


def _sequences(path: Path, images: Path | None) -> Iterator[_Sequence]:
    if path.is_file():
        yield _Sequence(path.stem, path, images or path.with_suffix(""))
        return
    bases = (path, path / "training", path / "train")
    found = first_folder(base / name for base in bases for name in _ANNOTATIONS)
    if found is None:
        for folder in folders_in(path):
            if (folder / "gt" / "gt.txt").is_file():
                frames = images / folder.name / "img1" if images else folder / "img1"
                yield _Sequence(folder.name, folder / "gt" / "gt.txt", frames, folder / "seqinfo.ini")
        return
    images = images or first_folder(found.parent / name for name in _IMAGES) or found.parent / "images"
    for source in sorted(found.glob("*.txt")) or folders_in(found):
        yield _Sequence(source.stem, source, images / source.stem)


_ANNOTATIONS = ("instances_txt", "label_02", "instances")
_IMAGES = ("image_02", "images", "training/image_02", "train/images")


def _read_text(number: int, sequence: _Sequence, builder: TrackBuilder, problems: Problems) -> AnnotatedVideo:
    info = _seqinfo(sequence.info)
    frames = images_in(sequence.images)
    places = frame_numbers(frames)
    lines = sequence.annotations.read_text(encoding="ascii").splitlines()
    size, last = None, -1
    for place, text in enumerate(lines, start=1):
        if not text.strip():
            continue
        with problems.noted(sequence.annotations, f"line {place}", "line"):
            line = parse(text)
            size = size or checked_size(*line.size)
            index = _index(line.frame, places, info)
            last = max(last, index)
            rle = mask_ops.validate({"size": list(line.size), "counts": line.counts}, size)
            _add(builder, number, line.object_id, line.category, index, rle)
    if size is None:
        raise ValueError("it holds no masks, so the size of its frames is unknown")
    if not frames:
        length = max(last + 1, info.length)
        frames = [sequence.images / f"{index + info.first:06d}.jpg" for index in range(length)]
    return AnnotatedVideo(number, sequence.name, size, tuple(frames), fps=info.fps)


def _read_maps(number: int, sequence: _Sequence, builder: TrackBuilder, problems: Problems) -> AnnotatedVideo:
    files = images_in(sequence.annotations)
    frames = images_in(sequence.images) or [sequence.images / file.name for file in files]
    places, numbers = frame_numbers(frames), frame_numbers(files)
    size = None
    for frame, place in numbers.items():
        with problems.noted(files[place], "the map", "frame"):
            labels = read_labels(files[place])
            size = size or checked_size(*labels.shape)
            if labels.shape != size:
                raise ValueError(f"it is {labels.shape[1]}x{labels.shape[0]}, the first {size[1]}x{size[0]}")
            index = _index(frame, places, _Info())
            for object_id, rle in mask_ops.from_label_map(labels).items():
                _add(builder, number, object_id, object_id // MAX_INSTANCES, index, rle)
    if size is None:
        raise ValueError("it holds no maps")
    return AnnotatedVideo(number, sequence.name, size, tuple(frames))


def _add(builder: TrackBuilder, number: int, object_id: int, category: int, index: int, rle: RLE) -> None:
    if category == _IGNORE:
        return
    if category not in CLASSES:
        raise ValueError(f"class id {category} is neither 1 (car) nor 2 (pedestrian)")
    builder.add(number, object_id, category - 1, index, rle)


@dataclass(frozen=True)
class _Info:
    first: int = 0
    length: int = 0
    fps: float = DEFAULT_FPS


def _seqinfo(path: Path | None) -> _Info:
    """Number of the first frame, number of frames and their rate."""
    if path is None or not path.is_file():
        return _Info()
    parser = configparser.ConfigParser(interpolation=None)
    with explained(str(path)):
        try:
            parser.read_string(path.read_text(encoding="utf-8"))
            section = parser["Sequence"]
            info = _Info(1, section.getint("seqLength", 0), section.getfloat("frameRate", DEFAULT_FPS))
        except configparser.Error as error:
            raise ValueError(str(error)) from None
        if not (0 <= info.length <= MAX_FRAMES and 0 < info.fps < 1e6):
            raise ValueError("its seqLength or frameRate is impossible")
    return info


def _index(frame: int, places: dict[int, int], info: _Info) -> int:
    if places and frame not in places:
        raise ValueError(f"there is no image of frame {frame}")
    index = places[frame] if places else frame - info.first
    if not 0 <= index < (info.length or MAX_FRAMES):
        raise ValueError(f"frame {frame} is not in the video")
    return index
