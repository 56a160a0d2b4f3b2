"""The contract of every registered selector that needs no weights: register one and it is tested."""

import numpy as np
import pytest

from msnvis.selection import create_selector, selectors
from msnvis.structures import Detections

NAMES = [name for name, entry in selectors.entries().items() if entry.needs == "nothing"]
#: These decide by which side a mask is on, so exchanging the sides does not exchange the answer.
POSITIONAL = {"segmenter", "propagator"}
SIZE = (32, 40)


@pytest.fixture(params=NAMES)
def selector(request):
    return create_selector(request.param)


@pytest.fixture
def image():
    return np.random.default_rng(0).integers(0, 255, (*SIZE, 3), np.uint8)


def detections(count, seed, empty=()):
    """Random boxes as masks with random scores; the masks listed in `empty` hold nothing."""
    rng = np.random.default_rng(seed)
    masks = np.zeros((count, *SIZE), bool)
    for index in set(range(count)) - set(empty):
        y, x = rng.integers(0, 20, 2)
        masks[index, y : y + 10, x : x + 12] = True
    return Detections.from_masks(masks, rng.uniform(0, 1, count), rng.uniform(0, 1, (count, 3)))


class TestSelector:
    def test_shape_type_and_range(self, selector, image):
        chances = selector.prefer(image, detections(6, 1), detections(6, 2))
        assert chances.shape == (6,) and chances.dtype == np.float32
        assert ((chances >= 0) & (chances <= 1)).all()

    def test_no_pairs(self, selector, image):
        none = Detections.empty(SIZE, 3)
        chances = selector.prefer(image, none, none)
        assert chances.shape == (0,) and chances.dtype == np.float32

    def test_exchanging_the_sides_gives_the_complement(self, selector, image, request):
        if request.node.callspec.params["selector"] in POSITIONAL:
            pytest.skip("a positional rule")
        first, second = detections(6, 1, empty=[0, 1]), detections(6, 2, empty=[1, 2])
        there, back = selector.prefer(image, first, second), selector.prefer(image, second, first)
        np.testing.assert_allclose(there, 1 - back, atol=1e-5)

    def test_a_mask_is_preferred_to_an_empty_one(self, selector, image):
        first, second = detections(2, 1, empty=[0]), detections(2, 2, empty=[1])
        chances = selector.prefer(image, first, second)
        assert chances[0] < 0.5 < chances[1]

    def test_two_empty_masks_have_an_answer(self, selector, image):
        chances = selector.prefer(image, detections(1, 1, empty=[0]), detections(1, 2, empty=[0]))
        assert 0 <= chances[0] <= 1

    def test_pairs_do_not_influence_each_other(self, selector, image):
        first, second = detections(5, 1, empty=[2]), detections(5, 2)
        one_by_one = [selector.prefer(image, first[[i]], second[[i]])[0] for i in range(5)]
        np.testing.assert_allclose(selector.prefer(image, first, second), one_by_one, atol=1e-5)

    def test_inputs_are_left_alone(self, selector, image):
        first, second = detections(3, 1, empty=[0]), detections(3, 2)
        selector.prefer(image, first, second)
        np.testing.assert_array_equal(first.scores, detections(3, 1, empty=[0]).scores)
        np.testing.assert_array_equal(second.scores, detections(3, 2).scores)
