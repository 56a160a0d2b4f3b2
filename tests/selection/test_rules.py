import numpy as np
import pytest

from msnvis.errors import UnknownPartError
from msnvis.selection import create_selector
from msnvis.structures import Detections

IMAGE = np.zeros((4, 4, 3), np.uint8)


def with_scores(*scores):
    return Detections.from_masks(np.ones((len(scores), 4, 4), bool), scores, np.zeros((len(scores), 0)))


def test_score_is_the_share_of_the_first():
    chances = create_selector("score").prefer(IMAGE, with_scores(0.9, 0.2, 0.5), with_scores(0.1, 0.6, 0.0))
    np.testing.assert_allclose(chances, [0.9, 0.25, 1.0], rtol=1e-6)


@pytest.mark.parametrize("score", [0.0, 0.3, 1.0])
def test_equal_scores_go_to_the_first(score):
    assert create_selector("score").prefer(IMAGE, with_scores(score), with_scores(score))[0] >= 0.5


def test_positional_rules_ignore_the_scores():
    high, low = with_scores(0.9, 0.1), with_scores(0.1, 0.9)
    assert create_selector("segmenter").prefer(IMAGE, high, low).tolist() == [1.0, 1.0]
    assert create_selector("propagator").prefer(IMAGE, high, low).tolist() == [0.0, 0.0]


def test_unknown_name_suggests_the_nearest():
    with pytest.raises(UnknownPartError, match="'score'"):
        create_selector("scores")
