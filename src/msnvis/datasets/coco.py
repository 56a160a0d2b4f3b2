"""Reading COCO-format annotations for training, partial ones included."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from msnvis import masks as mask_ops
from msnvis.datasets.labels import LabelSpace, class_map
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


def read_coco(
    annotations: Path,
    images: Path,
    classes: Sequence[str] | LabelSpace | None = None,
    dropped: Counter[str] | None = None,
) -> list[ImageRecord]:
    """Read a COCO json.

    An image may carry a field ``exhaustive``: ``all`` (the default), ``voc20`` or class names separated by
    commas, empty for none; it says which classes of the file are completely labelled there.

    Args:
        annotations: the json file.
        images: the folder that its ``file_name`` entries are relative to.
        classes: names in the order of the labels; or a label space that the file's categories are carried
            over to by `class_map`; the file's own categories by default.
        dropped: gets the number of annotations left out of each category that `classes` have no place for.

    Raises:
        InputError: the file is missing, not COCO, or an entry is broken (which one is said).
    """
    content = _read_json(annotations)
    names = {c["id"]: c["name"] for c in content["categories"]}
    order = class_labels(class_names(content), classes)
    grouped: dict[Any, list[dict]] = {image["id"]: [] for image in content["images"]}
    for entry in content["annotations"]:
        if entry.get("image_id") not in grouped:
            raise InputError(
                f"{annotations}: annotation {entry.get('id')} names an image that the file does not list"
            )
        name = names.get(entry.get("category_id"))
        if name in order:
            grouped[entry["image_id"]].append(entry)
        elif dropped is not None:
            dropped[str(name)] += 1
    return [
        ImageRecord(
            path=images / image["file_name"],
            width=int(image["width"]),
            height=int(image["height"]),
            annotations=tuple(
                _annotation(e, image, order[names[e["category_id"]]], annotations)
                for e in grouped[image["id"]]
            ),
            vouched=_vouched(image.get("exhaustive", "all"), names.values(), order, annotations),
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
        raise InputError(
            f"cannot hold out {count} images: only {len(full)} are labelled for every class and not empty; "
            "hold out fewer, or name a dataset with all classes first"
        )
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


def class_labels(own: Sequence[str], target: Sequence[str] | LabelSpace | None) -> dict[str, int]:
    """Label of each of a file's own classes that has one in `target`, see `read_coco`.

    >>> class_labels(["dog", "cat"], ["cat", "cow"])
    {'cat': 0}
    """
    if isinstance(target, LabelSpace):
        rows = zip(own, class_map(own, target), strict=True)
        return {name: int(row.argmax()) for name, row in rows if row.any()}
    place = {name: i for i, name in enumerate(target or own)}
    return {name: place[name] for name in own if name in place}


def exhaustive_names(exhaustive: str, own: Collection[str]) -> set[str]:
    """Which of the classes `own` a field ``exhaustive`` names; ValueError where it names others.

    >>> sorted(exhaustive_names("voc20", ["car", "cup", "dog"])), exhaustive_names("", ["car"])
    (['car', 'dog'], set())
    """
    if exhaustive in _ALL:
        return set(own)
    if exhaustive == "voc20":
        return set(VOC20) & set(own)
    names = {name.strip() for name in exhaustive.split(",")} - {""}
    if not names <= set(own):
        raise ValueError(f"'exhaustive' names unknown classes: {', '.join(sorted(names - set(own)))}")
    return names


def vouched_labels(names: Collection[str], labels: Mapping[str, int]) -> frozenset[int]:
    """Labels of which all classes that stand for them are among `names`.

    >>> vouched_labels({"cat", "man"}, {"cat": 0, "man": 1, "woman": 1})
    frozenset({0})
    """
    return frozenset(labels.values()) - {label for name, label in labels.items() if name not in names}


def _vouched(exhaustive: str, own: Collection[str], labels: dict[str, int], source: Path) -> frozenset[int]:
    try:
        return vouched_labels(exhaustive_names(exhaustive, own), labels)
    except (ValueError, AttributeError, TypeError) as error:
        raise InputError(f"{source}: {error}") from error
