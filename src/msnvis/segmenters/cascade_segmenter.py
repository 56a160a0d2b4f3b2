"""A Cascade Mask R-CNN as a segmenter: images in, `Detections` out."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import cv2
import numpy as np
import torch

from msnvis import masks as mask_ops
from msnvis.segmenters.base import Segmenter
from msnvis.segmenters.cascade import CascadeMaskRCNN, Prediction
from msnvis.structures import Detections

#: Feature maps at stride 32 need sizes that are multiples of it.
_STRIDE = 32


@dataclass(frozen=True)
class Preprocessing:
    """What a network expects: mean and standard deviation of RGB in 0..1, and the size that images are
    scaled to.

    The short side becomes `short_side` pixels unless the long side would exceed `long_side`. `mmdetection`
    says how: if set, by bilinear interpolation without smoothing, with a padding of 0 after normalisation;
    otherwise by averaging where images shrink, with black padding.
    """

    mean: tuple[float, float, float]
    std: tuple[float, float, float]
    short_side: int
    long_side: int
    mmdetection: bool = False

    def scale(self, height: int, width: int) -> float:
        """Factor from the image's size to the network's."""
        return min(self.short_side / min(height, width), self.long_side / max(height, width))

    def resize(self, image: np.ndarray) -> np.ndarray:
        """``(H, W, 3)`` uint8 to the network's size, without padding."""
        height, width = image.shape[:2]
        scale = self.scale(height, width)
        size = (max(1, int(width * scale + 0.5)), max(1, int(height * scale + 0.5)))
        averages = scale < 1 and not self.mmdetection
        return cv2.resize(image, size, interpolation=cv2.INTER_AREA if averages else cv2.INTER_LINEAR)

    def normalise(self, images: torch.Tensor, sizes: Sequence[tuple[int, int]]) -> torch.Tensor:
        """``(B, 3, H, W)`` uint8 to float32; `sizes` are heights and widths of the images without padding."""
        mean, std = (
            images.new_tensor(v, dtype=torch.float32).view(1, 3, 1, 1) for v in (self.mean, self.std)
        )
        normalised = (images.float() / 255 - mean) / std
        if self.mmdetection:
            for image, (height, width) in zip(normalised, sizes, strict=True):
                image[:, height:], image[:, :, width:] = 0, 0
        return normalised.contiguous(memory_format=torch.channels_last)


class CascadeSegmenter(Segmenter):
    """Runs a `CascadeMaskRCNN` on images of any size.

    Args:
        network: with trained weights.
        classes: names of its classes.
        preprocessing: what it expects.
        mask_threshold: probability from which a pixel belongs to the object.
    """

    def __init__(
        self,
        network: CascadeMaskRCNN,
        classes: Sequence[str],
        preprocessing: Preprocessing,
        mask_threshold: float = 0.5,
    ) -> None:
        self.network = network.eval().to(memory_format=torch.channels_last)
        self.classes = tuple(classes)
        self.preprocessing = preprocessing
        self.mask_threshold = mask_threshold
        self.device = next(network.parameters()).device

    def segment(self, images: Sequence[np.ndarray]) -> list[Detections]:
        found: list[Detections | None] = [None] * len(images)
        for size in dict.fromkeys(image.shape[:2] for image in images):
            indices = [i for i, image in enumerate(images) if image.shape[:2] == size]
            for i, detections in zip(indices, self._segment_equal([images[i] for i in indices]), strict=True):
                found[i] = detections
        return found

    def _segment_equal(self, images: list[np.ndarray]) -> list[Detections]:
        """Images of one size."""
        height, width = images[0].shape[:2]
        scaled = [self.preprocessing.resize(image) for image in images]
        size = scaled[0].shape[:2]
        padded = np.zeros((len(images), *(-(-s // _STRIDE) * _STRIDE for s in size), 3), np.uint8)
        padded[:, : size[0], : size[1]] = scaled
        sizes = [size] * len(images)
        pixels = torch.from_numpy(padded).to(self.device).permute(0, 3, 1, 2)
        predictions = self.network.detect(self.preprocessing.normalise(pixels, sizes), sizes)
        factor = np.array([width / size[1], height / size[0]] * 2)
        return [self._to_detections(p, factor, (height, width)) for p in predictions]

    def _to_detections(self, prediction: Prediction, factor: np.ndarray, size: tuple[int, int]) -> Detections:
        boxes = prediction["boxes"].double().cpu().numpy() * factor
        probs = prediction["mask_probs"].float().cpu().numpy()
        rles = [
            mask_ops.encode_crop(*paste_mask(p, b, size, self.mask_threshold), size)
            for p, b in zip(probs, boxes, strict=True)
        ]
        kept = mask_ops.areas(rles) > 0
        return Detections(
            size,
            rles,
            prediction["scores"].float().cpu().numpy(),
            prediction["class_scores"].float().cpu().numpy(),
        )[kept]


def paste_mask(
    probs: np.ndarray, box: np.ndarray, size: tuple[int, int], threshold: float
) -> tuple[np.ndarray, int, int]:
    """Resample mask probabilities to the pixels of their box (bilinear, pixel centres, zero outside).

    Args:
        probs: ``(M, M)`` in 0..1.
        box: ``x1 y1 x2 y2`` in pixels of the frame.
        size: ``(height, width)`` of the frame.

    Returns:
        ``(h, w)`` bool, and the column and row of the frame where it begins.
    """
    x1, y1, x2, y2 = box
    left, top = max(int(np.floor(x1)), 0), max(int(np.floor(y1)), 0)
    right, bottom = min(int(np.ceil(x2)), size[1]), min(int(np.ceil(y2)), size[0])
    if right <= left or bottom <= top:
        return np.zeros((0, 0), bool), 0, 0
    rows = _interpolation(np.arange(top, bottom), y1, y2, probs.shape[0])
    columns = _interpolation(np.arange(left, right), x1, x2, probs.shape[1])
    return rows @ probs @ columns.T >= threshold, left, top


def _interpolation(pixels: np.ndarray, start: float, stop: float, cells: int) -> np.ndarray:
    """``(P, cells)`` weights that interpolate linearly between cells spread evenly over start..stop."""
    position = (pixels + 0.5 - start) / max(stop - start, 1e-6) * cells - 0.5
    return np.clip(1 - np.abs(position[:, None] - np.arange(cells)), 0, 1).astype(np.float32)
