"""Frames in YUV 4:2:0, as videos store them: to draw on and to encode without a detour through RGB."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass

import av
import cv2
import numpy as np

#: Numbers of the matrices between RGB and YUV in ITU-T H.273.
BT709, BT601 = 1, 6
#: Luma (full size) and two planes of colour differences (half as high and wide), uint8.
Planes = tuple[np.ndarray, np.ndarray, np.ndarray]


@dataclass(frozen=True, eq=False)
class Picture:
    """One frame of a video in YUV 4:2:0, upright, at the working size.

    Attributes:
        index, timestamp: see `msnvis.io.source.Frame`.
        size: ``(height, width)`` of the frame.
        planes: not to be written to. An odd size is made even by repeating the last row or column, because
            4:2:0 has no odd sizes.
        matrix: `BT601` or `BT709`; the range is the limited one of video.
    """

    index: int
    timestamp: float
    size: tuple[int, int]
    planes: Planes
    matrix: int
    _make_image: Callable[[], np.ndarray]

    @property
    def image(self) -> np.ndarray:
        """RGB uint8 ``(H, W, 3)``, made at each call."""
        return self._make_image()


def to_i420(image: np.ndarray, out: np.ndarray | None = None) -> np.ndarray:
    """An RGB uint8 ``(H, W, 3)`` image as Y, U and V planes in one uint8 ``(3 H / 2, W)`` array (BT.601).

    An odd size is made even by repeating the last row or column.
    """
    return cv2.cvtColor(_padded(image), cv2.COLOR_RGB2YUV_I420, dst=out)


def i420_planes(picture: np.ndarray) -> Planes:
    """Views of the planes of an I420 picture."""
    height, width = picture.shape[0] * 2 // 3, picture.shape[1]
    luma, quarter = height * width, height * width // 4
    flat = picture.reshape(-1)
    first, second = (flat[luma + k * quarter : luma + (k + 1) * quarter] for k in (0, 1))
    half = (height // 2, width // 2)
    return picture[:height], first.reshape(half), second.reshape(half)


def frame_planes(frame: av.VideoFrame) -> Planes:
    """Views of the planes of a frame in YUV 4:2:0; of an odd size, those of colours are rounded up."""
    views = (
        np.frombuffer(plane, np.uint8).reshape(-1, plane.line_size)[: plane.height, : plane.width]
        for plane in frame.planes
    )
    return tuple(views)


def even(planes: Iterable[np.ndarray]) -> Planes:
    """Planes of an odd size, whose second and third are rounded up, with the first made even."""
    luma, *colours = planes
    return (_padded(luma), *colours)


def _padded(image: np.ndarray) -> np.ndarray:
    rows, columns = image.shape[0] % 2, image.shape[1] % 2
    if not (rows or columns):
        return image
    return cv2.copyMakeBorder(image, 0, rows, 0, columns, cv2.BORDER_REPLICATE)
