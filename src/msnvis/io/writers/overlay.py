"""``overlay.mp4``."""

from __future__ import annotations

from pathlib import Path

from msnvis.io.overlay import write_overlay
from msnvis.io.source import FrameSource
from msnvis.io.writers.base import Writer, formats
from msnvis.structures import VideoInstances


@formats.register("overlay", summary="overlay.mp4: the video with masks, classes and ids drawn on it")
class OverlayWriter(Writer):
    filename = "overlay.mp4"

    def write(self, instances: VideoInstances, source: FrameSource, path: Path) -> None:
        write_overlay(instances, source, path)
