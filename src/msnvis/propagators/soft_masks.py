"""Soft masks, float32 in 0..1, at the size of the optical flow: making, warping and tidying them."""

from __future__ import annotations

import math

import cv2
import numpy as np

#: DIS chooses its levels by the width: of wide images with less height than this it would read, and write,
#: beyond its buffers.
_SMALLEST_DIS_SIDE = 32
# Lengths are in pixels at the size of the flow.
#: Standard deviation of where the warped edge may really be.
_EDGE_BLUR = 1.0
#: No colour makes a pixel part of an object where the blurred warped mask is below this.
_OUT_OF_REACH = 0.02
#: Window (2 r + 1 wide) and smoothness of the guided filter.
_GUIDE_RADIUS, _GUIDE_EPSILON = 2, 1e-3
#: Contrast regained after the guided filter, without which masks would blur more at each step.
_SHARPENING = 1.2


def shrink(image: np.ndarray, max_side: int) -> np.ndarray:
    """`image` with its longest side at most `max_side`; always a copy."""
    scale = max_side / max(image.shape[:2])
    if scale >= 1:
        return image.copy()
    size = max(1, round(image.shape[1] * scale)), max(1, round(image.shape[0] * scale))
    return cv2.resize(image, size, interpolation=cv2.INTER_AREA)


def tight_crop(mask: np.ndarray) -> tuple[np.ndarray, int, int]:
    """The part of an ``(H, W)`` bool mask that holds something, its left column and its top row."""
    left, top, width, height = cv2.boundingRect(np.ascontiguousarray(mask).view(np.uint8))
    return mask[top : top + height, left : left + width], left, top


def soften(
    crop: np.ndarray, left: int, top: int, size: tuple[int, int], flow_size: tuple[int, int]
) -> tuple[np.ndarray, int, int]:
    """How much of each pixel of the flow a mask covers.

    Args:
        crop: ``(h, w)`` bool, with its corner at column `left` and row `top` of a frame of `size`.
        size: ``(height, width)`` of the frame.
        flow_size: ``(height, width)`` of the flow.

    Returns:
        ``(h, w)`` float32 soft mask, its left column and its top row, at the size of the flow.
    """
    step_y, step_x = size[0] / flow_size[0], size[1] / flow_size[1]
    x0, y0 = int(left / step_x), int(top / step_y)
    x1 = min(flow_size[1], math.ceil((left + crop.shape[1]) / step_x))
    y1 = min(flow_size[0], math.ceil((top + crop.shape[0]) / step_y))
    rows = _shares(top, crop.shape[0], y0, y1, step_y)
    columns = _shares(left, crop.shape[1], x0, x1, step_x)
    return rows @ crop.astype(np.float32) @ columns.T, x0, y0


def _shares(start: int, length: int, first: int, last: int, step: float) -> np.ndarray:
    """The share of each flow pixel, `step` wide, that each of `length` pixels from `start` on covers."""
    lower = np.arange(first, last)[:, None] * step
    pixels = np.arange(start, start + length)
    overlap = np.minimum(lower + step, pixels + 1) - np.maximum(lower, pixels)
    return (overlap.clip(0) / step).astype(np.float32)


def harden(
    soft: np.ndarray, x: int, y: int, flow_size: tuple[int, int], size: tuple[int, int]
) -> tuple[np.ndarray, int, int]:
    """The opposite of `soften`: ``(h, w)`` bool at full size, its left column and its top row."""
    scale_y, scale_x = size[0] / flow_size[0], size[1] / flow_size[1]
    left, top = int(x * scale_x), int(y * scale_y)
    right = min(size[1], math.ceil((x + soft.shape[1]) * scale_x))
    bottom = min(size[0], math.ceil((y + soft.shape[0]) * scale_y))
    offset = (left + 0.5) / scale_x - 0.5 - x, (top + 0.5) / scale_y - 0.5 - y
    full = _resample(soft, (bottom - top, right - left), (1 / scale_x, 1 / scale_y), offset)
    return full >= 0.5, left, top


