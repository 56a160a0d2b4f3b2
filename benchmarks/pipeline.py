"""Where the time and the memory of the pipeline go.

    python benchmarks/pipeline.py clip.mp4 --segmenter compact     # milliseconds a frame by part, real parts
    python benchmarks/pipeline.py --overheads                      # all that is not a network or optical flow
    python benchmarks/pipeline.py --memory                         # 10,000 frames against 300

Wall time is what passes on the clock: the decoder and the encoder work in threads of their own beside the
rest, so on two free cores it is less than the work done, and on a busy machine more. Processor (CPU) time is
that work, summed over all threads, and hardly depends on what else runs; of the parts, each counts what the
decoder does meanwhile, so that only the sum of a column tells how much work there is.
"""

# ruff: noqa: E402
from __future__ import annotations

from msnvis.cpu import prepare_process

prepare_process()  # as the `msnvis` command does, before PyTorch is loaded

import argparse
import resource
import subprocess
import sys
import tempfile
import time
from collections import deque
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path

import av
import cv2
import numpy as np

from msnvis import masks as mask_ops
from msnvis.cli.run import DEFAULT_FORMATS
from msnvis.io.overlay import OverlayVideo
from msnvis.io.readers import open_source
from msnvis.io.writers import write_results
from msnvis.masks import RLE
from msnvis.pipeline import VideoInstanceSegmenter
from msnvis.propagators import Corrections, Propagator
from msnvis.segmenters import Segmenter
from msnvis.structures import Detections, VideoInstances
from msnvis.timings import Timings

#: Frames after which the blobs are back where they began.
PERIOD = 60
OVERHEAD_TARGET = 10.0  # milliseconds a frame at 720p with 15 objects
MEMORY_TARGET = 300.0  # megabytes
#: In the order of the table; parts that are not among them follow.
PARTS = ("decode", "segment", "propagate", "associate", "select", "merge", "encode", "write")
FREE = ("segment", "propagate", "classify")  # networks and optical flow


