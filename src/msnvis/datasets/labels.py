"""Label spaces (YouTube-VIS 2019 and 2021, COCO, any) and the maps between them.

The tables are data, to be read and argued with: ``data/label_spaces.json`` has one row for each class of
`any` with the class that stands for it in the other spaces, ``data/imagenet.json`` one row for each of the
1000 ImageNet classes, ``data/openimages.json`` one for each of the 601 OpenImages classes with boxes, with a
flag for the 350 that have masks, too.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from importlib import resources
from typing import Any

import numpy as np

from msnvis.errors import UnknownPartError
from msnvis.registry import did_you_mean

#: Official spaces in the order in which names of unknown origin are looked up: detectors are mostly trained
#: on COCO.
_OFFICIAL_SPACES = ("coco", "ytvis2021", "ytvis2019")
LABEL_SPACES = (*_OFFICIAL_SPACES, "any")


@dataclass(frozen=True)
class LabelSpace:
    """The classes of a dataset.

    Attributes:
        name: ``ytvis2019``, ``ytvis2021``, ``coco`` or ``any``.
        classes: K class names; `Track.label` and the columns of `class_scores` index them.
        ids: K category ids, as in the dataset's official annotation files.
    """

    name: str
    classes: tuple[str, ...]
    ids: tuple[int, ...]


@cache
def label_space(name: str) -> LabelSpace:
    """The label space called `name`.

    ``any`` has every class of the other three, one name for one thing (COCO's ``motorcycle`` is
    ``motorbike``, its ``frisbee`` is ``flying_disc``, its ``mouse`` is ``computer_mouse``, for in YouTube-VIS
    a mouse is an animal).

    Raises:
        UnknownPartError: there is none of that name.

    >>> space = label_space("ytvis2021")
    >>> space.classes[25], space.ids[25]
    ('person', 26)
    """
    tables = _read("label_spaces.json")
    if name == "any":
        classes = tuple(row["name"] for row in tables["any"])
        return LabelSpace(name, classes, tuple(range(1, len(classes) + 1)))
    if name not in _OFFICIAL_SPACES:
        raise UnknownPartError(f"no label space is called '{name}'; {did_you_mean(name, LABEL_SPACES)}")
    rows = tables["spaces"][name]
    return LabelSpace(name, tuple(row["name"] for row in rows), tuple(row["id"] for row in rows))


def class_map(source_classes: Sequence[str], target: LabelSpace) -> np.ndarray:
    """Which class of `target` stands for each source class.

    Names are read as those of the first of ``coco``, ``ytvis2021``, ``ytvis2019``, ``any`` and OpenImages
    (names or ids) that has all of them, so ``mouse`` is a computer mouse among COCO classes and an animal
    among YouTube-VIS classes. Where no space has all, each name is looked up on its own, in small letters if
    need be (OVIS writes ``Giant_panda``); names that nobody knows map to nothing.

    Args:
        source_classes: S names, as in `Segmenter.classes`.
        target: space with K classes.

    Returns:
        ``(S, K)`` float32 of 0 and 1, at most one 1 in a row. ``scores @ class_map`` carries ``(N, S)`` class
        scores over; classes without a counterpart lose theirs.

    >>> space = label_space("ytvis2019")
    >>> class_map(("car", "sports ball"), space).sum(axis=1).tolist()
    [1.0, 0.0]
    >>> space.classes[class_map(("car",), space).argmax()]
    'sedan'
    """
    return _matrix(_translate(_in_any(source_classes), target), target)


def imagenet_map(target: LabelSpace) -> np.ndarray:
    """Which class of `target` each of the 1000 ImageNet classes belongs to: ``(1000, K)`` float32 of 0 and 1.

    ImageNet has neither deer, seals nor mice: antelopes, the sea lion and the hamster stand in for them. Wild
    dogs and wolves count as dogs, spotted big cats as leopards, salamanders as lizards, lemurs as monkeys,
    antelopes as deer.

    >>> dogs = imagenet_map(label_space("coco"))[:, label_space("coco").classes.index("dog")]
    >>> int(dogs[151:269].sum())
    118
    """
    names = [name for _, _, name in _read("imagenet.json")]
    return _matrix(_translate(names, target), target)


def imagenet_classes() -> tuple[str, ...]:
    """The 1000 ImageNet class names, by index."""
    return tuple(name for _, name, _ in _read("imagenet.json"))


def openimages_map(target: LabelSpace) -> np.ndarray:
    """Which class of `target` each OpenImages class belongs to: ``(601, K)`` float32 of 0 and 1.

    Rows are in the order of `openimages_classes`: the 601 classes that have boxes, of which those that have
    masks (350 in V5 to V7) are a part. What a class of the hierarchy cannot decide, such as Animal, Carnivore
    or Vehicle, belongs to none. The stand-ins are those of `imagenet_map`: antelopes, the sea lion and the
    hamster; jaguars and cheetahs count as leopards. There are no apes.

    >>> space = label_space("ytvis2021")
    >>> row = list(openimages_classes()).index("/m/0h23m")
    >>> openimages_classes()["/m/0h23m"], space.classes[openimages_map(space)[row].argmax()]
    ('Sparrow', 'bird')
    """
    names = [name for _, _, name, _ in _read("openimages.json")]
    return _matrix(_translate(names, target), target)


def openimages_classes(*, with_masks: bool = False) -> dict[str, str]:
    """The OpenImages classes that have boxes: id as in ``LabelName`` (``/m/01g317``) -> name.

    Args:
        with_masks: only the 350 that have masks (``classes-segmentation.txt`` of V5 to V7; their names as
            fiftyone's ``get_segmentation_classes`` gives them, checked by the size of that file).

    >>> len(openimages_classes()), len(openimages_classes(with_masks=True))
    (601, 350)
    """
    return {mid: name for mid, name, _, masks in _read("openimages.json") if masks or not with_masks}


def _in_any(classes: Sequence[str]) -> list[str | None]:
    """Names of `any` for names of unknown origin."""
    tables = [*(_names_in_any(space) for space in LABEL_SPACES), _openimages_in_any()]
    whole = next((table for table in tables if all(name in table for name in classes)), None)
    if whole is not None:
        return [whole[name] for name in classes]
    return [
        next((table[key] for key in (name, name.lower()) for table in tables if key in table), None)
        for name in classes
    ]


@cache
def _openimages_in_any() -> dict[str, str | None]:
    rows = _read("openimages.json")
    return {name: target for mid, own, target, _ in rows for name in (mid, own)}


@cache
def _names_in_any(space: str) -> dict[str, str]:
    tables = _read("label_spaces.json")
    if space == "any":
        return {row["name"]: row["name"] for row in tables["any"]}
    return {row["name"]: row["any"] for row in tables["spaces"][space]}


def _translate(names: Sequence[str | None], target: LabelSpace) -> list[str | None]:
    """Names of `any` to classes of `target`."""
    if target.name == "any":
        return list(names)
    counterpart = {row["name"]: row[target.name] for row in _read("label_spaces.json")["any"]}
    return [counterpart[name] if name else None for name in names]


def _matrix(names: Sequence[str | None], target: LabelSpace) -> np.ndarray:
    column = {name: index for index, name in enumerate(target.classes)}
    matrix = np.zeros((len(names), len(column)), np.float32)
    for row, name in enumerate(names):
        if name:
            matrix[row, column[name]] = 1
    return matrix


@cache
def _read(file: str) -> Any:
    return json.loads(resources.files("msnvis.datasets").joinpath("data", file).read_text(encoding="utf-8"))
