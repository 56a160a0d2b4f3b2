"""Region similarity J and contour accuracy F of DAVIS for one pair of masks.

Perazzi et al., "A Benchmark Dataset and Evaluation Methodology for Video Object Segmentation", CVPR 2016,
section 4, with what the paper leaves to the official code (davis2017-evaluation, ``metrics.py``): outlines
are half a pixel off towards the origin, their points match within a disk, and empty masks agree.
"""

from __future__ import annotations

import math

import cv2
import numpy as np

#: Radius in which outlines match, as a share of the diagonal of the frame (official ``bound_th``).
TOLERANCE = 0.008


def radius(size: tuple[int, int]) -> int:
    """Pixels within which outlines match in frames of ``(height, width)``.

    >>> radius((480, 854))
    8
    """
    return math.ceil(TOLERANCE * float(np.linalg.norm(size)))


class Shape:
    """A mask prepared for comparison with several others of the same window.

    Args:
        mask: ``(H, W)`` uint8, 0 or 1: the frame, or a window of it with a rim of `tolerance` + 1 pixels of
            background where it does not end at the border of the frame.
        tolerance: see `radius`.

    >>> square = np.zeros((20, 20), np.uint8); square[5:10, 5:10] = 1
    >>> moved = np.roll(square, 1, axis=1)
    >>> first, second = Shape(square, 1), Shape(moved, 1)
    >>> round(first.jaccard(second), 3), first.boundary_f(second)
    (0.667, 1.0)
    """

    def __init__(self, mask: np.ndarray, tolerance: int) -> None:
        self.mask = mask
        # A pixel is on the outline when it differs from the next one to the right, below or across.
        self.outline = cv2.morphologyEx(mask, cv2.MORPH_GRADIENT, np.ones((2, 2), np.uint8), anchor=(0, 0))
        self.near = cv2.dilate(self.outline, _disk(tolerance))
        self.area = cv2.countNonZero(mask)
        self.length = cv2.countNonZero(self.outline)

    def jaccard(self, other: Shape) -> float:
        """J: intersection by union; 1 where both are empty."""
        shared = cv2.countNonZero(self.mask & other.mask)
        union = self.area + other.area - shared
        return shared / union if union else 1.0

    def boundary_f(self, truth: Shape) -> float:
        """F: harmonic mean of the shares of both outlines that have the other one near.

        Where only one has an outline F is 0, and where neither has 1: empty masks have none, and so has a
        frame that is all object.
        """
        if not self.length or not truth.length:
            return float(self.length == truth.length)
        precision = cv2.countNonZero(self.outline & truth.near) / self.length
        recall = cv2.countNonZero(truth.outline & self.near) / truth.length
        return 2 * precision * recall / (precision + recall) if precision + recall else 0.0


def _disk(tolerance: int) -> np.ndarray:
    y, x = np.ogrid[-tolerance : tolerance + 1, -tolerance : tolerance + 1]
    return (x * x + y * y <= tolerance * tolerance).astype(np.uint8)
