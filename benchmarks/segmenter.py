"""Mask AP and speed of a segmenter on held-out images of a COCO-format dataset.

    python benchmarks/segmenter.py JSON IMAGES [--segmenter compact] [--weights FILE] [--davis DIR]

Prints class-agnostic AP50 and AR@10, AP50 of each class with at least ten held-out objects, and milliseconds
an image. The held-out images are those that `msnvis train segmenter` sets aside from this dataset and never
trains on. With a DAVIS-style folder (JPEGImages/SEQUENCE, Annotations/SEQUENCE) also the mean IoU with the
foreground, by the first detection of a frame and by the best of the first 20, averaged over sequences.
"""

from __future__ import annotations

import argparse
import time
from pathlib import Path

import cv2
import numpy as np
import torch

from msnvis import create_segmenter
from msnvis import masks as mask_ops
from msnvis.datasets.coco import read_coco, split_held_out
from msnvis.segmenters import Segmenter
from msnvis.segmenters.cascade_config import COMPACT
from msnvis.segmenters.training.evaluate import evaluate_segmenter
from msnvis.segmenters.training.loop import TrainOptions

#: Detections of a frame among which the best is looked for.
CANDIDATES = 20


def parse() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("annotations", type=Path)
    parser.add_argument("images", type=Path)
    parser.add_argument("--segmenter", default="compact")
    parser.add_argument("--weights", type=Path)
    parser.add_argument("--short-side", type=int, help="size that `compact` scales images to")
    parser.add_argument("--long-side", type=int, help="what --short-side may make of the other side at most")
    parser.add_argument("--davis", type=Path, help="folder with JPEGImages and Annotations")
    parser.add_argument("--every", type=int, default=8, help="of the frames of --davis")
    parser.add_argument("--device", default="cpu")
    return parser.parse_args()


def davis_iou(segmenter: Segmenter, folder: Path, every: int) -> tuple[float, float]:
    """Mean IoU with the foreground: of the first detection, of the best among the first `CANDIDATES`."""
    means = []
    for sequence in sorted((folder / "JPEGImages").iterdir()):
        values = []
        for path in sorted(sequence.glob("*.jpg"))[::every]:
            truth = cv2.imread(str(folder / "Annotations" / sequence.name / f"{path.stem}.png"), 0) > 0
            found = segmenter.segment([read_rgb(path)])[0][:CANDIDATES]
            iou = mask_ops.iou_matrix(found.rles, mask_ops.encode(truth[None]))[:, 0]
            if truth.any():
                values.append((iou[0], iou.max()) if len(iou) else (0.0, 0.0))
        means.append(np.mean(values, axis=0))
    return tuple(np.mean(means, axis=0))


def read_rgb(path: Path) -> np.ndarray:
    return cv2.cvtColor(cv2.imread(str(path)), cv2.COLOR_BGR2RGB)


def main() -> None:
    arguments = parse()
    options = {name: getattr(arguments, name) for name in ("device", "weights", "short_side", "long_side")}
    if arguments.segmenter == "compact":
        options["min_score"] = COMPACT.score_threshold
    segmenter = create_segmenter(arguments.segmenter, **{k: v for k, v in options.items() if v is not None})
    records = read_coco(arguments.annotations, arguments.images, segmenter.classes)
    _, held_out = split_held_out(
        records, len(segmenter.classes), TrainOptions.hold_out, TrainOptions.split_seed
    )
    metrics = evaluate_segmenter(segmenter, held_out)
    print(f"{arguments.segmenter} on {len(held_out)} held-out images")
    for name, value in metrics.items():
        print(f"  {name:24} {value:.3f}")
    if arguments.davis:
        first, best = davis_iou(segmenter, arguments.davis, arguments.every)
        print(f"  {'davis_iou_first':24} {first:.3f}\n  {'davis_iou_best':24} {best:.3f}")
    images = [read_rgb(r.path) for r in held_out[:20]]
    start = time.perf_counter()
    for image in images:
        segmenter.segment([image])
    milliseconds = (time.perf_counter() - start) / len(images) * 1000
    print(f"  {milliseconds:.0f} ms an image on {segmenter.device}, {torch.get_num_threads()} threads")


if __name__ == "__main__":
    main()
