"""Classes by vote along a track: what the detector saw and what the classifier says (paper 4.1).

Both kinds of votes are weighted means over the frames, the weight being the score times the object's linear
size: a large, sure view says more than a small, doubtful one.

Votes have one column more than the label space, the last: *elsewhere*, what the detector gives to known
classes that the label space lacks. A detector that sees a bicycle must be heard where there is no such class,
or a classifier that is offered nothing better would call it a motorbike.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from msnvis import masks as mask_ops
from msnvis.segmenters.classifier import Classifier
from msnvis.structures import UNNAMED, Detections


def vote_weight(score: float, area: int, size: tuple[int, int]) -> float:
    """Weight of one view of an object: score times the root of the share of the frame that it covers."""
    return float(score) * float(np.sqrt(area / (size[0] * size[1])))


@dataclass
class Votes:
    """Votes gathered along a track; two tracks that turn out to be one object are added.

    >>> seen = Votes.none(2)
    >>> seen.add_detector(np.array([0.9, 0.1]), weight=3.0)
    >>> seen.add_detector(np.array([0.1, 0.9]), weight=1.0)
    >>> seen.detector.round(2).tolist()
    [0.7, 0.3]
    """

    detector_sum: np.ndarray
    classifier_sum: np.ndarray
    detector_weight: float = 0.0
    classifier_weight: float = 0.0

    @classmethod
    def none(cls, num_classes: int) -> Votes:
        """No votes yet."""
        return cls(np.zeros(num_classes), np.zeros(num_classes))

    def add_detector(self, class_scores: np.ndarray, weight: float) -> None:
        """Count the detector's ``(C,)`` class scores; a row of zeros says nothing and does not count."""
        if class_scores.any():
            self.detector_sum += weight * class_scores
            self.detector_weight += weight

    def add_classifier(self, probabilities: np.ndarray, weight: float) -> None:
        """Count the classifier's ``(C,)`` probabilities; what they lack to 1 is "none of these"."""
        self.classifier_sum += weight * probabilities
        self.classifier_weight += weight

    def __add__(self, other: Votes) -> Votes:
        return Votes(
            self.detector_sum + other.detector_sum,
            self.classifier_sum + other.classifier_sum,
            self.detector_weight + other.detector_weight,
            self.classifier_weight + other.classifier_weight,
        )

    @property
    def detector(self) -> np.ndarray:
        """``(C,)`` mean of the detector's votes, zeros without any."""
        return self.detector_sum / max(self.detector_weight, 1e-12)

    @property
    def classifier(self) -> np.ndarray:
        """``(C,)`` mean of the classifier's votes, zeros without any."""
        return self.classifier_sum / max(self.classifier_weight, 1e-12)


def votes_state(votes: Mapping[int, Votes]) -> dict[str, np.ndarray]:
    """The votes of all tracks as arrays, for `votes_from_state`."""
    every = list(votes.values())
    weights = [(one.detector_weight, one.classifier_weight) for one in every]
    return {
        "ids": np.array(list(votes), np.int64),
        "detector": np.array([one.detector_sum for one in every], np.float64),
        "classifier": np.array([one.classifier_sum for one in every], np.float64),
        "weights": np.array(weights, np.float64).reshape(-1, 2),
    }


def votes_from_state(state: Mapping[str, np.ndarray]) -> dict[int, Votes]:
    """What was given to `votes_state`."""
    rows = zip(*(state[name] for name in ("ids", "detector", "classifier", "weights")), strict=True)
    return {
        int(id_): Votes(detector.copy(), classifier.copy(), *map(float, weights))
        for id_, detector, classifier, weights in rows
    }


def with_elsewhere(to_labels: np.ndarray, has_name: np.ndarray) -> np.ndarray:
    """Send the detector's classes that have a name but no counterpart to one more column, *elsewhere*.

    Args:
        to_labels: ``(S, K)`` of 0 and 1, from the detector's classes to the label space.
        has_name: ``(S,)`` bool: the class is one of `any`, and not, say, "object" or "thing 17".

    Returns:
        ``(S, K + 1)`` float32.

    >>> with_elsewhere(np.array([[0.0, 1.0], [0.0, 0.0], [0.0, 0.0]]), np.array([True, True, False])).tolist()
    [[0.0, 1.0, 0.0], [0.0, 0.0, 1.0], [0.0, 0.0, 0.0]]
    """
    return np.column_stack([to_labels, has_name & ~to_labels.any(axis=1)]).astype(np.float32)


