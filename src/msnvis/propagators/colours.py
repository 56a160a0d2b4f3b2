"""Telling an object from what surrounds it by colour."""

from __future__ import annotations

import cv2
import numpy as np

#: Levels of each of R, G and B.
_LEVELS = 16
#: Bound of the evidence: no colour alone decides against a mask that is sure.
_MAX_EVIDENCE = 3.0
_RARE = 1e-5

NUM_COLOURS = _LEVELS**3


def colour_indices(image: np.ndarray) -> np.ndarray:
    """``(H, W)`` uint16 in 0..`NUM_COLOURS`: the quantised colour of each pixel of an RGB uint8 image.

    >>> colour_indices(np.array([[[0, 16, 255]]], np.uint8)).tolist()
    [[31]]
    """
    red, green, blue = cv2.split(image // np.uint8(256 // _LEVELS))
    return (red.astype(np.uint16) * _LEVELS + green) * _LEVELS + blue


def colour_evidence(colours: np.ndarray, soft: np.ndarray) -> np.ndarray:
    """How much each colour speaks for the object rather than for its surroundings.

    Args:
        colours: ``(H, W)`` from `colour_indices`, of the object and some surroundings.
        soft: ``(H, W)`` float32 in 0..1, the object's soft mask.

    Returns:
        ``(NUM_COLOURS,)`` float32 log-likelihood ratios; 0 for colours not seen.
    """
    inside = _histogram(colours, soft)
    outside = _histogram(colours, 1 - soft)
    return np.log((inside + _RARE) / (outside + _RARE)).clip(-_MAX_EVIDENCE, _MAX_EVIDENCE)


def _histogram(colours: np.ndarray, weights: np.ndarray) -> np.ndarray:
    """``(NUM_COLOURS,)`` float32 frequencies, summing to 1 or all 0."""
    counts = np.bincount(colours.ravel(), weights.ravel(), NUM_COLOURS)
    return (counts / max(counts.sum(), 1)).astype(np.float32)
