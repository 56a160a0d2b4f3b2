"""IoU of whole tracks, exact, from the overlaps in each frame."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from pycocotools import mask as coco_mask

from msnvis.masks import RLE


def track_iou(
    first: Sequence[Sequence[RLE | None]],
    first_areas: np.ndarray,
    second: Sequence[Sequence[RLE | None]],
    second_areas: np.ndarray,
) -> np.ndarray:
    """IoU of every track of `first` with every one of `second`: ``(D, G)`` float64, 0 where both are empty.

    It is the sum over all frames of the intersections by that of the unions; where one of the two is absent,
    the other still counts in the union (Yang et al., "Video Instance Segmentation", ICCV 2019, section 4).

    Args:
        first: D tracks, each with a mask or None for each of T frames, all of one size.
        first_areas: ``(D, T)`` int64 pixels in each mask.
        second: G tracks of the same T frames.
        second_areas: ``(G, T)`` int64.

    >>> square = {"size": [2, 2], "counts": "04"}
    >>> track_iou([[square, square]], np.array([[4, 4]]), [[square, None]], np.array([[4, 0]])).tolist()
    [[0.5]]
    """
    both = first_areas.T[:, :, None] + second_areas.T[:, None, :]
    shared = _intersections(_frame_iou(first, second, both.shape), both)
    intersection = shared.sum(axis=0)
    union = both.sum(axis=0) - intersection
    return np.divide(intersection, union, out=np.zeros(union.shape), where=union > 0)


def _frame_iou(
    first: Sequence[Sequence[RLE | None]], second: Sequence[Sequence[RLE | None]], shape: tuple[int, int, int]
) -> np.ndarray:
    """``(T, D, G)`` float64 IoU in each frame. pycocotools reads each mask once and skips apart boxes."""
    iou = np.zeros(shape)
    for frame, (rows, columns) in enumerate(
        zip(zip(*first, strict=True), zip(*second, strict=True), strict=True)
    ):
        some, others = [rle for rle in rows if rle], [rle for rle in columns if rle]
        if some and others:
            seen = np.ix_([rle is not None for rle in rows], [rle is not None for rle in columns])
            iou[frame][seen] = coco_mask.iou(some, others, [False] * len(others))
    return iou


def _intersections(iou: np.ndarray, both: np.ndarray) -> np.ndarray:
    """The whole numbers of pixels from which the IoU were divided; `both` are the areas added."""
    shared = np.rint(iou * both / (1 + iou))
    # Both are the correctly rounded quotient of the same whole numbers, hence equal to the last bit.
    if (shared / np.maximum(both - shared, 1) != iou).any():
        raise ArithmeticError("intersections cannot be recovered from the IoU")
    return shared.astype(np.int64)
