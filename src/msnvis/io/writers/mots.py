"""``mots.txt``."""

from __future__ import annotations

from pathlib import Path

from msnvis.io.atomic import replacing
from msnvis.io.formats import mots
from msnvis.io.source import FrameSource
from msnvis.io.writers.base import Writer, formats, original_size
from msnvis.structures import VideoInstances


@formats.register("mots", summary="mots.txt: MOTS text, one line a mask, masks made disjoint")
class MotsWriter(Writer):
    filename = "mots.txt"

    def write(self, instances: VideoInstances, source: FrameSource, path: Path) -> None:
        with replacing(path) as temporary, temporary.open("w", encoding="ascii") as file:
            file.writelines(mots.lines(instances, original_size(instances, source)))
