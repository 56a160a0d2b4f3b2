"""Pictures as separate planes to draw on, in RGB or in the YUV 4:2:0 that videos are made of.

Drawing on single planes is several times as fast as on interleaved pixels, and YUV 4:2:0 has half as many
samples, which then need no conversion for the encoder.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache

import av
import cv2
import numpy as np

Colour = tuple[int, int, int]
#: From R, G, B and 1 to Y, U and V of ITU-R BT.601 in limited range, as in OpenCV's conversion to I420.
_TO_YUV = (
    np.array(
        [
            [65.481, 128.553, 24.966, 16 * 255],
            [-37.797, -74.203, 112.0, 128 * 255],
            [112.0, -93.786, -18.214, 128 * 255],
        ]
    )
    / 255
)


class Canvas:
    """Three planes, and a copy of them to draw on.

    Args:
        planes: uint8 ``(H, W)`` each; of YUV the second and third are half as high and wide, with H and W
            even.
        drawn: where the copy goes, arrays of the same shapes.
        is_yuv: what they are.

    >>> canvas = Canvas.from_rgb(np.zeros((2, 3, 3), np.uint8))
    >>> canvas.fill(np.ones((1, 2), np.uint8), 1, 0, (200, 100, 0), opacity=0.5)
    >>> canvas.rgb()[0].tolist()
    [[0, 0, 0], [100, 50, 0], [100, 50, 0]]
    """

    def __init__(self, planes: Sequence[np.ndarray], drawn: Sequence[np.ndarray], is_yuv: bool) -> None:
        for plane, copy in zip(planes, drawn, strict=True):
            np.copyto(copy, plane)
        self._planes, self._drawn, self._is_yuv = planes, drawn, is_yuv
        self._steps = (1, 2, 2) if is_yuv else (1, 1, 1)

    @classmethod
    def from_rgb(cls, image: np.ndarray) -> Canvas:
        """Of an RGB uint8 ``(H, W, 3)`` image, which is not changed."""
        planes = cv2.split(image)
        return cls(planes, [np.empty_like(plane) for plane in planes], is_yuv=False)

    def rgb(self) -> np.ndarray:
        """What an RGB canvas looks like: uint8 ``(H, W, 3)``."""
        return cv2.merge(self._drawn)

    def fill(self, mask: np.ndarray, left: int, top: int, colour: Colour, opacity: float = 1.0) -> None:
        """Mix `colour` with the undrawn picture where `mask`, ``(h, w)`` uint8 0 or 1, lies."""
        values = _yuv_of(colour) if self._is_yuv else colour
        thinned = {step: _thin(mask, left, top, step) for step in set(self._steps)}
        for source, target, step, value in zip(self._planes, self._drawn, self._steps, values, strict=True):
            shape, x, y = thinned[step]
            if not shape.size:  # a mask one pixel wide may lie between the samples of the colour planes
                continue
            region = (slice(y, y + shape.shape[0]), slice(x, x + shape.shape[1]))
            if opacity == 1:
                mixed = shape * np.uint8(value)
            else:
                mixed = cv2.convertScaleAbs(source[region], alpha=1 - opacity, beta=opacity * value)
            cv2.copyTo(mixed, shape, target[region])

    def paste(self, image: np.ndarray, mask: np.ndarray, left: int, top: int) -> None:
        """Put an RGB uint8 ``(h, w, 3)`` image where its `mask`, uint8 ``(h, w)``, is not 0."""
        parts = cv2.split(cv2.transform(image, _TO_YUV) if self._is_yuv else image)
        for part, target, step in zip(parts, self._drawn, self._steps, strict=True):
            shape, x, y = _thin(mask, left, top, step)
            part, *_ = _thin(part, left, top, step)
            cv2.copyTo(part, shape, target[y : y + shape.shape[0], x : x + shape.shape[1]])


@lru_cache(maxsize=256)
def _yuv_of(colour: Colour) -> Colour:
    return tuple(cv2.transform(np.array([[colour]], np.uint8), _TO_YUV)[0, 0].tolist())


def to_i420(image: np.ndarray, out: np.ndarray | None = None) -> np.ndarray:
    """An RGB uint8 ``(H, W, 3)`` image as Y, U and V planes in one uint8 ``(3 H / 2, W)`` array (BT.601).

    An odd size is made even by repeating the last row or column, because 4:2:0 has no odd sizes.
    """
    pad = (image.shape[0] % 2, image.shape[1] % 2)
    if any(pad):
        image = cv2.copyMakeBorder(image, 0, pad[0], 0, pad[1], cv2.BORDER_REPLICATE)
    return cv2.cvtColor(image, cv2.COLOR_RGB2YUV_I420, dst=out)


def i420_planes(picture: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Views of the planes of an I420 picture."""
    height, width = picture.shape[0] * 2 // 3, picture.shape[1]
    luma, quarter = height * width, height * width // 4
    flat = picture.reshape(-1)
    first, second = (flat[luma + k * quarter : luma + (k + 1) * quarter] for k in (0, 1))
    half = (height // 2, width // 2)
    return picture[:height], first.reshape(half), second.reshape(half)


def frame_planes(frame: av.VideoFrame) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Views of the planes of a frame in YUV 4:2:0."""
    views = (
        np.frombuffer(plane, np.uint8).reshape(-1, plane.line_size)[: plane.height, : plane.width]
        for plane in frame.planes
    )
    return tuple(views)


def _thin(plane: np.ndarray, left: int, top: int, step: int) -> tuple[np.ndarray, int, int]:
    """Every `step`-th sample of a part of the picture, counted from the whole's corner; and its place."""
    if step == 1:
        return plane, left, top
    return np.ascontiguousarray(plane[top % 2 :: 2, left % 2 :: 2]), (left + 1) // 2, (top + 1) // 2
