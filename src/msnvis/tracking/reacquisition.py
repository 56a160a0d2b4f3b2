"""Stage 2: recognising an object that was lost and comes back."""

from __future__ import annotations

import cv2
import numpy as np

from msnvis import masks as mask_ops
from msnvis.masks import RLE

_BINS = (12, 6, 4)  # hue, saturation, value: the colour counts most, the brightness least
_MAX_SIDE = 64


def colour_histogram(image: np.ndarray, rle: RLE) -> np.ndarray:
    """HSV histogram of the object's pixels, summing to 1.

    Args:
        image: RGB uint8 ``(H, W, 3)``.
        rle: a mask of that image, not empty.

    Returns:
        ``(288,)`` float32.
    """
    mask, left, top = mask_ops.decode_crops([rle])[0]
    height, width = mask.shape
    step = max(1, max(height, width) // _MAX_SIDE)
    inside = np.ascontiguousarray(mask[::step, ::step])
    if not inside.any():  # every sampled pixel missed a very thin object
        inside[:] = True
    crop = np.ascontiguousarray(image[top : top + height : step, left : left + width : step])
    hsv = cv2.cvtColor(crop, cv2.COLOR_RGB2HSV)
    histogram = cv2.calcHist([hsv], [0, 1, 2], inside.view(np.uint8), _BINS, [0, 180, 0, 256, 0, 256])
    return (histogram / histogram.sum()).ravel().astype(np.float32)


def histogram_similarity(first: np.ndarray, second: np.ndarray) -> float:
    """Bhattacharyya coefficient of two histograms that sum to 1: 1 for equal ones, 0 for disjoint ones."""
    return float(np.sqrt(first * second).sum())


def centre_distance(first: np.ndarray, second: np.ndarray) -> float:
    """Pixels between the centres of two boxes ``x1 y1 x2 y2``.

    >>> centre_distance(np.array([0, 0, 2, 2]), np.array([3, 4, 5, 6]))
    5.0
    """
    return float(np.hypot(*(first[:2] + first[2:] - second[:2] - second[2:]) / 2))
