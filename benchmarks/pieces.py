"""What it costs to process a long video in pieces, beside the networks: against the same video as a whole.

    python benchmarks/pieces.py                                            # 10,000 frames, pieces of 1,000
    python benchmarks/pieces.py --frames 108000 --piece-frames 5000

The video is generated, the segmenter knows where the objects are and the propagator leaves masks where they
were, so that what is left is reading, tracking, the store and joining. All is done in this process, one piece
after the other; seconds are those of the processor. The results are compared.
"""

from __future__ import annotations

import argparse
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from long_video import Circles, write_video
from pipeline import Still

from msnvis.io.readers import open_source
from msnvis.pieces import VideoPieces
from msnvis.pipeline import VideoInstanceSegmenter
from msnvis.store import WorkFolder
from msnvis.structures import VideoInstances

#: Frames of a shot.
SHOT = 250


class Costs:
    """Prints milliseconds of the processor a frame."""

    def __init__(self, frames: int) -> None:
        self._frames = frames

    @contextmanager
    def of(self, what: str) -> Iterator[None]:
        began = time.process_time()
        yield
        seconds = time.process_time() - began
        print(f"{what:45}{1000 * seconds / self._frames:8.3f} ms a frame", flush=True)


def process(circles: Circles, video: Path, out: Path, pieces: VideoPieces | None = None) -> str:
    """All tracks as text, of the video as a whole or joined from its pieces."""
    with WorkFolder(out) as work:
        instances: VideoInstances = parts(circles).run(open_source(video), work=work, pieces=pieces)
        answer = str(instances.to_ytvis())
        work.finish()
    return answer


def parts(circles: Circles) -> VideoInstanceSegmenter:
    return VideoInstanceSegmenter(circles, Still(), classifier="none", labels="coco", max_lost=10)


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--frames", type=int, default=10_000)
    parser.add_argument("--piece-frames", type=int, default=1000)
    parser.add_argument("--objects", type=int, default=15)
    parser.add_argument("--size", type=int, nargs=2, default=(360, 640), metavar=("HEIGHT", "WIDTH"))
    arguments = parser.parse_args()
    circles, costs = Circles(arguments.objects, tuple(arguments.size)), Costs(arguments.frames)
    with tempfile.TemporaryDirectory() as temporary:
        video, out = Path(temporary, "video.mp4"), Path(temporary, "out")
        write_video(video, circles, arguments.frames, shot=SHOT)
        with costs.of("the whole"):
            expected = process(circles, video, Path(temporary, "whole"))
        with costs.of("planning: one read that finds the cuts"):
            VideoPieces(parts(circles), open_source(video), out).plan(arguments.piece_frames)
        count = len(VideoPieces(parts(circles), open_source(video), out).missing)
        with costs.of(f"{count} pieces, each as by a worker of its own"):
            for number in range(count):
                VideoPieces(parts(circles), open_source(video), out)[number].process()
        with costs.of("joining"):
            pieces = VideoPieces(parts(circles), open_source(video), out)
            same = process(circles, video, out, pieces) == expected
    print("the results are the same" if same else "THE RESULTS DIFFER")


if __name__ == "__main__":
    main()
