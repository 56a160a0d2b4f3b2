"""``coco.json``."""

from __future__ import annotations

from pathlib import Path

from msnvis.io.formats import coco
from msnvis.io.source import FrameSource
from msnvis.io.writers.base import Writer, formats, original_size
from msnvis.io.writers.json_stream import write_annotations
from msnvis.structures import VideoInstances


@formats.register("coco", summary="coco.json: COCO JSON, one image a frame, one annotation a mask")
class CocoWriter(Writer):
    filename = "coco.json"

    def write(self, instances: VideoInstances, source: FrameSource, path: Path) -> None:
        size = original_size(instances, source)
        write_annotations(path, coco.header(instances, size), coco.annotations(instances, size))
