"""Stage 1: the contract of a segmenter."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence

import numpy as np

from msnvis.registry import Registry
from msnvis.structures import Detections


class Segmenter(ABC):
    """Finds the objects of single images.

    `classes` are the names of the columns of `Detections.class_scores`.
    """

    classes: tuple[str, ...]

    @abstractmethod
    def segment(self, images: Sequence[np.ndarray]) -> list[Detections]:
        """Segment a batch.

        Args:
            images: RGB uint8 ``(H, W, 3)``, any number, sizes may differ.

        Returns:
            One `Detections` an image, best score first, masks of the image's size.
        """

    def reset(self, frame: int = 0) -> None:  # noqa: B027 - most segmenters remember nothing
        """Called before the first image of each video; `frame` is the index of that image in the video."""


segmenters: Registry[Segmenter] = Registry("segmenter")


def create_segmenter(name: str, **options: object) -> Segmenter:
    """Make a segmenter by name; `weights` and `device` are options that every one of them takes.

    >>> create_segmenter("compact").classes[0]
    'person'
    """
    return segmenters.create(name, **options)
