"""Speed and memory of the evaluation, against the way the official code goes about it.

    python benchmarks/evaluator.py [--videos 421] [--objects 10] [--classes 1] [--workers N] [--lists]
    python benchmarks/evaluator.py --memory [--videos 150] [--tracks 100] [--frames 60] [--workers N]

Makes its own inputs: in each video, outlines of hundreds of runs that move over frames of 720p, and tracks
that follow them roughly, spread over `--classes` of 40 classes. (Masks of DAVIS at 480p have 600 runs in the
mean, these have 500.) Evaluates them with one process and with `--workers`, three times each, then with the
reference in one process, then as at first once more, and checks that all twelve statistics are equal. Prints
milliseconds a video, by the clock and of all processors together, and how many times as long the reference
takes as the median evaluation: all of them tell how steady the machine is. Last, which part of the time each
step takes.

The reference has the structure of the official ``ytvoseval.py`` (youtubevos/cocoapi): area and box of each
mask on loading, then for each video and class two merges of each pair of masks in each frame, and the area of
both, then loops over area ranges, thresholds, tracks and objects. The original takes as long, within a tenth.

With `--lists` the ground truth holds uncompressed run lengths, as YouTube-VIS publishes it.

With ``--memory`` it writes results of an OVIS-like size into a temporary file instead, evaluates them in a
process of its own, and prints the most memory that this one and its workers held together (Linux only).
"""

from __future__ import annotations

import argparse
import cProfile
import json
import os
import pstats
import re
import statistics
import subprocess
import sys
import tempfile
import time
from collections import defaultdict
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import cv2
import numpy as np
from pycocotools import mask as coco_mask

from msnvis import masks as mask_ops
from msnvis.evaluation import evaluate
from msnvis.evaluation.settings import AREA_RANGES, IOU_THRESHOLDS, MAX_TRACKS, RECALL_THRESHOLDS, STATISTICS

HEIGHT, WIDTH = 720, 1280
NUM_CLASSES = 40
#: Functions of the evaluation whose time is told.
STEPS = {
    "read_ground_truth": "ground truth",
    "encoded_masks": "masks as bytes",
    "read_runs": "runs",
    "_shared": "intersections",
    "match": "matches",
    "accumulate": "curves",
}


def parse() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--videos", type=int, default=421)
    parser.add_argument("--tracks", type=int, default=10, help="found in each video")
    parser.add_argument("--objects", type=int, default=10, help="annotated in each video")
    parser.add_argument("--frames", type=int, default=30)
    parser.add_argument("--classes", type=int, default=1, help="over which a video's objects are spread")
    parser.add_argument("--workers", type=int, default=os.cpu_count(), help="processes of the evaluation")
    parser.add_argument("--rounds", type=int, default=3, help="evaluations before the reference and after it")
    parser.add_argument("--lists", action="store_true", help="ground truth as uncompressed run lengths")
    parser.add_argument("--memory", action="store_true", help="measure memory instead of time")
    return parser.parse_args()


def outline(rng: np.random.Generator) -> np.ndarray:
    """``(h, w)`` uint8 mask of an object with a rough outline."""
    radius = rng.uniform(60, 180)
    angles = np.linspace(0, 2 * np.pi, 90, endpoint=False)
    waves = sum(rng.normal() / k * np.cos(k * angles + rng.uniform(0, 7)) for k in range(2, 12))
    radii = radius * np.clip(1 + 0.15 * waves + rng.normal(0, 0.02, angles.shape), 0.3, 1.7)
    points = np.stack([radii * np.cos(angles), radii * np.sin(angles)], axis=1)
    points = np.rint(points - points.min(axis=0)).astype(np.int32)
    width, height = points.max(axis=0) + 1
    return cv2.fillPoly(np.zeros((height, width), np.uint8), [points], 1)


def placed(crop: np.ndarray, left: float, top: float) -> dict[str, object]:
    """The mask as files hold it, cut at the edges of the frame."""
    left, top = round(left), round(top)
    inside = crop[max(-top, 0) : max(HEIGHT - top, 0), max(-left, 0) : max(WIDTH - left, 0)]
    if not inside.size:
        left = top = 0
        inside = inside[:0, :0]
    return mask_ops.to_json(mask_ops.encode_crop(inside, max(left, 0), max(top, 0), (HEIGHT, WIDTH)))


