import itertools

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from msnvis.tracking.association import ASSOCIATION_IOU, associate


def test_threshold_is_that_of_the_paper():
    assert ASSOCIATION_IOU == 0.1
    assert associate(np.array([[0.1, 0.0], [0.0, 0.11]])) == [(1, 1)]


def test_best_sum_wins_over_the_best_single_pair():
    # Greedy would take 0.9 and leave 0.1 + nothing; the best sum is 0.8 + 0.7.
    assert associate(np.array([[0.9, 0.8], [0.7, 0.1]])) == [(0, 1), (1, 0)]


def test_a_pair_below_the_threshold_does_not_steal_a_partner():
    # Summing everything, 0.09 + 0.49 beats 0.5, but its first pair would be thrown away afterwards.
    assert associate(np.array([[0.5, 0.09], [0.49, 0.0]])) == [(0, 0)]


def test_nothing_to_match():
    assert associate(np.zeros((0, 3))) == []
    assert associate(np.zeros((2, 0))) == []


def best_sum(iou: np.ndarray, threshold: float) -> float:
    """By trying every assignment."""
    if iou.shape[0] > iou.shape[1]:
        iou = iou.T
    useful = np.where(iou > threshold, iou, 0)
    columns = itertools.permutations(range(iou.shape[1]), iou.shape[0])
    return max(sum(useful[i, j] for i, j in enumerate(chosen)) for chosen in columns)


@settings(max_examples=40, deadline=None)
@given(
    arrays(np.float64, st.tuples(st.integers(1, 4), st.integers(1, 4)), elements=st.floats(0, 1)),
    st.sampled_from([0.0, 0.1, 0.5]),
)
def test_matches_brute_force_one_to_one_above_threshold(iou, threshold):
    pairs = associate(iou, threshold)
    assert all(iou[i, j] > threshold for i, j in pairs)
    assert len({i for i, _ in pairs}) == len({j for _, j in pairs}) == len(pairs)
    np.testing.assert_allclose(sum(iou[i, j] for i, j in pairs), best_sum(iou, threshold), atol=1e-9)
