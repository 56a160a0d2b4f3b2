"""JSON with a long list of annotations, written one at a time: the text of an hour of video is gigabytes."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from msnvis.io.atomic import replacing


def write_annotations(
    path: Path, header: Mapping[str, Any], annotations: Iterable[Mapping[str, Any]]
) -> None:
    """Write `header` with `annotations` as its last field; raises `OutputError`."""
    with replacing(path) as temporary, temporary.open("w", encoding="utf-8") as file:
        file.write(json.dumps(header, allow_nan=False)[:-1] + ', "annotations": [')
        for number, annotation in enumerate(annotations):
            file.write((",\n" if number else "\n") + json.dumps(annotation, allow_nan=False))
        file.write("\n]}\n")