def make_video(rng: np.random.Generator, arguments: argparse.Namespace) -> tuple[list[dict], list[dict]]:
    """Objects and tracks of one video, without its id."""
    objects, tracks, motions = [], [], []
    classes = rng.choice(np.arange(1, NUM_CLASSES + 1), arguments.classes, replace=False)
    for index in range(arguments.objects):
        category = int(classes[index % len(classes)])
        crop = outline(rng)
        start = rng.uniform((0, 0), (WIDTH - 200, HEIGHT - 200))
        path = start + np.cumsum(rng.normal(0, 4, (arguments.frames, 2)), axis=0)
        motions.append((category, crop, path))
        segmentations = [placed(crop, *point) for point in path]
        areas = [int(area) for area in mask_ops.areas([_rle(s) for s in segmentations])]
        objects.append(
            {"category_id": category, "iscrowd": 0, "segmentations": segmentations, "areas": areas}
        )
    for index in range(arguments.tracks):
        category, crop, path = motions[index % len(motions)]
        offsets = rng.normal(0, 0.05 * min(crop.shape), (1, 2)) + rng.normal(0, 2, path.shape)
        segmentations = [placed(crop, *point) for point in path + offsets]
        tracks.append({"category_id": category, "score": float(rng.random()), "segmentations": segmentations})
    return objects, tracks


def _rle(segmentation: dict) -> dict:
    return {"size": segmentation["size"], "counts": segmentation["counts"].encode()}


def as_list(segmentation: dict) -> dict:
    """The mask as YouTube-VIS publishes it: a list of run lengths."""
    flat = coco_mask.decode(_rle(segmentation)).ravel(order="F")
    changes = np.flatnonzero(np.diff(flat, prepend=0))
    return {**segmentation, "counts": np.diff(changes, prepend=0, append=flat.size).tolist()}


def make_truth(videos: list[list[dict]], num_frames: int) -> dict[str, object]:
    video = {"height": HEIGHT, "width": WIDTH, "length": num_frames}
    entries = [{"video_id": i, **item} for i, objects in enumerate(videos, start=1) for item in objects]
    return {
        "videos": [{"id": i, **video} for i in range(1, len(videos) + 1)],
        "categories": [{"id": i, "name": f"class {i}"} for i in range(1, NUM_CLASSES + 1)],
        "annotations": [{"id": i, **entry} for i, entry in enumerate(entries, start=1)],
    }


