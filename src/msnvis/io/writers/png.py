"""``masks/``."""

from __future__ import annotations

from pathlib import Path

from msnvis.io.atomic import replacing
from msnvis.io.formats import png
from msnvis.io.source import FrameSource
from msnvis.io.writers.base import Writer, formats, original_size
from msnvis.structures import VideoInstances


@formats.register("png", summary="masks/: a PNG label map a frame, pixel = track id, DAVIS palette")
class PngWriter(Writer):
    filename = "masks"

    def write(self, instances: VideoInstances, source: FrameSource, path: Path) -> None:
        with replacing(path) as temporary:
            png.write(instances, temporary, original_size(instances, source))