class Blobs(Segmenter):
    """Lumpy objects on circular paths; their masks are prepared, so that segmenting costs nothing."""

    classes = ("person", "car", "dog")

    def __init__(self, count: int, size: tuple[int, int]) -> None:
        self.frames = [self._draw(count, size, t) for t in range(PERIOD)]
        self.next = 0

    @staticmethod
    def _draw(count: int, size: tuple[int, int], t: int) -> Detections:
        height, width = size
        columns = int(np.ceil(np.sqrt(count * width / height)))
        rows = int(np.ceil(count / columns))
        radius = 0.36 * min(width / columns, height / rows)
        angles = np.linspace(0, 2 * np.pi, 90, endpoint=False)
        masks = np.zeros((count, height, width), np.uint8)
        for k, mask in enumerate(masks):
            turn = 2 * np.pi * t / PERIOD + k
            centre = np.array([(k % columns + 0.5) * width / columns, (k // columns + 0.5) * height / rows])
            centre += radius * 0.5 * np.array([np.cos(turn), np.sin(turn)])
            lumps = radius * (1 + 0.12 * np.sin(5 * angles + k) + 0.05 * np.sin(17 * angles))
            outline = centre + lumps[:, None] * np.stack([np.cos(angles), np.sin(angles)], axis=1)
            cv2.fillPoly(mask, [outline.astype(np.int32)], 1)
        class_scores = np.eye(len(Blobs.classes))[np.arange(count) % len(Blobs.classes)]
        return Detections.from_masks(masks, np.full(count, 0.9), class_scores)

    def reset(self, frame: int = 0) -> None:
        self.next = frame

    def segment(self, images: Sequence[np.ndarray]) -> list[Detections]:
        found = [self.frames[(self.next + k) % PERIOD] for k in range(len(images))]
        self.next += len(images)
        return found


class Still(Propagator):
    """Leaves every mask where it is, which costs nothing."""

    def __init__(self) -> None:
        self.rles: dict[int, RLE] = {}

    def fingerprint(self) -> dict[str, object]:
        return {}

    def start(self, image: np.ndarray, masks: Mapping[int, np.ndarray]) -> None:
        self.rles = dict(zip(masks, mask_ops.encode(list(masks.values())), strict=True))

    def step(self, image: np.ndarray, corrections: Corrections | None = None) -> dict[int, np.ndarray]:
        corrections = corrections or Corrections()
        new = dict(zip(corrections.masks, mask_ops.encode(list(corrections.masks.values())), strict=True))
        self.step_rles(image, new, corrections.forget)
        return dict(zip(self.rles, mask_ops.decode(list(self.rles.values()), image.shape[:2]), strict=True))

    def step_rles(
        self, image: np.ndarray, masks: Mapping[int, RLE], forget: frozenset[int] = frozenset()
    ) -> dict[int, RLE]:
        self.rles = {id_: rle for id_, rle in {**self.rles, **masks}.items() if id_ not in forget}
        return dict(self.rles)

    def state_dict(self) -> dict[str, np.ndarray]:
        return {str(id_): np.frombuffer(rle["counts"], np.uint8) for id_, rle in self.rles.items()}

    def load_state_dict(self, state: Mapping[str, np.ndarray]) -> None:
        raise NotImplementedError("no run is resumed here")


def write_blob_video(path: Path, blobs: Blobs, frames: int) -> None:
    """The blobs in front of a soft ground, as H.264 with a keyframe every 50 frames."""
    height, width = blobs.frames[0].size
    rng = np.random.default_rng(0)
    ground = cv2.resize(rng.integers(60, 190, (height // 16, width // 16, 3), np.uint8), (width, height))
    colours = rng.integers(0, 256, (len(blobs.frames[0]), 3), np.uint8)
    images = []
    for found in blobs.frames:
        image = ground.copy()
        for mask, colour in zip(found.masks, colours, strict=True):
            image[mask] = colour
        images.append(av.VideoFrame.from_ndarray(image, format="rgb24").reformat(format="yuv420p"))
    with av.open(str(path), "w") as container:
        stream = container.add_stream("libx264", rate=30, options={"preset": "ultrafast", "g": "50"})
        stream.width, stream.height, stream.pix_fmt = width, height, "yuv420p"
        for t in range(frames):
            image = images[t % PERIOD]
            image.pts = t
            container.mux(stream.encode(image))
        container.mux(stream.encode())


def process(
    parts: VideoInstanceSegmenter, video: Path, folder: Path
) -> tuple[VideoInstances, Timings, float]:
    """Run and write; returns the results, the timings with ``write`` among them, and all seconds together."""
    started = time.perf_counter()
    source = open_source(video)
    result = parts.run(source)
    timings = parts.timings
    with timings.measure("write"):
        write_results(result, source, folder, DEFAULT_FORMATS)
    return result, timings, time.perf_counter() - started


def print_table(timings: Timings, frames: int, without: Sequence[str] = ()) -> None:
    parts = [part for part in dict.fromkeys((*PARTS, *timings.wall)) if part not in without]
    wall, cpu = (
        {part: seconds.get(part, 0.0) / frames * 1000 for part in parts}
        for seconds in (timings.wall, timings.cpu)
    )
    print(f"{'part':<12}{'wall ms':>10}{'share':>8}{'CPU ms':>10}{'share':>8}   a frame")
    totals = [max(sum(times.values()), 1e-9) for times in (wall, cpu)]
    for part in parts:
        shares = wall[part] / totals[0], cpu[part] / totals[1]
        print(f"{part:<12}{wall[part]:>10.2f}{shares[0]:>8.1%}{cpu[part]:>10.2f}{shares[1]:>8.1%}")
    print(f"{'together':<12}{totals[0]:>10.2f}{'':>8}{totals[1]:>10.2f}")


def real_parts(arguments: argparse.Namespace) -> None:
    parts = VideoInstanceSegmenter(
        arguments.segmenter,
        arguments.propagator,
        arguments.selector,
        arguments.classifier,
        direction=arguments.direction,
    )
    with tempfile.TemporaryDirectory() as folder:
        result, timings, seconds = process(parts, Path(arguments.video), Path(folder))
    height, width = result.size
    print(f"\n{arguments.video}: {result.num_frames} frames, {width}x{height}, {len(result.tracks)} tracks")
    print_table(timings, result.num_frames)
    tracking = seconds - timings.wall["write"]
    print(
        f"{result.num_frames / tracking:.1f} frames a second, {result.num_frames / seconds:.1f} with writing"
    )


def bare_codecs(video: Path, overlay: Path) -> tuple[float, float]:
    """CPU seconds to decode `video` once and to encode the frames of `overlay`, with nothing else done."""

    def decode(path: Path) -> Iterator[av.VideoFrame]:
        with av.open(str(path)) as container:
            container.streams.video[0].thread_type = "SLICE"  # as `open_source` has it at this size
            yield from container.decode(video=0)

    def encode() -> None:
        with OverlayVideo(overlay.with_name("again.mp4"), fps=30) as again:
            for frame in decode(overlay):
                again.write_frame(frame, frame.time)

    def seconds(work: Callable[[], object]) -> float:
        started = time.process_time()
        work()
        return time.process_time() - started

    decoding = [seconds(lambda path=path: deque(decode(path), maxlen=0)) for path in (video, overlay)]
    return decoding[0], seconds(encode) - decoding[1]


def overheads(frames: int = 300, count: int = 15, size: tuple[int, int] = (720, 1280)) -> None:
    blobs = Blobs(count, size)
    parts = VideoInstanceSegmenter(blobs, Still(), classifier="none", labels="coco")
    with tempfile.TemporaryDirectory() as folder:
        video = Path(folder) / "blobs.mp4"
        write_blob_video(video, blobs, frames)
        result, timings, _ = process(parts, video, Path(folder) / "out")
        decoding, encoding = bare_codecs(video, Path(folder) / "out" / "overlay.mp4")
    print(f"\noverheads: {frames} frames, {size[1]}x{size[0]}, {len(result.tracks)} tracks, both directions")
    print_table(timings, frames, without=FREE)
    print(
        f"FFmpeg alone takes {decoding / frames * 1000:.2f} ms of CPU a frame to decode once (each direction "
        f"and the overlay do) and x264 {encoding / frames * 1000:.2f} ms to encode the overlay"
    )
    print(f"target: at most {OVERHEAD_TARGET:.0f} ms a frame")


def memory(count: int = 5, size: tuple[int, int] = (360, 640)) -> None:
    print(f"\nmemory: {size[1]}x{size[0]}, {count} objects, both directions, results written")
    peaks = []
    with tempfile.TemporaryDirectory() as folder:
        for frames in (300, 10_000):
            video = Path(folder) / f"{frames}.mp4"
            write_blob_video(video, Blobs(count, size), frames)
            command = [
                sys.executable,
                __file__,
                "--child",
                str(video),
                str(count),
                str(size[0]),
                str(size[1]),
            ]
            answer = subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True)
            peaks.append(float(answer.stdout))
            print(f"{frames:>7} frames: peak {peaks[-1]:.0f} MB")
    print(f"difference {peaks[1] - peaks[0]:.0f} MB; target: at most {MEMORY_TARGET:.0f} MB")


def memory_child(video: str, count: int, height: int, width: int) -> None:
    parts = VideoInstanceSegmenter(Blobs(count, (height, width)), Still(), classifier="none", labels="coco")
    process(parts, Path(video), Path(video).with_suffix(""))
    print(peak_megabytes())


def peak_megabytes() -> float:
    """Most resident memory of this process so far."""
    status = Path("/proc/self/status")
    if status.exists():  # getrusage would report the parent's peak where that was higher
        line = next(line for line in status.read_text().splitlines() if line.startswith("VmHWM"))
        return int(line.split()[1]) / 1024
    scale = 2**20 if sys.platform == "darwin" else 2**10
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / scale


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("video", nargs="?", help="a clip for the real parts")
    parser.add_argument("--segmenter", default="compact")
    parser.add_argument("--propagator", default="flow")
    parser.add_argument("--selector", default="score")
    parser.add_argument("--classifier", default="efficientnet-lite0")
    parser.add_argument("--direction", default="both")
    parser.add_argument("--overheads", action="store_true", help="720p, 15 objects, free networks and flow")
    parser.add_argument("--memory", action="store_true", help="10,000 frames against 300")
    parser.add_argument("--child", nargs=4, help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.child:
        memory_child(arguments.child[0], *map(int, arguments.child[1:]))
        return
    if not (arguments.video or arguments.overheads or arguments.memory):
        parser.error("give a video, --overheads or --memory")
    if arguments.video:
        real_parts(arguments)
    if arguments.overheads:
        overheads()
    if arguments.memory:
        memory()


if __name__ == "__main__":
    main()
