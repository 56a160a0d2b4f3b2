"""Cut-outs: an object of a photograph with soft edges, ready to be warped into frames."""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np

from msnvis import masks as mask_ops
from msnvis.datasets.coco import ImageRecord
from msnvis.datasets.synthetic.sources import SourceObject
from msnvis.errors import InputError
from msnvis.io.image_file import read_bgr

#: Transparent pixels around a cut-out, so that its edge is interpolated and never clipped.
PAD = 4
#: The rim of a mask shows what is behind the object as a rule; one pixel of it goes unless too little stays.
_MIN_LEFT_AFTER_EROSION = 0.75
_SOFTNESS = 0.8

_MIRRORED = {"left": "right", "right": "left"}


@dataclass(frozen=True)
class Cutout:
    """A picture of an object.

    Attributes:
        rgba: ``(h, w, 4)`` uint8, colours multiplied by alpha, which fades at the edge.
        area: pixels of the object.
        cut: side at which the object ends though it goes on in reality, or None.
    """

    rgba: np.ndarray
    area: float
    cut: str | None

    @property
    def size(self) -> tuple[int, int]:
        """``(height, width)``."""
        return self.rgba.shape[0], self.rgba.shape[1]

    def mean_colour(self) -> np.ndarray:
        """``(3,)`` float64."""
        return np.array(cv2.mean(self.rgba, (self.rgba[..., 3] >= 128).view(np.uint8))[:3])

    def with_gains(self, gains: np.ndarray) -> Cutout:
        """Each colour channel multiplied by one of the ``(3,)`` gains."""
        rgba = self.rgba.copy()
        rgba[..., :3] = np.minimum(self.rgba[..., :3] * gains + 0.5, self.rgba[..., 3:])
        return Cutout(rgba, self.area, self.cut)

    def mirrored(self) -> Cutout:
        """Left and right exchanged."""
        return Cutout(cv2.flip(self.rgba, 1), self.area, _MIRRORED.get(self.cut, self.cut))

    def shrunk(self, factor: float) -> Cutout:
        """Made smaller by area averaging, which warping would not do; `factor` is at most 1."""
        height, width = self.size
        size = (max(round(width * factor), 2 * PAD), max(round(height * factor), 2 * PAD))
        scale = size[0] * size[1] / (width * height)
        small = cv2.resize(self.rgba, size, interpolation=cv2.INTER_AREA)
        return Cutout(small, self.area * scale, self.cut)


def read_photo(record: ImageRecord) -> np.ndarray:
    """``(H, W, 3)`` uint8 RGB.

    Raises:
        InputError: it is missing, unreadable or of another size than annotated.
    """
    bgr = read_bgr(record.path)
    if bgr is None:
        raise InputError(f"{record.path}, image {record.id} of the annotations, is missing or not an image")
    if bgr.shape[:2] != (record.height, record.width):
        raise InputError(
            f"{record.path} is {bgr.shape[1]}x{bgr.shape[0]} but annotated as {record.width}x{record.height}"
        )
    return cv2.cvtColor(bgr, cv2.COLOR_BGR2RGB)


def cut_out(source: SourceObject, photo: np.ndarray) -> Cutout:
    """Cut the object out of its photograph, ``(H, W, 3)`` uint8 RGB."""
    [(mask, left, top)] = mask_ops.decode_crops([source.annotation.rle])
    height, width = mask.shape
    rgb = photo[top : top + height, left : left + width]
    rgb = cv2.copyMakeBorder(rgb, PAD, PAD, PAD, PAD, cv2.BORDER_REPLICATE)
    solid = _eroded(cv2.copyMakeBorder(mask.view(np.uint8), PAD, PAD, PAD, PAD, cv2.BORDER_CONSTANT, value=0))
    alpha = cv2.GaussianBlur(solid * np.uint8(255), (0, 0), _SOFTNESS)
    colours = cv2.multiply(_extended(rgb, solid), cv2.merge([alpha] * 3), scale=1 / 255)
    return Cutout(np.dstack([colours, alpha]), float(np.count_nonzero(solid)), source.cut)


def _eroded(mask: np.ndarray) -> np.ndarray:
    eroded = cv2.erode(mask, np.ones((3, 3), np.uint8))
    return eroded if eroded.sum() >= _MIN_LEFT_AFTER_EROSION * mask.sum() else mask


def _extended(rgb: np.ndarray, solid: np.ndarray) -> np.ndarray:
    """The object's colours inside, those nearby outside: a soft edge then shows nothing of the old place."""
    weight = cv2.GaussianBlur(solid.astype(np.float32), (0, 0), 2.0)[..., None]
    spread = cv2.GaussianBlur(rgb * solid[..., None].astype(np.float32), (0, 0), 2.0)
    spread /= np.maximum(weight, 1e-3)
    return np.where(solid[..., None] > 0, rgb, np.clip(spread + 0.5, 0, 255)).astype(np.uint8)
