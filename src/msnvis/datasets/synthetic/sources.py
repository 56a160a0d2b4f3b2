"""Which objects of a COCO-format dataset can be cut out, and which of its photographs can be backgrounds."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import cv2
import numpy as np

from msnvis import masks as mask_ops
from msnvis.datasets.coco import Annotation, ImageRecord, read_category_ids, read_class_names, read_coco
from msnvis.datasets.synthetic.options import SynthOptions
from msnvis.errors import InputError

#: Objects with fewer pixels are too coarse to be drawn larger, and those that fill the picture to be moved.
MIN_AREA = 32 * 32
MAX_AREA_SHARE = 0.6
#: An object this near to the border of its photograph, in pixels, counts as cut there.
BORDER = 2
#: Share of an object in its largest piece; less of it was torn apart by something in front.
MIN_WHOLE = 0.85
#: Share of the outline that may touch other objects; more of it was shaped by them.
MAX_CONTACT = 0.25
#: Objects of a background become tracks; more than this many, or more of the picture, leave no room.
MAX_BACKGROUND_OBJECTS = 12
MAX_BACKGROUND_COVER = 0.5


@dataclass(frozen=True)
class SourceObject:
    """An object that can be cut out.

    Attributes:
        image: where it is.
        annotation: its mask and class.
        cut: the side at which its photograph ends, ``left``, ``top``, ``right``, ``bottom``, or None.
    """

    image: ImageRecord
    annotation: Annotation
    cut: str | None


@dataclass(frozen=True)
class Sources:
    """What videos are made of.

    Attributes:
        classes: K names.
        category_ids: K numbers by which the file names them.
        objects: that can be cut out.
        backgrounds: photographs with every object of every class labelled.
    """

    classes: tuple[str, ...]
    category_ids: tuple[int, ...]
    objects: tuple[SourceObject, ...]
    backgrounds: tuple[ImageRecord, ...]

    @cached_property
    def by_label(self) -> dict[int, list[SourceObject]]:
        grouped: dict[int, list[SourceObject]] = {}
        for candidate in self.objects:
            grouped.setdefault(candidate.annotation.label, []).append(candidate)
        return dict(sorted(grouped.items()))

    def draw_object(self, rng: np.random.Generator) -> SourceObject:
        """A random object; rare classes more often than their share (by its square root)."""
        labels = list(self.by_label)
        weights = np.sqrt([len(self.by_label[label]) for label in labels])
        return self.draw_of_class(labels[rng.choice(len(labels), p=weights / weights.sum())], rng)

    def draw_of_class(self, label: int, rng: np.random.Generator) -> SourceObject:
        members = self.by_label[label]
        return members[rng.integers(len(members))]


def read_sources(annotations: Path, images: Path, options: SynthOptions) -> Sources:
    """Find what can be used of a COCO json, in the part of its images that `options.split` names.

    Args:
        annotations: the json file; ``exhaustive`` says what is labelled, see `read_coco`.
        images: the folder that its ``file_name`` entries are relative to.
        options: only those of the split matter.

    Raises:
        InputError: the file is broken, or nothing in it can be used.
    """
    classes = read_class_names(annotations)
    records = [r for r in read_coco(annotations, images) if in_split(r.id, options)]
    part = "" if options.split == "all" else f" in the split '{options.split}'"
    objects = tuple(usable_objects(records))
    if not objects and options.objects[1]:
        raise InputError(
            f"{annotations} has no object{part} that can be cut out: with a mask of {MIN_AREA} pixels or "
            "more, in one piece and not hidden by others; use a larger dataset"
        )
    backgrounds = tuple(r for r in records if is_background(r, len(classes)))
    if not backgrounds:
        raise InputError(
            f"{annotations} has no image{part} that can be a background: every class labelled "
            f"('exhaustive'), no crowd and at most {MAX_BACKGROUND_OBJECTS} objects; add photographs without "
            "objects to it"
        )
    return Sources(classes, read_category_ids(annotations), objects, backgrounds)


def in_split(image_id: int, options: SynthOptions) -> bool:
    """Whether the image belongs to `options.split`: decided by its id alone, whatever else there is."""
    if options.split == "all":
        return True
    digest = hashlib.sha256(f"{options.split_seed}/{image_id}".encode()).digest()
    is_val = int.from_bytes(digest[:8], "big") < options.val_share * 2**64
    return is_val == (options.split == "val")


def is_background(record: ImageRecord, num_classes: int) -> bool:
    """Whether everything that a label could be asked for is labelled, and room is left.

    Its objects become tracks of the video, so that the ground truth leaves nothing out.
    """
    objects = record.annotations
    if len(record.vouched) < num_classes or len(objects) > MAX_BACKGROUND_OBJECTS:
        return False
    if any(a.crowd or a.rle is None for a in objects):
        return False
    covered = sum(mask_ops.areas([a.rle for a in objects]))
    return covered <= MAX_BACKGROUND_COVER * record.height * record.width


def usable_objects(records: Iterable[ImageRecord]) -> list[SourceObject]:
    """Objects large enough, in one piece, not shaped by others, cut by at most one border of the image."""
    found = []
    for record in records:
        masked = [a for a in record.annotations if a.rle is not None]
        if not masked:
            continue
        crops = mask_ops.decode_crops([a.rle for a in masked])
        for number, annotation in enumerate(masked):
            if annotation.crowd or not _is_good_size(crops[number][0], record):
                continue
            sides = _cut_sides(crops[number], record)
            if len(sides) < 2 and _is_whole(crops[number][0]) and _contact(number, crops) <= MAX_CONTACT:
                found.append(SourceObject(record, annotation, sides[0] if sides else None))
    return found


def _is_good_size(mask: np.ndarray, record: ImageRecord) -> bool:
    return MIN_AREA <= np.count_nonzero(mask) <= MAX_AREA_SHARE * record.height * record.width


def _cut_sides(crop: tuple[np.ndarray, int, int], record: ImageRecord) -> list[str]:
    mask, left, top = crop
    height, width = mask.shape
    near = {
        "left": left <= BORDER,
        "top": top <= BORDER,
        "right": left + width >= record.width - BORDER,
        "bottom": top + height >= record.height - BORDER,
    }
    return [side for side, is_near in near.items() if is_near]


def _is_whole(mask: np.ndarray) -> bool:
    _, _, stats, _ = cv2.connectedComponentsWithStats(mask.view(np.uint8), connectivity=8)
    return stats[1:, cv2.CC_STAT_AREA].max() >= MIN_WHOLE * np.count_nonzero(mask)


def _contact(number: int, crops: Sequence[tuple[np.ndarray, int, int]]) -> float:
    """Share of the ring around an object that lies in other objects."""
    rim = 2 * BORDER
    mask, left, top = crops[number]
    mask = cv2.copyMakeBorder(mask.view(np.uint8), rim, rim, rim, rim, cv2.BORDER_CONSTANT, value=0)
    ring = cv2.dilate(mask, np.ones((2 * rim + 1, 2 * rim + 1), np.uint8)) > mask
    others = np.zeros(ring.shape, bool)
    for other, (piece, x, y) in enumerate(crops):
        if other != number:
            _paint(others, piece, x - left + rim, y - top + rim)
    return np.count_nonzero(ring & others) / np.count_nonzero(ring)


def _paint(canvas: np.ndarray, piece: np.ndarray, x: int, y: int) -> None:
    """Add a mask to a ``(H, W)`` bool canvas that it may lie partly or wholly outside of."""
    x1, y1 = max(x, 0), max(y, 0)
    x2, y2 = min(x + piece.shape[1], canvas.shape[1]), min(y + piece.shape[0], canvas.shape[0])
    if x1 < x2 and y1 < y2:
        canvas[y1:y2, x1:x2] |= piece[y1 - y : y2 - y, x1 - x : x2 - x]
