"""Makes ``golden/tracking.json``: results, annotations, and what TrackEval says of them.

    python tests/evaluation/make_tracking_golden.py

It needs the package trackeval 1.3.0, whose measures are those of JonathonLuiten/TrackEval (commit 12c8791b)
but for ``np.float`` and ``np.int``.
"""

from __future__ import annotations

import json
import tempfile
from pathlib import Path

import cv2
import numpy as np
from pycocotools import mask as coco_mask

GOLDEN = Path(__file__).parent / "golden" / "tracking.json"
CLASSES = ("cat", "dog", "bird", "fish")
#: Height, width, frames and objects of each video; nothing is found in the last one.
VIDEOS = ((48, 64, 14, 5), (60, 40, 9, 3), (40, 60, 20, 4), (30, 30, 6, 2))
MEASURES = {
    "HOTA": ("HOTA", "DetA", "AssA", "LocA"),
    "Identity": ("IDF1", "IDP", "IDR"),
    "CLEAR": ("MOTA", "MOTP", "IDSW", "Frag"),
}


def ellipse(size, centre, axes, angle=0.0):
    """None when nothing of it is inside."""
    mask = np.zeros(size, np.uint8)
    centre = tuple(int(number) for number in centre)
    axes = tuple(max(int(number), 1) for number in axes)
    cv2.ellipse(mask, centre, axes, angle, 0, 360, 1, -1)
    return mask if mask.any() else None


def runs(mask):
    """Uncompressed, as in the annotations."""
    flat = mask.flatten(order="F").astype(int)
    starts = np.flatnonzero(np.diff(flat, prepend=0))
    return {"size": list(mask.shape), "counts": np.diff(np.r_[0, starts, len(flat)]).tolist()}


def compressed(mask):
    """As in results."""
    rle = coco_mask.encode(np.asfortranarray(mask))
    return {"size": list(rle["size"]), "counts": rle["counts"].decode()}


def one_object(rng, size, length):
    """Its masks, and those of one or two tracks that follow it with noise."""
    height, width = size
    centre = rng.uniform([width * 0.2, height * 0.2], [width * 0.8, height * 0.8])
    speed, axes, angle = rng.normal(0, 1.2, 2), rng.uniform(4, 11, 2), rng.uniform(0, 180)
    start, end = sorted(rng.choice(length + 1, 2, replace=False))
    if end - start < 4:
        start, end = 0, length
    change = rng.integers(start, end) if rng.random() < 0.6 else length
    truth, first, second = ([None] * length for _ in range(3))
    for frame in range(start, end):
        place = centre + speed * frame
        if rng.random() < 0.9:
            truth[frame] = ellipse(size, place, axes, angle)
        if rng.random() < 0.85:
            noisy = place + rng.normal(0, 1.2, 2), axes * rng.uniform(0.8, 1.2, 2)
            (second if frame >= change else first)[frame] = ellipse(size, *noisy, angle)
    return truth, [first, second]


def entry(video, category, masks, encode, **more):
    segmentations = [None if mask is None else encode(mask) for mask in masks]
    return {"video_id": video, "category_id": category, "segmentations": segmentations, **more}


def make():
    rng = np.random.default_rng(11)
    categories = [{"id": i + 1, "name": name} for i, name in enumerate(CLASSES)]
    videos, annotations, results = [], [], []
    for number, (height, width, length, objects) in enumerate(VIDEOS, start=1):
        size, last = (height, width), number == len(VIDEOS)
        names = [f"video{number}/{frame:05d}.jpg" for frame in range(length)]
        videos.append({"id": number, "file_names": names, "width": width, "height": height, "length": length})
        for _ in range(objects):
            category = 1 if last else int(rng.integers(1, 4))
            truth, tracks = one_object(rng, size, length)
            areas = [None if mask is None else int(mask.sum()) for mask in truth]
            more = {"id": len(annotations) + 1, "iscrowd": 0, "height": height, "width": width}
            annotations.append(
                entry(number, category, truth, runs, areas=areas, bboxes=[None] * length, **more)
            )
            for masks in tracks:
                named = category if rng.random() < 0.85 else int(rng.integers(1, 5))
                if not last and any(mask is not None for mask in masks):
                    results.append(entry(number, named, masks, compressed, score=round(rng.random(), 3)))
        if not last:
            specks = [ellipse(size, rng.uniform([0, 0], [width, height]), (3, 4)) for _ in range(length)]
            results.append(entry(number, int(rng.integers(1, 4)), specks, compressed, score=0.3))
    return {"videos": videos, "categories": categories, "annotations": annotations}, results


def official(annotations, results):
    import trackeval

    quiet = {"PRINT_CONFIG": False}
    metrics = [
        trackeval.metrics.HOTA(),
        *(getattr(trackeval.metrics, n)(quiet) for n in ("Identity", "CLEAR")),
    ]
    with tempfile.TemporaryDirectory() as root:
        for folder, content in (("gt", annotations), ("found/ours/data", results)):
            base, _, rest = folder.partition("/")
            path = Path(root, base, "youtube_vis_golden", rest)
            path.mkdir(parents=True)
            (path / "content.json").write_text(json.dumps(content))
        paths = {"GT_FOLDER": f"{root}/gt/", "TRACKERS_FOLDER": f"{root}/found/", "SPLIT_TO_EVAL": "golden"}
        off = (
            "USE_PARALLEL",
            "PRINT_RESULTS",
            "OUTPUT_SUMMARY",
            "OUTPUT_DETAILED",
            "PLOT_CURVES",
            "TIME_PROGRESS",
        )
        evaluator = trackeval.Evaluator({**quiet, **dict.fromkeys(off, False), "BREAK_ON_ERROR": True})
        found, _ = evaluator.evaluate([trackeval.datasets.YouTubeVIS({**paths, **quiet})], metrics)
    classes = found["YouTubeVIS"]["ours"]["COMBINED_SEQ"]
    mean = {
        metric.get_name(): metric.combine_classes_class_averaged(
            {name: classes[name][metric.get_name()] for name in CLASSES}, ignore_empty_classes=True
        )
        for metric in metrics
    }
    return {
        "mean": chosen(mean),
        "pooled": chosen(classes["cls_comb_det_av"]),
        "per_category": {name: chosen(classes[name]) for name in CLASSES},
    }


def chosen(values):
    return {name: float(np.mean(values[of][name])) for of, names in MEASURES.items() for name in names}


if __name__ == "__main__":
    made = make()
    content = {"annotations": made[0], "results": made[1], "official": official(*made)}
    GOLDEN.write_text(json.dumps(content) + "\n")
