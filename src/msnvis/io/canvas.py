"""Pictures as separate planes to draw on, in RGB or in the YUV 4:2:0 that videos are made of.

Drawing on single planes is several times as fast as on interleaved pixels, and YUV 4:2:0 has half as many
samples, which then need no conversion for the encoder.
"""

from __future__ import annotations

from functools import lru_cache

import cv2
import numpy as np

from msnvis.io.picture import BT601, BT709, Planes

Colour = tuple[int, int, int]
#: A mask, the part of it that is inside its outline, and where they lie in a plane.
_Place = tuple[np.ndarray, np.ndarray, tuple[slice, slice]]
#: A small picture and its mask in each plane of a canvas.
Sticker = list[tuple[np.ndarray, np.ndarray]]
#: Shares of red and blue in the luma of each matrix (ITU-T H.273).
_LUMA = {BT601: (0.299, 0.114), BT709: (0.2126, 0.0722)}


class Canvas:
    """Three planes, and a copy of them to draw on.

    Args:
        planes: uint8 ``(H, W)`` each; of YUV the second and third are half as high and wide, with H and W
            even.
        drawn: where the copy goes, arrays of the same shapes.
        matrix: of YUV, see `msnvis.io.picture.Picture`; None for RGB.

    >>> canvas = Canvas.from_rgb(np.zeros((2, 3, 3), np.uint8))
    >>> mask, inside = np.ones((1, 2), np.uint8), np.array([[0, 1]], np.uint8)
    >>> canvas.fill(mask, inside, 1, 0, (200, 100, 0), opacity=0.5)
    >>> canvas.rgb()[0].tolist()
    [[0, 0, 0], [200, 100, 0], [100, 50, 0]]
    """

    def __init__(self, planes: Planes, drawn: Planes, matrix: int | None = None) -> None:
        for plane, copy in zip(planes, drawn, strict=True):
            np.copyto(copy, plane)
        self._planes, self._drawn, self.matrix = planes, drawn, matrix

    @classmethod
    def from_rgb(cls, image: np.ndarray) -> Canvas:
        """Of an RGB uint8 ``(H, W, 3)`` image, which is not changed."""
        planes = cv2.split(image)
        return cls(planes, tuple(np.empty_like(plane) for plane in planes))

    def rgb(self) -> np.ndarray:
        """What an RGB canvas looks like: uint8 ``(H, W, 3)``."""
        return cv2.merge(self._drawn)

    def fill(
        self, mask: np.ndarray, inside: np.ndarray, left: int, top: int, colour: Colour, opacity: float
    ) -> None:
        """Paint where `mask` lies: `colour`, but mixed with the undrawn picture where `inside` lies.

        Args:
            mask, inside: ``(h, w)`` uint8 0 or 1; all of `inside` is in `mask`.
            left, top: place of their first pixel.
            colour: RGB.
            opacity: share of the colour in the mixture.
        """
        values = colour if self.matrix is None else _yuv_of(colour, self.matrix)
        places = self._places(mask, inside, left, top)
        for source, target, value, (outer, inner, region) in zip(
            self._planes, self._drawn, values, places, strict=True
        ):
            if not outer.size:  # a mask one pixel wide may lie between the samples of the colour planes
                continue
            painted = outer * np.uint8(value)
            mixed = cv2.convertScaleAbs(source[region], alpha=1 - opacity, beta=opacity * value)
            cv2.copyTo(mixed, inner, painted)
            cv2.copyTo(painted, outer, target[region])

    def paste(self, sticker: Sticker, left: int, top: int) -> None:
        """Put a sticker on the drawn picture, cut off at its right and bottom; `left` and `top` are even."""
        for (part, mask), target, step in zip(sticker, self._drawn, _steps(self.matrix), strict=True):
            region = target[top // step :, left // step :][: part.shape[0], : part.shape[1]]
            h, w = region.shape
            cv2.copyTo(part[:h, :w], mask[:h, :w], region)

    def _places(self, mask: np.ndarray, inside: np.ndarray, left: int, top: int) -> list[_Place]:
        """For each plane the masks as it has them, and where they lie."""
        height, width = mask.shape
        place = (mask, inside, (slice(top, top + height), slice(left, left + width)))
        if self.matrix is None:
            return [place] * 3
        outer, inner = (_every(2, part[top % 2 :, left % 2 :]) for part in (mask, inside))
        x, y = (left + 1) // 2, (top + 1) // 2
        thin_place = (outer, inner, (slice(y, y + outer.shape[0]), slice(x, x + outer.shape[1])))
        return [place, thin_place, thin_place]


def make_sticker(image: np.ndarray, mask: np.ndarray, matrix: int | None) -> Sticker:
    """What `Canvas.paste` puts where `mask`, uint8 ``(h, w)``, of an RGB uint8 ``(h, w, 3)`` image is not 0.

    `matrix` is that of the canvas.
    """
    converted = image if matrix is None else cv2.transform(image, _to_yuv(matrix))
    return [
        (_every(step, part), _every(step, mask))
        for part, step in zip(cv2.split(converted), _steps(matrix), strict=True)
    ]


def _steps(matrix: int | None) -> tuple[int, int, int]:
    """Pixels of the picture to a sample of each plane, down and across."""
    return (1, 1, 1) if matrix is None else (1, 2, 2)


@lru_cache(maxsize=2)
def _to_yuv(matrix: int) -> np.ndarray:
    """From R, G, B and 1 to Y, U and V of limited range."""
    red, blue = _LUMA[matrix]
    luma = np.array([red, 1 - red - blue, blue])
    differences = [(np.eye(3)[2] - luma) / (1 - blue), (np.eye(3)[0] - luma) / (1 - red)]
    rows = np.stack([luma * 219, *(half * 112 for half in differences)]) / 255
    return np.column_stack([rows, [16, 128, 128]])


@lru_cache(maxsize=256)
def _yuv_of(colour: Colour, matrix: int) -> Colour:
    return tuple(cv2.transform(np.array([[colour]], np.uint8), _to_yuv(matrix))[0, 0].tolist())


def _every(step: int, part: np.ndarray) -> np.ndarray:
    """Every `step`-th row and column."""
    return np.ascontiguousarray(part[::step, ::step])
