"""What YouTube-VIS and COCO json have in common: categories, lists of entries, and how they are written."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from msnvis.datasets.formats.fields import field
from msnvis.datasets.problems import Problems
from msnvis.datasets.video import DEFAULT_FPS, VideoDataset
from msnvis.io.formats import reading
from msnvis.io.formats.reading import entry_name

#: The annotation file that we write, named as in YouTube-VIS 2021.
ANNOTATIONS = "instances.json"


@dataclass(frozen=True)
class Categories:
    """The classes of a file, in its order."""

    names: tuple[str, ...]
    ids: tuple[int, ...]
    labels: Mapping[int, int]

    @classmethod
    def read(cls, entries: list[Any], file: Path, problems: Problems) -> Categories:
        found: dict[int, str] = {}
        for place, entry in enumerate(entries):
            with problems.noted(file, entry_name("category", entry, place), "category"):
                number, name = field(entry, "id", int), field(entry, "name", str)
                if number in found or name in found.values():
                    raise ValueError("an earlier category has the same id or name")
                found[number] = name
        return cls(tuple(found.values()), tuple(found), {number: i for i, number in enumerate(found)})

    def label(self, entry: Any) -> int:
        """Index of the class of an annotation."""
        number = field(entry, "category_id", int)
        if number not in self.labels:
            raise ValueError(f"its category_id {number} is none of the categories")
        return self.labels[number]


def load(path: Path) -> tuple[dict[str, Any], Path]:
    """The content of an annotation file, and the file: `path`, or ``instances.json`` in it."""
    file = path / ANNOTATIONS if path.is_dir() else path
    content, _ = reading.load_json(file)
    return dict(content), file


def entries(content: dict[str, Any], key: str, file: Path, *, optional: bool = False) -> list[Any]:
    """A list at the top of the file; raises `InputError`."""
    with reading.explained(str(file)):
        return field(content, key, list, *([[]] if optional else []))


def known_ids(entries: list[Any]) -> set[int]:
    """Ids of all entries, bad ones included."""
    return {entry["id"] for entry in entries if isinstance(entry, dict) and type(entry.get("id")) is int}


def fps(entry: dict[str, Any]) -> float:
    """Frames a second of a video, a field of ours."""
    value = field(entry, "fps", float, DEFAULT_FPS)
    if not 0 < value < 1e6:
        raise ValueError("its 'fps' is no frame rate")
    return float(value)


def categories_json(dataset: VideoDataset) -> list[dict[str, Any]]:
    return [{"id": i, "name": name} for i, name in zip(dataset.category_ids, dataset.classes, strict=True)]
