"""The sizes and directions in which CFBI looks at a frame."""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

#: The network takes sides of a multiple of 16 plus 1.
_STRIDE = 16
#: In the order of RGB, as usual, but the official code gives them to images that OpenCV has read as BGR.
_MEAN = np.array((0.485, 0.456, 0.406), np.float32)
_STD = np.array((0.229, 0.224, 0.225), np.float32)


@dataclass(frozen=True)
class Pass:
    """One look at each frame.

    Attributes:
        size: ``(height, width)`` that the image is scaled to.
        flip: left and right are swapped.
    """

    size: tuple[int, int]
    flip: bool

    def prepare(self, image: np.ndarray) -> Tensor:
        """``(1, 3, height, width)`` for the network from an RGB uint8 image."""
        pixels = image[..., ::-1].astype(np.float32)
        if pixels.shape[:2] != self.size:
            pixels = cv2.resize(pixels, self.size[::-1], interpolation=cv2.INTER_CUBIC)
        pixels = (pixels / np.float32(255) - _MEAN) / _STD
        pixels = pixels[:, ::-1] if self.flip else pixels
        return torch.from_numpy(np.ascontiguousarray(pixels)).permute(2, 0, 1)[None]

    def shrink(self, slots: Tensor) -> Tensor:
        """``(H, W)`` slots as ``(h, w)`` int64 at the size of the embedding, the nearest pixel each."""
        slots = slots.flip(1) if self.flip else slots
        size = [(side - 1) // 4 + 1 for side in self.size]
        return F.interpolate(slots[None, None].float(), size=size)[0, 0].long()

    def probabilities(self, logits: Tensor, size: tuple[int, int]) -> Tensor:
        """``(K, h, w)`` logits as ``(K, H, W)`` probabilities at the original `size`."""
        logits = F.interpolate(logits[None], size=size, mode="bilinear", align_corners=True)[0]
        probabilities = logits.softmax(dim=0)
        return probabilities.flip(2) if self.flip else probabilities


def plan_passes(size: tuple[int, int], scales: tuple[float, ...], flip: bool, max_side: float) -> list[Pass]:
    """All looks at frames of `size`, which is brought to `max_side` at most before it is scaled.

    >>> [p.size for p in plan_passes((480, 854), (1.0, 1.5), False, 1040)]
    [(481, 849), (721, 1281)]
    """
    shrunk = min(1.0, max_side / max(size))
    sizes = [tuple(_round_side(int(shrunk * side * scale)) for side in size) for scale in scales]
    return [Pass(size, mirrored) for size in sizes for mirrored in ((False, True) if flip else (False,))]


def _round_side(side: int) -> int:
    """The nearest multiple of 16 plus 1; halves go to even multiples, as in NumPy."""
    return round((side - 1) / _STRIDE) * _STRIDE + 1