class Reference:
    """The official way, step by step, in this project's words."""

    def __init__(self, truth: dict, results: list[dict]) -> None:
        self.videos = sorted(video["id"] for video in truth["videos"])
        self.categories = sorted(category["id"] for category in truth["categories"])
        self.objects, self.tracks = defaultdict(list), defaultdict(list)
        for entry in truth["annotations"]:
            masks = [self._compressed(segmentation) for segmentation in entry["segmentations"]]
            self.objects[entry["video_id"], entry["category_id"]].append(
                {**entry, "segmentations": masks, "area": self._mean(entry["areas"])}
            )
        for number, entry in enumerate(results, start=1):
            areas, boxes = [], []
            for segmentation in entry["segmentations"]:
                areas.append(coco_mask.area(segmentation) if segmentation else None)
                boxes.append(coco_mask.toBbox(segmentation) if segmentation else None)
            entry = {**entry, "id": number, "bboxes": boxes, "area": self._mean(areas)}
            self.tracks[entry["video_id"], entry["category_id"]].append(entry)

    @staticmethod
    def _compressed(segmentation: dict | None) -> dict | None:
        if segmentation and isinstance(segmentation["counts"], list):
            return coco_mask.frPyObjects(segmentation, *segmentation["size"])
        return segmentation

    @staticmethod
    def _mean(areas: list) -> float:
        seen = [area for area in areas if area]
        return np.array(seen).mean() if seen else 0

    def statistics(self) -> list[float]:
        self.iou = {(v, c): self._compute_iou(v, c) for v in self.videos for c in self.categories}
        ranges = list(AREA_RANGES.values())
        cells = [
            [[self._match(video, category, bounds) for video in self.videos] for bounds in ranges]
            for category in self.categories
        ]
        precision, recall = self._accumulate(cells)
        values = []
        for statistic in STATISTICS.values():
            array = precision if statistic.of == "precision" else recall
            part = array[statistic.thresholds, ..., statistic.area, statistic.most]
            values.append(part[part > -1].mean() if (part > -1).any() else -1)
        return values

    def _ranked(self, video: int, category: int) -> list[dict]:
        tracks = self.tracks[video, category]
        order = np.argsort([-track["score"] for track in tracks], kind="mergesort")
        return [tracks[i] for i in order[: MAX_TRACKS[-1]]]

    def _compute_iou(self, video: int, category: int) -> np.ndarray:
        tracks, objects = self._ranked(video, category), self.objects[video, category]
        iou = np.zeros((len(tracks), len(objects)))
        for d, g in np.ndindex(iou.shape):
            shared = union = 0.0
            for a, b in zip(tracks[d]["segmentations"], objects[g]["segmentations"], strict=True):
                if a and b:
                    shared += coco_mask.area(coco_mask.merge([a, b], True))
                    union += coco_mask.area(coco_mask.merge([a, b], False))
                elif a or b:
                    union += coco_mask.area(a or b)
            iou[d, g] = shared / union if union else 0.0
        return iou

    def _match(self, video: int, category: int, bounds: tuple[float, float]) -> tuple | None:
        tracks, objects = self._ranked(video, category), self.objects[video, category]
        if not tracks and not objects:
            return None
        low, high = bounds
        ignored = [bool(o["iscrowd"]) or not low <= o["area"] <= high for o in objects]
        order = np.argsort(ignored, kind="mergesort")
        found = np.zeros((len(IOU_THRESHOLDS), len(tracks)), bool)
        skipped = np.zeros_like(found)
        for t, threshold in enumerate(IOU_THRESHOLDS):
            taken = [False] * len(objects)
            for d in range(len(tracks)):
                best, chosen = min(threshold, 1 - 1e-10), -1
                for g in order:
                    if taken[g] and not objects[g]["iscrowd"]:
                        continue
                    if chosen > -1 and not ignored[chosen] and ignored[g]:
                        break
                    if self.iou[video, category][d, g] < best:
                        continue
                    best, chosen = self.iou[video, category][d, g], g
                if chosen > -1:
                    taken[chosen] = found[t, d] = True
                    skipped[t, d] = ignored[chosen]
        outside = np.array([not low <= track["area"] <= high for track in tracks], bool)
        skipped |= ~found & outside
        return [track["score"] for track in tracks], found, skipped, ignored.count(False)

    def _accumulate(self, cells: list) -> tuple[np.ndarray, np.ndarray]:
        shape = (len(IOU_THRESHOLDS), len(self.categories), len(AREA_RANGES), len(MAX_TRACKS))
        recall = -np.ones(shape)
        precision = -np.ones((shape[0], len(RECALL_THRESHOLDS), *shape[1:]))
        for k, a, m in np.ndindex(shape[1:]):
            some = [cell for cell in cells[k][a] if cell is not None]
            total = sum(count for *_, count in some)
            if not total:
                continue
            most = MAX_TRACKS[m]
            order = np.argsort(-np.concatenate([s[:most] for s, *_ in some]), kind="mergesort")
            found = np.concatenate([f[:, :most] for _, f, _, _ in some], axis=1)[:, order]
            skipped = np.concatenate([i[:, :most] for _, _, i, _ in some], axis=1)[:, order]
            rights = np.cumsum(found & ~skipped, axis=1).astype(float)
            wrongs = np.cumsum(~found & ~skipped, axis=1).astype(float)
            for t, (right, wrong) in enumerate(zip(rights, wrongs, strict=True)):
                reached = right / total
                values = (right / (wrong + right + np.spacing(1))).tolist()
                recall[t, k, a, m] = reached[-1] if len(reached) else 0
                for i in range(len(values) - 1, 0, -1):
                    values[i - 1] = max(values[i - 1], values[i])
                at = np.searchsorted(reached, RECALL_THRESHOLDS, side="left")
                precision[t, :, k, a, m] = [values[i] if i < len(values) else 0 for i in at]
        return precision, recall


class Cost(NamedTuple):
    """Seconds by the clock, and of this process and those it made on processors."""

    clock: float
    processor: float


def measure_time(arguments: argparse.Namespace) -> None:
    rng = np.random.default_rng(0)
    videos = [make_video(rng, arguments) for _ in range(arguments.videos)]
    if arguments.lists:
        for item in (item for objects, _ in videos for item in objects):
            item["segmentations"] = [as_list(mask) for mask in item["segmentations"]]
    truth = make_truth([objects for objects, _ in videos], arguments.frames)
    results = [{"video_id": i, **t} for i, (_, tracks) in enumerate(videos, start=1) for t in tracks]
    lengths = [len(s["counts"]) for entry in results[:10] for s in entry["segmentations"]]
    print(
        f"{arguments.videos} videos x {arguments.tracks} tracks, {arguments.objects} objects in "
        f"{arguments.classes} of {NUM_CLASSES} classes, {arguments.frames} frames of {WIDTH}x{HEIGHT}, "
        f"{np.mean(lengths):.0f} characters a mask"
    )

    def rounds() -> list[dict[int, tuple[Any, Cost]]]:
        numbers = dict.fromkeys((1, arguments.workers))
        return [
            {n: timed(lambda n=n: evaluate(results, truth, workers=n)) for n in numbers}
            for _ in range(arguments.rounds)
        ]

    before = rounds()
    expected, theirs = timed(lambda: Reference(truth, results).statistics())
    done = before + rounds()
    for report, _ in (run for all_runs in done for run in all_runs.values()):
        np.testing.assert_allclose(list(report.statistics.values()), expected, rtol=0, atol=1e-12)
    print(before[0][1][0].table("both", sizes=True))
    print(f"milliseconds a video; official structure: {told(theirs, arguments.videos)}")
    for workers in done[0]:
        costs = [all_runs[workers][1] for all_runs in done]
        middle = Cost(*map(statistics.median, zip(*costs, strict=True)))
        print(
            f"{workers} worker{'s' * (workers > 1)}, median of {len(costs)} runs before and after it: "
            f"{told(middle, arguments.videos)}, {theirs.clock / middle.clock:.1f} times as fast by the "
            f"clock, {theirs.processor / middle.processor:.1f} times by work; by the clock "
            + " ".join(f"{1000 * cost.clock / arguments.videos:.2f}" for cost in costs)
        )
    print_steps(lambda: evaluate(results, truth))


