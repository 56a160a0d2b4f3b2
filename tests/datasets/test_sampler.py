import itertools

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from msnvis.datasets.sampler import BalancedSampler, repeat_factors


def test_repeat_factors_by_hand():
    # Class 0 is in 4 of 5 images, class 1 in one: sqrt(0.45 / 0.2) = 1.5. An image takes its rarest class.
    labels = [[0], [0, 0], [0], [0, 1], []]
    assert repeat_factors(labels, 0.45).tolist() == pytest.approx([1, 1, 1, 1.5, 1])


def test_threshold_zero_switches_balancing_off():
    assert repeat_factors([[0], [1], [2, 2]], 0.0).tolist() == [1, 1, 1]


def test_rare_classes_are_drawn_as_often_as_their_factor_says():
    factors = np.array([1.0, 2.0, 1.5])
    drawn = [index for index, _ in itertools.islice(BalancedSampler(factors, seed=1), 9000)]
    share = np.bincount(drawn) / len(drawn)
    assert share == pytest.approx(factors / factors.sum(), abs=0.02)


@settings(max_examples=30, deadline=None)
@given(st.lists(st.floats(1, 3), min_size=1, max_size=6), st.integers(0, 40), st.integers(0, 9))
def test_starting_later_gives_the_same_stream(factors, start, seed):
    whole = list(itertools.islice(BalancedSampler(np.array(factors), seed), start + 20))
    late = list(itertools.islice(BalancedSampler(np.array(factors), seed, start), 20))
    assert late == whole[start:]
    assert [number for _, number in whole] == list(range(start + 20))


def test_every_image_comes_once_an_epoch():
    drawn = [index for index, _ in itertools.islice(BalancedSampler(np.ones(7), seed=3), 14)]
    assert sorted(drawn[:7]) == sorted(drawn[7:]) == list(range(7))


def test_nothing_to_sample_from_is_refused():
    with pytest.raises(ValueError, match="nothing"):
        BalancedSampler(np.zeros(0), seed=0)
