"""``tracks.json``."""

from __future__ import annotations

from pathlib import Path

from msnvis.io.formats import ytvis
from msnvis.io.source import FrameSource
from msnvis.io.writers.base import Writer, formats, original_size
from msnvis.io.writers.json_stream import write_annotations
from msnvis.structures import VideoInstances


@formats.register("ytvis", summary="tracks.json: YouTube-VIS JSON, one annotation a track; holds everything")
class YtvisWriter(Writer):
    filename = "tracks.json"

    def write(self, instances: VideoInstances, source: FrameSource, path: Path) -> None:
        size = original_size(instances, source)
        write_annotations(path, ytvis.header(instances, size), ytvis.annotations(instances, size))
