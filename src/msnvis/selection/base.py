"""Stage 2: the contract of a selector, which decides between two masks of one object."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence

import numpy as np

from msnvis.registry import Registry
from msnvis.structures import Detections


class Selector(ABC):
    """Decides, for pairs of masks of the same objects, which is the better one (paper 3.2).

    Attributes:
        trained_on: names of each segmenter and propagator whose mistakes it has learned; it does not transfer
            to others. Empty for what has learned nothing.
    """

    trained_on: Sequence[tuple[str, str]] = ()

    @abstractmethod
    def prefer(self, image: np.ndarray, first: Detections, second: Detections) -> np.ndarray:
        """Probability that the mask of `first` is better than the one of `second`, pair by pair.

        Args:
            image: RGB uint8 ``(H, W, 3)``.
            first: N masks, the segmenter's (in stage 3: the forward pass's).
            second: N masks, the propagator's (in stage 3: the backward pass's).

        Returns:
            ``(N,)`` float32; the first is taken from 0.5 on.
        """


selectors: Registry[Selector] = Registry("selector")


def create_selector(name: str, **options: object) -> Selector:
    """Make a selector by name.

    >>> type(create_selector("score")).__name__
    'ScoreSelector'
    """
    return selectors.create(name, **options)
