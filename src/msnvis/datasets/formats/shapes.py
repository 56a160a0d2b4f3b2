"""Masks of the shapes that annotation tools draw."""

from __future__ import annotations

import numpy as np

from msnvis import masks as mask_ops
from msnvis.masks import RLE

#: Corners of the polygon that stands for an ellipse: off by less than 0.1 % of its radius.
_CORNERS = 72


def polygon_mask(corners: np.ndarray, size: tuple[int, int]) -> RLE:
    """A filled polygon, ``(P, 2)`` corners x, y; what lies outside the frame is cut off."""
    return mask_ops.from_json([np.asarray(corners, np.float64).ravel().tolist()], size)


def rectangle(x1: float, y1: float, x2: float, y2: float, angle: float = 0) -> np.ndarray:
    """Corners ``(4, 2)`` of a rectangle turned clockwise by `angle` degrees around its centre."""
    corners = np.array([[x1, y1], [x2, y1], [x2, y2], [x1, y2]], np.float64)
    return _turned(corners, ((x1 + x2) / 2, (y1 + y2) / 2), angle)


def ellipse(x: float, y: float, radius_x: float, radius_y: float, angle: float = 0) -> np.ndarray:
    """Corners ``(72, 2)`` of an ellipse around x, y turned clockwise by `angle` degrees."""
    turn = np.linspace(0, 2 * np.pi, _CORNERS, endpoint=False)
    corners = np.stack([x + radius_x * np.cos(turn), y + radius_y * np.sin(turn)], axis=1)
    return _turned(corners, (x, y), angle)


def _turned(corners: np.ndarray, centre: tuple[float, float], angle: float) -> np.ndarray:
    """Turned by `angle` degrees, clockwise to the eye as y points down."""
    cosine, sine = np.cos(np.radians(angle)), np.sin(np.radians(angle))
    return (corners - centre) @ np.array([[cosine, sine], [-sine, cosine]]) + centre
