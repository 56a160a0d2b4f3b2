"""What the selection networks see of a pair of masks: crops of the image and of the masks (paper 3.2)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import cv2
import numpy as np
import torch
from torch import Tensor

from msnvis import masks as mask_ops
from msnvis.errors import OptionError
from msnvis.masks import RLE
from msnvis.selection.networks import PAIR_CHANNELS

#: Most pixels of a side, and most times that a box is widened by its sides.
MAX_SIDE, MAX_CONTEXT = 1024, 10
CROP_BOXES = ("union", "each", "frame")


@dataclass(frozen=True)
class CropOptions:
    """How pairs are cut out.

    Attributes:
        side: pixels of the square crops.
        box: ``union`` is one tight box around both masks, ``each`` one around each, ``frame`` the whole
            image.
        context: how much wider the box is, as a share of its sides; 0 is tight.
        masked: hide the image outside of each mask.
    """

    side: int = 256
    box: str = "union"
    context: float = 0.0
    masked: bool = False

    def __post_init__(self) -> None:
        if self.box not in CROP_BOXES:
            raise OptionError(f"box is '{self.box}' but must be one of {', '.join(CROP_BOXES)}")
        # They also come from weights files, whose crops shall not take gigabytes.
        if not (type(self.side) is int and 32 <= self.side <= MAX_SIDE):
            raise OptionError(f"side must be a whole number of pixels from 32 to {MAX_SIDE}, not {self.side}")
        if isinstance(self.context, bool) or not isinstance(self.context, (int, float)):
            raise OptionError(f"context must be a number, not {self.context}")
        if not 0 <= self.context <= MAX_CONTEXT:
            raise OptionError(f"context must be from 0 to {MAX_CONTEXT}, not {self.context}")


def crop_pairs(
    image: np.ndarray, first: Sequence[RLE], second: Sequence[RLE], options: CropOptions
) -> np.ndarray:
    """Cut out all pairs of one frame; no mask may be empty.

    Args:
        image: ``(H, W, 3)`` uint8 RGB.
        first, second: N masks each, of the image's size.

    Returns:
        ``(N, 8, side, side)`` uint8: red, green, blue and mask (0 or 255) of the first, then of the second.

    >>> mask = mask_ops.encode(np.ones((1, 40, 60), bool))
    >>> crop_pairs(np.zeros((40, 60, 3), np.uint8), mask, mask, CropOptions(side=32)).shape
    (1, 8, 32, 32)
    """
    pairs = np.empty((len(first), PAIR_CHANNELS, options.side, options.side), np.uint8)
    boxes = _boxes(first, second, image.shape[:2], options)
    for half, (rles, own_boxes) in enumerate(zip((first, second), boxes, strict=True)):
        for pair, crop, box in zip(pairs, mask_ops.decode_crops(rles), own_boxes, strict=True):
            channels = pair[4 * half : 4 * half + 4]
            channels[3] = _crop_mask(*crop, box, options.side)
            if half and options.box != "each":
                channels[:3] = pair[:3]
            else:
                channels[:3] = _crop_image(image, box, options.side)
        if options.masked:
            pairs[:, 4 * half : 4 * half + 3] &= pairs[:, 4 * half + 3 : 4 * half + 4]
    return pairs


def crop_truth(truth: RLE, first: RLE, second: RLE, options: CropOptions) -> np.ndarray:
    """The true mask in the box of the first of two masks, as `crop_pairs` cuts it: ``(side, side)`` uint8.

    >>> mask = mask_ops.encode(np.ones((1, 40, 60), bool))[0]
    >>> crop_truth(mask, mask, mask, CropOptions(side=32)).min()
    np.uint8(255)
    """
    height, width = truth["size"]
    x1, y1, x2, y2 = _boxes([first], [second], (height, width), options)[0][0]
    whole = mask_ops.decode([truth], (height, width))[0].astype(np.uint8) * 255
    return _binary(_scale(whole[y1:y2, x1:x2], options.side))


def normalise_pairs(pairs: Tensor) -> Tensor:
    """``(N, 8, S, S)`` uint8 to float32 in -1..1."""
    return pairs.to(torch.float32).div_(127.5).sub_(1)


def _boxes(
    first: Sequence[RLE], second: Sequence[RLE], size: tuple[int, int], options: CropOptions
) -> tuple[np.ndarray, np.ndarray]:
    """``(N, 4)`` integer boxes of the first and of the second masks."""
    of_first, of_second = mask_ops.boxes(first), mask_ops.boxes(second)
    if options.box == "frame":
        frame = np.tile([0, 0, size[1], size[0]], (len(first), 1))
        return frame, frame
    if options.box == "union":
        corner, opposite = np.minimum(of_first, of_second)[:, :2], np.maximum(of_first, of_second)[:, 2:]
        of_first = of_second = np.concatenate([corner, opposite], axis=1)
    return _widen(of_first, size, options.context), _widen(of_second, size, options.context)


def _widen(boxes: np.ndarray, size: tuple[int, int], context: float) -> np.ndarray:
    """Add `context` around, as far as there is image."""
    margin = (boxes[:, 2:] - boxes[:, :2]) * context / 2
    limit = np.array(size[::-1])
    corner = np.clip(np.floor(boxes[:, :2] - margin), 0, limit)
    opposite = np.clip(np.ceil(boxes[:, 2:] + margin), 0, limit)
    return np.concatenate([corner, opposite], axis=1).astype(int)


def _crop_image(image: np.ndarray, box: np.ndarray, side: int) -> np.ndarray:
    x1, y1, x2, y2 = box
    return _scale(image[y1:y2, x1:x2], side).transpose(2, 0, 1)


def _crop_mask(crop: np.ndarray, left: int, top: int, box: np.ndarray, side: int) -> np.ndarray:
    """The part of a mask in `box`, scaled and cut at one half, 0 or 255; `box` holds the whole mask."""
    x1, y1, x2, y2 = box
    whole = np.zeros((y2 - y1, x2 - x1), np.uint8)
    whole[top - y1 : top - y1 + crop.shape[0], left - x1 : left - x1 + crop.shape[1]] = crop
    return _binary(_scale(whole * 255, side))


def _binary(array: np.ndarray) -> np.ndarray:
    return cv2.threshold(array, 127, 255, cv2.THRESH_BINARY)[1]


def _scale(array: np.ndarray, side: int) -> np.ndarray:
    shrinks = max(array.shape[:2]) > side
    return cv2.resize(array, (side, side), interpolation=cv2.INTER_AREA if shrinks else cv2.INTER_LINEAR)
