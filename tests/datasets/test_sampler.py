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


def test_the_sampling_rate_of_a_rare_class_rises_as_worked_by_hand():
    # Class 1 is in 2 of 10 images. With threshold 0.45 these come sqrt(0.45 / 0.2) = 1.5 times an epoch, so
    # that the class is in 3 of 11 samples instead of 2 of 10. Class 0, in 8 of 10, is not rare.
    labels = [[0]] * 8 + [[1]] * 2
    factors = repeat_factors(labels, 0.45)
    assert factors.tolist() == pytest.approx([1] * 8 + [1.5] * 2)
    drawn = [labels[index][0] for index, _ in itertools.islice(BalancedSampler(factors, seed=2), 11_000)]
    assert np.mean(drawn) == pytest.approx(3 / 11, abs=0.005)


datasets = st.lists(st.lists(st.integers(0, 5), max_size=4), min_size=1, max_size=12)


@settings(max_examples=50, deadline=None)
@given(datasets, st.floats(0, 1), st.randoms(use_true_random=False))
def test_only_how_many_images_have_a_class_matters(labels, threshold, random):
    factors = repeat_factors(labels, threshold)
    assert factors.min() >= 1
    # LVIS's formula, image by image and class by class.
    for image, factor in zip(labels, factors, strict=True):
        share = [sum(c in other for other in labels) / len(labels) for c in image]
        assert factor == pytest.approx(max([1.0, *((threshold / s) ** 0.5 for s in share)]))
    # Other numbers for the classes, another order and repeated labels change nothing.
    numbers = random.sample(range(100), 6)
    renamed = [[numbers[c] for c in random.sample(image, len(image)) * 2] for image in labels]
    np.testing.assert_array_equal(repeat_factors(renamed, threshold), factors)
    order = random.sample(range(len(labels)), len(labels))
    np.testing.assert_array_equal(repeat_factors([labels[i] for i in order], threshold), factors[order])


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


def test_every_image_comes_once_an_epoch_in_a_new_order():
    drawn = [index for index, _ in itertools.islice(BalancedSampler(np.ones(7), seed=3), 14)]
    assert sorted(drawn[:7]) == sorted(drawn[7:]) == list(range(7))
    assert drawn[:7] != drawn[7:]
    assert drawn != [index for index, _ in itertools.islice(BalancedSampler(np.ones(7), seed=4), 14)]


def test_a_broken_factor_is_rounded_down_or_up_anew_in_each_epoch():
    sampler = BalancedSampler(np.array([1.0, 2.25]), seed=5)
    counts = [np.bincount(epoch) for epoch in itertools.islice(sampler._epochs(), 400)]
    assert {tuple(count) for count in counts} == {(1, 2), (1, 3)}
    assert np.mean(counts, axis=0) == pytest.approx([1, 2.25], abs=0.07)


def test_nothing_to_sample_from_is_refused():
    with pytest.raises(ValueError, match="nothing"):
        BalancedSampler(np.zeros(0), seed=0)
