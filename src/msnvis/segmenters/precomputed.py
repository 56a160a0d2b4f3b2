"""Detections from a file, so that anyone's detector can drive the pipeline."""

from __future__ import annotations

import hashlib
import json
from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from msnvis import masks as mask_ops
from msnvis.datasets.labels import label_space
from msnvis.errors import OptionError
from msnvis.io.formats.reading import explained
from msnvis.segmenters.base import Segmenter, segmenters
from msnvis.structures import UNNAMED, UNNAMED_CATEGORY, Detections


@dataclass(frozen=True)
class _Entry:
    """One detection as the file has it; the mask is decoded when its frame comes."""

    number: int
    column: int
    score: float
    segmentation: Any


class PrecomputedSegmenter(Segmenter):
    """Gives back the detections of a file, frame by frame in the order of the calls.

    Two layouts are read:

    - a COCO results file: a list of ``{"image_id", "category_id", "segmentation", "score"}``, where
      ``image_id`` is the frame, counted from `first_frame` over the frames processed (those left by
      ``--start`` and ``--stride``), and ``category_id`` one of the label space `labels`;
    - COCO JSON with ``images``, ``categories`` and ``annotations`` (such as our ``coco.json``), whose images
      in the order of ``frame_index``, else of ``id``, are the frames.

    A segmentation is an RLE, compressed or not, or a list of polygons. Where there is no ``score`` it is 1.
    Category 0 is an object without a name.

    Args:
        path: of the file.
        labels: label space of the category ids of a results file.
        first_frame: ``image_id`` of the first frame in a results file.

    Raises:
        InputError: the file or one of its entries makes no sense; the text names the entry, counted from 0.
            Masks are checked when their frame is segmented.
    """

    def __init__(self, path: str | Path, *, labels: str = "coco", first_frame: int = 0) -> None:
        self._path = path
        self._next = 0
        self._by_frame: dict[int, list[_Entry]] = defaultdict(list)
        with explained(str(path)):
            text = Path(path).read_bytes()
            self.checksum = hashlib.sha256(text).hexdigest()
            content = json.loads(text.decode("utf-8"))
            if isinstance(content, list):
                self._read_results(content, labels, first_frame)
            elif isinstance(content, dict):
                self._read_dataset(content)
            else:
                raise ValueError("it is neither a list of detections nor COCO JSON")

    def _read_results(self, entries: list[Any], labels: str, first_frame: int) -> None:
        space = label_space(labels)
        self.classes = space.classes
        columns = dict(zip(space.ids, range(len(space.ids)), strict=True))
        for number, entry in enumerate(entries):
            with explained(f"{self._path}: entry {number}"):
                image_id = entry["image_id"]
                if type(image_id) is not int or image_id < first_frame:
                    raise ValueError(f"image_id {image_id!r} is not a frame number from {first_frame} on")
                self._add(image_id - first_frame, number, entry, columns)

    def _read_dataset(self, content: Mapping[str, Any]) -> None:
        categories = [c for c in content["categories"] if c["id"] != UNNAMED_CATEGORY]
        self.classes = tuple(str(category["name"]) for category in categories)
        columns = {category["id"]: column for column, category in enumerate(categories)}
        images = sorted(content["images"], key=lambda image: image.get("frame_index", image["id"]))
        frames = {image["id"]: index for index, image in enumerate(images)}
        for number, entry in enumerate(content["annotations"]):
            with explained(f"{self._path}: entry {number}"):
                if entry["image_id"] not in frames:
                    raise ValueError(f"there is no image {entry['image_id']!r}")
                self._add(frames[entry["image_id"]], number, entry, columns)

    def _add(self, frame: int, number: int, entry: Mapping[str, Any], columns: Mapping[int, int]) -> None:
        category, score = entry["category_id"], float(entry.get("score", 1.0))
        if category != UNNAMED_CATEGORY and category not in columns:
            raise ValueError(f"category {category!r} is not one of the {len(columns)} known")
        if not 0 <= score <= 1:
            raise ValueError(f"score {score} is not between 0 and 1")
        column = columns.get(category, UNNAMED)
        self._by_frame[frame].append(_Entry(number, column, score, entry["segmentation"]))

    def reset(self, frame: int = 0) -> None:
        self._next = frame

    def segment(self, images: Sequence[np.ndarray]) -> list[Detections]:
        found = []
        for image in images:
            entries = sorted(self._by_frame.get(self._next, ()), key=lambda entry: -entry.score)
            found.append(self._detections(entries, (image.shape[0], image.shape[1])))
            self._next += 1
        return found

    def _detections(self, entries: list[_Entry], size: tuple[int, int]) -> Detections:
        if not entries:
            return Detections.empty(size, len(self.classes))
        class_scores = np.zeros((len(entries), len(self.classes)), np.float32)
        rles = []
        for row, entry in enumerate(entries):
            with explained(f"{self._path}: entry {entry.number} (frame {self._next})"):
                rles.append(mask_ops.from_json(entry.segmentation, size))
            if entry.column != UNNAMED:
                class_scores[row, entry.column] = entry.score
        return Detections(size, rles, np.array([e.score for e in entries], np.float32), class_scores)


@segmenters.register(
    "precomputed:", summary="detections from a file: precomputed:RESULTS.json", needs="that file"
)
@segmenters.register("precomputed", summary="detections from a COCO results file", needs="option path")
def precomputed(
    path: str | Path | None = None,
    *,
    weights: str | Path | None = None,
    labels: str = "coco",
    first_frame: int = 0,
    device: str = "auto",
) -> PrecomputedSegmenter:
    """`labels` and `first_frame` as in `PrecomputedSegmenter`.

    Every segmenter takes `weights` and `device`; here `weights` is another way to give the file, and `device`
    changes nothing.
    """
    path = path or weights
    if path is None:
        raise OptionError(
            "segmenter 'precomputed' needs a file; say 'precomputed:RESULTS.json' or give path="
        )
    return PrecomputedSegmenter(path, labels=labels, first_frame=first_frame)