def timed(run: Callable[[], Any]) -> tuple[Any, Cost]:
    """What it returns, and what it took."""
    start = Cost(time.perf_counter(), sum(os.times()[:4]))
    result = run()
    end = Cost(time.perf_counter(), sum(os.times()[:4]))
    return result, Cost(end.clock - start.clock, end.processor - start.processor)


def told(cost: Cost, num_videos: int) -> str:
    return f"{1000 * cost.clock / num_videos:.2f} ({1000 * cost.processor / num_videos:.2f} on processors)"


def print_steps(run: Callable[[], Any]) -> None:
    profile = cProfile.Profile()
    profile.runcall(run)
    entries = pstats.Stats(profile).stats.items()
    total = sum(own for _, (_, _, own, _, _) in entries)
    seconds = {name: spent for (file, _, name), (*_, spent, _) in entries if "msnvis" in file}
    print(
        "one worker, share of the time: "
        + ", ".join(f"{what} {100 * seconds[name] / total:.0f} %" for name, what in STEPS.items())
        + " (bytes of the ground truth count twice)"
    )


#: Run in a process of its own; starts when it is told to.
CHILD = """
import sys
from msnvis.evaluation import evaluate
print("ready", flush=True)
sys.stdin.readline()
evaluate(sys.argv[1], sys.argv[2], workers=int(sys.argv[3]))
"""


def memory_of(process: int) -> float:
    """MB that a process and those it made hold, what they share counted once (Linux: "Pss"); 0 when ended."""
    try:
        own = re.search(r"^Pss:\s+(\d+)", Path(f"/proc/{process}/smaps_rollup").read_text(), re.MULTILINE)
        children = Path(f"/proc/{process}/task/{process}/children").read_text().split()
    except (FileNotFoundError, ProcessLookupError):
        return 0.0
    return (int(own.group(1)) / 1024 if own else 0.0) + sum(memory_of(int(child)) for child in children)


def measure_memory(arguments: argparse.Namespace) -> None:
    rng = np.random.default_rng(0)
    made = [make_video(rng, arguments) for _ in range(2)]
    with tempfile.TemporaryDirectory() as folder:
        truth, results = Path(folder, "truth.json"), Path(folder, "results.json")
        videos = [made[i % 2] for i in range(arguments.videos)]
        truth.write_text(json.dumps(make_truth([objects for objects, _ in videos], arguments.frames)))
        with results.open("w") as file:
            entries = ({"video_id": i, **t} for i, (_, tracks) in enumerate(videos, start=1) for t in tracks)
            for place, entry in enumerate(entries):
                file.write(("," if place else "[") + json.dumps(entry))
            file.write("]")
        sizes = [file.stat().st_size / 1e6 for file in (results, truth)]
        start = time.perf_counter()
        command = [sys.executable, "-c", CHILD, str(results), str(truth), str(arguments.workers)]
        with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
            process.stdout.readline()
            before = most = memory_of(process.pid)
            process.stdin.write("\n")
            process.stdin.flush()
            while process.poll() is None:
                most = max(most, memory_of(process.pid))
                time.sleep(0.02)
        seconds = time.perf_counter() - start
    if process.returncode:
        raise SystemExit("the evaluation failed")
    print(
        f"{arguments.videos * arguments.tracks} tracks of {arguments.frames} frames, files of "
        f"{sizes[0]:.0f} MB and {sizes[1]:.0f} MB, {arguments.workers} workers: {most:.0f} MB in all "
        f"processes together, {most - before:.0f} MB more than before, {seconds:.0f} s"
    )


def main() -> None:
    arguments = parse()
    measure_memory(arguments) if arguments.memory else measure_time(arguments)


if __name__ == "__main__":
    main()