def combine(votes: Votes, known: np.ndarray, classifier_weight: float = 0.5) -> np.ndarray:
    """Evidence for each class from both kinds of votes.

    A class that the classifier does not know (ImageNet has no person, and *elsewhere* is nobody's) keeps the
    detector's evidence. What the detector gives to such classes, `claimed`, is taken from the classifier's,
    which was never offered that answer; the rest is a convex combination::

        evidence[c] = detector[c]                                                  c unknown to the classifier
        evidence[c] = (1 - w) * detector[c] + w * (1 - claimed) * classifier[c]    c known to it

    So a detector that says person firmly cannot be overruled, and one that knows no name leaves it to the
    classifier.

    Args:
        votes: of one track.
        known: ``(C,)`` bool, the classes that the classifier can name.
        classifier_weight: `w`, 0..1.

    Returns:
        ``(C,)`` float32 in 0..1.
    """
    detector = votes.detector
    if votes.classifier_weight == 0:
        return detector.astype(np.float32)
    claimed = min(float(detector[~known].sum()), 1.0)
    mixed = (1 - classifier_weight) * detector + classifier_weight * (1 - claimed) * votes.classifier
    return np.where(known, mixed, detector).astype(np.float32)


def best_label(evidence: np.ndarray, min_evidence: float) -> int:
    """Index of the strongest class, `UNNAMED` when even that has less than `min_evidence`.

    >>> best_label(np.array([0.1, 0.6]), 0.2), best_label(np.array([0.1, 0.15]), 0.2)
    (1, -1)
    """
    if evidence.size == 0 or evidence.max() < min_evidence or evidence.max() <= 0:
        return UNNAMED
    return int(evidence.argmax())


@dataclass(frozen=True)
class Namer:
    """Names objects of a label space from the votes, and asks the classifier for its own.

    Args:
        classifier: looks at crops.
        to_labels: ``(S, K)`` float32 of 0 and 1, from the classifier's classes to the label space.
        classify_every: frames between two looks at the objects; a new object is looked at at once.
        classifier_weight: see `combine`.
        min_evidence: evidence below this names nothing.
    """

    classifier: Classifier
    to_labels: np.ndarray
    classify_every: int
    classifier_weight: float
    min_evidence: float

    @property
    def known(self) -> np.ndarray:
        """``(K + 1,)`` bool: the classes of the label space that the classifier can name."""
        return np.append(self.classifier.known @ self.to_labels > 0, False)

    def look(self, index: int, image: np.ndarray, tracked: Detections, votes: dict[int, Votes]) -> None:
        """Let the classifier vote on the objects of frame `index` whose turn it is."""
        due = [
            row
            for row, id_ in enumerate(tracked.ids.tolist())
            if index % self.classify_every == 0 or votes[id_].classifier_weight == 0
        ]
        if not due or not self.known.any():
            return
        chosen = tracked[due]
        probabilities = np.minimum(self.classifier.classify(image, chosen) @ self.to_labels, 1)
        areas = mask_ops.areas(chosen.rles).tolist()
        for id_, row, score, area in zip(
            chosen.ids.tolist(), probabilities, chosen.scores.tolist(), areas, strict=True
        ):
            votes[id_].add_classifier(np.append(row, 0), vote_weight(score, area, tracked.size))

    def evidence(self, votes: Votes) -> np.ndarray:
        """``(K,)`` float32 evidence for each class, zeros where the name is none of them."""
        evidence = combine(votes, self.known, self.classifier_weight)
        elsewhere = len(evidence) - 1
        named = best_label(evidence, self.min_evidence) not in (UNNAMED, elsewhere)
        return evidence[:elsewhere] * named
