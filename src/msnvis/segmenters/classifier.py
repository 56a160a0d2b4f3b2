"""Re-classification of detected objects (paper 4.1): the contract of a classifier."""

from __future__ import annotations

from abc import ABC, abstractmethod

import numpy as np

from msnvis.registry import Registry
from msnvis.structures import Detections


class Classifier(ABC):
    """Names objects from their crops. `classes` are the names of the columns that `classify` returns."""

    classes: tuple[str, ...]

    @property
    def known(self) -> np.ndarray:
        """``(C,)`` bool: the classes that it can name at all; columns of the others are always 0."""
        return np.ones(len(self.classes), bool)

    @abstractmethod
    def classify(self, image: np.ndarray, detections: Detections) -> np.ndarray:
        """Probability of each class for each object.

        Args:
            image: RGB uint8 ``(H, W, 3)``.
            detections: N objects of that image.

        Returns:
            ``(N, C)`` float32; rows may sum to less than 1: the rest is "none of these".
        """


classifiers: Registry[Classifier] = Registry("classifier")


def create_classifier(name: str, **options: object) -> Classifier:
    """Make a classifier by name; ``none`` leaves naming to the segmenter.

    Every classifier takes `labels`, the label space to answer in, and `device`.

    >>> len(create_classifier("none", labels="coco").classes)
    80
    """
    return classifiers.create(name, **options)
