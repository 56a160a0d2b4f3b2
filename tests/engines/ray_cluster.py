"""What workers on Ray run before anything else, and parts that lose their worker or are slow.

As a program: `msnvis` on a Ray of its own, on which these parts are known.
"""

from __future__ import annotations

import os
import signal
import time
from contextlib import suppress
from pathlib import Path

import squares

from msnvis.segmenters.base import segmenters
from msnvis.store import folder


class Doomed(squares.SquareSegmenter):
    """Kills its own process, once, when it sees more than `frames` of a video; a file tells that it did."""

    def __init__(self, marker: Path, frames: int) -> None:
        self.marker, self.frames, self.left = marker, frames, frames

    def reset(self, frame=0):
        self.left = self.frames

    def segment(self, images):
        self.left -= len(images)
        if self.left < 0:
            with suppress(FileExistsError), self.marker.open("x") as file:
                file.write(str(os.getpid()))
                file.flush()
                os.kill(os.getpid(), signal.SIGKILL)
        return super().segment(images)


class Unhurried(squares.SquareSegmenter):
    """Takes its time, and adds a byte to a file for each frame."""

    def __init__(self, seen: Path, seconds: float) -> None:
        self.seen, self.seconds = seen, seconds

    def segment(self, images):
        time.sleep(self.seconds * len(images))
        with self.seen.open("ab") as file:
            file.write(b"." * len(images))
        return super().segment(images)


def set_up() -> None:
    """Make the parts known, and make checkpoints whenever there can be one."""
    squares.register()
    folder.SECONDS, folder._SHARE = 0.0, 0
    # The file is named by the environment, because the driver chooses it.
    marker = Path(os.environ.get("MSNVIS_TEST_MARKER", "unused"))
    segmenters.register("doomed", summary="loses its worker, for tests")(
        lambda device="cpu": Doomed(marker, frames=9)
    )
    seen = marker.with_name("seen")
    segmenters.register("unhurried", summary="slow, for tests")(
        lambda device="cpu": Unhurried(seen, float(os.environ.get("MSNVIS_TEST_PAUSE", 0)))
    )


if __name__ == "__main__":
    import ray

    from msnvis.cli.main import main

    ray.init(
        num_cpus=2,
        include_dashboard=False,
        log_to_driver=False,
        runtime_env={"worker_process_setup_hook": "ray_cluster.set_up"},
    )
    set_up()
    main()
