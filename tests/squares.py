"""A clip of coloured squares on a plain ground, and a segmenter that finds them by their colour."""

from __future__ import annotations

from collections.abc import Sequence
from fractions import Fraction
from pathlib import Path

import av
import cv2
import numpy as np

from msnvis.segmenters.base import Segmenter, segmenters
from msnvis.structures import Detections

#: name of the class -> RGB
COLOURS = {"person": (220, 30, 30), "car": (30, 30, 220)}
FPS = 10


class SquareSegmenter(Segmenter):
    """Every strongly coloured blob is an object; red ones are persons and blue ones cars."""

    classes = tuple(COLOURS)

    def segment(self, images: Sequence[np.ndarray]) -> list[Detections]:
        return [self._segment(image) for image in images]

    def _segment(self, image: np.ndarray) -> Detections:
        red, _, blue = np.moveaxis(image.astype(int), -1, 0)
        masks, class_scores = [], []
        for column, coloured in enumerate((red - blue > 80, blue - red > 80)):
            count, labels = cv2.connectedComponents(coloured.astype(np.uint8))
            for label in range(1, count):
                masks.append(labels == label)
                class_scores.append(np.eye(len(self.classes))[column])
        if not masks:
            return Detections.empty(image.shape[:2], len(self.classes))
        return Detections.from_masks(np.stack(masks), np.full(len(masks), 0.9), np.stack(class_scores))


def register() -> None:
    """Make the segmenter known as ``squares``."""
    segmenters.register("squares", summary="coloured squares, for tests")(
        lambda weights=None, device="cpu": SquareSegmenter()
    )


def frames(count: int = 12, size: tuple[int, int] = (48, 80), empty: bool = False) -> list[np.ndarray]:
    """RGB frames; a red square moves right, a blue one left, 2 pixels a frame, and they never meet."""
    images = []
    for step in range(count):
        image = np.full((*size, 3), 128, np.uint8)
        if not empty:
            image[6:18, 4 + 2 * step : 16 + 2 * step] = COLOURS["person"]
            image[28:42, 60 - 2 * step : 74 - 2 * step] = COLOURS["car"]
        images.append(image)
    return images


def write_clip(path: Path, images: Sequence[np.ndarray]) -> Path:
    """An mp4 of `images` at 10 frames a second."""
    height, width = images[0].shape[:2]
    with av.open(str(path), "w") as container:
        stream = container.add_stream("mpeg4", rate=FPS)
        stream.width, stream.height, stream.pix_fmt = width, height, "yuv420p"
        stream.bit_rate = 4_000_000
        stream.time_base = Fraction(1, FPS)
        for image in images:
            container.mux(stream.encode(av.VideoFrame.from_ndarray(image, format="rgb24")))
        container.mux(stream.encode())
    return path
