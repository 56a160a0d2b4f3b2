"""JSON with long lists, written a few elements at a time: the text of an hour of video is gigabytes."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping
from itertools import islice
from pathlib import Path
from typing import Any, TextIO

from msnvis.io.atomic import replacing

#: Elements that are put into text at a time.
_CHUNK = 256


def write_annotations(
    path: Path, header: Mapping[str, Any], annotations: Iterable[Mapping[str, Any]]
) -> None:
    """Write `header` with `annotations` as its last field; raises `OutputError`.

    Values of the header and of each annotation that are iterators become lists, never held as a whole.
    """
    with replacing(path) as temporary, temporary.open("w", encoding="utf-8") as file:
        file.write("{")
        _write_fields(file, header)
        file.write(', "annotations": [')
        for number, annotation in enumerate(annotations):
            file.write(",\n{" if number else "\n{")
            _write_fields(file, annotation)
            file.write("}")
        file.write("\n]}\n")


def _write_fields(file: TextIO, fields: Mapping[str, Any]) -> None:
    for number, (name, value) in enumerate(fields.items()):
        file.write(f"{', ' if number else ''}{json.dumps(name)}: ")
        if isinstance(value, Iterator):
            _write_list(file, value)
        else:
            file.write(json.dumps(value, allow_nan=False))


def _write_list(file: TextIO, values: Iterator[Any]) -> None:
    file.write("[")
    begun = False
    while chunk := list(islice(values, _CHUNK)):
        file.write((", " if begun else "") + json.dumps(chunk, allow_nan=False)[1:-1])
        begun = True
    file.write("]")
