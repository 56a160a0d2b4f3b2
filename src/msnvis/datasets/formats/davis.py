"""DAVIS 2016 and 2017: folders of frames and of PNG label maps, a folder a sequence.

Layouts: ``Annotations/480p/SEQUENCE/00000.png`` with ``JPEGImages/480p/SEQUENCE/00000.jpg`` as distributed,
the same without the folder of the resolution, and ``Annotations_unsupervised``. A file of ``ImageSets``
chooses sequences.

DAVIS 2016 has one object, of value 255; in DAVIS 2017 values are object numbers and 255 is void. Where a
sequence has no other value than 0 and 255 it is the former. Neither names classes: all objects are
``object``.
"""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

from msnvis import masks as mask_ops
from msnvis.datasets.formats.base import DatasetFormat, dataset_formats
from msnvis.datasets.formats.frames import first_folder, folders_in, frame_file, image_size, images_in, posix
from msnvis.datasets.formats.tracks import TrackBuilder
from msnvis.datasets.problems import Problems
from msnvis.datasets.video import AnnotatedVideo, VideoDataset
from msnvis.errors import InputError
from msnvis.io.formats import reading
from msnvis.io.formats.png import read_labels
from msnvis.masks import RLE
from msnvis.structures import UNNAMED_CLASS

#: DAVIS is filmed at 24 frames a second (Perazzi et al., CVPR 2016, section 3) and annotated in every frame.
FPS = 24.0
_VOID = 255
#: Resolutions, the one that results are reported on first.
_RESOLUTIONS = ("480p", "1080p", "Full-Resolution")


@dataset_formats.register("davis", summary="DAVIS 2016, 2017: its folder, or one of its ImageSets")
class DavisFormat(DatasetFormat):
    def read(self, path: Path, images: Path | None, problems: Problems) -> VideoDataset:
        chosen = _image_set(path) if path.is_file() else None
        root = _root(path)
        annotations = _with_resolution(_annotations(root), images)
        images = images or _with_resolution(root / "JPEGImages", None)
        names = [folder.name for folder in folders_in(annotations)] if chosen is None else chosen
        if not names:
            raise InputError(f"{annotations} holds no folders of label maps; give the folder of DAVIS itself")
        videos, builder = [], TrackBuilder()
        for number, name in enumerate(names, start=1):
            with problems.noted(annotations, f"sequence '{name}'", "sequence"):
                maps, frames = frame_file(annotations, name), frame_file(images, name)
                videos.append(_read(number, name, maps, frames, builder))
        return VideoDataset((UNNAMED_CLASS,), (1,), builder.assign(videos))


def _root(path: Path) -> Path:
    """The folder of DAVIS that `path`, a file of its ImageSets or the folder itself, is in."""
    for folder in (path, *path.resolve().parents) if path.is_file() else (path,):
        if first_folder([_annotations(folder)]):
            return folder
    raise InputError(f"{path} is not (in) a folder of DAVIS, which holds 'Annotations' and 'JPEGImages'")


def _annotations(root: Path) -> Path:
    return first_folder([root / "Annotations", root / "Annotations_unsupervised"]) or root / "Annotations"


def _with_resolution(folder: Path, images: Path | None) -> Path:
    """The folder of the sequences: `folder`, or that of a resolution in it, if possible that of `images`."""
    names = [found.name for found in folders_in(folder) if not images_in(found)]
    wanted = [*([images.name] if images else []), *_RESOLUTIONS]
    return next((folder / name for name in wanted if name in names), folder)


def _image_set(path: Path) -> list[str]:
    """Sequences of an ImageSets file: their names (2017), or a frame and its annotation a line (2016)."""
    with reading.explained(str(path)):
        lines = [line.split()[0] for line in path.read_text(encoding="utf-8").splitlines() if line.strip()]
    names = [posix(line).parent.name if "/" in line else line for line in lines]
    return [name for name in dict.fromkeys(names) if name not in ("", ".", "..")]


def _read(number: int, name: str, maps: Path, images: Path, builder: TrackBuilder) -> AnnotatedVideo:
    files = {file.stem: file for file in images_in(maps)}
    if not files:
        raise ValueError(f"{maps} holds no label maps")
    frames = images_in(images) or [images / f"{stem}.jpg" for stem in files]
    places = {frame.stem: index for index, frame in enumerate(frames)}
    stray = [file for stem, file in files.items() if stem not in places]
    if stray:
        raise ValueError(f"{len(stray)} label maps have no frame, first {stray[0]}")
    found: dict[int, dict[int, RLE]] = {}
    size = image_size(frames[0]) if frames[0].is_file() else None
    for stem, file in files.items():
        with reading.explained(str(file)):
            labels = read_labels(file)
        size = size or labels.shape
        if labels.shape != size:
            raise ValueError(f"{file} is {labels.shape[1]}x{labels.shape[0]}, its video {size[1]}x{size[0]}")
        found[places[stem]] = mask_ops.from_label_map(labels)
    objects = _objects(found.values())
    for index, rles in sorted(found.items()):
        for value, rle in rles.items():
            if value in objects:
                builder.add(number, objects[value], 0, index, rle)
    return AnnotatedVideo(number, name, (int(size[0]), int(size[1])), tuple(frames), fps=FPS)


def _objects(frames: Iterable[dict[int, RLE]]) -> dict[int, int]:
    """Value in the label maps of a sequence -> number of the object."""
    values = {value for rles in frames for value in rles}
    return {_VOID: 1} if values == {_VOID} else {value: value for value in values - {_VOID}}
