"""OpenImages segmentation: a csv with a row a mask, PNG masks, images.

The official files: ``train-annotations-object-segmentation.csv`` with the columns ``MaskPath, ImageID,
LabelName, BoxID, BoxXMin, BoxXMax, BoxYMin, BoxYMax, PredictedIoU, Clicks``, the PNGs of
``train-masks-*.zip`` (next to the csv, or in folders with ``masks`` in their names) and
``class-descriptions*.csv`` with ``LabelName,DisplayName``. Masks need not have the size of their image and
are scaled to it. Every image becomes a video of one frame.
"""

from __future__ import annotations

import csv
from collections import Counter
from pathlib import Path

from msnvis import masks as mask_ops
from msnvis.datasets.formats.base import DatasetFormat, dataset_formats
from msnvis.datasets.formats.frames import first_folder, folders_in, frame_file, image_size
from msnvis.datasets.formats.tracks import TrackBuilder
from msnvis.datasets.problems import Problems
from msnvis.datasets.video import AnnotatedVideo, VideoDataset
from msnvis.io.formats import reading
from msnvis.io.formats.png import read_labels


@dataset_formats.register("openimages", summary="OpenImages: the csv of segmentations, PNG masks, images")
class OpenImagesFormat(DatasetFormat):
    def read(self, path: Path, images: Path | None, problems: Problems) -> VideoDataset:
        rows = _rows(path)
        names = _class_names(path.parent) or {row["LabelName"]: row["LabelName"] for row in rows}
        labels = {name: label for label, name in enumerate(names)}
        split = path.name.split("-")[0]
        folder = images or first_folder([path.parent / split, path.parent / "images"]) or path.parent
        masks = _MaskFiles(path.parent)
        videos: dict[str, AnnotatedVideo] = {}
        builder = TrackBuilder()
        for number, row in enumerate(rows, start=1):
            with problems.noted(path, f"mask {number} ('{row['MaskPath']}')", "mask"):
                if row["LabelName"] not in labels:
                    raise ValueError(f"its class '{row['LabelName']}' is not in the class descriptions")
                mask = read_labels(masks.find(row["MaskPath"])) > 0
                image = row["ImageID"]
                if image not in videos:
                    videos[image] = _video(len(videos) + 1, image, folder, mask.shape)
                (rle,) = mask_ops.resize(mask_ops.encode(mask[None]), videos[image].size)
                builder.add(videos[image].id, number, labels[row["LabelName"]], 0, rle)
        ids = tuple(range(1, len(names) + 1))
        return VideoDataset(tuple(names.values()), ids, builder.assign(list(videos.values())))


def _rows(path: Path) -> list[dict[str, str]]:
    columns = ("MaskPath", "ImageID", "LabelName")
    with reading.explained(str(path)):
        try:
            with path.open(encoding="utf-8", newline="") as file:
                reader = csv.DictReader(file)
                if not set(columns) <= set(reader.fieldnames or ()):
                    raise ValueError(f"its columns are not {', '.join(columns)} and others")
                rows = [{key: row[key] or "" for key in columns} for row in reader]
        except csv.Error as error:
            raise ValueError(str(error)) from None
    return rows


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
        return {label: name if times[name] == 1 else f"{name} ({label})" for label, name in rows}


def _video(number: int, image: str, folder: Path, mask_size: tuple[int, ...]) -> AnnotatedVideo:
    """The video of one image, of the size of the mask where there is no image."""
    file = frame_file(folder, f"{image}.jpg")
    height, width = image_size(file) if file.is_file() else mask_size
    return AnnotatedVideo(number, image, (int(height), int(width)), (file,))


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
