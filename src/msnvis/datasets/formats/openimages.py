"""OpenImages segmentation: a csv with a row a mask, PNG masks, images.

The official files: ``train-annotations-object-segmentation.csv`` with the columns ``MaskPath, ImageID,
LabelName, BoxID, BoxXMin, BoxXMax, BoxYMin, BoxYMax, PredictedIoU, Clicks``, the PNGs of
``train-masks-*.zip`` (next to the csv, or in folders with ``masks`` in their names) and
``class-descriptions*.csv`` with ``LabelName,DisplayName``. Masks need not have the size of their image and
are scaled to it. Every image becomes a video of one frame.

There are millions of masks: each is checked when the csv is read, and decoded whenever it is asked for.
"""

from __future__ import annotations

import csv
from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import replace
from pathlib import Path

from msnvis import masks as mask_ops
from msnvis.datasets.formats.base import DatasetFormat, dataset_formats
from msnvis.datasets.formats.fields import checked_size
from msnvis.datasets.formats.frames import first_folder, folders_in, frame_file, image_size
from msnvis.datasets.labels import openimages_classes
from msnvis.datasets.problems import Problems
from msnvis.datasets.video import AnnotatedTrack, AnnotatedVideo, VideoDataset
from msnvis.io.formats import reading
from msnvis.io.formats.png import read_labels
from msnvis.io.image_file import LargeImageError, open_image
from msnvis.masks import RLE


@dataset_formats.register("openimages", summary="OpenImages: the csv of segmentations, PNG masks, images")
class OpenImagesFormat(DatasetFormat):
    def read(self, path: Path, images: Path | None, problems: Problems) -> VideoDataset:
        names = _class_names(path.parent) or openimages_classes()
        labels = {name: label for label, name in enumerate(names)}
        split = path.name.split("-")[0]
        folder = images or first_folder([path.parent / split, path.parent / "images"]) or path.parent
        masks = _MaskFiles(path.parent)
        videos: dict[str, AnnotatedVideo] = {}
        tracks: dict[str, list[AnnotatedTrack]] = {}
        for number, (name, image, label) in enumerate(_rows(path), start=1):
            with problems.noted(path, f"mask {number} ('{name}')", "mask"):
                if label not in labels:
                    raise ValueError(f"its class '{label}' is not in the class descriptions")
                file = masks.find(name)
                mask_size = _check(file)
                if image not in videos:
                    videos[image] = _video(len(videos) + 1, image, folder, mask_size)
                mask = _Mask(file, videos[image].size)
                tracks.setdefault(image, []).append(AnnotatedTrack(number, labels[label], mask))
        ids = tuple(range(1, len(names) + 1))
        return VideoDataset(
            tuple(names.values()),
            ids,
            [replace(video, tracks=tuple(tracks[image])) for image, video in videos.items()],
        )


class _Mask(Mapping[int, RLE]):
    """The mask in frame 0, of `size` ``(height, width)``, from its file each time it is asked for."""

    __slots__ = ("_file", "_size")

    def __init__(self, file: Path, size: tuple[int, int]) -> None:
        self._file, self._size = str(file), size

    def __getitem__(self, frame: int) -> RLE:
        if frame != 0:
            raise KeyError(frame)
        with reading.explained(self._file):
            mask = read_labels(Path(self._file)) > 0
        (rle,) = mask_ops.resize(mask_ops.encode(mask[None]), self._size)
        return rle

    def __iter__(self) -> Iterator[int]:
        return iter((0,))

    def __len__(self) -> int:
        return 1


def _rows(path: Path) -> Iterator[tuple[str, str, str]]:
    """MaskPath, ImageID and LabelName of each row."""
    columns = ("MaskPath", "ImageID", "LabelName")
    with reading.explained(str(path)):
        try:
            with path.open(encoding="utf-8", newline="") as file:
                reader = csv.DictReader(file)
                if not set(columns) <= set(reader.fieldnames or ()):
                    raise ValueError(f"its columns are not {', '.join(columns)} and others")
                for row in reader:
                    yield tuple(row[key] or "" for key in columns)
        except csv.Error as error:
            raise ValueError(str(error)) from None


def _check(file: Path) -> tuple[int, int]:
    """``(height, width)`` of a mask; ValueError where its file is broken. Nothing is decoded."""
    try:
        with open_image(file) as image:
            size = checked_size(image.height, image.width)
            image.verify()  # the check sums of the PNG
    except LargeImageError as error:
        raise ValueError(f"{file} is {error}") from None
    except (OSError, ValueError):
        raise ValueError(f"{file} is not a whole PNG; unpack it again") from None
    return size


def _class_names(folder: Path) -> dict[str, str]:
    """LabelName -> name for people, from the class descriptions in `folder`; nothing where there are none."""
    files = sorted(folder.glob("*class-descriptions*.csv"), key=lambda path: "boxable" not in path.name)
    if not files:
        return {}
    with reading.explained(str(files[0])):
        try:
            with files[0].open(encoding="utf-8", newline="") as file:
                rows = [row for row in csv.reader(file) if row and row[0] != "LabelName"]
        except csv.Error as error:
            raise ValueError(str(error)) from None
        times = Counter(name for _, name in rows)
        boxable = openimages_classes()
        return {
            label: name if times[name] == 1 or label in boxable else f"{name} ({label})"
            for label, name in rows
        }


def _video(number: int, image: str, folder: Path, mask_size: tuple[int, int]) -> AnnotatedVideo:
    """The video of one image, of the size of the mask where there is no image.

    Only classes that were verified to be in an image have masks, and not always all: none is exhaustive.
    """
    file = frame_file(folder, f"{image}.jpg")
    size = image_size(file) if file.is_file() else mask_size
    return AnnotatedVideo(number, image, size, (file,), exhaustive="")


class _MaskFiles:
    """Finds masks by name in the folders that the official archives are unpacked to."""

    def __init__(self, folder: Path) -> None:
        unpacked = [child for child in folders_in(folder) if "masks" in child.name]
        self._folders = [folder, *unpacked, *(inner for child in unpacked for inner in folders_in(child))]
        # Each archive has the masks of images whose ids begin with the same digit.
        self._last: dict[str, Path] = {}

    def find(self, name: str) -> Path:
        for folder in (self._last.get(name[:1], self._folders[0]), *self._folders):
            file = frame_file(folder, name)
            if file.is_file():
                self._last[name[:1]] = folder
                return file
        raise ValueError("its file is missing; unpack the masks next to the csv")
