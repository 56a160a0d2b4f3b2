"""All mask arithmetic: run-length encoding, overlaps, boxes.

Masks travel as COCO run-length encodings (pycocotools): ``{"size": [height, width], "counts": bytes}``, column-major.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TypedDict

import numpy as np
from pycocotools import mask as coco_mask


class RLE(TypedDict):
    """A compressed COCO run-length encoding."""

    size: list[int]
    counts: bytes


def encode(masks: np.ndarray) -> list[RLE]:
    """Encode masks.

    Args:
        masks: ``(N, H, W)`` bool or uint8.
    """
    return [coco_mask.encode(np.asfortranarray(mask, dtype=np.uint8)) for mask in masks]


def decode(rles: Sequence[RLE], size: tuple[int, int]) -> np.ndarray:
    """Decode to ``(N, H, W)`` bool; `size` is ``(height, width)`` and gives the shape when there are none."""
    if not rles:
        return np.zeros((0, *size), dtype=bool)
    return np.ascontiguousarray(coco_mask.decode(list(rles)).transpose(2, 0, 1)).astype(bool)


def areas(rles: Sequence[RLE]) -> np.ndarray:
    """Pixels in each mask: ``(N,)`` int64."""
    return np.asarray(coco_mask.area(list(rles)), dtype=np.int64).reshape(-1)


def boxes(rles: Sequence[RLE]) -> np.ndarray:
    """Tight boxes ``(N, 4)`` float64, ``x1 y1 x2 y2`` with exclusive right and bottom; zeros for an empty mask."""
    if not rles:
        return np.zeros((0, 4))
    xywh = np.asarray(coco_mask.toBbox(list(rles)), dtype=np.float64).reshape(-1, 4)
    xywh[:, 2:] += xywh[:, :2]
    return xywh


def iou_matrix(first: Sequence[RLE], second: Sequence[RLE]) -> np.ndarray:
    """IoU of every mask of `first` with every one of `second`: ``(N, M)`` float64; 0 where both are empty."""
    if not first or not second:
        return np.zeros((len(first), len(second)))
    iou = coco_mask.iou(list(first), list(second), [False] * len(second))
    return np.nan_to_num(np.asarray(iou, dtype=np.float64))
