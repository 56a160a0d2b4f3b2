import numpy as np
import pytest

from msnvis.selection.measures import (
    accuracy,
    accuracy_by_margin,
    balanced_accuracy,
    calibration_error,
    reliability,
)

IOUS = np.array([[0.9, 0.6], [0.5, 0.51], [0.7, 0.7], [0.2, 0.26]])
CHANCES = np.array([0.8, 0.7, 0.9, 0.1])


def test_accuracy_by_hand():
    assert accuracy(CHANCES, IOUS) == pytest.approx(2 / 3)
    assert accuracy(CHANCES, IOUS, min_margin=0.02) == 1
    assert np.isnan(accuracy(CHANCES[2:3], IOUS[2:3]))


def test_balanced_accuracy_by_hand():
    assert balanced_accuracy(CHANCES, IOUS) == pytest.approx((1 + 1 / 2) / 2)
    assert balanced_accuracy(CHANCES, IOUS, min_margin=0.02) == 1
    assert balanced_accuracy(np.ones(4), IOUS) == balanced_accuracy(np.zeros(4), IOUS) == 0.5
    assert np.isnan(balanced_accuracy(CHANCES[:1], IOUS[:1]))


def test_accuracy_by_margin_by_hand():
    bins = accuracy_by_margin(CHANCES, IOUS)
    assert {name: value for name, value in bins.items() if value[1]} == {
        "0-0.02": (0, 1),
        "0.05-0.1": (1, 1),
        "0.2-1": (1, 1),
    }


def test_reliability_by_hand():
    said, true, count = reliability(CHANCES, IOUS)
    assert count.tolist() == [0, 1, 0, 0, 0, 0, 0, 1, 1, 0]
    assert said[[1, 7, 8]].tolist() == pytest.approx([0.1, 0.7, 0.8])
    assert true[[1, 7, 8]].tolist() == [0, 0, 1]
    assert calibration_error(CHANCES, IOUS) == pytest.approx((0.1 + 0.7 + 0.2) / 3)