def _resample(
    source: np.ndarray, size: tuple[int, int], step: tuple[float, float], offset: tuple[float, float]
) -> np.ndarray:
    """Sample `source` at ``offset + step * (column, row)`` for a result of ``(height, width)`` `size`."""
    matrix = np.array([[step[0], 0, offset[0]], [0, step[1], offset[1]]])
    flags = cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP
    return cv2.warpAffine(source, matrix, size[::-1], flags=flags, borderMode=cv2.BORDER_REPLICATE)


def optical_flow(dis: cv2.DISOpticalFlow, source: np.ndarray, target: np.ndarray) -> np.ndarray:
    """``(H, W, 2)`` float32: where each pixel of `source` (gray uint8) moves to in `target`, as ``dx dy``."""
    height, width = source.shape
    down, right = max(0, _SMALLEST_DIS_SIDE - height), max(0, _SMALLEST_DIS_SIDE - width)
    if down or right:
        source, target = (
            cv2.copyMakeBorder(image, 0, down, 0, right, cv2.BORDER_REPLICATE) for image in (source, target)
        )
    return dis.calc(source, target, None)[:height, :width]


def origin_of_pixels(backward: np.ndarray) -> np.ndarray:
    """``(H, W, 2)`` float32: the place ``x y`` in the old frame that each pixel of the new one came from."""
    height, width = backward.shape[:2]
    columns, rows = np.meshgrid(np.arange(width, dtype=np.float32), np.arange(height, dtype=np.float32))
    return backward + cv2.merge([columns, rows])


def reliable_pixels(backward: np.ndarray, forward: np.ndarray, origin: np.ndarray) -> np.ndarray:
    """``(H, W)`` bool: `backward` to the `origin`, then `forward`, leads back (Sundaram et al., 2010)."""
    returned = cv2.remap(forward, origin, None, cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE)
    error = cv2.transform((backward + returned) ** 2, np.ones((1, 2)))
    length = cv2.transform(backward**2 + returned**2, np.ones((1, 2)))
    return error < 0.01 * length + 0.5


def warp(soft: np.ndarray, x: int, y: int, origin: np.ndarray) -> np.ndarray:
    """``(h, w)`` float32: the soft mask with its corner at ``(x, y)``, sampled at `origin` ``(h, w, 2)``."""
    places = origin - np.array([x, y], np.float32)
    return cv2.remap(soft, places, None, cv2.INTER_LINEAR, borderMode=cv2.BORDER_CONSTANT)


def decide_by_colour(
    warped: np.ndarray, evidence: np.ndarray, reliable: np.ndarray | None = None
) -> np.ndarray:
    """Combine the warped mask, which is unsure near its edge, with what the colours say.

    Args:
        warped: ``(h, w)`` float32 soft mask, the prior.
        evidence: ``(h, w)`` float32 log-likelihood ratio of each pixel's colour.
        reliable: ``(h, w)`` bool, where the flow is to be believed; elsewhere the colour decides alone.
    """
    prior = cv2.GaussianBlur(warped, (0, 0), _EDGE_BLUR)
    reach = prior >= _OUT_OF_REACH
    if reliable is not None:
        prior = np.where(reliable, prior, np.float32(0.5))
    prior = prior.clip(1e-3, 1 - 1e-3)
    return reach * prior / (prior + (1 - prior) * np.exp(-evidence))


def follow_edges(soft: np.ndarray, guide: np.ndarray) -> np.ndarray:
    """Pull edges to those of `guide`, gray float32 in 0..1, by a guided filter (He et al., 2010)."""

    def mean(values: np.ndarray) -> np.ndarray:
        window = (2 * _GUIDE_RADIUS + 1, 2 * _GUIDE_RADIUS + 1)
        return cv2.blur(values, window, borderType=cv2.BORDER_REPLICATE)

    mean_guide, mean_soft = mean(guide), mean(soft)
    variance = mean(guide**2) - mean_guide**2
    slope = (mean(guide * soft) - mean_guide * mean_soft) / (variance + _GUIDE_EPSILON)
    filtered = mean(slope) * guide + mean(mean_soft - slope * mean_guide)
    return (_SHARPENING * (filtered - 0.5) + 0.5).clip(0, 1)
