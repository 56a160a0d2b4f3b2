"""Speed and memory of the evaluation, against the way the official code goes about it.

    python benchmarks/evaluator.py [--videos 421] [--objects 10] [--classes 1]
    python benchmarks/evaluator.py --memory [--videos 150] [--tracks 100] [--frames 60]

Makes its own inputs: in each video, outlines of hundreds of runs that move over frames of 720p, and tracks
that follow them roughly, spread over `--classes` of 40 classes. Evaluates them, then in the same process with
the reference, then once more; prints milliseconds a video of both, on the processor and on the clock, and
their ratios, after checking that all twelve statistics are equal. Both use one processor.

The reference has the structure of the official ``ytvoseval.py`` (youtubevos/cocoapi): area and box of each
mask on loading, then for each video and class two merges of each pair of masks in each frame, then loops over
area ranges, thresholds, tracks and objects.

With ``--memory`` it writes results of an OVIS-like size into a temporary file instead, evaluates them in a
process of its own, and prints by how much that grew.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import tempfile
import time
from collections import defaultdict
from collections.abc import Callable
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from pycocotools import mask as coco_mask

from msnvis import masks as mask_ops
from msnvis.evaluation import evaluate
from msnvis.evaluation.settings import AREA_RANGES, IOU_THRESHOLDS, MAX_TRACKS, RECALL_THRESHOLDS, STATISTICS

HEIGHT, WIDTH = 720, 1280
NUM_CLASSES = 40


def parse() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--videos", type=int, default=421)
    parser.add_argument("--tracks", type=int, default=10, help="found in each video")
    parser.add_argument("--objects", type=int, default=10, help="annotated in each video")
    parser.add_argument("--frames", type=int, default=30)
    parser.add_argument("--classes", type=int, default=1, help="over which a video's objects are spread")
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
            self.objects[entry["video_id"], entry["category_id"]].append(
                {**entry, "area": self._mean(entry["areas"])}
            )
        for number, entry in enumerate(results, start=1):
            areas, boxes = [], []
            for segmentation in entry["segmentations"]:
                areas.append(coco_mask.area(segmentation) if segmentation else None)
                boxes.append(coco_mask.toBbox(segmentation) if segmentation else None)
            entry = {**entry, "id": number, "bboxes": boxes, "area": self._mean(areas)}
            self.tracks[entry["video_id"], entry["category_id"]].append(entry)

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


def measure_time(arguments: argparse.Namespace) -> None:
    rng = np.random.default_rng(0)
    videos = [make_video(rng, arguments) for _ in range(arguments.videos)]
    truth = make_truth([objects for objects, _ in videos], arguments.frames)
    results = [{"video_id": i, **t} for i, (_, tracks) in enumerate(videos, start=1) for t in tracks]
    lengths = [len(s["counts"]) for entry in results[:10] for s in entry["segmentations"]]
    print(
        f"{arguments.videos} videos x {arguments.tracks} tracks, {arguments.objects} objects in "
        f"{arguments.classes} of {NUM_CLASSES} classes, {arguments.frames} frames of {WIDTH}x{HEIGHT}, "
        f"{np.mean(lengths):.0f} characters a mask"
    )
    report, before = timed(lambda: evaluate(results, truth))
    expected, theirs = timed(lambda: Reference(truth, results).statistics())
    again, after = timed(lambda: evaluate(results, truth))
    for found in (report, again):
        np.testing.assert_allclose(list(found.statistics.values()), expected, rtol=0, atol=1e-12)
    print(report.table("both", sizes=True))
    for name, reference, runs in zip(
        ("processor", "clock"), theirs, zip(before, after, strict=True), strict=True
    ):
        print(
            f"{name}: official structure {reference / arguments.videos:.2f} ms a video, "
            f"ours {runs[0] / arguments.videos:.2f} before and {runs[1] / arguments.videos:.2f} after it: "
            f"{2 * reference / sum(runs):.1f} times"
        )


def timed(run: Callable[[], Any]) -> tuple[Any, tuple[float, float]]:
    """What it returns, and its milliseconds on the processor and on the clock."""
    start = time.process_time(), time.perf_counter()
    result = run()
    end = time.process_time(), time.perf_counter()
    return result, tuple((b - a) * 1000 for a, b in zip(start, end, strict=True))


#: Run in a process of its own; prints the peak memory in kilobytes before and after. Linux only: what
#: `resource` tells of a new process includes its parent's.
CHILD = """
import re, sys
from pathlib import Path
from msnvis.evaluation import evaluate
def peak():
    return re.search(r"VmHWM:\\s+(\\d+)", Path("/proc/self/status").read_text()).group(1)
before = peak()
evaluate(sys.argv[1], sys.argv[2])
print(before, peak())
"""


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
        command = [sys.executable, "-c", CHILD, str(results), str(truth)]
        before, after = map(int, subprocess.run(command, capture_output=True, check=True).stdout.split())
        seconds = time.perf_counter() - start
    print(
        f"{arguments.videos * arguments.tracks} tracks of {arguments.frames} frames, files of "
        f"{sizes[0]:.0f} MB and {sizes[1]:.0f} MB: {after / 1024:.0f} MB, "
        f"{(after - before) / 1024:.0f} MB more than before, {seconds:.0f} s"
    )


def main() -> None:
    arguments = parse()
    measure_memory(arguments) if arguments.memory else measure_time(arguments)


if __name__ == "__main__":
    main()
