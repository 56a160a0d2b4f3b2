"""Mask AP and speed of a segmenter on held-out images of a COCO-format dataset.

    python benchmarks/segmenter.py ANNOTATIONS.json IMAGES [--segmenter compact] [--weights FILE]

Prints class-agnostic AP50 and AR@10, AP50 of each class with at least ten held-out objects, and milliseconds
an image. The held-out images are those that `msnvis train segmenter` sets aside from this dataset and never
trains on.
"""

from __future__ import annotations

import argparse
import time
from pathlib import Path

import cv2
import torch

from msnvis import create_segmenter
from msnvis.datasets.coco import read_coco, split_held_out
from msnvis.segmenters.cascade import COMPACT
from msnvis.segmenters.training.evaluate import evaluate_segmenter
from msnvis.segmenters.training.loop import TrainOptions


def parse() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("annotations", type=Path)
    parser.add_argument("images", type=Path)
    parser.add_argument("--segmenter", default="compact")
    parser.add_argument("--weights", type=Path)
    parser.add_argument("--short-side", type=int, help="size that `compact` scales images to")
    parser.add_argument("--device", default="cpu")
    return parser.parse_args()


def main() -> None:
    arguments = parse()
    options = {"device": arguments.device, "weights": arguments.weights, "short_side": arguments.short_side}
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
    images = [cv2.cvtColor(cv2.imread(str(r.path)), cv2.COLOR_BGR2RGB) for r in held_out[:20]]
    start = time.perf_counter()
    for image in images:
        segmenter.segment([image])
    milliseconds = (time.perf_counter() - start) / len(images) * 1000
    print(f"  {milliseconds:.0f} ms an image on {segmenter.device}, {torch.get_num_threads()} threads")


if __name__ == "__main__":
    main()
