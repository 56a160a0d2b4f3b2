"""How much memory a long video takes: an hour against a minute.

    python benchmarks/long_video.py                  # 108,000 frames against 1,800
    python benchmarks/long_video.py --frames 20000   # quicker

The video is generated, the segmenter knows where the objects are and the propagator leaves masks where they
were, so that what is left is the pipeline itself: reading in both directions, tracking, merging, the store on
disk with its checkpoints, and all formats. Objects vanish and others appear all the time, because what is
remembered of objects that are gone must not fill the memory either.
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from threading import Event, Thread

import av
import cv2
import numpy as np
from pipeline import Still, peak_megabytes

from msnvis import masks as mask_ops
from msnvis.io.readers import open_source
from msnvis.io.writers import formats, write_results
from msnvis.masks import RLE
from msnvis.pipeline import VideoInstanceSegmenter
from msnvis.segmenters import Segmenter
from msnvis.store import WorkFolder
from msnvis.structures import Detections

TARGET = 300.0  # megabytes more than the short video
MINUTE, HOUR = 1800, 108_000
#: Frames for which an object is there, and for which its place is empty: so that there are about as many
#: objects in an hour as label maps of 8 bits can hold.
LIFE, PAUSE = 9000, 100
#: Frames after which the objects are back where they began.
PERIOD = 60


class Circles(Segmenter):
    """Discs that circle, each in a cell of its own, with masks drawn beforehand; cells fall empty in turn."""

    classes = ("person", "car", "dog")

    def __init__(self, count: int, size: tuple[int, int]) -> None:
        self.size, self.count, self.next = size, count, 0
        self.rles = [self._draw(t) for t in range(PERIOD)]

    def fingerprint(self) -> dict[str, object]:
        return {"size": self.size, "count": self.count}

    def outlines(self, t: int) -> list[tuple[tuple[int, int], int]]:
        """Centre and radius of every disc at frame `t`."""
        height, width = self.size
        columns = int(np.ceil(np.sqrt(self.count * width / height)))
        rows = int(np.ceil(self.count / columns))
        radius = int(0.3 * min(width / columns, height / rows))
        turn = 2 * np.pi * t / PERIOD
        return [
            (
                (
                    round((k % columns + 0.5) * width / columns + 0.4 * radius * np.cos(turn + k)),
                    round((k // columns + 0.5) * height / rows + 0.4 * radius * np.sin(turn + k)),
                ),
                radius,
            )
            for k in range(self.count)
        ]

    def _draw(self, t: int) -> list[RLE]:
        masks = np.zeros((self.count, *self.size), np.uint8)
        for mask, (centre, radius) in zip(masks, self.outlines(t), strict=True):
            cv2.circle(mask, centre, radius, 1, -1)
        return mask_ops.encode(masks.astype(bool))

    def present(self, t: int) -> list[int]:
        return [k for k in range(self.count) if (t + k * LIFE // self.count) % (LIFE + PAUSE) < LIFE]

    def reset(self, frame: int = 0) -> None:
        self.next = frame

    def segment(self, images: Sequence[np.ndarray]) -> list[Detections]:
        found = [self._find(self.next + k) for k in range(len(images))]
        self.next += len(images)
        return found

    def _find(self, t: int) -> Detections:
        present = self.present(t)
        class_scores = np.eye(len(self.classes), dtype=np.float32)[np.array(present, int) % len(self.classes)]
        rles = [self.rles[t % PERIOD][k] for k in present]
        return Detections(self.size, rles, np.full(len(present), 0.9, np.float32), class_scores)


def write_video(path: Path, circles: Circles, frames: int, shot: int | None = None) -> None:
    """The circles as H.264, a keyframe every 60 frames; a cut after every `shot` frames."""
    height, width = circles.size
    colours = np.random.default_rng(0).integers(0, 256, (circles.count, 3)).tolist()
    with av.open(str(path), "w") as container:
        stream = container.add_stream("libx264", rate=30, options={"preset": "ultrafast", "g": "60"})
        stream.width, stream.height, stream.pix_fmt = width, height, "yuv420p"
        for t in range(frames):
            ground = 110 if shot is None else (60, 160)[t // shot % 2]
            image = np.full((height, width, 3), ground, np.uint8)
            outlines = circles.outlines(t)
            for k in circles.present(t):
                cv2.circle(image, *outlines[k], colours[k], -1)
            frame = av.VideoFrame.from_ndarray(image, format="rgb24").reformat(format="yuv420p")
            container.mux(stream.encode(frame))
        container.mux(stream.encode())


def run(folder: Path, count: int, size: tuple[int, int]) -> None:
    """Process ``video.mp4`` and print the peak of the memory in megabytes, and seconds and tracks."""
    began = time.perf_counter()
    parts = VideoInstanceSegmenter(
        Circles(count, size), Still(), classifier="none", labels="coco", shots=False, max_lost=10
    )
    source = open_source(folder / "video.mp4")
    with WorkFolder(folder / "out", keep=True) as work:
        instances = parts.run(source, work=work)
        tracking = peak_megabytes()
        write_results(instances, source, folder / "out", sorted(formats.entries()))
    print(peak_megabytes(), tracking, time.perf_counter() - began, len(instances.tracks))


def measure(frames: int, count: int, size: tuple[int, int]) -> float:
    """Run in a process of its own; gives the peak of its memory in megabytes."""
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary)
        write_video(folder / "video.mp4", Circles(count, size), frames)
        largest, done = [0.0], Event()
        watcher = Thread(target=_watch, args=(folder / "out", largest, done))
        watcher.start()
        command = [sys.executable, __file__, "--child", temporary, str(count), str(size[0]), str(size[1])]
        try:
            answer = subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True).stdout
        finally:
            done.set()
            watcher.join()
        journal = (folder / "out" / ".msnvis" / "journal").stat().st_size / 2**20
    peak, tracking, seconds, tracks = map(float, answer.split()[-4:])
    print(
        f"{frames:>8,} frames, {tracks:.0f} tracks: peak {peak:.0f} MB ({tracking:.0f} MB before writing), "
        f"{seconds:.0f} s; on disk {largest[0]:.0f} MB at most, {journal:.0f} MB of it intermediate",
        flush=True,
    )
    return peak


def _watch(folder: Path, largest: list[float], done: Event) -> None:
    """Note how many megabytes the files in `folder` have at most."""
    while not done.wait(1.0):
        total = 0
        for place, _, names in os.walk(folder):
            for name in names:
                with suppress(FileNotFoundError):  # renamed meanwhile
                    total += os.path.getsize(os.path.join(place, name))
        largest[0] = max(largest[0], total / 2**20)


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--frames", type=int, default=HOUR, help="of the long video")
    parser.add_argument("--objects", type=int, default=15)
    parser.add_argument("--size", type=int, nargs=2, default=(192, 336), metavar=("HEIGHT", "WIDTH"))
    parser.add_argument("--child", nargs=4, help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.child:
        folder, count, height, width = arguments.child
        run(Path(folder), int(count), (int(height), int(width)))
        return
    size = tuple(arguments.size)
    print(f"{size[1]}x{size[0]}, {arguments.objects} objects at a time, both directions, every format")
    short, long = (measure(frames, arguments.objects, size) for frames in (MINUTE, arguments.frames))
    print(f"difference {long - short:.0f} MB; target: at most {TARGET:.0f} MB")


if __name__ == "__main__":
    main()
