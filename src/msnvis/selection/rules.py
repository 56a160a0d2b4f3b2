"""Selectors that need no training: simple rules for which of two masks to keep."""

from __future__ import annotations

from abc import abstractmethod

import numpy as np

from msnvis import masks as mask_ops
from msnvis.selection.base import Selector, selectors
from msnvis.structures import Detections


def settle_empty(chances: np.ndarray, first: Detections, second: Detections) -> np.ndarray:
    """Let empty masks lose to real ones in ``(N,)`` probabilities that the first is better.

    An empty mask means "not here", which is never the better outline of an object that the other side can
    see. Where both are empty there is nothing to choose between and the probability stays.
    """
    has_first, has_second = mask_ops.areas(first.rles) > 0, mask_ops.areas(second.rles) > 0
    settled = chances.astype(np.float32)
    settled[has_first & ~has_second] = 1.0
    settled[~has_first & has_second] = 0.0
    return settled


class RuleSelector(Selector):
    """A rule for pairs of two real masks; see `settle_empty` for the others."""

    def prefer(self, image: np.ndarray, first: Detections, second: Detections) -> np.ndarray:
        return settle_empty(self._rule(first, second), first, second)

    @abstractmethod
    def _rule(self, first: Detections, second: Detections) -> np.ndarray:
        """``(N,)`` probabilities that the first is better, given that both masks are there."""


@selectors.register("score", summary="the mask with the higher score; a tie goes to the segmenter")
class ScoreSelector(RuleSelector):
    """The mask with the higher score, as ``s1 / (s1 + s2)``, and 0.5 where both scores are zero.

    The map is monotone in both scores and is 0.5 exactly where they are equal, so that a tie goes to the
    first.

    >>> import numpy as np
    >>> mask = np.ones((1, 2, 2), bool)
    >>> sure, unsure = (Detections.from_masks(mask, [score], [[]]) for score in (0.9, 0.1))
    >>> ScoreSelector().prefer(np.zeros((2, 2, 3), np.uint8), sure, unsure).tolist()
    [0.8999999761581421]
    """

    def _rule(self, first: Detections, second: Detections) -> np.ndarray:
        total = first.scores + second.scores
        return np.divide(first.scores, total, out=np.full(len(first), 0.5, np.float32), where=total > 0)


@selectors.register("segmenter", summary="always the segmenter's mask (where it found one)")
class SegmenterSelector(RuleSelector):
    """Always the first mask: the segmenter's, or in stage 3 the forward pass's."""

    def _rule(self, first: Detections, second: Detections) -> np.ndarray:
        return np.ones(len(first))


@selectors.register("propagator", summary="always the propagated mask (where there is one)")
class PropagatorSelector(RuleSelector):
    """Always the second mask: the propagator's, or in stage 3 the backward pass's."""

    def _rule(self, first: Detections, second: Detections) -> np.ndarray:
        return np.zeros(len(first))
