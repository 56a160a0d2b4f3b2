"""What workers on Ray run before anything else, and parts that lose their worker."""

from __future__ import annotations

import os
import signal
from pathlib import Path

import squares

from msnvis.segmenters.base import segmenters
from msnvis.store import folder


class Doomed(squares.SquareSegmenter):
    """Kills its own process, once, when it has seen `frames` frames; a file remembers that it did."""

    def __init__(self, marker: Path, frames: int) -> None:
        self.marker, self.left = marker, frames

    def segment(self, images):
        self.left -= len(images)
        if self.left < 0 and not self.marker.exists():
            self.marker.write_text(str(os.getpid()))
            os.kill(os.getpid(), signal.SIGKILL)
        return super().segment(images)


def set_up() -> None:
    """Make the parts known, and make checkpoints whenever there can be one."""
    squares.register()
    folder.SECONDS, folder._SHARE = 0.0, 0
    # The file is named by the environment, because the driver chooses it.
    marker = Path(os.environ.get("MSNVIS_TEST_MARKER", "unused"))
    segmenters.register("doomed", summary="loses its worker, for tests")(
        lambda device="cpu": Doomed(marker, frames=17)
    )
