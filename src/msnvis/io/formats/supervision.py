"""supervision's `Detections`, one a frame."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

from msnvis import masks as mask_ops
from msnvis.errors import MissingExtraError
from msnvis.structures import UNNAMED_CLASS, Detections

if TYPE_CHECKING:
    import supervision


def from_detections(detections: Detections, classes: Sequence[str]) -> supervision.Detections:
    try:
        import supervision
    except ImportError:
        raise MissingExtraError("this needs supervision: pip install msnvis[supervision]") from None
    labels = detections.labels
    data = {}
    if classes:
        data["class_name"] = np.array([classes[i] if i >= 0 else UNNAMED_CLASS for i in labels], dtype=str)
    return supervision.Detections(
        xyxy=detections.boxes,
        mask=detections.masks,
        confidence=detections.scores,
        class_id=labels,
        tracker_id=detections.ids,
        data=data,
    )


def to_detections(detections: supervision.Detections, size: tuple[int, int], num_classes: int) -> Detections:
    count = len(detections)
    rles = (
        _boxes_as_masks(detections.xyxy, size)
        if detections.mask is None
        else mask_ops.encode(np.asarray(detections.mask, dtype=bool).reshape(count, *size))
    )
    class_scores = np.zeros((count, num_classes), dtype=np.float32)
    if detections.class_id is not None:
        named = np.flatnonzero(detections.class_id >= 0)
        class_scores[named, detections.class_id[named].astype(int)] = 1
    confidence = detections.confidence
    ids = detections.tracker_id
    return Detections(
        size,
        rles,
        np.ones(count, np.float32) if confidence is None else np.asarray(confidence, np.float32),
        class_scores,
        None if ids is None else np.asarray(ids, np.int64),
    )


def _boxes_as_masks(xyxy: np.ndarray, size: tuple[int, int]) -> list[mask_ops.RLE]:
    height, width = size
    corners = np.rint(np.clip(xyxy, 0, [width, height, width, height])).astype(int)
    return [
        mask_ops.encode_crop(np.ones((max(y2 - y1, 0), max(x2 - x1, 0)), bool), int(x1), int(y1), size)
        for x1, y1, x2, y2 in corners
    ]
