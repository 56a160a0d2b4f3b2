"""COCO mask AP of a segmenter on annotated images, by pycocotools."""

from __future__ import annotations

import contextlib
import io
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
from pycocotools.coco import COCO
from pycocotools.cocoeval import COCOeval

from msnvis.datasets.coco import ImageRecord
from msnvis.errors import InputError
from msnvis.io.image_file import read_bgr
from msnvis.segmenters.base import Segmenter
from msnvis.structures import Detections

#: A detection counts for every class that it gives at least this much.
MIN_CLASS_SCORE = 0.01
#: Classes with fewer held-out objects say too little about the network.
MIN_INSTANCES = 10


def evaluate_segmenter(
    segmenter: Segmenter, records: Sequence[ImageRecord], progress: Callable[[int], None] | None = None
) -> dict[str, float]:
    """Mask AP on fully labelled images.

    The labels of `records` must index `segmenter.classes`.

    Returns:
        In 0..1: ``any_ap50``, ``any_ap`` and ``any_ar10`` with all classes taken as one and scored by
        `Detections.scores`; ``ap50_<class>`` for each class with at least `MIN_INSTANCES` objects;
        ``frequent_ap50``, the mean of those; ``ap50``, the mean over every class that occurs.
    """
    found = []
    for number, record in enumerate(records):
        image = read_bgr(record.path)
        if image is None:
            raise InputError(f"{record.path} cannot be read as an image")
        found.append(segmenter.segment([image[:, :, ::-1]])[0])
        if progress:
            progress(number + 1)
    return summarise(found, records, segmenter.classes)


def summarise(
    found: Sequence[Detections], records: Sequence[ImageRecord], classes: Sequence[str]
) -> dict[str, float]:
    """The figures of `evaluate_segmenter` from detections that were made already."""
    agnostic = _run(records, _agnostic_results(found), [0], lambda label: 0)
    metrics = {
        "any_ap": _mean(agnostic.eval["precision"][:, :, 0, 0, 2]),
        "any_ap50": _mean(agnostic.eval["precision"][0, :, 0, 0, 2]),
        "any_ar10": _mean(agnostic.eval["recall"][:, 0, 0, 1]),
    }
    counts = np.bincount(
        [a.label for r in records for a in r.annotations if not a.crowd], minlength=len(classes)
    )
    present = np.flatnonzero(counts).tolist()
    by_class = _run(records, _class_results(found), present, lambda label: label)
    ap50 = {c: _mean(by_class.eval["precision"][0, :, i, 0, 2]) for i, c in enumerate(present)}
    frequent = {classes[c]: value for c, value in ap50.items() if counts[c] >= MIN_INSTANCES}
    metrics["ap50"] = _mean(np.array(list(ap50.values())))
    metrics["frequent_ap50"] = _mean(np.array(list(frequent.values())))
    return metrics | {f"ap50_{name}": value for name, value in frequent.items()}


def _run(
    records: Sequence[ImageRecord],
    results: list[dict],
    categories: Sequence[int],
    category: Callable[[int], int],
) -> COCOeval:
    truth = COCO()
    truth.dataset = {
        "images": [{"id": i, "height": r.height, "width": r.width} for i, r in enumerate(records)],
        "categories": [{"id": c, "name": str(c)} for c in categories],
        "annotations": _truth(records, category),
    }
    with contextlib.redirect_stdout(io.StringIO()):
        truth.createIndex()
        evaluation = COCOeval(truth, truth.loadRes(results) if results else COCO(), "segm")
        evaluation.params.imgIds = list(range(len(records)))
        evaluation.params.catIds = list(categories)
        evaluation.evaluate()
        evaluation.accumulate()
    return evaluation


def _truth(records: Sequence[ImageRecord], category: Callable[[int], int]) -> list[dict[str, Any]]:
    truth = []
    for image, record in enumerate(records):
        for a in record.annotations:
            if a.rle is not None:
                x1, y1, x2, y2 = a.box
                entry = {"id": len(truth) + 1, "image_id": image, "category_id": category(a.label)}
                entry |= {"segmentation": a.rle, "bbox": [x1, y1, x2 - x1, y2 - y1]}
                truth.append(entry | {"area": (x2 - x1) * (y2 - y1), "iscrowd": int(a.crowd)})
    return truth


def _agnostic_results(found: Sequence[Detections]) -> list[dict]:
    return [
        {"image_id": image, "category_id": 0, "segmentation": rle, "score": float(score)}
        for image, detections in enumerate(found)
        for rle, score in zip(detections.rles, detections.scores, strict=True)
    ]


def _class_results(found: Sequence[Detections]) -> list[dict]:
    results = []
    for image, detections in enumerate(found):
        for row, label in zip(*np.nonzero(detections.class_scores >= MIN_CLASS_SCORE), strict=True):
            entry = {"image_id": image, "category_id": int(label), "segmentation": detections.rles[row]}
            results.append(entry | {"score": float(detections.class_scores[row, label])})
    return results


def _mean(values: np.ndarray) -> float:
    """COCO marks what cannot be computed by -1."""
    known = values[values > -1]
    return float(known.mean()) if known.size else 0.0
