"""``summary.png``."""

from __future__ import annotations

from pathlib import Path

from msnvis.io.source import FrameSource
from msnvis.io.summary import write_summary
from msnvis.io.writers.base import Writer, formats
from msnvis.structures import VideoInstances


@formats.register("summary", summary="summary.png: a contact sheet above a timeline of the tracks")
class SummaryWriter(Writer):
    filename = "summary.png"

    def write(self, instances: VideoInstances, source: FrameSource, path: Path) -> None:
        write_summary(instances, source, path)
