import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from msnvis.segmenters.classifier import Classifier
from msnvis.structures import UNNAMED, Detections
from msnvis.tracking.naming import Namer, Votes, best_label, combine, vote_weight, with_elsewhere

PERSON, DOG, CAT = range(3)
KNOWN = np.array([False, True, True])  # ImageNet has no person


def votes(detector=None, classifier=None) -> Votes:
    result = Votes.none(3)
    if detector is not None:
        result.add_detector(np.array(detector), 1.0)
    if classifier is not None:
        result.add_classifier(np.array(classifier), 1.0)
    return result


def test_large_and_sure_views_weigh_more():
    assert vote_weight(0.5, area=100, size=(20, 20)) == pytest.approx(0.25)
    assert vote_weight(1.0, area=400, size=(20, 20)) == pytest.approx(1.0)


def test_votes_are_weighted_means_and_add_up():
    first, second = Votes.none(2), Votes.none(2)
    first.add_detector(np.array([1.0, 0.0]), 3.0)
    second.add_detector(np.array([0.0, 1.0]), 1.0)
    second.add_classifier(np.array([0.2, 0.4]), 2.0)
    together = first + second
    np.testing.assert_allclose(together.detector, [0.75, 0.25])
    np.testing.assert_allclose(together.classifier, [0.2, 0.4])


def test_an_object_the_detector_cannot_name_does_not_water_down_its_votes():
    seen = votes(detector=[0.0, 0.8, 0.0])
    seen.add_detector(np.zeros(3), 5.0)
    np.testing.assert_allclose(seen.detector, [0.0, 0.8, 0.0])


def test_firm_person_is_not_overruled_by_a_classifier_that_knows_no_person():
    evidence = combine(votes([0.9, 0.05, 0.0], [0.0, 0.95, 0.05]), KNOWN)
    np.testing.assert_allclose(evidence, [0.9, 0.025 + 0.5 * 0.1 * 0.95, 0.5 * 0.1 * 0.05], rtol=1e-6)
    assert best_label(evidence, 0.2) == PERSON


def test_classifier_names_what_the_detector_cannot():
    assert best_label(combine(votes([0.05, 0.0, 0.0], [0.0, 0.1, 0.8]), KNOWN), 0.2) == CAT
    assert best_label(combine(votes(None, [0.0, 0.1, 0.8]), KNOWN), 0.2) == CAT


def test_weight_moves_the_decision_between_the_two():
    disagreeing = votes([0.0, 0.8, 0.1], [0.0, 0.1, 0.8])
    assert best_label(combine(disagreeing, KNOWN, 0.2), 0.1) == DOG
    assert best_label(combine(disagreeing, KNOWN, 0.8), 0.1) == CAT


def test_without_classifier_votes_the_detector_decides_alone():
    np.testing.assert_allclose(combine(votes([0.1, 0.6, 0.0]), KNOWN), [0.1, 0.6, 0.0], rtol=1e-6)


def test_little_evidence_names_nothing():
    assert best_label(np.array([0.1, 0.19]), 0.2) == UNNAMED
    assert best_label(np.zeros(3), 0.0) == UNNAMED
    assert best_label(np.zeros(0), 0.0) == UNNAMED


@settings(max_examples=40, deadline=None)
@given(
    st.lists(st.floats(0, 1), min_size=3, max_size=3),
    st.lists(st.floats(0, 0.33), min_size=3, max_size=3),
    st.floats(0, 1),
)
def test_evidence_stays_between_0_and_1_and_unknown_classes_keep_theirs(detector, classifier, weight):
    evidence = combine(votes(detector, classifier), KNOWN, weight)
    assert (evidence >= 0).all() and (evidence <= 1 + 1e-6).all()
    assert evidence[PERSON] == pytest.approx(detector[PERSON], abs=1e-6)


class Counting(Classifier):
    """Says dog, and remembers how many objects it was shown in each call."""

    classes = ("terrier", "poodle", "sofa")

    def __init__(self):
        self.shown = []

    def classify(self, image, detections):
        self.shown.append(len(detections))
        return np.tile(np.array([[0.3, 0.4, 0.3]], np.float32), (len(detections), 1))


def test_namer_looks_at_new_objects_and_then_every_few_frames():
    classifier = Counting()
    to_labels = np.array([[0, 1, 0], [0, 1, 0], [0, 0, 0]], np.float32)
    namer = Namer(classifier, to_labels, classify_every=4, classifier_weight=0.5, min_evidence=0.2)
    assert namer.known.tolist() == [False, True, False, False]
    image, seen = np.zeros((8, 8, 3), np.uint8), {1: Votes.none(4), 2: Votes.none(4)}
    one, two = (
        Detections.from_masks(np.ones((n, 8, 8), bool), [0.5] * n, np.zeros((n, 3)), range(1, n + 1))
        for n in (1, 2)
    )
    for index in range(9):
        namer.look(index, image, one if index < 2 else two, seen)
    assert classifier.shown == [1, 1, 2, 2]  # frame 0; birth of the second in frame 2; frames 4 and 8
    np.testing.assert_allclose(seen[1].classifier, [0, 0.7, 0, 0], rtol=1e-6)
    np.testing.assert_allclose(namer.evidence(seen[1]), [0, 0.35, 0], rtol=1e-6)


def test_what_is_surely_elsewhere_is_not_renamed():
    # The detector's classes: dog, and bicycle, which the label space (person, dog) lacks.
    to_labels = with_elsewhere(np.array([[0, 1], [0, 0]], np.float32), np.array([True, True]))
    assert to_labels.tolist() == [[0, 1, 0], [0, 0, 1]]
    namer = Namer(Counting(), np.array([[0, 1], [0, 1], [0, 0]]), 4, classifier_weight=0.5, min_evidence=0.2)
    bicycle = votes(np.array([0.1, 0.8]) @ to_labels, [0.0, 0.7, 0.0])
    assert namer.evidence(bicycle).tolist() == [0, 0]
    doubtful = votes(np.array([0.1, 0.3]) @ to_labels, [0.0, 0.9, 0.0])
    np.testing.assert_allclose(namer.evidence(doubtful), [0, 0.05 + 0.5 * 0.7 * 0.9], rtol=1e-6)
