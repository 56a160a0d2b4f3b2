"""Reading COCO-format annotations for training, partial ones included."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from msnvis import masks as mask_ops
from msnvis.errors import InputError
from msnvis.masks import RLE

#: The 20 classes of PASCAL VOC by their COCO names.
VOC20 = (
    "person", "bird", "cat", "cow", "dog", "horse", "sheep", "airplane", "bicycle", "boat", "bus", "car",
    "motorcycle", "train", "bottle", "chair", "dining table", "potted plant", "couch", "tv",
)  # fmt: skip
_ALL = frozenset({"all", "all80"})


@dataclass(frozen=True)
class Annotation:
    """One object: box ``x1 y1 x2 y2`` in pixels, class index, mask (None: unknown), id in the file."""

    box: tuple[float, float, float, float]
    label: int
    rle: RLE | None
    crowd: bool = False
    id: int = 0


@dataclass(frozen=True)
class ImageRecord:
    """One image and its annotation.

    `vouched` are the indices of the classes of which every instance is labelled in this image, `id` is its
    own in the file.
    """

    path: Path
    width: int
    height: int
    annotations: tuple[Annotation, ...]
    vouched: frozenset[int]
    id: int = 0


def read_coco(annotations: Path, images: Path, classes: Sequence[str] | None = None) -> list[ImageRecord]:
    """Read a COCO json.

    An image may carry a field ``exhaustive``: ``all`` (the default), ``voc20`` or class names separated by
    commas; it says which classes are completely labelled there.

    Args:
        annotations: the json file.
        images: the folder that its ``file_name`` entries are relative to.
        classes: names in the order of the labels; the file's own categories by default.

    Raises:
        InputError: the file is missing, not COCO, or an entry is broken (which one is said).
    """
    content = _read_json(annotations)
    names = {c["id"]: c["name"] for c in content["categories"]}
    order = {name: i for i, name in enumerate(classes or class_names(content))}
    grouped: dict[Any, list[dict]] = {image["id"]: [] for image in content["images"]}
    for entry in content["annotations"]:
        if entry.get("image_id") not in grouped:
            raise InputError(
                f"{annotations}: annotation {entry.get('id')} names an image that the file does not list"
            )
        if names.get(entry.get("category_id")) in order:
            grouped[entry["image_id"]].append(entry)
    return [
        ImageRecord(
            path=images / image["file_name"],
            width=int(image["width"]),
            height=int(image["height"]),
            annotations=tuple(
                _annotation(e, image, order[names[e["category_id"]]], annotations)
                for e in grouped[image["id"]]
            ),
            vouched=_vouched(image.get("exhaustive", "all"), order, annotations),
            id=image["id"],
        )
        for image in content["images"]
    ]


def read_class_names(annotations: Path) -> tuple[str, ...]:
    """Names of the categories of a COCO json, ordered by id."""
    return class_names(_read_json(annotations))


def read_category_ids(annotations: Path) -> tuple[int, ...]:
    """Ids of the categories of a COCO json, in the order of `read_class_names`."""
    return tuple(sorted(c["id"] for c in _read_json(annotations)["categories"]))


def class_names(content: dict) -> tuple[str, ...]:
    return tuple(c["name"] for c in sorted(content["categories"], key=lambda c: c["id"]))


def split_held_out(
    records: Sequence[ImageRecord], num_classes: int, count: int, seed: int
) -> tuple[list[ImageRecord], list[ImageRecord]]:
    """Set aside `count` random images that vouch for every class and hold an object.

    Returns:
        The images to train on and those held out.
    """
    full = [i for i, r in enumerate(records) if len(r.vouched) == num_classes and r.annotations]
    if count > len(full):
        raise InputError(f"cannot hold out {count} images: only {len(full)} are fully labelled and not empty")
    chosen = set(np.random.default_rng(seed).permutation(full)[:count].tolist())
    train = [r for i, r in enumerate(records) if i not in chosen]
    return train, [records[i] for i in sorted(chosen)]


def _read_json(path: Path) -> dict:
    try:
        content = json.loads(path.read_text())
    except OSError as error:
        raise InputError(f"{path} cannot be read: {error.strerror}") from error
    except ValueError as error:
        raise InputError(f"{path} is not valid JSON ({error})") from error
    missing = [
        k
        for k in ("images", "annotations", "categories")
        if not isinstance(content, dict) or k not in content
    ]
    if missing:
        raise InputError(f"{path} is not a COCO annotation file: it has no {', '.join(missing)}")
    return content


def _annotation(entry: dict, image: dict, label: int, source: Path) -> Annotation:
    try:
        x, y, w, h = (float(v) for v in entry["bbox"])
        segmentation = entry.get("segmentation")
        size = (int(image["height"]), int(image["width"]))
        rle = mask_ops.from_json(segmentation, size) if segmentation else None
    except (KeyError, TypeError, ValueError, IndexError) as error:
        raise InputError(
            f"{source}: annotation {entry.get('id')} has a broken box or mask ({error})"
        ) from error
    return Annotation((x, y, x + w, y + h), label, rle, bool(entry.get("iscrowd", 0)), entry.get("id", 0))


def _vouched(exhaustive: str, order: dict[str, int], source: Path) -> frozenset[int]:
    if exhaustive in _ALL:
        return frozenset(order.values())
    names = VOC20 if exhaustive == "voc20" else [name.strip() for name in exhaustive.split(",")]
    unknown = [name for name in names if name not in order]
    if unknown and exhaustive != "voc20":
        raise InputError(f"{source}: 'exhaustive' names unknown classes: {', '.join(unknown)}")
    return frozenset(order[name] for name in names if name in order)
