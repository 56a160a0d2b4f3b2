"""Reading COCO-format annotations for training, partial ones included."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from msnvis import masks as mask_ops
from msnvis.datasets.labels import LabelSpace, class_map
from msnvis.errors import InputError
from msnvis.io.formats.reading import entry_name, explained
from msnvis.masks import RLE

#: The 20 classes of PASCAL VOC by their COCO names.
VOC20 = (
    "person", "bird", "cat", "cow", "dog", "horse", "sheep", "airplane", "bicycle", "boat", "bus", "car",
    "motorcycle", "train", "bottle", "chair", "dining table", "potted plant", "couch", "tv",
)  # fmt: skip
_ALL = frozenset({"all", "all80"})
#: Boxes with numbers beyond this many times the longer side of their image are refused.
_FAR = 10


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
    from msnvis.datasets.formats.fields import field  # that package needs this module

    content = _read_json(annotations)
    names = _categories(content, annotations)
    order = class_labels(tuple(names.values()), classes)
    records: dict[int, ImageRecord] = {}
    for place, image in enumerate(content["images"]):
        with explained(f"{annotations}: {entry_name('image', image, place)}"):
            record = _image(image, images, names.values(), order)
            if record.id in records:
                raise ValueError("an earlier image has the same id")
            records[record.id] = record
    found: dict[int, list[Annotation]] = {number: [] for number in records}
    for place, entry in enumerate(content["annotations"]):
        called = entry_name("annotation", entry, place)
        with explained(f"{annotations}: {called}"):
            number, category = field(entry, "image_id", int, None), field(entry, "category_id", int, None)
        if number not in records:
            raise InputError(f"{annotations}: {called} names an image that the file does not list")
        name = names.get(category)
        if name in order:
            found[number].append(_annotation(entry, records[number], order[name], f"{annotations}: {called}"))
        elif dropped is not None:
            dropped[str(name)] += 1
    return [replace(record, annotations=tuple(found[number])) for number, record in records.items()]


def read_class_names(annotations: Path) -> tuple[str, ...]:
    """Names of the categories of a COCO json, ordered by id."""
    return tuple(_categories(_read_json(annotations), annotations).values())


def read_category_ids(annotations: Path) -> tuple[int, ...]:
    """Ids of the categories of a COCO json, in the order of `read_class_names`."""
    return tuple(_categories(_read_json(annotations), annotations))


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
        content = json.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise InputError(f"{path} cannot be read: {error.strerror}") from error
    except ValueError as error:
        raise InputError(f"{path} is not valid JSON ({error})") from error
    except RecursionError as error:
        raise InputError(f"{path} is not COCO annotations: it is nested too deeply") from error
    lists = ("images", "annotations", "categories")
    missing = [
        key for key in lists if not isinstance(content, dict) or not isinstance(content.get(key), list)
    ]
    if missing:
        raise InputError(f"{path} is not a COCO annotation file: it has no {', '.join(missing)}")
    return content


def _categories(content: dict[str, Any], source: Path) -> dict[int, str]:
    """Id -> name, by growing id."""
    from msnvis.datasets.formats.fields import field

    found: dict[int, str] = {}
    for place, entry in enumerate(content["categories"]):
        with explained(f"{source}: {entry_name('category', entry, place)}"):
            found[field(entry, "id", int)] = field(entry, "name", str)
    return dict(sorted(found.items()))


def _image(entry: Any, folder: Path, own: Collection[str], labels: Mapping[str, int]) -> ImageRecord:
    """An image without its annotations; raises ValueError."""
    from msnvis.datasets.formats.fields import field, size
    from msnvis.datasets.formats.frames import frame_file

    height, width = size(entry)
    names = exhaustive_names(field(entry, "exhaustive", str, "all"), own)
    path = frame_file(folder, field(entry, "file_name", str))
    return ImageRecord(path, width, height, (), vouched_labels(names, labels), field(entry, "id", int))


def _annotation(entry: dict[str, Any], image: ImageRecord, label: int, source: str) -> Annotation:
    try:
        x, y, w, h = (float(v) for v in entry["bbox"])
        # What boxes reach beyond the image is cut off later; absurd ones would overflow there.
        if not max(map(abs, (x, y, w, h))) <= _FAR * max(image.width, image.height):
            raise ValueError("a box that leaves the image by far")
        segmentation = entry.get("segmentation")
        rle = mask_ops.from_json(segmentation, (image.height, image.width)) if segmentation else None
    except (KeyError, TypeError, ValueError, IndexError, OverflowError) as error:
        raise InputError(f"{source} has a broken box or mask ({error})") from error
    number = entry.get("id", 0)
    crowd = entry.get("iscrowd", 0) in (1, True)
    return Annotation((x, y, x + w, y + h), label, rle, crowd, number if type(number) is int else 0)


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
