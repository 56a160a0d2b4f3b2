"""How quickly `msnvis synth` makes video, and where the time goes.

    python benchmarks/synth.py --annotations COCO.json --images DIR            # frames a minute
    python benchmarks/synth.py --annotations COCO.json --images DIR --profile  # the slowest functions

Processor time is given beside wall time because it means the same on a busy machine.
"""

from __future__ import annotations

import argparse
import cProfile
import pstats
import resource
import tempfile
import time
from pathlib import Path

import cv2

from msnvis.datasets.synthetic import SyntheticVideos, SynthOptions, write_dataset


def processor_seconds() -> float:
    """Of this process and its finished children."""
    own, children = (resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN))
    return own.ru_utime + own.ru_stime + children.ru_utime + children.ru_stime


def measure(annotations: Path, images: Path, options: SynthOptions, workers: int) -> None:
    """Write a dataset, files and all, from the start of the processes to `instances.json`."""
    frames = options.videos * options.frames
    with tempfile.TemporaryDirectory() as folder:
        busy, began = processor_seconds(), time.perf_counter()
        write_dataset(annotations, images, folder, options, workers)
        busy, seconds = processor_seconds() - busy, time.perf_counter() - began
        size = sum(path.stat().st_size for path in Path(folder).rglob("*.jpg"))
    height, width = options.size
    print(f"{frames} frames of {width}x{height}, {options.objects} objects, {workers} workers")
    print(f"  wall time:      {seconds:6.1f} s = {60 * frames / seconds:6.0f} frames a minute")
    print(f"  processor time: {1000 * busy / frames:6.1f} ms a frame")
    print(f"                  = {60 * frames / busy:6.0f} frames a minute and core")
    print(f"  JPEG:           {size / frames / 1024:6.1f} kB a frame")


def profile(annotations: Path, images: Path, options: SynthOptions) -> None:
    """Make the videos in memory, in this process."""
    cv2.setNumThreads(1)
    videos = SyntheticVideos(annotations, images, options)
    profiler = cProfile.Profile(timer=time.process_time)
    profiler.enable()
    for _ in videos:
        pass
    profiler.disable()
    pstats.Stats(profiler).sort_stats("tottime").print_stats(25)


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--annotations", type=Path, required=True)
    parser.add_argument("--images", type=Path, required=True)
    parser.add_argument("--videos", type=int, default=40)
    parser.add_argument("--frames", type=int, default=32)
    parser.add_argument("--workers", type=int, default=2)
    parser.add_argument("--profile", action="store_true")
    given = parser.parse_args()
    options = SynthOptions(videos=given.videos, frames=given.frames)
    if given.profile:
        profile(given.annotations, given.images, options)
    else:
        measure(given.annotations, given.images, options, given.workers)


if __name__ == "__main__":
    main()
